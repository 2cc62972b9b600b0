//! Clears away what is over: codes, flows, sessions, old entries of the audit log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pumice_host_api::AppId;
use pumice_host_api::auth::{Engine, Flow, Tx};
use pumice_host_api::data::DataError;

use crate::functions::App;
use crate::limits;

/// The apps whose users were looked through a short time ago.
pub struct Tidied(moka::sync::Cache<AppId, ()>);

impl Default for Tidied {
    fn default() -> Tidied {
        let cache = moka::sync::Cache::builder().time_to_live(limits::AUTH_TIDY);
        Tidied(cache.max_capacity(limits::APPS_MAX as u64).build())
    }
}

impl Tidied {
    /// Tidies up after `app` in the background, if that is due. Called where rows are made.
    pub fn look(&self, app: &Arc<App>, now: DateTime<Utc>) {
        if self.0.contains_key(&app.id) {
            return;
        }
        self.0.insert(app.id, ());
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = app.users.run(Tidy(now)).await {
                tracing::error!(app.id = %app.id, %error, "what is over was not cleared away");
            }
        });
    }
}

struct Tidy(DateTime<Utc>);

impl Flow for Tidy {
    type Answer = ();

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<(), DataError> {
        // Nothing that can be used is older: neither a code nor a token of a session.
        tx.tidy(self.0 - limits::CODE_LIFE_MAX * 2, limits::AUDIT_MAX)
            .await
    }
}
