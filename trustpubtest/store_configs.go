package trustpubtest

import (
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// requireConfig asserts all values of a config, of whatever kind.
func requireConfig(t require.TestingT, want, got domain.Config) {
	unexportedToo := cmp.Exporter(func(reflect.Type) bool { return true })
	require.Empty(t, cmp.Diff(want, got, unexportedToo, cmpopts.EquateEmpty()))
}

// requireConfigs asserts the page or the answer in its order, by the IDs.
func requireConfigs[W, G domain.Config](t require.TestingT, want []W, got []G, hint ...any) {
	require.Equal(t, ids(want), ids(got), hint...)
}

func ids[C domain.Config](configs []C) []int64 {
	var numbers []int64
	for _, c := range configs {
		numbers = append(numbers, c.Common().ID)
	}
	return numbers
}

func environment(name string) func(*domain.GitHubConfigParams) {
	return func(p *domain.GitHubConfigParams) { p.Environment = &name }
}

func workflow(name string) func(*domain.GitHubConfigParams) {
	return func(p *domain.GitHubConfigParams) { p.WorkflowFilename = name }
}

func inPackage(name string) func(*domain.GitHubConfigParams) {
	return func(p *domain.GitHubConfigParams) { p.Package.Name = name }
}

func testConfigRoundTrip(t *testing.T, s Store) {
	for _, change := range []func(*domain.GitHubConfigParams){
		func(*domain.GitHubConfigParams) {},
		func(p *domain.GitHubConfigParams) {
			name := "Prüfung/日本"
			*p = domain.GitHubConfigParams{
				CreatedAt: Now(), Package: domain.Package{Ecosystem: "npm", Name: "@Scope/x"},
				Issuer: "https://ghes.example/_services/token", Owner: "OCTO-Org", Repository: "Re.po_-1", OwnerID: 1 << 62,
				WorkflowFilename: "a@b ü.yaml", Environment: &name, Pinned: map[string]string{"repository_id": "74"},
				WorkflowRepository: "Octo-Org/Shared_1", ReusableWorkflowFilename: "b@c ü.yml",
			}
		},
	} {
		config := create(t, s, change)
		require.Positive(t, config.ID())

		found, err := s.Config(t.Context(), config.ID())

		require.NoError(t, err)
		requireConfig(t, config, found)
		withID := func(p *domain.GitHubConfigParams) { p.ID = config.ID() }
		requireConfig(t, NewGitHubConfig(t, change, withID), found)
		require.Equal(t, time.UTC, found.Common().CreatedAt.Location())
	}
}

// findConfigs returns what the store finds for the claims, without that for other
// repositories and issuers, which the port allows it to return and domain.Authorize
// throws out.
func findConfigs(t *testing.T, s Store, changes ...func(*domain.Registered, *domain.Workload)) []domain.Config {
	t.Helper()
	claims := NewClaims(t, changes...)
	found, err := s.FindConfigs(t.Context(), claims)
	require.NoError(t, err)
	return slices.DeleteFunc(found, func(c domain.Config) bool {
		miss := c.Match(claims)
		return miss != nil && miss.Rule == domain.RuleRepository
	})
}

func testFindConfigs(t *testing.T, s Store) {
	const enterprise = "https://ghes.example/_services/token"
	first := create(t, s)
	elsewhere := create(t, s, func(p *domain.GitHubConfigParams) { p.Issuer = enterprise })
	create(t, s, func(p *domain.GitHubConfigParams) { p.Repository = "other" })
	create(t, s, func(p *domain.GitHubConfigParams) { p.Owner = "other" })
	second := create(t, s, inPackage("second"), environment("prod"), func(p *domain.GitHubConfigParams) { p.OwnerID = 7 })
	third := create(t, s, inPackage("second"), workflow("other.yml"))

	requireConfigs(t, []domain.GitHubConfig{first, second, third}, findConfigs(t, s))
	requireConfigs(t, []domain.GitHubConfig{elsewhere}, findConfigs(t, s, func(r *domain.Registered, _ *domain.Workload) { r.Issuer = enterprise }))
	require.Empty(t, findConfigs(t, s, func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://unknown.example" }))
	require.Empty(t, findConfigs(t, s, func(_ *domain.Registered, w *domain.Workload) { w.Provider = "other" }))

	require.NoError(t, s.DeleteConfig(t.Context(), second.ID()))
	found := findConfigs(t, s)
	requireConfigs(t, []domain.GitHubConfig{first, third}, found)
	requireConfig(t, first, found[0])
}

// TestFindsNothingElse checks that a store finds no configs of other repositories,
// issuers and providers. The port allows them, as domain.Authorize throws them out,
// so [TestStore] does too; but they cost time at every exchange.
func TestFindsNothingElse(t *testing.T, s Store) {
	create(t, s)
	for _, test := range []struct {
		name   string
		change func(*domain.Registered, *domain.Workload)
	}{
		{"another issuer", func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://ghes.example" }},
		{"another provider", func(_ *domain.Registered, w *domain.Workload) { w.Provider = "other" }},
		{"another owner", func(_ *domain.Registered, w *domain.Workload) { w.Repository.Owner = "octo" }},
		{"another name", func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = "octo-repo2" }},
		{"another cut", func(_ *domain.Registered, w *domain.Workload) {
			w.Repository = domain.Repository{Owner: "octo-org/octo", Name: "repo"}
		}},
	} {
		found, err := s.FindConfigs(t.Context(), NewClaims(t, test.change))
		require.NoError(t, err, test.name)
		require.Empty(t, found, test.name)
	}
}

func testFindConfigsFolds(t *testing.T, s Store) {
	create(t, s, func(p *domain.GitHubConfigParams) { p.Owner, p.Repository = "OCTO-kiss", "Repo" })
	for _, test := range []struct {
		name       string
		repository domain.Repository
		want       int
	}{
		{"another case", domain.Repository{Owner: "octo-KISS", Name: "rEPO"}, 1},
		{"the Kelvin sign is no k", domain.Repository{Owner: "octo-\u212aiss", Name: "repo"}, 0},
		{"the long s is no s", domain.Repository{Owner: "octo-ki\u017fs", Name: "repo"}, 0},
		{"an underscore is no pattern", domain.Repository{Owner: "octo-kiss", Name: "rep_"}, 0},
		{"a percent sign is no pattern", domain.Repository{Owner: "octo-kiss", Name: "%"}, 0},
		{"a trailing space counts", domain.Repository{Owner: "octo-kiss", Name: "repo "}, 0},
	} {
		found := findConfigs(t, s, func(_ *domain.Registered, w *domain.Workload) { w.Repository = test.repository })
		require.Len(t, found, test.want, test.name)
	}
}

func testDuplicateConfig(t *testing.T, s Store) {
	create(t, s)
	create(t, s, environment("Prod"))
	otherCase := func(p *domain.GitHubConfigParams) { p.Owner, p.Repository = "OCTO-ORG", "Octo-Repo" }
	otherTime := func(p *domain.GitHubConfigParams) { p.CreatedAt = Now().Add(time.Hour) }
	for _, config := range []domain.GitHubConfig{
		NewGitHubConfig(t),
		NewGitHubConfig(t, otherCase, otherTime),
		NewGitHubConfig(t, environment("Prod")),
		NewGitHubConfig(t, environment("pROD")),
		NewGitHubConfig(t, environment("prod"), otherCase),
	} {
		for _, limit := range []int{application.MaxConfigsPerPackage, 2} {
			_, err := s.CreateConfig(t.Context(), config, limit)
			requireError(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
		}
	}
}

func testDistinctConfigs(t *testing.T, s Store) {
	for _, change := range []func(*domain.GitHubConfigParams){
		func(*domain.GitHubConfigParams) {},
		environment("prod"),
		workflow("Release.yml"),
		func(p *domain.GitHubConfigParams) { p.OwnerID = 66 },
		func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example" },
	} {
		create(t, s, change)
	}
	create(t, s, func(p *domain.GitHubConfigParams) { p.Package.Ecosystem = "npm" })
}

func testConfigLimit(t *testing.T, s Store) {
	var last domain.GitHubConfig
	for i := range application.MaxConfigsPerPackage {
		last = create(t, s, workflow(strconv.Itoa(i)+".yml"))
	}
	_, err := s.CreateConfig(t.Context(), NewGitHubConfig(t), application.MaxConfigsPerPackage)
	requireError(t, err, domain.KindConflict, domain.CodeTooManyConfigs)

	create(t, s, inPackage("other"))
	create(t, s, func(p *domain.GitHubConfigParams) { p.Package.Ecosystem = "npm" })
	require.NoError(t, s.DeleteConfig(t.Context(), last.ID()))
	create(t, s)
}

func testConfigIDs(t *testing.T, s Store) {
	var last int64
	for range 3 {
		config := create(t, s)
		require.Greater(t, config.ID(), last)
		last = config.ID()
		require.NoError(t, s.DeleteConfig(t.Context(), config.ID()))
	}
}

func testMissingConfig(t *testing.T, s Store) {
	deleted := create(t, s).ID()
	require.NoError(t, s.DeleteConfig(t.Context(), deleted))
	for _, id := range []int64{deleted, deleted + 1, 0, -1} {
		_, err := s.Config(t.Context(), id)
		requireError(t, err, domain.KindNotFound, domain.CodeNotFound)
		requireError(t, s.DeleteConfig(t.Context(), id), domain.KindNotFound, domain.CodeNotFound)
	}
}

func testListConfigs(t *testing.T, s Store) {
	var demo []domain.GitHubConfig
	for i := range 5 {
		demo = append(demo, create(t, s, workflow(strconv.Itoa(i)+".yml")))
	}
	all := append(slices.Clone(demo), create(t, s, inPackage("other")))
	pkg := demo[0].Package()
	for _, test := range []struct {
		name  string
		query application.ListQuery
		want  []domain.GitHubConfig
		total int
		more  bool
	}{
		{"first page", application.ListQuery{Package: pkg, Limit: 2}, demo[:2], 5, true},
		{"last page", application.ListQuery{Package: pkg, Limit: 3, After: demo[1].ID()}, demo[2:], 5, false},
		{"exactly one page", application.ListQuery{Package: pkg, Limit: 5}, demo, 5, false},
		{"one short of a page", application.ListQuery{Package: pkg, Limit: 4}, demo[:4], 5, true},
		{"after the last", application.ListQuery{Package: pkg, Limit: 5, After: demo[4].ID()}, nil, 5, false},
		{"same name in another ecosystem", application.ListQuery{Package: domain.Package{Ecosystem: "npm", Name: "demo"}, Limit: 5}, nil, 0, false},
		{"same name in another case", application.ListQuery{Package: domain.Package{Ecosystem: "cargo", Name: "Demo"}, Limit: 5}, nil, 0, false},
		{"all packages", application.ListQuery{Limit: 100}, all, 6, false},
		{"all packages, first page", application.ListQuery{Limit: 5}, demo, 6, true},
	} {
		page, err := s.ListConfigs(t.Context(), test.query)
		require.NoError(t, err, test.name)
		requireConfigs(t, test.want, page.Configs, test.name)
		require.Equal(t, test.total, page.Total, test.name)
		require.Equal(t, test.more, page.More, test.name)
	}
}
