//! The SQL of apps' keys.

use pumice_host_api::AppId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::PlatformError;
use super::super::sql::{Sql, app_id};
use super::SigningKeyRow;
use crate::digest::Digest;
use crate::limits;
use crate::services::auth::keys::api::{ApiKeyKind, StoredApiKey};
use crate::services::auth::keys::stored::KeyState;

impl Sql {
    /// The signing keys of all apps, or of one; newest first.
    pub async fn signing_keys(
        &self,
        of: Option<AppId>,
    ) -> Result<Vec<(AppId, SigningKeyRow)>, PlatformError> {
        let rows = sqlx::query(
            "select id, app_id, algorithm, state, sealed, created_at, changed_at from signing_key \
             where $1 is null or app_id = $1 order by created_at desc, id",
        )
        .bind(of.map(|id| id.to_string()))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((app_id(row.try_get("app_id")?)?, signing_key(row)?)))
            .collect()
    }

    pub async fn insert_signing_key(
        &self,
        id: AppId,
        key: &SigningKeyRow,
    ) -> Result<(), PlatformError> {
        let mut connection = self.pool.acquire().await?;
        insert_signing_key(&mut connection, id, key).await
    }

    /// Has the key on standby sign, and the one that signed no longer; whether there was one on standby.
    pub async fn rotate(&self, id: AppId, now: &str) -> Result<bool, PlatformError> {
        let mut tx = self.pool.begin().await?;
        for (from, to) in [
            (KeyState::InUse, KeyState::PreviouslyUsed),
            (KeyState::Standby, KeyState::InUse),
        ] {
            let done = sqlx::query(
                "update signing_key set state = $3, changed_at = $4 where app_id = $1 and state = $2",
            )
            .bind(id.to_string())
            .bind(from.name())
            .bind(to.name())
            .bind(now)
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a signing key and forgets its private half. `heir` is the key in use, sealed anew, if that has to be
    /// written as well.
    pub async fn revoke_signing_key(
        &self,
        id: AppId,
        kid: &str,
        heir: Option<(&str, &[u8])>,
        now: &str,
    ) -> Result<(), PlatformError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update signing_key set state = 'revoked', sealed = null, changed_at = $3 \
             where app_id = $1 and id = $2",
        )
        .bind(id.to_string())
        .bind(kid)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if let Some((kid, sealed)) = heir {
            sqlx::query("update signing_key set sealed = $3 where app_id = $1 and id = $2")
                .bind(id.to_string())
                .bind(kid)
                .bind(sealed)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "delete from signing_key where app_id = $1 and state = 'revoked' and id not in \
             (select id from signing_key where app_id = $1 and state = 'revoked' \
              order by changed_at desc limit $2)",
        )
        .bind(id.to_string())
        .bind(limits::REVOKED_KEYS_KEPT)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The API keys of all apps, in order of name.
    pub async fn api_keys(&self) -> Result<Vec<(AppId, StoredApiKey)>, PlatformError> {
        let rows = sqlx::query(
            "select id, app_id, name, kind, digest, shown, scopes, created_at, last_used from api_key \
             order by app_id, name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((app_id(row.try_get("app_id")?)?, api_key(row)?)))
            .collect()
    }

    pub async fn insert_api_key(&self, id: AppId, key: &StoredApiKey) -> Result<(), PlatformError> {
        let scopes = key.scopes.as_ref().map(serde_json::to_string).transpose();
        let scopes = scopes.map_err(|error| PlatformError::Corrupt(error.to_string()))?;
        sqlx::query(
            "insert into api_key (id, app_id, name, kind, digest, shown, scopes, created_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(key.id.to_string())
        .bind(id.to_string())
        .bind(&key.name)
        .bind(key.kind.name())
        .bind(&key.digest.as_bytes()[..])
        .bind(&key.shown)
        .bind(scopes)
        .bind(&key.created_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn delete_api_key(&self, id: AppId, key: Uuid) -> Result<(), PlatformError> {
        sqlx::query("delete from api_key where app_id = $1 and id = $2")
            .bind(id.to_string())
            .bind(key.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Stores when keys were last seen, in seconds since 1970.
    pub async fn set_last_used(&self, uses: &[(Uuid, u64)]) -> Result<(), PlatformError> {
        let mut tx = self.pool.begin().await?;
        for (key, at) in uses {
            sqlx::query("update api_key set last_used = max(last_used, $2) where id = $1")
                .bind(key.to_string())
                .bind(*at as i64)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Adds a signing key, in whatever transaction the connection is.
pub async fn insert_signing_key(
    connection: &mut sqlx::SqliteConnection,
    id: AppId,
    key: &SigningKeyRow,
) -> Result<(), PlatformError> {
    sqlx::query(
        "insert into signing_key (id, app_id, algorithm, state, sealed, created_at, changed_at) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&key.kid)
    .bind(id.to_string())
    .bind(&key.algorithm)
    .bind(key.state.name())
    .bind(&key.sealed)
    .bind(&key.created_at)
    .bind(&key.changed_at)
    .execute(connection)
    .await?;
    Ok(())
}

fn signing_key(row: &SqliteRow) -> Result<SigningKeyRow, PlatformError> {
    let state: &str = row.try_get("state")?;
    Ok(SigningKeyRow {
        kid: row.try_get("id")?,
        algorithm: row.try_get("algorithm")?,
        state: KeyState::named(state).ok_or_else(|| corrupt("state", state))?,
        sealed: row.try_get("sealed")?,
        created_at: row.try_get("created_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}

fn api_key(row: &SqliteRow) -> Result<StoredApiKey, PlatformError> {
    let id: &str = row.try_get("id")?;
    let digest: &[u8] = row.try_get("digest")?;
    let scopes: Option<&str> = row.try_get("scopes")?;
    let scopes = scopes.map(serde_json::from_str).transpose();
    let last_used: i64 = row.try_get("last_used")?;
    Ok(StoredApiKey {
        id: id.parse().map_err(|_| corrupt("id", id))?,
        name: row.try_get("name")?,
        kind: match row.try_get("kind")? {
            "secret" => ApiKeyKind::Secret,
            _ => ApiKeyKind::Publishable,
        },
        digest: Digest::from_bytes(digest).ok_or_else(|| corrupt("digest", id))?,
        shown: row.try_get("shown")?,
        scopes: scopes.map_err(|_| corrupt("scopes", id))?,
        created_at: row.try_get("created_at")?,
        last_used: last_used.max(0) as u64,
    })
}

fn corrupt(what: &str, value: &str) -> PlatformError {
    PlatformError::Corrupt(format!("`{value}` is no {what} of a key"))
}
