package application_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
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

func TestARefusedExchangeDoesNotConsumeTheIDToken(t *testing.T) {
	onlyX := []domain.Package{cargo("x")}
	tests := []struct {
		name    string
		request application.ExchangeRequest
		prepare func(*testing.T, *world)
		repair  func(*testing.T, *world)
		kind    domain.Kind
		code    domain.Code
	}{
		{
			name:    "by the verifier",
			request: application.ExchangeRequest{IDToken: "jwt"},
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.trust(t, "x")
				w.verifier.err = domain.Refuse(domain.CodeInvalidSignature, "The signature is wrong.")
			},
			repair: func(_ *testing.T, w *world) { w.verifier.err = nil },
			kind:   domain.KindRefused, code: domain.CodeInvalidSignature,
		},
		{
			name:    "for want of keys",
			request: application.ExchangeRequest{IDToken: "jwt"},
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.trust(t, "x")
				w.verifier.err = domain.Unavailable(domain.CodeKeysUnavailable, errDown, "Try again.")
			},
			repair: func(_ *testing.T, w *world) { w.verifier.err = nil },
			kind:   domain.KindUnavailable, code: domain.CodeKeysUnavailable,
		},
		{
			name:    "for want of a publisher",
			request: application.ExchangeRequest{IDToken: "jwt"},
			prepare: func(*testing.T, *world) {},
			repair:  func(t *testing.T, w *world) { t.Helper(); w.trust(t, "x") },
			kind:    domain.KindRefused, code: domain.CodeNoPublisher,
		},
		{
			name:    "by a rule of the publisher",
			request: application.ExchangeRequest{IDToken: "other-workflow"},
			prepare: func(t *testing.T, w *world) { t.Helper(); w.trust(t, "x") },
			repair: func(_ *testing.T, w *world) {
				w.verifier.known["other-workflow"] = w.verifier.known["jwt"]
			},
			kind: domain.KindRefused, code: domain.CodeWorkflowMismatch,
		},
		{
			name:    "for its scope",
			request: application.ExchangeRequest{IDToken: "jwt", Packages: onlyX},
			prepare: func(t *testing.T, w *world) { t.Helper(); w.trust(t, "a") },
			repair:  func(t *testing.T, w *world) { t.Helper(); w.trust(t, "x") },
			kind:    domain.KindInvalid, code: domain.CodeInvalidScope,
		},
		{
			name:    "because the configs can't be read",
			request: application.ExchangeRequest{IDToken: "jwt"},
			prepare: func(t *testing.T, w *world) { t.Helper(); w.trust(t, "x"); w.store.fails["FindConfigs"] = errDown },
			repair:  func(_ *testing.T, w *world) { clear(w.store.fails) },
			kind:    domain.KindUnavailable, code: domain.CodeStoreUnavailable,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(t, w)

			issued, err := w.exchange.Exchange(t.Context(), tt.request)

			requireError(t, err, tt.kind, tt.code)
			require.Zero(t, issued)
			require.Zero(t, w.store.saves, "nothing was written")
			require.Equal(t, tt.code, domain.CodeOf(w.auditor.only(t).Err))

			tt.repair(t, w)
			_, err = w.exchange.Exchange(t.Context(), tt.request)
			require.NoError(t, err, "the same ID token again")
		})
	}
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

func TestWhatGoesWrongInAStoreIsUnavailableAndNeverAVerdict(t *testing.T) {
	failures := map[string]error{
		"connection refused":              errDown,
		"cancelled":                       context.Canceled,
		"deadline exceeded":               context.DeadlineExceeded,
		"a defect of the store":           &domain.Error{Code: domain.CodeInternal, Message: "10.0.0.1 is broken", Err: errDown},
		"text that looks like a verdict":  errors.New("already_used"),
		"any violation of another unique": errors.New("duplicate key value violates unique constraint"),
	}
	for _, operation := range []string{"FindConfigs", "SaveToken"} {
		for name, failure := range failures {
			t.Run(operation+": "+name, func(t *testing.T) {
				w := newWorld(t)
				w.trust(t, "a")
				w.store.fails[operation] = failure

				issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

				requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
				require.ErrorIs(t, err, failure, "the log sees the cause")
				require.Zero(t, issued)
				require.Equal(t, domain.CodeStoreUnavailable, domain.CodeOf(w.auditor.only(t).Err))
			})
		}
	}
}

func TestAVerdictOfAPortReachesTheClientAsItIs(t *testing.T) {
	verdicts := []*domain.Error{
		domain.Refuse(domain.CodeAlreadyUsed, "The ID token was exchanged before."),
		domain.Refuse(domain.CodeExpired, "The ID token expired."),
		domain.Unavailable(domain.CodeKeysUnavailable, errDown, "Try again."),
		domain.Unavailable(domain.CodeStoreUnavailable, errDown, "Try again."),
	}
	for _, verdict := range verdicts {
		ports := map[string]func(*world){
			"Verify":      func(w *world) { w.verifier.err = verdict },
			"FindConfigs": func(w *world) { w.store.fails["FindConfigs"] = fmt.Errorf("wrapped: %w", verdict) },
			"SaveToken":   func(w *world) { w.store.fails["SaveToken"] = fmt.Errorf("wrapped: %w", verdict) },
		}
		for name, fail := range ports {
			t.Run(name+": "+string(verdict.Code), func(t *testing.T) {
				w := newWorld(t)
				w.trust(t, "a")
				fail(w)

				_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

				requireError(t, err, verdict.Kind, verdict.Code)
				require.Equal(t, verdict.Message, domain.MessageOf(err))
				require.ErrorIs(t, err, verdict)
			})
		}
	}
}

func TestADefectIsInternalAndMintsNothing(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *application.ExchangeConfig)
	}{
		{"of the verifier", func(w *world, _ *application.ExchangeConfig) { w.verifier.err = errDown }},
		{"of the random source", func(_ *world, cfg *application.ExchangeConfig) { cfg.Rand = iotest.ErrReader(errDown) }},
		{"a random source that ends", func(_ *world, cfg *application.ExchangeConfig) { cfg.Rand = strings.NewReader("too short") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.trust(t, "a")
			cfg := w.exchangeConfig(t)
			tt.change(w, &cfg)
			service, err := application.NewExchangeService(cfg)
			require.NoError(t, err)

			issued, err := service.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})

			requireError(t, err, domain.KindInternal, domain.CodeInternal)
			require.Zero(t, issued)
			require.Zero(t, w.store.saves)
			require.Error(t, w.auditor.only(t).Err)
		})
	}
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
