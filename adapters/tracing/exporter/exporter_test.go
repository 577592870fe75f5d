package exporter_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trustpub/trustpub/adapters/tracing/exporter"
)

const credential = "credential-0123456789"

// collector takes spans by OTLP.
type collector struct {
	url *url.URL
	// status answers an attempt, counted from 1.
	status func(w http.ResponseWriter, attempt int64)

	attempts atomic.Int64
	mu       sync.Mutex
	names    []string
	service  string
	header   http.Header
}

func startCollector(t *testing.T, status func(w http.ResponseWriter, attempt int64)) *collector {
	t.Helper()
	c := &collector{status: status}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	var err error
	c.url, err = url.Parse(server.URL + "/v1/traces?key=" + credential)
	require.NoError(t, err)
	return c
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var reader io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		reader, _ = gzip.NewReader(r.Body)
	}
	body, _ := io.ReadAll(reader)
	var sent tracepb.TracesData
	if r.Header.Get("Content-Type") != "application/x-protobuf" || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	attempt := c.attempts.Add(1)
	c.mu.Lock()
	c.header = r.Header.Clone()
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				c.service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.names = append(c.names, span.GetName())
			}
		}
	}
	c.mu.Unlock()
	if c.status != nil {
		c.status(w, attempt)
	}
}

// log is what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newProvider(t *testing.T, otlp exporter.OTLP, change ...func(*exporter.Config)) (*exporter.Provider, *log) {
	t.Helper()
	lines := &log{}
	cfg := exporter.Config{
		OTLP: &otlp, Resource: []attribute.KeyValue{attribute.String("service.name", "the-service")},
		Logger: slog.New(slog.NewTextHandler(lines, nil)), Now: time.Now,
	}
	for _, f := range change {
		f(&cfg)
	}
	p, err := exporter.New(t.Context(), cfg)
	require.NoError(t, err)
	return p, lines
}

// span makes a span of that name.
func span(p *exporter.Provider, name string) {
	_, s := p.Tracer("test").Start(context.Background(), name)
	s.End()
}

func TestSpansAreSentWithTheirResourceAndTheHeader(t *testing.T) {
	t.Parallel()
	for _, compressed := range []bool{false, true} {
		c := startCollector(t, nil)
		p, lines := newProvider(t, exporter.OTLP{URL: c.url, Header: http.Header{"Api-Key": {credential}}, Gzip: compressed})
		span(p, "first")
		span(p, "second")

		p.Close(t.Context())

		require.Equal(t, []string{"first", "second"}, c.names)
		require.Equal(t, "the-service", c.service)
		require.Equal(t, credential, c.header.Get("Api-Key"))
		require.Equal(t, compressed, c.header.Get("Content-Encoding") == "gzip")
		require.Empty(t, lines.String())
	}
}

func TestABatchIsSentAgainWhereThatMayHelp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		status   int
		header   string
		attempts int64
	}{
		{"too many requests", http.StatusTooManyRequests, "1", 2},
		{"unavailable", http.StatusServiceUnavailable, "", 2},
		{"unavailable, with a date", http.StatusServiceUnavailable, "Wed, 21 Oct 2026 07:28:00 GMT", 2},
		{"bad gateway", http.StatusBadGateway, "", 2},
		{"gateway timeout", http.StatusGatewayTimeout, "", 2},
		{"bad request", http.StatusBadRequest, "", 1},
		{"unauthorized", http.StatusUnauthorized, "", 1},
		{"not found", http.StatusNotFound, "", 1},
		{"a fault", http.StatusInternalServerError, "", 1},
		{"a redirect", http.StatusTemporaryRedirect, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := startCollector(t, func(w http.ResponseWriter, attempt int64) {
				if attempt == 1 {
					w.Header().Set("Retry-After", tt.header)
					w.Header().Set("Location", "/v1/traces")
					w.WriteHeader(tt.status)
				}
			})
			p, lines := newProvider(t, exporter.OTLP{URL: c.url})
			span(p, "the-span")

			_ = p.ForceFlush(t.Context())

			require.Equal(t, tt.attempts, c.attempts.Load())
			if tt.attempts > 1 {
				require.Empty(t, lines.String())
			} else {
				require.Contains(t, lines.String(), "lost=1")
				require.NotContains(t, lines.String(), credential)
			}
			p.Close(t.Context())
		})
	}
}

func TestACollectorThatIsDownCostsSpansAndNoTime(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	target := &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/" + credential, RawQuery: credential}
	p, lines := newProvider(t, exporter.OTLP{URL: target})
	span(p, "the-span")

	began := time.Now()
	p.Close(t.Context())

	require.Less(t, time.Since(began), 2*time.Second, "at the end it is tried once")
	require.Contains(t, lines.String(), "lost=1")
	require.NotContains(t, lines.String(), credential)
}

func TestACollectorThatHangsIsGivenUpAtTheEnd(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := startCollector(t, func(http.ResponseWriter, int64) { <-release })
	t.Cleanup(func() { close(release) })
	p, lines := newProvider(t, exporter.OTLP{URL: c.url}, func(cfg *exporter.Config) {
		cfg.Batch = exporter.Batch{Queue: 8, Size: 4, Delay: time.Millisecond}
	})

	began := time.Now()
	for range 1000 {
		span(p, "the-span")
	}
	require.Less(t, time.Since(began), time.Second, "who makes spans does not wait")
	began = time.Now()
	p.Close(t.Context())
	require.Less(t, time.Since(began), 4*time.Second)
	require.Contains(t, lines.String(), "could not be sent")
	span(p, "after the end")
}

func TestTheSendingOfABatchHasItsTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := startCollector(t, func(http.ResponseWriter, int64) { <-release })
	t.Cleanup(func() { close(release) })
	p, lines := newProvider(t, exporter.OTLP{URL: c.url, Timeout: 50 * time.Millisecond})
	span(p, "the-span")

	require.NoError(t, p.ForceFlush(t.Context()))

	require.Contains(t, lines.String(), "lost=1")
	p.Close(t.Context())
}

func TestFailuresAreLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	c := startCollector(t, func(w http.ResponseWriter, _ int64) { w.WriteHeader(http.StatusForbidden) })
	var mu sync.Mutex
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	p, lines := newProvider(t, exporter.OTLP{URL: c.url}, func(cfg *exporter.Config) {
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	fail := func(n int) {
		for range n {
			span(p, "the-span")
			require.NoError(t, p.ForceFlush(t.Context()))
		}
	}

	fail(5)
	require.Equal(t, 1, strings.Count(lines.String(), "\n"))
	require.Contains(t, lines.String(), "lost=1 error=\"traces export: the collector answered with status 403\"")
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	fail(2)
	require.Equal(t, 2, strings.Count(lines.String(), "\n"))
	require.Contains(t, lines.String(), "lost=5")
	p.Close(t.Context())
}

func TestSpansAreWrittenAsLinesOfJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, _ := newProvider(t, exporter.OTLP{}, func(cfg *exporter.Config) { cfg.OTLP, cfg.Console = nil, &out })
	span(p, "the-span")
	p.Close(t.Context())

	require.Contains(t, out.String(), `"Name":"the-span"`)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}

func TestWhatIsNotSampledIsNotSent(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	p, _ := newProvider(t, exporter.OTLP{URL: c.url}, func(cfg *exporter.Config) { cfg.Sampler = sdk.NeverSample() })
	span(p, "the-span")
	p.Close(t.Context())

	require.Zero(t, c.attempts.Load())
}

func TestAPanicLeavesNothingInItsSpan(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, _ := newProvider(t, exporter.OTLP{}, func(cfg *exporter.Config) { cfg.OTLP, cfg.Console = nil, &out })
	require.Panics(t, func() {
		_, s := p.Tracer("test").Start(t.Context(), "the-span")
		defer s.End()
		panic(errors.New(credential))
	})
	p.Close(t.Context())

	require.Contains(t, out.String(), "the-span")
	require.NotContains(t, out.String(), credential)
}

func TestAProviderNeedsALoggerAClockAndOneExporter(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	target := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	for _, cfg := range []exporter.Config{
		{},
		{OTLP: &exporter.OTLP{URL: target}, Now: time.Now},
		{OTLP: &exporter.OTLP{URL: target}, Logger: logger},
		{Logger: logger, Now: time.Now},
		{OTLP: &exporter.OTLP{}, Logger: logger, Now: time.Now},
		{OTLP: &exporter.OTLP{URL: target}, Console: io.Discard, Logger: logger, Now: time.Now},
	} {
		_, err := exporter.New(t.Context(), cfg)
		require.Error(t, err)
	}
}
