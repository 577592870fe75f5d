package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

const (
	aliceToken   = "alice-0123456789abcdef0123456789abcdef"
	malloryToken = "mallory-0123456789abcdef0123456789abcd"
	configsPath  = "/api/v1/trusted_publishing/github_configs"
	tokensPath   = "/api/v1/trusted_publishing/tokens"
)

// host is a running registry, with a CI provider that it trusts. alice owns the crates
// demo-crate and other; mallory is a user too, and owns hers.
type host struct {
	url  string
	data string
	ci   *issuer.Issuer
	// late is how far the clock by which tokens are checked is ahead.
	late atomic.Int64
}

func startHost(t *testing.T) *host {
	t.Helper()
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &host{url: "http://" + listener.Addr().String(), data: t.TempDir(), ci: ci}

	settings, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS": "github=" + ci.URL(), "DOMAIN_NAME": "registry.example"})
	require.NoError(t, err)
	prefix, err := domain.NewTokenPrefix(settings.TokenPrefix)
	require.NoError(t, err)
	people := filepath.Join(t.TempDir(), "people.json")
	require.NoError(t, os.WriteFile(people, fmt.Appendf(nil, `{"users":{"alice":%q,"mallory":%q},"crates":{"demo-crate":["alice"],"other":["alice"],"hers":["mallory"]}}`,
		hexHash(aliceToken), hexHash(malloryToken)), 0o600))
	now := func() time.Time { return time.Now().Add(time.Duration(h.late.Load())) }
	var mux *http.ServeMux
	app := fxtest.New(t,
		newApp(settings, options{people: people, data: h.data, url: h.url}, slog.New(slog.DiscardHandler)),
		fx.Decorate(func(tokens application.TokenStore, auditor application.Auditor) (*application.TokenService, error) {
			return application.NewTokenService(application.TokenConfig{Prefixes: []domain.TokenPrefix{prefix}, Tokens: tokens, Auditor: auditor, Now: now})
		}),
		fx.Populate(&mux))
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return h
}

func hexHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// call sends a request with a bare credential, and returns status and body.
func (h *host) call(t *testing.T, method, path, credential, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	if credential != "" {
		request.Header.Set("Authorization", credential)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

// trust makes alice configure the workflow as a publisher of a crate, and returns the
// config's ID.
func (h *host) trust(t *testing.T, crate string) int64 {
	t.Helper()
	status, body := h.call(t, http.MethodPost, configsPath, "Bearer "+aliceToken, configFor(crate))
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		Config struct{ ID int64 } `json:"github_config"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	return answer.Config.ID
}

func configFor(crate string) string {
	return fmt.Sprintf(`{"github_config":{"crate":%q,"repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`, crate)
}

// exchange returns an access token for a job of the trusted workflow.
func (h *host) exchange(t *testing.T) string {
	t.Helper()
	idToken, err := h.ci.Sign(h.ci.GitHubClaims().With("aud", "registry.example"))
	require.NoError(t, err)
	status, body := h.call(t, http.MethodPut, tokensPath, "", `{"jwt":"`+idToken+`"}`)
	require.Equal(t, http.StatusOK, status, body)
	var answer struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	return answer.Token
}

// distrust deletes a config.
func (h *host) distrust(t *testing.T, config int64) {
	t.Helper()
	status, body := h.call(t, http.MethodDelete, fmt.Sprintf("%s/%d", configsPath, config), "Bearer "+aliceToken, "")
	require.Equal(t, http.StatusNoContent, status, body)
}

// published returns the files in the folder of crates with the hashes of their content.
func (h *host) published(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	folder := filepath.Join(h.data, "crates")
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder)] = hexHash(string(content))
		return err
	}))
	return files
}
