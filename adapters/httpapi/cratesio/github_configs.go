package cratesio

import (
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// githubConfig is a config for GitHub Actions as clients see it.
type githubConfig struct {
	ID                       int64     `json:"id"`
	Crate                    string    `json:"crate"`
	Package                  string    `json:"package"`
	Ecosystem                string    `json:"ecosystem"`
	RepositoryOwner          string    `json:"repository_owner"`
	RepositoryOwnerID        int64     `json:"repository_owner_id"`
	RepositoryName           string    `json:"repository_name"`
	RepositoryID             *string   `json:"repository_id,omitempty"`
	WorkflowFilename         string    `json:"workflow_filename"`
	WorkflowRepository       *string   `json:"workflow_repository,omitempty"`
	ReusableWorkflowFilename *string   `json:"reusable_workflow_filename,omitempty"`
	Environment              *string   `json:"environment"`
	Issuer                   string    `json:"issuer"`
	CreatedAt                time.Time `json:"created_at"`
}

func showGitHubConfig(config domain.Config) any {
	common := config.Common()
	shown := githubConfig{
		ID:           common.ID,
		Crate:        common.Package.Name,
		Package:      common.Package.Name,
		Ecosystem:    common.Package.Ecosystem,
		RepositoryID: nullable(common.Pinned["repository_id"]),
		Issuer:       common.Issuer,
		CreatedAt:    common.CreatedAt.UTC(),
	}
	if github, ok := config.(domain.GitHubConfig); ok {
		shown.RepositoryOwner, shown.RepositoryName = github.Repository().Owner, github.Repository().Name
		shown.RepositoryOwnerID = github.OwnerID()
		shown.WorkflowFilename = github.WorkflowFilename()
		if repository, filename, asked := github.ReusableWorkflow(); asked {
			shown.WorkflowRepository, shown.ReusableWorkflowFilename = nullable(repository.String()), &filename
		}
		environment, _ := github.Environment()
		shown.Environment = nullable(environment)
	}
	return shown
}

func githubConfigParams(object request.Object) (domain.ConfigParams, error) {
	values, err := stringsOf(object, []string{
		"crate", "package", "ecosystem", "repository_owner", "repository_name", "workflow_filename",
		"workflow_repository", "reusable_workflow_filename", "issuer",
	}, "repository_owner_id", "repository_id", "environment")
	if err != nil {
		return nil, err
	}
	pkg, err := packageOf(values)
	if err != nil {
		return nil, err
	}
	params := domain.GitHubConfigParams{
		Package: pkg, Issuer: values["issuer"],
		Owner: values["repository_owner"], Repository: values["repository_name"],
		WorkflowFilename:   values["workflow_filename"],
		WorkflowRepository: values["workflow_repository"], ReusableWorkflowFilename: values["reusable_workflow_filename"],
	}
	params.OwnerID, err = object.PositiveInt64("repository_owner_id")
	if err != nil {
		return nil, err
	}
	params.Pinned, err = pinned(object, "repository_id")
	if err != nil {
		return nil, err
	}
	params.Environment, err = object.String("environment")
	if err != nil {
		return nil, err
	}
	return params, nil
}
