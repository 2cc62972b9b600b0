//! Scripts that run later: when they are due, and how often.
//!
//! Nothing here runs a guest; the runtime does that.

pub mod cron;
#[cfg(test)]
mod cron_reader_tests;
#[cfg(test)]
mod cron_tests;
