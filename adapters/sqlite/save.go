package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/domain"
)

// saving is a token to be stored, and the jti to be spent for it.
type saving struct {
	row tokenRow
	// hash is the jti's, and forgetAt when it can be forgotten.
	hash     []byte
	forgetAt int64
}

// SaveToken implements [application.TokenStore]. Concurrent calls share a transaction,
// and with it the wait for the disk. The first exchange of a config has one of its own,
// since a config that was pinned meanwhile undoes it.
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	row, err := newTokenRow(token)
	if err != nil {
		return err
	}
	hash := jti.Hash()
	item := saving{row, hash[:], jti.ExpiresAt.UnixMicro()}
	if len(pins) > 0 {
		err = s.saveTokenAndPin(ctx, item, pins)
	} else {
		_, err = s.saves.Do(ctx, item)
	}
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}

// saveToken saves one token.
func (s *Store) saveToken(ctx context.Context, item saving) (struct{}, error) {
	return struct{}{}, s.saveTokenAndPin(ctx, item, nil)
}

// saveTokenAndPin saves one token and pins its configs.
func (s *Store) saveTokenAndPin(ctx context.Context, item saving, pins []domain.Pin) error {
	do := func(tx *sqlx.Tx) error {
		saver, err := newSaver(ctx, tx)
		if err != nil {
			return err
		}
		err = saver.save(ctx, item)
		if err != nil {
			return err
		}
		return pin(ctx, tx, pins)
	}
	err := s.write(ctx, do)
	if errors.Is(err, errCommit) {
		// Doing it again finds out what became of the first time, by the token's hash.
		return s.write(ctx, do)
	}
	return err
}

// saveTokensTogether saves several tokens in one transaction. A fault of one of them
// undoes it, and all are then saved alone.
func (s *Store) saveTokensTogether(ctx context.Context, items []saving) ([]groupcommit.Answer[struct{}], error) {
	answers := make([]groupcommit.Answer[struct{}], len(items))
	err := s.write(ctx, func(tx *sqlx.Tx) error {
		saver, err := newSaver(ctx, tx)
		if err != nil {
			return err
		}
		for i, item := range items {
			err := saver.save(ctx, item)
			if err != nil && domain.CodeOf(err) != domain.CodeAlreadyUsed {
				return err
			}
			answers[i].Err = err // A refusal has changed nothing.
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// saver saves tokens in a transaction.
type saver struct {
	tx            *sqlx.Tx
	spend, insert *sql.Stmt // The end of the transaction closes them.
}

func newSaver(ctx context.Context, tx *sqlx.Tx) (saver, error) {
	spend, err := tx.PrepareContext(ctx, `
		insert into trustpub_used_jtis (hash, hashed_token, expires_at)
		values (?, ?, ?)
		on conflict (hash) do nothing`)
	if err != nil {
		return saver{}, fmt.Errorf("prepare to spend jtis: %w", err)
	}
	insert, err := tx.PrepareContext(ctx, `
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		values (?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return saver{}, fmt.Errorf("prepare to insert tokens: %w", err)
	}
	return saver{tx, spend, insert}, nil
}

// save spends the jti and stores the token. A jti that was spent for this very token is
// an earlier attempt's, which has succeeded.
func (s saver) save(ctx context.Context, item saving) error {
	r := item.row
	spent, err := affected(s.spend.ExecContext(ctx, item.hash, r.Hash, item.forgetAt))
	if err != nil {
		return fmt.Errorf("spend jti: %w", err)
	}
	if spent == 0 {
		return s.checkOwner(ctx, item)
	}
	_, err = s.insert.ExecContext(ctx, r.Hash, r.IssuedAt, r.ExpiresAt, r.Issuer, r.Subject, r.Grants, r.Publisher)
	if err != nil {
		return fmt.Errorf("insert token: %w", err)
	}
	return nil
}

func (s saver) checkOwner(ctx context.Context, item saving) error {
	var owner []byte
	err := s.tx.GetContext(ctx, &owner, `select hashed_token from trustpub_used_jtis where hash = ?`, item.hash)
	if err != nil {
		return fmt.Errorf("read who spent the jti: %w", err)
	}
	if !bytes.Equal(owner, item.row.Hash) {
		return domain.AlreadyUsed()
	}
	return nil
}
