package application_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

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
