//! The caller of a request, from its headers.

use std::sync::{Arc, LazyLock};

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use pumice_host_api::{Caller, Role};

use super::keys::api::{Opaque, Scope};
use super::{AppKeys, AuthError};
use crate::clock;
use crate::functions::manifest::Access;

/// Who sends these headers: the bearer token if there is one, else the `apikey`. An opaque `apikey` has to be
/// good beside a token as well.
///
/// # Errors
/// [`AuthError::Missing`] without either, [`AuthError::Invalid`] if what is sent opens nothing.
pub fn caller(keys: &AppKeys, headers: &HeaderMap) -> Result<Caller, AuthError> {
    let now = now();
    match (bearer(headers), api_key(headers)) {
        (Some(token), Some(key)) if key != token && Opaque::of(key) != Opaque::Other => {
            keys.verify(key, now)?;
            keys.verify(token, now)
        }
        (Some(token), _) | (None, Some(token)) => keys.verify(token, now),
        (None, None) => Err(AuthError::Missing),
    }
}

/// Whether these headers may come to this part of an app at all, whoever sends them: asked once for each request,
/// before anything of it is looked at.
///
/// # Errors
/// [`AuthError::InBrowser`] for a secret key that a browser sends, [`AuthError::Scope`] for one outside its scopes.
pub fn gate(keys: &AppKeys, headers: &HeaderMap, scope: Scope) -> Result<(), AuthError> {
    for key in [api_key(headers), bearer(headers)].into_iter().flatten() {
        let opaque = Opaque::of(key);
        if opaque.is_secret() && from_browser(headers) {
            return Err(AuthError::InBrowser);
        }
        if opaque != Opaque::Other {
            keys.in_scope(key, scope)?;
        }
    }
    Ok(())
}

/// Whether a browser sends this. `Sec-Fetch-Mode` alone says nothing: `fetch` of Node.js sends it too.
fn from_browser(headers: &HeaderMap) -> bool {
    const ONLY_BROWSERS: [&str; 3] = ["origin", "sec-fetch-site", "sec-fetch-dest"];
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    ONLY_BROWSERS.iter().any(|name| headers.contains_key(*name))
        || agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}

fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("apikey")?.to_str().ok().map(str::trim)
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
    u64::try_from(clock::utc().timestamp()).unwrap_or_default()
}
