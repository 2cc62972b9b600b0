//! An app's users: who they are, what they are signed in with, and what was sent to them.
//!
//! Rows of schema `auth` in the app's own database. Nothing here decides: flows are written where requests
//! are answered, as a [`Flow`] over [`Tx`], and each runs in one transaction.

mod audit;
mod factors;
mod flows;
mod prepare;
mod sessions;
mod sql;
#[cfg(test)]
mod tests;
mod tokens;
mod tx;
mod types;
mod users;
mod value;

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::data::own::Operation;
use crate::data::{DataError, DataStore, Db};

pub(crate) use self::prepare::{postgres_tables, prepare_postgres, prepare_sqlite};

pub use crate::data::own::Engine;

pub use self::tx::Tx;
pub use self::types::{
    AuditEntry, Challenge, Factor, FactorStatus, FlowState, Identity, OneTimeToken, Session,
    TokenKind, User, UserFilter,
};

/// An app's users. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    store: DataStore,
    on_end: OnEnd,
}

/// Told of each session that has ended in a flow, once that is durable.
pub type OnEnd = Arc<dyn Fn(Uuid) + Send + Sync>;

/// Statements on users that happen together. It may run more than once; the last run counts, and what it
/// wrote stays written whatever its answer says.
pub trait Flow: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// # Errors
    /// The engine's: nothing is written then.
    fn run<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
    ) -> impl Future<Output = Result<Self::Answer, DataError>>;
}

/// How often a flow runs that met another one: at a deadlock, or when both gave the same address to a user.
const RUNS_MAX: u32 = 3;

struct Run<F> {
    flow: Arc<F>,
    writes: bool,
    /// Sessions that ended in the last run.
    ended: Arc<Mutex<Vec<Uuid>>>,
}

impl<F: Flow> Operation for Run<F> {
    type Answer = F::Answer;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<F::Answer, DataError> {
        let mut tx = Tx::new(engine, self.writes);
        let answer = self.flow.run(&mut tx).await?;
        *self.ended.lock() = tx.ended;
        Ok(answer)
    }
}

impl Users {
    pub fn new(store: DataStore) -> Users {
        Users {
            store,
            on_end: Arc::new(|_| ()),
        }
    }

    /// Has `on_end` told of sessions that end.
    #[must_use]
    pub fn telling(self, on_end: OnEnd) -> Users {
        Users { on_end, ..self }
    }

    /// Runs `flow` in a transaction of its own. Resolves when that is durable.
    ///
    /// # Errors
    /// The engine's; 0A000 in an external database, which has no users of ours.
    pub async fn run<F: Flow>(&self, flow: F) -> Result<F::Answer, DataError> {
        self.ready().await?;
        let flow = Arc::new(flow);
        let ended: Arc<Mutex<Vec<Uuid>>> = Arc::default();
        let mut runs = 1;
        loop {
            let run = Run {
                flow: flow.clone(),
                writes: true,
                ended: ended.clone(),
            };
            match self.store.own(run).await {
                Err(error) if runs < RUNS_MAX && met_another(&error) => runs += 1,
                Err(error) => return Err(error),
                Ok(answer) => {
                    ended.lock().drain(..).for_each(|id| (self.on_end)(id));
                    // Foreign keys and triggers may have written to tables that somebody watches.
                    self.store.committed();
                    return Ok(answer);
                }
            }
        }
    }

    /// Runs `flow`, which only reads.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn read<F: Flow>(&self, flow: F) -> Result<F::Answer, DataError> {
        self.ready().await?;
        let run = Run {
            flow: Arc::new(flow),
            writes: false,
            ended: Arc::default(),
        };
        self.store.own_read(run).await
    }

    /// An SQLite file has the tables from its first use on, whether the app was ever deployed or not.
    async fn ready(&self) -> Result<(), DataError> {
        self.store.not_external("users")?;
        match self.store.db() {
            Db::Postgres(_) => Ok(()),
            Db::Sqlite(sqlite) => {
                let prepared = self
                    .store
                    .users_ready()
                    .get_or_try_init(|| prepare::prepare_file(sqlite));
                prepared.await.map(|_| ())
            }
        }
    }
}

/// A statement that finds out late: what it waited for is committed now, and found at the next run.
fn met_another(error: &DataError) -> bool {
    let ours = |message: &str| {
        let keys = ["users_email_key", "users_phone_key"];
        keys.iter().any(|key| message.contains(key))
    };
    match error {
        DataError::Sql(fault) => match &*fault.code {
            "23505" => ours(&fault.message),
            "40001" | "40P01" => true,
            _ => false,
        },
        _ => false,
    }
}
