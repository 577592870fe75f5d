// Package ratelimit bounds how often somebody may ask: token buckets by key, and an
// [application.Verifier] that spends from the bucket of an ID token's issuer.
package ratelimit

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// DefaultMost is how many keys are remembered by default. Each takes about 250 bytes.
const DefaultMost = 100_000

// Config holds what a [Limiter] needs. All fields are required but where a default is
// named.
type Config struct {
	// Requests is how many may come at once, and how many come back in Per: at a steady
	// pace, not all at its end.
	Requests int
	// Per is the time in which an empty bucket is full again.
	Per time.Duration
	// Most is how many keys are remembered. The one that was seen the longest ago is
	// forgotten for a new one, and begins anew with a full bucket. Zero is DefaultMost.
	Most int
	// Now is the clock.
	Now func() time.Time
}

// Limiter has a token bucket for each key. It is safe for concurrent use, and what it
// remembers is bounded.
type Limiter struct {
	cfg Config

	mu      sync.Mutex
	buckets *simplelru.LRU[string, *rate.Limiter]
}

// New checks cfg and returns a limiter whose buckets are full.
func New(cfg Config) (*Limiter, error) {
	if cfg.Most == 0 {
		cfg.Most = DefaultMost
	}
	switch {
	case cfg.Requests < 1 || cfg.Per <= 0:
		return nil, fmt.Errorf("ratelimit: %d requests in %s are no rate", cfg.Requests, cfg.Per)
	case cfg.Now == nil:
		return nil, errors.New("ratelimit: the limiter needs Now")
	}
	buckets, err := simplelru.NewLRU[string, *rate.Limiter](cfg.Most, nil)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: remember %d keys: %w", cfg.Most, err)
	}
	return &Limiter{cfg: cfg, buckets: buckets}, nil
}

// Take takes one request from the key's bucket. Where it is empty, it takes nothing and
// returns false and how long it will be until there is one.
func (l *Limiter) Take(key string) (wait time.Duration, ok bool) {
	now := l.cfg.Now()
	bucket := l.bucket(key)
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := max(0, 1-bucket.TokensAt(now))
	return time.Duration(missing / float64(bucket.Limit()) * float64(time.Second)), false
}

func (l *Limiter) bucket(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, known := l.buckets.Get(key)
	if !known {
		perSecond := float64(l.cfg.Requests) / l.cfg.Per.Seconds()
		bucket = rate.NewLimiter(rate.Limit(perSecond), l.cfg.Requests)
		l.buckets.Add(key, bucket)
	}
	return bucket
}
