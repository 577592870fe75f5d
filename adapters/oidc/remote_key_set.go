package oidc

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/domain"
)

const (
	// refreshInterval is how often keys are fetched in the background; a key that the
	// issuer withdrew is accepted for as long at most.
	refreshInterval = 15 * time.Minute
	// retryInterval is how soon a background fetch is tried again after a failure.
	retryInterval = time.Minute
	// unknownKeyCoolDown is the pause between two fetches for unknown key IDs, of
	// which an attacker can make up any number.
	unknownKeyCoolDown = time.Minute
	// failureCoolDown is the pause after a failed fetch.
	failureCoolDown = 5 * time.Second
	// maxWaiting is how many calls may wait for a fetch. Whoever makes a key ID up waits
	// for an issuer that hangs, without a valid signature, and must not fill the server.
	maxWaiting = 64
	// maxAge is for how long a key set serves while its issuer can't be reached.
	maxAge = 24 * time.Hour
)

// RemoteKeySetConfig holds what a [RemoteKeySet] needs.
type RemoteKeySetConfig struct {
	// Issuer is the issuer URL, below which the discovery document is.
	Issuer string
	// Algorithms are the JWS algorithms of the issuer; keys for others are skipped.
	Algorithms []string
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

// RemoteKeySet is the [KeySet] that an issuer publishes. A key that is held is
// answered from memory, without a lock, whatever the issuer does meanwhile. It is
// safe for concurrent use.
type RemoteKeySet struct {
	fetcher *fetcher
	logger  *slog.Logger
	now     func() time.Time
	jitter  func() float64

	// held is the last good copy; nil before the first load.
	held atomic.Pointer[heldKeys]

	fetched, failed atomic.Uint64

	// waiting is how many calls wait for a fetch.
	waiting atomic.Int64

	// mu guards what follows, and is never held during a fetch.
	mu sync.Mutex
	// inFlight is the fetch that is going on; nil when there is none.
	inFlight *fetch
	// notBefore is when the next fetch for an unknown key may begin.
	notBefore time.Time
}

var _ KeySet = (*RemoteKeySet)(nil)

// heldKeys is a copy of the issuer's keys. It is never changed.
type heldKeys struct {
	keys     map[string]crypto.PublicKey
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

// NewRemoteKeySet checks cfg and returns a key set that is loaded when a key is
// first asked for, or by [RemoteKeySet.Run].
func NewRemoteKeySet(cfg RemoteKeySetConfig) (*RemoteKeySet, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("oidc: remote key set needs Logger and Now")
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	f, err := newFetcher(cfg)
	if err != nil {
		return nil, err
	}
	return &RemoteKeySet{
		fetcher: f,
		logger:  cfg.Logger.With(slog.String("issuer", cfg.Issuer)),
		now:     cfg.Now,
		jitter:  cfg.Jitter,
	}, nil
}

// Key implements [KeySet]. An ID that is not held causes a fetch, or waits for the
// one that is going on, unless the last one is too recent.
func (s *RemoteKeySet) Key(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	key, usable := s.lookUp(keyID)
	if key != nil {
		return key, nil
	}
	f := s.fetchForKey(ctx, usable)
	if f == nil {
		return nil, s.missing(keyID, usable, errors.New("the last fetch failed moments ago"))
	}
	err := s.wait(ctx, f)
	if err != nil {
		return nil, keysUnavailable(err)
	}
	key, usable = s.lookUp(keyID)
	if key != nil {
		return key, nil
	}
	return nil, s.missing(keyID, usable, f.err)
}

// wait waits for the end of a fetch, if not too many do so already.
func (s *RemoteKeySet) wait(ctx context.Context, f *fetch) error {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return errors.New("too many requests wait for the fetch")
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookUp returns the key if it is held, and whether the copy that is held may be
// used at all.
func (s *RemoteKeySet) lookUp(keyID string) (crypto.PublicKey, bool) {
	held := s.held.Load()
	if held == nil || s.now().Sub(held.loadedAt) > maxAge {
		return nil, false
	}
	return held.keys[keyID], true
}

// missing tells a key that the issuer does not have from one that can't be known.
func (s *RemoteKeySet) missing(keyID string, usable bool, cause error) error {
	if usable {
		return unknownKey(keyID)
	}
	return keysUnavailable(cause)
}

func keysUnavailable(cause error) error {
	return domain.Unavailable(domain.CodeKeysUnavailable, cause,
		"The keys of the ID token's issuer can't be loaded right now. Try again in a few seconds.")
}

// fetchForKey returns a fetch to wait for, or nil during the cool-down. The fetch
// outlives the request that caused it: a client that goes away must not be able to
// cut it off for the others.
func (s *RemoteKeySet) fetchForKey(ctx context.Context, loaded bool) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight != nil {
		return s.inFlight
	}
	if s.now().Before(s.notBefore) {
		return nil
	}
	return s.start(context.WithoutCancel(ctx), loaded)
}

// start begins a fetch. s.mu must be held, and no fetch be in flight.
func (s *RemoteKeySet) start(ctx context.Context, forUnknownKey bool) *fetch {
	f := &fetch{done: make(chan struct{}), forUnknownKey: forUnknownKey}
	s.inFlight = f
	go func() {
		keys, err := s.fetcher.fetch(ctx)
		s.finish(f, keys, err)
		if err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "fetching the key set failed", slog.Any("error", err))
		}
	}()
	return f
}

// finish takes the result of a fetch over. One that failed leaves the held copy.
func (s *RemoteKeySet) finish(f *fetch, keys map[string]crypto.PublicKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	pause := time.Duration(0)
	switch {
	case err != nil:
		pause = failureCoolDown
	case f.forUnknownKey:
		pause = unknownKeyCoolDown
	}
	// A background fetch must not cut a pause short that unknown keys brought about.
	s.notBefore = later(s.notBefore, now.Add(pause))
	if err == nil {
		s.held.Store(&heldKeys{keys: keys, loadedAt: now})
		s.fetched.Add(1)
	} else {
		s.failed.Add(1)
	}
	f.err = err
	s.inFlight = nil
	close(f.done)
}

// KeySetStats is the state of a [RemoteKeySet], for metrics.
type KeySetStats struct {
	// LoadedAt is when the keys that are held were loaded; zero while there are none.
	LoadedAt time.Time
	// Fetched and Failed count the fetches that succeeded and that failed.
	Fetched, Failed uint64
}

// Stats returns the state. It waits for no fetch.
func (s *RemoteKeySet) Stats() KeySetStats {
	stats := KeySetStats{Fetched: s.fetched.Load(), Failed: s.failed.Load()}
	if held := s.held.Load(); held != nil {
		stats.LoadedAt = held.loadedAt
	}
	return stats
}

// Run keeps the key set fresh until ctx ends: it loads it at once, and again every
// 15 minutes give or take a tenth, or a minute after a failure.
func (s *RemoteKeySet) Run(ctx context.Context) {
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

// refresh begins a fetch, or joins the one that is going on. No pause holds it up:
// Run calls it rarely enough.
func (s *RemoteKeySet) refresh(ctx context.Context) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight != nil {
		return s.inFlight
	}
	return s.start(ctx, false)
}
