// Package postgres keeps trustpub's data in PostgreSQL, for any number of replicas.
// It works with any database/sql driver whose errors tell their SQLSTATE, as those
// of lib/pq and pgx do; package pqconn opens the former.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/application"
)

// Store implements the storage ports. It is safe for concurrent use.
type Store struct{ db *sqlx.DB }

var (
	_ application.ConfigFinder   = (*Store)(nil)
	_ application.ConfigStore    = (*Store)(nil)
	_ application.TokenStore     = (*Store)(nil)
	_ application.ExpiredRemover = (*Store)(nil)
)

// NewStore returns the store in db, whose schema must be current. The handle stays
// the caller's. With a handle that package pqconn did not open, three things are the
// caller's to see to: that synchronous_commit is not "off", which forgets tokens and
// spent ID tokens when the server crashes; that calls end with their contexts, also
// when the server is frozen; and that somebody listens to the warning of a commit
// whose synchronous standby did not confirm it.
func NewStore(db *sql.DB) *Store {
	// The name only tells sqlx that placeholders are $1, $2, … .
	return &Store{db: sqlx.NewDb(db, "postgres")}
}

// Advisory locks. The first word is trustpub's, "trus" in ASCII.
const (
	lockSpace  = 0x74727573
	lockSweep  = 1
	lockConfig = 2
)

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
				select id from trustpub_tokens where expires_at < $1 order by expires_at limit $2 for update skip locked
			)
			delete from trustpub_tokens t using expired where t.id = expired.id`,
			`with expired as materialized (
				select issuer, jti from trustpub_used_jtis where expires_at < $1 order by expires_at limit $2 for update skip locked
			)
			delete from trustpub_used_jtis used using expired where used.issuer = expired.issuer and used.jti = expired.jti`,
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
