//! What an app's manifest says of its API (`[api]`).

use std::time::Duration;

use super::schema::PUBLIC;
use super::{ROWS_MAX, STATEMENT_TIMEOUT};

/// An app's own choices for `/rest/v1`. Safe as they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Schemas that requests may name, in order; the first is meant when a request names none. On
    /// SQLite `public` only.
    pub schemas: Vec<String>,
    /// PostgreSQL: searched after the request's schema.
    pub search_path: Vec<String>,
    /// Rows that one read answers at most.
    pub rows_max: u64,
    /// Whether `sum()` and the like may be asked for.
    pub aggregates: bool,
    /// Whether a request's plan may be asked for (`application/vnd.pgrst.plan`).
    pub plan: bool,
    pub transaction_end: TransactionEnd,
    /// Whether who brings no key at all is let in as `anon`.
    pub anonymous: bool,
    pub statement_timeout: Duration,
}

/// How a request's transaction ends, and whether `Prefer: tx=` may say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionEnd {
    #[default]
    Commit,
    CommitAllowOverride,
    RollbackAllowOverride,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            schemas: vec![PUBLIC.to_owned()],
            search_path: Vec::new(),
            rows_max: ROWS_MAX,
            aggregates: false,
            plan: false,
            transaction_end: TransactionEnd::Commit,
            anonymous: false,
            statement_timeout: STATEMENT_TIMEOUT,
        }
    }
}
