package bootstrap

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/oauth"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Protocol is a wire protocol that the server speaks.
type Protocol string

// The protocols.
const (
	// ProtocolCratesIO is that of crates.io.
	ProtocolCratesIO Protocol = "cratesio"
	// ProtocolOAuth is OAuth 2.0: RFC 8693, RFC 7009, RFC 7662 and RFC 8414.
	ProtocolOAuth Protocol = "oauth"
)

// protocols are all that there are.
var protocols = []Protocol{ProtocolCratesIO, ProtocolOAuth}

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
	prefix, err := domain.NewTokenPrefix(s.TokenPrefix)
	if err != nil {
		return nil, err
	}
	return []domain.TokenPrefix{prefix}, nil
}

// dialectParams are what the dialects are made of.
type dialectParams struct {
	fx.In

	Settings       Settings
	Exchange       *application.ExchangeService
	Tokens         *application.TokenService
	Publishers     *application.PublisherService
	Authenticators Authenticators
	PublicURL      PublicURL
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
	return dialects, nil
}

func newAPI(dialects []httpapi.Dialect, readiness Readiness, logger *slog.Logger) (*httpapi.API, error) {
	return httpapi.New(httpapi.Config{Dialects: dialects, Ready: readiness, Logger: logger})
}
