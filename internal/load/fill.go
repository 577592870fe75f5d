package main

import (
	"context"
	"database/sql"
	"fmt"
)

// fill puts n publishers, used ID tokens and tokens into the database, as n exchanges
// of as many repositories would, and has PostgreSQL look at them.
func (s *stack) fill(ctx context.Context, n int) error {
	if s.postgres == nil {
		return fmt.Errorf("-prefill needs PostgreSQL that is started here")
	}
	return s.withDatabase(func(db *sql.DB) error {
		for _, statement := range []string{
			`insert into trustpub_configs (created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
			select now(), 'github', 'cargo', 'package-' || i, '` + s.ci.URL() + `', 'owner-' || i || '/repository', jsonb_build_object('repository_id', i::text)
			from generate_series(1, $1::bigint) i`,
			`insert into trustpub_configs_github (id, repository_owner, repository_name, repository_owner_id, workflow_filename)
			select id, split_part(lookup_key, '/', 1), 'repository', id, 'release.yml' from trustpub_configs
			where package like 'package-%' and $1::bigint > 0`,
			`insert into trustpub_used_jtis (hash, hashed_token, expires_at)
			select sha256(int8send(i)), sha256(int8send(-i)), now() + interval '10 minutes' + i * interval '1 hour' / $1
			from generate_series(1, $1::bigint) i`,
			`insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
			select sha256(int8send(-i)), now(), now() + interval '30 minutes' + i * interval '1 hour' / $1, '` + s.ci.URL() + `',
				'repo:owner-' || i || '/repository:ref:refs/heads/main',
				jsonb_build_array(jsonb_build_object('provider', 'github', 'config_id', i, 'ecosystem', 'cargo', 'name', 'package-' || i)),
				jsonb_build_object('provider', 'github', 'repository', 'owner-' || i || '/repository', 'run_id', i::text, 'sha', encode(sha1.hash, 'hex'))
			from generate_series(1, $1::bigint) i, lateral (select substring(sha256(int8send(i)) for 20) as hash) sha1`,
		} {
			_, err := db.ExecContext(ctx, statement, n)
			if err != nil {
				return fmt.Errorf("fill: %w", err)
			}
		}
		for _, table := range []string{"trustpub_configs", "trustpub_configs_github", "trustpub_used_jtis", "trustpub_tokens"} {
			_, err := db.ExecContext(ctx, "vacuum analyze "+table)
			if err != nil {
				return fmt.Errorf("vacuum: %w", err)
			}
		}
		_, err := db.ExecContext(ctx, "checkpoint")
		return err
	})
}
