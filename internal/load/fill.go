package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// fill puts publishers, used ID tokens and tokens into the database, as exchanges of as
// many repositories leave them, and has PostgreSQL look at them. The publishers are
// pinned. The rest expires in the order in which it was put there, in the half hour that
// begins in another: what is swept later than that is not swept while it is measured,
// and what servers with tokens of an hour add expires last, as it always does.
func (s *site) fill(ctx context.Context) error {
	publishers := s.prefill
	if publishers == 0 && s.repositories > 1 {
		publishers = s.repositories
	}
	if publishers == 0 {
		return nil
	}
	const spread = 30 * time.Minute
	return s.withDatabase(func(db *sql.DB) error {
		err := s.fillPublishers(ctx, db, publishers)
		if err == nil && s.prefill > 0 {
			err = s.fillExchanges(ctx, db, span{from: 1, to: s.prefill, begin: time.Now().Add(spread), lasts: spread}, true)
		}
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		for _, table := range []string{"trustpub_configs", "trustpub_configs_github", "trustpub_used_jtis", "trustpub_tokens"} {
			_, err := db.ExecContext(ctx, "vacuum analyze "+table)
			if err != nil {
				return fmt.Errorf("vacuum: %w", err)
			}
		}
		_, err = db.ExecContext(ctx, "checkpoint")
		return err
	})
}

// span is a range of rows, which expire evenly over a time.
type span struct {
	from, to int
	begin    time.Time
	lasts    time.Duration
}

// firstPublisher is the ID of the first publisher but one that is filled in. The demo
// publisher's is below.
const firstPublisher = 1000

func (s *site) fillPublishers(ctx context.Context, db *sql.DB, n int) error {
	whole := span{from: 1, to: n}
	err := inRanges(ctx, db, whole, `
		insert into trustpub_configs (id, created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
		overriding system value
		select $3::bigint + i, now(), 'github', 'cargo', 'package-' || i, $4::text, 'owner-' || i || '/repository', jsonb_build_object('repository_id', i::text)
		from generate_series($1::bigint, $2::bigint) i`, firstPublisher, s.stack.ci.URL())
	if err != nil {
		return err
	}
	err = inRanges(ctx, db, whole, `
		insert into trustpub_configs_github (id, repository_owner, repository_name, repository_owner_id, workflow_filename)
		select $3::bigint + i, 'owner-' || i, 'repository', i, 'release.yml'
		from generate_series($1::bigint, $2::bigint) i`, firstPublisher)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `select setval(pg_get_serial_sequence('trustpub_configs', 'id'), max(id)) from trustpub_configs`)
	return err
}

// fillExchanges puts in what exchanges leave. With many of them it is quicker to make
// the indexes anew.
func (s *site) fillExchanges(ctx context.Context, db *sql.DB, rows span, many bool) error {
	subject, publisher, err := s.template(ctx, db)
	if err != nil {
		return err
	}
	remake := func() error { return nil }
	if many {
		remake, err = dropIndexes(ctx, db, "trustpub_used_jtis", "trustpub_tokens")
		if err != nil {
			return err
		}
	}
	// The row of a number has the same random-looking hashes in every database.
	const expiry = `$3::timestamptz + (i - $4::bigint) * $5::float8 * interval '1 second'`
	step := rows.lasts.Seconds() / float64(rows.to-rows.from+1)
	err = inRanges(ctx, db, rows, `
		insert into trustpub_used_jtis (hash, hashed_token, expires_at)
		select sha256(int8send(i)), sha256(int8send(-i)), `+expiry+`
		from generate_series($1::bigint, $2::bigint) i`, rows.begin, rows.from, step)
	if err != nil {
		return err
	}
	err = inRanges(ctx, db, rows, `
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		select sha256(int8send(-i)), now(), `+expiry+`, $6::text, replace($7::text, $8::text, 'owner-' || i || '/repository'),
			jsonb_build_array(jsonb_build_object('provider', 'github', 'config_id', $9::bigint + i, 'ecosystem', 'cargo', 'name', 'package-' || i)),
			replace(replace($10::text, $8::text, 'owner-' || i || '/repository'), $11::text, encode(substring(sha256(int8send(i)) for 20), 'hex'))::jsonb
		from generate_series($1::bigint, $2::bigint) i`,
		rows.begin, rows.from, step, s.stack.ci.URL(), subject, demoRepository, firstPublisher, publisher, s.stack.ci.GitHubClaims()["sha"])
	return errors.Join(err, remake())
}

// template makes an exchange and returns what it left of the demo repository.
func (s *site) template(ctx context.Context, db *sql.DB) (subject, publisher string, err error) {
	jwt, err := s.stack.ci.Sign(s.stack.ci.GitHubClaims())
	if err != nil {
		return "", "", err
	}
	err = s.send(http.MethodPut, "/api/v1/trusted_publishing/tokens", "", `{"jwt":"`+jwt+`"}`)
	if err != nil {
		return "", "", err
	}
	err = db.QueryRowContext(ctx, `select subject, publisher from trustpub_tokens where subject like '%'||$1::text||'%' limit 1`, demoRepository).Scan(&subject, &publisher)
	return subject, publisher, err
}

// dropIndexes drops the primary keys and the indexes of tables to which nothing refers,
// and returns what makes them again: the keys as full as random ones fill an index.
func dropIndexes(ctx context.Context, db *sql.DB, tables ...string) (remake func() error, err error) {
	var drop, again []string
	for _, table := range tables {
		d, a, err := indexesOf(ctx, db, table)
		if err != nil {
			return nil, fmt.Errorf("read the indexes of %s: %w", table, err)
		}
		drop, again = append(drop, d...), append(again, a...)
	}
	run := func(statements []string) error {
		for _, statement := range statements {
			_, err := db.ExecContext(ctx, statement)
			if err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	}
	return func() error { return run(again) }, run(drop)
}

// indexesOf returns the statements that drop a table's indexes, and those that make them.
func indexesOf(ctx context.Context, db *sql.DB, table string) (drop, again []string, err error) {
	rows, err := db.QueryContext(ctx, `
		select format('alter table %s drop constraint %I', conrelid::regclass, conname),
			format('alter table %s add constraint %I %s with (fillfactor = 70)', conrelid::regclass, conname, pg_get_constraintdef(oid))
		from pg_constraint where conrelid = $1::text::regclass and contype = 'p'
		union all
		select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
		from pg_index where indrelid = $1::text::regclass and not indisprimary`, table)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d, a string
		err = rows.Scan(&d, &a)
		if err != nil {
			return nil, nil, err
		}
		drop, again = append(drop, d), append(again, a)
	}
	return drop, again, rows.Err()
}

// inRanges runs a statement for parts of the rows, several at a time. Its first two
// parameters are the first and the last row of a part.
func inRanges(ctx context.Context, db *sql.DB, rows span, statement string, args ...any) error {
	const (
		size    = 50_000
		workers = 2
	)
	var next atomic.Int64
	next.Store(int64(rows.from))
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for errs[w] == nil {
				from := next.Add(size) - size
				if from > int64(rows.to) {
					return
				}
				errs[w] = insertUnchecked(ctx, db, statement, append([]any{from, min(from+size-1, int64(rows.to))}, args...))
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// insertUnchecked runs a statement without the checks of what rows refer to.
func insertUnchecked(ctx context.Context, db *sql.DB, statement string, args []any) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `set local session_replication_role = replica`)
	if err == nil {
		_, err = tx.ExecContext(ctx, statement, args...)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
