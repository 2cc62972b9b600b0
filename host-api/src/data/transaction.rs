//! Several pieces of work that happen together or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Mutex;

use super::own::{self, Operation};
use super::postgres::PgTx;
use super::query::Rows;
use super::run::{self, Asked, OldRow};
use super::sqlite::Session;
use super::store::Job;
use super::{Context, DataError, Schema};

/// An open transaction, shared by a guest and the triggers that its writes ask. It rolls back when its
/// last handle is dropped, and at its deadline.
#[derive(Clone)]
pub struct Transaction(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Of a transaction on PostgreSQL; SQLite's writer watches its own.
    deadline: Option<Instant>,
    /// What is done once it has committed.
    effects: parking_lot::Mutex<Vec<Effect>>,
    conflicted: AtomicBool,
    read_only: AtomicBool,
}

type Effect = Box<dyn FnOnce() + Send>;

enum State {
    Sqlite(Session),
    Postgres(PgTx),
    Over,
}

impl Transaction {
    /// SQLite's writer, held until the end; the writer's own thread watches the deadline.
    pub(super) fn sqlite(session: Session) -> Transaction {
        Transaction(Shared::new(State::Sqlite(session), None))
    }

    /// A connection to PostgreSQL, given back at the deadline at the latest.
    pub(super) fn postgres(tx: PgTx, deadline: Instant) -> Transaction {
        let shared = Shared::new(State::Postgres(tx), Some(deadline));
        let watched = Arc::downgrade(&shared);
        tokio::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            if let Some(shared) = watched.upgrade() {
                let state = std::mem::replace(&mut *shared.state.lock().await, State::Over);
                if let State::Postgres(tx) = state {
                    let _ = tx.rollback().await;
                }
            }
        });
        Transaction(shared)
    }

    /// Does `work`. If it fails, the transaction is as before and goes on.
    ///
    /// # Errors
    /// The work's, and [`DataError::TransactionEnded`].
    pub(super) async fn run(&self, job: Job) -> Result<Rows, DataError> {
        if let Some(verb) = job.work.verb() {
            self.may(verb)?;
        }
        let outcome = self.run_unwatched(job).await;
        if matches!(&outcome, Err(error) if error.is_conflict()) {
            self.0.conflicted.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn run_unwatched(&self, job: Job) -> Result<Rows, DataError> {
        let mut state = self.0.state.lock().await;
        match &mut *state {
            State::Sqlite(session) => {
                session.set_context(job.context.clone()).await?;
                session
                    .run(move |connection: &_| job.on_sqlite(connection))
                    .await
            }
            State::Postgres(tx) => {
                let done = async {
                    enter(tx, &job.context).await?;
                    let outcome = job.on_postgres(tx).await;
                    leave(tx, outcome).await
                };
                let done = tokio::time::timeout_at(self.0.deadline(), done).await;
                ended(&mut state, done)
            }
            State::Over => Err(DataError::TransactionEnded),
        }
    }

    /// Runs the host's own `operation` as part of this. If it fails, the transaction is as before and
    /// goes on.
    ///
    /// # Errors
    /// The operation's, and [`DataError::TransactionEnded`].
    pub(crate) async fn own<O: Operation>(&self, operation: O) -> Result<O::Answer, DataError> {
        self.may("INSERT")?;
        let context = Context::default();
        let mut state = self.0.state.lock().await;
        match &mut *state {
            State::Sqlite(session) => {
                session.set_context(context).await?;
                let job = move |connection: &_| own::on_sqlite(&operation, connection);
                session.run(job).await
            }
            State::Postgres(tx) => {
                let done = async {
                    enter(tx, &context).await?;
                    let outcome = operation.run(tx).await;
                    leave(tx, outcome).await
                };
                let done = tokio::time::timeout_at(self.0.deadline(), done).await;
                ended(&mut state, done)
            }
            State::Over => Err(DataError::TransactionEnded),
        }
    }

    pub(super) async fn old_rows(
        &self,
        context: Context,
        schema: Arc<Schema>,
        asked: Asked,
    ) -> Result<Vec<OldRow>, DataError> {
        let mut state = self.0.state.lock().await;
        match &mut *state {
            State::Sqlite(session) => {
                session.set_context(context.clone()).await?;
                let job = move |connection: &_| {
                    run::sqlite::old_rows(connection, &schema, &context, &asked)
                };
                session.run(job).await
            }
            State::Postgres(tx) => {
                let done = async {
                    enter(tx, &context).await?;
                    let outcome = run::postgres::old_rows(tx, &asked).await;
                    leave(tx, outcome).await
                };
                let done = tokio::time::timeout_at(self.0.deadline(), done).await;
                ended(&mut state, done)
            }
            State::Over => Err(DataError::TransactionEnded),
        }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`DataError::TransactionEnded`] when it was over; what deferred constraints or a conflict with
    /// another transaction say.
    pub(super) async fn commit(&self) -> Result<(), DataError> {
        match self.take().await {
            State::Sqlite(session) => session.commit().await?,
            State::Postgres(tx) => tx.commit().await?,
            State::Over => return Err(DataError::TransactionEnded),
        }
        let effects = std::mem::take(&mut *self.0.effects.lock());
        effects.into_iter().for_each(|effect| effect());
        Ok(())
    }

    /// Does something once this has committed, and never if it does not.
    pub(crate) fn on_commit(&self, effect: Effect) {
        self.0.effects.lock().push(effect);
    }

    /// From now on it only reads: a write answers 25006.
    pub(super) fn only_read(&self) {
        self.0.read_only.store(true, Ordering::Relaxed);
    }

    fn may(&self, verb: &str) -> Result<(), DataError> {
        if self.0.read_only.load(Ordering::Relaxed) {
            let message = format!("cannot execute {verb} in a read-only transaction");
            return Err(DataError::sql("25006", message));
        }
        Ok(())
    }

    /// Whether another transaction came between: all of this one may be tried again.
    pub fn conflicted(&self) -> bool {
        self.0.conflicted.load(Ordering::Relaxed)
    }

    /// Undoes everything.
    pub(super) async fn rollback(&self) {
        match self.take().await {
            State::Sqlite(session) => session.rollback().await,
            // The server undoes it in any case.
            State::Postgres(tx) => drop(tx.rollback().await),
            State::Over => {}
        }
    }

    async fn take(&self) -> State {
        std::mem::replace(&mut *self.0.state.lock().await, State::Over)
    }
}

/// Begins one piece of work on PostgreSQL: within a savepoint, so that it can fail alone.
async fn enter(tx: &mut PgTx, context: &Context) -> Result<(), DataError> {
    tx.set_context(context);
    tx.savepoint().await
}

async fn leave<T>(tx: &mut PgTx, outcome: Result<T, DataError>) -> Result<T, DataError> {
    match outcome {
        Ok(_) => tx.release().await?,
        Err(_) => tx.rollback_to().await?,
    }
    outcome
}

/// At the deadline the server ends what it is at, whatever a guest has told it of timeouts: what is
/// dropped at work has its backend ended.
fn ended<T>(
    state: &mut State,
    done: Result<Result<T, DataError>, tokio::time::error::Elapsed>,
) -> Result<T, DataError> {
    done.unwrap_or_else(|_| {
        *state = State::Over;
        Err(DataError::TransactionEnded)
    })
}

impl Shared {
    fn deadline(&self) -> tokio::time::Instant {
        self.deadline.unwrap_or_else(Instant::now).into()
    }

    fn new(state: State, deadline: Option<Instant>) -> Arc<Shared> {
        Arc::new(Shared {
            state: Mutex::new(state),
            deadline,
            effects: parking_lot::Mutex::default(),
            conflicted: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
        })
    }
}
