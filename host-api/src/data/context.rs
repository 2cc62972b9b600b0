//! As whom a transaction runs.

use std::sync::Arc;

use crate::Role;

/// What the database itself is told of whoever asks: policies, defaults and the change log read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub role: Role,
    /// All verified claims of the caller, a JSON object.
    pub claims: Arc<str>,
    /// How many after-triggers stand between this and the outside: 0 for a request.
    pub depth: u32,
    /// What SQL functions of PostgreSQL may ask about the HTTP request.
    pub request: Option<Arc<RequestInfo>>,
}

/// The HTTP request behind a transaction, as the dialect's `request.*` settings tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    pub method: String,
    /// Below `/rest/v1`.
    pub path: String,
    /// A JSON object with keys in lower case.
    pub headers: String,
    /// A JSON object.
    pub cookies: String,
}

impl Default for Context {
    /// The host's own work: nobody's role, no claims.
    fn default() -> Context {
        Context {
            role: Role::Other("".into()),
            claims: "{}".into(),
            depth: 0,
            request: None,
        }
    }
}
