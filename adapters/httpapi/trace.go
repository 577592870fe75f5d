package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/domain"
)

// Trace follows a request. It returns the context in which the request is worked on,
// with an ID from application.WithTraceID where a trace shows it, and a func that is told how the
// request ended: the status, which is 0 where the answer was broken off, and the code of
// its error, if any.
//
// The method is one of RFC 9110, or OTHER, and the route the pattern of the path, empty
// when there is none. The header is the client's text.
type Trace func(ctx context.Context, method, route string, header http.Header) (context.Context, func(status int, code domain.Code))

// trace has the request traced.
func (a *API) trace(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, end := a.cfg.Trace(r.Context(), knownMethod(r.Method), c.Path(), r.Header)
		status, code := 0, domain.Code("")
		defer func() { end(status, code) }() // Also when the connection is aborted by a panic.
		c.SetRequest(r.WithContext(ctx))
		err := next(c)
		if status = c.Response().Status; err != nil {
			code = domain.CodeOf(err)
		}
		return err
	}
}
