package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
)

const (
	// maxAttempts is how often something is tried in all.
	maxAttempts = 4
	// firstPause is before the second attempt where the server names no time, and
	// doubles before each further one.
	firstPause = time.Second
	// maxPause bounds a pause that a server asks for: a job that waits is paid for.
	maxPause = 20 * time.Second
)

// retrier repeats what failed because something was not available, and nothing else: a
// refusal stays one.
type retrier struct {
	// sleep waits, or returns the context's error when that ends first.
	sleep func(ctx context.Context, pause time.Duration) error
	// log is told of each failure that is followed by another attempt.
	log io.Writer
}

// do calls attempt until it succeeds, fails for good or has failed maxAttempts times,
// and returns its last error. A pause that the context has no time for is not begun.
func (r retrier) do(ctx context.Context, attempt func(context.Context) error) error {
	pause := firstPause
	for count := 1; ; count++ {
		err := attempt(ctx)
		unavailable, isServer := errors.AsType[*unavailableError](err)
		if err == nil || ctx.Err() != nil || count == maxAttempts || !isServer && !errors.Is(err, cijob.ErrUnavailable) {
			return err
		}
		next := pause
		if isServer && unavailable.after > 0 {
			next = unavailable.after
		}
		if next > maxPause {
			return fmt.Errorf("%w; it can be asked again in %s", err, next)
		}
		_, _ = fmt.Fprintf(r.log, "trustpub: %v; the next attempt is in %s\n", err, next)
		if r.sleep(ctx, next) != nil {
			return err
		}
		pause *= 2
	}
}

// sleep is the sleep of a retrier.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
