//! After-triggers: told of changes that have been committed.

use std::sync::Arc;

use pumice_host_api::data::changes::Delivery;
use pumice_host_api::data::hooks::{Batch, Change};
use pumice_host_api::{Caller, InvocationId, Role, Standing};

use crate::functions::Trigger;
use crate::functions::components::Components;
use crate::invoke::Invoker;
use crate::invoke::call::{Answer, Call};
use crate::outcome::InvokeError;
use crate::request_id::RequestId;

/// Tells `trigger` of `deliveries`, which are alike: one table, operation, caller and depth.
///
/// # Errors
/// What the guest said, or what stopped it; [`Failure::Overloaded`] when it never began.
pub async fn react(
    invoker: &Arc<Invoker>,
    components: &Components,
    trigger: &Trigger,
    deliveries: &[Delivery],
) -> Result<(), Failure> {
    let Some(first) = deliveries.first() else {
        return Ok(());
    };
    let request_id = RequestId::next();
    let target = trigger.guest.target(components).await.map_err(|error| {
        let error = InvokeError::Boot(error.to_string());
        invoker.refused(trigger.guest.entry(), request_id, error)
    })?;
    let caller = caller(&first.role, &first.claims);
    let batch = Batch {
        table: first.table.clone(),
        operation: first.operation,
        changes: deliveries
            .iter()
            .map(|delivery| Change {
                old: delivery.old.clone(),
                new: delivery.new.clone(),
            })
            .collect(),
    };
    let call = Call::react(&batch, &caller);
    let standing = Standing {
        depth: first.depth + 1,
        ..Standing::request(caller, InvocationId(request_id.uuid()))
    };
    ended(invoker.call(target, standing, request_id, call).await?)
}

/// Why something is to be tried again.
#[derive(Debug)]
pub enum Failure {
    /// There was no place for it: that is nobody's attempt.
    Overloaded,
    /// In words for the app.
    Failed(String),
}

impl From<InvokeError> for Failure {
    fn from(error: InvokeError) -> Failure {
        match error {
            InvokeError::Overloaded => Failure::Overloaded,
            // The cause is in our log, and is ours.
            InvokeError::Host(_) => Failure::Failed("the host failed".to_owned()),
            error => Failure::Failed(error.to_string()),
        }
    }
}

/// What a trigger or a script said at its end.
pub(super) fn ended(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Ended(said) => said.map_err(Failure::Failed),
        _ => Err(Failure::Failed("it gave no answer".to_owned())),
    }
}

/// Who caused a change or a job, as it was written down.
pub(super) fn caller(role: &str, claims: &str) -> Caller {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: Option<uuid::Uuid>,
    }
    let read = serde_json::from_str::<Claims>(claims);
    Caller {
        // The host itself, and whoever is logged in to PostgreSQL, may do everything.
        role: match role {
            "" => Role::ServiceRole,
            own if own.starts_with("pumice_") => Role::ServiceRole,
            role => Role::from(role),
        },
        user_id: read.ok().and_then(|claims| claims.sub),
        claims: claims.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_as_they_were_written_down() {
        let id = "6f2c7f4e-6e3b-4d0c-9a41-0d6a5f0b8c11";
        let claims = format!(r#"{{"sub":"{id}","x":1}}"#);
        for (role, claims, expect, user) in [
            ("authenticated", &*claims, "authenticated", true),
            ("anon", "{}", "anon", false),
            ("", "{}", "service_role", false),
            ("pumice_0_owner", "{}", "service_role", false),
            ("teacher", r#"{"sub":"no id"}"#, "teacher", false),
        ] {
            let caller = caller(role, claims);
            assert_eq!(caller.role.as_str(), expect);
            assert_eq!(caller.user_id.is_some(), user, "{claims}");
            assert_eq!(&*caller.claims, claims);
        }
    }
}
