package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/domain"
)

// SaveToken implements [application.TokenStore].
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	row, err := newTokenRow(token)
	if err != nil {
		return err
	}
	do := func(tx *sqlx.Tx) error {
		err := save(ctx, tx, row, jti)
		if err != nil {
			return err
		}
		return pin(ctx, tx, pins)
	}
	err = s.write(ctx, do)
	if errors.Is(err, errCommit) {
		// Doing it again finds out what became of the first time, by the token's hash.
		err = s.write(ctx, do)
	}
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}

// save spends the jti and stores the token. A jti that was spent for this very
// token is an earlier attempt's, which has succeeded.
func save(ctx context.Context, tx *sqlx.Tx, row tokenRow, jti domain.UsedJTI) error {
	hash := jti.Hash()
	spent, err := affected(tx.ExecContext(ctx, `
		insert into trustpub_used_jtis (hash, hashed_token, expires_at)
		values (?, ?, ?)
		on conflict (hash) do nothing`,
		hash[:], row.Hash, jti.ExpiresAt.UnixMicro()))
	if err != nil {
		return fmt.Errorf("spend jti: %w", err)
	}
	if spent == 0 {
		return checkOwner(ctx, tx, row, hash[:])
	}
	_, err = tx.NamedExecContext(ctx, `
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		values (:hashed_token, :issued_at, :expires_at, :issuer, :subject, :grants, :publisher)`, row)
	if err != nil {
		return fmt.Errorf("insert token: %w", err)
	}
	return nil
}

func checkOwner(ctx context.Context, tx *sqlx.Tx, row tokenRow, hash []byte) error {
	var winner []byte
	err := tx.GetContext(ctx, &winner, `select hashed_token from trustpub_used_jtis where hash = ?`, hash)
	if err != nil {
		return fmt.Errorf("read who spent the jti: %w", err)
	}
	if !bytes.Equal(winner, row.Hash) {
		return domain.AlreadyUsed()
	}
	return nil
}

// FindToken implements [application.TokenStore].
func (s *Store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	var row tokenRow
	err := s.db.reader.GetContext(ctx, &row, `
		select t.hashed_token, t.issued_at, t.expires_at, t.revoked_at, t.issuer, t.subject, t.publisher,
			(select json_group_array(json(g.value)) from json_each(t.grants) g
			 where exists (
				select 1 from trustpub_configs c
				where c.id = g.value ->> 'config_id' and c.provider = g.value ->> 'provider')) as grants
		from trustpub_tokens t
		where t.hashed_token = ?`, hash[:])
	if errors.Is(err, sql.ErrNoRows) {
		return domain.AccessToken{}, domain.TokenNotFound()
	}
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("find token: %w", err)
	}
	return row.token()
}

// RevokeToken implements [application.TokenStore].
func (s *Store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	var revoked int64
	err := s.write(ctx, func(tx *sqlx.Tx) (err error) {
		revoked, err = affected(tx.ExecContext(ctx, `
			update trustpub_tokens set revoked_at = ? where hashed_token = ? and revoked_at is null`, at.UnixMicro(), hash[:]))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("revoke token: %w", err)
	}
	return revoked > 0, nil
}

// tokenRow is a row of trustpub_tokens.
type tokenRow struct {
	Hash      []byte        `db:"hashed_token"`
	IssuedAt  int64         `db:"issued_at"`
	ExpiresAt int64         `db:"expires_at"`
	RevokedAt sql.NullInt64 `db:"revoked_at"`
	Issuer    string        `db:"issuer"`
	Subject   string        `db:"subject"`
	Grants    string        `db:"grants"`
	Publisher string        `db:"publisher"`
}

// grantJSON is an element of the column grants.
type grantJSON struct {
	Provider  string `json:"provider"`
	ConfigID  int64  `json:"config_id"`
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

func newTokenRow(t domain.AccessToken) (tokenRow, error) {
	grants := make([]grantJSON, 0, len(t.Grants))
	for _, g := range t.Grants {
		grants = append(grants, grantJSON{Provider: g.Provider, ConfigID: g.ConfigID, Ecosystem: g.Package.Ecosystem, Name: g.Package.Name})
	}
	grantsText, err := json.Marshal(grants)
	if err != nil {
		return tokenRow{}, fmt.Errorf("encode grants: %w", err)
	}
	publisherText, err := json.Marshal(t.Publisher)
	if err != nil {
		return tokenRow{}, fmt.Errorf("encode publisher: %w", err)
	}
	return tokenRow{
		Hash: t.Hash[:], IssuedAt: t.IssuedAt.UnixMicro(), ExpiresAt: t.ExpiresAt.UnixMicro(),
		Issuer: t.Issuer, Subject: t.Subject, Grants: string(grantsText), Publisher: string(publisherText),
	}, nil
}

func (r tokenRow) token() (domain.AccessToken, error) {
	t := domain.AccessToken{
		Issuer: r.Issuer, Subject: r.Subject,
		IssuedAt: fromMicros(r.IssuedAt), ExpiresAt: fromMicros(r.ExpiresAt),
	}
	copy(t.Hash[:], r.Hash)
	if r.RevokedAt.Valid {
		t.RevokedAt = fromMicros(r.RevokedAt.Int64)
	}
	var grants []grantJSON
	err := json.Unmarshal([]byte(r.Grants), &grants)
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("decode grants: %w", err)
	}
	for _, g := range grants {
		t.Grants = append(t.Grants, domain.Grant{
			Package: domain.Package{Ecosystem: g.Ecosystem, Name: g.Name}, Provider: g.Provider, ConfigID: g.ConfigID,
		})
	}
	err = json.Unmarshal([]byte(r.Publisher), &t.Publisher)
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("decode publisher: %w", err)
	}
	return t, nil
}
