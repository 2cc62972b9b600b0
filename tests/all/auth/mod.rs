//! Users of an app: `/auth/v1`, on both engines.

mod admin;
mod apart;
mod canaries;
mod counts;
pub mod factors;
mod links;
mod mailed;
mod malformed;
mod matrix;
mod sessions;
mod sign_up;
mod storms;
