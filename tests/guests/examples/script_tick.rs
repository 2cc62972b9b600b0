//! A script that inserts a row into `tick`: `job_id`, `attempt`, `scheduled_for` in milliseconds since 1970,
//! `payload`.

use std::time::UNIX_EPOCH;

use pumice::{Job, Result, data};
use serde_json::{Value, json};

#[pumice::script]
fn tick(job: Job<Value>) -> Result<()> {
    let due = job.scheduled_for.duration_since(UNIX_EPOCH)?;
    data::table("tick").as_app().insert(&json!({
        "job_id": job.id,
        "attempt": job.attempt,
        "scheduled_for": u64::try_from(due.as_millis())?,
        "payload": job.payload,
    }))?;
    Ok(())
}
