//! The statements of the change log and the outbox, for both engines.

use crate::data::Table;
use crate::data::own::Sql;

/// SQLite's tables.
///
/// The outbox has no rowid, so that `last_insert_rowid()` stays the change's in a trigger that fills it.
pub const PREPARE_SQLITE: &str = r#"
create table if not exists "pumice.change" (
    number integer primary key autoincrement, at text not null, table_name text not null,
    operation text not null, key text, old text, new text, role text not null, claims text not null,
    depth integer not null);
create table if not exists "pumice.outbox" (
    change integer not null, "trigger" text not null, row_key text not null,
    attempts integer not null default 0, alone integer not null default 0,
    due_at integer not null default 0, lease_until integer, token text, error text,
    primary key (change, "trigger")) without rowid;
create index if not exists "pumice.outbox_row" on "pumice.outbox" ("trigger", row_key, change);
create index if not exists "pumice.outbox_token" on "pumice.outbox" (token) where token is not null;
create table if not exists "pumice.dead" (
    change integer not null, "trigger" text not null, attempts integer not null, error text,
    died_at integer not null, payload text not null, primary key (change, "trigger"));
"#;

/// PostgreSQL's, one statement each; run as the owner of the schema.
///
/// A change gets its `number` once it is visible. Its `id` says in which order the changes of one row
/// were made: the row is locked before the trigger takes the id.
pub const PREPARE_POSTGRES: &[&str] = &[
    "create schema if not exists pumice",
    "create table if not exists pumice.change (
        id bigserial primary key, number bigint unique, at timestamptz not null default now(),
        table_name text not null, operation text not null, key text, old text, new text,
        role text not null, claims text not null, depth integer not null)",
    "create index if not exists change_unnumbered on pumice.change (id) where number is null",
    "create table if not exists pumice.sequence (
        one boolean primary key default true check (one), last bigint not null)",
    "insert into pumice.sequence (last) values (0) on conflict do nothing",
    "create table if not exists pumice.outbox (
        change bigint not null, trigger text not null, row_key text not null,
        attempts integer not null default 0, alone integer not null default 0,
        due_at bigint not null default 0, lease_until bigint, token text, error text,
        primary key (change, trigger))",
    "create index if not exists outbox_row on pumice.outbox (trigger, row_key, change)",
    "create index if not exists outbox_token on pumice.outbox (token) where token is not null",
    "create table if not exists pumice.dead (
        change bigint not null, trigger text not null, attempts integer not null, error text,
        died_at bigint not null, payload text not null, primary key (change, trigger))",
    LOG_CHANGE,
    GRANT,
];

/// What PostgreSQL's triggers call: the names of the key's columns as a JSON array, then the
/// after-triggers.
const LOG_CHANGE: &str = r#"
create or replace function pumice.log_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    old_row json;
    new_row json;
    row_id bigint;
    row_key text;
begin
    if tg_op <> 'INSERT' then old_row := row_to_json(old); end if;
    if tg_op <> 'DELETE' then new_row := row_to_json(new); end if;
    select '[' || string_agg((coalesce(new_row, old_row) -> name)::text, ',' order by nth) || ']'
        into row_key
        from json_array_elements_text(tg_argv[0]::json) with ordinality as of_key (name, nth);
    insert into pumice.change (table_name, operation, key, old, new, role, claims, depth)
        values (tg_table_name, lower(tg_op), row_key, old_row::text, new_row::text,
            coalesce(nullif(current_setting('role', true), 'none'), ''),
            coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}'),
            coalesce(nullif(current_setting('pumice.depth', true), '')::integer, 0))
        returning id into row_id;
    for at in 1 .. tg_nargs - 1 loop
        insert into pumice.outbox (change, trigger, row_key)
            values (row_id, tg_argv[at], tg_table_name || coalesce(row_key, '#' || row_id));
    end loop;
    return null;
end
$$"#;

/// The host logs in as a role that is called like its database.
const GRANT: &str = "
do $$ begin
    if exists (select from pg_catalog.pg_roles where rolname = current_database()) then
        execute format('grant usage on schema pumice to %I', current_database());
        execute format('grant select, insert, update, delete on pumice.change, pumice.sequence,
            pumice.outbox, pumice.dead to %I', current_database());
    end if;
end $$";

/// Our triggers as they are: name and text.
pub const TRIGGERS_SQLITE: &str = "select name, sql from sqlite_schema \
     where type = 'trigger' and substr(name, 1, 7) = 'pumice.'";

/// Makes PostgreSQL's triggers what `wanted` says, and leaves alone those that are so already: each
/// change of one waits for the writers of its table. `wanted` is a JSON array of `{"table", "operation",
/// "triggers"}`; tables that are not there are left out.
///
/// The digest stands for a table whose name is too long to be part of another.
pub fn observe_postgres(wanted: &str) -> String {
    let hex: String = wanted.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!(
        r#"do $$
declare
    wanted json := convert_from(decode('{hex}', 'hex'), 'UTF8')::json;
    kept text[] := '{{}}';
    each record;
    full_name text;
    of_key text;
    given text[];
begin
    for each in select c.oid, c.relname::text as relation, w ->> 'operation' as operation,
            w -> 'triggers' as triggers
        from json_array_elements(wanted) w
        join pg_catalog.pg_class c on c.relname = w ->> 'table' and c.relkind in ('r', 'p')
            and c.relnamespace = 'public'::regnamespace
    loop
        full_name := 'pumice.' || each.relation || '.' || each.operation;
        if octet_length(full_name) > 63 then
            full_name := 'pumice.' || md5(each.relation) || '.' || each.operation;
        end if;
        kept := kept || (each.oid || ' ' || full_name);
        select coalesce(json_agg(a.attname order by k.nth), '[]')::text into of_key
            from pg_catalog.pg_index i
            cross join unnest(i.indkey::smallint[]) with ordinality k (attnum, nth)
            join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
            where i.indrelid = each.oid and i.indisprimary;
        given := of_key || array(select json_array_elements_text(each.triggers));
        continue when exists (select from pg_catalog.pg_trigger t
            where t.tgrelid = each.oid and t.tgname = full_name and encode(t.tgargs, 'hex') = (
                select string_agg(encode(convert_to(a, 'UTF8'), 'hex') || '00', '' order by nth)
                from unnest(given) with ordinality u (a, nth)));
        execute format('create or replace trigger %I after %s on public.%I '
            'for each row execute function pumice.log_change(%s)',
            full_name, each.operation, each.relation,
            (select string_agg(quote_literal(a), ', ' order by nth)
                from unnest(given) with ordinality u (a, nth)));
    end loop;
    for each in select t.tgname, c.relname from pg_catalog.pg_trigger t
        join pg_catalog.pg_class c on c.oid = t.tgrelid
        where c.relnamespace = 'public'::regnamespace and not t.tgisinternal and t.tgparentid = 0
        and starts_with(t.tgname, 'pumice.') and c.oid || ' ' || t.tgname <> all (kept)
    loop
        execute format('drop trigger %I on public.%I', each.tgname, each.relname);
    end loop;
end $$"#
    )
}

pub fn drop_sqlite(trigger: &str) -> String {
    format!("drop trigger {}", quoted(trigger))
}

/// Arguments of one call of `pumice_cells`: SQLite takes 127 in all.
const CELLS: usize = 100;

/// The trigger of SQLite, in the very words that SQLite keeps.
pub fn create_sqlite(name: &str, table: &Table, operation: &str, triggers: &[&str]) -> String {
    let row = |row: &str| {
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let cells: Vec<String> = all
            .chunks(CELLS)
            .map(|part| call("pumice_cells", table, part, row))
            .collect();
        format!("'{{' || {} || '}}'", cells.join(" || ',' || "))
    };
    let (old, new, of_key) = match operation {
        "insert" => ("null".to_owned(), row("new"), "new"),
        "update" => (row("old"), row("new"), "new"),
        _ => (row("old"), "null".to_owned(), "old"),
    };
    let key = match &table.primary_key {
        Some(key) => {
            let items = call("pumice_items", table, &key.columns, of_key);
            format!("'[' || {items} || ']'")
        }
        None => "null".to_owned(),
    };
    let text = literal(table.name.as_str());
    let triggers: Vec<String> = triggers
        .iter()
        .map(|trigger| format!("({})", literal(trigger)))
        .collect();
    format!(
        "CREATE TRIGGER {} after {operation} on {} begin \
         insert into \"pumice.change\" (at, table_name, operation, key, old, new, role, claims, depth) \
         values (now(), {text}, '{operation}', {key}, {old}, {new}, pumice_role(), pumice_claims(), pumice_depth()); \
         insert into \"pumice.outbox\" (change, \"trigger\", row_key) \
         select c.number, t.column1, {text} || coalesce(c.key, '#' || c.number) \
         from \"pumice.change\" c, (values {}) t where c.number = last_insert_rowid(); end",
        quoted(name),
        table.name,
        triggers.join(", "),
    )
}

/// `pumice_…('[["name", type], …]', row.a, row.b, …)`
fn call(function: &str, table: &Table, columns: &[usize], row: &str) -> String {
    let columns = columns.iter().map(|&column| &table.columns[column]);
    let spec: Vec<_> = columns
        .clone()
        .map(|column| (column.name.as_str(), &column.ty))
        .collect();
    let spec = serde_json::to_string(&spec).unwrap_or_default();
    let values: String = columns
        .map(|column| format!(", {row}.{}", column.name))
        .collect();
    format!("{function}({}{values})", literal(&spec))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Standard strings on both engines.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Holds other sequencers off until the end of the transaction.
pub const LOCK_SEQUENCE: Sql = Sql {
    sqlite: "select null limit 0",
    postgres: "select last::text from pumice.sequence for update",
};

/// Numbers what is visible, in order of id, at most $1 of it. A statement of its own after the lock:
/// its snapshot is then newer than what the one before has numbered.
pub const NUMBER: Sql = Sql {
    sqlite: "select null where $1 is null",
    postgres: "with fresh as (
            select id, row_number() over (order by id) as nth from (
                select id from pumice.change where number is null order by id limit $1::bigint) f),
        numbered as (
            update pumice.change c set number = s.last + f.nth
            from fresh f, pumice.sequence s where c.id = f.id returning c.number)
        update pumice.sequence set last = last + (select count(*) from numbered)
        where exists (select from numbered)
        returning (select count(*) from numbered)::text",
};

/// $1 after which number, $2 at most.
pub const READ_SINCE: Sql = Sql {
    sqlite: r#"select json_object('number', number, 'at', at, 'table', table_name, 'operation', operation,
            'key', key, 'old', old, 'new', new, 'role', role, 'claims', claims, 'depth', depth)
        from "pumice.change" where number > $1 order by number limit $2"#,
    postgres: "select json_build_object('number', number, 'at', to_json(at), 'table', table_name,
            'operation', operation, 'key', key, 'old', old, 'new', new, 'role', role, 'claims', claims,
            'depth', depth)::text
        from pumice.change where number > $1::bigint order by number limit $2::bigint",
};

/// The last number given.
pub const LAST_NUMBER: Sql = Sql {
    sqlite: r#"select cast(coalesce(max(number), 0) as text) from "pumice.change""#,
    postgres: "select last::text from pumice.sequence",
};

/// Leases heads: $1 now, $2 until, $3 token, $4 at most.
///
/// A head is what has no earlier row of the same trigger and row before it. On PostgreSQL the lock
/// makes a second node look at what the first has written; it can be no less a head by then.
pub const CLAIM: Sql = Sql {
    sqlite: r#"update "pumice.outbox" set lease_until = $2, token = $3
        where (change, "trigger") in (
            select o.change, o."trigger" from "pumice.outbox" o
            where o.due_at <= $1 and (o.lease_until is null or o.lease_until <= $1)
            and not exists (select 1 from "pumice.outbox" e where e."trigger" = o."trigger"
                and e.row_key = o.row_key and e.change < o.change)
            order by o.change limit $4)"#,
    postgres: "with head as (
            select o.change, o.trigger from pumice.outbox o
            where o.due_at <= $1::bigint and (o.lease_until is null or o.lease_until <= $1::bigint)
            and not exists (select from pumice.outbox e where e.trigger = o.trigger
                and e.row_key = o.row_key and e.change < o.change)
            order by o.change limit $4::bigint for update of o skip locked)
        update pumice.outbox o set lease_until = $2::bigint, token = $3
        from head h where o.change = h.change and o.trigger = h.trigger",
};

/// What token $1 has leased, each trigger's together.
pub const CLAIMED: Sql = Sql {
    sqlite: r#"select json_object('change', o.change, 'trigger', o."trigger", 'attempts', o.attempts,
            'alone', o.alone, 'table', c.table_name, 'operation', c.operation, 'key', c.key,
            'old', c.old, 'new', c.new, 'role', c.role, 'claims', c.claims, 'depth', c.depth)
        from "pumice.outbox" o join "pumice.change" c on c.number = o.change
        where o.token = $1 order by o."trigger", o.change"#,
    postgres: "select json_build_object('change', o.change, 'trigger', o.trigger,
            'attempts', o.attempts, 'alone', o.alone, 'table', c.table_name, 'operation', c.operation,
            'key', c.key, 'old', c.old, 'new', c.new, 'role', c.role, 'claims', c.claims,
            'depth', c.depth)::text
        from pumice.outbox o join pumice.change c on c.id = o.change
        where o.token = $1 order by o.trigger collate \"C\", o.change",
};

/// $1 token, $2 trigger, $3 changes as a JSON array.
pub const DONE: Sql = Sql {
    sqlite: r#"delete from "pumice.outbox" where token = $1 and "trigger" = $2
        and change in (select value from json_each($3))"#,
    postgres: "delete from pumice.outbox where token = $1 and trigger = $2
        and change in (select json_array_elements_text($3::json)::bigint)",
};

/// $1 token, $2 trigger, $3 changes, $4 due at, $5 attempts made, $6 whether alone from now on, $7 error.
pub const RETRY: Sql = Sql {
    sqlite: r#"update "pumice.outbox" set lease_until = null, token = null, due_at = $4,
            attempts = attempts + $5, alone = max(alone, $6), error = coalesce($7, error)
        where token = $1 and "trigger" = $2 and change in (select value from json_each($3))"#,
    postgres: "update pumice.outbox set lease_until = null, token = null, due_at = $4::bigint,
            attempts = attempts + $5::integer, alone = greatest(alone, $6::integer),
            error = coalesce($7, error)
        where token = $1 and trigger = $2
        and change in (select json_array_elements_text($3::json)::bigint)",
};

/// $1 token, $2 trigger, $3 changes, $4 now, $5 attempts made, $6 error.
pub const BURY: Sql = Sql {
    sqlite: r#"insert into "pumice.dead" (change, "trigger", attempts, error, died_at, payload)
        select o.change, o."trigger", o.attempts + $5, $6, $4, json_object('table', c.table_name,
            'operation', c.operation, 'key', json(c.key), 'old', json(c.old), 'new', json(c.new),
            'role', c.role, 'claims', json(c.claims), 'depth', c.depth)
        from "pumice.outbox" o join "pumice.change" c on c.number = o.change
        where o.token = $1 and o."trigger" = $2 and o.change in (select value from json_each($3))"#,
    postgres: "insert into pumice.dead (change, trigger, attempts, error, died_at, payload)
        select o.change, o.trigger, o.attempts + $5::integer, $6, $4::bigint,
            json_build_object('table', c.table_name, 'operation', c.operation, 'key', c.key::json,
            'old', c.old::json, 'new', c.new::json, 'role', c.role, 'claims', c.claims::json,
            'depth', c.depth)::text
        from pumice.outbox o join pumice.change c on c.id = o.change
        where o.token = $1 and o.trigger = $2
        and o.change in (select json_array_elements_text($3::json)::bigint)",
};

/// Of all that token $1 has leased: $2 until.
pub const EXTEND: Sql = Sql {
    sqlite: r#"update "pumice.outbox" set lease_until = $2 where token = $1"#,
    postgres: "update pumice.outbox set lease_until = $2::bigint where token = $1",
};

/// All that token $1 has leased.
pub const RELEASE: Sql = Sql {
    sqlite: r#"update "pumice.outbox" set lease_until = null, token = null where token = $1"#,
    postgres: "update pumice.outbox set lease_until = null, token = null where token = $1",
};

/// When the next head is due or its lease over; null when nothing waits.
pub const NEXT_DUE: Sql = Sql {
    sqlite: r#"select cast(min(max(o.due_at, coalesce(o.lease_until, 0))) as text)
        from "pumice.outbox" o where not exists (select 1 from "pumice.outbox" e
            where e."trigger" = o."trigger" and e.row_key = o.row_key and e.change < o.change)"#,
    postgres: "select min(greatest(o.due_at, coalesce(o.lease_until, 0)))::text
        from pumice.outbox o where not exists (select from pumice.outbox e
            where e.trigger = o.trigger and e.row_key = o.row_key and e.change < o.change)",
};

/// Changes made before $1 (PostgreSQL: and numbered) that nobody waits for, among the oldest.
pub const TRIM: Sql = Sql {
    sqlite: r#"delete from "pumice.change" where number in (
        select c.number from (select number, at from "pumice.change" order by number limit 10000) c
        where c.at < $1 and not exists (select 1 from "pumice.outbox" o where o.change = c.number))"#,
    postgres: "delete from pumice.change where id in (
        select c.id from (select id, number, at from pumice.change order by id limit 10000) c
        where c.at < $1::timestamptz and c.number is not null
        and not exists (select from pumice.outbox o where o.change = c.id))",
};

/// Dead letters beyond the newest $1.
pub const TRIM_DEAD: Sql = Sql {
    sqlite: r#"delete from "pumice.dead" where rowid in (
        select rowid from "pumice.dead" order by died_at desc, rowid desc limit -1 offset $1)"#,
    postgres: "delete from pumice.dead where (change, trigger) in (
        select change, trigger from pumice.dead order by died_at desc, change desc offset $1::bigint)",
};

/// The last $1 dead letters.
pub const DEAD: Sql = Sql {
    sqlite: r#"select json_object('change', change, 'trigger', "trigger", 'attempts', attempts,
            'error', error, 'died_at', died_at, 'payload', payload)
        from "pumice.dead" order by died_at desc, change desc limit $1"#,
    postgres: "select json_build_object('change', change, 'trigger', trigger, 'attempts', attempts,
            'error', error, 'died_at', died_at, 'payload', payload)::text
        from pumice.dead order by died_at desc, change desc limit $1::bigint",
};
