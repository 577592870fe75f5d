package domain_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestMintRecordsTheWorkloadAndBoundsTheLife(t *testing.T) {
	claims := trustpubtest.NewClaims(t)
	grants := []domain.Grant{grant("b", 2), grant("a", 1)}
	now := time.Date(2026, 11, 23, 14, 0, 0, 999_999_999, time.FixedZone("CET", 3600))

	token := domain.Mint(domain.TokenHash{1}, grants, claims, now, 30*time.Minute)

	require.Empty(t, cmp.Diff(domain.AccessToken{
		Hash: domain.TokenHash{1}, Grants: grants, Issuer: trustpubtest.Issuer, Subject: claims.Subject(),
		Publisher: domain.NewDetails(map[string]string{"provider": "github", "repository": "octo-org/octo-repo", "run_id": "1234567890"}),
		IssuedAt:  time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC),
		ExpiresAt: time.Date(2026, 11, 23, 13, 30, 0, 0, time.UTC),
	}, token))
	require.Equal(t, time.UTC, token.IssuedAt.Location())
	require.Equal(t, time.UTC, token.ExpiresAt.Location())
	require.NotContains(t, claims.Details().Map(), "provider", "the claims are unchanged")
}

func TestMintNamesTheProviderWhateverTheClaimsSay(t *testing.T) {
	tests := []struct {
		name    string
		details map[string]string
	}{
		{"no details", nil},
		{"a detail of that name", map[string]string{"provider": "evil"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Details = domain.NewDetails(tt.details) })

			token := domain.Mint(domain.TokenHash{}, nil, claims, trustpubtest.Now(), time.Minute)

			require.Equal(t, map[string]string{"provider": "github"}, token.Publisher.Map())
		})
	}
}

func TestATokenIsActiveUntilItExpiresIsRevokedOrHasNoGrantLeft(t *testing.T) {
	now := trustpubtest.Now()
	token := domain.Mint(domain.TokenHash{}, []domain.Grant{grant("a", 1)}, trustpubtest.NewClaims(t), now, time.Minute)
	tests := []struct {
		name   string
		change func(*domain.AccessToken)
		at     time.Time
		want   bool
	}{
		{"at once", nil, now, true},
		{"before it was issued, on a replica whose clock is behind", nil, now.Add(-time.Second), true},
		{"just before it expires", nil, now.Add(time.Minute - 1), true},
		{"when it expires", nil, now.Add(time.Minute), false},
		{"after it expired", nil, now.Add(time.Hour), false},
		{"revoked", func(a *domain.AccessToken) { a.RevokedAt = now }, now.Add(time.Second), false},
		{"revoked later, by another replica's clock", func(a *domain.AccessToken) { a.RevokedAt = now.Add(time.Second) }, now, false},
		{"no grant left", func(a *domain.AccessToken) { a.Grants = nil }, now, false},
		{"the zero value", func(a *domain.AccessToken) { *a = domain.AccessToken{} }, time.Time{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := token
			if tt.change != nil {
				tt.change(&token)
			}

			require.Equal(t, tt.want, token.Active(tt.at))
			require.Equal(t, tt.want, token.Allows(cargo("a"), tt.at))
		})
	}
}

func TestATokenAllowsExactlyItsPackages(t *testing.T) {
	now := trustpubtest.Now()
	token := domain.Mint(domain.TokenHash{}, []domain.Grant{grant("a", 1), grant("serde-json", 2)}, trustpubtest.NewClaims(t), now, time.Minute)

	require.True(t, token.Allows(cargo("a"), now))
	require.True(t, token.Allows(cargo("serde-json"), now))
	for _, p := range []domain.Package{
		{},
		cargo(""), cargo("A"), cargo("aa"), cargo("b"), cargo("serde_json"), cargo("Serde-json"), cargo("serde"),
		{Ecosystem: "npm", Name: "a"},
		{Ecosystem: "CARGO", Name: "a"},
		{Name: "a"},
	} {
		require.False(t, token.Allows(p, now), "%v", p)
	}
}

func TestATokenListsItsPackagesOnceSorted(t *testing.T) {
	npm := domain.Grant{Package: domain.Package{Ecosystem: "npm", Name: "a"}, Provider: "github", ConfigID: 9}
	token := domain.AccessToken{Grants: []domain.Grant{npm, grant("b", 2), grant("a", 1), grant("b", 3)}}

	require.Equal(t, []domain.Package{cargo("a"), cargo("b"), npm.Package}, token.Packages())
	require.Equal(t, []domain.Grant{npm, grant("b", 2), grant("a", 1), grant("b", 3)}, token.Grants, "the grants are unchanged")
	require.Equal(t, []domain.Package{}, domain.AccessToken{}.Packages())
}
