package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// The tokens of two users. alice owns @octo/app, and bob @octo/other.
const (
	aliceToken = "alice-0123456789abcdef"
	bobToken   = "bob-0123456789abcdef"
)

// host is a running registry, with a GitHub and a GitLab that it trusts.
type host struct {
	url            string // With the path /npm, and without a trailing slash.
	github, gitlab *issuer.Issuer
	// later is how far ahead of the time the clock is that access tokens expire by, in
	// nanoseconds.
	later atomic.Int64

	mu       sync.Mutex
	requests []string
}

// startHost starts a registry. claims changes what GitHub puts into ID tokens.
func startHost(t *testing.T, claims ...func(issuer.Claims) issuer.Claims) *host {
	t.Helper()
	h := &host{}
	server := httptest.NewUnstartedServer(nil)
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	h.url = "http://" + address + "/npm"

	var github atomic.Pointer[issuer.Issuer]
	var err error
	h.github, err = issuer.Start(issuer.Config{Claims: func() issuer.Claims {
		all := github.Load().GitHubClaims()
		for _, change := range claims {
			all = change(all)
		}
		return all
	}})
	require.NoError(t, err)
	github.Store(h.github)
	t.Cleanup(func() { _ = h.github.Close() })
	h.gitlab, err = issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.gitlab.Close() })

	settings, err := bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_PROVIDERS": "github=" + h.github.URL() + ",gitlab=" + h.gitlab.URL(),
		"DOMAIN_NAME":        address, "TRUSTPUB_GITHUB_API_URL": startGitHubAPI(t),
	})
	require.NoError(t, err)
	var mux *http.ServeMux
	app := fxtest.New(t, fx.NopLogger,
		newApp(settings, options{people: writePeople(t), data: t.TempDir(), url: h.url}, slog.New(slog.DiscardHandler)),
		fx.Decorate(h.tokenService),
		fx.Populate(&mux),
	)
	app.RequireStart()
	t.Cleanup(func() { app.RequireStop() })
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		mux.ServeHTTP(recorder, r)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requests = append(h.requests, fmt.Sprintf("%s %s %d", r.Method, r.URL.EscapedPath(), recorder.status))
	})
	server.Start()
	return h
}

// tokenService is that of trustpub, with a clock that can be put forward.
func (h *host) tokenService(tokens application.TokenStore, auditor application.Auditor) (*application.TokenService, error) {
	prefix, err := domain.NewTokenPrefix("npm_tp_")
	if err != nil {
		return nil, err
	}
	return application.NewTokenService(application.TokenConfig{
		Tokens: tokens, Auditor: auditor, Prefixes: []domain.TokenPrefix{prefix},
		Now: func() time.Time { return time.Now().Add(time.Duration(h.later.Load())) },
	})
}

type statusRecorder struct {
	http.ResponseWriter

	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.MaxBytesReader find the server's own writer.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// startGitHubAPI answers which number the account octo-org has.
func startGitHubAPI(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/octo-org", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"login": "octo-org", "id": 65})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func writePeople(t *testing.T) string {
	t.Helper()
	hash := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return hex.EncodeToString(sum[:])
	}
	content, err := json.Marshal(map[string]any{
		"users":    map[string]string{"alice": hash(aliceToken), "bob": hash(bobToken)},
		"packages": map[string][]string{"@octo/app": {"alice"}, "@octo/other": {"bob"}},
	})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "people.json")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file
}

// origin is where npm asks for the exchange.
func (h *host) origin() string { return strings.TrimSuffix(h.url, "/npm") }

// audience is what npm asks for.
func (h *host) audience() string { return "npm:127.0.0.1" }

// asked returns the requests since the last call, with the statuses that they were
// answered with, those that were repeated at once once.
func (h *host) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = nil
	return slices.Compact(requests)
}

// call sends a request and returns status and body of the answer.
func (h *host) call(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// trust makes release.yml of octo-org/octo-repo a publisher of @octo/app.
func (h *host) trust(t *testing.T) {
	t.Helper()
	status, body := h.call(t, http.MethodPost, h.url+"/-/package/@octo%2fapp/trust", aliceToken,
		`[{"type":"github","claims":{"repository":"octo-org/octo-repo","workflow_ref":{"file":"release.yml"}},"permissions":["createPackage"]}]`)
	require.Equal(t, http.StatusOK, status, body)
}

// exchange returns an access token for @octo/app, as npm gets one.
func (h *host) exchange(t *testing.T) string {
	t.Helper()
	idToken, err := h.github.Sign(h.github.GitHubClaims().With("aud", h.audience()))
	require.NoError(t, err)
	status, body := h.call(t, http.MethodPost, h.origin()+"/-/npm/v1/oidc/token/exchange/package/@octo%2fapp", idToken, "")
	require.Equal(t, http.StatusCreated, status, body)
	var answer struct {
		Token string `json:"token"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	return answer.Token
}

func TestTheExchangeIsAtTheRootAndBelowThePath(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	for _, base := range []string{h.origin(), h.url} {
		idToken, err := h.github.Sign(h.github.GitHubClaims().With("aud", h.audience()))
		require.NoError(t, err)
		status, body := h.call(t, http.MethodPost, base+"/-/npm/v1/oidc/token/exchange/package/@octo%2fapp", idToken, "")
		require.Equal(t, http.StatusCreated, status, body)
	}
}

func TestWhatIsNotThePackagesIsAnswered(t *testing.T) {
	h := startHost(t)
	tests := []struct {
		name, method, path, token string
		status                    int
		body                      string
	}{
		{"ping", "GET", "/-/ping", "", 200, `{}`},
		{"whoami", "GET", "/-/whoami", aliceToken, 200, `{"username":"alice"}`},
		{"whoami as nobody", "GET", "/-/whoami", "", 401, `"error"`},
		{"whoami with another's token", "GET", "/-/whoami", "mallory", 401, `"error"`},
		{"visibility", "GET", "/-/package/@octo%2fapp/visibility", "", 404, `"error"`},
		{"package without version", "GET", "/@octo%2fapp", "", 404, "no version yet"},
		{"package without version, decoded", "GET", "/@octo/app", "", 404, "no version yet"},
		{"unknown package", "GET", "/unknown", "", 404, "no such package"},
		{"what is no name", "GET", "/@octo%2f..", "", 400, "name of an npm package"},
		{"name with a detour", "GET", "/@octo/x%2f..%2fapp", "", 400, "name of an npm package"},
		{"unknown tarball", "GET", "/@octo/app/-/app-1.0.0.tgz", "", 404, "no such version"},
		{"tarball with a detour", "GET", "/@octo/app/-/app-..%2f..%2fpeople.json.tgz", "", 404, "no such file"},
		{"another file", "GET", "/@octo/app/-/release.json", "", 404, "no such file"},
		{"another endpoint", "GET", "/a/b/c", "", 404, "no such endpoint"},
		{"another method", "DELETE", "/@octo%2fapp", aliceToken, 404, "no such endpoint"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, body := h.call(t, test.method, h.url+test.path, test.token, "")
			require.Equal(t, test.status, status, body)
			require.Contains(t, body, test.body)
		})
	}
}

func TestAFileOfPeopleThatCannotBeRightIsAnError(t *testing.T) {
	hash := strings.Repeat("a", 64)
	tests := []struct{ name, content, want string }{
		{"no JSON", "x", "invalid character"},
		{"token instead of its hash", `{"users":{"alice":"secret"}}`, `"alice" needs the SHA-256`},
		{"user without name", `{"users":{"":"` + hash + `"}}`, "needs the SHA-256"},
		{"token of two users", `{"users":{"alice":"` + hash + `","bob":"` + hash + `"}}`, "token of another"},
		{"what is no name", `{"packages":{"../x":[]}}`, "no name"},
		{"name in capitals", `{"packages":{"JSONStream":[]}}`, "lower case"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "people.json")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			_, err := loadPeople(file)
			require.ErrorContains(t, err, test.want)
		})
	}
}
