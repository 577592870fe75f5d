-- +goose Up

create table trustpub_configs_github (
    id bigint generated always as identity primary key,
    created_at timestamptz not null,
    ecosystem text not null,
    package text not null,
    issuer text not null,
    repository_owner text not null,
    repository_name text not null,
    repository_key text not null,
    repository_owner_id bigint not null check (repository_owner_id > 0),
    workflow_filename text not null,
    environment text,
    environment_key text not null
);

create unique index trustpub_configs_github_identity on trustpub_configs_github
    (ecosystem, package, issuer, repository_key, repository_owner_id, workflow_filename, environment_key);
create index trustpub_configs_github_repository on trustpub_configs_github (issuer, repository_key);

comment on table trustpub_configs_github is 'Which GitHub Actions workflow may publish which package.';
comment on column trustpub_configs_github.id is 'Number of the config, never used again.';
comment on column trustpub_configs_github.created_at is 'When it was made.';
comment on column trustpub_configs_github.ecosystem is 'Package URL type of the package.';
comment on column trustpub_configs_github.package is 'Name of the package.';
comment on column trustpub_configs_github.issuer is 'OIDC issuer whose ID tokens the config trusts.';
comment on column trustpub_configs_github.repository_owner is 'Owner of the repository, as it was written.';
comment on column trustpub_configs_github.repository_name is 'Name of the repository, as it was written.';
comment on column trustpub_configs_github.repository_key is 'owner/name in ASCII lower case, for look-ups.';
comment on column trustpub_configs_github.repository_owner_id is 'Immutable number of the owner''s account at GitHub.';
comment on column trustpub_configs_github.workflow_filename is 'Name of the workflow file in .github/workflows.';
comment on column trustpub_configs_github.environment is 'Deployment environment that the job must run in; null accepts any.';
comment on column trustpub_configs_github.environment_key is 'Environment in ASCII lower case; empty accepts any.';

create table trustpub_tokens (
    id bigint generated always as identity primary key,
    hashed_token bytea not null unique check (octet_length(hashed_token) = 32),
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    issuer text not null,
    subject text not null,
    grants jsonb not null,
    publisher jsonb not null
);

create index trustpub_tokens_expires_at on trustpub_tokens (expires_at);

comment on table trustpub_tokens is 'Access tokens that were given out, without the tokens themselves.';
comment on column trustpub_tokens.id is 'Number of the row.';
comment on column trustpub_tokens.hashed_token is 'SHA-256 of the whole token.';
comment on column trustpub_tokens.issued_at is 'When it was given out.';
comment on column trustpub_tokens.expires_at is 'When it ends.';
comment on column trustpub_tokens.revoked_at is 'When it was revoked; null when it was not.';
comment on column trustpub_tokens.issuer is 'iss of the ID token it was exchanged for.';
comment on column trustpub_tokens.subject is 'sub of the ID token it was exchanged for.';
comment on column trustpub_tokens.grants is 'What it covers and why: an array of provider, config_id, ecosystem and name. A grant counts while its config exists.';
comment on column trustpub_tokens.publisher is 'Snapshot of the workload''s claims.';

create table trustpub_used_jtis (
    issuer text not null,
    jti text not null,
    hashed_token bytea not null check (octet_length(hashed_token) = 32),
    expires_at timestamptz not null,
    primary key (issuer, jti)
);

create index trustpub_used_jtis_expires_at on trustpub_used_jtis (expires_at);

comment on table trustpub_used_jtis is 'ID tokens that were exchanged, so that none is exchanged twice.';
comment on column trustpub_used_jtis.issuer is 'iss of the ID token.';
comment on column trustpub_used_jtis.jti is 'jti of the ID token.';
comment on column trustpub_used_jtis.hashed_token is 'SHA-256 of the access token that it was exchanged for; tells an attempt whose outcome was unknown that it was this one.';
comment on column trustpub_used_jtis.expires_at is 'When the ID token can be accepted no more.';

-- +goose Down

drop table trustpub_used_jtis;
drop table trustpub_tokens;
drop table trustpub_configs_github;
