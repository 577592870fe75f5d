package cijob_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
)

// endpoint imitates GitHub's endpoint for ID tokens, with a fault.
type endpoint struct {
	*httptest.Server
	status    int
	body      string
	audiences []string
	bearers   []string
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{status: http.StatusOK, body: `{"count":9,"value":"jwt"}`}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.audiences = append(e.audiences, r.URL.Query()["audience"]...)
		e.bearers = append(e.bearers, r.Header.Get("Authorization"))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(e.status)
		_, _ = w.Write([]byte(e.body))
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) environment() map[string]string {
	return map[string]string{
		"GITHUB_ACTIONS":                 "true",
		"ACTIONS_ID_TOKEN_REQUEST_URL":   e.URL + "/token?api-version=2.0",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
	}
}

func TestGitHubActionsIsAskedOncePerTokenForTheAudience(t *testing.T) {
	tests := []struct{ name, query string }{
		{"a URL with a query", "?api-version=2.0"},
		{"a URL without one", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t)
			environment := e.environment()
			environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = e.URL + tt.query
			j, _ := job(t, environment, nil)

			token, err := j.IDToken(t.Context(), audience)

			require.NoError(t, err)
			require.Equal(t, "jwt", token)
			require.Equal(t, []string{audience}, e.audiences)
			require.Equal(t, []string{"Bearer request-token"}, e.bearers)
		})
	}
}

func TestWhatGitHubActionsAnswersWrongly(t *testing.T) {
	tests := []struct {
		name       string
		status     int
		body       string
		want       string
		mayImprove bool
	}{
		{"out of order", http.StatusServiceUnavailable, "", "answered 503", true},
		{"an error of its own", http.StatusInternalServerError, "", "answered 500", true},
		{"too many requests", http.StatusTooManyRequests, "", "answered 429", true},
		{"refused", http.StatusForbidden, "request-token jwt", "answered 403", false},
		{"a redirect is not followed", http.StatusFound, "", "answered 302", false},
		{"no JSON", http.StatusOK, "jwt", "without an ID token", false},
		{"no value", http.StatusOK, `{"token":"jwt"}`, "without an ID token", false},
		{"an empty value", http.StatusOK, `{"value":""}`, "without an ID token", false},
		{"longer than any ID token", http.StatusOK, `{"value":"` + strings.Repeat("a", 70_000) + `"}`, "without an ID token", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t)
			e.status, e.body = tt.status, tt.body
			j, _ := job(t, e.environment(), nil)

			_, err := j.IDToken(t.Context(), audience)

			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tt.mayImprove, errors.Is(err, cijob.ErrUnavailable))
			require.NotContains(t, err.Error(), "request-token")
			require.NotContains(t, err.Error(), "jwt")
			require.Len(t, e.bearers, 1)
		})
	}
	t.Run("nothing at all", func(t *testing.T) {
		e := newEndpoint(t)
		e.Close()
		j, _ := job(t, e.environment(), nil)

		_, err := j.IDToken(t.Context(), audience)

		require.ErrorIs(t, err, cijob.ErrUnavailable)
		require.NotContains(t, err.Error(), "request-token")
	})
}
