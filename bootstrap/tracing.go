package bootstrap

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/remotekeys"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/adapters/tracing/exporter"
	"github.com/trustpub/trustpub/application"
)

// tracingParams are what a host supplies for traces, or [Server] where it was asked to.
type tracingParams struct {
	fx.In

	Provider   trace.TracerProvider          `optional:"true"`
	Propagator propagation.TextMapPropagator `optional:"true"`
}

// newTracing returns nil, which traces nothing, where nobody supplied a provider.
func newTracing(p tracingParams) (*tracing.Tracing, error) {
	if p.Provider == nil {
		return nil, nil //nolint:nilnil // See above.
	}
	return tracing.New(tracing.Config{Provider: p.Provider, Propagator: p.Propagator})
}

// traced puts the spans in front of ports, whatever the host has put there. Those that
// a store implements get theirs where services are made of them.
func traced() fx.Option {
	return fx.Decorate(
		func(next application.Verifier, t *tracing.Tracing) application.Verifier { return t.Verifier(next) },
		tracedVerifiers,
		func(next application.ExpiredRemover, t *tracing.Tracing) application.ExpiredRemover {
			return t.ExpiredRemover(next)
		},
		func(next application.OwnerLookup, t *tracing.Tracing) application.OwnerLookup {
			return t.OwnerLookup(next)
		},
	)
}

func tracedVerifiers(next Verifiers, t *tracing.Tracing) Verifiers {
	if t == nil {
		return next
	}
	return func(audience string) (application.Verifier, error) {
		verifier, err := next(audience)
		if err != nil {
			return nil, err
		}
		return t.Verifier(verifier), nil
	}
}

// keysTransport returns what fetches of keys go through; nil is what they go through
// without traces.
func keysTransport(t *tracing.Tracing) (http.RoundTripper, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // See above.
	}
	transport, err := remotekeys.NewTransport()
	if err != nil {
		return nil, err
	}
	return t.Transport(transport), nil
}

// exportTraces supplies the provider of spans that the environment asks for, and none
// where it does not.
func exportTraces(settings Settings) fx.Option {
	asked, err := settings.Telemetry.traces()
	switch {
	case err != nil:
		return fx.Error(err)
	case asked == nil:
		return fx.Options()
	}
	return fx.Options(
		fx.Supply(fx.Annotate(asked.propagator, fx.As(new(propagation.TextMapPropagator)))),
		fx.Provide(asked.newProvider),
	)
}

// newProvider makes the provider of the spans that the variables ask for.
func (t *traces) newProvider(lc fx.Lifecycle, logger *slog.Logger) (trace.TracerProvider, error) {
	cfg := t.exporter
	cfg.Logger = logger
	cfg.Now = time.Now
	provider, err := exporter.New(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	// Whatever makes spans was made after it, and is stopped before it.
	lc.Append(fx.StopHook(provider.Close))
	return provider, nil
}
