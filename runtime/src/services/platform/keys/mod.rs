//! The keys of apps as they are kept: made, rotated, revoked. What is stored is in memory at once.

pub(super) mod routes;
pub(super) mod sql;

use std::collections::HashMap;
use std::sync::Arc;

use pumice_host_api::AppId;
use uuid::Uuid;

use super::{Platform, PlatformError, now};
use crate::functions::App;
use crate::limits;
use crate::services::auth::keys::AppKeys;
use crate::services::auth::keys::api::{ApiKey, ApiKeyKind, Scope, StoredApiKey};
use crate::services::auth::keys::signing::Algorithm;
use crate::services::auth::keys::stored::{KeyState, StoredKey};
use crate::services::auth::{AuthError, extract};

/// A signing key as it is stored.
pub struct SigningKeyRow {
    pub kid: String,
    pub algorithm: String,
    pub state: KeyState,
    /// [`StoredKey`] as JSON; none once it is revoked.
    pub sealed: Option<Vec<u8>>,
    pub created_at: String,
    pub changed_at: String,
}

/// The keys of all apps, on their way into memory.
pub(super) struct KeyRows {
    signing: HashMap<AppId, Vec<SigningKeyRow>>,
    api: HashMap<AppId, Vec<StoredApiKey>>,
}

/// An API key to be made.
pub struct WantedKey {
    pub name: String,
    pub kind: ApiKeyKind,
    /// Of a secret key; everywhere if none.
    pub scopes: Option<Vec<Scope>>,
}

impl Platform {
    pub(super) async fn key_rows(&self) -> Result<KeyRows, PlatformError> {
        let mut rows = KeyRows {
            signing: HashMap::new(),
            api: HashMap::new(),
        };
        for (id, key) in self.sql.signing_keys(None).await? {
            rows.signing.entry(id).or_default().push(key);
        }
        for (id, key) in self.sql.api_keys().await? {
            rows.api.entry(id).or_default().push(key);
        }
        Ok(rows)
    }

    /// The keys of an app, taken out of `rows`.
    pub(super) fn keys_from(
        &self,
        id: AppId,
        rows: &mut KeyRows,
    ) -> Result<AppKeys, PlatformError> {
        let mut signing = Vec::new();
        for row in rows.signing.remove(&id).unwrap_or_default() {
            let Some(sealed) = row.sealed else {
                continue;
            };
            let plain = self.keyring.open_sealed(&place(id), &sealed)?;
            let stored: StoredKey = serde_json::from_slice(&plain)
                .map_err(|_| PlatformError::Corrupt(format!("the signing key {}", row.kid)))?;
            signing.push((row.state, stored));
        }
        let keys = AppKeys::new(signing, rows.api.remove(&id).unwrap_or_default())?;
        Ok(match &self.server.shared_secret {
            Some(secret) => keys.sharing(secret.clone())?,
            None => keys,
        })
    }

    /// The first key of an app, as a row and as rows.
    pub(super) fn first_key(&self, id: AppId) -> Result<(SigningKeyRow, KeyRows), PlatformError> {
        let key = StoredKey::first(id, extract::now())?;
        let row = || self.row(id, &key, KeyState::InUse);
        let rows = KeyRows {
            signing: HashMap::from([(id, vec![row()?])]),
            api: HashMap::new(),
        };
        Ok((row()?, rows))
    }

    fn row(
        &self,
        id: AppId,
        key: &StoredKey,
        state: KeyState,
    ) -> Result<SigningKeyRow, PlatformError> {
        Ok(SigningKeyRow {
            kid: key.kid.clone(),
            algorithm: Algorithm::from(key.algorithm()).name().to_owned(),
            state,
            sealed: Some(self.seal(id, key)?),
            created_at: now(),
            changed_at: now(),
        })
    }

    fn seal(&self, id: AppId, key: &StoredKey) -> Result<Vec<u8>, PlatformError> {
        let plain =
            serde_json::to_vec(key).map_err(|error| PlatformError::Corrupt(error.to_string()))?;
        Ok(self.keyring.seal(&place(id), &plain)?)
    }

    /// The signing keys of an app, newest first, revoked ones as well.
    pub async fn signing_keys(&self, app: &App) -> Result<Vec<SigningKeyRow>, PlatformError> {
        let rows = self.sql.signing_keys(Some(app.id)).await?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Makes the key that will sign after the next rotation, with the algorithm that `[auth]` names.
    ///
    /// # Errors
    /// [`PlatformError::StandbyExists`], [`PlatformError::TooManyKeys`].
    pub async fn create_standby(&self, app: &Arc<App>) -> Result<SigningKeyRow, PlatformError> {
        let one = app.keys.changing.lock().await;
        let mut signing = app.keys.signing();
        if signing.iter().any(|(state, _)| *state == KeyState::Standby) {
            return Err(PlatformError::StandbyExists);
        }
        if signing.len() >= limits::SIGNING_KEYS_MAX {
            return Err(PlatformError::TooManyKeys);
        }
        let key = StoredKey::generate(app.auth().keys.algorithm)?;
        let row = self.row(app.id, &key, KeyState::Standby)?;
        let loaded = Arc::new(key.load()?);
        self.sql.insert_signing_key(app.id, &row).await?;
        signing.push((KeyState::Standby, loaded));
        app.keys.set_signing(signing)?;
        tracing::info!(app.id = %app.id, key.id = row.kid, "a signing key was made");
        drop(one);
        self.tell_guests(app).await;
        Ok(row)
    }

    /// Has the key on standby sign from now on; tokens of the one before stay good. Returns its `kid`.
    ///
    /// # Errors
    /// [`PlatformError::NoStandby`].
    pub async fn rotate(&self, app: &Arc<App>) -> Result<String, PlatformError> {
        let _one = app.keys.changing.lock().await;
        if !self.sql.rotate(app.id, &now()).await? {
            return Err(PlatformError::NoStandby);
        }
        let mut signing = app.keys.signing();
        let mut kid = String::new();
        for (state, key) in &mut signing {
            match state {
                KeyState::InUse => *state = KeyState::PreviouslyUsed,
                KeyState::Standby => {
                    *state = KeyState::InUse;
                    kid.clone_from(&key.stored.kid);
                }
                KeyState::PreviouslyUsed | KeyState::Revoked => {}
            }
        }
        app.keys.set_signing(signing)?;
        tracing::info!(app.id = %app.id, key.id = kid, "the signing key was rotated");
        Ok(kid)
    }

    /// Ends a signing key: no token of it is good from now on. If it has signed the app's `anon` and
    /// `service_role` keys, the key in use signs new ones.
    ///
    /// # Errors
    /// [`PlatformError::NoKey`], [`PlatformError::KeyInUse`].
    pub async fn revoke_signing_key(&self, app: &Arc<App>, kid: &str) -> Result<(), PlatformError> {
        let one = app.keys.changing.lock().await;
        let mut signing = app.keys.signing();
        let found = signing.iter().position(|(_, key)| key.stored.kid == kid);
        let found = found.ok_or_else(|| PlatformError::NoKey(kid.chars().take(80).collect()))?;
        let (state, revoked) = signing.remove(found);
        if state == KeyState::InUse {
            return Err(PlatformError::KeyInUse);
        }
        let mut heir = None;
        if revoked.stored.tokens.is_some() {
            let in_use = signing
                .iter_mut()
                .find(|(state, _)| *state == KeyState::InUse);
            let (_, key) = in_use.ok_or(AuthError::KeyGeneration)?;
            let stored = key.stored.clone().with_tokens(app.id, extract::now())?;
            heir = Some((stored.kid.clone(), self.seal(app.id, &stored)?));
            *key = Arc::new(stored.load()?);
        }
        let sealed = heir
            .as_ref()
            .map(|(kid, sealed)| (kid.as_str(), sealed.as_slice()));
        self.sql
            .revoke_signing_key(app.id, kid, sealed, &now())
            .await?;
        app.keys.set_signing(signing)?;
        tracing::info!(app.id = %app.id, key.id = kid, "a signing key was revoked");
        drop(one);
        self.tell_guests(app).await;
        Ok(())
    }

    /// Makes an API key, and returns it whole: nobody can read it again.
    ///
    /// # Errors
    /// [`PlatformError::InvalidKey`], [`PlatformError::KeyExists`], [`PlatformError::TooManyKeys`].
    pub async fn create_api_key(
        &self,
        app: &Arc<App>,
        wanted: WantedKey,
    ) -> Result<(Arc<ApiKey>, String), PlatformError> {
        wanted.check()?;
        let one = app.keys.changing.lock().await;
        let mut keys = app.keys.api();
        if keys.iter().any(|key| key.stored.name == wanted.name) {
            return Err(PlatformError::KeyExists(wanted.name));
        }
        if keys.len() >= limits::API_KEYS_MAX {
            return Err(PlatformError::TooManyKeys);
        }
        let new = wanted.kind.generate();
        let key = Arc::new(ApiKey::new(StoredApiKey {
            id: Uuid::now_v7(),
            name: wanted.name,
            kind: wanted.kind,
            digest: new.digest,
            shown: new.shown,
            scopes: wanted.scopes,
            created_at: now(),
            last_used: 0,
        }));
        self.sql.insert_api_key(app.id, &key.stored).await?;
        keys.push(key.clone());
        keys.sort_by(|a, b| a.stored.name.cmp(&b.stored.name));
        app.keys.set_api(keys)?;
        tracing::info!(app.id = %app.id, key.id = %key.stored.id, "an API key was made");
        drop(one);
        if key.stored.kind == ApiKeyKind::Publishable {
            self.tell_guests(app).await;
        }
        Ok((key, new.text))
    }

    /// Ends an API key.
    ///
    /// # Errors
    /// [`PlatformError::NoKey`].
    pub async fn revoke_api_key(&self, app: &Arc<App>, id: &str) -> Result<(), PlatformError> {
        let one = app.keys.changing.lock().await;
        let mut keys = app.keys.api();
        let wanted = Uuid::try_parse(id).ok();
        let found = keys.iter().position(|key| Some(key.stored.id) == wanted);
        let found = found.ok_or_else(|| PlatformError::NoKey(id.chars().take(80).collect()))?;
        let key = keys.remove(found);
        self.sql.delete_api_key(app.id, key.stored.id).await?;
        app.keys.set_api(keys)?;
        tracing::info!(app.id = %app.id, key.id = %key.stored.id, "an API key was revoked");
        drop(one);
        if key.stored.kind == ApiKeyKind::Publishable {
            self.tell_guests(app).await;
        }
        Ok(())
    }

    /// Stores when API keys were last seen. Called now and then, and by no request.
    ///
    /// # Errors
    /// When the system database fails; the uses since the last time are then lost.
    pub async fn note_uses(&self) -> Result<(), PlatformError> {
        let mut uses = Vec::new();
        for app in self.apps() {
            let keys = app.keys.api();
            let used = |key: &Arc<ApiKey>| Some((key.stored.id, key.take_use()?));
            uses.extend(keys.iter().filter_map(used));
        }
        match uses.is_empty() {
            true => Ok(()),
            false => self.sql.set_last_used(&uses).await,
        }
    }

    /// Builds the active revision anew: its guests' variables name keys. The change itself has happened.
    async fn tell_guests(&self, app: &Arc<App>) {
        let told = async {
            let (_one, app) = self.alone(app).await?;
            self.refresh(&app).await
        };
        match told.await {
            // Deleted meanwhile.
            Ok(()) | Err(PlatformError::NoApp(_)) => {}
            Err(error) => {
                tracing::error!(app.id = %app.id, %error, "guests see the app's keys as they were; push the app again");
            }
        }
    }
}

impl WantedKey {
    fn check(&self) -> Result<(), PlatformError> {
        let invalid = |message: String| Err(PlatformError::InvalidKey(message));
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-".contains(&c);
        let named = (1..=limits::API_KEY_NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.starts_with(|c: char| c.is_ascii_lowercase())
            && self.name.bytes().all(plain);
        if !named {
            return invalid(format!(
                "a key's name has 1 to {} of a-z, 0-9, - and _, beginning with a letter",
                limits::API_KEY_NAME_BYTES_MAX
            ));
        }
        match (&self.scopes, self.kind) {
            (Some(_), ApiKeyKind::Publishable) => invalid(
                "only a secret key has scopes: policies say what a publishable one may".to_owned(),
            ),
            (Some(scopes), ApiKeyKind::Secret) if scopes.is_empty() => invalid(
                "a key without any scope opens nothing; leave `scopes` out for all".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

fn place(id: AppId) -> String {
    format!("keys/{id}")
}
