//! Scripts: run as jobs.

use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use crate::bindings::script::exports::pumice::platform::script_handler as host;
use crate::row;
use crate::trigger::Outcome;

/// One run of a script.
#[derive(Clone, Debug)]
pub struct Job<T> {
    /// The same for every attempt: use it to do a thing once.
    pub id: String,
    /// From 1.
    pub attempt: u32,
    /// When it was due.
    pub scheduled_for: SystemTime,
    pub payload: T,
}

/// Takes a job to the author's script.
pub fn run<T: DeserializeOwned, O: Outcome>(
    job: host::Job,
    function: impl FnOnce(Job<T>) -> O,
) -> Result<(), String> {
    crate::begin();
    let payload = row::read(&job.payload).map_err(|why| format!("payload: {why}"))?;
    function(Job {
        id: job.id,
        attempt: job.attempt,
        scheduled_for: SystemTime::UNIX_EPOCH + Duration::from_millis(job.scheduled_for),
        payload,
    })
    .outcome()
}
