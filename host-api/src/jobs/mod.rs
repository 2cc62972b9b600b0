//! Scripts that run later: when they are due, who has them, and what became of them.
//!
//! Jobs are rows in the app's database, so that a job and the data it is about are there together or
//! not at all. Nothing here runs a guest; the runtime does that.
//!
//! # States
//! ```text
//! queued ── claim ──> running ── finish ──> done
//!   ^                    │ ├── finish ────> dead      the last attempt failed
//!   ├── finish: retry ───┘ └── claim ─────> dead      the last attempt's lease ran out
//!   └── release ─── a node that stops gives back; costs no attempt
//! ```
//! A claim leases a job under a token. A lease that is not kept up runs out, and the job is claimed
//! again under another token; whoever still has the old one can neither finish nor keep the job.
//!
//! # When a process ends in between
//! - Before the enqueuing transaction commits: there is no job.
//! - After a claim, or after the script has ended and before `finish`: the lease runs out, and the job
//!   runs again as another attempt. So a script may run more than once; its job's id stays the same.
//! - A due instant of a schedule and its job are one transaction with the instant as its key: it has
//!   happened or not, and never twice.

pub mod cron;
mod error;
mod host;
mod sql;

#[cfg(test)]
mod cron_reader_tests;
#[cfg(test)]
mod cron_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Caller;
use crate::data::changes::cut;
use crate::data::own::{self, Engine, Operation, optional};
use crate::data::postgres::OwnerTx;
use crate::data::sqlite::Connection;
use crate::data::{DataError, DataStore, Transaction, Value};

pub use self::error::JobError;

/// A job's payload, in bytes of JSON. What is larger belongs into a table or a file.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Attempts of one job at most: the pauses between so many are four days in all.
pub const ATTEMPTS_MAX: u32 = 25;
/// A unique key, in bytes.
pub const UNIQUE_KEY_BYTES_MAX: usize = 256;
/// How long a job that is done can be asked about.
pub const DONE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Jobs of an app that are done and can be asked about.
pub const DONE_MAX: i64 = 1_000;
/// How long a job that is dead is kept.
pub const DEAD_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Dead jobs of an app that are kept.
pub const DEAD_MAX: i64 = 10_000;
/// The last instant that PostgreSQL and JSON agree on how to write: the end of year 9999.
const INSTANT_MAX: i64 = 253_402_300_799_999;

/// The scripts of a revision, with the attempts that each job gets unless it says otherwise.
pub type Scripts = BTreeMap<String, u32>;

/// A job to be.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub script: String,
    /// JSON.
    pub payload: String,
    /// Not before this; at once when none. Milliseconds since 1970-01-01T00:00:00Z, like all here.
    pub run_at: Option<i64>,
    /// While a job of the same script with this key waits for its first attempt, none is added.
    pub unique_key: Option<String>,
    /// The script's own when none.
    pub attempts_max: Option<u32>,
    pub revision: u64,
    pub caller: Caller,
    /// How many after-triggers stand between it and the outside.
    pub depth: u32,
}

/// A job as its worker has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    pub id: Uuid,
    pub script: String,
    /// JSON.
    pub payload: String,
    /// From 1: the one that is running now.
    pub attempt: u32,
    pub attempts_max: u32,
    /// When it was due at first.
    pub due: i64,
    /// The schedule that made it.
    pub schedule: Option<String>,
    pub revision: u64,
    pub role: String,
    /// A JSON object.
    pub claims: String,
    pub depth: u32,
}

/// Jobs claimed at one time.
#[derive(Debug)]
pub struct ClaimedJobs {
    pub token: Uuid,
    pub jobs: Vec<Job>,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub enum Finish {
    Done,
    Retry {
        at: i64,
        error: String,
    },
    /// There was no place for it: again at `at`. Costs no attempt.
    Later {
        at: i64,
    },
    Dead {
        error: String,
    },
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    pub id: Uuid,
    pub script: String,
    pub state: State,
    /// Attempts begun.
    pub attempt: u32,
    pub attempts_max: u32,
    /// When it is next due, or was.
    pub run_at: i64,
    pub schedule: Option<String>,
    /// Of the last attempt that failed.
    pub error: Option<String>,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Queued,
    Running,
    Done,
    Dead,
}

/// A schedule as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub name: String,
    /// Its cron line and zone. Under another line it begins anew.
    pub line: String,
}

/// An app's queue. Cheap to clone.
#[derive(Clone)]
pub struct Jobs(DataStore);

/// Makes the queue's tables where they are not there yet.
///
/// # Errors
/// SQLite's.
pub fn prepare_sqlite(connection: &Connection) -> Result<(), DataError> {
    let done = connection.script(sql::PREPARE_SQLITE);
    done.map_err(|(_, error)| error.into())
}

/// As [`prepare_sqlite`].
///
/// # Errors
/// PostgreSQL's.
pub async fn prepare_postgres(tx: &mut OwnerTx) -> Result<(), DataError> {
    for statement in sql::PREPARE_POSTGRES {
        tx.execute("pumice", 0, statement).await?;
    }
    Ok(())
}

impl Jobs {
    pub fn new(store: DataStore) -> Jobs {
        Jobs(store)
    }

    /// Adds a job and returns its id, or that of the job which already waits under its unique key.
    /// Inside `within` it exists once that commits. `now` is when, in milliseconds.
    ///
    /// # Errors
    /// [`JobError`], each case.
    pub async fn enqueue(
        &self,
        within: Option<&Transaction>,
        scripts: &Scripts,
        job: NewJob,
        now: i64,
    ) -> Result<Uuid, JobError> {
        let enqueue = Enqueue::checked(scripts, job, now)?;
        match within {
            Some(transaction) => Ok(transaction.own(enqueue).await?),
            None => {
                let id = self.0.own(enqueue).await?;
                self.0.committed();
                Ok(id)
            }
        }
    }

    /// Leases at most `max` jobs that are due, until `now + lease`; makes dead those whose last
    /// attempt's lease ran out.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn claim(
        &self,
        now: i64,
        lease: Duration,
        max: u32,
    ) -> Result<ClaimedJobs, DataError> {
        let claim = Claim {
            token: Uuid::new_v4(),
            now,
            until: now.saturating_add(lease.as_millis() as i64),
            max,
        };
        self.0.own(claim).await
    }

    /// Keeps what `token` has until `until`. Returns how many jobs that is.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn heartbeat(&self, token: Uuid, until: i64) -> Result<u64, DataError> {
        self.0.own(Heartbeat { token, until }).await
    }

    /// Says what became of an attempt. False when `token` counts no more: another has the job, and
    /// this changes nothing.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn finish(
        &self,
        id: Uuid,
        token: Uuid,
        now: i64,
        outcome: Finish,
    ) -> Result<bool, DataError> {
        let finish = FinishJob {
            id,
            token,
            now,
            outcome,
        };
        Ok(self.0.own(finish).await? == 1)
    }

    /// Gives back what `token` has, as if it had not been claimed.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn release(&self, token: Uuid) -> Result<(), DataError> {
        self.0.own(Release(token)).await
    }

    /// The job called `id`, while it is known.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn get(&self, id: Uuid) -> Result<Option<JobStatus>, DataError> {
        self.0.own_read(Get(id)).await
    }

    /// When the next job is due or a lease runs out; none when nothing waits.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn next_due(&self) -> Result<Option<i64>, DataError> {
        self.0.own_read(NextDue).await
    }

    /// For each of `schedules` the instant after which it is next due: its last run, or when it was
    /// first seen under its line. One that is not among them any more begins anew when it comes back.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn anchors(&self, schedules: &[Known], now: i64) -> Result<Vec<i64>, DataError> {
        let looked = Anchors {
            schedules: schedules.to_vec(),
            now,
            write: false,
        };
        if let Some(anchors) = self.0.own_read(looked).await? {
            return Ok(anchors);
        }
        let written = Anchors {
            schedules: schedules.to_vec(),
            now,
            write: true,
        };
        let anchors = self.0.own(written).await?;
        anchors.ok_or_else(|| DataError::Internal("schedules were not kept".to_owned()))
    }

    /// Adds `job` as the run of `schedule` that is due at `due`. False when it has been added before,
    /// by whomever.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn fire(
        &self,
        scripts: &Scripts,
        schedule: &str,
        due: i64,
        job: NewJob,
        now: i64,
    ) -> Result<bool, JobError> {
        let mut enqueue = Enqueue::checked(scripts, job, now)?;
        enqueue.schedule = Some(schedule.to_owned());
        enqueue.due = due;
        Ok(self.0.own(Fire { enqueue }).await?)
    }

    /// Forgets what is older or more than the limits allow.
    ///
    /// # Errors
    /// [`DataError::Unavailable`].
    pub async fn tidy(&self, now: i64) -> Result<(), DataError> {
        self.0.own(Tidy { now }).await
    }
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

struct Enqueue {
    id: Uuid,
    job: NewJob,
    run_at: i64,
    attempts_max: u32,
    schedule: Option<String>,
    due: i64,
    now: i64,
}

impl Enqueue {
    fn checked(scripts: &Scripts, job: NewJob, now: i64) -> Result<Enqueue, JobError> {
        let invalid = |why: String| Err(JobError::Invalid(why));
        let Some(&of_script) = scripts.get(&job.script) else {
            return Err(JobError::NoScript(job.script.chars().take(80).collect()));
        };
        if job.payload.len() > PAYLOAD_BYTES_MAX {
            return invalid(format!(
                "the payload has more than {PAYLOAD_BYTES_MAX} bytes"
            ));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&job.payload) {
            return invalid(format!("the payload is no JSON: {error}"));
        }
        if let Some(key) = &job.unique_key
            && (key.is_empty() || key.len() > UNIQUE_KEY_BYTES_MAX || key.contains('\0'))
        {
            return invalid(format!(
                "a unique key has 1 to {UNIQUE_KEY_BYTES_MAX} bytes"
            ));
        }
        let attempts_max = job.attempts_max.unwrap_or(of_script);
        if !(1..=ATTEMPTS_MAX).contains(&attempts_max) {
            return invalid(format!("a job has 1 to {ATTEMPTS_MAX} attempts"));
        }
        let run_at = job.run_at.unwrap_or(now);
        if !(0..=INSTANT_MAX).contains(&run_at) {
            return invalid("the instant is not between the years 1970 and 9999".to_owned());
        }
        Ok(Enqueue {
            id: Uuid::now_v7(),
            job,
            run_at,
            attempts_max,
            schedule: None,
            due: run_at,
            now,
        })
    }
}

/// How often a key is tried whose job is claimed between two looks.
const KEY_ATTEMPTS: u32 = 3;

impl Operation for Enqueue {
    type Answer = Uuid;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Uuid, DataError> {
        let job = &self.job;
        let args = [
            text(self.id),
            text(&job.script),
            text(&job.payload),
            number(self.run_at),
            number(self.attempts_max),
            optional(job.unique_key.as_deref()),
            number(job.revision as i64),
            optional(self.schedule.as_deref()),
            number(self.due),
            text(&job.caller.role),
            text(&job.caller.claims),
            number(job.depth),
            number(self.now),
        ];
        for _ in 0..KEY_ATTEMPTS {
            if engine.execute(&sql::ENQUEUE, &args).await? == 1 {
                return Ok(self.id);
            }
            let key = [text(&job.script), optional(job.unique_key.as_deref())];
            let waiting: Vec<Uuid> = own::rows(engine, &sql::WAITING, &key).await?;
            if let Some(id) = waiting.first() {
                return Ok(*id);
            }
        }
        Err(DataError::sql(
            "40001",
            "the job under this key changes all the time",
        ))
    }
}

struct Claim {
    token: Uuid,
    now: i64,
    until: i64,
    max: u32,
}

impl Operation for Claim {
    type Answer = ClaimedJobs;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<ClaimedJobs, DataError> {
        engine.execute(&sql::BURY_LOST, &[number(self.now)]).await?;
        let args = [
            number(self.now),
            number(self.until),
            text(self.token),
            number(self.max),
        ];
        let claimed = engine.execute(&sql::CLAIM, &args).await?;
        let jobs = match claimed {
            0 => Vec::new(),
            _ => own::rows(engine, &sql::CLAIMED, &[text(self.token)]).await?,
        };
        Ok(ClaimedJobs {
            token: self.token,
            jobs,
        })
    }
}

struct Heartbeat {
    token: Uuid,
    until: i64,
}

impl Operation for Heartbeat {
    type Answer = u64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<u64, DataError> {
        let args = [text(self.token), number(self.until)];
        engine.execute(&sql::HEARTBEAT, &args).await
    }
}

struct FinishJob {
    id: Uuid,
    token: Uuid,
    now: i64,
    outcome: Finish,
}

impl Operation for FinishJob {
    type Answer = u64;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<u64, DataError> {
        let back = i64::from(matches!(self.outcome, Finish::Later { .. }));
        let (state, run_at, error, finished) = match &self.outcome {
            Finish::Done => ("done", Value::Null, None, number(self.now)),
            Finish::Retry { at, error } => ("queued", number(*at), Some(error), Value::Null),
            Finish::Later { at } => ("queued", number(*at), None, Value::Null),
            Finish::Dead { error } => ("dead", Value::Null, Some(error), number(self.now)),
        };
        let error = error.map(|error| cut(error.clone()));
        let args = [
            text(self.id),
            text(self.token),
            text(state),
            run_at,
            optional(error.as_deref()),
            finished,
            number(back),
        ];
        engine.execute(&sql::FINISH, &args).await
    }
}

struct Release(Uuid);

impl Operation for Release {
    type Answer = ();

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<(), DataError> {
        engine
            .execute(&sql::RELEASE, &[text(self.0)])
            .await
            .map(|_| ())
    }
}

struct Get(Uuid);

impl Operation for Get {
    type Answer = Option<JobStatus>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<JobStatus>, DataError> {
        let found: Vec<JobStatus> = own::rows(engine, &sql::GET, &[text(self.0)]).await?;
        Ok(found.into_iter().next())
    }
}

struct NextDue;

impl Operation for NextDue {
    type Answer = Option<i64>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<i64>, DataError> {
        let next: Vec<Option<i64>> = own::rows(engine, &sql::NEXT_DUE, &[]).await?;
        Ok(next.into_iter().next().flatten())
    }
}

struct Anchors {
    schedules: Vec<Known>,
    now: i64,
    write: bool,
}

/// A schedule's row, with its last run.
#[derive(Deserialize)]
struct Anchor {
    name: String,
    line: String,
    since: i64,
    last: Option<i64>,
}

impl Operation for Anchors {
    /// None when what is kept is not yet what is wanted, and this may not write.
    type Answer = Option<Vec<i64>>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<Vec<i64>>, DataError> {
        let mut kept: Vec<Anchor> = own::rows(engine, &sql::SCHEDULES, &[]).await?;
        let same =
            |anchor: &Anchor, known: &Known| anchor.name == known.name && anchor.line == known.line;
        let settled = kept.len() == self.schedules.len()
            && self
                .schedules
                .iter()
                .all(|known| kept.iter().any(|anchor| same(anchor, known)));
        if !settled {
            if !self.write {
                return Ok(None);
            }
            let names: Vec<&str> = self.schedules.iter().map(|known| &*known.name).collect();
            let names = serde_json::to_string(&names).unwrap_or_default();
            engine
                .execute(&sql::FORGET_SCHEDULES, &[text(names)])
                .await?;
            for known in &self.schedules {
                let args = [text(&known.name), text(&known.line), number(self.now)];
                engine.execute(&sql::KEEP_SCHEDULE, &args).await?;
            }
            kept = own::rows(engine, &sql::SCHEDULES, &[]).await?;
        }
        let anchors = self.schedules.iter().map(|known| {
            let anchor = kept.iter().find(|anchor| same(anchor, known));
            anchor.map(|anchor| anchor.since.max(anchor.last.unwrap_or(0)))
        });
        Ok(anchors.collect())
    }
}

struct Fire {
    enqueue: Enqueue,
}

impl Operation for Fire {
    type Answer = bool;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<bool, DataError> {
        let args = [
            optional(self.enqueue.schedule.as_deref()),
            number(self.enqueue.due),
            text(self.enqueue.id),
        ];
        if engine.execute(&sql::FIRE, &args).await? == 0 {
            return Ok(false);
        }
        self.enqueue.run(engine).await?;
        Ok(true)
    }
}

struct Tidy {
    now: i64,
}

impl Operation for Tidy {
    type Answer = ();

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<(), DataError> {
        for (state, age, most) in [
            ("done", DONE_AGE_MAX, DONE_MAX),
            ("dead", DEAD_AGE_MAX, DEAD_MAX),
        ] {
            let before = self.now.saturating_sub(age.as_millis() as i64);
            let args = [text(state), number(before), number(most)];
            engine.execute(&sql::TRIM, &args).await?;
        }
        let before = self.now.saturating_sub(DEAD_AGE_MAX.as_millis() as i64);
        engine
            .execute(&sql::TRIM_RUNS, &[number(before)])
            .await
            .map(|_| ())
    }
}
