package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/secretscanning"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// scanningPath is the one that GitHub was told.
const scanningPath = "/api/github/secret-scanning/verify"

// signed is a message with a signature that is good.
func signed(body string) call {
	return jsonTo(http.MethodPost, scanningPath, body).with("Github-Public-Key-Identifier", "key").with("Github-Public-Key-Signature", "signed")
}

// leaksKeeper is a Revoker that keeps what it was told of, and knows none of it.
type leaksKeeper struct{ told []application.Leak }

func (k *leaksKeeper) RevokeLeaked(_ context.Context, leaks []application.Leak) ([]bool, error) {
	k.told = leaks
	return make([]bool, len(leaks)), nil
}

// verifierOf is a Verifier of messages that is a function.
type verifierOf func(keyID, signature string, message []byte) error

func (v verifierOf) Verify(_ context.Context, keyID, signature string, message []byte) error {
	return v(keyID, signature, message)
}

func TestTheSignatureIsCheckedOverTheBodyAsItCame(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[]", " [ ] \n", `[{"token":"a","type":"\u0062"}]`, "no JSON", "\xff"} {
		var got []string
		r := newRegistry(t, func(cfg *setup) {
			cfg.Signatures = verifierOf(func(keyID, signature string, message []byte) error {
				got = []string{keyID, signature, string(message)}
				return domain.Refuse(domain.CodeInvalidWebhookSignature, "No.")
			})
		})

		response := r.do(t, signed(body))

		require.Equal(t, http.StatusBadRequest, response.StatusCode)
		require.Equal(t, []string{"key", "signed", body}, got)
		require.Contains(t, response.Body, "invalid_webhook_signature", "it is refused before it is read")
	}
}

func TestAMessageHasABoundInBytesAndInTokens(t *testing.T) {
	t.Parallel()
	tokens := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"token":"x","type":"t"},`, n), ",") + "]"
	}
	padded := func(n int) string { return "[]" + strings.Repeat(" ", n-2) }
	tests := []struct {
		name, body string
		want       int
	}{
		{"as many tokens as there may be", tokens(1000), http.StatusOK},
		{"one token more", tokens(1001), http.StatusBadRequest},
		{"as many bytes as there may be", padded(1 << 20), http.StatusOK},
		{"one byte more", padded(1<<20 + 1), http.StatusRequestEntityTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			response := newRegistry(t).do(t, signed(tt.body))
			require.Equal(t, tt.want, response.StatusCode, response.Body)
		})
	}
}

func TestOnlyGitHubsWordsForASourceAreTakenOver(t *testing.T) {
	t.Parallel()
	keeper := &leaksKeeper{}
	r := newRegistry(t, func(cfg *setup) { cfg.Leaks = keeper })

	response := r.do(t, signed(`[{"token":"a","type":"t","source":"Gist_content"},{"token":"b","type":"t","source":"x\naction=exchange"},{"token":"c","type":"t","source":["commit"]},{"token":"d","type":"t"}]`))

	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, []application.Leak{
		{AccessToken: "a", Source: "gist_content"},
		{AccessToken: "b", Source: "unknown"},
		{AccessToken: "c", Source: "unknown"},
		{AccessToken: "d", Source: "unknown"},
	}, keeper.told)
}

func TestAMessageThatIsNoListOfTokensLabelsAndRevokesNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "null", "{}", `["x"]`, `[[]]`, `[{}]`, `[null]`, `[{"token":null,"type":"t"}]`, `[{"token":1,"type":"t"}]`, `[{"token":"x","type":1}]`,
		`[{"TOKEN":"x","type":"t"}]`, `[{"token":"x","Token":"y","type":"t"}]`, `[{"token":"x","type":"t"}]x`, `[{"token":"x","type":"t"},{}]`, "\xff",
	} {
		keeper := &leaksKeeper{}
		r := newRegistry(t, func(cfg *setup) { cfg.Leaks = keeper })

		response := r.do(t, signed(body))

		require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
		require.Contains(t, response.Body, "malformed_request", body)
		require.Nil(t, keeper.told, body)
	}
}

func TestVerdictsThatAreNotOnePerTokenLabelNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) { cfg.Leaks = fewVerdicts{} })

	response := r.do(t, signed(`[{"token":"a","type":"t"}]`))

	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.NotContains(t, response.Body, "positive")
}

// fewVerdicts is a Revoker with an answer that is too short.
type fewVerdicts struct{}

func (fewVerdicts) RevokeLeaked(context.Context, []application.Leak) ([]bool, error) { return nil, nil }

func TestNeitherALeakedTokenNorItsURLIsLogged(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	minted := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"`+goodJWT+`"}`))
	require.Equal(t, http.StatusOK, minted.StatusCode)
	body := `[{"token":"` + accessToken + `","type":"a-type","url":"https://a-url.example"}]`

	for _, down := range []error{errDown, nil} {
		r.store.fail(down)
		for _, q := range []call{signed(body), signed(body + "x"), jsonTo(http.MethodPost, scanningPath, body)} {
			r.do(t, q)
		}
	}

	require.Contains(t, r.logs.String(), scanningPath)
	for _, secret := range []string{accessToken, "a-type", "a-url"} {
		require.NotContains(t, r.logs.String(), secret)
	}
}

func TestSecretScanningNeedsAVerifierAndARevoker(t *testing.T) {
	t.Parallel()
	for _, cfg := range []secretscanning.Config{{}, {Verifier: signatures{}}, {Tokens: &leaksKeeper{}}} {
		_, err := secretscanning.New(cfg)
		require.Error(t, err)
	}
}

func FuzzSecretScanning(f *testing.F) {
	for _, seed := range append([]string{
		`[{"token":"` + unknownToken + `","type":"t","url":"https://x.example","source":"content"}]`,
		`[{"token":"a","type":"t"},{"token":"a","type":"t"}]`, `[{"token":"","type":""}]`, `[{"token":"\u0000\ud800","type":"\u2028"}]`,
	}, hostileText...) {
		f.Add(seed)
	}
	r := newRegistry(f)
	f.Fuzz(func(t *testing.T, body string) {
		response := r.do(t, signed(body))
		requireSane(t, response)
		if response.StatusCode == http.StatusOK {
			var told, answered []map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &told))
			require.NoError(t, json.Unmarshal([]byte(response.Body), &answered))
			require.Len(t, answered, len(told))
			require.NotContains(t, response.Body, "true_positive", "nothing was ever given out")
		}
	})
}
