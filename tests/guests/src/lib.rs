//! Guests for the tests: one file each in `examples/`, each an HTTP function.
//!
//! Most use the SDK; those that must reach below it use `wasip2` or bindings of their own. What a guest
//! takes from its query has a default, so that each can be called without one.

use std::fmt::Display;
use std::str::FromStr;

use pumice::http::Request;
use pumice::{Error, Result};

/// The query parameter `name` as a number, or `default`.
///
/// # Errors
/// 400 `invalid_query` if it is none.
pub fn number<T: FromStr<Err: Display>>(request: &Request, name: &str, default: T) -> Result<T> {
    match request.query(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|why| Error::bad_request("invalid_query", format!("{name}: {why}"))),
    }
}

/// The query parameter `name`, or `default`.
pub fn word(request: &Request, name: &str, default: &str) -> String {
    request.query(name).unwrap_or_else(|| default.into())
}

/// The answer to a parameter that has a fixed set of values.
pub fn unknown(name: &str, value: &str) -> Error {
    Error::bad_request("invalid_query", format!("{name} cannot be `{value}`"))
}
