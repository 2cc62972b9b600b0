//! Apps on PostgreSQL: one database each, on one server, or each where somebody else keeps it.
//!
//! [`Cluster`] makes databases and roles and opens migrations; [`External`] is a database that Pumice
//! did not make; [`Postgres`] is one app's database and
//! [`PgTx`] a transaction in it, which acts as a role with claims. What a request means is decided
//! above: here SQL goes in and rows come out.

mod errors;
mod external;
mod guest;
mod introspect;
mod lineage;
mod pool;
mod provision;
mod sql;
#[cfg(test)]
mod tests;
mod watch;
#[cfg(test)]
pub(crate) use self::tests::url as test_url;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row as _, ValueRef as _};
use tokio::sync::{OnceCell, Semaphore};

pub use self::external::{CANNOT, External, ExternalError, preparation};
pub use self::pool::Connections;
pub use self::provision::{Applied, Cluster, Held, Owner, OwnerTx};

use self::pool::{Lease, Pool};
use self::watch::Watch;
use super::{Context, DataError, Schema};
use crate::{AppId, Role};

/// Bytes of a statement that a connection keeps prepared: a longer one seldom comes again, and takes
/// megabytes of the server's memory.
const KEPT_TEXT_MAX: usize = 4 << 10;

/// One app's database. Cheap to clone; connections open on first use.
#[derive(Clone)]
pub struct Postgres {
    app: AppId,
    pool: Arc<Pool>,
    options: Arc<PgConnectOptions>,
    /// Its part of the node's connections.
    share: Arc<Semaphore>,
    watch: Arc<Watch>,
    timezones: Timezones,
    external: bool,
}

/// A server's time zones: read once, because the server reads a file for each.
type Timezones = Arc<OnceCell<BTreeSet<String>>>;

impl fmt::Debug for Postgres {
    /// Without its options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(&self.app).finish()
    }
}

/// What kind of transaction begins.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// Any write answers 25006.
    pub read_only: bool,
    /// `serializable`, else `read committed`. The caller runs it again on 40001.
    pub serializable: bool,
    /// For each statement; beyond it 57014. At least a millisecond.
    pub statement_timeout: Duration,
}

/// How statements read names and times. What is empty is as the app's role has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Schemas, in order.
    pub search_path: Vec<String>,
    /// A time zone's name: `timestamptz` come in this zone.
    pub timezone: Option<String>,
}

impl Begin {
    /// For one read.
    pub fn read() -> Begin {
        Begin {
            read_only: true,
            ..Begin::write()
        }
    }

    /// For one statement that writes.
    pub fn write() -> Begin {
        Begin {
            read_only: false,
            serializable: false,
            statement_timeout: super::STATEMENT_TIMEOUT,
        }
    }
}

impl Postgres {
    /// Whether Pumice made nothing of it and may make nothing in it.
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// Closes the connections that nobody uses.
    pub async fn close(&self) {
        self.pool.forget(self.app).await;
    }

    /// A transaction that acts as `context` says, in one round trip.
    ///
    /// # Errors
    /// PGRST003 when no connection comes free in time, [`DataError::Unavailable`] when the server does
    /// not answer, 22023 for a role that is not one of the three.
    pub async fn begin(&self, context: &Context, options: Begin) -> Result<PgTx, DataError> {
        self.begin_in(context, options, &Surroundings::default())
            .await
    }

    /// As [`Postgres::begin`], with names and times read as `surroundings` says.
    ///
    /// # Errors
    /// As [`Postgres::begin`].
    pub fn begin_in<'a>(
        &'a self,
        context: &'a Context,
        options: Begin,
        surroundings: &'a Surroundings,
    ) -> BoxFuture<'a, Result<PgTx, DataError>> {
        Box::pin(async move {
            let batch = sql::begin(context, options, surroundings)?;
            loop {
                let mut tx = PgTx {
                    lease: Some(
                        self.pool
                            .lease(self.app, &self.options, &self.share)
                            .await?,
                    ),
                    context: context.clone(),
                    surroundings: Box::new(surroundings.clone()),
                    identity: Identity::Own,
                    state: State::Busy,
                    savepoints: 0,
                    guest_statements: 0,
                    prepared: Vec::new(),
                    guest_was_here: false,
                };
                let lease = tx.lease()?;
                let reused = lease.reused;
                match sqlx::raw_sql(AssertSqlSafe(batch.clone()))
                    .execute(&mut lease.connection)
                    .await
                {
                    Ok(_) => {
                        tx.state = State::Open;
                        return Ok(tx);
                    }
                    // Nothing has happened yet. An idle connection may have ended while nobody looked: the
                    // next one is tried, at last a new one.
                    Err(error) => {
                        drop(tx.lease.take());
                        if !reused {
                            return Err(error.into());
                        }
                    }
                }
            }
        })
    }

    /// What stands in schema `public`: as [`Postgres::introspect_schemas`].
    ///
    /// # Errors
    /// As [`Postgres::introspect_schemas`].
    pub async fn introspect(&self) -> Result<Schema, DataError> {
        self.introspect_schemas(&[super::schema::PUBLIC.to_owned()])
            .await
    }

    /// The relations and functions of `schemas` as they stand now, those that the app's other nodes made
    /// included. Relations of other schemas that views show are there too: requests cannot name them, but
    /// what leads from one view to another is written down there.
    ///
    /// # Errors
    /// As [`Postgres::begin`]; [`DataError::Internal`] if the catalog is not as PostgreSQL documents it.
    pub fn introspect_schemas<'a>(
        &'a self,
        schemas: &'a [String],
    ) -> BoxFuture<'a, Result<Schema, DataError>> {
        Box::pin(async move {
            let mut tx = self.begin_catalog().await?;
            // Before the catalog is read: what changes meanwhile is then seen as a change.
            self.watch.look(&mut tx).await?;
            let schemas = serde_json::Value::from(schemas).to_string();
            let rows = tx
                .rows(sql::INTROSPECT.to_owned(), &[Some(schemas)])
                .await?;
            let mut schema = introspect::schema(rows.first().map_or("null", String::as_str))?;
            schema.timezones = self
                .timezones
                .get_or_try_init(|| async {
                    let names = tx.rows(sql::TIMEZONES.to_owned(), &[]).await?;
                    Ok::<_, DataError>(names.into_iter().collect())
                })
                .await?
                .clone();
            tx.rollback().await?;
            Ok(schema)
        })
    }

    /// Whether tables, functions or rights are not as they were when they were last read or asked about.
    ///
    /// For every request to ask: the catalog is looked at once in [`watch::LOOK_EVERY`] at most, and `false`
    /// is the answer until then. So `notify pgrst, 'reload schema'` has nothing to add, no connection
    /// listens for it, and an app that nobody calls costs nothing.
    ///
    /// # Errors
    /// As [`Postgres::begin`].
    #[cfg(test)]
    pub async fn catalog_changed(&self) -> Result<bool, DataError> {
        if !self.watch.is_due() {
            return Ok(false);
        }
        self.look().await
    }

    /// Whether it is time to [`look`](Self::look) again; once for each time.
    pub fn is_due(&self) -> bool {
        self.watch.is_due()
    }

    /// As [`Postgres::catalog_changed`], now.
    ///
    /// # Errors
    /// As [`Postgres::begin`].
    pub fn look<'a>(&'a self) -> BoxFuture<'a, Result<bool, DataError>> {
        Box::pin(async move {
            let mut tx = self.begin_catalog().await?;
            let changed = self.watch.look(&mut tx).await?;
            tx.rollback().await?;
            Ok(changed)
        })
    }

    /// As if the catalog had not been looked at for long.
    #[cfg(test)]
    pub(crate) fn look_now(&self) {
        self.watch.make_due();
    }

    async fn begin_catalog(&self) -> Result<PgTx, DataError> {
        let context = Context {
            role: Role::ServiceRole,
            ..Context::default()
        };
        let options = Begin {
            read_only: true,
            serializable: false,
            statement_timeout: Duration::from_secs(30),
        };
        // With an empty search path all names come with their schemas.
        let surroundings = Surroundings {
            search_path: vec![String::new()],
            timezone: None,
        };
        self.begin_in(&context, options, &surroundings).await
    }
}

/// A transaction. Dropping it rolls it back; if a statement is running, the server ends that too.
pub struct PgTx {
    /// Taken when the transaction ends.
    lease: Option<Lease>,
    context: Context,
    surroundings: Box<Surroundings>,
    identity: Identity,
    state: State,
    savepoints: u32,
    /// Numbers for the names of guests' statements.
    guest_statements: u32,
    /// Those that stand on the server.
    prepared: Vec<u32>,
    /// Whether the session may not be as it was.
    guest_was_here: bool,
}

/// As whom the server takes the next statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// As the context says.
    Own,
    /// A guest's SQL ran, and may have changed its role and claims.
    Guest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A statement is on its way. Seen after it only if its future was dropped.
    Busy,
    /// A statement failed: the server wants a rollback, of all or to a savepoint.
    Failed,
}

impl fmt::Debug for PgTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTx").field("state", &self.state).finish()
    }
}

impl PgTx {
    /// Runs one statement and returns the first column of its rows, which is of a text type (or `json`);
    /// null is `null`.
    ///
    /// Arguments are of type text: SQL casts them, without length or precision (`$1::varchar`), because
    /// an explicit cast to `varchar(3)` cuts silently what an assignment refuses.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::TransactionEnded`] after a call that was broken off.
    pub fn rows<'a>(
        &'a mut self,
        sql: String,
        args: &'a [Option<String>],
    ) -> BoxFuture<'a, Result<Vec<String>, DataError>> {
        Box::pin(async move {
            self.be_own().await?;
            self.start()?;
            let mut rows = Vec::new();
            let mut bytes = 0;
            let mut stream = bound(sql, args).fetch(
                &mut self
                    .lease
                    .as_mut()
                    .ok_or(DataError::TransactionEnded)?
                    .connection,
            );
            // None: there is more than an answer may hold.
            let done = loop {
                match stream.try_next().await {
                    Ok(Some(row)) => {
                        let row = text(&row)?;
                        bytes += row.len();
                        if bytes > super::ANSWER_BYTES_MAX {
                            break Ok(None);
                        }
                        rows.push(row);
                    }
                    Ok(None) => break Ok(Some(())),
                    Err(error) => break Err(error),
                }
            };
            drop(stream);
            match done {
                // What is left of the answer is read and thrown away by the next statement.
                Ok(None) => {
                    self.state = State::Failed;
                    Err(super::answer_too_large())
                }
                done => self.settle(done).map(|_| rows),
            }
        })
    }

    /// Runs one statement and returns how many rows it touched. Arguments as in [`PgTx::rows`].
    ///
    /// # Errors
    /// As [`PgTx::rows`].
    pub fn execute<'a>(
        &'a mut self,
        sql: String,
        args: &'a [Option<String>],
    ) -> BoxFuture<'a, Result<u64, DataError>> {
        Box::pin(async move {
            self.be_own().await?;
            self.start()?;
            let query = bound(sql, args);
            let done = query.execute(&mut self.lease()?.connection).await;
            Ok(self.settle(done)?.rows_affected())
        })
    }

    /// Acts as `context` says from the next statement on.
    pub fn set_context(&mut self, context: &Context) {
        if self.context != *context {
            self.context = context.clone();
            self.identity = Identity::Guest;
        }
    }

    /// As whom it acts.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Reads names and times as `surroundings` says from the next statement on; costs a round trip when
    /// that is another way.
    ///
    /// # Errors
    /// As [`PgTx::rows`]; 22023 for a time zone that the server does not know.
    pub fn surround<'a>(
        &'a mut self,
        surroundings: &'a Surroundings,
    ) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            if *self.surroundings == *surroundings {
                return Ok(());
            }
            if self.identity == Identity::Own {
                self.batch(sql::surround(surroundings)?).await?;
            }
            *self.surroundings = surroundings.clone();
            Ok(())
        })
    }

    /// How names and times are read now.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Sets a point to go back to. Points nest; each is ended by [`PgTx::release`] or
    /// [`PgTx::rollback_to`].
    ///
    /// # Errors
    /// As [`PgTx::rows`].
    pub fn savepoint<'a>(&'a mut self) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            self.batch(sql::savepoint(self.savepoints)).await?;
            self.savepoints += 1;
            Ok(())
        })
    }

    /// Ends the newest point and keeps what followed it.
    ///
    /// # Errors
    /// As [`PgTx::rows`]; 3B001 without a point.
    pub fn release<'a>(&'a mut self) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            let newest = self.newest_savepoint()?;
            self.batch(sql::release(newest)).await?;
            self.savepoints = newest;
            Ok(())
        })
    }

    /// Ends the newest point and undoes what followed it, a failed statement included.
    ///
    /// # Errors
    /// As [`PgTx::rows`]; 3B001 without a point.
    pub fn rollback_to<'a>(&'a mut self) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            let newest = self.newest_savepoint()?;
            if self.state == State::Failed {
                self.state = State::Open;
            }
            self.batch(sql::rollback_to(newest)).await?;
            self.savepoints = newest;
            // Role and claims are again what they were at that point, whosever they were.
            self.identity = Identity::Guest;
            Ok(())
        })
    }

    fn newest_savepoint(&self) -> Result<u32, DataError> {
        let newest = self.savepoints.checked_sub(1);
        newest.ok_or_else(|| DataError::sql("3B001", "there is no savepoint"))
    }

    /// Makes everything permanent.
    ///
    /// # Errors
    /// PostgreSQL's own, from deferred constraints and conflicts with others; 25P02 when a statement had
    /// failed and was not undone. Nothing is permanent then, unless it is [`DataError::Unavailable`]:
    /// then nobody knows.
    pub fn commit(mut self) -> BoxFuture<'static, Result<(), DataError>> {
        Box::pin(async move {
            if self.state == State::Failed {
                // PostgreSQL itself answers `commit` with a rollback and no error.
                self.rollback().await?;
                return Err(DataError::sql(
                    "25P02",
                    "current transaction is aborted, commands ignored until end of transaction block",
                ));
            }
            self.batch(sql::COMMIT.to_owned()).await?;
            self.end();
            Ok(())
        })
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// [`DataError::Unavailable`]; everything is undone then as well.
    pub fn rollback(mut self) -> BoxFuture<'static, Result<(), DataError>> {
        Box::pin(async move {
            if self.state == State::Failed {
                self.state = State::Open;
            }
            self.batch(sql::ROLLBACK.to_owned()).await?;
            self.end();
            Ok(())
        })
    }

    /// Gives the connection back, outside of its transaction.
    fn end(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        if self.guest_was_here {
            lease.give_back_after(sql::clean(&self.prepared));
        } else {
            lease.give_back();
        }
    }

    /// Our own statements, without arguments and rows.
    fn batch<'a>(&'a mut self, sql: String) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            self.start()?;
            let done = sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut self.lease()?.connection)
                .await;
            self.settle(done).map(|_| ())
        })
    }

    /// Undoes what a guest's SQL may have done to role and claims.
    fn be_own<'a>(&'a mut self) -> BoxFuture<'a, Result<(), DataError>> {
        Box::pin(async move {
            if self.identity != Identity::Own {
                let own = sql::identity(&self.context)?;
                let own = format!("{own};{}", sql::surround(&self.surroundings)?);
                self.batch(own).await?;
                self.identity = Identity::Own;
            }
            Ok(())
        })
    }

    fn lease(&mut self) -> Result<&mut Lease, DataError> {
        self.lease.as_mut().ok_or(DataError::TransactionEnded)
    }

    fn start(&mut self) -> Result<(), DataError> {
        if self.state == State::Busy {
            return Err(DataError::TransactionEnded);
        }
        // A failed transaction stays so: the server says it again in its own words.
        self.state = State::Busy;
        Ok(())
    }

    fn settle<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, DataError> {
        self.state = if result.is_ok() {
            State::Open
        } else {
            State::Failed
        };
        Ok(result?)
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        if self.state == State::Busy {
            lease.kill();
        } else {
            let clean = if self.guest_was_here {
                sql::clean(&self.prepared)
            } else {
                String::new()
            };
            lease.give_back_after(format!("{};{clean}", sql::ROLLBACK));
        }
    }
}

/// A statement that is kept prepared if it is short.
fn bound<'q>(sql: String, args: &[Option<String>]) -> Query<'q, sqlx::Postgres, PgArguments> {
    let kept = sql.len() <= KEPT_TEXT_MAX;
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(kept);
    args.iter()
        .fold(query, |query, arg| query.bind(arg.clone()))
}

/// The first column, a text.
fn text(row: &PgRow) -> Result<String, DataError> {
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok("null".to_owned());
    }
    let text = value.as_str();
    Ok(text
        .map_err(|error| DataError::Internal(error.to_string()))?
        .to_owned())
}
