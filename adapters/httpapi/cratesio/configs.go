package cratesio

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

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

// resource is the endpoint of the configs of one kind.
type resource struct {
	dialect *Dialect
	path    string
	// member is what a config is called in JSON; a list of them has an s.
	member string
	kind   domain.ConfigKind
	// params decodes a config. Whether the values obey the rules is for the domain to
	// say.
	params func(object request.Object) (domain.ConfigParams, error)
	// show returns a config as clients see it.
	show func(config domain.Config) any
}

// resources returns the endpoints of all kinds of configs.
func (d *Dialect) resources() []resource {
	return []resource{
		{d, GitHubConfigsPath, "github_config", domain.KindGitHubConfig, githubConfigParams, showGitHubConfig},
		{d, GitLabConfigsPath, "gitlab_config", domain.KindGitLabConfig, gitlabConfigParams, showGitLabConfig},
		{d, ConfigsPath, "config", domain.KindClaimsConfig, claimsConfigParams, showClaimsConfig},
	}
}

func (r resource) register(e *echo.Echo) {
	e.POST(r.path, Handle(r.create))
	e.PUT(r.path, Handle(r.create))
	e.GET(r.path, Handle(r.list))
	e.HEAD(r.path, Handle(r.list))
	e.DELETE(r.path+"/:id", Handle(r.delete))
}

func (r resource) create(c echo.Context) error {
	actor, err := r.dialect.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedRequest, request.JSON)
	if err != nil {
		return err
	}
	outer, err := body.Object()
	if err != nil {
		return err
	}
	err = outer.Only(r.member)
	if err != nil {
		return err
	}
	object, err := outer.Object(r.member)
	if err != nil {
		return err
	}
	params, err := r.params(object)
	if err != nil {
		return err
	}
	config, err := r.dialect.cfg.Publishers.CreateConfig(c.Request().Context(), actor, params)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{r.member: r.show(config)})
}

func (r resource) list(c echo.Context) error {
	actor, err := r.dialect.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	parameters, err := request.ParseParameters(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	query, err := r.listQuery(parameters)
	if err != nil {
		return err
	}
	page, err := r.dialect.cfg.Publishers.ListConfigs(c.Request().Context(), actor, query)
	if err != nil {
		return err
	}
	shown := make([]any, 0, len(page.Configs))
	for _, config := range page.Configs {
		shown = append(shown, r.show(config))
	}
	type meta struct {
		Total    int     `json:"total"`
		NextPage *string `json:"next_page"`
	}
	return c.JSON(http.StatusOK, map[string]any{r.member + "s": shown, "meta": meta{page.Total, nextPage(parameters, page)}})
}

func (r resource) delete(c echo.Context) error {
	actor, err := r.dialect.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	id, ok := request.Decimal(c.Param("id"))
	if !ok {
		return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no publisher config with that ID."}
	}
	err = r.dialect.cfg.Publishers.DeleteConfig(c.Request().Context(), actor, application.Selection{ID: id, Kind: r.kind})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// stringsOf returns those of the named members that are there, each of which must be
// a string, and refuses members that are in neither list.
func stringsOf(object request.Object, names []string, others ...string) (request.Parameters, error) {
	err := object.Only(append(slices.Clip(names), others...)...)
	if err != nil {
		return nil, err
	}
	values := request.Parameters{}
	for _, name := range names {
		value, err := object.String(name)
		if err != nil {
			return nil, err
		}
		if value != nil {
			values[name] = *value
		}
	}
	return values, nil
}

// pinned returns those of the named members that are there as immutable IDs. An ID
// is a string of digits, as in an ID token, or a number.
func pinned(object request.Object, names ...string) (map[string]string, error) {
	ids := map[string]string{}
	for _, name := range names {
		if text, ok := object[name].(string); ok {
			ids[name] = text
			continue
		}
		id, err := object.PositiveInt64(name)
		if err != nil {
			return nil, domain.Invalid(domain.CodeMalformedRequest, "The member %q must be the provider's number, which is whole and above zero, in quotes or without.", name)
		}
		if id != 0 {
			ids[name] = strconv.FormatInt(id, 10)
		}
	}
	return ids, nil
}

// nullable returns nil for an empty string, which is null in JSON.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
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

func (r resource) listQuery(parameters request.Parameters) (application.ListQuery, error) {
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
	return application.ListQuery{Package: pkg, Kind: r.kind, After: after, Limit: int(perPage)}, nil
}

// nextPage returns the query of the page that follows: the same one, from after
// the last config on. It is nil where no page follows.
func nextPage(parameters request.Parameters, page application.ConfigPage) *string {
	if !page.More || len(page.Configs) == 0 {
		return nil
	}
	values := url.Values{}
	for name, value := range parameters {
		values.Set(name, value)
	}
	last := page.Configs[len(page.Configs)-1].Common().ID
	values.Set("seek", strconv.FormatInt(last, 10))
	next := "?" + values.Encode()
	return &next
}
