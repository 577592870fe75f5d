package bootstrap

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/githubkeys"
	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/npm"
	"github.com/trustpub/trustpub/adapters/httpapi/oauth"
	"github.com/trustpub/trustpub/adapters/httpapi/pypi"
	"github.com/trustpub/trustpub/adapters/httpapi/rubygems"
	"github.com/trustpub/trustpub/adapters/httpapi/secretscanning"
	"github.com/trustpub/trustpub/adapters/metrics"
	"github.com/trustpub/trustpub/adapters/providers/declared"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Protocol is a wire protocol that the server speaks.
type Protocol string

// The protocols.
const (
	// ProtocolCratesIO is that of crates.io.
	ProtocolCratesIO Protocol = cratesio.Protocol
	// ProtocolOAuth is OAuth 2.0: RFC 8693, RFC 7009, RFC 7662 and RFC 8414.
	ProtocolOAuth Protocol = oauth.Protocol
	// ProtocolNPM is that of npm's registry.
	ProtocolNPM Protocol = npm.Protocol
	// ProtocolPyPI is that of PyPI.
	ProtocolPyPI Protocol = pypi.Protocol
	// ProtocolRubyGems is that of RubyGems.org.
	ProtocolRubyGems Protocol = rubygems.Protocol
)

// protocols are all that there are.
var protocols = []Protocol{ProtocolCratesIO, ProtocolOAuth, ProtocolNPM, ProtocolPyPI, ProtocolRubyGems}

// UnmarshalText accepts the name of a protocol.
func (p *Protocol) UnmarshalText(text []byte) error {
	protocol := Protocol(text)
	if !slices.Contains(protocols, protocol) {
		return badValue("%q is no protocol known here; use some of %v, separated by commas", text, protocols)
	}
	*p = protocol
	return nil
}

// speaks reports whether a protocol is switched on.
func (s Settings) speaks(p Protocol) bool { return slices.Contains(s.Protocols, p) }

// tokenPrefixes returns the prefixes of all tokens that may be given out.
func (s Settings) tokenPrefixes() ([]domain.TokenPrefix, error) {
	given := []string{s.TokenPrefix}
	if s.speaks(ProtocolNPM) {
		given = append(given, s.NPMTokenPrefix)
	}
	if s.speaks(ProtocolPyPI) {
		given = append(given, s.PyPITokenPrefix)
	}
	if s.speaks(ProtocolRubyGems) {
		given = append(given, s.RubyGemsTokenPrefix)
	}
	var prefixes []domain.TokenPrefix
	for _, text := range given {
		prefix, err := domain.NewTokenPrefix(text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// npmAudience returns the audience that npm asks for when it publishes to a registry
// at that domain name: its URL parser makes the host lower-case and leaves out the port.
func npmAudience(domainName string) string {
	host, _, _ := strings.Cut(domainName, ":")
	return "npm:" + strings.ToLower(host)
}

// dialectParams are what the dialects are made of.
type dialectParams struct {
	fx.In

	Lifecycle      fx.Lifecycle
	Logger         *slog.Logger
	Settings       Settings
	Verifiers      Verifiers
	Exchanges      exchangeParams
	Exchange       *application.ExchangeService
	Tokens         *application.TokenService
	Publishers     *application.PublisherService
	Authenticators Authenticators
	PublicURL      PublicURL
	Tracing        *tracing.Tracing
}

// newDialects makes the protocols that are switched on.
func newDialects(p dialectParams) ([]httpapi.Dialect, error) {
	var dialects []httpapi.Dialect
	crates := cratesio.Config{
		Exchange: p.Exchange, Tokens: p.Tokens, Publishers: p.Publishers, Authenticator: p.Authenticators.Publishers,
		Audience: p.Settings.Audience,
	}
	if p.Settings.speaks(ProtocolOAuth) {
		dialect, err := oauth.New(oauth.Config{
			Exchange: p.Exchange, Tokens: p.Tokens, Authenticator: p.Authenticators.Registry,
			Audience: p.Settings.Audience, Issuer: string(p.PublicURL), Now: time.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("protocol %s: %w", ProtocolOAuth, err)
		}
		crates.TokenExchange = dialect
		dialects = append(dialects, dialect)
	}
	if p.Settings.speaks(ProtocolCratesIO) {
		dialect, err := cratesio.New(crates)
		if err != nil {
			return nil, fmt.Errorf("protocol %s: %w", ProtocolCratesIO, err)
		}
		dialects = append(dialects, dialect)
	}
	if p.Settings.speaks(ProtocolNPM) {
		dialect, err := newNPM(p)
		if err != nil {
			return nil, fmt.Errorf("protocol %s: %w", ProtocolNPM, err)
		}
		dialects = append(dialects, dialect)
	}
	if p.Settings.speaks(ProtocolPyPI) {
		dialect, err := newPyPI(p)
		if err != nil {
			return nil, fmt.Errorf("protocol %s: %w", ProtocolPyPI, err)
		}
		dialects = append(dialects, dialect)
	}
	if p.Settings.speaks(ProtocolRubyGems) {
		dialect, err := newRubyGems(p)
		if err != nil {
			return nil, fmt.Errorf("protocol %s: %w", ProtocolRubyGems, err)
		}
		dialects = append(dialects, dialect)
	}
	if p.Settings.SecretScanningKeysURL != "" {
		dialect, err := newSecretScanning(p)
		if err != nil {
			return nil, fmt.Errorf("secret scanning: %w", err)
		}
		dialects = append(dialects, dialect)
	}
	return dialects, nil
}

// newSecretScanning makes the webhook of GitHub's secret scanning, and keeps the keys
// that it signs with fresh while the application runs.
func newSecretScanning(p dialectParams) (*secretscanning.Dialect, error) {
	transport, err := keysTransport(p.Tracing)
	if err != nil {
		return nil, err
	}
	keys, err := githubkeys.New(githubkeys.Config{URL: p.Settings.SecretScanningKeysURL, Transport: transport, Logger: p.Logger, Now: time.Now})
	if err != nil {
		return nil, err
	}
	runWhileStarted(p.Lifecycle, keys.Run)
	return secretscanning.New(secretscanning.Config{Verifier: keys, Tokens: p.Tokens})
}

func newNPM(p dialectParams) (*npm.Dialect, error) {
	exchange, err := ecosystemExchange(p, npm.Ecosystem, p.Settings.NPMAudience, p.Settings.NPMTokenPrefix)
	if err != nil {
		return nil, err
	}
	return npm.New(npm.Config{Exchange: exchange, Publishers: p.Publishers, Authenticator: p.Authenticators.Publishers})
}

func newPyPI(p dialectParams) (*pypi.Dialect, error) {
	exchange, err := ecosystemExchange(p, pypi.Ecosystem, p.Settings.PyPIAudience, p.Settings.PyPITokenPrefix)
	if err != nil {
		return nil, err
	}
	return pypi.New(pypi.Config{Exchange: exchange, Tokens: p.Tokens, Audience: p.Settings.PyPIAudience})
}

func newRubyGems(p dialectParams) (*rubygems.Dialect, error) {
	exchange, err := ecosystemExchange(p, rubygems.Ecosystem, p.Settings.RubyGemsAudience, p.Settings.RubyGemsTokenPrefix)
	if err != nil {
		return nil, err
	}
	return rubygems.New(rubygems.Config{Exchange: exchange, Publishers: p.Publishers, Authenticator: p.Authenticators.Publishers})
}

// ecosystemExchange makes the exchange of a protocol that has an ecosystem, an
// audience and a token prefix of its own.
func ecosystemExchange(p dialectParams, ecosystem, audience, prefix string) (*application.ExchangeService, error) {
	verifier, err := p.Verifiers(audience)
	if err != nil {
		return nil, err
	}
	return p.Exchanges.service(verifier, ecosystem, prefix)
}

func newAPI(settings Settings, dialects []httpapi.Dialect, readiness Readiness, logger *slog.Logger, m *metrics.Metrics, t *tracing.Tracing) (*httpapi.API, error) {
	cfg := httpapi.Config{
		Dialects: dialects, ProvidersSchema: declared.Schema(), Ready: readiness, Logger: logger, Metrics: m.Handler(),
		Observe: func(o httpapi.Observation) { m.ObserveRequest(o.Route, o.Method, o.Status, o.Duration) },
	}
	if t != nil {
		cfg.Trace = t.Request
	}
	err := settings.limit(&cfg)
	if err != nil {
		return nil, err
	}
	return httpapi.New(cfg)
}
