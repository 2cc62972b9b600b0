//! The host's own statements, beside those that the API plans: the change log, the outbox, jobs.
//!
//! An [`Operation`] is written once for both engines. Each of its statements stands in both dialects,
//! takes the same arguments, and answers each row as one JSON object. It runs as nobody in particular:
//! callers have no rights on schema `pumice`.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;

use super::postgres::{Begin, PgTx};
use super::sqlite::Connection;
use super::store::{DataStore, Db};
use super::{Context, DataError, Value, ValueRef};

/// How long one operation may take: thousands of rows of the host's own, or a lock that another node
/// holds for as long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One statement in both dialects.
pub struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// Where an operation runs its statements.
pub trait Engine {
    /// The first column of each row, a text.
    ///
    /// # Errors
    /// The engine's.
    fn texts(
        &mut self,
        sql: &Sql,
        args: &[Value],
    ) -> impl Future<Output = Result<Vec<String>, DataError>>;

    /// How many rows were written.
    ///
    /// # Errors
    /// The engine's.
    fn execute(
        &mut self,
        sql: &Sql,
        args: &[Value],
    ) -> impl Future<Output = Result<u64, DataError>>;
}

/// Statements that happen together. It may run more than once; the last run counts.
pub trait Operation: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// # Errors
    /// The engine's.
    fn run<E: Engine>(
        &self,
        engine: &mut E,
    ) -> impl Future<Output = Result<Self::Answer, DataError>>;
}

/// The rows of `sql`, each of them JSON of a `T`.
///
/// # Errors
/// The engine's; [`DataError::Internal`] when a row is no `T`.
pub(crate) async fn rows<T: DeserializeOwned, E: Engine>(
    engine: &mut E,
    sql: &Sql,
    args: &[Value],
) -> Result<Vec<T>, DataError> {
    let texts = engine.texts(sql, args).await?;
    let rows = texts.iter().map(|text| serde_json::from_str(text));
    let rows: Result<Vec<T>, _> = rows.collect();
    rows.map_err(|error| DataError::Internal(format!("a row of the host's own: {error}")))
}

impl DataStore {
    /// Runs `operation` in a transaction of its own. Resolves when that is durable.
    ///
    /// # Errors
    /// The operation's.
    pub(crate) async fn own<O: Operation>(&self, operation: O) -> Result<O::Answer, DataError> {
        let context = Context::default();
        match self.db() {
            Db::Sqlite(sqlite) => {
                let job = move |connection: &Connection| on_sqlite(&operation, connection);
                sqlite.write(context, TIMEOUT, job).await
            }
            Db::Postgres(postgres) => {
                self.not_external("jobs and a change log")?;
                let mut tx = postgres.begin(&context, options(false)).await?;
                match operation.run(&mut tx).await {
                    Ok(answer) => tx.commit().await.map(|()| answer),
                    Err(error) => {
                        // The error says more than what a rollback could add.
                        let _ = tx.rollback().await;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Runs `operation`, which only reads.
    ///
    /// # Errors
    /// The operation's.
    pub(crate) async fn own_read<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Answer, DataError> {
        let context = Context::default();
        match self.db() {
            Db::Sqlite(sqlite) => {
                let job = move |connection: &Connection| on_sqlite(&operation, connection);
                sqlite.read(context, TIMEOUT, job).await
            }
            Db::Postgres(postgres) => {
                self.not_external("jobs and a change log")?;
                let mut tx = postgres.begin(&context, options(true)).await?;
                let answer = operation.run(&mut tx).await;
                let _ = tx.rollback().await;
                answer
            }
        }
    }
}

/// SQLite answers where it is called: the operation never waits.
pub(super) fn on_sqlite<O: Operation>(
    operation: &O,
    connection: &Connection,
) -> Result<O::Answer, DataError> {
    let waits = || DataError::Internal("an operation waited on SQLite".to_owned());
    let mut engine = connection;
    operation
        .run(&mut engine)
        .now_or_never()
        .ok_or_else(waits)?
}

fn options(read_only: bool) -> Begin {
    Begin {
        read_only,
        serializable: false,
        statement_timeout: TIMEOUT,
    }
}

impl Engine for &Connection {
    async fn texts(&mut self, sql: &Sql, args: &[Value]) -> Result<Vec<String>, DataError> {
        let mut texts = Vec::new();
        self.query(sql.sqlite, args, |row| {
            texts.push(match row.get(0) {
                ValueRef::Text(text) => text.to_owned(),
                _ => "null".to_owned(),
            });
            Ok(())
        })?;
        Ok(texts)
    }

    async fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, DataError> {
        Ok(Connection::execute(self, sql.sqlite, args)?.rows)
    }
}

impl Engine for PgTx {
    async fn texts(&mut self, sql: &Sql, args: &[Value]) -> Result<Vec<String>, DataError> {
        self.rows(sql.postgres.to_owned(), &arguments(args)).await
    }

    async fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, DataError> {
        PgTx::execute(self, sql.postgres.to_owned(), &arguments(args)).await
    }
}

/// PostgreSQL's arguments are texts that the statement casts.
fn arguments(args: &[Value]) -> Vec<Option<String>> {
    args.iter()
        .map(|value| match value {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            // No statement of ours binds bytes.
            Value::Blob(_) => None,
        })
        .collect()
}

/// Text, or null.
pub(crate) fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}
