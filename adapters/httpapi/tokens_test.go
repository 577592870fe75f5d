package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// exchanged returns a registry that has minted accessToken.
func exchanged(t *testing.T) *registry {
	t.Helper()
	r := newRegistry(t)
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`))
	require.Equal(t, accessToken, read(t, response).Token)
	return r
}

func (r *registry) introspect(t *testing.T, token string) string {
	t.Helper()
	response := r.do(t, formTo("/oauth/introspect", "token="+token).bearer(registryToken))
	require.Equal(t, http.StatusOK, response.StatusCode)
	return strings.TrimSpace(response.Body)
}

const inactive = `{"active":false}`

func TestDeleteRevokesATokenInAnyFormOfTheHeader(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"Bearer " + accessToken, "bearer " + accessToken, "BEARER " + accessToken,
		"Bearer   " + accessToken, accessToken, "  " + accessToken + "\t",
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			r := exchanged(t)
			require.NotEqual(t, inactive, r.introspect(t, accessToken))
			response := r.do(t, bare(http.MethodDelete, tokensPath).with("Authorization", header))
			require.Equal(t, http.StatusNoContent, response.StatusCode)
			require.Empty(t, response.Body)
			require.Equal(t, inactive, r.introspect(t, accessToken))
		})
	}
}

func TestDeleteIs204AlsoForATokenThatIsRevokedExpiredOrUnknown(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	r.now = r.now.Add(time.Hour)
	for _, token := range []string{accessToken, accessToken, unknownToken} {
		response := r.do(t, bare(http.MethodDelete, tokensPath).bearer(token))
		require.Equal(t, http.StatusNoContent, response.StatusCode)
	}
}

func TestDeleteIs401WithoutOneWellFormedToken(t *testing.T) {
	t.Parallel()
	lastChanged := accessToken[:len(accessToken)-1] + "9"
	tests := []struct {
		name    string
		headers []string
	}{
		{"no header", nil},
		{"empty header", []string{""}},
		{"scheme alone", []string{"Bearer"}},
		{"scheme and spaces", []string{"Bearer   "}},
		{"two headers", []string{"Bearer " + accessToken, "Bearer " + accessToken}},
		{"another scheme", []string{"Basic " + accessToken}},
		{"token of another registry", []string{"Bearer npm_0123456789"}},
		{"wrong checksum", []string{"Bearer " + lastChanged}},
		{"cut off", []string{"Bearer " + accessToken[:20]}},
		{"longer", []string{"Bearer " + accessToken + "0"}},
		{"another prefix", []string{"Bearer " + strings.ToUpper(accessToken)}},
		{"two tokens", []string{"Bearer " + accessToken + " " + accessToken}},
		{"in quotes", []string{`Bearer "` + accessToken + `"`}},
		{"the operator's credential", []string{"Bearer " + adminToken}},
	}
	r := exchanged(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := bare(http.MethodDelete, tokensPath)
			for _, header := range tt.headers {
				q = q.with("Authorization", header)
			}
			response := r.do(t, q)
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Equal(t, "Bearer", response.Header.Get("Www-Authenticate"))
		})
	}
	require.NotEqual(t, inactive, r.introspect(t, accessToken))
}

func TestRevocationIs200ForEveryWellFormedRequest(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	for _, body := range []string{
		"token=" + accessToken, "token=" + accessToken, "token=" + unknownToken, "token=nonsense", "token=%00",
		"token=" + goodJWT + "&token_type_hint=refresh_token", "token=x&unknown=y",
	} {
		response := r.do(t, formTo("/oauth/revoke", body))
		require.Equal(t, http.StatusOK, response.StatusCode, body)
		require.Empty(t, response.Body)
	}
	require.Equal(t, inactive, r.introspect(t, accessToken))
}

func TestRevocationAndIntrospectionRefuseAMalformedForm(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	for _, path := range []string{"/oauth/revoke", "/oauth/introspect"} {
		for _, body := range []string{
			"", "token=", "token", "TOKEN=" + accessToken, "token=" + accessToken + "&token=" + accessToken,
			"token=" + accessToken + "&token_type_hint=a&token_type_hint=b", "token=%zz", "token=a;b",
		} {
			requireOAuthError(t, "invalid_request", r.do(t, formTo(path, body).bearer(registryToken)))
		}
		response := r.do(t, jsonTo(http.MethodPost, path, `{"token":"`+accessToken+`"}`).bearer(registryToken))
		require.Equal(t, http.StatusUnsupportedMediaType, response.StatusCode)
	}
	require.NotEqual(t, inactive, r.introspect(t, accessToken))
}

func TestIntrospectionIsExactlyInactiveForEveryTokenThatIsNoGood(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	for _, token := range []string{unknownToken, "nonsense", "%00", "%FF", goodJWT, adminToken, accessToken + "0", "+" + accessToken} {
		require.Equal(t, inactive, r.introspect(t, token), token)
	}
	r.now = r.now.Add(30*time.Minute - time.Second)
	require.NotEqual(t, inactive, r.introspect(t, accessToken))
	r.now = r.now.Add(time.Second)
	require.Equal(t, inactive, r.introspect(t, accessToken), "it expires on the second")
}

func TestIntrospectionIsForTheRegistryAlone(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	for _, header := range []string{
		"", "Bearer", "Bearer " + accessToken, "Bearer " + adminToken, "Basic " + registryToken, registryToken,
		"Bearer " + registryToken + "x", "Bearer " + registryToken[:len(registryToken)-1], "Bearer " + strings.ToUpper(registryToken),
	} {
		q := formTo("/oauth/introspect", "token="+accessToken).with("Authorization", header)
		response := r.do(t, q)
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, header)
		require.Equal(t, "Bearer", response.Header.Get("Www-Authenticate"))
		require.Nil(t, read(t, response).Active)
	}
	twice := formTo("/oauth/introspect", "token="+accessToken).bearer(registryToken).bearer(registryToken)
	require.Equal(t, http.StatusUnauthorized, r.do(t, twice).StatusCode)
}

func TestWhileTheDatabaseCannotAnswerNothingIsSaidOfAToken(t *testing.T) {
	t.Parallel()
	r := exchanged(t)
	r.store.fail(errDown)
	for _, q := range []call{
		bare(http.MethodDelete, tokensPath).bearer(accessToken),
		formTo("/oauth/revoke", "token="+accessToken),
		formTo("/oauth/introspect", "token="+accessToken).bearer(registryToken),
		jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT2+`"}`),
		formTo("/oauth/token", exchangeForm(set("subject_token", goodJWT2)).Encode()),
		bare(http.MethodGet, configsPath+"?crate=serde").bearer(adminToken),
		bare(http.MethodDelete, configsPath+"/1").bearer(adminToken),
	} {
		response := r.do(t, q)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.Equal(t, "5", response.Header.Get("Retry-After"))
		require.Nil(t, read(t, response).Active)
	}
	r.store.fail(nil)
	require.NotEqual(t, inactive, r.introspect(t, accessToken))
}
