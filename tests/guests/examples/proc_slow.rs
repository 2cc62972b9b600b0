//! A procedure that inserts a row into `audit` and then holds its transaction until it is stopped: it waits in the
//! host, or with `"how": "spin"` works.

use std::hint::black_box;

use pumice::{Rejection, data};
use serde::Deserialize;
use serde_json::json;
use wasip2::clocks::monotonic_clock::subscribe_duration;

const HOUR_NS: u64 = 3_600_000_000_000;

#[derive(Deserialize)]
struct How {
    #[serde(default)]
    how: String,
}

#[pumice::procedure]
fn hold(arguments: How) -> Result<(), Rejection> {
    data::table("audit")
        .as_app()
        .insert(&json!({ "operation": "proc_slow" }))?;
    loop {
        match arguments.how.as_str() {
            "spin" => {
                black_box(0);
            }
            _ => subscribe_duration(HOUR_NS).block(),
        }
    }
}
