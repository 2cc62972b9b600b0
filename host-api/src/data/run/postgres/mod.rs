//! Work in a transaction on PostgreSQL.

mod judged;
mod sql;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub use self::judged::old_rows;

use self::judged::{documents, target, unchanged, updatable};
use self::sql::Statement;
use super::{Work, expected, same_columns, writes_alike};
use crate::data::plan::{Answering, CallPlan, InsertPlan, Node, ReadPlan};
use crate::data::postgres::{PgTx, Surroundings};
use crate::data::query::{Called, Count, Format, Preferences, ResponseSettings, Rows};
use crate::data::schema::{PUBLIC, Returns};
use crate::data::{ANSWER_BYTES_MAX, DataError, Schema, Settings};

/// What a transaction that is begun for `work` should begin with; [`run`] sees to it in any case.
pub fn surroundings(settings: &Settings, work: &Work) -> Surroundings {
    let schema = match work {
        Work::Read(plan) => schema_of(&plan.node),
        Work::Insert(plan) => plan.table.schema.as_str(),
        Work::Update(plan) => plan.table.schema.as_str(),
        Work::Delete(plan) => plan.table.schema.as_str(),
        Work::UpdateRows { table, .. } | Work::DeleteRows { table, .. } => table.schema.as_str(),
        Work::Call(plan) => plan.function.schema.as_str(),
        Work::All { parts, .. } => {
            return match parts.first() {
                Some(part) => surroundings(settings, part),
                None => Surroundings::default(),
            };
        }
        Work::Sql { .. } => PUBLIC,
    };
    let mut search_path = vec![schema.to_owned()];
    for extra in &settings.search_path {
        if !search_path.contains(extra) {
            search_path.push(extra.clone());
        }
    }
    Surroundings {
        search_path,
        timezone: work
            .preferences()
            .and_then(|wanted| wanted.timezone.clone()),
    }
}

fn schema_of(node: &Node) -> &str {
    use crate::data::plan::Source;
    match &node.source {
        Source::Relation(table)
        | Source::Through { table, .. }
        | Source::Computed { table, .. }
        | Source::Written(table)
        | Source::Called(Some(table)) => table.schema.as_str(),
        Source::Called(None) => PUBLIC,
    }
}

/// Does `work`. When the request wants it undone, only its answer is left.
///
/// # Errors
/// PostgreSQL's own; 40001 when a judged row is no longer as it was; PGRST116 and PGRST124, after which
/// the caller undoes what was written.
pub async fn run(
    tx: &mut PgTx,
    _schema: &Schema,
    settings: &Settings,
    work: &Work,
) -> Result<Rows, DataError> {
    let rollback = work.preferences().is_some_and(|wanted| wanted.rollback);
    if !rollback {
        return done(tx, settings, work).await;
    }
    tx.savepoint().await?;
    let mut outcome = done(tx, settings, work).await;
    if outcome.is_ok() {
        let checked = tx.execute(sql::CHECK_CONSTRAINTS.to_owned(), &[]).await;
        outcome = checked.and(outcome);
    }
    tx.rollback_to().await?;
    outcome
}

async fn done(tx: &mut PgTx, settings: &Settings, work: &Work) -> Result<Rows, DataError> {
    let Work::All { parts, preferences } = work else {
        return one(tx, settings, work).await;
    };
    let mut answers = Vec::with_capacity(parts.len());
    for part in parts {
        answers.push(one(tx, settings, part).await?);
    }
    let rows = super::together(answers);
    let affected = rows.count;
    expected(rows, affected, preferences)
}

async fn one(tx: &mut PgTx, settings: &Settings, work: &Work) -> Result<Rows, DataError> {
    let surroundings = surroundings(settings, work);
    tx.surround(&surroundings).await?;
    match work {
        Work::Read(plan) => read(tx, plan).await,
        Work::Call(plan) => call(tx, plan).await,
        Work::Insert(plan) => insert(tx, plan).await,
        Work::Update(plan) => {
            let mut answer = Written::new(&plan.answer);
            answer.take(tx, sql::update(plan)?).await?;
            answer.finish()
        }
        Work::Delete(plan) => {
            let mut answer = Written::new(&plan.answer);
            answer.take(tx, sql::delete(plan)?).await?;
            answer.finish()
        }
        Work::UpdateRows {
            table,
            rows,
            met,
            answer,
        } => {
            let olds = rows.iter().map(|(old, _)| old);
            unchanged(tx, table, olds.clone(), &surroundings).await?;
            if *met {
                updatable(tx, table, olds).await?;
            }
            let mut written = Written::new(answer);
            for group in rows.chunk_by(|a, b| writes_alike(&a.1, &b.1)) {
                let pairs = group
                    .iter()
                    .map(|(old, cells)| (old.json.as_str(), Some(sql::object(table, cells))));
                let target = target(table, documents(pairs))?;
                let statement = sql::update_rows(&target, &group[0].1, answer)?;
                written.take(tx, statement).await?;
            }
            written.finish()
        }
        Work::DeleteRows {
            table,
            rows,
            answer,
        } => {
            unchanged(tx, table, rows.iter(), &surroundings).await?;
            let mut written = Written::new(answer);
            let keys = documents(rows.iter().map(|old| (old.json.as_str(), None)));
            let statement = sql::delete_rows(&target(table, keys)?, answer)?;
            written.take(tx, statement).await?;
            written.finish()
        }
        Work::All { .. } => Err(DataError::Internal("parts within parts".to_owned())),
        Work::Sql {
            statement,
            parameters,
        } => {
            let rows = tx
                .guest_query(statement, parameters, ANSWER_BYTES_MAX)
                .await?;
            Ok(Rows {
                count: rows.len() as u64,
                body: joined(&rows, Format::Json, None)?,
                ..Rows::default()
            })
        }
    }
}

/// The text of a read, for fuzzers.
pub(super) fn text_only(plan: &ReadPlan) -> Result<(), DataError> {
    sql::read(plan).map(drop)
}

async fn read(tx: &mut PgTx, plan: &ReadPlan) -> Result<Rows, DataError> {
    let wanted = &plan.preferences;
    let statement = sql::read(plan)?;
    if let Some(explain) = wanted.explain {
        return explained(tx, statement.explained(explain)).await;
    }
    let (rows, tail) = answers(tx, statement).await?;
    let total = match (wanted.count, tail.total) {
        (Some(Count::Planned), _) => Some(estimated(tx, &plan.node).await?),
        (Some(Count::Estimated), Some(total)) if total > plan.rows_max => {
            Some(estimated(tx, &plan.node).await?.max(total))
        }
        (_, total) => total,
    };
    let header = sql::header(&plan.node, None);
    let rows = Rows {
        count: rows.len() as u64,
        body: joined(&rows, wanted.format, Some(&header))?,
        total,
        ..Rows::default()
    };
    expected(rows, 0, wanted)
}

async fn insert(tx: &mut PgTx, plan: &InsertPlan) -> Result<Rows, DataError> {
    let mut answer = Written::new(&plan.answer);
    for group in same_columns(&plan.rows) {
        // A row of defaults only is a statement of its own.
        let defaults = group[0].iter().all(|(_, json)| json.is_none());
        let at_once = if defaults { 1 } else { group.len() };
        for rows in group.chunks(at_once) {
            answer.take(tx, sql::insert(plan, rows)?).await?;
        }
    }
    if plan
        .conflict
        .as_ref()
        .is_some_and(|conflict| conflict.merge)
    {
        answer.inserted.get_or_insert(answer.affected);
    }
    answer.finish()
}

async fn call(tx: &mut PgTx, plan: &CallPlan) -> Result<Rows, DataError> {
    let wanted = &plan.preferences;
    let statement = sql::call(plan)?;
    if let Some(explain) = wanted.explain {
        return explained(tx, statement.explained(explain)).await;
    }
    let (rows, tail) = answers(tx, statement).await?;
    let set = plan.function.set;
    let count = rows.len() as u64;
    let (body, count) = match (&plan.node, &plan.function.returns) {
        (None, Returns::Void) => (Vec::new(), 0),
        (Some(node), _) if set || wanted.format == Format::Csv => {
            let header = sql::header(node, Some(&plan.function));
            (joined(&rows, wanted.format, Some(&header))?, count)
        }
        (None, _) if set => (joined(&rows, Format::Json, None)?, count),
        // One value, or one row that filters may have left out.
        _ => {
            let value = rows.into_iter().next();
            (
                value.map_or_else(|| b"null".to_vec(), String::into_bytes),
                count,
            )
        }
    };
    let response = ResponseSettings {
        status: tail.status,
        headers: tail.headers,
    };
    let rows = Rows {
        body,
        count,
        total: match wanted.count {
            Some(_) => tail.total.or(Some(count)),
            None => None,
        },
        response: (response != ResponseSettings::default()).then(|| Box::new(response)),
        called: Some(match plan.function.returns {
            _ if set => Called::Set,
            Returns::Void => Called::Void,
            _ => Called::One,
        }),
        ..Rows::default()
    };
    expected(rows, if set { count } else { 0 }, wanted)
}

/// What a statement says about its rows.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tail {
    total: Option<u64>,
    written: Option<u64>,
    inserted: Option<u64>,
    status: Option<String>,
    headers: Option<String>,
}

async fn answers(tx: &mut PgTx, statement: Statement) -> Result<(Vec<String>, Tail), DataError> {
    let mut rows = tx.rows(statement.text, &statement.args).await?;
    let mut tail = Tail::default();
    if statement.tail {
        let json = rows.pop().unwrap_or_default();
        tail = serde_json::from_str(&json)
            .map_err(|error| DataError::Internal(format!("a statement's tail: {error}")))?;
    }
    Ok((rows, tail))
}

async fn explained(tx: &mut PgTx, statement: Statement) -> Result<Rows, DataError> {
    let lines = tx.rows(statement.text, &statement.args).await?;
    Ok(Rows {
        body: lines.join("\n").into_bytes(),
        ..Rows::default()
    })
}

/// How many rows PostgreSQL thinks there are.
async fn estimated(tx: &mut PgTx, node: &Node) -> Result<u64, DataError> {
    #[derive(Deserialize)]
    struct Explained {
        #[serde(rename = "Plan")]
        plan: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        #[serde(rename = "Plan Rows")]
        rows: f64,
    }
    let statement = sql::counted(node)?.explained(crate::data::query::Explain {
        json: true,
        ..Default::default()
    });
    let plan = tx.rows(statement.text, &statement.args).await?.join("\n");
    let plan: Vec<Explained> = serde_json::from_str(&plan)
        .map_err(|error| DataError::Internal(format!("a plan's JSON: {error}")))?;
    // A number of rows is not negative, and what is too large for it becomes the largest.
    Ok(plan.first().map_or(0, |found| found.plan.rows as u64))
}

/// The rows as one text.
fn joined(rows: &[String], format: Format, header: Option<&str>) -> Result<Vec<u8>, DataError> {
    let bytes: usize = rows.iter().map(|row| row.len() + 1).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(crate::data::answer_too_large());
    }
    let mut body = Vec::with_capacity(bytes + 2);
    match format {
        Format::Json => body.push(b'['),
        Format::Csv => {
            body.extend_from_slice(header.unwrap_or_default().as_bytes());
            body.push(b'\n');
        }
    }
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            body.push(format.separator());
        }
        body.extend_from_slice(row.as_bytes());
    }
    if format == Format::Json {
        body.push(b']');
    }
    Ok(body)
}

/// The answer of a write, which may take several statements.
struct Written<'p> {
    answer: &'p Answering,
    rows: Vec<String>,
    bytes: usize,
    /// Rows written.
    affected: u64,
    inserted: Option<u64>,
    /// Plans, when those are asked for.
    explained: Option<Vec<u8>>,
}

impl<'p> Written<'p> {
    fn new(answer: &'p Answering) -> Written<'p> {
        Written {
            answer,
            rows: Vec::new(),
            bytes: 0,
            affected: 0,
            inserted: None,
            explained: None,
        }
    }

    async fn take(&mut self, tx: &mut PgTx, statement: Statement) -> Result<(), DataError> {
        if let Some(explain) = self.answer.preferences.explain {
            // The first statement stands for the others, which are like it.
            if self.explained.is_none() {
                let plan = explained(tx, statement.explained(explain)).await?;
                self.explained = Some(plan.body);
            }
            return Ok(());
        }
        if !statement.returns {
            self.affected += tx.execute(statement.text, &statement.args).await?;
            return Ok(());
        }
        let (rows, tail) = answers(tx, statement).await?;
        self.affected += tail.written.unwrap_or(rows.len() as u64);
        if let Some(inserted) = tail.inserted {
            *self.inserted.get_or_insert(0) += inserted;
        }
        self.bytes += rows.iter().map(String::len).sum::<usize>();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(crate::data::answer_too_large());
        }
        self.rows.extend(rows);
        Ok(())
    }

    fn finish(self) -> Result<Rows, DataError> {
        let wanted: &Preferences = &self.answer.preferences;
        if let Some(body) = self.explained {
            return Ok(Rows {
                body,
                ..Rows::default()
            });
        }
        let (header, count) = match &self.answer.node {
            Some(node) => (sql::header(node, None), self.rows.len() as u64),
            None => (String::new(), self.affected),
        };
        let rows = Rows {
            body: match self.answer.node {
                Some(_) => joined(&self.rows, wanted.format, Some(&header))?,
                None => b"[]".to_vec(),
            },
            count,
            total: wanted.count.map(|_| self.affected),
            inserted: self.inserted,
            ..Rows::default()
        };
        expected(rows, self.affected, wanted)
    }
}
