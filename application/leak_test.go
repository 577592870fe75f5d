package application_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// found makes leaks of tokens.
func found(tokens ...string) []application.Leak {
	leaks := make([]application.Leak, 0, len(tokens))
	for _, token := range tokens {
		leaks = append(leaks, application.Leak{AccessToken: token, Source: "content"})
	}
	return leaks
}

// neverIssued returns a token of the right form that the registry never gave out.
func neverIssued(t *testing.T) string {
	t.Helper()
	secret, err := domain.NewSecret(newPrefix(t), rand.Reader)
	require.NoError(t, err)
	return secret.Reveal()
}

func TestALeakedTokenIsRevokedAndAuditedOnce(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a", "b")
	token := w.issue(t).Secret

	known, err := w.tokens.RevokeLeaked(t.Context(), found(token.Reveal()))

	require.NoError(t, err)
	require.Equal(t, []bool{true}, known)
	_, err = w.tokens.Introspect(t.Context(), token.Reveal())
	requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
	event := w.auditor.only(t)
	require.Equal(t, application.ActionRevokeLeaked, event.Action)
	require.NoError(t, event.Err)
	require.Equal(t, "content", event.LeakSource)
	require.Len(t, event.TokenHash, 64)
	require.NotContains(t, event.TokenHash, token.Reveal())
	require.Equal(t, []domain.Package{cargo("a"), cargo("b")}, event.Packages)

	known, err = w.tokens.RevokeLeaked(t.Context(), found(token.Reveal()))

	require.NoError(t, err)
	require.Equal(t, []bool{true}, known, "it is known still")
	require.Empty(t, w.auditor.events, "there was nothing left to revoke")
}

func TestEachLeakHasItsVerdictInItsPlace(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	token := w.issue(t).Secret.Reveal()
	unknown := neverIssued(t)
	mistyped := token[:len(token)-1] + "!"

	known, err := w.tokens.RevokeLeaked(t.Context(), found("", unknown, token, mistyped, token, "npm_"+token, unknown, token+" "))

	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true, false, true, false, false, false}, known)
	require.Equal(t, application.ActionRevokeLeaked, w.auditor.only(t).Action)
}

func TestATokenThatWasNoGoodBeforeItLeakedIsKnownStill(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*testing.T, *world, []int64, domain.Secret)
	}{
		{"expired", func(_ *testing.T, w *world, _ []int64, _ domain.Secret) { w.now = w.now.Add(time.Hour) }},
		{"revoked", func(t *testing.T, w *world, _ []int64, s domain.Secret) {
			t.Helper()
			require.NoError(t, w.tokens.Revoke(t.Context(), s.Reveal()))
		}},
		{"left without its config", func(t *testing.T, w *world, ids []int64, _ domain.Secret) {
			t.Helper()
			require.NoError(t, w.store.Store.DeleteConfig(t.Context(), ids[0]))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ids := w.trust(t, "a")
			token := w.issue(t).Secret
			tt.spoil(t, w, ids, token)

			known, err := w.tokens.RevokeLeaked(t.Context(), found(token.Reveal()))

			require.NoError(t, err)
			require.Equal(t, []bool{true}, known)
			stored, err := w.store.Store.FindToken(t.Context(), token.Hash())
			require.NoError(t, err)
			require.False(t, stored.RevokedAt.IsZero())
		})
	}
}

// A server that was replaced as the primary has not heard of it.
func TestThatALeakedTokenIsUnknownIsMadeSureOf(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	token := w.issue(t).Secret
	w.store.fails["FindToken"] = domain.TokenNotFound()

	w.store.fails["RevokeToken"] = errDown
	_, err := w.tokens.RevokeLeaked(t.Context(), found(token.Reveal()))
	requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)

	delete(w.store.fails, "RevokeToken")
	known, err := w.tokens.RevokeLeaked(t.Context(), found(token.Reveal(), neverIssued(t)))
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, known)
}

// failing is a store of which one operation fails from its n-th call on.
type failing struct {
	*store
	finds, revokes int // How many calls are left that succeed.
}

func (f *failing) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	f.finds--
	if f.finds < 0 {
		return domain.AccessToken{}, errDown
	}
	return f.store.FindToken(ctx, hash)
}

func (f *failing) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	f.revokes--
	if f.revokes < 0 {
		return false, errDown
	}
	return f.store.RevokeToken(ctx, hash, at)
}

func TestADatabaseThatFailsAmongLeaksGivesNoVerdictOnAnyOfThem(t *testing.T) {
	tests := []struct {
		name           string
		finds, revokes int
		wantRevoked    bool
	}{
		{"at the look-up of the first", 0, 9, false},
		{"at the revocation of the first", 9, 0, false},
		{"at the look-up of the second", 1, 9, true},
		{"at the revocation of the second", 9, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.trust(t, "a")
			first := w.issue(t).Secret
			second, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt2"})
			require.NoError(t, err)
			leaks := found("no token", first.Reveal(), second.Secret.Reveal())
			cfg := w.tokenConfig(t)
			cfg.Tokens = &failing{w.store, tt.finds, tt.revokes}
			tokens, err := application.NewTokenService(cfg)
			require.NoError(t, err)

			known, err := tokens.RevokeLeaked(t.Context(), leaks)

			requireError(t, err, domain.KindUnavailable, domain.CodeStoreUnavailable)
			require.Nil(t, known)
			stored, err := w.store.Store.FindToken(t.Context(), first.Hash())
			require.NoError(t, err)
			require.Equal(t, tt.wantRevoked, !stored.RevokedAt.IsZero())

			known, err = w.tokens.RevokeLeaked(t.Context(), leaks)

			require.NoError(t, err)
			require.Equal(t, []bool{false, true, true}, known, "the same message again goes on from there")
		})
	}
}
