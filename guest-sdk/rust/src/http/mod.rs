//! Requests in, responses out, and requests to other servers.
//!
//! The types are the SDK's own and thin: a request asks the host for its headers only when somebody reads
//! them, and a response crosses to the host in one list.

mod body;
#[cfg(feature = "client")]
mod client;
mod headers;
mod request;
mod response;
mod url;

pub use body::Body;
#[cfg(feature = "client")]
pub use client::{Fetch, FetchError, Reply, fetch};
pub use headers::Headers;
pub use request::{Method, Request};
pub use response::{BodyWriter, IntoResponse, Json, Response};

#[doc(hidden)]
pub use response::answer;
