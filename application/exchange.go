package application

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// ExchangeConfig holds what an [ExchangeService] needs. All fields are required
// but where a default is named.
type ExchangeConfig struct {
	Verifier Verifier
	Configs  ConfigFinder
	Tokens   TokenStore
	Auditor  Auditor
	// Memory spares look-ups of configs that were looked up before. It must be the store
	// that Configs and Tokens are, with nothing in front of it, as neither is called when
	// it serves. nil has every exchange look them up.
	Memory ConfigMemory
	// Ecosystem is the one whose packages tokens may cover; empty is any. The
	// protocol of an ecosystem has a service of its own, with it.
	Ecosystem string
	// Prefix begins every access token.
	Prefix domain.TokenPrefix
	// TTL is the lifetime of an access token, domain.MinTokenTTL to
	// domain.MaxTokenTTL. Zero is domain.DefaultTokenTTL.
	TTL time.Duration
	// Now is the clock.
	Now func() time.Time
	// Rand is a cryptographically secure source: crypto/rand.Reader.
	Rand io.Reader
}

// ExchangeService turns the ID token of a CI job into an access token. It is safe
// for concurrent use.
type ExchangeService struct{ cfg ExchangeConfig }

// NewExchangeService checks cfg and returns the service.
func NewExchangeService(cfg ExchangeConfig) (*ExchangeService, error) {
	if cfg.TTL == 0 {
		cfg.TTL = domain.DefaultTokenTTL
	}
	switch {
	case cfg.Verifier == nil, cfg.Configs == nil, cfg.Tokens == nil, cfg.Auditor == nil, cfg.Now == nil, cfg.Rand == nil:
		return nil, errors.New("application: exchange service needs Verifier, Configs, Tokens, Auditor, Now and Rand")
	case cfg.Prefix == domain.TokenPrefix{}:
		return nil, errors.New("application: exchange service needs a token prefix")
	case cfg.TTL < domain.MinTokenTTL, cfg.TTL > domain.MaxTokenTTL:
		return nil, fmt.Errorf("application: token lifetime %s is not within %s and %s", cfg.TTL, domain.MinTokenTTL, domain.MaxTokenTTL)
	}
	return &ExchangeService{cfg: cfg}, nil
}

// ExchangeRequest asks for an access token.
type ExchangeRequest struct {
	// IDToken is the JWT that the CI provider gave the job.
	IDToken string
	// Package is the one that the token is for: configs of no other count. The zero
	// value is any that the ecosystem allows.
	Package domain.Package
	// Protocol names the wire protocol that the request came by, for the audit record
	// and for metrics. It is never a client's text. Empty is none.
	Protocol string
	// Packages narrows the token to these; empty asks for all that would be granted.
	Packages []domain.Package
}

// Issued is a new access token.
type Issued struct {
	// Secret is the token itself. This is the only time that it is known.
	Secret domain.Secret
	// Token is what the store keeps of it.
	Token domain.AccessToken
}

// Exchange verifies the ID token, finds the configs that trust its workload, and
// mints an access token for their packages. The ID token is used up exactly when
// it succeeds. Refusals are *domain.Error of KindRefused or KindInvalid; a key set
// or a database that can't answer is KindUnavailable.
func (s *ExchangeService) Exchange(ctx context.Context, request ExchangeRequest) (Issued, error) {
	began := s.cfg.Now()
	event := Event{Action: ActionExchange, Protocol: request.Protocol}
	issued, err := s.exchange(ctx, request, &event)
	event.Err, event.Duration = err, s.cfg.Now().Sub(began)
	s.cfg.Auditor.Record(ctx, event)
	return issued, err
}

func (s *ExchangeService) exchange(ctx context.Context, request ExchangeRequest, event *Event) (Issued, error) {
	claims, err := s.cfg.Verifier.Verify(ctx, request.IDToken)
	if err != nil {
		return Issued{}, fmt.Errorf("verify ID token: %w", err)
	}
	event.Claims = claims

	issued, err := s.issueRecalled(ctx, request, claims)
	if errors.Is(err, ErrOutdated) {
		issued, err = s.issue(ctx, request, claims)
	}
	if err != nil {
		return Issued{}, err
	}
	event.TokenHash, event.Packages = hexHash(issued.Token.Hash), issued.Token.Packages()
	return issued, nil
}

// issue issues the access token that the workload's configs justify.
func (s *ExchangeService) issue(ctx context.Context, request ExchangeRequest, claims domain.Claims) (Issued, error) {
	configs, err := s.cfg.Configs.FindConfigs(ctx, claims)
	if err != nil {
		return Issued{}, fmt.Errorf("find configs: %w", storeError(err))
	}
	grants, err := s.grants(configs, request, claims)
	if err != nil {
		return Issued{}, err
	}
	issued, err := s.mint(grants, claims)
	if err != nil {
		return Issued{}, err
	}
	err = s.cfg.Tokens.SaveToken(ctx, issued.Token, claims.UsedJTI(), domain.Pins(configs, grants, claims))
	if err != nil {
		return Issued{}, fmt.Errorf("save access token: %w", storeError(err))
	}
	return issued, nil
}

// issueRecalled does what issue does, without looking up configs that are remembered.
// It returns ErrOutdated, with nothing changed, where a look-up has to decide: nobody is
// refused, and nothing is pinned, because of what once was.
func (s *ExchangeService) issueRecalled(ctx context.Context, request ExchangeRequest, claims domain.Claims) (Issued, error) {
	if s.cfg.Memory == nil {
		return Issued{}, ErrOutdated
	}
	recalled, ok := s.cfg.Memory.RecallConfigs(claims)
	if !ok {
		return Issued{}, ErrOutdated
	}
	grants, err := s.grants(recalled.Configs, request, claims)
	if err != nil || len(domain.Pins(recalled.Configs, grants, claims)) > 0 {
		return Issued{}, ErrOutdated
	}
	issued, err := s.mint(grants, claims)
	if err != nil {
		return Issued{}, err
	}
	err = s.cfg.Memory.SaveRecalled(ctx, issued.Token, claims, recalled)
	switch {
	case errors.Is(err, ErrOutdated):
		return Issued{}, ErrOutdated
	case err != nil:
		return Issued{}, fmt.Errorf("save access token: %w", storeError(err))
	}
	return issued, nil
}

// grants returns what the request asks for, of what the configs give to the workload.
func (s *ExchangeService) grants(configs []domain.Config, request ExchangeRequest, claims domain.Claims) ([]domain.Grant, error) {
	configs = domain.ForPackages(configs, s.cfg.Ecosystem, request.Package)
	grants, err := domain.Authorize(configs, claims)
	if err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	grants, err = domain.Narrow(grants, request.Packages)
	if err != nil {
		return nil, fmt.Errorf("narrow to scope: %w", err)
	}
	return grants, nil
}

// mint draws the secret and makes the token.
func (s *ExchangeService) mint(grants []domain.Grant, claims domain.Claims) (Issued, error) {
	secret, err := domain.NewSecret(s.cfg.Prefix, s.cfg.Rand)
	if err != nil {
		return Issued{}, fmt.Errorf("draw access token: %w", err)
	}
	return Issued{Secret: secret, Token: domain.Mint(secret.Hash(), grants, claims, s.cfg.Now(), s.cfg.TTL)}, nil
}
