package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

const (
	tokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	idTokenType     = "urn:ietf:params:oauth:token-type:id_token"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// answer is the union of what the dialects answer.
type answer struct {
	Token       string    `json:"token"`
	ExpiresAt   time.Time `json:"expires_at"`
	AccessToken string    `json:"access_token"`
	ExpiresIn   int64     `json:"expires_in"`
	Scope       string    `json:"scope"`
	Errors      []struct{ Detail, Code string }
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Code        string `json:"code"`
	Active      *bool  `json:"active"`
}

func read(tb testing.TB, response reply) answer {
	tb.Helper()
	var a answer
	body := response.Body
	require.NoError(tb, json.Unmarshal([]byte(body), &a), body)
	return a
}

func TestCratesExchangeRefusesWhatIsNotOneJSONObjectWithAJWT(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body string }{
		{"no body", ``},
		{"null", `null`},
		{"array", `[]`},
		{"string", `"` + goodJWT + `"`},
		{"bare token", goodJWT},
		{"no jwt", `{}`},
		{"null jwt", `{"jwt":null}`},
		{"number", `{"jwt":1}`},
		{"array of tokens", `{"jwt":["` + goodJWT + `"]}`},
		{"object", `{"jwt":{"jwt":"` + goodJWT + `"}}`},
		{"member in capitals", `{"JWT":"` + goodJWT + `"}`},
		{"member in capitals beside the right one", `{"jwt":"` + goodJWT + `","Jwt":"` + goodJWT2 + `"}`},
		{"repeated member", `{"jwt":"` + goodJWT + `","jwt":"` + goodJWT2 + `"}`},
		{"repeated member, escaped", `{"jwt":"` + goodJWT + `","\u006awt":"` + goodJWT2 + `"}`},
		{"repeated member inside another", `{"jwt":"` + goodJWT + `","more":{"a":1,"a":2}}`},
		{"two objects", `{"jwt":"` + goodJWT + `"}{"jwt":"` + goodJWT2 + `"}`},
		{"trailing text", `{"jwt":"` + goodJWT + `"} x`},
		{"cut off", `{"jwt":"` + goodJWT},
		{"byte order mark", "\uFEFF" + `{"jwt":"` + goodJWT + `"}`},
		{"not UTF-8", `{"jwt":"` + goodJWT + `","more":"` + "\xff" + `"}`},
		{"comment", `/**/{"jwt":"` + goodJWT + `"}`},
		{"single quotes", `{'jwt':'` + goodJWT + `'}`},
		{"deep nesting", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat(`}`, 5000)},
	}
	r := newRegistry(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{http.MethodPut, http.MethodPost} {
				response := r.do(t, jsonTo(method, tokensPath, tt.body))
				require.Equal(t, http.StatusBadRequest, response.StatusCode)
				require.Equal(t, "malformed_request", read(t, response).Errors[0].Code)
			}
		})
	}
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`))
	require.Equal(t, http.StatusOK, response.StatusCode, "none of these consumed the JWT")
}

func TestCratesExchangeIgnoresMembersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	response := newRegistry(t).do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`","client":{"name":"x"}}`))
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, accessToken, read(t, response).Token)
}

func TestPutIsOfCratesAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, exchangeObject(t, nil)))
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	form := formTo(tokensPath, exchangeForm(nil).Encode())
	form.method = http.MethodPut
	require.Equal(t, http.StatusUnsupportedMediaType, r.do(t, form).StatusCode)
}

// exchangeForm returns a good token exchange request, changed.
func exchangeForm(change func(url.Values)) url.Values {
	values := url.Values{"grant_type": {tokenExchange}, "subject_token": {goodJWT}, "subject_token_type": {idTokenType}}
	if change != nil {
		change(values)
	}
	return values
}

func exchangeObject(tb testing.TB, change func(url.Values)) string {
	tb.Helper()
	object := map[string]string{}
	for name, values := range exchangeForm(change) {
		object[name] = values[0]
	}
	b, err := json.Marshal(object)
	require.NoError(tb, err)
	return string(b)
}

func set(name string, values ...string) func(url.Values) {
	return func(v url.Values) { v[name] = values }
}

func TestTokenExchangeErrorsAreThoseOfRFC8693(t *testing.T) {
	t.Parallel()
	const (
		invalidRequest = "invalid_request"
		invalidTarget  = "invalid_target"
		invalidScope   = "invalid_scope"
	)
	tests := []struct {
		name, want string
		change     func(url.Values)
	}{
		{"no grant type", invalidRequest, set("grant_type")},
		{"empty grant type", invalidRequest, set("grant_type", "")},
		{"repeated grant type", invalidRequest, set("grant_type", tokenExchange, tokenExchange)},
		{"another grant type", "unsupported_grant_type", set("grant_type", "client_credentials")},
		{"grant type in capitals", "unsupported_grant_type", set("grant_type", strings.ToUpper(tokenExchange))},
		{"grant type with a space", "unsupported_grant_type", set("grant_type", tokenExchange+" ")},
		{"no subject token", invalidRequest, set("subject_token")},
		{"empty subject token", invalidRequest, set("subject_token", "")},
		{"repeated subject token", invalidRequest, set("subject_token", goodJWT, goodJWT)},
		{"malformed subject token", invalidRequest, set("subject_token", "x")},
		{"refused subject token", invalidRequest, set("subject_token", strangeJWT)},
		{"no subject token type", invalidRequest, set("subject_token_type")},
		{"access token as subject", invalidRequest, set("subject_token_type", accessTokenType)},
		{"SAML as subject", invalidRequest, set("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")},
		{"actor token", invalidRequest, set("actor_token", goodJWT2)},
		{"actor token type", invalidRequest, set("actor_token_type", idTokenType)},
		{"refresh token requested", invalidRequest, set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")},
		{"ID token requested", invalidRequest, set("requested_token_type", idTokenType)},
		{"another audience", invalidTarget, set("audience", "pypi")},
		{"audience in capitals", invalidTarget, set("audience", "CRATES.IO")},
		{"two audiences", invalidRequest, set("audience", "crates.io", "crates.io")},
		{"another resource", invalidTarget, set("resource", "https://crates.io/api")},
		{"two resources", invalidRequest, set("resource", "https://crates.io", "https://crates.io")},
		{"foreign scope", invalidScope, set("scope", "publish:cargo/tokio")},
		{"foreign scope beside a good one", invalidScope, set("scope", "publish:cargo/serde publish:cargo/tokio")},
		{"scope of another ecosystem", invalidScope, set("scope", "publish:npm/serde")},
		{"scope of another action", invalidScope, set("scope", "yank:cargo/serde")},
		{"scope with a wildcard", invalidScope, set("scope", "publish:cargo/*")},
		{"blank scope", invalidScope, set("scope", " ")},
		{"scope in capitals", invalidScope, set("scope", "publish:cargo/SERDE")},
		{"repeated parameter that is unknown", invalidRequest, set("x", "1", "2")},
	}
	r := newRegistry(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/oauth/token", tokensPath} {
				requireOAuthError(t, tt.want, r.do(t, formTo(path, exchangeForm(tt.change).Encode())))
			}
			if values := exchangeForm(tt.change); strings.HasPrefix(tt.name, "two") || strings.HasPrefix(tt.name, "repeated") || len(values["grant_type"]) == 0 {
				return // JSON has no repeated members, and the one without grant_type is of crates.io.
			}
			for _, path := range []string{"/oauth/token", tokensPath} {
				requireOAuthError(t, tt.want, r.do(t, jsonTo(http.MethodPost, path, withoutEmpty(t, tt.change))))
			}
		})
	}
	response := r.do(t, formTo("/oauth/token", exchangeForm(nil).Encode()))
	require.Equal(t, http.StatusOK, response.StatusCode, "none of these consumed the JWT")
}

// withoutEmpty is exchangeObject without the parameters that change took away.
func withoutEmpty(t *testing.T, change func(url.Values)) string {
	t.Helper()
	return exchangeObject(t, func(v url.Values) {
		change(v)
		for name := range v {
			if len(v[name]) == 0 {
				delete(v, name)
			}
		}
	})
}

func requireOAuthError(t *testing.T, want string, response reply) {
	t.Helper()
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	got := read(t, response)
	require.Equal(t, want, got.Error)
	require.NotEmpty(t, got.Description)
	require.NotEmpty(t, got.Code)
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, "no-cache", response.Header.Get("Pragma"))
}

func TestTokenExchangeAccepts(t *testing.T) {
	t.Parallel()
	both := "publish:cargo/serde publish:cargo/serde_json"
	tests := []struct {
		name, scope string
		change      func(url.Values)
	}{
		{"what is required alone", both, nil},
		{"a jwt as subject", both, set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")},
		{"an access token requested", both, set("requested_token_type", accessTokenType)},
		{"its own audience", both, set("audience", "crates.io")},
		{"itself as resource", both, set("resource", "https://crates.io")},
		{"an empty scope as none", both, set("scope", "")},
		{"a scope that narrows", "publish:cargo/serde", set("scope", "publish:cargo/serde")},
		{"a scope of all, in another order, one of them twice", both, set("scope", "publish:cargo/serde publish:cargo/serde_json publish:cargo/serde")},
		{"a parameter that is unknown", both, set("client_id", "x")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requests := []call{
				formTo("/oauth/token", exchangeForm(tt.change).Encode()),
				formTo(tokensPath, exchangeForm(tt.change).Encode()).with("Authorization", "Basic eDp5"),
				jsonTo(http.MethodPost, "/oauth/token", exchangeObject(t, tt.change)),
				jsonTo(http.MethodPost, tokensPath, exchangeObject(t, tt.change)),
			}
			for _, q := range requests {
				response := newRegistry(t).do(t, q)
				require.Equal(t, http.StatusOK, response.StatusCode, response.Body)
				got := read(t, response)
				require.Equal(t, tt.scope, got.Scope)
				require.Equal(t, accessToken, got.AccessToken)
			}
		})
	}
}

func TestTokenExchangeRefusesParametersInTheURL(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, path := range []string{"/oauth/token", tokensPath, "/oauth/revoke", "/oauth/introspect"} {
		q := formTo(path+"?audience=crates.io", exchangeForm(nil).Encode()+"&token=x").bearer(registryToken)
		requireOAuthError(t, "invalid_request", r.do(t, q))
	}
}

func TestExpiresInNeverCountsMoreSecondsThanAreLeft(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		late time.Duration
		want int64
	}{
		{"on the second", 0, 1800},
		{"a nanosecond later", time.Nanosecond, 1799},
		{"just before the next second", time.Second - time.Nanosecond, 1799},
		{"a whole second later", time.Second, 1800},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			r.now = r.now.Add(tt.late)
			got := read(t, r.do(t, formTo("/oauth/token", exchangeForm(nil).Encode())))
			require.Equal(t, tt.want, got.ExpiresIn)
		})
	}
}

func TestErrorDescriptionHoldsOnlyWhatRFC6749Allows(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, scope := range []string{`publish:cargo/"quoted"`, `back\slash`, "new\nline", "schön", strings.Repeat("x", 500), "\x7f", "\xff"} {
		// The OpenAPI document holds the pattern, and do checks it.
		requireOAuthError(t, "invalid_scope", r.do(t, formTo("/oauth/token", exchangeForm(set("scope", scope)).Encode())))
	}
}

func TestErrorDescriptionReplacesWhatRFC6749DoesNotAllow(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) {
		cfg.Exchange = contextKeeper{func(context.Context) error {
			return domain.Refuse(domain.CodeExpired, "a\x00b\nc\x7fd\"e\\fég…'")
		}}
	})
	got := read(t, r.do(t, formTo("/oauth/token", exchangeForm(nil).Encode())))
	require.Equal(t, "a?b?c?d'e/f?g?'", got.Description)
}

func TestABodyOfExactlyTheLimitIsRead(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	body := `{"jwt":"` + goodJWT + `"}`
	padded := body + strings.Repeat(" ", request.MaxBody-len(body))
	require.Equal(t, http.StatusRequestEntityTooLarge, r.do(t, jsonTo(http.MethodPut, tokensPath, padded+" ")).StatusCode)
	require.Equal(t, http.StatusOK, r.do(t, jsonTo(http.MethodPut, tokensPath, padded)).StatusCode)
}
