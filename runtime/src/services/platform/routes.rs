//! `/platform/v1`: the API that the command line uses. Every route needs the platform key, or the token of a
//! member whose role has what `members/roles.rs` says.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Extension, FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use futures_util::StreamExt as _;
use pumice_host_api::data::Schema;
use pumice_host_api::data::ddl::Applied;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;

use super::external::Registered;
use super::keys::routes as keys;
use super::members::{self, APPS_KEYS, Acting};
use super::r#move::{Moved, Progress};
use super::{Deployed, Platform, PlatformError, permissions};
use crate::digest::Digest;
use crate::error::{Error, RequestError};
use crate::functions::{App, Files};
use crate::limits;
use crate::logs::Logs;
use crate::services::mail::{Mailer, Tested};

/// What the routes work with.
#[derive(Clone)]
pub struct Api {
    pub platform: Arc<Platform>,
    pub logs: Logs,
    pub mailer: Mailer,
    /// The platform key.
    pub key: Arc<str>,
}

pub(super) type Answer<T> = Result<T, Error>;

/// The routes below `/platform/v1`.
pub fn router(api: Api) -> Router {
    let blobs = put(put_blob).layer(DefaultBodyLimit::max(
        limits::STATIC_FILE_BYTES_MAX as usize,
    ));
    let routes = Router::new()
        .route("/apps", get(list).post(create))
        .route("/apps/{app}", get(show).delete(remove))
        .route("/apps/{app}/blobs/{digest}", blobs)
        .route("/apps/{app}/revisions", get(revisions).post(deploy))
        .route("/apps/{app}/rollback", post(rollback))
        .route("/apps/{app}/move", get(progress).post(r#move))
        .route("/apps/{app}/database", put(register))
        .route("/apps/{app}/mail/test", post(test_mail))
        .route("/apps/{app}/secrets", get(secrets))
        .route(
            "/apps/{app}/secrets/{name}",
            put(set_secret).merge(delete(delete_secret)),
        )
        .route("/apps/{app}/keys", get(keys::list).post(keys::create))
        .route("/apps/{app}/keys/{id}", delete(keys::revoke))
        .route(
            "/apps/{app}/signing-keys",
            get(keys::list_signing).post(keys::create_signing),
        )
        .route("/apps/{app}/signing-keys/rotate", post(keys::rotate))
        .route(
            "/apps/{app}/signing-keys/{id}",
            delete(keys::revoke_signing),
        )
        .route("/apps/{app}/schema", get(schema))
        .route("/apps/{app}/migrations", get(migrations))
        .route("/apps/{app}/logs", get(logs))
        .merge(permissions::router())
        .merge(members::router())
        .fallback(async || Error::from(RequestError::NotFound))
        .method_not_allowed_fallback(async || Error::from(RequestError::Method))
        .layer(DefaultBodyLimit::max(limits::PLATFORM_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(
            api.clone(),
            members::authorize,
        ))
        .with_state(api);
    Router::new().nest("/platform/v1", routes)
}

/// An app as the platform shows it: with its keys to whoever may use them.
fn shown(platform: &Platform, app: &App, acting: &Acting) -> Value {
    let revision = app.revision.load();
    let mut shown = json!({
        "name": app.name,
        "id": app.id,
        "url": platform.url_of(app),
        "created_at": app.created_at,
        "revision": revision.as_ref().map(|revision| revision.number),
        "functions": revision.as_ref().map_or_else(Vec::new, |revision| {
            revision.functions().iter().map(|function| json!({ "name": function.guest.name, "route": function.route })).collect()
        }),
    });
    if acting.may(APPS_KEYS) {
        shown["anon_key"] = json!(app.keys.anon());
        shown["service_role_key"] = json!(app.keys.service_role());
    }
    shown
}

async fn list(State(api): State<Api>, Extension(acting): Extension<Acting>) -> Json<Value> {
    Json(
        api.platform
            .apps()
            .iter()
            .map(|app| shown(&api.platform, app, &acting))
            .collect(),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
}

async fn create(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let create: Create = parse(&body)?;
    let app = api.platform.create_app(&create.name).await?;
    let shown = shown(&api.platform, &app, &acting);
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn show(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path(app): Path<String>,
) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    Ok(Json(shown(&api.platform, &app, &acting)))
}

async fn remove(State(api): State<Api>, Path(app): Path<String>) -> Answer<StatusCode> {
    api.platform.delete_app(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_blob(
    State(api): State<Api>,
    Path((app, digest)): Path<(String, String)>,
    Body(body): Body,
) -> Answer<StatusCode> {
    let app = api.platform.app(&app)?;
    let digest: Digest = digest
        .parse()
        .map_err(|error| PlatformError::BadRequest(format!("{error}")))?;
    api.platform.put_blob(&app, digest, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    manifest: String,
    files: Files,
    /// Whether `seed.sql` is to run, if it never has.
    #[serde(default)]
    seed: bool,
}

async fn deploy(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Deployed>)> {
    let app = api.platform.app(&app)?;
    let bundle: Bundle = parse(&body)?;
    let deployed = api
        .platform
        .deploy(&app, &bundle.manifest, bundle.files, bundle.seed)
        .await?;
    Ok((StatusCode::CREATED, Json(deployed)))
}

async fn revisions(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    let active = app.revision.load().as_ref().map(|revision| revision.number);
    let rows = api.platform.revisions(&app).await?;
    let shown = |row: &super::RevisionRow| json!({ "number": row.number, "created_at": row.created_at, "files": row.files.len(), "active": Some(row.number) == active });
    Ok(Json(rows.iter().map(shown).collect()))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Rollback {
    to: Option<i64>,
}

async fn rollback(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<Json<Value>> {
    let app = api.platform.app(&app)?;
    let wanted: Rollback = if body.is_empty() {
        Rollback::default()
    } else {
        parse(&body)?
    };
    let revision = api.platform.rollback(&app, wanted.to).await?;
    Ok(Json(json!({ "app": app.name, "revision": revision })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    url: String,
}

async fn register(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<Json<Registered>> {
    let app = api.platform.app(&app)?;
    let form = r#"{"url": "postgres://user:password@host/database"}"#;
    let wanted: Register = parse_secret(&body, form)?;
    let platform = api.platform.clone();
    // To its end, whoever still waits for it.
    let registered = tokio::spawn(async move { platform.register(&app, &wanted.url).await });
    let registered = registered.await.map_err(std::io::Error::other);
    Ok(Json(registered.map_err(PlatformError::Io)??))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    /// A URL of PostgreSQL.
    to: String,
}

async fn r#move(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<Json<Moved>> {
    let app = api.platform.app(&app)?;
    let form = r#"{"to": "postgres://user:password@host/database"}"#;
    let wanted: Move = parse_secret(&body, form)?;
    let platform = api.platform.clone();
    // To its end, whoever still waits for it.
    let moved = tokio::spawn(async move { platform.move_app(&app, &wanted.to).await });
    let moved = moved.await.map_err(std::io::Error::other);
    Ok(Json(moved.map_err(PlatformError::Io)??))
}

async fn progress(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Progress>> {
    let app = api.platform.app(&app)?;
    Ok(Json(api.platform.progress(&app)?))
}

/// Names only: a value is never shown again.
async fn secrets(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Vec<String>>> {
    let app = api.platform.app(&app)?;
    let names = app.secrets.load().keys().cloned().collect();
    Ok(Json(names))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    value: String,
}

async fn set_secret(
    State(api): State<Api>,
    Path((app, name)): Path<(String, String)>,
    Body(body): Body,
) -> Answer<StatusCode> {
    let app = api.platform.app(&app)?;
    let secret: Secret = parse_secret(&body, r#"{"value": "…"}"#)?;
    api.platform.set_secret(&app, &name, &secret.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_secret(
    State(api): State<Api>,
    Path((app, name)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let app = api.platform.app(&app)?;
    api.platform.delete_secret(&app, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files that have run on the app's database.
async fn migrations(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Vec<Applied>>> {
    let app = api.platform.app(&app)?;
    Ok(Json(api.platform.applied(&app).await?))
}

/// What the app's tables are.
async fn schema(State(api): State<Api>, Path(app): Path<String>) -> Answer<Json<Arc<Schema>>> {
    let app = api.platform.app(&app)?;
    Ok(Json(app.data.schema().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestMail {
    to: String,
    /// Whether it goes the way of all mails, which nobody waits for.
    #[serde(default)]
    queue: bool,
}

/// Sends the confirmation with sample values.
async fn test_mail(
    State(api): State<Api>,
    Path(app): Path<String>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Tested>)> {
    let app = api.platform.app(&app)?;
    let wanted: TestMail = parse(&body)?;
    let url = api.platform.url_of(&app);
    let tested = api.mailer.test(&app, &url, &wanted.to, wanted.queue);
    let tested = tested.await?;
    let status = match &tested.reply {
        None if tested.server.is_some() => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((status, Json(tested)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    component: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    follow: bool,
    #[serde(default = "LogQuery::default_count")]
    count: usize,
}

impl LogQuery {
    fn default_count() -> usize {
        200
    }

    fn wants(&self, line: &str) -> bool {
        if self.component.is_none() && self.request_id.is_none() {
            return true;
        }
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            return false;
        };
        let is = |key: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| record[key] == **wanted)
        };
        is("component", &self.component) && is("request_id", &self.request_id)
    }
}

/// JSON lines: the last `count`, and with `follow` the new ones as they are written.
async fn logs(
    State(api): State<Api>,
    Path(app): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Answer<Response> {
    let app = api.platform.app(&app)?;
    let query = query.map_err(|rejection| PlatformError::BadRequest(rejection.body_text()))?;
    let query = Arc::new(query.0);
    // Subscribed before reading, so that nothing falls between; what is in both is shown once.
    let live = api.logs.subscribe();
    let wanted = query.clone();
    let past = api
        .logs
        .tail(app.id, query.count.min(10_000), move |line| {
            wanted.wants(line)
        })
        .await
        .map_err(PlatformError::Io)?;
    let text = past
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let content_type = [(CONTENT_TYPE, "application/x-ndjson")];
    if !query.follow {
        return Ok((content_type, text).into_response());
    }
    let mut shown: HashSet<String> = past.into_iter().collect();
    let news = BroadcastStream::new(live).filter_map(move |item| {
        let line = match item {
            Ok((id, line)) if id == app.id && query.wants(&line) && !shown.remove(&*line) => {
                Some(format!("{line}\n"))
            }
            Ok(_) => None,
            Err(lagged) => Some(format!(
                "{}\n",
                json!({ "type": "lagged", "message": lagged.to_string() })
            )),
        };
        std::future::ready(line)
    });
    let stream = futures_util::stream::once(std::future::ready(text))
        .chain(news)
        .map(Ok::<_, std::convert::Infallible>);
    Ok((content_type, axum::body::Body::from_stream(stream)).into_response())
}

/// A request's body, within the route's limit.
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Answer<Body> {
        let bytes = Bytes::from_request(request, state).await;
        bytes.map(Body).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return PlatformError::BodyTooLarge.into();
            }
            PlatformError::BadRequest(rejection.body_text()).into()
        })
    }
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, PlatformError> {
    serde_json::from_slice(body).map_err(|error| PlatformError::BadRequest(error.to_string()))
}

/// As [`parse`], of what nobody else may read: not the parser's words, which may quote it.
fn parse_secret<T: for<'de> Deserialize<'de>>(body: &[u8], form: &str) -> Result<T, PlatformError> {
    serde_json::from_slice(body).map_err(|_| PlatformError::BadRequest(format!("write {form}")))
}
