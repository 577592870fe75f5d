package trustpubtest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trustpub/trustpub/domain"
)

// model is a store as simple as can be: which jti was spent for which token, which
// tokens are revoked, which configs exist.
type model struct {
	store   Store
	spent   map[string]domain.AccessToken
	revoked map[domain.TokenHash]bool
	configs map[int64]domain.GitHubConfig
}

// testModel runs random operations on the store and on the model, and compares. One
// store serves all runs, so each run has jtis and packages of its own.
func testModel(t *testing.T, s Store) {
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		m := &model{store: s, spent: map[string]domain.AccessToken{}, revoked: map[domain.TokenHash]bool{}, configs: map[int64]domain.GitHubConfig{}}
		pkg := fmt.Sprintf("run%d", run)
		actions := []func(){
			func() { m.configure(t, r, pkg) },
			func() { m.save(t, r, pkg) },
			func() { m.save(t, r, pkg) },
			func() { m.revoke(t, r) },
			func() { m.remove(t, r) },
		}
		for range rapid.IntRange(1, 12).Draw(r, "operations") {
			actions[rapid.IntRange(0, len(actions)-1).Draw(r, "operation")]()
			m.check(t)
		}
	})
}

func (m *model) configure(t *testing.T, r *rapid.T, pkg string) {
	name := rapid.SampledFrom([]string{"a.yml", "b.yml", "c.yml"}).Draw(r, "workflow")
	config := NewGitHubConfig(t, inPackage(pkg), workflow(name))
	exists := slices.ContainsFunc(slices.Collect(maps.Values(m.configs)), func(c domain.GitHubConfig) bool { return c.WorkflowFilename() == name })
	stored, err := m.store.CreateGitHubConfig(t.Context(), config, 2)
	switch {
	case exists:
		requireKind(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
	case len(m.configs) >= 2:
		requireKind(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	default:
		require.NoError(t, err)
		m.configs[stored.ID()] = stored
	}
}

func (m *model) save(t *testing.T, r *rapid.T, pkg string) {
	id := pkg + rapid.SampledFrom([]string{"x", "y", "z"}).Draw(r, "jti")
	claims := NewClaims(t, func(reg *domain.Registered, _ *domain.Workload) { reg.JWTID = id })
	token := NewToken(claims, slices.SortedFunc(maps.Values(m.configs), func(a, b domain.GitHubConfig) int { return int(a.ID() - b.ID()) })...)
	err := m.store.SaveToken(t.Context(), token, claims.UsedJTI())
	if _, spent := m.spent[id]; spent {
		requireKind(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
		return
	}
	require.NoError(t, err)
	m.spent[id] = token
}

func (m *model) revoke(t *testing.T, r *rapid.T) {
	if len(m.spent) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.spent))).Draw(r, "revoked")
	hash := m.spent[id].Hash
	revoked, err := m.store.RevokeToken(t.Context(), hash, Now())
	require.NoError(t, err)
	require.Equal(t, !m.revoked[hash], revoked)
	m.revoked[hash] = true
}

func (m *model) remove(t *testing.T, r *rapid.T) {
	if len(m.configs) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.configs))).Draw(r, "removed")
	require.NoError(t, m.store.DeleteGitHubConfig(t.Context(), id))
	delete(m.configs, id)
}

// check compares all tokens of the run.
func (m *model) check(t *testing.T) {
	for _, token := range m.spent {
		found, err := m.store.FindToken(t.Context(), token.Hash)
		require.NoError(t, err)
		require.Equal(t, m.revoked[token.Hash], !found.RevokedAt.IsZero())
		want := slices.DeleteFunc(slices.Clone(token.Grants), func(g domain.Grant) bool {
			_, exists := m.configs[g.ConfigID]
			return !exists
		})
		require.ElementsMatch(t, want, found.Grants)
	}
}
