// Package httpapi is trustpub over HTTP: an http.Handler that serves the use cases
// in several dialects, with limits, a request log and an OpenAPI document. A dialect
// is a folder: the shape of its requests, of its answers and of its errors.
package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
)

// DefaultRequestTimeout is after how long the context of a request ends. Clients such as
// twine give up after 5 s, and can make something of an answer that comes before.
const DefaultRequestTimeout = 4 * time.Second

// Dialect is a wire protocol: its endpoints and its errors.
type Dialect interface {
	// Register adds the endpoints to e.
	Register(e *echo.Echo)
	// Owns reports whether a path is the dialect's, so that it answers also where the
	// path or the method does not exist.
	Owns(path string) bool
	// IsExchange reports whether ID tokens are exchanged by that method at that route, a
	// path with which Register added an endpoint. Such requests count for the limit per
	// address.
	IsExchange(method, route string) bool
	// WriteError answers err, unless an answer was begun already.
	WriteError(c echo.Context, err error) error
}

// Config holds what an [API] needs. All fields are required but where said
// otherwise.
type Config struct {
	// Dialects are the protocols that are spoken. Without any there are the endpoints
	// for operators alone.
	Dialects []Dialect
	// ProvidersSchema is the JSON Schema of the file that describes providers, for GET
	// /providers.schema.json. Empty: it is not served.
	ProvidersSchema []byte
	// Ready returns why requests can't be served, for GET /readyz. A *domain.Error is
	// answered as it is, any other error as store_unavailable. nil is always ready.
	Ready func(ctx context.Context) error
	// Metrics answers GET /metrics. nil: it is not served.
	Metrics http.Handler
	// Observe is told of every request that was answered, for metrics. nil is told
	// nothing. It must be fast and safe for concurrent use.
	Observe func(Observation)
	// Trace is told of every request before anything is done for it. nil: requests are
	// not traced. It must be fast and safe for concurrent use.
	Trace Trace
	// Logger receives one line per request.
	Logger *slog.Logger
	// RequestTimeout is after how long the context of a request ends. Zero is
	// DefaultRequestTimeout.
	RequestTimeout time.Duration
	// MaxRequests is how many requests of the dialects are worked on at a time. Others
	// are answered 503 with the code overloaded. Zero is DefaultMaxRequests.
	MaxRequests int
	// AddressLimit bounds the exchanges per client address, an IPv6 one cut to its /64.
	// Those beyond it are answered 429. nil is no limit.
	AddressLimit RateLimiter
	// TrustedProxies are the peers whose X-Forwarded-For is believed. Without any, the
	// address of a client is its peer's.
	TrustedProxies []netip.Prefix
	// Now is the clock. nil is time.Now.
	Now func() time.Time
	// Rand is the source of request IDs. nil is crypto/rand.Reader.
	Rand io.Reader
}

func (cfg *Config) check() error {
	switch {
	case cfg.Logger == nil:
		return errors.New("httpapi: the API needs a Logger")
	case slices.Contains(cfg.Dialects, nil):
		return errors.New("httpapi: one of the dialects is nil")
	case cfg.RequestTimeout < 0:
		return fmt.Errorf("httpapi: the request timeout %s is below zero", cfg.RequestTimeout)
	case cfg.MaxRequests < 0:
		return fmt.Errorf("httpapi: %d requests at a time is below zero", cfg.MaxRequests)
	}
	return nil
}

func (cfg *Config) fillIn() {
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) error { return nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Observation) {}
	}
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = DefaultRequestTimeout
	}
	if cfg.MaxRequests == 0 {
		cfg.MaxRequests = DefaultMaxRequests
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
}

// Observation is one request that was answered. It holds no text of a client.
type Observation struct {
	// Route is the pattern of the path, such as /:name; empty when there is none.
	Route string
	// Method is a method of RFC 9110, or OTHER.
	Method string
	// Status is that of the answer.
	Status int
	// Duration is from the request's headers to the end of its handler.
	Duration time.Duration
}

// API is the HTTP API: an http.Handler that is safe for concurrent use, with those
// paths of its OpenAPI document whose dialects it speaks. A host that serves it
// under a prefix wraps it in http.StripPrefix, tells the dialects the URL with that
// prefix, and serves the metadata also where RFC 8414 section 3.1 looks for it then:
// at /.well-known/oauth-authorization-server followed by the prefix.
type API struct {
	cfg       Config
	echo      *echo.Echo
	admission *admission
}

// New checks cfg, fills in defaults and returns the API.
func New(cfg Config) (*API, error) {
	err := cfg.check()
	if err != nil {
		return nil, err
	}
	cfg.fillIn()
	api := &API{cfg: cfg, echo: echo.New(), admission: &admission{
		most: int64(cfg.MaxRequests), addresses: cfg.AddressLimit, logger: cfg.Logger, now: cfg.Now,
	}}
	api.route()
	return api, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.echo.ServeHTTP(w, r) }

func (a *API) route() {
	e := a.echo
	e.HTTPErrorHandler = a.handleError
	e.IPExtractor = clientAddress(a.cfg.TrustedProxies)
	e.SchemeExtractor = echo.ExtractSchemeDirect()
	e.Use(a.prepare)
	if a.cfg.Trace != nil {
		e.Use(a.trace)
	}
	e.Use(a.log(), recoverPanic, explainRouting, a.admit, a.limitTime)

	for _, dialect := range a.cfg.Dialects {
		dialect.Register(e)
	}
	operations := map[string]echo.HandlerFunc{healthPath: a.healthz, readyPath: a.readyz, openapiPath: a.openapi}
	if len(a.cfg.ProvidersSchema) > 0 {
		operations[schemaPath] = a.providersSchema
	}
	if a.cfg.Metrics != nil {
		operations[metricsPath] = echo.WrapHandler(a.cfg.Metrics)
	}
	for path, handler := range operations {
		e.GET(path, cratesio.Handle(handler))
		e.HEAD(path, cratesio.Handle(handler))
	}
}

// handleError answers what no handler of a dialect answered: paths and methods that
// do not exist, and panics. Outside of all dialects the errors are as crates.io's.
func (a *API) handleError(err error, c echo.Context) {
	write := cratesio.WriteError
	if dialect := a.dialectOf(c.Request().URL.Path); dialect != nil {
		write = dialect.WriteError
	}
	_ = write(c, err) // It fails when the client is gone, and then there is nobody to tell.
}

// dialectOf returns the dialect whose path it is, and nil outside of all of them.
func (a *API) dialectOf(path string) Dialect {
	for _, dialect := range slices.Backward(a.cfg.Dialects) {
		if dialect.Owns(path) {
			return dialect
		}
	}
	return nil
}
