// Package pypi is the dialect of PyPI: the endpoints that gh-action-pypi-publish,
// twine, uv, pdm and the id package ask when they publish from a CI job
// (https://docs.pypi.org/trusted-publishers/internals/).
//
// Every error is {"message":"…","errors":[{"code":"…","description":"…"}]}, with
// PyPI's codes; the description ends in our own.
package pypi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Protocol is the name of the protocol in settings, in the audit record and in metrics.
const Protocol = "pypi"

// Ecosystem is the package URL type of PyPI's packages.
const Ecosystem = "pypi"

// The paths of the dialect.
const (
	// PathPrefix begins all of them.
	PathPrefix = "/_/oidc/"
	// AudiencePath tells the audience.
	AudiencePath = PathPrefix + "audience"
	// MintPath takes ID tokens, and so does GitHubMintPath, its former name.
	MintPath       = PathPrefix + "mint-token"
	GitHubMintPath = PathPrefix + "github/mint-token"
	// BurnPath takes access tokens that are of no more use.
	BurnPath = PathPrefix + "burn-token"
)

// Exchanger exchanges ID tokens; *application.ExchangeService is one.
type Exchanger interface {
	Exchange(ctx context.Context, request application.ExchangeRequest) (application.Issued, error)
}

// Revoker revokes access tokens; *application.TokenService is one.
type Revoker interface {
	Revoke(ctx context.Context, accessToken string) error
}

// Config holds what the dialect needs. All fields are required.
type Config struct {
	// Exchange mints for packages of [Ecosystem] alone.
	Exchange Exchanger
	Tokens   Revoker
	// Audience is what clients are told to ask their ID tokens for.
	Audience string
}

// Dialect answers in the manner of PyPI. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Exchange == nil || cfg.Tokens == nil || cfg.Audience == "" {
		return nil, errors.New("pypi: the dialect needs Exchange, Tokens and Audience")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool { return strings.HasPrefix(path, PathPrefix) }

// IsExchange reports whether ID tokens are exchanged there.
func (d *Dialect) IsExchange(method, route string) bool {
	return (route == MintPath || route == GitHubMintPath) && method == http.MethodPost
}

// Register adds the endpoints to e.
func (d *Dialect) Register(e *echo.Echo) {
	e.GET(AudiencePath, d.handle(d.audience))
	e.HEAD(AudiencePath, d.handle(d.audience))
	e.POST(MintPath, d.handle(d.mint))
	e.POST(GitHubMintPath, d.handle(d.mint))
	e.POST(BurnPath, d.handle(d.burn))
}

// handle answers an error of h in this dialect, and passes it on to be logged.
func (d *Dialect) handle(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		if err != nil {
			err = errors.Join(err, d.WriteError(c, err))
		}
		return err
	}
}

func (d *Dialect) audience(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		Audience string `json:"audience"`
	}{d.cfg.Audience})
}

// mint answers an ID token with an access token.
func (d *Dialect) mint(c echo.Context) error {
	idToken, err := tokenOf(c, "the ID token of the CI job")
	if err != nil {
		return err
	}
	issued, err := d.cfg.Exchange.Exchange(c.Request().Context(), application.ExchangeRequest{Protocol: Protocol, IDToken: idToken})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Success bool   `json:"success"`
		Token   string `json:"token"`
		Expires int64  `json:"expires"`
	}{true, issued.Secret.Reveal(), issued.Token.ExpiresAt.Unix()})
}

// burn ends the life of an access token, which is its own credential. As at PyPI the
// answer does not tell whether there was such a token.
func (d *Dialect) burn(c echo.Context) error {
	accessToken, err := tokenOf(c, "the access token to revoke")
	if err != nil {
		return err
	}
	err = d.cfg.Tokens.Revoke(c.Request().Context(), accessToken)
	if err != nil && domain.CodeOf(err) != domain.CodeInvalidToken {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}

// tokenOf reads a body {"token":"…"}. It is JSON whatever the Content-Type says of what
// clients send: curl with -d alone, as in PyPI's manual, calls it a form, and uv sent
// none at first. Members other than token are ignored, as PyPI does, but not one that
// differs from it in case alone, which another reader might take for it.
func tokenOf(c echo.Context, what string) (string, error) {
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.JSON, request.Form, request.Untyped)
	if err != nil {
		return "", err
	}
	object, err := body.Object()
	if err != nil {
		return "", err
	}
	return object.Token("token", what)
}

type failure struct {
	Code        string `json:"code"`
	Description string `json:"description"`
}

// WriteError answers err, unless an answer was begun already. Clients print code and
// description.
func (d *Dialect) WriteError(c echo.Context, err error) error {
	if c.Response().Committed {
		return nil
	}
	status := statusOf(err)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", request.RetryAfter(err))
	}
	return c.JSON(status, struct {
		Message string    `json:"message"`
		Errors  []failure `json:"errors"`
	}{"Token request failed", []failure{{
		Code:        codeOf(err),
		Description: fmt.Sprintf("%s (%s)", domain.MessageOf(err), domain.CodeOf(err)),
	}}})
}

// statusOf returns the status for err: every refusal is 422 at PyPI.
func statusOf(err error) int {
	if status, ok := request.StatusOf(err); ok {
		return status
	}
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused, domain.KindUnauthenticated, domain.KindForbidden, domain.KindConflict:
		return http.StatusUnprocessableEntity
	case domain.KindNotFound:
		return http.StatusNotFound
	case domain.KindUnavailable:
		return http.StatusServiceUnavailable
	case domain.KindLimited:
		return http.StatusTooManyRequests
	case domain.KindInternal:
	}
	return http.StatusInternalServerError
}

// codeOf returns PyPI's code for err, and our own where PyPI has none.
func codeOf(err error) string {
	kind, code := domain.KindOf(err), domain.CodeOf(err)
	switch {
	case kind == domain.KindInvalid, code == domain.CodeMalformedJWT, code == domain.CodeUnsupportedIssuer:
		return "invalid-payload"
	case code == domain.CodeNotEnabled:
		return "not-enabled"
	case kind != domain.KindRefused:
		return string(code)
	case code == domain.CodeAlreadyUsed:
		return "invalid-reuse-token"
	case domain.IsUntrusted(code), code == domain.CodeUnsupportedEvent, code == domain.CodeForbiddenClaim:
		return "invalid-publisher"
	}
	return "invalid-token"
}
