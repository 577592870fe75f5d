// Package npm is the dialect of npm's registry: the exchange that npm, pnpm and
// yarn ask for when they publish from a CI job, and what npm trust asks for, which
// manages publisher configs.
//
// Every error is {"message":"a sentence","error":"the same","code":"…"}: npm prints
// message where an exchange fails, and error everywhere else.
package npm

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
const Protocol = "npm"

// Ecosystem is the package URL type of npm's packages.
const Ecosystem = "npm"

// The paths of the dialect. A name that has a scope is one segment or two:
// @scope%2fname, as clients send it, or @scope/name, as some proxies make of it.
const (
	// PathPrefix begins all paths of the dialect. Others below it are the registry's
	// own, such as /-/whoami.
	PathPrefix = "/-/"
	// ExchangePath is followed by the name of the package. npm asks for it at the
	// root of the registry's origin, also where the registry's URL has a path.
	ExchangePath = PathPrefix + "npm/v1/oidc/token/exchange/package/"
	// PackagePath and [TrustSuffix] stand around the name of the package whose
	// publisher configs are meant.
	PackagePath = PathPrefix + "package/"
	TrustSuffix = "/trust"
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
	// Authenticator tells who calls the publisher-config endpoints. nil closes them
	// with 403.
	Authenticator request.Authenticator
}

// Dialect answers in the manner of npm's registry. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Exchange == nil || cfg.Publishers == nil {
		return nil, errors.New("npm: the dialect needs Exchange and Publishers")
	}
	if cfg.Authenticator == nil {
		cfg.Authenticator = request.Closed("Managing publisher configs", "TRUSTPUB_ADMIN_TOKEN")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool { return strings.HasPrefix(path, PathPrefix) }

// IsExchange reports whether ID tokens are exchanged there.
func (d *Dialect) IsExchange(method, route string) bool {
	return strings.HasPrefix(route, ExchangePath) && method == http.MethodPost
}

// Register adds the endpoints to e. The handlers read the names from the URL
// themselves: the router gives them decoded at one time and not at another.
func (d *Dialect) Register(e *echo.Echo) {
	for _, name := range []string{":name", ":scope/:name"} {
		e.POST(ExchangePath+name, d.handle(d.exchange))
		e.GET(PackagePath+name+TrustSuffix, d.handle(d.listTrust))
		e.HEAD(PackagePath+name+TrustSuffix, d.handle(d.listTrust))
		e.POST(PackagePath+name+TrustSuffix, d.handle(d.createTrust))
		e.DELETE(PackagePath+name+TrustSuffix+"/:id", d.handle(d.deleteTrust))
	}
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
	message := domain.MessageOf(err)
	return c.JSON(status, struct {
		Message string      `json:"message"`
		Error   string      `json:"error"`
		Code    domain.Code `json:"code"`
	}{message, message, domain.CodeOf(err)})
}

// statusOf returns the status for err. npm's registry answers 401 where the ID token
// is no good, and 404, as for a package that does not exist, where the package does
// not trust the workload.
func statusOf(err error) int {
	if status, ok := request.StatusOf(err); ok {
		return status
	}
	switch domain.KindOf(err) {
	case domain.KindInvalid:
		return http.StatusBadRequest
	case domain.KindRefused:
		if domain.IsUntrusted(domain.CodeOf(err)) {
			return http.StatusNotFound
		}
		return http.StatusUnauthorized
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
