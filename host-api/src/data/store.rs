//! The one door to an app's tables. Routes, guests and procedures all come through here, and a write
//! goes one way: plan, before-triggers, one transaction, answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use serde_json::value::RawValue;

use super::hooks::{Batch, BeforeTrigger, Change, Operation, Verdict, WriteHooks};
use super::plan::{self, Cells, InsertPlan};
use super::postgres::{Begin, Postgres};
use super::query::{Insert, Query, Returning, Rows};
use super::run::{self, OldRow, Work};
use super::sqlite::Sqlite;
use super::transaction::Transaction;
use super::{
    Actor, Context, DataError, ROWS_MAX, STATEMENT_TIMEOUT, Schema, TRANSACTION_MAX,
    TRIGGER_BATCH_ROWS, TRIGGER_ROWS_MAX,
};
use crate::budget::Budget;

/// An app's database. Cheap to clone.
#[derive(Clone)]
pub struct DataStore(Arc<Inner>);

struct Inner {
    db: Db,
    /// None until first use: what an idle app's tables are is not in memory.
    schema: ArcSwapOption<Schema>,
    /// How often the schema was forgotten: what was read before is not kept after.
    generation: AtomicU64,
    hooks: OnceLock<Arc<dyn WriteHooks>>,
}

/// The two engines. There is no third word for both: each statement knows which it is for.
#[derive(Clone)]
pub enum Db {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// How often a statement is tried whose rows changed while its triggers were asked.
const ATTEMPTS: u32 = 5;

impl DataStore {
    pub fn new(db: Db) -> DataStore {
        DataStore(Arc::new(Inner {
            db,
            schema: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            hooks: OnceLock::new(),
        }))
    }

    /// Says who answers for the app's triggers; once, before the first write.
    pub fn set_hooks(&self, hooks: Arc<dyn WriteHooks>) {
        let _ = self.0.hooks.set(hooks);
    }

    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// What the tables are; read from the database the first time.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] and the like.
    pub async fn schema(&self) -> Result<Arc<Schema>, DataError> {
        if let Some(schema) = self.0.schema.load_full() {
            return Ok(schema);
        }
        let generation = self.0.generation.load(Ordering::SeqCst);
        let schema = Arc::new(match &self.0.db {
            Db::Sqlite(sqlite) => super::migrate::schema_of(sqlite).await?,
            Db::Postgres(postgres) => postgres.introspect().await?,
        });
        if generation == self.0.generation.load(Ordering::SeqCst) {
            self.0.schema.store(Some(schema.clone()));
            // Forgotten between the two lines before: forget it again.
            if generation != self.0.generation.load(Ordering::SeqCst) {
                self.0.schema.store(None);
            }
        }
        Ok(schema)
    }

    /// After a migration: the next request reads the schema anew.
    pub fn forget_schema(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.schema.store(None);
    }

    /// Whether `actor` may write `table` at all: for doors that would read a body first.
    ///
    /// # Errors
    /// PGRST205, 42501.
    pub async fn may_write(&self, actor: &Actor, table: &str) -> Result<(), DataError> {
        plan::may_write(&*self.schema().await?, actor, table)
    }

    /// Reads rows: at most [`ROWS_MAX`].
    ///
    /// # Errors
    /// The dialect's and PostgreSQL's.
    pub async fn select(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
    ) -> Result<Rows, DataError> {
        let schema = self.schema().await?;
        let mut plan = plan::select(&schema, actor, query)?;
        plan.limit = Some(plan.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX));
        let work = Work::Select(plan);
        match within {
            Some(transaction) => {
                let context = actor.context();
                transaction.run(context, schema, Arc::new(work)).await
            }
            None => self.read(actor, schema, work).await,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The dialect's and PostgreSQL's; [`DataError::Rejected`] in a trigger's words.
    pub async fn insert(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        insert: Insert,
    ) -> Result<Rows, DataError> {
        let schema = self.schema().await?;
        let plan = plan::insert(&schema, actor, insert)?;
        if plan.rows.is_empty() {
            return Ok(Rows::none());
        }
        let table = plan.table.name.as_str();
        let mut triggers = self.before(table, Operation::Insert);
        let merges = plan
            .conflict
            .as_ref()
            .is_some_and(|conflict| conflict.merge);
        if merges && !self.before(table, Operation::Update).is_empty() {
            let message = format!(
                "table \"{table}\" has a before-trigger on update: an upsert would pass it by"
            );
            let fault = super::SqlFault::new("0A000", message).hint(
                "insert, and update the rows that are there, in two requests or in a procedure",
            );
            return Err(fault.into());
        }
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Insert(plan)).await;
        }
        let statement = Statement::Insert(plan);
        self.judged(actor, within, schema, statement, &mut triggers)
            .await
    }

    /// Sets columns in all rows that `query`'s filters find.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); 40001 when rows kept changing under their triggers.
    pub async fn update(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
        values: Vec<(String, Box<RawValue>)>,
        returning: Returning,
    ) -> Result<Rows, DataError> {
        let schema = self.schema().await?;
        let plan = plan::update(&schema, actor, query, values, returning)?;
        if plan.cells.is_empty() {
            return Ok(Rows::none());
        }
        let mut triggers = self.before(plan.table.name.as_str(), Operation::Update);
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Update(plan)).await;
        }
        let statement = Statement::Update(plan);
        self.judged(actor, within, schema, statement, &mut triggers)
            .await
    }

    /// Removes all rows that `query`'s filters find.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn delete(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
        returning: Returning,
    ) -> Result<Rows, DataError> {
        let schema = self.schema().await?;
        let plan = plan::delete(&schema, actor, query, returning)?;
        let mut triggers = self.before(plan.table.name.as_str(), Operation::Delete);
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Delete(plan)).await;
        }
        let statement = Statement::Delete(plan);
        self.judged(actor, within, schema, statement, &mut triggers)
            .await
    }

    /// One statement of a guest's own, as the app. Before-triggers do not see it; the change log does.
    ///
    /// # Errors
    /// PostgreSQL's or SQLite's own; 42501 for what a guest may not do.
    pub async fn sql(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        statement: String,
        parameters: Vec<Box<RawValue>>,
    ) -> Result<Rows, DataError> {
        let work = Work::Sql {
            statement,
            parameters,
        };
        let schema = self.schema().await?;
        self.write(actor, within, schema, work).await
    }

    /// Opens a transaction for a guest or a procedure, for [`TRANSACTION_MAX`] at most from when it is
    /// open.
    ///
    /// # Errors
    /// [`DataError::Unavailable`]; on SQLite 53300 when the writer was not free in time.
    pub async fn begin(&self, actor: &Actor, serializable: bool) -> Result<Transaction, DataError> {
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let session = sqlite.begin_for(actor.context(), TRANSACTION_MAX).await?;
                Ok(Transaction::sqlite(session))
            }
            Db::Postgres(postgres) => {
                let options = Begin {
                    read_only: false,
                    serializable,
                    statement_timeout: TRANSACTION_MAX,
                };
                let tx = postgres.begin(&actor.context(), options).await?;
                Ok(Transaction::postgres(tx, Instant::now() + TRANSACTION_MAX))
            }
        }
    }

    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit(&self, transaction: &Transaction) -> Result<(), DataError> {
        // To its end, whoever still waits for it: what follows a commit must follow it.
        let (store, transaction) = (self.clone(), transaction.clone());
        let committed = tokio::spawn(async move {
            let wake = Wake::new(&store);
            let outcome = transaction.commit().await;
            wake.end(outcome.is_ok());
            outcome
        });
        committed
            .await
            .unwrap_or_else(|error| Err(DataError::Internal(error.to_string())))
    }

    pub async fn rollback(&self, transaction: &Transaction) {
        transaction.rollback().await;
    }

    /// Everything that a read and an insert on SQLite do before they meet the database, for fuzzers.
    pub(crate) fn plan_only(schema: &Schema, actor: &Actor, query: &Query, insert: Option<Insert>) {
        if let Ok(plan) = plan::select(schema, actor, query) {
            let _ = super::sql::select(&plan, &mut super::sql::Args::Sqlite(Vec::new()));
        }
        let Some(Ok(plan)) = insert.map(|insert| plan::insert(schema, actor, insert)) else {
            return;
        };
        for (column, json) in plan.rows.iter().flatten() {
            let ty = &plan.table.columns[*column].ty;
            if let Ok(value) = ty.from_json(json) {
                ty.write_json(value.as_ref(), &mut Vec::new());
            }
        }
    }

    fn before(&self, table: &str, operation: Operation) -> Vec<Arc<dyn BeforeTrigger>> {
        match self.0.hooks.get() {
            Some(hooks) => hooks.before(table, operation),
            None => Vec::new(),
        }
    }

    /// Closes connections that have not been used for `idle`. (Those to PostgreSQL close by themselves.)
    pub fn close_idle(&self, idle: Duration) {
        if let Db::Sqlite(sqlite) = &self.0.db {
            sqlite.close_idle(idle);
        }
    }

    /// Wakes who waits for changes and jobs.
    pub fn committed(&self) {
        if let Some(hooks) = self.0.hooks.get() {
            hooks.committed();
        }
    }

    async fn read(
        &self,
        actor: &Actor,
        schema: Arc<Schema>,
        work: Work,
    ) -> Result<Rows, DataError> {
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let job = move |connection: &_| run::sqlite::run(connection, &schema, &work);
                sqlite.read(actor.context(), patience(actor), job).await
            }
            Db::Postgres(postgres) => {
                let mut tx = postgres.begin(&actor.context(), Begin::read()).await?;
                // Dropped, it rolls back: nobody waits for the end of a read.
                run::postgres::run(&mut tx, &work).await
            }
        }
    }

    async fn write(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: Arc<Schema>,
        work: Work,
    ) -> Result<Rows, DataError> {
        let context = actor.context();
        if let Some(transaction) = within {
            return transaction.run(context, schema, Arc::new(work)).await;
        }
        let wake = Wake::new(self);
        let outcome = match &self.0.db {
            Db::Sqlite(sqlite) => {
                let job = move |connection: &_| run::sqlite::run(connection, &schema, &work);
                sqlite.write(context, patience(actor), job).await
            }
            Db::Postgres(postgres) => {
                let written = write_postgres(postgres, &context, &work);
                match tokio::time::timeout(STATEMENT_TIMEOUT, written).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        let message = "canceling statement due to statement timeout";
                        Err(DataError::sql("57014", message))
                    }
                }
            }
        };
        wake.end(outcome.is_ok());
        outcome
    }

    /// A statement whose rows are judged by before-triggers.
    async fn judged(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: Arc<Schema>,
        statement: Statement,
        triggers: &mut [Arc<dyn BeforeTrigger>],
    ) -> Result<Rows, DataError> {
        let serializable = triggers.iter().any(|trigger| trigger.serializable());
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
                Err(error) if error.is_conflict() && within.is_none() && attempt < ATTEMPTS => {
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
        triggers: &[Arc<dyn BeforeTrigger>],
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
        triggers: &[Arc<dyn BeforeTrigger>],
    ) -> Result<Rows, DataError> {
        let work = match statement {
            Statement::Insert(plan) => {
                let changes = plan.rows.iter().map(|cells| Change {
                    old: None,
                    new: Some(super::sql::object(&plan.table, cells)),
                });
                let table = &plan.table;
                let judged = ask(
                    actor,
                    within,
                    triggers,
                    table.name.as_str(),
                    Operation::Insert,
                    changes.collect(),
                );
                let rows: Vec<Cells> = judged
                    .await?
                    .into_iter()
                    .zip(&plan.rows)
                    .filter_map(|(judgement, cells)| match judgement {
                        Judgement::Keep => Some(Ok(cells.clone())),
                        Judgement::Replace(row) => Some(plan::replacement(table, &row)),
                        Judgement::Skip => None,
                    })
                    .collect::<Result<_, _>>()?;
                Work::Insert(InsertPlan {
                    rows,
                    ..plan.clone()
                })
            }
            Statement::Update(update) => {
                let table = &update.table;
                let olds = self
                    .old_rows(actor, within, schema, table, &update.conditions)
                    .await?;
                let mut changes = Vec::with_capacity(olds.len());
                for old in &olds {
                    changes.push(Change {
                        new: Some(merged(table, &old.json, &update.cells)?),
                        old: Some(old.json.clone()),
                    });
                }
                let judged = ask(
                    actor,
                    within,
                    triggers,
                    table.name.as_str(),
                    Operation::Update,
                    changes,
                );
                let mut rows = Vec::new();
                for (judgement, old) in judged.await?.into_iter().zip(olds) {
                    let cells = match judgement {
                        Judgement::Keep => update.cells.clone(),
                        Judgement::Replace(row) => changed_cells(table, &old, &row, &update.cells)?,
                        Judgement::Skip => continue,
                    };
                    rows.push((old, cells));
                }
                Work::UpdateRows {
                    table: table.clone(),
                    rows,
                    returning: update.returning.clone(),
                }
            }
            Statement::Delete(delete) => {
                let table = &delete.table;
                let olds = self
                    .old_rows(actor, within, schema, table, &delete.conditions)
                    .await?;
                let changes = olds.iter().map(|old| Change {
                    old: Some(old.json.clone()),
                    new: None,
                });
                let judged = ask(
                    actor,
                    within,
                    triggers,
                    table.name.as_str(),
                    Operation::Delete,
                    changes.collect(),
                );
                let judged = judged.await?;
                let kept = judged.into_iter().zip(olds);
                let kept = kept.filter(|(judgement, _)| !matches!(judgement, Judgement::Skip));
                Work::DeleteRows {
                    table: table.clone(),
                    rows: kept.map(|(_, old)| old).collect(),
                    returning: delete.returning.clone(),
                }
            }
        };
        if work.is_empty() {
            return run::nothing(&work);
        }
        self.write(actor, within, schema.clone(), work).await
    }

    /// The rows that a statement would change, as they are now.
    async fn old_rows(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: &Arc<Schema>,
        table: &Arc<super::Table>,
        conditions: &[plan::Condition],
    ) -> Result<Vec<OldRow>, DataError> {
        let plan = run::old_rows_plan(table, conditions)?;
        let context = actor.context();
        if let Some(transaction) = within {
            let schema = schema.clone();
            return transaction
                .old_rows(context, schema, plan, TRIGGER_ROWS_MAX)
                .await;
        }
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let schema = schema.clone();
                let job = move |connection: &_| {
                    run::sqlite::old_rows(connection, &schema, &plan, TRIGGER_ROWS_MAX)
                };
                sqlite.read(context, STATEMENT_TIMEOUT, job).await
            }
            Db::Postgres(postgres) => {
                let mut tx = postgres.begin(&context, Begin::read()).await?;
                run::postgres::old_rows(&mut tx, &plan, TRIGGER_ROWS_MAX).await
            }
        }
    }
}

/// How long one statement may take: of a guest that asks, no longer than the processor time it has left,
/// because SQLite works in this process.
fn patience(actor: &Actor) -> Duration {
    match &actor.budget {
        Some(budget) => budget.cpu_left().clamp(PATIENCE_MIN, STATEMENT_TIMEOUT),
        None => STATEMENT_TIMEOUT,
    }
}

/// Enough for any statement that finds its rows by an index.
const PATIENCE_MIN: Duration = Duration::from_millis(10);

async fn write_postgres(
    postgres: &Postgres,
    context: &Context,
    work: &Work,
) -> Result<Rows, DataError> {
    let mut tx = postgres.begin(context, Begin::write()).await?;
    match run::postgres::run(&mut tx, work).await {
        Ok(rows) => {
            tx.commit().await?;
            Ok(rows)
        }
        Err(error) => {
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

/// Wakes who waits for changes once a write is through, also when whoever asked for it has gone: the
/// writer does its work all the same.
struct Wake<'s> {
    store: &'s DataStore,
    done: bool,
}

impl<'s> Wake<'s> {
    fn new(store: &'s DataStore) -> Wake<'s> {
        Wake { store, done: false }
    }

    fn end(mut self, committed: bool) {
        self.done = true;
        if committed {
            self.store.committed();
        }
    }
}

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Nobody waits for it any more; it ends within its timeout.
        let store = self.store.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(STATEMENT_TIMEOUT).await;
                store.committed();
            });
        }
    }
}

/// A statement that before-triggers judge.
enum Statement {
    Insert(InsertPlan),
    Update(plan::UpdatePlan),
    Delete(plan::DeletePlan),
}

/// What all triggers together say of a row.
enum Judgement {
    Keep,
    Replace(String),
    Skip,
}

/// Asks each trigger in turn, in batches; the next one sees what the one before has made of the rows.
async fn ask(
    actor: &Actor,
    within: Option<&Transaction>,
    triggers: &[Arc<dyn BeforeTrigger>],
    table: &str,
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
                table: table.to_owned(),
                operation,
                changes: part.iter().map(|&at| changes[at].clone()).collect(),
            };
            let verdicts = trigger.check(actor, within, &batch).await?;
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

/// The row as the update would leave it.
fn merged(table: &super::Table, old: &str, cells: &Cells) -> Result<String, DataError> {
    let mut row = plan::replacement(table, old)?;
    for (column, value) in cells {
        match row.iter_mut().find(|(known, _)| known == column) {
            Some(cell) => cell.1 = value.clone(),
            None => row.push((*column, value.clone())),
        }
    }
    Ok(super::sql::object(table, &row))
}

/// What is to be written when a trigger gave `row` for the update of `old`: what it changed, and of
/// the update what it left alone.
fn changed_cells(
    table: &super::Table,
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
        let same = |was: &RawValue| {
            was.get() == value.get()
                || matches!((ty.from_json(was), ty.from_json(value)), (Ok(a), Ok(b)) if a == b)
        };
        set(*column) || was.is_none_or(|(_, was)| !same(was))
    });
    cells.sort_by_key(|(column, _)| *column);
    Ok(cells)
}
