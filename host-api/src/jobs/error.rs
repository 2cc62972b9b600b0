//! Why a job is not added.

use crate::data::DataError;

/// Why a job is not added.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("jobs are not configured")]
    NotConfigured,
    #[error("there is no script `{0}`")]
    NoScript(String),
    /// The text says what is wrong with it.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Data(#[from] DataError),
}
