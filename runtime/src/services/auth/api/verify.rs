//! `/verify`: a code that was typed in, or a link that was followed.

use std::sync::Arc;

use http::StatusCode;
use pumice_host_api::auth::{Engine, Flow, OneTimeToken, Session, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Value, json};

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::Asked;
use super::session::{self, How};
use super::{Outcome, asked as parse, audit, codes};
use crate::limits;
use crate::services::auth::fault::Fault;
use crate::services::auth::oauth::redirect;
use crate::services::auth::oauth::unproven::proved;
use crate::services::rates::auth as rates;

const HALF: &str =
    "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// `POST /verify`.
pub async fn by_post(asked: &Arc<Asked>) -> Outcome {
    asked.limit(&rates::VERIFY).await?;
    let kind = asked
        .text("type")?
        .ok_or_else(|| Fault::invalid("Verify requires a verification type"))?;
    let link_type = LinkType::of(kind)?;
    let (proof, link) = match (asked.text("token_hash")?, asked.text("token")?) {
        (Some(hash), None) => (Proof::Link(hash.to_owned()), true),
        (None, Some(code)) => {
            let address = match (asked.text("email")?, asked.text("phone")?) {
                (Some(email), None) => Address::Email(parse::email(email)?),
                (None, Some(phone)) => Address::Phone(parse::phone(phone)?),
                _ => {
                    return Err(Fault::invalid(
                        "Only an email address or phone number should be provided on verify",
                    ));
                }
            };
            asked.limit_address(address.text()).await?;
            (
                Proof::Code {
                    address,
                    code: code.to_owned(),
                },
                false,
            )
        }
        _ => return Err(Fault::invalid("Verify requires a token or a token hash")),
    };
    match verify(asked, link_type, proof, false).await? {
        Verified::Session(user, session) => session::answer(asked, &user, &session).await,
        Verified::Half => Ok(Answer::json(json!({ "msg": HALF, "code": "200" }))),
        Verified::Code(_) => Err(Fault::unexpected("a code where a session was asked for")),
    }
    .map_err(|fault: Fault| match link && fault.code == "otp_expired" {
        true => Fault::link_expired(),
        false => fault,
    })
}

/// `GET /verify`: answers a browser, always with a redirect.
pub async fn by_link(asked: &Arc<Asked>) -> Outcome {
    let target = asked.redirect_to();
    let token = asked
        .param("token")
        .or_else(|| asked.param("token_hash"))
        .unwrap_or_default();
    let pkce = token.starts_with(codes::PKCE_PREFIX);
    let kind = asked.param("type").unwrap_or_default();
    let outcome = async {
        asked.limit(&rates::VERIFY).await?;
        let link_type = LinkType::of(kind)?;
        let verified = verify(asked, link_type, Proof::Link(token.to_owned()), true).await;
        let verified = verified.map_err(|fault| match &*fault.code {
            "otp_expired" => Fault::link_expired(),
            _ => fault,
        })?;
        Ok(match verified {
            Verified::Half => redirect::with_fragment(&target, &[("message", HALF), ("sb", "")]),
            Verified::Code(code) => redirect::with_query(&target, &[("code", &code)]),
            Verified::Session(user, session) => {
                let shown = session::shown(asked, &user, &session).await?;
                session_fragment(&target, &shown, kind)
            }
        })
    };
    let url = match outcome.await {
        Ok(url) => url,
        Err(fault) => failed(&target, pkce, &fault),
    };
    Answer::redirect(StatusCode::SEE_OTHER, &url)
}

/// `target` with a session in its fragment, where no server sees it.
pub fn session_fragment(target: &str, shown: &Value, kind: &str) -> String {
    let text = |name: &str| match &shown[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (token, at, life, refresh) = (
        text("access_token"),
        text("expires_at"),
        text("expires_in"),
        text("refresh_token"),
    );
    let mut pairs = vec![
        ("access_token", token.as_str()),
        ("expires_at", &at),
        ("expires_in", &life),
        ("refresh_token", &refresh),
        ("sb", ""),
        ("token_type", "bearer"),
    ];
    if !kind.is_empty() {
        pairs.push(("type", kind));
    }
    redirect::with_fragment(target, &pairs)
}

/// `target` with what went wrong: in the fragment, and for PKCE in the query too.
pub fn failed(target: &str, pkce: bool, fault: &Fault) -> String {
    let error = match fault.status.as_u16() {
        500.. => "server_error",
        _ => "access_denied",
    };
    if let Some(cause) = &fault.cause {
        tracing::error!(error = %fault, cause, "a link could not be followed");
    }
    let pairs = [
        ("error", error),
        ("error_code", &*fault.code),
        ("error_description", fault.message.as_str()),
    ];
    let target = match pkce {
        true => redirect::with_query(target, &pairs),
        false => target.to_owned(),
    };
    let mut pairs = pairs.to_vec();
    pairs.push(("sb", ""));
    redirect::with_fragment(&target, &pairs)
}

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkType {
    SignUp,
    Invite,
    MagicLink,
    Recovery,
    EmailChange,
    /// A code of a mail, whatever for.
    Email,
    Sms,
    PhoneChange,
}

impl LinkType {
    fn of(text: &str) -> Result<LinkType, Fault> {
        Ok(match text {
            "signup" => LinkType::SignUp,
            "invite" => LinkType::Invite,
            "magiclink" => LinkType::MagicLink,
            "recovery" => LinkType::Recovery,
            "email_change" => LinkType::EmailChange,
            "email" => LinkType::Email,
            "sms" => LinkType::Sms,
            "phone_change" => LinkType::PhoneChange,
            _ => return Err(Fault::invalid("Unsupported verification type")),
        })
    }

    fn kinds(self) -> &'static [TokenKind] {
        match self {
            LinkType::SignUp | LinkType::Invite => &[TokenKind::Confirmation],
            // A magic link of somebody who had not confirmed yet is a confirmation.
            LinkType::MagicLink | LinkType::Email | LinkType::Sms => {
                &[TokenKind::Recovery, TokenKind::Confirmation]
            }
            LinkType::Recovery => &[TokenKind::Recovery],
            LinkType::EmailChange => &[TokenKind::EmailChangeNew, TokenKind::EmailChangeCurrent],
            LinkType::PhoneChange => &[TokenKind::PhoneChange],
        }
    }

    fn method(self) -> &'static str {
        match self {
            LinkType::SignUp => "email/signup",
            LinkType::Invite => "invite",
            LinkType::MagicLink => "magiclink",
            LinkType::Recovery => "recovery",
            LinkType::EmailChange => "email_change",
            LinkType::Email | LinkType::Sms | LinkType::PhoneChange => "otp",
        }
    }
}

enum Proof {
    Link(String),
    Code { address: Address, code: String },
}

enum Verified {
    Session(Box<User>, Box<Session>),
    /// A code for the client that waits with its verifier.
    Code(String),
    /// One of two addresses has agreed.
    Half,
}

async fn verify(
    asked: &Arc<Asked>,
    link_type: LinkType,
    proof: Proof,
    by_link: bool,
) -> Result<Verified, Fault> {
    let key = asked.api.keyring.codes();
    let (links, address) = match proof {
        Proof::Link(link) => (vec![link], None),
        Proof::Code { address, code } => {
            let of = |pkce| codes::link_of(key, asked.app.id, address.text(), &code, pkce);
            (vec![of(false), of(true)], Some(address))
        }
    };
    asked
        .run(Verify {
            asked: asked.clone(),
            link_type,
            kept: links.iter().map(|link| codes::kept(link)).collect(),
            address,
            by_link,
            code: uuid::Uuid::new_v4().to_string(),
        })
        .await?
}

struct Verify {
    asked: Arc<Asked>,
    link_type: LinkType,
    /// What the database may have of it.
    kept: Vec<String>,
    /// Of a code that was typed in.
    address: Option<Address>,
    by_link: bool,
    /// What the waiting client gets.
    code: String,
}

impl Flow for Verify {
    type Answer = Result<Verified, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let now = self.asked.now;
        let Some(token) = self.token(tx).await? else {
            return Ok(Err(Fault::otp_expired()));
        };
        tx.delete_token(token.id).await?;
        if token.created_at + self.asked.settings.code_life <= now {
            return Ok(Err(Fault::otp_expired()));
        }
        let Some(mut user) = tx.lock_user(token.user_id).await? else {
            return Ok(Err(Fault::otp_expired()));
        };
        if session::is_banned(&user, now) {
            let banned = Fault::user_banned();
            return Ok(Err(Fault::new(
                StatusCode::FORBIDDEN,
                banned.code,
                banned.message,
            )));
        }
        match self.apply(tx, &token, &mut user).await? {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(Verified::Half)),
            Err(fault) => return Ok(Err(fault)),
        }
        if let (true, Some(flow)) = (self.by_link, token.flow_id)
            && let Some(mut flow) = tx.flow(flow).await?
        {
            flow.user_id = Some(user.id);
            flow.auth_code_hash = Some(codes::kept(&self.code));
            flow.code_issued_at = Some(now);
            tx.save_flow(&flow).await?;
            return Ok(Ok(Verified::Code(self.code.clone())));
        }
        let how = How::of(&self.asked, self.link_type.method());
        let session = session::open_in(tx, &mut user, &how).await?;
        audit::record(tx, &self.asked, "login", &user, Value::Null).await?;
        Ok(Ok(Verified::Session(Box::new(user), Box::new(session))))
    }
}

impl Verify {
    /// The token that is proved; a code that is not counts as a wrong one of whoever has the address.
    async fn token<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
    ) -> Result<Option<OneTimeToken>, DataError> {
        let kinds = self.link_type.kinds();
        for kept in &self.kept {
            let Some(token) = tx.token_by_hash(kept).await? else {
                continue;
            };
            let fits = match &self.address {
                None => true,
                Some(address) => {
                    token.relates_to == address.text() && token.attempts < limits::CODE_ATTEMPTS_MAX
                }
            };
            return Ok(Some(token).filter(|token| fits && kinds.contains(&token.kind)));
        }
        if let Some(address) = &self.address {
            for kind in kinds {
                tx.count_attempts(address.text(), *kind).await?;
            }
        }
        Ok(None)
    }

    /// Does what the token was sent for; false when another address has to agree as well.
    async fn apply<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        token: &OneTimeToken,
        user: &mut User,
    ) -> Result<Result<bool, Fault>, DataError> {
        let now = self.asked.now;
        let address = match token.relates_to.contains('@') {
            true => Address::Email(token.relates_to.clone()),
            false => Address::Phone(token.relates_to.clone()),
        };
        match token.kind {
            TokenKind::Confirmation | TokenKind::Recovery => {
                // Of an address that the user has had and has no more.
                let current = match &address {
                    Address::Email(email) => user.email.as_ref() == Some(email),
                    Address::Phone(phone) => user.phone.as_ref() == Some(phone),
                };
                if !current {
                    return Ok(Err(Fault::otp_expired()));
                }
                if !address.is_confirmed(user) {
                    // Its link was asked for by who has the address; the rest may be somebody else's doing.
                    if token.kind == TokenKind::Recovery && !proved(user) {
                        account::wipe(tx, user, &address, now).await?;
                    }
                    account::confirm(user, &address, now);
                    account::save(tx, user).await?;
                    audit::record(tx, &self.asked, "user_signedup", user, Value::Null).await?;
                }
            }
            TokenKind::EmailChangeNew | TokenKind::EmailChangeCurrent => {
                let (side, other) = match token.kind {
                    TokenKind::EmailChangeNew => {
                        (&user.email_change, TokenKind::EmailChangeCurrent)
                    }
                    _ => (&user.email, TokenKind::EmailChangeNew),
                };
                let (Some(wanted), true) = (
                    user.email_change.clone(),
                    side.as_deref() == Some(address.text()),
                ) else {
                    return Ok(Err(Fault::otp_expired()));
                };
                let both = self.asked.settings.double_confirm && user.email.is_some();
                // The other address has agreed when its code is used up.
                let agreed = user.email_change_half && tx.token_of(user.id, other).await?.is_none();
                if both && !agreed {
                    user.email_change_half = true;
                    tx.save_user(user).await?;
                    return Ok(Ok(false));
                }
                account::change_address(user, &Address::Email(wanted), now);
                if !account::save(tx, user).await? {
                    return Ok(Err(Fault::email_exists()));
                }
                tx.delete_tokens(user.id).await?;
                audit::record(tx, &self.asked, "user_modified", user, Value::Null).await?;
            }
            TokenKind::PhoneChange => {
                if user.phone_change.as_deref() != Some(address.text()) {
                    return Ok(Err(Fault::otp_expired()));
                }
                account::change_address(user, &address, now);
                if !account::save(tx, user).await? {
                    return Ok(Err(Fault::phone_exists()));
                }
                audit::record(tx, &self.asked, "user_modified", user, Value::Null).await?;
            }
            TokenKind::Reauthentication => return Ok(Err(Fault::otp_expired())),
        }
        Ok(Ok(true))
    }
}
