//! Rows out of an SQLite file, in batches, as JSON.

use std::time::Duration;

use super::digest::Digest;
use super::{Column, Plan, sql};
use crate::data::ddl;
use crate::data::sqlite::{Connection, Sqlite};
use crate::data::types::write_json_string;
use crate::data::{Context, DataError, Type, Value, ValueRef};

/// How long the reading of one batch may take.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows of a batch at most.
const BATCH_ROWS: u32 = 1_000;
/// A batch ends with the row that brings it here. Bytes.
const BATCH_BYTES: usize = 4 << 20;

/// A table of the file.
#[derive(Clone, Debug)]
pub struct SourceTable {
    pub schema: String,
    pub name: String,
    /// As the file calls it.
    pub file_name: String,
    pub columns: Vec<SourceColumn>,
    /// What orders its rows, as SQL.
    pub key: Vec<String>,
    /// The last number it gave, when it gives numbers.
    pub last: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct SourceColumn {
    pub name: String,
    /// None in tables of ours, which no migration declares: the target says it.
    pub ty: Option<Type>,
}

/// Rows of a plan.
#[derive(Default)]
pub struct Batch {
    /// A JSON array.
    pub json: Vec<u8>,
    pub digest: Digest,
    /// The key of the last row; none after the last batch.
    pub next: Option<Vec<Value>>,
}

/// Tables that describe the file itself.
const OF_THE_FILE: [&str; 3] = ["pumice.migration", "pumice.schema", "pumice.moved"];

/// What is to be copied: the app's own tables and ours.
///
/// # Errors
/// [`DataError`] when the file cannot be read.
pub async fn tables(source: &Sqlite) -> Result<Vec<SourceTable>, DataError> {
    let context = Context::default();
    source.read(context, BATCH_TIMEOUT, found_tables).await
}

fn found_tables(connection: &Connection) -> Result<Vec<SourceTable>, DataError> {
    let mut names = Vec::new();
    connection.query(sql::TABLES, &[], |row| {
        if let (ValueRef::Text(name), ValueRef::Integer(keyed)) = (row.get(0), row.get(1)) {
            names.push((name.to_owned(), keyed != 0));
        }
        Ok(())
    })?;
    let described = names.iter().any(|(name, _)| name == "pumice.schema");
    let schema = match described {
        true => ddl::catalog(connection)
            .map_err(|fault| DataError::Internal(fault.to_string()))?
            .schema(),
        false => Default::default(),
    };
    let mut counts = false;
    connection.query(sql::COUNTS_ON, &[], |_| {
        counts = true;
        Ok(())
    })?;
    let mut tables = Vec::new();
    for (file_name, keyed) in names {
        if OF_THE_FILE.contains(&&*file_name) {
            continue;
        }
        let declared = schema.table(&file_name);
        let (space, name) = match (declared, file_name.split_once('.')) {
            (None, Some(parts)) => parts,
            _ => (crate::data::schema::PUBLIC, &*file_name),
        };
        let mut columns = Vec::new();
        let mut key = Vec::new();
        let of_table = [Value::Text(file_name.clone())];
        connection.query(sql::COLUMNS, &of_table, |row| {
            if let (ValueRef::Text(name), ValueRef::Integer(place)) = (row.get(0), row.get(1)) {
                let ty =
                    declared.and_then(|table| Some(table.columns[table.column(name)?].ty.clone()));
                let name = name.to_owned();
                if place > 0 {
                    key.push((place, sql::quoted(&name)));
                }
                columns.push(SourceColumn { name, ty });
            }
            Ok(())
        })?;
        key.sort();
        let key = match keyed {
            true => key.into_iter().map(|(_, column)| column).collect(),
            false => vec![row_number(&columns)?.to_owned()],
        };
        let mut last = None;
        if counts {
            connection.query(sql::LAST, &of_table, |row| {
                if let ValueRef::Integer(number) = row.get(0) {
                    last = Some(number);
                }
                Ok(())
            })?;
        }
        tables.push(SourceTable {
            schema: space.to_owned(),
            name: name.to_owned(),
            file_name: file_name.clone(),
            columns,
            key,
            last,
        });
    }
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(tables)
}

/// Whether migrations were recorded in the file.
///
/// # Errors
/// [`DataError`] when the file cannot be read.
pub fn has_migrations(connection: &Connection) -> Result<bool, DataError> {
    let mut found = false;
    connection.query(sql::TABLES, &[], |row| {
        found |= row.get(0) == ValueRef::Text("pumice.migration");
        Ok(())
    })?;
    Ok(found)
}

/// What SQLite calls a row's number, by a name that no column has taken.
fn row_number(columns: &[SourceColumn]) -> Result<&'static str, DataError> {
    let taken = |name: &str| {
        let mut names = columns.iter().map(|column| &column.name);
        names.any(|column| column.eq_ignore_ascii_case(name))
    };
    let names = ["_rowid_", "rowid", "oid"];
    let free = names.into_iter().find(|name| !taken(name));
    free.ok_or_else(|| DataError::Internal("a table has columns _rowid_, rowid and oid".to_owned()))
}

/// The rows of `plan` after the one whose key is `after`.
///
/// # Errors
/// [`DataError`] when the file cannot be read.
pub async fn batch(
    source: &Sqlite,
    plan: &std::sync::Arc<Plan>,
    after: Option<Vec<Value>>,
) -> Result<Batch, DataError> {
    let plan = plan.clone();
    let job = move |connection: &Connection| read(connection, &plan, after.as_deref());
    source.read(Context::default(), BATCH_TIMEOUT, job).await
}

fn read(connection: &Connection, plan: &Plan, after: Option<&[Value]>) -> Result<Batch, DataError> {
    let names: Vec<&str> = plan.columns.iter().map(|column| &*column.source).collect();
    let text = sql::read(
        &plan.file_table,
        &plan.key,
        &names,
        after.is_none(),
        BATCH_ROWS,
    );
    let mut batch = Batch::default();
    batch.json.push(b'[');
    let mut rows = 0;
    let mut full = false;
    let outcome = connection.query(&text, after.unwrap_or_default(), |row| {
        if batch.json.len() >= BATCH_BYTES {
            full = true;
            return Err(DataError::TransactionEnded);
        }
        if rows > 0 {
            batch.json.push(b',');
        }
        let begin = batch.json.len();
        write(
            &plan.columns,
            |at| row.get(plan.key.len() + at),
            &mut batch.json,
        );
        batch.digest.add(&batch.json[begin..]);
        rows += 1;
        let key = (0..plan.key.len()).map(|at| row.get(at).to_owned());
        batch.next = Some(key.collect());
        Ok(())
    });
    if !full {
        outcome?;
        if rows < BATCH_ROWS {
            batch.next = None;
        }
    }
    batch.json.push(b']');
    Ok(batch)
}

/// A row as PostgreSQL's `row_to_json` gives it.
fn write<'r>(columns: &[Column], value: impl Fn(usize) -> ValueRef<'r>, out: &mut Vec<u8>) {
    for (at, column) in columns.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        write_json_string(&column.target, out);
        out.push(b':');
        match value(at) {
            ValueRef::Text(text) if column.raw => write_json_string(text, out),
            value => column.ty.write_json(value, out),
        }
    }
    out.push(b'}');
}
