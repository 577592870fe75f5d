package domain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestGitHubConfigMatchesItsWorkload(t *testing.T) {
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		claims func(*domain.Registered, *domain.Workload)
	}{
		{name: "the same"},
		{
			name: "repository in another case",
			claims: func(_ *domain.Registered, w *domain.Workload) {
				w.Repository = domain.Repository{Owner: "OCTO-org", Name: "Octo-Repo"}
			},
		},
		{
			name:   "config in another case",
			config: func(p *domain.GitHubConfigParams) { p.Owner, p.Repository = "Octo-Org", "OCTO-REPO" },
		},
		{
			name:   "no environment asked for, one given",
			claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "anything" },
		},
		{
			name:   "environment in the same case",
			config: func(p *domain.GitHubConfigParams) { p.Environment = new("Production 1") },
			claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "Production 1" },
		},
		{
			name:   "environment in another case",
			config: func(p *domain.GitHubConfigParams) { p.Environment = new("pRoDuCtIoN") },
			claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "Production" },
		},
		{
			name:   "environment beyond ASCII",
			config: func(p *domain.GitHubConfigParams) { p.Environment = new("Größe") },
			claims: func(_ *domain.Registered, w *domain.Workload) { w.Environment = "gRößE" },
		},
		{
			name: "whatever the subject and the details say",
			claims: func(r *domain.Registered, w *domain.Workload) {
				r.Subject, w.Details = "repo:evil/evil", domain.NewDetails(map[string]string{"repository": "evil/evil"})
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, claims := pair(t, tt.config, tt.claims)

			require.Nil(t, config.Match(claims))
		})
	}
}

func TestGitHubConfigSaysWhichRuleFailsWithGotAndExpected(t *testing.T) {
	production := func(p *domain.GitHubConfigParams) { p.Environment = new("production") }
	tests := []struct {
		name   string
		config func(*domain.GitHubConfigParams)
		claims func(*domain.Registered, *domain.Workload)
		want   domain.Mismatch
	}{
		{
			"another provider", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Provider = "gitlab" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/octo-repo"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"another issuer", nil,
			func(r *domain.Registered, _ *domain.Workload) { r.Issuer = "https://ghes.example" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/octo-repo"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"an issuer that differs by case", nil,
			func(r *domain.Registered, _ *domain.Workload) { r.Issuer = strings.ToUpper(r.Issuer) },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/octo-repo"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"another owner", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Repository.Owner = "evil" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"evil/octo-repo"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"another repository", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Repository.Name = "octo-repo2" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/octo-repo2"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"an owner with a Kelvin sign", func(p *domain.GitHubConfigParams) { p.Owner = "kkk" },
			func(_ *domain.Registered, w *domain.Workload) { w.Repository.Owner = "kk\u212a" },
			domain.Mismatch{Rule: domain.RuleRepository, Got: "\"kk\u212a/octo-repo\"", Expected: `"kkk/octo-repo"`},
		},
		{
			"another owner ID", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.OwnerID = "66" },
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"66"`, Expected: `"65"`},
		},
		{
			"an owner ID with a leading zero", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.OwnerID = "065" },
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"065"`, Expected: `"65"`},
		},
		{
			"an owner ID with a sign", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.OwnerID = "+65" },
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"+65"`, Expected: `"65"`},
		},
		{
			"an owner ID that begins alike", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.OwnerID = "650" },
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"650"`, Expected: `"65"`},
		},
		{
			"another workflow", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "ci.yml" },
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"ci.yml"`, Expected: `"release.yml"`},
		},
		{
			"a workflow in another case", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "Release.yml" },
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"Release.yml"`, Expected: `"release.yml"`},
		},
		{
			"a workflow with the other ending", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "release.yaml" },
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"release.yaml"`, Expected: `"release.yml"`},
		},
		{
			"a workflow with a long s", nil,
			func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "releaſe.yml" },
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"releaſe.yml"`, Expected: `"release.yml"`},
		},
		{
			"no environment", production, nil,
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: "no environment", Expected: `"production"`},
		},
		{
			"another environment", production,
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "staging" },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "staging"`, Expected: `"production"`},
		},
		{
			"an environment with a space behind", production,
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "production " },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "production "`, Expected: `"production"`},
		},
		{
			"an environment with a Kelvin sign", func(p *domain.GitHubConfigParams) { p.Environment = new("kit") },
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "\u212ait" },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: "the environment \"\u212ait\"", Expected: `"kit"`},
		},
		{
			"an environment with a long s", func(p *domain.GitHubConfigParams) { p.Environment = new("staging") },
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "ſtaging" },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "ſtaging"`, Expected: `"staging"`},
		},
		{
			"an environment with a dotted capital I", func(p *domain.GitHubConfigParams) { p.Environment = new("ist") },
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "İst" },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "İst"`, Expected: `"ist"`},
		},
		{
			"an accented letter in another case", func(p *domain.GitHubConfigParams) { p.Environment = new("été") },
			func(_ *domain.Registered, w *domain.Workload) { w.Environment = "ÉTÉ" },
			domain.Mismatch{Rule: domain.RuleEnvironment, Got: `the environment "ÉTÉ"`, Expected: `"été"`},
		},
		{
			"everything: the repository goes first", production,
			func(_ *domain.Registered, w *domain.Workload) {
				w.Repository.Name, w.OwnerID, w.Workflow = "evil", "66", "ci.yml"
			},
			domain.Mismatch{Rule: domain.RuleRepository, Got: `"octo-org/evil"`, Expected: `"octo-org/octo-repo"`},
		},
		{
			"all but the repository: the owner ID goes before the workflow", production,
			func(_ *domain.Registered, w *domain.Workload) { w.OwnerID, w.Workflow = "66", "ci.yml" },
			domain.Mismatch{Rule: domain.RuleOwnerID, Got: `"66"`, Expected: `"65"`},
		},
		{
			"workflow and environment: the workflow goes first", production,
			func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "ci.yml" },
			domain.Mismatch{Rule: domain.RuleWorkflow, Got: `"ci.yml"`, Expected: `"release.yml"`},
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

// pair returns a config and claims that match but for the changes, each of which may
// be nil.
func pair(t *testing.T, config func(*domain.GitHubConfigParams), claims func(*domain.Registered, *domain.Workload)) (domain.GitHubConfig, domain.Claims) {
	t.Helper()
	if config == nil {
		config = func(*domain.GitHubConfigParams) {}
	}
	if claims == nil {
		claims = func(*domain.Registered, *domain.Workload) {}
	}
	return trustpubtest.NewGitHubConfig(t, config), trustpubtest.NewClaims(t, claims)
}
