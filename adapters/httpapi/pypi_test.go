package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/pypi"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

const (
	pypiAudiencePath   = "/_/oidc/audience"
	pypiMintPath       = "/_/oidc/mint-token"
	pypiGitHubMintPath = "/_/oidc/github/mint-token"
	pypiBurnPath       = "/_/oidc/burn-token"
)

// pypiMint is the request that PyPI's clients make.
func pypiMint(idToken string) call {
	return jsonTo(http.MethodPost, pypiMintPath, `{"token":"`+idToken+`"}`)
}

// pypiAnswer is an answer of PyPI's protocol.
type pypiAnswer struct {
	Success bool
	Token   string
	Expires int64
	Message string
	Errors  []struct{ Code, Description string }
}

func readPyPI(t *testing.T, response reply) pypiAnswer {
	t.Helper()
	var answer pypiAnswer
	require.NoError(t, json.Unmarshal([]byte(response.Body), &answer), response.Body)
	return answer
}

func TestEveryErrorHasOneOfPyPIsCodesOrOurOwnAndOurSentence(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, func(cfg *setup) { cfg.PyPIExchange = &asked{err: ofKind(test.kind, test.code)} })
			wantMessage := "A sentence."
			if test.kind == domain.KindInternal {
				wantMessage = "internal error"
			}
			for _, path := range []string{pypiMintPath, pypiGitHubMintPath} {
				response := r.send(t, jsonTo(http.MethodPost, path, `{"token":"x"}`))
				require.Equal(t, test.pypiStatus, response.StatusCode)
				require.Equal(t, slices.Contains([]int{429, 503}, test.pypiStatus), response.Header.Get("Retry-After") == "5")
				require.NotContains(t, response.Body, io.ErrUnexpectedEOF.Error())
				answer := readPyPI(t, response)
				require.NotEmpty(t, answer.Message)
				require.Len(t, answer.Errors, 1)
				require.Equal(t, test.pypi, answer.Errors[0].Code)
				require.Equal(t, fmt.Sprintf("%s (%s)", wantMessage, test.code), answer.Errors[0].Description)
				require.Empty(t, answer.Token)
				require.False(t, answer.Success)
			}
		})
	}
}

func TestPyPITakesWhatItsClientsSend(t *testing.T) {
	t.Parallel()
	body := `{"token":"` + goodJWT + `"}`
	tests := []struct {
		name   string
		path   string
		header http.Header
		body   string
	}{
		{"gh-action-pypi-publish", pypiGitHubMintPath, http.Header{"Content-Type": {"application/json"}}, body},
		{"twine", pypiMintPath, http.Header{"Content-Type": {"application/json"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"}}, body},
		{"uv", pypiMintPath, http.Header{"Content-Type": {"application/json"}}, body},
		{"uv at first", pypiMintPath, http.Header{}, body},
		{"curl -d", pypiMintPath, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body},
		{"white space", pypiMintPath, http.Header{"Content-Type": {"application/json"}}, " { \"token\" : \"" + goodJWT + "\" }\n"},
		{"charset", pypiMintPath, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body},
		{"members of others", pypiMintPath, http.Header{"Content-Type": {"application/json"}}, `{"token":"` + goodJWT + `","audience":"other","package":"serde","success":true}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			r.trust(t, "pypi", "tool")
			response := r.do(t, call{method: http.MethodPost, target: test.path, header: test.header, body: test.body})
			require.Equal(t, http.StatusOK, response.StatusCode, response.Body)
			answer := readPyPI(t, response)
			require.True(t, answer.Success)
			require.True(t, strings.HasPrefix(answer.Token, "pypi_tp_"))
			require.Equal(t, r.now.Add(domain.DefaultTokenTTL).Unix(), answer.Expires)
		})
	}
}

func TestPyPIRefusesABodyThatIsNotOneTokenBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	body := `{"token":"` + goodJWT + `"}`
	tests := []struct {
		name        string
		contentType []string
		body        string
		want        int
	}{
		{"empty", []string{"application/json"}, "", 422},
		{"no object", []string{"application/json"}, `"` + goodJWT + `"`, 422},
		{"list", []string{"application/json"}, `[` + body + `]`, 422},
		{"null", []string{"application/json"}, `{"token":null}`, 422},
		{"number", []string{"application/json"}, `{"token":1}`, 422},
		{"object", []string{"application/json"}, `{"token":` + body + `}`, 422},
		{"twice", []string{"application/json"}, `{"token":"` + goodJWT + `","token":"` + goodJWT2 + `"}`, 422},
		{"capitals", []string{"application/json"}, `{"TOKEN":"` + goodJWT + `"}`, 422},
		{"capitals besides", []string{"application/json"}, `{"token":"` + goodJWT + `","Token":"` + goodJWT2 + `"}`, 422},
		{"two objects", []string{"application/json"}, body + body, 422},
		{"not UTF-8", []string{"application/json"}, "{\"token\":\"\xff\"}", 422},
		{"the member of crates.io", []string{"application/json"}, `{"jwt":"` + goodJWT + `"}`, 422},
		{"a real form", []string{"application/x-www-form-urlencoded"}, "token=" + goodJWT, 422},
		{"text", []string{"text/plain"}, body, 415},
		{"multipart", []string{"multipart/form-data; boundary=x"}, body, 415},
		{"empty type", []string{""}, body, 415},
		{"two types", []string{"application/json", "application/json"}, body, 415},
		{"too large", []string{"application/json"}, body + strings.Repeat(" ", request.MaxBody), 413},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exchange := &asked{}
			r := newRegistry(t, func(cfg *setup) { cfg.PyPIExchange = exchange })
			for _, path := range []string{pypiMintPath, pypiGitHubMintPath, pypiBurnPath} {
				response := r.do(t, call{method: http.MethodPost, target: path, header: http.Header{"Content-Type": test.contentType}, body: test.body})
				require.Equal(t, test.want, response.StatusCode)
				require.Equal(t, "invalid-payload", readPyPI(t, response).Errors[0].Code)
			}
			require.Empty(t, exchange.requests)
		})
	}
}

func TestATokenOfPyPICoversPythonPackagesAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	for _, name := range []string{"tool", "serde"} {
		r.trust(t, "pypi", name)
		r.trust(t, "npm", name)
		r.trust(t, "gem", name)
	}
	answer := readPyPI(t, r.do(t, pypiMint(goodJWT)))
	require.True(t, strings.HasPrefix(answer.Token, "pypi_tp_"))
	token, err := r.cfg.Tokens.Introspect(t.Context(), answer.Token)
	require.NoError(t, err)
	require.Equal(t, []domain.Package{{Ecosystem: "pypi", Name: "serde"}, {Ecosystem: "pypi", Name: "tool"}}, token.Packages())
}

func TestPyPIMintsForNoOtherEcosystem(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "npm", "tool")
	r.trust(t, "gem", "tool")
	response := r.do(t, pypiMint(goodJWT))
	require.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	require.Equal(t, "invalid-publisher", readPyPI(t, response).Errors[0].Code)
	require.Zero(t, r.store.tokens)

	r.trust(t, "pypi", "tool")
	require.Equal(t, http.StatusOK, r.do(t, pypiMint(goodJWT)).StatusCode, "the refusal did not use the ID token up")
}

func TestABurntTokenIsDeadAndNoOtherIs(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "pypi", "tool")
	burnt := readPyPI(t, r.do(t, pypiMint(goodJWT))).Token
	other := readPyPI(t, r.do(t, pypiMint(goodJWT2))).Token
	response := r.do(t, jsonTo(http.MethodPost, pypiBurnPath, `{"token":"`+burnt+`"}`))
	require.Equal(t, http.StatusAccepted, response.StatusCode)
	require.Empty(t, response.Body)
	_, err := r.cfg.Tokens.Introspect(t.Context(), burnt)
	require.Equal(t, domain.CodeInvalidToken, domain.CodeOf(err))
	_, err = r.cfg.Tokens.Introspect(t.Context(), other)
	require.NoError(t, err)
}

func TestBurningTellsNobodyWhichTokensThereAre(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "pypi", "tool")
	known := readPyPI(t, r.do(t, pypiMint(goodJWT))).Token
	for _, token := range []string{known, known, unknownToken, goodJWT, "", "x"} {
		response := r.do(t, jsonTo(http.MethodPost, pypiBurnPath, `{"token":"`+token+`"}`))
		require.Equal(t, http.StatusAccepted, response.StatusCode)
		require.Empty(t, response.Body)
	}
}

func TestThePyPIDialectNeedsAllThatItIsMadeOf(t *testing.T) {
	t.Parallel()
	good := newRegistry(t).cfg
	for _, cfg := range []pypi.Config{
		{},
		{Tokens: good.Tokens, Audience: "pypi"},
		{Exchange: good.PyPIExchange, Audience: "pypi"},
		{Exchange: good.PyPIExchange, Tokens: good.Tokens},
	} {
		_, err := pypi.New(cfg)
		require.ErrorContains(t, err, "needs Exchange, Tokens and Audience")
	}
}

// FuzzPyPIBody looks for a body that is answered with a defect, or not as the OpenAPI
// document says.
func FuzzPyPIBody(f *testing.F) {
	seeds := append([]string{
		`{"token":"` + goodJWT + `"}`, `{"token":"` + strangeJWT + `","token":""}`, `{"Token":1}`, `{"token":"\u0000"}`, `{"token":1e999}`, "token=x",
		`{"token":"` + unknownToken + `"}`,
	}, hostileText...)
	fuzzTarget(
		f, seeds,
		func(s string) call { return jsonTo(http.MethodPost, pypiMintPath, s) },
		func(s string) call { return formTo(pypiGitHubMintPath, s) },
		func(s string) call {
			return call{method: http.MethodPost, target: pypiBurnPath, header: http.Header{}, body: s}
		},
	)
}
