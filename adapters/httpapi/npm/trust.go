package npm

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// maxListed is more than the configs that a package may have: npm knows no pages.
const maxListed = 100

// authorize returns who calls, the package in the URL, and what follows it there.
func (d *Dialect) authorize(c echo.Context) (actor application.Actor, pkg domain.Package, id string, err error) {
	actor, err = d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return application.Actor{}, domain.Package{}, "", err
	}
	pkg, id, err = trusted(c.Request().URL.EscapedPath())
	return actor, pkg, id, err
}

// trusted reads the name between [PackagePath] and the last [TrustSuffix], which may
// itself be trust, and what follows.
func trusted(escapedPath string) (pkg domain.Package, id string, err error) {
	path := strings.TrimPrefix(escapedPath, PackagePath)
	end := max(0, strings.LastIndex(path+"/", TrustSuffix+"/"))
	pkg, err = ParseName(path[:end])
	return pkg, strings.TrimPrefix(path[end:], TrustSuffix+"/"), err
}

// listTrust answers npm trust list, with the configs of all providers.
func (d *Dialect) listTrust(c echo.Context) error {
	actor, pkg, _, err := d.authorize(c)
	if err != nil {
		return err
	}
	page, err := d.cfg.Publishers.ListConfigs(c.Request().Context(), actor, application.ListQuery{Package: pkg, Limit: maxListed})
	if err != nil {
		return err
	}
	shown := make([]trust, 0, len(page.Configs))
	for _, config := range page.Configs {
		shown = append(shown, showTrust(config))
	}
	return c.JSON(http.StatusOK, shown)
}

// createTrust answers npm trust github and its like, which send an array of one config.
// More than one are refused, as some of them might be made and others not.
func (d *Dialect) createTrust(c echo.Context) error {
	actor, pkg, _, err := d.authorize(c)
	if err != nil {
		return err
	}
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedRequest, request.JSON)
	if err != nil {
		return err
	}
	objects, err := body.Objects()
	if err != nil {
		return err
	}
	if len(objects) != 1 {
		return malformed("The array must hold one config. Send each in a request of its own.")
	}
	params, err := trustParams(pkg, objects[0])
	if err != nil {
		return err
	}
	config, err := d.cfg.Publishers.CreateConfig(c.Request().Context(), actor, params)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, []trust{showTrust(config)})
}

// deleteTrust answers npm trust revoke. A config of another package is not found.
func (d *Dialect) deleteTrust(c echo.Context) error {
	actor, pkg, number, err := d.authorize(c)
	if err != nil {
		return err
	}
	id, ok := request.Decimal(number)
	if !ok {
		return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no publisher config with that ID."}
	}
	err = d.cfg.Publishers.DeleteConfig(c.Request().Context(), actor, application.Selection{ID: id, Package: pkg})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func malformed(format string, args ...any) error {
	return domain.Invalid(domain.CodeMalformedRequest, format, args...)
}
