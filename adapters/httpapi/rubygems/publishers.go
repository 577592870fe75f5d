package rubygems

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// gemName is the rule of RubyGems.org, which asks for a letter besides.
var gemName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// gemOf returns the package that the path names. The name is decoded once, here: the
// router decodes a segment at one time and not at another.
func gemOf(c echo.Context) (domain.Package, error) {
	escaped, _, _ := strings.Cut(strings.TrimPrefix(c.Request().URL.EscapedPath(), gemsPrefix), "/")
	name, err := url.PathUnescape(escaped)
	if err != nil || !gemName.MatchString(name) || strings.Trim(name, "0123456789._-") == "" {
		return domain.Package{}, domain.Invalid(domain.CodeMalformedRequest,
			"This is not the name of a gem. It has letters, digits, dots, hyphens and underscores, begins with a letter or a digit, and has a letter.")
	}
	return domain.NewPackage(Ecosystem, name)
}

// list answers the trusted publishers of a gem, of all kinds: whoever reads the list
// wants to know who can publish.
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
		Package: gem, Limit: application.MaxConfigsPerPackage,
	})
	if err != nil {
		return err
	}
	shown := make([]publisher, 0, len(page.Configs))
	for _, config := range page.Configs {
		shown = append(shown, show(config))
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
	return c.JSON(http.StatusCreated, show(config))
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
	err = d.cfg.Publishers.DeleteConfig(c.Request().Context(), actor, application.Selection{ID: id, Package: gem})
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
	if kind == nil || *kind != typeGitHub {
		return params, domain.Invalid(domain.CodeMalformedRequest, "The only trusted_publisher_type here is %s.", typeGitHub)
	}
	inner, err := object.Object("trusted_publisher")
	if err != nil {
		return params, err
	}
	names := []string{
		"repository_owner", "repository_name", "workflow_filename", "environment",
		"workflow_repository_owner", "workflow_repository_name", "reusable_workflow_filename", "issuer",
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
	params.WorkflowFilename, params.Issuer = values["workflow_filename"], values["issuer"]
	// The form on RubyGems.org sends an empty environment for none.
	if environment := values["environment"]; environment != "" {
		params.Environment = &environment
	}
	owner, name := values["workflow_repository_owner"], values["workflow_repository_name"]
	params.ReusableWorkflowFilename = values["reusable_workflow_filename"]
	if (owner == "") != (name == "") {
		return params, domain.Invalid(domain.CodeMalformedRequest, "A workflow repository is named by workflow_repository_owner and workflow_repository_name together. Leave both out where the workflow is of the repository itself.")
	}
	if owner != "" {
		params.WorkflowRepository = owner + "/" + name
		if params.ReusableWorkflowFilename == "" {
			params.ReusableWorkflowFilename = params.WorkflowFilename
		}
	}
	return params, nil
}
