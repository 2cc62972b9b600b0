//! Carries plans out: the same work on either engine.

pub mod postgres;
pub mod sqlite;

use std::sync::Arc;

use super::plan::{
    Answering, CallPlan, Cells, Condition, DeletePlan, InsertPlan, ReadPlan, UpdatePlan,
};
use super::query::{Operator, Preferences, Rows};
use super::schema::Command;
use super::{DataError, SqlFault, Table, Type, Value};

/// One piece of work inside a transaction.
#[derive(Clone, Debug)]
pub enum Work {
    Read(ReadPlan),
    Insert(InsertPlan),
    Update(UpdatePlan),
    Delete(DeletePlan),
    /// PostgreSQL only.
    Call(CallPlan),
    /// Rows that before-triggers have judged: done only if each is still as they saw it.
    UpdateRows {
        table: Arc<Table>,
        rows: Vec<(OldRow, Cells)>,
        /// Whether they are those that an upsert met: one that may not be updated is then an error.
        met: bool,
        answer: Answering,
    },
    DeleteRows {
        table: Arc<Table>,
        rows: Vec<OldRow>,
        answer: Answering,
    },
    /// Inserts and updates of one upsert, in order; their answers are one.
    All {
        parts: Vec<Work>,
        preferences: Preferences,
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

/// Which rows a statement would change: those that its caller may see and, by `command`, change.
#[derive(Clone, Debug)]
pub struct Asked {
    pub table: Arc<Table>,
    /// On the table as `_t0`.
    pub conditions: Vec<Condition>,
    pub command: Command,
    /// In which moments of the conditions are read, and those of the rows shown.
    pub timezone: Option<String>,
    /// More are refused.
    pub rows_max: usize,
}

/// What PostgreSQL says when a row is no longer as it was read.
pub fn changed_meanwhile() -> DataError {
    DataError::sql(
        "40001",
        "could not serialize access due to concurrent update",
    )
}

/// What PostgreSQL says when an upsert meets a row that it may not update.
fn protected(table: &Table) -> DataError {
    let name = table.name.as_str();
    DataError::sql(
        "42501",
        format!(
            "new row violates row-level security policy (USING expression) for table \"{name}\""
        ),
    )
}

/// What PostgreSQL says when an upsert meets a row twice.
pub fn twice() -> DataError {
    SqlFault::new(
        "21000",
        "ON CONFLICT DO UPDATE command cannot affect row a second time",
    )
    .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
    .into()
}

/// Consecutive rows that write the same columns, and leave the same ones to their defaults.
fn same_columns(rows: &[Cells]) -> impl Iterator<Item = &[Cells]> {
    rows.chunk_by(writes_alike)
}

fn writes_alike(a: &Cells, b: &Cells) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((a, one), (b, other))| a == b && one.is_some() == other.is_some())
}

/// The key by which single rows are found again.
fn key_of(table: &Table) -> Result<&[usize], DataError> {
    match &table.primary_key {
        Some(key) => Ok(&key.columns),
        None => Err(SqlFault::new(
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

impl Work {
    /// Whether triggers have left nothing to do.
    pub fn is_empty(&self) -> bool {
        match self {
            Work::Insert(plan) => plan.rows.is_empty(),
            Work::UpdateRows { rows, .. } => rows.is_empty(),
            Work::DeleteRows { rows, .. } => rows.is_empty(),
            Work::All { parts, .. } => parts.is_empty(),
            _ => false,
        }
    }

    /// What it would change; none when it only reads. Of a guest's SQL only a plain select is known to.
    pub fn verb(&self) -> Option<&'static str> {
        Some(match self {
            Work::Read(_) => return None,
            Work::Insert(_) | Work::All { .. } => "INSERT",
            Work::Update(_) | Work::UpdateRows { .. } => "UPDATE",
            Work::Delete(_) | Work::DeleteRows { .. } => "DELETE",
            Work::Call(plan) if plan.read_only => return None,
            Work::Call(_) => "a volatile function",
            Work::Sql { statement, .. } => {
                let verb = statement.split_whitespace().next();
                if verb.is_some_and(|verb| verb.eq_ignore_ascii_case("select")) {
                    return None;
                }
                "a statement"
            }
        })
    }

    /// What its request prefers; none for a guest's SQL.
    pub fn preferences(&self) -> Option<&Preferences> {
        Some(match self {
            Work::Read(plan) => &plan.preferences,
            Work::Insert(plan) => &plan.answer.preferences,
            Work::Update(plan) => &plan.answer.preferences,
            Work::Delete(plan) => &plan.answer.preferences,
            Work::Call(plan) => &plan.preferences,
            Work::UpdateRows { answer, .. } | Work::DeleteRows { answer, .. } => {
                &answer.preferences
            }
            Work::All { preferences, .. } => preferences,
            Work::Sql { .. } => return None,
        })
    }
}

/// The answer, if it has as many rows as were asked for and no more than `max-affected` were `affected`.
///
/// # Errors
/// PGRST116, PGRST124: what was written has to be undone.
fn expected(rows: Rows, affected: u64, preferences: &Preferences) -> Result<Rows, DataError> {
    if preferences.explain.is_some() {
        return Ok(rows);
    }
    if preferences.max_affected.is_some_and(|most| affected > most) {
        let fault = SqlFault::new(
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
        );
        let details = format!("The query affects {affected} rows");
        return Err(fault.details(details).into());
    }
    if preferences.single && rows.count != 1 {
        return Err(not_single(rows.count));
    }
    Ok(rows)
}

/// What the dialect says when one row was asked for.
pub fn not_single(count: u64) -> DataError {
    SqlFault::new(
        "PGRST116",
        "Cannot coerce the result to a single JSON object",
    )
    .details(format!("The result contains {count} rows"))
    .into()
}

/// The answer of work that has nothing to do.
///
/// # Errors
/// PGRST116.
pub fn nothing(preferences: &Preferences) -> Result<Rows, DataError> {
    let rows = Rows {
        body: b"[]".to_vec(),
        ..Rows::default()
    };
    expected(rows, 0, preferences)
}

/// The answers of parts as one. (Each has been asked for JSON.)
fn together(parts: Vec<Rows>) -> Rows {
    let mut all = Rows {
        body: vec![b'['],
        ..Rows::default()
    };
    for part in parts {
        let inner = part.body.get(1..part.body.len().saturating_sub(1));
        match inner {
            Some(inner) if !inner.is_empty() => {
                if all.body.len() > 1 {
                    all.body.push(b',');
                }
                all.body.extend_from_slice(inner);
            }
            _ => {}
        }
        all.count += part.count;
        all.steps += part.steps;
        all.inserted = Some(all.inserted.unwrap_or(0) + part.inserted.unwrap_or(0));
    }
    all.body.push(b']');
    all
}

/// Everything that a read does before it meets either database, for fuzzers.
pub(crate) fn texts_only(schema: &super::Schema, context: &super::Context, plan: &ReadPlan) {
    let _ = sqlite::text_only(schema, context, plan);
    let _ = postgres::text_only(plan);
}

/// Whether PostgreSQL has `operator` for a value of this type and an untyped literal.
///
/// Source: PostgreSQL 15, `pg_operator`; compared with a server of that version. `like` of bytea is left
/// out: it is not read as bytea here.
fn has_operator(operator: Operator, ty: &Type) -> bool {
    match operator {
        Operator::Eq
        | Operator::Neq
        | Operator::Gt
        | Operator::Gte
        | Operator::Lt
        | Operator::Lte
        | Operator::IsDistinct => *ty != Type::Json,
        Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch => {
            matches!(ty, Type::Text | Type::Varchar { .. } | Type::Char { .. })
        }
        Operator::Contains | Operator::Contained => matches!(ty, Type::Array(_) | Type::Jsonb),
        Operator::Overlaps => matches!(ty, Type::Array(_)),
        // Of whole numbers it shifts bits.
        Operator::StrictlyLeft | Operator::StrictlyRight => {
            matches!(ty, Type::Smallint | Type::Integer | Type::Bigint)
        }
        Operator::NotRightOf | Operator::NotLeftOf | Operator::Adjacent => false,
    }
}
