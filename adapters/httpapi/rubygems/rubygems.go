// Package rubygems is the dialect of RubyGems.org: the exchange that
// configure-rubygems-credentials and release-gem ask for, and the trusted publishers
// of a gem (https://guides.rubygems.org/trusted-publishing/).
//
// Every error is {"error":"a sentence","code":"…"}.
package rubygems

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
const Protocol = "rubygems"

// Ecosystem is the package URL type of gems.
const Ecosystem = "gem"

// The paths of the dialect.
const (
	// ExchangePath takes ID tokens.
	ExchangePath = "/api/v1/oidc/trusted_publisher/exchange_token"
	// PublishersPath takes the trusted publishers of the gem :gem.
	PublishersPath = gemsPrefix + ":gem/trusted_publishers"

	gemsPrefix = "/api/v1/gems/"
)

// Exchanger exchanges ID tokens; *application.ExchangeService is one.
type Exchanger interface {
	Exchange(ctx context.Context, request application.ExchangeRequest) (application.Issued, error)
}

// Publishers manages publisher configs; *application.PublisherService is one.
type Publishers interface {
	CreateConfig(ctx context.Context, actor application.Actor, params domain.ConfigParams) (domain.Config, error)
	ListConfigs(ctx context.Context, actor application.Actor, query application.ListQuery) (application.ConfigPage, error)
	DeleteConfig(ctx context.Context, actor application.Actor, selection application.Selection) error
}

// Config holds what the dialect needs. All fields are required but where said
// otherwise.
type Config struct {
	// Exchange mints for packages of [Ecosystem] alone.
	Exchange   Exchanger
	Publishers Publishers
	// Authenticator tells who manages trusted publishers. nil closes these endpoints
	// with 403.
	Authenticator request.Authenticator
}

// Dialect answers in the manner of RubyGems.org. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Exchange == nil || cfg.Publishers == nil {
		return nil, errors.New("rubygems: the dialect needs Exchange and Publishers")
	}
	if cfg.Authenticator == nil {
		cfg.Authenticator = request.Closed("Managing trusted publishers", "TRUSTPUB_ADMIN_TOKEN")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool {
	return strings.HasPrefix(path, "/api/v1/oidc/") || strings.HasPrefix(path, gemsPrefix)
}

// IsExchange reports whether ID tokens are exchanged there.
func (d *Dialect) IsExchange(method, route string) bool {
	return route == ExchangePath && method == http.MethodPost
}

// Register adds the endpoints to e.
func (d *Dialect) Register(e *echo.Echo) {
	e.POST(ExchangePath, d.handle(d.exchange))
	e.GET(PublishersPath, d.handle(d.list))
	e.HEAD(PublishersPath, d.handle(d.list))
	e.POST(PublishersPath, d.handle(d.create))
	e.DELETE(PublishersPath+"/:id", d.handle(d.delete))
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

// WriteError answers err, unless an answer was begun already.
func (d *Dialect) WriteError(c echo.Context, err error) error {
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
		Error string      `json:"error"`
		Code  domain.Code `json:"code"`
	}{domain.MessageOf(err), domain.CodeOf(err)})
}

// statusOf returns the status for err. Whatever is wrong with an ID token is 404, but
// for its form: the client takes 404 for a registry that trusts no such workload, and
// anything else for a failure.
func statusOf(err error) int {
	if status, ok := request.StatusOf(err); ok {
		return status
	}
	if domain.CodeOf(err) == domain.CodeMalformedJWT {
		return http.StatusBadRequest
	}
	switch domain.KindOf(err) {
	case domain.KindInvalid:
		return http.StatusBadRequest
	case domain.KindRefused, domain.KindNotFound:
		return http.StatusNotFound
	case domain.KindUnauthenticated:
		return http.StatusUnauthorized
	case domain.KindForbidden:
		return http.StatusForbidden
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

// exchange answers {"jwt":"…"}.
func (d *Dialect) exchange(c echo.Context) error {
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.JSON)
	if err != nil {
		return err
	}
	object, err := body.Object()
	if err != nil {
		return err
	}
	jwt, err := object.Token("jwt", "the ID token of the CI job")
	if err != nil {
		return err
	}
	issued, err := d.cfg.Exchange.Exchange(c.Request().Context(), application.ExchangeRequest{Protocol: Protocol, IDToken: jwt})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		APIKey    string   `json:"rubygems_api_key"`
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes"`
		ExpiresAt string   `json:"expires_at"`
	}{
		issued.Secret.Reveal(),
		"Trusted publishing, " + issued.Token.IssuedAt.UTC().Format(timeFormat),
		[]string{"push_rubygem"},
		issued.Token.ExpiresAt.UTC().Format(timeFormat),
	})
}

// timeFormat is that of RubyGems.org: ISO 8601 in UTC, with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"
