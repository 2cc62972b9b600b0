//! The one question asked upward: what the app's before-triggers think of a change.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::transaction::Transaction;
use super::{Actor, DataError};

/// What happened, or is to happen, to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// One row before and after the change; both are JSON objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// On update and delete.
    pub old: Option<String>,
    /// On insert and update. On insert, columns that are left to their default are not in it yet.
    pub new: Option<String>,
}

/// Rows of one statement, at most [`TRIGGER_BATCH_ROWS`](super::TRIGGER_BATCH_ROWS).
#[derive(Clone, Debug)]
pub struct Batch {
    pub table: String,
    pub operation: Operation,
    pub changes: Vec<Change>,
}

/// A before-trigger's answer for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// This row instead, a JSON object, checked like one from a client.
    Replace(String),
    /// The row is left out.
    Skip,
    /// The whole statement fails with this code and message.
    Reject {
        code: String,
        message: String,
    },
}

/// A before-trigger, found and ready to ask.
pub trait BeforeTrigger: Send + Sync {
    fn name(&self) -> &str;

    /// Whether other rows must stay as it reads them until the change is made.
    fn serializable(&self) -> bool;

    /// One verdict for each change. `within` is the transaction that the trigger reads through, when
    /// one is open.
    ///
    /// # Errors
    /// [`DataError::Guest`] when it gives no answer.
    fn check<'a>(
        &'a self,
        actor: &'a Actor,
        within: Option<&'a Transaction>,
        batch: &'a Batch,
    ) -> BoxFuture<'a, Result<Vec<Verdict>, DataError>>;
}

/// The app's triggers, as its active revision has them.
pub trait WriteHooks: Send + Sync {
    /// The before-triggers of `table` for `operation`, in order of the manifest.
    fn before(&self, table: &str, operation: Operation) -> Vec<Arc<dyn BeforeTrigger>>;

    /// Jobs or changes were committed that somebody waits for.
    fn committed(&self);
}
