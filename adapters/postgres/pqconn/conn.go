package pqconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/lib/pq"
)

// pqConn is what a connection of lib/pq can do.
type pqConn interface { //nolint:interfacebloat // database/sql looks for each of them.
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// conn is a connection that turns a certain warning into an error. PostgreSQL
// reports success for a commit whose wait for the synchronous standby was
// cancelled, and says in a warning that it may not have been replicated
// (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION).
// As any connection, it is used by one goroutine at a time.
type conn struct {
	pqConn

	// notDurable is set by the warning, which comes before the end of the answer.
	notDurable bool
}

// notice is called by lib/pq, in the goroutine that reads an answer.
func (c *conn) notice(n *pq.Error) {
	// Class 01000 "warning" has no code of its own for this; among the warnings at a
	// commit, there is no other.
	if n.Code == "01000" && n.Severity == "WARNING" {
		c.notDurable = true
	}
}

// settle replaces success by ErrNotDurable after the warning.
func (c *conn) settle(err error) error {
	warned := c.notDurable
	c.notDurable = false
	if warned && (err == nil || errors.Is(err, io.EOF)) {
		return ErrNotDurable
	}
	return err
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.notDurable = false
	result, err := c.pqConn.ExecContext(ctx, query, args)
	return result, c.settle(err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.notDurable = false
	inner, err := c.pqConn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &rows{Rows: inner, conn: c}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	inner, err := c.pqConn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return &tx{Tx: inner, conn: c}, nil
}

// rows ends with an error instead of the end when the statement's commit is in
// doubt. A statement outside a transaction commits after its last row.
type rows struct {
	driver.Rows

	conn *conn
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if err == nil {
		return nil
	}
	return r.conn.settle(err)
}

// Close implements driver.Rows.
func (r *rows) Close() error { return r.conn.settle(r.Rows.Close()) }

type tx struct {
	driver.Tx

	conn *conn
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	t.conn.notDurable = false
	return t.conn.settle(t.Tx.Commit())
}
