package issuer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sharedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func start(t *testing.T) *issuer.Issuer {
	t.Helper()
	ci, err := issuer.Start(issuer.Config{GenerateKey: sharedKey, Now: func() time.Time { return now }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ci.Close()) })
	return ci
}

// get asks for a document and returns its status and body.
func get(t *testing.T, url, authorization string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// publishedKeys reads the key set as a verifier would.
func publishedKeys(t *testing.T, ci *issuer.Issuer) jose.JSONWebKeySet {
	t.Helper()
	status, body := get(t, ci.URL()+"/.well-known/openid-configuration", "")
	require.Equal(t, http.StatusOK, status)
	var configuration struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &configuration))
	require.Equal(t, ci.URL(), configuration.Issuer)
	status, body = get(t, configuration.JWKSURI, "")
	require.Equal(t, http.StatusOK, status)
	var keys jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal([]byte(body), &keys))
	return keys
}

// verified returns the claims of an ID token that a published key verifies.
func verified(t *testing.T, ci *issuer.Issuer, idToken string) map[string]any {
	t.Helper()
	parsed, err := jwt.ParseSigned(idToken, []jose.SignatureAlgorithm{jose.RS256})
	require.NoError(t, err)
	published := publishedKeys(t, ci)
	keys := published.Key(parsed.Headers[0].KeyID)
	require.Len(t, keys, 1)
	require.True(t, keys[0].IsPublic())
	var claims map[string]any
	require.NoError(t, parsed.Claims(keys[0].Key, &claims))
	return claims
}

func TestASignedIDTokenVerifiesWithThePublishedKey(t *testing.T) {
	t.Parallel()
	ci := start(t)
	idToken, err := ci.Sign(ci.GitHubClaims().With("environment", "release").Without("head_ref"))
	require.NoError(t, err)
	claims := verified(t, ci, idToken)
	require.Equal(t, ci.URL(), claims["iss"])
	require.Equal(t, "release", claims["environment"])
	require.NotContains(t, claims, "head_ref")
	require.Len(t, claims, len(ci.GitHubClaims()))
}

func TestClaimsAreThoseOfGitHubAndNewEachTime(t *testing.T) {
	t.Parallel()
	ci := start(t)
	first, second := ci.GitHubClaims(), ci.GitHubClaims()
	require.NotEqual(t, first["jti"], second["jti"])
	for name := range strings.FieldsSeq(`jti sub aud iss ref ref_type ref_protected sha repository repository_id
		repository_owner repository_owner_id repository_visibility actor actor_id run_id run_number run_attempt
		runner_environment workflow workflow_ref workflow_sha job_workflow_ref job_workflow_sha head_ref base_ref
		event_name check_run_id iat nbf exp`) {
		require.Contains(t, first, name)
		switch name {
		case "iat", "nbf", "exp":
		default:
			require.IsType(t, "", first[name], "%s is a string, as at GitHub", name)
		}
	}
	require.Equal(t, now.Unix(), first["iat"])
	require.Equal(t, now.Add(5*time.Minute).Unix(), first["exp"])

	changed := first.With("actor", "mallory").Without("sha")
	require.Equal(t, "octocat", first["actor"], "With returns a copy")
	require.Contains(t, first, "sha", "Without returns a copy")
	require.Equal(t, "mallory", changed["actor"])
}

func TestAJobGetsItsIDTokenAsAtGitHub(t *testing.T) {
	t.Parallel()
	ci := start(t)
	bearer := "Bearer " + ci.RequestToken()
	value := func(url string) map[string]any {
		status, body := get(t, url, bearer)
		require.Equal(t, http.StatusOK, status)
		var answer map[string]string
		require.NoError(t, json.Unmarshal([]byte(body), &answer))
		require.Len(t, answer, 1)
		return verified(t, ci, answer["value"])
	}
	first := value(ci.RequestURL() + "&audience=crates.io")
	second := value(ci.RequestURL() + "&audience=crates.io")
	require.Equal(t, "crates.io", first["aud"])
	require.NotEqual(t, first["jti"], second["jti"])
	require.Equal(t, "https://github.com/octo-org", value(ci.RequestURL())["aud"], "the default is the owner's URL")

	status, _ := get(t, ci.RequestURL(), "bearer "+ci.RequestToken())
	require.Equal(t, http.StatusOK, status, "a scheme is the same in any case")

	for _, authorization := range []string{"", ci.RequestToken(), "Bearer ", "Bearer wrong", "Basic " + ci.RequestToken(), "Bearer  " + ci.RequestToken()} {
		status, body := get(t, ci.RequestURL()+"&audience=crates.io", authorization)
		require.Equal(t, http.StatusUnauthorized, status)
		require.NotContains(t, body, "value")
	}
}

func TestKeysAreRotatedAndWithdrawn(t *testing.T) {
	t.Parallel()
	ci := start(t)
	old := ci.KeyID()
	rotated, err := ci.Rotate()
	require.NoError(t, err)
	require.NotEqual(t, old, rotated)
	require.Equal(t, rotated, ci.KeyID())
	require.Len(t, publishedKeys(t, ci).Keys, 2, "the old key stays")
	ci.Withdraw(old)
	require.Len(t, publishedKeys(t, ci).Keys, 1)

	ci.Withdraw(rotated)
	require.Empty(t, publishedKeys(t, ci).Keys)
	_, err = ci.Sign(ci.GitHubClaims())
	require.NoError(t, err, "a withdrawn key goes on signing, as a thief would")
	ci.Withdraw("unknown")
}

func TestDocumentsFailOnDemand(t *testing.T) {
	t.Parallel()
	ci := start(t)
	urls := map[issuer.Document]string{
		issuer.Discovery: ci.URL() + "/.well-known/openid-configuration",
		issuer.KeySet:    ci.URL() + "/.well-known/jwks",
	}
	for document, url := range urls {
		ci.SetFault(document, issuer.Fault{Status: http.StatusTeapot})
		status, _ := get(t, url, "")
		require.Equal(t, http.StatusTeapot, status)
		ci.SetFault(document, issuer.Fault{Body: []byte("broken")})
		_, body := get(t, url, "")
		require.Equal(t, "broken", body)
		ci.SetFault(document, issuer.Fault{Status: http.StatusFound, Location: "https://elsewhere.example"})
		status, _ = get(t, url, "")
		require.Equal(t, http.StatusFound, status)
		ci.SetFault(document, issuer.Fault{Delay: time.Millisecond})
		status, _ = get(t, url, "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, 4, ci.Requests(document))
		ci.SetFault(document, issuer.Fault{})
	}
	require.Len(t, publishedKeys(t, ci).Keys, 1, "and work again")
}

func TestCloseLetsGoOfThoseThatHang(t *testing.T) {
	t.Parallel()
	ci := start(t)
	ci.SetFault(issuer.KeySet, issuer.Fault{Hang: true})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ci.URL()+"/.well-known/jwks", http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
		}
	}()
	require.Eventually(t, func() bool { return ci.Requests(issuer.KeySet) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, ci.Close())
	<-ended
	require.NoError(t, ci.Close(), "it may be called twice")
}

func TestTokensCanBeMadeWrongInEachWay(t *testing.T) {
	t.Parallel()
	ci := start(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sign := func(options ...issuer.SignOption) (header map[string]any, idToken string) {
		idToken, err := ci.Sign(ci.GitHubClaims(), options...)
		require.NoError(t, err)
		first, _, _ := strings.Cut(idToken, ".")
		decoded, err := base64.RawURLEncoding.DecodeString(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(decoded, &header))
		return header, idToken
	}
	header, idToken := sign(issuer.WithHeader("kid", "other"), issuer.WithHeader("crit", []string{"x"}), issuer.WithoutHeader("typ"))
	require.Equal(t, map[string]any{"alg": "RS256", "kid": "other", "crit": []any{"x"}}, header)
	require.NotEmpty(t, idToken)

	_, idToken = sign(issuer.WithKey(stranger))
	parsed, err := jwt.ParseSigned(idToken, []jose.SignatureAlgorithm{jose.RS256})
	require.NoError(t, err)
	require.Error(t, parsed.Claims(ci.PublicKey(), &struct{}{}))
	require.NoError(t, parsed.Claims(&stranger.PublicKey, &struct{}{}))

	header, idToken = sign(ci.WithHMACOfPublicKey())
	require.Equal(t, "HS256", header["alg"])
	require.NotEmpty(t, strings.Split(idToken, ".")[2])

	header, idToken = sign(issuer.WithHeader("alg", "none"), issuer.WithoutSignature())
	require.Equal(t, "none", header["alg"])
	require.True(t, strings.HasSuffix(idToken, "."))

	raw, err := ci.SignRaw([]byte("no header"), []byte("no payload"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(raw, base64.RawURLEncoding.EncodeToString([]byte("no header"))+"."))
}

func TestAnIssuerCanBeServedByAnotherServer(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	ci, err := issuer.New(issuer.Config{URL: server.URL + "/slug", GenerateKey: sharedKey})
	require.NoError(t, err)
	mux.Handle("/slug/", http.StripPrefix("/slug", ci.Handler()))
	require.Len(t, publishedKeys(t, ci).Keys, 1)
	require.NoError(t, ci.Close())
}

func TestAnIssuerThatCannotBeMadeIsAnError(t *testing.T) {
	t.Parallel()
	_, err := issuer.New(issuer.Config{GenerateKey: sharedKey})
	require.ErrorContains(t, err, "URL")
	_, err = issuer.Start(issuer.Config{Address: "256.0.0.1:0"})
	require.ErrorContains(t, err, "listen")
	broken := errors.New("no entropy")
	_, err = issuer.Start(issuer.Config{GenerateKey: func() (*rsa.PrivateKey, error) { return nil, broken }})
	require.ErrorIs(t, err, broken)
}

func TestAnIssuerServesSeveralGoroutines(t *testing.T) {
	t.Parallel()
	ci := start(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := ci.Rotate()
			if err != nil {
				t.Error(err)
			}
			ci.SetFault(issuer.KeySet, issuer.Fault{})
			ci.AddToKeySet(json.RawMessage(`{"kty":"oct","k":"AAAA"}`))
			_, err = ci.Sign(ci.GitHubClaims())
			if err != nil {
				t.Error(err)
			}
			_ = publishedKeys(t, ci)
		})
	}
	wg.Wait()
	require.Len(t, publishedKeys(t, ci).Keys, 1+8+8)
}
