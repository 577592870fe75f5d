package bootstrap_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const gitlabConfigsPath = "/api/v1/trusted_publishing/gitlab_configs"

// federation is a server that accepts the ID tokens of three GitHubs. The crate
// public trusts octo-org/octo-repo at the first, the crate internal at the second.
// The third is hostile: it signs whatever it likes.
type federation struct {
	*server

	public, internal, hostile *issuer.Issuer
}

func startFederation(t *testing.T) federation {
	t.Helper()
	f := federation{public: startIssuer(t), internal: startIssuer(t), hostile: startIssuer(t)}
	providers := "github=" + f.public.URL() + ",github=" + f.internal.URL() + ",github=" + f.hostile.URL()
	f.server = startServer(t, settingsFor(t, nil, map[string]string{"TRUSTPUB_PROVIDERS": providers}))
	f.configure(t, configAt("public", f.public.URL()))
	f.configure(t, configAt("internal", f.internal.URL()))
	return f
}

// configAt returns a config by which a crate trusts octo-org/octo-repo at an issuer.
func configAt(crate, issuerURL string) string {
	return strings.NewReplacer(`"demo"`, `"`+crate+`"`, `"release.yml"`, `"release.yml","issuer":"`+issuerURL+`"`).Replace(demoConfig)
}

// requireCovers exchanges an ID token and checks what the access token is for.
func (f federation) requireCovers(t *testing.T, idToken, scope string) {
	t.Helper()
	a := f.exchange(t, idToken)
	require.Equal(t, http.StatusOK, a.status, a.body)
	token, _ := a.member(t, "token").(string)
	require.Equal(t, scope, f.introspect(t, token).member(t, "scope"))
}

// requireRefused exchanges an ID token that is not to be accepted.
func (f federation) requireRefused(t *testing.T, idToken, code string) {
	t.Helper()
	a := f.exchange(t, idToken)
	require.Equal(t, http.StatusBadRequest, a.status, a.body)
	require.Equal(t, code, a.code(t), a.body)
}

func signAs(t *testing.T, ci *issuer.Issuer, claims issuer.Claims, options ...issuer.SignOption) string {
	t.Helper()
	idToken, err := ci.Sign(claims, options...)
	require.NoError(t, err)
	return idToken
}

func TestAConfigMustNameOneOfSeveralIssuers(t *testing.T) {
	f := startFederation(t)
	for _, body := range []string{demoConfig, configAt("demo", "https://token.actions.githubusercontent.com"), configAt("demo", f.public.URL()+"/")} {
		a := f.call(t, http.MethodPost, configsPath, adminToken, "application/json", body)

		require.Equal(t, http.StatusBadRequest, a.status, a.body)
		require.Equal(t, "invalid_config", a.code(t))
	}
}

func TestAnIDTokenOfOneIssuerCountsAtTheConfigsOfThatIssuerAlone(t *testing.T) {
	f := startFederation(t)

	f.requireCovers(t, sign(t, f.public, f.public.GitHubClaims()), "publish:cargo/public")
	f.requireCovers(t, sign(t, f.internal, f.internal.GitHubClaims()), "publish:cargo/internal")
	f.requireRefused(t, sign(t, f.hostile, f.hostile.GitHubClaims()), "no_publisher")
}

func TestAHostileIssuerPublishesNothingOfOthers(t *testing.T) {
	f := startFederation(t)
	// It publishes its own key under the ID of the other's, too.
	stolenID, err := json.Marshal(jose.JSONWebKey{Key: f.hostile.PublicKey(), KeyID: f.public.KeyID(), Algorithm: "RS256", Use: "sig"})
	require.NoError(t, err)
	f.hostile.AddToKeySet(stolenID)
	sameKeyID := issuer.WithHeader("kid", f.public.KeyID())
	as := func(iss any) issuer.Claims { return f.hostile.GitHubClaims().With("iss", iss) }
	tests := []struct {
		name    string
		claims  issuer.Claims
		options []issuer.SignOption
		code    string
	}{
		{"as itself, for the repository of the other", f.hostile.GitHubClaims(), nil, "no_publisher"},
		{"as itself, with the subject of the other", f.hostile.GitHubClaims().With("sub", "repo:octo-org/octo-repo:environment:release"), nil, "no_publisher"},
		{"as itself, with the ID of the other's key", f.hostile.GitHubClaims(), []issuer.SignOption{sameKeyID}, "no_publisher"},
		{"as the other, with its own key", as(f.public.URL()), nil, "unknown_key"},
		{"as the other, with the ID of the other's key", as(f.public.URL()), []issuer.SignOption{sameKeyID}, "invalid_signature"},
		{"as the other, with its key in the header", as(f.public.URL()), []issuer.SignOption{
			sameKeyID, issuer.WithHeader("jwk", jose.JSONWebKey{Key: f.hostile.PublicKey(), KeyID: f.public.KeyID()}),
		}, "invalid_signature"},
		{"as the other, with the address of its key set in the header", as(f.public.URL()), []issuer.SignOption{
			sameKeyID, issuer.WithHeader("jku", f.hostile.URL()+"/keys"),
		}, "invalid_signature"},
		{"as both", as([]string{f.hostile.URL(), f.public.URL()}), nil, "unsupported_issuer"},
		{"as the other with a slash behind", as(f.public.URL() + "/"), nil, "unsupported_issuer"},
		{"as the public service, which is not enabled", as("https://token.actions.githubusercontent.com"), nil, "unsupported_issuer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.requireRefused(t, signAs(t, f.hostile, tt.claims, tt.options...), tt.code)
		})
	}
	f.requireCovers(t, sign(t, f.public, f.public.GitHubClaims()), "publish:cargo/public")
}

func TestAHostileIssuerUsesUpNoIDTokenOfOthers(t *testing.T) {
	f := startFederation(t)
	f.configure(t, configAt("hostile", f.hostile.URL()))
	const jti = "8b0c1b6e-0f3a-4a53-9b8e-6f1d2f3a4b5c"
	of := func(ci *issuer.Issuer) string { return sign(t, ci, ci.GitHubClaims().With("jti", jti)) }
	stolen := of(f.hostile)

	f.requireCovers(t, stolen, "publish:cargo/hostile")
	f.requireRefused(t, stolen, "already_used")
	ofPublic, ofInternal := of(f.public), of(f.internal)
	f.requireCovers(t, ofPublic, "publish:cargo/public")
	f.requireCovers(t, ofInternal, "publish:cargo/internal")
	for _, idToken := range []string{stolen, ofPublic, ofInternal, of(f.public)} {
		f.requireRefused(t, idToken, "already_used")
	}
}

func TestKeysOfOneIssuerAreRotatedWithoutTheOthers(t *testing.T) {
	f := startFederation(t)
	f.requireCovers(t, sign(t, f.public, f.public.GitHubClaims()), "publish:cargo/public")
	f.requireCovers(t, sign(t, f.internal, f.internal.GitHubClaims()), "publish:cargo/internal")
	internalRequests := f.internal.Requests(issuer.KeySet)
	old := f.public.KeyID()
	_, err := f.public.Rotate()
	require.NoError(t, err)
	f.public.Withdraw(old)

	f.requireCovers(t, sign(t, f.public, f.public.GitHubClaims()), "publish:cargo/public")
	f.requireRefused(t, signAs(t, f.public, f.public.GitHubClaims(), issuer.WithHeader("kid", old)), "unknown_key")
	f.requireCovers(t, sign(t, f.internal, f.internal.GitHubClaims()), "publish:cargo/internal")
	require.Equal(t, internalRequests, f.internal.Requests(issuer.KeySet), "nobody asked the other issuer")
}

func TestAnIssuerThatHangsDoesNotHoldTheOthersUp(t *testing.T) {
	f := startFederation(t)
	f.requireRefused(t, sign(t, f.hostile, f.hostile.GitHubClaims()), "no_publisher")
	before := f.hostile.Requests(issuer.KeySet)
	f.hostile.SetFault(issuer.KeySet, issuer.Fault{Hang: true})
	waiting := make(chan error, 1)
	idToken := signAs(t, f.hostile, f.hostile.GitHubClaims(), issuer.WithHeader("kid", "unknown"))
	go func() {
		_, err := send(http.MethodPut, f.url+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
		waiting <- err
	}()
	require.Eventually(t, func() bool { return f.hostile.Requests(issuer.KeySet) > before }, 5*time.Second, time.Millisecond)

	f.requireCovers(t, sign(t, f.public, f.public.GitHubClaims()), "publish:cargo/public")
	f.requireCovers(t, sign(t, f.internal, f.internal.GitHubClaims()), "publish:cargo/internal")
	select {
	case err := <-waiting:
		require.NoError(t, err)
		t.Fatal("the hostile issuer was answered although it hangs, so the test shows nothing")
	default:
	}
	require.NoError(t, f.hostile.Close())
	require.NoError(t, <-waiting)
}

func TestAPipelineOfGitLabPublishesAndItsConfigIsPinned(t *testing.T) {
	github, gitlab := startIssuer(t), startIssuer(t)
	s := startServer(t, settingsFor(t, nil, map[string]string{"TRUSTPUB_PROVIDERS": "github=" + github.URL() + ",gitlab=" + gitlab.URL()}))
	const config = `{"gitlab_config":{"crate":"demo","namespace":"octo-group/tools","project":"octo-project","workflow_filepath":".gitlab-ci.yml"}}`
	require.Equal(t, "no_publisher", s.exchange(t, sign(t, gitlab, gitlab.GitLabClaims())).code(t))
	created := s.call(t, http.MethodPost, gitlabConfigsPath, adminToken, "application/json", config)
	require.Equal(t, http.StatusOK, created.status, created.body)
	require.Equal(t, [2]any{nil, nil}, gitlabIDs(t, s))

	host := strings.TrimPrefix(gitlab.URL(), "http://")
	for _, tt := range []struct {
		name   string
		claims issuer.Claims
		code   string
	}{
		{"another file", gitlab.GitLabClaims().With("ci_config_ref_uri", host+"/octo-group/tools/octo-project//evil.yml@refs/tags/v1.2.3"), "workflow_mismatch"},
		{"another project", gitlab.GitLabClaims().With("project_path", "octo-group/tools/other").With("ci_config_ref_uri", host+"/octo-group/tools/other//.gitlab-ci.yml@refs/tags/v1.2.3"), "no_publisher"},
		{"a file of another project", gitlab.GitLabClaims().With("ci_config_ref_uri", host+"/evil/evil//.gitlab-ci.yml@refs/tags/v1.2.3"), "invalid_claim"},
		{"claims of GitHub", gitlab.GitHubClaims(), "missing_claim"},
		{"the issuer of GitHub", gitlab.GitLabClaims().With("iss", github.URL()), "unknown_key"},
	} {
		a := s.exchange(t, sign(t, gitlab, tt.claims))
		require.Equal(t, tt.code, a.code(t), tt.name+": "+a.body)
	}
	require.Equal(t, [2]any{nil, nil}, gitlabIDs(t, s), "refusals pin nothing")

	issued := s.exchange(t, sign(t, gitlab, gitlab.GitLabClaims()))
	require.Equal(t, http.StatusOK, issued.status, issued.body)
	token, _ := issued.member(t, "token").(string)
	active := s.introspect(t, token)
	require.Equal(t, "publish:cargo/demo", active.member(t, "scope"))
	require.Equal(t, gitlab.URL(), active.member(t, "iss"))
	require.Equal(t, [2]any{"72", "20"}, gitlabIDs(t, s))

	takenOver := sign(t, gitlab, gitlab.GitLabClaims().With("namespace_id", "99").With("project_id", "100").With("job_project_id", "100"))
	require.Equal(t, "pinned_id_mismatch", s.exchange(t, takenOver).code(t))
	require.Equal(t, [2]any{"72", "20"}, gitlabIDs(t, s))
	require.Equal(t, http.StatusOK, s.exchange(t, sign(t, gitlab, gitlab.GitLabClaims())).status)
}

// gitlabIDs returns the namespace_id and the project_id of the one config of demo.
func gitlabIDs(t *testing.T, s *server) [2]any {
	t.Helper()
	listed := s.call(t, http.MethodGet, gitlabConfigsPath+"?crate=demo", adminToken, "", "")
	require.Equal(t, http.StatusOK, listed.status, listed.body)
	configs, ok := listed.member(t, "gitlab_configs").([]any)
	require.True(t, ok)
	require.Len(t, configs, 1)
	config, ok := configs[0].(map[string]any)
	require.True(t, ok)
	return [2]any{config["namespace_id"], config["project_id"]}
}
