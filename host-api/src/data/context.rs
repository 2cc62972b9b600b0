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
}

impl Default for Context {
    /// The host's own work: nobody's role, no claims.
    fn default() -> Context {
        Context {
            role: Role::Other("".into()),
            claims: "{}".into(),
            depth: 0,
        }
    }
}
