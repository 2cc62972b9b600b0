//! Who calls.

mod host;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// Who caused an invocation: verified by the runtime before any guest code runs. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    /// The signed-in user.
    pub user_id: Option<Uuid>,
    /// All verified claims as a JSON object, `{}` without a token.
    pub claims: Arc<str>,
}

/// The database role a caller acts as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Anon,
    Authenticated,
    ServiceRole,
    /// A role of the app's own.
    Other(Arc<str>),
}

impl Role {
    /// The name tokens and policies use.
    pub fn as_str(&self) -> &str {
        match self {
            Role::Anon => "anon",
            Role::Authenticated => "authenticated",
            Role::ServiceRole => "service_role",
            Role::Other(name) => name,
        }
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        match name {
            // A token without a role is nobody's.
            "anon" | "" => Role::Anon,
            "authenticated" => Role::Authenticated,
            "service_role" => Role::ServiceRole,
            other => Role::Other(other.into()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
