//! Copies all that is in an app's SQLite file into its new database on PostgreSQL, and compares the two.
//!
//! The tables are there already: migrations made them. Rows travel as the JSON that both engines give
//! for a row (`types/`), in batches; `json` and `jsonb` travel as their text, because JSON cannot tell a
//! null from a null within. What is in the way of rows in any order (foreign keys, triggers, forced
//! policies) is taken away meanwhile and put back as it was, all in one transaction of the owner: foreign
//! keys are checked when they come back.
//!
//! The source must not change meanwhile; whoever calls has frozen it.

mod digest;
mod source;
mod sql;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::ddl;
use super::postgres::Owner;
use super::sqlite::Sqlite;
use super::{Context, DataError, Type};
use source::SourceTable;
use target::{Target, TargetColumn};

/// A table that is in both databases, the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// With its schema.
    pub table: String,
    pub rows: u64,
    /// Of all rows in any order; hexadecimal.
    pub digest: String,
}

/// Why rows could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("table {0} has rows, and the migrations make no such table on PostgreSQL")]
    NoTable(String),
    #[error("table {table} has a column \"{column}\" that it has not on PostgreSQL")]
    NoColumn { table: String, column: String },
    #[error("table {table}: {error}")]
    Table { table: String, error: DataError },
    #[error(
        "table {table} is not the same after copying: {source_rows} rows ({source_digest}) became {target_rows} ({target_digest})"
    )]
    Differs {
        table: String,
        source_rows: u64,
        source_digest: String,
        target_rows: u64,
        target_digest: String,
    },
    #[error(transparent)]
    Data(#[from] DataError),
}

/// How one table travels.
#[derive(Debug)]
struct Plan {
    schema: String,
    table: String,
    file_table: String,
    key: Vec<String>,
    columns: Vec<Column>,
    /// Columns with their sequence.
    sequences: Vec<(String, String)>,
    last: Option<i64>,
}

#[derive(Debug)]
struct Column {
    source: String,
    target: String,
    ty: Type,
    /// The target's type, as `format_type` writes it.
    format: String,
    /// Whether it travels as text.
    raw: bool,
    /// Whether the target makes its value itself.
    computed: bool,
}

impl Plan {
    fn label(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// Copies everything and compares it, then makes it permanent. `progress` is told of each table and its
/// rows so far.
///
/// # Errors
/// [`TransferError`]; nothing has been copied then.
pub async fn copy(
    source: &Sqlite,
    owner: Owner,
    progress: &(dyn Fn(&str, u64) + Send + Sync),
) -> Result<Vec<CopiedTable>, TransferError> {
    let tables = source::tables(source).await?;
    let seed = seed(source).await?;
    let mut target = Target::begin(owner).await?;
    let columns = target.columns().await?;
    let mut plans = Vec::new();
    for table in tables {
        match plan(&table, &columns)? {
            Some(plan) => plans.push(Arc::new(plan)),
            None => must_be_empty(source, &table).await?,
        }
    }
    let obstacles = target.clear(&plans).await?;
    let mut copied = Vec::new();
    for plan in &plans {
        let label = plan.label();
        let failed = |error| TransferError::Table {
            table: label.clone(),
            error,
        };
        let mut digest = digest::Digest::default();
        let mut after = None;
        loop {
            let batch = source::batch(source, plan, after).await.map_err(failed)?;
            if batch.digest.rows > 0 {
                target.insert(plan, batch.json).await.map_err(failed)?;
            }
            digest.merge(batch.digest);
            progress(&label, digest.rows);
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        copied.push((label, digest));
    }
    for (plan, (label, digest)) in plans.iter().zip(&copied) {
        let found = target.digest(plan).await?;
        if found != *digest {
            return Err(TransferError::Differs {
                table: label.clone(),
                source_rows: digest.rows,
                source_digest: digest.to_string(),
                target_rows: found.rows,
                target_digest: found.to_string(),
            });
        }
    }
    target.go_on(&plans).await?;
    if let Some(seed) = seed {
        target.record_seed(&seed).await?;
    }
    target.restore(obstacles).await?;
    target.commit().await?;
    Ok(copied
        .into_iter()
        .map(|(table, digest)| CopiedTable {
            table,
            rows: digest.rows,
            digest: digest.to_string(),
        })
        .collect())
}

/// How `table` travels; none when the target has no such table.
fn plan(
    table: &SourceTable,
    targets: &BTreeMap<(String, String), Vec<TargetColumn>>,
) -> Result<Option<Plan>, TransferError> {
    let Some(targets) = targets.get(&(table.schema.clone(), table.name.clone())) else {
        return Ok(None);
    };
    let label = format!("{}.{}", table.schema, table.name);
    let mut columns = Vec::new();
    let mut add = |source: &str, target: &str, ty: Option<&Type>| {
        let found = targets.iter().find(|column| column.name == target);
        let found = found.ok_or_else(|| TransferError::NoColumn {
            table: label.clone(),
            column: target.to_owned(),
        })?;
        let ty = ty.cloned().unwrap_or_else(|| target::named(&found.format));
        columns.push(Column {
            source: source.to_owned(),
            target: target.to_owned(),
            raw: matches!(ty, Type::Json | Type::Jsonb),
            ty,
            format: found.format.clone(),
            computed: found.computed,
        });
        Ok::<(), TransferError>(())
    };
    for column in &table.columns {
        add(&column.name, &column.name, column.ty.as_ref())?;
    }
    if label == CHANGES {
        // There a change has its number from the beginning; on PostgreSQL it is numbered later.
        add("number", "id", None)?;
    }
    let sequence = |column: &TargetColumn| Some((column.name.clone(), column.sequence.clone()?));
    Ok(Some(Plan {
        schema: table.schema.clone(),
        table: table.name.clone(),
        file_table: table.file_name.clone(),
        key: table.key.clone(),
        columns,
        sequences: targets.iter().filter_map(sequence).collect(),
        last: table.last,
    }))
}

/// The change log.
const CHANGES: &str = "pumice.change";

async fn must_be_empty(source: &Sqlite, table: &SourceTable) -> Result<(), TransferError> {
    let probe = Arc::new(Plan {
        schema: table.schema.clone(),
        table: table.name.clone(),
        file_table: table.file_name.clone(),
        key: table.key.clone(),
        columns: table
            .columns
            .iter()
            .map(|column| Column {
                source: column.name.clone(),
                target: column.name.clone(),
                ty: Type::Text,
                format: String::new(),
                raw: false,
                computed: false,
            })
            .collect(),
        sequences: Vec::new(),
        last: None,
    });
    let batch = source::batch(source, &probe, None).await?;
    match batch.digest.rows {
        0 => Ok(()),
        _ => Err(TransferError::NoTable(probe.label())),
    }
}

/// The record of the seed, if it has run: it runs once in an app's life.
async fn seed(source: &Sqlite) -> Result<Option<ddl::Applied>, DataError> {
    Ok(applied(source)
        .await?
        .into_iter()
        .find(|applied| applied.file == ddl::SEED))
}

/// The migrations that made the file, and its seed, in order of name.
///
/// # Errors
/// [`DataError`] when the file cannot be read.
pub async fn applied(source: &Sqlite) -> Result<Vec<ddl::Applied>, DataError> {
    if !source.path().exists() {
        return Ok(Vec::new());
    }
    let job = |connection: &super::sqlite::Connection| {
        if !source::has_migrations(connection)? {
            return Ok(Vec::new());
        }
        ddl::applied(connection).map_err(|fault| DataError::Internal(fault.to_string()))
    };
    source
        .read(Context::default(), super::STATEMENT_TIMEOUT, job)
        .await
}
