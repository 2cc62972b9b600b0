//! The text of every statement of the data path: names from the schema, values bound.
//!
//! Both engines share the shape. On PostgreSQL a row goes in and comes out as one JSON document, and
//! PostgreSQL itself reads and writes the values; on SQLite each value is bound and read in the
//! storage form of its type (`types/`).

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::plan::{
    Cells, Comparison, Condition, ConflictPlan, Is, Order, SelectPlan, Selection, Test,
};
use super::{DataError, Enum, Table, Type, Value};

/// What is bound to a statement, in order.
#[derive(Clone, Debug)]
pub enum Args {
    Sqlite(Vec<Value>),
    Postgres(Vec<Option<String>>),
}

impl Args {
    fn postgres(&self) -> bool {
        matches!(self, Args::Postgres(_))
    }

    /// Binds a literal in PostgreSQL's text form, as a value of `ty`.
    fn literal(&mut self, ty: &Type, text: &str, sql: &mut String) -> Result<(), DataError> {
        match self {
            Args::Sqlite(args) => {
                args.push(ty.from_text(text)?);
                push(sql, format_args!("${}", args.len()));
            }
            Args::Postgres(args) => {
                args.push(Some(text.to_owned()));
                push(sql, format_args!("${}::{}", args.len(), unconstrained(ty)));
            }
        }
        Ok(())
    }

    fn document(&mut self, json: String, sql: &mut String) {
        if let Args::Postgres(args) = self {
            args.push(Some(json));
            push(sql, format_args!("${}::json", args.len()));
        }
    }
}

/// A cast to a type with a length would cut the literal.
fn unconstrained(ty: &Type) -> String {
    match ty {
        Type::Varchar { .. } | Type::Char { .. } => "text".to_owned(),
        Type::Numeric { .. } => "numeric".to_owned(),
        Type::Array(element) => format!("{}[]", unconstrained(element)),
        other => other.to_string(),
    }
}

/// Rows of one table.
pub fn select(plan: &SelectPlan, args: &mut Args) -> Result<String, DataError> {
    let mut sql = String::with_capacity(128);
    let postgres = args.postgres();
    if postgres {
        sql.push_str("select row_to_json(_r)::text from (");
    }
    sql.push_str("select ");
    columns(&plan.table, &plan.selection, &mut sql);
    push(&mut sql, format_args!(" from {} as _t", plan.table.name));
    conditions(&plan.table, &plan.conditions, args, &mut sql)?;
    order(&plan.table, &plan.order, postgres, &mut sql);
    // SQLite has no offset without a limit.
    match (plan.limit, plan.offset) {
        (Some(limit), _) => push(&mut sql, format_args!(" limit {limit}")),
        (None, Some(_)) if !postgres => sql.push_str(" limit -1"),
        (None, _) => {}
    }
    if let Some(offset) = plan.offset {
        push(&mut sql, format_args!(" offset {offset}"));
    }
    if postgres {
        sql.push_str(") _r");
    }
    Ok(sql)
}

/// One row on SQLite; on PostgreSQL all rows that have these columns, as the document `rows`.
pub fn insert(
    table: &Table,
    written: &[usize],
    conflict: Option<&ConflictPlan>,
    returning: Option<&Selection>,
    rows: Option<String>,
    args: &mut Args,
) -> String {
    let mut sql = format!("insert into {} as _t ", table.name);
    if written.is_empty() {
        sql.push_str("default values");
    } else {
        sql.push('(');
        list(&mut sql, written, |sql, column| {
            push(sql, format_args!("{}", table.columns[*column].name));
        });
        sql.push_str(") ");
        match rows {
            Some(rows) => {
                sql.push_str("select ");
                list(&mut sql, written, |sql, column| {
                    push(sql, format_args!("_n.{}", table.columns[*column].name));
                });
                push(
                    &mut sql,
                    format_args!(" from json_populate_recordset(null::{}, ", table.name),
                );
                args.document(rows, &mut sql);
                sql.push_str(") _n");
            }
            None => {
                sql.push_str("values (");
                for number in 1..=written.len() {
                    let comma = if number > 1 { ", " } else { "" };
                    push(&mut sql, format_args!("{comma}${number}"));
                }
                sql.push(')');
            }
        }
    }
    // SQLite has no conflict clause for a row of defaults.
    let conflict = conflict.filter(|_| args.postgres() || !written.is_empty());
    if let Some(conflict) = conflict {
        sql.push_str(" on conflict (");
        list(&mut sql, &conflict.on, |sql, column| {
            push(sql, format_args!("{}", table.columns[*column].name));
        });
        sql.push_str(") do ");
        if conflict.merge && !written.is_empty() {
            sql.push_str("update set ");
            list(&mut sql, written, |sql, column| {
                let name = &table.columns[*column].name;
                push(sql, format_args!("{name} = excluded.{name}"));
            });
        } else {
            sql.push_str("nothing");
        }
    }
    answer(table, returning, args, &mut sql);
    sql
}

/// Sets `cells` in all rows that meet the conditions.
pub fn update(
    table: &Table,
    cells: &Cells,
    tests: &[Condition],
    returning: Option<&Selection>,
    args: &mut Args,
) -> Result<String, DataError> {
    let mut sql = format!("update {} as _t set ", table.name);
    set(table, cells, args, &mut sql)?;
    if args.postgres() {
        push(
            &mut sql,
            format_args!(" from json_populate_record(null::{}, ", table.name),
        );
        args.document(object(table, cells), &mut sql);
        sql.push_str(") _n");
    }
    conditions(table, tests, args, &mut sql)?;
    answer(table, returning, args, &mut sql);
    Ok(sql)
}

/// `a = …, b = …`: bound on SQLite, from the record `_n` on PostgreSQL.
fn set(table: &Table, cells: &Cells, args: &mut Args, sql: &mut String) -> Result<(), DataError> {
    for (at, (column, json)) in cells.iter().enumerate() {
        let column = &table.columns[*column];
        let comma = if at > 0 { ", " } else { "" };
        push(sql, format_args!("{comma}{} = ", column.name));
        match args {
            Args::Sqlite(args) => {
                args.push(column.ty.from_json(json)?);
                push(sql, format_args!("${}", args.len()));
            }
            Args::Postgres(_) => push(sql, format_args!("_n.{}", column.name)),
        }
    }
    Ok(())
}

pub fn delete(
    table: &Table,
    tests: &[Condition],
    returning: Option<&Selection>,
    args: &mut Args,
) -> Result<String, DataError> {
    let mut sql = format!("delete from {} as _t", table.name);
    conditions(table, tests, args, &mut sql)?;
    answer(table, returning, args, &mut sql);
    Ok(sql)
}

/// SQLite: the row with a key, all columns; the key's values are bound in order.
pub fn row_by_key(table: &Table, key: &[usize]) -> String {
    let mut sql = String::from("select ");
    columns(table, &super::plan::whole_row(table), &mut sql);
    push(&mut sql, format_args!(" from {} as _t", table.name));
    by_key(table, key, 1, &mut sql);
    sql
}

/// SQLite: sets `cells` in the row whose key is bound after them.
pub fn update_by_key(
    table: &Table,
    key: &[usize],
    cells: &Cells,
    returning: Option<&Selection>,
    args: &mut Args,
) -> Result<String, DataError> {
    let mut sql = format!("update {} as _t set ", table.name);
    set(table, cells, args, &mut sql)?;
    by_key(table, key, cells.len() + 1, &mut sql);
    answer(table, returning, args, &mut sql);
    Ok(sql)
}

/// SQLite: deletes the row with a key.
pub fn delete_by_key(
    table: &Table,
    key: &[usize],
    returning: Option<&Selection>,
    args: &Args,
) -> String {
    let mut sql = format!("delete from {} as _t", table.name);
    by_key(table, key, 1, &mut sql);
    answer(table, returning, args, &mut sql);
    sql
}

fn by_key(table: &Table, key: &[usize], from: usize, sql: &mut String) {
    for (at, column) in key.iter().enumerate() {
        let word = if at == 0 { " where" } else { " and" };
        let name = &table.columns[*column].name;
        push(sql, format_args!("{word} _t.{name} = ${}", from + at));
    }
}

/// PostgreSQL: the rows whose keys are those of the documents in `changes` (`[{"o": row}, …]`), locked.
pub fn lock_rows(table: &Table, key: &[usize], changes: String, args: &mut Args) -> String {
    let mut sql = String::from("select row_to_json(_t)::text from ");
    push(&mut sql, format_args!("{} as _t, ", table.name));
    pairs(table, changes, args, &mut sql);
    same_key(table, key, &mut sql);
    sql.push_str(" for update of _t");
    sql
}

/// PostgreSQL: sets the columns `written` of each old row to those of its new one
/// (`[{"o": row, "n": row}, …]`).
pub fn update_rows(
    table: &Table,
    key: &[usize],
    written: &[usize],
    changes: String,
    returning: Option<&Selection>,
    args: &mut Args,
) -> String {
    let mut sql = format!("update {} as _t set ", table.name);
    list(&mut sql, written, |sql, column| {
        let name = &table.columns[*column].name;
        push(sql, format_args!("{name} = (_k.n).{name}"));
    });
    sql.push_str(" from ");
    pairs(table, changes, args, &mut sql);
    same_key(table, key, &mut sql);
    answer(table, returning, args, &mut sql);
    sql
}

/// PostgreSQL: deletes the old rows of `changes`.
pub fn delete_rows(
    table: &Table,
    key: &[usize],
    changes: String,
    returning: Option<&Selection>,
    args: &mut Args,
) -> String {
    let mut sql = format!("delete from {} as _t using ", table.name);
    pairs(table, changes, args, &mut sql);
    same_key(table, key, &mut sql);
    answer(table, returning, args, &mut sql);
    sql
}

fn pairs(table: &Table, changes: String, args: &mut Args, sql: &mut String) {
    let name = &table.name;
    push(
        sql,
        format_args!(
            "(select json_populate_record(null::{name}, _e->'o') as o, json_populate_record(null::{name}, _e->'n') as n from json_array_elements("
        ),
    );
    args.document(changes, sql);
    sql.push_str(") _e) _k");
}

fn same_key(table: &Table, key: &[usize], sql: &mut String) {
    for (at, column) in key.iter().enumerate() {
        let word = if at == 0 { " where" } else { " and" };
        let name = &table.columns[*column].name;
        push(sql, format_args!("{word} _t.{name} = (_k.o).{name}"));
    }
}

/// The selected columns of `_t` under their keys.
fn columns(table: &Table, selection: &Selection, sql: &mut String) {
    list(sql, selection, |sql, (column, alias)| {
        let name = &table.columns[*column].name;
        push(sql, format_args!("_t.{name}"));
        if let Some(alias) = alias {
            push(sql, format_args!(" as \"{}\"", alias.replace('"', "\"\"")));
        }
    });
}

fn answer(table: &Table, returning: Option<&Selection>, args: &Args, sql: &mut String) {
    let Some(selection) = returning else {
        return;
    };
    if args.postgres() {
        sql.push_str(" returning (select row_to_json(_r) from (select ");
        columns(table, selection, sql);
        sql.push_str(") _r)::text");
    } else {
        // SQLite knows no alias of the table here.
        sql.push_str(" returning ");
        list(sql, selection, |sql, (column, _)| {
            push(sql, format_args!("{}", table.columns[*column].name));
        });
    }
}

fn conditions(
    table: &Table,
    conditions: &[Condition],
    args: &mut Args,
    sql: &mut String,
) -> Result<(), DataError> {
    for (at, condition) in conditions.iter().enumerate() {
        sql.push_str(if at == 0 { " where " } else { " and " });
        let column = &table.columns[condition.column];
        if condition.not {
            sql.push_str("not (");
        }
        // Labels are in order of declaration, which their text does not show.
        let ranked = match (&column.ty, &condition.test, &*args) {
            (
                Type::Enum(of),
                Test::Compare(
                    Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte,
                    _,
                ),
                Args::Sqlite(_),
            ) => Some(of),
            _ => None,
        };
        match ranked {
            Some(of) => rank(of, &format!("_t.{}", column.name), sql),
            None => push(sql, format_args!("_t.{}", column.name)),
        }
        match &condition.test {
            Test::Compare(comparison, literal) => {
                sql.push_str(match comparison {
                    Comparison::Eq => " = ",
                    Comparison::Neq => " <> ",
                    Comparison::Gt => " > ",
                    Comparison::Gte => " >= ",
                    Comparison::Lt => " < ",
                    Comparison::Lte => " <= ",
                });
                match ranked {
                    Some(of) => {
                        let mut bound = String::new();
                        args.literal(&column.ty, literal, &mut bound)?;
                        rank(of, &bound, sql);
                    }
                    None => args.literal(&column.ty, literal, sql)?,
                }
            }
            // Nothing is in an empty list, and nothing is said about nulls either.
            Test::In(literals) if literals.is_empty() => sql.push_str(" is null and false"),
            Test::In(literals) => {
                sql.push_str(" in (");
                for (at, literal) in literals.iter().enumerate() {
                    sql.push_str(if at == 0 { "" } else { ", " });
                    args.literal(&column.ty, literal, sql)?;
                }
                sql.push(')');
            }
            Test::Is(is) => {
                let boolean = column.ty == Type::Boolean;
                if !boolean && matches!(is, Is::True | Is::False | Is::Unknown) {
                    let message = format!(
                        "argument of IS {} must be type boolean, not type {}",
                        is.word().to_uppercase(),
                        column.ty
                    );
                    return Err(DataError::sql("42804", message));
                }
                push(sql, format_args!(" is {}", is.word()));
            }
        }
        if condition.not {
            sql.push(')');
        }
    }
    Ok(())
}

impl Is {
    fn word(self) -> &'static str {
        match self {
            Is::Null | Is::Unknown => "null",
            Is::NotNull => "not null",
            Is::True => "true",
            Is::False => "false",
        }
    }
}

/// SQLite: the place of a label among its enum's.
fn rank(of: &Enum, value: &str, sql: &mut String) {
    push(sql, format_args!("case {value}"));
    for (at, label) in of.labels.iter().enumerate() {
        push(
            sql,
            format_args!(" when '{}' then {at}", label.replace('\'', "''")),
        );
    }
    sql.push_str(" end");
}

fn order(table: &Table, orders: &[Order], postgres: bool, sql: &mut String) {
    for (at, order) in orders.iter().enumerate() {
        sql.push_str(if at == 0 { " order by " } else { ", " });
        let column = &table.columns[order.column];
        let name = &column.name;
        let direction = if order.descending { "desc" } else { "asc" };
        let nulls = if order.nulls_first { "first" } else { "last" };
        match &column.ty {
            Type::Enum(of) if !postgres => rank(of, &format!("_t.{name}"), sql),
            _ => push(sql, format_args!("_t.{name}")),
        }
        push(sql, format_args!(" {direction} nulls {nulls}"));
    }
}

/// `cells` as a JSON object.
pub fn object(table: &Table, cells: &[(usize, Box<RawValue>)]) -> String {
    let mut json = Vec::with_capacity(32 * cells.len());
    json.push(b'{');
    for (at, (column, value)) in cells.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        super::types::write_json_string(table.columns[*column].name.as_str(), &mut json);
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}');
    // Its parts were text.
    String::from_utf8(json).unwrap_or_default()
}

fn list<T>(sql: &mut String, items: &[T], each: impl Fn(&mut String, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            sql.push_str(", ");
        }
        each(sql, item);
    }
}

fn push(sql: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = sql.write_fmt(text);
}
