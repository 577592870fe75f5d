package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const (
	adminToken    = "0123456789abcdef0123456789abcdef"
	registryToken = "fedcba9876543210fedcba9876543210"
	trustedConfig = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`
)

// stage is a registry and a CI system that trust each other. Before the registry stands
// a proxy that counts requests and fails on demand.
type stage struct {
	tb    testing.TB
	ci    *issuer.Issuer
	front *httptest.Server

	mu       sync.Mutex
	faults   map[string][]fault // By the method, the next one first.
	requests map[string]int
}

// fault is how the registry fails a request.
type fault string

const (
	// notAvailable answers 503 and does nothing.
	notAvailable fault = "unavailable"
	// answerLost does what was asked and answers 503.
	answerLost fault = "lost"
)

func newStage(tb testing.TB) *stage {
	tb.Helper()
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = ci.Close() })
	settings, err := bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_LISTEN": "127.0.0.1:0", "DATABASE_URL": "sqlite::memory:", "DOMAIN_NAME": "registry.example",
		"TRUSTPUB_PROVIDERS": "github=" + ci.URL(), "TRUSTPUB_ADMIN_TOKEN": adminToken, "TRUSTPUB_REGISTRY_TOKEN": registryToken,
	})
	require.NoError(tb, err)
	ctx, stop := context.WithCancel(context.Background())
	addresses, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- bootstrap.Serve(ctx, settings, slog.New(slog.DiscardHandler), func(a net.Addr) { addresses <- a })
	}()
	tb.Cleanup(func() { stop(); require.NoError(tb, <-ended) })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: (<-addresses).String()})
	s := &stage{tb: tb, ci: ci, faults: map[string][]fault{}, requests: map[string]int{}}
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch s.next(r) {
		case answerLost:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		case notAvailable:
		default:
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"errors":[{"detail":"The database rests.","code":"store_unavailable"}]}`)
	}))
	tb.Cleanup(s.front.Close)
	status, _ := s.call("/api/v1/trusted_publishing/github_configs", adminToken, "application/json", trustedConfig)
	require.Equal(tb, http.StatusOK, status)
	return s
}

// next counts a request, and returns how it is to fail, if at all.
func (s *stage) next(r *http.Request) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.Method]++
	faults := s.faults[r.Method]
	if r.URL.Path != tokensPath || len(faults) == 0 {
		return ""
	}
	s.faults[r.Method] = faults[1:]
	return faults[0]
}

// fail makes the next requests with a method fail.
func (s *stage) fail(method string, faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = faults
}

func (s *stage) call(path, bearer, contentType, body string) (status int, answer string) {
	s.tb.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.front.URL+path, strings.NewReader(body))
	require.NoError(s.tb, err)
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("Content-Type", contentType)
	response, err := s.front.Client().Do(request)
	require.NoError(s.tb, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(s.tb, err)
	return response.StatusCode, string(content)
}

// isActive asks the registry whether an access token may do anything.
func (s *stage) isActive(token string) bool {
	s.tb.Helper()
	require.Regexp(s.tb, `^cio_tp_[0-9A-Za-z]{38}$`, token)
	_, answer := s.call(introspectPath, registryToken, "application/x-www-form-urlencoded", "token="+token)
	var introspection struct{ Active *bool }
	require.NoError(s.tb, json.Unmarshal([]byte(answer), &introspection), answer)
	require.NotNil(s.tb, introspection.Active, answer)
	return *introspection.Active
}

// environment is that of a job of GitHub Actions that knows the registry.
func (s *stage) environment() []string {
	return []string{
		"TRUSTPUB_SERVER=" + s.front.URL, "GITHUB_ACTIONS=true",
		"ACTIONS_ID_TOKEN_REQUEST_URL=" + s.ci.RequestURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + s.ci.RequestToken(),
	}
}

// Each script runs the real program in a job of GitHub Actions, against a registry that
// trusts it. They have commands of their own: "active FILE" for a token that works,
// "fail METHOD FAULT..." for how the next requests fail, "idtoken FILE" for an ID token
// that was made elsewhere, and "requests METHOD N" for how many requests
// there were since it was last asked.
func TestExchangeScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "exchange"),
		Setup: func(env *testscript.Env) error {
			s := newStage(env.T().(testing.TB))
			env.Values["stage"] = s
			for _, variable := range s.environment() {
				name, value, _ := strings.Cut(variable, "=")
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"active":   active,
			"fail":     failNext,
			"idtoken":  makeIDToken,
			"requests": countRequests,
		},
	})
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value("stage").(*stage) }

// active shows whether the token in a file, after a prefix that ends in "=", works.
func active(ts *testscript.TestScript, neg bool, args []string) {
	_, token, hasPrefix := strings.Cut(ts.ReadFile(args[0]), "=")
	if !hasPrefix {
		token = ts.ReadFile(args[0])
	}
	if stageOf(ts).isActive(strings.TrimSpace(token)) == neg {
		ts.Fatalf("the token is active: %t", neg)
	}
}

func failNext(ts *testscript.TestScript, _ bool, args []string) {
	var faults []fault
	for _, arg := range args[1:] {
		faults = append(faults, fault(arg))
	}
	stageOf(ts).fail(args[0], faults...)
}

func countRequests(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	s := stageOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.requests[args[0]]
	s.requests[args[0]] = 0
	if got != want {
		ts.Fatalf("%d requests with %s, and not %d", got, args[0], want)
	}
}

func makeIDToken(ts *testscript.TestScript, _ bool, args []string) {
	ci := stageOf(ts).ci
	token, err := ci.Sign(ci.GitHubClaims().With("aud", "registry.example"))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token+"\n"), 0o600))
}
