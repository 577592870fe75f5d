package pqconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// maxPrepared is how many statements a connection keeps. trustpub has about twenty.
const maxPrepared = 64

// prepare returns the statement as the server keeps it, which spares it from being
// parsed and planned each time: that takes longer than an exchange's own work. nil is
// one that is not kept: several in one text, as migrations have them, or where the
// server is not to keep any.
func (c *conn) prepare(ctx context.Context, query string, args []driver.NamedValue) (driver.Stmt, error) {
	if c.prepared == nil || len(args) == 0 {
		return nil, nil //nolint:nilnil // See above.
	}
	statement, ok := c.prepared[query]
	if ok || len(c.prepared) == maxPrepared {
		return statement, nil
	}
	statement, err := c.pqConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	_, executes := statement.(driver.StmtExecContext)
	_, queries := statement.(driver.StmtQueryContext)
	if !executes || !queries {
		return nil, errors.Join(errors.New("pqconn: the statements of lib/pq are not what they were"), statement.Close())
	}
	c.prepared[query] = statement
	return statement, nil
}

// greet makes sure that commits are synchronous, and finds out whether the server
// itself is at the other end of the connection, and which of its processes. With
// synchronous_commit off, a commit is acknowledged before it is written, and a crash of
// the server forgets it; any other value is the operator's choice of durability.
func (c *conn) greet(ctx context.Context) (served backend, direct bool, err error) {
	rows, err := c.QueryContext(ctx, `
		select coalesce(host(inet_client_addr()), ''), coalesce(inet_client_port(), 0), pid, coalesce(backend_start::text, ''),
			case current_setting('synchronous_commit') when 'off' then set_config('synchronous_commit', 'on', false) end
		from pg_stat_get_activity(pg_backend_pid())`, nil)
	if err != nil {
		return backend{}, false, err
	}
	values := make([]driver.Value, 5)
	err = rows.Next(values)
	if err != nil {
		return backend{}, false, errors.Join(err, rows.Close())
	}
	host, _ := values[0].(string)
	port, _ := values[1].(int64)
	served.pid, _ = values[2].(int64)
	served.begun, _ = values[3].(string)
	// The commit, and with it a warning, comes after the last row.
	err = rows.Next(values)
	if !errors.Is(err, io.EOF) {
		return backend{}, false, errors.Join(errors.New("pqconn: a second row, or none at all"), err, rows.Close())
	}
	return served, isDirect(c.wire.Conn, host, port, served.pid), rows.Close()
}

// isDirect reports whether the server that sees a client at host and port, and calls its
// process backend, is at the other end of the connection. A pooler may hand each
// transaction to another connection of the server, where a name that lib/pq has given
// to one statement may be another's. The server sees the pooler's end then, and not
// ours; on a Unix socket, the process that listens is not the parent of backend. A
// proxy that merely forwards looks the same, and costs what a pooler does.
func isDirect(wire net.Conn, host string, port, backend int64) bool {
	switch wire := wire.(type) {
	case *net.TCPConn:
		local, err := netip.ParseAddrPort(wire.LocalAddr().String())
		if err != nil {
			return false
		}
		seen, err := netip.ParseAddrPort(net.JoinHostPort(host, strconv.FormatInt(port, 10)))
		return err == nil && seen.Port() == local.Port() && seen.Addr().Unmap() == local.Addr().Unmap().WithZone("")
	case *net.UnixConn:
		return host == "" && listensFor(wire, backend)
	}
	return false
}
