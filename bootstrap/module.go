package bootstrap

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/auditlog"
	"github.com/trustpub/trustpub/adapters/githubapi"
	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/metrics"
	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/adapters/ratelimit"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Module is trustpub for a host's own fx application. It opens no database and
// listens on nothing: the host gives it a store with [ProvideStore] and a
// *slog.Logger, and mounts the *httpapi.API that it provides. From the host's start
// to its stop it refreshes key sets and sweeps expired rows in the background.
//
// Everything it provides can be swapped with fx.Decorate: above all
// [application.Ownership] and [Authenticators], behind which are the host's users
// and package owners, but also [application.Verifier], [Verifiers],
// [application.OwnerLookup], [application.Auditor], [Readiness] and [PublicURL].
//
// Where the [application.ConfigFinder] and the [application.TokenStore] are one
// *postgres.Store, with nothing in front of them, it is the [application.ConfigMemory] too.
//
// A host that provides a trace.TracerProvider of OpenTelemetry has its spans made of what
// trustpub does, and without one nothing is traced. A propagation.TextMapPropagator may go
// with it. Nothing is read from the environment, and no exporter is made.
func Module(settings Settings) fx.Option {
	return fx.Module("trustpub",
		fx.Supply(settings, fx.Private),
		fx.Provide(
			newMetrics,
			newTracing,
			newVerifiers,
			newVerifier,
			newAuditor,
			newOwnerLookup,
			newOwnership,
			newAuthenticators,
			newReadiness,
			newPublicURL,
			newExchangeService,
			newTokenService,
			newPublisherService,
			newDialects,
			newAPI,
		),
		// Whatever auditor the host supplies, its events are counted.
		fx.Decorate(func(auditor application.Auditor, m *metrics.Metrics, t *tracing.Tracing) application.Auditor {
			return t.Auditor(m.Auditor(auditor))
		}),
		traced(),
		fx.Invoke(sweep),
	)
}

// Store is what a database adapter does for trustpub.
type Store interface {
	application.ConfigFinder
	application.ConfigStore
	application.TokenStore
	application.ExpiredRemover
}

// ProvideStore gives [Module] the store that constructor makes, a function that
// returns a type which implements [Store], such as a closure over the host's
// database handle and postgres.NewStore.
func ProvideStore(constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor,
		fx.As(new(application.ConfigFinder)),
		fx.As(new(application.ConfigStore)),
		fx.As(new(application.TokenStore)),
		fx.As(new(application.ExpiredRemover)),
	))
}

// Authenticators tell who calls an endpoint that needs a credential. A nil one
// closes its endpoints.
type Authenticators struct {
	// Publishers is for the publisher-config endpoints.
	Publishers httpapi.Authenticator
	// Registry is for introspection.
	Registry httpapi.Authenticator
}

// Readiness tells whether requests can be served; it is behind GET /readyz.
type Readiness func(ctx context.Context) error

// PublicURL is the base URL under which clients reach the API, without a trailing
// slash. It is https:// and the domain name, unless the API is under a prefix.
type PublicURL string

func newPublicURL(settings Settings) PublicURL { return PublicURL("https://" + settings.DomainName) }

func newReadiness() Readiness { return func(context.Context) error { return nil } }

// Verifiers make a verifier for ID tokens of one audience. All of them share the key
// sets of the enabled providers, and the limits per issuer.
type Verifiers func(audience string) (application.Verifier, error)

// newVerifiers makes the sources of the enabled providers, and keeps their key sets
// fresh while the application runs.
func newVerifiers(lc fx.Lifecycle, settings Settings, logger *slog.Logger, m *metrics.Metrics, t *tracing.Tracing) (Verifiers, error) {
	transport, err := keysTransport(t)
	if err != nil {
		return nil, err
	}
	var sources []oidc.Source
	for _, setting := range settings.Providers {
		source, keys, err := settings.newSource(setting, logger, transport)
		if err != nil {
			return nil, err
		}
		err = m.AddKeySet(setting.Issuer, func() metrics.KeySetStats { return metrics.KeySetStats(keys.Stats()) })
		if err != nil {
			return nil, err
		}
		runWhileStarted(lc, keys.Run)
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		logger.WarnContext(context.Background(), "no OIDC provider is enabled, so every exchange will be refused; set TRUSTPUB_PROVIDERS, for example to github")
	}
	issuers, err := settings.RatePerIssuer.limiter()
	if err != nil {
		return nil, err
	}
	return func(audience string) (application.Verifier, error) {
		verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
			Audience: audience,
			Leeway:   settings.JWTLeeway,
			Now:      time.Now,
			Sources:  sources,
		})
		if err != nil || issuers == nil {
			return verifier, err
		}
		return ratelimit.NewVerifier(verifier, issuers)
	}, nil
}

// newVerifier makes the verifier for the registry's own audience.
func newVerifier(settings Settings, verifiers Verifiers, logger *slog.Logger) (application.Verifier, error) {
	if settings.AudienceAssumed {
		logger.WarnContext(context.Background(), "neither TRUSTPUB_AUDIENCE nor DOMAIN_NAME is set, so ID tokens are expected to be made for the default audience",
			slog.String("audience", settings.Audience))
	}
	return verifiers(settings.Audience)
}

func newMetrics() (*metrics.Metrics, error) {
	return metrics.New(metrics.Config{Now: time.Now, Runtime: true})
}

func newAuditor(logger *slog.Logger) application.Auditor { return auditlog.New(logger) }

// newOwnerLookup asks api.github.com for github.com alone, as its IDs mean nothing
// elsewhere. A base URL that was set is that of the enabled issuers, of github.com
// only when it is the only one.
func newOwnerLookup(settings Settings) application.OwnerLookup {
	issuers := settings.issuers()[domain.ProviderGitHub]
	isSet := settings.GitHubAPIURL != githubapi.DefaultURL
	apis := map[string]string{}
	for _, issuer := range issuers {
		switch {
		case issuer == github.DefaultIssuer && len(issuers) > 1:
			apis[issuer] = githubapi.DefaultURL
		case issuer == github.DefaultIssuer, isSet:
			apis[issuer] = settings.GitHubAPIURL
		}
	}
	return githubapi.New(apis, nil)
}

// operator owns every package: whoever holds the admin token may manage all
// publishers.
type operator struct{}

func (operator) MayManage(context.Context, application.Actor, domain.Package) error { return nil }

func newOwnership() application.Ownership { return operator{} }

func newAuthenticators(settings Settings) (Authenticators, error) {
	var a Authenticators
	var err error
	if settings.AdminToken.IsSet() {
		a.Publishers, err = httpapi.BearerToken(settings.AdminToken.Reveal(), application.Actor{ID: "admin"})
		if err != nil {
			return Authenticators{}, fmt.Errorf("admin token: %w", err)
		}
	}
	if settings.RegistryToken.IsSet() {
		a.Registry, err = httpapi.BearerToken(settings.RegistryToken.Reveal(), application.Actor{ID: "registry"})
		if err != nil {
			return Authenticators{}, fmt.Errorf("registry token: %w", err)
		}
	}
	return a, nil
}

// exchangeParams are what exchange services are made of.
type exchangeParams struct {
	fx.In

	Settings Settings
	Configs  application.ConfigFinder
	Tokens   application.TokenStore
	Auditor  application.Auditor
	Tracing  *tracing.Tracing
}

func newExchangeService(p exchangeParams, verifier application.Verifier) (*application.ExchangeService, error) {
	return p.service(verifier, "", p.Settings.TokenPrefix)
}

// service makes the exchange of a protocol; an empty ecosystem is any.
func (p exchangeParams) service(verifier application.Verifier, ecosystem, prefix string) (*application.ExchangeService, error) {
	tokenPrefix, err := domain.NewTokenPrefix(prefix)
	if err != nil {
		return nil, err
	}
	cfg := application.ExchangeConfig{
		Verifier: verifier, Configs: p.Tracing.ConfigFinder(p.Configs), Tokens: p.Tracing.TokenStore(p.Tokens), Auditor: p.Auditor,
		Ecosystem: ecosystem, Prefix: tokenPrefix, TTL: p.Settings.TokenTTL, Now: time.Now, Rand: rand.Reader,
	}
	// Nothing that a host has put in front of the store must be passed by, nor what a type of
	// its own around the store does otherwise.
	if store, ok := p.Configs.(*postgres.Store); ok && p.Tokens == application.TokenStore(store) {
		cfg.Memory = p.Tracing.ConfigMemory(store)
	}
	return application.NewExchangeService(cfg)
}

func newTokenService(settings Settings, tokens application.TokenStore, auditor application.Auditor, t *tracing.Tracing) (*application.TokenService, error) {
	prefixes, err := settings.tokenPrefixes()
	if err != nil {
		return nil, err
	}
	return application.NewTokenService(application.TokenConfig{
		Tokens: t.TokenStore(tokens), Auditor: auditor, Prefixes: prefixes, Now: time.Now,
	})
}

func newPublisherService(settings Settings, configs application.ConfigStore, ownership application.Ownership, owners application.OwnerLookup, auditor application.Auditor) (*application.PublisherService, error) {
	return application.NewPublisherService(application.PublisherConfig{
		Configs: configs, Ownership: ownership, Owners: owners, Auditor: auditor,
		Issuers: settings.issuers(), Definitions: settings.Definitions, Now: time.Now,
	})
}

// sweep runs the sweeper while the application runs.
func sweep(lc fx.Lifecycle, expired application.ExpiredRemover, logger *slog.Logger, m *metrics.Metrics) error {
	sweeper, err := application.NewSweeper(application.SweeperConfig{Expired: expired, Logger: logger, Observe: m.ObserveSweep, Now: time.Now})
	if err != nil {
		return err
	}
	runWhileStarted(lc, sweeper.Run)
	return nil
}

// runWhileStarted runs a background task from the application's start to its stop,
// and waits for its end.
func runWhileStarted(lc fx.Lifecycle, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				run(ctx)
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case <-done:
				return nil
			case <-stop.Done():
				return stop.Err()
			}
		},
	})
}

// NewPublisherService makes the service alone, as the operator, for the command
// line.
func NewPublisherService(settings Settings, configs application.ConfigStore, logger *slog.Logger) (*application.PublisherService, error) {
	return newPublisherService(settings, configs, newOwnership(), newOwnerLookup(settings), newAuditor(logger))
}
