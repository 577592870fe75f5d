// Package tracing makes OpenTelemetry spans of what trustpub does: of requests, of the
// ports that an exchange goes through, of fetches and of database statements. It has no
// global state: the spans are those of a TracerProvider that it is given. Package
// exporter, beside it, makes one that sends spans to a collector.
//
// No span holds a secret or a text of a client. Of a request there is the method, the
// pattern of the route, and the status; of an error its code, and never its text.
package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trustpub/trustpub/domain"
)

// scope names the instrumentation, as OpenTelemetry asks for.
const scope = "github.com/trustpub/trustpub"

// What spans say beyond the semantic conventions. The values of each are few.
const (
	keyAction    = attribute.Key("trustpub.action")
	keyBatchSize = attribute.Key("trustpub.batch.size")
	keyCode      = attribute.Key("trustpub.code")
	keyOutdated  = attribute.Key("trustpub.configs.outdated")
	keyProtocol  = attribute.Key("trustpub.protocol")
	keyProvider  = attribute.Key("trustpub.provider")
)

// Config holds what a [Tracing] needs.
type Config struct {
	// Provider makes the spans. It is required.
	Provider trace.TracerProvider
	// Propagator reads from the headers of a request which trace of its client it is part
	// of. Nil reads those of W3C Trace Context.
	Propagator propagation.TextMapPropagator
}

// Tracing traces what it is put in front of. It is safe for concurrent use.
//
// nil is no tracing: its methods return what they are given, so that nothing stands
// between where nobody asked for traces.
type Tracing struct {
	provider   trace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// New checks cfg and returns the tracing.
func New(cfg Config) (*Tracing, error) {
	if cfg.Provider == nil {
		return nil, errors.New("tracing: the provider of tracers is missing")
	}
	if cfg.Propagator == nil {
		cfg.Propagator = propagation.TraceContext{}
	}
	return &Tracing{
		provider:   cfg.Provider,
		tracer:     cfg.Provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: cfg.Propagator,
	}, nil
}

// ObserveBatch says of the span in ctx how many calls share the statement that is about
// to be executed for it. Whose trace shows the statement is chance: it is one of them.
func (t *Tracing) ObserveBatch(ctx context.Context, _ string, size int) {
	if t != nil {
		trace.SpanFromContext(ctx).SetAttributes(keyBatchSize.Int(size))
	}
}

// end ends the span of a call that returned err.
func end(span trace.Span, err error) {
	if err != nil {
		setError(span, err)
	}
	span.End()
}

// setError says of a span what went wrong: the code, and that the span failed where the
// fault is ours. The text may hold what a client sent, so it stays out.
func setError(span trace.Span, err error) {
	refusal, coded := errors.AsType[*domain.Error](err)
	if coded {
		span.SetAttributes(keyCode.String(string(refusal.Code)))
		if !isOurs(refusal.Kind) {
			return
		}
	}
	span.SetStatus(codes.Error, "")
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
}

// isOurs reports whether a failure is that of the server or of what it stands on.
func isOurs(kind domain.Kind) bool {
	switch kind {
	case domain.KindInternal, domain.KindUnavailable:
		return true
	case domain.KindInvalid, domain.KindRefused, domain.KindUnauthenticated,
		domain.KindForbidden, domain.KindNotFound, domain.KindConflict, domain.KindLimited:
	}
	return false
}

// errorType returns what sort of error it is, one of few.
func errorType(err error) string {
	if refusal, ok := errors.AsType[*domain.Error](err); ok {
		return string(refusal.Code)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return semconv.ErrorTypeOther.Value.AsString()
}
