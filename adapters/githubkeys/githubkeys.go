// Package githubkeys verifies what GitHub's secret scanning signs, with the public keys
// that GitHub publishes
// (https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program).
package githubkeys

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// DefaultURL is where github.com publishes the keys.
const DefaultURL = "https://api.github.com/meta/public_keys/secret_scanning"

const (
	// refreshInterval is how often keys are fetched in the background; a key that
	// GitHub withdrew is accepted for as long at most.
	refreshInterval = time.Hour
	// retryInterval is how soon a background fetch is tried again after a failure.
	retryInterval = time.Minute
	// unknownKeyCoolDown is the pause between two fetches for unknown key IDs, of which
	// an attacker can make up any number. GitHub answers 60 requests an hour from one
	// address, and the look-up of owners needs some of them
	// (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api).
	unknownKeyCoolDown = 5 * time.Minute
	// failureCoolDown is the pause after a failed fetch when no keys are held.
	failureCoolDown = 15 * time.Second
	// maxAge is for how long keys serve while GitHub can't be reached.
	maxAge = 24 * time.Hour
)

// Config holds what a [KeySet] needs.
type Config struct {
	// URL is where the keys are, such as [DefaultURL].
	URL string
	// Logger is told of fetches that fail and of keys that are skipped.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Transport carries the requests. Nil is a clone of http.DefaultTransport, which
	// honours the proxy settings of the environment, without kept-alive connections.
	Transport http.RoundTripper
	// Jitter spreads the background fetches of several replicas: it returns a number
	// from 0 to 1. Nil is math/rand/v2.Float64.
	Jitter func() float64
}

// KeySet is the keys that GitHub signs with. One that is held is answered from memory,
// without a lock, whatever GitHub's API does meanwhile. It is safe for concurrent use.
type KeySet struct {
	fetcher *fetcher
	logger  *slog.Logger
	now     func() time.Time
	jitter  func() float64

	// held is the last good copy; nil before the first load.
	held atomic.Pointer[heldKeys]

	// mu guards what follows, and is never held during a fetch.
	mu sync.Mutex
	// inFlight is the fetch that is going on; nil when there is none.
	inFlight *fetch
	// last is the fetch that ended last; nil before there was one.
	last *fetch
	// notBefore is when the next fetch for an unknown key may begin.
	notBefore time.Time
}

// heldKeys is a copy of the current keys, by their IDs. It is never changed.
type heldKeys struct {
	keys     map[string]*ecdsa.PublicKey
	loadedAt time.Time
}

// fetch is one fetch that any number of requests may wait for.
type fetch struct {
	done chan struct{}
	// forUnknownKey is set when an unknown key ID caused it, though keys were held.
	forUnknownKey bool
	// err may be read once done is closed.
	err error
}

// New checks cfg and returns a key set that is loaded when a key is first asked for, or
// by [KeySet.Run].
func New(cfg Config) (*KeySet, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("githubkeys: the key set needs Logger and Now")
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	f, err := newFetcher(cfg)
	if err != nil {
		return nil, err
	}
	return &KeySet{fetcher: f, logger: cfg.Logger, now: cfg.Now, jitter: cfg.Jitter}, nil
}

// Verify returns nil when the message is signed with the current key of that ID.
// signature is an ASN.1 ECDSA signature on P-256 over the message's SHA-256, in base64.
// A key or a signature that is no good is KindRefused with CodeInvalidWebhookSignature;
// while the keys can't be had it is KindUnavailable with CodeWebhookKeysUnavailable.
func (s *KeySet) Verify(ctx context.Context, keyID, signature string, message []byte) error {
	decoded, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return refuse("The signature is not in base64 as RFC 4648 section 4 has it.")
	}
	key, err := s.key(ctx, keyID)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(key, digest[:], decoded) {
		return refuse("The signature is not that of the key over the SHA-256 of the body. Sign the body byte for byte as it is sent.")
	}
	return nil
}

func refuse(message string) error {
	return domain.Refuse(domain.CodeInvalidWebhookSignature, "%s", message)
}

func unavailable(cause error) error {
	return domain.Unavailable(domain.CodeWebhookKeysUnavailable, cause,
		"The public keys of GitHub's secret scanning can't be loaded right now. Try again in a minute.")
}

// key returns the current key of that ID. An ID that is not held causes a fetch, or
// waits for the one that is going on, unless the last one is too recent.
func (s *KeySet) key(ctx context.Context, keyID string) (*ecdsa.PublicKey, error) {
	key, usable := s.lookUp(keyID)
	if key != nil {
		return key, nil
	}
	f := s.fetchForKey(ctx, usable)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	key, _ = s.lookUp(keyID)
	switch {
	case key != nil:
		return key, nil
	case f.err != nil:
		// It may be a new key, and then its message must not be lost.
		return nil, unavailable(f.err)
	}
	return nil, refuse("The key is not a current one of GitHub's secret scanning. Sign with one that the list of public keys has as current.")
}

// lookUp returns the key if it is held, and whether the copy that is held may be used
// at all.
func (s *KeySet) lookUp(keyID string) (*ecdsa.PublicKey, bool) {
	held := s.held.Load()
	if held == nil || s.now().Sub(held.loadedAt) > maxAge {
		return nil, false
	}
	return held.keys[keyID], true
}

// fetchForKey returns a fetch to wait for: the one that is going on, the last one
// during the cool-down, or a new one, which outlives the request that caused it: a
// client that goes away must not be able to cut it off for the others.
func (s *KeySet) fetchForKey(ctx context.Context, usable bool) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.inFlight != nil:
		return s.inFlight
	case s.last != nil && s.now().Before(s.notBefore):
		return s.last
	}
	return s.start(context.WithoutCancel(ctx), usable)
}

// start begins a fetch. s.mu must be held, and no fetch be in flight.
func (s *KeySet) start(ctx context.Context, forUnknownKey bool) *fetch {
	f := &fetch{done: make(chan struct{}), forUnknownKey: forUnknownKey}
	s.inFlight = f
	go func() {
		keys, err := s.fetcher.fetch(ctx)
		s.finish(f, keys, err)
		if err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "fetching the public keys of secret scanning failed", slog.Any("error", err))
		}
	}()
	return f
}

// finish takes the result of a fetch over. One that failed leaves the held copy.
func (s *KeySet) finish(f *fetch, keys map[string]*ecdsa.PublicKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	pause := time.Duration(0)
	switch {
	case f.forUnknownKey:
		pause = unknownKeyCoolDown
	case err != nil:
		pause = failureCoolDown
	}
	// A background fetch must not cut a pause short that unknown keys brought about.
	if next := now.Add(pause); next.After(s.notBefore) {
		s.notBefore = next
	}
	if err == nil {
		s.held.Store(&heldKeys{keys: keys, loadedAt: now})
	}
	f.err = err
	s.last, s.inFlight = f, nil
	close(f.done)
}

// Run keeps the keys fresh until ctx ends: it loads them at once, and again every hour
// give or take a tenth, or a minute after a failure.
func (s *KeySet) Run(ctx context.Context) {
	for {
		f := s.refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-f.done:
		}
		wait := refreshInterval
		if f.err != nil {
			wait = retryInterval
		}
		wait += time.Duration((s.jitter() - 0.5) * 0.2 * float64(wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// refresh begins a fetch, or joins the one that is going on. No pause holds it up: Run
// calls it rarely enough.
func (s *KeySet) refresh(ctx context.Context) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight != nil {
		return s.inFlight
	}
	return s.start(ctx, false)
}
