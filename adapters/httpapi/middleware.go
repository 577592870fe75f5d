package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// saneRequestID is what a request ID of a client must be to be taken over: short,
// and with nothing in it that a log or a header could misread.
var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// prepare gives every request its ID, and every response the
// headers that all of them carry.
func (a *API) prepare(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := a.requestID(c.Request())
		if err != nil {
			return err
		}
		header := c.Response().Header()
		header.Set(echo.HeaderXRequestID, id)
		header.Set(echo.HeaderCacheControl, "no-store")
		header.Set("Pragma", "no-cache") // RFC 6749 section 5.1 asks for both.
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")

		c.SetRequest(c.Request().WithContext(application.WithRequestID(c.Request().Context(), id)))
		return next(c)
	}
}

// limitTime gives every request its deadline. It stands after admit: the time in which
// a body comes is the client's.
func (a *API) limitTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		whole := c.Request()
		ctx, cancel := context.WithTimeout(whole.Context(), a.cfg.RequestTimeout)
		defer cancel()
		c.SetRequest(whole.WithContext(ctx))
		defer c.SetRequest(whole) // The log asks its context whether the client is gone.
		return next(c)
	}
}

func (a *API) requestID(r *http.Request) (string, error) {
	if id := r.Header.Get(echo.HeaderXRequestID); saneRequestID.MatchString(id) {
		return id, nil
	}
	var random [16]byte
	_, err := io.ReadFull(a.cfg.Rand, random[:])
	if err != nil {
		return "", fmt.Errorf("draw request ID: %w", err)
	}
	return hex.EncodeToString(random[:]), nil
}

// panicked is an error that was a panic, and the stack where it was.
type panicked struct {
	error
	stack []byte
}

func (p *panicked) Unwrap() error { return p.error }

// recoverPanic makes an error of a panic, for which the client sees "internal
// error". http.ErrAbortHandler keeps its meaning.
func recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if value == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
				panic(value)
			}
			err = &panicked{error: request.Recovered(value), stack: debug.Stack()}
		}()
		return next(c)
	}
}

// explainRouting puts the router's errors in words.
func explainRouting(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		switch {
		case errors.Is(err, echo.ErrNotFound):
			return &domain.Error{
				Kind: domain.KindNotFound, Code: domain.CodeNotFound,
				Message: "There is no such endpoint. GET /openapi.json lists those that there are.",
			}
		case errors.Is(err, echo.ErrMethodNotAllowed):
			return request.MethodNotAllowed()
		}
		return err
	}
}

// log returns the request log. A line holds the route and not the URL, in which a
// token may stand, and no text that a client chose but its request ID, if sane.
func (a *API) log() echo.MiddlewareFunc {
	return middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		HandleError: true, // The answer is written, and its status known, before the line is.
		LogMethod:   true, LogRoutePath: true, LogStatus: true, LogLatency: true, LogRemoteIP: true, LogError: true,
		LogValuesFunc: func(c echo.Context, v middleware.RequestLoggerValues) error {
			ctx := c.Request().Context()
			a.cfg.Observe(Observation{Route: v.RoutePath, Method: knownMethod(v.Method), Status: v.Status, Duration: v.Latency})
			level := logLevel(c, v)
			if !a.cfg.Logger.Enabled(ctx, level) {
				return nil // What is turned away must cost nothing.
			}
			attrs := []slog.Attr{
				slog.String("method", knownMethod(v.Method)),
				slog.String("route", v.RoutePath),
				slog.Int("status", v.Status),
				slog.Float64("latency_ms", float64(v.Latency.Microseconds())/1000),
				slog.String("request_id", application.RequestID(ctx)),
				slog.String("remote_ip", v.RemoteIP),
			}
			if id := application.TraceID(ctx); id != "" {
				attrs = append(attrs, slog.String("trace_id", id))
			}
			if v.Error != nil {
				attrs = append(attrs, slog.String("code", string(domain.CodeOf(v.Error))))
			}
			// The message for a client's mistake may repeat the client's words; its code
			// says enough. What went wrong on our side is told whole.
			if clientsFault := v.Status >= 400 && v.Status < 500; v.Error != nil && !clientsFault {
				attrs = append(attrs, slog.String("error", v.Error.Error()))
			}
			if p, ok := errors.AsType[*panicked](v.Error); ok {
				attrs = append(attrs, slog.String("stack", string(p.stack)))
			}
			a.cfg.Logger.LogAttrs(ctx, level, "request", attrs...)
			return nil
		},
	})
}

// logLevel is error for what is our fault, warn for what is the client's, debug for
// probes, which come every few seconds, and for what was turned away unseen, of which
// admission tells, and else info.
func logLevel(c echo.Context, v middleware.RequestLoggerValues) slog.Level {
	if v.Error != nil {
		switch code := domain.CodeOf(v.Error); code { //nolint:exhaustive // Codes are not a closed set.
		case domain.CodeOverloaded, domain.CodeRateLimited, domain.CodeDraining:
			return slog.LevelDebug
		}
	}
	gone := errors.Is(context.Cause(c.Request().Context()), context.Canceled)
	switch {
	case v.Status >= http.StatusInternalServerError && !gone:
		return slog.LevelError
	case v.Status >= http.StatusBadRequest:
		return slog.LevelWarn
	case v.RoutePath == healthPath, v.RoutePath == readyPath, v.RoutePath == metricsPath:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// knownMethod keeps a method that a client made up out of the log.
func knownMethod(method string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
	if slices.Contains(known, method) {
		return method
	}
	return "OTHER"
}
