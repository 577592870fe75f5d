package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

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
	return tokenRow{
		Hash: t.Hash[:], IssuedAt: t.IssuedAt.UnixMicro(), ExpiresAt: t.ExpiresAt.UnixMicro(),
		Issuer: t.Issuer, Subject: t.Subject, Grants: string(grantsText), Publisher: string(strictjson.AppendStrings(nil, t.Publisher.All())),
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
	publisher, err := strictjson.Strings([]byte(r.Publisher))
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("decode publisher: %w", err)
	}
	t.Publisher = domain.CollectDetails(publisher)
	return t, nil
}
