package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
)

// usedJTIHash is version 3 for SQLite, of which postgres/00003_used_jti_hash.sql says
// why. It is in Go because SQLite has no SHA-256.
func usedJTIHash() *goose.Migration {
	m := goose.NewGoMigration(3, &goose.GoFunc{RunTx: hashUsedJTIs}, &goose.GoFunc{RunTx: unhashUsedJTIs})
	m.Source = "00003_used_jti_hash.go"
	return m
}

// The SQL is indented as in the files, as SQLite keeps its text.
const (
	// makeHashTable makes the table with the hash, beside the one before.
	makeHashTable = `
alter table trustpub_used_jtis rename to trustpub_used_jtis_before;

create table trustpub_used_jtis (
    -- ID tokens that were exchanged, so that none is exchanged twice.
    hash blob not null primary key check (length(hash) = 32), -- SHA-256 of the ID token's iss, a NUL byte, and its jti
    hashed_token blob not null check (length(hashed_token) = 32), -- SHA-256 of the access token that it was exchanged for
    expires_at integer not null -- when the ID token can be accepted no more, microseconds since 1970 UTC
) without rowid;`
	// moveToHash drops the table before, and the number of a token.
	moveToHash = `
drop table trustpub_used_jtis_before;
create index trustpub_used_jtis_expires_at on trustpub_used_jtis (expires_at);

alter table trustpub_tokens rename to trustpub_tokens_before;
create table trustpub_tokens (
    -- Access tokens that were given out, without the tokens themselves.
    hashed_token blob not null primary key check (length(hashed_token) = 32), -- SHA-256 of the whole token
    issued_at integer not null, -- when it was given out, microseconds since 1970 UTC
    expires_at integer not null, -- when it ends, microseconds since 1970 UTC
    revoked_at integer, -- when it was revoked, microseconds since 1970 UTC, null when it was not
    issuer text not null, -- iss of the ID token it was exchanged for
    subject text not null, -- sub of the ID token it was exchanged for
    grants text not null, -- JSON array of provider, config_id, ecosystem and name
    publisher text not null -- JSON object, snapshot of the workload's claims
);
insert into trustpub_tokens (hashed_token, issued_at, expires_at, revoked_at, issuer, subject, grants, publisher)
select hashed_token, issued_at, expires_at, revoked_at, issuer, subject, grants, publisher from trustpub_tokens_before;
drop table trustpub_tokens_before;
create index trustpub_tokens_expires_at on trustpub_tokens (expires_at);`
	// dropHash brings both tables back, the former empty.
	dropHash = `
drop table trustpub_used_jtis;
create table trustpub_used_jtis (
    -- ID tokens that were exchanged, so that none is exchanged twice.
    issuer text not null, -- iss of the ID token
    jti text not null, -- jti of the ID token
    hashed_token blob not null check (length(hashed_token) = 32), -- SHA-256 of the access token that it was exchanged for
    expires_at integer not null, -- when the ID token can be accepted no more, microseconds since 1970 UTC
    primary key (issuer, jti)
) without rowid;
create index trustpub_used_jtis_expires_at on trustpub_used_jtis (expires_at);

alter table trustpub_tokens rename to trustpub_tokens_after;
create table trustpub_tokens (
    -- Access tokens that were given out, without the tokens themselves.
    id integer primary key, -- number of the row
    hashed_token blob not null unique check (length(hashed_token) = 32), -- SHA-256 of the whole token
    issued_at integer not null, -- when it was given out, microseconds since 1970 UTC
    expires_at integer not null, -- when it ends, microseconds since 1970 UTC
    revoked_at integer, -- when it was revoked, microseconds since 1970 UTC, null when it was not
    issuer text not null, -- iss of the ID token it was exchanged for
    subject text not null, -- sub of the ID token it was exchanged for
    grants text not null, -- JSON array of provider, config_id, ecosystem and name
    publisher text not null -- JSON object, snapshot of the workload's claims
);
insert into trustpub_tokens (hashed_token, issued_at, expires_at, revoked_at, issuer, subject, grants, publisher)
select hashed_token, issued_at, expires_at, revoked_at, issuer, subject, grants, publisher from trustpub_tokens_after;
drop table trustpub_tokens_after;
create index trustpub_tokens_expires_at on trustpub_tokens (expires_at);`
)

func hashUsedJTIs(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, makeHashTable)
	if err != nil {
		return fmt.Errorf("make the table: %w", err)
	}
	records, err := readUsedJTIs(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the records: %w", err)
	}
	for _, r := range records {
		hash := sha256.Sum256([]byte(r.issuer + "\x00" + r.jti))
		_, err = tx.ExecContext(ctx, `insert into trustpub_used_jtis (hash, hashed_token, expires_at) values (?, ?, ?)`, hash[:], r.hashedToken, r.expiresAt)
		if err != nil {
			return fmt.Errorf("insert a record: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, moveToHash)
	return err
}

type usedJTI struct {
	issuer, jti string
	hashedToken []byte
	expiresAt   int64
}

func readUsedJTIs(ctx context.Context, tx *sql.Tx) (records []usedJTI, err error) {
	rows, err := tx.QueryContext(ctx, `select issuer, jti, hashed_token, expires_at from trustpub_used_jtis_before`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r usedJTI
		err = rows.Scan(&r.issuer, &r.jti, &r.hashedToken, &r.expiresAt)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

func unhashUsedJTIs(ctx context.Context, tx *sql.Tx) error {
	var until sql.NullInt64
	err := tx.QueryRowContext(ctx, `select max(expires_at) from trustpub_used_jtis where expires_at > cast(unixepoch('subsec') * 1000000 as integer)`).Scan(&until)
	if err != nil {
		return fmt.Errorf("look for records that count: %w", err)
	}
	if until.Valid {
		return fmt.Errorf("the schema before can not hold which ID tokens were used, and they could be used again: stop all servers, and try again after %s",
			time.UnixMicro(until.Int64).UTC().Format(time.RFC3339))
	}
	_, err = tx.ExecContext(ctx, dropHash)
	return err
}
