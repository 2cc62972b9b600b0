//! Who is calling, and what they may do.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::Result;
use crate::bindings::pumice::platform::identity as host;

/// The caller of this invocation.
pub fn caller() -> Caller {
    let caller = host::caller();
    Caller {
        role: caller.role,
        user_id: caller.user_id,
        claims_json: caller.claims,
    }
}

/// The name of the app this function belongs to.
pub fn app() -> String {
    host::app()
}

/// Whether the caller holds `permission`, written `namespace.action`.
///
/// # Errors
/// [`PermissionError`], if the question has no answer; treat that as a no.
pub fn has_permission(permission: &str) -> Result<bool, PermissionError> {
    host::has_permission(permission).map_err(|error| match error {
        host::Error::NotConfigured => PermissionError::NotConfigured,
        host::Error::UnknownPermission(name) => PermissionError::UnknownPermission(name),
        host::Error::Other(message) => PermissionError::Other(message),
    })
}

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
}

#[derive(Debug)]
pub enum PermissionError {
    /// The server has no permission service for this app.
    NotConfigured,
    /// No service has registered this permission.
    UnknownPermission(String),
    Other(String),
}

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PermissionError::NotConfigured => f.write_str("this server has no permission service"),
            PermissionError::UnknownPermission(name) => {
                write!(f, "no permission is called `{name}`")
            }
            PermissionError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for PermissionError {}
