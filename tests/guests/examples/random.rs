//! Sixteen random bytes and the hash of a fixed word under a fresh hash seed: `{"bytes", "hash"}`. Two
//! instances that agree in either were started from a snapshot of a seed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use pumice::http::Json;
use serde_json::{Value, json};
use wasip2::random::random::get_random_bytes;

#[pumice::function]
fn random() -> Json<Value> {
    let bytes: String = get_random_bytes(16)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let hash = RandomState::new().hash_one("pumice");
    Json(json!({ "bytes": bytes, "hash": format!("{hash:016x}") }))
}
