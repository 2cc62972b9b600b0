//! How requests reach guests: one file for each kind of entry.

pub mod http;
