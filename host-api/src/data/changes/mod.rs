//! The change log and the outbox: what happened to rows, and which after-triggers are still to be told.
//!
//! The database itself writes both, in the transaction of the change: [`observe_sqlite`] makes
//! AFTER row triggers on the tables that have an after-trigger, and on no others. So raw SQL, psql and
//! cascades of foreign keys are in the log, and what rolls back is not.
//!
//! # Numbers
//! A reader asks for what came after the number it knows, so a number must never appear below one that
//! somebody has read. On SQLite there is one writer, and the number is the row's. On PostgreSQL a row is
//! numbered *after* its commit, by whoever runs [`Changes::sequence`]: under one row lock it gives the
//! next numbers to all rows that it sees and that have none. What commits later is numbered later, in
//! whatever order the transactions began, so a rule about the oldest running transaction is not needed:
//! a long one delays nobody. The order of one row's changes is kept, because the second change waits for
//! the first one's lock before it takes its id, and a pass numbers in order of id.
//!
//! # Delivery
//! At least once, in order for each row. Only heads are handed out: deliveries without an earlier one of
//! the same trigger and row. A head that fails is tried again later, and after its last attempt becomes
//! a dead letter; meanwhile its row waits and no other. A delivery is leased under a token, and without
//! the token nothing can be done to it: a node that was away too long changes nothing when it comes
//! back. A table without a primary key has no rows that could be told apart, and so no order.
//!
//! An update that changes the key itself counts as a change of the new row.
//!
//! # When a process ends in between
//! - Before COMMIT: neither the change nor its deliveries are there.
//! - After COMMIT, before a claim: they wait, and are found at the next start.
//! - After a claim: the lease runs out and they are handed out again; the guest may see them twice.
//! - After the guest, before [`Changes::done`]: the same.

mod observe;
mod rows;
mod sql;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::hooks::Operation;
use super::own::{self, Engine, optional};
use super::{DataError, DataStore, Value};

pub use self::observe::{observe_postgres, observe_sqlite, prepare_postgres, prepare_sqlite};
pub(super) use self::rows::register;

/// After-triggers that may stand between a change and the outside. The delivery of a change at this
/// depth is a dead letter: triggers that cause each other end here.
pub const AFTER_DEPTH_MAX: u32 = 8;
/// How long a change is kept that nobody waits for.
pub const CHANGE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Dead letters kept, the newest.
pub const DEAD_MAX: i64 = 10_000;
/// Changes numbered in one transaction.
const NUMBERED_AT_ONCE: i64 = 10_000;
/// An error's text as it is kept, in bytes.
pub const ERROR_BYTES_MAX: usize = 2_000;

/// An after-trigger that wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub trigger: String,
    /// Of schema `public`.
    pub table: String,
    pub operations: Vec<Operation>,
}

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LoggedChange {
    pub number: i64,
    /// ISO 8601.
    pub at: String,
    pub table: String,
    pub operation: Operation,
    /// The values of the primary key as a JSON array; none without a primary key.
    pub key: Option<String>,
    /// JSON; on update and delete.
    pub old: Option<String>,
    /// JSON; on insert and update.
    pub new: Option<String>,
    /// Who made it; empty for the host and for whoever is logged in to PostgreSQL itself.
    pub role: String,
    /// A JSON object.
    pub claims: String,
    pub depth: u32,
}

/// A change that one after-trigger is to be told of, leased.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Delivery {
    /// Its place in the log: increases for each row.
    pub change: i64,
    pub trigger: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// Whether a batch with it has failed: from then on it goes alone.
    #[serde(deserialize_with = "flag")]
    pub alone: bool,
    pub table: String,
    pub operation: Operation,
    pub key: Option<String>,
    pub old: Option<String>,
    pub new: Option<String>,
    pub role: String,
    pub claims: String,
    pub depth: u32,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    pub change: i64,
    pub trigger: String,
    pub attempts: u32,
    pub error: Option<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub died_at: i64,
    /// The change as JSON.
    pub payload: String,
}

/// What was claimed at one time.
#[derive(Debug)]
pub struct Claimed {
    pub token: Uuid,
    pub deliveries: Vec<Delivery>,
    /// Whether there may be more.
    pub more: bool,
}

/// What became of deliveries of one trigger.
#[derive(Clone, Debug)]
pub enum Told {
    Done,
    /// The attempt failed: again at `at`, in milliseconds since 1970-01-01T00:00:00Z.
    Retry {
        at: i64,
        error: String,
    },
    /// A batch failed, and nobody knows which of it: each again, alone, at once. Costs no attempt.
    Split {
        error: String,
    },
    /// There was no place for it: again at `at`. Costs no attempt.
    Later {
        at: i64,
    },
    /// The last attempt failed, at `now`.
    Dead {
        now: i64,
        error: String,
    },
}

/// An app's change log and outbox. Cheap to clone.
#[derive(Clone)]
pub struct Changes(DataStore);

impl Changes {
    pub fn new(store: DataStore) -> Changes {
        Changes(store)
    }

    /// Numbers changes that have none yet; on SQLite all have one. Returns how many it numbered: call
    /// again while there are any.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn sequence(&self) -> Result<u64, DataError> {
        match self.0.db() {
            super::Db::Sqlite(_) => Ok(0),
            super::Db::Postgres(_) => self.0.own(Sequence).await,
        }
    }

    /// At most `limit` changes after the one with this number, in order.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn read_since(
        &self,
        number: i64,
        limit: u32,
    ) -> Result<Vec<LoggedChange>, DataError> {
        self.0.own_read(ReadSince { number, limit }).await
    }

    /// The last number given; 0 when there is none.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn last_number(&self) -> Result<i64, DataError> {
        self.0.own_read(LastNumber).await
    }

    /// Leases at most `max` heads that are due at `now`, for `lease`. Those that stand too deep become
    /// dead letters instead. `now` in milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn claim(&self, now: i64, lease: Duration, max: u32) -> Result<Claimed, DataError> {
        let token = Uuid::new_v4();
        let until = now.saturating_add(lease.as_millis() as i64);
        self.0
            .own(Claim {
                token,
                now,
                until,
                max,
            })
            .await
    }

    /// Says what became of `changes`, deliveries of `trigger` leased under `token`. Returns whether
    /// the token still counted for all of them.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn settle(
        &self,
        token: Uuid,
        trigger: &str,
        changes: &[i64],
        told: Told,
    ) -> Result<bool, DataError> {
        let count = changes.len() as u64;
        let settle = Settle {
            token: token.to_string(),
            trigger: trigger.to_owned(),
            changes: json_list(changes),
            told,
        };
        Ok(self.0.own(settle).await? == count)
    }

    /// Keeps what `token` has leased until `until`. Returns whether there is anything.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn extend(&self, token: Uuid, until: i64) -> Result<bool, DataError> {
        Ok(self.0.own(Extend { token, until }).await? > 0)
    }

    /// Gives back what `token` has leased.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn release(&self, token: Uuid) -> Result<(), DataError> {
        self.0.own(Release(token)).await
    }

    /// When the next delivery is due, or a lease runs out; none when nothing waits.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn next_due(&self) -> Result<Option<i64>, DataError> {
        self.0.own_read(NextDue).await
    }

    /// The newest dead letters.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn dead(&self, limit: u32) -> Result<Vec<DeadLetter>, DataError> {
        self.0.own_read(Dead(limit)).await
    }

    /// Forgets what is older or more than the limits allow, a part at a time.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn tidy(&self, now: i64) -> Result<(), DataError> {
        let before = now.saturating_sub(CHANGE_AGE_MAX.as_millis() as i64);
        let before = std::time::UNIX_EPOCH + Duration::from_millis(before.max(0) as u64);
        let before = super::sqlite::timestamptz(before);
        self.0.own(Tidy { before }).await
    }
}

/// When an attempt that failed is made again: `attempts⁴` seconds after it, 6 h at most, ±10 %.
/// `attempts` have failed by then; the first time it is a second.
pub fn backoff(attempts: u32) -> Duration {
    let seconds = u64::from(attempts.clamp(1, 100)).pow(4).min(6 * 3600);
    Duration::from_millis(seconds * 1000).mul_f64(rand::random_range(0.9..1.1))
}

/// An error's text, cut.
pub fn cut(mut text: String) -> String {
    if text.len() > ERROR_BYTES_MAX {
        let end = (0..=ERROR_BYTES_MAX)
            .rev()
            .find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
    }
    // PostgreSQL's text has no such character.
    text.replace('\0', "")
}

fn json_list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// SQLite and our columns know 0 and 1.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? != 0)
}

struct Sequence;

impl own::Operation for Sequence {
    type Answer = u64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<u64, DataError> {
        engine.texts(&sql::LOCK_SEQUENCE, &[]).await?;
        let most = [Value::Integer(NUMBERED_AT_ONCE)];
        let counts: Vec<u64> = own::rows(engine, &sql::NUMBER, &most).await?;
        Ok(counts.into_iter().sum())
    }
}

struct ReadSince {
    number: i64,
    limit: u32,
}

impl own::Operation for ReadSince {
    type Answer = Vec<LoggedChange>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Vec<LoggedChange>, DataError> {
        let args = [
            Value::Integer(self.number),
            Value::Integer(self.limit.into()),
        ];
        own::rows(engine, &sql::READ_SINCE, &args).await
    }
}

struct LastNumber;

impl own::Operation for LastNumber {
    type Answer = i64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<i64, DataError> {
        let numbers: Vec<i64> = own::rows(engine, &sql::LAST_NUMBER, &[]).await?;
        Ok(numbers.first().copied().unwrap_or(0))
    }
}

struct Claim {
    token: Uuid,
    now: i64,
    until: i64,
    max: u32,
}

impl own::Operation for Claim {
    type Answer = Claimed;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Claimed, DataError> {
        let token = Value::Text(self.token.to_string());
        let args = [
            Value::Integer(self.now),
            Value::Integer(self.until),
            token.clone(),
            Value::Integer(self.max.into()),
        ];
        let claimed = engine.execute(&sql::CLAIM, &args).await?;
        let mut deliveries: Vec<Delivery> = match claimed {
            0 => Vec::new(),
            _ => own::rows(engine, &sql::CLAIMED, &[token]).await?,
        };
        let (deep, rest): (Vec<_>, Vec<_>) = deliveries
            .drain(..)
            .partition(|delivery| delivery.depth >= AFTER_DEPTH_MAX);
        for delivery in &deep {
            let bury = Settle {
                token: self.token.to_string(),
                trigger: delivery.trigger.clone(),
                changes: json_list(&[delivery.change]),
                told: Told::Dead {
                    now: self.now,
                    error: "depth".to_owned(),
                },
            };
            own::Operation::run(&bury, engine).await?;
        }
        Ok(Claimed {
            token: self.token,
            more: claimed >= u64::from(self.max) || !deep.is_empty(),
            deliveries: rest,
        })
    }
}

struct Settle {
    token: String,
    trigger: String,
    /// A JSON array.
    changes: String,
    told: Told,
}

impl own::Operation for Settle {
    type Answer = u64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<u64, DataError> {
        let which = || {
            vec![
                Value::Text(self.token.clone()),
                Value::Text(self.trigger.clone()),
                Value::Text(self.changes.clone()),
            ]
        };
        let with = |more: [Value; 4]| which().into_iter().chain(more).collect::<Vec<_>>();
        let number = Value::Integer;
        match &self.told {
            Told::Done => engine.execute(&sql::DONE, &which()).await,
            Told::Retry { at, error } => {
                let args = with([number(*at), number(1), number(1), optional(Some(error))]);
                engine.execute(&sql::RETRY, &args).await
            }
            Told::Split { error } => {
                let args = with([number(0), number(0), number(1), optional(Some(error))]);
                engine.execute(&sql::RETRY, &args).await
            }
            Told::Later { at } => {
                let args = with([number(*at), number(0), number(0), optional(None)]);
                engine.execute(&sql::RETRY, &args).await
            }
            Told::Dead { now, error } => {
                // What never was tried is not counted as tried.
                let tried = i64::from(error != "depth");
                let args = [number(*now), number(tried), optional(Some(error))];
                let args: Vec<Value> = which().into_iter().chain(args).collect();
                engine.execute(&sql::BURY, &args).await?;
                engine.execute(&sql::DONE, &which()).await
            }
        }
    }
}

struct Extend {
    token: Uuid,
    until: i64,
}

impl own::Operation for Extend {
    type Answer = u64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<u64, DataError> {
        let args = [
            Value::Text(self.token.to_string()),
            Value::Integer(self.until),
        ];
        engine.execute(&sql::EXTEND, &args).await
    }
}

struct Release(Uuid);

impl own::Operation for Release {
    type Answer = ();

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<(), DataError> {
        let args = [Value::Text(self.0.to_string())];
        engine.execute(&sql::RELEASE, &args).await.map(|_| ())
    }
}

struct NextDue;

impl own::Operation for NextDue {
    type Answer = Option<i64>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<i64>, DataError> {
        let next: Vec<Option<i64>> = own::rows(engine, &sql::NEXT_DUE, &[]).await?;
        Ok(next.into_iter().next().flatten())
    }
}

struct Dead(u32);

impl own::Operation for Dead {
    type Answer = Vec<DeadLetter>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Vec<DeadLetter>, DataError> {
        own::rows(engine, &sql::DEAD, &[Value::Integer(self.0.into())]).await
    }
}

struct Tidy {
    before: String,
}

impl own::Operation for Tidy {
    type Answer = ();

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<(), DataError> {
        let before = Value::Text(self.before.clone());
        engine.execute(&sql::TRIM, &[before]).await?;
        let most = Value::Integer(DEAD_MAX);
        engine.execute(&sql::TRIM_DEAD, &[most]).await.map(|_| ())
    }
}
