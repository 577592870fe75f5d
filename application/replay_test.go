package application_test

import (
	"crypto"
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// replica is what one server does to an ID token: verify it in earnest and exchange
// it, and sweep.
type replica struct {
	exchange *application.ExchangeService
	sweeper  *application.Sweeper
}

func newReplica(t *testing.T, store *memory.Store, ci *issuer.Issuer, leeway time.Duration, now func() time.Time) replica {
	t.Helper()
	provider, err := github.New(ci.URL())
	require.NoError(t, err)
	keys := oidc.NewStaticKeySet(map[string]crypto.PublicKey{ci.KeyID(): ci.PublicKey()})
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: "crates.io", Leeway: leeway, Now: now, Sources: []oidc.Source{{Provider: provider, Keys: keys}},
	})
	require.NoError(t, err)
	exchange, err := application.NewExchangeService(application.ExchangeConfig{
		Verifier: verifier, Configs: store, Tokens: store, Auditor: &auditor{}, Prefix: newPrefix(t), Now: now, Rand: rand.Reader,
	})
	require.NoError(t, err)
	return replica{exchange, newSweeper(t, store, io.Discard, func(c *application.SweeperConfig) { c.Now = now })}
}

func TestAReplayInsideTheLeewayAfterTheSweeperRanIsRefused(t *testing.T) {
	tests := []struct {
		name string
		// ahead is by how much the clock of the replica that sweeps is ahead of that
		// of the one that is asked again.
		ahead time.Duration
		// first and second are the leeways of the replica that exchanged the ID token
		// and swept, and of the one that is asked again.
		first, second time.Duration
	}{
		{"one server", 0, time.Minute, time.Minute},
		{"one server with the longest leeway", 0, 2 * time.Minute, 2 * time.Minute},
		{"one server without leeway", 0, 0, 0},
		{"replicas of which one has a leeway", 0, 0, 2 * time.Minute},
		{"replicas whose clocks differ", 4 * time.Minute, time.Minute, time.Minute},
		{"replicas whose clocks and leeways differ", 3 * time.Minute, 0, 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := trustpubtest.Now()
			clock := func() time.Time { return now }
			ci, err := issuer.New(issuer.Config{URL: "https://ci.example", Now: clock})
			require.NoError(t, err)
			idToken, err := ci.Sign(ci.GitHubClaims()) // It expires after five minutes.
			require.NoError(t, err)
			store := memory.New()
			trustCI(t, store, ci)
			first := newReplica(t, store, ci, tt.first, func() time.Time { return now.Add(tt.ahead) })
			second := newReplica(t, store, ci, tt.second, clock)
			_, err = first.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: idToken})
			require.NoError(t, err)

			const step = 5 * time.Second
			refusals, swept := map[domain.Code]int{}, 0
			for end := now.Add(20 * time.Minute); now.Before(end); now = now.Add(step) {
				removed, err := first.sweeper.Sweep(t.Context())
				require.NoError(t, err)
				swept += removed
				_, err = second.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: idToken})
				require.Equal(t, domain.KindRefused, domain.KindOf(err), "after %s: %v", now.Sub(trustpubtest.Now()), err)
				refusals[domain.CodeOf(err)]++
			}
			valid := int((5*time.Minute + tt.second) / step)
			require.Equal(t, map[domain.Code]int{domain.CodeAlreadyUsed: valid, domain.CodeExpired: int(20*time.Minute/step) - valid}, refusals)
			require.Equal(t, 1, swept, "the record, once it was of no use any more")
		})
	}
}

// trustCI lets the workload of the issuer publish a package.
func trustCI(t *testing.T, store *memory.Store, ci *issuer.Issuer) {
	t.Helper()
	config := trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) { p.Issuer = ci.URL() })
	_, err := store.CreateConfig(t.Context(), config, 1)
	require.NoError(t, err)
}
