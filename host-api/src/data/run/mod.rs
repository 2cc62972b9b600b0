//! Carries plans out: the same work on either engine.

pub mod postgres;
pub mod sqlite;

use std::sync::Arc;

use super::plan::{
    Answering, Cells, Condition, DeletePlan, InsertPlan, Order, SelectPlan, UpdatePlan,
};
use super::{Table, Value};

/// One piece of work inside a transaction.
#[derive(Clone, Debug)]
pub enum Work {
    Select(SelectPlan),
    Insert(InsertPlan),
    Update(UpdatePlan),
    Delete(DeletePlan),
    /// Rows that before-triggers have judged: done only if each is still as they saw it.
    UpdateRows {
        table: Arc<Table>,
        rows: Vec<(OldRow, Cells)>,
        returning: Answering,
    },
    DeleteRows {
        table: Arc<Table>,
        rows: Vec<OldRow>,
        returning: Answering,
    },
    /// One statement of a guest's own, with a JSON array of parameters.
    Sql {
        statement: String,
        parameters: Vec<Box<serde_json::value::RawValue>>,
    },
}

/// A row as a before-trigger was shown it.
#[derive(Clone, Debug)]
pub struct OldRow {
    pub json: String,
    /// All columns as stored; on SQLite only.
    pub values: Vec<Value>,
}

/// What PostgreSQL says when a row is no longer as it was read.
pub fn changed_meanwhile() -> super::DataError {
    super::DataError::sql(
        "40001",
        "could not serialize access due to concurrent update",
    )
}

/// Consecutive rows that write the same columns.
fn same_columns(rows: &[Cells]) -> impl Iterator<Item = &[Cells]> {
    rows.chunk_by(|a, b| a.len() == b.len() && a.iter().zip(b).all(|((a, _), (b, _))| a == b))
}

fn columns_of(cells: &Cells) -> Vec<usize> {
    cells.iter().map(|(column, _)| *column).collect()
}

/// The key by which single rows are found again.
fn key_of(table: &Table) -> Result<&[usize], super::DataError> {
    match &table.primary_key {
        Some(key) => Ok(&key.columns),
        None => Err(super::SqlFault::new(
            "0A000",
            format!(
                "table \"{}\" has a before-trigger and no primary key",
                table.name.as_str()
            ),
        )
        .hint("add a primary key: without one a row cannot be found again after its trigger has seen it")
        .into()),
    }
}

/// The rows that an update or delete would meet, in order of their key.
pub fn old_rows_plan(
    table: &Arc<Table>,
    conditions: &[Condition],
) -> Result<SelectPlan, super::DataError> {
    let order = key_of(table)?.iter().map(|&column| Order {
        column,
        descending: false,
        nulls_first: false,
    });
    Ok(SelectPlan {
        order: order.collect(),
        selection: super::plan::whole_row(table),
        conditions: conditions.to_vec(),
        table: table.clone(),
        limit: None,
        offset: None,
    })
}

impl Work {
    /// Whether triggers have left nothing to do.
    pub fn is_empty(&self) -> bool {
        match self {
            Work::Insert(plan) => plan.rows.is_empty(),
            Work::UpdateRows { rows, .. } => rows.is_empty(),
            Work::DeleteRows { rows, .. } => rows.is_empty(),
            _ => false,
        }
    }
}

/// The rows, if there are as many as were asked for.
fn expected(rows: super::query::Rows, work: &Work) -> Result<super::query::Rows, super::DataError> {
    let single = match work {
        Work::Insert(plan) => plan.returning.single,
        Work::Update(plan) => plan.returning.single,
        Work::Delete(plan) => plan.returning.single,
        Work::UpdateRows { returning, .. } | Work::DeleteRows { returning, .. } => returning.single,
        Work::Select(_) | Work::Sql { .. } => false,
    };
    if single && rows.count != 1 {
        return Err(not_single(rows.count));
    }
    Ok(rows)
}

/// What the dialect says when one row was asked for.
pub fn not_single(count: u64) -> super::DataError {
    super::SqlFault::new(
        "PGRST116",
        "Cannot coerce the result to a single JSON object",
    )
    .details(format!("The result contains {count} rows"))
    .into()
}

/// The answer of work that has nothing to do.
pub fn nothing(work: &Work) -> Result<super::query::Rows, super::DataError> {
    expected(super::query::Rows::none(), work)
}
