package cratesio

import (
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// gitlabConfig is a config for GitLab CI/CD as clients see it.
type gitlabConfig struct {
	ID               int64     `json:"id"`
	Crate            string    `json:"crate"`
	Package          string    `json:"package"`
	Ecosystem        string    `json:"ecosystem"`
	Namespace        string    `json:"namespace"`
	NamespaceID      *string   `json:"namespace_id"`
	Project          string    `json:"project"`
	ProjectID        *string   `json:"project_id"`
	WorkflowFilepath string    `json:"workflow_filepath"`
	Environment      *string   `json:"environment"`
	Issuer           string    `json:"issuer"`
	CreatedAt        time.Time `json:"created_at"`
}

func showGitLabConfig(config domain.Config) any {
	common := config.Common()
	shown := gitlabConfig{
		ID:          common.ID,
		Crate:       common.Package.Name,
		Package:     common.Package.Name,
		Ecosystem:   common.Package.Ecosystem,
		NamespaceID: nullable(common.Pinned[domain.GitLabNamespaceID]),
		ProjectID:   nullable(common.Pinned[domain.GitLabProjectID]),
		Issuer:      common.Issuer,
		CreatedAt:   common.CreatedAt.UTC(),
	}
	if gitlab, ok := config.(domain.GitLabConfig); ok {
		shown.Namespace, shown.Project = gitlab.Project().Owner, gitlab.Project().Name
		shown.WorkflowFilepath = gitlab.WorkflowFilepath()
		environment, _ := gitlab.Environment()
		shown.Environment = nullable(environment)
	}
	return shown
}

func gitlabConfigParams(object request.Object) (domain.ConfigParams, error) {
	values, err := stringsOf(object, []string{
		"crate", "package", "ecosystem", "namespace", "project", "workflow_filepath", "issuer",
	}, domain.GitLabNamespaceID, domain.GitLabProjectID, "environment")
	if err != nil {
		return nil, err
	}
	pkg, err := packageOf(values)
	if err != nil {
		return nil, err
	}
	params := domain.GitLabConfigParams{
		Package: pkg, Issuer: values["issuer"],
		Namespace: values["namespace"], Project: values["project"], WorkflowFilepath: values["workflow_filepath"],
	}
	params.Pinned, err = pinned(object, domain.GitLabNamespaceID, domain.GitLabProjectID)
	if err != nil {
		return nil, err
	}
	params.Environment, err = object.String("environment")
	if err != nil {
		return nil, err
	}
	return params, nil
}
