//! A before-trigger that refuses rows whose `total_cents` is below zero.

use pumice::{Change, Rejection, Verdict, reject};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Order {
    total_cents: i64,
}

#[pumice::before_trigger]
fn check(change: Change<Order>) -> Result<Verdict<Order>, Rejection> {
    if change.row().total_cents < 0 {
        return Err(reject("negative_total", "total_cents must not be negative"));
    }
    Ok(Verdict::Keep)
}
