use serde::de::DeserializeOwned;

use crate::Result;
use crate::bindings::imports::pumice::platform::types as host;

/// Who caused this invocation. The host has verified all of it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `anon`, `authenticated`, `service_role`, or a role of the app's own.
    pub role: String,
    /// The signed-in user's id (a UUID), when there is one.
    pub user_id: Option<String>,
    /// All claims of the caller's token, a JSON object; `{}` without a token.
    pub claims_json: String,
}

impl Caller {
    /// The claims, read into a type of the app's.
    ///
    /// # Errors
    /// 500 if they do not fit it.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_str(&self.claims_json)?)
    }

    pub(crate) fn from_host(caller: host::Caller) -> Self {
        Self {
            role: caller.role,
            user_id: caller.user_id,
            claims_json: caller.claims,
        }
    }
}
