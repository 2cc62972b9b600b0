-- Who may use the platform's API beside the holder of the platform key.
create table member (
    id text primary key,
    name text not null unique,
    role text not null,
    created_at text not null
);

-- A member's personal tokens, by the SHA-256 of what was shown once. `expires_at` is in seconds since 1970.
create table member_token (
    id text primary key,
    member_id text not null references member (id) on delete cascade,
    name text not null,
    hash blob not null unique,
    created_at text not null,
    expires_at integer not null
);
create index member_token_member on member_token (member_id);
