//! Values that may be gone at any time, shared by all calls of the app.
//!
//! Keys are at most 512 bytes, values at most 1 MiB. Without a lifetime a value stays a day.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::pumice::platform::cache as host;

/// The value under `key`, if it is still there.
///
/// # Errors
/// [`CacheError`].
pub fn get(key: &str) -> Result<Option<Vec<u8>>, CacheError> {
    Ok(host::get(key)?)
}

/// The value under `key`, read as JSON. A value of another form counts as gone.
///
/// # Errors
/// [`CacheError`].
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, CacheError> {
    Ok(host::get(key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Keeps `value` under `key`.
///
/// # Errors
/// [`CacheError`].
pub fn set(key: &str, value: &[u8], lifetime: Option<Duration>) -> Result<(), CacheError> {
    Ok(host::set(key, value, lifetime.map(milliseconds))?)
}

/// Keeps `value` under `key` as JSON.
///
/// # Errors
/// [`CacheError`]; [`CacheError::Other`] too if the value has no JSON form.
pub fn set_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    lifetime: Option<Duration>,
) -> Result<(), CacheError> {
    let bytes = serde_json::to_vec(value).map_err(|error| CacheError::Other(error.to_string()))?;
    set(key, &bytes, lifetime)
}

/// Takes the value under `key` away, if there is one.
///
/// # Errors
/// [`CacheError`].
pub fn delete(key: &str) -> Result<(), CacheError> {
    Ok(host::delete(key)?)
}

/// Adds `by` to the counter under `key` in one step and returns the sum. A new counter starts at 0; its
/// lifetime runs from its first increment.
///
/// # Errors
/// [`CacheError`].
pub fn increment(key: &str, by: i64, lifetime: Option<Duration>) -> Result<i64, CacheError> {
    Ok(host::increment(key, by, lifetime.map(milliseconds))?)
}

#[derive(Debug)]
pub enum CacheError {
    /// A key over 512 bytes, or a value over 1 MiB.
    TooLarge(String),
    /// A before-trigger may read and not write.
    NotInBeforeTrigger,
    /// The value under this key is no counter.
    NotACounter,
    Unavailable,
    Other(String),
}

impl From<host::Error> for CacheError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::TooLarge(what) => CacheError::TooLarge(what),
            host::Error::NotInBeforeTrigger => CacheError::NotInBeforeTrigger,
            host::Error::NotACounter => CacheError::NotACounter,
            host::Error::Unavailable => CacheError::Unavailable,
            host::Error::Other(message) => CacheError::Other(message),
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheError::TooLarge(what) => write!(f, "too large for the cache: {what}"),
            CacheError::NotInBeforeTrigger => {
                f.write_str("a before-trigger cannot write to the cache")
            }
            CacheError::NotACounter => f.write_str("the cached value is no counter"),
            CacheError::Unavailable => f.write_str("the cache is unavailable"),
            CacheError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CacheError {}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
