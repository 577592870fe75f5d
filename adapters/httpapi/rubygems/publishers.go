package rubygems

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// githubAction is the type of the trusted publishers that this dialect has.
const githubAction = "OIDC::TrustedPublisher::GitHubAction"

// publisher is a trusted publisher of a gem as clients see it.
type publisher struct {
	ID        int64           `json:"id"`
	Type      string          `json:"trusted_publisher_type"`
	Publisher githubPublisher `json:"trusted_publisher"`
}

type githubPublisher struct {
	RepositoryOwner          string  `json:"repository_owner"`
	RepositoryOwnerID        string  `json:"repository_owner_id"`
	RepositoryName           string  `json:"repository_name"`
	WorkflowFilename         string  `json:"workflow_filename"`
	Environment              *string `json:"environment"`
	WorkflowRepositoryOwner  *string `json:"workflow_repository_owner"`
	WorkflowRepositoryName   *string `json:"workflow_repository_name"`
	ReusableWorkflowFilename *string `json:"reusable_workflow_filename"`
}

// gemOf returns the package that the path names. The router decodes a segment only
// where the URL has an encoded slash in it.
func gemOf(c echo.Context) (domain.Package, error) {
	name, err := url.PathUnescape(c.Param("gem"))
	if err != nil {
		name = ""
	}
	return domain.NewPackage(Ecosystem, name)
}

func (d *Dialect) list(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	gem, err := gemOf(c)
	if err != nil {
		return err
	}
	page, err := d.cfg.Publishers.ListConfigs(c.Request().Context(), actor, application.ListQuery{
		Package: gem, Kind: domain.KindGitHubConfig, Limit: application.MaxConfigsPerPackage,
	})
	if err != nil {
		return err
	}
	shown := []publisher{}
	for _, config := range page.Configs {
		if github, ok := config.(domain.GitHubConfig); ok {
			shown = append(shown, show(github))
		}
	}
	return c.JSON(http.StatusOK, shown)
}

func (d *Dialect) create(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	gem, err := gemOf(c)
	if err != nil {
		return err
	}
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedRequest, request.JSON)
	if err != nil {
		return err
	}
	object, err := body.Object()
	if err != nil {
		return err
	}
	params, err := params(object)
	if err != nil {
		return err
	}
	params.Package = gem
	config, err := d.cfg.Publishers.CreateConfig(c.Request().Context(), actor, params)
	if err != nil {
		return err
	}
	github, ok := config.(domain.GitHubConfig)
	if !ok {
		return c.NoContent(http.StatusCreated)
	}
	return c.JSON(http.StatusCreated, show(github))
}

func (d *Dialect) delete(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	gem, err := gemOf(c)
	if err != nil {
		return err
	}
	id, ok := request.Decimal(c.Param("id"))
	if !ok {
		return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no trusted publisher with that ID."}
	}
	err = d.cfg.Publishers.DeleteConfig(c.Request().Context(), actor, application.Selection{ID: id, Kind: domain.KindGitHubConfig, Package: gem})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// params decodes a trusted publisher. At RubyGems.org a publisher with a workflow
// repository names the reusable workflow alone; here the workflow that calls it is
// named too, and has the same file name unless reusable_workflow_filename says
// another: that can refuse a job, and never trusts one more.
func params(object request.Object) (domain.GitHubConfigParams, error) {
	var params domain.GitHubConfigParams
	err := object.Only("trusted_publisher_type", "trusted_publisher")
	if err != nil {
		return params, err
	}
	kind, err := object.String("trusted_publisher_type")
	if err != nil {
		return params, err
	}
	if kind == nil || *kind != githubAction {
		return params, domain.Invalid(domain.CodeMalformedRequest, "The only trusted_publisher_type here is %s.", githubAction)
	}
	inner, err := object.Object("trusted_publisher")
	if err != nil {
		return params, err
	}
	names := []string{
		"repository_owner", "repository_name", "workflow_filename", "environment",
		"workflow_repository_owner", "workflow_repository_name", "reusable_workflow_filename",
	}
	err = inner.Only(append(names, "repository_owner_id")...)
	if err != nil {
		return params, err
	}
	values := map[string]string{}
	for _, name := range names {
		value, err := inner.String(name)
		if err != nil {
			return params, err
		}
		if value != nil {
			values[name] = *value
		}
	}
	params.OwnerID, err = inner.PositiveInt64("repository_owner_id")
	if err != nil {
		return params, err
	}
	params.Owner, params.Repository = values["repository_owner"], values["repository_name"]
	params.WorkflowFilename = values["workflow_filename"]
	// The form on RubyGems.org sends an empty environment for none.
	if environment := values["environment"]; environment != "" {
		params.Environment = &environment
	}
	owner, name := values["workflow_repository_owner"], values["workflow_repository_name"]
	params.ReusableWorkflowFilename = values["reusable_workflow_filename"]
	if owner != "" || name != "" {
		params.WorkflowRepository = owner + "/" + name
		if params.ReusableWorkflowFilename == "" {
			params.ReusableWorkflowFilename = params.WorkflowFilename
		}
	}
	return params, nil
}

func show(config domain.GitHubConfig) publisher {
	shown := publisher{ID: config.ID(), Type: githubAction, Publisher: githubPublisher{
		RepositoryOwner:   config.Repository().Owner,
		RepositoryOwnerID: strconv.FormatInt(config.OwnerID(), 10),
		RepositoryName:    config.Repository().Name,
		WorkflowFilename:  config.WorkflowFilename(),
	}}
	if environment, asked := config.Environment(); asked {
		shown.Publisher.Environment = &environment
	}
	if repository, filename, asked := config.ReusableWorkflow(); asked {
		shown.Publisher.WorkflowRepositoryOwner, shown.Publisher.WorkflowRepositoryName = &repository.Owner, &repository.Name
		shown.Publisher.ReusableWorkflowFilename = &filename
	}
	return shown
}
