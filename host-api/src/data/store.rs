//! The one door to an app's tables. Routes, guests and procedures all come through here, and a write
//! goes one way: plan, before-triggers, one transaction, answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::hooks::{BeforeTrigger, Operation, WriteHooks};
use super::judge::{Statement, Triggers};
use super::plan::{self, Scope};
use super::postgres::PgTx;
use super::postgres::{Begin, Postgres};
use super::query::{Insert, Preferences, Query, Returning, Rows};
use super::run::{self, Asked, OldRow, Work};
use super::sqlite::Sqlite;
use super::sqlite_ffi::Connection;
use super::transaction::Transaction;
use super::{Actor, Context, DataError, STATEMENT_TIMEOUT, Schema, Settings, TRANSACTION_MAX};
use crate::permissions::PermissionCache;

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
    settings: ArcSwap<Settings>,
    /// Set once the SQLite file has the tables of users.
    users_ready: OnceCell<()>,
    permissions: Arc<PermissionCache>,
}

/// The two engines. There is no third word for both: each statement knows which it is for.
#[derive(Clone)]
pub enum Db {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl DataStore {
    pub fn new(db: Db) -> DataStore {
        DataStore(Arc::new(Inner {
            db,
            schema: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            hooks: OnceLock::new(),
            settings: ArcSwap::default(),
            users_ready: OnceCell::new(),
            permissions: Arc::default(),
        }))
    }

    /// Says who answers for the app's triggers; once, before the first write.
    pub fn set_hooks(&self, hooks: Arc<dyn WriteHooks>) {
        let _ = self.0.hooks.set(hooks);
    }

    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Whether the database is one that Pumice makes nothing in.
    pub fn is_external(&self) -> bool {
        matches!(&self.0.db, Db::Postgres(postgres) if postgres.is_external())
    }

    pub(crate) fn users_ready(&self) -> &OnceCell<()> {
        &self.0.users_ready
    }

    /// # Errors
    /// 0A000 in an external database.
    pub(crate) fn not_external(&self, what: &str) -> Result<(), DataError> {
        match self.is_external() {
            true => Err(DataError::sql(
                "0A000",
                format!("the app's database is an external one, without {what}"),
            )),
            false => Ok(()),
        }
    }

    /// What the tables are; read from the database the first time.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] and the like.
    pub async fn schema(&self) -> Result<Arc<Schema>, DataError> {
        if let Db::Postgres(postgres) = &self.0.db
            && postgres.is_due()
            && matches!(boxed(postgres.look()).await, Ok(true))
        {
            // Others change tables there too.
            self.forget_schema();
        }
        match self.0.schema.load_full() {
            Some(schema) => Ok(schema),
            None => boxed(self.read_schema()).await,
        }
    }

    async fn read_schema(&self) -> Result<Arc<Schema>, DataError> {
        let generation = self.0.generation.load(Ordering::SeqCst);
        let schema = Arc::new(match &self.0.db {
            Db::Sqlite(sqlite) => super::migrate::schema_of(sqlite).await?,
            Db::Postgres(postgres) => {
                let settings = self.settings();
                postgres.introspect_schemas(&settings.schemas).await?
            }
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
        // A migration may have granted something.
        self.0.permissions.forget();
    }

    /// Who may what, compiled.
    pub(crate) fn permissions(&self) -> &Arc<PermissionCache> {
        &self.0.permissions
    }

    /// What the app's manifest says of its API.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    /// From now on; other schemas are looked at with the next request.
    pub fn set_settings(&self, settings: Settings) {
        let before = self.0.settings.swap(Arc::new(settings));
        if before.schemas != self.0.settings.load().schemas {
            self.forget_schema();
        }
    }

    /// Whether `actor` may write the table at all: for doors that would read a body first.
    ///
    /// # Errors
    /// PGRST205, 42501.
    pub async fn may_write(&self, actor: &Actor, query: &Query) -> Result<(), DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        plan::may_write(
            &Scope {
                schema: &schema,
                settings: &settings,
                actor,
            },
            query,
        )
    }

    /// Reads rows.
    ///
    /// # Errors
    /// The dialect's and PostgreSQL's.
    pub async fn select(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
        preferences: Preferences,
    ) -> Result<Rows, DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        let plan = plan::read(
            &Scope {
                schema: &schema,
                settings: &settings,
                actor,
            },
            query,
            preferences,
        )?;
        let work = Work::Read(plan);
        match within {
            Some(transaction) => boxed(transaction.run(self.job(actor, schema, work))).await,
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
        preferences: Preferences,
    ) -> Result<Rows, DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        let plan = plan::insert(
            &Scope {
                schema: &schema,
                settings: &settings,
                actor,
            },
            insert,
            preferences,
        )?;
        if plan.rows.is_empty() {
            return run::nothing(&plan.answer.preferences);
        }
        let table = plan.table.name.as_str();
        let merges = plan
            .conflict
            .as_ref()
            .is_some_and(|conflict| conflict.merge);
        let mut triggers = Triggers {
            insert: self.before(table, Operation::Insert),
            ..Triggers::default()
        };
        if merges {
            triggers.update = self.before(table, Operation::Update);
        }
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Insert(plan)).await;
        }
        let statement = match merges {
            true => Statement::Upsert(plan),
            false => Statement::Insert(plan),
        };
        boxed(self.judged(actor, within, schema, statement, &triggers)).await
    }

    /// Sets columns in all rows that `query`'s filters find. With `columns` only these keys of `values`
    /// are read; one that it has not becomes the column's default when `missing_default` says so.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); 40001 when rows kept changing under their triggers.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a request of the dialect has"
    )]
    pub async fn update(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
        values: Vec<(String, Box<RawValue>)>,
        columns: Option<&[String]>,
        missing_default: bool,
        returning: Returning,
        preferences: Preferences,
    ) -> Result<Rows, DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        let plan = plan::update(
            &Scope {
                schema: &schema,
                settings: &settings,
                actor,
            },
            query,
            values,
            columns,
            missing_default,
            returning,
            preferences,
        )?;
        if plan.cells.is_empty() {
            return run::nothing(&plan.answer.preferences);
        }
        let triggers = Triggers {
            update: self.before(plan.table.name.as_str(), Operation::Update),
            ..Triggers::default()
        };
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Update(plan)).await;
        }
        let statement = Statement::Update(plan);
        boxed(self.judged(actor, within, schema, statement, &triggers)).await
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
        preferences: Preferences,
    ) -> Result<Rows, DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        let scope = Scope {
            schema: &schema,
            settings: &settings,
            actor,
        };
        let plan = plan::delete(&scope, query, returning, preferences)?;
        let triggers = Triggers {
            delete: self.before(plan.table.name.as_str(), Operation::Delete),
            ..Triggers::default()
        };
        if triggers.is_empty() {
            return self.write(actor, within, schema, Work::Delete(plan)).await;
        }
        let statement = Statement::Delete(plan);
        boxed(self.judged(actor, within, schema, statement, &triggers)).await
    }

    /// Calls an SQL function (PostgreSQL). With `read_only` it cannot write: 25006.
    ///
    /// # Errors
    /// PGRST202, PGRST203, and what the function raises.
    pub async fn call(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        query: &Query,
        given: plan::Given,
        read_only: bool,
        preferences: Preferences,
    ) -> Result<Rows, DataError> {
        let (schema, settings) = (self.schema().await?, self.settings());
        let scope = Scope {
            schema: &schema,
            settings: &settings,
            actor,
        };
        let work = Work::Call(plan::call(&scope, query, given, read_only, preferences)?);
        match (read_only, within) {
            (true, None) => self.read(actor, schema, work).await,
            (_, within) => self.write(actor, within, schema, work).await,
        }
    }

    /// One statement of a guest's own, as the app. Before-triggers do not see it; the change log does.
    ///
    /// # Errors
    /// PostgreSQL's or SQLite's own; 42501 for what a guest may not do; 0A000 in an external database.
    pub async fn sql(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        statement: String,
        parameters: Vec<Box<RawValue>>,
    ) -> Result<Rows, DataError> {
        // Its rows need a function of ours. Nor could it be kept from taking the login's role.
        self.not_external("raw SQL")?;
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
        boxed(self.begun(actor, serializable, false)).await
    }

    /// As [`begin`](Self::begin), serializable and for reads alone: a write answers 25006.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_reading(&self, actor: &Actor) -> Result<Transaction, DataError> {
        let transaction = boxed(self.begun(actor, true, true)).await?;
        transaction.only_read();
        Ok(transaction)
    }

    async fn begun(
        &self,
        actor: &Actor,
        serializable: bool,
        read_only: bool,
    ) -> Result<Transaction, DataError> {
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let session = sqlite.begin_for(actor.context(), TRANSACTION_MAX).await?;
                Ok(Transaction::sqlite(session))
            }
            Db::Postgres(postgres) => {
                let options = Begin {
                    read_only,
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

    fn job(&self, actor: &Actor, schema: Arc<Schema>, work: Work) -> Job {
        Job {
            context: actor.context(),
            schema,
            settings: self.settings(),
            work: Arc::new(work),
        }
    }

    async fn read(
        &self,
        actor: &Actor,
        schema: Arc<Schema>,
        work: Work,
    ) -> Result<Rows, DataError> {
        let job = self.job(actor, schema, work);
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let (context, patience) = (job.context.clone(), self.patience(actor));
                let job = move |connection: &_| job.on_sqlite(connection);
                sqlite.read(context, patience, job).await
            }
            Db::Postgres(postgres) => boxed(read_postgres(postgres, &job)).await,
        }
    }

    pub(super) async fn write(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: Arc<Schema>,
        work: Work,
    ) -> Result<Rows, DataError> {
        let job = self.job(actor, schema, work);
        if let Some(transaction) = within {
            return boxed(transaction.run(job)).await;
        }
        let wake = Wake::new(self);
        let outcome = match &self.0.db {
            Db::Sqlite(sqlite) => {
                let (context, patience) = (job.context.clone(), self.patience(actor));
                let job = move |connection: &_| job.on_sqlite(connection);
                sqlite.write(context, patience, job).await
            }
            Db::Postgres(postgres) => {
                let written = boxed(write_postgres(postgres, &job));
                match tokio::time::timeout(job.settings.statement_timeout, written).await {
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

    /// The rows that a statement would change, as they are now.
    pub(super) async fn read_old(
        &self,
        actor: &Actor,
        within: Option<&Transaction>,
        schema: Arc<Schema>,
        asked: Asked,
    ) -> Result<Vec<OldRow>, DataError> {
        let context = actor.context();
        if let Some(transaction) = within {
            return transaction.old_rows(context, schema, asked).await;
        }
        match &self.0.db {
            Db::Sqlite(sqlite) => {
                let (told, patience) = (context.clone(), self.patience(actor));
                let job =
                    move |connection: &_| run::sqlite::old_rows(connection, &schema, &told, &asked);
                sqlite.read(context, patience, job).await
            }
            Db::Postgres(postgres) => {
                // Rows are locked to be read as their update would; dropped, it lets them go.
                let mut tx = postgres.begin(&context, Begin::write()).await?;
                run::postgres::old_rows(&mut tx, &asked).await
            }
        }
    }

    /// How long one statement may take: of a guest that asks, no longer than the processor time it has
    /// left, because SQLite works in this process.
    fn patience(&self, actor: &Actor) -> Duration {
        let most = self.0.settings.load().statement_timeout;
        match &actor.budget {
            Some(budget) => budget.cpu_left().max(PATIENCE_MIN).min(most),
            None => most,
        }
    }
}

/// A piece of work and all that it is done with.
pub(super) struct Job {
    pub context: Context,
    pub schema: Arc<Schema>,
    pub settings: Arc<Settings>,
    pub work: Arc<Work>,
}

impl Job {
    pub fn on_sqlite(&self, connection: &Connection) -> Result<Rows, DataError> {
        run::sqlite::run(connection, &self.schema, &self.context, &self.work)
    }

    pub fn on_postgres<'a>(&'a self, tx: &'a mut PgTx) -> BoxFuture<'a, Result<Rows, DataError>> {
        boxed(run::postgres::run(
            tx,
            &self.schema,
            &self.settings,
            &self.work,
        ))
    }
}

/// Enough for any statement that finds its rows by an index.
const PATIENCE_MIN: Duration = Duration::from_millis(10);

/// Behind a box: the compiler looks once at what it may be sent along with, not once more for each caller.
fn boxed<'f, T>(future: impl Future<Output = T> + Send + 'f) -> BoxFuture<'f, T> {
    Box::pin(future)
}

async fn read_postgres(postgres: &Postgres, job: &Job) -> Result<Rows, DataError> {
    let begin = Begin {
        statement_timeout: job.settings.statement_timeout,
        ..Begin::read()
    };
    let around = run::postgres::surroundings(&job.settings, &job.work);
    let mut tx = postgres.begin_in(&job.context, begin, &around).await?;
    // Dropped, it rolls back: nobody waits for the end of a read.
    job.on_postgres(&mut tx).await
}

async fn write_postgres(postgres: &Postgres, job: &Job) -> Result<Rows, DataError> {
    let begin = Begin {
        statement_timeout: job.settings.statement_timeout,
        ..Begin::write()
    };
    let around = run::postgres::surroundings(&job.settings, &job.work);
    let mut tx = postgres.begin_in(&job.context, begin, &around).await?;
    match job.on_postgres(&mut tx).await {
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
