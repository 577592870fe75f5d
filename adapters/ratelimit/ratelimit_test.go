package ratelimit_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/ratelimit"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// clock is one that is set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newLimiter(t *testing.T, requests int, per time.Duration, most int) (*ratelimit.Limiter, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	l, err := ratelimit.New(ratelimit.Config{Requests: requests, Per: per, Most: most, Now: c.Now})
	require.NoError(t, err)
	return l, c
}

// taken returns how many of n requests are let in at once.
func taken(l *ratelimit.Limiter, key string, n int) int {
	in := 0
	for range n {
		_, ok := l.Take(key)
		if ok {
			in++
		}
	}
	return in
}

func TestABucketGivesItsRequestsAtOnceAndThenAtItsPace(t *testing.T) {
	t.Parallel()
	l, c := newLimiter(t, 10, time.Second, 0)

	require.Equal(t, 10, taken(l, "a", 1000))
	wait, ok := l.Take("a")
	require.False(t, ok)
	require.InDelta(t, 100*time.Millisecond, wait, float64(time.Microsecond))

	c.now = c.now.Add(99 * time.Millisecond)
	require.Zero(t, taken(l, "a", 1000), "what is refused takes nothing and costs no later request")
	c.now = c.now.Add(time.Millisecond)
	require.Equal(t, 1, taken(l, "a", 1000))
	c.now = c.now.Add(time.Hour)
	require.Equal(t, 10, taken(l, "a", 1000), "no more is saved up than the bucket holds")
}

func TestOneKeysBucketIsNoOthers(t *testing.T) {
	t.Parallel()
	l, _ := newLimiter(t, 2, time.Minute, 0)

	require.Equal(t, 2, taken(l, "a", 9))
	require.Equal(t, 2, taken(l, "b", 9))
	require.Zero(t, taken(l, "a", 9))
}

func TestTheKeySeenTheLongestAgoIsForgottenForANewOne(t *testing.T) {
	t.Parallel()
	l, _ := newLimiter(t, 1, time.Hour, 2)

	require.Equal(t, 1, taken(l, "a", 2))
	require.Equal(t, 1, taken(l, "b", 2))
	require.Zero(t, taken(l, "a", 1))
	require.Equal(t, 1, taken(l, "c", 2), "for which b is forgotten")
	require.Zero(t, taken(l, "a", 1))
	require.Equal(t, 1, taken(l, "b", 2))
}

func TestConcurrentRequestsShareABucket(t *testing.T) {
	t.Parallel()
	l, c := newLimiter(t, 100, 100*time.Second, 10)
	var in atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { in.Add(int64(taken(l, "a", 100))) })
	}
	wait.Wait()
	require.EqualValues(t, 100, in.Load())
	c.now = c.now.Add(time.Second)
	require.Equal(t, 1, taken(l, "a", 9), "those that were refused at the same time took nothing")
}

func TestALimiterWithoutARateIsNotMade(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  ratelimit.Config
	}{
		{"nothing", ratelimit.Config{}},
		{"no requests", ratelimit.Config{Per: time.Second, Now: time.Now}},
		{"less than none", ratelimit.Config{Requests: -1, Per: time.Second, Now: time.Now}},
		{"no time", ratelimit.Config{Requests: 1, Now: time.Now}},
		{"no clock", ratelimit.Config{Requests: 1, Per: time.Second}},
		{"less than no keys", ratelimit.Config{Requests: 1, Per: time.Second, Now: time.Now, Most: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ratelimit.New(tt.cfg)
			require.Error(t, err)
		})
	}
}

// issuers is a Verifier to which an ID token is its issuer, and "forged" no good.
type issuers struct{}

func (issuers) Verify(_ context.Context, idToken string) (domain.Claims, error) {
	if idToken == "forged" {
		return domain.Claims{}, domain.Refuse(domain.CodeInvalidSignature, "The signature is wrong.")
	}
	return domain.NewClaims(
		domain.Registered{Issuer: idToken, Subject: "s", JWTID: "j", AcceptableUntil: time.Now()},
		domain.Workload{Provider: "p", Key: "k", Source: "s"})
}

var _ application.Verifier = (*ratelimit.Verifier)(nil)

func TestAnIssuerHasNoMoreGoodIDTokensThanItsBucketHolds(t *testing.T) {
	t.Parallel()
	limiter, c := newLimiter(t, 2, time.Minute, 0)
	v, err := ratelimit.NewVerifier(issuers{}, limiter)
	require.NoError(t, err)

	for i := range 5 {
		claims, err := v.Verify(t.Context(), "https://a.example")
		if i < 2 {
			require.NoError(t, err)
			require.Equal(t, "https://a.example", claims.Issuer())
			continue
		}
		require.Equal(t, domain.KindLimited, domain.KindOf(err), strconv.Itoa(i))
		require.Equal(t, domain.CodeRateLimited, domain.CodeOf(err))
		require.InDelta(t, 30*time.Second, domain.RetryAfterOf(err), float64(time.Millisecond))
		require.Zero(t, claims, "nobody acts on claims that were turned away")
	}
	_, err = v.Verify(t.Context(), "https://b.example")
	require.NoError(t, err, "another issuer has its own")
	c.now = c.now.Add(30 * time.Second)
	_, err = v.Verify(t.Context(), "https://a.example")
	require.NoError(t, err)
}

func TestIDTokensThatAreNoGoodSpendNothingOfAnIssuers(t *testing.T) {
	t.Parallel()
	limiter, _ := newLimiter(t, 1, time.Hour, 0)
	v, err := ratelimit.NewVerifier(issuers{}, limiter)
	require.NoError(t, err)

	for range 9 {
		_, err = v.Verify(t.Context(), "forged")
		require.Equal(t, domain.CodeInvalidSignature, domain.CodeOf(err))
	}
	_, err = v.Verify(t.Context(), "https://a.example")
	require.NoError(t, err)
}

func TestAVerifierWithoutAnotherOrALimiterIsNotMade(t *testing.T) {
	t.Parallel()
	limiter, _ := newLimiter(t, 1, time.Hour, 0)
	_, err := ratelimit.NewVerifier(nil, limiter)
	require.Error(t, err)
	_, err = ratelimit.NewVerifier(issuers{}, nil)
	require.Error(t, err)
}
