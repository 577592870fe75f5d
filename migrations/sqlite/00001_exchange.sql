-- +goose Up

create table trustpub_configs_github (
    -- Which GitHub Actions workflow may publish which package.
    id integer primary key autoincrement, -- number of the config, never used again
    created_at integer not null, -- when it was made, microseconds since 1970 UTC
    ecosystem text not null, -- package URL type of the package
    package text not null, -- name of the package
    issuer text not null, -- OIDC issuer whose ID tokens the config trusts
    repository_owner text not null, -- owner of the repository, as it was written
    repository_name text not null, -- name of the repository, as it was written
    repository_key text not null, -- owner/name in ASCII lower case, for look-ups
    repository_owner_id integer not null check (repository_owner_id > 0), -- immutable number of the owner's account at GitHub
    workflow_filename text not null, -- name of the workflow file in .github/workflows
    environment text, -- deployment environment that the job must run in, null accepts any
    environment_key text not null, -- environment in ASCII lower case, empty accepts any
    unique (ecosystem, package, issuer, repository_key, repository_owner_id, workflow_filename, environment_key)
);

create index trustpub_configs_github_repository on trustpub_configs_github (issuer, repository_key);

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

create index trustpub_tokens_expires_at on trustpub_tokens (expires_at);

create table trustpub_used_jtis (
    -- ID tokens that were exchanged, so that none is exchanged twice.
    issuer text not null, -- iss of the ID token
    jti text not null, -- jti of the ID token
    hashed_token blob not null check (length(hashed_token) = 32), -- SHA-256 of the access token that it was exchanged for
    expires_at integer not null, -- when the ID token can be accepted no more, microseconds since 1970 UTC
    primary key (issuer, jti)
) without rowid;

create index trustpub_used_jtis_expires_at on trustpub_used_jtis (expires_at);

-- +goose Down

drop table trustpub_used_jtis;
drop table trustpub_tokens;
drop table trustpub_configs_github;
