package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/npm"
	"github.com/trustpub/trustpub/adapters/httpapi/oauth"
	"github.com/trustpub/trustpub/adapters/httpapi/pypi"
	"github.com/trustpub/trustpub/adapters/httpapi/rubygems"
	"github.com/trustpub/trustpub/adapters/httpapi/secretscanning"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

const (
	githubIssuer  = "https://token.actions.githubusercontent.com"
	adminToken    = "admin-0123456789-0123456789-0123456789"
	registryToken = "registry-0123456789-0123456789-0123456"
	// Of these ID tokens the verifier accepts the good ones.
	goodJWT    = "eyJhbGciOiJSUzI1NiJ9.Z29vZA.c2lnbmF0dXJl"
	goodJWT2   = "eyJhbGciOiJSUzI1NiJ9.Z29vZDI.c2lnbmF0dXJl"
	strangeJWT = "eyJhbGciOiJSUzI1NiJ9.c3RyYW5nZQ.c2lnbmF0dXJl"
	keylessJWT = "eyJhbGciOiJSUzI1NiJ9.a2V5bGVzcw.c2lnbmF0dXJl"
	brokenJWT  = "eyJhbGciOiJSUzI1NiJ9.YnJva2Vu.c2lnbmF0dXJl"
	panicJWT   = "eyJhbGciOiJSUzI1NiJ9.cGFuaWM.c2lnbmF0dXJl"
	crashJWT   = "eyJhbGciOiJSUzI1NiJ9.Y3Jhc2g.c2lnbmF0dXJl"
	// The first access token that a registry mints, and one that it never did.
	accessToken  = "cio_tp_iiw1H3lRmyFreIO9XhCkbxgqo75Bb7CZ2701m8"
	unknownToken = "cio_tp_C7IjIKBS0h8DAAcfUn3Fdf5bbdwtqOyh1Jd9PA"
	// tokensPath and configsPath are those that clients were built with.
	tokensPath  = "/api/v1/trusted_publishing/tokens"
	configsPath = "/api/v1/trusted_publishing/github_configs"
)

// logs collects what is logged, from several goroutines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// registry is a whole registry behind the API: the real use cases over fakes.
type registry struct {
	api   *httpapi.API
	store *store
	logs  *logs
	now   time.Time
	cfg   setup
}

// setup is what the API is made of.
type setup struct {
	Exchange                             cratesio.Exchanger
	NPMExchange                          npm.Exchanger
	PyPIExchange                         pypi.Exchanger
	RubyGemsExchange                     rubygems.Exchanger
	Tokens                               oauth.Tokens
	Leaks                                secretscanning.Revoker
	Signatures                           secretscanning.Verifier
	Publishers                           cratesio.Publishers
	Audience, Issuer                     string
	Authenticator, RegistryAuthenticator httpapi.Authenticator
	Ready                                func(context.Context) error
	Metrics                              http.Handler
	Observe                              func(httpapi.Observation)
	Trace                                httpapi.Trace
	Logger                               *slog.Logger
	RequestTimeout                       time.Duration
	MaxRequests                          int
	AddressLimit                         httpapi.RateLimiter
	TrustedProxies                       []netip.Prefix
	Now                                  func() time.Time
	Rand                                 io.Reader
}

// api makes the API with all dialects.
func (s setup) api() (*httpapi.API, error) {
	tokenExchange, err := oauth.New(oauth.Config{
		Exchange: s.Exchange, Tokens: s.Tokens, Authenticator: s.RegistryAuthenticator,
		Audience: s.Audience, Issuer: s.Issuer, Now: s.Now,
	})
	if err != nil {
		return nil, err
	}
	crates, err := cratesio.New(cratesio.Config{
		Exchange: s.Exchange, Tokens: s.Tokens, Publishers: s.Publishers, Authenticator: s.Authenticator, TokenExchange: tokenExchange,
		Audience: s.Audience,
	})
	if err != nil {
		return nil, err
	}
	pypiDialect, err := pypi.New(pypi.Config{Exchange: s.PyPIExchange, Tokens: s.Tokens, Audience: "pypi"})
	if err != nil {
		return nil, err
	}
	gems, err := rubygems.New(rubygems.Config{Exchange: s.RubyGemsExchange, Publishers: s.Publishers, Authenticator: s.Authenticator})
	if err != nil {
		return nil, err
	}
	npmDialect, err := npm.New(npm.Config{Exchange: s.NPMExchange, Publishers: s.Publishers, Authenticator: s.Authenticator})
	if err != nil {
		return nil, err
	}
	scanning, err := secretscanning.New(secretscanning.Config{Verifier: s.Signatures, Tokens: s.Leaks})
	if err != nil {
		return nil, err
	}
	return httpapi.New(httpapi.Config{
		Dialects:        []httpapi.Dialect{crates, tokenExchange, npmDialect, pypiDialect, gems, scanning},
		ProvidersSchema: []byte(`{"type":"object"}`),
		Metrics:         s.Metrics, Observe: s.Observe, Trace: s.Trace,
		Ready: s.Ready, Logger: s.Logger, RequestTimeout: s.RequestTimeout, Rand: s.Rand,
		MaxRequests: s.MaxRequests, AddressLimit: s.AddressLimit, TrustedProxies: s.TrustedProxies, Now: s.Now,
	})
}

// buildkite is a provider that is described by a definition.
var buildkite = domain.Definition{
	Name: "buildkite", Issuer: "https://agent.buildkite.com", Algorithms: []string{"RS256"},
	Required: []domain.ClaimRule{{Claim: "organization_slug", Match: domain.MatchExact}, {Claim: "pipeline_slug", Match: domain.MatchExact}},
	Optional: []domain.ClaimRule{{Claim: "build_branch", Match: domain.MatchExact}, {Claim: "teams", Match: domain.MatchContains}},
}

// newRegistry returns a registry in which octo/app may publish the crates serde
// and serde_json, with change applied to the API's configuration.
func newRegistry(tb testing.TB, change ...func(*setup)) *registry {
	tb.Helper()
	r := &registry{store: newStore(), logs: &logs{}, now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return r.now }
	prefix, err := domain.NewTokenPrefix(domain.DefaultTokenPrefix)
	require.NoError(tb, err)

	exchangeOf := func(ecosystem string, prefix domain.TokenPrefix, random io.Reader) *application.ExchangeService {
		exchange, err := application.NewExchangeService(application.ExchangeConfig{
			Verifier: r.verifier(tb), Configs: r.store, Tokens: r.store, Auditor: silent{},
			Ecosystem: ecosystem, Prefix: prefix, Now: now, Rand: random,
		})
		require.NoError(tb, err)
		return exchange
	}
	npmPrefix, err := domain.NewTokenPrefix("npm_tp_")
	require.NoError(tb, err)
	pypiPrefix, err := domain.NewTokenPrefix("pypi_tp_")
	require.NoError(tb, err)
	gemPrefix, err := domain.NewTokenPrefix("rubygems_tp_")
	require.NoError(tb, err)
	tokens, err := application.NewTokenService(application.TokenConfig{Tokens: r.store, Auditor: silent{}, Prefixes: []domain.TokenPrefix{prefix, npmPrefix, pypiPrefix, gemPrefix}, Now: now})
	require.NoError(tb, err)
	publishers, err := application.NewPublisherService(application.PublisherConfig{
		Configs: r.store, Ownership: operator{}, Owners: accounts{"octo": 123}, Auditor: silent{},
		Issuers: map[string][]string{
			domain.ProviderGitHub: {githubIssuer}, domain.ProviderGitLab: {"https://gitlab.com"},
			"buildkite": {"https://agent.buildkite.com"},
		},
		Definitions: []domain.Definition{buildkite}, Now: now,
	})
	require.NoError(tb, err)

	admin, err := httpapi.BearerToken(adminToken, application.Actor{ID: "admin"})
	require.NoError(tb, err)
	caller, err := httpapi.BearerToken(registryToken, application.Actor{ID: "registry"})
	require.NoError(tb, err)
	r.cfg = setup{
		Exchange: exchangeOf("", prefix, seeded(1)), NPMExchange: exchangeOf(npm.Ecosystem, npmPrefix, seeded(3)),
		PyPIExchange: exchangeOf(pypi.Ecosystem, pypiPrefix, seeded(4)), RubyGemsExchange: exchangeOf(rubygems.Ecosystem, gemPrefix, seeded(5)),
		Tokens: tokens, Publishers: publishers, Leaks: tokens, Signatures: signatures{},
		Audience: "crates.io", Issuer: "https://crates.io",
		Authenticator: admin, RegistryAuthenticator: caller,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			_, _ = io.WriteString(w, "trustpub_exchanges_total 0\n")
		}),
		Logger: slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    now, Rand: seeded(2),
	}
	r.trust(tb, "cargo", "serde")
	r.trust(tb, "cargo", "serde_json")
	for _, f := range change {
		f(&r.cfg)
	}
	r.api, err = r.cfg.api()
	require.NoError(tb, err)
	return r
}

// trust makes octo/app a publisher of a package.
func (r *registry) trust(tb testing.TB, ecosystem, name string) {
	tb.Helper()
	_, err := r.cfg.Publishers.CreateConfig(tb.Context(), application.Actor{ID: "test"}, domain.GitHubConfigParams{
		Package: domain.Package{Ecosystem: ecosystem, Name: name},
		Owner:   "octo", Repository: "app", WorkflowFilename: "release.yml",
	})
	require.NoError(tb, err)
}

// seeded returns a source that gives the same bytes in every run.
func seeded(seed byte) io.Reader { return &lockedReader{r: rand.NewChaCha8([32]byte{seed})} }

type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

func (r *registry) verifier(tb testing.TB) verdicts {
	tb.Helper()
	claims := func(repository, jti string) func() (domain.Claims, error) {
		repo, err := domain.ParseRepository(repository)
		require.NoError(tb, err)
		c, err := domain.NewClaims(
			domain.Registered{Issuer: githubIssuer, Subject: "repo:" + repository + ":ref:refs/tags/v1", JWTID: jti, AcceptableUntil: r.now.Add(5 * time.Minute)},
			domain.Workload{
				Provider: domain.ProviderGitHub, Repository: repo, OwnerID: "123", Workflow: "release.yml",
				Details: domain.NewDetails(map[string]string{"repository": repository, "run_id": "42", "sha": "0123456789abcdef0123456789abcdef01234567"}),
			})
		require.NoError(tb, err)
		return func() (domain.Claims, error) { return c, nil }
	}
	return verdicts{
		goodJWT:    claims("octo/app", "jti-1"),
		goodJWT2:   claims("octo/app", "jti-2"),
		strangeJWT: claims("octo/other", "jti-3"),
		keylessJWT: func() (domain.Claims, error) {
			return domain.Claims{}, domain.Unavailable(domain.CodeKeysUnavailable, io.ErrUnexpectedEOF, "The keys of the issuer can't be loaded right now.")
		},
		brokenJWT: func() (domain.Claims, error) { return domain.Claims{}, io.ErrUnexpectedEOF },
		panicJWT:  func() (domain.Claims, error) { panic("a panic with the ID token " + panicJWT) },
		crashJWT: func() (domain.Claims, error) {
			var none *domain.AccessToken
			return domain.Claims{}, domain.Refuse(domain.Code(none.Issuer), "unreachable")
		},
	}
}

// call is one request to the API.
type call struct {
	method, target string
	header         http.Header
	body           string
	// path and rawQuery replace those of target as they are, well-formed or not.
	path, rawQuery string
}

func (q call) with(name, value string) call {
	q.header = q.header.Clone()
	q.header.Add(name, value)
	return q
}

func (q call) bearer(token string) call { return q.with("Authorization", "Bearer "+token) }

func (q call) http() *http.Request {
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequest(q.method, q.target, body)
	r.Header = q.header.Clone()
	if q.path != "" {
		r.URL.Path = q.path
	}
	if q.rawQuery != "" {
		r.URL.RawQuery = q.rawQuery
	}
	return r
}

func bare(method, target string) call {
	return call{method: method, target: target, header: http.Header{}}
}

func jsonTo(method, target, body string) call {
	return call{method: method, target: target, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

func formTo(target, body string) call {
	return call{method: http.MethodPost, target: target, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: body}
}

// reply is a whole response.
type reply struct {
	StatusCode int
	Header     http.Header
	Body       string
	// Close is whether the server closes the connection after it.
	Close bool
}

func replyOf(tb testing.TB, response *http.Response) reply {
	tb.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	require.NoError(tb, response.Body.Close())
	return reply{StatusCode: response.StatusCode, Header: response.Header, Body: string(body), Close: response.Close}
}

// send sends q to the API.
func (r *registry) send(tb testing.TB, q call) reply {
	tb.Helper()
	recorder := httptest.NewRecorder()
	r.api.ServeHTTP(recorder, q.http())
	return replyOf(tb, recorder.Result())
}

// do sends q to the API and holds the reply against the OpenAPI document.
func (r *registry) do(tb testing.TB, q call) reply {
	tb.Helper()
	response := r.send(tb, q)
	checkAgainstOpenAPI(tb, q, response)
	return response
}
