package githubkeys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/githubkeys"
	"github.com/trustpub/trustpub/domain"
)

const message = `[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/"}]`

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func sign(t *testing.T, key *ecdsa.PrivateKey, text string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(signature)
}

// entry is a key as GitHub lists it.
type entry struct {
	ID        string `json:"key_identifier"`
	Key       string `json:"key"`
	IsCurrent bool   `json:"is_current"`
}

func listed(t *testing.T, id string, public any, isCurrent bool) entry {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return entry{id, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), isCurrent}
}

func document(t *testing.T, entries ...entry) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"public_keys": entries})
	require.NoError(t, err)
	return string(text)
}

// api is GitHub's API, which answers what it is told to.
type api struct {
	requests atomic.Int64
	handler  atomic.Pointer[http.HandlerFunc]
	url      string
}

func startAPI(t *testing.T, handler http.HandlerFunc) *api {
	t.Helper()
	a := &api{}
	a.handler.Store(&handler)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		(*a.handler.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *api) set(handler http.HandlerFunc) { a.handler.Store(&handler) }

func serve(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeySet(t *testing.T, a *api) (*githubkeys.KeySet, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	keys, err := githubkeys.New(githubkeys.Config{URL: a.url, Logger: slog.New(slog.DiscardHandler), Now: c.Now})
	require.NoError(t, err)
	return keys, c
}

func requireRefused(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, domain.CodeInvalidWebhookSignature, domain.CodeOf(err), "%v", err)
	require.Equal(t, domain.KindRefused, domain.KindOf(err))
}

func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, domain.CodeWebhookKeysUnavailable, domain.CodeOf(err), "%v", err)
	require.Equal(t, domain.KindUnavailable, domain.KindOf(err))
}

func TestOnlyTheSignatureOfACurrentKeyOverTheVeryMessageIsAccepted(t *testing.T) {
	t.Parallel()
	key, other, old, wide := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	a := startAPI(t, serve(document(t, listed(t, "key", &key.PublicKey, true), listed(t, "other", &other.PublicKey, true),
		listed(t, "old", &old.PublicKey, false), listed(t, "wide", &wide.PublicKey, true))))
	keys, _ := newKeySet(t, a)
	good := sign(t, key, message)
	der, err := base64.StdEncoding.DecodeString(good)
	require.NoError(t, err)
	require.NoError(t, keys.Verify(t.Context(), "key", good, []byte(message)))

	tests := []struct{ name, keyID, signature, text string }{
		{"another key's ID", "other", good, message},
		{"another key's signature", "key", sign(t, other, message), message},
		{"a key that is not current", "old", sign(t, old, message), message},
		{"a key on another curve", "wide", sign(t, wide, message), message},
		{"a key that is not listed", "unlisted", good, message},
		{"the key's ID in capitals", "KEY", good, message},
		{"no key ID", "", good, message},
		{"one byte more", "key", good, message + " "},
		{"one byte less", "key", good, message[:len(message)-1]},
		{"one byte changed", "key", good, strings.Replace(message, "some_token", "some_tokeN", 1)},
		{"the same JSON, encoded anew", "key", good, strings.ReplaceAll(message, ":\"", ": \"")},
		{"the same JSON in another order", "key", good, `[{"token":"some_token","source":"commit","type":"some_type","url":"https://example.com/"}]`},
		{"an empty message", "key", good, ""},
		{"an empty signature", "key", "", message},
		{"a signature that is not in base64", "key", "!" + good, message},
		{"a signature in base64 for URLs", "key", base64.RawURLEncoding.EncodeToString(der), message},
		{"something after the signature", "key", base64.StdEncoding.EncodeToString(append(slices.Clip(der), 0)), message},
		{"a signature that is cut off", "key", base64.StdEncoding.EncodeToString(der[:len(der)-1]), message},
		{"a signature of zeros", "key", base64.StdEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 0, 2, 1, 0}), message},
		{"the signature of another message", "key", sign(t, key, "[]"), message},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requireRefused(t, keys.Verify(t.Context(), tt.keyID, tt.signature, []byte(tt.text)))
		})
	}
}

func TestAnAnswerThatIsNoGoodNeverReplacesTheKeys(t *testing.T) {
	t.Parallel()
	key, next := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	fresh := listed(t, "next", &next.PublicKey, true)
	private := fresh
	private.Key = strings.ReplaceAll(fresh.Key, "PUBLIC KEY", "PRIVATE KEY")
	twoBlocks := fresh
	twoBlocks.Key += fresh.Key
	elsewhere := startAPI(t, serve(document(t, fresh)))
	tests := []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"an error", status(http.StatusInternalServerError)},
		{"the rate limit", status(http.StatusForbidden)},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.url, http.StatusFound) }},
		{"a reset connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"nothing", serve("")},
		{"no JSON", serve("<html>")},
		{"no object", serve("[]")},
		{"another object", serve("{}")},
		{"no array", serve(`{"public_keys":{}}`)},
		{"an empty array", serve(`{"public_keys":[]}`)},
		{"a repeated member", serve(strings.Replace(document(t, fresh), `{"public_keys"`, `{"public_keys":[],"public_keys"`, 1))},
		{"something that follows", serve(document(t, fresh) + "x")},
		{"numbers", serve(`{"public_keys":[1]}`)},
		{"one ID for two keys", serve(document(t, fresh, listed(t, "next", &key.PublicKey, true)))},
		{"one ID for two keys, one of them old", serve(document(t, fresh, listed(t, "next", &key.PublicKey, false)))},
		{"a key of no ID", serve(document(t, listed(t, "", &next.PublicKey, true)))},
		{"a key that does not say whether it is current", serve(strings.Replace(document(t, fresh), `,"is_current":true`, "", 1))},
		{"a key that is no PEM", serve(document(t, entry{"next", "x", true}))},
		{"a key of another type of PEM", serve(document(t, private))},
		{"two keys in one", serve(document(t, twoBlocks))},
		{"an RSA key", serve(document(t, listed(t, "next", &rsaKey.PublicKey, true)))},
		{"a key on another curve", serve(document(t, listed(t, "next", &newKey(t, elliptic.P384()).PublicKey, true)))},
		{"more than 256 KiB", serve(document(t, fresh) + strings.Repeat(" ", 256<<10))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := startAPI(t, serve(document(t, listed(t, "key", &key.PublicKey, true))))
			keys, _ := newKeySet(t, a)
			require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))
			a.set(tt.handler)

			requireUnavailable(t, keys.Verify(t.Context(), "next", sign(t, next, message), []byte(message)))

			require.EqualValues(t, 2, a.requests.Load(), "it was asked for")
			require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))
		})
	}
	require.Zero(t, elsewhere.requests.Load(), "a redirect was followed")
}

func TestAnUnusableKeyDisablesNoneOfItsNeighbours(t *testing.T) {
	t.Parallel()
	key := newKey(t, elliptic.P256())
	a := startAPI(t, serve(document(t, entry{"bad", "x", true}, listed(t, "key", &key.PublicKey, true), entry{"bad", "x", true})))
	keys, _ := newKeySet(t, a)

	require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))
}

func TestAFloodOfUnknownKeyIDsCausesOneFetchPerCoolDown(t *testing.T) {
	t.Parallel()
	key := newKey(t, elliptic.P256())
	good := sign(t, key, message)
	a := startAPI(t, serve(document(t, listed(t, "key", &key.PublicKey, true))))
	keys, c := newKeySet(t, a)
	require.NoError(t, keys.Verify(t.Context(), "key", good, []byte(message)))
	for round := range int64(3) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 100 {
					_ = keys.Verify(context.Background(), rand.Text(), good, []byte(message))
				}
			})
		}
		wg.Wait()
		require.Equal(t, 2+round, a.requests.Load())
		c.advance(5*time.Minute - 1)
		requireRefused(t, keys.Verify(t.Context(), "unknown", good, []byte(message)))
		require.Equal(t, 2+round, a.requests.Load())
		c.advance(1)
	}
}

func TestANewKeyIsUsableAtOnceAndAWithdrawnOneIsRefusedFromThenOn(t *testing.T) {
	t.Parallel()
	old, next := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	a := startAPI(t, serve(document(t, listed(t, "old", &old.PublicKey, true))))
	keys, _ := newKeySet(t, a)
	require.NoError(t, keys.Verify(t.Context(), "old", sign(t, old, message), []byte(message)))

	a.set(serve(document(t, listed(t, "old", &old.PublicKey, false), listed(t, "next", &next.PublicKey, true))))

	require.NoError(t, keys.Verify(t.Context(), "next", sign(t, next, message), []byte(message)))
	requireRefused(t, keys.Verify(t.Context(), "old", sign(t, old, message), []byte(message)))
}

func TestKeysServeForADayWhileGitHubFails(t *testing.T) {
	t.Parallel()
	key := newKey(t, elliptic.P256())
	good := sign(t, key, message)
	a := startAPI(t, serve(document(t, listed(t, "key", &key.PublicKey, true))))
	keys, c := newKeySet(t, a)
	require.NoError(t, keys.Verify(t.Context(), "key", good, []byte(message)))
	a.set(status(http.StatusBadGateway))

	c.advance(24 * time.Hour)
	require.NoError(t, keys.Verify(t.Context(), "key", good, []byte(message)))
	c.advance(1)
	requireUnavailable(t, keys.Verify(t.Context(), "key", good, []byte(message)))
	a.set(serve(document(t, listed(t, "key", &key.PublicKey, true))))
	requireUnavailable(t, keys.Verify(t.Context(), "key", good, []byte(message)))
	c.advance(15 * time.Second)
	require.NoError(t, keys.Verify(t.Context(), "key", good, []byte(message)))
}

func TestAFetchThatHangsHoldsUpNoKnownKeyAndOutlivesTheRequestThatCausedIt(t *testing.T) {
	t.Parallel()
	key, next := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	a := startAPI(t, serve(document(t, listed(t, "key", &key.PublicKey, true))))
	keys, _ := newKeySet(t, a)
	require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))
	begun, release := make(chan struct{}), make(chan struct{})
	a.set(func(w http.ResponseWriter, _ *http.Request) {
		close(begun) // A second fetch would panic.
		<-release
		_, _ = w.Write([]byte(document(t, listed(t, "next", &next.PublicKey, true))))
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	signature := sign(t, next, message)
	go func() { ended <- keys.Verify(ctx, "next", signature, []byte(message)) }()
	<-begun
	require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))
	cancel()
	requireUnavailable(t, <-ended)

	waiting := make(chan error, 1)
	go func() { waiting <- keys.Verify(t.Context(), "next", signature, []byte(message)) }()
	close(release)

	require.NoError(t, <-waiting)
}

func TestAFetchEndsAfterFiveSeconds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := startAPI(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	keys, _ := newKeySet(t, a)

	requireUnavailable(t, keys.Verify(t.Context(), "key", "", []byte(message)))
}

func TestRunLoadsTheKeysAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	key := newKey(t, elliptic.P256())
	loaded := make(chan struct{}, 1)
	a := startAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(document(t, listed(t, "key", &key.PublicKey, true))))
		loaded <- struct{}{}
	})
	keys, _ := newKeySet(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { keys.Run(ctx); close(ended) }()
	<-loaded

	require.NoError(t, keys.Verify(t.Context(), "key", sign(t, key, message), []byte(message)))

	require.EqualValues(t, 1, a.requests.Load())
	cancel()
	<-ended
}

func TestAKeySetNeedsASafeURLALoggerAndAClock(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	for _, cfg := range []githubkeys.Config{
		{},
		{URL: githubkeys.DefaultURL, Logger: logger},
		{URL: githubkeys.DefaultURL, Now: time.Now},
		{Logger: logger, Now: time.Now},
		{URL: "http://api.example/keys", Logger: logger, Now: time.Now},
		{URL: "https://u:p@api.example/keys", Logger: logger, Now: time.Now},
	} {
		_, err := githubkeys.New(cfg)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "u:p@")
	}
}
