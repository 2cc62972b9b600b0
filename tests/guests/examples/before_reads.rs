//! A before-trigger that reads, as the app, how many rows of the table the row's user has, and refuses the
//! eleventh. Rows name their user in `user_id`.

use pumice::{Change, Rejection, data, reject};
use serde::Deserialize;
use serde_json::Value;

const ROWS_MAX: usize = 10;

#[derive(Deserialize)]
struct Row {
    user_id: Value,
}

#[pumice::before_trigger]
fn count(change: Change<Row>) -> Result<(), Rejection> {
    let user = match &change.row().user_id {
        Value::String(id) => id.clone(),
        other => other.to_string(),
    };
    let rows = data::table(&change.table)
        .as_app()
        .select("user_id")
        .eq("user_id", user)
        .limit(ROWS_MAX as u32)
        .read()?
        .count();
    if rows == ROWS_MAX {
        return Err(reject("too_many", "a user may have 10 rows"));
    }
    Ok(())
}
