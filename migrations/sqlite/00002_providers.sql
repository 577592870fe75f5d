-- +goose Up

create table trustpub_configs (
    -- Which workload may publish which package: what configs of all providers have.
    id integer primary key autoincrement, -- number of the config, never used again
    created_at integer not null, -- when it was made, microseconds since 1970 UTC
    provider text not null, -- kind of CI system
    ecosystem text not null, -- package URL type of the package
    package text not null, -- name of the package
    issuer text not null, -- OIDC issuer whose ID tokens the config trusts
    lookup_key text not null, -- what the config is looked up by: a repository in ASCII lower case, or a hash of claims
    pinned text not null -- JSON object of the immutable IDs that the workload must have since the first exchange
);

insert into trustpub_configs (id, created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
select id, created_at, 'github', ecosystem, package, issuer, repository_key, '{}'
from trustpub_configs_github;

-- The numbers go on where those of the GitHub configs ended, also of deleted ones.
insert into sqlite_sequence (name, seq)
select 'trustpub_configs', 0
where not exists (select 1 from sqlite_sequence where name = 'trustpub_configs');
update sqlite_sequence
set seq = max(seq, coalesce((select seq from sqlite_sequence where name = 'trustpub_configs_github'), 0))
where name = 'trustpub_configs';

create index trustpub_configs_package on trustpub_configs (ecosystem, package);
create index trustpub_configs_lookup on trustpub_configs (issuer, lookup_key);
create index trustpub_configs_pinned on trustpub_configs (issuer, pinned) where pinned <> '{}';

create table trustpub_configs_github_new (
    -- Which GitHub Actions workflow a config trusts.
    id integer primary key references trustpub_configs (id) on delete cascade, -- number of the config
    repository_owner text not null, -- owner of the repository, as it was written
    repository_name text not null, -- name of the repository, as it was written
    repository_owner_id integer not null check (repository_owner_id > 0), -- immutable number of the owner's account at GitHub
    workflow_filename text not null, -- name of the workflow file in .github/workflows
    environment text, -- deployment environment that the job must run in, null accepts any
    workflow_repository text, -- owner/name of the repository with the reusable workflow that the steps must come from, null accepts any
    reusable_workflow_filename text, -- name of the file of that reusable workflow
    check ((workflow_repository is null) = (reusable_workflow_filename is null)) -- both or none
);

insert into trustpub_configs_github_new (id, repository_owner, repository_name, repository_owner_id, workflow_filename, environment)
select id, repository_owner, repository_name, repository_owner_id, workflow_filename, environment
from trustpub_configs_github;

drop table trustpub_configs_github;
alter table trustpub_configs_github_new rename to trustpub_configs_github;

create table trustpub_configs_gitlab (
    -- Which GitLab CI/CD pipeline a config trusts.
    id integer primary key references trustpub_configs (id) on delete cascade, -- number of the config
    namespace text not null, -- user or group of the project, with subgroups, as it was written
    project text not null, -- path of the project in its namespace, as it was written
    workflow_filepath text not null, -- path of the CI config file in the project
    environment text -- deployment environment that the job must run in, null accepts any
);

create table trustpub_configs_claims (
    -- Which claims a config trusts, of a provider that is described by a definition.
    id integer primary key references trustpub_configs (id) on delete cascade, -- number of the config
    source text not null, -- how a refusal calls the workload
    claims text not null -- JSON object of the values that the ID token must have, an array by claim
);

-- +goose Down

drop table trustpub_configs_claims;
drop table trustpub_configs_gitlab;

create table trustpub_configs_github_old (
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

-- A config that asks for more than this schema can hold must not trust more, so one
-- with a reusable workflow is left out.
insert into trustpub_configs_github_old (id, created_at, ecosystem, package, issuer, repository_owner, repository_name,
    repository_key, repository_owner_id, workflow_filename, environment, environment_key)
select c.id, c.created_at, c.ecosystem, c.package, c.issuer, g.repository_owner, g.repository_name,
    c.lookup_key, g.repository_owner_id, g.workflow_filename, g.environment, lower(coalesce(g.environment, ''))
from trustpub_configs c
join trustpub_configs_github g on g.id = c.id
where g.workflow_repository is null;

insert into sqlite_sequence (name, seq)
select 'trustpub_configs_github_old', 0
where not exists (select 1 from sqlite_sequence where name = 'trustpub_configs_github_old');
update sqlite_sequence
set seq = max(seq, coalesce((select seq from sqlite_sequence where name = 'trustpub_configs'), 0))
where name = 'trustpub_configs_github_old';

drop table trustpub_configs_github;
alter table trustpub_configs_github_old rename to trustpub_configs_github;
create index trustpub_configs_github_repository on trustpub_configs_github (issuer, repository_key);
drop table trustpub_configs;
