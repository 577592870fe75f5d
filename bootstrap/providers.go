package bootstrap

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/declared"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/adapters/providers/gitlab"
	"github.com/trustpub/trustpub/domain"
)

// ProviderSetting enables one OIDC provider.
type ProviderSetting struct {
	// Kind is the CI system, such as domain.ProviderGitHub.
	Kind string
	// Issuer is the issuer URL; that of the public service unless set.
	Issuer string
}

// UnmarshalText reads NAME or NAME=ISSUER. Whether there is such a provider, and what
// its own issuer is, depends on other settings.
func (p *ProviderSetting) UnmarshalText(text []byte) error {
	kind, issuer, hasIssuer := strings.Cut(strings.TrimSpace(string(text)), "=")
	if hasIssuer {
		err := domain.ValidateIssuer(issuer)
		if err != nil {
			return badValue("%s Use %s=https://HOST/PATH.", domain.MessageOf(err), kind)
		}
	}
	*p = ProviderSetting{Kind: kind, Issuer: issuer}
	return nil
}

// loadDefinitions reads the definitions of the providers that need no code: those that
// are shipped, and those in the operator's file.
func loadDefinitions(file string) ([]domain.Definition, error) {
	definitions, err := declared.Shipped()
	if err != nil {
		return nil, fmt.Errorf("read the shipped providers: %w", err)
	}
	if file == "" {
		return definitions, nil
	}
	text, err := readFile(file, maxProvidersFile)
	if err != nil {
		return nil, &SettingError{"TRUSTPUB_PROVIDERS_FILE", err.Error()}
	}
	own, err := declared.Load(file, text)
	if err != nil {
		return nil, &SettingError{"TRUSTPUB_PROVIDERS_FILE", err.Error()}
	}
	return append(definitions, own...), nil
}

// completeProviders returns the providers with the issuers that were not set, and
// refuses what no provider is.
func (s Settings) completeProviders() ([]ProviderSetting, error) {
	bad := func(format string, args ...any) ([]ProviderSetting, error) {
		return nil, &SettingError{"TRUSTPUB_PROVIDERS", fmt.Sprintf(format, args...)}
	}
	seen := map[string]bool{}
	complete := make([]ProviderSetting, 0, len(s.Providers))
	for _, p := range s.Providers {
		own, known := s.ownIssuer(p.Kind)
		switch {
		case !known:
			return bad("%q is no provider known here; use some of %s, separated by commas, each as NAME or NAME=ISSUER", p.Kind, strings.Join(s.providerNames(), ", "))
		case p.Issuer == "" && own == "":
			return bad("%s has no issuer of its own; use %s=https://HOST/PATH", p.Kind, p.Kind)
		case p.Issuer == "":
			p.Issuer = own
		}
		if seen[p.Issuer] {
			return bad("an issuer is enabled twice; name each once")
		}
		seen[p.Issuer] = true
		complete = append(complete, p)
	}
	return complete, nil
}

// ownIssuer returns the issuer of a provider's public service, which is empty where
// every customer has one, and whether there is such a provider.
func (s Settings) ownIssuer(kind string) (issuer string, known bool) {
	switch kind {
	case domain.ProviderGitHub:
		return github.DefaultIssuer, true
	case domain.ProviderGitLab:
		return gitlab.DefaultIssuer, true
	}
	definition, known := s.definition(kind)
	return definition.Issuer, known
}

func (s Settings) definition(name string) (domain.Definition, bool) {
	i := slices.IndexFunc(s.Definitions, func(d domain.Definition) bool { return d.Name == name })
	if i < 0 {
		return domain.Definition{}, false
	}
	return s.Definitions[i], true
}

func (s Settings) providerNames() []string {
	names := []string{domain.ProviderGitHub, domain.ProviderGitLab}
	for _, d := range s.Definitions {
		names = append(names, d.Name)
	}
	return names
}

// issuers returns the enabled issuers by their provider.
func (s Settings) issuers() map[string][]string {
	issuers := map[string][]string{}
	for _, p := range s.Providers {
		issuers[p.Kind] = append(issuers[p.Kind], p.Issuer)
	}
	return issuers
}

// newProvider makes the provider of a setting. This is where a provider with code of
// its own is wired.
func (s Settings) newProvider(p ProviderSetting) (oidc.Provider, error) {
	switch p.Kind {
	case domain.ProviderGitHub:
		return github.New(p.Issuer)
	case domain.ProviderGitLab:
		return gitlab.New(p.Issuer)
	}
	definition, known := s.definition(p.Kind)
	if !known {
		return nil, fmt.Errorf("unknown provider %q", p.Kind)
	}
	return declared.New(definition, p.Issuer)
}

// newSource makes a provider with its key set, which is fetched through transport; nil is
// that of the key set.
func (s Settings) newSource(p ProviderSetting, logger *slog.Logger, transport http.RoundTripper) (oidc.Source, *oidc.RemoteKeySet, error) {
	provider, err := s.newProvider(p)
	if err != nil {
		return oidc.Source{}, nil, fmt.Errorf("provider %s at %s: %w", p.Kind, p.Issuer, err)
	}
	keys, err := oidc.NewRemoteKeySet(oidc.RemoteKeySetConfig{Issuer: p.Issuer, Algorithms: provider.Algorithms(), Transport: transport, Logger: logger, Now: time.Now})
	if err != nil {
		return oidc.Source{}, nil, fmt.Errorf("key set of %s: %w", p.Issuer, err)
	}
	return oidc.Source{Provider: provider, Keys: keys}, keys, nil
}
