//! Work in a transaction on PostgreSQL.

use crate::data::plan::{Cells, InsertPlan, SelectPlan, Selection};
use crate::data::postgres::PgTx;
use crate::data::query::Rows;
use crate::data::sql::{self, Args};
use crate::data::{ANSWER_BYTES_MAX, DataError, Table};

use super::{OldRow, Work, changed_meanwhile, key_of};

/// Does `work`.
///
/// # Errors
/// PostgreSQL's own; 40001 when a row is no longer as it was.
pub async fn run(tx: &mut PgTx, work: &Work) -> Result<Rows, DataError> {
    let mut args = Args::Postgres(Vec::new());
    let mut answer = Answer::default();
    match work {
        Work::Select(plan) => {
            let sql = sql::select(plan, &mut args)?;
            answer.take(tx, sql, args, true).await?;
        }
        Work::Insert(plan) => insert(tx, plan, &mut answer).await?,
        Work::Update(plan) => {
            let returning = plan.returning.rows.as_ref();
            let sql = sql::update(
                &plan.table,
                &plan.cells,
                &plan.conditions,
                returning,
                &mut args,
            )?;
            answer.take(tx, sql, args, returning.is_some()).await?;
        }
        Work::Delete(plan) => {
            let returning = plan.returning.rows.as_ref();
            let sql = sql::delete(&plan.table, &plan.conditions, returning, &mut args)?;
            answer.take(tx, sql, args, returning.is_some()).await?;
        }
        Work::UpdateRows {
            table,
            rows,
            returning,
        } => update_rows(tx, table, rows, returning.rows.as_ref(), &mut answer).await?,
        Work::DeleteRows {
            table,
            rows,
            returning,
        } => {
            let key = key_of(table)?;
            let changes = documents(rows.iter().map(|old| (old, None)));
            unchanged(tx, table, key, rows.iter(), &changes).await?;
            let sql = sql::delete_rows(table, key, changes, returning.rows.as_ref(), &mut args);
            answer.take(tx, sql, args, returning.rows.is_some()).await?;
        }
        Work::Sql {
            statement,
            parameters,
        } => answer.rows(
            tx.guest_query(statement, parameters, ANSWER_BYTES_MAX)
                .await?,
        )?,
    }
    super::expected(answer.finish(), work)
}

/// The rows that meet the conditions; in order of the key.
///
/// # Errors
/// [`DataError::TooLarge`] beyond `rows_max`.
pub async fn old_rows(
    tx: &mut PgTx,
    plan: &SelectPlan,
    rows_max: usize,
) -> Result<Vec<OldRow>, DataError> {
    let mut args = Args::Postgres(Vec::new());
    let mut plan = plan.clone();
    plan.limit = Some(rows_max as u64 + 1);
    let sql = sql::select(&plan, &mut args)?;
    let rows = tx.rows(sql, &texts(args)).await?;
    if rows.len() > rows_max {
        return Err(super::super::too_many_rows(rows_max));
    }
    let old = |json| OldRow {
        json,
        values: Vec::new(),
    };
    Ok(rows.into_iter().map(old).collect())
}

async fn insert(tx: &mut PgTx, plan: &InsertPlan, answer: &mut Answer) -> Result<(), DataError> {
    let table = &plan.table;
    for group in super::same_columns(&plan.rows) {
        let columns = super::columns_of(&group[0]);
        // A row of defaults only is a statement of its own.
        let statements = if columns.is_empty() { group.len() } else { 1 };
        for _ in 0..statements {
            let mut args = Args::Postgres(Vec::new());
            let rows = (!columns.is_empty())
                .then(|| array(group.iter().map(|row| sql::object(table, row))));
            let (conflict, returning) = (plan.conflict.as_ref(), plan.returning.rows.as_ref());
            let sql = sql::insert(table, &columns, conflict, returning, rows, &mut args);
            answer.take(tx, sql, args, returning.is_some()).await?;
        }
    }
    Ok(())
}

async fn update_rows(
    tx: &mut PgTx,
    table: &Table,
    rows: &[(OldRow, Cells)],
    returning: Option<&Selection>,
    answer: &mut Answer,
) -> Result<(), DataError> {
    let key = key_of(table)?;
    let all = documents(rows.iter().map(|(old, _)| (old, None)));
    unchanged(tx, table, key, rows.iter().map(|(old, _)| old), &all).await?;
    let same = |a: &(OldRow, Cells), b: &(OldRow, Cells)| {
        super::columns_of(&a.1) == super::columns_of(&b.1)
    };
    for group in rows.chunk_by(same) {
        let mut args = Args::Postgres(Vec::new());
        let written = super::columns_of(&group[0].1);
        let pairs = group
            .iter()
            .map(|(old, cells)| (old, Some(sql::object(table, cells))));
        let sql = sql::update_rows(table, key, &written, documents(pairs), returning, &mut args);
        answer.take(tx, sql, args, returning.is_some()).await?;
    }
    Ok(())
}

/// Locks the rows, and sees whether they are still as they were read.
async fn unchanged(
    tx: &mut PgTx,
    table: &Table,
    key: &[usize],
    olds: impl Iterator<Item = &OldRow>,
    changes: &str,
) -> Result<(), DataError> {
    let mut args = Args::Postgres(Vec::new());
    let sql = sql::lock_rows(table, key, changes.to_owned(), &mut args);
    let mut found = tx.rows(sql, &texts(args)).await?;
    let mut expected: Vec<&str> = olds.map(|old| &*old.json).collect();
    found.sort_unstable();
    expected.sort_unstable();
    if found.iter().map(|row| &**row).eq(expected) {
        Ok(())
    } else {
        Err(changed_meanwhile())
    }
}

/// `[{"o": old, "n": new}, …]`
fn documents<'a>(pairs: impl Iterator<Item = (&'a OldRow, Option<String>)>) -> String {
    array(pairs.map(|(old, new)| match new {
        Some(new) => format!("{{\"o\":{},\"n\":{new}}}", old.json),
        None => format!("{{\"o\":{}}}", old.json),
    }))
}

fn array(items: impl Iterator<Item = String>) -> String {
    let mut json = String::from("[");
    for (at, item) in items.enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(&item);
    }
    json.push(']');
    json
}

fn texts(args: Args) -> Vec<Option<String>> {
    match args {
        Args::Postgres(args) => args,
        Args::Sqlite(_) => Vec::new(),
    }
}

/// Rows on their way to a JSON array.
#[derive(Default)]
struct Answer {
    json: Vec<u8>,
    count: u64,
}

impl Answer {
    async fn take(
        &mut self,
        tx: &mut PgTx,
        sql: String,
        args: Args,
        returns: bool,
    ) -> Result<(), DataError> {
        let args = texts(args);
        if returns {
            let rows = tx.rows(sql, &args).await?;
            self.rows(rows)?;
        } else {
            self.count += tx.execute(sql, &args).await?;
        }
        Ok(())
    }

    fn rows(&mut self, rows: Vec<String>) -> Result<(), DataError> {
        self.count += rows.len() as u64;
        for row in rows {
            self.json
                .push(if self.json.is_empty() { b'[' } else { b',' });
            self.json.extend_from_slice(row.as_bytes());
            if self.json.len() > ANSWER_BYTES_MAX {
                return Err(super::super::answer_too_large());
            }
        }
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
