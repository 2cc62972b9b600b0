//! Permissions over HTTP, and the guard of entries that need one.

pub mod guard;
pub mod routes;
