package postgres

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

// saveStatement spends the jti and stores the token, or tells whose the jti is, in one
// statement and one round trip.
//
// It may be run again after any outcome, known or not, since everything depends on
// the token's hash, which belongs to one call of SaveToken alone. When an earlier
// run has spent the jti for this token, the row is written again without a change:
// the commit of that write waits for the synchronous standby, and what it waits for
// includes the earlier run, whose own wait may have been cut short. "xmax = 0"
// tells a row that was inserted from one that was updated, so that the token is
// stored by the run that spent the jti, and by no other.
//
// No row at all is a jti that a concurrent transaction spent after this statement's
// snapshot was taken.
const saveStatement = `
	with spent as (
		insert into trustpub_used_jtis as used (issuer, jti, hashed_token, expires_at)
		values ($1, $2, $3, $4)
		on conflict (issuer, jti) do update set hashed_token = excluded.hashed_token
			where used.hashed_token = excluded.hashed_token
		returning used.hashed_token, used.xmax = 0 as is_new
	), stored as (
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		select spent.hashed_token, $5::timestamptz, $6::timestamptz, $7, $8, $9::jsonb, $10::jsonb
		from spent
		where spent.is_new
	)
	select hashed_token from spent
	union all
	select hashed_token from trustpub_used_jtis where issuer = $1 and jti = $2
	limit 1`

// SaveToken implements [application.TokenStore].
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	grants, err := encodeGrants(token.Grants)
	if err != nil {
		return err
	}
	publisher, err := json.Marshal(token.Publisher)
	if err != nil {
		return fmt.Errorf("encode publisher: %w", err)
	}
	save := func(ctx context.Context, q sqlx.QueryerContext) error {
		// Select reads the answer to its end: outside a transaction the commit comes
		// after the last row, and with it the errors that matter most.
		var winners [][]byte
		err := sqlx.SelectContext(ctx, q, &winners, saveStatement, jti.Issuer, jti.ID, token.Hash[:], jti.ExpiresAt.UTC(),
			token.IssuedAt.UTC(), token.ExpiresAt.UTC(), token.Issuer, token.Subject, grants, string(publisher))
		switch {
		case err != nil:
			return err
		case len(winners) == 0:
			return errRunAgain
		case !bytes.Equal(winners[0], token.Hash[:]):
			return domain.AlreadyUsed()
		}
		return nil
	}
	err = retry(ctx, func(ctx context.Context) error {
		if len(pins) == 0 {
			return save(ctx, s.db)
		}
		// The first exchange of a config takes a transaction, and may be run again as
		// the statement may: a pin that is there already is its own.
		return s.inTx(ctx, func(tx *sqlx.Tx) error {
			err := save(ctx, tx)
			if err != nil {
				return err
			}
			return pin(ctx, tx, pins)
		})
	})
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}

// FindToken implements [application.TokenStore].
func (s *Store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	var row tokenRow
	err := retry(ctx, func(ctx context.Context) error {
		return s.db.GetContext(ctx, &row, `
			select t.hashed_token, t.issued_at, t.expires_at, t.revoked_at, t.issuer, t.subject, t.publisher,
				coalesce((
					select jsonb_agg(g.value order by g.ordinality)
					from jsonb_array_elements(t.grants) with ordinality g
					where exists (
						select 1 from trustpub_configs c
						where c.id = (g.value ->> 'config_id')::bigint and c.provider = g.value ->> 'provider'
					)
				), '[]') as grants
			from trustpub_tokens t
			where t.hashed_token = $1`, hash[:])
	})
	if errors.Is(err, sql.ErrNoRows) {
		return domain.AccessToken{}, domain.TokenNotFound()
	}
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("find token: %w", err)
	}
	return row.token()
}

// RevokeToken implements [application.TokenStore]. A token that was revoked before is
// written again without a change, so that the commit waits for the synchronous
// standby: the wait of the call that revoked it may have been cut short. When the
// connection is lost during the commit, the answer may be false for the very call
// that did it.
func (s *Store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	var revoked []bool
	err := retry(ctx, func(ctx context.Context) error {
		revoked = nil
		return s.db.SelectContext(ctx, &revoked, `
			with before as (
				select id, revoked_at from trustpub_tokens where hashed_token = $1 for update
			)
			update trustpub_tokens t set revoked_at = coalesce(before.revoked_at, $2)
			from before
			where t.id = before.id
			returning before.revoked_at is null`, hash[:], at.UTC())
	})
	if err != nil {
		return false, fmt.Errorf("revoke token: %w", err)
	}
	return len(revoked) > 0 && revoked[0], nil
}

// tokenRow is a row of trustpub_tokens.
type tokenRow struct {
	Hash      []byte       `db:"hashed_token"`
	IssuedAt  time.Time    `db:"issued_at"`
	ExpiresAt time.Time    `db:"expires_at"`
	RevokedAt sql.NullTime `db:"revoked_at"`
	Issuer    string       `db:"issuer"`
	Subject   string       `db:"subject"`
	Grants    string       `db:"grants"`
	Publisher string       `db:"publisher"`
}

// grantJSON is an element of the column grants.
type grantJSON struct {
	Provider  string `json:"provider"`
	ConfigID  int64  `json:"config_id"`
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

func encodeGrants(grants []domain.Grant) (string, error) {
	encoded := make([]grantJSON, 0, len(grants))
	for _, g := range grants {
		encoded = append(encoded, grantJSON{g.Provider, g.ConfigID, g.Package.Ecosystem, g.Package.Name})
	}
	text, err := json.Marshal(encoded)
	if err != nil {
		return "", fmt.Errorf("encode grants: %w", err)
	}
	return string(text), nil
}

func (r tokenRow) token() (domain.AccessToken, error) {
	t := domain.AccessToken{
		Hash: domain.TokenHash(r.Hash), Issuer: r.Issuer, Subject: r.Subject,
		IssuedAt: r.IssuedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
	if r.RevokedAt.Valid {
		t.RevokedAt = r.RevokedAt.Time.UTC()
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
