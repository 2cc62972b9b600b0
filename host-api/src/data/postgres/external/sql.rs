//! SQL text about a database that Pumice did not make.

use super::super::sql::{literal, policy_functions};

/// What stands as the comment of a schema that was made for us.
macro_rules! mark {
    () => {
        "'Pumice'"
    };
}

/// What there is and what the login may, as one JSON document; `mod.rs` reads it. All who may look at a
/// catalog may ask this.
pub(super) const CHECK: &str = concat!(
    r#"
with role as (
    select r.oid, r.rolname::text as name, r.rolbypassrls as bypasses,
        r.rolname in ('anon', 'authenticated', 'service_role') as shared,
        array_remove(array[
            case when r.rolsuper then 'a superuser' end,
            case when r.rolbypassrls and r.rolname <> 'service_role' then 'above policies (bypassrls)' end,
            case when r.rolcreaterole then 'a maker of roles (createrole)' end,
            case when r.rolcreatedb then 'a maker of databases (createdb)' end,
            case when r.rolreplication then 'for replication' end], null) as powers
    from pg_catalog.pg_roles r
), login as (
    select * from role where name = current_user
)
select json_build_object(
    'version', current_setting('server_version_num')::int,
    'login', l.name,
    'powers', coalesce((select json_agg(r.name || ' is ' || power order by r.shared, r.name)
        from role r cross join unnest(r.powers) power
        where r.shared or r.oid = l.oid), '[]'),
    'others', coalesce((select json_agg(r.name order by r.name) from role r
        where not r.shared and r.oid <> l.oid and pg_has_role(l.oid, r.oid, 'member')), '[]'),
    'mixed', coalesce((select json_agg(r.name || ' is a member of ' || o.name order by r.name, o.name)
        from role r join role o on o.shared and o.oid <> r.oid and pg_has_role(r.oid, o.oid, 'member')
        where r.shared), '[]'),
    'owns', (select r.name || ' owns ' || pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
        from pg_catalog.pg_shdepend d join role r on r.oid = d.refobjid
        where d.refclassid = 'pg_catalog.pg_authid'::regclass and d.deptype = 'o'
        and (r.shared or r.oid = l.oid)
        and d.dbid in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
        order by r.shared, r.name limit 1),
    'strange', coalesce((select json_agg(n.nspname order by n.nspname) from pg_catalog.pg_namespace n
        where n.nspname = 'pumice' or n.nspname = 'auth'
        and pg_catalog.obj_description(n.oid, 'pg_namespace') is distinct from "#,
    mark!(),
    r#"), '[]'),
    'auth', exists (select from pg_catalog.pg_namespace where nspname = 'auth'),
    'bypasses', coalesce((select bypasses from role where name = 'service_role'), false),
    'shut_out', coalesce((select json_agg(r.name order by r.name) from role r
        where r.shared and not exists (select from pg_catalog.pg_namespace n
            where n.nspname = 'public' and has_schema_privilege(r.oid, n.oid, 'usage'))), '[]')
)::text from login l"#
);

/// Fails if the login may not act as `role`, one of the three.
pub(super) fn act_as(role: &str) -> String {
    format!("begin read only; set local role {role}; rollback")
}

/// What an administrator runs once, so that `login` can serve an app.
pub(super) fn preparation(login: &str) -> String {
    let name = format!("\"{}\"", login.replace('"', "\"\""));
    let text = literal(login);
    format!(
        r#"-- Run once as an administrator, in the database that the app is to have.
begin;
do $$ begin
    if exists (select from pg_catalog.pg_namespace n where n.nspname = 'pumice' or n.nspname = 'auth'
        and pg_catalog.obj_description(n.oid, 'pg_namespace') is distinct from {MARK}) then
        raise exception 'a schema auth or pumice is here that was not made for Pumice';
    end if;
end $$;

-- The roles that requests act as; a server has them once. service_role is above policies where the
-- administrator may say so.
do $$ declare wanted text; begin
    foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
        continue when exists (select from pg_catalog.pg_roles where rolname = wanted);
        begin
            execute format('create role %I nologin noinherit %s', wanted,
                case wanted when 'service_role' then 'bypassrls' else '' end);
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                if wanted <> 'service_role' then raise; end if;
                execute 'create role service_role nologin noinherit';
        end;
    end loop;
end $$;

-- The login: nothing of its own, and whatever the three roles may.
do $$ begin
    if not exists (select from pg_catalog.pg_roles where rolname = {text}) then
        execute format('create role %I login noinherit', {text});
    end if;
    execute format('grant connect on database %I to %I', current_database(), {text});
end $$;
grant anon, authenticated, service_role to {name};
grant usage on schema public to anon, authenticated, service_role;

-- What policies ask about the caller: auth.uid(), auth.role(), auth.email(), auth.jwt().
create schema if not exists auth;
comment on schema auth is {MARK};
{FUNCTIONS}revoke all on schema auth from public;
grant usage on schema auth to anon, authenticated, service_role;
revoke execute on function auth.jwt(), auth.uid(), auth.role(), auth.email() from public;
grant execute on function auth.jwt(), auth.uid(), auth.role(), auth.email()
    to anon, authenticated, service_role;
commit;

-- Its password, in psql:
--   \password {name}
-- Then each table that requests are to reach, for example:
--   grant select on public.note to authenticated;
--   grant select, insert, update, delete on public.note to service_role;
--   alter table public.note enable row level security;
--   create policy "own notes" on public.note to authenticated using (owner = auth.uid());
"#
    )
}

const MARK: &str = mark!();
const FUNCTIONS: &str = policy_functions!();
