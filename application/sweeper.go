package application

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Defaults of a [Sweeper].
const (
	// DefaultSweepInterval is the pause between two sweeps.
	DefaultSweepInterval = time.Minute
	// DefaultSweepBatch is how many rows of a kind one statement removes at most.
	DefaultSweepBatch = 500
	// sweepGrace is how long an expired row is kept all the same. The expiry of a
	// used jti was computed on one replica and is compared on another: while their
	// clocks and their leeways differ by less than this, no replica forgets an ID
	// token that another would still accept.
	sweepGrace = 5 * time.Minute
	// sweepTimeout bounds one batch, so that a hanging database can't stop the
	// sweeper for good.
	sweepTimeout = 30 * time.Second
)

// SweeperConfig holds what a [Sweeper] needs.
type SweeperConfig struct {
	Expired ExpiredRemover
	Logger  *slog.Logger
	// Interval is the pause between two sweeps. Zero is DefaultSweepInterval.
	Interval time.Duration
	// Batch is the most rows of a kind removed by one statement. Zero is
	// DefaultSweepBatch.
	Batch int
	// Observe is told of every sweep that Run makes, for metrics. nil is told nothing.
	Observe func(SweepResult)
	// Now is the clock.
	Now func() time.Time
}

// SweepResult is what became of one sweep.
type SweepResult struct {
	// Removed is the number of rows removed, also by a sweep that failed later on.
	Removed int
	// Duration is how long it took.
	Duration time.Duration
	// Err is why it failed; nil when it did not.
	Err error
}

// Sweeper forgets expired tokens and used jtis in the background.
type Sweeper struct{ cfg SweeperConfig }

// NewSweeper fills in defaults and returns the sweeper.
func NewSweeper(cfg SweeperConfig) (*Sweeper, error) {
	if cfg.Expired == nil || cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("application: sweeper needs Expired, Logger and Now")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultSweepInterval
	}
	if cfg.Batch <= 0 {
		cfg.Batch = DefaultSweepBatch
	}
	if cfg.Observe == nil {
		cfg.Observe = func(SweepResult) {}
	}
	return &Sweeper{cfg: cfg}, nil
}

// Run sweeps at every interval until ctx ends. A sweep that fails is logged, and
// tried again at the next interval.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		began := s.cfg.Now()
		removed, err := s.Sweep(ctx)
		if ctx.Err() == nil {
			s.cfg.Observe(SweepResult{Removed: removed, Duration: s.cfg.Now().Sub(began), Err: err})
		}
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Logger.WarnContext(ctx, "sweeping expired rows failed", slog.Any("error", err))
		case removed > 0:
			s.cfg.Logger.DebugContext(ctx, "swept expired rows", slog.Int("removed", removed))
		}
	}
}

// Sweep removes all that expired some minutes ago, batch by batch, and returns how many
// rows that were. After each full batch it pauses for as long as that took: so a sweep
// takes half of one connection at most, the slower the database the less of it, and what
// else wants the database gets its turn. It ends with ctx.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	before := s.cfg.Now().UTC().Add(-sweepGrace)
	total := 0
	for {
		began := s.cfg.Now()
		removed, err := s.removeBatch(ctx, before)
		total += removed
		if err != nil || removed < s.cfg.Batch {
			return total, err
		}
		err = pause(ctx, s.cfg.Now().Sub(began))
		if err != nil {
			return total, err
		}
	}
}

// pause waits for d. It returns the error of ctx when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sweeper) removeBatch(ctx context.Context, before time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return s.cfg.Expired.RemoveExpired(ctx, before, s.cfg.Batch)
}
