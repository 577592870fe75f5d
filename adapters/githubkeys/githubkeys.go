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
	"net/http"
	"time"

	"github.com/trustpub/trustpub/adapters/remotekeys"
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
	cache *remotekeys.Cache[*ecdsa.PublicKey]
}

// New checks cfg and returns a key set that is loaded when a key is first asked for, or
// by [KeySet.Run].
func New(cfg Config) (*KeySet, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("githubkeys: the key set needs Logger and Now")
	}
	f, err := newFetcher(cfg)
	if err != nil {
		return nil, err
	}
	return &KeySet{remotekeys.NewCache(remotekeys.CacheConfig[*ecdsa.PublicKey]{
		Fetch: f.fetch,
		Failed: func(ctx context.Context, err error) {
			cfg.Logger.WarnContext(ctx, "fetching the public keys of secret scanning failed", slog.Any("error", err))
		},
		Refresh: refreshInterval, Retry: retryInterval, Pause: pauseAfterFetch,
		Now: cfg.Now, Jitter: cfg.Jitter,
	})}, nil
}

func pauseAfterFetch(forUnknownKey, failed bool) time.Duration {
	switch {
	case forUnknownKey:
		return unknownKeyCoolDown
	case failed:
		return failureCoolDown
	}
	return 0
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
	key, err := s.cache.Key(ctx, keyID)
	if missing, ok := errors.AsType[*remotekeys.MissingError](err); ok && missing.Err == nil {
		return nil, refuse("The key is not a current one of GitHub's secret scanning. Sign with one that the list of public keys has as current.")
	}
	if err != nil {
		// It may be a new key, and then its message must not be lost.
		return nil, unavailable(err)
	}
	return key, nil
}

// Run keeps the keys fresh until ctx ends: it loads them at once, and again every hour
// give or take a tenth, or a minute after a failure.
func (s *KeySet) Run(ctx context.Context) { s.cache.Run(ctx) }
