package application_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// configMemory recalls what it is told to, for all workloads, and saves it or fails.
type configMemory struct {
	store    *store
	recalled *application.Recalled
	err      error
	saves    int
}

func (m *configMemory) RecallConfigs(domain.Claims) (application.Recalled, bool) {
	if m.recalled == nil {
		return application.Recalled{}, false
	}
	return *m.recalled, true
}

func (m *configMemory) SaveRecalled(ctx context.Context, token domain.AccessToken, claims domain.Claims, _ application.Recalled) error {
	m.saves++
	if m.err != nil {
		return m.err
	}
	return m.store.Store.SaveToken(ctx, token, claims.UsedJTI(), nil)
}

// remembering returns a world whose exchange recalls the configs, with the world's memory.
func remembering(t *testing.T, configs ...domain.Config) (*world, *configMemory) {
	t.Helper()
	w := newWorld(t)
	m := &configMemory{store: w.store, recalled: &application.Recalled{Configs: configs, State: "as it was"}}
	cfg := w.exchangeConfig(t)
	cfg.Memory = m
	var err error
	w.exchange, err = application.NewExchangeService(cfg)
	require.NoError(t, err)
	return w, m
}

func remembered(t *testing.T, packages ...string) []domain.Config {
	t.Helper()
	var configs []domain.Config
	for i, name := range packages {
		config := trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) { p.Package.Name = name })
		configs = append(configs, config.Stored(int64(i+1), nil))
	}
	return configs
}

func TestAnExchangeOnWhatIsRememberedLooksNothingUp(t *testing.T) {
	w, m := remembering(t, remembered(t, "a", "b")...)
	w.store.fails["FindConfigs"], w.store.fails["SaveToken"] = errDown, errDown

	issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt", Packages: []domain.Package{cargo("b")}})

	require.NoError(t, err)
	require.Equal(t, 1, m.saves)
	require.Equal(t, []domain.Package{cargo("b")}, issued.Token.Packages())
	event := w.auditor.only(t)
	require.NotEmpty(t, event.TokenHash)
	require.Equal(t, []domain.Package{cargo("b")}, event.Packages)
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt", Packages: []domain.Package{cargo("b")}})
	requireError(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
	require.Equal(t, 2, m.saves)
}

// What the store has now is in all of these one config, for the package "now".
func TestALookUpDecidesWhereMemoryMayNot(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*configMemory)
		request application.ExchangeRequest
		saves   int
	}{
		{"nothing is remembered", func(m *configMemory) { m.recalled = nil }, application.ExchangeRequest{IDToken: "jwt"}, 0},
		{"no config is remembered", func(m *configMemory) { m.recalled.Configs = nil }, application.ExchangeRequest{IDToken: "jwt"}, 0},
		{"what is remembered has changed", func(m *configMemory) { m.err = application.ErrOutdated }, application.ExchangeRequest{IDToken: "jwt"}, 1},
		{"what is remembered does not trust the workload", func(m *configMemory) {
			config := trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "other.yml" })
			m.recalled.Configs = []domain.Config{config.Stored(1, nil)}
		}, application.ExchangeRequest{IDToken: "jwt"}, 0},
		{"what is remembered is not what the scope asks for", func(*configMemory) {}, application.ExchangeRequest{
			IDToken: "jwt", Packages: []domain.Package{cargo("now")},
		}, 0},
		{"what is remembered is not of the package", func(*configMemory) {}, application.ExchangeRequest{IDToken: "jwt", Package: cargo("now")}, 0},
		{"what is remembered is not pinned yet", func(*configMemory) {}, application.ExchangeRequest{IDToken: "with-ids"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, m := remembering(t, remembered(t, "then")...)
			w.verifier.known["with-ids"] = trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
				w.IDs = map[string]string{"repository_id": "74"}
			})
			w.trust(t, "now")
			tt.arrange(m)

			issued, err := w.exchange.Exchange(t.Context(), tt.request)

			require.NoError(t, err)
			require.Equal(t, []domain.Package{cargo("now")}, issued.Token.Packages())
			require.Equal(t, tt.saves, m.saves)
			require.Equal(t, 1, w.store.saves)
			require.Len(t, w.auditor.events, 1)
		})
	}
}

func TestNobodyIsRefusedBecauseOfWhatOnceWas(t *testing.T) {
	w, m := remembering(t, remembered(t, "then")...)
	m.err = application.ErrOutdated

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

	requireError(t, err, domain.KindRefused, domain.CodeNoPublisher)
	require.NotErrorIs(t, err, application.ErrOutdated)
	require.Zero(t, w.store.saves)
	require.Equal(t, domain.CodeNoPublisher, domain.CodeOf(w.auditor.only(t).Err))
}

// The first attempt may have taken effect: a second with another token would take the
// ID token for used.
func TestAFaultOfARecalledExchangeIsNotFollowedByALookUp(t *testing.T) {
	w, m := remembering(t, remembered(t, "then")...)
	w.trust(t, "now")
	m.err = errDown

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

	requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
	require.Equal(t, 1, m.saves)
	require.Zero(t, w.store.saves)
}
