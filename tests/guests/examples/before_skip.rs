//! A before-trigger that leaves out the rows whose `skip` is true.

use pumice::{Change, Verdict};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Row {
    #[serde(default)]
    skip: Option<bool>,
}

#[pumice::before_trigger]
fn leave_out(change: Change<Row>) -> Verdict<Row> {
    match change.row().skip {
        Some(true) => Verdict::Skip,
        _ => Verdict::Keep,
    }
}
