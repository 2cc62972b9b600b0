//! Write functions for Pumice in Rust.
//!
//! ```ignore
//! use pumice::http::{Request, Response};
//! use pumice::Result;
//!
//! #[pumice::function]
//! fn hello(request: Request) -> Result<Response> {
//!     let name = request.query("name").unwrap_or("world".into());
//!     Ok(Response::text(format!("Hello, {name}!")))
//! }
//! ```
//!
//! Every call runs in a fresh instance: statics are as the program starts with them, and nothing a call
//! leaves in memory is seen by another. What should last goes to [`cache`] or to the app's data.
//!
//! The standard library works, except for what a sandbox has not: files, sockets, threads and processes.
//! Time, random numbers and hash seeds come from the host at run time. What is printed goes to the app's
//! log. A panic prints its message there and ends the call with status 500.

#[rustfmt::skip]
#[allow(
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod bindings;

mod error;
pub mod http;

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "identity")]
pub mod identity;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "secrets")]
pub mod secrets;

pub use error::{Error, Result};

/// Makes a function the app's answer to HTTP requests.
///
/// The function is synchronous, takes one [`http::Request`] or nothing, and returns anything that is
/// [`http::IntoResponse`]: a [`http::Response`], [`http::Json`], text, bytes, or a [`Result`] of one of
/// them. One function for each crate; its name, route and access stand in `pumice.toml`.
pub use pumice_macros::function;

/// What the attributes expand to; not for use by hand, and free to change.
#[doc(hidden)]
pub mod __export {
    pub use crate::http::answer;
    pub use wasip2::exports::http::incoming_handler::Guest as HttpGuest;
    pub use wasip2::http::proxy::export as export_http;
    pub use wasip2::http::types::{IncomingRequest, ResponseOutparam};
}
