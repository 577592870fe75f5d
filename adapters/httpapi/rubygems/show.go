package rubygems

import (
	"strconv"

	"github.com/trustpub/trustpub/domain"
)

// The types of trusted publishers, by the names of RubyGems.org.
const (
	typeGitHub = "OIDC::TrustedPublisher::GitHubAction"
	typeGitLab = "OIDC::TrustedPublisher::GitLab"
	// typeClaims is ours, for the providers that are described by a definition.
	typeClaims = "OIDC::TrustedPublisher::Claims"
)

// publisher is a trusted publisher of a gem as clients see it.
type publisher struct {
	ID   int64  `json:"id"`
	Type string `json:"trusted_publisher_type"`
	// Publisher has the members of that type.
	Publisher any `json:"trusted_publisher"`
}

type githubPublisher struct {
	Name                     string  `json:"name"`
	RepositoryOwner          string  `json:"repository_owner"`
	RepositoryOwnerID        string  `json:"repository_owner_id"`
	RepositoryName           string  `json:"repository_name"`
	WorkflowFilename         string  `json:"workflow_filename"`
	Environment              *string `json:"environment"`
	WorkflowRepositoryOwner  *string `json:"workflow_repository_owner"`
	WorkflowRepositoryName   *string `json:"workflow_repository_name"`
	ReusableWorkflowFilename *string `json:"reusable_workflow_filename"`
	Issuer                   string  `json:"issuer"`
}

type gitlabPublisher struct {
	Name         string  `json:"name"`
	ProjectPath  string  `json:"project_path"`
	CIConfigPath string  `json:"ci_config_path"`
	Environment  *string `json:"environment"`
	Issuer       string  `json:"issuer"`
}

type claimsPublisher struct {
	Name     string              `json:"name"`
	Provider string              `json:"provider"`
	Claims   map[string][]string `json:"claims"`
	Issuer   string              `json:"issuer"`
}

func show(config domain.Config) publisher {
	common := config.Common()
	shown := publisher{ID: common.ID}
	switch config := config.(type) {
	case domain.GitHubConfig:
		shown.Type, shown.Publisher = typeGitHub, showGitHub(config)
	case domain.GitLabConfig:
		environment, asked := config.Environment()
		shown.Type, shown.Publisher = typeGitLab, gitlabPublisher{
			Name:        named("GitLab", config.Project().String(), config.WorkflowFilepath(), environment),
			ProjectPath: config.Project().String(), CIConfigPath: config.WorkflowFilepath(), Environment: optional(environment, asked),
			Issuer: common.Issuer,
		}
	case domain.ClaimsConfig:
		shown.Type, shown.Publisher = typeClaims, claimsPublisher{
			Name: common.Provider + " " + config.Source(), Provider: common.Provider, Claims: config.Claims(), Issuer: common.Issuer,
		}
	}
	return shown
}

func showGitHub(config domain.GitHubConfig) githubPublisher {
	environment, asked := config.Environment()
	shown := githubPublisher{
		Name:              named("GitHub Actions", config.Repository().String(), ".github/workflows/"+config.WorkflowFilename(), environment),
		RepositoryOwner:   config.Repository().Owner,
		RepositoryOwnerID: strconv.FormatInt(config.OwnerID(), 10),
		RepositoryName:    config.Repository().Name,
		WorkflowFilename:  config.WorkflowFilename(),
		Environment:       optional(environment, asked),
		Issuer:            config.Issuer(),
	}
	if repository, filename, asked := config.ReusableWorkflow(); asked {
		shown.WorkflowRepositoryOwner, shown.WorkflowRepositoryName = &repository.Owner, &repository.Name
		shown.ReusableWorkflowFilename = &filename
	}
	return shown
}

// named returns what people know a publisher by, in the words of RubyGems.org.
func named(provider, source, file, environment string) string {
	name := provider + " " + source + " @ " + file
	if environment != "" {
		name += " (" + environment + ")"
	}
	return name
}

func optional(s string, present bool) *string {
	if !present {
		return nil
	}
	return &s
}
