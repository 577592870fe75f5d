// Package exporter makes the spans of package tracing, and sends them to a collector. It
// reads no environment and sets nothing global: not the provider, and not the handler of
// errors. What goes wrong goes to a logger, and never to who makes spans: a collector that
// is down, slow or hangs costs spans and nothing else.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// flushTimeout bounds the sending of what is left at the end.
	flushTimeout = 3 * time.Second
	// reportInterval is how often at most a failure is logged.
	reportInterval = time.Minute
)

// Config holds what a [Provider] needs. Logger and Now are required, and one of OTLP and
// Console.
type Config struct {
	// OTLP is where spans are sent. Nil sends none.
	OTLP *OTLP
	// Console has spans written to it as lines of JSON. Nil writes none.
	Console io.Writer
	// Sampler decides which traces are recorded. Nil records all.
	Sampler sdk.Sampler
	// Batch says how many spans go together.
	Batch Batch
	// Resource says whose the spans are.
	Resource []attribute.KeyValue
	// Logger is told of spans that could not be sent.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Batch says how many spans go together. Zeros are the SDK's defaults.
type Batch struct {
	// Delay is how long a span waits for others. Zero is 5 s.
	Delay time.Duration
	// Timeout bounds the sending of a batch. Zero is 30 s.
	Timeout time.Duration
	// Queue is how many spans wait to be sent; more are dropped. Zero is 2048.
	Queue int
	// Size is the most spans of a batch. Zero is 512.
	Size int
}

// Provider makes spans that are sent in the background. It is safe for concurrent use.
type Provider struct {
	*sdk.TracerProvider

	client *client
	logger *slog.Logger
}

// New checks cfg and returns the provider. Nothing is contacted before there are spans.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("exporter: Logger and Now are missing")
	}
	p := &Provider{logger: cfg.Logger}
	next, err := p.exporter(ctx, cfg)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(cfg.Resource...))
	if err != nil {
		return nil, fmt.Errorf("exporter: describe the resource: %w", err)
	}
	sampler := cfg.Sampler
	if sampler == nil {
		sampler = sdk.AlwaysSample()
	}
	p.TracerProvider = sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSampler(sampler),
		sdk.WithBatcher(&reporting{next: next, logger: cfg.Logger, now: cfg.Now}, cfg.Batch.options()...),
		// The value of a panic may hold anything.
		sdk.WithoutPanicRecording(),
	)
	return p, nil
}

func (p *Provider) exporter(ctx context.Context, cfg Config) (sdk.SpanExporter, error) {
	switch {
	case cfg.OTLP != nil && cfg.Console == nil:
		var err error
		p.client, err = newClient(*cfg.OTLP)
		if err != nil {
			return nil, err
		}
		return otlptrace.New(ctx, p.client)
	case cfg.OTLP == nil && cfg.Console != nil:
		return stdouttrace.New(stdouttrace.WithWriter(cfg.Console))
	}
	return nil, errors.New("exporter: set one of OTLP and Console")
}

func (b Batch) options() []sdk.BatchSpanProcessorOption {
	var options []sdk.BatchSpanProcessorOption
	if b.Delay > 0 {
		options = append(options, sdk.WithBatchTimeout(b.Delay))
	}
	if b.Timeout > 0 {
		options = append(options, sdk.WithExportTimeout(b.Timeout))
	}
	if b.Queue > 0 {
		options = append(options, sdk.WithMaxQueueSize(b.Queue))
	}
	if b.Size > 0 {
		options = append(options, sdk.WithMaxExportBatchSize(b.Size))
	}
	return options
}

// Close sends what is left, for 3 s at most, and ends the provider. What could not be sent
// by then is lost, which is logged. No span is made afterwards.
func (p *Provider) Close(ctx context.Context) {
	flush, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if p.client != nil {
		p.client.close()
		defer p.client.abort()
	}
	err := p.Shutdown(flush)
	if err != nil {
		p.logger.WarnContext(ctx, "the last spans could not be sent in time", slog.Any("error", err))
	}
}

// reporting keeps errors from the SDK, whose handler of them is global and writes to
// standard error, and logs one a minute instead.
type reporting struct {
	next   sdk.SpanExporter
	logger *slog.Logger
	now    func() time.Time

	mu       sync.Mutex
	reported time.Time // When an error was logged last.
	lost     int       // Spans since then.
}

// ExportSpans implements sdk.SpanExporter.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.next.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += len(spans)
	now := r.now()
	if !r.reported.IsZero() && now.Sub(r.reported) < reportInterval {
		return nil
	}
	r.logger.WarnContext(ctx, "spans could not be sent", slog.Int("lost", r.lost), slog.Any("error", err))
	r.reported, r.lost = now, 0
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (r *reporting) Shutdown(ctx context.Context) error { return r.next.Shutdown(ctx) }
