//! `/auth/v1`: an app's users sign up, in and out.
//!
//! Wire format: the dialect's (`supabase/auth`, `openapi.yaml`). A request is taken apart in `asked.rs`,
//! answered by one function of a file below, and what that says becomes a response in `answer.rs`. What is
//! read and written together is a `Flow`; passwords are hashed, hooks asked and mails handed over outside
//! of it.
//!
//! Nobody learns from an answer whether an address has an account: its body, its status and the work that
//! was done before it are the same (`sign_up.rs`, `otp.rs`, `token.rs`).

mod account;
mod admin;
mod answer;
mod asked;
mod audit;
mod codes;
mod delivery;
mod factors;
mod links;
mod logout;
mod otp;
mod pkce;
mod providers;
mod refresh;
mod session;
mod shown;
mod sign_up;
mod tidy;
mod token;
mod user;
mod verify;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;

use self::answer::Answer;
pub use self::asked::{Asked, fuzz};
pub use self::tidy::Tidied;
use super::AuthError;
use super::fault::Fault;
use super::oauth::presets;
use super::passwords::{Leaked, Passwords};
use crate::body::Body;
use crate::entries::hook::Hooks;
use crate::entries::http::AppRequest;
use crate::functions::ServerFacts;
use crate::keyring::Keyring;
use crate::limits;
use crate::request_id::RequestId;
use crate::services::mail::Mailer;
use crate::services::rates::{Rates, TooMany};

pub use self::session::{How, open_in};

/// Where the routes are.
pub const AUTH: &str = "/auth/v1";

/// What the routes work with.
pub struct AuthApi {
    pub passwords: Passwords,
    pub leaked: Leaked,
    pub mailer: Mailer,
    pub rates: Arc<Rates>,
    pub hooks: Hooks,
    pub server: ServerFacts,
    pub keyring: Arc<Keyring>,
    pub tidied: Tidied,
}

pub type Outcome = Result<Answer, Fault>;

impl AuthApi {
    /// Answers a request below [`AUTH`], errors included.
    pub async fn answer(self: &Arc<Self>, incoming: AppRequest) -> Response<Body> {
        if *incoming.request.method() == Method::OPTIONS {
            return answer::preflight(incoming.request.headers());
        }
        let request_id = incoming.request_id;
        let versioned = asked::is_versioned(incoming.request.headers());
        let asked = match Asked::read(self.clone(), incoming).await {
            Ok(asked) => Arc::new(asked),
            Err(fault) => return answer::fault(&fault, versioned, request_id),
        };
        // To its end, whoever still waits for it: what was written is also told and sent.
        let routed = tokio::spawn({
            let asked = asked.clone();
            async move { route(&asked).await }
        });
        let outcome = routed
            .await
            .unwrap_or_else(|error| Err(Fault::unexpected(error)));
        let mut response = match outcome {
            Ok(answer) => answer.into_response(),
            Err(fault) => answer::fault(&fault, versioned, request_id),
        };
        asked.add_limits(response.headers_mut());
        response
    }

    /// Answers a request of somebody who asks too much.
    pub fn too_many(
        &self,
        refusal: &TooMany,
        headers: &HeaderMap,
        request_id: RequestId,
    ) -> Response<Body> {
        let fault = Fault {
            rate: Some(Box::new(refusal.decision)),
            ..Fault::too_many(
                "over_request_rate_limit",
                refusal.to_string(),
                refusal.decision.retry_seconds(),
            )
        };
        answer::fault(&fault, asked::is_versioned(headers), request_id)
    }

    /// Answers a request whose key opens nothing here.
    pub fn refused(
        &self,
        error: &AuthError,
        headers: &HeaderMap,
        request_id: RequestId,
    ) -> Response<Body> {
        let fault = match error {
            AuthError::Denied(_) => Fault::not_admin(),
            AuthError::Missing => Fault::no_authorization(),
            AuthError::InBrowser => Fault::secret_in_browser(),
            AuthError::Scope(_) => {
                Fault::new(StatusCode::FORBIDDEN, "not_admin", error.to_string())
            }
            other => Fault::new(StatusCode::UNAUTHORIZED, "bad_jwt", other.to_string()),
        };
        answer::fault(&fault, asked::is_versioned(headers), request_id)
    }
}

async fn route(asked: &Arc<Asked>) -> Outcome {
    let path: Vec<&str> = asked
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let (get, post) = (&Method::GET, &Method::POST);
    let (put, delete) = (&Method::PUT, &Method::DELETE);
    let method = &asked.method;
    if let ["admin" | "invite", ..] = path[..] {
        asked.admin()?;
    }
    match path[..] {
        ["health"] if method == get => Ok(health()),
        ["settings"] if method == get => Ok(settings(asked)),
        [".well-known", "jwks.json"] if method == get => Ok(jwks(asked)),
        [".well-known", "openid-configuration"] if method == get => Ok(discovery(asked)),
        ["signup"] if method == post => sign_up::sign_up(asked).await,
        ["token"] if method == post => token::token(asked).await,
        ["otp"] | ["magiclink"] if method == post => otp::otp(asked).await,
        ["recover"] if method == post => otp::recover(asked).await,
        ["resend"] if method == post => otp::resend(asked).await,
        ["verify"] if method == post => verify::by_post(asked).await,
        ["verify"] if method == get => verify::by_link(asked).await,
        ["user"] if method == get => user::get(asked).await,
        ["user"] if method == put => user::put(asked).await,
        ["reauthenticate"] if method == get => user::reauthenticate(asked).await,
        ["logout"] if method == post => logout::logout(asked).await,
        ["factors"] if method == post => factors::enroll(asked).await,
        ["factors", "recovery_codes"] if method == post => factors::recovery_codes(asked).await,
        ["factors", id, "challenge"] if method == post => factors::challenge(asked, id).await,
        ["factors", id, "verify"] if method == post => factors::verify(asked, id).await,
        ["factors", id] if method == delete => factors::unenroll(asked, id).await,
        ["user", "oauth", ..] => Err(Fault::feature_disabled()),
        ["sso", ..] => Err(Fault::saml_disabled()),
        ["passkeys", ..] => Err(Fault::passkey_disabled()),
        ["oauth", ..] => Err(Fault::feature_disabled()),
        ["invite"] if method == post => links::invite(asked).await,
        ["admin", "generate_link"] if method == post => links::generate(asked).await,
        ["admin", "audit"] if method == get => admin::audit(asked).await,
        ["admin", "users"] if method == get => admin::list(asked).await,
        ["admin", "users"] if method == post => admin::create(asked).await,
        ["admin", "users", id] if method == get => admin::get(asked, id).await,
        ["admin", "users", id] if method == put => admin::update(asked, id).await,
        ["admin", "users", id] if method == delete => admin::delete(asked, id).await,
        ["admin", "users", id, "factors"] if method == get => admin::factors(asked, id).await,
        ["admin", "users", id, "factors", factor] if method == delete => {
            admin::delete_factor(asked, id, factor).await
        }
        ["authorize"] | ["callback"] | ["user", "identities", ..] => {
            providers::route(asked, &path).await
        }
        _ => Err(Fault::not_found()),
    }
}

fn health() -> Answer {
    Answer::json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": "GoTrue",
        "description": "GoTrue is a user registration and authentication API",
    }))
}

fn settings(asked: &Asked) -> Answer {
    let settings = &asked.settings;
    let mut external = serde_json::Map::new();
    for name in presets::names() {
        let enabled = settings.providers.contains_key(name);
        external.insert(name.to_owned(), enabled.into());
    }
    external.insert("anonymous_users".to_owned(), settings.anonymous.into());
    external.insert("email".to_owned(), settings.email.into());
    external.insert("phone".to_owned(), settings.phone.into());
    Answer::json(json!({
        "external": external,
        "disable_signup": !settings.signup,
        "mailer_autoconfirm": settings.autoconfirm,
        "phone_autoconfirm": settings.phone_autoconfirm,
        "sms_provider": "",
        "saml_enabled": false,
        "passkeys_enabled": false,
    }))
}

fn jwks(asked: &Asked) -> Answer {
    let age = format!("public, max-age={}", limits::JWKS_AGE.as_secs());
    Answer::json(asked.app.keys.jwks()).header("cache-control", &age)
}

/// What a verifier of tokens needs of OpenID Connect Discovery 1.0.
fn discovery(asked: &Asked) -> Answer {
    let base = asked.base();
    Answer::json(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/user"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256", "plain"],
    }))
}
