// Package postgres keeps trustpub's data in PostgreSQL, for any number of replicas.
// It works with any database/sql driver whose errors tell their SQLSTATE, as those
// of lib/pq and pgx do; package pqconn opens the former.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Store implements the storage ports. It is safe for concurrent use. Concurrent calls
// of FindConfigs, of SaveToken and of FindToken share statements, as package
// groupcommit says, and with them round trips and commits, unless it is [Unshared].
type Store struct {
	db     *sqlx.DB
	within func(context.Context) context.Context
	memory memory
	finds  operation[domain.Claims, []domain.Config]
	saves  operation[saving, struct{}]
	tokens operation[domain.TokenHash, domain.AccessToken]
}

var (
	_ application.ConfigFinder   = (*Store)(nil)
	_ application.ConfigStore    = (*Store)(nil)
	_ application.TokenStore     = (*Store)(nil)
	_ application.ExpiredRemover = (*Store)(nil)
	_ application.ConfigMemory   = (*Store)(nil)
)

// Option changes what a [Store] does.
type Option func(*options)

type options struct {
	observe  func(ctx context.Context, operation string, size int)
	unshared bool
	within   func(context.Context) context.Context
}

// ObserveBatches has observe told how many calls share a statement, 1 included, of the
// operations find_configs, save_token and find_token. ctx has the values of the call
// whose values the statement has. It must be fast and safe for concurrent use.
func ObserveBatches(observe func(ctx context.Context, operation string, size int)) Option {
	return func(o *options) { o.observe = observe }
}

// Unshared has each call make a statement of its own. That costs more under load, and is
// for a host that shares statements by other means, for one whose proxy routes by the
// parameters of a statement, and for comparison.
func Unshared() Option {
	return func(o *options) { o.unshared = true }
}

// StatementContext has the statements of FindConfigs, SaveToken and FindToken run within
// what within returns for their context, on a connection that was waited for within the
// context itself. It is for pqconn.Unwatched, by which a pool that package pqconn opened
// needs less of the processor.
func StatementContext(within func(context.Context) context.Context) Option {
	return func(o *options) { o.within = within }
}

// NewStore returns the store in db, whose schema must be current. The handle stays
// the caller's. With a handle that package pqconn did not open, three things are the
// caller's to see to: that synchronous_commit is not "off", which forgets tokens and
// spent ID tokens when the server crashes; that calls end with their contexts, also
// when the server is frozen; and that somebody listens to the warning of a commit
// whose synchronous standby did not confirm it.
func NewStore(db *sql.DB, opts ...Option) *Store {
	o := options{
		observe: func(context.Context, string, int) {},
		within:  func(ctx context.Context) context.Context { return ctx },
	}
	for _, set := range opts {
		set(&o)
	}
	// The name only tells sqlx that placeholders are $1, $2, … .
	s := &Store{db: sqlx.NewDb(db, "postgres"), within: o.within, memory: newMemory()}
	s.finds = newOperation(o, "find_configs", 1, s.findConfigs, s.findConfigsTogether)
	s.saves = newOperation(o, "save_token", 1, s.saveToken, s.saveTokensTogether)
	// A token is looked up without much to do before and after, so that the processor
	// would idle while the database works, and the other way round.
	s.tokens = newOperation(o, "find_token", 3, s.findToken, s.findTokensTogether)
	return s
}

// operation makes one call, together with others unless the store is unshared.
type operation[Q, A any] func(ctx context.Context, question Q) (A, error)

func newOperation[Q, A any](o options, name string, atOnce int, alone operation[Q, A], together func(context.Context, []Q) ([]groupcommit.Answer[A], error)) operation[Q, A] {
	observe := func(ctx context.Context, size int) { o.observe(ctx, name, size) }
	if o.unshared {
		return func(ctx context.Context, question Q) (A, error) {
			observe(ctx, 1)
			return alone(ctx, question)
		}
	}
	return groupcommit.New(groupcommit.Config[Q, A]{Alone: alone, Together: together, AtOnce: atOnce, Observe: observe}).Do
}

// Advisory locks. The first word is trustpub's, "trus" in ASCII.
const (
	lockSpace  = 0x74727573
	lockSweep  = 1
	lockConfig = 2
)

// inStatement runs do, which executes one statement that may be executed again, and
// calls do again when its connection was none. That may be a second time for the
// statement: lib/pq says so also of a connection that ended while it waited.
func (s *Store) inStatement(ctx context.Context, do func(context.Context, sqlx.QueryerContext) error) error {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // It goes back to the pool, or is gone already.
	err = do(s.within(ctx), conn)
	if errors.Is(err, driver.ErrBadConn) {
		return do(ctx, s.db) // database/sql tries others, and in the end a new one.
	}
	return err
}

// inTx runs do in a transaction whose statements each see what was committed before
// them, whatever the server's default is: what is read after a lock was waited for
// must not be older than the lock.
func (s *Store) inTx(ctx context.Context, do func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = do(tx)
	if err != nil {
		return errors.Join(err, ignoreTxDone(tx.Rollback()))
	}
	err = tx.Commit()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreTxDone drops the error of a rollback that database/sql did already, at the
// end of the context.
func ignoreTxDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// RemoveExpired implements [application.ExpiredRemover]. Rows that another
// transaction holds are left for the next time. The rows are chosen in a step of
// their own, which runs once: as a sub-query it might run once per row, and go
// beyond the limit.
func (s *Store) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	removed := 0
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		var mine bool
		err := tx.GetContext(ctx, &mine, `select pg_try_advisory_xact_lock($1, $2)`, lockSpace, lockSweep)
		if err != nil || !mine {
			return err
		}
		for _, query := range []string{
			`with expired as materialized (
				select hashed_token from trustpub_tokens where expires_at < $1 order by expires_at limit $2 for update skip locked
			)
			delete from trustpub_tokens t using expired where t.hashed_token = expired.hashed_token`,
			`with expired as materialized (
				select hash from trustpub_used_jtis where expires_at < $1 order by expires_at limit $2 for update skip locked
			)
			delete from trustpub_used_jtis used using expired where used.hash = expired.hash`,
		} {
			result, err := tx.ExecContext(ctx, query, before.UTC(), limit)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			removed += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("remove expired rows: %w", err)
	}
	return removed, nil
}
