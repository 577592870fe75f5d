package remotekeys_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/remotekeys"
)

var errDown = errors.New("the publisher is down")

func TestOfThoseWhoMakeKeyIDsUpFewWaitForAPublisherThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		cache := remotekeys.NewCache(remotekeys.CacheConfig[int]{
			Fetch: func(context.Context) (map[string]int, error) {
				fetches.Add(1)
				time.Sleep(5 * time.Second)
				return nil, errDown
			},
			Failed: func(context.Context, error) {},
			Pause:  func(bool, bool) time.Duration { return time.Minute },
			Now:    time.Now,
		})
		begin := time.Now()
		var atOnce, late atomic.Int64
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				_, err := cache.Key(t.Context(), strconv.Itoa(i))
				if err == nil {
					t.Error("a key was found that nobody has")
				}
				if time.Since(begin) == 0 {
					atOnce.Add(1)
				} else {
					late.Add(1)
				}
			})
		}
		group.Wait()

		require.EqualValues(t, 64, late.Load())
		require.EqualValues(t, 1000-64, atOnce.Load())
		require.EqualValues(t, 1, fetches.Load())

		// During the pause the last fetch answers for all, and nobody waits.
		for i := range 100 {
			_, err := cache.Key(t.Context(), strconv.Itoa(i))
			missing, ok := errors.AsType[*remotekeys.MissingError](err)
			require.True(t, ok, "%v", err)
			require.False(t, missing.Held)
			require.ErrorIs(t, err, errDown)
		}
		require.Equal(t, 5*time.Second, time.Since(begin))
		require.Equal(t, remotekeys.Stats{Failed: 1}, cache.Stats())
	})
}
