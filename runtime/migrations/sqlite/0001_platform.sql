-- The system database: what the server knows of its apps. An app's own data is never here.
create table app (
    id text not null primary key,
    name text not null,
    -- The number of the active revision, 0 before the first.
    revision integer not null default 0,
    -- The ES256 signing key, sealed, and the public half as a JWK.
    signing_key blob not null,
    public_jwk text not null,
    created_at text not null,
    constraint app_name_key unique (name)
) strict;

create table revision (
    app_id text not null references app (id) on delete cascade,
    number integer not null,
    -- pumice.toml as uploaded.
    manifest text not null,
    -- JSON: {"path": {"digest": "…", "size": n}}
    files text not null,
    created_at text not null,
    primary key (app_id, number)
) strict;

create table secret (
    app_id text not null references app (id) on delete cascade,
    name text not null,
    value blob not null,
    updated_at text not null,
    primary key (app_id, name)
) strict;
