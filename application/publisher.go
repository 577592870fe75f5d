package application

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	Configs   ConfigStore
	Ownership Ownership
	Owners    OwnerLookup
	Auditor   Auditor
	// Issuers are the enabled issuers by their provider. A config can be made for
	// these only; none means that none can be made.
	Issuers map[string][]string
	// Definitions are those of the enabled providers whose configs are made of claims.
	Definitions []domain.Definition
	// Now is the clock.
	Now func() time.Time
}

// PublisherService manages publisher configs. It is safe for concurrent use.
type PublisherService struct{ cfg PublisherConfig }

// NewPublisherService checks cfg and returns the service.
func NewPublisherService(cfg PublisherConfig) (*PublisherService, error) {
	if cfg.Configs == nil || cfg.Ownership == nil || cfg.Owners == nil || cfg.Auditor == nil || cfg.Now == nil {
		return nil, errors.New("application: publisher service needs Configs, Ownership, Owners, Auditor and Now")
	}
	issuers := map[string][]string{}
	for provider, all := range cfg.Issuers {
		issuers[provider] = slices.Clone(all)
	}
	cfg.Issuers = issuers
	cfg.Definitions = slices.Clone(cfg.Definitions)
	return &PublisherService{cfg: cfg}, nil
}

// CreateConfig stores a new config. An empty issuer is the provider's enabled one
// when there is one only; the ID of a GitHub owner that is zero is looked up at
// GitHub. Errors: KindInvalid for a value that breaks a rule, an issuer that is not
// enabled or an unknown owner; KindForbidden when the actor may not; KindConflict
// when there is an identical config or the package has MaxConfigsPerPackage;
// KindUnavailable when GitHub or the database can't answer.
func (s *PublisherService) CreateConfig(ctx context.Context, actor Actor, params domain.ConfigParams) (domain.Config, error) {
	config, err := s.createConfig(ctx, actor, params)
	provider, _, pkg := params.About()
	event := Event{Action: ActionCreateConfig, Actor: actor.ID, Err: err}
	if config != nil {
		event.ConfigID = config.Common().ID
	}
	// Names that break the rules may be anything that a client pasted.
	if _, known := s.cfg.Issuers[provider]; known {
		event.Provider = provider
	}
	if pkg, invalid := domain.NewPackage(pkg.Ecosystem, pkg.Name); invalid == nil {
		event.Packages = []domain.Package{pkg}
	}
	s.cfg.Auditor.Record(ctx, event)
	return config, err
}

func (s *PublisherService) createConfig(ctx context.Context, actor Actor, params domain.ConfigParams) (domain.Config, error) {
	provider, issuer, pkg := params.About()
	issuer, err := s.chooseIssuer(provider, issuer)
	if err != nil {
		return nil, err
	}
	params, err = s.complete(params.Fresh(issuer, s.cfg.Now().UTC()))
	if err != nil {
		return nil, err
	}
	// All rules are checked before anybody is asked for the owner's ID, so that a
	// config that can't be made causes no outbound request.
	config, err := withOwnerID(params, 1).Config()
	if err != nil {
		return nil, err
	}
	err = s.mayManage(ctx, actor, pkg)
	if err != nil {
		return nil, err
	}
	if github, ok := params.(domain.GitHubConfigParams); ok && github.OwnerID == 0 {
		ownerID, err := s.cfg.Owners.OwnerID(ctx, issuer, github.Owner)
		if err != nil {
			return nil, fmt.Errorf("look up owner: %w", err)
		}
		config, err = withOwnerID(params, ownerID).Config()
		if err != nil {
			return nil, err
		}
	}
	stored, err := s.cfg.Configs.CreateConfig(ctx, config, MaxConfigsPerPackage)
	if err != nil {
		return nil, fmt.Errorf("create config: %w", storeError(err))
	}
	return stored, nil
}

// withOwnerID fills in the ID of a GitHub owner that was not given.
func withOwnerID(params domain.ConfigParams, ownerID int64) domain.ConfigParams {
	github, ok := params.(domain.GitHubConfigParams)
	if !ok || github.OwnerID != 0 {
		return params
	}
	github.OwnerID = ownerID
	return github
}

// complete checks a config that is made of claims against its provider's definition.
func (s *PublisherService) complete(params domain.ConfigParams) (domain.ConfigParams, error) {
	claims, ok := params.(domain.ClaimsConfigParams)
	if !ok {
		return params, nil
	}
	i := slices.IndexFunc(s.cfg.Definitions, func(d domain.Definition) bool { return d.Name == claims.Provider })
	if i < 0 {
		return nil, domain.Invalid(domain.CodeInvalidConfig, "The provider %q has no publishers that are made of claims.", claims.Provider)
	}
	return s.cfg.Definitions[i].Complete(claims)
}

// chooseIssuer returns the issuer a new config belongs to.
func (s *PublisherService) chooseIssuer(provider, issuer string) (string, error) {
	issuers := s.cfg.Issuers[provider]
	choices := strings.Join(issuers, ", ")
	switch {
	case provider == "":
		return "", domain.Invalid(domain.CodeInvalidConfig, "The provider is missing. Name one that is enabled here: %s.", s.enabled())
	case len(issuers) == 0:
		return "", domain.Invalid(domain.CodeInvalidConfig, "No %s issuer is enabled here, so no such publisher can be configured. Enabled are: %s.", providerTitle(provider), s.enabled())
	case issuer == "" && len(issuers) == 1:
		return issuers[0], nil
	case issuer == "":
		return "", domain.Invalid(domain.CodeInvalidConfig, "Several %s issuers are enabled here. Name the one that the publisher belongs to: %s.", providerTitle(provider), choices)
	case !slices.Contains(issuers, issuer):
		return "", domain.Invalid(domain.CodeInvalidConfig, "The issuer %q is not an enabled %s issuer. Name one of: %s.", issuer, providerTitle(provider), choices)
	}
	return issuer, nil
}

func (s *PublisherService) enabled() string {
	if len(s.cfg.Issuers) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(s.cfg.Issuers)), ", ")
}

// providerTitle is how a sentence calls a provider.
func providerTitle(provider string) string {
	switch provider {
	case domain.ProviderGitHub:
		return "GitHub"
	case domain.ProviderGitLab:
		return "GitLab"
	}
	return fmt.Sprintf("%q", provider)
}

// ListConfigs returns a page of a package's configs, oldest first. A query.Package
// is required: an actor owns packages, not the registry.
func (s *PublisherService) ListConfigs(ctx context.Context, actor Actor, query ListQuery) (ConfigPage, error) {
	pkg, err := domain.NewPackage(query.Package.Ecosystem, query.Package.Name)
	if err != nil {
		return ConfigPage{}, err
	}
	err = s.mayManage(ctx, actor, pkg)
	if err != nil {
		return ConfigPage{}, err
	}
	page, err := s.cfg.Configs.ListConfigs(ctx, query)
	if err != nil {
		return ConfigPage{}, fmt.Errorf("list configs: %w", storeError(err))
	}
	return page, nil
}

// Selection names a config to delete.
type Selection struct {
	// ID is the config's number.
	ID int64
	// Kind and Package are what the caller takes the config for: another is not found.
	// Empty and the zero value are any.
	Kind    domain.ConfigKind
	Package domain.Package
}

// DeleteConfig removes a config, and with it the grants that unexpired tokens have
// from it. An unknown one is KindNotFound.
func (s *PublisherService) DeleteConfig(ctx context.Context, actor Actor, selection Selection) error {
	config, err := s.deleteConfig(ctx, actor, selection)
	event := Event{Action: ActionDeleteConfig, Actor: actor.ID, Err: err, ConfigID: selection.ID}
	if config != nil {
		event.Provider, event.Packages = config.Common().Provider, []domain.Package{config.Common().Package}
	}
	s.cfg.Auditor.Record(ctx, event)
	return err
}

func (s *PublisherService) deleteConfig(ctx context.Context, actor Actor, selection Selection) (domain.Config, error) {
	// Whoever is nobody must not learn which IDs exist.
	err := authenticated(actor)
	if err != nil {
		return nil, err
	}
	config, err := s.cfg.Configs.Config(ctx, selection.ID)
	if err != nil {
		return nil, fmt.Errorf("find config: %w", storeError(err))
	}
	if !selection.names(config) {
		return nil, fmt.Errorf("find config: %w", domain.ConfigNotFound(selection.ID))
	}
	err = s.mayManage(ctx, actor, config.Common().Package)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Configs.DeleteConfig(ctx, selection.ID)
	if err != nil {
		return nil, fmt.Errorf("delete config: %w", storeError(err))
	}
	return config, nil
}

func (s Selection) names(config domain.Config) bool {
	return (s.Kind == "" || s.Kind == domain.ConfigKindFor(config.Common().Provider)) && (s.Package == domain.Package{} || s.Package == config.Common().Package)
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
