package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/npm"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

const npmExchangePath = "/-/npm/v1/oidc/token/exchange/package/"

// npmExchange is the request that npm makes.
func npmExchange(escapedName string) call {
	return bare(http.MethodPost, npmExchangePath+escapedName).bearer(goodJWT)
}

// asked is an Exchanger that keeps what it was asked for, and fails with err.
type asked struct {
	requests []application.ExchangeRequest
	err      error
}

func (a *asked) Exchange(_ context.Context, r application.ExchangeRequest) (application.Issued, error) {
	a.requests = append(a.requests, r)
	return application.Issued{}, a.err
}

func TestNPMNamesAreReadFromTheRawPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, escaped, want string
	}{
		{"without scope", "tool", "tool"},
		{"npm", "@octo%2fapp", "@octo/app"},
		{"upper-case escape", "@octo%2Fapp", "@octo/app"},
		{"pnpm", "%40octo%2Fapp", "@octo/app"},
		{"lower-case escapes", "%40octo%2fapp", "@octo/app"},
		{"a proxy that decodes", "@octo/app", "@octo/app"},
		{"a proxy that decodes the slash alone", "%40octo/app", "@octo/app"},
		{"letters escaped for no reason", "%74ool", "tool"},
		{"capitals", "JSONStream", "JSONStream"},
		{"all sorts of characters", "a.b_c~d-1!*'()", "a.b_c~d-1!*'()"},
		{"a scope and a name that begin with what others may not", "@-octo%2f_app", "@-octo/_app"},
		{"the word trust", "@trust%2ftrust", "@trust/trust"},
		{"as long as may be", strings.Repeat("a", 214), strings.Repeat("a", 214)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exchange := &asked{}
			r := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = exchange })
			r.do(t, npmExchange(test.escaped))
			require.Equal(t, []application.ExchangeRequest{{Protocol: "npm", IDToken: goodJWT, Package: domain.Package{Ecosystem: "npm", Name: test.want}}}, exchange.requests)
		})
	}
}

func TestWhatIsNoNameOfNPMIsRefusedBeforeTheExchange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, escaped string
	}{
		{"escaped twice", "%2540octo%252fapp"},
		{"slash escaped twice", "@octo%252fapp"},
		{"slash without scope", "octo%2fapp"},
		{"two segments without scope", "octo/app"},
		{"two slashes", "@octo%2fapp%2fmore"},
		{"empty scope", "@%2fapp"},
		{"empty name", "@octo%2f"},
		{"scope alone", "@octo"},
		{"dots", ".."},
		{"dots escaped", "%2e%2e%2ftool"},
		{"scope of dots", "@..%2ftool"},
		{"name of dots", "@octo%2f.."},
		{"hidden", ".tool"},
		{"underscore first", "_tool"},
		{"hyphen first", "-tool"},
		{"space", "to%20ol"},
		{"NUL", "tool%00"},
		{"newline", "tool%0a"},
		{"backslash", "@octo%5capp"},
		{"quote", "%22tool"},
		{"not ASCII", "t%C3%B6%C3%B6l"},
		{"fullwidth at sign", "%EF%BC%A0octo%2fapp"},
		{"not UTF-8", "%ff"},
		{"version", "tool@1.0.0"},
		{"query", "tool%3fx=1"},
		{"reserved", "node_modules"},
		{"reserved, in capitals", "Favicon.ico"},
		{"too long", strings.Repeat("a", 215)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exchange := &asked{}
			r := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = exchange })
			response := r.do(t, npmExchange(test.escaped))
			require.Equal(t, http.StatusBadRequest, response.StatusCode, response.Body)
			require.Equal(t, "malformed_request", read(t, response).Code)
			require.Empty(t, exchange.requests)
		})
	}
}

func TestOnlyOneBearerTokenIsExchangedAtNPM(t *testing.T) {
	t.Parallel()
	path := npmExchangePath + "tool"
	tests := []struct {
		name    string
		request call
	}{
		{"no header", bare(http.MethodPost, path)},
		{"empty header", bare(http.MethodPost, path).with("Authorization", "")},
		{"scheme alone", bare(http.MethodPost, path).with("Authorization", "Bearer")},
		{"no scheme", bare(http.MethodPost, path).with("Authorization", goodJWT)},
		{"other scheme", bare(http.MethodPost, path).with("Authorization", "Basic "+goodJWT)},
		{"two headers", npmExchange("tool").bearer(goodJWT)},
		{"in the body", jsonTo(http.MethodPost, path, `{"jwt":"`+goodJWT+`"}`)},
		{"in the query", call{method: http.MethodPost, target: path, header: http.Header{}, rawQuery: "token=" + goodJWT}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exchange := &asked{}
			r := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = exchange })
			response := r.do(t, test.request)
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
			require.Equal(t, "Bearer", response.Header.Get("WWW-Authenticate"))
			require.Empty(t, exchange.requests)
		})
	}
}

func TestTheBodyOfAnNPMExchangeIsBoundedAndMeansNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", `{"package":"other"}`, "no JSON", strings.Repeat("x", request.MaxBody)} {
		q := npmExchange("tool")
		q.body = body
		exchange := &asked{}
		response := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = exchange }).do(t, q)
		require.Equal(t, http.StatusCreated, response.StatusCode)
		require.Equal(t, "tool", exchange.requests[0].Package.Name)
	}
	q := npmExchange("tool")
	q.body = strings.Repeat("x", request.MaxBody+1)
	exchange := &asked{}
	response := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = exchange }).do(t, q)
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.Empty(t, exchange.requests)
}

func TestRefusalsOfNPMHaveTheStatusOfNPMsRegistry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"scope", domain.Invalid(domain.CodeInvalidScope, "x"), http.StatusBadRequest},
		{"malformed", domain.Refuse(domain.CodeMalformedJWT, "x"), http.StatusUnauthorized},
		{"issuer", domain.Refuse(domain.CodeUnsupportedIssuer, "x"), http.StatusUnauthorized},
		{"signature", domain.Refuse(domain.CodeInvalidSignature, "x"), http.StatusUnauthorized},
		{"audience", domain.Refuse(domain.CodeWrongAudience, "x"), http.StatusUnauthorized},
		{"expired", domain.Refuse(domain.CodeExpired, "x"), http.StatusUnauthorized},
		{"event", domain.Refuse(domain.CodeUnsupportedEvent, "x"), http.StatusUnauthorized},
		{"used", domain.Refuse(domain.CodeAlreadyUsed, "x"), http.StatusUnauthorized},
		{"no publisher", domain.Refuse(domain.CodeNoPublisher, "x"), http.StatusNotFound},
		{"owner", domain.Refuse(domain.CodeOwnerIDMismatch, "x"), http.StatusNotFound},
		{"workflow", domain.Refuse(domain.CodeWorkflowMismatch, "x"), http.StatusNotFound},
		{"renamed", domain.Refuse(domain.CodeRepositoryRenamed, "x"), http.StatusNotFound},
		{"pinned", domain.Refuse(domain.CodePinnedIDMismatch, "x"), http.StatusNotFound},
		{"reusable workflow", domain.Refuse(domain.CodeReusableWorkflowMismatch, "x"), http.StatusNotFound},
		{"claim", domain.Refuse(domain.CodeClaimMismatch, "x"), http.StatusNotFound},
		{"forbidden claim", domain.Refuse(domain.CodeForbiddenClaim, "x"), http.StatusUnauthorized},
		{"environment", domain.Refuse(domain.CodeEnvironmentMismatch, "x"), http.StatusNotFound},
		{"keys", domain.Unavailable(domain.CodeKeysUnavailable, io.ErrUnexpectedEOF, "x"), http.StatusServiceUnavailable},
		{"store", domain.Unavailable(domain.CodeStoreUnavailable, io.ErrUnexpectedEOF, "x"), http.StatusServiceUnavailable},
		{"defect", io.ErrUnexpectedEOF, http.StatusInternalServerError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, func(cfg *setup) { cfg.NPMExchange = &asked{err: test.err} })
			response := r.do(t, npmExchange("tool"))
			require.Equal(t, test.want, response.StatusCode)
			require.Equal(t, string(domain.CodeOf(test.err)), read(t, response).Code)
			require.NotContains(t, response.Body, io.ErrUnexpectedEOF.Error())
			require.Equal(t, test.want == http.StatusServiceUnavailable, response.Header.Get("Retry-After") != "")
		})
	}
}

func TestATokenOfNPMCoversThePackageInTheURLAlone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "npm", "tool")
	r.trust(t, "npm", "serde")
	response := r.do(t, npmExchange("serde"))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	var minted struct {
		Token string `json:"token"`
	}
	require.NoError(t, json.Unmarshal([]byte(response.Body), &minted))
	token, err := r.cfg.Tokens.Introspect(t.Context(), minted.Token)
	require.NoError(t, err)
	require.Equal(t, []domain.Package{{Ecosystem: "npm", Name: "serde"}}, token.Packages())
}

func TestNPMMintsForNoOtherEcosystem(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	response := r.do(t, npmExchange("serde"))
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Zero(t, r.store.tokens)

	r.trust(t, "npm", "serde")
	response = r.do(t, npmExchange("serde"))
	require.Equal(t, http.StatusCreated, response.StatusCode, "the refusal did not use the ID token up")
}

func TestNPMRefusesWorkloadsOfOtherRepositories(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.trust(t, "npm", "tool")
	response := r.do(t, bare(http.MethodPost, npmExchangePath+"tool").bearer(strangeJWT))
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Zero(t, r.store.tokens)
}

func TestTheNPMDialectNeedsAnExchangeAndPublishers(t *testing.T) {
	t.Parallel()
	_, err := npm.New(npm.Config{Publishers: newRegistry(t).cfg.Publishers})
	require.ErrorContains(t, err, "Exchange")
	_, err = npm.New(npm.Config{Exchange: &asked{}})
	require.ErrorContains(t, err, "Publishers")
}

// FuzzNPMName looks for text that is taken for another name than that which it
// spells, or for a name that leads somewhere else as a path.
func FuzzNPMName(f *testing.F) {
	seeds := append([]string{
		"tool", "@octo%2fapp", "%40octo%2Fapp", "@octo/app", "%2540octo%252fapp", "@..%2ftool", "@octo%2f..", "..%2f..", "@a%2fb%2fc", "a%2f", "%2F", "@%2f", "tool%00", "@octo%5capp",
	}, hostileText...)
	for _, seed := range seeds {
		f.Add(seed)
	}
	r := newRegistry(f)
	f.Fuzz(func(t *testing.T, escaped string) {
		_, err := url.ParseRequestURI(npmExchangePath + escaped)
		if err == nil && !strings.ContainsAny(escaped, " \r\n") {
			requireSane(t, r.send(t, npmExchange(escaped)))
		}
		pkg, err := npm.ParseName(escaped)
		if err != nil {
			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			return
		}
		once, err := url.PathUnescape(escaped)
		require.NoError(t, err)
		require.Equal(t, domain.Package{Ecosystem: "npm", Name: once}, pkg)
		segments := strings.Split(pkg.Name, "/")
		require.LessOrEqual(t, len(segments), 2)
		require.Equal(t, len(segments) == 2, strings.HasPrefix(pkg.Name, "@"))
		for _, segment := range segments {
			require.NotContains(t, []string{"", ".", ".."}, segment)
			require.NotContains(t, segment, `\`)
		}
	})
}
