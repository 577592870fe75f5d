package bootstrap_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// protocol is what a wire protocol has of its own, as a client sees it.
type protocol struct {
	name, prefix string
	// ecosystem is whose packages it mints for; empty is any.
	ecosystem string
	path      string
	// bearer and body carry the ID token, in place of JWT.
	bearer, body string
	success      int
	// member is where the answer has the token.
	member string
}

// allProtocols are those with an exchange of their own.
var allProtocols = []protocol{
	{"cratesio", "cio_tp_", "", tokensPath, "", `{"jwt":"JWT"}`, http.StatusOK, "token"},
	{"npm", "npm_tp_", "npm", "/-/npm/v1/oidc/token/exchange/package/demo", "JWT", "", http.StatusCreated, "token"},
	{"pypi", "pypi_tp_", "pypi", "/_/oidc/mint-token", "", `{"token":"JWT"}`, http.StatusOK, "token"},
	{"rubygems", "rubygems_tp_", "gem", "/api/v1/oidc/trusted_publisher/exchange_token", "", `{"jwt":"JWT"}`, http.StatusCreated, "rubygems_api_key"},
}

func protocolOf(t *testing.T, name string) protocol {
	t.Helper()
	i := slices.IndexFunc(allProtocols, func(p protocol) bool { return p.name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return allProtocols[i]
}

// audience is one that no other protocol has.
func (p protocol) audience() string { return "for-" + p.name }

// scope is that of a token, where demo is trusted in every ecosystem.
func (p protocol) scope() string {
	if p.ecosystem != "" {
		return "publish:" + p.ecosystem + "/demo"
	}
	scopes := []string{"publish:cargo/demo"}
	for _, other := range allProtocols {
		if other.ecosystem != "" {
			scopes = append(scopes, other.scope())
		}
	}
	slices.Sort(scopes)
	return strings.Join(scopes, " ")
}

func (p protocol) exchange(t *testing.T, s *server, idToken string) answer {
	t.Helper()
	contentType := ""
	if p.body != "" {
		contentType = "application/json"
	}
	return s.call(t, http.MethodPost, p.path, strings.Replace(p.bearer, "JWT", idToken, 1), contentType, strings.Replace(p.body, "JWT", idToken, 1))
}

// exchanged returns the access token for an ID token that is good for the protocol.
func (p protocol) exchanged(t *testing.T, s *server, ci *issuer.Issuer) string {
	t.Helper()
	got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience())))
	require.Equal(t, p.success, got.status, got.body)
	token, _ := got.member(t, p.member).(string)
	return token
}

// speaking returns the settings of a server that speaks these protocols, and OAuth,
// each with its audience.
func speaking(names ...string) map[string]string {
	environment := map[string]string{"TRUSTPUB_PROTOCOLS": "oauth," + strings.Join(names, ","), "TRUSTPUB_AUDIENCE": "for-cratesio"}
	for _, p := range allProtocols {
		if p.ecosystem != "" {
			environment["TRUSTPUB_"+strings.ToUpper(p.name)+"_AUDIENCE"] = p.audience()
		}
	}
	return environment
}

// namesOfAllProtocols are those of allProtocols.
func namesOfAllProtocols() []string {
	var names []string
	for _, p := range allProtocols {
		names = append(names, p.name)
	}
	return names
}

// trustDemo makes demo a package of each ecosystem that the test issuer's job may publish.
func trustDemo(t *testing.T, s *server) {
	t.Helper()
	s.configure(t, demoConfig)
	for _, p := range allProtocols {
		if p.ecosystem != "" {
			s.configure(t, strings.Replace(demoConfig, `{"crate"`, `{"ecosystem":"`+p.ecosystem+`","crate"`, 1))
		}
	}
}

// An exchange that no row stands for would be tested by nobody.
func TestTheTableOfProtocolsHasAllThatThereAre(t *testing.T) {
	var unknown bootstrap.Protocol
	for _, name := range append(namesOfAllProtocols(), "oauth") {
		require.NoError(t, unknown.UnmarshalText([]byte(name)))
	}
	err := unknown.UnmarshalText([]byte("unknown"))
	require.ErrorContains(t, err, "[cratesio oauth "+strings.Join(namesOfAllProtocols()[1:], " ")+"]")
}

func TestAProtocolTakesIDTokensForItsAudienceAloneAndMintsForItsEcosystemAlone(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking(namesOfAllProtocols()...)))
	trustDemo(t, s)
	for _, made := range allProtocols {
		for _, asked := range allProtocols {
			t.Run("for "+made.name+" at "+asked.name, func(t *testing.T) {
				got := asked.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", made.audience())))
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
				require.Equal(t, asked.scope(), active.member(t, "scope"))
			})
		}
	}
}

func TestAnIDTokenIsUsedUpAtAllProtocolsAtOnce(t *testing.T) {
	ci := startIssuer(t)
	environment := speaking(namesOfAllProtocols()...)
	for setting := range environment {
		if strings.HasSuffix(setting, "_AUDIENCE") {
			environment[setting] = "main"
		}
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
	s := startServer(t, settingsFor(t, ci, speaking("cratesio")))
	trustDemo(t, s)
	for _, p := range allProtocols[1:] {
		got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience())))
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
		environment := speaking()
		environment["TRUSTPUB_PROTOCOLS"] = p.name
		s := startServer(t, settingsFor(t, ci, environment))
		got := p.exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", p.audience())))
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
		got := protocolOf(t, "pypi").exchange(t, s, sign(t, ci, ci.GitHubClaims().With("aud", told)))
		require.Contains(t, got.body, "no_publisher", "and not wrong_audience")
	}
}

func TestABurntTokenOfPyPIIsDeadForTheRegistry(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio", "pypi")))
	trustDemo(t, s)
	token := protocolOf(t, "pypi").exchanged(t, s, ci)
	require.Equal(t, true, s.introspect(t, token).member(t, "active"))
	require.Equal(t, http.StatusAccepted, s.call(t, http.MethodPost, "/_/oidc/burn-token", "", "application/json", `{"token":"`+token+`"}`).status)
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}

func TestADeletedTrustedPublisherOfAGemRevokesItsTokens(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, speaking("cratesio", "rubygems")))
	publishers := "/api/v1/gems/demo/trusted_publishers"
	made := s.call(t, http.MethodPost, publishers, adminToken, "application/json",
		`{"trusted_publisher_type":"OIDC::TrustedPublisher::GitHubAction","trusted_publisher":{"repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`)
	require.Equal(t, http.StatusCreated, made.status, made.body)
	token := protocolOf(t, "rubygems").exchanged(t, s, ci)
	require.Equal(t, "publish:gem/demo", s.introspect(t, token).member(t, "scope"))
	require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, publishers+"/1", adminToken, "", "").status)
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}
