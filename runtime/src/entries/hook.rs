//! Hooks: the app's say in how its users sign up and in.
//!
//! `/auth/v1` asks before it opens a transaction, so that a slow guest holds no lock.

use std::sync::Arc;

use pumice_host_api::{Caller, InvocationId, Kind, Role, Standing};
use serde_json::{Map, Value};

use crate::functions::components::Components;
use crate::functions::{App, Deployed};
use crate::invoke::Invoker;
use crate::invoke::call::{Answer, Call, NewMetadata};
use crate::limits;
use crate::outcome::InvokeError;
use crate::request_id::RequestId;
use crate::services::auth::fault::Fault;

pub use crate::invoke::call::{Channel, ClaimsRequest, NewUser, OutgoingMessage};

/// What this entry works with.
#[derive(Clone)]
pub struct Hooks {
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
}

/// What a hook has made of a new user's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    pub user: Map<String, Value>,
    /// With the `provider` and `providers` that the user came with.
    pub app: Map<String, Value>,
}

/// Why a hook stands in the way.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HookFault {
    /// The app's refusal. `code` can be a header's value.
    #[error("{message}")]
    Rejected { code: String, message: String },
    /// By the limit's name.
    #[error("the hook was stopped at its {0} limit")]
    Limit(&'static str),
    /// It broke, or answered what cannot be used; why stands in the app's log.
    #[error("the hook failed")]
    Failed,
    #[error("too many invocations are waiting")]
    Overloaded,
}

impl From<HookFault> for Fault {
    fn from(fault: HookFault) -> Fault {
        match fault {
            HookFault::Rejected { code, message } => {
                Fault::new(http::StatusCode::BAD_REQUEST, code, message)
            }
            HookFault::Limit(_) => Fault::hook_timeout(),
            HookFault::Failed => Fault::hook_failed(),
            HookFault::Overloaded => Fault::overloaded(),
        }
    }
}

impl HookFault {
    /// What a refresh is answered. Clients end their session at any 4xx, which the app may want and its
    /// broken hook may not: that is a 503, after which they try again.
    pub fn at_refresh(self) -> Fault {
        match self {
            HookFault::Rejected { .. } => self.into(),
            HookFault::Limit(_) | HookFault::Failed | HookFault::Overloaded => Fault::overloaded(),
        }
    }
}

impl Hooks {
    /// Asks whether `user` may be made, and with what metadata: `None` is the user's own, also where the
    /// app has no such hook.
    ///
    /// # Errors
    /// Every [`HookFault`]: the user is not to be made.
    pub async fn before_user_created(
        &self,
        app: &Arc<App>,
        user: &NewUser,
    ) -> Result<Option<Metadata>, HookFault> {
        let Some(asked) = self.asked(app, Kind::BeforeUserCreated) else {
            return Ok(None);
        };
        match asked.answer(nobody(), Call::new_user(user)).await? {
            Answer::Allowed(None) => Ok(None),
            Answer::Allowed(Some(metadata)) => {
                let metadata = replaced(user, metadata);
                metadata.map(Some).map_err(|why| asked.failed(&why))
            }
            _ => Err(asked.failed("it gave no decision")),
        }
    }

    /// Asks for the claims of an access token; `None` where the app has no such hook. What is returned
    /// has the reserved claims of `request`, whatever the guest said of them.
    ///
    /// # Errors
    /// Every [`HookFault`]: no token is to be signed.
    pub async fn custom_claims(
        &self,
        app: &Arc<App>,
        request: ClaimsRequest,
    ) -> Result<Option<Map<String, Value>>, HookFault> {
        let Some(asked) = self.asked(app, Kind::CustomClaims) else {
            return Ok(None);
        };
        let claims = Value::Object(request.claims);
        let text = claims.to_string();
        let bytes_max = limits::HOOK_CLAIMS_BYTES_MAX.max(text.len());
        // It reads what the user may read.
        let caller = Caller {
            role: Role::from(claims["role"].as_str().unwrap_or_default()),
            user_id: Some(request.user_id),
            claims: text.as_str().into(),
        };
        let call = Call::claims(request.user_id, text, request.method);
        match asked.answer(caller, call).await? {
            Answer::Returned(json) => {
                let chosen = chosen(&claims, &json, bytes_max);
                chosen.map(Some).map_err(|why| asked.failed(&why))
            }
            _ => Err(asked.failed("it gave no claims")),
        }
    }

    /// Has the app send `message`; false where it has no such hook, and the host is to send it.
    ///
    /// # Errors
    /// Every [`HookFault`]: as far as is known it was not sent.
    pub async fn send_message(
        &self,
        app: &Arc<App>,
        message: OutgoingMessage,
    ) -> Result<bool, HookFault> {
        let Some(asked) = self.asked(app, Kind::SendMessage) else {
            return Ok(false);
        };
        match asked.answer(nobody(), Call::message(message)).await? {
            Answer::Ended(Ok(())) => Ok(true),
            _ => Err(asked.failed("it gave no answer")),
        }
    }

    fn asked(&self, app: &App, kind: Kind) -> Option<Asked<'_>> {
        let revision = app.revision.load();
        let hook = revision.as_ref()?.hook(kind)?.clone();
        Some(Asked {
            hook,
            hooks: self,
            request_id: RequestId::next(),
        })
    }
}

/// A hook as it is asked once.
struct Asked<'h> {
    hook: Arc<Deployed>,
    hooks: &'h Hooks,
    request_id: RequestId,
}

impl Asked<'_> {
    /// What the guest says, its refusal apart.
    async fn answer(&self, caller: Caller, call: Call) -> Result<Answer, HookFault> {
        let Hooks {
            invoker,
            components,
        } = self.hooks;
        let target = self.hook.target(components).await.map_err(|error| {
            let error = InvokeError::Boot(error.to_string());
            fault(&invoker.refused(self.hook.entry(), self.request_id, error))
        })?;
        let standing = Standing::request(caller, InvocationId(self.request_id.uuid()));
        let answer = invoker.call(target, standing, self.request_id, call).await;
        match answer.map_err(|error| fault(&error))? {
            Answer::Refused { code, message } => Err(rejected(code, &message)),
            answer => Ok(answer),
        }
    }

    /// Says to the app's authors why an answer is of no use.
    fn failed(&self, why: &str) -> HookFault {
        let entry = self.hook.entry();
        let message = format!("{} `{}`: {why}", entry.kind, self.hook.name);
        self.hooks.invoker.note(entry, self.request_id, &message);
        HookFault::Failed
    }
}

/// Whoever has no account yet, or has not said who they are.
fn nobody() -> Caller {
    Caller {
        role: Role::Anon,
        user_id: None,
        claims: "{}".into(),
    }
}

fn fault(error: &InvokeError) -> HookFault {
    match error {
        InvokeError::Overloaded => HookFault::Overloaded,
        InvokeError::Limit(limit) => HookFault::Limit(limit.name()),
        _ => HookFault::Failed,
    }
}

/// A refusal as it may be told: the code becomes a header, and both are bounded.
fn rejected(code: String, message: &str) -> HookFault {
    let is_word = (1..=limits::HOOK_CODE_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_graphic());
    let end = message.floor_char_boundary(limits::HOOK_MESSAGE_BYTES_MAX);
    HookFault::Rejected {
        code: if is_word { code } else { REFUSED.to_owned() },
        message: message[..end].to_owned(),
    }
}

/// The code of a refusal whose own is none.
const REFUSED: &str = "hook_rejected";

/// The metadata that a hook has chosen for `user`.
fn replaced(user: &NewUser, chosen: NewMetadata) -> Result<Metadata, String> {
    let bytes = chosen.user.len() + chosen.app.len();
    if bytes > limits::AUTH_BODY_BYTES_MAX {
        return Err(format!(
            "the metadata has {bytes} bytes; {} are the most",
            limits::AUTH_BODY_BYTES_MAX
        ));
    }
    let read = |what: &str, text: &str| {
        serde_json::from_str(text).map_err(|error| format!("{what} is no JSON object: {error}"))
    };
    let mut app: Map<String, Value> = read("app-metadata", &chosen.app)?;
    keep(&mut app, &user.app_metadata, &["provider", "providers"]);
    Ok(Metadata {
        user: read("user-metadata", &chosen.user)?,
        app,
    })
}

/// Claims that say what the host has seen, and no app can know better.
const RESERVED: [&str; 9] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "session_id",
    "aal",
    "amr",
    "is_anonymous",
];

/// The claims that a hook has chosen in place of `before`.
fn chosen(before: &Value, answer: &str, bytes_max: usize) -> Result<Map<String, Value>, String> {
    let nothing = Map::new();
    let before = before.as_object().unwrap_or(&nothing);
    let mut claims: Map<String, Value> = serde_json::from_str(answer)
        .map_err(|error| format!("the claims are no JSON object: {error}"))?;
    keep(&mut claims, before, &RESERVED);
    // A role decides what a token opens: a hook gives nobody the service's, or one of the app's own.
    match claims.get("role") {
        None => keep(&mut claims, before, &["role"]),
        role if role == before.get("role") => {}
        Some(Value::String(role)) if role == "authenticated" || role == "anon" => {}
        Some(_) => {
            return Err(
                "the claim role may stay as it is, or become \"authenticated\" or \"anon\""
                    .to_owned(),
            );
        }
    }
    let bytes = serde_json::to_string(&claims).map_or(usize::MAX, |text| text.len());
    if bytes > bytes_max {
        return Err(format!(
            "the claims have {bytes} bytes; {bytes_max} are the most"
        ));
    }
    Ok(claims)
}

/// Makes `fields` as they are in `before`, those that are missing there included.
fn keep(object: &mut Map<String, Value>, before: &Map<String, Value>, fields: &[&str]) {
    for &field in fields {
        match before.get(field) {
            Some(value) => drop(object.insert(field.to_owned(), value.clone())),
            None => drop(object.remove(field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Value {
        json!({
            "iss": "https://shop.example/auth/v1", "sub": "u", "aud": "authenticated", "exp": 2, "iat": 1,
            "session_id": "s", "aal": "aal1", "amr": [], "is_anonymous": false,
            "role": "authenticated", "email": "ada@example.com",
        })
    }

    #[test]
    fn reserved_claims_are_the_hosts() {
        for name in RESERVED {
            let mut forged = claims();
            forged[name] = "forged".into();
            let chosen = chosen(&claims(), &forged.to_string(), 1000);
            assert_eq!(Value::from(chosen.unwrap()), claims(), "{name}");
        }
        // One that the token had not is not invented.
        let mut bare = claims();
        bare.as_object_mut().unwrap().remove("is_anonymous");
        let added = chosen(&bare, &claims().to_string(), 1000);
        assert_eq!(Value::from(added.unwrap()), bare);
        // Others come and go as the app likes.
        let own = chosen(&claims(), r#"{"plan":"free","email":null}"#, 1000).unwrap();
        assert_eq!(
            (&own["plan"], &own["email"]),
            (&json!("free"), &json!(null))
        );
        assert_eq!(
            (&own["sub"], &own["role"]),
            (&json!("u"), &json!("authenticated"))
        );
    }

    #[test]
    fn a_role_stays_or_becomes_one_of_two() {
        let check = |before: &str, after: Value, fits: bool| {
            let mut old = claims();
            old["role"] = before.into();
            let mut new = claims();
            new["role"] = after.clone();
            let chosen = chosen(&old, &new.to_string(), 1000);
            assert_eq!(chosen.is_ok(), fits, "{before} to {after}");
            if let Ok(chosen) = chosen {
                assert_eq!(chosen["role"], after);
            }
        };
        check("authenticated", "authenticated".into(), true);
        check("authenticated", "anon".into(), true);
        check("teacher", "teacher".into(), true);
        check("teacher", "authenticated".into(), true);
        check("authenticated", "service_role".into(), false);
        check("authenticated", "teacher".into(), false);
        check("authenticated", "".into(), false);
        check("authenticated", json!(["anon"]), false);
        check("authenticated", Value::Null, false);
    }

    #[test]
    fn claims_are_bounded_and_an_object() {
        let plain = claims().to_string();
        assert!(chosen(&claims(), &plain, plain.len()).is_ok());
        let over = chosen(&claims(), &plain, plain.len() - 1).unwrap_err();
        assert!(over.contains("are the most"), "{over}");
        for odd in ["", "[]", "null", "\"x\"", "{\"a\":1"] {
            assert!(chosen(&claims(), odd, 1000).is_err(), "{odd}");
        }
    }

    #[test]
    fn metadata_is_bounded_and_keeps_the_provider() {
        let user = NewUser {
            id: uuid::Uuid::nil(),
            email: None,
            phone: None,
            user_metadata: Map::new(),
            app_metadata: Map::from_iter([("provider".to_owned(), "email".into())]),
            is_anonymous: false,
            provider: "email".to_owned(),
            ip: None,
        };
        let replaced = |own: &str, app: &str| {
            let (own, app) = (own.to_owned(), app.to_owned());
            replaced(&user, NewMetadata { user: own, app })
        };
        let made = replaced(
            r#"{"n":1}"#,
            r#"{"plan":"free","provider":"google","providers":[]}"#,
        );
        let made = made.unwrap();
        assert_eq!(Value::from(made.user), json!({ "n": 1 }));
        assert_eq!(
            Value::from(made.app),
            json!({ "plan": "free", "provider": "email" })
        );
        assert!(replaced("[]", "{}").is_err() && replaced("{}", "").is_err());
        let text = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        let most = limits::AUTH_BODY_BYTES_MAX - 2;
        assert!(replaced(&text(most), "{}").is_ok());
        assert!(replaced(&text(most + 1), "{}").is_err());
    }

    #[test]
    fn a_refusal_is_made_fit_to_be_told() {
        let told = |code: &str, message: &str| match rejected(code.to_owned(), message) {
            HookFault::Rejected { code, message } => (code, message),
            other => panic!("{other}"),
        };
        let most = "c".repeat(limits::HOOK_CODE_BYTES_MAX);
        assert_eq!(told(&most, "m").0, most);
        for odd in ["", "two words", "é", "a\r\nb", &format!("{most}c")] {
            assert_eq!(told(odd, "m").0, REFUSED, "{odd:?}");
        }
        let long = "é".repeat(limits::HOOK_MESSAGE_BYTES_MAX);
        let kept = told("c", &long).1;
        assert_eq!(kept.len(), limits::HOOK_MESSAGE_BYTES_MAX);
        assert!(told("c", &format!("x{kept}")).1.len() < limits::HOOK_MESSAGE_BYTES_MAX);
    }

    #[test]
    fn a_broken_hook_ends_no_session() {
        for fault in [
            HookFault::Limit("wall"),
            HookFault::Failed,
            HookFault::Overloaded,
        ] {
            assert!(fault.at_refresh().status.is_server_error());
        }
        let refused = rejected("banned".to_owned(), "no").at_refresh();
        assert_eq!((refused.status.as_u16(), &*refused.code), (400, "banned"));
        for fault in [HookFault::Limit("wall"), HookFault::Failed] {
            assert_eq!(Fault::from(fault).status.as_u16(), 422);
        }
    }
}
