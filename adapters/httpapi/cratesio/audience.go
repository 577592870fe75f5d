package cratesio

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// getAudience answers {"audience":"…"}: what a CI job asks its ID token for, so that
// nobody writes it into a workflow. crates.io has no such endpoint, and its clients
// take the registry's host name; PyPI has one of this form.
func (d *Dialect) getAudience(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		Audience string `json:"audience"`
	}{d.cfg.Audience})
}
