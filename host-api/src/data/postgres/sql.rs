//! SQL text for PostgreSQL.
//!
//! What cannot be bound (names, and text in batches) is quoted here.

use std::fmt::Write as _;

use super::provision::Names;
use super::{Begin, Surroundings};
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
pub(super) fn begin(
    context: &Context,
    options: Begin,
    surroundings: &Surroundings,
) -> Result<String, DataError> {
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
    let mut batch = format!(
        "begin isolation level {isolation} {access};{};\
         set local statement_timeout = {timeout}",
        identity(context)?
    );
    // What is as the role has it needs no word in a new transaction.
    if !surroundings.search_path.is_empty() {
        batch = batch + ";" + &search_path(&surroundings.search_path)?;
    }
    if let Some(timezone) = &surroundings.timezone {
        batch = batch + ";" + &set_timezone(timezone)?;
    }
    Ok(batch)
}

/// Makes the transaction read names and times as `surroundings` says, whatever it did before.
pub(super) fn surround(surroundings: &Surroundings) -> Result<String, DataError> {
    let path = match surroundings.search_path.as_slice() {
        [] => "set local search_path to default".to_owned(),
        schemas => search_path(schemas)?,
    };
    let timezone = match &surroundings.timezone {
        None => "set local timezone to default".to_owned(),
        Some(timezone) => set_timezone(timezone)?,
    };
    Ok(format!("{path};{timezone}"))
}

fn search_path(schemas: &[String]) -> Result<String, DataError> {
    let schemas: Result<Vec<String>, DataError> =
        schemas.iter().map(|schema| batched(schema)).collect();
    Ok(format!("set local search_path = {}", schemas?.join(",")))
}

fn set_timezone(timezone: &str) -> Result<String, DataError> {
    Ok(format!("set local timezone = {}", batched(timezone)?))
}

/// `text` as a literal in a batch, which ends at a zero byte.
fn batched(text: &str) -> Result<String, DataError> {
    if text.contains('\0') {
        return Err(DataError::sql(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(literal(text))
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
    let mut batch = format!(
        "set local role {role};\
         set local request.jwt.claims = {};\
         set local pumice.depth = '{}'",
        batched(&context.claims)?,
        context.depth
    );
    if let Some(request) = &context.request {
        for (setting, text) in [
            ("method", &request.method),
            ("path", &request.path),
            ("headers", &request.headers),
            ("cookies", &request.cookies),
        ] {
            let _ = write!(batch, ";set local request.{setting} = {}", batched(text)?);
        }
    }
    Ok(batch)
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
         alter role \"{login}\" set default_text_search_config = 'pg_catalog.english';\
         alter role \"{login}\" set search_path = public;\
         alter role \"{login}\" set jit = off;\
         alter role \"{owner}\" set idle_in_transaction_session_timeout = '60s';\
         alter role \"{owner}\" set lock_timeout = '60s';\
         alter role \"{owner}\" set default_text_search_config = 'pg_catalog.english';\
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
/// `set local`, which guests cannot. Guests' SQL runs as `service_role`; functions that others call
/// may set what the response is to be.
pub(super) fn fix_settings(names: &Names) -> String {
    format!(
        "revoke execute on function pg_catalog.set_config(text, text, boolean) from public;\
         grant execute on function pg_catalog.set_config(text, text, boolean) \
         to \"{}\", anon, authenticated;\
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

/// What policies ask about the caller. A literal, so that a constant can be made of it.
macro_rules! policy_functions {
    () => {
        r#"create or replace function auth.jwt() returns jsonb language sql stable as $$
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
"#
    };
}
pub(super) use policy_functions;

/// A new database, as its owner; runs again without harm.
///
/// Nothing is granted to `anon` and `authenticated` but what `serial` columns need and what policies
/// call. `query_rows` turns what any statement returns into JSON, as its caller.
pub(super) const SET_UP_SCHEMAS: &str = concat!(
    r#"
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

"#,
    policy_functions!(),
    r#"create or replace function pumice.query_rows(statement text) returns setof text
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
"#
);

pub(super) const APPLIED: &str =
    "select file, digest, translator from pumice.migration order by file collate \"C\"";

pub(super) const RECORD: &str =
    "insert into pumice.migration (file, digest, translator) values ($1, $2, $3)";

/// Tables and views of the app's own schemas: their ids, names, whether they are views, schemas.
pub(super) const RELATIONS: &str = "select c.oid::bigint, c.relname::text, c.relkind = 'v', \
     n.nspname::text \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname not in ('auth', 'pumice', 'storage', 'realtime', 'information_schema') \
     and n.nspname not like 'pg\\_%' and c.relkind in ('r', 'p', 'v') \
     and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid \
     and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e') order by 4, 2";

/// Tables of ours whose rows are somebody's, quoted. The sequence of changes and the version of permissions
/// have one from the beginning.
pub(super) const OUR_TABLES: &str = "select c.oid::regclass::text from pg_catalog.pg_class c \
     join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname in ('auth', 'pumice') and c.relkind in ('r', 'p') \
     and (n.nspname, c.relname) not in (('pumice', 'sequence'), ('auth', 'permission_version'))";

pub(super) fn has_rows(table: &str) -> String {
    format!("select exists (select from {table})")
}

pub(super) fn keep_from_writing(tables: &[String]) -> String {
    format!("lock table {} in share mode", tables.join(", "))
}

pub(super) const SERVICE_ROLE_BYPASSES: &str =
    "select rolbypassrls or rolsuper from pg_catalog.pg_roles where rolname = 'service_role'";

/// `table` is quoted, with its schema; here and below.
pub(super) fn enable_policies(table: &str) -> String {
    format!("alter table {table} enable row level security")
}

pub(super) fn open_table(schema: &str, table: &str) -> String {
    format!(
        "grant usage on schema {schema} to anon, authenticated;\
         grant select, insert, update, delete on {table} to anon, authenticated"
    )
}

/// What `service_role` has by default in `public` only.
pub(super) fn serve(schema: &str, relation: &str) -> String {
    format!(
        "grant usage on schema {schema} to service_role;\
         grant select, insert, update, delete on {relation} to service_role"
    )
}

pub(super) fn let_service_role_in(table: &str) -> String {
    format!(
        "create policy \"pumice service_role\" on {table} \
         to service_role using (true) with check (true)"
    )
}

pub(super) fn ask_as_invoker(view: &str) -> String {
    format!("alter view {view} set (security_invoker = true)")
}

/// The server's time zones.
pub(super) const TIMEZONES: &str = "select name from pg_catalog.pg_timezone_names";

/// A number that is another one after tables, columns, types, functions, constraints, rights or
/// comments have changed: a row of the catalog that is changed has another `xmin`. What PostgreSQL
/// itself made has smaller ids, and is passed over by the indexes.
pub(super) const FINGERPRINT: &str = r#"
select coalesce(sum(hashtextextended(version, 0)), 0)::text from (
    select 'c' || oid || ' ' || xmin::text as version from pg_catalog.pg_class where oid >= 16384
    union all select 'a' || attrelid || ' ' || attnum || ' ' || xmin::text
        from pg_catalog.pg_attribute where attrelid >= 16384
    union all select 'd' || oid || ' ' || xmin::text from pg_catalog.pg_attrdef where oid >= 16384
    union all select 't' || oid || ' ' || xmin::text from pg_catalog.pg_type where oid >= 16384
    union all select 'e' || oid || ' ' || xmin::text from pg_catalog.pg_enum where oid >= 16384
    union all select 'p' || oid || ' ' || xmin::text from pg_catalog.pg_proc where oid >= 16384
    union all select 'k' || oid || ' ' || xmin::text from pg_catalog.pg_constraint where oid >= 16384
    union all select 'r' || oid || ' ' || xmin::text from pg_catalog.pg_rewrite where oid >= 16384
    union all select 'n' || oid || ' ' || xmin::text from pg_catalog.pg_namespace
    union all select 'm' || objoid || ' ' || objsubid || ' ' || xmin::text
        from pg_catalog.pg_description where objoid >= 16384
) catalog"#;

/// Everything the API can name, as one JSON document; `introspect.rs` reads it. `$1` is a JSON array of
/// the schemas. Positions of columns count what is there: `attnum` counts dropped columns too.
///
/// What a view is made of is asked of `pg_depend`; its rule comes as PostgreSQL keeps it, without the
/// fields that tell nothing about where its columns come from.
pub(super) const INTROSPECT: &str = r#"
with recursive exposed(name) as (
    select json_array_elements_text($1::json)
), wanted(oid) as (
    select c.oid from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname::text in (select name from exposed)
        and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
        and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid
            and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e')
    union
    select c.oid from wanted w
    join pg_catalog.pg_rewrite r on r.ev_class = w.oid and r.ev_type = '1'
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_class c on c.oid = d.refobjid and c.relkind in ('r', 'p', 'v', 'm', 'f')
    where c.relnamespace not in (
        'pg_catalog'::regnamespace, 'information_schema'::regnamespace)
), relation as (
    select c.oid, c.relname, n.nspname, c.relkind, c.relowner, c.relacl, c.reloptions,
        pg_catalog.pg_relation_is_updatable(c.oid, true) as events
    from wanted w join pg_catalog.pg_class c on c.oid = w.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), attribute as (
    select a.*, row_number() over (partition by a.attrelid order by a.attnum) - 1 as position
    from pg_catalog.pg_attribute a join relation r on r.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
), domain(oid, base) as (
    select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typtype = 'd'
    union all
    select d.oid, t.typbasetype from domain d
    join pg_catalog.pg_type t on t.oid = d.base where t.typtype = 'd'
), base as (
    select d.oid, d.base from domain d
    join pg_catalog.pg_type t on t.oid = d.base where t.typtype <> 'd'
), role(oid, name) as (
    select 0::oid, 'public'
    union all select oid, rolname::text from pg_catalog.pg_roles
    where rolname in ('anon', 'authenticated', 'service_role')
), function as (
    select p.*, n.nspname from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where p.prokind = 'f' and n.nspname::text in (select name from exposed)
        and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype,
            'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype,
            'table_am_handler'::regtype, 'tsm_handler'::regtype)
)
select json_build_object(
    'enums', coalesce((
        select json_agg(json_build_object('schema', n.nspname, 'name', t.typname,
            'format', pg_catalog.format_type(t.oid, -1), 'labels', (
            select json_agg(e.enumlabel order by e.enumsortorder)
            from pg_catalog.pg_enum e where e.enumtypid = t.oid)))
        from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where t.typtype = 'e'), '[]'),
    'tables', coalesce((select json_agg(json_build_object(
        'oid', r.oid::bigint,
        'schema', r.nspname,
        'name', r.relname,
        'kind', r.relkind,
        'events', r.events,
        'invoker', coalesce((select bool_or(option_value::boolean)
            from pg_catalog.pg_options_to_table(r.reloptions)
            where option_name = 'security_invoker'), false),
        'comment', pg_catalog.obj_description(r.oid, 'pg_class'),
        'rule', (select pg_catalog.regexp_replace(w.ev_action::text,
                ':(?!targetList |res)[A-Za-z_]+ [^][(){}:\\]*', '', 'g')
            from pg_catalog.pg_rewrite w
            where w.ev_class = r.oid and w.ev_type = '1' and r.relkind in ('v', 'm')),
        'grants', coalesce((select json_agg(json_build_object(
                'role', o.name, 'privilege', g.privilege_type))
            from pg_catalog.aclexplode(coalesce(r.relacl,
                pg_catalog.acldefault('r', r.relowner))) g
            join role o on o.oid = g.grantee), '[]'),
        'columns', coalesce((select json_agg(json_build_object(
                'name', a.attname,
                'number', a.attnum,
                'format', pg_catalog.format_type(a.atttypid, a.atttypmod),
                'bare', pg_catalog.format_type(whole.oid, -1),
                'type', t.typname,
                'modifier', case when asked.typtype = 'd' then asked.typtypmod else a.atttypmod end,
                'builtin', t.typnamespace = 'pg_catalog'::regnamespace,
                'enum', case when t.typtype = 'e' then pg_catalog.format_type(t.oid, -1) end,
                'array', whole.typelem <> 0 and whole.typcategory = 'A',
                'not_null', a.attnotnull or asked.typnotnull,
                'default', (a.atthasdef and a.attgenerated = '') or a.attidentity <> ''
                    or asked.typdefault is not null,
                'expression', case when a.attgenerated = '' then coalesce(
                    (select pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                        from pg_catalog.pg_attrdef d
                        where d.adrelid = r.oid and d.adnum = a.attnum), asked.typdefault) end,
                'generated', a.attgenerated <> '' or a.attidentity = 'a',
                'comment', pg_catalog.col_description(r.oid, a.attnum),
                'grants', (select json_agg(json_build_object(
                        'role', o.name, 'privilege', g.privilege_type))
                    from pg_catalog.aclexplode(a.attacl) g join role o on o.oid = g.grantee)
            ) order by a.attnum)
            from attribute a
            join pg_catalog.pg_type asked on asked.oid = a.atttypid
            left join base on base.oid = asked.oid
            join pg_catalog.pg_type whole on whole.oid = coalesce(base.base, asked.oid)
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
            where k.conrelid = r.oid and k.contype in ('p', 'u', 'f', 'c')
                and (k.conparentid = 0 or k.contype <> 'f')), '[]')
    )) from relation r), '[]'),
    'functions', coalesce((select json_agg(json_build_object(
        'schema', p.nspname,
        'name', p.proname,
        'defaults', p.pronargdefaults,
        'arguments', coalesce((select json_agg(json_build_object(
                'name', coalesce(p.proargnames[at], ''),
                'type', pg_catalog.format_type(type, -1),
                'mode', coalesce(p.proargmodes[at]::text, 'i')) order by at)
            from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]))
                with ordinality argument(type, at)), '[]'),
        'type', pg_catalog.format_type(p.prorettype, -1),
        'composite', t.typtype = 'c',
        'relation', case when f.relkind <> 'c' then json_build_array(fn.nspname, f.relname) end,
        'fields', (select json_agg(json_build_array(a.attname,
                pg_catalog.format_type(a.atttypid, -1)) order by a.attnum)
            from pg_catalog.pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped),
        'set', p.proretset,
        'one_row', p.prorows = 1,
        'volatility', p.provolatile,
        'callers', coalesce((select json_agg(role.name order by role.name) from role
            where pg_catalog.has_function_privilege(role.name, p.oid, 'execute')), '[]'),
        'comment', pg_catalog.obj_description(p.oid, 'pg_proc')
    ) order by p.proname, pg_catalog.oidvectortypes(p.proargtypes))
        from function p
        left join base on base.oid = p.prorettype
        join pg_catalog.pg_type t on t.oid = coalesce(base.base, p.prorettype)
        left join pg_catalog.pg_class f on f.oid = t.typrelid
        left join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace), '[]')
)::text
"#;
