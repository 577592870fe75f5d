package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// withBody are good requests to all endpoints that take a body.
func withBody(tb testing.TB) map[string]call {
	tb.Helper()
	return map[string]call{
		"exchange, PUT":            jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`),
		"exchange, POST":           jsonTo(http.MethodPost, tokensPath, `{"jwt":"`+goodJWT+`"}`),
		"exchange, JSON of OAuth":  jsonTo(http.MethodPost, tokensPath, exchangeObject(tb, nil)),
		"exchange, form of OAuth":  formTo(tokensPath, exchangeForm(nil).Encode()),
		"token endpoint, JSON":     jsonTo(http.MethodPost, "/oauth/token", exchangeObject(tb, nil)),
		"token endpoint, form":     formTo("/oauth/token", exchangeForm(nil).Encode()),
		"revoke":                   formTo("/oauth/revoke", "token="+unknownToken),
		"introspect":               formTo("/oauth/introspect", "token="+unknownToken).bearer(registryToken),
		"create a config, POST":    jsonTo(http.MethodPost, configsPath, configBody(tb, nil)).bearer(adminToken),
		"create a config, PUT":     jsonTo(http.MethodPut, configsPath, configBody(tb, nil)).bearer(adminToken),
		"create a config of npm":   jsonTo(http.MethodPost, "/-/package/tool/trust", npmTrust).bearer(adminToken),
		"exchange with parameters": jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`).with("Content-Encoding", "identity"),
	}
}

func TestContentTypesOtherThanThoseOfTheEndpointAre415(t *testing.T) {
	t.Parallel()
	for name, q := range withBody(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			for _, types := range [][]string{
				nil,
				{""},
				{"text/plain"},
				{"application"},
				{"application/json/x"},
				{"application/jsonp"},
				{"application/x-www-form"},
				{"multipart/form-data; boundary=x"},
				{"application/json, text/plain"},
				{";"},
				{"application/json; charset=\"utf-8"},
				{"application/json", "application/json"},
				{"application/jwt"},
				{"*/*"},
			} {
				bad := call{method: q.method, target: q.target, header: q.header.Clone(), body: q.body}
				bad.header["Content-Type"] = types
				response := r.do(t, bad)
				require.Equal(t, http.StatusUnsupportedMediaType, response.StatusCode, types)
			}
		})
	}
}

func TestContentTypesMayHaveParametersAndAnyCase(t *testing.T) {
	t.Parallel()
	for name, q := range withBody(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mediaType := q.header.Get("Content-Type")
			for _, same := range []string{mediaType + "; charset=utf-8", mediaType + ";charset=UTF-8; x=y", strings.ToUpper(mediaType)} {
				good := call{method: q.method, target: q.target, header: q.header.Clone(), body: q.body}
				good.header.Set("Content-Type", same)
				response := newRegistry(t).do(t, good)
				require.Equal(t, http.StatusOK, response.StatusCode, same)
			}
		})
	}
}

func TestContentEncodingsOtherThanIdentityAre415(t *testing.T) {
	t.Parallel()
	for name, q := range withBody(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			for _, encoding := range []string{"gzip", "br", "deflate", "identity, gzip", "nonsense"} {
				require.Equal(t, http.StatusUnsupportedMediaType, r.do(t, q.with("Content-Encoding", encoding)).StatusCode, encoding)
			}
		})
	}
}

func TestBodiesAboveTheLimitAre413AndNothingIsDone(t *testing.T) {
	t.Parallel()
	for name, q := range withBody(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			good := q.body
			q.body = good + strings.Repeat(" ", request.MaxBody)
			require.Equal(t, http.StatusRequestEntityTooLarge, r.do(t, q).StatusCode)

			// The same in chunks, without a Content-Length.
			chunked := q.http()
			chunked.ContentLength = -1
			recorder := httptest.NewRecorder()
			r.api.ServeHTTP(recorder, chunked)
			require.Equal(t, http.StatusRequestEntityTooLarge, recorder.Code)

			require.Zero(t, r.store.tokens)
			require.Equal(t, 2, r.store.configs(t))
		})
	}
}

func TestABodyTooLargeForAnIDTokenIsAMalformedJWT(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	large := strings.Repeat("x", request.MaxBody+1)
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, large))
	require.Equal(t, "malformed_jwt", read(t, response).Errors[0].Code)
	response = r.do(t, formTo("/oauth/token", large))
	require.Equal(t, "malformed_jwt", read(t, response).Code)
	require.Equal(t, "invalid_request", read(t, response).Error)
}

func TestOtherMethodsAre405WithAllow(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		tokensPath:          {"OPTIONS", "PUT", "POST", "DELETE"},
		configsPath:         {"OPTIONS", "PUT", "POST", "GET", "HEAD"},
		configsPath + "/1":  {"OPTIONS", "DELETE"},
		"/oauth/token":      {"OPTIONS", "POST"},
		"/oauth/revoke":     {"OPTIONS", "POST"},
		"/oauth/introspect": {"OPTIONS", "POST"},
		"/.well-known/oauth-authorization-server": {"OPTIONS", "GET", "HEAD"},
		npmExchangePath + "tool":                  {"OPTIONS", "POST"},
		npmExchangePath + "@octo%2fapp":           {"OPTIONS", "POST"},
		npmExchangePath + "@octo/app":             {"OPTIONS", "POST"},
		"/-/package/tool/trust":                   {"OPTIONS", "POST", "GET", "HEAD"},
		"/-/package/@octo/app/trust":              {"OPTIONS", "POST", "GET", "HEAD"},
		"/-/package/@octo%2fapp/trust/1":          {"OPTIONS", "DELETE"},
		"/-/package/@octo/app/trust/1":            {"OPTIONS", "DELETE"},
		pypiAudiencePath:                          {"OPTIONS", "GET", "HEAD"},
		pypiMintPath:                              {"OPTIONS", "POST"},
		pypiGitHubMintPath:                        {"OPTIONS", "POST"},
		pypiBurnPath:                              {"OPTIONS", "POST"},
		gemExchangePath:                           {"OPTIONS", "POST"},
		gemPublishersPath:                         {"OPTIONS", "POST", "GET", "HEAD"},
		gemPublishersPath + "/1":                  {"OPTIONS", "DELETE"},
		"/healthz":                                {"OPTIONS", "GET", "HEAD"},
		"/readyz":                                 {"OPTIONS", "GET", "HEAD"},
		"/metrics":                                {"OPTIONS", "GET", "HEAD"},
		"/openapi.json":                           {"OPTIONS", "GET", "HEAD"},
	}
	r := newRegistry(t)
	for path, methods := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get", "MADE-UP"} {
			recorder := httptest.NewRecorder()
			q := bare(http.MethodGet, path)
			req := q.http()
			req.Method = method
			r.api.ServeHTTP(recorder, req)
			if method == http.MethodOptions {
				require.Equal(t, http.StatusNoContent, recorder.Code)
				require.ElementsMatch(t, methods, strings.Split(recorder.Header().Get("Allow"), ", "), path)
				continue
			}
			isAllowed := false
			for _, m := range methods {
				isAllowed = isAllowed || m == method
			}
			require.Equal(t, !isAllowed, recorder.Code == http.StatusMethodNotAllowed, "%s %s answered %d", method, path, recorder.Code)
			if !isAllowed {
				require.ElementsMatch(t, methods, strings.Split(recorder.Header().Get("Allow"), ", "), path)
			}
		}
	}
}

func TestOtherPathsAre404InTheEnvelopeOfTheirDialectOrOfCrates(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, path := range []string{"/", "/api", tokensPath + "/", tokensPath + "/x", "/oauth", "/oauth/", "/oauth/authorize", "/OAUTH/token", "//oauth/token", "/oauth%2ftoken", "/healthz/", "/%00", "/.well-known/openid-configuration"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			response := r.do(t, bare(method, path))
			require.Equal(t, http.StatusNotFound, response.StatusCode, path)
			if strings.HasPrefix(path, "/oauth/") || path == "/oauth%2ftoken" {
				require.Equal(t, "not_found", read(t, response).Code, path)
				continue
			}
			require.Equal(t, "not_found", read(t, response).Errors[0].Code, path)
		}
	}
}

func TestEveryResponseCarriesTheHeadersOfAll(t *testing.T) {
	t.Parallel()
	requests := withBody(t)
	for _, path := range []string{"/", "/healthz", "/readyz", "/openapi.json", "/.well-known/oauth-authorization-server", tokensPath, configsPath, "/oauth/token"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch} {
			requests[method+" "+path] = bare(method, path)
		}
	}
	requests["refused"] = jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+strangeJWT+`"}`)
	requests["unavailable"] = jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+keylessJWT+`"}`)
	requests["internal"] = jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+brokenJWT+`"}`)
	requests["panic"] = jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+panicJWT+`"}`)
	for name, q := range requests {
		response := newRegistry(t).do(t, q)
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"), name)
		require.Equal(t, "no-cache", response.Header.Get("Pragma"), name)
		require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"), name)
		require.Regexp(t, `^[0-9a-f]{32}$`, response.Header.Get("X-Request-Id"), name)
		if response.StatusCode >= http.StatusBadRequest {
			require.Equal(t, "application/json", response.Header.Get("Content-Type"), name)
		}
	}
}

func TestARequestIDIsTakenOverWhenSane(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for id, sane := range map[string]bool{
		"a": true, "0HL.k_-9": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\tb": false, "a/b": false, "é": false, `"`: false, "a,b": false, "a\nb": false, "a\n": false,
	} {
		got := r.do(t, bare(http.MethodGet, "/healthz").with("X-Request-Id", id)).Header.Get("X-Request-Id")
		if sane {
			require.Equal(t, id, got)
			continue
		}
		require.Regexp(t, `^[0-9a-f]{32}$`, got, id)
	}
}

// contextKeeper is an Exchanger that keeps the context that it is called with.
type contextKeeper struct{ check func(context.Context) error }

func (k contextKeeper) Exchange(ctx context.Context, _ application.ExchangeRequest) (application.Issued, error) {
	return application.Issued{}, k.check(ctx)
}

func TestUseCasesSeeTheRequestIDAndADeadline(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) {
		cfg.RequestTimeout = time.Hour
		cfg.Exchange = contextKeeper{func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) > time.Hour || application.RequestID(ctx) != "mine" {
				return errors.New("context lacks something")
			}
			return domain.Refuse(domain.CodeExpired, "The ID token has expired.")
		}}
	})
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`).with("X-Request-Id", "mine"))
	require.Equal(t, "expired", read(t, response).Errors[0].Code)
}

func TestReadinessIs503WhileTheDatabaseCannotAnswer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) {
		cfg.Ready = func(context.Context) error { return errDown }
	})
	response := r.do(t, bare(http.MethodGet, "/readyz"))
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, "5", response.Header.Get("Retry-After"))
	require.NotContains(t, response.Body, errDown.Error())
	require.Equal(t, http.StatusOK, r.do(t, bare(http.MethodGet, "/healthz")).StatusCode)
}

func TestTheAPIWorksUnderAnyPrefix(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) { cfg.Issuer = "https://example.com/registry" })
	handler := http.StripPrefix("/registry", r.api)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, jsonTo(http.MethodPut, "/registry"+tokensPath, `{"jwt":"`+goodJWT+`"}`).http())
	require.Equal(t, http.StatusOK, recorder.Code)
	recorder = httptest.NewRecorder()
	handler.ServeHTTP(recorder, bare(http.MethodGet, "/registry/.well-known/oauth-authorization-server").http())
	require.Contains(t, recorder.Body.String(), `"token_endpoint":"https://example.com/registry/oauth/token"`)
}
