//! `pumice:platform/jobs`: a guest's job in, its id out.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{JobError, Jobs, NewJob};
use crate::HostCtx;
use crate::bindings::pumice::platform::jobs::{self, Error};
use crate::data::{DataError, GuestFault};
use crate::meter::Weight;

impl Weight for jobs::Options {
    fn weight(&self) -> usize {
        self.unique_key.weight()
    }
}

impl HostCtx {
    async fn add_job(
        &mut self,
        script: String,
        payload: String,
        options: jobs::Options,
    ) -> Result<String, JobError> {
        let store = self.entry.data.clone().ok_or(JobError::NotConfigured)?;
        let run_at = options.run_at.map(i64::try_from).transpose();
        let run_at = run_at
            .map_err(|_| JobError::Invalid("the instant is not before the year 9999".to_owned()))?;
        let job = NewJob {
            script,
            payload,
            run_at,
            unique_key: options.unique_key,
            attempts_max: options.attempts_max,
            revision: self.entry.revision,
            caller: self.standing.caller.clone(),
            depth: self.standing.depth,
        };
        let within = self.transaction().cloned();
        let scripts = self.entry.scripts.clone();
        let jobs = Jobs::new(store);
        let id = jobs.enqueue(within.as_ref(), &scripts, job, now()).await?;
        Ok(id.to_string())
    }
}

impl jobs::Host for HostCtx {
    async fn enqueue(
        &mut self,
        script: String,
        payload: String,
        options: jobs::Options,
    ) -> wasmtime::Result<Result<String, Error>> {
        self.carry(&[&script, &payload, &options])?;
        if self.entry.kind.only_reads() {
            return Ok(Err(Error::NotInBeforeTrigger));
        }
        match self.add_job(script, payload, options).await {
            Ok(id) => {
                self.charge(id.len())?;
                Ok(Ok(id))
            }
            Err(error) => Ok(Err(told(error))),
        }
    }
}

/// What a guest is told.
fn told(error: JobError) -> Error {
    match error {
        JobError::NotConfigured => Error::NotConfigured,
        JobError::NoScript(name) => Error::NoScript(name),
        JobError::Invalid(why) => Error::Invalid(why),
        JobError::Data(error) => match error {
            DataError::Unavailable(_)
            | DataError::Guest {
                fault: GuestFault::Overloaded,
                ..
            } => Error::Unavailable,
            DataError::Internal(why) => {
                tracing::error!(%why, "a job was not added");
                Error::Unavailable
            }
            error => Error::Other(error.to_string()),
        },
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_millis() as i64)
}
