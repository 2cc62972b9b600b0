//! An app's signing keys: how they are kept, and what becomes of them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pumice_host_api::AppId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::signing::{Signer, Verifier};
use crate::functions::manifest::auth::SigningAlgorithm;
use crate::services::auth::AuthError;

/// What a signing key is for, in the order in which it is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// In JWKS, so that others know it before it signs.
    Standby,
    /// Signs. An app has one.
    InUse,
    /// Its tokens are good until they expire.
    PreviouslyUsed,
    /// Its tokens are good for nothing, and its private half is gone.
    Revoked,
}

impl KeyState {
    pub fn name(self) -> &'static str {
        match self {
            KeyState::Standby => "standby",
            KeyState::InUse => "in_use",
            KeyState::PreviouslyUsed => "previously_used",
            KeyState::Revoked => "revoked",
        }
    }

    pub fn named(name: &str) -> Option<KeyState> {
        let all = [
            KeyState::Standby,
            KeyState::InUse,
            KeyState::PreviouslyUsed,
            KeyState::Revoked,
        ];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A signing key as it is kept, sealed, in the system database.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredKey {
    pub kid: String,
    #[serde(default)]
    algorithm: StoredAlgorithm,
    /// Base64.
    pkcs8: String,
    /// The app's `anon` and `service_role` keys, with the signing key that has signed them.
    #[serde(flatten)]
    pub tokens: Option<ApiTokens>,
}

/// API keys that are tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiTokens {
    pub anon: String,
    pub service_role: String,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
enum StoredAlgorithm {
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A signing key in memory.
pub struct SigningKey {
    pub stored: StoredKey,
    pub signer: Signer,
    pub verifier: Arc<Verifier>,
    /// As JWKS shows it.
    pub public_jwk: Value,
}

/// API keys are for as long as the app lives; they end with their signing key.
const KEY_LIFE: u64 = 10 * 365 * 24 * 3600;

impl StoredKey {
    /// A new key.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the random source fails.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<StoredKey, AuthError> {
        let pkcs8 = Signer::generate(algorithm).map_err(|_| AuthError::KeyGeneration)?;
        Ok(StoredKey {
            kid: uuid::Uuid::new_v4().to_string(),
            algorithm: match algorithm {
                SigningAlgorithm::Es256 => StoredAlgorithm::Es256,
                SigningAlgorithm::EdDsa => StoredAlgorithm::EdDsa,
            },
            pkcs8: STANDARD.encode(pkcs8),
            tokens: None,
        })
    }

    /// A new key with the app's `anon` and `service_role` keys; `now` in seconds since 1970.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn first(app: AppId, now: u64) -> Result<StoredKey, AuthError> {
        StoredKey::generate(SigningAlgorithm::Es256)?.with_tokens(app, now)
    }

    /// The same key with `anon` and `service_role` keys that it has signed.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the stored key is damaged.
    pub fn with_tokens(mut self, app: AppId, now: u64) -> Result<StoredKey, AuthError> {
        let signer = self.signer()?;
        let token = |role: &str| {
            let claims = json!({
                "iss": "pumice", "ref": app.to_string(), "role": role, "iat": now, "exp": now + KEY_LIFE,
            });
            let claims: Map<String, Value> = serde_json::from_value(claims).unwrap_or_default();
            let token = signer.sign(Some(&self.kid), &claims);
            token.map_err(|_| AuthError::KeyGeneration)
        };
        self.tokens = Some(ApiTokens {
            anon: token("anon")?,
            service_role: token("service_role")?,
        });
        Ok(self)
    }

    pub fn algorithm(&self) -> SigningAlgorithm {
        match self.algorithm {
            StoredAlgorithm::Es256 => SigningAlgorithm::Es256,
            StoredAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
        }
    }

    fn signer(&self) -> Result<Signer, AuthError> {
        let pkcs8 = STANDARD.decode(&self.pkcs8);
        let pkcs8 = pkcs8.map_err(|_| AuthError::KeyGeneration)?;
        Signer::from_pkcs8(self.algorithm(), &pkcs8).map_err(|_| AuthError::KeyGeneration)
    }

    /// The key ready to sign and check.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the stored key is damaged.
    pub fn load(self) -> Result<SigningKey, AuthError> {
        let signer = self.signer()?;
        let public_jwk = signer.public_jwk(&self.kid);
        let public_jwk = public_jwk.ok_or(AuthError::KeyGeneration)?;
        let verifier = public_jwk.as_object().map(Verifier::of_jwk);
        let verifier = verifier.and_then(Result::ok);
        Ok(SigningKey {
            verifier: Arc::new(verifier.ok_or(AuthError::KeyGeneration)?),
            stored: self,
            signer,
            public_jwk,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_first_version_is_read() {
        let new = StoredKey::first(AppId(uuid::Uuid::nil()), 1_800_000_000).unwrap();
        // As it was kept before keys had an algorithm.
        let tokens = new.tokens.clone().unwrap();
        let old = json!({
            "kid": new.kid, "pkcs8": new.pkcs8, "anon": tokens.anon, "service_role": tokens.service_role,
        });
        let read: StoredKey = serde_json::from_value(old).unwrap();
        assert_eq!(read.tokens, new.tokens);
        assert_eq!(read.algorithm(), SigningAlgorithm::Es256);
        let key = read.load().unwrap();
        assert_eq!(key.public_jwk["kid"], new.kid.as_str());
        // And one without tokens.
        let bare = StoredKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let text = serde_json::to_string(&bare).unwrap();
        let read: StoredKey = serde_json::from_str(&text).unwrap();
        assert_eq!(read.tokens, None);
        assert_eq!(read.load().unwrap().public_jwk["crv"], "Ed25519");
    }
}
