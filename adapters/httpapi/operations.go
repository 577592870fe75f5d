package httpapi

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/openapi"
	"github.com/trustpub/trustpub/domain"
)

// The paths for operators.
const (
	healthPath  = "/healthz"
	readyPath   = "/readyz"
	metricsPath = "/metrics"
	openapiPath = "/openapi.json"
	schemaPath  = "/providers.schema.json"
)

func ok(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// healthz answers that the process serves requests.
func (a *API) healthz(c echo.Context) error { return ok(c) }

// readyz answers whether the process can do its work.
func (a *API) readyz(c echo.Context) error {
	err := a.cfg.Ready(c.Request().Context())
	if _, told := errors.AsType[*domain.Error](err); told {
		return err
	}
	if err != nil {
		return domain.Unavailable(domain.CodeStoreUnavailable, err, "The server is not ready: its database can't be reached, or its schema is not current.")
	}
	return ok(c)
}

// openapi answers the description of the API.
func (a *API) openapi(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/json", openapi.Document())
}

// providersSchema answers the form of the file that describes providers.
func (a *API) providersSchema(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/schema+json", a.cfg.ProvidersSchema)
}
