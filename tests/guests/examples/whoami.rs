//! Everything the host says about the call: `{"app", "role", "user_id", "claims", "config", "secret", "permission"}`.
//! `secret` is the value of the secret named in the query, or the refusal; `permission` likewise.

use std::collections::BTreeMap;

use pumice::http::{Json, Request};
use pumice::{Result, config, identity, secrets};
use serde_json::{Value, json};

#[pumice::function]
fn whoami(request: Request) -> Result<Json<Value>> {
    let caller = identity::caller();
    let secret = request
        .query("secret")
        .map(|name| match secrets::get(&name) {
            Ok(secret) => secret.reveal(),
            Err(error) => error.to_string(),
        });
    let permission =
        request
            .query("permission")
            .map(|name| match identity::has_permission(&name) {
                Ok(held) => held.to_string(),
                Err(error) => error.to_string(),
            });
    Ok(Json(json!({
        "app": identity::app(),
        "role": caller.role,
        "user_id": caller.user_id,
        "claims": caller.claims::<Value>()?,
        "config": config::all().into_iter().collect::<BTreeMap<_, _>>(),
        "secret": secret,
        "permission": permission,
    })))
}
