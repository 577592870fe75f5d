package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// traced is what a [httpapi.Trace] was told.
type traced struct {
	Method, Route string
	Status        int
	Code          domain.Code
}

// tracer traces requests into seen.
func tracer(seen *[]traced) httpapi.Trace {
	return func(ctx context.Context, method, route string, _ http.Header) (context.Context, func(int, domain.Code)) {
		return application.WithTraceID(ctx, "the-trace"), func(status int, code domain.Code) {
			*seen = append(*seen, traced{method, route, status, code})
		}
	}
}

func TestEveryRequestIsTracedByItsRouteAndWithoutAClientsText(t *testing.T) {
	t.Parallel()
	const hostile = "hostile-0123456789"
	tests := []struct {
		name    string
		request call
		want    traced
	}{
		{"a probe", bare(http.MethodGet, "/healthz?"+hostile), traced{"GET", "/healthz", 200, ""}},
		{"an exchange", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`), traced{"PUT", tokensPath, 200, ""}},
		{"a refusal", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+hostile+`"}`), traced{"PUT", tokensPath, 400, domain.CodeMalformedJWT}},
		{"a parameter in the path", bare(http.MethodDelete, configsPath+"/"+hostile).bearer(adminToken), traced{"DELETE", configsPath + "/:id", 404, domain.CodeNotFound}},
		{"a package in the path", bare(http.MethodPost, npmExchangePath+hostile), traced{"POST", npmExchangePath + ":name", 401, domain.CodeUnauthenticated}},
		{"a path that is none", bare(http.MethodGet, "/"+hostile), traced{"GET", "", 404, domain.CodeNotFound}},
		{"a path below one that is", bare(http.MethodGet, tokensPath+"/"+hostile), traced{"GET", "", 404, domain.CodeNotFound}},
		{"a method that is none", bare(hostile, tokensPath), traced{"OTHER", tokensPath, 405, domain.CodeMalformedRequest}},
		{"a panic", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+panicJWT+`"}`), traced{"PUT", tokensPath, 500, domain.CodeInternal}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen []traced
			r := newRegistry(t, func(s *setup) { s.Trace = tracer(&seen) })

			r.do(t, tt.request)

			require.Equal(t, []traced{tt.want}, seen)
			lines := r.lines(t)
			require.Len(t, lines, 1)
			require.Equal(t, "the-trace", lines[0]["trace_id"])
		})
	}
}

func TestARequestThatIsBrokenOffIsTracedWithoutAStatus(t *testing.T) {
	t.Parallel()
	var seen []traced
	r := newRegistry(t, func(s *setup) {
		s.Trace = tracer(&seen)
		s.Exchange = contextKeeper{func(context.Context) error { panic(http.ErrAbortHandler) }}
	})

	require.Panics(t, func() {
		r.api.ServeHTTP(httptest.NewRecorder(), jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`).http())
	})

	require.Equal(t, []traced{{"PUT", tokensPath, 0, ""}}, seen)
}

func TestWithoutTracesTheLogHasNoTraceID(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)

	r.do(t, bare(http.MethodGet, "/healthz"))

	require.NotContains(t, r.lines(t)[0], "trace_id")
}

func TestWhatIsDoneForARequestHasTheContextOfItsTrace(t *testing.T) {
	t.Parallel()
	var seen []traced
	var id string
	r := newRegistry(t, func(s *setup) {
		s.Trace = tracer(&seen)
		s.Ready = func(ctx context.Context) error {
			id = application.TraceID(ctx)
			return nil
		}
	})

	r.do(t, bare(http.MethodGet, "/readyz"))

	require.Equal(t, "the-trace", id)
}
