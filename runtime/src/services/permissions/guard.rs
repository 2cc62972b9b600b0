//! Who may call an entry: the one question of every door.

use chrono::Utc;
use http::HeaderMap;
use pumice_host_api::data::DataStore;
use pumice_host_api::permissions::{PermissionError, Permissions, Who};
use pumice_host_api::{Caller, Role};

use crate::error::Error;
use crate::functions::App;
use crate::functions::manifest::Access;
use crate::services::auth::extract;

/// The caller of an entry with this `access` that needs the permission `require`, if it needs one.
///
/// # Errors
/// As [`extract::admit`] and [`permit`].
pub async fn admit(
    app: &App,
    access: Access,
    require: Option<&str>,
    headers: &HeaderMap,
) -> Result<Caller, Error> {
    let caller = extract::admit(&app.keys, access, headers)?;
    holds(&app.data, require, &caller).await?;
    Ok(caller)
}

/// Whether `caller` may call such an entry.
///
/// # Errors
/// As [`extract::permit`] and [`holds`].
pub async fn permit(
    store: &DataStore,
    access: Access,
    require: Option<&str>,
    caller: &Caller,
) -> Result<(), Error> {
    extract::permit(access, caller)?;
    holds(store, require, caller).await
}

/// Whether `caller` holds what is required; as `anon` by grants to its key or its user alone. Nobody holds a permission that is not registered any more.
///
/// # Errors
/// [`PermissionError::Anonymous`] without a user and without a key, [`PermissionError::Denied`], and
/// [`PermissionError::Data`].
pub async fn holds(store: &DataStore, require: Option<&str>, caller: &Caller) -> Result<(), Error> {
    let Some(permission) = require else {
        return Ok(());
    };
    let who = Who::of(caller);
    if caller.role == Role::Anon && who.key_id.is_none() {
        return Err(PermissionError::Anonymous(permission.to_owned()).into());
    }
    let permissions = Permissions::new(store.clone());
    let now = Utc::now();
    let mut held = permissions.check(&who, permission, None, now).await;
    if caller.role == Role::Anon && matches!(held, Ok(true)) {
        // What `anon` was granted is everybody's: it makes no key, which anybody may have, more than no key.
        let alone = Who { role: None, ..who };
        held = permissions.check(&alone, permission, None, now).await;
    }
    match held {
        Ok(true) => Ok(()),
        Ok(false) | Err(PermissionError::Unknown(_)) => {
            Err(PermissionError::Denied(permission.to_owned()).into())
        }
        Err(error) => Err(error.into()),
    }
}
