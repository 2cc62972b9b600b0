//! Procedures: guest code inside one transaction, by name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_host_api::Standing;
use pumice_host_api::data::{Actor, DataError};

use crate::entries::row::fault;
use crate::error::Error;
use crate::functions::components::Components;
use crate::functions::{App, Procedure};
use crate::invoke::Invoker;
use crate::invoke::call::{Answer, Call};
use crate::limits;
use crate::outcome::InvokeError;
use crate::request_id::RequestId;

/// What this entry works with.
pub struct Procedures {
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
}

impl Procedures {
    /// The procedure called `name`.
    ///
    /// # Errors
    /// PGRST202 without such a procedure.
    pub fn find(&self, app: &App, name: &str) -> Result<Arc<Procedure>, DataError> {
        let revision = app.revision.load();
        let found = revision
            .as_ref()
            .and_then(|revision| revision.procedure(name));
        found.cloned().ok_or_else(|| {
            let message = format!("Could not find the function public.{name} in the schema cache");
            DataError::sql("PGRST202", message)
        })
    }

    /// Calls a procedure with `arguments` (a JSON object) and returns its JSON. Everything it has written is
    /// there when this returns, or nothing of it.
    ///
    /// # Errors
    /// [`DataError::Rejected`] in its own words; 40001 when others
    /// kept coming between.
    pub async fn call(
        &self,
        app: &App,
        procedure: &Procedure,
        actor: Actor,
        request_id: RequestId,
        arguments: String,
    ) -> Result<String, Error> {
        let guest = &procedure.guest;
        let name = &*guest.name;
        let target = guest.target(&self.components).await.map_err(|error| {
            let error = InvokeError::Boot(error.to_string());
            fault(
                name,
                &self.invoker.refused(guest.entry(), request_id, error),
            )
        })?;
        let until = Instant::now() + limits::PROCEDURE_AGAIN;
        let mut pause = Duration::from_millis(1);
        loop {
            // The place comes first: a procedure that waits for one holds no transaction.
            let ticket = self.invoker.ticket(&target, request_id).await;
            let ticket = ticket.map_err(|error| fault(name, &error))?;
            let transaction = app.data.begin(&actor, true).await?;
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
            if !transaction.conflicted() && !error.is_conflict() {
                return Err(error.into());
            }
            // Whatever the guest made of it, the cause is the conflict.
            if Instant::now() + pause > until {
                let message = "could not serialize access due to concurrent update";
                return Err(DataError::sql("40001", message).into());
            }
            // Those that met would meet again if they all came back at once.
            tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
            pause = (pause * 2).min(limits::PROCEDURE_PAUSE);
        }
    }
}
