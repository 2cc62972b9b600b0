//! An after-trigger that answers each row inserted into `loop` with another one, whose `n` is one more.

use pumice::{Change, Operation, data};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Row {
    n: i64,
}

#[pumice::after_trigger]
fn again(change: Change<Row>) -> Result<(), data::DataError> {
    if change.operation == Operation::Insert {
        let next = Row {
            n: change.row().n + 1,
        };
        data::table("loop").as_app().insert(&next)?;
    }
    Ok(())
}
