package domain

import "time"

// Lifetimes of an access token. A client never chooses one.
const (
	// DefaultTokenTTL is the lifetime unless the operator sets another.
	DefaultTokenTTL = 30 * time.Minute
	// MinTokenTTL and MaxTokenTTL bound what an operator may set.
	MinTokenTTL = time.Minute
	MaxTokenTTL = time.Hour
)

// AccessToken is what a registry keeps of a token that it gave out: everything
// but the token.
type AccessToken struct {
	// Hash identifies the token.
	Hash TokenHash
	// Grants are the packages that it covers, with the configs that justify them. A
	// store returns only those whose config still exists.
	Grants []Grant
	// Issuer and Subject are those of the ID token that it was exchanged for.
	Issuer, Subject string
	// Publisher is the snapshot of the workload's claims, by the provider's names.
	Publisher Details
	// IssuedAt and ExpiresAt bound its life, in UTC.
	IssuedAt, ExpiresAt time.Time
	// RevokedAt is when it was revoked; zero when it was not.
	RevokedAt time.Time
}

// Mint returns the record of the token with that hash, which covers grants for
// the workload of claims from now on for ttl. Times are cut to whole seconds, so
// that a token never outlives what its client was told.
func Mint(hash TokenHash, grants []Grant, claims Claims, now time.Time, ttl time.Duration) AccessToken {
	issuedAt := now.UTC().Truncate(time.Second)
	return AccessToken{
		Hash:      hash,
		Grants:    grants,
		Issuer:    claims.Issuer(),
		Subject:   claims.Subject(),
		Publisher: claims.Details().With("provider", claims.Provider()),
		IssuedAt:  issuedAt,
		ExpiresAt: issuedAt.Add(ttl),
	}
}

// Active reports whether the token is good for anything at now: not revoked, not
// expired, and with a grant left.
func (t AccessToken) Active(now time.Time) bool {
	return t.RevokedAt.IsZero() && now.Before(t.ExpiresAt) && len(t.Grants) > 0
}

// Allows reports whether the token may publish p at now.
func (t AccessToken) Allows(p Package, now time.Time) bool {
	return t.Active(now) && covers(t.Grants, p)
}

// Packages returns the packages that the token covers, sorted, each once.
func (t AccessToken) Packages() []Package {
	packages := make([]Package, 0, len(t.Grants))
	for _, g := range t.Grants {
		packages = append(packages, g.Package)
	}
	return distinct(packages)
}
