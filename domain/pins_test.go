package domain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestNewGitHubConfigRefusesPinsOfOtherNamesAndForms(t *testing.T) {
	tests := []struct {
		name   string
		pinned map[string]string
		names  string // What the refusal names.
	}{
		{"an ID of GitLab", map[string]string{"namespace_id": "1"}, `"namespace_id"`},
		{"an ID that has no name", map[string]string{"": "1"}, `""`},
		{"the name in another case", map[string]string{"Repository_ID": "1"}, `"Repository_ID"`},
		{"a known and an unknown one", map[string]string{"repository_id": "1", "x": "1"}, `"x"`},
		{"an empty ID", map[string]string{"repository_id": ""}, "repository_id"},
		{"zero", map[string]string{"repository_id": "0"}, "repository_id"},
		{"a leading zero", map[string]string{"repository_id": "0123"}, "repository_id"},
		{"a sign", map[string]string{"repository_id": "-1"}, "repository_id"},
		{"a space", map[string]string{"repository_id": "1 "}, "repository_id"},
		{"a space inside", map[string]string{"repository_id": "1 2"}, "repository_id"},
		{"hexadecimal", map[string]string{"repository_id": "1f"}, "repository_id"},
		{"digits beyond ASCII", map[string]string{"repository_id": "\u0661"}, "repository_id"},
		{"256 digits", map[string]string{"repository_id": strings.Repeat("1", 256)}, "repository_id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			params := githubParams()
			params.Pinned = tt.pinned

			config, err := domain.NewGitHubConfig(params)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Contains(t, domain.MessageOf(err), tt.names)
			require.Zero(t, config)
		})
	}
}

func TestAConfigKeepsPinsOfItsOwn(t *testing.T) {
	params := githubParams()
	params.Pinned = map[string]string{"repository_id": "1296269"}
	config, err := domain.NewGitHubConfig(params)
	require.NoError(t, err)
	stored := map[string]string{"repository_id": "1296270"}
	other := config.Stored(7, stored)

	params.Pinned["repository_id"] = "evil"
	config.Common().Pinned["repository_id"] = "evil"
	stored["repository_id"] = "evil"
	other.Common().Pinned["repository_id"] = "evil"

	require.Equal(t, map[string]string{"repository_id": "1296269"}, config.Common().Pinned)
	require.Zero(t, config.ID(), "the config that was stored is another value")
	require.Equal(t, map[string]string{"repository_id": "1296270"}, other.Common().Pinned)
	require.Equal(t, int64(7), other.Common().ID)
}

func TestAPinnedConfigMatchesTheRepositoryWithThoseIDsAlone(t *testing.T) {
	pinned := func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "1296269"} }
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		ids    map[string]string
		want   *domain.Mismatch
	}{
		{name: "not pinned yet", ids: map[string]string{"repository_id": "7"}},
		{name: "not pinned and without IDs"},
		{name: "the same ID", config: pinned, ids: map[string]string{"repository_id": "1296269"}},
		{name: "an ID more than was pinned", config: pinned, ids: map[string]string{"repository_id": "1296269", "repository_visibility_id": "1"}},
		{"another ID", pinned, map[string]string{"repository_id": "1296270"}, pinMiss(`repository_id "1296270"`)},
		{"an ID that begins alike", pinned, map[string]string{"repository_id": "12962690"}, pinMiss(`repository_id "12962690"`)},
		{"the ID with a leading zero", pinned, map[string]string{"repository_id": "01296269"}, pinMiss(`repository_id "01296269"`)},
		{"the ID is missing", pinned, nil, pinMiss(`repository_id ""`)},
		{"the ID is empty", pinned, map[string]string{"repository_id": ""}, pinMiss(`repository_id ""`)},
		{"the ID under another name", pinned, map[string]string{"project_id": "1296269"}, pinMiss(`repository_id ""`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := pair(t, tt.config, withIDs(tt.ids))

			require.Empty(t, cmp.Diff(tt.want, config.Match(claims)))
		})
	}
}

func TestARepositoryWithTheVeryIDsUnderAnotherNameWasRenamed(t *testing.T) {
	const expected = `"octo-org/octo-repo"`
	ids := map[string]string{"repository_id": "1296269"}
	pinned := func(p *domain.GitHubConfigParams) { p.Pinned = ids }
	renamed := func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name, w.IDs = "new-name", ids }
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		claims func(*domain.Registered, *domain.Workload)
		want   domain.Mismatch
	}{
		{"renamed", pinned, renamed, domain.Mismatch{Rule: domain.RuleRenamed, Got: `"octo-org/new-name"`, Expected: expected}},
		{
			"moved to another owner", pinned,
			func(_ *domain.Registered, w *domain.Workload) {
				w.Repository.Owner, w.OwnerID, w.IDs = "new-owner", "99", ids
			},
			domain.Mismatch{Rule: domain.RuleRenamed, Got: `"new-owner/octo-repo"`, Expected: expected},
		},
		{
			"never pinned", nil, renamed,
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/new-name"`, Expected: expected},
		},
		{
			"another ID", pinned,
			func(_ *domain.Registered, w *domain.Workload) {
				w.Repository.Name, w.IDs = "new-name", map[string]string{"repository_id": "7"}
			},
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/new-name"`, Expected: expected},
		},
		{
			"no IDs", pinned,
			func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = "new-name" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/new-name"`, Expected: expected},
		},
		{
			"the same number at another issuer", pinned,
			func(r *domain.Registered, w *domain.Workload) {
				r.Issuer = "https://ghes.example"
				renamed(r, w)
			},
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/new-name"`, Expected: expected},
		},
		{
			"the same number at another provider", pinned,
			func(r *domain.Registered, w *domain.Workload) {
				w.Provider = "gitlab"
				renamed(r, w)
			},
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/new-name"`, Expected: expected},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := pair(t, tt.config, tt.claims)

			got := config.Match(claims)

			require.NotNil(t, got)
			require.Empty(t, cmp.Diff(tt.want, *got))
		})
	}
}

func TestPinsTakeTheIDsThatAConfigDoesNotNameYet(t *testing.T) {
	claims := trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269", "empty_id": ""}))
	tests := []struct {
		name   string
		pinned map[string]string
		claims domain.Claims
		grants []domain.Grant
		want   []domain.Pin
	}{
		{
			name: "not pinned yet", claims: claims, grants: []domain.Grant{grant("demo", 1)},
			want: []domain.Pin{{ConfigID: 1, After: map[string]string{"repository_id": "1296269"}}},
		},
		{
			name: "pinned by another name", pinned: map[string]string{"repository_id": "1296269"},
			claims: trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269", "repository_node": "R_1"})),
			grants: []domain.Grant{grant("demo", 1)},
			want: []domain.Pin{{
				ConfigID: 1, Before: map[string]string{"repository_id": "1296269"},
				After: map[string]string{"repository_id": "1296269", "repository_node": "R_1"},
			}},
		},
		{name: "pinned already", pinned: map[string]string{"repository_id": "1296269"}, claims: claims, grants: []domain.Grant{grant("demo", 1)}},
		{name: "pinned to another ID, which is never replaced", pinned: map[string]string{"repository_id": "7"}, claims: claims, grants: []domain.Grant{grant("demo", 1)}},
		{name: "a workload without IDs", claims: trustpubtest.NewClaims(t), grants: []domain.Grant{grant("demo", 1)}},
		{name: "no grant", claims: claims},
		{name: "a grant of another config", claims: claims, grants: []domain.Grant{grant("demo", 2)}},
		{name: "a grant for another package", claims: claims, grants: []domain.Grant{grant("other", 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			configs := githubConfigs(t, func(p *domain.GitHubConfigParams) { p.Pinned = tt.pinned })

			got := domain.Pins(configs, tt.grants, tt.claims)

			require.Empty(t, cmp.Diff(tt.want, got))
			require.Equal(t, tt.pinned, configs[0].Common().Pinned, "the config itself is unchanged")
		})
	}
}

func TestPinsAreOfTheConfigsThatGrantAlone(t *testing.T) {
	claims := trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269"}))
	configs := githubConfigs(t,
		func(p *domain.GitHubConfigParams) { p.Package.Name = "a" },
		func(p *domain.GitHubConfigParams) { p.Package.Name, p.WorkflowFilename = "b", "ci.yml" },
		func(p *domain.GitHubConfigParams) { p.Package.Name = "c" },
	)
	grants, err := domain.Authorize(configs, claims)
	require.NoError(t, err)
	grants, err = domain.Narrow(grants, []domain.Package{cargo("c")})
	require.NoError(t, err)

	got := domain.Pins(configs, grants, claims)

	require.Equal(t, []domain.Pin{{ConfigID: 3, After: map[string]string{"repository_id": "1296269"}}}, got)
}

func withIDs(ids map[string]string) func(*domain.Registered, *domain.Workload) {
	return func(_ *domain.Registered, w *domain.Workload) { w.IDs = ids }
}

func pinMiss(got string) *domain.Mismatch {
	return &domain.Mismatch{Rule: domain.RulePinnedID, Got: got, Expected: `"1296269"`}
}

func TestAnUnusedConfigDoesNotLetInWhatAPinnedOneOfThePackageKeepsOut(t *testing.T) {
	pinned := func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "99"} }
	confirmed := func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "74"} }
	unused := func(p *domain.GitHubConfigParams) { p.Environment = new("production") }
	elsewhere := func(p *domain.GitHubConfigParams) { p.Package.Name = "other" }
	claims := trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
		w.Environment, w.IDs = "production", map[string]string{"repository_id": "74"}
	})

	for _, configs := range [][]domain.Config{githubConfigs(t, pinned, unused), githubConfigs(t, unused, pinned)} {
		_, err := domain.Authorize(configs, claims)
		requireError(t, err, domain.KindRefused, domain.CodePinnedIDMismatch)
	}
	grants, err := domain.Authorize(githubConfigs(t, pinned, elsewhere), claims)
	require.NoError(t, err)
	require.Equal(t, "other", grants[0].Package.Name, "a config of another package says nothing about this one")
	grants, err = domain.Authorize(githubConfigs(t, pinned, confirmed), claims)
	require.NoError(t, err)
	require.Len(t, grants, 1, "a config that is pinned to the repository itself was confirmed")
}
