use std::fmt;

use crate::bindings::imports::pumice::platform::data as host;

/// Why a call on the app's tables did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataError {
    /// This server has no tables for this app.
    NotConfigured,
    /// The database refused: constraint, type, policy, grant, or a trigger's rejection.
    Database(DatabaseError),
    /// A before-trigger may read and not write.
    NotInBeforeTrigger,
    /// A transaction of this invocation is open: write through it, or end it first.
    TransactionOpen,
    /// The transaction is over: committed, rolled back, or open longer than 500 ms.
    TransactionEnded,
    /// More rows or bytes than one call may carry.
    TooLarge(String),
    Unavailable,
    Other(String),
    /// An update or a delete has no filter, which would reach every row; nothing was changed.
    NoFilter,
    /// One row was asked for, and there is none.
    NoRow,
    /// One row was asked for, and there are several.
    ManyRows,
    /// The call is not one that can be made; says why. Nothing was asked of the host.
    Invalid(String),
    /// The rows are there and do not fit the type they are read into; says which column.
    Unreadable(String),
}

/// A refusal in the words of PostgreSQL, whichever engine the app's tables are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    /// Five characters, for example `23505` for a broken unique constraint; or the code of a rejection.
    pub code: String,
    pub message: String,
    pub details: Option<String>,
    pub hint: Option<String>,
}

impl DataError {
    /// The database's code, if it was the database that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            DataError::Database(refusal) => Some(&refusal.code),
            _ => None,
        }
    }
}

impl From<host::Error> for DataError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NotConfigured => DataError::NotConfigured,
            host::Error::Database(refusal) => DataError::Database(DatabaseError {
                code: refusal.code,
                message: refusal.message,
                details: refusal.details,
                hint: refusal.hint,
            }),
            host::Error::NotInBeforeTrigger => DataError::NotInBeforeTrigger,
            host::Error::TransactionOpen => DataError::TransactionOpen,
            host::Error::TransactionEnded => DataError::TransactionEnded,
            host::Error::TooLarge(what) => DataError::TooLarge(what),
            host::Error::Unavailable => DataError::Unavailable,
            host::Error::Other(message) => DataError::Other(message),
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::NotConfigured => f.write_str("this server has no tables for this app"),
            DataError::Database(refusal) => write!(f, "{}: {}", refusal.code, refusal.message),
            DataError::NotInBeforeTrigger => f.write_str("a before-trigger cannot write"),
            DataError::TransactionOpen => {
                f.write_str("a transaction is open: write through it, or end it first")
            }
            DataError::TransactionEnded => f.write_str("the transaction is over"),
            DataError::TooLarge(what) => write!(f, "too large for one call: {what}"),
            DataError::Unavailable => f.write_str("the database is unavailable"),
            DataError::NoFilter => f.write_str(
                "an update or delete needs a filter; one that holds for every row, such as not_null(\"id\"), says that all are meant",
            ),
            DataError::NoRow => f.write_str("there is no such row"),
            DataError::ManyRows => f.write_str("there is more than one such row"),
            DataError::Invalid(why) | DataError::Unreadable(why) | DataError::Other(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for DataError {}
