//! Namespaces, roles, grants and questions over HTTP: one handler, whichever door a request comes by.
//!
//! The doors are `/platform/v1/apps/<app>/permissions/` with the platform key, and the app's own
//! `/auth/v1/admin/permissions/` with `service_role`.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pumice_host_api::permissions::{
    AppRole, Effect, GrantFilter, Namespace, NewGrant, PermissionError, Permissions, Subject, Who,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::error::{self, Error, RequestError};
use crate::functions::App;
use crate::functions::manifest::Access;
use crate::limits;
use crate::services::auth::extract;
use crate::services::auth::keys::api::{ApiKey, ApiKeyKind};

/// Where an app's own door is.
pub const ADMIN: &str = "/auth/v1/admin/permissions/";
/// Whoever holds the platform key, as the owner of a namespace.
pub const ACCOUNT: &str = "account";
/// The app itself, as the owner of a namespace.
pub const APP: &str = "app";

/// A request, whatever door it came by.
pub struct Asked<'a> {
    pub method: &'a Method,
    /// Below `permissions/`.
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
    /// In whose name namespaces are changed.
    pub owner: &'a str,
}

/// Answers a request to an app's own door, errors included.
pub async fn admin(incoming: AppRequest) -> Response<Body> {
    let request_id = incoming.request_id;
    match by_service_role(incoming).await {
        Ok((status, value)) => {
            let mut response = match status {
                StatusCode::NO_CONTENT => Response::new(Body::from(Bytes::new())),
                _ => Response::new(Body::from(Bytes::from(value.to_string()))),
            };
            *response.status_mut() = status;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(error) => error::own(&error, request_id),
    }
}

async fn by_service_role(incoming: AppRequest) -> Result<(StatusCode, Value), Error> {
    let path = incoming.path().strip_prefix(ADMIN).unwrap_or_default();
    let path = path.to_owned();
    let AppRequest { app, request, .. } = incoming;
    let caller = extract::admit(&app.keys, Access::Service, request.headers())?;
    let owner = match Who::of(&caller).key_id {
        // A secret key is the app's: the one that takes its place has to own the same.
        Some(key) if api_key(&app.keys.api(), &key).is_none() => format!("key:{key}"),
        _ => APP.to_owned(),
    };
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, limits::AUTH_BODY_BYTES_MAX).collect();
    let body = body.await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let max = limits::AUTH_BODY_BYTES_MAX;
            return Error::from(PermissionError::Invalid(format!(
                "the body has more than {max} bytes"
            )));
        }
        RequestError::BodyBroken.into()
    })?;
    let asked = Asked {
        method: &parts.method,
        path: &path,
        query: parts.uri.query().unwrap_or_default(),
        body: &body.to_bytes(),
        owner: &owner,
    };
    answer(&app, asked).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutNamespace {
    actions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRole {
    #[serde(default)]
    parents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostGrant {
    role: Option<String>,
    user: Option<Uuid>,
    key: Option<String>,
    permission: String,
    #[serde(default = "PostGrant::allow")]
    effect: Effect,
    resource: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

impl PostGrant {
    fn allow() -> Effect {
        Effect::Allow
    }

    fn checked(self, keys: &[Arc<ApiKey>]) -> Result<NewGrant, PermissionError> {
        let subject = match (self.role, self.user, self.key) {
            (Some(role), None, None) => Subject::Role(role),
            (None, Some(user), None) => Subject::User(user),
            (None, None, Some(key)) => {
                is_read(keys, &key)?;
                Subject::Key(key)
            }
            _ => {
                return Err(PermissionError::Invalid(
                    "a grant is for one subject; write role, user or key".to_owned(),
                ));
            }
        };
        Ok(NewGrant {
            subject,
            permission: self.permission,
            effect: self.effect,
            resource: self.resource,
            expires_at: self.expires_at,
        })
    }
}

/// What is asked of `check` and `explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    role: Option<String>,
    user: Option<Uuid>,
    key: Option<String>,
    permission: String,
    resource: Option<String>,
}

impl Question {
    fn who(&self, keys: &[Arc<ApiKey>]) -> Result<Who, PermissionError> {
        if self.role.is_none() && self.user.is_none() && self.key.is_none() {
            return Err(PermissionError::Invalid(
                "who is asked about? write role, user or key".to_owned(),
            ));
        }
        // A user's tokens have this role, unless the app says otherwise; an API key has its kind's.
        let of_key = || {
            let found = api_key(keys, self.key.as_deref()?)?;
            Some(found.stored.kind.role().as_str().to_owned())
        };
        let usual = match self.user {
            Some(_) => Some("authenticated".to_owned()),
            None => of_key(),
        };
        Ok(Who {
            role: self.role.clone().or(usual),
            user_id: self.user,
            key_id: self.key.clone(),
        })
    }
}

/// The API key with this id or name.
fn api_key<'k>(keys: &'k [Arc<ApiKey>], text: &str) -> Option<&'k ApiKey> {
    let id = Uuid::try_parse(text).ok();
    let is_it = |key: &&Arc<ApiKey>| Some(key.stored.id) == id || key.stored.name == text;
    keys.iter().find(is_it).map(Arc::as_ref)
}

/// # Errors
/// [`PermissionError::Invalid`] for an API key whose grants no decision reads: a secret one, and one that is not
/// called by its id as its callers' `key_id` is. Other texts are `key_id`s of tokens that the app signs.
fn is_read(keys: &[Arc<ApiKey>], key: &str) -> Result<(), PermissionError> {
    let Some(found) = api_key(keys, key) else {
        return Ok(());
    };
    let (id, name) = (found.stored.id.to_string(), &found.stored.name);
    let why = match found.stored.kind {
        ApiKeyKind::Secret => format!(
            "`{name}` is a secret key: it is `service_role`, which holds every permission, and no grant binds it; \
             limit it by its scopes, or grant to a user or a publishable key"
        ),
        ApiKeyKind::Publishable if id != key => {
            format!("a grant names an API key by its id; that of `{name}` is {id}")
        }
        ApiKeyKind::Publishable => return Ok(()),
    };
    Err(PermissionError::Invalid(why))
}

/// Answers a request that may be made.
///
/// # Errors
/// [`PermissionError`], [`RequestError::NotFound`], [`RequestError::Method`].
pub async fn answer(app: &App, asked: Asked<'_>) -> Result<(StatusCode, Value), Error> {
    let permissions = Permissions::new(app.data.clone());
    let parts: Vec<&str> = asked.path.trim_end_matches('/').split('/').collect();
    let method = asked.method.as_str();
    match (method, &parts[..]) {
        ("GET", ["namespaces"]) => found(&permissions.namespaces().await?),
        ("GET", ["namespaces", name]) => found(&permissions.namespace(name).await?),
        ("PUT", ["namespaces", name]) => {
            let wanted: PutNamespace = parse(asked.body, r#"{"actions": ["refund"]}"#)?;
            let namespace = Namespace {
                name: (*name).to_owned(),
                owner: asked.owner.to_owned(),
                actions: wanted.actions,
            };
            permissions.register(vec![namespace]).await?;
            found(&permissions.namespace(name).await?)
        }
        ("DELETE", ["namespaces", name]) => {
            permissions.delete_namespace(name, asked.owner).await?;
            done()
        }
        ("GET", ["roles"]) => found(&permissions.roles().await?),
        ("GET", ["roles", name]) => found(&permissions.role(name).await?),
        ("PUT", ["roles", name]) => {
            let wanted: PutRole = parse(asked.body, r#"{"parents": ["clerk"]}"#)?;
            let role = AppRole {
                name: (*name).to_owned(),
                parents: wanted.parents,
            };
            permissions.put_role(role).await?;
            found(&permissions.role(name).await?)
        }
        ("DELETE", ["roles", name]) => {
            permissions.delete_role(name).await?;
            done()
        }
        ("GET", ["roles", name, "members"]) => {
            let page: Page = query(asked.query)?;
            found(&permissions.members(name, page.offset, page.limit()).await?)
        }
        ("PUT", ["roles", name, "members", user]) => {
            permissions.add_member(name, id(user)?).await?;
            done()
        }
        ("DELETE", ["roles", name, "members", user]) => {
            permissions.delete_member(name, id(user)?).await?;
            done()
        }
        ("GET", ["grants"]) => {
            let page: Page = query(asked.query)?;
            let limit = page.limit();
            let filter = GrantFilter {
                role: page.role,
                user_id: page.user,
                key_id: page.key,
                permission: page.permission,
            };
            let (grants, count) = permissions.grants(filter, page.offset, limit).await?;
            found(&json!({ "grants": grants, "count": count }))
        }
        ("POST", ["grants"]) => {
            let form = r#"{"role": "clerk", "permission": "shop.refund"}, with user or key in place of role, and perhaps effect, resource, expires_at"#;
            let wanted: PostGrant = parse(asked.body, form)?;
            let grant = permissions
                .grant(wanted.checked(&app.keys.api())?, Utc::now())
                .await?;
            Ok((StatusCode::CREATED, value(&grant)?))
        }
        ("DELETE", ["grants", grant]) => {
            permissions.revoke(id(grant)?).await?;
            done()
        }
        ("POST", ["check" | "explain"]) => {
            let form = r#"{"user": "<id>", "permission": "shop.refund"}, with role or key in place of user, and perhaps resource"#;
            let asks: Question = parse(asked.body, form)?;
            let (who, now) = (asks.who(&app.keys.api())?, Utc::now());
            let (permission, resource) = (&*asks.permission, asks.resource.as_deref());
            if parts[0] == "check" {
                let held = permissions.check(&who, permission, resource, now).await?;
                return found(&json!({ "allowed": held }));
            }
            found(&permissions.explain(&who, permission, resource, now).await?)
        }
        (
            _,
            ["namespaces" | "roles" | "grants"]
            | ["namespaces" | "roles" | "grants", _]
            | ["roles", _, "members"]
            | ["roles", _, "members", _]
            | ["check" | "explain"],
        ) => Err(RequestError::Method.into()),
        _ => Err(RequestError::NotFound.into()),
    }
}

fn value<T: Serialize>(found: &T) -> Result<Value, Error> {
    let value = serde_json::to_value(found);
    value.map_err(|error| pumice_host_api::data::DataError::Internal(error.to_string()).into())
}

fn found<T: Serialize>(answer: &T) -> Result<(StatusCode, Value), Error> {
    Ok((StatusCode::OK, value(answer)?))
}

fn done() -> Result<(StatusCode, Value), Error> {
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, PermissionError> {
    // What no database keeps can name nothing.
    if body.windows(6).any(|window| window == br"\u0000") {
        let message = "the body has a NUL character in it";
        return Err(PermissionError::Invalid(message.to_owned()));
    }
    let read = serde_json::from_slice(body);
    read.map_err(|error| PermissionError::Invalid(format!("{error}; write {form}")))
}

fn id(text: &str) -> Result<Uuid, PermissionError> {
    let shown: String = text.chars().take(80).collect();
    let read = Uuid::try_parse(text);
    read.map_err(|_| PermissionError::Invalid(format!("{shown:?} is no id; write a UUID")))
}

/// Which rows of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    offset: u64,
    limit: Option<u64>,
    role: Option<String>,
    user: Option<Uuid>,
    key: Option<String>,
    permission: Option<String>,
    /// Some clients can only send their key so; headers are what counts.
    #[serde(rename = "apikey")]
    _apikey: Option<String>,
}

impl Page {
    fn limit(&self) -> u64 {
        let limit = self.limit.unwrap_or(limits::PERMISSIONS_PAGE);
        limit.min(limits::PERMISSIONS_PAGE_MAX)
    }
}

fn query<T: DeserializeOwned>(text: &str) -> Result<T, PermissionError> {
    let uri = http::Uri::try_from(format!("/?{text}"));
    let uri = uri.map_err(|error| PermissionError::Invalid(error.to_string()))?;
    let read = axum::extract::Query::try_from_uri(&uri);
    let read = read.map_err(|error| PermissionError::Invalid(error.body_text()))?;
    Ok(read.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::auth::keys::api::StoredApiKey;

    fn key(id: u128, name: &str, kind: ApiKeyKind) -> Arc<ApiKey> {
        let new = kind.generate();
        Arc::new(ApiKey::new(StoredApiKey {
            id: Uuid::from_u128(id),
            name: name.to_owned(),
            kind,
            digest: new.digest,
            shown: new.shown,
            scopes: None,
            created_at: String::new(),
            last_used: 0,
        }))
    }

    #[test]
    fn grants_that_no_decision_reads_are_refused() {
        let keys = [
            key(0xa, "page", ApiKeyKind::Publishable),
            key(0xb, "server", ApiKeyKind::Secret),
        ];
        let id = |id: u128| Uuid::from_u128(id).to_string();
        for good in [&*id(0xa), &id(0xc), "k1"] {
            assert!(is_read(&keys, good).is_ok(), "{good}");
        }
        for (wrong, why) in [
            (id(0xb), "secret key"),
            ("server".to_owned(), "secret key"),
            ("page".to_owned(), &*id(0xa)),
            (id(0xa).to_uppercase(), &id(0xa)),
            (id(0xa).replace('-', ""), &id(0xa)),
        ] {
            let refused = is_read(&keys, &wrong).unwrap_err().to_string();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_question_about_a_key_has_its_role() {
        let keys = [
            key(0xa, "page", ApiKeyKind::Publishable),
            key(0xb, "server", ApiKeyKind::Secret),
        ];
        let role = |question: Value| {
            let question: Question = serde_json::from_value(question).unwrap();
            question.who(&keys).unwrap().role
        };
        for (key, expect) in [
            (Uuid::from_u128(0xa).to_string(), Some("anon")),
            (Uuid::from_u128(0xb).to_string(), Some("service_role")),
            ("k1".to_owned(), None),
        ] {
            let asked = json!({ "key": key, "permission": "a.b" });
            assert_eq!(role(asked).as_deref(), expect, "{key}");
            let of_user = json!({ "key": key, "user": Uuid::nil(), "permission": "a.b" });
            assert_eq!(role(of_user).as_deref(), Some("authenticated"));
            let named = json!({ "key": key, "role": "clerk", "permission": "a.b" });
            assert_eq!(role(named).as_deref(), Some("clerk"));
        }
    }
}
