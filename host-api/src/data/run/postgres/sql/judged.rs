//! The rows that before-triggers judge: found and written as whoever asks, read and locked as the app.

use std::fmt::Write as _;

use super::{Statement, Writer, name, put, walk};
use crate::data::plan::{Answering, Cells, Condition};
use crate::data::run::Asked;
use crate::data::schema::Command;
use crate::data::{DataError, Table};

/// Rows by their keys: their table, the key, and `[{"o": old, "n": new}, …]`.
pub(in crate::data::run::postgres) struct Target<'p> {
    pub table: &'p Table,
    pub key: &'p [usize],
    pub changes: String,
}

/// What is read of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data::run::postgres) enum Read {
    /// All columns, which takes the right to read all of them.
    Whole,
    /// The key alone.
    Key,
}

/// The rows that meet the conditions and that the role may see and, by the command, change; in order of
/// the key. Those to be updated are locked: only those are found that it may update.
pub(in crate::data::run::postgres) fn found(
    asked: &Asked,
    key: &[usize],
    limit: u64,
    read: Read,
) -> Result<Statement, DataError> {
    if asked.command == Command::Delete && read == Read::Key {
        return deletable(asked, key, limit);
    }
    let table = &asked.table;
    let mut sql = Writer::default();
    sql.text.push_str("select ");
    match read {
        Read::Whole => sql.text.push_str("row_to_json(_t0.*)::text"),
        Read::Key => sql.key(table, key, |at| {
            format!("_t0.{}", table.columns[key[at]].name)
        }),
    }
    put!(sql, " from {} as _t0", name(table));
    sql.conditions(&asked.conditions);
    sql.in_order(table, key);
    put!(sql, " limit {limit}");
    if asked.command == Command::Update {
        sql.text.push_str(" for no key update of _t0");
    }
    sql.finish(true, false)
}

/// The keys of rows that the role may delete. No lock tells them apart as it does those to be updated, so
/// they are deleted, on a condition that is never true: PostgreSQL asks it of those rows alone that the
/// policies let through, and it writes down which they are. Nothing is deleted.
fn deletable(asked: &Asked, key: &[usize], limit: u64) -> Result<Statement, DataError> {
    let table = &asked.table;
    let mut sql = Writer::default();
    sql.text.push_str(
        "with _s as materialized (select set_config('pumice.found', '', true) as _s), \
         _k as materialized (select ",
    );
    for (at, column) in key.iter().enumerate() {
        put!(sql, "_t0.{} as _k{at}, ", table.columns[*column].name);
    }
    put!(
        sql,
        "row_number() over () as _n from {} as _t0",
        name(table)
    );
    sql.conditions(&asked.conditions);
    let same: Vec<String> = (key.iter().enumerate())
        .map(|(at, column)| format!("_t0.{} = _k._k{at}", table.columns[*column].name))
        .collect();
    let same = same.join(" and ");
    // It looks at all three, so that it is asked once they are joined; and no further than there are
    // more than may be. Settings that are not there yet are looked at while planning.
    put!(
        sql,
        "), _d as (delete from {} as _t0 using _s, _k where {same} and \
         case when {same} and _s._s = '' \
         and octet_length(current_setting('pumice.found', true)) <= {} \
         then set_config('pumice.found', \
         current_setting('pumice.found', true) || _k._n || ',', true) is null \
         else false end returning 1) select ",
        name(table),
        limit.saturating_mul(10)
    );
    sql.key(table, key, |at| format!("_k._k{at}"));
    sql.text.push_str(
        " from _k where _k._n in (select unnest(string_to_array(rtrim(\
         current_setting('pumice.found', true), ','), ','))::bigint \
         from (select count(*) from _d) _c, _s) order by ",
    );
    sql.list(0..key.len(), ", ", |sql, at| {
        put!(sql, "_k._k{at}");
    });
    put!(sql, " limit {limit}");
    sql.finish(true, false)
}

/// All columns of these rows, locked, in order of the key.
pub(in crate::data::run::postgres) fn lock_rows(
    target: &Target<'_>,
) -> Result<Statement, DataError> {
    let mut sql = Writer::default();
    let table = name(target.table);
    put!(sql, "select row_to_json(_t0.*)::text from {table} as _t0, ");
    sql.changes(target, &[]);
    sql.in_order(target.table, target.key);
    sql.text.push_str(" for update of _t0");
    sql.finish(true, false)
}

/// As many rows as there are of these that meet the conditions.
pub(in crate::data::run::postgres) fn still(
    target: &Target<'_>,
    conditions: &[Condition],
) -> Result<Statement, DataError> {
    let mut sql = Writer::default();
    put!(sql, "select '' from {} as _t0, ", name(target.table));
    sql.changes(target, &[]);
    for condition in conditions {
        sql.text.push_str(" and ");
        sql.condition(condition);
    }
    sql.finish(true, false)
}

/// As many rows as there are of these that the role may update.
pub(in crate::data::run::postgres) fn updatable(
    target: &Target<'_>,
) -> Result<Statement, DataError> {
    let mut statement = still(target, &[])?;
    statement.text.push_str(" for no key update of _t0");
    Ok(statement)
}

/// Writes each old row's cells, which are in the same columns as `like`.
pub(in crate::data::run::postgres) fn update_rows(
    target: &Target<'_>,
    like: &Cells,
    answer: &Answering,
) -> Result<Statement, DataError> {
    let needed = answer.node.as_ref().map(walk::Needed::of);
    let mut sql = Writer::for_rows(needed.as_ref());
    put!(sql, "update {} as _t0 set ", name(target.table));
    sql.cells(target.table, like);
    sql.text.push_str(" from ");
    sql.changes(target, &super::write::given(like));
    sql.rows_answered(target.table, answer)
}

pub(in crate::data::run::postgres) fn delete_rows(
    target: &Target<'_>,
    answer: &Answering,
) -> Result<Statement, DataError> {
    let needed = answer.node.as_ref().map(walk::Needed::of);
    let mut sql = Writer::for_rows(needed.as_ref());
    put!(sql, "delete from {} as _t0 using ", name(target.table));
    sql.changes(target, &[]);
    sql.rows_answered(target.table, answer)
}

impl Writer<'_> {
    /// A key as a JSON object, its values as `value` says.
    fn key(&mut self, table: &Table, key: &[usize], value: impl Fn(usize) -> String) {
        self.text.push_str("json_build_object(");
        self.list(key.iter().enumerate(), ", ", |sql, (at, column)| {
            sql.bind(table.columns[*column].name.as_str(), "text");
            put!(sql, ", {}", value(at));
        });
        self.text.push_str(")::text");
    }

    fn in_order(&mut self, table: &Table, key: &[usize]) {
        self.text.push_str(" order by ");
        self.list(key, ", ", |sql, column| {
            put!(sql, "_t0.{}", table.columns[*column].name);
        });
    }

    /// The judged rows as `_o`, and their new values as `_n`, tied to `_t0`.
    fn changes(&mut self, target: &Target<'_>, written: &[usize]) {
        let Target {
            table,
            key,
            changes,
        } = target;
        self.text.push_str("json_array_elements(");
        self.bind(changes.as_str(), "json");
        self.text
            .push_str(") as _j(e), json_to_record(_j.e->'o') as _o");
        self.definitions(table, key);
        if !written.is_empty() {
            self.text.push_str(", json_to_record(_j.e->'n') as _n");
            self.definitions(table, written);
        }
        self.text.push_str(" where ");
        self.list(*key, " and ", |sql, column| {
            let column = &table.columns[*column].name;
            put!(sql, "_t0.{column} = _o.{column}");
        });
    }
}
