//! SQLite's errors in PostgreSQL's codes and words.

use libsqlite3_sys as ffi;

use super::{Connection, SqliteError, sql};
use crate::data::{Column, DataError, ForeignKey, Schema, SqlFault, Table, Type, Value, ValueRef};

/// PostgreSQL cuts each value of a failing row to this many bytes.
///
/// Source: PostgreSQL 15, `ExecConstraints` in `src/backend/executor/execMain.c` (`maxfieldlen`).
const FIELD_BYTES_MAX: usize = 64;

/// The row that a statement was about to write when it failed.
pub struct Failed<'a> {
    /// In order of its table's columns.
    pub row: &'a [Value],
    pub sight: &'a Sight,
}

/// Why SQLite refused rows, as far as they have to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By a constraint that one row breaks.
    Row,
    ForeignKey,
    /// A null where SQLite keeps the number of the row: an identity that is the primary key.
    RowNumber,
}

impl SqliteError {
    pub fn refused(&self) -> Option<Refused> {
        match self.extended_code {
            _ if self.cause.is_some() => None,
            ffi::SQLITE_CONSTRAINT_NOTNULL | ffi::SQLITE_CONSTRAINT_CHECK => Some(Refused::Row),
            code if is_unique(code) => Some(Refused::Row),
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Some(Refused::ForeignKey),
            ffi::SQLITE_MISMATCH => Some(Refused::RowNumber),
            _ => None,
        }
    }
}

pub fn is_unique(extended_code: i32) -> bool {
    matches!(
        extended_code,
        ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID
    )
}

/// What of a row its writer may be told.
///
/// Source: PostgreSQL 15, `ExecBuildSlotValueDescription` in `src/backend/executor/execMain.c`,
/// `BuildIndexValueDescription` in `src/backend/access/index/genam.c`, `ri_ReportViolation` in
/// `src/backend/utils/adt/ri_triggers.c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    All,
    Columns {
        /// Those that the writer may read.
        readable: Vec<usize>,
        /// Those that the statement sets.
        given: Vec<usize>,
    },
    /// Policies bind the writer: that a row is there is told, and no more.
    Nothing,
}

impl Sight {
    /// Whether a key of these columns may be shown.
    pub fn reads(&self, columns: &[usize]) -> bool {
        match self {
            Sight::All => true,
            Sight::Columns { readable, .. } => columns.iter().all(|at| readable.contains(at)),
            Sight::Nothing => false,
        }
    }
}

/// The error as PostgreSQL would report it.
///
/// `table` is what the statement wrote to, `failed` the row that broke its constraint; without it there are
/// no details. SQLite names no foreign key: it is named here only where there is but one.
pub fn explain(
    error: SqliteError,
    connection: &Connection,
    schema: &Schema,
    table: Option<&Table>,
    failed: Option<Failed<'_>>,
) -> DataError {
    if error.cause.is_some() {
        return error.into();
    }
    let at = At {
        connection,
        schema,
        table,
        failed,
    };
    match error.extended_code {
        code if is_unique(code) => at.unique(&error),
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
    failed: Option<Failed<'a>>,
}

impl At<'_> {
    /// What was written to `table`. Nothing is known of what a trigger or a cascade wrote.
    fn failed_in(&self, table: &str) -> Option<&Failed<'_>> {
        self.failed
            .as_ref()
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
                let fault = duplicate(&key.name);
                let failed = self.failed_in(table.name.as_str());
                return Some(match failed.filter(|f| f.sight.reads(&key.columns)) {
                    Some(failed) => fault.details(format!(
                        "Key ({})=({}) already exists.",
                        columns(table, &key.columns),
                        shown(table, &key.columns, failed.row),
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
        Some(match (self.table, self.failed_in(table)) {
            (Some(table), Some(failed)) => refused_null(table, column, failed),
            _ => null_column(table, column),
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
        let failed = self.failed_in(table.name.as_str());
        Some(match failed.and_then(|failed| failing_row(table, failed)) {
            Some(details) => fault.details(details),
            None => fault,
        })
    }

    /// The only foreign key that it can be.
    fn foreign_key(&self) -> Option<SqlFault> {
        let table = self.table?;
        let here =
            |key: &&ForeignKey| key.to_schema == "public" && key.to_table == table.name.as_str();
        let mut pointing = self
            .schema
            .tables()
            .flat_map(|t| t.foreign_keys.iter().filter(here).map(move |key| (t, key)));
        match (
            table.foreign_keys.as_slice(),
            pointing.next(),
            pointing.next(),
        ) {
            ([], Some((child, key)), None) => Some(update_or_delete(table, child, key)),
            ([key], None, _) => Some(insert_or_update(table, key)),
            _ => None,
        }
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
    Some(not_present(table, key, &values, true).into())
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

fn insert_or_update(table: &Table, key: &ForeignKey) -> SqlFault {
    SqlFault::new(
        "23503",
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            table.name.as_str(),
            key.name
        ),
    )
}

fn update_or_delete(table: &Table, child: &Table, key: &ForeignKey) -> SqlFault {
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

/// A row of `table` points to nothing, with these values of the key.
pub fn not_present(table: &Table, key: &ForeignKey, values: &[Value], shows: bool) -> SqlFault {
    let which = match shows {
        true => named_key(table, &key.columns, values),
        false => "Key".to_owned(),
    };
    let parent = &key.to_table;
    insert_or_update(table, key).details(format!("{which} is not present in table \"{parent}\"."))
}

/// A row of `child` points to one of `table` that is to go, whose key has these values.
pub fn still_referenced(
    table: &Table,
    child: &Table,
    key: &ForeignKey,
    values: &[Value],
    shows: bool,
) -> SqlFault {
    let to: Vec<usize> = key
        .to_columns
        .iter()
        .flat_map(|c| table.column(c))
        .collect();
    let which = match shows {
        true => named_key(table, &to, values),
        false => "Key".to_owned(),
    };
    let child_name = child.name.as_str();
    update_or_delete(table, child, key).details(format!(
        "{which} is still referenced from table \"{child_name}\"."
    ))
}

/// 23502 of the first column that is null and must not be.
pub fn null_value(table: &Table, failed: &Failed<'_>) -> SqlFault {
    let mut columns = table.columns.iter().zip(failed.row);
    let null = columns.find(|(column, value)| column.not_null && **value == Value::Null);
    let column = null.map_or("", |(column, _)| column.name.as_str());
    refused_null(table, column, failed)
}

fn refused_null(table: &Table, column: &str, failed: &Failed<'_>) -> SqlFault {
    let fault = null_column(table.name.as_str(), column);
    match failing_row(table, failed) {
        Some(details) => fault.details(details),
        None => fault,
    }
}

/// A parent's name in the file: other schemas' tables carry theirs.
pub fn parent_name(key: &ForeignKey) -> String {
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

/// `Key (a, b)=(1, x)`, of the values of these columns alone.
fn named_key(table: &Table, indices: &[usize], values: &[Value]) -> String {
    let texts = indices.iter().zip(values);
    let texts: Vec<String> = texts
        .map(|(at, value)| display(table.columns.get(*at), value))
        .collect();
    format!("Key ({})=({})", columns(table, indices), texts.join(", "))
}

/// Values of some columns of a row.
fn shown(table: &Table, columns: &[usize], row: &[Value]) -> String {
    let texts: Vec<String> = columns
        .iter()
        .map(|at| display(table.columns.get(*at), row.get(*at).unwrap_or(&Value::Null)))
        .collect();
    texts.join(", ")
}

/// PostgreSQL's words for the row, with as many of its columns as the writer may see.
fn failing_row(table: &Table, failed: &Failed<'_>) -> Option<String> {
    let seen: Vec<usize> = match failed.sight {
        Sight::All => (0..table.columns.len()).collect(),
        Sight::Columns { readable, given } => (0..table.columns.len())
            .filter(|at| readable.contains(at) || given.contains(at))
            .collect(),
        Sight::Nothing => return None,
    };
    if seen.is_empty() {
        return None;
    }
    let mut texts = Vec::with_capacity(seen.len());
    for at in &seen {
        let value = failed.row.get(*at).unwrap_or(&Value::Null);
        let mut text = display(table.columns.get(*at), value);
        if text.len() > FIELD_BYTES_MAX {
            let end = (0..=FIELD_BYTES_MAX)
                .rev()
                .find(|i| text.is_char_boundary(*i));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        texts.push(text);
    }
    let names = match failed.sight {
        Sight::All => String::new(),
        _ => format!("({}) = ", columns(table, &seen)),
    };
    Some(format!(
        "Failing row contains {names}({}).",
        texts.join(", ")
    ))
}

/// A stored value in PostgreSQL's text form.
fn display(column: Option<&Column>, value: &Value) -> String {
    let mut text = String::new();
    match (value, column) {
        (Value::Null, _) => text.push_str("null"),
        (value, Some(column)) => column.ty.write_text(value.as_ref(), &mut text),
        (value, None) => Type::Text.write_text(value.as_ref(), &mut text),
    }
    text
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
