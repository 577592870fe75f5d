package oidc

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/trustpub/trustpub/adapters/remotekeys"
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
	cache *remotekeys.Cache[crypto.PublicKey]
}

var _ KeySet = (*RemoteKeySet)(nil)

// NewRemoteKeySet checks cfg and returns a key set that is loaded when a key is
// first asked for, or by [RemoteKeySet.Run].
func NewRemoteKeySet(cfg RemoteKeySetConfig) (*RemoteKeySet, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("oidc: remote key set needs Logger and Now")
	}
	f, err := newFetcher(cfg)
	if err != nil {
		return nil, err
	}
	logger := cfg.Logger.With(slog.String("issuer", cfg.Issuer))
	return &RemoteKeySet{remotekeys.NewCache(remotekeys.CacheConfig[crypto.PublicKey]{
		Fetch: f.fetch,
		Failed: func(ctx context.Context, err error) {
			logger.WarnContext(ctx, "fetching the key set failed", slog.Any("error", err))
		},
		Refresh: refreshInterval, Retry: retryInterval, Pause: pauseAfterFetch,
		Now: cfg.Now, Jitter: cfg.Jitter,
	})}, nil
}

func pauseAfterFetch(forUnknownKey, failed bool) time.Duration {
	switch {
	case failed:
		return failureCoolDown
	case forUnknownKey:
		return unknownKeyCoolDown
	}
	return 0
}

// Key implements [KeySet]. An ID that is not held causes a fetch, or waits for the
// one that is going on, unless the last one is too recent.
func (s *RemoteKeySet) Key(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	key, err := s.cache.Key(ctx, keyID)
	if missing, ok := errors.AsType[*remotekeys.MissingError](err); ok && missing.Held {
		return nil, unknownKey(keyID)
	}
	if err != nil {
		return nil, domain.Unavailable(domain.CodeKeysUnavailable, err,
			"The keys of the ID token's issuer can't be loaded right now. Try again in a few seconds.")
	}
	return key, nil
}

// Stats returns the state, for metrics. It waits for no fetch.
func (s *RemoteKeySet) Stats() remotekeys.Stats { return s.cache.Stats() }

// Run keeps the key set fresh until ctx ends: it loads it at once, and again every
// 15 minutes give or take a tenth, or a minute after a failure.
func (s *RemoteKeySet) Run(ctx context.Context) { s.cache.Run(ctx) }
