package application

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// MaxConfigsPerPackage is how many publisher configs a package may have.
const MaxConfigsPerPackage = 5

// PublisherConfig holds what a [PublisherService] needs. All fields are required
// but where said otherwise.
type PublisherConfig struct {
	GitHub    GitHubConfigStore
	Ownership Ownership
	Owners    OwnerLookup
	Auditor   Auditor
	// GitHubIssuers are the enabled GitHub issuers. A config can be made for these
	// only; none means that none can be made.
	GitHubIssuers []string
	// Now is the clock.
	Now func() time.Time
}

// PublisherService manages publisher configs. It is safe for concurrent use.
type PublisherService struct{ cfg PublisherConfig }

// NewPublisherService checks cfg and returns the service.
func NewPublisherService(cfg PublisherConfig) (*PublisherService, error) {
	if cfg.GitHub == nil || cfg.Ownership == nil || cfg.Owners == nil || cfg.Auditor == nil || cfg.Now == nil {
		return nil, errors.New("application: publisher service needs GitHub, Ownership, Owners, Auditor and Now")
	}
	cfg.GitHubIssuers = slices.Clone(cfg.GitHubIssuers)
	return &PublisherService{cfg: cfg}, nil
}

// CreateGitHubConfig stores a new config. params.ID and params.CreatedAt are
// ignored. An empty params.Issuer is the enabled GitHub issuer when there is one
// only; a zero params.OwnerID is looked up at GitHub. Errors: KindInvalid for a
// value that breaks a rule, an issuer that is not enabled or an unknown owner;
// KindForbidden when the actor may not; KindConflict when there is an identical
// config or the package has MaxConfigsPerPackage; KindUnavailable when GitHub or
// the database can't answer.
func (s *PublisherService) CreateGitHubConfig(ctx context.Context, actor Actor, params domain.GitHubConfigParams) (domain.GitHubConfig, error) {
	config, err := s.createGitHubConfig(ctx, actor, params)
	event := Event{Action: ActionCreateConfig, Actor: actor.ID, Err: err, Provider: domain.ProviderGitHub, ConfigID: config.ID()}
	// A name that breaks the rules may be anything that a client pasted.
	if pkg, invalid := domain.NewPackage(params.Package.Ecosystem, params.Package.Name); invalid == nil {
		event.Packages = []domain.Package{pkg}
	}
	s.cfg.Auditor.Record(ctx, event)
	return config, err
}

func (s *PublisherService) createGitHubConfig(ctx context.Context, actor Actor, params domain.GitHubConfigParams) (domain.GitHubConfig, error) {
	params.ID, params.CreatedAt = 0, s.cfg.Now().UTC()
	issuer, err := s.chooseIssuer(params.Issuer)
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	params.Issuer = issuer
	// All rules are checked before anybody is asked for the owner's ID, so that a
	// config that can't be made causes no outbound request.
	lookUp := params.OwnerID == 0
	if lookUp {
		params.OwnerID = 1
	}
	config, err := domain.NewGitHubConfig(params)
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	err = s.mayManage(ctx, actor, params.Package)
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	if lookUp {
		params.OwnerID, err = s.cfg.Owners.OwnerID(ctx, params.Issuer, params.Owner)
		if err != nil {
			return domain.GitHubConfig{}, fmt.Errorf("look up owner: %w", err)
		}
		config, err = domain.NewGitHubConfig(params)
		if err != nil {
			return domain.GitHubConfig{}, err
		}
	}
	stored, err := s.cfg.GitHub.CreateGitHubConfig(ctx, config, MaxConfigsPerPackage)
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("create github config: %w", storeError(err))
	}
	return stored, nil
}

// chooseIssuer returns the issuer a new config belongs to.
func (s *PublisherService) chooseIssuer(issuer string) (string, error) {
	choices := strings.Join(s.cfg.GitHubIssuers, ", ")
	switch {
	case len(s.cfg.GitHubIssuers) == 0:
		return "", domain.Invalid(domain.CodeInvalidConfig, "No GitHub issuer is enabled here, so no GitHub publisher can be configured.")
	case issuer == "" && len(s.cfg.GitHubIssuers) == 1:
		return s.cfg.GitHubIssuers[0], nil
	case issuer == "":
		return "", domain.Invalid(domain.CodeInvalidConfig, "Several GitHub issuers are enabled here. Name the one that the publisher belongs to: %s.", choices)
	case !slices.Contains(s.cfg.GitHubIssuers, issuer):
		return "", domain.Invalid(domain.CodeInvalidConfig, "The issuer %q is not an enabled GitHub issuer. Name one of: %s.", issuer, choices)
	}
	return issuer, nil
}

// ListGitHubConfigs returns a page of a package's configs, oldest first. A
// query.Package is required: an actor owns packages, not the registry.
func (s *PublisherService) ListGitHubConfigs(ctx context.Context, actor Actor, query ListQuery) (GitHubConfigPage, error) {
	pkg, err := domain.NewPackage(query.Package.Ecosystem, query.Package.Name)
	if err != nil {
		return GitHubConfigPage{}, err
	}
	err = s.mayManage(ctx, actor, pkg)
	if err != nil {
		return GitHubConfigPage{}, err
	}
	page, err := s.cfg.GitHub.ListGitHubConfigs(ctx, query)
	if err != nil {
		return GitHubConfigPage{}, fmt.Errorf("list github configs: %w", storeError(err))
	}
	return page, nil
}

// DeleteGitHubConfig removes a config, and with it the grants that unexpired
// tokens have from it. An unknown ID is KindNotFound.
func (s *PublisherService) DeleteGitHubConfig(ctx context.Context, actor Actor, id int64) error {
	config, err := s.deleteGitHubConfig(ctx, actor, id)
	event := Event{Action: ActionDeleteConfig, Actor: actor.ID, Err: err, Provider: domain.ProviderGitHub, ConfigID: id}
	if config.ID() != 0 {
		event.Packages = []domain.Package{config.Package()}
	}
	s.cfg.Auditor.Record(ctx, event)
	return err
}

func (s *PublisherService) deleteGitHubConfig(ctx context.Context, actor Actor, id int64) (domain.GitHubConfig, error) {
	// Whoever is nobody must not learn which IDs exist.
	err := authenticated(actor)
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	config, err := s.cfg.GitHub.GitHubConfig(ctx, id)
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("find github config: %w", storeError(err))
	}
	err = s.mayManage(ctx, actor, config.Package())
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	err = s.cfg.GitHub.DeleteGitHubConfig(ctx, id)
	if err != nil {
		return domain.GitHubConfig{}, fmt.Errorf("delete github config: %w", storeError(err))
	}
	return config, nil
}

// mayManage refuses a caller that nobody authenticated before it asks the port, so
// that an Ownership need not think of one.
func (s *PublisherService) mayManage(ctx context.Context, actor Actor, pkg domain.Package) error {
	err := authenticated(actor)
	if err != nil {
		return err
	}
	err = s.cfg.Ownership.MayManage(ctx, actor, pkg)
	if err != nil {
		return fmt.Errorf("check ownership: %w", storeError(err))
	}
	return nil
}

// authenticated refuses an actor that is nobody.
func authenticated(actor Actor) error {
	if actor.ID == "" {
		return &domain.Error{
			Kind: domain.KindUnauthenticated, Code: domain.CodeUnauthenticated,
			Message: "Managing publishers needs a credential.",
		}
	}
	return nil
}
