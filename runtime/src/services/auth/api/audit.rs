//! What is written down of what happened to a user.

use pumice_host_api::auth::{AuditEntry, Engine, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::asked::Asked;

/// Writes down that `action` happened to `user`, in the dialect's words (`user_signedup`, `login`, …).
pub async fn record<E: Engine>(
    tx: &mut Tx<'_, E>,
    asked: &Asked,
    action: &str,
    user: &User,
    traits: Value,
) -> Result<(), DataError> {
    let log_type = match action {
        "login" | "logout" | "user_recovery_requested" | "user_reauthenticate_requested" => {
            "account"
        }
        "token_refreshed" | "token_revoked" => "token",
        "user_invited" | "user_deleted" => "team",
        _ => "user",
    };
    tx.record(&AuditEntry {
        id: Uuid::new_v4(),
        payload: json!({
            "action": action,
            "actor_id": user.id,
            "actor_username": user.email.as_ref().or(user.phone.as_ref()),
            "log_type": log_type,
            "traits": traits,
        }),
        ip_address: asked.ip.to_string(),
        created_at: asked.now,
    })
    .await
}
