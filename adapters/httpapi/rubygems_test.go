package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/adapters/httpapi/rubygems"
	"github.com/trustpub/trustpub/domain"
)

const gemExchangePath = "/api/v1/oidc/trusted_publisher/exchange_token"

// gemExchange is the request that configure-rubygems-credentials makes.
func gemExchange(idToken string) call {
	return jsonTo(http.MethodPost, gemExchangePath, `{"jwt":"`+idToken+`"}`)
}

func TestRefusalsOfRubyGemsHaveTheStatusOfRubyGemsOrg(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, func(cfg *setup) { cfg.RubyGemsExchange = &asked{err: ofKind(test.kind, test.code)} })
			wantMessage := "A sentence."
			if test.kind == domain.KindInternal {
				wantMessage = "internal error"
			}
			response := r.send(t, gemExchange("x"))
			require.Equal(t, test.rubygemsStatus, response.StatusCode)
			require.Equal(t, slices.Contains([]int{429, 503}, test.rubygemsStatus), response.Header.Get("Retry-After") == "5")
			require.Equal(t, test.rubygemsStatus == http.StatusUnauthorized, response.Header.Get("Www-Authenticate") == "Bearer")
			require.JSONEq(t, fmt.Sprintf(`{"error":%q,"code":%q}`, wantMessage, test.code), response.Body)
			require.NotContains(t, response.Body, io.ErrUnexpectedEOF.Error())
		})
	}
}

func TestAnAPIKeyHasTheMembersThatTheClientReads(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "gem", "tool")
	response := r.do(t, gemExchange(goodJWT).with("Accept", "application/json"))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	var key map[string]any
	require.NoError(t, json.Unmarshal([]byte(response.Body), &key))
	require.True(t, strings.HasPrefix(key["rubygems_api_key"].(string), "rubygems_tp_"))
	require.NotEmpty(t, key["name"])
	require.Equal(t, []any{"push_rubygem"}, key["scopes"])
	require.NotContains(t, key, "gem", "absent, and not null, which the client refuses")
	expiresAt, err := time.Parse(time.RFC3339, key["expires_at"].(string))
	require.NoError(t, err)
	require.Equal(t, r.now.Add(domain.DefaultTokenTTL), expiresAt)
}

func TestRubyGemsRefusesABodyThatIsNotOneJWTBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	body := `{"jwt":"` + goodJWT + `"}`
	tests := []struct {
		name        string
		contentType []string
		body        string
		want        int
	}{
		{"empty", []string{"application/json"}, "", 400},
		{"no object", []string{"application/json"}, `"` + goodJWT + `"`, 400},
		{"list", []string{"application/json"}, `[` + body + `]`, 400},
		{"null", []string{"application/json"}, `{"jwt":null}`, 400},
		{"number", []string{"application/json"}, `{"jwt":1}`, 400},
		{"object", []string{"application/json"}, `{"jwt":` + body + `}`, 400},
		{"twice", []string{"application/json"}, `{"jwt":"` + goodJWT + `","jwt":"` + goodJWT2 + `"}`, 400},
		{"capitals", []string{"application/json"}, `{"JWT":"` + goodJWT + `"}`, 400},
		{"capitals besides", []string{"application/json"}, `{"jwt":"` + goodJWT + `","Jwt":"` + goodJWT2 + `"}`, 400},
		{"two objects", []string{"application/json"}, body + body, 400},
		{"not UTF-8", []string{"application/json"}, "{\"jwt\":\"\xff\"}", 400},
		{"the member of PyPI", []string{"application/json"}, `{"token":"` + goodJWT + `"}`, 400},
		{"no type", nil, body, 415},
		{"form", []string{"application/x-www-form-urlencoded"}, "jwt=" + goodJWT, 415},
		{"JSON called a form", []string{"application/x-www-form-urlencoded"}, body, 415},
		{"text", []string{"text/plain"}, body, 415},
		{"two types", []string{"application/json", "application/json"}, body, 415},
		{"too large", []string{"application/json"}, body + strings.Repeat(" ", request.MaxBody), 413},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exchange := &asked{}
			r := newRegistry(t, func(cfg *setup) { cfg.RubyGemsExchange = exchange })
			response := r.do(t, call{method: http.MethodPost, target: gemExchangePath, header: http.Header{"Content-Type": test.contentType}, body: test.body})
			require.Equal(t, test.want, response.StatusCode)
			require.Empty(t, exchange.requests)
		})
	}
}

func TestATokenOfRubyGemsCoversGemsAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, name := range []string{"tool", "serde"} {
		r.trust(t, "pypi", name)
		r.trust(t, "npm", name)
		r.trust(t, "gem", name)
	}
	response := r.do(t, gemExchange(goodJWT))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	var key struct {
		APIKey string `json:"rubygems_api_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(response.Body), &key))
	token, err := r.cfg.Tokens.Introspect(t.Context(), key.APIKey)
	require.NoError(t, err)
	require.Equal(t, []domain.Package{{Ecosystem: "gem", Name: "serde"}, {Ecosystem: "gem", Name: "tool"}}, token.Packages())
}

func TestRubyGemsMintsForNoOtherEcosystem(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "npm", "tool")
	r.trust(t, "pypi", "tool")
	require.Equal(t, http.StatusNotFound, r.do(t, gemExchange(goodJWT)).StatusCode)
	require.Zero(t, r.store.tokens)

	r.trust(t, "gem", "tool")
	require.Equal(t, http.StatusCreated, r.do(t, gemExchange(goodJWT)).StatusCode, "the refusal did not use the ID token up")
}

func TestTheRubyGemsDialectNeedsAllThatItIsMadeOf(t *testing.T) {
	t.Parallel()
	good := newRegistry(t).cfg
	for _, cfg := range []rubygems.Config{{}, {Publishers: good.Publishers}, {Exchange: good.RubyGemsExchange}} {
		_, err := rubygems.New(cfg)
		require.ErrorContains(t, err, "needs Exchange and Publishers")
	}
}

// FuzzRubyGemsBody looks for a body that is answered with a defect, or not as the
// OpenAPI document says.
func FuzzRubyGemsBody(f *testing.F) {
	seeds := append([]string{
		`{"jwt":"` + goodJWT + `"}`, `{"jwt":"` + strangeJWT + `","jwt":""}`, `{"JWT":1}`, `{"jwt":"\u0000"}`,
		gemPublisherBody(f, nil), gemPublisherBody(f, members{"environment": raw(`""`)}), gemPublisherBody(f, members{"repository_owner_id": raw(`1e999`)}),
		gemPublisherBody(f, members{"workflow_repository_owner": raw(`"a"`), "workflow_repository_name": raw(`"b/c"`)}),
	}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return jsonTo(http.MethodPost, gemExchangePath, s) },
		func(s string) call { return jsonTo(http.MethodPost, gemPublishersPath, s).bearer(adminToken) },
	)
}
