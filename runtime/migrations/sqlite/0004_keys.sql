-- The keys of apps. The one signing key that an app had until now becomes its first.
create table signing_key (
    -- The `kid` of tokens.
    id text not null primary key,
    app_id text not null references app (id) on delete cascade,
    algorithm text not null,
    state text not null check (state in ('standby', 'in_use', 'previously_used', 'revoked')),
    -- The private half, and API keys that it has signed; nothing once it is revoked.
    sealed blob check ((sealed is null) = (state = 'revoked')),
    created_at text not null,
    changed_at text not null
) strict;
create index signing_key_app on signing_key (app_id);
create unique index signing_key_in_use on signing_key (app_id) where state = 'in_use';
create unique index signing_key_standby on signing_key (app_id) where state = 'standby';

insert into signing_key (id, app_id, algorithm, state, sealed, created_at, changed_at)
select json_extract(public_jwk, '$.kid'), id, 'ES256', 'in_use', signing_key, created_at, created_at
from app;
alter table app drop column signing_key;
alter table app drop column public_jwk;

create table api_key (
    id text not null primary key,
    app_id text not null references app (id) on delete cascade,
    name text not null,
    kind text not null check (kind in ('publishable', 'secret')),
    -- SHA-256 of the key.
    digest blob not null,
    -- All of a publishable key, the beginning of a secret one.
    shown text not null,
    -- A JSON list, or null for everywhere.
    scopes text,
    created_at text not null,
    -- Seconds since 1970.
    last_used integer not null default 0,
    constraint api_key_digest_key unique (digest),
    constraint api_key_name_key unique (app_id, name)
) strict;
