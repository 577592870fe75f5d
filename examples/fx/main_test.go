package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestAnFxHostExchangesATokenAndDecidesByItsOwnUsersAndOwners(t *testing.T) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	settings, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS": "github=" + ci.URL(), "DOMAIN_NAME": "registry.example"})
	require.NoError(t, err)
	var mux *http.ServeMux
	app := fxtest.New(t, newApp(settings, slog.New(slog.DiscardHandler), postgrestest.NewDatabase(t)), fx.Populate(&mux))
	app.RequireStart()
	defer app.RequireStop()
	idToken, err := ci.Sign(ci.GitHubClaims().With("aud", "registry.example"))
	require.NoError(t, err)
	call := func(method, path, user, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		if user != "" {
			request.AddCookie(&http.Cookie{Name: "user", Value: user})
		}
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, request)
		return recorder
	}
	const configs = "/api/v1/trusted_publishing/github_configs"
	const config = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`

	require.Equal(t, http.StatusUnauthorized, call(http.MethodPost, configs, "", config).Code)
	require.Equal(t, http.StatusForbidden, call(http.MethodPost, configs, "mallory", config).Code)
	require.Equal(t, http.StatusOK, call(http.MethodPost, configs, "alice", config).Code)
	exchanged := call(http.MethodPut, "/api/v1/trusted_publishing/tokens", "", `{"jwt":"`+idToken+`"}`)
	require.Equal(t, http.StatusOK, exchanged.Code, exchanged.Body)
	require.Contains(t, exchanged.Body.String(), `"token":"cio_tp_`)
}
