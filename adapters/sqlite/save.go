package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/domain"
)

// saving is a token to be stored, and the jti to be spent for it.
type saving struct {
	row  tokenRow
	used usedRow
}

// usedRow is a row of trustpub_used_jtis.
type usedRow struct {
	Hash      []byte `db:"hash"`
	Token     []byte `db:"hashed_token"`
	ExpiresAt int64  `db:"expires_at"`
}

// jtiHash is what a used jti is kept by.
type jtiHash = [sha256.Size]byte

// SaveToken implements [application.TokenStore]. Concurrent calls share a transaction,
// and with it the wait for the disk. The first exchange of a config has one of its own,
// which a config that was pinned meanwhile may undo.
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	row, err := newTokenRow(token)
	if err != nil {
		return err
	}
	hash := jti.Hash()
	item := saving{row, usedRow{hash[:], row.Hash, jti.ExpiresAt.UnixMicro()}}
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
		owners, err := save(ctx, tx, []saving{item})
		if err != nil {
			return err
		}
		err = item.outcome(owners)
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

// saveTokensTogether saves several tokens in one transaction. One that can't be stored
// undoes it, and all are then saved by themselves.
func (s *Store) saveTokensTogether(ctx context.Context, items []saving) ([]groupcommit.Answer[struct{}], error) {
	var owners map[jtiHash][]byte
	err := s.write(ctx, func(tx *sqlx.Tx) (err error) {
		owners, err = save(ctx, tx, items)
		return err
	})
	if err != nil {
		return nil, err
	}
	answers := make([]groupcommit.Answer[struct{}], len(items))
	for i, item := range items {
		answers[i].Err = item.outcome(owners)
	}
	return answers, nil
}

// outcome is what the owner of its jti means for a token. A jti that was spent for this
// very token is an earlier attempt's, which has succeeded.
func (s saving) outcome(owners map[jtiHash][]byte) error {
	owner, known := owners[jtiHash(s.used.Hash)]
	switch {
	case !known:
		return errors.New("nobody has spent the jti")
	case !bytes.Equal(owner, s.row.Hash):
		return domain.AlreadyUsed()
	}
	return nil
}

// save spends the jtis that are not spent yet, the first of equal ones, and stores their
// tokens. It tells for each jti which token it was spent for.
func save(ctx context.Context, tx *sqlx.Tx, items []saving) (map[jtiHash][]byte, error) {
	first := make(map[jtiHash]saving, len(items))
	var used []usedRow
	for _, item := range items {
		hash := jtiHash(item.used.Hash)
		if _, twice := first[hash]; !twice {
			first[hash] = item
			used = append(used, item.used)
		}
	}
	spent, err := spend(ctx, tx, used)
	if err != nil {
		return nil, fmt.Errorf("spend jtis: %w", err)
	}
	owners := make(map[jtiHash][]byte, len(used))
	var rows []tokenRow
	for _, hash := range spent {
		item := first[jtiHash(hash)]
		owners[jtiHash(hash)] = item.row.Hash
		rows = append(rows, item.row)
	}
	err = insertTokens(ctx, tx, rows)
	if err != nil {
		return nil, fmt.Errorf("insert tokens: %w", err)
	}
	for _, u := range used {
		hash := jtiHash(u.Hash)
		if _, mine := owners[hash]; mine {
			continue
		}
		owners[hash], err = owner(ctx, tx, u.Hash)
		if err != nil {
			return nil, fmt.Errorf("read who spent the jti: %w", err)
		}
	}
	return owners, nil
}

// spend spends those of the jtis that are not spent yet, and returns their hashes.
func spend(ctx context.Context, tx *sqlx.Tx, used []usedRow) ([][]byte, error) {
	query, args, err := tx.BindNamed(`
		insert into trustpub_used_jtis (hash, hashed_token, expires_at)
		values (:hash, :hashed_token, :expires_at)
		on conflict (hash) do nothing
		returning hash`, used)
	if err != nil {
		return nil, err
	}
	var spent [][]byte
	err = tx.SelectContext(ctx, &spent, query, args...)
	return spent, err
}

func insertTokens(ctx context.Context, tx *sqlx.Tx, rows []tokenRow) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.NamedExecContext(ctx, `
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		values (:hashed_token, :issued_at, :expires_at, :issuer, :subject, :grants, :publisher)`, rows)
	return err
}

// owner returns the hash of the token that a jti was spent for.
func owner(ctx context.Context, tx *sqlx.Tx, hash []byte) ([]byte, error) {
	var token []byte
	err := tx.GetContext(ctx, &token, `select hashed_token from trustpub_used_jtis where hash = ?`, hash)
	return token, err
}
