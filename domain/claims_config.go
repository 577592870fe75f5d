package domain

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of a [ClaimsConfig].
const (
	maxConfigClaims = 16
	maxClaimValues  = 16
)

// ClaimsConfigParams are the values of a [ClaimsConfig], before they are checked.
type ClaimsConfigParams struct {
	// ID is the store's; zero before it was stored.
	ID int64
	// CreatedAt is when it was made.
	CreatedAt time.Time
	// Package is what the workload may publish.
	Package Package
	// Provider is the name of the [Definition] whose ID tokens the config trusts, and
	// Issuer the one issuer.
	Provider, Issuer string
	// Key is what the config is looked up by, and Source names its workload in a
	// refusal; [Definition.Complete] makes both.
	Key, Source string
	// Claims are the values that the ID token must have, by claim. Of a claim that is
	// a list it must have all of them; of any other there is one.
	Claims map[string][]string
	// Pinned are the immutable IDs that the workload must have; see [Common].
	Pinned map[string]string
}

// About implements [ConfigParams].
func (p ClaimsConfigParams) About() (provider, issuer string, pkg Package) {
	return p.Provider, p.Issuer, p.Package
}

// Fresh implements [ConfigParams].
func (p ClaimsConfigParams) Fresh(issuer string, now time.Time) ConfigParams {
	p.ID, p.Issuer, p.CreatedAt = 0, issuer, now
	p.Pinned = nil
	return p
}

// Config implements [ConfigParams].
func (p ClaimsConfigParams) Config() (Config, error) {
	config, err := NewClaimsConfig(p)
	if err != nil {
		return nil, err
	}
	return config, nil
}

// ClaimsConfig is a package's trust in the workloads whose ID tokens have certain
// claims. It serves the providers that are described by a [Definition] and have no
// kind of config of their own. It can't be changed once made, and is safe for
// concurrent use.
type ClaimsConfig struct {
	config

	source string
	claims map[string][]string
}

// NewClaimsConfig validates what [Definition.Complete] made and returns the config.
// Errors are of [KindInvalid] with [CodeInvalidConfig].
func NewClaimsConfig(p ClaimsConfigParams) (ClaimsConfig, error) {
	switch {
	case !validProviderName(p.Provider), ConfigKindFor(p.Provider) != KindClaimsConfig:
		return ClaimsConfig{}, Invalid(CodeInvalidConfig, "The provider %s has no publishers that are made of claims.", quote(p.Provider))
	case p.Key == "" || p.Source == "":
		return ClaimsConfig{}, Invalid(CodeInvalidConfig, "The publisher was not completed by its provider's definition.")
	}
	err := validConfigClaims(p.Claims)
	if err != nil {
		return ClaimsConfig{}, err
	}
	base, err := newConfig(Common{
		ID: p.ID, CreatedAt: p.CreatedAt, Package: p.Package,
		Provider: p.Provider, Issuer: p.Issuer, Key: p.Key, Pinned: p.Pinned,
	})
	if err != nil {
		return ClaimsConfig{}, err
	}
	return ClaimsConfig{config: base, source: p.Source, claims: cloneClaims(p.Claims)}, nil
}

// validConfigClaims checks the form of the claims of a config.
func validConfigClaims(claims map[string][]string) error {
	if len(claims) == 0 || len(claims) > maxConfigClaims {
		return Invalid(CodeInvalidConfig, "A publisher needs 1 to %d claims.", maxConfigClaims)
	}
	for name, values := range claims {
		if len(values) == 0 || len(values) > maxClaimValues {
			return Invalid(CodeInvalidConfig, "The claim %s needs 1 to %d values.", quote(name), maxClaimValues)
		}
		for _, value := range values {
			if value == "" || len(value) > maxLength || hasControl(value) || value != strings.TrimSpace(value) {
				return Invalid(CodeInvalidConfig, "The value %s of the claim %s is not valid. Use 1 to %d bytes without control characters and without leading or trailing space.", quote(value), quote(name), maxLength)
			}
		}
	}
	return nil
}

// Stored implements [Config].
func (c ClaimsConfig) Stored(id int64, pinned map[string]string) Config {
	c.config = c.stored(id, pinned)
	return c
}

// Identity implements [Config].
func (c ClaimsConfig) Identity() string {
	values := []string{c.common.Provider, c.Issuer()}
	for _, name := range slices.Sorted(maps.Keys(c.claims)) {
		values = append(values, name)
		values = append(values, slices.Compact(slices.Sorted(slices.Values(c.claims[name])))...)
		values = append(values, "")
	}
	return identity(values...)
}

// Source names the workload in a refusal.
func (c ClaimsConfig) Source() string { return c.source }

// Claims returns a copy of the values that the ID token must have, by claim.
func (c ClaimsConfig) Claims() map[string][]string { return cloneClaims(c.claims) }

// Match implements [Config]. Each claim of the config compares byte for byte with
// what the provider's definition makes of the ID token's, which has the one case
// where the claim has none.
func (c ClaimsConfig) Match(claims Claims) *Mismatch {
	miss := c.matchSource(claims, c.source)
	if miss != nil {
		return miss
	}
	miss = c.matchPins(claims)
	if miss != nil {
		return miss
	}
	for _, name := range slices.Sorted(maps.Keys(c.claims)) {
		got := claims.Fact(name)
		for _, want := range c.claims[name] {
			if !slices.Contains(got, want) {
				return &Mismatch{Rule: RuleClaim, Got: showFact(name, got), Expected: showFact(name, []string{want})}
			}
		}
	}
	return nil
}

func showFact(name string, values []string) string {
	if len(values) == 0 {
		return "no " + name
	}
	shown := make([]string, 0, len(values))
	for _, v := range values[:min(len(values), maxClaimValues)] {
		shown = append(shown, quote(v))
	}
	if len(values) > maxClaimValues {
		shown = append(shown, "…")
	}
	return name + " " + strings.Join(shown, ", ")
}

func cloneClaims(claims map[string][]string) map[string][]string {
	clone := make(map[string][]string, len(claims))
	for name, values := range claims {
		clone[name] = slices.Clone(values)
	}
	return clone
}
