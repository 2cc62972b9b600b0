//! A transaction on users' rows, and what is forgotten in time.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::sql;
use super::value::{count, time};
use crate::data::own::{self, Engine, Sql};
use crate::data::{DataError, Value};

/// A transaction on an app's users. Every method's error is the engine's.
///
/// Two that may write wait for one another at what they read by `lock_user` and `lock_session`, and at
/// each token, flow and challenge: what is used up once is used up once.
pub struct Tx<'e, E> {
    engine: &'e mut E,
    writes: bool,
    /// Sessions that ended in it.
    pub(super) ended: Vec<Uuid>,
}

impl<'e, E: Engine> Tx<'e, E> {
    pub(super) fn new(engine: &'e mut E, writes: bool) -> Tx<'e, E> {
        Tx {
            engine,
            writes,
            ended: Vec::new(),
        }
    }

    /// `lock` when this may write, else `look`.
    pub(super) fn either<'s>(&self, lock: &'s Sql, look: &'s Sql) -> &'s Sql {
        match self.writes {
            true => lock,
            false => look,
        }
    }

    pub(super) async fn rows<T: DeserializeOwned>(
        &mut self,
        sql: &Sql,
        args: &[Value],
    ) -> Result<Vec<T>, DataError> {
        own::rows(self.engine, sql, args).await
    }

    pub(super) async fn row<T: DeserializeOwned>(
        &mut self,
        sql: &Sql,
        args: &[Value],
    ) -> Result<Option<T>, DataError> {
        Ok(self.rows(sql, args).await?.pop())
    }

    /// The number that `sql` answers.
    pub(super) async fn number<T: DeserializeOwned + Default>(
        &mut self,
        sql: &Sql,
        args: &[Value],
    ) -> Result<T, DataError> {
        Ok(self.row(sql, args).await?.unwrap_or_default())
    }

    /// How many rows were written.
    pub(super) async fn write(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, DataError> {
        self.engine.execute(sql, args).await
    }

    /// Forgets flows, tokens and challenges made before `before`, sessions that ended before it, and
    /// entries of the audit log beyond the newest `audit_max`.
    pub async fn tidy(&mut self, before: DateTime<Utc>, audit_max: u64) -> Result<(), DataError> {
        for trim in [
            &sql::TRIM_FLOWS,
            &sql::TRIM_TOKENS,
            &sql::TRIM_CHALLENGES,
            &sql::TRIM_SESSIONS,
            &sql::TRIM_ENDED_SESSIONS,
        ] {
            self.write(trim, &[time(before)]).await?;
        }
        self.write(&sql::TRIM_AUDIT, &[count(audit_max)]).await?;
        Ok(())
    }
}
