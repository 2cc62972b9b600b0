//! The app's plain settings: the `[config]` table of its `pumice.toml`.

use std::str::FromStr;

use crate::bindings::imports::pumice::platform::config as host;
use crate::{Error, Result};

/// The value of `key`, or `None`.
pub fn get(key: &str) -> Option<String> {
    host::get(key)
}

/// The value of `key`, read as a number, a flag or anything else that comes from text.
///
/// # Errors
/// 500 if the setting is missing or reads as no `T`; the log names the key.
pub fn parse<T: FromStr>(key: &str) -> Result<T> {
    let wrong = |what: &str| {
        Error::new(500, "internal", "the function failed")
            .caused_by(format!("setting `{key}` of pumice.toml {what}"))
    };
    let value = host::get(key).ok_or_else(|| wrong("is missing"))?;
    value
        .parse()
        .map_err(|_| wrong("is not of the form the function reads"))
}

/// Every setting, ordered by key.
pub fn all() -> Vec<(String, String)> {
    host::all()
}
