package application_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
)

// slowHeap is rows that expired, of which each call removes a batch and takes a while.
type slowHeap struct {
	rows  int
	takes time.Duration
	began []time.Time
	err   error // After the first call.
}

func (h *slowHeap) RemoveExpired(_ context.Context, _ time.Time, limit int) (int, error) {
	h.began = append(h.began, time.Now())
	time.Sleep(h.takes)
	if h.err != nil && len(h.began) > 1 {
		return 0, h.err
	}
	removed := min(limit, h.rows)
	h.rows -= removed
	return removed, nil
}

func TestASweepPausesAfterEachFullBatchForAsLongAsItTook(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Millisecond, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := &slowHeap{rows: 2 * application.DefaultSweepBatch, takes: takes}
			began := time.Now()

			removed, err := newSweeper(t, h, io.Discard, nil).Sweep(t.Context())

			require.NoError(t, err)
			require.Equal(t, 2*application.DefaultSweepBatch, removed)
			require.Equal(t, []time.Time{began, began.Add(2 * takes), began.Add(4 * takes)}, h.began)
			require.Equal(t, 5*takes, time.Since(began), "there is no pause after the last batch, which was not full")
		})
	}
}

func TestASweepThatPausesEndsAtOnceWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowHeap{rows: 10 * application.DefaultSweepBatch, takes: 10 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		began := time.Now()

		removed, err := newSweeper(t, h, io.Discard, nil).Sweep(ctx)

		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, application.DefaultSweepBatch, removed)
		require.Equal(t, 15*time.Second, time.Since(began))
	})
}

func TestASweepDoesNotPauseBeforeItTellsOfAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowHeap{rows: 10 * application.DefaultSweepBatch, takes: time.Second, err: errors.New("down")}
		began := time.Now()

		removed, err := newSweeper(t, h, io.Discard, nil).Sweep(t.Context())

		require.ErrorIs(t, err, h.err)
		require.Equal(t, application.DefaultSweepBatch, removed)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

// A sweep that takes longer than the interval is followed by the next one, so that a
// backlog is worked off as fast as by a single one.
func TestABacklogOfManyIntervalsIsWorkedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowHeap{rows: 100 * application.DefaultSweepBatch, takes: time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		sweeper := newSweeper(t, h, io.Discard, nil)
		go func() {
			sweeper.Run(ctx)
			close(done)
		}()
		time.Sleep(application.DefaultSweepInterval + 201*time.Second + time.Millisecond)
		cancel()
		<-done
		require.Zero(t, h.rows)
	})
}
