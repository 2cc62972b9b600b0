//! HTTP in both directions: the host's side of `wasi:http` 0.2.
//!
//! Inwards, the runtime hands in a request ([`IncomingBody`]) and gets the answer through a
//! [`ResponseHandle`]. Outwards, a guest reaches the origins its entry's [`Egress`] lists, at
//! addresses that [`EgressPolicy`] permits, and redirects are answers like any other: following one
//! is a new request of the guest's, checked like the first.

pub(crate) mod body;
mod error;
pub(crate) mod fields;
mod host;
#[cfg(test)]
mod host_tests;
pub(crate) mod message;
mod outgoing;
pub(crate) mod pipe;
pub(crate) mod response;

pub use body::IncomingBody;
pub use error::HttpFault;
pub use outgoing::{Egress, EgressClient, EgressFault, EgressPolicy, FetchLimits};
pub use pipe::{BrokenOff, GuestBody};
pub use response::{HeadError, ResponseHandle};
