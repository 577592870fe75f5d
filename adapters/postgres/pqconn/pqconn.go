// Package pqconn opens PostgreSQL through lib/pq in the way that a server which
// gives out credentials needs: a frozen database can't hang a request, a statement
// costs one round trip, and a commit that may be lost is an error.
//
// It is apart from the store, which works with any driver, so that a host with a
// database handle of its own does not link lib/pq.
package pqconn

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

const (
	// DefaultIOTimeout is how long one read or write may wait for the server. It is
	// the longest that a statement may take without sending anything.
	DefaultIOTimeout = 5 * time.Second
	// connectTimeout bounds the whole opening of a connection to one host.
	connectTimeout = 2 * time.Second
	// maxConnections keeps a replica from taking all that a server has.
	maxConnections = 20
	// maxLifetime makes connections follow a switch-over, and balances them over
	// the replicas of a proxy.
	maxLifetime = time.Minute
)

// Open returns a pool for a URL as lib/pq takes it, several hosts with
// target_session_attrs included. Nothing is contacted yet. ioTimeout bounds each
// read and write; zero is DefaultIOTimeout. Unless the URL says otherwise, the
// connection is given up after 2 s and its application_name is trustpub. The error
// of a URL that can't be read may hold parts of it, its password among them.
func Open(url string, ioTimeout time.Duration) (*sql.DB, error) {
	cfg, err := pq.NewConfig(url)
	if err != nil {
		return nil, fmt.Errorf("pqconn: %w", err)
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectTimeout)
	if cfg.ApplicationName == "" || cfg.ApplicationName == "pqgo" { // lib/pq's default
		cfg.ApplicationName = "trustpub"
	}
	// Parameters travel with the statement, which saves a round trip, and works
	// behind a pooler that gives each transaction another connection.
	cfg.BinaryParameters = true
	inner, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("pqconn: %w", err)
	}
	inner.Dialer(dialer{ioTimeout: cmp.Or(ioTimeout, DefaultIOTimeout)})

	db := sql.OpenDB(connector{inner})
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxLifetime(maxLifetime)
	return db, nil
}

// dialer opens connections whose every read and write has a deadline. lib/pq sets
// none: with a server that was frozen, or a network that swallows packets, its
// calls hang past the end of their contexts.
type dialer struct{ ioTimeout time.Duration }

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

// DialContext implements pq.DialerContext.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	inner := net.Dialer{KeepAliveConfig: keepAlive}
	c, err := inner.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deadlineConn{Conn: c, timeout: d.ioTimeout}, nil
}

// deadlineConn gives each read and each write a deadline of its own, but none that
// is later than one that lib/pq set for the opening of the connection.
type deadlineConn struct {
	net.Conn

	timeout time.Duration
	// outer is the deadline that lib/pq set, in nanoseconds since 1970; 0 for none.
	outer atomic.Int64
}

// Read implements net.Conn.
func (c *deadlineConn) Read(b []byte) (int, error) {
	err := c.SetReadDeadline(c.deadline())
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *deadlineConn) Write(b []byte) (int, error) {
	err := c.SetWriteDeadline(c.deadline())
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SetDeadline implements net.Conn.
func (c *deadlineConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.outer.Store(0)
	} else {
		c.outer.Store(t.UnixNano())
	}
	return c.Conn.SetDeadline(t)
}

func (c *deadlineConn) deadline() time.Time {
	deadline := time.Now().Add(c.timeout) //nolint:forbidigo // The kernel compares it with its own clock.
	if outer := c.outer.Load(); outer != 0 && outer < deadline.UnixNano() {
		return time.Unix(0, outer)
	}
	return deadline
}

// ErrNotDurable is returned by a statement or a commit that took effect on the
// primary, but whose wait for its synchronous standby was cut short: a fail-over
// may undo it.
var ErrNotDurable = errors.New("pqconn: the commit was not confirmed by the synchronous standby")

// connector wraps lib/pq's connections.
type connector struct{ *pq.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(pqConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pqconn: %T lacks methods that lib/pq's connections have", inner), inner.Close())
	}
	wrapped := &conn{pqConn: full}
	pq.SetNoticeHandler(inner, wrapped.notice)
	// With "off", a commit is acknowledged before it is written, and a crash of the
	// server forgets it. Any other value is the operator's choice of durability.
	_, err = full.ExecContext(ctx, `select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'`, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pqconn: make sure of synchronous commits: %w", err), inner.Close())
	}
	return wrapped, nil
}
