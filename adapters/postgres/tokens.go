package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

// FindToken implements [application.TokenStore].
func (s *Store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	return s.tokens(ctx, hash)
}

// selectRow reads rows as [tokenRow]; the condition follows.
const selectRow = `
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
	where t.hashed_token `

func (s *Store) findToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	var row tokenRow
	err := retry(ctx, func(ctx context.Context) error {
		return s.inStatement(ctx, func(ctx context.Context, q sqlx.QueryerContext) error {
			return sqlx.GetContext(ctx, q, &row, selectRow+`= $1`, hash[:])
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		return domain.AccessToken{}, domain.TokenNotFound()
	}
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("find token: %w", err)
	}
	return row.token()
}

// findTokensTogether finds several tokens in one statement.
func (s *Store) findTokensTogether(ctx context.Context, hashes []domain.TokenHash) ([]groupcommit.Answer[domain.AccessToken], error) {
	wanted := make([]string, 0, len(hashes))
	for _, hash := range hashes {
		wanted = append(wanted, byteaText(hash[:]))
	}
	var rows []tokenRow
	err := s.inStatement(ctx, func(ctx context.Context, q sqlx.QueryerContext) error {
		rows = nil // A run that failed may have told some.
		return sqlx.SelectContext(ctx, q, &rows, selectRow+`= any($1::bytea[])`, arrayText(wanted))
	})
	if err != nil {
		return nil, err
	}
	found := make(map[domain.TokenHash]tokenRow, len(rows))
	for _, row := range rows {
		found[domain.TokenHash(row.Hash)] = row
	}
	answers := make([]groupcommit.Answer[domain.AccessToken], len(hashes))
	for i, hash := range hashes {
		row, ok := found[hash]
		if !ok {
			answers[i].Err = domain.TokenNotFound()
			continue
		}
		answers[i].Value, answers[i].Err = row.token()
	}
	return answers, nil
}

// RevokeToken implements [application.TokenStore]. A token that was revoked before is
// written again without a change, so that the commit waits for the synchronous
// standby: the wait of the call that revoked it may have been cut short. Where there is
// such a standby, a message that nobody reads is logged for one that is unknown, for the
// same wait: a server that was frozen, and does not know yet that another is the primary
// now, has never heard of the tokens since, and no standby confirms its commits. When the
// connection is lost during the commit, the answer may be false for the very call that
// did it.
func (s *Store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	var revoked []bool
	err := retry(ctx, func(ctx context.Context) error {
		revoked = nil
		return s.db.SelectContext(ctx, &revoked, `
			with before as (
				select hashed_token, revoked_at from trustpub_tokens where hashed_token = $1 for update
			), written as (
				update trustpub_tokens t set revoked_at = coalesce(before.revoked_at, $2)
				from before
				where t.hashed_token = before.hashed_token
				returning before.revoked_at is null as did
			)
			select did from written
			union all
			select pg_logical_emit_message(true, 'trustpub', 'no such token') is null
			where not exists (select from before) and current_setting('synchronous_standby_names') <> ''`, hash[:], at.UTC())
	})
	if err != nil {
		return false, fmt.Errorf("revoke token: %w", err)
	}
	return slices.Contains(revoked, true), nil
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
	publisher, err := strictjson.Strings([]byte(r.Publisher))
	if err != nil {
		return domain.AccessToken{}, fmt.Errorf("decode publisher: %w", err)
	}
	t.Publisher = domain.CollectDetails(publisher)
	return t, nil
}
