//! Why the data path refuses or fails, in PostgreSQL's words on both engines.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// An error as PostgreSQL reports it, or as the REST dialect does (`PGRST…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// Five characters, or the dialect's `PGRST` and three digits.
    ///
    /// Source: PostgreSQL 15, appendix A; PostgREST, `docs/references/errors`.
    pub code: Cow<'static, str>,
    pub message: String,
    pub details: Option<String>,
    pub hint: Option<String>,
}

impl SqlFault {
    pub fn new(code: &'static str, message: impl Into<String>) -> SqlFault {
        SqlFault {
            code: Cow::Borrowed(code),
            message: message.into(),
            details: None,
            hint: None,
        }
    }

    pub fn into_error(self) -> DataError {
        self.into()
    }

    pub fn details(mut self, details: impl Into<String>) -> SqlFault {
        self.details = Some(details.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> SqlFault {
        self.hint = Some(hint.into());
        self
    }

    /// The details where they are JSON and go to the client as such, not as text: the relationships
    /// of a PGRST201.
    pub fn json_details(&self) -> Option<&RawValue> {
        let details = self.details.as_deref().filter(|_| self.code == "PGRST201");
        details.and_then(|details| serde_json::from_str(details).ok())
    }
}

/// Why a guest that had to be asked gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestFault {
    /// No place for it within the queue's bounds.
    Overloaded,
    /// It met this limit.
    Limit(&'static str),
    /// It broke; its app's log says how.
    Failed,
}

/// Why the data path refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{}", .0.message)]
    Sql(Box<SqlFault>),
    /// A before-trigger or a procedure said no, in the app's own words.
    #[error("{message}")]
    Rejected { code: String, message: String },
    /// A trigger or procedure that had to be asked gave no answer.
    #[error("`{name}` gave no answer")]
    Guest { name: String, fault: GuestFault },
    #[error("a transaction of this invocation is open: write through it, or end it first")]
    TransactionOpen,
    #[error("the transaction is over")]
    TransactionEnded,
    /// A write while the app's data is on its way to another database, or by a door that still leads to
    /// the old one. The same may succeed in a moment.
    #[error(
        "the app's data is being moved to another database and cannot be changed now; try again"
    )]
    Moving,
    /// A write to an SQLite file whose data was moved away.
    #[error("this file's data was moved to {0}; it stays as it was and cannot be changed")]
    Moved(String),
    /// More rows or bytes than one call may carry; the text says which limit.
    #[error("{0}")]
    TooLarge(String),
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something of ours is broken: the cause is for the log.
    #[error("the data path failed: {0}")]
    Internal(String),
}

impl DataError {
    /// An error with PostgreSQL's or the dialect's code.
    pub fn sql(code: &'static str, message: impl Into<String>) -> DataError {
        SqlFault::new(code, message).into()
    }

    /// Whether another transaction came between, so that the same may succeed now: 40001, or a deadlock.
    pub fn is_conflict(&self) -> bool {
        matches!(self.code(), Some("40001" | "40P01"))
    }

    /// PostgreSQL's or the dialect's code, when there is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            DataError::Sql(fault) => Some(&fault.code),
            _ => None,
        }
    }
}

impl From<SqlFault> for DataError {
    fn from(fault: SqlFault) -> Self {
        DataError::Sql(Box::new(fault))
    }
}
