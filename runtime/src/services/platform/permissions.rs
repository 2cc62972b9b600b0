//! An app's permissions at a deployment, and the platform's door to them.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Json, http::Uri};
use pumice_host_api::permissions::{PermissionError, Permissions};

use super::routes::{Api, Body};
use super::{Manifest, Platform, PlatformError};
use crate::error::Error;
use crate::functions::App;
use crate::services::permissions::routes::{ACCOUNT, Asked, answer};

impl Platform {
    /// Whether the manifest's namespaces can be registered, and all that its entries require is there then.
    ///
    /// # Errors
    /// [`PlatformError::NotExternal`]; [`PermissionError::NotOwner`], [`PermissionError::Unknown`].
    pub(super) async fn check_permissions(
        &self,
        app: &App,
        manifest: &Manifest,
    ) -> Result<(), PlatformError> {
        let required = manifest.required();
        if manifest.permissions.is_empty() && required.is_empty() {
            return Ok(());
        }
        if app.data.is_external() {
            return Err(PlatformError::NotExternal("permissions".to_owned()));
        }
        let mut known = Permissions::new(app.data.clone()).namespaces().await?;
        for wanted in &manifest.permissions {
            let there = known.iter().find(|there| there.name == wanted.name);
            if let Some(there) = there.filter(|there| there.owner != wanted.owner) {
                return Err(PermissionError::NotOwner {
                    namespace: there.name.clone(),
                    owner: there.owner.clone(),
                }
                .into());
            }
            known.retain(|there| there.name != wanted.name);
            known.push(wanted.clone());
        }
        let is_known = |permission: &str| {
            let (of, named) = permission.split_once('.').unwrap_or_default();
            let mut namespaces = known.iter().filter(|namespace| namespace.name == of);
            namespaces.any(|namespace| namespace.actions.iter().any(|action| action == named))
        };
        match required
            .into_iter()
            .find(|permission| !is_known(permission))
        {
            Some(permission) => Err(PermissionError::Unknown(permission).into()),
            None => Ok(()),
        }
    }

    /// Registers what the manifest has to be permitted.
    ///
    /// # Errors
    /// [`PlatformError::Permissions`].
    pub(super) async fn register_permissions(
        &self,
        app: &App,
        manifest: &Manifest,
    ) -> Result<(), PlatformError> {
        if !manifest.permissions.is_empty() {
            let permissions = Permissions::new(app.data.clone());
            permissions.register(manifest.permissions.clone()).await?;
        }
        Ok(())
    }
}

/// Below `/platform/v1`.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/apps/{app}/permissions/check", post(of_app))
        .route("/apps/{app}/permissions/explain", post(of_app))
        .route("/apps/{app}/permissions/{*path}", any(of_app))
}

async fn of_app(
    State(api): State<Api>,
    Path(parameters): Path<std::collections::HashMap<String, String>>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    Body(body): Body,
) -> Result<Response, Error> {
    let app = api
        .platform
        .app(parameters.get("app").map_or("", String::as_str))?;
    let path = uri.path();
    let path = path
        .split_once("/permissions/")
        .map_or("", |(_, path)| path);
    let asked = Asked {
        method: &method,
        path,
        query: query.as_deref().unwrap_or_default(),
        body: &body,
        owner: ACCOUNT,
    };
    let (status, value) = answer(&app, asked).await?;
    Ok(match status {
        StatusCode::NO_CONTENT => status.into_response(),
        _ => (status, Json(value)).into_response(),
    })
}
