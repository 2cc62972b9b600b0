//! How requests reach guests: one file for each kind of entry.

pub mod http;
pub mod procedure;
pub mod row;
