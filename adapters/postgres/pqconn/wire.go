package pqconn

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// grace is how long after the end of its context a statement may still wait. lib/pq
// then asks the server to cancel it, and a server that is well answers at once.
const grace = 250 * time.Millisecond

// dialer opens connections whose every read and write has a deadline. lib/pq sets
// none: with a server that was frozen, or a network that swallows packets, its
// calls hang past the end of their contexts.
type dialer struct{ ioTimeout time.Duration }

// dialedKey is the context key under which connector.Connect finds the connection
// that lib/pq dialed for it. The connections that lib/pq dials to cancel a statement
// come with a context of their own, without it.
type dialedKey struct{}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// Dial implements pq.Dialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext. The deadline of ctx holds for the
// handshake that follows too.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	inner := net.Dialer{KeepAliveConfig: keepAlive}
	c, err := inner.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	wire := &deadlineConn{Conn: c, timeout: d.ioTimeout}
	wire.endWith(ctx)
	if dialed, ok := ctx.Value(dialedKey{}).(**deadlineConn); ok {
		*dialed = wire
	}
	return wire, nil
}

// deadlineConn gives each read and each write a deadline.
type deadlineConn struct {
	net.Conn

	// timeout is the longest that one read or write may take.
	timeout time.Duration
	// limit is when all of them end, in nanoseconds since 1970; 0 is never.
	limit atomic.Int64
}

// endWith makes reads and writes fail shortly after the deadline of ctx, until it is
// called again.
func (c *deadlineConn) endWith(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	if !ok {
		c.limit.Store(0)
		return
	}
	c.limit.Store(deadline.Add(grace).UnixNano())
}

// endSoon makes reads and writes fail shortly, also those that are under way. It may be
// called while others use the connection.
func (c *deadlineConn) endSoon() {
	soon := time.Now().Add(grace) //nolint:forbidigo // The kernel compares it with its own clock.
	c.limit.Store(soon.UnixNano())
	_ = c.SetDeadline(soon) // It fails when the connection is closed.
}

// Read implements net.Conn.
func (c *deadlineConn) Read(b []byte) (int, error) {
	err := c.withDeadline(c.SetReadDeadline)
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *deadlineConn) Write(b []byte) (int, error) {
	err := c.withDeadline(c.SetWriteDeadline)
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// withDeadline sets the deadline of a read or a write, and again where endSoon came in
// between, whose own would be undone.
func (c *deadlineConn) withDeadline(set func(time.Time) error) error {
	for {
		limit := c.limit.Load()
		err := set(c.deadline(limit))
		if err != nil || c.limit.Load() == limit {
			return err
		}
	}
}

func (c *deadlineConn) deadline(limit int64) time.Time {
	deadline := time.Now().Add(c.timeout) //nolint:forbidigo // The kernel compares it with its own clock.
	if limit != 0 && limit < deadline.UnixNano() {
		return time.Unix(0, limit)
	}
	return deadline
}
