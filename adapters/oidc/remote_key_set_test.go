package oidc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

var (
	hang    = issuer.Fault{Hang: true}
	broken  = issuer.Fault{Status: 500}
	healthy = issuer.Fault{}
)

// askForUnknownKeys asks for 10000 unknown key IDs from 50 goroutines and returns
// how often each code was the answer.
func askForUnknownKeys(t *testing.T, keys oidc.KeySet) map[domain.Code]int {
	t.Helper()
	var mu sync.Mutex
	answers := map[domain.Code]int{}
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Go(func() {
			for i := range 200 {
				_, err := keys.Key(context.Background(), fmt.Sprintf("unknown-%d-%d", g, i))
				mu.Lock()
				answers[domain.CodeOf(err)]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

func TestTenThousandUnknownKeyIDsCauseOneFetchPerCoolDown(t *testing.T) {
	unknownKey := map[domain.Code]int{domain.CodeUnknownKey: 10000}
	unavailable := map[domain.Code]int{domain.CodeKeysUnavailable: 10000}

	t.Run("of a minute while the issuer is healthy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ci, keys := bubbleIssuer(t, 0.5)
			requireKey(t, keys, ci.KeyID())
			for minute := range 3 {
				require.Equal(t, unknownKey, askForUnknownKeys(t, keys))
				require.Equal(t, 2+minute, ci.Requests(issuer.KeySet))
				time.Sleep(time.Minute - 1)
				require.Equal(t, unknownKey, askForUnknownKeys(t, keys))
				require.Equal(t, 2+minute, ci.Requests(issuer.KeySet))
				time.Sleep(time.Nanosecond)
			}
		})
	})
	t.Run("of five seconds while the issuer fails and keys are held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ci, keys := bubbleIssuer(t, 0.5)
			requireKey(t, keys, ci.KeyID())
			ci.SetFault(issuer.KeySet, broken)
			for round := range 3 {
				require.Equal(t, unknownKey, askForUnknownKeys(t, keys))
				require.Equal(t, 2+round, ci.Requests(issuer.KeySet))
				time.Sleep(5*time.Second - 1)
				require.Equal(t, unknownKey, askForUnknownKeys(t, keys))
				require.Equal(t, 2+round, ci.Requests(issuer.KeySet))
				time.Sleep(time.Nanosecond)
			}
		})
	})
	t.Run("of five seconds while the issuer fails and none are held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ci, keys := bubbleIssuer(t, 0.5)
			ci.SetFault(issuer.Discovery, broken)
			for round := range 3 {
				require.Equal(t, unavailable, askForUnknownKeys(t, keys))
				require.Equal(t, 1+round, ci.Requests(issuer.Discovery))
				time.Sleep(5 * time.Second)
			}
			ci.SetFault(issuer.Discovery, healthy)
			requireKey(t, keys, ci.KeyID())
		})
	})
	t.Run("of five seconds after its time-out while the issuer hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ci, keys := bubbleIssuer(t, 0.5)
			requireKey(t, keys, ci.KeyID())
			ci.SetFault(issuer.KeySet, hang)
			for round := range 3 {
				begin := time.Now()
				require.Equal(t, unknownKey, askForUnknownKeys(t, keys))
				require.Equal(t, 5*time.Second, time.Since(begin), "all wait for one fetch, and the rest for none")
				require.Equal(t, 2+round, ci.Requests(issuer.KeySet))
				time.Sleep(5 * time.Second)
			}
		})
	})
}

func TestTheFirstLoadDoesNotCountAsAFetchForAnUnknownKey(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	keys := newKeySet(t, ci, newClock().Now)
	_, err := keys.Key(t.Context(), "unknown")
	requireRefused(t, err, domain.CodeUnknownKey, "")
	require.Equal(t, 1, ci.Requests(issuer.KeySet), "the first load")

	rotated, err := ci.Rotate()
	require.NoError(t, err)
	requireKey(t, keys, rotated)
	require.Equal(t, 2, ci.Requests(issuer.KeySet), "a fetch for the unknown key")
	_, err = keys.Key(t.Context(), "unknown")
	requireRefused(t, err, domain.CodeUnknownKey, "")
	require.Equal(t, 2, ci.Requests(issuer.KeySet), "and none within a minute")
}

func TestAKnownKeyIsAnsweredWhateverTheIssuerDoes(t *testing.T) {
	for name, fault := range map[string]issuer.Fault{
		"hanging": hang, "slow": {Delay: 4 * time.Second}, "failing": broken,
		"empty": {Body: []byte(`{"keys":[]}`)}, "broken": {Body: []byte(`{"keys":`)},
	} {
		for _, document := range []issuer.Document{issuer.Discovery, issuer.KeySet} {
			t.Run(name+" "+string(document), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ci, keys := bubbleIssuer(t, 0.5)
					requireKey(t, keys, ci.KeyID())
					ci.SetFault(document, fault)
					begin := time.Now()
					var wg sync.WaitGroup
					wg.Go(func() { _, _ = keys.Key(context.Background(), "unknown") })
					synctest.Wait() // The fetch is going on, or is over.
					require.Equal(t, 2, ci.Requests(issuer.Discovery))
					requireKey(t, keys, ci.KeyID())
					require.Zero(t, time.Since(begin), "it waits for nothing")
					wg.Wait()
					requireKey(t, keys, ci.KeyID())
				})
			})
		}
	}
}

func TestAKnownKeyVerifiesOverHTTPWhileTheIssuerHangs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.Verify(t.Context(), f.sign(t, f.ci.GitHubClaims()))
	require.NoError(t, err)
	f.ci.SetFault(issuer.KeySet, hang)
	waiting := make(chan error, 1)
	unknown := f.sign(t, f.ci.GitHubClaims(), issuer.WithHeader("kid", "unknown"))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := f.Verify(ctx, unknown)
		waiting <- err
	}()
	require.Eventually(t, func() bool { return f.ci.Requests(issuer.KeySet) == 2 }, 5*time.Second, time.Millisecond)
	for range 100 {
		_, err := f.Verify(t.Context(), f.sign(t, f.ci.GitHubClaims()))
		require.NoError(t, err)
	}
	require.Empty(t, waiting, "the unknown key is still being waited for")
	cancel()
	requireUnavailable(t, <-waiting)
	require.NoError(t, f.ci.Close()) // Ends the fetch, which nobody waits for.
}

func TestARequestToTheIssuerTakesAtMostFiveSeconds(t *testing.T) {
	tests := []struct {
		name     string
		document issuer.Document
		fault    issuer.Fault
		want     time.Duration
		ok       bool
	}{
		{"hanging discovery", issuer.Discovery, hang, 5 * time.Second, false},
		{"hanging key set", issuer.KeySet, hang, 5 * time.Second, false},
		{"discovery too slow", issuer.Discovery, issuer.Fault{Delay: 5*time.Second + 1}, 5 * time.Second, false},
		{"key set just in time", issuer.KeySet, issuer.Fault{Delay: 5*time.Second - 1}, 5*time.Second - 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ci, keys := bubbleIssuer(t, 0.5)
				ci.SetFault(tt.document, tt.fault)
				begin := time.Now()
				_, err := keys.Key(t.Context(), ci.KeyID())
				require.Equal(t, tt.want, time.Since(begin))
				if tt.ok {
					require.NoError(t, err)
					return
				}
				requireUnavailable(t, err)
			})
		})
	}
}

func TestAFetchOutlivesTheRequestThatCausedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		ci.SetFault(issuer.KeySet, issuer.Fault{Delay: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := keys.Key(ctx, ci.KeyID())
		requireUnavailable(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, ci.Requests(issuer.KeySet))

		begin := time.Now()
		requireKey(t, keys, ci.KeyID())
		require.Equal(t, 2*time.Second, time.Since(begin), "the fetch went on meanwhile")
		require.Equal(t, 1, ci.Requests(issuer.KeySet), "and is the only one")
	})
}

func TestMadeUpKeyIDsDoNotPileUpBehindAnIssuerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		requireKey(t, keys, ci.KeyID())
		ci.SetFault(issuer.KeySet, hang)
		begin := time.Now()
		var atOnce, late atomic.Int64
		var calls sync.WaitGroup
		for i := range 1000 {
			calls.Go(func() {
				_, err := keys.Key(t.Context(), "made-up-"+strconv.Itoa(i))
				if time.Since(begin) == 0 {
					atOnce.Add(1)
					assert.Equal(t, domain.CodeKeysUnavailable, domain.CodeOf(err), "it may be a new one")
					return
				}
				late.Add(1)
			})
		}
		calls.Wait()
		require.EqualValues(t, 64, late.Load())
		require.EqualValues(t, 1000-64, atOnce.Load())

		time.Sleep(time.Minute)
		ci.SetFault(issuer.KeySet, healthy)
		requireKey(t, keys, ci.KeyID())
		_, err := keys.Key(t.Context(), "made-up")
		require.Equal(t, domain.CodeUnknownKey, domain.CodeOf(err), "none of them waits any more")
	})
}

func TestARequestThatIsOverWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		ci.SetFault(issuer.Discovery, hang)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		_, err := keys.Key(ctx, ci.KeyID())
		requireUnavailable(t, err)
		require.Zero(t, time.Since(begin))
		time.Sleep(5 * time.Second) // The fetch ends by itself.
	})
}

func TestKeysAreRefreshedInTheBackgroundEvery15MinutesGiveOrTakeATenth(t *testing.T) {
	for jitter, interval := range map[float64]time.Duration{
		0:   13*time.Minute + 30*time.Second,
		0.5: 15 * time.Minute,
		1:   16*time.Minute + 30*time.Second,
	} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ci, keys := bubbleIssuer(t, jitter)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go keys.Run(ctx)
				synctest.Wait()
				require.Equal(t, 1, ci.Requests(issuer.KeySet), "it loads at once")
				for round := range 4 {
					time.Sleep(interval - time.Millisecond)
					require.Equal(t, 1+round, ci.Requests(issuer.KeySet))
					time.Sleep(time.Millisecond)
					synctest.Wait()
					require.Equal(t, 2+round, ci.Requests(issuer.KeySet))
				}
			})
		})
	}
}

func TestABackgroundRefreshJoinsTheFetchThatIsGoingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		ci.SetFault(issuer.KeySet, issuer.Fault{Delay: time.Second})
		answered := make(chan error, 1)
		go func() {
			_, err := keys.Key(context.Background(), ci.KeyID())
			answered <- err
		}()
		synctest.Wait()
		go keys.Run(t.Context())
		require.NoError(t, <-answered)
		synctest.Wait()
		require.Equal(t, 1, ci.Requests(issuer.KeySet))
	})
}

func TestAFailedBackgroundRefreshIsTriedAgainAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		ci.SetFault(issuer.Discovery, broken)
		go keys.Run(t.Context())
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 2, ci.Requests(issuer.Discovery))
		ci.SetFault(issuer.Discovery, healthy)
		time.Sleep(time.Minute)
		synctest.Wait()
		requireKey(t, keys, ci.KeyID())
		require.Equal(t, 3, ci.Requests(issuer.Discovery))
	})
}

func TestAKeyThatTheIssuerWithdrewIsRefusedAfterTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		go keys.Run(t.Context())
		synctest.Wait()
		old := ci.KeyID()
		rotated, err := ci.Rotate()
		require.NoError(t, err)
		ci.Withdraw(old)

		time.Sleep(15*time.Minute - 1)
		requireKey(t, keys, old)
		ci.SetFault(issuer.KeySet, broken)
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		requireKey(t, keys, old) // A refresh that fails changes nothing.
		ci.SetFault(issuer.KeySet, healthy)
		time.Sleep(time.Minute)
		synctest.Wait()
		_, err = keys.Key(t.Context(), old)
		requireRefused(t, err, domain.CodeUnknownKey, "")
		requireKey(t, keys, rotated)
	})
}

func TestTheLastGoodCopyServesFor24HoursWhileTheIssuerIsUnreachable(t *testing.T) {
	for name, fault := range map[string]issuer.Fault{"failing": broken, "hanging": hang, "empty": {Body: []byte(`{"keys":[]}`)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ci, keys := bubbleIssuer(t, 0.5)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go keys.Run(ctx)
				synctest.Wait()
				loaded := time.Now()
				ci.SetFault(issuer.KeySet, fault)
				time.Sleep(24*time.Hour - time.Minute)
				_, err := keys.Key(t.Context(), "unknown")
				requireRefused(t, err, domain.CodeUnknownKey, "")
				time.Sleep(time.Until(loaded.Add(24 * time.Hour)))
				requireKey(t, keys, ci.KeyID())
				time.Sleep(time.Nanosecond)
				_, err = keys.Key(t.Context(), ci.KeyID())
				requireUnavailable(t, err)

				ci.SetFault(issuer.KeySet, healthy)
				time.Sleep(15 * time.Second)
				requireKey(t, keys, ci.KeyID())
			})
		})
	}
}

func TestAFailedBackgroundRefreshDoesNotShortenThePauseAfterAnUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ci, keys := bubbleIssuer(t, 0.5)
		go keys.Run(t.Context())
		time.Sleep(15*time.Minute - time.Second)
		_, err := keys.Key(t.Context(), "unknown")
		requireRefused(t, err, domain.CodeUnknownKey, "")
		require.Equal(t, 2, ci.Requests(issuer.Discovery))
		ci.SetFault(issuer.Discovery, broken)
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, ci.Requests(issuer.Discovery), "the background refresh")
		_, err = keys.Key(t.Context(), "unknown")
		requireRefused(t, err, domain.CodeUnknownKey, "")
		require.Equal(t, 3, ci.Requests(issuer.Discovery))
	})
}

func TestTheBackgroundRefreshEndsAtOnceThoughTheIssuerHangs(t *testing.T) {
	for name, alreadyAsked := range map[string]bool{"its own fetch": false, "the fetch of a request": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ci, keys := bubbleIssuer(t, 0.5)
				ci.SetFault(issuer.Discovery, hang)
				if alreadyAsked {
					go func() { _, _ = keys.Key(context.Background(), ci.KeyID()) }()
					synctest.Wait()
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					keys.Run(ctx)
				}()
				synctest.Wait()
				begin := time.Now()
				cancel()
				<-ended
				require.Zero(t, time.Since(begin))
				require.Equal(t, 1, ci.Requests(issuer.Discovery))
				time.Sleep(5 * time.Second) // The request's fetch ends by itself.
			})
		})
	}
}

func TestFailuresAreLoggedOnceWithTheIssuer(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	ci.SetFault(issuer.KeySet, broken)
	var log syncBuffer
	keys := newKeySetWith(t, oidc.RemoteKeySetConfig{
		Issuer: ci.URL(), Now: newClock().Now, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	for range 10 {
		_, err := keys.Key(t.Context(), ci.KeyID())
		requireUnavailable(t, err)
	}
	require.Eventually(t, func() bool { return bytes.Count(log.Bytes(), []byte("\n")) == 1 }, 5*time.Second, time.Millisecond)
	require.Contains(t, string(log.Bytes()), `"msg":"fetching the key set failed"`)
	require.Contains(t, string(log.Bytes()), fmt.Sprintf(`"issuer":%q`, ci.URL()))
	require.Contains(t, string(log.Bytes()), "status 500")
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buffer.Bytes())
}
