package bootstrap_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// protocol is what a wire protocol has of its own, as a client sees it.
type protocol struct {
	name, audience, prefix string
	// scope is all that a token of it may cover, where demo is trusted everywhere.
	scope string
	// member is where the answer has the token.
	member string
	path   string
	// bearer and body carry the ID token, in place of JWT.
	bearer, body string
	success      int
}

// allProtocols are those with an exchange of their own, each with another audience.
var allProtocols = []protocol{
	{"cratesio", "main", "cio_tp_", "publish:cargo/demo publish:gem/demo publish:npm/demo publish:pypi/demo", "token", tokensPath, "", `{"jwt":"JWT"}`, http.StatusOK},
	{"npm", "npm:registry.example", "npm_tp_", "publish:npm/demo", "token", "/-/npm/v1/oidc/token/exchange/package/demo", "JWT", "", http.StatusCreated},
	{"pypi", "for-pypi", "pypi_tp_", "publish:pypi/demo", "token", "/_/oidc/mint-token", "", `{"token":"JWT"}`, http.StatusOK},
	{"rubygems", "for-gems", "rubygems_tp_", "publish:gem/demo", "rubygems_api_key", "/api/v1/oidc/trusted_publisher/exchange_token", "", `{"jwt":"JWT"}`, http.StatusCreated},
}

func (p protocol) exchange(t *testing.T, s *server, idToken string) answer {
	t.Helper()
	contentType := ""
	if p.body != "" {
		contentType = "application/json"
	}
	return s.call(t, http.MethodPost, p.path, strings.Replace(p.bearer, "JWT", idToken, 1), contentType, strings.Replace(p.body, "JWT", idToken, 1))
}

// speaking returns the settings of a server that speaks these protocols.
func speaking(protocols string) map[string]string {
	return map[string]string{
		"TRUSTPUB_PROTOCOLS": protocols, "DOMAIN_NAME": "registry.example", "TRUSTPUB_AUDIENCE": "main",
		"TRUSTPUB_PYPI_AUDIENCE": "for-pypi", "TRUSTPUB_RUBYGEMS_AUDIENCE": "for-gems",
	}
}

// trustDemo makes demo a package of each ecosystem that the test issuer's job may publish.
func trustDemo(t *testing.T, s *server) {
	t.Helper()
	for _, ecosystem := range []string{"cargo", "npm", "pypi", "gem"} {
		s.configure(t, strings.Replace(demoConfig, `{"crate"`, `{"ecosystem":"`+ecosystem+`","crate"`, 1))
	}
}

func TestAProtocolTakesIDTokensForItsAudienceAloneAndMintsForItsEcosystemAlone(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio,oauth,npm,pypi,rubygems")))
	trustDemo(t, s)
	for _, made := range allProtocols {
		for _, asked := range allProtocols {
			t.Run("for "+made.name+" at "+asked.name, func(t *testing.T) {
				got := asked.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", made.audience)))
				if made.name != asked.name {
					require.GreaterOrEqual(t, got.status, http.StatusBadRequest)
					require.Less(t, got.status, http.StatusInternalServerError)
					require.Contains(t, got.body, "wrong_audience")
					return
				}
				require.Equal(t, asked.success, got.status, got.body)
				token, _ := got.member(t, asked.member).(string)
				require.Regexp(t, "^"+asked.prefix+"[0-9A-Za-z]{38}$", token)
				active := s.introspect(t, token)
				require.Equal(t, true, active.member(t, "active"))
				require.Equal(t, asked.scope, active.member(t, "scope"))
			})
		}
	}
}

func TestAnIDTokenIsUsedUpAtAllProtocolsAtOnce(t *testing.T) {
	ci := startIssuer(t)
	environment := speaking("cratesio,oauth,npm,pypi,rubygems")
	for _, setting := range []string{"TRUSTPUB_NPM_AUDIENCE", "TRUSTPUB_PYPI_AUDIENCE", "TRUSTPUB_RUBYGEMS_AUDIENCE"} {
		environment[setting] = "main"
	}
	s := startServer(t, settingsFor(t, ci, environment))
	trustDemo(t, s)
	for _, first := range allProtocols {
		idToken := sign(t, ci, ci.GitHubClaims().With("aud", "main"))
		require.Equal(t, first.success, first.exchange(t, s, idToken).status, first.name)
		for _, second := range allProtocols {
			require.Contains(t, second.exchange(t, s, idToken).body, "already_used", "%s, then %s", first.name, second.name)
		}
	}
}

func TestAProtocolThatIsSwitchedOffHasNoEndpoints(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio,oauth")))
	trustDemo(t, s)
	for _, p := range allProtocols[1:] {
		got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience)))
		require.Equal(t, http.StatusNotFound, got.status, p.name)
		require.Equal(t, "not_found", got.code(t), p.name)
	}
	for _, path := range []string{"/_/oidc/audience", "/api/v1/gems/demo/trusted_publishers"} {
		require.Equal(t, http.StatusNotFound, s.call(t, http.MethodGet, path, adminToken, "", "").status, path)
	}
}

func TestAProtocolIsSpokenWithoutAnyOther(t *testing.T) {
	ci := startIssuer(t)
	for _, p := range allProtocols[1:] {
		s := startServer(t, settingsFor(t, ci, speaking(p.name)))
		got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience)))
		require.Contains(t, got.body, "no_publisher", p.name)
	}
}

func TestPyPITellsTheAudienceThatItAsksFor(t *testing.T) {
	ci := startIssuer(t)
	for want, environment := range map[string]map[string]string{
		"for-pypi":         {"TRUSTPUB_AUDIENCE": "main", "TRUSTPUB_PYPI_AUDIENCE": "for-pypi"},
		"main":             {"TRUSTPUB_AUDIENCE": "main", "DOMAIN_NAME": "registry.example"},
		"registry.example": {"DOMAIN_NAME": "registry.example"},
	} {
		environment["TRUSTPUB_PROTOCOLS"] = "pypi"
		s := startServer(t, settingsFor(t, ci, environment))
		told, _ := s.call(t, http.MethodGet, "/_/oidc/audience", "", "", "").member(t, "audience").(string)
		require.Equal(t, want, told)
		got := allProtocols[2].exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", told)))
		require.Contains(t, got.body, "no_publisher", "and not wrong_audience")
	}
}

func TestABurntTokenOfPyPIIsDeadForTheRegistry(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio,oauth,pypi")))
	trustDemo(t, s)
	token := tokenOf(t, s, allProtocols[2], ci)
	require.Equal(t, true, s.introspect(t, token).member(t, "active"))
	require.Equal(t, http.StatusAccepted, s.call(t, http.MethodPost, "/_/oidc/burn-token", "", "application/json", `{"token":"`+token+`"}`).status)
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}

func TestADeletedTrustedPublisherOfAGemRevokesItsTokens(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio,oauth,rubygems")))
	publishers := "/api/v1/gems/demo/trusted_publishers"
	made := s.call(t, http.MethodPost, publishers, adminToken, "application/json",
		`{"trusted_publisher_type":"OIDC::TrustedPublisher::GitHubAction","trusted_publisher":{"repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`)
	require.Equal(t, http.StatusCreated, made.status, made.body)
	token := tokenOf(t, s, allProtocols[3], ci)
	require.Equal(t, "publish:gem/demo", s.introspect(t, token).member(t, "scope"))
	require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, publishers+"/1", adminToken, "", "").status)
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}

func tokenOf(t *testing.T, s *server, p protocol, ci *issuer.Issuer) string {
	t.Helper()
	got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience)))
	require.Equal(t, p.success, got.status, got.body)
	token, _ := got.member(t, p.member).(string)
	return token
}
