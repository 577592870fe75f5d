package application_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestVerifyReturnsTheTokenForAPackageThatItCovers(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a", "b")
	issued := w.issue(t)

	for _, name := range []string{"a", "b"} {
		token, err := w.tokens.Verify(t.Context(), issued.Secret.Reveal(), cargo(name))

		require.NoError(t, err)
		require.Empty(t, cmp.Diff(issued.Token, token))
	}
}

func TestVerifyForbidsAPackageThatTheTokenDoesNotCover(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	issued := w.issue(t)

	for _, pkg := range []domain.Package{{}, cargo("b"), cargo("A"), cargo("a "), {Ecosystem: "npm", Name: "a"}} {
		token, err := w.tokens.Verify(t.Context(), issued.Secret.Reveal(), pkg)

		requireError(t, err, domain.KindForbidden, domain.CodePackageNotCovered)
		require.Zero(t, token)
	}
}

func TestATokenThatIsNoGoodIsUnauthenticatedWithoutSayingWhy(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*testing.T, *world, []int64, domain.Secret) (presented string)
	}{
		{"expired", func(_ *testing.T, w *world, _ []int64, s domain.Secret) string {
			w.now = w.now.Add(30 * time.Minute)
			return s.Reveal()
		}},
		{"revoked", func(t *testing.T, w *world, _ []int64, s domain.Secret) string {
			t.Helper()
			require.NoError(t, w.tokens.Revoke(t.Context(), s.Reveal()))
			return s.Reveal()
		}},
		{"left without its config", func(t *testing.T, w *world, ids []int64, s domain.Secret) string {
			t.Helper()
			require.NoError(t, w.store.Store.DeleteConfig(t.Context(), ids[0]))
			return s.Reveal()
		}},
		{"unknown", func(t *testing.T, _ *world, _ []int64, _ domain.Secret) string {
			t.Helper()
			other, err := domain.NewSecret(newPrefix(t), rand.Reader)
			require.NoError(t, err)
			return other.Reveal()
		}},
	}
	messages := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ids := w.trust(t, "a")
			presented := tt.spoil(t, w, ids, w.issue(t).Secret)

			_, err := w.tokens.Introspect(t.Context(), presented)
			requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
			messages[domain.MessageOf(err)] = true

			token, err := w.tokens.Verify(t.Context(), presented, cargo("a"))
			requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
			require.Zero(t, token)
		})
	}
	require.Len(t, messages, 1, "one sentence for all")
}

func TestATokenLosesThePackageOfADeletedConfigAlone(t *testing.T) {
	w := newWorld(t)
	ids := w.trust(t, "a", "b")
	issued := w.issue(t)

	require.NoError(t, w.store.Store.DeleteConfig(t.Context(), ids[0]))

	_, err := w.tokens.Verify(t.Context(), issued.Secret.Reveal(), cargo("a"))
	requireError(t, err, domain.KindForbidden, domain.CodePackageNotCovered)
	token, err := w.tokens.Verify(t.Context(), issued.Secret.Reveal(), cargo("b"))
	require.NoError(t, err)
	require.Equal(t, []domain.Package{cargo("b")}, token.Packages())
}

func TestAMalformedTokenIsRefusedBeforeTheStoreIsAsked(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	good := w.issue(t).Secret.Reveal()
	w.store.fails["FindToken"], w.store.fails["RevokeToken"] = errDown, errDown

	for _, presented := range []string{
		"", "x", good + "x", good[:len(good)-1], " " + good, "Bearer " + good, strings.ToUpper(good), fmt.Sprintf("%x", [32]byte{}),
	} {
		_, err := w.tokens.Introspect(t.Context(), presented)
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
		_, err = w.tokens.Verify(t.Context(), presented, cargo("a"))
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
		err = w.tokens.Revoke(t.Context(), presented)
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
	}
	require.Empty(t, w.auditor.events)
}

func TestWhileTheStoreIsDownNothingIsSaidOfAToken(t *testing.T) {
	for _, failure := range []error{errDown, context.DeadlineExceeded, &domain.Error{Message: "10.0.0.1"}} {
		t.Run(failure.Error(), func(t *testing.T) {
			w := newWorld(t)
			w.trust(t, "a")
			presented := w.issue(t).Secret.Reveal()
			w.store.fails["FindToken"], w.store.fails["RevokeToken"] = failure, failure

			token, err := w.tokens.Introspect(t.Context(), presented)
			requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
			require.Zero(t, token)
			_, err = w.tokens.Verify(t.Context(), presented, cargo("a"))
			requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
			err = w.tokens.Revoke(t.Context(), presented)
			requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
			require.ErrorIs(t, err, failure)

			clear(w.store.fails)
			_, err = w.tokens.Verify(t.Context(), presented, cargo("a"))
			require.NoError(t, err, "it was not revoked")
		})
	}
}

func TestRevokingTwiceOrAnExpiredOrUnknownTokenIsNoError(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	presented := w.issue(t).Secret.Reveal()
	unknown, err := domain.NewSecret(newPrefix(t), rand.Reader)
	require.NoError(t, err)

	require.NoError(t, w.tokens.Revoke(t.Context(), unknown.Reveal()))
	require.Empty(t, w.auditor.events, "nothing was revoked")

	w.now = w.now.Add(time.Hour)
	require.NoError(t, w.tokens.Revoke(t.Context(), presented))
	require.Len(t, w.auditor.events, 1)
	require.NoError(t, w.tokens.Revoke(t.Context(), presented))
	require.Len(t, w.auditor.events, 1, "the second time there was nothing to do")
}

func TestARevocationIsAuditedByTheHashOfTheToken(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	issued := w.issue(t)

	require.NoError(t, w.tokens.Revoke(t.Context(), issued.Secret.Reveal()))

	event := w.auditor.only(t)
	require.Equal(t, application.ActionRevoke, event.Action)
	require.NoError(t, event.Err)
	require.Equal(t, fmt.Sprintf("%x", issued.Secret.Hash()), event.TokenHash)

	w.store.fails["RevokeToken"] = errDown
	require.Error(t, w.tokens.Revoke(t.Context(), issued.Secret.Reveal()))
	require.Equal(t, domain.CodeStoreUnavailable, domain.CodeOf(w.auditor.only(t).Err))
}

func TestNewTokenServiceFailsOnAnIncompleteConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*application.TokenConfig)
	}{
		{"no tokens", func(c *application.TokenConfig) { c.Tokens = nil }},
		{"no auditor", func(c *application.TokenConfig) { c.Auditor = nil }},
		{"no clock", func(c *application.TokenConfig) { c.Now = nil }},
		{"no prefix", func(c *application.TokenConfig) { c.Prefixes = nil }},
		{"an empty prefix", func(c *application.TokenConfig) { c.Prefixes = append(c.Prefixes, domain.TokenPrefix{}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newWorld(t).tokenConfig(t)
			tt.change(&cfg)

			service, err := application.NewTokenService(cfg)

			require.Error(t, err)
			require.Nil(t, service)
		})
	}
}

func TestTheRequestIDTravelsInTheContext(t *testing.T) {
	require.Empty(t, application.RequestID(t.Context()))
	require.Equal(t, "r1", application.RequestID(application.WithRequestID(t.Context(), "r1")))
}
