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

// Option changes what [Open] does.
type Option func(*options)

type options struct {
	openDB func(driver.Connector) *sql.DB
}

// OpenDBWith has openDB make the pool, in place of sql.OpenDB: to watch what is done
// with the connections.
func OpenDBWith(openDB func(driver.Connector) *sql.DB) Option {
	return func(o *options) { o.openDB = openDB }
}

// Open returns a pool for a URL as libpq takes it, several hosts with ports of their own
// and target_session_attrs included. Nothing is contacted yet. ioTimeout bounds each
// read and write; zero is DefaultIOTimeout. Unless the URL says otherwise, the
// opening of a connection is given up after 2 s for each host, and its
// application_name is trustpub. Statements are kept prepared where no pooler or proxy
// stands between. Every call ends with its context, also when the
// server is frozen. A session whose synchronous_commit is "off" turns it on; behind a
// pooler that gives each transaction another connection, that is to be set for the
// role instead. The error of a URL that can't be read may hold parts of it, its
// password among them.
func Open(url string, ioTimeout time.Duration, opts ...Option) (*sql.DB, error) {
	o := options{openDB: sql.OpenDB}
	for _, set := range opts {
		set(&o)
	}
	cfg, err := pq.NewConfig(spreadPorts(url))
	if err != nil {
		return nil, fmt.Errorf("pqconn: %w", err)
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectTimeout)
	if cfg.ApplicationName == "" || cfg.ApplicationName == "pqgo" { // lib/pq's default
		cfg.ApplicationName = "trustpub"
	}
	// Where statements are not kept prepared, parameters travel with the statement, which
	// saves a round trip, and works behind a pooler that gives each transaction another
	// connection.
	cfg.BinaryParameters = true
	inner, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("pqconn: %w", err)
	}
	inner.Dialer(dialer{ioTimeout: cmp.Or(ioTimeout, DefaultIOTimeout)})

	c := connector{Connector: inner}
	if len(cfg.Multi) == 0 {
		c.cancels = make(chan struct{}, maxCancels)
	}
	db := o.openDB(c)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxLifetime(maxLifetime)
	return db, nil
}

// ErrNotDurable is returned by a statement or a commit that took effect on the
// primary, but whose wait for its synchronous standby was cut short: a fail-over
// may undo it.
var ErrNotDurable = errors.New("pqconn: the commit was not confirmed by the synchronous standby")

// maxCancels is how many connections a pool opens at a time to cancel statements.
const maxCancels = 4

// connector wraps lib/pq's connections.
type connector struct {
	*pq.Connector

	// cancels bounds the connections that are opened to cancel statements. nil is that
	// they might reach another server than the statement's: there are several hosts.
	cancels chan struct{}
}

// keptPlans has the server plan a statement once for as long as it is kept prepared. By
// itself it would go on planning, each time, the statements that several calls share: a
// plan for the two or three rows at hand looks cheaper to it than one for any number, and
// takes longer to make than to execute. A plan that is kept must do when the table has
// grown, so it goes by the indexes.
const keptPlans = `set plan_cache_mode = force_generic_plan; set enable_seqscan = off`

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	var dialed *deadlineConn
	inner, err := c.Connector.Connect(context.WithValue(ctx, dialedKey{}, &dialed))
	if err != nil {
		return nil, unreachable(err)
	}
	full, ok := inner.(pqConn)
	if !ok || dialed == nil {
		return nil, errors.Join(fmt.Errorf("pqconn: %T is not what lib/pq's connections were", inner), inner.Close())
	}
	wrapped := &conn{pqConn: full, wire: dialed}
	pq.SetNoticeHandler(inner, wrapped.notice)
	served, direct, err := wrapped.greet(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pqconn: make sure of synchronous commits: %w", err), inner.Close())
	}
	if direct {
		_, err = wrapped.ExecContext(ctx, keptPlans, nil)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pqconn: have plans kept: %w", err), inner.Close())
		}
		wrapped.prepared = map[string]driver.Stmt{}
		if c.cancels != nil && served.begun != "" {
			wrapped.cancel = c.canceller(served) //nolint:contextcheck // It runs when the context of a statement has ended.
		}
	}
	return wrapped, nil
}

// unreachable marks the failure to connect as one of the network, which is worth
// another try, unless a server answered with an error of its own. lib/pq has no type
// for "none of the hosts is what target_session_attrs asks for", which is how a
// switch-over looks until it is done.
func unreachable(err error) error {
	if _, answered := errors.AsType[*pq.Error](err); answered {
		return err
	}
	return &net.OpError{Op: "connect", Net: "postgres", Err: err}
}
