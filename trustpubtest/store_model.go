package trustpubtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// model is a store as simple as can be: which configs exist, which tokens, and for
// which of them each jti was spent.
type model struct {
	t       *testing.T
	store   Store
	pkg     string
	configs map[int64]domain.Config
	tokens  map[domain.TokenHash]domain.AccessToken
	spent   map[domain.UsedJTI]domain.TokenHash
}

// testModel runs random operations on the store and on the model, and compares. One
// store serves all runs, so each run has a package and jtis of its own.
func testModel(t *testing.T, s Store) {
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		m := &model{
			t: t, store: s, pkg: fmt.Sprintf("run%d", run),
			configs: map[int64]domain.Config{},
			tokens:  map[domain.TokenHash]domain.AccessToken{},
			spent:   map[domain.UsedJTI]domain.TokenHash{},
		}
		operations := []func(*rapid.T){m.create, m.create, m.save, m.save, m.save, m.revoke, m.remove}
		for range rapid.IntRange(1, 12).Draw(r, "operations") {
			rapid.SampledFrom(operations).Draw(r, "operation")(r)
		}
		m.check(r)
	})
}

func (m *model) create(r *rapid.T) {
	const limit = 3
	name := rapid.SampledFrom([]string{"a.yml", "A.yml", "b.yml"}).Draw(r, "workflow")
	env := rapid.SampledFrom([]string{"prod", "PROD", "test"}).Draw(r, "environment")
	config := NewGitHubConfig(m.t, inPackage(m.pkg), workflow(name), environment(env))
	same := func(other domain.Config) bool {
		c := other.(domain.GitHubConfig)
		return c.WorkflowFilename() == name && c.EnvironmentKey() == config.EnvironmentKey()
	}

	stored, err := m.store.CreateConfig(m.t.Context(), config, limit)
	switch {
	case slices.ContainsFunc(slices.Collect(maps.Values(m.configs)), same):
		requireError(r, err, domain.KindConflict, domain.CodeDuplicateConfig)
	case len(m.configs) >= limit:
		requireError(r, err, domain.KindConflict, domain.CodeTooManyConfigs)
	default:
		require.NoError(r, err)
		id := stored.Common().ID
		require.NotContains(r, m.configs, id)
		m.configs[id] = stored
	}
}

// save stores a new token or one that exists, for a jti that may have been spent.
func (m *model) save(r *rapid.T) {
	jti := domain.UsedJTI{
		Issuer:    rapid.SampledFrom([]string{Issuer, "https://ghes.example"}).Draw(r, "issuer"),
		ID:        m.pkg + rapid.SampledFrom([]string{"x", "y"}).Draw(r, "jti"),
		ExpiresAt: Now(),
	}
	token := NewToken(NewClaims(m.t), m.sortedConfigs()...)
	winner, spent := m.spent[jti]
	repeat := spent && rapid.Bool().Draw(r, "repeat")
	if repeat {
		token = m.tokens[winner]
	}

	err := m.store.SaveToken(m.t.Context(), token, jti, nil)
	if spent && !repeat {
		requireAlreadyUsed(r, err)
		return
	}
	require.NoError(r, err)
	m.spent[jti], m.tokens[token.Hash] = token.Hash, token
}

func (m *model) revoke(r *rapid.T) {
	if len(m.tokens) == 0 {
		return
	}
	jtis := slices.SortedFunc(maps.Keys(m.spent), func(a, b domain.UsedJTI) int { return cmp.Compare(a.Issuer+a.ID, b.Issuer+b.ID) })
	token := m.tokens[m.spent[rapid.SampledFrom(jtis).Draw(r, "revoked")]]
	revoked, err := m.store.RevokeToken(m.t.Context(), token.Hash, Now())
	require.NoError(r, err)
	require.Equal(r, token.RevokedAt.IsZero(), revoked)
	token.RevokedAt = Now()
	m.tokens[token.Hash] = token
}

func (m *model) remove(r *rapid.T) {
	if len(m.configs) == 0 {
		return
	}
	config := rapid.SampledFrom(m.sortedConfigs()).Draw(r, "removed")
	require.NoError(r, m.store.DeleteConfig(m.t.Context(), config.Common().ID))
	delete(m.configs, config.Common().ID)
}

// check compares all configs and tokens of the run.
func (m *model) check(r *rapid.T) {
	query := application.ListQuery{Package: domain.Package{Ecosystem: "cargo", Name: m.pkg}, Limit: 100}
	page, err := m.store.ListConfigs(m.t.Context(), query)
	require.NoError(r, err)
	requireConfigs(r, m.sortedConfigs(), page.Configs)

	for _, token := range m.tokens {
		found, err := m.store.FindToken(m.t.Context(), token.Hash)
		require.NoError(r, err)
		token.Grants = slices.DeleteFunc(slices.Clone(token.Grants), func(g domain.Grant) bool {
			_, exists := m.configs[g.ConfigID]
			return !exists
		})
		requireToken(r, token, found)
	}
}

func (m *model) sortedConfigs() []domain.Config {
	return slices.SortedFunc(maps.Values(m.configs), func(a, b domain.Config) int { return cmp.Compare(a.Common().ID, b.Common().ID) })
}
