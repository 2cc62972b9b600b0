//! The statements of a transfer.

use std::sync::Arc;

use super::Plan;

/// Tables of an SQLite file, each with whether it has no rowid.
pub const TABLES: &str = "select name, wr from pragma_table_list \
     where schema = 'main' and type = 'table' and substr(name, 1, 7) <> 'sqlite_'";

/// Columns of table ?1, each with its place in the primary key, from 1.
pub const COLUMNS: &str =
    "select name, pk from pragma_table_xinfo(?1) where hidden <> 1 order by cid";

/// Whether any table has numbers that never come again.
pub const COUNTS_ON: &str = "select 1 from sqlite_schema where name = 'sqlite_sequence'";

/// The last such number of table ?1.
pub const LAST: &str = "select seq from sqlite_sequence where name = ?1";

/// `columns` of the rows of `table` after the one whose `key` is the arguments, or from the beginning:
/// first the key, then the columns.
pub fn read(table: &str, key: &[String], columns: &[&str], from_start: bool, rows: u32) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let after = match from_start {
        true => String::new(),
        false => {
            let places: Vec<String> = (1..=key.len()).map(|n| format!("?{n}")).collect();
            format!(" where ({}) > ({})", key.join(", "), places.join(", "))
        }
    };
    let key = key.join(", ");
    format!(
        "select {key}, {} from {}{after} order by {key} limit {rows}",
        columns.join(", "),
        quoted(table)
    )
}

/// What the target has: schema, table, column, its type, whether it computes it, its sequence.
pub const TARGET_COLUMNS: &str = "
    select n.nspname::text, c.relname::text, a.attname::text,
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
        pg_catalog.pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid
    where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
    and n.nspname <> 'information_schema' and not starts_with(n.nspname, 'pg_')
    order by 1, 2, a.attnum";

/// What is in the way of rows in any order: for each a statement that takes it away and one that puts
/// it back as it was. Constraint by constraint, because only a superuser may suspend them.
pub const OBSTACLES: &str = "
    select format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname),
        format('alter table %s add constraint %I %s', k.conrelid::regclass, k.conname,
            pg_catalog.pg_get_constraintdef(k.oid)) || coalesce(
            format(';comment on constraint %I on %s is %L', k.conname, k.conrelid::regclass,
                pg_catalog.obj_description(k.oid, 'pg_constraint')), '')
    from pg_catalog.pg_constraint k join pg_catalog.pg_namespace n on n.oid = k.connamespace
    where k.contype = 'f' and k.conparentid = 0 and not starts_with(n.nspname, 'pg_')
    union all
    select format('alter table %s disable trigger %I', t.tgrelid::regclass, t.tgname),
        format('alter table %s enable %s trigger %I', t.tgrelid::regclass,
            case t.tgenabled when 'R' then 'replica' when 'A' then 'always' else '' end, t.tgname)
    from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not t.tgisinternal and t.tgparentid = 0 and t.tgenabled <> 'D'
    and c.relkind in ('r', 'p') and not starts_with(n.nspname, 'pg_')
    union all
    select format('alter table %s no force row level security', c.oid::regclass),
        format('alter table %s force row level security', c.oid::regclass)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relforcerowsecurity and c.relkind in ('r', 'p') and not starts_with(n.nspname, 'pg_')";

/// No constraint is left to be checked later: tables with such are not altered.
pub const CHECK_NOW: &str = "set constraints all immediate";

/// What is made of the rows and does not follow them by itself, and what the planner knows of them.
pub const REFRESH: &str = "
    do $$ declare view regclass; begin
        for view in select c.oid from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'm' and not starts_with(n.nspname, 'pg_')
            and n.nspname <> 'information_schema' order by c.oid
        loop
            execute format('refresh materialized view %s', view);
        end loop;
    end $$;
    analyze";

/// What migrations put into the tables is in the source too.
pub fn empty(plans: &[Arc<Plan>]) -> String {
    let tables: Vec<String> = plans.iter().map(|plan| target(plan)).collect();
    format!("truncate {}", tables.join(", "))
}

/// Adds the rows of the JSON array $1. What the target computes is left out; identities are kept.
pub fn insert(plan: &Plan) -> String {
    let stored = || plan.columns.iter().filter(|column| !column.computed);
    let list = |each: &dyn Fn(&super::Column) -> String| -> String {
        stored().map(each).collect::<Vec<_>>().join(", ")
    };
    let names = list(&|column| quoted(&column.target));
    let values = list(&|column| {
        let name = quoted(&column.target);
        match column.raw {
            true => format!("r.{name}::{}", column.format),
            false => format!("r.{name}"),
        }
    });
    let record = list(&|column| {
        let ty = if column.raw { "text" } else { &column.format };
        format!("{} {ty}", quoted(&column.target))
    });
    format!(
        "insert into {} ({names}) overriding system value \
         select {values} from json_to_recordset($1::json) as r ({record})",
        target(plan)
    )
}

/// All rows, each as the JSON text that the source gave.
pub fn rows(plan: &Plan) -> String {
    let columns: Vec<String> = plan
        .columns
        .iter()
        .map(|column| {
            let name = quoted(&column.target);
            match column.raw {
                true => format!("t.{name}::text as {name}"),
                false => format!("t.{name}"),
            }
        })
        .collect();
    format!(
        "select row_to_json(r)::text from (select {} from {} t) r",
        columns.join(", "),
        target(plan)
    )
}

/// Makes `sequence` go on after what `column` has and after $1.
pub fn go_on(plan: &Plan, column: &str, sequence: &str) -> String {
    let column = quoted(column);
    format!(
        "select setval({}::regclass, s.last) from \
         (select greatest(max({column})::bigint, $1::bigint) as last from {}) s where s.last > 0",
        literal(sequence),
        target(plan)
    )
}

/// The last number of a change that was given: $1 at least.
pub const CHANGES_GO_ON: &str = "update pumice.sequence set last = greatest(last, $1::bigint)";

fn target(plan: &Plan) -> String {
    format!("{}.{}", quoted(&plan.schema), quoted(&plan.table))
}

/// For both engines.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
