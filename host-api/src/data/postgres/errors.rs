//! What PostgreSQL and the way to it answer, in the data path's words.

use std::borrow::Cow;

use sqlx::postgres::PgDatabaseError;

use crate::data::{DataError, SqlFault};

/// Codes with which the server says that it is not there for us now: a lost connection, no slot left,
/// starting or shutting down.
///
/// Source: PostgreSQL 15, appendix A.
fn is_absence(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "53300" | "57P01" | "57P02" | "57P03" | "57P05")
}

impl From<sqlx::Error> for DataError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                if error.code().is_some_and(|code| is_absence(&code)) {
                    return DataError::Unavailable(error.into_error());
                }
                fault(error.downcast_ref::<PgDatabaseError>()).into()
            }
            sqlx::Error::PoolTimedOut => pool_timed_out(),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => DataError::Unavailable(error.into()),
            other => DataError::Internal(other.to_string()),
        }
    }
}

fn fault(error: &PgDatabaseError) -> SqlFault {
    SqlFault {
        code: Cow::Owned(error.code().to_owned()),
        message: error.message().to_owned(),
        details: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
    }
}

/// No connection came free in time, in the dialect's words.
///
/// Source: PostgREST, `docs/references/errors`, PGRST003.
pub(super) fn pool_timed_out() -> DataError {
    DataError::sql(
        "PGRST003",
        "Timed out acquiring connection from connection pool.",
    )
}

/// A connection could not be made: whatever the server says of it, nobody who asks for rows can help.
pub(super) fn no_connection(error: sqlx::Error) -> DataError {
    DataError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_is_cut_is_no_answer() {
        let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(
            DataError::from(sqlx::Error::Io(cut)),
            DataError::Unavailable(_)
        ));
        assert_eq!(
            DataError::from(sqlx::Error::PoolTimedOut).code(),
            Some("PGRST003")
        );
        for (code, absent) in [
            ("08006", true),
            ("57P01", true),
            ("53300", true),
            ("57014", false),
            ("23505", false),
        ] {
            assert_eq!(is_absence(code), absent, "{code}");
        }
    }
}
