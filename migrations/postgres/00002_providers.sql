-- +goose Up

create table trustpub_configs (
    id bigint generated always as identity primary key,
    created_at timestamptz not null,
    provider text not null,
    ecosystem text not null,
    package text not null,
    issuer text not null,
    lookup_key text not null,
    pinned jsonb not null
);

comment on table trustpub_configs is 'Which workload may publish which package: what configs of all providers have.';
comment on column trustpub_configs.id is 'Number of the config, never used again.';
comment on column trustpub_configs.created_at is 'When it was made.';
comment on column trustpub_configs.provider is 'Kind of CI system. Further values are in trustpub_configs_github, trustpub_configs_gitlab, or else trustpub_configs_claims.';
comment on column trustpub_configs.ecosystem is 'Package URL type of the package.';
comment on column trustpub_configs.package is 'Name of the package.';
comment on column trustpub_configs.issuer is 'OIDC issuer whose ID tokens the config trusts.';
comment on column trustpub_configs.lookup_key is 'What the config is looked up by: a repository in ASCII lower case, or a hash of claims.';
comment on column trustpub_configs.pinned is 'Immutable IDs, by the provider''s names, that the workload must have since the first exchange; empty before.';

insert into trustpub_configs (id, created_at, provider, ecosystem, package, issuer, lookup_key, pinned)
overriding system value
select id, created_at, 'github', ecosystem, package, issuer, repository_key, '{}'
from trustpub_configs_github;

-- The numbers go on where those of the GitHub configs ended, also of deleted ones.
select setval(pg_get_serial_sequence('trustpub_configs', 'id'), nextval(pg_get_serial_sequence('trustpub_configs_github', 'id')), false);

create index trustpub_configs_package on trustpub_configs (ecosystem, package);
create index trustpub_configs_lookup on trustpub_configs (issuer, lookup_key);
create index trustpub_configs_pinned on trustpub_configs (issuer, pinned) where pinned <> '{}';

alter table trustpub_configs_github
    alter column id drop identity,
    drop column created_at,
    drop column ecosystem,
    drop column package,
    drop column issuer,
    drop column repository_key,
    drop column environment_key,
    add column workflow_repository text,
    add column reusable_workflow_filename text,
    add constraint trustpub_configs_github_id_fkey foreign key (id) references trustpub_configs (id) on delete cascade,
    add constraint trustpub_configs_github_reusable check ((workflow_repository is null) = (reusable_workflow_filename is null));

comment on table trustpub_configs_github is 'Which GitHub Actions workflow a config trusts.';
comment on column trustpub_configs_github.id is 'Number of the config.';
comment on column trustpub_configs_github.workflow_repository is 'owner/name of the repository with the reusable workflow that the steps must come from; null accepts any.';
comment on column trustpub_configs_github.reusable_workflow_filename is 'Name of the file of that reusable workflow.';

create table trustpub_configs_gitlab (
    id bigint primary key references trustpub_configs (id) on delete cascade,
    namespace text not null,
    project text not null,
    workflow_filepath text not null,
    environment text
);

comment on table trustpub_configs_gitlab is 'Which GitLab CI/CD pipeline a config trusts.';
comment on column trustpub_configs_gitlab.id is 'Number of the config.';
comment on column trustpub_configs_gitlab.namespace is 'User or group of the project, with subgroups, as it was written.';
comment on column trustpub_configs_gitlab.project is 'Path of the project in its namespace, as it was written.';
comment on column trustpub_configs_gitlab.workflow_filepath is 'Path of the CI config file in the project.';
comment on column trustpub_configs_gitlab.environment is 'Deployment environment that the job must run in; null accepts any.';

create table trustpub_configs_claims (
    id bigint primary key references trustpub_configs (id) on delete cascade,
    source text not null,
    claims jsonb not null
);

comment on table trustpub_configs_claims is 'Which claims a config trusts, of a provider that is described by a definition.';
comment on column trustpub_configs_claims.id is 'Number of the config.';
comment on column trustpub_configs_claims.source is 'How a refusal calls the workload.';
comment on column trustpub_configs_claims.claims is 'Values that the ID token must have, an array by claim.';

-- +goose Down

drop table trustpub_configs_claims;
drop table trustpub_configs_gitlab;
delete from trustpub_configs where provider <> 'github';

-- A config that asks for more than the schema before can hold must not trust more.
delete from trustpub_configs where id in (select id from trustpub_configs_github where workflow_repository is not null);

alter table trustpub_configs_github
    drop constraint trustpub_configs_github_id_fkey,
    drop column workflow_repository,
    drop column reusable_workflow_filename,
    add column created_at timestamptz,
    add column ecosystem text,
    add column package text,
    add column issuer text,
    add column repository_key text,
    add column environment_key text;

update trustpub_configs_github g
set created_at = c.created_at, ecosystem = c.ecosystem, package = c.package, issuer = c.issuer,
    repository_key = c.lookup_key,
    environment_key = translate(coalesce(g.environment, ''), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
from trustpub_configs c
where c.id = g.id;

alter table trustpub_configs_github
    alter column created_at set not null,
    alter column ecosystem set not null,
    alter column package set not null,
    alter column issuer set not null,
    alter column repository_key set not null,
    alter column environment_key set not null,
    alter column id add generated always as identity;

select setval(pg_get_serial_sequence('trustpub_configs_github', 'id'), nextval(pg_get_serial_sequence('trustpub_configs', 'id')), false);

create unique index trustpub_configs_github_identity on trustpub_configs_github
    (ecosystem, package, issuer, repository_key, repository_owner_id, workflow_filename, environment_key);
create index trustpub_configs_github_repository on trustpub_configs_github (issuer, repository_key);

comment on table trustpub_configs_github is 'Which GitHub Actions workflow may publish which package.';
comment on column trustpub_configs_github.id is 'Number of the config, never used again.';
comment on column trustpub_configs_github.created_at is 'When it was made.';
comment on column trustpub_configs_github.ecosystem is 'Package URL type of the package.';
comment on column trustpub_configs_github.package is 'Name of the package.';
comment on column trustpub_configs_github.issuer is 'OIDC issuer whose ID tokens the config trusts.';
comment on column trustpub_configs_github.repository_key is 'owner/name in ASCII lower case, for look-ups.';
comment on column trustpub_configs_github.environment_key is 'Environment in ASCII lower case; empty accepts any.';

drop table trustpub_configs;
