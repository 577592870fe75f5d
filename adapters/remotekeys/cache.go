// Package remotekeys holds public keys that somebody publishes on the web: a bounded
// fetch of their documents, and a cache that no client can make a nuisance of. It
// implements no port; adapters that verify signatures use it.
package remotekeys

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxAge is for how long keys serve while their publisher can't be reached.
	maxAge = 24 * time.Hour
	// maxWaiting is how many calls may wait for a fetch. Whoever makes a key ID up waits
	// for a publisher that hangs, without a valid signature, and must not fill the server.
	maxWaiting = 64
)

// CacheConfig holds what a [Cache] needs. All fields are required but where a default
// is named.
type CacheConfig[K any] struct {
	// Fetch returns the keys by their IDs. What it returns is never changed.
	Fetch func(ctx context.Context) (map[string]K, error)
	// Failed is told of a fetch that failed, unless its context has ended.
	Failed func(ctx context.Context, err error)
	// Refresh is how often keys are fetched in the background, and Retry how soon that
	// is tried again after a failure. A key that was withdrawn is accepted for Refresh at
	// most while fetches succeed.
	Refresh, Retry time.Duration
	// Pause returns how long after a fetch none begins for a key that is not held, of
	// which an attacker can make up any number. forUnknownKey says that such a key caused
	// the fetch although keys were held.
	Pause func(forUnknownKey, failed bool) time.Duration
	// Now is the clock.
	Now func() time.Time
	// Jitter spreads the background fetches of several replicas: it returns a number
	// from 0 to 1. Nil is math/rand/v2.Float64.
	Jitter func() float64
}

// Cache holds keys. One that is held is answered from memory, without a lock, whatever
// the publisher does meanwhile. It is safe for concurrent use.
type Cache[K any] struct {
	cfg CacheConfig[K]

	// held is the last good copy; nil before the first load.
	held atomic.Pointer[heldKeys[K]]

	fetched, failed atomic.Uint64
	// waiting is how many calls wait for a fetch.
	waiting atomic.Int64

	// mu guards what follows, and is never held during a fetch.
	mu sync.Mutex
	// inFlight is the fetch that is going on; nil when there is none.
	inFlight *fetch
	// last is the fetch that ended last; nil before there was one.
	last *fetch
	// notBefore is when the next fetch for an unknown key may begin.
	notBefore time.Time
}

// heldKeys is a copy of the keys. It is never changed.
type heldKeys[K any] struct {
	keys     map[string]K
	loadedAt time.Time
}

// fetch is one fetch that any number of calls may wait for.
type fetch struct {
	done          chan struct{}
	forUnknownKey bool
	// err may be read once done is closed.
	err error
}

// NewCache returns a cache that is loaded when a key is first asked for, or by
// [Cache.Run].
func NewCache[K any](cfg CacheConfig[K]) *Cache[K] {
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	return &Cache[K]{cfg: cfg}
}

// MissingError is the error for a key that is not held after the last fetch.
type MissingError struct {
	// Held reports whether keys are held at all: the publisher does not have this one, as
	// far as is known.
	Held bool
	// Err is how the last fetch ended; nil when it succeeded.
	Err error
}

// Error implements error.
func (m *MissingError) Error() string {
	if m.Err != nil {
		return "the last fetch failed: " + m.Err.Error()
	}
	return "the key is not among those that are published"
}

// Unwrap returns how the last fetch ended.
func (m *MissingError) Unwrap() error { return m.Err }

// Key returns the key with that ID. One that is not held causes a fetch, or waits for
// the one that is going on, unless the last one is too recent. What is not found then is
// a *[MissingError]; any other error says that the fetch could not be waited for.
func (c *Cache[K]) Key(ctx context.Context, id string) (K, error) {
	key, found, usable := c.lookUp(id)
	if found {
		return key, nil
	}
	f := c.fetchForKey(ctx, usable)
	err := c.wait(ctx, f)
	if err != nil {
		return key, err
	}
	key, found, usable = c.lookUp(id)
	if found {
		return key, nil
	}
	return key, &MissingError{Held: usable, Err: f.err}
}

// wait waits for the end of a fetch, if not too many do so already.
func (c *Cache[K]) wait(ctx context.Context, f *fetch) error {
	select {
	case <-f.done:
		return nil
	default:
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return errors.New("too many requests wait for the fetch")
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookUp returns the key if it is held, and whether the copy that is held may be used at
// all.
func (c *Cache[K]) lookUp(id string) (key K, found, usable bool) {
	held := c.held.Load()
	if held == nil || c.cfg.Now().Sub(held.loadedAt) > maxAge {
		return key, false, false
	}
	key, found = held.keys[id]
	return key, found, true
}

// fetchForKey returns a fetch to wait for: the one that is going on, the last one during
// the pause, or a new one, which outlives the request that caused it: a client that goes
// away must not be able to cut it off for the others.
func (c *Cache[K]) fetchForKey(ctx context.Context, usable bool) *fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inFlight != nil:
		return c.inFlight
	case c.last != nil && c.cfg.Now().Before(c.notBefore):
		return c.last
	}
	return c.start(context.WithoutCancel(ctx), usable)
}

// start begins a fetch. c.mu must be held, and no fetch be in flight.
func (c *Cache[K]) start(ctx context.Context, forUnknownKey bool) *fetch {
	f := &fetch{done: make(chan struct{}), forUnknownKey: forUnknownKey}
	c.inFlight = f
	go func() {
		keys, err := c.cfg.Fetch(ctx)
		c.finish(f, keys, err)
		if err != nil && ctx.Err() == nil {
			c.cfg.Failed(ctx, err)
		}
	}()
	return f
}

// finish takes the result of a fetch over. One that failed leaves the held copy.
func (c *Cache[K]) finish(f *fetch, keys map[string]K, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	// A background fetch must not cut a pause short that unknown keys brought about.
	if next := now.Add(c.cfg.Pause(f.forUnknownKey, err != nil)); next.After(c.notBefore) {
		c.notBefore = next
	}
	if err == nil {
		c.held.Store(&heldKeys[K]{keys: keys, loadedAt: now})
		c.fetched.Add(1)
	} else {
		c.failed.Add(1)
	}
	f.err = err
	c.last, c.inFlight = f, nil
	close(f.done)
}

// Stats are what is known of a [Cache], for metrics.
type Stats struct {
	// LoadedAt is when the keys that are held were loaded; zero while there are none.
	LoadedAt time.Time
	// Fetched and Failed count the fetches that succeeded and that failed.
	Fetched, Failed uint64
}

// Stats returns the state. It waits for no fetch.
func (c *Cache[K]) Stats() Stats {
	stats := Stats{Fetched: c.fetched.Load(), Failed: c.failed.Load()}
	if held := c.held.Load(); held != nil {
		stats.LoadedAt = held.loadedAt
	}
	return stats
}

// Run keeps the keys fresh until ctx ends: it loads them at once, and again after each
// Refresh give or take a tenth, or Retry after a failure.
func (c *Cache[K]) Run(ctx context.Context) {
	for {
		f := c.refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-f.done:
		}
		pause := c.cfg.Refresh
		if f.err != nil {
			pause = c.cfg.Retry
		}
		pause += time.Duration((c.cfg.Jitter() - 0.5) * 0.2 * float64(pause))
		timer := time.NewTimer(pause)
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
func (c *Cache[K]) refresh(ctx context.Context) *fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight != nil {
		return c.inFlight
	}
	return c.start(ctx, false)
}
