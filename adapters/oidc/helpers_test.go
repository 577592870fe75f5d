package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	audience = "crates.io"
	leeway   = time.Minute
)

// noon is when the tests with a clock of their own take place.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: noon} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func (c *clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// rsaKeys are made once for all tests, as making them is slow.
var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 3)
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// strangerKey is a key that no issuer of the tests publishes.
func strangerKey() *rsa.PrivateKey { return rsaKeys()[2] }

// issuerKeys returns a generator of two keys for an issuer.
func issuerKeys() func() (*rsa.PrivateKey, error) {
	next := 0
	return func() (*rsa.PrivateKey, error) {
		next++
		return rsaKeys()[(next-1)%2], nil
	}
}

// startIssuer starts an issuer on a real socket.
func startIssuer(tb testing.TB, now func() time.Time) *issuer.Issuer {
	tb.Helper()
	ci, err := issuer.Start(issuer.Config{Now: now, GenerateKey: issuerKeys()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, ci.Close()) })
	return ci
}

// newKeySet returns the key set of a started issuer.
func newKeySet(tb testing.TB, ci *issuer.Issuer, now func() time.Time) *oidc.RemoteKeySet {
	tb.Helper()
	return newKeySetWith(tb, oidc.RemoteKeySetConfig{Issuer: ci.URL(), Now: now})
}

// newKeySetWith fills in what a test has no opinion about.
func newKeySetWith(tb testing.TB, cfg oidc.RemoteKeySetConfig) *oidc.RemoteKeySet {
	tb.Helper()
	if cfg.Algorithms == nil {
		cfg.Algorithms = []string{"RS256"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	keys, err := oidc.NewRemoteKeySet(cfg)
	require.NoError(tb, err)
	return keys
}

// fixture is a verifier for a started issuer that imitates GitHub, over HTTP.
type fixture struct {
	*oidc.Verifier

	ci    *issuer.Issuer
	clock *clock
}

func newFixture(tb testing.TB) fixture {
	tb.Helper()
	clock := newClock()
	ci := startIssuer(tb, clock.Now)
	return fixture{Verifier: newVerifier(tb, ci, newKeySet(tb, ci, clock.Now), clock.Now, leeway), ci: ci, clock: clock}
}

func newVerifier(tb testing.TB, ci *issuer.Issuer, keys oidc.KeySet, now func() time.Time, leeway time.Duration) *oidc.Verifier {
	tb.Helper()
	provider, err := github.New(ci.URL())
	require.NoError(tb, err)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: audience, Leeway: leeway, Now: now,
		Sources: []oidc.Source{{Provider: provider, Keys: keys}},
	})
	require.NoError(tb, err)
	return verifier
}

// sign signs claims with the issuer's key.
func (f fixture) sign(tb testing.TB, claims issuer.Claims, options ...issuer.SignOption) string {
	tb.Helper()
	return signed(tb)(f.ci.Sign(claims, options...))
}

// traffic returns how many documents the verifier has asked the issuer for.
func (f fixture) traffic() int {
	return f.ci.Requests(issuer.Discovery) + f.ci.Requests(issuer.KeySet)
}

// signed returns a function that takes the result of signing apart.
func signed(tb testing.TB) func(string, error) string {
	tb.Helper()
	return func(idToken string, err error) string {
		tb.Helper()
		require.NoError(tb, err)
		return idToken
	}
}

// requireRefused checks that err refuses an ID token with code, in whole sentences
// that show neither its payload nor its signature.
func requireRefused(tb testing.TB, err error, code domain.Code, idToken string) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, code, domain.CodeOf(err), "%v", err)
	require.Equal(tb, domain.KindRefused, domain.KindOf(err), "%v", err)
	message := domain.MessageOf(err)
	require.Regexp(tb, `^[A-Z].*\.$`, message)
	for part := range strings.SplitSeq(idToken, ".") {
		if len(part) > 8 {
			require.NotContains(tb, err.Error(), part)
		}
	}
}

// requireUnavailable checks that err says that the keys can't be had.
func requireUnavailable(tb testing.TB, err error) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, domain.CodeKeysUnavailable, domain.CodeOf(err), "%v", err)
	require.Equal(tb, domain.KindUnavailable, domain.KindOf(err), "%v", err)
}

// inProcess carries requests to a handler without a socket, so that they can be
// made inside a synctest bubble.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(request *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		p.handler.ServeHTTP(recorder, request)
	}()
	select {
	case <-answered:
	case <-request.Context().Done():
		<-answered
	}
	err := request.Context().Err()
	if err != nil {
		return nil, fmt.Errorf("in process: %w", err)
	}
	return recorder.Result(), nil
}

// bubbleIssuer returns an issuer and its key set for use inside a synctest bubble,
// whose clock both have.
func bubbleIssuer(t *testing.T, jitter float64) (*issuer.Issuer, *oidc.RemoteKeySet) {
	t.Helper()
	ci, err := issuer.New(issuer.Config{URL: "https://issuer.test", GenerateKey: issuerKeys()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ci.Close()) })
	keys := newKeySetWith(t, oidc.RemoteKeySetConfig{
		Issuer: ci.URL(), Now: time.Now, Transport: inProcess{ci.Handler()},
		Jitter: func() float64 { return jitter },
	})
	return ci, keys
}

// requireKey asks for a key that must be there.
func requireKey(tb testing.TB, keys oidc.KeySet, keyID string) {
	tb.Helper()
	key, err := keys.Key(context.Background(), keyID)
	require.NoError(tb, err)
	require.NotNil(tb, key)
}
