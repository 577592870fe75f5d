package cratesio

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// postToken answers a body in the dialect that it is in: a form, and JSON with a
// grant_type, is token exchange by RFC 8693, and any other JSON is of crates.io.
func (d *Dialect) postToken(c echo.Context) error {
	if d.cfg.TokenExchange == nil {
		return Handle(d.putToken)(c)
	}
	if request.IsForm(c.Request()) {
		return d.cfg.TokenExchange.PostToken(c)
	}
	return Handle(func(c echo.Context) error {
		body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.JSON, request.Form)
		if err != nil {
			return err
		}
		object, err := body.Object()
		if err != nil {
			return err
		}
		if object.Has("grant_type") {
			return d.cfg.TokenExchange.PostObject(c, object)
		}
		return d.exchange(c, object)
	})(c)
}

func (d *Dialect) putToken(c echo.Context) error {
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.JSON)
	if err != nil {
		return err
	}
	object, err := body.Object()
	if err != nil {
		return err
	}
	return d.exchange(c, object)
}

// exchange answers {"jwt":"…"} with {"token":"…","expires_at":"…"}.
func (d *Dialect) exchange(c echo.Context, object request.Object) error {
	jwt, err := object.Token("jwt", "the ID token of the CI job")
	if err != nil {
		return err
	}
	issued, err := d.cfg.Exchange.Exchange(c.Request().Context(), application.ExchangeRequest{Protocol: Protocol, IDToken: jwt})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{issued.Secret.Reveal(), issued.Token.ExpiresAt.UTC().Truncate(time.Second)})
}

// deleteToken revokes the access token in the Authorization header, with the
// scheme Bearer or, as cargo sends it, without a scheme.
func (d *Dialect) deleteToken(c echo.Context) error {
	scheme, token, err := request.Authorization(c.Request())
	if err != nil {
		return err
	}
	if scheme != "" && !request.IsBearer(scheme) {
		return request.Unauthenticated("The Authorization header is not of the form: Bearer TOKEN.")
	}
	err = d.cfg.Tokens.Revoke(c.Request().Context(), token)
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
