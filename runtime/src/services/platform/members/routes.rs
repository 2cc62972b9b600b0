//! `/platform/v1/members`, and who may use which route of the platform.

use axum::extract::{Extension, MatchedPath, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::roles::needed;
use super::{Acting, Member, MemberError};
use crate::error::Error;
use crate::services::auth::extract;
use crate::services::platform::PlatformError;
use crate::services::platform::routes::{Answer, Api, Body, parse};

/// Below `/platform/v1`.
pub(in crate::services::platform) fn router() -> Router<Api> {
    Router::new()
        .route("/members", get(list).post(add))
        .route("/members/{id}", put(change).delete(remove))
        .route("/members/{id}/tokens", get(tokens).post(add_token))
        .route("/members/{id}/tokens/{token}", delete(remove_token))
}

/// Lets through whoever has the platform key, and members whose role has what the route needs.
pub(in crate::services::platform) async fn authorize(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Response {
    let sent = extract::bearer(request.headers()).unwrap_or_default();
    let sent = sent.to_owned();
    let path = request.extensions().get::<MatchedPath>();
    let needed = path.map(|path| {
        let path = path.as_str();
        let path = path.strip_prefix("/platform/v1").unwrap_or(path);
        needed(request.method().as_str(), path).unwrap_or("*")
    });
    match acting(&api, &sent, needed).await {
        Ok(acting) => {
            request.extensions_mut().insert(acting);
            next.run(request).await
        }
        Err(error) => Error::Platform(error).into_response(),
    }
}

/// `needed` is none where no route is: that nothing is there may be known to anybody who has a token.
async fn acting(
    api: &Api,
    sent: &str,
    needed: Option<&'static str>,
) -> Result<Acting, PlatformError> {
    if bool::from(sent.as_bytes().ct_eq(api.key.as_bytes())) {
        return Ok(Acting::Key);
    }
    let session = api.platform.session(sent).await?;
    let session = session.ok_or(PlatformError::Unauthorized)?;
    let role = session.member.role.clone();
    let acting = Acting::Member(session);
    match needed {
        Some(permission) if !acting.may(permission) => {
            Err(MemberError::Denied { role, permission }.into())
        }
        _ => Ok(acting),
    }
}

fn id(text: &str) -> Result<Uuid, PlatformError> {
    let read = Uuid::try_parse(text);
    let invalid = |_| MemberError::Invalid("this is no id; write a UUID".to_owned());
    Ok(read.map_err(invalid)?)
}

async fn list(State(api): State<Api>) -> Answer<Json<Vec<Member>>> {
    Ok(Json(api.platform.members().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    name: String,
    role: String,
}

async fn add(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Member>)> {
    let add: Add = parse(&body)?;
    let member = api
        .platform
        .add_member(&acting, &add.name, &add.role)
        .await?;
    Ok((StatusCode::CREATED, Json(member)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    role: String,
}

async fn change(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path(member): Path<String>,
    Body(body): Body,
) -> Answer<Json<Member>> {
    let change: Change = parse(&body)?;
    let changed = api.platform.set_role(&acting, id(&member)?, &change.role);
    Ok(Json(changed.await?))
}

async fn remove(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path(member): Path<String>,
) -> Answer<StatusCode> {
    api.platform.delete_member(&acting, id(&member)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tokens(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path(member): Path<String>,
) -> Answer<Json<Value>> {
    let tokens = api.platform.tokens(&acting, id(&member)?).await?;
    Ok(Json(json!(tokens)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddToken {
    name: String,
    /// In seconds.
    expires_in: Option<u64>,
}

async fn add_token(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path(member): Path<String>,
    Body(body): Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let add: AddToken = parse(&body)?;
    let made = api
        .platform
        .add_token(&acting, id(&member)?, &add.name, add.expires_in)
        .await?;
    let (token, plain) = made;
    let mut shown = json!(token);
    shown["token"] = json!(plain);
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn remove_token(
    State(api): State<Api>,
    Extension(acting): Extension<Acting>,
    Path((member, token)): Path<(String, String)>,
) -> Answer<StatusCode> {
    let (member, token) = (id(&member)?, id(&token)?);
    api.platform.delete_token(&acting, member, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
