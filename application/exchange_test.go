package application_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestExchangeMintsATokenForEveryPackageThatTrustsTheWorkload(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "b", "a")

	issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

	require.NoError(t, err)
	require.Equal(t, []domain.Package{cargo("a"), cargo("b")}, issued.Token.Packages())
	require.Equal(t, issued.Secret.Hash(), issued.Token.Hash)
	require.Equal(t, w.now, issued.Token.IssuedAt)
	require.Equal(t, w.now.Add(30*time.Minute), issued.Token.ExpiresAt)
	stored, err := w.store.FindToken(t.Context(), issued.Secret.Hash())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(issued.Token, stored))
}

func TestAnIDTokenIsExchangedOnce(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})
	require.NoError(t, err)

	for range 3 {
		issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

		requireError(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
		require.Zero(t, issued)
	}
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt2"})
	require.NoError(t, err, "another ID token of the same job")
}

func TestTheTokenStoreAloneDecidesBetweenSimultaneousExchanges(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	cfg := w.exchangeConfig(t)
	cfg.Tokens = w.store.Store // Without the counter, which is not for several at once.
	service, err := application.NewExchangeService(cfg)
	require.NoError(t, err)
	results := make([]error, 64)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			_, results[i] = service.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})
		})
	}
	wg.Wait()

	won := 0
	for _, err := range results {
		if err == nil {
			won++
			continue
		}
		requireError(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
	}
	require.Equal(t, 1, won)
	require.Len(t, w.auditor.events, len(results))
}

func TestAScopeNarrowsTheToken(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a", "b", "c")

	issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{
		IDToken: "jwt", Packages: []domain.Package{cargo("c"), cargo("a")},
	})

	require.NoError(t, err)
	require.Equal(t, []domain.Package{cargo("a"), cargo("c")}, issued.Token.Packages())
	_, err = w.tokens.Verify(t.Context(), issued.Secret.Reveal(), cargo("b"))
	requireError(t, err, domain.KindForbidden, domain.CodePackageNotCovered)
	require.Equal(t, []domain.Package{cargo("a"), cargo("c")}, w.auditor.only(t).Packages)
}

func TestAnExchangeIsAuditedWithoutItsSecrets(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")

	issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})
	require.NoError(t, err)

	event := w.auditor.only(t)
	require.Equal(t, application.ActionExchange, event.Action)
	require.NoError(t, event.Err)
	require.Equal(t, w.verifier.known["jwt"], event.Claims)
	require.Equal(t, fmt.Sprintf("%x", issued.Secret.Hash()), event.TokenHash)
	require.Equal(t, []domain.Package{cargo("a")}, event.Packages)
	require.NotContains(t, fmt.Sprintf("%+v", event), issued.Secret.Reveal())
	require.NotContains(t, fmt.Sprintf("%+v %#v", issued, issued), issued.Secret.Reveal())
}

func TestARefusalIsAuditedWithTheClaimsWhereTheyWereVerified(t *testing.T) {
	w := newWorld(t)

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "no-publisher"})
	require.Error(t, err)
	event := w.auditor.only(t)
	require.Equal(t, "unheard-of", event.Claims.Repository().Name)
	require.Equal(t, domain.CodeNoPublisher, domain.CodeOf(event.Err))
	require.Empty(t, event.TokenHash)
	require.Empty(t, event.Packages)

	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "unknown"})
	require.Error(t, err)
	event = w.auditor.only(t)
	require.Zero(t, event.Claims)
	require.Equal(t, domain.CodeMalformedJWT, domain.CodeOf(event.Err))
}

func TestNewExchangeServiceFailsOnAnIncompleteConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*application.ExchangeConfig)
	}{
		{"no verifier", func(c *application.ExchangeConfig) { c.Verifier = nil }},
		{"no configs", func(c *application.ExchangeConfig) { c.Configs = nil }},
		{"no tokens", func(c *application.ExchangeConfig) { c.Tokens = nil }},
		{"no auditor", func(c *application.ExchangeConfig) { c.Auditor = nil }},
		{"no clock", func(c *application.ExchangeConfig) { c.Now = nil }},
		{"no random source", func(c *application.ExchangeConfig) { c.Rand = nil }},
		{"no prefix", func(c *application.ExchangeConfig) { c.Prefix = domain.TokenPrefix{} }},
		{"a lifetime below the least", func(c *application.ExchangeConfig) { c.TTL = time.Minute - 1 }},
		{"a lifetime above the most", func(c *application.ExchangeConfig) { c.TTL = time.Hour + 1 }},
		{"a lifetime below zero", func(c *application.ExchangeConfig) { c.TTL = -time.Minute }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newWorld(t).exchangeConfig(t)
			tt.change(&cfg)

			service, err := application.NewExchangeService(cfg)

			require.Error(t, err)
			require.Nil(t, service)
		})
	}
}

func TestATokenLivesAsLongAsTheOperatorSays(t *testing.T) {
	for _, ttl := range []time.Duration{time.Minute, 15 * time.Minute, time.Hour} {
		t.Run(ttl.String(), func(t *testing.T) {
			w := newWorld(t)
			w.trust(t, "a")
			cfg := w.exchangeConfig(t)
			cfg.TTL = ttl
			service, err := application.NewExchangeService(cfg)
			require.NoError(t, err)

			issued, err := service.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

			require.NoError(t, err)
			require.Equal(t, ttl, issued.Token.ExpiresAt.Sub(issued.Token.IssuedAt))
		})
	}
}
