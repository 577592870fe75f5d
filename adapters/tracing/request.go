package tracing

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Request begins the span of a request that came over HTTP, and returns its context and
// the func that ends it with the status, 0 where there is none, and the code of an error.
// The method must be a known one or OTHER, and the route a pattern.
//
// The span is the root of a trace of our own, whatever trace the client says that it is
// part of, and the sampler decides on it as on any other: who may call a public server
// could otherwise have all of its requests recorded, or mix his into a trace that is not
// his. The client's trace is linked to, by its IDs alone: its state and its baggage are
// free text. Where a host has begun a span for the request in this process, it goes on
// with that one: what the client's trace is worth is then the host's to say.
func (t *Tracing) Request(ctx context.Context, method, route string, header http.Header) (context.Context, func(status int, code domain.Code)) {
	attributes := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(method)}
	name := method
	if method == "OTHER" {
		// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#name
		attributes[0], name = semconv.HTTPRequestMethodOther, "HTTP"
	}
	if route != "" {
		attributes = append(attributes, semconv.HTTPRoute(route))
		name += " " + route
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...)}
	if hosts := trace.SpanContextFromContext(ctx); !hosts.IsValid() || hosts.IsRemote() {
		options = append(options, trace.WithNewRoot())
		if theirs := t.clientsTrace(header); theirs.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: theirs}))
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	if span.SpanContext().IsSampled() {
		ctx = application.WithTraceID(ctx, span.SpanContext().TraceID().String())
	}
	return ctx, func(status int, code domain.Code) { endRequest(span, status, code) }
}

// clientsTrace returns which trace the headers name, without its state.
func (t *Tracing) clientsTrace(header http.Header) trace.SpanContext {
	ctx := t.propagator.Extract(context.Background(), propagation.HeaderCarrier(header))
	return trace.SpanContextFromContext(ctx).WithTraceState(trace.TraceState{})
}

func endRequest(span trace.Span, status int, code domain.Code) {
	if code != "" {
		span.SetAttributes(keyCode.String(string(code)))
	}
	failure := ""
	switch {
	case status == 0:
		failure = "aborted"
	case status >= http.StatusInternalServerError:
		failure = strconv.Itoa(status)
	}
	if status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if failure != "" {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(failure))
	}
	span.End()
}
