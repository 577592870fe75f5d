package application

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// TokenConfig holds what a [TokenService] needs. All fields are required.
type TokenConfig struct {
	Tokens  TokenStore
	Auditor Auditor
	// Prefixes begin the access tokens: those of every ExchangeService whose tokens
	// are checked here.
	Prefixes []domain.TokenPrefix
	// Now is the clock.
	Now func() time.Time
}

// TokenService checks and revokes access tokens. It is safe for concurrent use.
type TokenService struct{ cfg TokenConfig }

// NewTokenService checks cfg and returns the service.
func NewTokenService(cfg TokenConfig) (*TokenService, error) {
	if cfg.Tokens == nil || cfg.Auditor == nil || cfg.Now == nil {
		return nil, errors.New("application: token service needs Tokens, Auditor, Prefixes and Now")
	}
	if len(cfg.Prefixes) == 0 || slices.Contains(cfg.Prefixes, domain.TokenPrefix{}) {
		return nil, errors.New("application: token service needs a prefix, and none that is empty")
	}
	cfg.Prefixes = slices.Clone(cfg.Prefixes)
	return &TokenService{cfg: cfg}, nil
}

// parse reads a token with any of the prefixes.
func (s *TokenService) parse(accessToken string) (secret domain.Secret, err error) {
	for _, prefix := range s.cfg.Prefixes {
		secret, err = domain.ParseSecret(prefix, accessToken)
		if err == nil {
			return secret, nil
		}
	}
	return domain.Secret{}, err
}

// Introspect returns what an active token covers and who asked for it. A token
// that is malformed, unknown, expired, revoked or left without grants is
// KindUnauthenticated with CodeInvalidToken; which of these it was is not told.
func (s *TokenService) Introspect(ctx context.Context, accessToken string) (domain.AccessToken, error) {
	secret, err := s.parse(accessToken)
	if err != nil {
		return domain.AccessToken{}, err
	}
	token, err := s.cfg.Tokens.FindToken(ctx, secret.Hash())
	if domain.KindOf(err) == domain.KindNotFound || err == nil && !token.Active(s.cfg.Now()) {
		return domain.AccessToken{}, &domain.Error{
			Kind: domain.KindUnauthenticated, Code: domain.CodeInvalidToken,
			Message: "The access token is unknown, expired or revoked. Exchange a new ID token for another.",
		}
	}
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("find access token: %w", storeError(err))
	}
	return token, nil
}

// Verify returns the token when it may publish pkg now. A registry calls it at
// every upload, with the name of the very package that is in the upload. A token
// that is no good is KindUnauthenticated with CodeInvalidToken, one for other
// packages KindForbidden with CodePackageNotCovered.
func (s *TokenService) Verify(ctx context.Context, accessToken string, pkg domain.Package) (domain.AccessToken, error) {
	token, err := s.Introspect(ctx, accessToken)
	if err != nil {
		return domain.AccessToken{}, err
	}
	if !token.Allows(pkg, s.cfg.Now()) {
		return domain.AccessToken{}, &domain.Error{
			Kind: domain.KindForbidden, Code: domain.CodePackageNotCovered,
			Message: fmt.Sprintf("The access token does not cover the package %q. Configure its workflow as a publisher of that package.", pkg),
		}
	}
	return token, nil
}

// Revoke ends the life of a token now. A well-formed token that is unknown, or was
// expired or revoked already, is no error: there is nothing left to revoke. One
// that is malformed is KindUnauthenticated with CodeInvalidToken.
func (s *TokenService) Revoke(ctx context.Context, accessToken string) error {
	secret, err := s.parse(accessToken)
	if err != nil {
		return err
	}
	hash := secret.Hash()
	revoked, err := s.cfg.Tokens.RevokeToken(ctx, hash, s.cfg.Now().UTC())
	err = storeError(err)
	if revoked || err != nil {
		s.cfg.Auditor.Record(ctx, Event{Action: ActionRevoke, TokenHash: hexHash(hash), Err: err})
	}
	if err != nil {
		return fmt.Errorf("revoke access token: %w", err)
	}
	return nil
}
