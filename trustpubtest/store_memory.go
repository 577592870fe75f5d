package trustpubtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// MemoryStore is a store that remembers look-ups.
type MemoryStore interface {
	Store
	application.ConfigMemory
}

// TestConfigMemory checks that a store which remembers look-ups keeps what
// [application.ConfigMemory] promises. newStores is called once per sub-test and returns
// two stores on one empty database, as two replicas have them.
func TestConfigMemory(t *testing.T, newStores func(t *testing.T) (one, other MemoryStore)) {
	t.Helper()
	run := func(name string, test func(t *testing.T, one, other MemoryStore)) {
		t.Run(name, func(t *testing.T) {
			one, other := newStores(t)
			test(t, one, other)
		})
	}
	run("what was never looked up is not remembered", testNothingRemembered)
	run("what was looked up is recalled, and saves tokens", testRecall)
	run("of 64 calls with one jti exactly one succeeds, recalled or not", testRecallRace)
	run("whatever has changed, a token is not saved and its jti not spent", testOutdated)
	run("of many calls at once those that are outdated refuse only themselves", testOutdatedAmongMany)
	run("a call that is repeated with its own hash has succeeded, whatever has changed", testRepeatedRecall)
	run("what was never recalled is outdated", testSaveUnrecalled)
	run("an ended context is an error and changes nothing", testEndedRecall)
}

// recall looks the configs of claims up and recalls them.
func recall(t *testing.T, s MemoryStore, claims domain.Claims) application.Recalled {
	t.Helper()
	found, err := s.FindConfigs(t.Context(), claims)
	require.NoError(t, err)
	recalled, ok := s.RecallConfigs(claims)
	require.True(t, ok)
	requireConfigs(t, found, recalled.Configs)
	return recalled
}

func testNothingRemembered(t *testing.T, one, other MemoryStore) {
	config := create(t, one)
	claims := NewClaims(t)
	_, ok := one.RecallConfigs(claims)
	require.False(t, ok, "making a config is no look-up")
	recall(t, other, claims)
	_, ok = one.RecallConfigs(claims)
	require.False(t, ok, "each store has a memory of its own")

	// That there is none may change at any moment, and must be noticed then.
	require.NoError(t, one.DeleteConfig(t.Context(), config.ID()))
	_, err := one.FindConfigs(t.Context(), claims)
	require.NoError(t, err)
	_, ok = one.RecallConfigs(claims)
	require.False(t, ok)

	// Of a workload that was renamed nothing is known by its new name.
	create(t, one, func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "74"} })
	renamed := NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
		w.Repository.Name, w.IDs = "renamed", map[string]string{"repository_id": "74"}
	})
	found, err := one.FindConfigs(t.Context(), renamed)
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, ok = one.RecallConfigs(renamed)
	require.False(t, ok)
}

func testRecall(t *testing.T, one, other MemoryStore) {
	of := map[string]struct {
		config domain.Config
		change func(*domain.Registered, *domain.Workload)
	}{
		"github": {store(t, other, NewGitHubConfig(t, func(p *domain.GitHubConfigParams) {
			p.Pinned = map[string]string{"repository_id": "74"}
		})), func(*domain.Registered, *domain.Workload) {}},
		"gitlab": {store(t, other, NewGitLabConfig(t)), func(r *domain.Registered, w *domain.Workload) {
			r.Issuer, w.Provider = "https://gitlab.com", domain.ProviderGitLab
			w.Repository = domain.Repository{Owner: "octo-group/tools", Name: "octo-project"}
		}},
		"claims": {store(t, other, NewClaimsConfig(t)), func(r *domain.Registered, w *domain.Workload) {
			r.Issuer, w.Provider, w.Key, w.Source = "https://agent.buildkite.com", "buildkite", "sha256:octo", "organization_slug=octo"
		}},
	}
	// Those of another issuer or provider with the same key are another matter.
	create(t, other, func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example" })
	store(t, other, NewClaimsConfig(t, func(p *domain.ClaimsConfigParams) { p.Issuer, p.Key = Issuer, "octo-org/octo-repo" }))
	for name, tt := range of {
		recalled := recall(t, one, NewClaims(t, tt.change))
		require.Equal(t, tt.config.Common().ID, recalled.Configs[0].Common().ID, name)
		for range 3 {
			claims := NewClaims(t, tt.change)
			token := NewToken(claims, tt.config)
			require.NoError(t, one.SaveRecalled(t.Context(), token, claims, recalled), name)
			found, err := other.FindToken(t.Context(), token.Hash)
			require.NoError(t, err, name)
			requireToken(t, token, found)
			requireAlreadyUsed(t, one.SaveRecalled(t.Context(), NewToken(claims, tt.config), claims, recalled))
			requireAlreadyUsed(t, other.SaveToken(t.Context(), NewToken(claims, tt.config), claims.UsedJTI(), nil))
		}
		again, ok := one.RecallConfigs(NewClaims(t, tt.change))
		require.True(t, ok, name)
		requireConfigs(t, recalled.Configs, again.Configs)
	}
}

func testRecallRace(t *testing.T, one, other MemoryStore) {
	const calls = 64
	config := create(t, one)
	claims := NewClaims(t)
	recalled := map[MemoryStore]application.Recalled{one: recall(t, one, claims), other: recall(t, other, claims)}
	tokens := make([]domain.AccessToken, calls)
	for i := range tokens {
		tokens[i] = NewToken(claims, config)
	}

	errs := race(calls, []Store{one, other}, func(i int, s Store) error {
		if i%4 < 2 { // Both stores do both.
			return s.SaveToken(t.Context(), tokens[i], claims.UsedJTI(), nil)
		}
		memory := s.(MemoryStore)
		return memory.SaveRecalled(t.Context(), tokens[i], claims, recalled[memory])
	})

	require.Equal(t, 1, successes(t, errs, domain.KindRefused, domain.CodeAlreadyUsed))
	for i, err := range errs {
		if err != nil {
			requireNoToken(t, one, tokens[i].Hash)
		}
	}
}

// configChanges are all the ways in which configs change.
func configChanges() map[string]func(t *testing.T, s Store, config domain.Config) {
	return map[string]func(t *testing.T, s Store, config domain.Config){
		"deleted": func(t *testing.T, s Store, config domain.Config) {
			require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
		},
		"deleted and made again": func(t *testing.T, s Store, config domain.Config) {
			require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
			create(t, s)
		},
		"another one made": func(t *testing.T, s Store, _ domain.Config) { create(t, s, inPackage("second")) },
		"another one made that trusts another workflow": func(t *testing.T, s Store, _ domain.Config) {
			create(t, s, workflow("other.yml"))
		},
		"pinned": func(t *testing.T, s Store, config domain.Config) {
			claims := NewClaims(t)
			require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI(), pinTo(config, map[string]string{"repository_id": "74"})))
		},
	}
}

func testOutdated(t *testing.T, one, other MemoryStore) {
	for name, change := range configChanges() {
		t.Run(name, func(t *testing.T) {
			config := create(t, one)
			claims, used := NewClaims(t), NewClaims(t)
			recalled := recall(t, one, claims)
			token := NewToken(claims, config)
			require.NoError(t, one.SaveRecalled(t.Context(), NewToken(used, config), used, recalled))

			change(t, other, config)

			require.ErrorIs(t, one.SaveRecalled(t.Context(), token, claims, recalled), application.ErrOutdated)
			requireNoToken(t, one, token.Hash)
			_, ok := one.RecallConfigs(claims)
			require.False(t, ok, "it is forgotten")
			require.ErrorIs(t, one.SaveRecalled(t.Context(), NewToken(used, config), used, recalled), application.ErrOutdated, "also when the jti was used")
			require.NoError(t, one.SaveToken(t.Context(), token, claims.UsedJTI(), nil), "the jti must not have been spent")
			deleteConfigs(t, other)
		})
	}
}

func deleteConfigs(t *testing.T, s Store) {
	t.Helper()
	page, err := s.ListConfigs(t.Context(), application.ListQuery{Limit: 100})
	require.NoError(t, err)
	for _, config := range page.Configs {
		require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
	}
}

func testOutdatedAmongMany(t *testing.T, one, other MemoryStore) {
	const calls = 96
	ofRepository := func(name string) func(*domain.Registered, *domain.Workload) {
		return func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = name }
	}
	var configs [2]domain.Config
	var recalled [2]application.Recalled
	for i, name := range []string{"steady", "changing"} {
		configs[i] = create(t, one, inPackage(name), func(p *domain.GitHubConfigParams) { p.Repository = name })
		recalled[i] = recall(t, one, NewClaims(t, ofRepository(name)))
	}
	require.NoError(t, other.DeleteConfig(t.Context(), configs[1].Common().ID))
	claims, tokens := make([]domain.Claims, calls), make([]domain.AccessToken, calls)
	for i := range calls {
		claims[i] = NewClaims(t, ofRepository([]string{"steady", "changing"}[i%2]))
		tokens[i] = NewToken(claims[i], configs[i%2])
	}

	errs := race(calls, []Store{one}, func(i int, _ Store) error {
		return one.SaveRecalled(t.Context(), tokens[i], claims[i], recalled[i%2])
	})

	for i, err := range errs {
		if i%2 == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, application.ErrOutdated)
		requireNoToken(t, one, tokens[i].Hash)
	}
}

func testRepeatedRecall(t *testing.T, one, other MemoryStore) {
	config := create(t, one)
	claims := NewClaims(t)
	recalled := recall(t, one, claims)
	token := NewToken(claims, config)
	require.NoError(t, one.SaveRecalled(t.Context(), token, claims, recalled))
	create(t, other, inPackage("second"))

	require.NoError(t, one.SaveRecalled(t.Context(), token, claims, recalled))
	require.ErrorIs(t, one.SaveRecalled(t.Context(), NewToken(claims, config), claims, recalled), application.ErrOutdated)
}

func testSaveUnrecalled(t *testing.T, one, _ MemoryStore) {
	config := create(t, one)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	for _, recalled := range []application.Recalled{{}, {Configs: []domain.Config{config}}, {State: "something"}} {
		require.ErrorIs(t, one.SaveRecalled(t.Context(), token, claims, recalled), application.ErrOutdated)
		requireNoToken(t, one, token.Hash)
	}
}

func testEndedRecall(t *testing.T, one, _ MemoryStore) {
	config := create(t, one)
	claims := NewClaims(t)
	recalled := recall(t, one, claims)
	token := NewToken(claims, config)
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	requireFault(t, one.SaveRecalled(ended, token, claims, recalled))

	requireNoToken(t, one, token.Hash)
	require.NoError(t, one.SaveRecalled(t.Context(), token, claims, recalled), "the jti must not have been spent")
}
