package oidc

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// MaxLeeway is the most clock skew that may be allowed for.
const MaxLeeway = 120 * time.Second

// maxLifetime is the longest that exp may lie after iat. The longest-lived ID
// tokens of a CI provider live as long as a job may run.
const maxLifetime = 24 * time.Hour

// Provider is what differs from one CI system to the next. Implementations are
// safe for concurrent use.
type Provider interface {
	// Issuer returns the issuer URL, which an ID token's iss must equal byte for byte.
	Issuer() string
	// Algorithms returns the JWS algorithms that the provider signs with. None is
	// symmetric.
	Algorithms() []string
	// HasJWTID reports whether ID tokens have a jti (RFC 7519 section 4.1.7). Where
	// they have none, the SHA-256 of the JWS signing input tells one from another: not
	// of the whole token, as an ECDSA signature can be changed into another valid one.
	HasJWTID() bool
	// Workload reads the provider's own claims from a payload whose signature and
	// registered claims have been verified. Refusals are *domain.Error of
	// KindRefused.
	Workload(raw domain.RawClaims) (domain.Workload, error)
}

// KeySet finds the public keys of one issuer. Implementations are safe for
// concurrent use. They need not look at algorithm, issuer or audience.
type KeySet interface {
	// Key returns the key with that ID. A key that the issuer does not have is
	// KindRefused with CodeUnknownKey; when it can't be told, the error is
	// KindUnavailable with CodeKeysUnavailable.
	Key(ctx context.Context, keyID string) (crypto.PublicKey, error)
}

// Source is an issuer whose ID tokens are accepted, with its keys.
type Source struct {
	Provider Provider
	Keys     KeySet
}

// VerifierConfig holds what a [Verifier] needs.
type VerifierConfig struct {
	// Audience is the aud that an ID token must carry. It must not be empty.
	Audience string
	// Leeway is the clock skew allowed for in exp, nbf and iat, up to MaxLeeway.
	// Zero allows for none.
	Leeway time.Duration
	// Now is the clock.
	Now func() time.Time
	// Sources are the enabled issuers. Without any, every ID token is refused.
	Sources []Source
}

// Verifier implements [application.Verifier]. It is safe for concurrent use, and
// takes no lock.
type Verifier struct {
	audience string
	leeway   time.Duration
	now      func() time.Time
	sources  map[string]source
}

type source struct {
	Source

	algorithms []algorithm
}

var _ application.Verifier = (*Verifier)(nil)

// NewVerifier checks cfg and returns the verifier.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	switch {
	case cfg.Audience == "":
		return nil, errors.New("oidc: verifier needs an audience")
	case cfg.Now == nil:
		return nil, errors.New("oidc: verifier needs a clock")
	case cfg.Leeway < 0, cfg.Leeway > MaxLeeway:
		return nil, fmt.Errorf("oidc: leeway %s is not within 0s and %s", cfg.Leeway, MaxLeeway)
	}
	v := &Verifier{audience: cfg.Audience, leeway: cfg.Leeway, now: cfg.Now, sources: map[string]source{}}
	for _, s := range cfg.Sources {
		err := v.add(s)
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *Verifier) add(s Source) error {
	if s.Provider == nil || s.Keys == nil {
		return errors.New("oidc: source needs a provider and keys")
	}
	issuer := s.Provider.Issuer()
	err := domain.ValidateIssuer(issuer)
	if err != nil {
		return fmt.Errorf("oidc: %w", err)
	}
	if _, twice := v.sources[issuer]; twice {
		return fmt.Errorf("oidc: the issuer %q is given twice", issuer)
	}
	algorithms, err := asymmetric(s.Provider.Algorithms())
	if err != nil {
		return fmt.Errorf("oidc: issuer %q: %w", issuer, err)
	}
	v.sources[issuer] = source{Source: s, algorithms: algorithms}
	return nil
}

// asymmetric returns the algorithms of names, none of which may be symmetric,
// unsigned or unknown: with HS256, an attacker's "secret" would be the public key.
func asymmetric(names []string) ([]algorithm, error) {
	if len(names) == 0 {
		return nil, errors.New("no signature algorithm is accepted")
	}
	algorithms := make([]algorithm, 0, len(names))
	for _, name := range names {
		a, err := newAlgorithm(name)
		if err != nil {
			return nil, err
		}
		algorithms = append(algorithms, a)
	}
	return algorithms, nil
}

// Verify implements [application.Verifier]. Its order is that of the checks: form,
// issuer, header, key, signature, registered claims, the provider's claims.
func (v *Verifier) Verify(ctx context.Context, idToken string) (domain.Claims, error) {
	token, err := parse(idToken)
	if err != nil {
		return domain.Claims{}, err
	}
	source, ok := v.sources[token.claims.issuer()]
	if !ok {
		return domain.Claims{}, domain.Refuse(domain.CodeUnsupportedIssuer,
			"The issuer %q of the ID token is not enabled at this registry. Run the job at a CI provider that the registry supports.", printable(token.claims.issuer()))
	}
	algorithm, err := token.header.check(source.algorithms)
	if err != nil {
		return domain.Claims{}, err
	}
	key, err := source.Keys.Key(ctx, token.header.keyID)
	if err != nil {
		return domain.Claims{}, err
	}
	raw, err := token.verify(algorithm, key)
	if err != nil {
		return domain.Claims{}, err
	}
	registered, err := v.registered(raw, token.id(source.Provider))
	if err != nil {
		return domain.Claims{}, err
	}
	workload, err := source.Provider.Workload(raw)
	if err != nil {
		return domain.Claims{}, err
	}
	return domain.NewClaims(registered, workload)
}
