//! SQL text for PostgreSQL.
//!
//! What cannot be bound (names, and text in batches) is quoted here.

use std::fmt::Write as _;

use super::Begin;
use super::provision::Names;
use crate::Role;
use crate::data::{Context, DataError};

pub(super) const PROCESS: &str = "select pg_backend_pid()";
pub(super) const TERMINATE: &str = "select pg_terminate_backend($1)";
pub(super) const COMMIT: &str = "commit";
pub(super) const ROLLBACK: &str = "rollback";
pub(super) const BEGIN: &str = "begin";

/// `text` as a literal, whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        // With a blank before it, so that no name in front of it becomes part of it.
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// Begins a transaction that acts as `context` says.
pub(super) fn begin(context: &Context, options: Begin) -> Result<String, DataError> {
    let isolation = if options.serializable {
        "serializable"
    } else {
        "read committed"
    };
    let access = if options.read_only {
        "read only"
    } else {
        "read write"
    };
    // 0 would mean for ever.
    let timeout = options.statement_timeout.as_millis().clamp(1, 86_400_000);
    Ok(format!(
        "begin isolation level {isolation} {access};{};\
         set local statement_timeout = {timeout}",
        identity(context)?
    ))
}

/// Makes the transaction act as `context` says, without an end so that more can follow.
pub(super) fn identity(context: &Context) -> Result<String, DataError> {
    let role = match &context.role {
        Role::Anon | Role::Authenticated | Role::ServiceRole => context.role.as_str(),
        // The host's own work: the role it has logged in as.
        Role::Other(name) if name.is_empty() => "none",
        Role::Other(name) => {
            return Err(DataError::sql(
                "22023",
                format!("role \"{name}\" does not exist"),
            ));
        }
    };
    // A batch ends at a zero byte.
    if context.claims.contains('\0') {
        return Err(DataError::sql(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(format!(
        "set local role {role};\
         set local request.jwt.claims = {};\
         set local pumice.depth = '{}'",
        literal(&context.claims),
        context.depth
    ))
}

/// Makes the transaction act as the app, and forgets the statements of guests before.
pub(super) fn before_guest(context: &Context, prepared: &[u32]) -> Result<String, DataError> {
    let app = Context {
        role: Role::ServiceRole,
        ..context.clone()
    };
    let mut batch = identity(&app)? + ";";
    forget(&mut batch, prepared);
    Ok(batch)
}

pub(super) fn savepoint(number: u32) -> String {
    format!("savepoint pumice_{number}")
}

pub(super) fn release(number: u32) -> String {
    format!("release savepoint pumice_{number}")
}

pub(super) fn rollback_to(number: u32) -> String {
    format!("rollback to savepoint pumice_{number}; release savepoint pumice_{number}")
}

/// Makes a session that guests' SQL ran in as good as new: settings, locks, listening, cursors.
/// `discard all` would take our prepared statements too.
pub(super) fn clean(prepared: &[u32]) -> String {
    let mut batch = "reset role;reset all;close all;unlisten *;discard sequences;discard temp;\
                     select pg_advisory_unlock_all();"
        .to_owned();
    forget(&mut batch, prepared);
    batch
}

fn forget(batch: &mut String, prepared: &[u32]) {
    for number in prepared {
        let _ = write!(batch, "deallocate pumice_guest_{number};");
    }
}

/// A guest's statement under a name. Sent by itself, it is refused if it is more than one.
pub(super) fn prepare(number: u32, statement: &str) -> String {
    format!("prepare pumice_guest_{number} as {statement}")
}

/// Runs it. Arguments are literals already; they take the types that PostgreSQL inferred.
pub(super) fn execute(number: u32, arguments: &[String]) -> String {
    format!("execute pumice_guest_{number}({})", arguments.join(","))
}

/// `$1` is a statement that returns rows.
pub(super) const QUERY_ROWS: &str = "select pumice.query_rows($1)";

/// Version, and what the administrator may.
pub(super) const ADMINISTRATOR: &str = "select current_setting('server_version_num')::int, \
     current_user::text, rolsuper, rolcreatedb, rolcreaterole \
     from pg_catalog.pg_roles where rolname = current_user";

/// The three roles all apps share, most wanted form first: the next is for an administrator who may
/// not give away what it has not.
pub(super) const SHARED_ROLES: [&[&str]; 3] = [
    &["create role anon nologin noinherit"],
    &["create role authenticated nologin noinherit"],
    &[
        "create role service_role nologin noinherit bypassrls",
        "create role service_role nologin noinherit",
    ],
];

pub(super) const WAIT_A_MINUTE: &str = "set lock_timeout = '60s'";

/// Held by the session until it ends.
pub(super) const LOCK: &str = "select pg_advisory_lock($1)";

pub(super) const ROLE_EXISTS: &str =
    "select exists (select from pg_catalog.pg_roles where rolname = $1)";

pub(super) const DATABASE_EXISTS: &str =
    "select exists (select from pg_catalog.pg_database where datname = $1)";

pub(super) fn create_owner(names: &Names) -> String {
    format!("create role \"{}\" nologin", names.owner)
}

pub(super) fn create_login(names: &Names) -> String {
    format!("create role \"{}\" nologin noinherit", names.login)
}

/// What both roles are, whenever they were made. A statement that a guest runs and forgets, or a
/// transaction that a node forgot, ends by itself.
pub(super) fn set_up_roles(names: &Names, password: &str) -> String {
    let Names { login, owner, .. } = names;
    format!(
        "grant \"{owner}\", \"{login}\" to current_user;\
         grant anon, authenticated, service_role to \"{login}\";\
         alter role \"{login}\" login noinherit password {};\
         alter role \"{login}\" set statement_timeout = '60s';\
         alter role \"{login}\" set idle_in_transaction_session_timeout = '60s';\
         alter role \"{login}\" set search_path = public;\
         alter role \"{login}\" set jit = off;\
         alter role \"{owner}\" set idle_in_transaction_session_timeout = '60s';\
         alter role \"{owner}\" set lock_timeout = '60s';\
         alter role \"{owner}\" set search_path = public",
        literal(password)
    )
}

/// Order of text is that of its bytes, upper and lower case are Unicode's: as on SQLite.
pub(super) fn create_database(names: &Names) -> String {
    format!(
        "create database \"{}\" owner \"{}\" template template0 encoding 'UTF8' \
         locale_provider libc lc_collate 'C' lc_ctype 'C.UTF-8'",
        names.database, names.owner
    )
}

/// Transactions last half a second at most: PostgreSQL's second is too long to look for a deadlock.
pub(super) fn see_deadlocks_soon(names: &Names) -> String {
    format!(
        "alter role \"{}\" set deadlock_timeout = '100ms'",
        names.login
    )
}

pub(super) fn set_up_database(names: &Names) -> String {
    let Names {
        database,
        login,
        owner,
    } = names;
    format!(
        "revoke all on database \"{database}\" from public;\
         grant connect on database \"{database}\" to \"{login}\", \"{owner}\""
    )
}

pub(super) fn drop_database(names: &Names) -> String {
    format!(
        "drop database if exists \"{}\" with (force)",
        names.database
    )
}

pub(super) fn drop_roles(names: &Names) -> String {
    format!(
        "drop role if exists \"{}\", \"{}\"",
        names.login, names.owner
    )
}

/// Takes from guests' SQL what it would change roles, claims, depth and its own time with. The host says
/// `set local`, which guests cannot.
pub(super) fn fix_settings(names: &Names) -> String {
    format!(
        "revoke execute on function pg_catalog.set_config(text, text, boolean) from public;\
         grant execute on function pg_catalog.set_config(text, text, boolean) to \"{}\";\
         revoke update on pg_catalog.pg_settings from public",
        names.owner
    )
}

pub(super) fn set_role(name: &str) -> String {
    format!("set role \"{name}\"")
}

/// Lets the owner in for a migration.
pub(super) fn open_owner(names: &Names, password: &str) -> String {
    format!(
        "alter role \"{}\" login password {}",
        names.owner,
        literal(password)
    )
}

pub(super) fn shut_owner(names: &Names) -> String {
    format!("alter role \"{}\" nologin password null", names.owner)
}

/// A new database, as its owner; runs again without harm.
///
/// Nothing is granted to `anon` and `authenticated` but what `serial` columns need and what policies
/// call. `query_rows` turns what any statement returns into JSON, as its caller.
pub(super) const SET_UP_SCHEMAS: &str = r#"
begin;
revoke all on schema public from public;
grant usage on schema public to anon, authenticated, service_role;
create schema if not exists auth;
revoke all on schema auth from public;
grant usage on schema auth to anon, authenticated, service_role;
create schema if not exists pumice;
revoke all on schema pumice from public;
grant usage on schema pumice to service_role;

alter default privileges revoke execute on functions from public;
alter default privileges in schema public
    grant select, insert, update, delete on tables to service_role;
alter default privileges in schema public
    grant usage on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant execute on functions to service_role;

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    email text,
    created_at timestamptz default now()
);
create table if not exists pumice.migration (
    file text primary key,
    digest text not null,
    translator bigint not null,
    applied_at timestamptz not null default now()
);

create or replace function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb
$$;
create or replace function auth.uid() returns uuid language sql stable as $$
    select nullif(auth.jwt() ->> 'sub', '')::uuid
$$;
create or replace function auth.role() returns text language sql stable as $$
    select current_setting('role', true)
$$;
create or replace function auth.email() returns text language sql stable as $$
    select auth.jwt() ->> 'email'
$$;
create or replace function pumice.query_rows(statement text) returns setof text
language plpgsql as $$
declare found record;
begin
    for found in execute statement loop
        return next row_to_json(found)::text;
    end loop;
end
$$;
revoke execute on function auth.jwt(), auth.uid(), auth.role(), auth.email() from public;
grant execute on function auth.jwt(), auth.uid(), auth.role(), auth.email()
    to anon, authenticated, service_role;
revoke execute on function pumice.query_rows(text) from public;
grant execute on function pumice.query_rows(text) to service_role;
commit;
"#;

pub(super) const APPLIED: &str =
    "select file, digest, translator from pumice.migration order by file collate \"C\"";

pub(super) const RECORD: &str =
    "insert into pumice.migration (file, digest, translator) values ($1, $2, $3)";

/// Tables and views of `public`: their ids, names, and whether they are views.
pub(super) const RELATIONS: &str = "select c.oid::bigint, c.relname::text, c.relkind = 'v' \
     from pg_catalog.pg_class c \
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') \
     and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid \
     and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e') order by 2";

pub(super) const SERVICE_ROLE_BYPASSES: &str =
    "select rolbypassrls or rolsuper from pg_catalog.pg_roles where rolname = 'service_role'";

/// `table` is quoted.
pub(super) fn enable_policies(table: &str) -> String {
    format!("alter table public.{table} enable row level security")
}

/// `table` is quoted.
pub(super) fn let_service_role_in(table: &str) -> String {
    format!(
        "create policy \"pumice service_role\" on public.{table} \
         to service_role using (true) with check (true)"
    )
}

/// `view` is quoted.
pub(super) fn ask_as_invoker(view: &str) -> String {
    format!("alter view public.{view} set (security_invoker = true)")
}

/// Everything the API can name, as one JSON document; `introspect.rs` reads it. Positions of columns
/// count what is there: `attnum` counts dropped columns too.
pub(super) const INTROSPECT: &str = r#"
with relation as (
    select c.oid, c.relname from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace
        and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
        and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid
            and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e')
), attribute as (
    select a.*, row_number() over (partition by a.attrelid order by a.attnum) - 1 as position
    from pg_catalog.pg_attribute a join relation r on r.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
)
select json_build_object(
    'enums', coalesce((
        select json_agg(json_build_object('name', t.typname, 'labels', (
            select json_agg(e.enumlabel order by e.enumsortorder)
            from pg_catalog.pg_enum e where e.enumtypid = t.oid)))
        from pg_catalog.pg_type t
        where t.typtype = 'e' and t.typnamespace = 'public'::regnamespace), '[]'),
    'tables', coalesce((select json_agg(json_build_object(
        'name', r.relname,
        'comment', pg_catalog.obj_description(r.oid, 'pg_class'),
        'columns', coalesce((select json_agg(json_build_object(
                'name', a.attname,
                'format', pg_catalog.format_type(a.atttypid, a.atttypmod),
                'type', t.typname,
                'modifier', a.atttypmod,
                'builtin', t.typnamespace = 'pg_catalog'::regnamespace,
                'enum', t.typtype = 'e' and t.typnamespace = 'public'::regnamespace,
                'array', whole.typelem <> 0 and whole.typcategory = 'A',
                'not_null', a.attnotnull or whole.typnotnull,
                'default', (a.atthasdef and a.attgenerated = '') or a.attidentity <> ''
                    or whole.typdefault is not null,
                'generated', a.attgenerated <> '' or a.attidentity = 'a',
                'comment', pg_catalog.col_description(r.oid, a.attnum)
            ) order by a.attnum)
            from attribute a
            join pg_catalog.pg_type whole on whole.oid = a.atttypid
            join pg_catalog.pg_type t on t.oid = case
                when whole.typelem <> 0 and whole.typcategory = 'A' then whole.typelem
                else whole.oid end
            where a.attrelid = r.oid), '[]'),
        'constraints', coalesce((select json_agg(json_build_object(
                'name', k.conname,
                'kind', k.contype,
                'columns', coalesce((select json_agg(a.position order by key.place)
                    from unnest(k.conkey) with ordinality key(attnum, place)
                    join attribute a on a.attrelid = r.oid and a.attnum = key.attnum), '[]'),
                'to_schema', n.nspname,
                'to_table', f.relname,
                'to_columns', (select json_agg(a.attname order by key.place)
                    from unnest(k.confkey) with ordinality key(attnum, place)
                    join pg_catalog.pg_attribute a
                        on a.attrelid = k.confrelid and a.attnum = key.attnum)
            ) order by k.conname)
            from pg_catalog.pg_constraint k
            left join pg_catalog.pg_class f on f.oid = k.confrelid
            left join pg_catalog.pg_namespace n on n.oid = f.relnamespace
            where k.conrelid = r.oid and k.contype in ('p', 'u', 'f', 'c')), '[]')
    )) from relation r), '[]')
)::text
"#;
