package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/application"
)

// Store implements the storage ports. It is safe for concurrent use, by several
// processes on one file too.
type Store struct{ db *DB }

var (
	_ application.ConfigFinder      = (*Store)(nil)
	_ application.GitHubConfigStore = (*Store)(nil)
	_ application.TokenStore        = (*Store)(nil)
	_ application.ExpiredRemover    = (*Store)(nil)
)

// NewStore returns the store in db, whose schema must be current.
func NewStore(db *DB) *Store { return &Store{db: db} }

// write runs do in a transaction that holds the write lock from its beginning.
func (s *Store) write(ctx context.Context, do func(*sqlx.Tx) error) error {
	tx, err := s.db.writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = do(tx)
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	err = tx.Commit()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// RemoveExpired implements [application.ExpiredRemover]. The write lock keeps others
// from doing the same at once.
func (s *Store) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	removed := 0
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		for _, query := range []string{
			`delete from trustpub_tokens where id in (select id from trustpub_tokens where expires_at < ? order by expires_at limit ?)`,
			`delete from trustpub_used_jtis where (issuer, jti) in (select issuer, jti from trustpub_used_jtis where expires_at < ? order by expires_at limit ?)`,
		} {
			result, err := tx.ExecContext(ctx, query, before.UnixMicro(), limit)
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

// fromMicros reads a time as it is kept: microseconds since 1970 UTC, which compare
// as numbers.
func fromMicros(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
