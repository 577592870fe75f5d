package application_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// heap is rows that expired, of which each call removes a batch.
type heap struct {
	mu      sync.Mutex
	rows    int
	befores []time.Time
	limits  []int
	err     error
	hangs   bool // It then answers when ctx ends, and no sooner.
}

// become changes the way in which the rows answer.
func (h *heap) become(hangs bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs, h.err = hangs, err
}

func (h *heap) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hangs {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	h.befores, h.limits = append(h.befores, before), append(h.limits, limit)
	if h.err != nil {
		return 0, h.err
	}
	removed := min(limit, h.rows)
	h.rows -= removed
	return removed, nil
}

// left returns how many rows are left.
func (h *heap) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rows
}

// asked returns the limits of the calls so far.
func (h *heap) asked() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.limits)
}

// logbook is what was logged, which may be read meanwhile.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newSweeper(t *testing.T, h application.ExpiredRemover, logs io.Writer, change func(*application.SweeperConfig)) *application.Sweeper {
	t.Helper()
	cfg := application.SweeperConfig{
		Expired: h, Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	sweeper, err := application.NewSweeper(cfg)
	require.NoError(t, err)
	return sweeper
}

func TestSweepRemovesBatchesUntilNothingIsLeft(t *testing.T) {
	tests := []struct {
		name            string
		rows, wantCalls int
	}{
		{"nothing", 0, 1},
		{"less than a batch", 9, 1},
		{"one batch, after which one must look again", 10, 2},
		{"several batches", 35, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &heap{rows: tt.rows}
			sweeper := newSweeper(t, h, io.Discard, func(c *application.SweeperConfig) { c.Batch, c.Now = 10, trustpubtest.Now })

			removed, err := sweeper.Sweep(t.Context())

			require.NoError(t, err)
			require.Equal(t, tt.rows, removed)
			require.Zero(t, h.rows)
			require.Len(t, h.limits, tt.wantCalls)
			for i := range h.limits {
				require.Equal(t, 10, h.limits[i])
				require.Equal(t, trustpubtest.Now().Add(-5*time.Minute), h.befores[i], "what expired just now is kept")
			}
		})
	}
}

func TestSweepKeepsTheRecordOfAnIDTokenThatAnotherReplicaMightStillAccept(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	issued := w.issue(t)
	used := w.verifier.known["jwt"].UsedJTI().ExpiresAt
	exchange := func() error {
		_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})
		return err
	}
	sweeper := newSweeper(t, w.store.Store, io.Discard, func(c *application.SweeperConfig) {
		c.Now = func() time.Time { return w.now }
	})

	for _, at := range []time.Time{used.Add(-time.Second), used, used.Add(4 * time.Minute), used.Add(5 * time.Minute)} {
		w.now = at
		_, err := sweeper.Sweep(t.Context())
		require.NoError(t, err)
		requireError(t, exchange(), domain.KindRefused, domain.CodeAlreadyUsed)
	}

	w.now = issued.Token.ExpiresAt.Add(5*time.Minute + time.Second)
	removed, err := sweeper.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, removed, "the record and the token")
}

func TestSweepStopsAtAnError(t *testing.T) {
	h := &heap{rows: 100, err: errDown}

	removed, err := newSweeper(t, h, io.Discard, nil).Sweep(t.Context())

	require.ErrorIs(t, err, errDown)
	require.Zero(t, removed)
	require.Len(t, h.limits, 1)
}

func TestRunSweepsAtEveryIntervalUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, logs := &heap{rows: 1200}, &logbook{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		sweeper := newSweeper(t, h, logs, nil)
		go func() {
			sweeper.Run(ctx)
			close(done)
		}()

		time.Sleep(application.DefaultSweepInterval - 1)
		synctest.Wait()
		require.Empty(t, h.asked(), "not before the interval is over")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []int{500, 500, 500}, h.asked())
		require.Contains(t, logs.String(), "removed=1200")
		time.Sleep(application.DefaultSweepInterval)
		synctest.Wait()
		require.Len(t, h.asked(), 4)

		cancel()
		<-done
		time.Sleep(time.Hour)
		require.Len(t, h.asked(), 4)
	})
}

func TestRunGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, logs := &heap{rows: 7, err: errDown}, &logbook{}
		ctx, cancel := context.WithCancel(t.Context())
		sweeper := newSweeper(t, h, logs, nil)
		var wg sync.WaitGroup
		wg.Go(func() { sweeper.Run(ctx) })

		time.Sleep(3 * application.DefaultSweepInterval)
		synctest.Wait()
		require.Equal(t, 3, strings.Count(logs.String(), "level=WARN"))
		require.Contains(t, logs.String(), "connection refused")

		h.become(false, nil)
		time.Sleep(application.DefaultSweepInterval)
		synctest.Wait()
		require.Zero(t, h.left())

		cancel()
		wg.Wait()
	})
}

func TestRunIsNotStoppedByADatabaseThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, logs := &heap{rows: 7, hangs: true}, &logbook{}
		ctx, cancel := context.WithCancel(t.Context())
		sweeper := newSweeper(t, h, logs, nil)
		var wg sync.WaitGroup
		wg.Go(func() { sweeper.Run(ctx) })

		time.Sleep(application.DefaultSweepInterval + 29*time.Second)
		synctest.Wait()
		require.Empty(t, logs.String(), "it is waited for")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Contains(t, logs.String(), "deadline exceeded")

		h.become(false, nil)
		time.Sleep(application.DefaultSweepInterval)
		synctest.Wait()
		require.Zero(t, h.left())

		h.become(true, nil)
		time.Sleep(application.DefaultSweepInterval - time.Second) // The sweep goes on for one second more.
		synctest.Wait()
		before := logs.String()
		cancel()
		wg.Wait()
		require.Equal(t, before, logs.String(), "the end of the server is no failure")
	})
}

func TestNewSweeperFailsOnAnIncompleteConfig(t *testing.T) {
	whole := application.SweeperConfig{Expired: memory.New(), Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	tests := []struct {
		name   string
		change func(*application.SweeperConfig)
	}{
		{"no store", func(c *application.SweeperConfig) { c.Expired = nil }},
		{"no logger", func(c *application.SweeperConfig) { c.Logger = nil }},
		{"no clock", func(c *application.SweeperConfig) { c.Now = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := whole
			tt.change(&cfg)

			sweeper, err := application.NewSweeper(cfg)

			require.Error(t, err)
			require.Nil(t, sweeper)
		})
	}
}
