//! A script that fails until its attempt is `ok_at` of the payload.

use pumice::Job;
use serde::Deserialize;

#[derive(Deserialize)]
struct Payload {
    ok_at: u32,
}

#[pumice::script]
fn fail(job: Job<Payload>) -> Result<(), String> {
    if job.attempt < job.payload.ok_at {
        return Err(format!("attempt {} fails", job.attempt));
    }
    Ok(())
}
