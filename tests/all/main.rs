//! The whole system: the real binary with real guests, over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

mod admission;
mod after_triggers;
mod api;
mod apps;
mod auth;
mod batch;
mod before_limits;
mod before_rights;
mod before_triggers;
mod cli;
mod cli_db;
mod closed;
mod data_apps;
mod data_crash;
mod db_move;
mod dialect;
mod egress;
mod examples;
mod functions;
mod guest_data;
mod hooks;
mod identity;
mod javascript;
mod keys;
mod kinds;
mod later;
mod limits;
mod mail;
mod members;
mod migrations;
mod oauth;
mod permissions;
mod policies;
mod procedures;
mod random;
mod rates;
mod readme;
mod regdb;
mod rest;
mod scripts;
mod sql_attacks;
mod statics;
mod supabase;
mod supabase_auth;
mod supabase_data;
mod tidy;
mod tokens;
mod uploads;

use pumice_tests::{TestServer, in_time};

/// Waits until at least this many guests are alive on the server.
async fn until_running(server: &TestServer, count: u32) {
    in_time("guests to run", async {
        while running(server).await < count {}
    })
    .await;
}

/// Guests alive on the server.
async fn running(server: &TestServer) -> u32 {
    let metrics = server.call("GET", "/metrics").await.text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("pumice_invocations_running "));
    line.expect("the metric is there")
        .parse()
        .expect("it is a number")
}
