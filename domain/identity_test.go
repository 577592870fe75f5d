package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestConfigsAreIdenticalWhereTheyTrustTheSame(t *testing.T) {
	github := func(changes ...func(*domain.GitHubConfigParams)) domain.Config {
		return trustpubtest.NewGitHubConfig(t, append([]func(*domain.GitHubConfigParams){asksForReusable, func(p *domain.GitHubConfigParams) {
			p.Environment = new("production")
		}}, changes...)...)
	}
	gitlab := func(changes ...func(*domain.GitLabConfigParams)) domain.Config {
		return trustpubtest.NewGitLabConfig(t, append([]func(*domain.GitLabConfigParams){func(p *domain.GitLabConfigParams) {
			p.Environment = new("production")
		}}, changes...)...)
	}
	tests := []struct {
		name   string
		config domain.Config
		same   domain.Config
	}{
		{"a GitHub owner in another case", github(), github(func(p *domain.GitHubConfigParams) { p.Owner = "OCTO-Org" })},
		{"a GitHub repository in another case", github(), github(func(p *domain.GitHubConfigParams) { p.Repository = "Octo-REPO" })},
		{"a reusable workflow's repository in another case", github(), github(func(p *domain.GitHubConfigParams) { p.WorkflowRepository = "Octo-Tools/PUBLISH" })},
		{"a GitHub environment in another case", github(), github(func(p *domain.GitHubConfigParams) { p.Environment = new("Production") })},
		{"a GitHub config of another number and age", github(), github(func(p *domain.GitHubConfigParams) { p.ID, p.CreatedAt = 9, p.CreatedAt.AddDate(1, 0, 0) })},
		{"a GitHub config that is pinned", github(), github().Stored(9, map[string]string{"repository_id": "7"})},
		{"a GitLab namespace in another case", gitlab(), gitlab(func(p *domain.GitLabConfigParams) { p.Namespace = "Octo-Group/TOOLS" })},
		{"a GitLab project in another case", gitlab(), gitlab(func(p *domain.GitLabConfigParams) { p.Project = "Octo-Project" })},
		{"a GitLab environment in another case", gitlab(), gitlab(func(p *domain.GitLabConfigParams) { p.Environment = new("PRODUCTION") })},
		{"a GitLab config that is pinned", gitlab(), gitlab().Stored(9, map[string]string{"project_id": "7"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.config.Identity(), tt.same.Identity())
		})
	}
}

func TestConfigsAreNotIdenticalWhereAnyValueDiffers(t *testing.T) {
	github := func(changes ...func(*domain.GitHubConfigParams)) domain.Config {
		return trustpubtest.NewGitHubConfig(t, changes...)
	}
	gitlab := func(changes ...func(*domain.GitLabConfigParams)) domain.Config {
		return trustpubtest.NewGitLabConfig(t, changes...)
	}
	configs := map[string]domain.Config{
		"GitHub":                      github(),
		"GitHub, another issuer":      github(func(p *domain.GitHubConfigParams) { p.Issuer = "https://ghes.example" }),
		"GitHub, another owner":       github(func(p *domain.GitHubConfigParams) { p.Owner = "octo" }),
		"GitHub, another repository":  github(func(p *domain.GitHubConfigParams) { p.Repository = "octo" }),
		"GitHub, another owner ID":    github(func(p *domain.GitHubConfigParams) { p.OwnerID = 66 }),
		"GitHub, another workflow":    github(func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "ci.yml" }),
		"GitHub, workflow's case":     github(func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "Release.yml" }),
		"GitHub, an environment":      github(func(p *domain.GitHubConfigParams) { p.Environment = new("production") }),
		"GitHub, another environment": github(func(p *domain.GitHubConfigParams) { p.Environment = new("staging") }),
		"GitHub, a reusable workflow": github(asksForReusable),
		"GitHub, another file of it":  github(asksForReusable, func(p *domain.GitHubConfigParams) { p.ReusableWorkflowFilename = "x.yml" }),
		"GitHub, its file's case":     github(asksForReusable, func(p *domain.GitHubConfigParams) { p.ReusableWorkflowFilename = "Publish.yml" }),
		"GitHub, another place of it": github(asksForReusable, func(p *domain.GitHubConfigParams) { p.WorkflowRepository = "octo/publish" }),
		"GitHub, Kelvin environment":  github(func(p *domain.GitHubConfigParams) { p.Environment = new("\u212ait") }),
		"GitHub, plain environment":   github(func(p *domain.GitHubConfigParams) { p.Environment = new("kit") }),
		"GitLab":                      gitlab(),
		"GitLab, another issuer":      gitlab(func(p *domain.GitLabConfigParams) { p.Issuer = "https://gitlab.example" }),
		"GitLab, another namespace":   gitlab(func(p *domain.GitLabConfigParams) { p.Namespace = "octo-group" }),
		"GitLab, another project":     gitlab(func(p *domain.GitLabConfigParams) { p.Project = "other" }),
		"GitLab, another file":        gitlab(func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = "ci/.gitlab-ci.yml" }),
		"GitLab, the file's case":     gitlab(func(p *domain.GitLabConfigParams) { p.WorkflowFilepath = ".GitLab-CI.yml" }),
		"GitLab, an environment":      gitlab(func(p *domain.GitLabConfigParams) { p.Environment = new("production") }),
		"GitLab, another environment": gitlab(func(p *domain.GitLabConfigParams) { p.Environment = new("staging") }),
		"GitLab, nested otherwise": gitlab(func(p *domain.GitLabConfigParams) {
			p.Namespace, p.Project = "octo-group/tools/octo-project", "octo-project"
		}),
	}
	names := map[string]string{}
	for name, config := range configs {
		require.NotContains(t, names, config.Identity(), "%s is identical to %s", name, names[config.Identity()])
		names[config.Identity()] = name
	}
}

func TestValuesThatLookLikeSeveralMakeNoOtherConfigIdentical(t *testing.T) {
	claims := func(claims map[string][]string) domain.Config {
		return trustpubtest.NewClaimsConfig(t, func(p *domain.ClaimsConfigParams) { p.Claims = claims })
	}
	configs := []domain.Config{
		claims(map[string][]string{"branch": {"a", "b"}}),
		claims(map[string][]string{"branch": {`a""b`}}),
		claims(map[string][]string{"branch": {`a","b`}}),
		claims(map[string][]string{"branch": {`a\"\"b`}}),
		claims(map[string][]string{"branch": {"ab"}}),
		claims(map[string][]string{"branch": {"a"}, "b": {"c"}}),
		claims(map[string][]string{"branch": {"a", "b", "c"}}),
	}
	for i, one := range configs {
		for _, other := range configs[i+1:] {
			require.NotEqual(t, one.Identity(), other.Identity())
		}
	}
}
