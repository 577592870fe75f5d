package npm

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
)

// timeFormat is that of npm's registry: UTC, with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// exchange answers the ID token in the Authorization header with an access token for
// the package in the URL, and for no other. The body is empty, or of no interest.
func (d *Dialect) exchange(c echo.Context) error {
	pkg, err := ParseName(strings.TrimPrefix(c.Request().URL.EscapedPath(), ExchangePath))
	if err != nil {
		return err
	}
	scheme, idToken, err := request.Authorization(c.Request())
	if err != nil {
		return err
	}
	if !request.IsBearer(scheme) {
		return request.Unauthenticated("The Authorization header is not of the form: Bearer TOKEN, with the ID token of the CI job.")
	}
	err = request.Discard(c.Response().Writer, c.Request())
	if err != nil {
		return err
	}
	issued, err := d.cfg.Exchange.Exchange(c.Request().Context(), application.ExchangeRequest{Protocol: Protocol, IDToken: idToken, Package: pkg})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		TokenType string `json:"token_type"`
		Token     string `json:"token"`
		Created   string `json:"created"`
		Expires   string `json:"expires"`
	}{
		TokenType: "oidc",
		Token:     issued.Secret.Reveal(),
		Created:   issued.Token.IssuedAt.UTC().Format(timeFormat),
		Expires:   issued.Token.ExpiresAt.UTC().Format(timeFormat),
	})
}
