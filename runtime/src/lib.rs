//! Pumice as a process: engine, functions, entries and built-in services.

pub mod body;
pub mod cli;
mod clock;
pub mod config;
mod connection;
pub mod digest;
pub mod engine;
pub mod entries;
pub mod error;
pub mod functions;
pub mod fuzz;
pub mod invoke;
pub mod keyring;
pub mod limits;
pub mod logs;
pub mod node;
pub mod outcome;
pub mod request_id;
pub mod server;
pub mod services;
pub mod telemetry;
