//! Work on a connection to SQLite.

use crate::data::plan::{ConflictPlan, InsertPlan, SelectPlan, Selection};
use crate::data::query::Rows;
use crate::data::sql::{self, Args};
use crate::data::sqlite::errors::explain;
use crate::data::sqlite_ffi::{Connection, Row};
use crate::data::types::write_json_string;
use crate::data::{ANSWER_BYTES_MAX, DataError, Schema, SqlFault, Table, Type, Value, ValueRef};
use serde_json::value::RawValue;

use super::{OldRow, Work, changed_meanwhile, key_of};

/// Does `work`; the connection is in a transaction, or reads.
///
/// # Errors
/// PostgreSQL's, with its words; 40001 when a row is no longer as it was.
pub fn run(connection: &Connection, schema: &Schema, work: &Work) -> Result<Rows, DataError> {
    connection.take_steps();
    let mut rows = carry_out(connection, schema, work)?;
    rows.steps = connection.take_steps();
    Ok(rows)
}

fn carry_out(connection: &Connection, schema: &Schema, work: &Work) -> Result<Rows, DataError> {
    let mut rows = RowsWriter::default();
    match work {
        Work::Select(plan) => {
            let mut args = Args::Sqlite(Vec::new());
            let sql = sql::select(plan, &mut args)?;
            let answer = Some((&*plan.table, &plan.selection));
            rows.query(connection, schema, &sql, &values(args), answer, None)?;
        }
        Work::Insert(plan) => insert(connection, schema, plan, &mut rows)?,
        Work::Update(plan) => {
            let mut args = Args::Sqlite(Vec::new());
            let returning = plan.returning.rows.as_ref();
            let (table, tests) = (&plan.table, &plan.conditions);
            generated(table, plan.cells.iter().map(|(column, _)| *column), false)?;
            not_null(table, &plan.cells)?;
            let sql = sql::update(table, &plan.cells, tests, returning, &mut args)?;
            let answer = returning.map(|selection| (&**table, selection));
            rows.query(
                connection,
                schema,
                &sql,
                &values(args),
                answer,
                Some((table, None)),
            )?;
        }
        Work::Delete(plan) => {
            let mut args = Args::Sqlite(Vec::new());
            let returning = plan.returning.rows.as_ref();
            let table = &plan.table;
            let sql = sql::delete(table, &plan.conditions, returning, &mut args)?;
            let answer = returning.map(|selection| (&**table, selection));
            rows.query(
                connection,
                schema,
                &sql,
                &values(args),
                answer,
                Some((table, None)),
            )?;
        }
        Work::UpdateRows {
            table,
            rows: changes,
            returning,
        } => {
            let key = key_of(table)?;
            let by_key = sql::row_by_key(table, key);
            let answer = returning
                .rows
                .as_ref()
                .map(|selection| (&**table, selection));
            // First all are seen to be as they were: one change may be another's cascade.
            for (old, _) in changes {
                unchanged(connection, schema, &by_key, table, key, old)?;
            }
            for (old, cells) in changes {
                generated(table, cells.iter().map(|(column, _)| *column), false)?;
                not_null(table, cells)?;
                let mut args = Args::Sqlite(Vec::new());
                let text =
                    sql::update_by_key(table, key, cells, returning.rows.as_ref(), &mut args)?;
                let mut args = values(args);
                args.extend(key.iter().map(|&column| old.values[column].clone()));
                rows.query(
                    connection,
                    schema,
                    &text,
                    &args,
                    answer,
                    Some((table, None)),
                )?;
            }
        }
        Work::DeleteRows {
            table,
            rows: olds,
            returning,
        } => {
            let key = key_of(table)?;
            let by_key = sql::row_by_key(table, key);
            let args = Args::Sqlite(Vec::new());
            let text = sql::delete_by_key(table, key, returning.rows.as_ref(), &args);
            let answer = returning
                .rows
                .as_ref()
                .map(|selection| (&**table, selection));
            for old in olds {
                unchanged(connection, schema, &by_key, table, key, old)?;
            }
            for old in olds {
                let args: Vec<Value> = key
                    .iter()
                    .map(|&column| old.values[column].clone())
                    .collect();
                rows.query(
                    connection,
                    schema,
                    &text,
                    &args,
                    answer,
                    Some((table, None)),
                )?;
            }
        }
        Work::Sql {
            statement,
            parameters,
        } => return guest_sql(connection, schema, statement, parameters),
    }
    super::expected(rows.finish(), work)
}

/// The rows that meet the conditions, as they are stored; in order of the key.
///
/// # Errors
/// [`DataError::TooLarge`] beyond `rows_max`.
pub fn old_rows(
    connection: &Connection,
    schema: &Schema,
    plan: &SelectPlan,
    rows_max: usize,
) -> Result<Vec<OldRow>, DataError> {
    let mut args = Args::Sqlite(Vec::new());
    let sql = sql::select(plan, &mut args)?;
    let mut olds = Vec::new();
    let mut bytes = 0;
    let outcome = connection.query(&sql, &values(args), |row| {
        if olds.len() == rows_max {
            return Err(super::super::too_many_rows(rows_max));
        }
        if bytes > ANSWER_BYTES_MAX {
            return Err(super::super::answer_too_large());
        }
        let mut json = Vec::new();
        write_row(&plan.table, &plan.selection, &row, &mut json);
        bytes += json.len();
        let values = (0..plan.table.columns.len()).map(|at| row.get(at).to_owned());
        olds.push(OldRow {
            values: values.collect(),
            json: String::from_utf8(json).unwrap_or_default(),
        });
        Ok(())
    });
    outcome.map_err(|error| explain(error, connection, schema, None, None))?;
    Ok(olds)
}

fn insert(
    connection: &Connection,
    schema: &Schema,
    plan: &InsertPlan,
    rows: &mut RowsWriter,
) -> Result<(), DataError> {
    let table = &plan.table;
    let returning = plan.returning.rows.as_ref();
    let answer = returning.map(|selection| (&**table, selection));
    let mut met = std::collections::HashSet::new();
    for group in super::same_columns(&plan.rows) {
        let columns = super::columns_of(&group[0]);
        generated(table, columns.iter().copied(), true)?;
        let mut args = Args::Sqlite(Vec::new());
        let conflict = plan.conflict.as_ref();
        let sql = sql::insert(table, &columns, conflict, returning, None, &mut args);
        for cells in group {
            not_null(table, cells)?;
            let args: Vec<Value> = cells
                .iter()
                .map(|(column, json)| table.columns[*column].ty.from_json(json))
                .collect::<Result<_, _>>()?;
            if let Some(conflict) = conflict.filter(|conflict| conflict.merge) {
                only_once(conflict, &columns, &args, &mut met)?;
            }
            let row = Some((&**table, Some((columns.as_slice(), args.as_slice()))));
            rows.query(connection, schema, &sql, &args, answer, row)?;
        }
    }
    Ok(())
}

/// PostgreSQL updates a row once in a statement; row by row SQLite would do it again.
fn only_once(
    conflict: &ConflictPlan,
    columns: &[usize],
    values: &[Value],
    met: &mut std::collections::HashSet<String>,
) -> Result<(), DataError> {
    let key: Option<Vec<&Value>> = conflict
        .on
        .iter()
        .map(|wanted| {
            let at = columns.iter().position(|column| column == wanted)?;
            // Nulls meet nothing.
            Some(&values[at]).filter(|value| **value != Value::Null)
        })
        .collect();
    match key {
        Some(key) if !met.insert(format!("{key:?}")) => {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            Err(SqlFault::new("21000", message)
                .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
                .into())
        }
        _ => Ok(()),
    }
}

/// Whether the row is still as it was read.
fn unchanged(
    connection: &Connection,
    schema: &Schema,
    by_key: &str,
    table: &Table,
    key: &[usize],
    old: &OldRow,
) -> Result<(), DataError> {
    let args: Vec<Value> = key
        .iter()
        .map(|&column| old.values[column].clone())
        .collect();
    let mut same = false;
    let outcome = connection.query(by_key, &args, |row| {
        same = (0..table.columns.len()).all(|at| equals(row.get(at), &old.values[at]));
        Ok(())
    });
    outcome.map_err(|error| explain(error, connection, schema, None, None))?;
    if same {
        Ok(())
    } else {
        Err(changed_meanwhile())
    }
}

/// SQLite would give a null key a number.
fn not_null(table: &Table, cells: &[(usize, Box<RawValue>)]) -> Result<(), DataError> {
    for (column, json) in cells {
        let column = &table.columns[*column];
        if column.not_null && json.get() == "null" {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name.as_str(),
                table.name.as_str()
            );
            return Err(DataError::sql("23502", message));
        }
    }
    Ok(())
}

/// What only the database may write.
fn generated(
    table: &Table,
    columns: impl Iterator<Item = usize>,
    insert: bool,
) -> Result<(), DataError> {
    for column in columns {
        let column = &table.columns[column];
        if !column.generated_always {
            continue;
        }
        let name = column.name.as_str();
        let message = match insert {
            true => format!("cannot insert a non-DEFAULT value into column \"{name}\""),
            false => format!("column \"{name}\" can only be updated to DEFAULT"),
        };
        let fault = SqlFault::new("428C9", message);
        return Err(match column.has_default {
            true => {
                let fault = fault.details(format!(
                    "Column \"{name}\" is an identity column defined as GENERATED ALWAYS."
                ));
                match insert {
                    true => fault.hint("Use OVERRIDING SYSTEM VALUE to override."),
                    false => fault,
                }
            }
            false => fault.details(format!("Column \"{name}\" is a generated column.")),
        }
        .into());
    }
    Ok(())
}

/// A row as it was meant to be: which columns, and their values.
type Written<'a> = (&'a Table, Option<(&'a [usize], &'a [Value])>);

/// Rows on their way to a JSON array.
#[derive(Default)]
struct RowsWriter {
    json: Vec<u8>,
    count: u64,
}

impl RowsWriter {
    fn query<'a>(
        &mut self,
        connection: &Connection,
        schema: &Schema,
        sql: &str,
        args: &[Value],
        answer: Option<(&Table, &Selection)>,
        written: Option<Written<'a>>,
    ) -> Result<(), DataError> {
        let mut returned = 0;
        let outcome = connection.query(sql, args, |row| {
            returned += 1;
            if let Some((table, selection)) = answer {
                self.json
                    .push(if self.json.is_empty() { b'[' } else { b',' });
                write_row(table, selection, &row, &mut self.json);
                if self.json.len() > ANSWER_BYTES_MAX {
                    return Err(super::super::answer_too_large());
                }
            }
            Ok(())
        });
        let changes = outcome.map_err(|error| match written {
            Some((table, row)) => {
                let row: Option<Vec<(usize, Value)>> = row.map(|(columns, values)| {
                    columns
                        .iter()
                        .copied()
                        .zip(values.iter().cloned())
                        .collect()
                });
                explain(error, connection, schema, Some(table), row.as_deref())
            }
            None => explain(error, connection, schema, None, None),
        })?;
        self.count += if answer.is_some() {
            returned
        } else {
            changes.rows
        };
        Ok(())
    }

    fn finish(mut self) -> Rows {
        if self.json.is_empty() {
            self.json.push(b'[');
        }
        self.json.push(b']');
        Rows {
            json: self.json,
            count: self.count,
            steps: 0,
        }
    }
}

fn write_row(table: &Table, selection: &Selection, row: &Row<'_>, json: &mut Vec<u8>) {
    json.push(b'{');
    for (at, (column, alias)) in selection.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        let column = &table.columns[*column];
        write_json_string(alias.as_deref().unwrap_or(column.name.as_str()), json);
        json.push(b':');
        column.ty.write_json(row.get(at), json);
    }
    json.push(b'}');
}

fn values(args: Args) -> Vec<Value> {
    match args {
        Args::Sqlite(values) => values,
        Args::Postgres(_) => Vec::new(),
    }
}

fn equals(found: ValueRef<'_>, old: &Value) -> bool {
    match (found, old) {
        (ValueRef::Null, Value::Null) => true,
        (ValueRef::Integer(a), Value::Integer(b)) => a == *b,
        (ValueRef::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (ValueRef::Text(a), Value::Text(b)) => a == b,
        (ValueRef::Blob(a), Value::Blob(b)) => a == b,
        _ => false,
    }
}

/// One statement of a guest's own. Its values come and go in SQLite's storage classes: a boolean is 0
/// or 1, a timestamp text.
fn guest_sql(
    connection: &Connection,
    schema: &Schema,
    statement: &str,
    parameters: &[Box<RawValue>],
) -> Result<Rows, DataError> {
    let args: Vec<Value> = parameters.iter().map(|json| parameter(json)).collect();
    let names = std::cell::RefCell::new(Vec::new());
    let mut rows = RowsWriter::default();
    let outcome = connection.guest_query(
        statement,
        &args,
        |columns| {
            *names.borrow_mut() = columns;
            Ok(())
        },
        |row| {
            rows.count += 1;
            let json = &mut rows.json;
            json.push(if json.is_empty() { b'[' } else { b',' });
            json.push(b'{');
            for (at, name) in names.borrow().iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                write_json_string(name, json);
                json.push(b':');
                plain_type(row.get(at)).write_json(row.get(at), json);
            }
            json.push(b'}');
            if json.len() > ANSWER_BYTES_MAX {
                return Err(super::super::answer_too_large());
            }
            Ok(())
        },
    );
    let changes = outcome.map_err(|error| explain(error, connection, schema, None, None))?;
    rows.count = rows.count.max(changes.rows);
    Ok(rows.finish())
}

fn parameter(json: &RawValue) -> Value {
    match serde_json::from_str(json.get()) {
        Ok(serde_json::Value::Null) => Value::Null,
        Ok(serde_json::Value::Bool(value)) => Value::Integer(value.into()),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::Real(number),
            (None, None) => Value::Text(json.get().to_owned()),
        },
        Ok(serde_json::Value::String(text)) => Value::Text(text),
        // Arrays and objects are stored as their text.
        _ => Value::Text(json.get().to_owned()),
    }
}

/// The type whose JSON form suits a value of which only the storage class is known.
fn plain_type(value: ValueRef<'_>) -> Type {
    match value {
        ValueRef::Integer(_) => Type::Bigint,
        ValueRef::Real(_) => Type::DoublePrecision,
        ValueRef::Blob(_) => Type::Bytea,
        ValueRef::Null | ValueRef::Text(_) => Type::Text,
    }
}
