//! What an app's before-triggers make of a statement: which rows, and how, is asked before anything is
//! written; what they say is written only while the rows are as they saw them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::hooks::{Batch, BeforeTrigger, Change, Operation, Verdict};
use super::plan::{self, Cells, Condition, DeletePlan, Expr, InsertPlan, Scope, Test, UpdatePlan};
use super::query::{Operator, Preferences, Rows};
use super::run::{self, OldRow, Work};
use super::schema::Command;
use super::store::DataStore;
use super::transaction::Transaction;
use super::types::in_zone;
use super::{
    Actor, DataError, Schema, TRANSACTION_MAX, TRIGGER_BATCH_ROWS, TRIGGER_ROWS_MAX, Table,
};
use crate::budget::Budget;

/// How often a statement is tried whose rows changed while its triggers were asked.
const ATTEMPTS: u32 = 5;

/// Keys of an upsert that are looked for in one statement.
const KEYS_MAX: usize = 500;

/// The triggers that a statement meets.
#[derive(Clone, Default)]
pub(super) struct Triggers {
    pub insert: Vec<Arc<dyn BeforeTrigger>>,
    pub update: Vec<Arc<dyn BeforeTrigger>>,
    pub delete: Vec<Arc<dyn BeforeTrigger>>,
}

impl Triggers {
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn BeforeTrigger>> {
        self.insert.iter().chain(&self.update).chain(&self.delete)
    }
}

/// A statement that before-triggers judge.
pub(super) enum Statement {
    Insert(InsertPlan),
    /// An insert that updates the rows that are there.
    Upsert(InsertPlan),
    Update(UpdatePlan),
    Delete(DeletePlan),
}

impl Statement {
    fn preferences(&self) -> &Preferences {
        match self {
            Statement::Insert(plan) | Statement::Upsert(plan) => &plan.answer.preferences,
            Statement::Update(plan) => &plan.answer.preferences,
            Statement::Delete(plan) => &plan.answer.preferences,
        }
    }

    /// The table whose rows it finds.
    fn finds(&self) -> Option<&Arc<Table>> {
        match self {
            Statement::Insert(_) => None,
            Statement::Upsert(plan) => Some(&plan.table),
            Statement::Update(plan) => Some(&plan.table),
            Statement::Delete(plan) => Some(&plan.table),
        }
    }
}

impl DataStore {
    /// A statement whose rows are judged by before-triggers.
    pub(super) async fn judged(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: Arc<Schema>,
        statement: Statement,
        triggers: &Triggers,
    ) -> Result<Rows, DataError> {
        let serializable = triggers.all().any(|trigger| trigger.serializable());
        let mut attempt = 1;
        loop {
            let outcome = if serializable && within.is_none() {
                self.judged_alone(actor, &schema, &statement, triggers)
                    .await
            } else {
                self.judge_and_write(actor, within, &schema, &statement, triggers)
                    .await
            };
            match outcome {
                // Inside somebody's transaction what changed stays changed: trying again is theirs.
                Err(error)
                    if again(&error, &statement) && within.is_none() && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// With a transaction that begins before the triggers are asked: nobody else's change comes between
    /// what they read and what is written.
    async fn judged_alone(
        &self,
        actor: &Actor,
        schema: &Arc<Schema>,
        statement: &Statement,
        triggers: &Triggers,
    ) -> Result<Rows, DataError> {
        let transaction = self.begin(actor, true).await?;
        // The triggers that it holds the writer for do not queue behind guests that wait for it.
        let mut actor = actor.clone();
        actor.budget.get_or_insert_with(|| {
            let until = Instant::now() + TRANSACTION_MAX;
            Arc::new(Budget::new(u64::MAX / 2, TRANSACTION_MAX, until))
        });
        let actor = &actor;
        let outcome = self
            .judge_and_write(actor, Some(&transaction), schema, statement, triggers)
            .await;
        match outcome {
            Ok(rows) => {
                self.commit(&transaction).await?;
                Ok(rows)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    async fn judge_and_write(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: &Arc<Schema>,
        statement: &Statement,
        triggers: &Triggers,
    ) -> Result<Rows, DataError> {
        let settings = self.settings();
        let scope = Scope {
            schema,
            settings: &settings,
            actor,
        };
        let asking = Asking {
            schema,
            scope,
            timezone: statement.preferences().timezone.as_deref(),
            actor,
            within,
            triggers,
        };
        if let Some(table) = statement.finds() {
            plan::may_judge(&scope, table)?;
        }
        let work = match statement {
            Statement::Insert(plan) => {
                few(&plan.rows)?;
                let rows = asking.inserted(&plan.table, &plan.rows).await?;
                Work::Insert(InsertPlan {
                    rows: rows.into_iter().flatten().collect(),
                    ..plan.clone()
                })
            }
            Statement::Upsert(plan) => self.upserted(&asking, plan).await?,
            Statement::Update(update) => {
                let table = &update.table;
                let conditions = &update.conditions;
                let olds = self
                    .old_rows(&asking, table, conditions, Command::Update)
                    .await?;
                let changes = olds.into_iter().map(|old| (old, update.cells.clone()));
                let rows = asking.updated(table, changes.collect()).await?;
                Work::UpdateRows {
                    table: table.clone(),
                    rows: rows.into_iter().flatten().collect(),
                    met: false,
                    answer: update.answer.clone(),
                }
            }
            Statement::Delete(delete) => {
                let table = &delete.table;
                let conditions = &delete.conditions;
                let olds = self
                    .old_rows(&asking, table, conditions, Command::Delete)
                    .await?;
                Work::DeleteRows {
                    table: table.clone(),
                    rows: asking.deleted(table, olds).await?,
                    answer: delete.answer.clone(),
                }
            }
        };
        if work.is_empty() {
            return run::nothing(statement.preferences());
        }
        self.write(actor, within, schema.clone(), work).await
    }

    /// An upsert is inserts and updates, each judged as what it is.
    async fn upserted(&self, asking: &Asking<'_>, plan: &InsertPlan) -> Result<Work, DataError> {
        let (table, conflict) = match &plan.conflict {
            Some(conflict) => (&plan.table, &conflict.on),
            None => return Ok(Work::Insert(plan.clone())),
        };
        few(&plan.rows)?;
        let canonical =
            |key: &[&RawValue]| in_zone(asking.timezone, || canonical(table, conflict, key));
        let keys: Vec<Option<Vec<&RawValue>>> = plan
            .rows
            .iter()
            .map(|row| key_cells(row, conflict))
            .collect();
        let mut olds = HashMap::new();
        let given: Vec<&Vec<&RawValue>> = keys.iter().flatten().collect();
        for given in given.chunks(KEYS_MAX) {
            let there = any_key(table, conflict, given);
            let found = self
                .old_rows(asking, table, &[there], Command::Select)
                .await?;
            for old in found {
                let cells = plan::replacement(table, &old.json)?;
                if let Some(key) = key_cells(&cells, conflict) {
                    olds.insert(canonical(&key), old);
                }
            }
        }
        let mut met = std::collections::HashSet::new();
        let mut inserts = Vec::new();
        let mut updates = Vec::new();
        let mut kinds = Vec::with_capacity(plan.rows.len());
        for (row, key) in plan.rows.iter().zip(&keys) {
            let key = key.as_ref().map(|key| canonical(key));
            if let Some(key) = &key
                && !met.insert(key.clone())
            {
                return Err(run::twice());
            }
            match key.and_then(|key| olds.remove(&key)) {
                Some(old) => {
                    updates.push((old, row.clone()));
                    kinds.push(true);
                }
                None => {
                    inserts.push(row.clone());
                    kinds.push(false);
                }
            }
        }
        let mut inserts = asking.inserted(table, &inserts).await?.into_iter();
        let mut updates = asking.updated(table, updates).await?.into_iter();
        // What is answered comes in the order of the body.
        let mut parts: Vec<Work> = Vec::new();
        let answer = plan.answer.part();
        for update in kinds {
            if update {
                let Some(Some(row)) = updates.next() else {
                    continue;
                };
                match parts.last_mut() {
                    Some(Work::UpdateRows { rows, .. }) => rows.push(row),
                    _ => parts.push(Work::UpdateRows {
                        table: table.clone(),
                        rows: vec![row],
                        met: true,
                        answer: answer.clone(),
                    }),
                }
            } else {
                let Some(Some(row)) = inserts.next() else {
                    continue;
                };
                match parts.last_mut() {
                    Some(Work::Insert(insert)) => insert.rows.push(row),
                    _ => parts.push(Work::Insert(InsertPlan {
                        table: table.clone(),
                        rows: vec![row],
                        conflict: None,
                        answer: answer.clone(),
                    })),
                }
            }
        }
        Ok(Work::All {
            parts,
            preferences: plan.answer.preferences.clone(),
        })
    }

    /// The rows that a statement would change, as they are now.
    async fn old_rows(
        &self,
        asking: &Asking<'_>,
        table: &Arc<Table>,
        conditions: &[Condition],
        command: Command,
    ) -> Result<Vec<OldRow>, DataError> {
        let asked = run::Asked {
            table: table.clone(),
            conditions: conditions.to_vec(),
            command,
            timezone: asking.timezone.map(str::to_owned),
            rows_max: TRIGGER_ROWS_MAX,
        };
        let schema = asking.schema.clone();
        self.read_old(asking.actor, asking.within, schema, asked)
            .await
    }
}

/// Rows of a request are bounded as those that a statement finds are.
fn few(rows: &[Cells]) -> Result<(), DataError> {
    match rows.len() > TRIGGER_ROWS_MAX {
        true => Err(super::too_many_rows(TRIGGER_ROWS_MAX)),
        false => Ok(()),
    }
}

/// Who is asked, and on whose behalf.
struct Asking<'a> {
    schema: &'a Arc<Schema>,
    scope: Scope<'a>,
    /// Of the request.
    timezone: Option<&'a str>,
    actor: &'a Actor,
    within: Option<&'a Transaction>,
    triggers: &'a Triggers,
}

impl Asking<'_> {
    /// What is to be inserted of each row; none for one that is left out.
    async fn inserted(
        &self,
        table: &Table,
        rows: &[Cells],
    ) -> Result<Vec<Option<Cells>>, DataError> {
        let changes = rows.iter().map(|cells| Change {
            old: None,
            new: Some(plan::object(table, cells)),
        });
        let (triggers, operation) = (&self.triggers.insert, Operation::Insert);
        let judged = self
            .ask(triggers, table, operation, changes.collect())
            .await?;
        judged
            .into_iter()
            .zip(rows)
            .map(|(judgement, cells)| match judgement {
                Judgement::Keep => Ok(Some(cells.clone())),
                Judgement::Replace(row) => {
                    let cells = plan::replacement(table, &row)?;
                    plan::may_replace(&self.scope, table, operation, &cells)?;
                    Ok(Some(cells))
                }
                Judgement::Skip => Ok(None),
            })
            .collect()
    }

    /// What is to be set in each row; none for one that is left as it is.
    async fn updated(
        &self,
        table: &Table,
        rows: Vec<(OldRow, Cells)>,
    ) -> Result<Vec<Option<(OldRow, Cells)>>, DataError> {
        let mut changes = Vec::with_capacity(rows.len());
        for (old, cells) in &rows {
            changes.push(Change {
                new: Some(merged(table, &old.json, cells)?),
                old: Some(old.json.clone()),
            });
        }
        let (triggers, operation) = (&self.triggers.update, Operation::Update);
        let judged = self.ask(triggers, table, operation, changes).await?;
        judged
            .into_iter()
            .zip(rows)
            .map(|(judgement, (old, cells))| {
                Ok(match judgement {
                    Judgement::Keep => Some((old, cells)),
                    Judgement::Replace(row) => {
                        let cells = changed_cells(table, &old, &row, &cells)?;
                        plan::may_replace(&self.scope, table, operation, &cells)?;
                        Some((old, cells))
                    }
                    Judgement::Skip => None,
                })
            })
            .collect()
    }

    /// The rows that go.
    async fn deleted(&self, table: &Table, olds: Vec<OldRow>) -> Result<Vec<OldRow>, DataError> {
        let changes = olds.iter().map(|old| Change {
            old: Some(old.json.clone()),
            new: None,
        });
        let (triggers, operation) = (&self.triggers.delete, Operation::Delete);
        let judged = self
            .ask(triggers, table, operation, changes.collect())
            .await?;
        let kept = judged.into_iter().zip(olds);
        let kept = kept.filter(|(judgement, _)| !matches!(judgement, Judgement::Skip));
        Ok(kept.map(|(_, old)| old).collect())
    }

    /// Asks each trigger in turn, in batches; the next one sees what the one before has made of the rows.
    async fn ask(
        &self,
        triggers: &[Arc<dyn BeforeTrigger>],
        table: &Table,
        operation: Operation,
        mut changes: Vec<Change>,
    ) -> Result<Vec<Judgement>, DataError> {
        let mut judgements: Vec<Judgement> = changes.iter().map(|_| Judgement::Keep).collect();
        for trigger in triggers {
            let open: Vec<usize> = (0..changes.len())
                .filter(|&at| !matches!(judgements[at], Judgement::Skip))
                .collect();
            for part in open.chunks(TRIGGER_BATCH_ROWS) {
                let batch = Batch {
                    table: table.name.as_str().to_owned(),
                    operation,
                    changes: part.iter().map(|&at| changes[at].clone()).collect(),
                };
                let verdicts = trigger.check(self.actor, self.within, &batch).await?;
                if verdicts.len() != part.len() {
                    return Err(DataError::Guest {
                        name: trigger.name().to_owned(),
                        fault: super::GuestFault::Failed,
                    });
                }
                for (&at, verdict) in part.iter().zip(verdicts) {
                    match verdict {
                        Verdict::Keep => {}
                        // There is no row to put in the place of one that goes.
                        Verdict::Replace(_) if operation == Operation::Delete => {}
                        Verdict::Replace(row) => {
                            changes[at].new = Some(row.clone());
                            judgements[at] = Judgement::Replace(row);
                        }
                        Verdict::Skip => judgements[at] = Judgement::Skip,
                        Verdict::Reject { code, message } => {
                            return Err(DataError::Rejected { code, message });
                        }
                    }
                }
            }
        }
        Ok(judgements)
    }
}

/// What all triggers together say of a row.
enum Judgement {
    Keep,
    Replace(String),
    Skip,
}

/// The row as the update would leave it.
fn merged(table: &Table, old: &str, cells: &Cells) -> Result<String, DataError> {
    let mut row = plan::replacement(table, old)?;
    for (column, value) in cells {
        match row.iter_mut().find(|(known, _)| known == column) {
            Some(cell) => cell.1 = value.clone(),
            None => row.push((*column, value.clone())),
        }
    }
    Ok(plan::object(table, &row))
}

/// What is to be written when a trigger gave `row` for the update of `old`: what it changed, and of
/// the update what it left alone.
fn changed_cells(
    table: &Table,
    old: &OldRow,
    row: &str,
    update: &Cells,
) -> Result<Cells, DataError> {
    let before = plan::replacement(table, &old.json)?;
    let mut cells = plan::replacement(table, row)?;
    for cell in update {
        if !cells.iter().any(|(column, _)| column == &cell.0) {
            cells.push(cell.clone());
        }
    }
    let set = |column: usize| update.iter().any(|(known, _)| *known == column);
    cells.retain(|(column, value)| {
        let was = before.iter().find(|(known, _)| known == column);
        let ty = &table.columns[*column].ty;
        // `1.5` is `1.50`, however the trigger wrote it.
        let same = |was: &Option<Box<RawValue>>| match (was, value) {
            (Some(was), Some(value)) => {
                was.get() == value.get()
                    || matches!((ty.from_json(was), ty.from_json(value)), (Ok(a), Ok(b)) if a == b)
            }
            _ => false,
        };
        set(*column) || was.is_none_or(|(_, was)| !same(was))
    });
    cells.sort_by_key(|(column, _)| *column);
    Ok(cells)
}

/// Whether a statement is tried again: its rows changed while its triggers were asked, or a row that an
/// upsert would insert is there now.
fn again(error: &DataError, statement: &Statement) -> bool {
    error.is_conflict()
        || (matches!(statement, Statement::Upsert(_)) && error.code() == Some("23505"))
}

/// The values of a key, when all are given and none is null: then another row may have them.
fn key_cells<'c>(cells: &'c Cells, key: &[usize]) -> Option<Vec<&'c RawValue>> {
    key.iter()
        .map(|column| {
            let (_, value) = cells.iter().find(|(known, _)| known == column)?;
            value.as_deref().filter(|value| value.get() != "null")
        })
        .collect()
}

/// The rows with one of these keys.
fn any_key(table: &Arc<Table>, key: &[usize], keys: &[&Vec<&RawValue>]) -> Condition {
    let literal = |value: &RawValue| {
        let text = serde_json::from_str::<String>(value.get());
        text.unwrap_or_else(|_| value.get().to_owned())
    };
    let test = |column: usize, test: Test| Condition::Test {
        expr: Expr::Column {
            alias: 0,
            table: table.clone(),
            column,
        },
        not: false,
        test,
    };
    if let [column] = *key {
        let values = keys.iter().flat_map(|values| values.iter());
        let values = values.map(|value| literal(value));
        return test(column, Test::In(values.collect()));
    }
    let same = keys.iter().map(|values| {
        let values = key.iter().zip(values.iter());
        let tests = values.map(|(&column, value)| {
            test(column, Test::Compare(Operator::Eq, None, literal(value)))
        });
        Condition::All(tests.collect())
    });
    Condition::Any(same.collect())
}

/// A key's values however they are written: `1` is `"1"` in a number's column.
fn canonical(table: &Table, key: &[usize], values: &[&RawValue]) -> String {
    let mut text = String::new();
    for (column, value) in key.iter().zip(values) {
        match table.columns[*column].ty.from_json(value) {
            Ok(value) => text.push_str(&format!("{value:?}\n")),
            Err(_) => text.push_str(&format!("{}\n", value.get())),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::super::hooks::WriteHooks;
    use super::super::query::{Conflict, Insert, Query, Returning, body};
    use super::super::testing::{TestDb, both};
    use super::*;

    struct Keeps;

    impl BeforeTrigger for Keeps {
        fn name(&self) -> &str {
            "keeps"
        }

        fn serializable(&self) -> bool {
            false
        }

        fn check<'a>(
            &'a self,
            _: &'a Actor,
            _: Option<&'a Transaction>,
            batch: &'a Batch,
        ) -> BoxFuture<'a, Result<Vec<Verdict>, DataError>> {
            Box::pin(async { Ok(batch.changes.iter().map(|_| Verdict::Keep).collect()) })
        }
    }

    struct Hooks;

    impl WriteHooks for Hooks {
        fn before(&self, _: &str, _: Operation) -> Vec<Arc<dyn BeforeTrigger>> {
            vec![Arc::new(Keeps)]
        }

        fn committed(&self) {}
    }

    async fn insert(test: &TestDb, table: &str, rows: usize, merge: bool) -> String {
        let rows: Vec<String> = (0..rows)
            .map(|n| format!(r#"{{"a":{n},"b":{n},"n":{n}}}"#))
            .collect();
        let insert = Insert {
            query: Query {
                table: table.to_owned(),
                ..Query::default()
            },
            rows: body::json(format!("[{}]", rows.join(",")).as_bytes()).unwrap(),
            columns: None,
            missing_default: false,
            conflict: merge.then(|| Conflict {
                on: Vec::new(),
                merge: true,
            }),
            returning: Returning::Count,
        };
        let (actor, preferences) = (test.actor(0), Preferences::default());
        let done = test.store.insert(&actor, None, insert, preferences).await;
        match done {
            Ok(rows) => rows.count.to_string(),
            Err(DataError::TooLarge(_)) => "too large".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[tokio::test]
    async fn rows_that_triggers_see_are_bounded_and_may_be_many() {
        let tables = "create table one (a integer primary key, b integer, n integer);
            create table two (a integer, b integer, n integer, primary key (a, b));";
        for test in both(tables, &[]).await {
            test.store.set_hooks(Arc::new(Hooks));
            for table in ["one", "two"] {
                let over = TRIGGER_ROWS_MAX + 1;
                assert_eq!(insert(&test, table, over, false).await, "too large");
                assert_eq!(insert(&test, table, over, true).await, "too large");
                assert_eq!(insert(&test, table, 800, false).await, "800");
                // Some are there, and there are more than SQLite takes in one chain.
                assert_eq!(insert(&test, table, 1_600, true).await, "1600");
            }
            test.end().await;
        }
    }
}
