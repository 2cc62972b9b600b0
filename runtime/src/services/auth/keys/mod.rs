//! An app's keys: those that sign tokens and check them, and the opaque API keys. Who shows one is told here
//! who that makes them.
//!
//! All of it is in memory, one [`Set`] at a time; a change puts another in its place. Tokens that were verified
//! are remembered with the set that did it, so that none outlives its key.

pub mod api;
pub mod foreign;
pub mod signing;
pub mod stored;
#[cfg(test)]
mod tests;
pub mod token;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pumice_host_api::{Caller, Role};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::api::{ApiKey, ApiKeyKind, Opaque, Scope, StoredApiKey};
use self::foreign::Foreign;
use self::signing::{Algorithm, Verifier};
use self::stored::{ApiTokens, KeyState, SigningKey, StoredKey};
use self::token::{Claims, LEEWAY, Token};
use super::compat::SharedSecret;
use super::revoked::Revoked;
use super::{AuthError, BadToken};
use crate::digest::Digest;
use crate::limits;

/// The keys of an app.
pub struct AppKeys {
    /// What the set is made of.
    parts: Mutex<Parts>,
    set: ArcSwap<Set>,
    /// Sessions whose tokens are not believed any more.
    pub revoked: Revoked,
    /// Held by whoever changes what is stored of them, until it is here as well.
    pub changing: tokio::sync::Mutex<()>,
}

/// A signing key and what it is for.
pub type Signing = (KeyState, Arc<SigningKey>);

#[derive(Clone)]
struct Parts {
    /// None of them revoked.
    signing: Vec<Signing>,
    api: Vec<Arc<ApiKey>>,
    foreign: Arc<Foreign>,
    /// A secret that others know as well: `pumice dev --compat` only.
    shared: Option<SharedSecret>,
}

/// All keys as they are at a time.
struct Set {
    signer: Current,
    by_kid: HashMap<String, Arc<Verifier>>,
    /// Keys that tokens cannot name: for tokens that name none, or one that is unknown.
    unnamed: Vec<Arc<Verifier>>,
    api: HashMap<Digest, Arc<ApiKey>>,
    tokens: ApiTokens,
    jwks: Value,
    /// Tokens already verified, by their digest: no request pays for a signature twice.
    verified: Verified,
}

type Verified = moka::sync::Cache<Digest, Known>;

/// The key in use.
enum Current {
    Own(Arc<SigningKey>),
    Foreign(Arc<Foreign>),
}

/// A token that was verified.
#[derive(Clone)]
struct Known {
    caller: Caller,
    /// Of a user's token.
    session: Option<Uuid>,
    /// All claims of a user's token.
    claims: Option<Arc<Map<String, Value>>>,
    /// Seconds since 1970.
    expires: u64,
}

impl AppKeys {
    /// # Errors
    /// [`AuthError::KeyGeneration`] when a stored key is damaged, or none is in use.
    pub fn new(
        signing: Vec<(KeyState, StoredKey)>,
        api: Vec<StoredApiKey>,
    ) -> Result<AppKeys, AuthError> {
        let load = |(state, stored): (KeyState, StoredKey)| {
            Ok::<_, AuthError>((state, Arc::new(stored.load()?)))
        };
        let parts = Parts {
            signing: signing.into_iter().map(load).collect::<Result<_, _>>()?,
            api: api
                .into_iter()
                .map(|key| Arc::new(ApiKey::new(key)))
                .collect(),
            foreign: Arc::default(),
            shared: None,
        };
        Ok(AppKeys {
            set: ArcSwap::from_pointee(parts.set(empty())?),
            parts: Mutex::new(parts),
            revoked: Revoked::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Accepts tokens signed with `secret` as well.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sharing(self, secret: SharedSecret) -> Result<AppKeys, AuthError> {
        self.change(false, |parts| parts.shared = Some(secret))?;
        Ok(self)
    }

    /// The `anon` key that is a token.
    pub fn anon(&self) -> String {
        self.set.load().tokens.anon.clone()
    }

    /// The `service_role` key that is a token.
    pub fn service_role(&self) -> String {
        self.set.load().tokens.service_role.clone()
    }

    /// The JSON Web Key Set of `/auth/v1/.well-known/jwks.json`: public keys that sign, did, or will. Whoever
    /// serves it says that it may be kept for [`limits::JWKS_AGE`].
    pub fn jwks(&self) -> Value {
        self.set.load().jwks.clone()
    }

    /// As [`jwks`](Self::jwks), with these keys of the author's in place of those that are.
    pub fn jwks_with(&self, foreign: &Foreign) -> Value {
        jwks(&self.parts.lock().signing, foreign)
    }

    /// The publishable keys by name, as guests are told them.
    pub fn publishable(&self) -> Value {
        let parts = self.parts.lock();
        let keys = parts.api.iter().map(|key| &key.stored);
        let keys = keys.filter(|key| key.kind == ApiKeyKind::Publishable);
        let named = keys.map(|key| (key.name.clone(), Value::from(key.shown.clone())));
        Value::Object(named.collect())
    }

    /// An access token with these claims, signed with the key in use.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when the key cannot sign.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, AuthError> {
        let set = self.set.load();
        let signed = match &set.signer {
            Current::Own(key) => key.signer.sign(Some(&key.stored.kid), claims),
            Current::Foreign(foreign) => match &foreign.signer {
                Some(key) => key.signer.sign(key.kid.as_deref(), claims),
                None => return Err(AuthError::KeyGeneration),
            },
        };
        signed.map_err(|_| AuthError::KeyGeneration)
    }

    /// Whose token or API key this is; `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for everything that is no living token or key of this app.
    pub fn verify(&self, token: &str, now: u64) -> Result<Caller, AuthError> {
        let set = self.set.load();
        match Opaque::of(token) {
            Opaque::Other => {
                let known = set.check(token, now)?;
                match known.session.is_some_and(|id| self.revoked.contains(id)) {
                    true => Err(BadToken::Ended.into()),
                    false => Ok(known.caller),
                }
            }
            Opaque::Mistyped(_) => Err(BadToken::Mistyped.into()),
            Opaque::Whole(_) => {
                let key = set.api.get(&Digest::of(token.as_bytes()));
                let key = key.ok_or(BadToken::Revoked)?;
                key.touch(now);
                Ok(key.caller())
            }
        }
    }

    /// All claims of a user's token, which is one with a `sub`; `now` in seconds since 1970. Remembered as
    /// [`verify`](Self::verify) remembers.
    ///
    /// # Errors
    /// What is wrong with it; [`BadToken::Claims`] for one that is nobody's.
    pub fn check_access(&self, token: &str, now: u64) -> Result<Arc<Map<String, Value>>, BadToken> {
        let known = self.set.load().check(token, now)?;
        known.claims.ok_or(BadToken::Claims)
    }

    /// Whether a text, if it is an opaque key, may be used in this part of the app. Unknown ones are refused
    /// where somebody asks who calls.
    ///
    /// # Errors
    /// [`AuthError::Scope`].
    pub fn in_scope(&self, key: &str, scope: Scope) -> Result<(), AuthError> {
        let set = self.set.load();
        match set.api.get(&Digest::of(key.as_bytes())) {
            Some(key) if !key.opens(scope) => Err(AuthError::Scope(scope.name())),
            _ => Ok(()),
        }
    }

    /// The signing keys, without revoked ones.
    pub fn signing(&self) -> Vec<Signing> {
        self.parts.lock().signing.clone()
    }

    /// Puts these in place of the signing keys there are; no token of another key is good from now on.
    ///
    /// # Errors
    /// [`AuthError::KeyGeneration`] when none of them is in use.
    pub fn set_signing(&self, signing: Vec<Signing>) -> Result<(), AuthError> {
        self.change(false, |parts| parts.signing = signing)
    }

    pub fn api(&self) -> Vec<Arc<ApiKey>> {
        self.parts.lock().api.clone()
    }

    /// Puts these in place of the API keys there are.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn set_api(&self, api: Vec<Arc<ApiKey>>) -> Result<(), AuthError> {
        // No token is verified with these: those that were stay known.
        self.change(true, |parts| parts.api = api)
    }

    /// Puts these in place of the keys of the app's author.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn set_foreign(&self, foreign: Arc<Foreign>) -> Result<(), AuthError> {
        // Most apps have none, before a deployment and after it.
        if foreign.is_empty() && self.parts.lock().foreign.is_empty() {
            return Ok(());
        }
        self.change(false, |parts| parts.foreign = foreign)
    }

    fn change(&self, keep: bool, change: impl FnOnce(&mut Parts)) -> Result<(), AuthError> {
        let mut parts = self.parts.lock();
        let mut changed = parts.clone();
        change(&mut changed);
        let verified = match keep {
            true => self.set.load().verified.clone(),
            false => empty(),
        };
        self.set.store(Arc::new(changed.set(verified)?));
        *parts = changed;
        Ok(())
    }
}

fn empty() -> Verified {
    moka::sync::Cache::new(limits::TOKENS_CACHED_MAX)
}

fn jwks(signing: &[Signing], foreign: &Foreign) -> Value {
    let foreign = foreign.signer.as_ref();
    let foreign = foreign.and_then(|key| key.public_jwk.as_ref());
    let own = signing.iter().map(|(_, key)| &key.public_jwk);
    json!({ "keys": foreign.into_iter().chain(own).collect::<Vec<_>>() })
}

impl Parts {
    fn set(&self, verified: Verified) -> Result<Set, AuthError> {
        let in_use = |(state, _): &&Signing| *state == KeyState::InUse;
        let own = self.signing.iter().find(in_use);
        let (_, own) = own.ok_or(AuthError::KeyGeneration)?;
        let mut tokens = self.signing.iter().map(|(_, key)| &key.stored.tokens);
        let tokens = tokens.find_map(Clone::clone);
        let (mut by_kid, mut unnamed) = (HashMap::new(), Vec::new());
        let foreign = self.foreign.signer.iter();
        let foreign = foreign.map(|key| (key.kid.clone(), key.verifier.clone()));
        for (kid, verifier) in self.foreign.accepted.iter().cloned().chain(foreign) {
            match kid {
                Some(kid) => drop(by_kid.insert(kid, verifier)),
                None => unnamed.push(verifier),
            }
        }
        unnamed.extend(self.shared.iter().map(SharedSecret::verifier));
        // The app's own come last: nobody else's key stands in for one of them.
        by_kid.extend(
            self.signing
                .iter()
                .map(|(_, key)| (key.stored.kid.clone(), key.verifier.clone())),
        );
        Ok(Set {
            signer: match self.foreign.signer {
                Some(_) => Current::Foreign(self.foreign.clone()),
                None => Current::Own(own.clone()),
            },
            by_kid,
            unnamed,
            api: self
                .api
                .iter()
                .map(|key| (key.stored.digest, key.clone()))
                .collect(),
            tokens: tokens.ok_or(AuthError::KeyGeneration)?,
            jwks: jwks(&self.signing, &self.foreign),
            verified,
        })
    }
}

impl Set {
    fn check(&self, token: &str, now: u64) -> Result<Known, BadToken> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(BadToken::Undecodable);
        }
        let digest = Digest::of(token.as_bytes());
        let known = match self.verified.get(&digest) {
            Some(known) => known,
            None => {
                let known = self.check_signature(token, now)?;
                if now <= known.expires + LEEWAY {
                    self.verified.insert(digest, known.clone());
                }
                known
            }
        };
        match now <= known.expires + LEEWAY {
            true => Ok(known),
            false => Err(BadToken::Expired),
        }
    }

    fn check_signature(&self, token: &str, now: u64) -> Result<Known, BadToken> {
        let token = Token::parse(token)?;
        self.check_with_key(&token)?;
        let Claims { all, expires } = token.claims(now)?;
        let text = |name: &str| all.get(name).and_then(Value::as_str);
        let claims = serde_json::to_string(&all).map_err(|_| BadToken::Claims)?;
        let caller = Caller {
            role: text("role").map_or(Role::Anon, Role::from),
            user_id: text("sub").and_then(|sub| sub.parse().ok()),
            claims: claims.into(),
        };
        let is_users = text("sub").is_some();
        let session = all.get("session_id").and_then(Value::as_str);
        Ok(Known {
            caller,
            session: session.and_then(|id| id.parse().ok()),
            claims: is_users.then(|| Arc::new(all)),
            expires,
        })
    }

    /// The key decides the algorithm, never the token.
    fn check_with_key(&self, token: &Token<'_>) -> Result<(), BadToken> {
        let algorithm = token.header.algorithm;
        let good = |key: &Verifier| key.verify(token.signed.as_bytes(), &token.signature);
        let named = token.header.kid.as_deref();
        if let Some(key) = named.and_then(|kid| self.by_kid.get(kid)) {
            if key.algorithm() != algorithm {
                return Err(BadToken::Algorithm);
            }
            return match good(key) {
                true => Ok(()),
                false => Err(BadToken::Signature),
            };
        }
        let mut candidates = self
            .unnamed
            .iter()
            .filter(|key| key.algorithm() == algorithm)
            .peekable();
        if candidates.peek().is_none() {
            return Err(match self.has(algorithm) {
                true => BadToken::Key,
                false => BadToken::Algorithm,
            });
        }
        match candidates.any(|key| good(key)) {
            true => Ok(()),
            false => Err(BadToken::Signature),
        }
    }

    fn has(&self, algorithm: Algorithm) -> bool {
        let mut keys = self.by_kid.values().chain(&self.unnamed);
        keys.any(|key| key.algorithm() == algorithm)
    }
}
