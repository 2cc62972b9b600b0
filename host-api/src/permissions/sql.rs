//! The tables of permissions and the statements on them, for both engines.

use crate::data::own::Sql;

/// Whether SQLite's table of grants is from before grants had ids.
pub const IS_OLD: &str = r#"select 1 from sqlite_schema s where s.name = 'auth.permission_grants'
    and not exists (select 1 from pragma_table_info('auth.permission_grants') where name = 'id')"#;

/// Whether SQLite has the tables.
pub const IS_PREPARED: &str =
    r#"select 1 from sqlite_schema where name = 'auth.permission_version'"#;

/// SQLite's tables.
pub const PREPARE_SQLITE: &str = r#"
create table if not exists "auth.permission_namespaces" (
    name text primary key, owner text not null, created_at text not null default (now())) without rowid;
create table if not exists "auth.permission_actions" (
    permission text primary key, namespace text not null, action text not null,
    check (permission = namespace || '.' || action),
    foreign key (namespace) references "auth.permission_namespaces" (name) on delete cascade) without rowid;
create table if not exists "auth.permission_roles" (
    name text primary key, created_at text not null default (now())) without rowid;
create table if not exists "auth.permission_role_parents" (
    role text not null, parent text not null, primary key (role, parent)) without rowid;
create table if not exists "auth.permission_role_members" (
    role text not null, user_id text not null, primary key (user_id, role)) without rowid;
create index if not exists "auth.permission_role_members_role"
    on "auth.permission_role_members" (role, user_id);
create table if not exists "auth.permission_grants" (
    "role" text, "user_id" text, "permission" text not null, "allow" int not null, "expires_at" text,
    "id" text default (gen_random_uuid()), "key_id" text, "resource" text,
    "created_at" text default (now()));
create unique index if not exists "auth.permission_grants_id" on "auth.permission_grants" (id);
create index if not exists "auth.permission_grants_permission"
    on "auth.permission_grants" (permission);
create index if not exists "auth.permission_grants_user"
    on "auth.permission_grants" (user_id) where user_id is not null;
create index if not exists "auth.permission_grants_key"
    on "auth.permission_grants" (key_id) where key_id is not null;
create table if not exists "auth.permission_version" (
    one integer primary key check (one = 1), version integer not null);
insert into "auth.permission_version" (one, version) values (1, 1) on conflict do nothing;
"#;

/// Gives SQLite's old table of grants its new columns. What its grants name becomes the app's own
/// namespaces, for until then nothing had to be registered. In between runs [`PREPARE_SQLITE`].
pub const UPGRADE_SQLITE: [&str; 2] = [
    r#"
alter table "auth.permission_grants" add column "id" text;
alter table "auth.permission_grants" add column "key_id" text;
alter table "auth.permission_grants" add column "resource" text;
alter table "auth.permission_grants" add column "created_at" text;
update "auth.permission_grants" set id = gen_random_uuid(), created_at = now();
"#,
    r#"
insert into "auth.permission_namespaces" (name, owner)
    select distinct substr(permission, 1, instr(permission, '.') - 1), 'app'
    from "auth.permission_grants"
    where permission glob '?*.?*' and not permission glob '*.*.*'
        and not permission glob '*[^A-Za-z0-9_.-]*' on conflict do nothing;
insert into "auth.permission_actions" (permission, namespace, action)
    select distinct permission, substr(permission, 1, instr(permission, '.') - 1),
        substr(permission, instr(permission, '.') + 1)
    from "auth.permission_grants"
    where permission glob '?*.?*' and not permission glob '*.*.*'
        and not permission glob '*[^A-Za-z0-9_.-]*' on conflict do nothing;
"#,
];

/// PostgreSQL's tables and functions, one statement each; run as the owner of the schema, again without
/// harm.
///
/// `has_permission` runs as that owner, because nobody else reads the tables. Whoever changes a row, in
/// whatever way, changes the version: nodes look at it.
pub const PREPARE_POSTGRES: &[&str] = &[
    "create table if not exists auth.permission_namespaces (
        name text primary key, owner text not null, created_at timestamptz not null default now())",
    "create table if not exists auth.permission_actions (
        permission text primary key,
        namespace text not null references auth.permission_namespaces (name) on delete cascade,
        action text not null, check (permission = namespace || '.' || action))",
    "create table if not exists auth.permission_roles (
        name text primary key, created_at timestamptz not null default now())",
    "create table if not exists auth.permission_role_parents (
        role text not null, parent text not null, primary key (role, parent))",
    "create table if not exists auth.permission_role_members (
        role text not null, user_id uuid not null, primary key (user_id, role))",
    "create index if not exists permission_role_members_role
        on auth.permission_role_members (role, user_id)",
    "create table if not exists auth.permission_grants (
        role text, user_id uuid, permission text not null, allow boolean not null,
        expires_at timestamptz, id uuid not null default gen_random_uuid(), key_id text,
        resource text, created_at timestamptz not null default now())",
    "do $$ begin
        if not exists (select from pg_catalog.pg_attribute
            where attrelid = 'auth.permission_grants'::regclass and attname = 'id')
        then
            alter table auth.permission_grants
                add column id uuid not null default gen_random_uuid(), add column key_id text,
                add column resource text,
                add column created_at timestamptz not null default now();
            insert into auth.permission_namespaces (name, owner)
                select distinct split_part(permission, '.', 1), 'app' from auth.permission_grants
                where permission ~ '^[A-Za-z0-9_-]{1,64}\\.[A-Za-z0-9_-]{1,64}$'
                on conflict do nothing;
            insert into auth.permission_actions (permission, namespace, action)
                select distinct permission, split_part(permission, '.', 1),
                    split_part(permission, '.', 2)
                from auth.permission_grants
                where permission ~ '^[A-Za-z0-9_-]{1,64}\\.[A-Za-z0-9_-]{1,64}$'
                on conflict do nothing;
        end if;
    end $$",
    "create unique index if not exists permission_grants_id on auth.permission_grants (id)",
    "create index if not exists permission_grants_permission on auth.permission_grants (permission)",
    "create index if not exists permission_grants_user on auth.permission_grants (user_id)
        where user_id is not null",
    "create index if not exists permission_grants_key on auth.permission_grants (key_id)
        where key_id is not null",
    "create table if not exists auth.permission_version (
        one integer primary key check (one = 1), version bigint not null)",
    "insert into auth.permission_version (one, version) values (1, 1) on conflict do nothing",
    "create or replace function auth.permission_changed() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin
        update auth.permission_version set version = version + 1;
        return null;
    end
    $$",
    "do $$
    declare place regclass;
    begin
        foreach place in array array['auth.permission_namespaces', 'auth.permission_actions',
            'auth.permission_roles', 'auth.permission_role_parents',
            'auth.permission_role_members', 'auth.permission_grants']::regclass[]
        loop
            if not exists (select from pg_catalog.pg_trigger
                where tgrelid = place and tgname = 'permission_changed')
            then
                execute format('create trigger permission_changed
                    after insert or update or delete or truncate on %s
                    for each statement execute function auth.permission_changed()', place);
            end if;
        end loop;
    end $$",
    "create or replace function auth.has_permission(wanted text, resource text) returns boolean
    language sql stable security definer set search_path = '' as $$
        select case when auth.role() = 'service_role' then exists (
            select from auth.permission_actions n where n.permission = wanted)
        else coalesce((
            with recursive held(role) as (
                select auth.role()
                union
                select m.role from auth.permission_role_members m where m.user_id = auth.uid()
                union
                select p.parent from held join auth.permission_role_parents p on p.role = held.role)
            select bool_and(g.allow) from auth.permission_actions n
            join auth.permission_grants g on g.permission in (n.permission, n.namespace || '.*')
            where n.permission = wanted and (g.expires_at is null or g.expires_at > now())
                and (g.resource is null or g.resource = $2
                    or (right(g.resource, 1) = '*'
                        and starts_with($2, left(g.resource, -1))))
                and (g.role in (select held.role from held) or g.user_id = auth.uid()
                    or g.key_id = auth.jwt() ->> 'key_id')), false) end
    $$",
    "create or replace function auth.has_permission(wanted text) returns boolean
    language sql stable set search_path = '' as $$ select auth.has_permission(wanted, null) $$",
    "revoke execute on function auth.has_permission(text), auth.has_permission(text, text),
        auth.permission_changed() from public",
    "grant execute on function auth.has_permission(text), auth.has_permission(text, text)
        to anon, authenticated, service_role",
    // The host logs in as a role that is called like its database.
    "do $$ begin
        if exists (select from pg_catalog.pg_roles where rolname = current_database()) then
            execute format('grant usage on schema auth to %I', current_database());
            execute format('grant select, insert, update, delete on auth.permission_namespaces,
                auth.permission_actions, auth.permission_roles, auth.permission_role_parents,
                auth.permission_role_members, auth.permission_grants, auth.permission_version to %I',
                current_database());
        end if;
    end $$",
];

/// SQLite's condition that the caller holds what the expression `wanted` names, for what the expression
/// `resource` names: as `auth.has_permission` of PostgreSQL. In the statement itself, so that it sees what
/// its transaction sees.
pub fn has_permission(wanted: &str, resource: Option<&str>) -> String {
    // Without a resource only grants for everything count.
    let (on, selected) = match resource {
        Some(resource) => (
            format!(", {resource} as \"_on\""),
            " or \"_g\".\"resource\" = \"_a\".\"_on\" \
             or (substr(\"_g\".\"resource\", -1) = '*' \
             and substr(\"_a\".\"_on\", 1, length(\"_g\".\"resource\") - 1) \
             = substr(\"_g\".\"resource\", 1, length(\"_g\".\"resource\") - 1))",
        ),
        None => (String::new(), ""),
    };
    format!(
        "(case when pumice_role() = 'service_role' then exists (select 1 from \
         \"auth.permission_actions\" as \"_n\" where \"_n\".\"permission\" = {wanted}) \
         else coalesce((with recursive \"_held\" (\"_role\") as (select pumice_role() \
         union select \"_m\".\"role\" from \"auth.permission_role_members\" as \"_m\" \
         where \"_m\".\"user_id\" = pumice_uid() \
         union select \"_p\".\"parent\" from \"_held\" \
         join \"auth.permission_role_parents\" as \"_p\" on \"_p\".\"role\" = \"_held\".\"_role\") \
         select min(\"_g\".\"allow\") from (select {wanted} as \"_wanted\"{on}) as \"_a\" \
         join \"auth.permission_actions\" as \"_n\" on \"_n\".\"permission\" = \"_a\".\"_wanted\" \
         join \"auth.permission_grants\" as \"_g\" \
         on \"_g\".\"permission\" in (\"_n\".\"permission\", \"_n\".\"namespace\" || '.*') \
         where (\"_g\".\"expires_at\" is null or \"_g\".\"expires_at\" > now()) \
         and (\"_g\".\"resource\" is null{selected}) \
         and (\"_g\".\"role\" in (select \"_role\" from \"_held\") \
         or \"_g\".\"user_id\" = pumice_uid() \
         or \"_g\".\"key_id\" = pumice_claims() ->> 'key_id')), 0) end)"
    )
}

/// A row when the tables are there.
pub const PREPARED: Sql = Sql {
    sqlite: "select 'true' from sqlite_schema where name = 'auth.permission_version'",
    postgres: "select 'true' from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'auth' and c.relname = 'permission_version'",
};

pub const VERSION: Sql = Sql {
    sqlite: r#"select cast(version as text) from "auth.permission_version""#,
    postgres: "select version::text from auth.permission_version",
};

/// Another version. Whoever else writes waits until this transaction ends.
pub const BUMP: Sql = Sql {
    sqlite: r#"update "auth.permission_version" set version = version + 1"#,
    postgres: "update auth.permission_version set version = version + 1",
};

pub const ACTIONS: Sql = Sql {
    sqlite: r#"select json_quote(permission) from "auth.permission_actions" order by permission"#,
    postgres: r#"select to_json(permission)::text from auth.permission_actions
        order by permission collate "C""#,
};

pub const PARENTS: Sql = Sql {
    sqlite: r#"select json_array(role, parent) from "auth.permission_role_parents"
        order by role, parent"#,
    postgres: r#"select json_build_array(role, parent)::text from auth.permission_role_parents
        order by role collate "C", parent collate "C""#,
};

pub const ROLES: Sql = Sql {
    sqlite: r#"select json_quote(name) from "auth.permission_roles" order by name"#,
    postgres: r#"select to_json(name)::text from auth.permission_roles order by name collate "C""#,
};

macro_rules! grant_of_sqlite {
    ($rest:literal) => {
        concat!(
            "select json_object('id', id, 'role', role, 'user', user_id, 'key', key_id, \
             'permission', permission, 'effect', iif(allow, 'allow', 'deny'), \
             'resource', resource, 'expires_at', expires_at, 'created_at', created_at) \
             from \"auth.permission_grants\" ",
            $rest
        )
    };
}

// An instant that only PostgreSQL can write is one that JSON's readers know.
macro_rules! grant_of_postgres {
    ($rest:literal) => {
        concat!(
            "select json_build_object('id', id, 'role', role, 'user', user_id, 'key', key_id, \
             'permission', permission, 'effect', case when allow then 'allow' else 'deny' end, \
             'resource', resource, 'expires_at', case when expires_at is not null then \
             greatest(least(expires_at, '9999-12-31 23:59:59+00'::timestamptz), \
             '1970-01-01 00:00:00+00'::timestamptz) end, 'created_at', created_at)::text \
             from auth.permission_grants ",
            $rest
        )
    };
}

pub const ROLE_GRANTS: Sql = Sql {
    sqlite: grant_of_sqlite!("where role is not null"),
    postgres: grant_of_postgres!("where role is not null"),
};

/// Of user $1 and key $2, either null.
pub const OWN_GRANTS: Sql = Sql {
    sqlite: grant_of_sqlite!("where user_id = $1 or key_id = $2"),
    postgres: grant_of_postgres!("where user_id = $1::uuid or key_id = $2"),
};

/// $1 role, $2 user, $3 key, $4 permission, each null for any; $5 rows, $6 offset.
pub const GRANTS: Sql = Sql {
    sqlite: grant_of_sqlite!(
        "where ($1 is null or role = $1) and ($2 is null or user_id = $2) \
         and ($3 is null or key_id = $3) and ($4 is null or permission = $4) \
         order by created_at, id limit $5 offset $6"
    ),
    postgres: grant_of_postgres!(
        "where ($1 is null or role = $1) and ($2 is null or user_id = $2::uuid) \
         and ($3 is null or key_id = $3) and ($4 is null or permission = $4) \
         order by created_at, id limit $5::bigint offset $6::bigint"
    ),
};

/// As [`GRANTS`], how many.
pub const COUNT_GRANTS: Sql = Sql {
    sqlite: r#"select cast(count(*) as text) from "auth.permission_grants"
        where ($1 is null or role = $1) and ($2 is null or user_id = $2)
        and ($3 is null or key_id = $3) and ($4 is null or permission = $4)"#,
    postgres: "select count(*)::text from auth.permission_grants
        where ($1 is null or role = $1) and ($2 is null or user_id = $2::uuid)
        and ($3 is null or key_id = $3) and ($4 is null or permission = $4)",
};

/// $1 id, $2 role, $3 user, $4 key, $5 permission, $6 whether it allows, $7 resource, $8 expiry, $9 now.
pub const ADD_GRANT: Sql = Sql {
    sqlite: r#"insert into "auth.permission_grants"
            (id, role, user_id, key_id, permission, allow, resource, expires_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
    postgres: "insert into auth.permission_grants
            (id, role, user_id, key_id, permission, allow, resource, expires_at, created_at)
        values ($1::uuid, $2, $3::uuid, $4, $5, $6::integer = 1, $7, $8::timestamptz,
            $9::timestamptz)",
};

pub const DELETE_GRANT: Sql = Sql {
    sqlite: r#"delete from "auth.permission_grants" where id = $1"#,
    postgres: "delete from auth.permission_grants where id = $1::uuid",
};

/// Namespaces with their actions; $1 a name, or null for all.
pub const NAMESPACES: Sql = Sql {
    sqlite: r#"select json_object('name', n.name, 'owner', n.owner, 'actions', json((
            select json_group_array(a.action) from (select action from "auth.permission_actions"
            where namespace = n.name order by action) a)))
        from "auth.permission_namespaces" n where $1 is null or n.name = $1 order by n.name"#,
    postgres: r#"select json_build_object('name', n.name, 'owner', n.owner, 'actions', coalesce((
            select json_agg(a.action order by a.action collate "C")
            from auth.permission_actions a where a.namespace = n.name), '[]'))::text
        from auth.permission_namespaces n where $1 is null or n.name = $1
        order by n.name collate "C""#,
};

/// $1 name, $2 owner.
pub const ADD_NAMESPACE: Sql = Sql {
    sqlite: r#"insert into "auth.permission_namespaces" (name, owner) values ($1, $2)
        on conflict do nothing"#,
    postgres: "insert into auth.permission_namespaces (name, owner) values ($1, $2)
        on conflict do nothing",
};

/// With its actions.
pub const DELETE_NAMESPACE: Sql = Sql {
    sqlite: r#"delete from "auth.permission_namespaces" where name = $1"#,
    postgres: "delete from auth.permission_namespaces where name = $1",
};

/// Of namespace $1.
pub const DELETE_ACTIONS: Sql = Sql {
    sqlite: r#"delete from "auth.permission_actions" where namespace = $1"#,
    postgres: "delete from auth.permission_actions where namespace = $1",
};

/// $1 permission, $2 namespace, $3 action.
pub const ADD_ACTION: Sql = Sql {
    sqlite: r#"insert into "auth.permission_actions" (permission, namespace, action)
        values ($1, $2, $3) on conflict do nothing"#,
    postgres: "insert into auth.permission_actions (permission, namespace, action)
        values ($1, $2, $3) on conflict do nothing",
};

/// Those that name namespace $1.
pub const DELETE_GRANTS_OF_NAMESPACE: Sql = Sql {
    sqlite: r#"delete from "auth.permission_grants"
        where substr(permission, 1, length($1) + 1) = $1 || '.'"#,
    postgres: "delete from auth.permission_grants where starts_with(permission, $1 || '.')",
};

pub const ADD_ROLE: Sql = Sql {
    sqlite: r#"insert into "auth.permission_roles" (name) values ($1) on conflict do nothing"#,
    postgres: "insert into auth.permission_roles (name) values ($1) on conflict do nothing",
};

pub const DELETE_PARENTS: Sql = Sql {
    sqlite: r#"delete from "auth.permission_role_parents" where role = $1"#,
    postgres: "delete from auth.permission_role_parents where role = $1",
};

/// $1 role, $2 parent.
pub const ADD_PARENT: Sql = Sql {
    sqlite: r#"insert into "auth.permission_role_parents" (role, parent) values ($1, $2)
        on conflict do nothing"#,
    postgres: "insert into auth.permission_role_parents (role, parent) values ($1, $2)
        on conflict do nothing",
};

/// Role $1 with all that names it, one after the other.
pub const DELETE_ROLE: [Sql; 4] = [
    Sql {
        sqlite: r#"delete from "auth.permission_role_parents" where role = $1 or parent = $1"#,
        postgres: "delete from auth.permission_role_parents where role = $1 or parent = $1",
    },
    Sql {
        sqlite: r#"delete from "auth.permission_role_members" where role = $1"#,
        postgres: "delete from auth.permission_role_members where role = $1",
    },
    Sql {
        sqlite: r#"delete from "auth.permission_grants"
            where role = $1 and user_id is null and key_id is null"#,
        postgres: "delete from auth.permission_grants
            where role = $1 and user_id is null and key_id is null",
    },
    Sql {
        sqlite: r#"delete from "auth.permission_roles" where name = $1"#,
        postgres: "delete from auth.permission_roles where name = $1",
    },
];

/// Roles of user $1.
pub const MEMBERSHIPS: Sql = Sql {
    sqlite: r#"select json_quote(role) from "auth.permission_role_members" where user_id = $1
        order by role"#,
    postgres: r#"select to_json(role)::text from auth.permission_role_members
        where user_id = $1::uuid order by role collate "C""#,
};

/// Users of role $1, $2 of them from $3 on.
pub const MEMBERS: Sql = Sql {
    sqlite: r#"select json_quote(user_id) from "auth.permission_role_members" where role = $1
        order by user_id limit $2 offset $3"#,
    postgres: "select to_json(user_id)::text from auth.permission_role_members where role = $1
        order by user_id limit $2::bigint offset $3::bigint",
};

/// $1 role, $2 user.
pub const ADD_MEMBER: Sql = Sql {
    sqlite: r#"insert into "auth.permission_role_members" (role, user_id) values ($1, $2)
        on conflict do nothing"#,
    postgres: "insert into auth.permission_role_members (role, user_id) values ($1, $2::uuid)
        on conflict do nothing",
};

/// $1 role, $2 user.
pub const DELETE_MEMBER: Sql = Sql {
    sqlite: r#"delete from "auth.permission_role_members" where role = $1 and user_id = $2"#,
    postgres: "delete from auth.permission_role_members where role = $1 and user_id = $2::uuid",
};
