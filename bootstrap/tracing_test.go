package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// tracedServer is a server whose spans are recorded.
type tracedServer struct {
	*server
	*tracetest.SpanRecorder

	exported *lockedBuffer
}

func startTraced(t *testing.T, settings bootstrap.Settings) *tracedServer {
	t.Helper()
	s := &tracedServer{&server{log: &lockedBuffer{}}, tracetest.NewSpanRecorder(), &lockedBuffer{}}
	console, err := stdouttrace.New(stdouttrace.WithWriter(s.exported))
	require.NoError(t, err)
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(s.SpanRecorder), sdk.WithSyncer(console))
	app := fx.New(
		bootstrap.Server(settings, slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), bootstrap.ListenerEvents{
			Listening: func(a net.Addr) { s.url = "http://" + a.String() },
		}),
		fx.Supply(fx.Annotate(provider, fx.As(new(trace.TracerProvider)))),
	)
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Stop(context.Background())) })
	return s
}

// tree returns the trace of the last request to a route: each span under its parent, in
// the order of their names, with the statements' verbs in place of theirs.
func (s *tracedServer) tree(t *testing.T, name string) []string {
	t.Helper()
	var root sdk.ReadOnlySpan
	require.Eventually(t, func() bool { // The span ends after the answer is sent.
		for _, span := range s.Ended() {
			if span.Name() == name {
				root = span
			}
		}
		return root != nil
	}, 5*time.Second, time.Millisecond)
	var below func(parent sdk.ReadOnlySpan, indent string) []string
	below = func(parent sdk.ReadOnlySpan, indent string) []string {
		var lines []string
		for _, span := range s.Ended() {
			if span.Parent().SpanID() == parent.SpanContext().SpanID() {
				lines = append(lines, strings.Join(append([]string{indent + span.Name()}, below(span, indent+"  ")...), "\n"))
			}
		}
		slices.Sort(lines)
		return slices.Compact(lines)
	}
	return strings.Split(strings.Join(append([]string{root.Name()}, below(root, "  ")...), "\n"), "\n")
}

// root returns the span of the last request to a route.
func (s *tracedServer) root(t *testing.T, name string) map[string]string {
	t.Helper()
	s.tree(t, name)
	attributes := map[string]string{}
	for _, span := range s.Ended() {
		if span.Name() == name {
			clear(attributes)
			for _, a := range span.Attributes() {
				attributes[string(a.Key)] = a.Value.String()
			}
		}
	}
	return attributes
}

const exchangeSpan = "PUT " + tokensPath

func TestTheTraceOfAnExchangeShowsItsSteps(t *testing.T) {
	tests := []struct {
		name, database   string
		find, save, look []string
	}{
		{
			"SQLite", "sqlite:" + t.TempDir() + "/t.db",
			[]string{"    sql.conn.query", "    sql.rows"},
			[]string{"    sql.conn.begin_tx", "    sql.conn.prepare", "    sql.stmt.exec", "    sql.tx.commit"},
			[]string{"    sql.conn.query", "    sql.rows"},
		},
		{
			"PostgreSQL", postgrestest.NewDatabase(t),
			[]string{"    sql.conn.query", "    sql.rows"},
			[]string{"    sql.conn.query", "    sql.rows"},
			[]string{"    sql.conn.query", "    sql.rows"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ci := startIssuer(t)
			s := startTraced(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": tt.database}))
			s.configure(t, demoConfig)
			require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status, "the first pins the config")
			s.tree(t, exchangeSpan) // It has ended.
			s.Reset()
			issued := s.exchange(t, sign(t, ci, ci.GitHubClaims()))
			require.Equal(t, http.StatusOK, issued.status, issued.body)

			require.Equal(t, slices.Concat(
				[]string{exchangeSpan, "  find configs"}, tt.find, []string{"  save token"}, tt.save, []string{"  verify ID token"},
			), s.tree(t, exchangeSpan))
			require.Equal(t, map[string]string{
				"http.request.method": "PUT", "http.route": tokensPath, "http.response.status_code": "200",
				"trustpub.action": "exchange", "trustpub.protocol": "cratesio", "trustpub.provider": "github",
			}, s.root(t, exchangeSpan))
			require.Contains(t, s.exported.String(), `"Key":"trustpub.batch.size","Value":{"Type":"INT64","Value":1}`)

			token, _ := issued.member(t, "token").(string)
			s.introspect(t, token)
			require.Equal(t, slices.Concat([]string{"POST /oauth/introspect", "  find token"}, tt.look), s.tree(t, "POST /oauth/introspect"))
			require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, tokensPath, token, "", "").status)
			require.Contains(t, s.tree(t, "DELETE "+tokensPath), "  revoke token")
		})
	}
}

func TestTheTraceOfARefusalHasItsCodeAndStopsThere(t *testing.T) {
	ci := startIssuer(t)
	s := startTraced(t, settingsFor(t, ci, nil))

	require.Equal(t, "no_publisher", s.exchange(t, sign(t, ci, ci.GitHubClaims())).code(t))
	require.NotContains(t, s.tree(t, exchangeSpan), "  save token")
	require.Equal(t, "no_publisher", s.root(t, exchangeSpan)["trustpub.code"])
	require.Equal(t, "github", s.root(t, exchangeSpan)["trustpub.provider"])

	s.Reset()
	require.Equal(t, "malformed_jwt", s.exchange(t, "x").code(t))
	require.Equal(t, []string{exchangeSpan, "  verify ID token"}, s.tree(t, exchangeSpan))
	require.NotContains(t, s.root(t, exchangeSpan), "trustpub.provider", "nobody has verified it")
	for _, span := range s.Ended() {
		require.Equal(t, "Unset", span.Status().Code.String(), span.Name())
	}
}

func TestTheTraceOfAWebhookShowsWhatBecameOfTheToken(t *testing.T) {
	ci, github := startIssuer(t), startScanner(t)
	s := startTraced(t, settingsFor(t, ci, map[string]string{"TRUSTPUB_SECRET_SCANNING_KEYS_URL": github.keysURL}))
	s.configure(t, demoConfig)
	token, _ := s.exchange(t, sign(t, ci, ci.GitHubClaims())).member(t, "token").(string)

	require.Equal(t, []string{"true_positive"}, github.tell(t, s.server, token))

	require.Contains(t, s.tree(t, "POST "+scanningPath), "  revoke token")
	require.Equal(t, "revoke_leaked", s.root(t, "POST "+scanningPath)["trustpub.action"])
	require.NotContains(t, s.exported.String(), token)
}

func TestFetchesOfKeysAreTraced(t *testing.T) {
	ci := startIssuer(t)
	s := startTraced(t, settingsFor(t, ci, nil))
	at, err := url.Parse(ci.URL())
	require.NoError(t, err)

	require.Eventually(t, func() bool { return len(s.Ended()) > 1 && strings.Contains(s.exported.String(), at.Port()) }, 5*time.Second, time.Millisecond)
	require.NotContains(t, s.exported.String(), ".well-known")
}

func TestALineOfTheLogLeadsToItsTrace(t *testing.T) {
	ci := startIssuer(t)
	s := startTraced(t, settingsFor(t, ci, nil))
	s.configure(t, demoConfig)
	s.Reset()
	require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status)
	s.tree(t, exchangeSpan)
	var id string
	for _, span := range s.Ended() {
		if span.Name() == exchangeSpan {
			id = span.SpanContext().TraceID().String()
		}
	}

	seen := map[string]bool{}
	for line := range strings.Lines(s.log.String()) {
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &members))
		if members["trace_id"] == id {
			message, _ := members["msg"].(string)
			seen[message] = true
		}
	}
	require.Equal(t, map[string]bool{"audit": true, "request": true}, seen)
}

// A client may put its token wherever it likes.
func TestNoSpanHoldsWhatAClientSent(t *testing.T) {
	ci := startIssuer(t)
	s := startTraced(t, settingsFor(t, ci, map[string]string{"TRUSTPUB_PROTOCOLS": "cratesio,oauth,npm,pypi,rubygems"}))
	s.configure(t, demoConfig)
	idToken := sign(t, ci, ci.GitHubClaims())
	token, _ := s.exchange(t, idToken).member(t, "token").(string)
	refused := sign(t, ci, ci.GitHubClaims().With("workflow_ref", "octo-org/octo-repo/.github/workflows/hostile-file.yml@refs/heads/main"))
	send := func(method, path, contentType, body string) {
		request, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		require.NoError(t, err)
		for _, name := range []string{"Authorization", "User-Agent", "Cookie", "X-Request-Id", "X-Forwarded-For", "Tracestate", "Baggage", "Referer"} {
			request.Header.Set(name, "hostile-header")
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Cookie", "token="+token)
		request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		request.Header.Set("Tracestate", "v=hostile-state")
		request.Header.Set("Baggage", "token="+token)
		request.Header.Set("Content-Type", contentType)
		request.Host = "hostile-host"
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	send(http.MethodPut, tokensPath+"?token="+token, "application/json", `{"jwt":"`+idToken+`"}`)
	send(http.MethodPut, tokensPath, "application/json", `{"jwt":"`+refused+`"}`)
	send(http.MethodPut, tokensPath, "application/json", `{"jwt":"`+idToken+`","hostile-member":1}`)
	send(http.MethodGet, "/"+token+"/"+idToken, "", "")
	send(http.MethodGet, tokensPath+"/"+token, "", "")
	send(http.MethodDelete, configsPath+"/"+token, "", "")
	send(http.MethodPost, "/-/npm/v1/oidc/token/exchange/package/hostile-package", "application/json", "{}")
	send("HOSTILE-METHOD", tokensPath, "", "")
	send(http.MethodPost, "/oauth/introspect", "application/x-www-form-urlencoded", "token="+token)
	send(http.MethodPost, "/oauth/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"hostile-grant"}, "subject_token": {idToken}, "scope": {"hostile-scope"},
	}.Encode())
	send(http.MethodDelete, tokensPath, "", "")
	send(http.MethodPost, "/oauth/revoke", "application/x-www-form-urlencoded", "token="+token)
	s.tree(t, "POST /oauth/revoke")

	exported := s.exported.String()
	require.Contains(t, exported, `"Name":"HTTP `+tokensPath+`"`)
	require.Contains(t, exported, "0af7651916cd43dd8448eb211c80319c", "the link")
	require.NotContains(t, strings.ToLower(exported), "hostile")
	payload := strings.Split(idToken, ".")[1]
	for _, secret := range []string{idToken, payload, token, token[len(token)-20:], adminToken, registryToken, "octo-repo", "release.yml"} {
		require.NotContains(t, exported, secret)
	}
}

func TestAFaultOfTheDatabaseIsAFailedSpanWithoutItsText(t *testing.T) {
	recorder, out := tracetest.NewSpanRecorder(), &bytes.Buffer{}
	console, err := stdouttrace.New(stdouttrace.WithWriter(out))
	require.NoError(t, err)
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder), sdk.WithSyncer(console))
	ci := startIssuer(t)
	var api *httpapi.API
	app := hostApp(t, settingsFor(t, ci, nil), &api,
		fx.Supply(fx.Annotate(provider, fx.As(new(trace.TracerProvider)))),
		fx.Decorate(func() application.ConfigFinder { return failing{} }))
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Stop(context.Background())) })

	require.Equal(t, http.StatusServiceUnavailable, put(api, sign(t, ci, ci.GitHubClaims())).Code)

	failed := map[string]bool{}
	for _, span := range recorder.Ended() {
		failed[span.Name()] = span.Status().Code.String() == "Error"
	}
	require.True(t, failed[exchangeSpan])
	require.True(t, failed["find configs"])
	require.False(t, failed["verify ID token"])
	require.NotContains(t, out.String(), "hunter2")
}

// failing is a host's store that is down.
type failing struct{}

func (failing) FindConfigs(context.Context, domain.Claims) ([]domain.Config, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "hunter2"}}
}

// hostApp is the application of a host that embeds trustpub.
func hostApp(t *testing.T, settings bootstrap.Settings, api **httpapi.API, options ...fx.Option) *fx.App {
	t.Helper()
	app := fx.New(fx.NopLogger, fx.Supply(slog.New(slog.DiscardHandler)),
		bootstrap.ProvideStore(memory.New), bootstrap.Module(settings), fx.Options(options...), fx.Populate(api))
	require.NoError(t, app.Err())
	return app
}

func put(handler http.Handler, idToken string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPut, tokensPath, strings.NewReader(`{"jwt":"`+idToken+`"}`))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

func TestAHostsOwnProviderMakesTheSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	var api *httpapi.API
	hostApp(t, settingsFor(t, nil, nil), &api, fx.Provide(func() trace.TracerProvider {
		return sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	}))

	put(api, "x.y.z")

	require.Len(t, recorder.Ended(), 2)
	require.Equal(t, "verify ID token", recorder.Ended()[0].Name())
	require.Equal(t, exchangeSpan, recorder.Ended()[1].Name())
}

// The variables may be those of the host's own SDK.
func TestTheModuleMakesNoExporterWhateverTheEnvironmentSays(t *testing.T) {
	var called bool
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	t.Cleanup(collector.Close)
	for _, name := range []string{"otlp", "a name that is none"} {
		t.Setenv("OTEL_TRACES_EXPORTER", name)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
		var api *httpapi.API
		app := hostApp(t, settingsFor(t, nil, bootstrap.Environment()), &api)
		require.NoError(t, app.Start(t.Context()))
		put(api, "x.y.z")
		require.NoError(t, app.Stop(t.Context()))
	}
	require.False(t, called)
}
