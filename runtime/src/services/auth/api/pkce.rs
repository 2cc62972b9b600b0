//! Proof key for code exchange (RFC 7636) between an app's client and us.

use chrono::{DateTime, Utc};
use pumice_host_api::auth::FlowState;
use uuid::Uuid;

use super::asked::Asked;
use crate::services::auth::fault::Fault;

/// What a client sends before it knows who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub value: String,
    /// `s256` or `plain`.
    pub method: String,
}

impl Challenge {
    /// That of a body; none in the implicit flow.
    ///
    /// # Errors
    /// 400 for one half, or what is no challenge.
    pub fn of(asked: &Asked) -> Result<Option<Challenge>, Fault> {
        let value = asked.text("code_challenge")?;
        Challenge::new(value, asked.text("code_challenge_method")?)
    }

    pub fn new(value: Option<&str>, method: Option<&str>) -> Result<Option<Challenge>, Fault> {
        let (value, method) = match (value, method) {
            (None, None) => return Ok(None),
            (Some(value), Some(method)) => (value, method.to_ascii_lowercase()),
            _ => {
                return Err(Fault::invalid(
                    "PKCE flow requires both code_challenge and code_challenge_method",
                ));
            }
        };
        let written = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&value.len()) || !value.bytes().all(written) {
            return Err(Fault::invalid(
                "code challenge has to be 43 to 128 of A-Z, a-z, 0-9, -, ., _ and ~",
            ));
        }
        if method != "s256" && method != "plain" {
            return Err(Fault::invalid(
                "code_challenge_method has to be s256 or plain",
            ));
        }
        Ok(Some(Challenge {
            value: value.to_owned(),
            method,
        }))
    }

    /// The state of a sign-in by mail that waits for the client's verifier.
    pub fn flow(&self, user_id: Uuid, method: &str, now: DateTime<Utc>) -> FlowState {
        FlowState {
            id: Uuid::new_v4(),
            user_id: Some(user_id),
            linking_user_id: None,
            auth_code_hash: None,
            code_challenge: Some(self.value.clone()),
            code_challenge_method: Some(self.method.clone()),
            provider: "email".to_owned(),
            method: method.to_owned(),
            sealed: None,
            redirect_to: None,
            created_at: now,
            code_issued_at: None,
        }
    }
}
