//! On whose behalf the data path works.

use std::sync::Arc;

use crate::budget::Budget;
use crate::data::context::{Context, RequestInfo};
use crate::{Caller, InvocationId, Role};

/// Whose rights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The caller's: grants and policies apply.
    Caller,
    /// The app's own: everything in its own tables.
    App,
}

/// Who asks, and what the asking belongs to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Actor {
    pub caller: Caller,
    pub authority: Authority,
    /// How many after-triggers stand between this and the outside: 0 for a request.
    pub depth: u32,
    /// The request or job all this belongs to, for logs.
    pub cause: InvocationId,
    /// What the asking guest has left; none when no guest asks.
    pub budget: Option<Arc<Budget>>,
    /// The HTTP request that asks; none when a guest or a job does.
    pub request: Option<Arc<RequestInfo>>,
}

impl Actor {
    /// A request from outside.
    pub fn caller(caller: Caller, cause: InvocationId) -> Actor {
        Actor {
            caller,
            authority: Authority::Caller,
            depth: 0,
            cause,
            budget: None,
            request: None,
        }
    }

    /// Whether policies and grants do not bind it.
    pub fn unbound(&self) -> bool {
        self.authority == Authority::App || self.caller.role == Role::ServiceRole
    }

    /// As whom its transactions run.
    pub fn context(&self) -> Context {
        Context {
            role: match self.authority {
                Authority::App => Role::ServiceRole,
                Authority::Caller => self.caller.role.clone(),
            },
            claims: self.caller.claims.clone(),
            depth: self.depth,
            request: self.request.clone(),
        }
    }
}
