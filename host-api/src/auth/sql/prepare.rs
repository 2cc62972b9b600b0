//! The tables of schema `auth`.
//!
//! `auth.users` has the dialect's names of columns: apps' own triggers and policies read them.

/// Columns of `auth.users` beside its key, each with its definition on SQLite. A file that is older has
/// some of them. (SQLite adds no column whose default is computed, so `updated_at` has none.)
pub const USERS_COLUMNS: [(&str, &str); 22] = [
    ("aud", "text not null default 'authenticated'"),
    ("role", "text not null default 'authenticated'"),
    ("phone", "text"),
    ("encrypted_password", "text"),
    ("email_confirmed_at", "text"),
    ("phone_confirmed_at", "text"),
    ("invited_at", "text"),
    ("confirmation_sent_at", "text"),
    ("recovery_sent_at", "text"),
    ("email_change", "text"),
    ("email_change_confirm_status", "int not null default 0"),
    ("email_change_sent_at", "text"),
    ("phone_change", "text"),
    ("phone_change_sent_at", "text"),
    ("reauthentication_sent_at", "text"),
    ("last_sign_in_at", "text"),
    ("raw_app_meta_data", "text not null default '{}'"),
    ("raw_user_meta_data", "text not null default '{}'"),
    ("banned_until", "text"),
    ("deleted_at", "text"),
    ("is_anonymous", "int not null default 0"),
    ("updated_at", "text"),
];

/// The columns that `auth.users` has on SQLite.
pub const USERS_COLUMNS_NOW: &str = "select name from pragma_table_info('auth.users')";

pub fn add_users_column(name: &str, definition: &str) -> String {
    format!("alter table \"auth.users\" add column \"{name}\" {definition}")
}

/// The other tables on SQLite, once `auth.users` is whole.
pub const PREPARE_SQLITE: &str = r#"
create unique index if not exists "auth.users_email_key" on "auth.users" (email)
    where deleted_at is null;
create unique index if not exists "auth.users_phone_key" on "auth.users" (phone)
    where deleted_at is null;
create index if not exists "auth.users_created_at_idx" on "auth.users" (created_at, id);

create table if not exists "auth.identities" (
    id text not null primary key,
    user_id text not null references "auth.users" (id) on delete cascade,
    provider text not null, provider_id text not null,
    identity_data text not null default '{}', last_sign_in_at text,
    created_at text not null, updated_at text not null,
    unique (provider, provider_id));
create index if not exists "auth.identities_user_id_idx" on "auth.identities" (user_id);

create table if not exists "auth.ended_sessions" (
    id text not null primary key, ended_at text not null) without rowid;
create index if not exists "auth.ended_sessions_ended_at_idx" on "auth.ended_sessions" (ended_at);
create table if not exists "auth.sessions" (
    id text not null primary key,
    user_id text not null references "auth.users" (id) on delete cascade,
    aal text not null, amr text not null default '[]', counter int not null, factor_id text,
    created_at text not null, refreshed_at text not null, not_after text,
    user_agent text, ip text);
create trigger if not exists "auth.sessions_ended" after delete on "auth.sessions" begin
    insert or ignore into "auth.ended_sessions" (id, ended_at) values (old.id, now());
end;
create index if not exists "auth.sessions_user_id_idx" on "auth.sessions" (user_id, created_at);
create index if not exists "auth.sessions_not_after_idx" on "auth.sessions" (not_after)
    where not_after is not null;

create table if not exists "auth.one_time_tokens" (
    id text not null primary key,
    user_id text not null references "auth.users" (id) on delete cascade,
    kind text not null, token_hash text not null unique, relates_to text not null,
    attempts int not null default 0, flow_id text, created_at text not null,
    unique (user_id, kind));
create index if not exists "auth.one_time_tokens_relates_to_idx" on "auth.one_time_tokens" (relates_to);
create index if not exists "auth.one_time_tokens_created_at_idx"
    on "auth.one_time_tokens" (created_at);

create table if not exists "auth.mfa_factors" (
    id text not null primary key,
    user_id text not null references "auth.users" (id) on delete cascade,
    friendly_name text, factor_type text not null, status text not null, secret text not null,
    last_step int, last_challenged_at text, created_at text not null, updated_at text not null);
create index if not exists "auth.mfa_factors_user_id_idx" on "auth.mfa_factors" (user_id);

create table if not exists "auth.mfa_challenges" (
    id text not null primary key,
    factor_id text not null references "auth.mfa_factors" (id) on delete cascade,
    created_at text not null, verified_at text, attempts int not null default 0, ip text);
create index if not exists "auth.mfa_challenges_factor_id_idx"
    on "auth.mfa_challenges" (factor_id, created_at);
create index if not exists "auth.mfa_challenges_created_at_idx" on "auth.mfa_challenges" (created_at);

create table if not exists "auth.mfa_recovery_codes" (
    user_id text not null references "auth.users" (id) on delete cascade,
    code_hash text not null,
    primary key (user_id, code_hash)) without rowid;

create table if not exists "auth.flow_state" (
    id text not null primary key,
    user_id text references "auth.users" (id) on delete cascade,
    linking_user_id text references "auth.users" (id) on delete cascade,
    auth_code_hash text unique, code_challenge text, code_challenge_method text,
    provider text not null, method text not null, sealed text, redirect_to text,
    created_at text not null, code_issued_at text);
create index if not exists "auth.flow_state_created_at_idx" on "auth.flow_state" (created_at);
create index if not exists "auth.flow_state_user_id_idx" on "auth.flow_state" (user_id);
create index if not exists "auth.flow_state_linking_user_id_idx"
    on "auth.flow_state" (linking_user_id);

create table if not exists "auth.audit_log_entries" (
    id text not null primary key, payload text not null, ip_address text not null default '',
    created_at text not null);
create index if not exists "auth.audit_log_entries_created_at_idx"
    on "auth.audit_log_entries" (created_at, id);
"#;

/// All on PostgreSQL, one statement each; run as the owner of the schema, once `auth.users` is there.
/// Changes of the table are made only where they are missing: each keeps everybody from it.
pub const PREPARE_POSTGRES: &[&str] = &[
    "do $$ begin
        if not exists (select from pg_catalog.pg_attribute where attrelid = 'auth.users'::regclass
            and attname = 'raw_app_meta_data' and not attisdropped)
        then
            alter table auth.users
                add column if not exists aud text not null default 'authenticated',
                add column if not exists role text not null default 'authenticated',
                add column if not exists phone text,
                add column if not exists encrypted_password text,
                add column if not exists email_confirmed_at timestamptz,
                add column if not exists phone_confirmed_at timestamptz,
                add column if not exists invited_at timestamptz,
                add column if not exists confirmation_sent_at timestamptz,
                add column if not exists recovery_sent_at timestamptz,
                add column if not exists email_change text,
                add column if not exists email_change_confirm_status smallint not null default 0,
                add column if not exists email_change_sent_at timestamptz,
                add column if not exists phone_change text,
                add column if not exists phone_change_sent_at timestamptz,
                add column if not exists reauthentication_sent_at timestamptz,
                add column if not exists last_sign_in_at timestamptz,
                add column if not exists raw_app_meta_data jsonb default '{}',
                add column if not exists raw_user_meta_data jsonb default '{}',
                add column if not exists banned_until timestamptz,
                add column if not exists deleted_at timestamptz,
                add column if not exists is_anonymous boolean not null default false,
                add column if not exists updated_at timestamptz default now();
        end if;
    end $$",
    "create unique index if not exists users_email_key on auth.users (email)
        where deleted_at is null",
    "create unique index if not exists users_phone_key on auth.users (phone)
        where deleted_at is null",
    "create index if not exists users_created_at_idx on auth.users (created_at, id)",
    "create table if not exists auth.identities (
        id uuid primary key,
        user_id uuid not null references auth.users (id) on delete cascade,
        provider text not null, provider_id text not null,
        identity_data jsonb not null default '{}', last_sign_in_at timestamptz,
        created_at timestamptz not null, updated_at timestamptz not null,
        unique (provider, provider_id))",
    "create index if not exists identities_user_id_idx on auth.identities (user_id)",
    "create table if not exists auth.ended_sessions (
        id uuid primary key, ended_at timestamptz not null)",
    "create index if not exists ended_sessions_ended_at_idx on auth.ended_sessions (ended_at)",
    "create table if not exists auth.sessions (
        id uuid primary key,
        user_id uuid not null references auth.users (id) on delete cascade,
        aal text not null, amr jsonb not null default '[]', counter bigint not null, factor_id uuid,
        created_at timestamptz not null, refreshed_at timestamptz not null, not_after timestamptz,
        user_agent text, ip text)",
    // Whoever ends a session, and be it with psql: its access tokens are to end as well.
    "create or replace function auth.note_ended_session() returns trigger
        language plpgsql security definer set search_path = '' as $$ begin
        insert into auth.ended_sessions (id, ended_at) values (old.id, pg_catalog.now())
            on conflict do nothing;
        return null;
    end $$",
    "create or replace trigger note_ended after delete on auth.sessions
        for each row execute function auth.note_ended_session()",
    "create index if not exists sessions_user_id_idx on auth.sessions (user_id, created_at)",
    "create index if not exists sessions_not_after_idx on auth.sessions (not_after)
        where not_after is not null",
    "create table if not exists auth.one_time_tokens (
        id uuid primary key,
        user_id uuid not null references auth.users (id) on delete cascade,
        kind text not null, token_hash text not null unique, relates_to text not null,
        attempts bigint not null default 0, flow_id uuid, created_at timestamptz not null,
        unique (user_id, kind))",
    "create index if not exists one_time_tokens_relates_to_idx on auth.one_time_tokens (relates_to)",
    "create index if not exists one_time_tokens_created_at_idx on auth.one_time_tokens (created_at)",
    "create table if not exists auth.mfa_factors (
        id uuid primary key,
        user_id uuid not null references auth.users (id) on delete cascade,
        friendly_name text, factor_type text not null, status text not null, secret text not null,
        last_step bigint, last_challenged_at timestamptz,
        created_at timestamptz not null, updated_at timestamptz not null)",
    "create index if not exists mfa_factors_user_id_idx on auth.mfa_factors (user_id)",
    "create table if not exists auth.mfa_challenges (
        id uuid primary key,
        factor_id uuid not null references auth.mfa_factors (id) on delete cascade,
        created_at timestamptz not null, verified_at timestamptz,
        attempts bigint not null default 0, ip text)",
    "create index if not exists mfa_challenges_factor_id_idx
        on auth.mfa_challenges (factor_id, created_at)",
    "create index if not exists mfa_challenges_created_at_idx on auth.mfa_challenges (created_at)",
    "create table if not exists auth.mfa_recovery_codes (
        user_id uuid not null references auth.users (id) on delete cascade,
        code_hash text not null,
        primary key (user_id, code_hash))",
    "create table if not exists auth.flow_state (
        id uuid primary key,
        user_id uuid references auth.users (id) on delete cascade,
        linking_user_id uuid references auth.users (id) on delete cascade,
        auth_code_hash text unique, code_challenge text, code_challenge_method text,
        provider text not null, method text not null, sealed text, redirect_to text,
        created_at timestamptz not null, code_issued_at timestamptz)",
    "create index if not exists flow_state_created_at_idx on auth.flow_state (created_at)",
    "create index if not exists flow_state_user_id_idx on auth.flow_state (user_id)",
    "create index if not exists flow_state_linking_user_id_idx on auth.flow_state (linking_user_id)",
    "create table if not exists auth.audit_log_entries (
        id uuid primary key, payload jsonb not null, ip_address text not null default '',
        created_at timestamptz not null)",
    "create index if not exists audit_log_entries_created_at_idx
        on auth.audit_log_entries (created_at, id)",
    // The host logs in as a role that is called like its database.
    "do $$ begin
        if exists (select from pg_catalog.pg_roles where rolname = current_database()) then
            execute format('grant usage on schema auth to %I', current_database());
            execute format('grant select, insert, update, delete on auth.users, auth.identities,
                auth.sessions, auth.ended_sessions, auth.one_time_tokens, auth.mfa_factors, auth.mfa_challenges,
                auth.mfa_recovery_codes, auth.flow_state, auth.audit_log_entries to %I',
                current_database());
        end if;
    end $$",
    // Policies of the app run as their caller, who sees the own row and nothing else of users.
    // `service_role` asks them only where it does not bypass them all.
    "do $$ declare
        columns text := 'id, email, phone, role, email_confirmed_at, phone_confirmed_at,
            last_sign_in_at, raw_app_meta_data, raw_user_meta_data, is_anonymous, created_at,
            updated_at, banned_until';
        mine regclass := 'auth.users'::regclass;
    begin
        if exists (select from pg_catalog.pg_policy where polrelid = mine
            and polname = 'pumice own row')
        then
            return;
        end if;
        alter table auth.users enable row level security;
        create policy \"pumice own row\" on auth.users for select using (id = auth.uid());
        execute format('grant select (%s) on auth.users to anon, authenticated', columns);
        if not (select rolbypassrls or rolsuper from pg_catalog.pg_roles
            where rolname = 'service_role')
        then
            execute format('grant select (%s) on auth.users to service_role', columns);
        end if;
        if exists (select from pg_catalog.pg_roles where rolname = current_database()) then
            execute format('create policy \"pumice host\" on auth.users to %I
                using (true) with check (true)', current_database());
        end if;
    end $$",
];
