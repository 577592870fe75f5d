package bootstrap_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const acme = `providers:
  - name: acme
    algorithms: [RS256]
    replay: signing_input
    required: [tenant, {claim: project, match: ignore_case}]
    optional: [{claim: labels, match: contains}]
    conditions: [{claim: trusted, is: [true]}]
    pinned: [project_id]
    recorded: [tenant, project, run]
`

// providersFile writes a file of providers and returns its name.
func providersFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "providers.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// acmeClaims are those of a job at the provider that [acme] describes, which has no
// jti.
func acmeClaims(ci *issuer.Issuer) issuer.Claims {
	now := time.Now().Unix()
	return issuer.Claims{
		"iss": ci.URL(), "sub": "job", "aud": "crates.io", "iat": now, "exp": now + 300,
		"tenant": "t1", "project": "Demo", "project_id": 7, "labels": []string{"release", "signed"}, "trusted": true, "run": 42,
	}
}

// admin sends a request as the operator.
func (s *server) admin(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	a := s.call(t, method, path, adminToken, contentType, body)
	return a.status, a.body
}

func TestAProviderWithoutCodeIsExchangedEndToEnd(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, nil, map[string]string{
		"TRUSTPUB_PROVIDERS": "acme=" + ci.URL(), "TRUSTPUB_PROVIDERS_FILE": providersFile(t, acme),
	}))
	const configs = "/api/v1/trusted_publishing/configs"
	status, body := s.admin(t, http.MethodPost, configs, `{"config":{"provider":"acme","package":"demo","claims":{"tenant":"t1","project":"demo","labels":["signed"]}}}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"pinned":{}`)
	for _, refused := range []string{
		`{"config":{"provider":"acme","package":"demo","claims":{"tenant":"t1"}}}`,
		`{"config":{"provider":"acme","package":"demo","claims":{"tenant":"t1","project":"demo","run":1}}}`,
		`{"config":{"provider":"buildkite","package":"demo","claims":{"organization_slug":"a","pipeline_slug":"b"}}}`,
		`{"config":{"provider":"github","package":"demo","claims":{"repository":"a/b"}}}`,
	} {
		status, body = s.admin(t, http.MethodPost, configs, refused)
		require.Equal(t, http.StatusBadRequest, status, body)
	}

	exchange := func(claims issuer.Claims) (int, string) {
		a := s.exchange(t, sign(t, ci, claims))
		return a.status, a.body
	}
	for code, claims := range map[string]issuer.Claims{
		"no_publisher":    acmeClaims(ci).With("tenant", "t2"),
		"claim_mismatch":  acmeClaims(ci).With("labels", []string{"release"}),
		"forbidden_claim": acmeClaims(ci).With("trusted", false),
		"missing_claim":   acmeClaims(ci).Without("project"),
	} {
		status, body = exchange(claims)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, code)
	}
	claims := acmeClaims(ci)
	status, body = exchange(claims)
	require.Equal(t, http.StatusOK, status, body)
	status, body = exchange(claims)
	require.Equal(t, http.StatusBadRequest, status, body)
	require.Contains(t, body, "already_used")

	_, body = s.admin(t, http.MethodGet, configs+"?package=demo", "")
	require.Contains(t, body, `"pinned":{"project_id":"7"}`)
	for _, claims := range []issuer.Claims{acmeClaims(ci).With("project_id", 8).With("run", 43), acmeClaims(ci).Without("project_id")} {
		status, body = exchange(claims)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, "pinned_id_mismatch")
	}
	status, body = exchange(acmeClaims(ci).With("project", "renamed"))
	require.Equal(t, http.StatusBadRequest, status, body)
	require.Contains(t, body, "repository_renamed")

	status, body = s.admin(t, http.MethodGet, "/providers.schema.json", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "json-schema.org")
}

func TestABadProvidersFileStopsTheStartWithFileLineAndReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text, says string
	}{
		{"a key that is not known", strings.Replace(acme, "replay:", "repaly:", 1), ":4:"},
		{"no YAML", "providers: [", ":1:"},
		{"the name of a shipped provider", strings.Replace(acme, "acme", "circleci", 1), "circleci"},
		{"the name of a provider with code", strings.Replace(acme, "acme", "github", 1), "github"},
		{"a symmetric algorithm", strings.Replace(acme, "RS256", "HS256", 1), ":3:18: an algorithm must be one of RS256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := providersFile(t, tt.text)
			_, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS_FILE": file})
			var setting *bootstrap.SettingError
			require.ErrorAs(t, err, &setting)
			require.Equal(t, "TRUSTPUB_PROVIDERS_FILE", setting.Setting)
			require.Contains(t, setting.Problem, file)
			require.Contains(t, setting.Problem, tt.says)
			require.NotContains(t, setting.Problem, "\n")
		})
	}
	_, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS_FILE": "/nonexistent.yaml"})
	require.ErrorContains(t, err, "TRUSTPUB_PROVIDERS_FILE")
}

func TestEveryShippedProviderIsEnabledByItsName(t *testing.T) {
	t.Parallel()
	for setting, wantIssuer := range map[string]string{
		"github": "https://token.actions.githubusercontent.com", "gitlab": "https://gitlab.com",
		"circleci": "https://oidc.circleci.com", "buildkite": "https://agent.buildkite.com", "google": "https://accounts.google.com",
		"circleci=https://oidc.circleci.com/org/x":                                            "https://oidc.circleci.com/org/x",
		"forgejo=https://codeberg.org/api/actions":                                            "https://codeberg.org/api/actions",
		"bitbucket=https://api.bitbucket.org/2.0/workspaces/w/pipelines-config/identity/oidc": "https://api.bitbucket.org/2.0/workspaces/w/pipelines-config/identity/oidc",
	} {
		settings, err := bootstrap.LoadSettings(map[string]string{"TRUSTPUB_PROVIDERS": setting})
		require.NoError(t, err)
		require.Equal(t, wantIssuer, settings.Providers[0].Issuer)
	}
	for setting, says := range map[string]string{
		"forgejo": "forgejo has no issuer of its own", "bitbucket": "bitbucket=https://", "jenkins": "circleci", "buildkite,buildkite": "twice", "": "",
	} {
		_, err := bootstrap.LoadSettings(maps.Clone(map[string]string{"TRUSTPUB_PROVIDERS": setting}))
		if setting == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
}
