package trustpubtest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func testTokenRoundTrip(t *testing.T, s Store) {
	var configs []domain.Config
	for i := range 4 {
		name := inPackage("p" + strconv.Itoa(i))
		configs = append(configs, create(t, s, name), create(t, s, name, environment("prod")))
	}
	for _, claims := range []domain.Claims{
		NewClaims(t),
		NewClaims(t, func(r *domain.Registered, w *domain.Workload) {
			r.Subject = "repo:ünï/☃:environment:a\"b\\c'd"
			r.Issuer, r.JWTID = "https://ghes.example/_services/token", "'; -- \u2028 "+strings.Repeat("é", 100)
			w.Details = domain.NewDetails(map[string]string{"ref": "refs/heads/日本\"'\\<&>", "empty": "", "sha": strings.Repeat("f", 1000), "ünï": "x"})
		}),
		NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Details = domain.Details{} }),
	} {
		token := save(t, s, claims, configs...)

		found, err := s.FindToken(t.Context(), token.Hash)

		require.NoError(t, err)
		requireToken(t, token, found)
		require.Equal(t, time.UTC, found.IssuedAt.Location())
		require.Equal(t, time.UTC, found.ExpiresAt.Location())
		requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims), claims.UsedJTI(), nil))
	}
}

func testUnknownToken(t *testing.T, s Store) {
	requireNoToken(t, s, domain.TokenHash{})
	save(t, s, NewClaims(t))
	requireNoToken(t, s, domain.TokenHash{1})
}

func testTokenIsolation(t *testing.T, s Store) {
	token := save(t, s, NewClaims(t), create(t, s), create(t, s, inPackage("second")))
	want := token
	want.Grants = slices.Clone(token.Grants)
	spoil := func(t domain.AccessToken) { t.Grants[0].Package.Name = "stolen" }

	spoil(token)
	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	requireToken(t, want, found)

	spoil(found)
	found, err = s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	requireToken(t, want, found)
}

func testJTIPerIssuer(t *testing.T, s Store) {
	claims := NewClaims(t, func(r *domain.Registered, _ *domain.Workload) { r.JWTID = "Jti" })
	for _, jti := range []domain.UsedJTI{
		{Issuer: Issuer, ID: "Jti"},
		{Issuer: "https://ghes.example", ID: "Jti"},
		{Issuer: Issuer, ID: "jti"},
		{Issuer: Issuer, ID: "Jti "},
		{Issuer: Issuer + "J", ID: "ti"},
	} {
		jti.ExpiresAt = claims.UsedJTI().ExpiresAt
		require.NoError(t, s.SaveToken(t.Context(), NewToken(claims), jti, nil), "%q is another", jti)
		requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims), jti, nil))
	}
}

func testSecondToken(t *testing.T, s Store) {
	claims := NewClaims(t)
	first, second := save(t, s, claims), NewToken(claims)

	requireAlreadyUsed(t, s.SaveToken(t.Context(), second, claims.UsedJTI(), nil))

	requireNoToken(t, s, second.Hash)
	found, err := s.FindToken(t.Context(), first.Hash)
	require.NoError(t, err)
	requireToken(t, first, found)
}

func testExpiredRecord(t *testing.T, s Store) {
	claims := NewClaims(t)
	jti := claims.UsedJTI()
	jti.ExpiresAt = time.Unix(1, 0)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims), jti, nil))

	requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims), claims.UsedJTI(), nil))
}

func testRepeatedSave(t *testing.T, s Store) {
	claims := NewClaims(t)
	token := save(t, s, claims, create(t, s))
	for range 3 {
		require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), nil))
	}

	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	requireToken(t, token, found)
	requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims), claims.UsedJTI(), nil))
}

func testTakenHash(t *testing.T, s Store) {
	first, second := NewClaims(t), NewClaims(t)
	token := save(t, s, first)
	taken := NewToken(second)
	taken.Hash = token.Hash

	requireFault(t, s.SaveToken(t.Context(), taken, second.UsedJTI(), nil))

	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	requireToken(t, token, found)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(second), second.UsedJTI(), nil), "the jti must not have been spent")
}

func testRevoke(t *testing.T, s Store) {
	claims := NewClaims(t)
	token, other := save(t, s, claims, create(t, s)), save(t, s, NewClaims(t))
	moment := Now().Add(time.Minute)

	for i, want := range []bool{true, false, false} {
		revoked, err := s.RevokeToken(t.Context(), token.Hash, moment.Add(time.Duration(i)*time.Hour))
		require.NoError(t, err)
		require.Equal(t, want, revoked)
	}
	revoked, err := s.RevokeToken(t.Context(), domain.TokenHash{1}, moment)
	require.NoError(t, err)
	require.False(t, revoked, "the token is unknown")

	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	token.RevokedAt = moment
	requireToken(t, token, found)
	found, err = s.FindToken(t.Context(), other.Hash)
	require.NoError(t, err)
	requireToken(t, other, found)
	requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims), claims.UsedJTI(), nil))
}

func testDeletedConfig(t *testing.T, s Store) {
	configs := []domain.Config{create(t, s), create(t, s, environment("prod")), create(t, s, inPackage("other"))}
	token := save(t, s, NewClaims(t), configs...)

	for i, config := range configs {
		require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
		found, err := s.FindToken(t.Context(), token.Hash)
		require.NoError(t, err)
		want := token
		want.Grants = token.Grants[i+1:]
		requireToken(t, want, found)
	}
}

func testDeletedBeforeSave(t *testing.T, s Store) {
	config := create(t, s)
	require.NoError(t, s.DeleteConfig(t.Context(), config.ID()))
	token := save(t, s, NewClaims(t), config)
	again := create(t, s) // The same values under another ID.
	require.NotEqual(t, config.ID(), again.ID())

	found, err := s.FindToken(t.Context(), token.Hash)

	require.NoError(t, err)
	require.Empty(t, found.Grants)
}

func testForeignGrant(t *testing.T, s Store) {
	claims := NewClaims(t)
	token := NewToken(claims, create(t, s))
	foreign := token.Grants[0]
	foreign.Provider = "other"
	token.Grants = append(token.Grants, foreign)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), nil))

	found, err := s.FindToken(t.Context(), token.Hash)

	require.NoError(t, err)
	token.Grants = token.Grants[:1]
	requireToken(t, token, found)
}
