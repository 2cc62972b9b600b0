//! Requests of guests: which origins they may call, at which addresses, and the client that does.

mod address;
mod client;
mod egress;
mod fetch;
mod host;

pub use address::EgressPolicy;
pub use client::EgressClient;
pub use egress::{Egress, EgressFault};
pub use fetch::FetchLimits;
