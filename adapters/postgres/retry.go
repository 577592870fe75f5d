package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// defaultDeadline bounds an operation whose context has no deadline.
const defaultDeadline = 10 * time.Second

// errRunAgain is a statement that met a transaction which committed while it ran,
// and which it will see when it is run again.
var errRunAgain = errors.New("a concurrent transaction won")

// retry runs do until it succeeds, fails for good, or ctx ends, with growing pauses
// between. do must be idempotent: when a connection is lost, what became of the
// statement is not known, and running it again must find out.
func retry(ctx context.Context, do func(context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	var last error
	pause := &backoff.ExponentialBackOff{
		InitialInterval:     10 * time.Millisecond,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         time.Second,
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = do(ctx)
		if last != nil && !isTransient(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && last != nil && isTransient(last):
		return fmt.Errorf("gave up at the deadline: %w", last)
	case last != nil:
		return last
	}
	return err
}

// transient are the classes and codes of SQLSTATE after which the same statement
// may succeed
// (https://www.postgresql.org/docs/current/errcodes-appendix.html): lost
// connections, servers that stop, start or became a standby, serialization
// failures, deadlocks and too many connections.
var transient = []string{"08", "57P01", "57P02", "57P03", "25006", "40001", "40P01", "53300"}

// isUndone reports whether the server said that it has undone the statement, for another
// one's sake.
func isUndone(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// isTransient reports whether it makes sense to run the statement again.
func isTransient(err error) bool {
	if errors.Is(err, errRunAgain) || errors.Is(err, errInDoubt) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	// Errors of pgx have this method, for a connection that is closed among others.
	unsent, ok := errors.AsType[interface {
		error
		SafeToRetry() bool
	}](err)
	if ok && unsent.SafeToRetry() {
		return true
	}
	state := sqlState(err)
	return slices.ContainsFunc(transient, func(prefix string) bool { return strings.HasPrefix(state, prefix) })
}

// sqlState returns the SQLSTATE of an error of the server; empty when it is none. The
// errors of lib/pq and of pgx have the same method for it.
func sqlState(err error) string {
	sqlError, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return ""
	}
	return sqlError.SQLState()
}
