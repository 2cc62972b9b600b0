//! The caller of a request, from its headers.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use pumice_host_api::{Caller, Role};

use super::{AppKeys, AuthError};
use crate::functions::manifest::Access;

/// Who sends these headers: the bearer token if there is one, else the `apikey`.
///
/// # Errors
/// [`AuthError::Missing`] without either, [`AuthError::Invalid`] if what is sent opens nothing.
pub fn caller(keys: &AppKeys, headers: &HeaderMap) -> Result<Caller, AuthError> {
    let token =
        bearer(headers).or_else(|| headers.get("apikey").and_then(|value| value.to_str().ok()));
    keys.verify(token.ok_or(AuthError::Missing)?, now())
}

/// The caller of an entry with this `access`.
///
/// # Errors
/// As [`caller`], and [`AuthError::Denied`] when the key is valid and not enough.
pub fn admit(keys: &AppKeys, access: Access, headers: &HeaderMap) -> Result<Caller, AuthError> {
    let caller = match (access, caller(keys, headers)) {
        // A public function still learns who calls when the key is good; a bad one is no obstacle.
        (Access::Public, found) => return Ok(found.unwrap_or_else(|_| anonymous())),
        (_, found) => found?,
    };
    permit(access, &caller)?;
    Ok(caller)
}

/// Whether `caller` may call an entry with this `access`.
///
/// # Errors
/// [`AuthError::Denied`] with what would be enough.
pub fn permit(access: Access, caller: &Caller) -> Result<(), AuthError> {
    match (access, &caller.role) {
        (Access::Service, role) if *role != Role::ServiceRole => {
            Err(AuthError::Denied("the service_role key"))
        }
        (Access::Authenticated, Role::Anon) => Err(AuthError::Denied("a signed-in user")),
        _ => Ok(()),
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A caller without a key.
pub fn anonymous() -> Caller {
    static NO_CLAIMS: LazyLock<Arc<str>> = LazyLock::new(|| "{}".into());
    Caller {
        role: Role::Anon,
        user_id: None,
        claims: NO_CLAIMS.clone(),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
