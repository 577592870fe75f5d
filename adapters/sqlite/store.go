package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/application"
)

// Store implements the storage ports. It is safe for concurrent use, by several
// processes on one file too. Concurrent calls of SaveToken share transactions, as
// package groupcommit says, and with them the wait for the disk.
type Store struct {
	db    *DB
	saves *groupcommit.Group[saving, struct{}]
}

var (
	_ application.ConfigFinder   = (*Store)(nil)
	_ application.ConfigStore    = (*Store)(nil)
	_ application.TokenStore     = (*Store)(nil)
	_ application.ExpiredRemover = (*Store)(nil)
)

// Option changes what a [Store] does.
type Option func(*options)

type options struct {
	observe func(ctx context.Context, operation string, size int)
}

// ObserveBatches has observe told how many calls share a transaction, 1 included, of the
// operation save_token. ctx has the values of the call whose values the transaction has.
// It must be fast and safe for concurrent use.
func ObserveBatches(observe func(ctx context.Context, operation string, size int)) Option {
	return func(o *options) { o.observe = observe }
}

// NewStore returns the store in db, whose schema must be current.
func NewStore(db *DB, opts ...Option) *Store {
	o := options{observe: func(context.Context, string, int) {}}
	for _, set := range opts {
		set(&o)
	}
	s := &Store{db: db}
	// There is one connection that writes, so that a second round would only wait.
	s.saves = groupcommit.New(groupcommit.Config[saving, struct{}]{
		Alone: s.saveToken, Together: s.saveTokensTogether, Timeout: writeTimeout,
		Observe: func(ctx context.Context, size int) { o.observe(ctx, "save_token", size) },
	})
	return s
}

// writeTimeout bounds a write, unless its context ends before.
const writeTimeout = 10 * time.Second

// errCommit marks an error of a commit, after which it is not known whether the
// transaction took place.
var errCommit = errors.New("commit")

// write runs do in a transaction that holds the write lock from its beginning. While
// another process holds the lock it waits, until the time is over.
func (s *Store) write(ctx context.Context, do func(*sqlx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for {
		err := s.writeOnce(ctx, do)
		if !isBusy(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, do func(*sqlx.Tx) error) error {
	tx, err := s.db.writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = do(tx)
	if err != nil {
		return errors.Join(err, ignoreTxDone(tx.Rollback()))
	}
	err = tx.Commit()
	if err != nil {
		return fmt.Errorf("%w: %w", errCommit, err)
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

// isBusy reports whether another connection held the lock for longer than
// busy_timeout. What the transaction had done is rolled back.
func isBusy(err error) bool {
	const sqliteBusy = 5 // https://www.sqlite.org/rescode.html#busy
	coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	return ok && coded.Code()&0xff == sqliteBusy // The upper bits tell why.
}

// RemoveExpired implements [application.ExpiredRemover]. The write lock keeps others
// from doing the same at once.
func (s *Store) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	var removed int
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		removed = 0
		for _, query := range []string{
			`delete from trustpub_tokens where rowid in (select rowid from trustpub_tokens where expires_at < ? order by expires_at limit ?)`,
			`delete from trustpub_used_jtis where hash in (select hash from trustpub_used_jtis where expires_at < ? order by expires_at limit ?)`,
		} {
			n, err := affected(tx.ExecContext(ctx, query, before.UnixMicro(), limit))
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

// affected returns how many rows a statement changed.
func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// fromMicros reads a time as it is kept: microseconds since 1970 UTC, which compare
// as numbers.
func fromMicros(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
