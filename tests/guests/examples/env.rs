//! What the sandbox shows of the process: `{"variables", "arguments", "files"}`. All are empty or fixed.

use std::collections::BTreeMap;

use pumice::http::Json;
use serde_json::{Value, json};

#[expect(clippy::disallowed_methods, reason = "what they show is the question")]
#[pumice::function]
fn env() -> Json<Value> {
    let files = match std::fs::read_dir("/") {
        Ok(entries) => json!(
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        ),
        Err(error) => json!(error.to_string()),
    };
    Json(json!({
        "variables": std::env::vars().collect::<BTreeMap<_, _>>(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "files": files,
    }))
}
