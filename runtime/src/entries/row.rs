//! Before-triggers: the app's answer to the data path's one question.

use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use pumice_host_api::Standing;
use pumice_host_api::data::hooks::{Batch, BeforeTrigger, Operation, Verdict, WriteHooks};
use pumice_host_api::data::{Actor, DataError, GuestFault, Transaction};

use crate::functions::components::Components;
use crate::functions::{App, Trigger};
use crate::invoke::Invoker;
use crate::invoke::call::{Answer, Call};
use crate::outcome::InvokeError;
use crate::request_id::RequestId;
use crate::services::jobs::Wakes;

/// The triggers of one app's active revision, whichever that is when a write asks.
pub struct Triggers {
    pub app: Weak<App>,
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
    pub wakes: Wakes,
}

impl WriteHooks for Triggers {
    fn before(&self, table: &str, operation: Operation) -> Vec<Arc<dyn BeforeTrigger>> {
        let Some(app) = self.app.upgrade() else {
            return Vec::new();
        };
        let revision = app.revision.load();
        let Some(revision) = &*revision else {
            return Vec::new();
        };
        let asked = |trigger: &Arc<Trigger>| -> Arc<dyn BeforeTrigger> {
            Arc::new(Asked {
                trigger: trigger.clone(),
                invoker: self.invoker.clone(),
                components: self.components.clone(),
            })
        };
        revision.before(table, operation).map(asked).collect()
    }

    fn committed(&self) {
        if let Some(app) = self.app.upgrade() {
            self.wakes.wake(&app);
        }
    }
}

/// A trigger as one write asks it.
struct Asked {
    trigger: Arc<Trigger>,
    invoker: Arc<Invoker>,
    components: Arc<Components>,
}

impl BeforeTrigger for Asked {
    fn name(&self) -> &str {
        &self.trigger.guest.name
    }

    fn serializable(&self) -> bool {
        self.trigger.serializable()
    }

    fn check<'a>(
        &'a self,
        actor: &'a Actor,
        within: Option<&'a Transaction>,
        batch: &'a Batch,
    ) -> BoxFuture<'a, Result<Vec<Verdict>, DataError>> {
        Box::pin(async move {
            let guest = &self.trigger.guest;
            let failed = |error: InvokeError| fault(&guest.name, &error);
            let target = guest.target(&self.components).await.map_err(|error| {
                let request_id = RequestId::of(actor.cause);
                let error = InvokeError::Boot(error.to_string());
                failed(self.invoker.refused(guest.entry(), request_id, error))
            })?;
            let standing = Standing {
                caller: actor.caller.clone(),
                invocation: actor.cause,
                depth: actor.depth,
                within: within.cloned(),
                budget: actor.budget.clone(),
            };
            let call = Call::check(batch, &actor.caller);
            let answer = self
                .invoker
                .call(target, standing, RequestId::of(actor.cause), call);
            match answer.await.map_err(failed)? {
                Answer::Verdicts(verdicts) => Ok(verdicts),
                _ => Err(DataError::Internal("a trigger gave no verdicts".to_owned())),
            }
        })
    }
}

/// Why a guest that the data path asked gave no answer.
pub fn fault(name: &str, error: &InvokeError) -> DataError {
    DataError::Guest {
        name: name.to_owned(),
        fault: match error {
            InvokeError::Overloaded => GuestFault::Overloaded,
            InvokeError::Limit(limit) => GuestFault::Limit(limit.name()),
            _ => GuestFault::Failed,
        },
    }
}
