package trustpubtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// allKinds returns a config of each kind, for one package.
func allKinds(t *testing.T) []domain.Config {
	t.Helper()
	production := "Production"
	return []domain.Config{
		NewGitHubConfig(t),
		NewGitLabConfig(t),
		NewGitLabConfig(t, func(p *domain.GitLabConfigParams) {
			p.Namespace, p.Project, p.WorkflowFilepath = "OCTO_Group/Sub.1", "Pro-ject", "ci/ünï/x.yaml"
			p.Environment, p.Pinned = &production, map[string]string{domain.GitLabNamespaceID: "7"}
		}),
		NewClaimsConfig(t, func(p *domain.ClaimsConfigParams) {
			p.Claims["contexts"] = []string{"b", "a", "ü'\"\\"}
			p.Pinned = map[string]string{"organization_id": "x"}
		}),
	}
}

func store(t *testing.T, s Store, config domain.Config) domain.Config {
	t.Helper()
	stored, err := s.CreateConfig(t.Context(), config, application.MaxConfigsPerPackage)
	require.NoError(t, err)
	return stored
}

func testKindsRoundTrip(t *testing.T, s Store) {
	for _, config := range allKinds(t) {
		stored := store(t, s, config)
		require.Positive(t, stored.Common().ID)
		requireConfig(t, config.Stored(stored.Common().ID, config.Common().Pinned), stored)

		found, err := s.Config(t.Context(), stored.Common().ID)

		require.NoError(t, err)
		requireConfig(t, stored, found)
	}
}

func testKindsTogether(t *testing.T, s Store) {
	var all []domain.Config
	ofKind := map[domain.ConfigKind][]domain.Config{}
	for _, config := range allKinds(t) {
		stored := store(t, s, config)
		all = append(all, stored)
		kind := domain.ConfigKindFor(stored.Common().Provider)
		ofKind[kind] = append(ofKind[kind], stored)
	}
	for i, config := range all[1:] {
		require.Greater(t, config.Common().ID, all[i].Common().ID)
	}
	pkg := all[0].Common().Package
	list := func(query application.ListQuery) application.ConfigPage {
		query.Package = pkg
		page, err := s.ListConfigs(t.Context(), query)
		require.NoError(t, err)
		return page
	}
	page := list(application.ListQuery{Limit: 10})
	requireConfigs(t, all, page.Configs)
	require.Equal(t, len(all), page.Total)
	require.False(t, page.More)
	page = list(application.ListQuery{Limit: 2, After: all[0].Common().ID})
	requireConfigs(t, all[1:3], page.Configs)
	require.True(t, page.More)
	for kind, want := range ofKind {
		page = list(application.ListQuery{Limit: 10, Kind: kind})
		requireConfigs(t, want, page.Configs)
		require.Equal(t, len(want), page.Total)
	}

	for _, config := range allKinds(t) {
		_, err := s.CreateConfig(t.Context(), config, len(all))
		requireError(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
	}
	_, err := s.CreateConfig(t.Context(), NewGitLabConfig(t, func(p *domain.GitLabConfigParams) { p.Project = "other" }), len(all))
	requireError(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	for i, config := range all {
		require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
		require.Equal(t, len(all)-i-1, list(application.ListQuery{Limit: 10}).Total)
	}
}

func testFindKinds(t *testing.T, s Store) {
	github, gitlab, claims := store(t, s, NewGitHubConfig(t)), store(t, s, NewGitLabConfig(t)), store(t, s, NewClaimsConfig(t))
	find := func(change func(*domain.Registered, *domain.Workload)) []domain.Config {
		found, err := s.FindConfigs(t.Context(), NewClaims(t, change))
		require.NoError(t, err)
		return found
	}
	// of makes the claims of a workload that the config trusts.
	of := func(config domain.Config, provider, issuer string) func(*domain.Registered, *domain.Workload) {
		return func(r *domain.Registered, w *domain.Workload) {
			r.Issuer, w.Provider, w.Key, w.IDs = issuer, provider, config.Common().Key, nil
		}
	}
	for _, config := range []domain.Config{github, gitlab, claims} {
		c := config.Common()
		requireConfigs(t, []domain.Config{config}, find(of(config, c.Provider, c.Issuer)))
		require.Empty(t, find(of(config, c.Provider, "https://evil.example")))
		require.Empty(t, find(of(config, "evil", c.Issuer)))
	}
	require.Empty(t, find(of(gitlab, domain.ProviderGitHub, gitlab.Common().Issuer)))
	require.Empty(t, find(of(claims, "google", claims.Common().Issuer)))
}

// pinTo returns the pin that takes a config from what it is pinned to, to more.
func pinTo(config domain.Config, ids map[string]string) []domain.Pin {
	return []domain.Pin{{ConfigID: config.Common().ID, Before: config.Common().Pinned, After: ids}}
}

func requirePinned(t *testing.T, s Store, config domain.Config, want map[string]string) {
	t.Helper()
	found, err := s.Config(t.Context(), config.Common().ID)
	require.NoError(t, err)
	if len(want) == 0 {
		require.Empty(t, found.Common().Pinned)
		return
	}
	require.Equal(t, want, found.Common().Pinned)
}

func testPins(t *testing.T, s Store) {
	first, second := store(t, s, NewClaimsConfig(t)), store(t, s, NewGitLabConfig(t))
	claims := NewClaims(t)
	ids := map[string]string{"organization_id": "74", "b": "\"'ü", "a": "1"}
	pins := append(pinTo(first, ids), pinTo(second, map[string]string{"project_id": "5"})...)
	token := NewToken(claims, first, second)

	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), pins))
	requirePinned(t, s, first, ids)
	requirePinned(t, s, second, map[string]string{"project_id": "5"})
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), pins), "repeated with its own hash")

	// A replay pins nothing.
	third := store(t, s, NewGitHubConfig(t))
	requireAlreadyUsed(t, s.SaveToken(t.Context(), NewToken(claims, third), claims.UsedJTI(), pinTo(third, map[string]string{"repository_id": "74"})))
	requirePinned(t, s, third, nil)
}

func testPinnedMeanwhile(t *testing.T, s Store) {
	free, taken := store(t, s, NewGitHubConfig(t)), store(t, s, NewGitHubConfig(t, environment("prod")))
	ids := map[string]string{"repository_id": "74"}
	winner, loser := NewClaims(t), NewClaims(t)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(winner, taken), winner.UsedJTI(), pinTo(taken, map[string]string{"repository_id": "99"})))
	token := NewToken(loser, free, taken)

	err := s.SaveToken(t.Context(), token, loser.UsedJTI(), append(pinTo(free, ids), pinTo(taken, ids)...))

	requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
	requireNoToken(t, s, token.Hash)
	requirePinned(t, s, free, nil)
	requirePinned(t, s, taken, map[string]string{"repository_id": "99"})
	require.NoError(t, s.SaveToken(t.Context(), token, loser.UsedJTI(), pinTo(free, ids)), "the jti must not have been spent")
}

func testPinOfDeletedConfig(t *testing.T, s Store) {
	config := store(t, s, NewGitHubConfig(t))
	require.NoError(t, s.DeleteConfig(t.Context(), config.Common().ID))
	claims := NewClaims(t)
	token := NewToken(claims, config)

	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), pinTo(config, map[string]string{"repository_id": "74"})))

	found, err := s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)
	require.Empty(t, found.Grants)
}

func testFindRenamed(t *testing.T, s Store) {
	pinned := func(id string) func(*domain.GitHubConfigParams) {
		return func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": id} }
	}
	old := store(t, s, NewGitHubConfig(t, pinned("74")))
	store(t, s, NewGitHubConfig(t, environment("a"), pinned("75")))
	store(t, s, NewGitHubConfig(t, environment("b")))
	find := func(change func(*domain.Registered, *domain.Workload)) []domain.Config {
		found, err := s.FindConfigs(t.Context(), NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
			w.Repository.Name, w.IDs = "renamed", map[string]string{"repository_id": "74"}
		}, change))
		require.NoError(t, err)
		return found
	}
	requireConfigs(t, []domain.Config{old}, find(func(*domain.Registered, *domain.Workload) {}))
	require.Empty(t, find(func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://ghes.example" }))
	require.Empty(t, find(func(_ *domain.Registered, w *domain.Workload) { w.Provider = "gitlab" }))
	require.Empty(t, find(func(_ *domain.Registered, w *domain.Workload) { w.IDs = nil }))
	require.Empty(t, find(func(_ *domain.Registered, w *domain.Workload) { w.IDs["more"] = "1" }))

	taken := store(t, s, NewGitHubConfig(t, inPackage("other"), func(p *domain.GitHubConfigParams) { p.Repository = "renamed" }))
	requireConfigs(t, []domain.Config{taken}, find(func(*domain.Registered, *domain.Workload) {}), "what has the name goes first")
}
