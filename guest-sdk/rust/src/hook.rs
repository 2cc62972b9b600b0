//! Hooks: the app's say in how its users sign up and in.

use serde_json::Value;

use crate::bindings::before_user_created::exports::pumice::platform0_2_0::before_user_created_handler as created;
use crate::bindings::custom_claims::exports::pumice::platform0_2_0::custom_claims_handler as claiming;
use crate::bindings::imports::pumice::platform::types as host;
use crate::bindings::send_message::exports::pumice::platform0_2_0::send_message_handler as sending;
use crate::{Rejection, Reply, reject, row};

/// Somebody who is about to become a user of the app.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The id that the user will have (a UUID).
    pub id: String,
    pub email: Option<String>,
    /// Digits, without `+`.
    pub phone: Option<String>,
    /// What users say of themselves: an object.
    pub user_metadata: Value,
    /// What the app says of the user: an object. Its `provider` and `providers` are the host's.
    pub app_metadata: Value,
    pub is_anonymous: bool,
    /// What they come with: `email`, `phone`, `anonymous`, or a provider such as `google`.
    pub provider: String,
    /// The address that the request came from.
    pub ip: Option<String>,
}

/// What becomes of a [`NewUser`]; a [`Rejection`] in its place refuses them.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The user is made as they are.
    Allow,
    /// The user is made, with this metadata: two objects.
    Replace {
        user_metadata: Value,
        app_metadata: Value,
    },
}

/// What a before-user-created hook may return: a [`Decision`], nothing at all, which allows the user, or a `Result`
/// of either with an error that is a [`Rejection`] or becomes one.
pub trait UserDecision {
    #[doc(hidden)]
    fn decide(self) -> Result<Decision, Rejection>;
}

impl UserDecision for Decision {
    fn decide(self) -> Result<Decision, Rejection> {
        Ok(self)
    }
}

impl UserDecision for () {
    fn decide(self) -> Result<Decision, Rejection> {
        Ok(Decision::Allow)
    }
}

impl<D: UserDecision, E: Into<Rejection>> UserDecision for Result<D, E> {
    fn decide(self) -> Result<Decision, Rejection> {
        self.map_err(Into::into)?.decide()
    }
}

/// An access token that is about to be made.
#[derive(Clone, Debug)]
pub struct ClaimsRequest {
    /// The user's id (a UUID).
    pub user_id: String,
    /// The claims that the token would have: an object.
    pub claims: Value,
    /// How the user has proved who they are: `password`, `otp`, `oauth`, `token_refresh` …
    pub authentication_method: String,
}

/// What a user is to be told.
#[derive(Clone)]
pub struct Message {
    pub channel: Channel,
    /// An address, or a phone number's digits without `+`.
    pub to: String,
    /// What it is about: `confirmation`, `invite`, `magic_link`, `recovery`, `email_change`, `phone_change`,
    /// `reauthentication`, `otp`, or what a later version adds.
    pub kind: String,
    /// The code that the user may type in.
    pub token: String,
    /// What a link of the app's own carries to `/auth/v1/verify` in place of the code.
    pub token_hash: Option<String>,
    /// The link that does it in one step.
    pub confirmation_url: Option<String>,
    /// The app's own address.
    pub site_url: String,
    /// Where the link leads in the end.
    pub redirect_to: Option<String>,
    /// The user as `/auth/v1/user` shows them: an object.
    pub user: Value,
    /// Of a change: the address or number that is to be theirs.
    pub new_address: Option<String>,
}

/// By what a [`Message`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Email,
    Sms,
}

/// What a send-message hook may return: nothing, or a `Result` with an error that is a [`Rejection`] or becomes one.
pub trait Sent {
    #[doc(hidden)]
    fn sent(self) -> Result<(), Rejection>;
}

impl Sent for () {
    fn sent(self) -> Result<(), Rejection> {
        Ok(())
    }
}

impl<E: Into<Rejection>> Sent for Result<(), E> {
    fn sent(self) -> Result<(), Rejection> {
        self.map_err(Into::into)
    }
}

/// Takes a new user to the author's hook and its decision back to the host.
pub fn check<D: UserDecision>(
    user: created::NewUser,
    function: impl FnOnce(NewUser) -> D,
) -> Result<created::UserDecision, host::Rejection> {
    crate::begin();
    let decision = (|| {
        let user = NewUser {
            user_metadata: read(&user.user_metadata)?,
            app_metadata: read(&user.app_metadata)?,
            id: user.id,
            email: user.email,
            phone: user.phone,
            is_anonymous: user.is_anonymous,
            provider: user.provider,
            ip: user.ip,
        };
        function(user).decide()
    })();
    match decision.map_err(Rejection::into_host)? {
        Decision::Allow => Ok(created::UserDecision::Allow),
        Decision::Replace {
            user_metadata,
            app_metadata,
        } => Ok(created::UserDecision::Replace(created::Metadata {
            user_metadata: user_metadata.to_string(),
            app_metadata: app_metadata.to_string(),
        })),
    }
}

/// Takes a request for claims to the author's hook and the claims back to the host.
pub fn claims<R: Reply>(
    request: claiming::ClaimsRequest,
    function: impl FnOnce(ClaimsRequest) -> R,
) -> Result<String, host::Rejection> {
    crate::begin();
    read(&request.claims)
        .and_then(|claims| {
            let request = ClaimsRequest {
                user_id: request.user_id,
                claims,
                authentication_method: request.authentication_method,
            };
            function(request).reply()
        })
        .map_err(Rejection::into_host)
}

/// Takes a message to the author's hook.
pub fn send<S: Sent>(
    message: sending::Message,
    function: impl FnOnce(Message) -> S,
) -> Result<(), host::Rejection> {
    crate::begin();
    read(&message.user)
        .and_then(|user| {
            let message = Message {
                channel: match message.channel {
                    sending::Channel::Email => Channel::Email,
                    sending::Channel::Sms => Channel::Sms,
                },
                to: message.to,
                kind: message.kind,
                token: message.token,
                token_hash: message.token_hash,
                confirmation_url: message.confirmation_url,
                site_url: message.site_url,
                redirect_to: message.redirect_to,
                user,
                new_address: message.new_address,
            };
            function(message).sent()
        })
        .map_err(Rejection::into_host)
}

/// JSON that the host has written.
fn read(text: &str) -> Result<Value, Rejection> {
    row::read(text).map_err(|why| reject("invalid_json", why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new_user(email: &str) -> created::NewUser {
        created::NewUser {
            id: "1".into(),
            email: Some(email.into()),
            phone: None,
            user_metadata: r#"{"name":"Ada"}"#.into(),
            app_metadata: r#"{"provider":"email"}"#.into(),
            is_anonymous: false,
            provider: "email".into(),
            ip: None,
        }
    }

    fn decide(user: NewUser) -> Result<Decision, Rejection> {
        match user.email.as_deref() {
            Some("no") => Err(reject("no", "not you")),
            Some("as-is") => Ok(Decision::Allow),
            _ => {
                let mut app_metadata = user.app_metadata;
                app_metadata["plan"] = "free".into();
                Ok(Decision::Replace {
                    user_metadata: user.user_metadata,
                    app_metadata,
                })
            }
        }
    }

    #[test]
    fn a_user_is_refused_allowed_or_changed() {
        let refused = check(new_user("no"), decide).unwrap_err();
        assert_eq!((&*refused.code, &*refused.message), ("no", "not you"));
        let allowed = check(new_user("as-is"), decide);
        assert!(matches!(allowed, Ok(created::UserDecision::Allow)));
        let allowed = check(new_user("x"), |_| ());
        assert!(matches!(allowed, Ok(created::UserDecision::Allow)));
        let Ok(created::UserDecision::Replace(metadata)) = check(new_user("x"), decide) else {
            panic!("it is another decision");
        };
        assert_eq!(metadata.user_metadata, r#"{"name":"Ada"}"#);
        assert_eq!(
            metadata.app_metadata,
            r#"{"plan":"free","provider":"email"}"#
        );
    }

    #[test]
    fn claims_are_what_the_hook_returns() {
        let request = || claiming::ClaimsRequest {
            user_id: "1".into(),
            claims: r#"{"sub":"1"}"#.into(),
            authentication_method: "password".into(),
        };
        let told = claims(request(), |request| -> Result<Value, Rejection> {
            Ok(json!({ "was": request.claims, "by": request.authentication_method }))
        });
        assert_eq!(
            told.ok().as_deref(),
            Some(r#"{"by":"password","was":{"sub":"1"}}"#)
        );
        let refused = claims(request(), |_| Err::<(), _>(reject("late", "too late")));
        assert_eq!(refused.unwrap_err().code, "late");
    }

    #[test]
    fn a_message_is_sent_or_not() {
        let message = || sending::Message {
            channel: sending::Channel::Sms,
            to: "4670".into(),
            kind: "otp".into(),
            token: "123456".into(),
            token_hash: None,
            confirmation_url: None,
            site_url: "https://shop.example".into(),
            redirect_to: None,
            user: r#"{"id":"1"}"#.into(),
            new_address: None,
        };
        let seen = |message: Message| {
            assert_eq!((message.channel, &*message.token), (Channel::Sms, "123456"));
            assert_eq!(message.user["id"], "1");
        };
        assert!(send(message(), seen).is_ok());
        let refused = send(message(), |_| Err(reject("no_such_number", "nobody there")));
        assert_eq!(refused.unwrap_err().code, "no_such_number");
    }
}
