//! Who is calling, and what they may do.

use std::fmt;

use crate::Result;
use crate::bindings::imports::pumice::platform::identity as host;

pub use crate::caller::Caller;

/// The caller of this invocation.
pub fn caller() -> Caller {
    Caller::from_host(host::caller())
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
