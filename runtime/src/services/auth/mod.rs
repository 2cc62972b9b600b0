//! Who calls: an app's signing key, its two API keys, and the check of keys and tokens.
//!
//! Sign-up and sessions come on top of this; a token is the same whoever issued it, as long as this
//! app's key signed it.

pub mod compat;
pub mod extract;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use pumice_host_api::{AppId, Caller, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::limits;

/// The signing key of an app and what it has signed for itself.
pub struct AppKeys {
    kid: String,
    check: DecodingKey,
    /// The public key as a JWK, without private parts.
    public_jwk: Value,
    anon: String,
    service_role: String,
    /// A secret that others know as well: `pumice dev --compat` only.
    shared: Option<compat::SharedSecret>,
    /// Tokens already verified, by their digest: no request pays for a signature twice.
    verified: moka::sync::Cache<Digest, Verified>,
}

#[derive(Clone)]
struct Verified {
    caller: Caller,
    expires: u64,
}

/// Keys as they are kept, sealed, in the system database.
#[derive(Serialize, Deserialize)]
pub struct StoredKeys {
    kid: String,
    /// PKCS#8, base64.
    pkcs8: String,
    anon: String,
    service_role: String,
}

/// Why a key or token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("Missing authorization header")]
    Missing,
    #[error("Invalid JWT")]
    Invalid(BadToken),
    /// A valid key that is not enough for this entry.
    #[error("this entry needs {0}")]
    Denied(&'static str),
    #[error("keys could not be made")]
    KeyGeneration,
}

/// What is wrong with a token. `Display` has the REST dialect's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("Expected 3 parts in JWT; got {0}")]
    Parts(usize),
    #[error("JWT couldn't be decoded")]
    Undecodable,
    #[error("Wrong or unsupported encoding algorithm")]
    Algorithm,
    #[error("No suitable key or wrong key type")]
    Key,
    #[error("JWT cryptographic operation failed")]
    Signature,
    #[error("Parsing claims failed")]
    Claims,
    #[error("JWT expired")]
    Expired,
    #[error("JWT not yet valid")]
    NotYet,
}

impl BadToken {
    /// Whether the token is well signed and says itself that it opens nothing.
    pub fn by_claims(self) -> bool {
        matches!(
            self,
            BadToken::Claims | BadToken::Expired | BadToken::NotYet
        )
    }
}

impl From<BadToken> for AuthError {
    fn from(bad: BadToken) -> AuthError {
        AuthError::Invalid(bad)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The app the key belongs to.
    #[serde(rename = "ref")]
    app: String,
    role: String,
    iat: u64,
    exp: u64,
}

/// API keys are for as long as the app lives; they end with their signing key.
const KEY_LIFE: u64 = 10 * 365 * 24 * 3600;
/// How far clocks may differ.
const LEEWAY: u64 = 10;

impl StoredKeys {
    /// A new P-256 key for `app` with its `anon` and `service_role` keys.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the random source fails.
    pub fn generate(app: AppId, now: u64) -> Result<StoredKeys, AuthError> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| AuthError::KeyGeneration)?;
        let kid = uuid::Uuid::new_v4().to_string();
        let sign = EncodingKey::from_ec_der(pkcs8.as_ref());
        let token = |role: &str| {
            let header = Header {
                kid: Some(kid.clone()),
                ..Header::new(Algorithm::ES256)
            };
            let claims = Claims {
                iss: "pumice".to_owned(),
                app: app.to_string(),
                role: role.to_owned(),
                iat: now,
                exp: now + KEY_LIFE,
            };
            jsonwebtoken::encode(&header, &claims, &sign).map_err(|_| AuthError::KeyGeneration)
        };
        Ok(StoredKeys {
            anon: token("anon")?,
            service_role: token("service_role")?,
            pkcs8: STANDARD.encode(pkcs8.as_ref()),
            kid,
        })
    }

    /// The public half as a JWK (RFC 7517), as JWKS shows it.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the stored key is damaged.
    pub fn public_jwk(&self) -> Result<Value, AuthError> {
        let pkcs8 = STANDARD
            .decode(&self.pkcs8)
            .map_err(|_| AuthError::KeyGeneration)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| AuthError::KeyGeneration)?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(AuthError::KeyGeneration);
        };
        Ok(serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"], "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }))
    }
}

impl AppKeys {
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the stored key is damaged.
    pub fn new(stored: StoredKeys) -> Result<AppKeys, AuthError> {
        let public_jwk = stored.public_jwk()?;
        let part = |name: &str| public_jwk[name].as_str().unwrap_or_default().to_owned();
        let check = DecodingKey::from_ec_components(&part("x"), &part("y"))
            .map_err(|_| AuthError::KeyGeneration)?;
        Ok(AppKeys {
            kid: stored.kid,
            check,
            public_jwk,
            anon: stored.anon,
            service_role: stored.service_role,
            shared: None,
            verified: moka::sync::Cache::new(limits::TOKENS_CACHED_MAX),
        })
    }

    /// Accepts tokens signed with `secret` as well.
    #[must_use]
    pub fn sharing(mut self, secret: compat::SharedSecret) -> AppKeys {
        self.shared = Some(secret);
        self
    }

    pub fn anon(&self) -> &str {
        &self.anon
    }

    pub fn service_role(&self) -> &str {
        &self.service_role
    }

    /// The JSON Web Key Set of `/auth/v1/.well-known/jwks.json`.
    pub fn jwks(&self) -> Value {
        serde_json::json!({ "keys": [self.public_jwk] })
    }

    /// Whose token this is. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for everything that is not a living token of this app.
    pub fn verify(&self, token: &str, now: u64) -> Result<Caller, AuthError> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(BadToken::Undecodable.into());
        }
        let digest = Digest::of(token.as_bytes());
        if let Some(verified) = self.verified.get(&digest) {
            return if now <= verified.expires + LEEWAY {
                Ok(verified.caller)
            } else {
                Err(BadToken::Expired.into())
            };
        }
        let verified = self.verify_signature(token)?;
        if now > verified.expires + LEEWAY {
            return Err(BadToken::Expired.into());
        }
        let caller = verified.caller.clone();
        self.verified.insert(digest, verified);
        Ok(caller)
    }

    fn verify_signature(&self, token: &str) -> Result<Verified, BadToken> {
        let parts = token.split('.').count();
        if parts != 3 {
            return Err(BadToken::Parts(parts));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Undecodable)?;
        if has_critical(token) {
            return Err(BadToken::Undecodable);
        }
        // The key decides the algorithm, never the token; a key the token brings along is ignored.
        let (check, algorithm) = match (&self.shared, header.alg) {
            (_, Algorithm::ES256) if header.kid.as_deref() == Some(self.kid.as_str()) => {
                (&self.check, Algorithm::ES256)
            }
            (Some(shared), Algorithm::HS256) => (shared.check(), Algorithm::HS256),
            (_, Algorithm::ES256) => return Err(BadToken::Key),
            _ => return Err(BadToken::Algorithm),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // The dialect's audience is a role, not a recipient; the key says whose token it is.
        validation.validate_aud = false;
        // Expiry is compared by `verify`, against the caller's clock and on each use.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp"]);
        let claims =
            jsonwebtoken::decode::<serde_json::Map<String, Value>>(token, check, &validation)
                .map_err(|error| bad_token(&error))?
                .claims;
        let expires = claims.get("exp").and_then(Value::as_u64);
        let expires = expires.ok_or(BadToken::Claims)?;
        let role = claims
            .get("role")
            .and_then(Value::as_str)
            .map_or(Role::Anon, Role::from);
        let user_id = claims
            .get("sub")
            .and_then(Value::as_str)
            .and_then(|sub| sub.parse().ok());
        let claims = serde_json::to_string(&claims).map_err(|_| BadToken::Claims)?;
        Ok(Verified {
            caller: Caller {
                role,
                user_id,
                claims: claims.into(),
            },
            expires,
        })
    }
}

fn bad_token(error: &jsonwebtoken::errors::Error) -> BadToken {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => BadToken::Signature,
        ErrorKind::ImmatureSignature => BadToken::NotYet,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::Json(_)
        | ErrorKind::InvalidClaimFormat(_) => BadToken::Claims,
        _ => BadToken::Undecodable,
    }
}

/// Whether the token's header asks for an extension (RFC 7515 §4.1.11): we know none.
fn has_critical(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(header)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .is_none_or(|header| header.get("crit").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn keys() -> (AppKeys, StoredKeys) {
        let stored = StoredKeys::generate(AppId(uuid::Uuid::new_v4()), NOW).unwrap();
        let copy = StoredKeys {
            kid: stored.kid.clone(),
            pkcs8: stored.pkcs8.clone(),
            anon: stored.anon.clone(),
            service_role: stored.service_role.clone(),
        };
        (AppKeys::new(stored).unwrap(), copy)
    }

    fn sign(stored: &StoredKeys, header: Header, claims: Value) -> String {
        let key = EncodingKey::from_ec_der(&STANDARD.decode(&stored.pkcs8).unwrap());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn header(stored: &StoredKeys) -> Header {
        Header {
            kid: Some(stored.kid.clone()),
            ..Header::new(Algorithm::ES256)
        }
    }

    #[test]
    fn an_apps_own_keys_open_it_and_no_other() {
        let (shop, _) = keys();
        let (forum, _) = keys();
        assert_eq!(shop.verify(shop.anon(), NOW).unwrap().role, Role::Anon);
        assert_eq!(
            shop.verify(shop.service_role(), NOW).unwrap().role,
            Role::ServiceRole
        );
        assert_eq!(
            shop.verify(forum.service_role(), NOW).err(),
            Some(AuthError::Invalid(BadToken::Key))
        );
    }

    #[test]
    fn a_token_lives_until_its_expiry_even_when_cached() {
        let (shop, stored) = keys();
        let token = sign(
            &stored,
            header(&stored),
            serde_json::json!({ "role": "authenticated", "sub": "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11", "exp": NOW + 60 }),
        );
        assert_eq!(
            shop.verify(&token, NOW)
                .unwrap()
                .user_id
                .unwrap()
                .to_string(),
            "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11"
        );
        assert!(shop.verify(&token, NOW + 60 + LEEWAY).is_ok());
        assert_eq!(
            shop.verify(&token, NOW + 61 + LEEWAY).err(),
            Some(AuthError::Invalid(BadToken::Expired))
        );
        let dead = sign(
            &stored,
            header(&stored),
            serde_json::json!({ "role": "authenticated", "exp": NOW - 60 }),
        );
        let expired = Some(AuthError::Invalid(BadToken::Expired));
        assert_eq!(shop.verify(&dead, NOW).err(), expired);
        let early = serde_json::json!({ "exp": NOW + 60, "nbf": u32::MAX });
        let early = sign(&stored, header(&stored), early);
        let not_yet = Some(AuthError::Invalid(BadToken::NotYet));
        assert_eq!(shop.verify(&early, NOW).err(), not_yet);
        let immortal = sign(
            &stored,
            header(&stored),
            serde_json::json!({ "role": "service_role" }),
        );
        let claims = Some(AuthError::Invalid(BadToken::Claims));
        assert_eq!(shop.verify(&immortal, NOW).err(), claims);
        let parts = |token: &str| shop.verify(token, NOW).unwrap_err();
        assert_eq!(parts(""), BadToken::Parts(1).into());
        assert_eq!(parts("a.b"), BadToken::Parts(2).into());
        assert_eq!(parts("a.b.c"), BadToken::Undecodable.into());
    }

    #[test]
    fn changed_tokens_and_other_algorithms_are_refused() {
        let (shop, stored) = keys();
        let good = shop.anon().to_owned();
        for position in (0..good.len()).step_by(7) {
            let mut bytes = good.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of a part may carry unused bits only; those are not a change.
            if changed != good {
                assert!(shop.verify(&changed, NOW).is_err(), "position {position}");
            }
        }
        let body = good.split('.').nth(1).unwrap();
        let none = format!(
            "{}.{body}.",
            URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#)
        );
        assert!(shop.verify(&none, NOW).is_err());
        let public = shop.jwks().to_string();
        let hs = jsonwebtoken::encode(
            &Header {
                kid: Some(stored.kid.clone()),
                ..Header::new(Algorithm::HS256)
            },
            &serde_json::json!({ "role": "service_role", "exp": NOW + 60 }),
            &EncodingKey::from_secret(public.as_bytes()),
        );
        if let Ok(hs) = hs {
            assert!(shop.verify(&hs, NOW).is_err());
        }
        let no_kid = sign(
            &stored,
            Header::new(Algorithm::ES256),
            serde_json::json!({ "exp": NOW + 60 }),
        );
        assert!(shop.verify(&no_kid, NOW).is_err());
        assert!(shop.verify("", NOW).is_err());
        assert!(shop.verify(&"a".repeat(100_000), NOW).is_err());
    }
}
