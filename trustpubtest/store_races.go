package trustpubtest

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// race calls do in so many goroutines at once, in turn with each of the stores, and
// returns what each call returned.
func race(calls int, stores []Store, do func(i int, s Store) error) []error {
	errs := make([]error, calls)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			<-begin
			errs[i] = do(i, stores[i%len(stores)])
		})
	}
	close(begin)
	group.Wait()
	return errs
}

// successes returns how many calls succeeded, and asserts how all others failed.
func successes(t *testing.T, errs []error, kind domain.Kind, code domain.Code) int {
	t.Helper()
	count := 0
	for _, err := range errs {
		if err == nil {
			count++
			continue
		}
		requireError(t, err, kind, code)
	}
	return count
}

func testRace(t *testing.T, stores ...Store) {
	const calls = 64
	config := create(t, stores[0])
	claims := NewClaims(t)
	tokens := make([]domain.AccessToken, calls)
	for i := range tokens {
		tokens[i] = NewToken(claims, config)
	}

	errs := race(calls, stores, func(i int, s Store) error {
		return s.SaveToken(t.Context(), tokens[i], claims.UsedJTI(), nil)
	})

	require.Equal(t, 1, successes(t, errs, domain.KindRefused, domain.CodeAlreadyUsed))
	for i, err := range errs {
		if err != nil {
			requireNoToken(t, stores[0], tokens[i].Hash)
			continue
		}
		found, err := stores[0].FindToken(t.Context(), tokens[i].Hash)
		require.NoError(t, err)
		requireToken(t, tokens[i], found)
	}
}

func testConfigLimitRace(t *testing.T, stores ...Store) {
	var configs []domain.GitHubConfig
	for i := range 20 {
		configs = append(configs, NewGitHubConfig(t, inPackage("limited"), workflow(strconv.Itoa(i)+".yml")))
	}

	errs := race(len(configs), stores, func(i int, s Store) error {
		_, err := s.CreateConfig(t.Context(), configs[i], application.MaxConfigsPerPackage)
		return err
	})

	made := successes(t, errs, domain.KindConflict, domain.CodeTooManyConfigs)
	require.Equal(t, application.MaxConfigsPerPackage, made)
	page, err := stores[0].ListConfigs(t.Context(), application.ListQuery{Package: configs[0].Package(), Limit: 100})
	require.NoError(t, err)
	require.Equal(t, made, page.Total)
}

func testDuplicateRace(t *testing.T, stores ...Store) {
	config := NewGitHubConfig(t, inPackage("popular"))

	errs := race(20, stores, func(_ int, s Store) error {
		_, err := s.CreateConfig(t.Context(), config, application.MaxConfigsPerPackage)
		return err
	})

	require.Equal(t, 1, successes(t, errs, domain.KindConflict, domain.CodeDuplicateConfig))
}

func testRevokeRace(t *testing.T, stores ...Store) {
	token := save(t, stores[0], NewClaims(t))
	revoked := make([]bool, 20)

	errs := race(len(revoked), stores, func(i int, s Store) (err error) {
		revoked[i], err = s.RevokeToken(t.Context(), token.Hash, Now())
		return err
	})

	did := 0
	for i, err := range errs {
		require.NoError(t, err)
		if revoked[i] {
			did++
		}
	}
	require.Equal(t, 1, did)
}

func testPinRace(t *testing.T, stores ...Store) {
	const calls = 20
	config := create(t, stores[0], inPackage("pinned"))
	claims := make([]domain.Claims, calls)
	tokens := make([]domain.AccessToken, calls)
	for i := range calls {
		claims[i] = NewClaims(t)
		tokens[i] = NewToken(claims[i], config)
	}
	id := func(i int) map[string]string { return map[string]string{"repository_id": strconv.Itoa(i + 1)} }

	errs := race(calls, stores, func(i int, s Store) error {
		return s.SaveToken(t.Context(), tokens[i], claims[i].UsedJTI(), pinTo(config, id(i)))
	})

	require.Equal(t, 1, successes(t, errs, domain.KindUnavailable, domain.CodeStoreUnavailable))
	for i, err := range errs {
		if err == nil {
			requirePinned(t, stores[0], config, id(i))
			continue
		}
		requireNoToken(t, stores[0], tokens[i].Hash)
		require.NoError(t, stores[0].SaveToken(t.Context(), tokens[i], claims[i].UsedJTI(), nil), "the jti must not have been spent")
	}
}

// testSeenByAll has each store do what another did before, and look for the result
// with all of them.
func testSeenByAll(t *testing.T, stores ...Store) {
	for i, s := range stores {
		next := stores[(i+1)%len(stores)]
		config := create(t, s, inPackage("seen"))
		claims := NewClaims(t)
		token := save(t, s, claims, config)
		requireAlreadyUsed(t, next.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI(), nil))
		for _, other := range stores {
			found, err := other.FindConfigs(t.Context(), claims)
			require.NoError(t, err)
			require.Contains(t, ids(found), config.ID())
		}

		revoked, err := next.RevokeToken(t.Context(), token.Hash, Now())
		require.NoError(t, err)
		require.True(t, revoked)
		require.NoError(t, next.DeleteConfig(t.Context(), config.ID()))
		for _, other := range stores {
			found, err := other.FindToken(t.Context(), token.Hash)
			require.NoError(t, err)
			require.Equal(t, Now(), found.RevokedAt)
			require.Empty(t, found.Grants)
		}
	}
}
