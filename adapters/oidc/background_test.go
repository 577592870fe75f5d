package oidc_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// run keeps keys fresh until the test or what is returned ends it.
func run(t *testing.T, keys *oidc.RemoteKeySet) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keys.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestABackgroundRefreshDoesNotCountAsAFetchForAnUnknownKey(t *testing.T) {
	for name, wait := range map[string]time.Duration{"the first load": 0, "a refresh": 15 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ci, keys := bubbleIssuer(t, 0.5)
				defer run(t, keys)()
				time.Sleep(wait)
				synctest.Wait()
				before := ci.Requests(issuer.KeySet)

				rotated, err := ci.Rotate()
				require.NoError(t, err)
				requireKey(t, keys, rotated)
				require.Equal(t, before+1, ci.Requests(issuer.KeySet), "a fetch for the unknown key")
				_, err = keys.Key(t.Context(), "unknown")
				requireRefused(t, err, domain.CodeUnknownKey, "")
				require.Equal(t, before+1, ci.Requests(issuer.KeySet), "and none within a minute")
			})
		})
	}
}

// TestUnknownKeysDoNotKeepTheBackgroundRefreshFromHappening: whoever makes up key
// IDs must not be able to keep a withdrawn key alive.
func TestUnknownKeysDoNotKeepTheBackgroundRefreshFromHappening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		defer run(t, keys)()
		synctest.Wait()
		withdrawn := ci.KeyID()
		time.Sleep(15*time.Minute - 1)
		_, err := keys.Key(t.Context(), "unknown")
		requireRefused(t, err, domain.CodeUnknownKey, "")
		_, err = ci.Rotate()
		require.NoError(t, err)
		ci.Withdraw(withdrawn)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		_, err = keys.Key(t.Context(), withdrawn)
		requireRefused(t, err, domain.CodeUnknownKey, "")
	})
}

func TestTheEndOfTheServerIsNoFailureOfTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, err := issuer.New(issuer.Config{URL: "https://issuer.test", GenerateKey: issuerKeys()})
		require.NoError(t, err)
		defer func() { require.NoError(t, ci.Close()) }()
		ci.SetFault(issuer.Discovery, hang)
		var log syncBuffer
		keys := newKeySetWith(t, oidc.RemoteKeySetConfig{
			Issuer: ci.URL(), Now: time.Now, Transport: inProcess{ci.Handler()},
			Logger: slog.New(slog.NewJSONHandler(&log, nil)),
		})
		stop := run(t, keys)
		synctest.Wait()
		stop()
		synctest.Wait()
		require.Empty(t, string(log.Bytes()))
	})
}

func TestNoConnectionToTheIssuerIsKeptBetweenFetches(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	var kept, asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !r.Close {
			kept.Add(1)
		}
		ci.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ci.SetFault(issuer.Discovery, issuer.Fault{Body: discovery(t, server.URL, server.URL+"/.well-known/jwks")})
	requireKey(t, newKeySetWith(t, oidc.RemoteKeySetConfig{Issuer: server.URL, Now: time.Now}), ci.KeyID())
	require.Equal(t, int64(2), asked.Load())
	require.Zero(t, kept.Load())
}
