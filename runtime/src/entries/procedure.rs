//! Procedures: guest code inside one transaction, by name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_host_api::Standing;
use pumice_host_api::data::{Actor, DataError, Transaction};

use crate::entries::row::fault;
use crate::error::Error;
use crate::functions::components::Components;
use crate::functions::{App, Procedure};
use crate::invoke::call::{Answer, Call};
use crate::invoke::{Invoker, Target, Ticket};
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
    pub fn find(&self, app: &App, name: &str) -> Option<Arc<Procedure>> {
        let revision = app.revision.load();
        let found = revision
            .as_ref()
            .and_then(|revision| revision.procedure(name));
        found.cloned()
    }

    /// A place for the procedures that a transaction of somebody else's is going to call, to be had
    /// before it opens.
    ///
    /// # Errors
    /// [`DataError::Guest`] when there is none in time.
    pub async fn ticket(
        &self,
        procedure: &Procedure,
        request_id: RequestId,
    ) -> Result<Ticket, DataError> {
        let target = self.target(procedure, request_id).await?;
        let ticket = self.invoker.ticket(&target, request_id).await;
        ticket.map_err(|error| fault(&procedure.guest.name, &error))
    }

    /// Calls a procedure inside `transaction`, on the place and within the budget that `actor` has for
    /// it. What it has written is undone by whoever ends the transaction.
    ///
    /// # Errors
    /// As [`call`](Self::call), but a conflict is not tried again.
    pub async fn call_within(
        &self,
        procedure: &Procedure,
        actor: &Actor,
        request_id: RequestId,
        arguments: String,
        transaction: &Transaction,
    ) -> Result<String, Error> {
        let target = self.target(procedure, request_id).await?;
        let standing = Standing {
            caller: actor.caller.clone(),
            invocation: actor.cause,
            depth: actor.depth,
            within: Some(transaction.clone()),
            budget: actor.budget.clone(),
        };
        let call = Call::procedure(arguments);
        let answer = self
            .invoker
            .call_with(None, target, standing, request_id, call)
            .await;
        Ok(returned(&procedure.guest.name, answer)?)
    }

    async fn target(
        &self,
        procedure: &Procedure,
        request_id: RequestId,
    ) -> Result<Arc<Target>, DataError> {
        let guest = &procedure.guest;
        guest.target(&self.components).await.map_err(|error| {
            let error = InvokeError::Boot(error.to_string());
            let error = self.invoker.refused(guest.entry(), request_id, error);
            fault(&guest.name, &error)
        })
    }

    /// Calls a procedure with `arguments` (a JSON object) and returns its JSON. Everything it has written is
    /// there when this returns, or nothing of it; with `read_only` it may write nothing.
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
        read_only: bool,
    ) -> Result<String, Error> {
        let name = &*procedure.guest.name;
        let target = self.target(procedure, request_id).await?;
        let until = Instant::now() + limits::PROCEDURE_AGAIN;
        let mut pause = Duration::from_millis(1);
        loop {
            // The place comes first: a procedure that waits for one holds no transaction.
            let ticket = self.invoker.ticket(&target, request_id).await;
            let ticket = ticket.map_err(|error| fault(name, &error))?;
            let transaction = match read_only {
                true => app.data.begin_reading(&actor).await?,
                false => app.data.begin(&actor, true).await?,
            };
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
            let outcome = match returned(name, answer) {
                Ok(json) => app.data.commit(&transaction).await.map(|()| json),
                Err(error) => Err(error),
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

/// What a call of a procedure came to.
fn returned(name: &str, answer: Result<Answer, InvokeError>) -> Result<String, DataError> {
    match answer {
        Ok(Answer::Returned(json)) => Ok(json),
        Ok(Answer::Refused { code, message }) => Err(DataError::Rejected { code, message }),
        Ok(_) => Err(DataError::Internal("a procedure gave no answer".to_owned())),
        Err(error) => Err(fault(name, &error)),
    }
}
