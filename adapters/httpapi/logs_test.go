package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines returns what was logged, a map per line.
func (r *registry) lines(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(r.logs.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		lines = append(lines, m)
	}
	return lines
}

func TestNeitherAnIDTokenNorAnAccessTokenNorACredentialIsEverLogged(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	secrets := []string{goodJWT, goodJWT2, strangeJWT, keylessJWT, brokenJWT, panicJWT, crashJWT, accessToken, unknownToken, adminToken, registryToken}
	var requests []call
	for _, q := range withBody(t) {
		requests = append(requests, q)
	}
	for _, secret := range secrets {
		requests = append(requests,
			// Where a secret belongs.
			jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+secret+`"}`),
			formTo("/oauth/token", exchangeForm(set("subject_token", secret)).Encode()),
			bare(http.MethodDelete, tokensPath).bearer(secret),
			formTo("/oauth/revoke", "token="+secret),
			formTo("/oauth/introspect", "token="+secret).bearer(registryToken),
			// Where it does not.
			bare(http.MethodGet, "/"+secret),
			bare(http.MethodGet, "/healthz?token="+secret),
			bare(http.MethodDelete, configsPath+"/"+secret).bearer(adminToken),
			bare(http.MethodDelete, tokensPath).with("Authorization", secret+" x"),
			bare(http.MethodGet, configsPath+"?crate="+secret+"&per_page="+secret).bearer(adminToken),
			bare(http.MethodGet, configsPath+"?ecosystem=x&crate=a&"+secret+"=1&"+secret+"=2").bearer(adminToken),
			bare(http.MethodGet, "/healthz").with("X-Request-Id", "Bearer "+secret).with("User-Agent", secret).with("Referer", secret),
			bare(secret, tokensPath),
			jsonTo(http.MethodPut, tokensPath, secret),
			jsonTo(http.MethodPut, tokensPath, `{"`+secret+`":1,"`+secret+`":1}`),
			jsonTo(http.MethodPut, tokensPath+"?jwt="+secret, `{}`),
			formTo("/oauth/token", "%zz"+secret),
			formTo("/oauth/revoke?token="+secret, ""),
			jsonTo(http.MethodPost, configsPath, `{"`+secret+`":{}}`).bearer(adminToken),
			bare(http.MethodPost, tokensPath).with("Content-Type", secret),
			bare(http.MethodPost, tokensPath).with("Content-Type", "application/json").with("Content-Encoding", secret),
		)
		for _, name := range []string{"grant_type", "subject_token_type", "requested_token_type", "actor_token", "audience", "resource", "scope", secret} {
			requests = append(requests, formTo("/oauth/token", exchangeForm(set(name, secret)).Encode()))
		}
		for _, name := range []string{"crate", "ecosystem", "repository_owner", "repository_name", "workflow_filename", "environment", "issuer", secret} {
			requests = append(requests, jsonTo(http.MethodPost, configsPath, configBody(t, members{name: raw(`"` + secret + `"`)})).bearer(adminToken))
		}
	}
	r.store.fail(nil)
	for range 2 {
		for _, q := range requests {
			r.api.ServeHTTP(httptest.NewRecorder(), q.http())
		}
		r.store.fail(errDown)
	}
	logged := r.logs.String()
	require.Equal(t, 2*len(requests), strings.Count(logged, "\n"))
	for _, secret := range secrets {
		require.NotContains(t, logged, secret)
		require.NotContains(t, logged, url.QueryEscape(secret))
	}
}

func TestARequestIsLoggedByItsRouteWithItsCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		call call
		want map[string]any
	}{
		{
			"a success is info", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`),
			map[string]any{"level": "INFO", "method": "PUT", "route": tokensPath, "status": 200.0},
		},
		{
			"a probe is debug", bare(http.MethodGet, "/healthz"),
			map[string]any{"level": "DEBUG", "route": "/healthz", "status": 200.0},
		},
		{
			"a client's fault is a warning", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+strangeJWT+`"}`),
			map[string]any{"level": "WARN", "status": 400.0, "code": "no_publisher"},
		},
		{
			"an unknown path is a warning without its name", bare(http.MethodGet, "/secret"),
			map[string]any{"level": "WARN", "route": "", "status": 404.0, "code": "not_found"},
		},
		{
			"an ID in a path shows as its pattern", bare(http.MethodDelete, configsPath+"/77").bearer(adminToken),
			map[string]any{"level": "WARN", "route": configsPath + "/:id", "status": 404.0},
		},
		{
			"what is not ready is an error with its cause", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+keylessJWT+`"}`),
			map[string]any{"level": "ERROR", "status": 503.0, "code": "keys_unavailable", "error": "verify ID token: keys_unavailable: The keys of the issuer can't be loaded right now.: unexpected EOF"},
		},
		{
			"our fault is an error with its cause", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+brokenJWT+`"}`),
			map[string]any{"level": "ERROR", "status": 500.0, "code": "internal_error", "error": "verify ID token: unexpected EOF"},
		},
		{
			"a panic is an error without its value", jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+panicJWT+`"}`),
			map[string]any{"level": "ERROR", "status": 500.0, "error": "panic with a value of type string"},
		},
		{
			"a nil dereference is an error with its text", formTo("/oauth/token", exchangeForm(set("subject_token", crashJWT)).Encode()),
			map[string]any{"level": "ERROR", "status": 500.0, "error": "panic: runtime error: invalid memory address or nil pointer dereference"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			response := r.do(t, tt.call.with("X-Request-Id", "the-id"))
			lines := r.lines(t)
			require.Len(t, lines, 1)
			for key, want := range tt.want {
				require.Equal(t, want, lines[0][key], key)
			}
			require.Equal(t, "the-id", lines[0]["request_id"])
			require.Equal(t, "192.0.2.1", lines[0]["remote_ip"])
			require.Contains(t, lines[0], "latency_ms")
			if strings.Contains(tt.name, "panic") || strings.Contains(tt.name, "nil") {
				require.Contains(t, lines[0]["stack"], "registry_test.go")
				require.Contains(t, response.Body, "internal error")
			}
		})
	}
}

func TestForwardingHeadersDoNotChangeTheAddressInTheLog(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.do(t, bare(http.MethodGet, "/healthz").with("X-Forwarded-For", "203.0.113.9").with("X-Real-Ip", "203.0.113.9").with("Forwarded", "for=203.0.113.9"))
	require.Equal(t, "192.0.2.1", r.lines(t)[0]["remote_ip"])
}

func TestAPanicOfTheTokenEndpointIsAnsweredInItsEnvelope(t *testing.T) {
	t.Parallel()
	response := newRegistry(t).do(t, formTo("/oauth/token", exchangeForm(set("subject_token", panicJWT)).Encode()))
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.Equal(t, "server_error", read(t, response).Error)
}
