use super::query::Query;
use super::{DataError, Params, Rows};
use crate::bindings::imports::pumice::platform::data as host;

/// Runs `work` in a transaction as the caller: what it does is kept together if it returns `Ok`, and not at all
/// if it returns `Err`.
///
/// One at a time in an invocation, open for at most 500 ms.
///
/// # Errors
/// The error of `work`; or, as one of its kind, the [`DataError`] of beginning or of committing.
pub fn transaction<T, E: From<DataError>>(
    work: impl FnOnce(&Transaction) -> Result<T, E>,
) -> Result<T, E> {
    run(host::Authority::Caller, work)
}

/// As [`transaction`], but as the app itself, which policies do not bind.
///
/// # Errors
/// As [`transaction`].
pub fn transaction_as_app<T, E: From<DataError>>(
    work: impl FnOnce(&Transaction) -> Result<T, E>,
) -> Result<T, E> {
    run(host::Authority::App, work)
}

/// A transaction that is open; see [`transaction`].
pub struct Transaction {
    pub(super) host: host::Transaction,
}

impl Transaction {
    /// As [`table`](super::table), inside this transaction.
    pub fn table(&self, name: &str) -> Query<&Transaction> {
        Query::new(self, name)
    }

    /// One SQL statement, as [`sql`](super::sql).
    ///
    /// # Errors
    /// [`DataError`].
    pub fn sql(&self, statement: &str, parameters: Params) -> Result<Rows, DataError> {
        Ok(Rows::new(
            self.host.sql(statement, &parameters.into_json()?)?,
        ))
    }
}

fn run<T, E: From<DataError>>(
    authority: host::Authority,
    work: impl FnOnce(&Transaction) -> Result<T, E>,
) -> Result<T, E> {
    let host = host::Transaction::begin(authority).map_err(DataError::from)?;
    let transaction = Transaction { host };
    match work(&transaction) {
        Ok(value) => {
            host::Transaction::commit(transaction.host).map_err(DataError::from)?;
            Ok(value)
        }
        Err(error) => {
            host::Transaction::rollback(transaction.host);
            Err(error)
        }
    }
}
