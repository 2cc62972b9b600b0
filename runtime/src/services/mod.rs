//! What Pumice has built in.

pub mod auth;
pub mod dbapi;
pub mod jobs;
pub mod mail;
pub mod permissions;
pub mod platform;
pub mod rates;
