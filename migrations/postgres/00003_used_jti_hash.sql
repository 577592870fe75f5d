-- +goose Up

-- The records move to a table whose key is 32 bytes, whatever the length of a jti. The
-- key has to be the issuer and the jti alone, so that no two ID tokens with one jti are
-- accepted, whatever else they say; so it can't begin with the expiry.
create table trustpub_used_jtis_by_hash (
    hash bytea primary key check (octet_length(hash) = 32),
    hashed_token bytea not null check (octet_length(hashed_token) = 32),
    expires_at timestamptz not null
);

insert into trustpub_used_jtis_by_hash (hash, hashed_token, expires_at)
select sha256(convert_to(issuer, 'UTF8') || '\x00' || convert_to(jti, 'UTF8')), hashed_token, expires_at
from trustpub_used_jtis;

drop table trustpub_used_jtis;
alter table trustpub_used_jtis_by_hash rename to trustpub_used_jtis;
alter index trustpub_used_jtis_by_hash_pkey rename to trustpub_used_jtis_pkey;
create index trustpub_used_jtis_expires_at on trustpub_used_jtis (expires_at);

comment on table trustpub_used_jtis is 'ID tokens that were exchanged, so that none is exchanged twice.';
comment on column trustpub_used_jtis.hash is 'SHA-256 of the ID token''s iss, a NUL byte, and its jti.';
comment on column trustpub_used_jtis.hashed_token is 'SHA-256 of the access token that it was exchanged for; tells an attempt whose outcome was unknown that it was this one.';
comment on column trustpub_used_jtis.expires_at is 'When the ID token can be accepted no more.';

-- Nothing refers to a token by number, and its index is one more to write for each.
alter table trustpub_tokens drop column id;
alter table trustpub_tokens drop constraint trustpub_tokens_hashed_token_key;
alter table trustpub_tokens add primary key (hashed_token);

-- +goose Down

-- +goose StatementBegin
do $$
begin
    if exists (select from trustpub_used_jtis where expires_at > now()) then
        raise exception 'the schema before can not hold which ID tokens were used, and they could be used again'
            using hint = 'Stop all servers, wait until max(expires_at) of trustpub_used_jtis has passed, and try again.';
    end if;
end
$$;
-- +goose StatementEnd

drop table trustpub_used_jtis;

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

alter table trustpub_tokens drop constraint trustpub_tokens_pkey;
alter table trustpub_tokens add column id bigint generated always as identity primary key;
alter table trustpub_tokens add constraint trustpub_tokens_hashed_token_key unique (hashed_token);
comment on column trustpub_tokens.id is 'Number of the row.';
