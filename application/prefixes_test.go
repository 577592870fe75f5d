package application_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func TestATokenServiceKnowsTheTokensOfEachOfItsPrefixes(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	own, other := prefix(t, "npm_"), prefix(t, "npm_oidc_") // The one begins the other.
	cfg := w.tokenConfig(t)
	cfg.Prefixes = []domain.TokenPrefix{own, other}
	service, err := application.NewTokenService(cfg)
	require.NoError(t, err)
	cfg.Prefixes[1] = own // The service keeps prefixes of its own.
	for idToken, p := range map[string]domain.TokenPrefix{"jwt": own, "jwt2": other} {
		secret := w.issueWith(t, idToken, p)

		_, err = service.Verify(t.Context(), secret, cargo("a"))
		require.NoError(t, err)
		_, err = service.Verify(t.Context(), secret, cargo("b"))
		requireError(t, err, domain.KindForbidden, domain.CodePackageNotCovered)
		require.NoError(t, service.Revoke(t.Context(), secret))
		_, err = service.Verify(t.Context(), secret, cargo("a"))
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
	}
}

func TestATokenServiceRefusesTokensOfOtherPrefixes(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	secret := w.issueWith(t, "jwt", prefix(t, "npm_oidc_"))
	own := w.issueWith(t, "jwt2", newPrefix(t))
	// The secret part is the same, and so is all that the other prefix does not change.
	swapped := "npm_oidc_" + own[len(newPrefix(t).String()):]

	for _, token := range []string{secret, swapped} {
		_, err := w.tokens.Verify(t.Context(), token, cargo("a"))
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
		_, err = w.tokens.Introspect(t.Context(), token)
		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
		requireError(t, w.tokens.Revoke(t.Context(), token), domain.KindUnauthenticated, domain.CodeInvalidToken)
	}
	_, err := w.tokens.Verify(t.Context(), own, cargo("a"))
	require.NoError(t, err)
}

// issueWith exchanges an ID token at a service whose tokens begin with the prefix.
func (w *world) issueWith(t *testing.T, idToken string, p domain.TokenPrefix) string {
	t.Helper()
	cfg := w.exchangeConfig(t)
	cfg.Prefix, cfg.Rand = p, rand.Reader
	service, err := application.NewExchangeService(cfg)
	require.NoError(t, err)
	issued, err := service.Exchange(t.Context(), application.ExchangeRequest{IDToken: idToken})
	require.NoError(t, err)
	return issued.Secret.Reveal()
}

func prefix(t *testing.T, s string) domain.TokenPrefix {
	t.Helper()
	p, err := domain.NewTokenPrefix(s)
	require.NoError(t, err)
	return p
}
