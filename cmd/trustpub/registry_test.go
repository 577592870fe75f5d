package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
)

func TestTheURLOfARegistryIsSecure(t *testing.T) {
	tests := []struct{ name, server, calls, audience string }{
		{"a host", "https://registry.example", "https://registry.example", "registry.example"},
		{"a slash at the end", "https://registry.example/", "https://registry.example", "registry.example"},
		{"a port and a path", "https://registry.example:8443/publish/", "https://registry.example:8443/publish", "registry.example:8443/publish"},
		{"http at this machine", "http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := newRegistry(tt.server)

			require.NoError(t, err)
			require.Equal(t, tt.calls, r.url.String())
			require.Equal(t, tt.audience, r.name())
		})
	}
	for _, server := range []string{
		"", "/", "registry.example", "http://registry.example", "http://127.0.0.1.registry.example", "ftp://registry.example",
		"https://", "https://user:password@registry.example", "https://registry.example?a=b", "https://registry.example#a",
		"https://registry.example/a b", "https://registry.example\n", "https://\\registry.example",
	} {
		t.Run("refused: "+server, func(t *testing.T) {
			_, err := newRegistry(server)

			setting, ok := errors.AsType[*bootstrap.SettingError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, "TRUSTPUB_SERVER", setting.Setting)
			require.NotContains(t, err.Error(), "password")
		})
	}
}

// Otherwise a registry that was taken over could get a token for a cloud in the name of
// every job that publishes to it.
func TestARegistryChoosesNoAudienceThatIsSomebodyElses(t *testing.T) {
	const server = "https://trustpub.registry.example:8443"
	tests := []struct {
		name, server, audience string
		want                   bool
	}{
		{"its host and port", server, "trustpub.registry.example:8443", true},
		{"its host", server, "trustpub.registry.example", true},
		{"its URL", server, server, true},
		{"its URL without the port", server, "https://trustpub.registry.example/", true},
		{"its host with a scheme", server, "npm:trustpub.registry.example", true},
		{"the domain above", server, "registry.example", true},
		{"its host in capitals", "https://TrustPub.Example", "trustpub.example", true},
		{"another port, which may be somebody else's", server, "https://trustpub.registry.example:9000", false},
		{"a cloud", server, "sts.amazonaws.com", false},
		{"another registry", server, "crates.io", false},
		{"another one of its neighbours", server, "other.registry.example", false},
		{"a domain below", server, "a.trustpub.registry.example", false},
		{"a name that ends alike", server, "stry.example", false},
		{"a top-level domain", server, "example", false},
		{"its host as user info", server, "https://trustpub.registry.example@sts.amazonaws.com", false},
		{"its host in a path", server, "https://sts.amazonaws.com/trustpub.registry.example", false},
		{"its host as a scheme", server, "trustpub.registry.example:sts.amazonaws.com", false},
		{"a Kubernetes API", server, "https://kubernetes.default.svc", false},
		{"nothing after the scheme", server, "npm:", false},
		{"anything, at a server on this machine", "http://127.0.0.1:8080", "crates.io", true},
		{"anything, at https on this machine", "https://127.0.0.1:8080", "crates.io", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := newRegistry(tt.server)
			require.NoError(t, err)

			require.Equal(t, tt.want, r.mayAskFor(tt.audience))
		})
	}
}

func TestARefusedAudienceIsShownWithTheWayToAllowIt(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"audience":"sts.amazonaws.com"}`))
	}))
	t.Cleanup(server.Close)
	r, err := newRegistry(server.URL)
	require.NoError(t, err)
	r.client.Transport = server.Client().Transport

	_, err = r.audience(t.Context())

	require.ErrorContains(t, err, "--audience sts.amazonaws.com")
}

// answering returns a registry that answers everything with one response, and how often
// it was asked.
func answering(t *testing.T, status int, body string, header ...string) (r *registry, asked *int) {
	t.Helper()
	asked = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*asked++
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	r, err := newRegistry(server.URL)
	require.NoError(t, err)
	return r, asked
}

func TestTheAudienceIsTheServersOrItsName(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string // "NAME" is the server's own.
		err    string
	}{
		{"told", 200, `{"audience":"registry.example"}`, "registry.example", ""},
		{"not told, as at crates.io", 404, `{"errors":[{"detail":"not found"}]}`, "NAME", ""},
		{"off, as at PyPI", 403, `{"message":"off"}`, "NAME", ""},
		{"another method's path", 405, ``, "NAME", ""},
		{"empty", 200, `{"audience":""}`, "", "name it with --audience"},
		{"a page for people", 200, `<html>`, "", "name it with --audience"},
		{"a redirect is not followed", 302, ``, "", "answered 302"},
		{"broken", 500, `{"errors":[{"detail":"Internal error.","code":"internal"}]}`, "", "Internal error. (internal)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, asked := answering(t, tt.status, tt.body, "Location", "/elsewhere")

			audience, err := r.audience(t.Context())

			require.Equal(t, 1, *asked)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(tt.want, "NAME", r.name()), audience)
		})
	}
}

func TestAnswersThatGiveNoAccessToken(t *testing.T) {
	const idToken = "eyJhbGciOi.eyJpc3Mi.c2ln"
	tests := []struct {
		name   string
		status int
		body   string
		want   string
		again  bool
	}{
		{"refused", 400, `{"errors":[{"detail":"No publisher.","code":"no_publisher"}]}`, "No publisher. (no_publisher)", false},
		{"refused twice", 400, `{"errors":[{"detail":"A.","code":"a"},{"detail":"B.","code":"b"}]}`, "A. (a) B. (b)", false},
		{"too many requests is a refusal too", 429, `{"errors":[{"detail":"Later.","code":"busy"}]}`, "Later. (busy)", false},
		{"not available", 503, `{"errors":[{"detail":"The keys.","code":"keys_unavailable"}]}`, "The keys. (keys_unavailable)", true},
		{"a proxy without its server", 502, `<html>Bad Gateway</html>`, "answered 502", true},
		{"an internal error", 500, `{"errors":[{"detail":"Internal error.","code":"internal"}]}`, "Internal error.", false},
		{"a redirect is not followed", 307, ``, "answered 307", false},
		{"another success", 204, ``, "answered 204", false},
		{"a redirect with an access token", 302, `{"token":"cio_tp_secret"}`, "not shown", false},
		{"no token", 200, `{}`, "without an access token", false},
		{"no JSON", 200, `cio_tp_x`, "without an access token", false},
		{"a token with a line end", 200, `{"token":"a\nLD_PRELOAD=/tmp/x.so"}`, "without an access token", false},
		{"a token with a line end behind it", 200, `{"token":"a\n"}`, "without an access token", false},
		{"a token with a space", 200, `{"token":"a b"}`, "without an access token", false},
		{"a token that is a workflow command", 200, `{"token":"a%0A::stop-commands::x"}`, "without an access token", false},
		{"an answer without end", 200, `{"token":"` + strings.Repeat("a", maxAnswer) + `"}`, "without an access token", false},
		{"the ID token, repeated", 400, `{"errors":[{"detail":"Bad ` + idToken + `.","code":"` + idToken + `"}]}`, "Bad [redacted]. ([redacted])", false},
		{"the ID token in no JSON", 502, `bad ` + idToken, "bad [redacted]", true},
		{"a workflow command in a new line", 400, `{"errors":[{"detail":"A\n::add-path::/tmp\r\u001b[2J","code":"a\u2028"}]}`, "A ::add-path::/tmp  [2J (a )", false},
		{"an old workflow command within a line", 400, `{"errors":[{"detail":"##[add-path]/tmp","code":"##["}]}`, "# #[add-path]/tmp (# #[)", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, asked := answering(t, tt.status, tt.body, "Location", "/elsewhere", "Retry-After", "7")

			token, err := r.exchange(t.Context(), idToken)

			require.Empty(t, token)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), idToken)
			require.NotContains(t, err.Error(), "cio_tp_secret")
			require.NotContains(t, err.Error(), "##[")
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, 1, *asked)
			unavailable, again := errors.AsType[*unavailableError](err)
			require.Equal(t, tt.again, again)
			if again {
				require.Equal(t, 7*time.Second, unavailable.after)
			}
		})
	}
}

func TestAnySuccessWithAnAccessTokenIsOne(t *testing.T) {
	for _, status := range []int{200, 201, 202} {
		r, _ := answering(t, status, `{"token":"cio_tp_x"}`)
		token, err := r.exchange(t.Context(), "jwt")
		require.NoError(t, err)
		require.Equal(t, "cio_tp_x", token)
	}
}

func TestRetryAfterIsReadInSecondsOnly(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"5": 5 * time.Second, "": 0, "-5": 0, "1.5": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "99999999999999999999": 0, "65536": 0,
	} {
		require.Equal(t, want, retryAfter(header), header)
	}
}

func TestAServerThatCantBeReachedMayBeLater(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	r, err := newRegistry(server.URL)
	require.NoError(t, err)

	err = r.revoke(t.Context(), "cio_tp_x")

	_, again := errors.AsType[*unavailableError](err)
	require.True(t, again)
	require.NotContains(t, err.Error(), "cio_tp_x")
}
