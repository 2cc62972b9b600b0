//! How requests reach guests: one file for each kind of entry.

pub mod after;
pub mod hook;
pub mod http;
pub mod procedure;
pub mod row;
pub mod script;
