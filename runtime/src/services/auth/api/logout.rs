//! `POST /logout`.

use std::sync::Arc;

use pumice_host_api::auth::{Engine, Flow, Tx};
use pumice_host_api::data::DataError;
use serde_json::Value;

use super::answer::Answer;
use super::asked::{Asked, Bearer};
use super::{Outcome, audit};
use crate::services::auth::fault::Fault;

#[derive(Clone, Copy)]
enum Scope {
    Global,
    Local,
    Others,
}

pub async fn logout(asked: &Arc<Asked>) -> Outcome {
    let bearer = asked.bearer()?;
    let scope = match asked.param("scope") {
        None | Some("" | "global") => Scope::Global,
        Some("local") => Scope::Local,
        Some("others") => Scope::Others,
        Some(_) => {
            return Err(Fault::invalid("scope has to be global, local or others"));
        }
    };
    let logout = Logout {
        asked: asked.clone(),
        bearer,
        scope,
    };
    asked.run(logout).await??;
    Ok(Answer::nothing())
}

struct Logout {
    asked: Arc<Asked>,
    bearer: Bearer,
    scope: Scope,
}

impl Flow for Logout {
    type Answer = Result<(), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let (session, user_id) = (self.bearer.session_id, self.bearer.user_id);
        let Some(user) = tx.user(user_id).await? else {
            return Ok(Err(Fault::user_gone()));
        };
        let current = tx.session(session).await?;
        if current.is_none_or(|found| found.user_id != user_id) {
            return Ok(Err(Fault::session_gone()));
        }
        match self.scope {
            Scope::Global => drop(tx.delete_sessions(user_id, None).await?),
            Scope::Others => drop(tx.delete_sessions(user_id, Some(session)).await?),
            Scope::Local => tx.delete_session(session).await?,
        }
        audit::record(tx, &self.asked, "logout", &user, Value::Null).await?;
        Ok(Ok(()))
    }
}
