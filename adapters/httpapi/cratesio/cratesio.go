// Package cratesio is the dialect of crates.io: the paths, members and errors
// that cargo and the crates-io-auth action speak.
//
// Every error is {"errors":[{"detail":"a sentence","code":"…"}]}.
package cratesio

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Protocol is the name of the protocol in settings, in the audit record and in metrics.
const Protocol = "cratesio"

// The paths of the dialect.
const (
	// TokensPath takes ID tokens and, with DELETE, access tokens.
	TokensPath = "/api/v1/trusted_publishing/tokens" //nolint:gosec // This is a path.
	// GitHubConfigsPath and GitLabConfigsPath take publisher configs of these
	// providers, and ConfigsPath those of all that are described by a definition.
	GitHubConfigsPath = "/api/v1/trusted_publishing/github_configs"
	GitLabConfigsPath = "/api/v1/trusted_publishing/gitlab_configs"
	ConfigsPath       = "/api/v1/trusted_publishing/configs"
	// AudiencePath tells the audience that ID tokens are made for.
	AudiencePath = "/api/v1/trusted_publishing/audience"
)

// Exchanger exchanges ID tokens; *application.ExchangeService is one.
type Exchanger interface {
	Exchange(ctx context.Context, request application.ExchangeRequest) (application.Issued, error)
}

// Revoker revokes access tokens; *application.TokenService is one.
type Revoker interface {
	Revoke(ctx context.Context, accessToken string) error
}

// Publishers manages publisher configs; *application.PublisherService is one.
type Publishers interface {
	CreateConfig(ctx context.Context, actor application.Actor, params domain.ConfigParams) (domain.Config, error)
	ListConfigs(ctx context.Context, actor application.Actor, query application.ListQuery) (application.ConfigPage, error)
	DeleteConfig(ctx context.Context, actor application.Actor, selection application.Selection) error
}

// TokenExchange answers a request that is token exchange by RFC 8693;
// *oauth.Dialect does.
type TokenExchange interface {
	// PostToken reads the body, a form.
	PostToken(c echo.Context) error
	// PostObject answers a JSON body that was read already.
	PostObject(c echo.Context, object request.Object) error
}

// Config holds what the dialect needs. All fields are required but where said
// otherwise.
type Config struct {
	Exchange   Exchanger
	Tokens     Revoker
	Publishers Publishers
	// Authenticator tells who calls the publisher-config endpoints. nil closes them
	// with 403.
	Authenticator request.Authenticator
	// TokenExchange answers POST on [TokensPath] where the body is a form, or JSON
	// with a grant_type. nil leaves such a body to the rules of this dialect.
	TokenExchange TokenExchange
	// Audience is the audience that ID tokens are made for.
	Audience string
}

// Dialect answers in the manner of crates.io. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Exchange == nil || cfg.Tokens == nil || cfg.Publishers == nil || cfg.Audience == "" {
		return nil, errors.New("cratesio: the dialect needs Exchange, Tokens, Publishers and Audience")
	}
	if cfg.Authenticator == nil {
		cfg.Authenticator = request.Closed("Managing publisher configs", "TRUSTPUB_ADMIN_TOKEN")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool {
	return strings.HasPrefix(path, "/api/v1/trusted_publishing/")
}

// IsExchange reports whether ID tokens are exchanged there.
func (d *Dialect) IsExchange(method, route string) bool {
	return route == TokensPath && (method == http.MethodPut || method == http.MethodPost)
}

// WriteError is [WriteError].
func (d *Dialect) WriteError(c echo.Context, err error) error { return WriteError(c, err) }

// Register adds the endpoints to e.
func (d *Dialect) Register(e *echo.Echo) {
	e.POST(TokensPath, d.postToken)
	e.PUT(TokensPath, Handle(d.putToken))
	e.DELETE(TokensPath, Handle(d.deleteToken))
	e.GET(AudiencePath, Handle(d.getAudience))
	e.HEAD(AudiencePath, Handle(d.getAudience))
	for _, resource := range d.resources() {
		resource.register(e)
	}
}

// Handle answers an error of h in this dialect, and passes it on to be logged.
func Handle(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		if err != nil {
			err = errors.Join(err, WriteError(c, err))
		}
		return err
	}
}

type failure struct {
	Detail string      `json:"detail"`
	Code   domain.Code `json:"code"`
}

// WriteError answers err, unless an answer was begun already.
func WriteError(c echo.Context, err error) error {
	if c.Response().Committed {
		return nil
	}
	status := statusOf(err)
	switch status {
	case http.StatusUnauthorized:
		c.Response().Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.Response().Header().Set("Retry-After", request.RetryAfter(err))
	}
	return c.JSON(status, struct {
		Errors []failure `json:"errors"`
	}{[]failure{{Detail: domain.MessageOf(err), Code: domain.CodeOf(err)}}})
}

func statusOf(err error) int {
	if status, ok := request.StatusOf(err); ok {
		return status
	}
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused:
		return http.StatusBadRequest
	case domain.KindUnauthenticated:
		return http.StatusUnauthorized
	case domain.KindForbidden:
		return http.StatusForbidden
	case domain.KindNotFound:
		return http.StatusNotFound
	case domain.KindConflict:
		return http.StatusConflict
	case domain.KindUnavailable:
		return http.StatusServiceUnavailable
	case domain.KindLimited:
		return http.StatusTooManyRequests
	case domain.KindInternal:
	}
	return http.StatusInternalServerError
}
