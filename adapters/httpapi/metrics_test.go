package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi"
)

func TestEveryAnswerIsObservedByItsRouteAndWithoutAClientsText(t *testing.T) {
	t.Parallel()
	const hostile = "hostile-0123456789"
	tests := []struct {
		name    string
		request call
		want    httpapi.Observation
	}{
		{"a probe", bare(http.MethodGet, "/healthz?"+hostile), httpapi.Observation{Route: "/healthz", Method: "GET", Status: 200}},
		{"a parameter in the path", bare(http.MethodDelete, configsPath+"/"+hostile).bearer(adminToken), httpapi.Observation{Route: configsPath + "/:id", Method: "DELETE", Status: 404}},
		{"a package in the path", bare(http.MethodPost, npmExchangePath+hostile), httpapi.Observation{Route: npmExchangePath + ":name", Method: "POST", Status: 401}},
		{"a path that is none", bare(http.MethodGet, "/"+hostile), httpapi.Observation{Method: "GET", Status: 404}},
		{"a method that is none", bare(hostile, tokensPath), httpapi.Observation{Route: tokensPath, Method: "OTHER", Status: 405}},
		{"a body that is none", jsonTo(http.MethodPut, tokensPath, hostile), httpapi.Observation{Route: tokensPath, Method: "PUT", Status: 400}},
		{"a panic", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+panicJWT+`"}`), httpapi.Observation{Route: tokensPath, Method: "PUT", Status: 500}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen []httpapi.Observation
			r := newRegistry(t, func(s *setup) { s.Observe = func(o httpapi.Observation) { seen = append(seen, o) } })

			r.api.ServeHTTP(httptest.NewRecorder(), tt.request.http())

			require.Len(t, seen, 1)
			require.GreaterOrEqual(t, seen[0].Duration, tt.want.Duration)
			seen[0].Duration = 0
			require.Equal(t, tt.want, seen[0])
		})
	}
}

func TestMetricsAreServedOnlyWhereThereAreSome(t *testing.T) {
	t.Parallel()
	require.Equal(t, http.StatusOK, newRegistry(t).do(t, bare(http.MethodGet, "/metrics")).StatusCode)

	without := newRegistry(t, func(s *setup) { s.Metrics = nil })
	recorder := httptest.NewRecorder()
	without.api.ServeHTTP(recorder, bare(http.MethodGet, "/metrics").http())
	require.Equal(t, http.StatusNotFound, recorder.Code)
}

func TestThatMetricsWereReadIsLoggedAtDebug(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.do(t, bare(http.MethodGet, "/metrics"))
	lines := r.lines(t)
	require.Len(t, lines, 1)
	require.Equal(t, "DEBUG", lines[0]["level"])
}
