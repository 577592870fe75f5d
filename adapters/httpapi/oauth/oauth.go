// Package oauth is the dialect of OAuth 2.0: token exchange (RFC 8693), token
// revocation (RFC 7009), token introspection (RFC 7662) and the metadata that
// describes them (RFC 8414).
//
// Every error is {"error":"…","error_description":"…","code":"…"}: the first two
// as RFC 6749 section 5.2 has them, the third our own stable name of the reason.
// Parameters come in the body alone: those in a URL end up in logs, so a query is
// refused.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Protocol is the name of the protocol in settings, in the audit record and in metrics.
const Protocol = "oauth"

// The paths of the dialect. All but the metadata's begin with [PathPrefix].
const (
	PathPrefix     = "/oauth/"
	TokenPath      = PathPrefix + "token"
	RevokePath     = PathPrefix + "revoke"
	IntrospectPath = PathPrefix + "introspect"
	MetadataPath   = "/.well-known/oauth-authorization-server"
)

// Exchanger exchanges ID tokens; *application.ExchangeService is one.
type Exchanger interface {
	Exchange(ctx context.Context, request application.ExchangeRequest) (application.Issued, error)
}

// Tokens checks and revokes access tokens; *application.TokenService is one.
type Tokens interface {
	Introspect(ctx context.Context, accessToken string) (domain.AccessToken, error)
	Revoke(ctx context.Context, accessToken string) error
}

// Config holds what the dialect needs. All fields are required but where said
// otherwise.
type Config struct {
	Exchange Exchanger
	Tokens   Tokens
	// Authenticator tells who calls the introspection endpoint. nil closes it with 403.
	Authenticator request.Authenticator
	// Audience is what a client may name as the audience: that of its ID token.
	Audience string
	// Issuer is the public base URL under which the endpoints are reached, without a
	// trailing slash, such as https://crates.io, whatever host or prefix a request came
	// by. It is the one resource (RFC 8707) that a client may name.
	Issuer string
	// Now is the clock.
	Now func() time.Time
}

// Dialect answers in the manner of OAuth 2.0. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Exchange == nil || cfg.Tokens == nil || cfg.Now == nil {
		return nil, errors.New("oauth: the dialect needs Exchange, Tokens and Now")
	}
	if cfg.Audience == "" {
		return nil, errors.New("oauth: the dialect needs an Audience")
	}
	err := domain.ValidateIssuer(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if cfg.Authenticator == nil {
		cfg.Authenticator = request.Closed("Introspection of tokens", "TRUSTPUB_REGISTRY_TOKEN")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool { return strings.HasPrefix(path, PathPrefix) }

// IsExchange reports whether ID tokens are exchanged there.
func (d *Dialect) IsExchange(method, route string) bool {
	return route == TokenPath && method == http.MethodPost
}

// WriteError is [WriteError].
func (d *Dialect) WriteError(c echo.Context, err error) error { return WriteError(c, err) }

// Register adds the endpoints to e.
func (d *Dialect) Register(e *echo.Echo) {
	e.POST(TokenPath, d.PostToken)
	e.POST(RevokePath, Handle(d.revoke))
	e.POST(IntrospectPath, Handle(d.introspect))
	e.GET(MetadataPath, Handle(d.metadata))
	e.HEAD(MetadataPath, Handle(d.metadata))
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

// WriteError answers err, unless an answer was begun already.
func WriteError(c echo.Context, err error) error {
	if c.Response().Committed {
		return nil
	}
	status, code := statusOf(err)
	switch status {
	case http.StatusUnauthorized:
		c.Response().Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.Response().Header().Set("Retry-After", request.RetryAfter(err))
	}
	return c.JSON(status, struct {
		Error       string      `json:"error"`
		Description string      `json:"error_description"`
		Code        domain.Code `json:"code"`
	}{code, description(domain.MessageOf(err)), domain.CodeOf(err)})
}

// statusOf returns the status and the OAuth error code for err. The codes are
// those of RFC 6749 section 5.2 and RFC 8693 section 2.2.2, and where these have
// none, those of RFC 6749 section 4.1.2.1 and RFC 6750 section 3.1.
func statusOf(err error) (status int, code string) {
	if status, ok := request.StatusOf(err); ok {
		return status, "invalid_request"
	}
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused:
		return http.StatusBadRequest, invalid(domain.CodeOf(err))
	case domain.KindUnauthenticated:
		return http.StatusUnauthorized, "invalid_token"
	case domain.KindForbidden:
		return http.StatusForbidden, "access_denied"
	case domain.KindNotFound:
		return http.StatusNotFound, "invalid_request"
	case domain.KindConflict:
		return http.StatusConflict, "invalid_request"
	case domain.KindUnavailable:
		return http.StatusServiceUnavailable, "temporarily_unavailable"
	case domain.KindLimited:
		return http.StatusTooManyRequests, "temporarily_unavailable"
	case domain.KindInternal:
	}
	return http.StatusInternalServerError, "server_error"
}

// invalid returns the OAuth error code for a request that was turned down: our own
// where OAuth has the same, and else invalid_request, which RFC 8693 section 2.2.2
// asks for also where the subject token is invalid or unacceptable by policy.
func invalid(code domain.Code) string {
	shared := []domain.Code{domain.CodeInvalidScope, domain.CodeInvalidTarget, domain.CodeUnsupportedGrantType}
	if slices.Contains(shared, code) {
		return string(code)
	}
	return "invalid_request"
}

// description returns message in the characters that RFC 6749 section 5.2 allows
// in an error_description: printable ASCII without double quote and backslash.
func description(message string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < ' ', r > '~':
			return '?'
		}
		return r
	}, message)
}

// noQuery refuses parameters in the URL.
func noQuery(r *http.Request) error {
	if r.URL.RawQuery != "" {
		return domain.Invalid(domain.CodeMalformedRequest, "The URL has a query. Send every parameter in the body, as URLs end up in logs.")
	}
	return nil
}
