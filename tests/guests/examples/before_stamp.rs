//! A before-trigger that writes the caller's role into `stamped_by`; of the other columns it knows nothing.

use pumice::{Change, Verdict};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Stamped {
    stamped_by: Option<String>,
}

#[pumice::before_trigger]
fn stamp(change: Change<Stamped>) -> Verdict<Stamped> {
    Verdict::Replace(Stamped {
        stamped_by: Some(change.caller.role.clone()),
    })
}
