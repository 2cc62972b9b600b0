//! An after-trigger that copies each change into the table `audit`: `table_name`, `operation`, `old`, `new`,
//! `role`.

use pumice::{Batch, data};
use serde_json::{Value, json};

#[pumice::after_trigger]
fn copy(batch: Batch<Value>) -> Result<(), data::DataError> {
    let copies: Vec<Value> = batch
        .changes
        .iter()
        .map(|change| {
            json!({
                "table_name": &*batch.table,
                "operation": batch.operation.as_str(),
                "old": change.old,
                "new": change.new,
                "role": batch.caller.role,
            })
        })
        .collect();
    data::table("audit").as_app().insert(&copies)?;
    Ok(())
}
