package bootstrap_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const (
	npmExchangePath = "/-/npm/v1/oidc/token/exchange/package/demo"
	npmTrust        = `[{"type":"github","claims":{"repository":"octo-org/octo-repo","workflow_ref":{"file":"release.yml"}}}]`
)

// npmSettings are those of a registry at registry.example that speaks npm's protocol
// too, and asks an API at api for the number of an account.
func npmSettings(t *testing.T, ci *issuer.Issuer, api string) bootstrap.Settings {
	t.Helper()
	return settingsFor(t, ci, map[string]string{
		"TRUSTPUB_PROTOCOLS": "cratesio,oauth,npm", "DOMAIN_NAME": "registry.example:8080", "TRUSTPUB_GITHUB_API_URL": api,
	})
}

func TestNPMHasAnAudienceAnEcosystemAndATokenPrefixOfItsOwn(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, npmSettings(t, ci, startGitHubAPI(t)))
	s.configure(t, demoConfig)
	forNPM := func() string { return sign(t, ci, ci.GitHubClaims().With("aud", "npm:registry.example")) }
	forRegistry := sign(t, ci, ci.GitHubClaims().With("aud", "registry.example:8080"))
	exchange := func(idToken string) answer { return s.call(t, http.MethodPost, npmExchangePath, idToken, "", "") }

	crateOnly := exchange(forNPM())
	require.Equal(t, http.StatusNotFound, crateOnly.status, "the crate demo is no package of npm")
	trusted := s.call(t, http.MethodPost, "/-/package/demo/trust", adminToken, "application/json", npmTrust)
	require.Equal(t, http.StatusOK, trusted.status, trusted.body)

	require.Equal(t, "wrong_audience", exchange(forRegistry).member(t, "code"))
	require.Equal(t, "wrong_audience", s.exchange(t, forNPM()).code(t))
	exchanged := exchange(forNPM())
	require.Equal(t, http.StatusCreated, exchanged.status, exchanged.body)
	token, _ := exchanged.member(t, "token").(string)
	require.True(t, strings.HasPrefix(token, "npm_tp_"))
	introspected := s.introspect(t, token)
	require.Equal(t, "publish:npm/demo", introspected.member(t, "scope"))
}

func TestNPMIsSilentUnlessItIsSwitchedOn(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, map[string]string{"DOMAIN_NAME": "registry.example"}))
	idToken := sign(t, ci, ci.GitHubClaims().With("aud", "npm:registry.example"))
	require.Equal(t, http.StatusNotFound, s.call(t, http.MethodPost, npmExchangePath, idToken, "", "").status)
	require.Equal(t, http.StatusNotFound, s.call(t, http.MethodPost, "/-/package/demo/trust", adminToken, "application/json", npmTrust).status)
}

// startGitHubAPI answers which number the account octo-org has.
func startGitHubAPI(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/octo-org", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"login":"octo-org","id":65}`))
	})
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)
	return api.URL
}
