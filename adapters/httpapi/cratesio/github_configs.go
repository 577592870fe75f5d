package cratesio

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

const (
	// defaultEcosystem is that of a config which names none.
	defaultEcosystem = "cargo"
	// defaultPerPage and maxPerPage bound a page of configs, as at crates.io.
	defaultPerPage, maxPerPage = 10, 100
)

// githubConfig is a config as clients see it.
type githubConfig struct {
	ID                int64     `json:"id"`
	Crate             string    `json:"crate"`
	Package           string    `json:"package"`
	Ecosystem         string    `json:"ecosystem"`
	RepositoryOwner   string    `json:"repository_owner"`
	RepositoryOwnerID int64     `json:"repository_owner_id"`
	RepositoryName    string    `json:"repository_name"`
	WorkflowFilename  string    `json:"workflow_filename"`
	Environment       *string   `json:"environment"`
	Issuer            string    `json:"issuer"`
	CreatedAt         time.Time `json:"created_at"`
}

func show(config domain.GitHubConfig) githubConfig {
	shown := githubConfig{
		ID:                config.ID(),
		Crate:             config.Package().Name,
		Package:           config.Package().Name,
		Ecosystem:         config.Package().Ecosystem,
		RepositoryOwner:   config.Repository().Owner,
		RepositoryOwnerID: config.OwnerID(),
		RepositoryName:    config.Repository().Name,
		WorkflowFilename:  config.WorkflowFilename(),
		Issuer:            config.Issuer(),
		CreatedAt:         config.CreatedAt().UTC(),
	}
	if environment, ok := config.Environment(); ok {
		shown.Environment = &environment
	}
	return shown
}

func (d *Dialect) createGitHubConfig(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedRequest, request.JSON)
	if err != nil {
		return err
	}
	params, err := githubConfigParams(body)
	if err != nil {
		return err
	}
	config, err := d.cfg.Publishers.CreateGitHubConfig(c.Request().Context(), actor, params)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		GitHubConfig githubConfig `json:"github_config"`
	}{show(config)})
}

// githubConfigParams decodes {"github_config":{…}}. Whether the values obey the
// rules is for the domain to say.
func githubConfigParams(body request.Body) (domain.GitHubConfigParams, error) {
	var params domain.GitHubConfigParams
	outer, err := body.Object()
	if err != nil {
		return params, err
	}
	err = outer.Only("github_config")
	if err != nil {
		return params, err
	}
	object, err := outer.Object("github_config")
	if err != nil {
		return params, err
	}
	err = object.Only("crate", "package", "ecosystem", "repository_owner", "repository_owner_id",
		"repository_name", "workflow_filename", "environment", "issuer")
	if err != nil {
		return params, err
	}

	values := request.Parameters{}
	for _, name := range []string{"crate", "package", "ecosystem", "repository_owner", "repository_name", "workflow_filename", "issuer"} {
		value, err := object.String(name)
		if err != nil {
			return params, err
		}
		if value != nil {
			values[name] = *value
		}
	}
	params.Package, err = packageOf(values)
	if err != nil {
		return params, err
	}
	params.OwnerID, err = object.PositiveInt64("repository_owner_id")
	if err != nil {
		return params, err
	}
	params.Environment, err = object.String("environment")
	if err != nil {
		return params, err
	}
	params.Issuer = values["issuer"]
	params.Owner, params.Repository = values["repository_owner"], values["repository_name"]
	params.WorkflowFilename = values["workflow_filename"]
	return params, nil
}

// packageOf reads the package that crate, or its other name package, and
// ecosystem say.
func packageOf(values request.Parameters) (domain.Package, error) {
	crate, hasCrate := values["crate"]
	name, hasPackage := values["package"]
	switch {
	case !hasCrate && !hasPackage:
		return domain.Package{}, domain.Invalid(domain.CodeMalformedRequest, "The package is missing. Name it with crate, or with package.")
	case hasCrate && hasPackage && crate != name:
		return domain.Package{}, domain.Invalid(domain.CodeMalformedRequest, "The members crate and package are two names for the same thing, and name two packages here.")
	case !hasPackage:
		name = crate
	}
	ecosystem, hasEcosystem := values["ecosystem"]
	if !hasEcosystem {
		ecosystem = defaultEcosystem
	}
	return domain.NewPackage(ecosystem, name)
}

func (d *Dialect) listGitHubConfigs(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	parameters, err := request.ParseParameters(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	query, err := listQuery(parameters)
	if err != nil {
		return err
	}
	page, err := d.cfg.Publishers.ListGitHubConfigs(c.Request().Context(), actor, query)
	if err != nil {
		return err
	}
	shown := make([]githubConfig, 0, len(page.Configs))
	for i := range page.Configs {
		shown = append(shown, show(page.Configs[i]))
	}
	type meta struct {
		Total    int     `json:"total"`
		NextPage *string `json:"next_page"`
	}
	return c.JSON(http.StatusOK, struct {
		GitHubConfigs []githubConfig `json:"github_configs"`
		Meta          meta           `json:"meta"`
	}{shown, meta{page.Total, nextPage(parameters, page)}})
}

func listQuery(parameters request.Parameters) (application.ListQuery, error) {
	pkg, err := packageOf(parameters)
	if err != nil {
		return application.ListQuery{}, err
	}
	perPage, err := parameters.Number("per_page", 1, maxPerPage, defaultPerPage)
	if err != nil {
		return application.ListQuery{}, err
	}
	after, err := parameters.Number("seek", 1, math.MaxInt64, 0)
	if err != nil {
		return application.ListQuery{}, err
	}
	return application.ListQuery{Package: pkg, After: after, Limit: int(perPage)}, nil
}

// nextPage returns the query of the page that follows: the same one, from after
// the last config on. It is nil where no page follows.
func nextPage(parameters request.Parameters, page application.GitHubConfigPage) *string {
	if !page.More || len(page.Configs) == 0 {
		return nil
	}
	values := url.Values{}
	for name, value := range parameters {
		values.Set(name, value)
	}
	last := page.Configs[len(page.Configs)-1].ID()
	values.Set("seek", strconv.FormatInt(last, 10))
	next := "?" + values.Encode()
	return &next
}

func (d *Dialect) deleteGitHubConfig(c echo.Context) error {
	actor, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	id, ok := request.Decimal(c.Param("id"))
	if !ok {
		return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no publisher config with that ID."}
	}
	err = d.cfg.Publishers.DeleteGitHubConfig(c.Request().Context(), actor, id)
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
