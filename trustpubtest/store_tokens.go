package trustpubtest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func testTokenRoundTrip(t *testing.T, s Store) {
	first, second := create(t, s), create(t, s, environment("prod"))
	claims := NewClaims(t, func(r *domain.Registered, w *domain.Workload) {
		r.Subject = "repo:ünï/☃:environment:a\"b\\c'd"
		w.Details = map[string]string{"ref": "refs/heads/日本\"'\\", "empty": "", "sha": strings.Repeat("f", 1000)}
	})
	token := NewToken(claims, first, second)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))

	found, err := s.FindToken(t.Context(), token.Hash)

	require.NoError(t, err)
	require.Empty(t, cmp.Diff(token, found))
	require.Equal(t, time.UTC, found.ExpiresAt.Location())
}

func testUnknownToken(t *testing.T, s Store) {
	_, err := s.FindToken(t.Context(), domain.TokenHash{1})
	requireKind(t, err, domain.KindNotFound, domain.CodeNotFound)
}

// testRace saves 64 tokens for one jti at once, in turn with each of the stores.
func testRace(t *testing.T, stores ...Store) {
	const calls = 64
	config := create(t, stores[0])
	claims := NewClaims(t)
	tokens := make([]domain.AccessToken, calls)
	errs := make([]error, calls)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range calls {
		tokens[i] = NewToken(claims, config)
		group.Go(func() {
			<-begin
			errs[i] = stores[i%len(stores)].SaveToken(t.Context(), tokens[i], claims.UsedJTI())
		})
	}
	close(begin)
	group.Wait()

	succeeded := 0
	for i, err := range errs {
		_, findErr := stores[0].FindToken(t.Context(), tokens[i].Hash)
		if err == nil {
			succeeded++
			require.NoError(t, findErr)
			continue
		}
		requireKind(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
		requireKind(t, findErr, domain.KindNotFound, domain.CodeNotFound)
	}
	require.Equal(t, 1, succeeded)
}

func testJTIPerIssuer(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	jti := claims.UsedJTI()
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), jti))

	jti.Issuer = "https://ghes.example"
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), jti))
	jti.ID = strings.ToLower(jti.ID)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), jti), "a jti compares byte for byte")
}

func testSecondToken(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	first, second := NewToken(claims, config), NewToken(claims, config)
	require.NoError(t, s.SaveToken(t.Context(), first, claims.UsedJTI()))

	requireKind(t, s.SaveToken(t.Context(), second, claims.UsedJTI()), domain.KindRefused, domain.CodeAlreadyUsed)

	_, err := s.FindToken(t.Context(), second.Hash)
	requireKind(t, err, domain.KindNotFound, domain.CodeNotFound)
	_, err = s.FindToken(t.Context(), first.Hash)
	require.NoError(t, err)
}

func testExpiredRecord(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	jti := claims.UsedJTI()
	jti.ExpiresAt = time.Unix(1, 0)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), jti))

	jti.ExpiresAt = time.Now().Add(time.Hour)
	requireKind(t, s.SaveToken(t.Context(), NewToken(claims, config), jti), domain.KindRefused, domain.CodeAlreadyUsed)
}

func testRepeatedSave(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	for range 3 {
		require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))
	}
	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(token, found))
}

func testTakenHash(t *testing.T, s Store) {
	config := create(t, s)
	first, second := NewClaims(t), NewClaims(t)
	token := NewToken(first, config)
	require.NoError(t, s.SaveToken(t.Context(), token, first.UsedJTI()))

	requireFault(t, s.SaveToken(t.Context(), token, second.UsedJTI()))

	require.NoError(t, s.SaveToken(t.Context(), NewToken(second, config), second.UsedJTI()), "the jti must not have been spent")
}

func testRevoke(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))
	moment := Now().Add(time.Minute)

	for i, want := range []bool{true, false} {
		revoked, err := s.RevokeToken(t.Context(), token.Hash, moment.Add(time.Duration(i)*time.Hour))
		require.NoError(t, err)
		require.Equal(t, want, revoked)
	}
	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	require.Equal(t, moment, found.RevokedAt)
	revoked, err := s.RevokeToken(t.Context(), domain.TokenHash{1}, moment)
	require.NoError(t, err)
	require.False(t, revoked)
	requireKind(t, s.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI()), domain.KindRefused, domain.CodeAlreadyUsed)
}

func testDeletedConfig(t *testing.T, s Store) {
	first, second := create(t, s), create(t, s, environment("prod"))
	other := create(t, s, inPackage("other"))
	claims := NewClaims(t)
	token := NewToken(claims, first, second, other)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))

	for i, config := range []domain.GitHubConfig{first, second, other} {
		require.NoError(t, s.DeleteGitHubConfig(t.Context(), config.ID()))
		found, err := s.FindToken(t.Context(), token.Hash)
		require.NoError(t, err)
		require.ElementsMatch(t, token.Grants[i+1:], found.Grants)
	}
}

func testDeletedBeforeSave(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	require.NoError(t, s.DeleteGitHubConfig(t.Context(), config.ID()))
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))
	create(t, s) // The same config again, which has another ID.

	found, err := s.FindToken(t.Context(), token.Hash)

	require.NoError(t, err)
	require.Empty(t, found.Grants)
}
