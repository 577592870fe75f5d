package postgres_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// sizes notes how many calls went together.
type sizes struct {
	mu      sync.Mutex
	largest map[string]int
	sum     map[string]int
}

func (s *sizes) observe(_ context.Context, operation string, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.largest[operation] = max(s.largest[operation], size)
	s.sum[operation] += size
}

func TestConcurrentCallsShareStatements(t *testing.T) {
	const calls = 300
	seen := callAtOnce(t, calls)
	for _, operation := range []string{"find_configs", "save_token", "find_token"} {
		require.Greater(t, seen.largest[operation], 1, operation)
		require.GreaterOrEqual(t, seen.sum[operation], calls, operation)
	}
}

func TestCallsOfAnUnsharedStoreMakeStatementsOfTheirOwn(t *testing.T) {
	const calls = 100
	seen := callAtOnce(t, calls, postgres.Unshared())
	for _, operation := range []string{"find_configs", "save_token", "find_token"} {
		require.Equal(t, 1, seen.largest[operation], operation)
		require.Equal(t, calls, seen.sum[operation], operation)
	}
}

// callAtOnce makes that many calls of each operation of a store, at a time, and returns
// how many went together.
func callAtOnce(t *testing.T, calls int, options ...postgres.Option) *sizes {
	t.Helper()
	base, _ := newDatabase(t)
	seen := &sizes{largest: map[string]int{}, sum: map[string]int{}}
	store := postgres.NewStore(postgrestest.Open(t, base), append(options, postgres.ObserveBatches(seen.observe))...)
	var configs []domain.Config
	for i := range 5 {
		config, err := store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) {
			p.Package.Name, p.Repository = "p"+strconv.Itoa(i), `r-`+strconv.Itoa(i)
		}), 5)
		require.NoError(t, err)
		configs = append(configs, config)
	}

	var group sync.WaitGroup
	for i := range calls {
		config := configs[i%len(configs)]
		// Quotes and backslashes are what an array in SQL has to escape.
		claims := trustpubtest.NewClaims(t, func(r *domain.Registered, w *domain.Workload) {
			r.Subject, w.Key = `"\{,}' `+strconv.Itoa(i), config.Common().Key
		})
		group.Go(func() {
			found, err := store.FindConfigs(t.Context(), claims)
			if err != nil || len(found) != 1 || found[0].Common().ID != config.Common().ID {
				t.Errorf("found %v: %v", found, err)
				return
			}
			token := trustpubtest.NewToken(claims, config)
			err = store.SaveToken(t.Context(), token, claims.UsedJTI(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			stored, err := store.FindToken(t.Context(), token.Hash)
			if err != nil || stored.Subject != token.Subject || len(stored.Grants) != 1 {
				t.Errorf("stored %v: %v", stored, err)
			}
		})
	}
	group.Wait()
	return seen
}
