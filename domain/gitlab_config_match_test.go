package domain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestGitLabConfigMatchesItsPipeline(t *testing.T) {
	tests := []struct {
		name   string
		config func(*domain.GitLabConfigParams)
		claims func(*domain.Registered, *domain.Workload)
	}{
		{name: "the same"},
		{
			name: "a project in another case",
			claims: func(_ *domain.Registered, w *domain.Workload) {
				w.Repository = domain.Repository{Owner: "Octo-Group/TOOLS", Name: "OCTO-project"}
			},
		},
		{name: "a config in another case", config: func(p *domain.GitLabConfigParams) { p.Namespace, p.Project = "OCTO-GROUP/Tools", "Octo-Project" }},
		{name: "no environment asked for, one given", claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "anything" }},
		{
			name:   "an environment in another case",
			config: func(p *domain.GitLabConfigParams) { p.Environment = new("Review/MAIN") },
			claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "review/main" },
		},
		{name: "pinned to both IDs", config: pinnedGitLab("72")},
		{name: "pinned to the namespace alone", config: func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"namespace_id": "72"} }},
		{
			name: "whatever the subject and the details say",
			claims: func(r *domain.Registered, w *domain.Workload) {
				r.Subject, w.Details = "project_path:evil/evil", domain.NewDetails(map[string]string{"project_path": "evil/evil"})
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := gitlabPair(t, tt.config, tt.claims)

			require.Nil(t, config.Match(claims))
		})
	}
}

func TestGitLabConfigSaysWhichRuleFailsWithGotAndExpected(t *testing.T) {
	const project = `"octo-group/tools/octo-project"`
	production := func(p *domain.GitLabConfigParams) { p.Environment = new("production") }
	path := func(owner, name string) func(*domain.Registered, *domain.Workload) {
		return func(_ *domain.Registered, w *domain.Workload) {
			w.Repository, w.IDs = domain.Repository{Owner: owner, Name: name}, nil
		}
	}
	file := func(s string) func(*domain.Registered, *domain.Workload) {
		return func(_ *domain.Registered, w *domain.Workload) { w.Workflow = s }
	}
	ids := func(ids map[string]string) func(*domain.Registered, *domain.Workload) {
		return func(_ *domain.Registered, w *domain.Workload) { w.IDs = ids }
	}
	environment := func(s string) func(*domain.Registered, *domain.Workload) {
		return func(_ *domain.Registered, w *domain.Workload) { w.Environment = s }
	}
	tests := []struct {
		name   string
		config func(*domain.GitLabConfigParams)
		claims func(*domain.Registered, *domain.Workload)
		want   domain.Mismatch
	}{
		{"another provider", nil, func(_ *domain.Registered, w *domain.Workload) { w.Provider = "github" }, domain.Mismatch{Rule: domain.RuleRepository, Got: project, Expected: project}},
		{"another instance", nil, func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://gitlab.example" }, domain.Mismatch{Rule: domain.RuleRepository, Got: project, Expected: project}},
		{"another instance, pinned to the same numbers", pinnedGitLab("72"), func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://gitlab.example" }, domain.Mismatch{Rule: domain.RuleRepository, Got: project, Expected: project}},
		{"the group above", nil, path("octo-group", "octo-project"), domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-group/octo-project"`, Expected: project}},
		{"the group below", nil, path("octo-group/tools/evil", "octo-project"), domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-group/tools/evil/octo-project"`, Expected: project}},
		{"another group", nil, path("evil/tools", "octo-project"), domain.Mismatch{Rule: domain.RuleRepository, Got: `"evil/tools/octo-project"`, Expected: project}},
		{"another project", nil, path("octo-group/tools", "octo-project2"), domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-group/tools/octo-project2"`, Expected: project}},
		{"a group with a Kelvin sign", func(p *domain.GitLabConfigParams) { p.Namespace = "kit" }, path("\u212ait", "octo-project"), domain.Mismatch{Rule: domain.RuleRepository, Got: "\"\u212ait/octo-project\"", Expected: `"kit/octo-project"`}},
		{"a project with a long s", func(p *domain.GitLabConfigParams) { p.Project = "set" }, path("octo-group/tools", "ſet"), domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-group/tools/ſet"`, Expected: `"octo-group/tools/set"`}},
		{
			"a namespace that was taken over", pinnedGitLab("72"), ids(map[string]string{"namespace_id": "99", "project_id": "100"}),
			domain.Mismatch{Rule: domain.RulePinnedID, Got: `namespace_id "99"`, Expected: `"72"`},
		},
		{
			"a project that was made anew", pinnedGitLab("72"), ids(map[string]string{"namespace_id": "72", "project_id": "21"}),
			domain.Mismatch{Rule: domain.RulePinnedID, Got: `project_id "21"`, Expected: `"20"`},
		},
		{
			"the numbers the other way round", pinnedGitLab("72"), ids(map[string]string{"namespace_id": "20", "project_id": "72"}),
			domain.Mismatch{Rule: domain.RulePinnedID, Got: `namespace_id "20"`, Expected: `"72"`},
		},
		{
			"no numbers", pinnedGitLab("72"), ids(nil),
			domain.Mismatch{Rule: domain.RulePinnedID, Got: `namespace_id ""`, Expected: `"72"`},
		},
		{
			"a project that was moved to another group", pinnedGitLab("72"),
			func(_ *domain.Registered, w *domain.Workload) {
				w.Repository.Owner, w.IDs = "new-group", map[string]string{"namespace_id": "73", "project_id": "20"}
			},
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"new-group/octo-project"`, Expected: project},
		},
		{
			"a project that was renamed", pinnedGitLab("72"),
			func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = "new-name" },
			domain.Mismatch{Rule: domain.RuleRenamed, Got: `"octo-group/tools/new-name"`, Expected: project},
		},
		{"another file", nil, file("ci/evil.yml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"ci/evil.yml"`, Expected: `".gitlab-ci.yml"`}},
		{"the file in a folder", nil, file("x/.gitlab-ci.yml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"x/.gitlab-ci.yml"`, Expected: `".gitlab-ci.yml"`}},
		{"the file's name without its folder", func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = "ci/a.yml" }, file("a.yml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"a.yml"`, Expected: `"ci/a.yml"`}},
		{"the file in another case", nil, file(".GitLab-ci.yml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `".GitLab-ci.yml"`, Expected: `".gitlab-ci.yml"`}},
		{"the file with the other ending", nil, file(".gitlab-ci.yaml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `".gitlab-ci.yaml"`, Expected: `".gitlab-ci.yml"`}},
		{"no environment", production, nil, domain.Mismatch{Rule: domain.RuleEnvironment, Got: "no environment", Expected: `"production"`}},
		{"another environment", production, environment("staging"), domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "staging"`, Expected: `"production"`}},
		{"an environment below it", production, environment("production/eu"), domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "production/eu"`, Expected: `"production"`}},
		{"an environment with a Kelvin sign", func(p *domain.GitLabConfigParams) { p.Environment = new("kit") }, environment("\u212ait"), domain.Mismatch{Rule: domain.RuleEnvironment, Got: "the environment \"\u212ait\"", Expected: `"kit"`}},
		{"file and environment: the file goes first", production, file("a.yml"), domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"a.yml"`, Expected: `".gitlab-ci.yml"`}},
		{
			"number and file: the number goes first", pinnedGitLab("7"), file("a.yml"),
			domain.Mismatch{Rule: domain.RulePinnedID, Got: `namespace_id "72"`, Expected: `"7"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := gitlabPair(t, tt.config, tt.claims)

			got := config.Match(claims)

			require.NotNil(t, got)
			require.Empty(t, cmp.Diff(tt.want, *got))
		})
	}
}

func TestConfigsOfOneProviderNeverMatchAWorkloadOfAnother(t *testing.T) {
	// Both have the same issuer, key, file and IDs, which no operator can bring about.
	change := func(p *domain.GitLabConfigParams) {
		p.Issuer, p.Namespace, p.Project, p.WorkflowFilepath = trustpubtest.Issuer, "octo-org", "octo-repo", "release.yml"
	}
	gitlab := trustpubtest.NewGitLabConfig(t, change)
	github := trustpubtest.NewGitHubConfig(t)
	ofGitHub := trustpubtest.NewClaims(t)
	ofGitLab := trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Provider = domain.ProviderGitLab })

	require.Nil(t, github.Match(ofGitHub))
	require.Nil(t, gitlab.Match(ofGitLab))
	require.NotNil(t, github.Match(ofGitLab))
	require.NotNil(t, gitlab.Match(ofGitHub))
}

// pinnedGitLab pins a config to project 20 in that namespace.
func pinnedGitLab(namespace string) func(*domain.GitLabConfigParams) {
	return func(p *domain.GitLabConfigParams) {
		p.Pinned = map[string]string{"namespace_id": namespace, "project_id": "20"}
	}
}

// gitlabPair returns a config and claims that match but for the changes, each of
// which may be nil.
func gitlabPair(t *testing.T, config func(*domain.GitLabConfigParams), claims func(*domain.Registered, *domain.Workload)) (domain.GitLabConfig, domain.Claims) {
	t.Helper()
	if config == nil {
		config = func(*domain.GitLabConfigParams) {}
	}
	if claims == nil {
		claims = func(*domain.Registered, *domain.Workload) {}
	}
	pipeline := func(r *domain.Registered, w *domain.Workload) {
		r.Issuer, r.Subject = "https://gitlab.com", "project_path:octo-group/tools/octo-project:ref_type:tag:ref:v1"
		w.Provider, w.Repository = domain.ProviderGitLab, domain.Repository{Owner: "octo-group/tools", Name: "octo-project"}
		w.OwnerID, w.Workflow = "72", ".gitlab-ci.yml"
		w.IDs = map[string]string{"namespace_id": "72", "project_id": "20"}
	}
	return trustpubtest.NewGitLabConfig(t, config), trustpubtest.NewClaims(t, pipeline, claims)
}
