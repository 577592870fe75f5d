package pqconn

import (
	"context"
	"database/sql/driver"
)

// Unwatched returns a context for a statement of a pool that [Open] made, which ends as
// it does with ctx. What differs is who sees to that: database/sql and lib/pq each start
// a goroutine to watch a context that can end, and for a statement that takes a tenth of
// a millisecond they cost as much as the statement. The context returned never tells of
// its end, so neither does; the connection itself gives up with ctx.
//
// It is not for waiting for a connection of the pool, which would not end with ctx. Take
// one with ctx first ([database/sql.DB.Conn]).
func Unwatched(ctx context.Context) context.Context { return unwatched{ctx} }

type unwatched struct{ context.Context } //nolint:containedctx // It is a context itself.

// Done implements context.Context.
func (unwatched) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (unwatched) Err() error { return nil }

// watchedKey is the context key of the context that an unwatched one was made of.
type watchedKey struct{}

// Value implements context.Context.
func (u unwatched) Value(key any) any {
	if key == (watchedKey{}) {
		return u.Context
	}
	return u.Context.Value(key)
}

// watch prepares for a statement within ctx, and returns the context to give to lib/pq,
// which watches an unwatched one after all where the statement can't be cancelled from
// here.
func (c *conn) watch(ctx context.Context) context.Context {
	c.start(ctx)
	watched, ok := ctx.Value(watchedKey{}).(context.Context)
	switch {
	case !ok:
		return ctx
	case c.cancel == nil:
		return watched
	}
	cancel := c.cancel
	c.unwatch = context.AfterFunc(watched, func() {
		c.wire.endSoon()
		cancel()
	})
	return ctx
}

// endWatch ends what watch began. A connection whose time was up is not used again: its
// deadline is set for a statement that is over.
func (c *conn) endWatch() {
	if c.unwatch != nil && !c.unwatch() {
		c.broken = true
	}
	c.unwatch = nil
}

// backend is the process of the server that serves a connection. Another that gets its
// number has begun at another time.
type backend struct {
	pid   int64
	begun string
}

// canceller returns what has the server cancel the statement of a backend. A statement
// whose client has merely hung up goes on: it may wait for a lock or for the synchronous
// standby, and would take a connection of the server's for as long.
func (c connector) canceller(of backend) func() {
	return func() {
		c.cancels <- struct{}{}
		defer func() { <-c.cancels }()
		ctx, stop := context.WithTimeout(context.Background(), connectTimeout)
		defer stop()
		inner, err := c.Connector.Connect(ctx)
		if err != nil {
			return // There is nobody to tell: who waited for the statement has an error already.
		}
		defer func() { _ = inner.Close() }()
		other, ok := inner.(pqConn)
		if ok {
			_, _ = other.ExecContext(ctx, `
				select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
				[]driver.NamedValue{{Ordinal: 1, Value: of.pid}, {Ordinal: 2, Value: of.begun}})
		}
	}
}
