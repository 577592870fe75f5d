package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireSane fails when an answer to whatever input is a 500, or is not of the
// form that the OpenAPI document says, which do has checked already.
func requireSane(t *testing.T, response reply) {
	t.Helper()
	require.Less(t, response.StatusCode, http.StatusInternalServerError)
	body := response.Body
	if body != "" {
		require.True(t, json.Valid([]byte(body)), body)
	}
}

// fuzzTarget makes a fuzz target of what makes a request of a text, on one
// registry for all texts.
func fuzzTarget(f *testing.F, seeds []string, requests ...func(string) call) {
	f.Helper()
	for _, seed := range seeds {
		f.Add(seed)
	}
	r := newRegistry(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, request := range requests {
			requireSane(t, r.do(t, request(text)))
		}
	})
}

var hostileText = []string{
	"", "null", "{}", "[]", "\x00", "\xff", "\uFEFF{}", `"\ud800"`, "%", "%zz", "&&&", "=", ";", "a=1&a=2",
	strings.Repeat("[", 2000), strings.Repeat(`{"a":`, 2000), strings.Repeat("9", 2000), strings.Repeat("a=&", 1000),
}

func FuzzExchangeJSON(f *testing.F) {
	seeds := append([]string{
		`{"jwt":"` + goodJWT + `"}`, `{"jwt":"` + strangeJWT + `","jwt":""}`, `{"JWT":1}`, `{"jwt":"\u0000"}`, `{"jwt":1e999}`,
		exchangeObject(f, nil), `{"grant_type":null}`, `{"grant_type":["x"]}`, `{"grant_type":"` + tokenExchange + `","subject_token":{"a":"b"}}`,
	}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return jsonTo(http.MethodPut, tokensPath, s) },
		func(s string) call { return jsonTo(http.MethodPost, tokensPath, s) },
		func(s string) call { return jsonTo(http.MethodPost, "/oauth/token", s) },
	)
}

func FuzzExchangeForm(f *testing.F) {
	seeds := append([]string{
		exchangeForm(nil).Encode(), exchangeForm(set("scope", "publish:cargo/serde")).Encode(), exchangeForm(set("scope", "publish:/")).Encode(),
		exchangeForm(set("audience", "\x00")).Encode(), exchangeForm(set("grant_type", "x")).Encode(),
	}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return formTo("/oauth/token", s) },
		func(s string) call { return formTo(tokensPath, s) },
	)
}

func FuzzGitHubConfigJSON(f *testing.F) {
	seeds := append([]string{
		configBody(f, nil), configBody(f, members{"environment": raw(`""`)}), configBody(f, members{"repository_owner_id": raw(`1e999`)}),
		configBody(f, members{"repository_owner_id": raw(`9007199254740993`)}), `{"github_config":{"crate":null}}`, `{"github_config":[{}]}`,
	}, hostileText...)
	fuzzTarget(f, seeds, func(s string) call { return jsonTo(http.MethodPost, configsPath, s).bearer(adminToken) })
}

func FuzzTokenForm(f *testing.F) {
	seeds := append([]string{"token=" + accessToken, "token=" + unknownToken + "&token_type_hint=x", "token=%00", "token=+", "token=a&token=b"}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return formTo("/oauth/revoke", s) },
		func(s string) call { return formTo("/oauth/introspect", s).bearer(registryToken) },
	)
}

func FuzzListQuery(f *testing.F) {
	seeds := append([]string{"crate=serde", "crate=serde&per_page=1", "package=serde&seek=1", "crate=a%2Fb&ecosystem=npm", "crate=x&per_page=1e3"}, hostileText...)
	fuzzTarget(f, seeds, func(s string) call {
		q := bare(http.MethodGet, configsPath).bearer(adminToken)
		q.rawQuery = s
		return q
	})
}

func FuzzAuthorization(f *testing.F) {
	seeds := append([]string{"Bearer " + accessToken, accessToken, "Bearer", "Bearer  ", "bearer " + unknownToken, "Basic eDp5", "\t", "Bearer\t" + accessToken}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return bare(http.MethodDelete, tokensPath).with("Authorization", s) },
		func(s string) call { return bare(http.MethodGet, configsPath).with("Authorization", s) },
	)
}

func FuzzPath(f *testing.F) {
	seeds := append([]string{"/healthz", tokensPath, configsPath + "/1", configsPath + "/%2f", "/oauth/token/", "//", "/../healthz", "/%00"}, hostileText...)
	fuzzTarget(f, seeds, func(s string) call {
		q := bare(http.MethodDelete, "/").bearer(adminToken)
		q.path = s
		return q
	})
}
