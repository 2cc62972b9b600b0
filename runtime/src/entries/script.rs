//! Scripts: one attempt at a job.

use std::sync::Arc;

use pumice_host_api::jobs::Job;
use pumice_host_api::{InvocationId, Standing};

use super::after::{Failure, caller, ended};
use crate::functions::Script;
use crate::functions::components::Components;
use crate::invoke::Invoker;
use crate::invoke::call::{Call, ScriptJob};
use crate::outcome::InvokeError;
use crate::request_id::RequestId;
use crate::services::permissions::guard;

/// Runs `script` for `job`.
///
/// # Errors
/// What the guest said, or what stopped it; [`Failure::Overloaded`] when it never began.
pub async fn run(
    invoker: &Arc<Invoker>,
    components: &Components,
    script: &Script,
    job: &Job,
) -> Result<(), Failure> {
    let request_id = RequestId::next();
    let target = script.guest.target(components).await.map_err(|error| {
        let error = InvokeError::Boot(error.to_string());
        invoker.refused(script.guest.entry(), request_id, error)
    })?;
    let call = Call::script(ScriptJob {
        id: job.id.to_string(),
        attempt: job.attempt,
        scheduled_for: job.due.max(0) as u64,
        payload: job.payload.clone(),
    });
    let caller = caller(&job.role, &job.claims);
    // Whoever enqueued it may have lost the permission since, or be a guest that did not ask.
    if let Some(store) = &script.guest.entry().data {
        let held = guard::holds(store, script.require.as_deref(), &caller).await;
        held.map_err(|error| Failure::Failed(error.to_string()))?;
    }
    let standing = Standing {
        depth: job.depth,
        ..Standing::request(caller, InvocationId(request_id.uuid()))
    };
    ended(invoker.call(target, standing, request_id, call).await?)
}
