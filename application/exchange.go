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

	configs, err := s.cfg.Configs.FindConfigs(ctx, claims)
	if err != nil {
		return Issued{}, fmt.Errorf("find configs: %w", storeError(err))
	}
	configs = domain.ForPackages(configs, s.cfg.Ecosystem, request.Package)
	grants, err := domain.Authorize(configs, claims)
	if err != nil {
		return Issued{}, fmt.Errorf("authorize: %w", err)
	}
	grants, err = domain.Narrow(grants, request.Packages)
	if err != nil {
		return Issued{}, fmt.Errorf("narrow to scope: %w", err)
	}

	secret, err := domain.NewSecret(s.cfg.Prefix, s.cfg.Rand)
	if err != nil {
		return Issued{}, fmt.Errorf("draw access token: %w", err)
	}
	token := domain.Mint(secret.Hash(), grants, claims, s.cfg.Now(), s.cfg.TTL)
	err = s.cfg.Tokens.SaveToken(ctx, token, claims.UsedJTI(), domain.Pins(configs, grants, claims))
	if err != nil {
		return Issued{}, fmt.Errorf("save access token: %w", storeError(err))
	}
	event.TokenHash, event.Packages = hexHash(token.Hash), token.Packages()
	return Issued{Secret: secret, Token: token}, nil
}
