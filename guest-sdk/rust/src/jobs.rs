//! Runs of the app's scripts, later.
//!
//! ```ignore
//! jobs::enqueue("digest", &json!({ "user": id }))?;
//! jobs::script("digest").after(Duration::from_secs(3600)).unique(&id).enqueue(&())?;
//! ```
//!
//! Inside a transaction, and in a procedure, the job exists once that commits. A before-trigger cannot enqueue.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::bindings::imports::pumice::platform::jobs as host;
use crate::row;

/// Adds a job that runs `script` at once, and returns its id.
///
/// # Errors
/// [`JobError`].
pub fn enqueue<T: Serialize + ?Sized>(name: &str, payload: &T) -> Result<String, JobError> {
    script(name).enqueue(payload)
}

/// The script called `name`, to be run as the calls on it say.
pub fn script(name: &str) -> Script<'_> {
    Script {
        name,
        options: host::Options {
            run_at: None,
            unique_key: None,
            attempts_max: None,
        },
    }
}

/// How a script is to be run; see [`script`].
#[must_use = "nothing runs until `enqueue` is called"]
#[derive(Clone, Debug)]
pub struct Script<'a> {
    name: &'a str,
    options: host::Options,
}

impl Script<'_> {
    /// Not before `instant`. One before 1970 counts as 1970.
    pub fn at(mut self, instant: SystemTime) -> Self {
        let since = instant.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().as_millis();
        self.options.run_at = Some(u64::try_from(since).unwrap_or(u64::MAX));
        self
    }

    /// Not before `delay` has passed.
    pub fn after(self, delay: Duration) -> Self {
        self.at(SystemTime::now() + delay)
    }

    /// While a job with this key is waiting, another with the same key is not added.
    pub fn unique(mut self, key: &str) -> Self {
        self.options.unique_key = Some(key.to_owned());
        self
    }

    /// How often it is tried, 1 to 25; the script's own setting by default.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.options.attempts_max = Some(attempts);
        self
    }

    /// Adds the job and returns its id.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn enqueue<T: Serialize + ?Sized>(self, payload: &T) -> Result<String, JobError> {
        let payload = row::to_text(payload).map_err(JobError::Invalid)?;
        Ok(host::enqueue(self.name, &payload, &self.options)?)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// This server runs no jobs for this app.
    NotConfigured,
    /// No script of the app has this name.
    NoScript(String),
    /// The payload or an option is not one a job may have.
    Invalid(String),
    /// A before-trigger cannot enqueue.
    NotInBeforeTrigger,
    Unavailable,
    Other(String),
}

impl From<host::Error> for JobError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NotConfigured => JobError::NotConfigured,
            host::Error::NoScript(name) => JobError::NoScript(name),
            host::Error::Invalid(why) => JobError::Invalid(why),
            host::Error::NotInBeforeTrigger => JobError::NotInBeforeTrigger,
            host::Error::Unavailable => JobError::Unavailable,
            host::Error::Other(message) => JobError::Other(message),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::NotConfigured => f.write_str("this server runs no jobs for this app"),
            JobError::NoScript(name) => write!(f, "no script is called `{name}`"),
            JobError::Invalid(why) => write!(f, "not a job: {why}"),
            JobError::NotInBeforeTrigger => f.write_str("a before-trigger cannot enqueue jobs"),
            JobError::Unavailable => f.write_str("the queue is unavailable"),
            JobError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for JobError {}
