package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

const (
	hostile     = "hostile-0123456789"
	theirTrace  = "0af7651916cd43dd8448eb211c80319c"
	theirSpan   = "b7ad6b7169203331"
	traceparent = "00-" + theirTrace + "-" + theirSpan + "-01"
)

// recorder records spans, and all that an exporter would write of them.
type recorder struct {
	*tracetest.SpanRecorder

	out      bytes.Buffer
	provider *sdk.TracerProvider
}

func newRecorder(t *testing.T, options ...sdk.TracerProviderOption) *recorder {
	t.Helper()
	r := &recorder{SpanRecorder: tracetest.NewSpanRecorder()}
	console, err := stdouttrace.New(stdouttrace.WithWriter(&r.out))
	require.NoError(t, err)
	r.provider = sdk.NewTracerProvider(append(options, sdk.WithSpanProcessor(r.SpanRecorder), sdk.WithSyncer(console))...)
	return r
}

func (r *recorder) tracing(t *testing.T) *tracing.Tracing {
	t.Helper()
	traces, err := tracing.New(tracing.Config{Provider: r.provider})
	require.NoError(t, err)
	return traces
}

// one returns the only span.
func (r *recorder) one(t *testing.T) sdk.ReadOnlySpan {
	t.Helper()
	require.Len(t, r.Ended(), 1)
	return r.Ended()[0]
}

// attributes returns those of a span as text.
func attributes(span sdk.ReadOnlySpan) map[string]string {
	texts := map[string]string{}
	for _, a := range span.Attributes() {
		texts[string(a.Key)] = a.Value.String()
	}
	return texts
}

func TestATracingNeedsAProvider(t *testing.T) {
	t.Parallel()
	_, err := tracing.New(tracing.Config{Propagator: propagation.TraceContext{}})
	require.Error(t, err)
}

func TestWithoutTracingNothingStandsBetween(t *testing.T) {
	t.Parallel()
	var off *tracing.Tracing
	store := memory.New()
	verifier, owners, audit, transport := &fake{}, &fake{}, &fake{}, http.NewFileTransport(http.Dir("."))

	require.Same(t, verifier, off.Verifier(verifier))
	require.Same(t, store, off.ConfigFinder(store))
	require.Same(t, store, off.TokenStore(store))
	require.Same(t, store, off.ExpiredRemover(store))
	require.Same(t, owners, off.OwnerLookup(owners))
	require.Same(t, audit, off.Auditor(audit))
	require.Equal(t, transport, off.Transport(transport))
	require.NotPanics(t, func() { off.ObserveBatch(t.Context(), "save_token", 2) })
}

func TestARequestIsARootWithItsRoute(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, route string
		status              int
		code                domain.Code
		want                string
		failed              bool
		attributes          map[string]string
	}{
		{"a success", "PUT", "/tokens/:id", 200, "", "PUT /tokens/:id", false, map[string]string{"http.request.method": "PUT", "http.route": "/tokens/:id", "http.response.status_code": "200"}},
		{"a refusal", "PUT", "/tokens", 400, domain.CodeExpired, "PUT /tokens", false, map[string]string{"http.request.method": "PUT", "http.route": "/tokens", "http.response.status_code": "400", "trustpub.code": "expired"}},
		{"a fault of ours", "PUT", "/tokens", 503, domain.CodeStoreUnavailable, "PUT /tokens", true, map[string]string{"http.request.method": "PUT", "http.route": "/tokens", "http.response.status_code": "503", "trustpub.code": "store_unavailable", "error.type": "503"}},
		{"no route", "GET", "", 404, domain.CodeNotFound, "GET", false, map[string]string{"http.request.method": "GET", "http.response.status_code": "404", "trustpub.code": "not_found"}},
		{"a method that is none", "OTHER", "/tokens", 405, "", "HTTP /tokens", false, map[string]string{"http.request.method": "_OTHER", "http.route": "/tokens", "http.response.status_code": "405"}},
		{"broken off", "GET", "/tokens", 0, "", "GET /tokens", true, map[string]string{"http.request.method": "GET", "http.route": "/tokens", "error.type": "aborted"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			_, end := r.tracing(t).Request(t.Context(), tt.method, tt.route, http.Header{})
			end(tt.status, tt.code)

			span := r.one(t)
			require.Equal(t, tt.want, span.Name())
			require.Equal(t, trace.SpanKindServer, span.SpanKind())
			require.Equal(t, tt.failed, span.Status().Code == codes.Error)
			require.Empty(t, span.Status().Description)
			require.Equal(t, tt.attributes, attributes(span))
			require.Empty(t, span.Links())
		})
	}
}

func TestAClientsTraceIsLinkedToAndNeverGoneOnWith(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header http.Header
		linked bool
	}{
		{"none", http.Header{}, false},
		{"one", http.Header{"Traceparent": {traceparent}}, true},
		{"one that is not sampled", http.Header{"Traceparent": {traceparent[:53] + "00"}}, true},
		{"one with a state and baggage", http.Header{"Traceparent": {traceparent}, "Tracestate": {"v=" + hostile}, "Baggage": {"token=" + hostile}}, true},
		{"a state alone", http.Header{"Tracestate": {"v=" + hostile}}, false},
		{"an ID of zeros", http.Header{"Traceparent": {"00-" + strings.Repeat("0", 32) + "-" + theirSpan + "-01"}}, false},
		{"no hex", http.Header{"Traceparent": {"00-" + strings.Repeat("x", 32) + "-" + theirSpan + "-01"}}, false},
		{"anything", http.Header{"Traceparent": {hostile}}, false},
		{"another format", http.Header{"B3": {theirTrace + "-" + theirSpan + "-1"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			ctx, end := r.tracing(t).Request(t.Context(), "GET", "/", tt.header)
			end(200, "")

			span := r.one(t)
			require.False(t, span.Parent().IsValid())
			require.NotEqual(t, theirTrace, span.SpanContext().TraceID().String())
			require.Equal(t, span.SpanContext().TraceID().String(), application.TraceID(ctx))
			require.Empty(t, span.SpanContext().TraceState().String())
			if tt.linked {
				require.Len(t, span.Links(), 1)
				require.Equal(t, theirTrace, span.Links()[0].SpanContext.TraceID().String())
				require.Equal(t, theirSpan, span.Links()[0].SpanContext.SpanID().String())
			} else {
				require.Empty(t, span.Links())
			}
			require.NotContains(t, r.out.String(), hostile)
		})
	}
}

func TestASpanOfTheHostIsGoneOnWithUnlessItIsRemote(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	ctx, hosts := r.provider.Tracer("host").Start(t.Context(), "host")
	_, end := r.tracing(t).Request(ctx, "GET", "/", http.Header{"Traceparent": {traceparent}})
	end(200, "")

	span := r.one(t)
	require.Equal(t, hosts.SpanContext().SpanID(), span.Parent().SpanID())
	require.Empty(t, span.Links())

	ctx = propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": traceparent})
	_, end = r.tracing(t).Request(ctx, "GET", "/", http.Header{})
	end(200, "")
	require.False(t, r.Ended()[1].Parent().IsValid())
	require.NotEqual(t, theirTrace, r.Ended()[1].SpanContext().TraceID().String())
}

func TestAClientCanNotHaveItsRequestsRecorded(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, sdk.WithSampler(sdk.ParentBased(sdk.NeverSample(), sdk.WithRemoteParentSampled(sdk.AlwaysSample()))))
	ctx, end := r.tracing(t).Request(t.Context(), "GET", "/", http.Header{"Traceparent": {traceparent}})
	end(200, "")

	require.Empty(t, r.Ended())
	require.Empty(t, application.TraceID(ctx), "the trace is nowhere to be found")
}

func TestWithoutAPropagatorNoHeaderIsRead(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	traces, err := tracing.New(tracing.Config{Provider: r.provider, Propagator: propagation.NewCompositeTextMapPropagator()})
	require.NoError(t, err)
	_, end := traces.Request(t.Context(), "GET", "/", http.Header{"Traceparent": {traceparent}})
	end(200, "")

	require.Empty(t, r.one(t).Links())
}

// fake answers every port with claims and err.
type fake struct {
	claims domain.Claims
	err    error
	events int
	*memory.Store
}

func (f *fake) Verify(context.Context, string) (domain.Claims, error) { return f.claims, f.err }

func (f *fake) FindConfigs(context.Context, domain.Claims) ([]domain.Config, error) {
	return nil, f.err
}

func (f *fake) SaveToken(context.Context, domain.AccessToken, domain.UsedJTI, []domain.Pin) error {
	return f.err
}

func (f *fake) RecallConfigs(domain.Claims) (application.Recalled, bool) {
	return application.Recalled{}, false
}

func (f *fake) SaveRecalled(context.Context, domain.AccessToken, domain.Claims, application.Recalled) error {
	return f.err
}

func (f *fake) FindToken(context.Context, domain.TokenHash) (domain.AccessToken, error) {
	return domain.AccessToken{}, f.err
}

func (f *fake) RevokeToken(context.Context, domain.TokenHash, time.Time) (bool, error) {
	return f.err == nil, f.err
}

func (f *fake) RemoveExpired(context.Context, time.Time, int) (int, error) { return 0, f.err }

func (f *fake) OwnerID(context.Context, string, string) (int64, error) { return 1, f.err }

func (f *fake) Record(context.Context, application.Event) { f.events++ }

// calls calls each port once.
func calls(traces *tracing.Tracing, f *fake) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"verify ID token": func(ctx context.Context) error {
			_, err := traces.Verifier(f).Verify(ctx, hostile)
			return err
		},
		"find configs": func(ctx context.Context) error {
			_, err := traces.ConfigFinder(f).FindConfigs(ctx, f.claims)
			return err
		},
		"save token": func(ctx context.Context) error {
			return traces.TokenStore(f).SaveToken(ctx, domain.AccessToken{}, domain.UsedJTI{ID: hostile}, nil)
		},
		"find token": func(ctx context.Context) error {
			_, err := traces.TokenStore(f).FindToken(ctx, domain.TokenHash{})
			return err
		},
		"revoke token": func(ctx context.Context) error {
			_, err := traces.TokenStore(f).RevokeToken(ctx, domain.TokenHash{}, time.Time{})
			return err
		},
		"remove expired rows": func(ctx context.Context) error {
			_, err := traces.ExpiredRemover(f).RemoveExpired(ctx, time.Time{}, 1)
			return err
		},
		"look up owner ID": func(ctx context.Context) error {
			_, err := traces.OwnerLookup(f).OwnerID(ctx, hostile, hostile)
			return err
		},
	}
}

func TestEveryPortHasASpanThatSaysHowItEndedAndNoText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		code   string
		sort   string
		failed bool
	}{
		{"done", nil, "", "", false},
		{"a refusal", domain.Refuse(domain.CodeWrongAudience, "%s", hostile), "wrong_audience", "", false},
		{"nothing found", &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: hostile}, "not_found", "", false},
		{"too many", domain.Limited(time.Second, "%s", hostile), "rate_limited", "", false},
		{"an issuer that is down", domain.Unavailable(domain.CodeKeysUnavailable, errors.New(hostile), "%s", hostile), "keys_unavailable", "keys_unavailable", true},
		{"an error of another", errors.New(hostile), "", "_OTHER", true},
		{"the end of its time", errors.Join(errors.New(hostile), context.DeadlineExceeded), "", "timeout", true},
		{"a client that has gone", context.Canceled, "", "canceled", true},
	}
	for _, tt := range tests {
		for name := range calls(nil, &fake{}) {
			t.Run(tt.name+": "+name, func(t *testing.T) {
				t.Parallel()
				r := newRecorder(t)
				f := &fake{claims: trustpubtest.NewClaims(t), err: tt.err}
				ctx, parent := r.provider.Tracer("test").Start(t.Context(), "parent")

				require.Equal(t, tt.err, calls(r.tracing(t), f)[name](ctx))

				span := r.one(t)
				require.Equal(t, name, span.Name())
				require.Equal(t, parent.SpanContext().SpanID(), span.Parent().SpanID())
				require.Equal(t, tt.failed, span.Status().Code == codes.Error)
				require.Empty(t, span.Events())
				require.Equal(t, tt.code, attributes(span)["trustpub.code"])
				require.Equal(t, tt.sort, attributes(span)["error.type"])
				require.NotContains(t, r.out.String(), hostile)
				require.NotContains(t, r.out.String(), f.claims.Subject())
				require.NotContains(t, r.out.String(), f.claims.JWTID())
			})
		}
	}
}

func TestAVerifierIsTracedOnce(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	traces := r.tracing(t)
	f := &fake{claims: trustpubtest.NewClaims(t)}

	_, err := traces.Verifier(traces.Verifier(f)).Verify(t.Context(), hostile)

	require.NoError(t, err)
	require.Equal(t, "github", attributes(r.one(t))["trustpub.provider"])
}

func TestAnEventOfTheAuditRecordDescribesTheRequest(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	f := &fake{}
	ctx, end := r.tracing(t).Request(t.Context(), "PUT", "/", http.Header{})
	r.tracing(t).Auditor(f).Record(ctx, application.Event{
		Action: application.ActionExchange, Protocol: "npm", Claims: trustpubtest.NewClaims(t),
		Actor: hostile, TokenHash: hostile, LeakSource: hostile, Err: errors.New(hostile),
	})
	end(200, "")

	require.Equal(t, 1, f.events)
	got := attributes(r.one(t))
	require.Equal(t, "exchange", got["trustpub.action"])
	require.Equal(t, "npm", got["trustpub.protocol"])
	require.Equal(t, "github", got["trustpub.provider"])
	require.NotContains(t, r.out.String(), hostile)

	require.NotPanics(t, func() { r.tracing(t).Auditor(f).Record(t.Context(), application.Event{}) }, "without a request")
}

func TestABatchIsToldOfTheCallWhoseValuesItHas(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	ctx, span := r.provider.Tracer("test").Start(t.Context(), "save token")
	r.tracing(t).ObserveBatch(ctx, "save_token", 7)
	span.End()

	require.Contains(t, r.one(t).Attributes(), attribute.Int("trustpub.batch.size", 7))
}

func TestATokenThatIsSavedOnWhatIsRememberedHasTheSpanOfOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		err      error
		code     string
		outdated string
	}{
		{"saved", nil, "", ""},
		{"refused", domain.AlreadyUsed(), "already_used", ""},
		{"outdated", application.ErrOutdated, "", "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			m := r.tracing(t).ConfigMemory(&fake{err: tt.err})

			_, ok := m.RecallConfigs(trustpubtest.NewClaims(t))
			require.False(t, ok)
			require.Equal(t, tt.err, m.SaveRecalled(t.Context(), domain.AccessToken{}, trustpubtest.NewClaims(t), application.Recalled{State: hostile}))

			span := r.one(t)
			require.Equal(t, "save token", span.Name())
			require.Equal(t, tt.code, attributes(span)["trustpub.code"])
			require.Equal(t, tt.outdated, attributes(span)["trustpub.configs.outdated"])
			require.NotEqual(t, codes.Error, span.Status().Code)
			require.NotContains(t, r.out.String(), hostile)
		})
	}
}
