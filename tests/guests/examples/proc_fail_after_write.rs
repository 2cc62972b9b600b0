//! A procedure that inserts its arguments as a row of `audit` and then refuses; with `"how": "panic"` it panics.

use pumice::{Rejection, data, reject};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct How {
    #[serde(default)]
    how: String,
}

#[pumice::procedure]
fn fail(arguments: How) -> Result<(), Rejection> {
    data::table("audit")
        .as_app()
        .insert(&json!({ "operation": "proc_fail_after_write" }))?;
    assert!(arguments.how != "panic", "the arguments ask for a panic");
    Err(reject("refused", "refused after a write"))
}
