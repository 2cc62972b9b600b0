//! A before-trigger that tries to write and to enqueue, and refuses the row with what it was told: the error of
//! each, by `; `.

use std::fmt::Display;

use pumice::{Rejection, data, jobs, messaging, reject};
use serde_json::json;

#[pumice::before_trigger]
fn write() -> Result<(), Rejection> {
    let told = [
        said(
            data::table("audit")
                .as_app()
                .insert(&json!({ "operation": "none" })),
        ),
        said(data::sql("delete from audit", data::params![])),
        said(data::transaction(|_| Ok::<_, data::DataError>(()))),
        said(jobs::enqueue("tick", &json!({}))),
        said(messaging::publish(
            messaging::Target::Everyone,
            "none",
            &json!({}),
        )),
    ];
    Err(reject("wrote", told.join("; ")))
}

fn said<T, E: Display>(outcome: Result<T, E>) -> String {
    match outcome {
        Ok(_) => "ok".into(),
        Err(error) => error.to_string(),
    }
}
