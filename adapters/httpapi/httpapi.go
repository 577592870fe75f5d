// Package httpapi is trustpub over HTTP: an http.Handler that serves the use cases
// in two dialects, with limits, a request log and an OpenAPI document. A dialect
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
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/oauth"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// DefaultRequestTimeout is after how long the context of a request ends.
const DefaultRequestTimeout = 10 * time.Second

// Config holds what an [API] needs. All fields are required but where said
// otherwise.
type Config struct {
	// Exchange, Tokens and Publishers are the use cases:
	// *application.ExchangeService, *application.TokenService and
	// *application.PublisherService.
	Exchange   cratesio.Exchanger
	Tokens     oauth.Tokens
	Publishers cratesio.Publishers
	// Audience is the audience that ID tokens are made for.
	Audience string
	// Issuer is the public base URL of the API, without a trailing slash, such as
	// https://crates.io. Clients are sent to it, whatever host or prefix a request
	// came by.
	Issuer string
	// Authenticator tells who manages publisher configs. nil closes these endpoints
	// with 403.
	Authenticator Authenticator
	// RegistryAuthenticator tells who introspects tokens. nil closes introspection
	// with 403.
	RegistryAuthenticator Authenticator
	// Ready returns why requests can't be served, for GET /readyz. nil is always
	// ready.
	Ready func(ctx context.Context) error
	// Logger receives one line per request.
	Logger *slog.Logger
	// RequestTimeout is after how long the context of a request ends. Zero is
	// DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Now is the clock.
	Now func() time.Time
	// Rand is the source of request IDs. nil is crypto/rand.Reader.
	Rand io.Reader
}

func (cfg *Config) check() error {
	switch {
	case cfg.Exchange == nil, cfg.Tokens == nil, cfg.Publishers == nil, cfg.Logger == nil, cfg.Now == nil:
		return errors.New("httpapi: the API needs Exchange, Tokens, Publishers, Logger and Now")
	case cfg.Audience == "":
		return errors.New("httpapi: the API needs an Audience")
	case cfg.RequestTimeout < 0:
		return fmt.Errorf("httpapi: the request timeout %s is below zero", cfg.RequestTimeout)
	}
	err := domain.ValidateIssuer(cfg.Issuer)
	if err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	return nil
}

func (cfg *Config) fillIn() {
	if cfg.Authenticator == nil {
		cfg.Authenticator = closed{"Managing publisher configs", "TRUSTPUB_ADMIN_TOKEN"}
	}
	if cfg.RegistryAuthenticator == nil {
		cfg.RegistryAuthenticator = closed{"Introspection of tokens", "TRUSTPUB_REGISTRY_TOKEN"}
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) error { return nil }
	}
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = DefaultRequestTimeout
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
}

// API is the HTTP API: an http.Handler that is safe for concurrent use, with the
// paths of its OpenAPI document. A host that serves it under a prefix wraps it in
// http.StripPrefix, sets Config.Issuer to the URL with that prefix, and serves the
// metadata also where RFC 8414 section 3.1 looks for it then: at
// /.well-known/oauth-authorization-server followed by the prefix.
type API struct {
	cfg   Config
	echo  *echo.Echo
	crate *cratesio.Dialect
	oauth *oauth.Dialect
}

// New checks cfg, fills in defaults and returns the API.
func New(cfg Config) (*API, error) {
	err := cfg.check()
	if err != nil {
		return nil, err
	}
	cfg.fillIn()
	api := &API{cfg: cfg, echo: echo.New()}
	api.crate, err = cratesio.New(cratesio.Config{
		Exchange: cfg.Exchange, Tokens: cfg.Tokens, Publishers: cfg.Publishers, Authenticator: cfg.Authenticator,
	})
	if err != nil {
		return nil, err
	}
	api.oauth, err = oauth.New(oauth.Config{
		Exchange: cfg.Exchange, Tokens: cfg.Tokens, Authenticator: cfg.RegistryAuthenticator,
		Audience: cfg.Audience, Issuer: cfg.Issuer, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	api.route()
	return api, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.echo.ServeHTTP(w, r) }

func (a *API) route() {
	e := a.echo
	e.HTTPErrorHandler = a.handleError
	// Nobody's forwarding headers are believed: the address in the log is the peer's.
	e.IPExtractor = echo.ExtractIPDirect()
	e.SchemeExtractor = echo.ExtractSchemeDirect()
	e.Use(a.prepare, a.log(), recoverPanic, explainRouting)

	a.crate.Register(e)
	a.oauth.Register(e)
	e.POST(cratesio.TokensPath, a.exchange)
	for path, handler := range map[string]echo.HandlerFunc{
		healthPath:  a.healthz,
		readyPath:   a.readyz,
		openapiPath: a.openapi,
	} {
		e.GET(path, cratesio.Handle(handler))
		e.HEAD(path, cratesio.Handle(handler))
	}
}

// exchange answers a body in the dialect that it is in: a form, and JSON with a
// grant_type, is token exchange by RFC 8693, and any other JSON is of crates.io.
func (a *API) exchange(c echo.Context) error {
	if request.IsForm(c.Request()) {
		return a.oauth.PostToken(c)
	}
	return cratesio.Handle(func(c echo.Context) error {
		body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.JSON, request.Form)
		if err != nil {
			return err
		}
		object, err := body.Object()
		if err != nil {
			return err
		}
		if object.Has("grant_type") {
			return a.oauth.PostObject(c, object)
		}
		return a.crate.Exchange(c, object)
	})(c)
}

// handleError answers what no dialect answered: paths and methods that do not
// exist, and panics.
func (a *API) handleError(err error, c echo.Context) {
	write := cratesio.WriteError
	if strings.HasPrefix(c.Path(), oauth.PathPrefix) {
		write = oauth.WriteError
	}
	_ = write(c, err) // It fails when the client is gone, and then there is nobody to tell.
}
