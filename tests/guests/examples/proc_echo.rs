//! A procedure that answers `{"arguments", "role", "user_id"}`.

use pumice::{Rejection, identity};
use serde_json::{Value, json};

#[pumice::procedure]
fn echo(arguments: Value) -> Result<Value, Rejection> {
    let caller = identity::caller();
    Ok(json!({
        "arguments": arguments,
        "role": caller.role,
        "user_id": caller.user_id,
    }))
}
