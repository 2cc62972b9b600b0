//! The component committed as built against `pumice:platform@0.1.0`, which must load and answer for ever:
//! `{"app", "role", "greeting", "visits"}`. It uses `identity`, `config`, `log` and `cache`.

use pumice::http::Json;
use pumice::{Result, cache, config, identity, log};
use serde_json::{Value, json};

#[pumice::function]
fn golden() -> Result<Json<Value>> {
    let role = identity::caller().role;
    let visits = cache::increment("golden", 1, None)?;
    log::info!("golden was called"; role = role, visits = visits);
    Ok(Json(json!({
        "app": identity::app(),
        "role": role,
        "greeting": config::get("greeting"),
        "visits": visits,
    })))
}
