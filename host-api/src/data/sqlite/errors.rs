//! SQLite's errors in PostgreSQL's codes and words.

use libsqlite3_sys as ffi;

use super::{Connection, SqliteError, sql};
use crate::data::{Column, DataError, ForeignKey, Schema, SqlFault, Table, Type, Value, ValueRef};

/// PostgreSQL cuts each value of a failing row to this many bytes.
///
/// Source: PostgreSQL 15, `ExecConstraints` in `src/backend/executor/execMain.c` (`maxfieldlen`).
const FIELD_BYTES_MAX: usize = 64;

/// The error as PostgreSQL would report it.
///
/// `table` is what the statement wrote to, `row` what it wrote: column and value. They say what
/// `details` says; without them, or where a value is not among them, there are none. SQLite names no
/// foreign key, so the one that is broken is looked for in the data, which is as before the statement.
pub fn explain(
    error: SqliteError,
    connection: &Connection,
    schema: &Schema,
    table: Option<&Table>,
    row: Option<&[(usize, Value)]>,
) -> DataError {
    if error.cause.is_some() {
        return error.into();
    }
    let at = At {
        connection,
        schema,
        table,
        row,
    };
    match error.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => at.unique(&error),
        ffi::SQLITE_CONSTRAINT_NOTNULL => at.not_null(&error),
        ffi::SQLITE_CONSTRAINT_CHECK => at.check(&error),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => at.foreign_key(),
        _ => None,
    }
    .map_or_else(|| error.into(), DataError::from)
}

/// 23503 when the open transaction leaves a foreign key broken, with the name the schema gives it.
///
/// # Errors
/// 23503.
pub fn check_deferred(connection: &Connection, schema: &Schema) -> Result<(), DataError> {
    if !connection.deferred_foreign_keys() {
        return Ok(());
    }
    Err(broken(connection, Some(schema)).unwrap_or_else(|| generic_foreign_key().into()))
}

/// [`check_deferred`]'s error where no schema is at hand.
pub(super) fn broken_foreign_key(connection: &Connection) -> DataError {
    broken(connection, None).unwrap_or_else(|| generic_foreign_key().into())
}

/// Whether the file failed, rather than a statement.
pub(super) fn is_file_error(error: &DataError) -> bool {
    matches!(error, DataError::Unavailable(_)) || error.code() == Some("53100")
}

/// Without a schema: the code is right, constraints have the name SQLite knows.
impl From<SqliteError> for DataError {
    fn from(error: SqliteError) -> Self {
        if let Some(cause) = error.cause {
            return *cause;
        }
        let message = error.message.as_str();
        let named = |prefix: &str| message.strip_prefix(prefix);
        let fault = |code, message: String| DataError::sql(code, message);
        match error.extended_code & 0xff {
            ffi::SQLITE_CONSTRAINT => match error.extended_code {
                ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID => fault(
                    "23505",
                    "duplicate key value violates unique constraint".into(),
                ),
                ffi::SQLITE_CONSTRAINT_NOTNULL => {
                    let at = named("NOT NULL constraint failed: ").unwrap_or_default();
                    let (table, column) = at.rsplit_once('.').unwrap_or(("", at));
                    null_column(table, column).into()
                }
                ffi::SQLITE_CONSTRAINT_CHECK => {
                    let name = named("CHECK constraint failed: ").unwrap_or_default();
                    fault(
                        "23514",
                        format!("new row violates check constraint \"{name}\""),
                    )
                }
                ffi::SQLITE_CONSTRAINT_FOREIGNKEY => generic_foreign_key().into(),
                ffi::SQLITE_CONSTRAINT_DATATYPE => fault("42804", error.message),
                // `raise(abort, …)`, as PostgreSQL's `raise exception`.
                ffi::SQLITE_CONSTRAINT_TRIGGER => fault("P0001", error.message),
                _ => fault("23000", error.message),
            },
            ffi::SQLITE_BUSY if error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT => fault(
                "40001",
                "could not serialize access due to concurrent update".into(),
            ),
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
                fault("55P03", "canceling statement due to lock timeout".into())
            }
            ffi::SQLITE_INTERRUPT => {
                fault("57014", "canceling statement due to user request".into())
            }
            ffi::SQLITE_FULL => fault(
                "53100",
                "could not extend file: No space left on device".into(),
            ),
            ffi::SQLITE_READONLY => fault(
                "25006",
                "cannot execute a write in a read-only transaction".into(),
            ),
            ffi::SQLITE_NOMEM => fault("53200", "out of memory".into()),
            ffi::SQLITE_TOOBIG => fault("54000", error.message),
            ffi::SQLITE_RANGE => fault("08P01", error.message),
            ffi::SQLITE_MISMATCH => fault("42804", error.message),
            ffi::SQLITE_AUTH => fault("42501", error.message),
            ffi::SQLITE_ERROR => statement(&error).into(),
            ffi::SQLITE_IOERR
            | ffi::SQLITE_CORRUPT
            | ffi::SQLITE_NOTADB
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_PROTOCOL => DataError::Unavailable(Box::new(error)),
            _ => DataError::Internal(format!("SQLite {}: {}", error.extended_code, error.message)),
        }
    }
}

/// What is wrong with a statement's text, by SQLite's message: it has one code for all.
fn statement(error: &SqliteError) -> SqlFault {
    let message = error.message.as_str();
    let named = |prefix: &str| message.strip_prefix(prefix);
    if let Some(name) = named("no such table: ") {
        SqlFault::new("42P01", format!("relation \"{name}\" does not exist"))
    } else if let Some(name) = named("no such column: ") {
        // A quoted name comes with advice.
        let name = name.split(" - should").next().unwrap_or(name);
        let name = name.trim_matches('"');
        let name = match name.split_once('.') {
            Some(_) => name.to_owned(),
            None => format!("\"{name}\""),
        };
        SqlFault::new("42703", format!("column {name} does not exist"))
    } else if let Some(name) = named("ambiguous column name: ") {
        SqlFault::new("42702", format!("column reference \"{name}\" is ambiguous"))
    } else if let Some(name) = named("no such function: ") {
        SqlFault::new("42883", format!("function {name} does not exist"))
    } else if let Some(near) = named("near ").and_then(|m| m.strip_suffix(": syntax error")) {
        SqlFault::new("42601", format!("syntax error at or near {near}"))
    } else if message == "incomplete input" {
        SqlFault::new("42601", "syntax error at end of input")
    } else if message.starts_with("ON CONFLICT clause does not match") {
        SqlFault::new(
            "42P10",
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        )
    } else if message == "integer overflow" {
        SqlFault::new("22003", "bigint out of range")
    } else if message == "malformed JSON" {
        SqlFault::new("22P02", "invalid input syntax for type json")
    } else {
        SqlFault::new("42000", message)
    }
}

/// Where a statement failed.
struct At<'a> {
    connection: &'a Connection,
    schema: &'a Schema,
    table: Option<&'a Table>,
    row: Option<&'a [(usize, Value)]>,
}

impl<'a> At<'a> {
    /// What was written to `table`. Nothing is known of what a trigger or a cascade wrote.
    fn row_of(&self, table: &str) -> Option<&'a [(usize, Value)]> {
        self.row
            .filter(|_| self.table.is_some_and(|t| t.name.as_str() == table))
    }

    fn unique(&self, error: &SqliteError) -> Option<SqlFault> {
        let what = error.message.strip_prefix("UNIQUE constraint failed: ")?;
        if let Some(index) = what.strip_prefix("index '") {
            return Some(duplicate(index.strip_suffix('\'')?));
        }
        // Names may hold points and commas, so the text is not taken apart but made and compared.
        let all = self
            .table
            .into_iter()
            .chain(self.schema.tables().map(|table| &**table));
        for table in all {
            let columns_of = |columns: &[usize]| {
                columns
                    .iter()
                    .map(|i| format!("{}.{}", table.name.as_str(), column(table, *i)))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let key = table
                .primary_key
                .iter()
                .chain(&table.unique)
                .find(|key| columns_of(&key.columns) == what);
            if let Some(key) = key {
                let row = self.row_of(table.name.as_str());
                let fault = duplicate(&key.name);
                return Some(match row.and_then(|row| values(row, &key.columns)) {
                    Some(values) => fault.details(format!(
                        "Key ({})=({}) already exists.",
                        columns(table, &key.columns),
                        shown(table, &key.columns, &values),
                    )),
                    None => fault,
                });
            }
            if what.starts_with(&format!("{}.", table.name.as_str()))
                && let Some(index) = self.index(table, what)
            {
                return Some(duplicate(&index));
            }
        }
        None
    }

    /// A unique index that is no constraint.
    fn index(&self, table: &Table, columns: &str) -> Option<String> {
        let mut found = None;
        let name = Value::Text(table.name.as_str().to_owned());
        self.connection
            .query(sql::UNIQUE_INDEXES, &[name], |row| {
                if let (ValueRef::Text(name), ValueRef::Text(of)) = (row.get(0), row.get(1))
                    && of == columns
                {
                    found = Some(name.to_owned());
                }
                Ok(())
            })
            .ok()?;
        found
    }

    fn not_null(&self, error: &SqliteError) -> Option<SqlFault> {
        let at = error.message.strip_prefix("NOT NULL constraint failed: ")?;
        let (table, column) = at.rsplit_once('.')?;
        let fault = null_column(table, column);
        let details = self
            .row_of(table)
            .and_then(|row| failing_row(self.table?, row));
        Some(match details {
            Some(details) => fault.details(details),
            None => fault,
        })
    }

    fn check(&self, error: &SqliteError) -> Option<SqlFault> {
        let name = error.message.strip_prefix("CHECK constraint failed: ")?;
        let has = |table: &&Table| table.checks.iter().any(|check| check.name == name);
        let table = self
            .table
            .filter(has)
            .or_else(|| self.schema.tables().map(|t| &**t).find(has))
            .or(self.table)?;
        let fault = SqlFault::new(
            "23514",
            format!(
                "new row for relation \"{}\" violates check constraint \"{name}\"",
                table.name.as_str()
            ),
        );
        let row = self.row_of(table.name.as_str());
        Some(match row.and_then(|row| failing_row(table, row)) {
            Some(details) => fault.details(details),
            None => fault,
        })
    }

    fn foreign_key(&self) -> Option<SqlFault> {
        let table = self.table?;
        let row = self.row.unwrap_or_default();
        for key in &table.foreign_keys {
            if let Some(values) = values(row, &key.columns)
                && !values.contains(&Value::Null)
                && self.exists(&parent_name(key), &key.to_columns, &values) == Some(false)
            {
                return Some(no_parent(table, key, &values));
            }
        }
        // Not this table's own keys: someone else's that points here.
        let here =
            |key: &&ForeignKey| key.to_schema == "public" && key.to_table == table.name.as_str();
        let pointing = || {
            self.schema
                .tables()
                .flat_map(|t| t.foreign_keys.iter().filter(here).map(move |key| (t, key)))
        };
        for (child, key) in pointing() {
            let to: Option<Vec<usize>> = key.to_columns.iter().map(|c| table.column(c)).collect();
            let children: Vec<String> = key
                .columns
                .iter()
                .map(|i| column(child, *i).to_owned())
                .collect();
            if let Some(to) = to
                && let Some(values) = values(row, &to)
                && self.exists(child.name.as_str(), &children, &values) == Some(true)
            {
                return Some(still_referenced(table, child, key).details(format!(
                    "Key ({})=({}) is still referenced from table \"{}\".",
                    columns(table, &to),
                    shown(table, &to, &values),
                    child.name.as_str(),
                )));
            }
        }
        let mut pointing = pointing();
        match (
            table.foreign_keys.as_slice(),
            pointing.next(),
            pointing.next(),
        ) {
            ([], Some((child, key)), None) => Some(still_referenced(table, child, key)),
            ([key], None, _) => Some(not_present(table, key)),
            _ => None,
        }
    }

    fn exists(&self, table: &str, columns: &[String], values: &[Value]) -> Option<bool> {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut found = false;
        self.connection
            .query(&sql::exists(table, &columns), values, |_| {
                found = true;
                Ok(())
            })
            .ok()
            .map(|_| found)
    }
}

/// The first foreign key that the open transaction breaks.
fn broken(connection: &Connection, schema: Option<&Schema>) -> Option<DataError> {
    let mut first: Option<(String, i64, i64)> = None;
    // The rest of the rows does not matter: the error ends the statement.
    let stop = || DataError::Internal(String::new());
    let _ = connection.query(sql::BROKEN_FOREIGN_KEYS, &[], |row| {
        if let (ValueRef::Text(table), ValueRef::Integer(rowid), ValueRef::Integer(key)) =
            (row.get(0), row.get(1), row.get(3))
        {
            first = Some((table.to_owned(), rowid, key));
        }
        Err(stop())
    });
    let (name, rowid, id) = first?;
    let unnamed = || {
        SqlFault::new(
            "23503",
            format!("insert or update on table \"{name}\" violates foreign key constraint"),
        )
    };
    let Some(table) = schema.and_then(|schema| schema.table(&name)) else {
        return Some(unnamed().into());
    };
    let mut from = Vec::new();
    let args = [Value::Text(name.clone()), Value::Integer(id)];
    connection
        .query(sql::FOREIGN_KEY_COLUMNS, &args, |row| {
            if let ValueRef::Text(column) = row.get(0) {
                from.extend(table.column(column));
            }
            Ok(())
        })
        .ok()?;
    let Some(key) = table.foreign_keys.iter().find(|key| key.columns == from) else {
        return Some(unnamed().into());
    };
    let names: Vec<&str> = from.iter().map(|i| column(table, *i)).collect();
    let mut values = Vec::new();
    connection
        .query(
            &sql::by_rowid(&name, &names),
            &[Value::Integer(rowid)],
            |row| {
                values = (0..row.len()).map(|i| owned(row.get(i))).collect();
                Ok(())
            },
        )
        .ok()?;
    Some(no_parent(table, key, &values).into())
}

fn generic_foreign_key() -> SqlFault {
    SqlFault::new(
        "23503",
        "insert, update or delete violates foreign key constraint",
    )
}

fn duplicate(constraint: &str) -> SqlFault {
    SqlFault::new(
        "23505",
        format!("duplicate key value violates unique constraint \"{constraint}\""),
    )
}

fn null_column(table: &str, column: &str) -> SqlFault {
    SqlFault::new(
        "23502",
        format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        ),
    )
}

fn not_present(table: &Table, key: &ForeignKey) -> SqlFault {
    SqlFault::new(
        "23503",
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            table.name.as_str(),
            key.name
        ),
    )
}

fn no_parent(table: &Table, key: &ForeignKey, values: &[Value]) -> SqlFault {
    not_present(table, key).details(format!(
        "Key ({})=({}) is not present in table \"{}\".",
        columns(table, &key.columns),
        shown(table, &key.columns, values),
        key.to_table,
    ))
}

fn still_referenced(table: &Table, child: &Table, key: &ForeignKey) -> SqlFault {
    SqlFault::new(
        "23503",
        format!(
            "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
            table.name.as_str(),
            key.name,
            child.name.as_str(),
        ),
    )
}

/// A parent's name in the file: other schemas' tables carry theirs.
fn parent_name(key: &ForeignKey) -> String {
    match key.to_schema.as_str() {
        "public" => key.to_table.clone(),
        schema => format!("{schema}.{}", key.to_table),
    }
}

fn column(table: &Table, index: usize) -> &str {
    table
        .columns
        .get(index)
        .map_or("", |column| column.name.as_str())
}

fn columns(table: &Table, indices: &[usize]) -> String {
    let names: Vec<&str> = indices.iter().map(|i| column(table, *i)).collect();
    names.join(", ")
}

/// The row's values of `columns`, when it has them all.
fn values(row: &[(usize, Value)], columns: &[usize]) -> Option<Vec<Value>> {
    columns
        .iter()
        .map(|wanted| {
            let found = row.iter().find(|(index, _)| index == wanted);
            found.map(|(_, value)| value.clone())
        })
        .collect()
}

fn shown(table: &Table, columns: &[usize], values: &[Value]) -> String {
    let texts: Vec<String> = columns
        .iter()
        .zip(values)
        .map(|(i, value)| display(table.columns.get(*i), value))
        .collect();
    texts.join(", ")
}

/// PostgreSQL's words, when each value is known: a default that SQLite filled in is not.
fn failing_row(table: &Table, row: &[(usize, Value)]) -> Option<String> {
    let mut texts = Vec::with_capacity(table.columns.len());
    for (i, column) in table.columns.iter().enumerate() {
        let value = match row.iter().find(|(index, _)| *index == i) {
            Some((_, value)) => value,
            None if column.has_default => return None,
            None => &Value::Null,
        };
        let mut text = display(Some(column), value);
        if text.len() > FIELD_BYTES_MAX {
            let end = (0..=FIELD_BYTES_MAX)
                .rev()
                .find(|i| text.is_char_boundary(*i));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        texts.push(text);
    }
    Some(format!("Failing row contains ({}).", texts.join(", ")))
}

/// A stored value in PostgreSQL's text form.
fn display(column: Option<&Column>, value: &Value) -> String {
    let ty = column.map(|column| &column.ty);
    match (value, ty) {
        (Value::Null, _) => "null".to_owned(),
        (Value::Integer(0), Some(Type::Boolean)) => "f".to_owned(),
        (Value::Integer(_), Some(Type::Boolean)) => "t".to_owned(),
        (Value::Integer(value), _) => value.to_string(),
        (Value::Real(value), _) => value.to_string(),
        (Value::Text(text), Some(Type::Timestamp | Type::Timestamptz)) => {
            let text = text.replacen('T', " ", 1);
            match text.strip_suffix("+00:00") {
                Some(start) => format!("{start}+00"),
                None => text,
            }
        }
        (Value::Text(text), _) => text.clone(),
        (Value::Blob(bytes), _) => {
            let mut text = "\\x".to_owned();
            bytes
                .iter()
                .for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text
        }
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(text.to_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}
