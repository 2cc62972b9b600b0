//! Procedures: guest code inside one transaction, by name.

use std::sync::Arc;
use std::time::Instant;

use pumice_host_api::Standing;
use pumice_host_api::data::{Actor, DataError, TRANSACTION_MAX};

use crate::entries::row::fault;
use crate::error::Error;
use crate::functions::App;
use crate::functions::components::Components;
use crate::invoke::Invoker;
use crate::invoke::call::{Answer, Call};
use crate::outcome::InvokeError;
use crate::request_id::RequestId;
use crate::services::auth::extract;

/// What this entry works with.
pub struct Procedures {
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
}

/// How often a procedure is tried that other transactions came between.
const ATTEMPTS: u32 = 5;

impl Procedures {
    /// Calls `name` with `arguments` (a JSON object) and returns its JSON. Everything it has written is
    /// there when this returns, or nothing of it.
    ///
    /// # Errors
    /// PGRST202 without such a procedure; [`DataError::Rejected`] in its own words; 40001 when others
    /// kept coming between.
    pub async fn call(
        &self,
        app: &App,
        name: &str,
        actor: Actor,
        request_id: RequestId,
        arguments: String,
    ) -> Result<String, Error> {
        let revision = app.revision.load_full();
        let found = revision
            .as_ref()
            .and_then(|revision| revision.procedure(name));
        let procedure = found.ok_or_else(|| {
            let message = format!("Could not find the function public.{name} in the schema cache");
            DataError::sql("PGRST202", message)
        })?;
        extract::permit(procedure.access, &actor.caller)?;
        let guest = &procedure.guest;
        let target = guest.target(&self.components).await.map_err(|error| {
            let error = InvokeError::Boot(error.to_string());
            fault(
                name,
                &self.invoker.refused(guest.entry(), request_id, error),
            )
        })?;
        let mut attempt = 1;
        loop {
            // The place comes first: a procedure that waits for one holds no transaction.
            let ticket = self.invoker.ticket(&target, request_id).await;
            let ticket = ticket.map_err(|error| fault(name, &error))?;
            let deadline = Instant::now() + TRANSACTION_MAX;
            let transaction = app.data.begin(&actor, deadline, true).await?;
            let standing = Standing {
                caller: actor.caller.clone(),
                invocation: actor.cause,
                depth: actor.depth,
                within: Some(transaction.clone()),
                budget: None,
            };
            let call = Call::procedure(arguments.clone());
            let answer = self
                .invoker
                .call_with(Some(ticket), target.clone(), standing, request_id, call)
                .await;
            let outcome = match answer {
                Ok(Answer::Returned(json)) => match app.data.commit(&transaction).await {
                    Ok(()) => Ok(json),
                    Err(error) => Err(error),
                },
                Ok(Answer::Refused { code, message }) => Err(DataError::Rejected { code, message }),
                Ok(_) => Err(DataError::Internal("a procedure gave no answer".to_owned())),
                Err(error) => Err(fault(name, &error)),
            };
            let Err(error) = outcome else {
                return outcome.map_err(Error::from);
            };
            app.data.rollback(&transaction).await;
            let again = transaction.conflicted() || error.code() == Some("40001");
            if !again || attempt == ATTEMPTS {
                return Err(error.into());
            }
            attempt += 1;
        }
    }
}
