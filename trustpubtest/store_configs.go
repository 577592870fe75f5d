package trustpubtest

import (
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// sameConfig compares configs whole.
var sameConfig = cmp.AllowUnexported(domain.GitHubConfig{})

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
				WorkflowFilename: "a@b ü.yaml", Environment: &name,
			}
		},
	} {
		config := create(t, s, change)
		require.Positive(t, config.ID())

		found, err := s.GitHubConfig(t.Context(), config.ID())

		require.NoError(t, err)
		require.Empty(t, cmp.Diff(config, found, sameConfig))
		withID := func(p *domain.GitHubConfigParams) { p.ID = config.ID() }
		require.Empty(t, cmp.Diff(NewGitHubConfig(t, change, withID), found, sameConfig))
	}
}

func testFindConfigs(t *testing.T, s Store) {
	first := create(t, s)
	create(t, s, func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example/_services/token" })
	create(t, s, func(p *domain.GitHubConfigParams) { p.Repository = "other" })
	create(t, s, func(p *domain.GitHubConfigParams) { p.Owner = "other" })
	second := create(t, s, inPackage("second"), environment("prod"), func(p *domain.GitHubConfigParams) { p.OwnerID = 7 })

	found, err := s.FindConfigs(t.Context(), NewClaims(t))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]domain.Config{first, second}, found, sameConfig))

	found, err = s.FindConfigs(t.Context(), NewClaims(t, func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://unknown.example" }))
	require.NoError(t, err)
	require.Empty(t, found)

	found, err = s.FindConfigs(t.Context(), NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Provider = "other" }))
	require.NoError(t, err)
	require.Empty(t, found)
}

func testFindConfigsFolds(t *testing.T, s Store) {
	create(t, s, func(p *domain.GitHubConfigParams) { p.Owner, p.Repository = "OCTO-kiss", "Repo" })
	count := func(owner, name string) int {
		found, err := s.FindConfigs(t.Context(), NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
			w.Repository = domain.Repository{Owner: owner, Name: name}
		}))
		require.NoError(t, err)
		return len(found)
	}

	require.Equal(t, 1, count("octo-KISS", "rEPO"))
	require.Zero(t, count("octo-\u212aiss", "repo"), "the Kelvin sign is no k")
	require.Zero(t, count("octo-ki\u017fs", "repo"), "the long s is no s")
	require.Zero(t, count("octo-kiss", "rep_"), "an underscore is no pattern")
	require.Zero(t, count("octo-kiss", "%"), "a percent sign is no pattern")
}

func testDuplicateConfig(t *testing.T, s Store) {
	create(t, s, environment("Prod"))
	for _, change := range []func(*domain.GitHubConfigParams){
		environment("Prod"),
		environment("pROD"),
		func(p *domain.GitHubConfigParams) { environment("prod")(p); p.Owner, p.Repository = "OCTO-ORG", "Octo-Repo" },
	} {
		_, err := s.CreateGitHubConfig(t.Context(), NewGitHubConfig(t, change), application.MaxConfigsPerPackage)
		requireKind(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
	}
	_, err := s.CreateGitHubConfig(t.Context(), NewGitHubConfig(t, environment("prod")), 1)
	requireKind(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
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
	for i := range application.MaxConfigsPerPackage {
		create(t, s, workflow(strconv.Itoa(i)+".yml"))
	}
	_, err := s.CreateGitHubConfig(t.Context(), NewGitHubConfig(t), application.MaxConfigsPerPackage)
	requireKind(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	create(t, s, inPackage("other"))
	create(t, s, func(p *domain.GitHubConfigParams) { p.Package.Ecosystem = "npm" })
}

func testConfigLimitRace(t *testing.T, s Store) {
	errs := make([]error, 20)
	var group sync.WaitGroup
	for i := range errs {
		config := NewGitHubConfig(t, workflow(strconv.Itoa(i)+".yml"))
		group.Go(func() {
			_, errs[i] = s.CreateGitHubConfig(t.Context(), config, application.MaxConfigsPerPackage)
		})
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		requireKind(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	}
	require.Equal(t, application.MaxConfigsPerPackage, made)
}

func testConfigIDs(t *testing.T, s Store) {
	var last int64
	for range 3 {
		config := create(t, s)
		require.Greater(t, config.ID(), last)
		last = config.ID()
		require.NoError(t, s.DeleteGitHubConfig(t.Context(), config.ID()))
	}
}

func testMissingConfig(t *testing.T, s Store) {
	_, err := s.GitHubConfig(t.Context(), 1)
	requireKind(t, err, domain.KindNotFound, domain.CodeNotFound)
	requireKind(t, s.DeleteGitHubConfig(t.Context(), 1), domain.KindNotFound, domain.CodeNotFound)
}

func testListConfigs(t *testing.T, s Store) {
	var ids []int64
	for i := range 5 {
		ids = append(ids, create(t, s, workflow(strconv.Itoa(i)+".yml")).ID())
	}
	other := create(t, s, inPackage("other")).ID()
	demo := domain.Package{Ecosystem: "cargo", Name: "demo"}
	list := func(query application.ListQuery) ([]int64, int, bool) {
		page, err := s.ListGitHubConfigs(t.Context(), query)
		require.NoError(t, err)
		var got []int64
		for _, c := range page.Configs {
			got = append(got, c.ID())
		}
		return got, page.Total, page.More
	}
	for _, test := range []struct {
		query application.ListQuery
		want  []int64
		total int
		more  bool
	}{
		{application.ListQuery{Package: demo, Limit: 2}, ids[:2], 5, true},
		{application.ListQuery{Package: demo, Limit: 3, After: ids[1]}, ids[2:], 5, false},
		{application.ListQuery{Package: demo, Limit: 5}, ids, 5, false},
		{application.ListQuery{Package: demo, Limit: 5, After: ids[4]}, nil, 5, false},
		{application.ListQuery{Package: domain.Package{Ecosystem: "npm", Name: "demo"}, Limit: 5}, nil, 0, false},
		{application.ListQuery{Limit: 100}, append(append([]int64{}, ids...), other), 6, false},
	} {
		got, total, more := list(test.query)
		require.Equal(t, test.want, got, "%+v", test.query)
		require.Equal(t, test.total, total, "%+v", test.query)
		require.Equal(t, test.more, more, "%+v", test.query)
	}
}
