package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const adminToken = "0123456789abcdef0123456789abcdef"

func TestAHandlerUnderAPrefixExchangesAToken(t *testing.T) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	mux, stop, err := newMux(t.Context(), map[string]string{
		"TRUSTPUB_PROVIDERS": "github=" + ci.URL(), "DOMAIN_NAME": "registry.example", "TRUSTPUB_ADMIN_TOKEN": adminToken,
	}, filepath.Join(t.TempDir(), "registry.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, stop(t.Context())) }()
	idToken, err := ci.Sign(ci.GitHubClaims().With("aud", "registry.example"))
	require.NoError(t, err)
	call := func(method, path, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+adminToken)
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, request)
		return recorder
	}

	require.Equal(t, "a registry\n", call(http.MethodGet, "/", "").Body.String())
	metadata := call(http.MethodGet, "/trust/.well-known/oauth-authorization-server", "")
	require.Contains(t, metadata.Body.String(), `"https://registry.example/trust/oauth/token"`)
	configured := call(http.MethodPost, "/trust/api/v1/trusted_publishing/github_configs",
		`{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`)
	require.Equal(t, http.StatusOK, configured.Code, configured.Body)
	exchanged := call(http.MethodPut, "/trust/api/v1/trusted_publishing/tokens", `{"jwt":"`+idToken+`"}`)
	require.Equal(t, http.StatusOK, exchanged.Code, exchanged.Body)
}
