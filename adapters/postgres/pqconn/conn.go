package pqconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
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

// outdated are the SQLSTATEs for a statement that was kept prepared and can't be
// executed: cached plan must not change result type, which a migration causes, and
// invalid_sql_statement_name.
var outdated = []pqerror.Code{"0A000", "26000"}

// readOnly is the SQLSTATE read_only_sql_transaction.
const readOnly = "25006"

// conn is a connection that ends with the context of its statement, that turns a
// certain warning into an error, and that is not used again when it may be no good.
// As any connection, it is used by one goroutine at a time.
type conn struct {
	pqConn

	wire *deadlineConn
	// prepared are the statements that the server keeps, by their text; nil where it is
	// not to keep any.
	prepared map[string]driver.Stmt
	// cancel has the server cancel the statement that is under way. It may be called
	// while the connection is in use. nil where that can't be done from here.
	cancel func()
	// unwatch ends the watch over the context of the statement that is under way; nil
	// where lib/pq has it.
	unwatch func() bool
	// notDurable is set by a warning, which comes before the end of the answer.
	notDurable bool
	// broken keeps the connection from being used again.
	broken bool
}

// notice is called by lib/pq, in the goroutine that reads an answer. PostgreSQL
// reports success for a commit whose wait for the synchronous standby was cancelled,
// and says in a warning that it may not have been replicated
// (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION).
// That warning has no code of its own but 01000 "warning"; its severity and its text
// depend on the server's language. Nothing else that trustpub does causes one.
func (c *conn) notice(n *pq.Error) {
	if n.Code == "01000" {
		c.notDurable = true
	}
}

// start prepares for a statement.
func (c *conn) start(ctx context.Context) {
	c.notDurable = false
	c.wire.endWith(ctx)
}

// settle looks at how a statement or a commit ended. Success after the warning
// becomes ErrNotDurable. A connection whose server became a standby, or that failed
// by itself, is not used again: the next one may reach the new primary.
func (c *conn) settle(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		warned := c.notDurable
		c.notDurable = false
		if warned {
			return ErrNotDurable
		}
		return err
	}
	answer, answered := errors.AsType[*pq.Error](err)
	if !answered || answer.Code == readOnly {
		c.broken = true
	}
	if answered && slices.Contains(outdated, answer.Code) {
		c.broken = true
		return driver.ErrBadConn // Nothing was executed, so database/sql may try another connection.
	}
	return err
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.broken && c.pqConn.IsValid() }

// Close implements driver.Conn. The deadline of the last statement, which may long be
// over, is none of its own.
func (c *conn) Close() error {
	c.wire.endWith(context.Background())
	return c.pqConn.Close()
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error {
	c.start(ctx)
	return c.settle(c.pqConn.Ping(ctx))
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx = c.watch(ctx)
	defer c.endWatch()
	statement, err := c.prepare(ctx, query, args)
	if err != nil {
		return nil, c.settle(err)
	}
	if statement != nil {
		result, err := statement.(driver.StmtExecContext).ExecContext(ctx, args) //nolint:forcetypeassert // prepare has looked.
		return result, c.settle(err)
	}
	result, err := c.pqConn.ExecContext(ctx, query, args)
	return result, c.settle(err)
}

// QueryContext implements driver.QueryerContext. The watch over ctx lasts until the rows
// are closed.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx = c.watch(ctx)
	inner, err := c.query(ctx, query, args)
	if err != nil {
		c.endWatch()
		return nil, c.settle(err)
	}
	return &rows{Rows: inner, conn: c}, nil
}

func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	statement, err := c.prepare(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if statement != nil {
		return statement.(driver.StmtQueryContext).QueryContext(ctx, args) //nolint:forcetypeassert // prepare has looked.
	}
	return c.pqConn.QueryContext(ctx, query, args)
}

// errPrepared is returned for statements that the caller prepares: nobody would watch
// how they end. Those that are worth it are kept prepared here.
var errPrepared = errors.New("pqconn: prepared statements are not supported")

// Prepare implements driver.Conn.
func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errPrepared }

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(context.Context, string) (driver.Stmt, error) { return nil, errPrepared }

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	c.start(ctx)
	inner, err := c.pqConn.BeginTx(ctx, options)
	if err != nil {
		return nil, c.settle(err)
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
func (r *rows) Close() error {
	err := r.Rows.Close()
	r.conn.endWatch()
	return r.conn.settle(err)
}

type tx struct {
	driver.Tx

	conn *conn
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	t.conn.notDurable = false
	return t.conn.settle(t.Tx.Commit())
}

// Rollback implements driver.Tx.
func (t *tx) Rollback() error { return t.conn.settle(t.Tx.Rollback()) }
