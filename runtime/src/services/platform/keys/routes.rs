//! `/platform/v1/apps/{app}/keys` and `/signing-keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::PlatformError;
use super::super::routes::{Answer, Api, Body, parse};
use super::{SigningKeyRow, WantedKey};
use crate::services::auth::keys::api::{ApiKey, ApiKeyKind, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(rename = "type")]
    kind: ApiKeyKind,
    scopes: Option<Vec<String>>,
}

/// The opaque API keys; secret ones by their beginning only.
pub async fn list(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    Ok(Json(app.keys.api().iter().map(|key| shown(key)).collect()))
}

pub async fn create(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let app = api.platform.app(&app)?;
    let wanted: Create = parse(&body)?;
    let scopes = wanted.scopes.map(|names| {
        let scope = |name: &String| {
            Scope::named(name).ok_or_else(|| {
                let known = Scope::ALL.map(Scope::name).join(", ");
                let name: String = name.chars().take(80).collect();
                PlatformError::InvalidKey(format!("there is no scope `{name}`; there are {known}"))
            })
        };
        let mut scopes = names.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
        scopes.sort_unstable();
        scopes.dedup();
        Ok::<_, PlatformError>(scopes)
    });
    let wanted = WantedKey {
        name: wanted.name,
        kind: wanted.kind,
        scopes: scopes.transpose()?,
    };
    let platform = api.platform.clone();
    let made = tokio::spawn(async move { platform.create_api_key(&app, wanted).await });
    let (key, text) = ended(made).await?;
    let mut answer = shown(&key);
    answer["api_key"] = text.into();
    Ok((StatusCode::CREATED, Json(answer)))
}

pub async fn revoke(
    State(api): State<Api>,
    Path((app, id)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let app = api.platform.app(&app)?;
    let platform = api.platform.clone();
    let revoked = tokio::spawn(async move { platform.revoke_api_key(&app, &id).await });
    ended(revoked).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn list_signing(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    let rows = api.platform.signing_keys(&app).await?;
    Ok(Json(rows.iter().map(shown_signing).collect()))
}

/// Makes the key on standby.
pub async fn create_signing(
    State(api): State<Api>,
    Path(app): Path<String>,
) -> Answer<(StatusCode, Json<Value>)> {
    let app = api.platform.app(&app)?;
    let platform = api.platform.clone();
    let made = tokio::spawn(async move { platform.create_standby(&app).await });
    Ok((
        StatusCode::CREATED,
        Json(shown_signing(&ended(made).await?)),
    ))
}

pub async fn rotate(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    let platform = api.platform.clone();
    let rotated = tokio::spawn(async move { platform.rotate(&app).await });
    Ok(Json(
        json!({ "id": ended(rotated).await?, "state": "in_use" }),
    ))
}

pub async fn revoke_signing(
    State(api): State<Api>,
    Path((app, id)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let app = api.platform.app(&app)?;
    let platform = api.platform.clone();
    let revoked = tokio::spawn(async move { platform.revoke_signing_key(&app, &id).await });
    ended(revoked).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The end of a change that goes on whoever still waits for it: what is stored has to be in memory.
async fn ended<T>(task: JoinHandle<Result<T, PlatformError>>) -> Result<T, PlatformError> {
    task.await.map_err(std::io::Error::other)?
}

fn shown(key: &ApiKey) -> Value {
    let stored = &key.stored;
    let used = DateTime::from_timestamp(key.last_used() as i64, 0);
    let used = used.filter(|used| used.timestamp() > 0);
    json!({
        "id": stored.id,
        "name": stored.name,
        "type": stored.kind,
        "shown": stored.shown,
        "scopes": stored.scopes,
        "created_at": stored.created_at,
        "last_used_at": used.map(|used| used.to_rfc3339_opts(SecondsFormat::Secs, true)),
    })
}

fn shown_signing(key: &SigningKeyRow) -> Value {
    json!({
        "id": key.kid,
        "algorithm": key.algorithm,
        "state": key.state,
        "created_at": key.created_at,
        "changed_at": key.changed_at,
    })
}
