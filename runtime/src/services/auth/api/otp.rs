//! `POST /otp`, `/magiclink`, `/recover` and `/resend`: a code and a link to an address.
//!
//! Who asks is answered `{}` before anything is written or sent, so that neither the answer nor its time
//! says whether the address has an account.

use std::sync::Arc;

use pumice_host_api::auth::{Engine, Flow, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::Value;

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::Asked;
use super::codes::Code;
use super::delivery::{self, Message};
use super::pkce::Challenge;
use super::sign_up::{before_created, begin_flow, code_for};
use super::{Outcome, audit};
use crate::services::auth::fault::Fault;
use crate::services::mail::Letter;

pub async fn otp(asked: &Arc<Asked>) -> Outcome {
    let create = asked.flag("create_user")?.unwrap_or(true);
    let address = address(asked)?;
    let challenge = Challenge::of(asked)?;
    asked.limit_mail(address.text()).await?;
    let known = asked.look(Find(address.clone())).await?;
    let new = match known || !create || !asked.settings.signup {
        true => None,
        false => {
            let data = asked.object("data")?.unwrap_or_default();
            let mut user = account::new(&address, data, asked.now);
            user.confirmation_sent_at = Some(asked.now);
            before_created(asked, &mut user, address.provider()).await?;
            Some(user)
        }
    };
    let purpose = Purpose::SignIn {
        new: new.map(Box::new),
    };
    let is_phone = matches!(address, Address::Phone(_));
    send_later(asked, address, purpose, challenge);
    Ok(match is_phone {
        true => Answer::json(serde_json::json!({ "message_id": "" })),
        false => Answer::done(),
    })
}

pub async fn recover(asked: &Arc<Asked>) -> Outcome {
    let email = asked.email()?;
    let email = email.ok_or_else(|| Fault::invalid("Password recovery requires an email"))?;
    let address = Address::Email(email);
    let challenge = Challenge::of(asked)?;
    asked.limit_mail(address.text()).await?;
    send_later(asked, address, Purpose::Recover, challenge);
    Ok(Answer::done())
}

pub async fn resend(asked: &Arc<Asked>) -> Outcome {
    let address = address(asked)?;
    let purpose = match (asked.text("type")?, &address) {
        (Some("signup"), Address::Email(_)) | (Some("sms"), Address::Phone(_)) => Purpose::Confirm,
        (Some("email_change"), Address::Email(_)) | (Some("phone_change"), Address::Phone(_)) => {
            Purpose::Change
        }
        _ => {
            return Err(Fault::invalid(
                "Missing one of these types: signup, email_change, sms, phone_change",
            ));
        }
    };
    let challenge = Challenge::of(asked)?;
    asked.limit_mail(address.text()).await?;
    let is_phone = matches!(address, Address::Phone(_));
    send_later(asked, address, purpose, challenge);
    Ok(match is_phone {
        true => Answer::json(serde_json::json!({ "message_id": "" })),
        false => Answer::done(),
    })
}

fn address(asked: &Asked) -> Result<Address, Fault> {
    match (asked.email()?, asked.phone()?) {
        (Some(email), None) => match asked.settings.email {
            true => Ok(Address::Email(email)),
            false => Err(Fault::email_disabled()),
        },
        (None, Some(phone)) => match asked.settings.phone {
            // Said before anything is looked up, as it is the same for all.
            true => delivery::can_text(asked, &phone).map(|()| Address::Phone(phone)),
            false => Err(Fault::phone_disabled()),
        },
        _ => Err(Fault::invalid(
            "Only an email address or phone number should be provided",
        )),
    }
}

struct Find(Address);

impl Flow for Find {
    type Answer = bool;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        Ok(self.0.user(tx).await?.is_some())
    }
}

/// What the code is for.
enum Purpose {
    /// To sign in; with the user to be made if there is none.
    SignIn {
        new: Option<Box<User>>,
    },
    Recover,
    /// To confirm an address that is not.
    Confirm,
    /// To change the address.
    Change,
}

fn send_later(
    asked: &Arc<Asked>,
    address: Address,
    purpose: Purpose,
    challenge: Option<Challenge>,
) {
    let asked = asked.clone();
    tokio::spawn(async move {
        if let Err(fault) = send(&asked, address, purpose, challenge).await {
            let cause = fault.cause.as_deref();
            tracing::error!(app.id = %asked.app.id, error = %fault, cause, "a code was not sent");
        }
    });
}

async fn send(
    asked: &Arc<Asked>,
    address: Address,
    purpose: Purpose,
    challenge: Option<Challenge>,
) -> Result<(), Fault> {
    let prepared = asked
        .run(Prepare {
            asked: asked.clone(),
            address: address.clone(),
            purpose,
            challenge,
        })
        .await?;
    let Some(Prepared {
        user,
        letter,
        link_type,
        to,
        code,
    }) = prepared
    else {
        return Ok(());
    };
    let redirect_to = asked.redirect_to();
    let message = Message {
        letter,
        link_type,
        user: &user,
        to: to.text(),
        code: &code,
        redirect_to: &redirect_to,
        new_email: user.email_change.as_deref(),
    };
    match address {
        Address::Email(_) => delivery::mail(asked, message).await,
        Address::Phone(_) => delivery::text(asked, message).await,
    }
}

struct Prepare {
    asked: Arc<Asked>,
    address: Address,
    purpose: Purpose,
    challenge: Option<Challenge>,
}

struct Prepared {
    user: Box<User>,
    letter: Letter,
    link_type: &'static str,
    to: Address,
    code: Code,
}

impl Flow for Prepare {
    type Answer = Option<Prepared>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let now = self.asked.now;
        let found = match self.address.user(tx).await? {
            Some(user) => tx.lock_user(user.id).await?,
            None => None,
        };
        let (mut user, is_new) = match (found, &self.purpose) {
            (Some(user), _) => (user, false),
            (None, Purpose::SignIn { new: Some(new) }) => (User::clone(new), true),
            (None, _) => return Ok(None),
        };
        if is_new {
            if !account::insert(tx, &user).await? {
                return Ok(None);
            }
            let traits = serde_json::json!({ "provider": self.address.provider() });
            audit::record(
                tx,
                &self.asked,
                "user_confirmation_requested",
                &user,
                traits,
            )
            .await?;
        }
        let confirmed = self.address.is_confirmed(&user);
        let mut to = self.address.clone();
        let (kind, letter, link_type, method) = match (&self.purpose, confirmed) {
            (Purpose::SignIn { .. }, true) => (
                TokenKind::Recovery,
                Letter::MagicLink,
                "magiclink",
                "magiclink",
            ),
            // Who asks for a code has not said a password: one that stands there may be somebody else's.
            (Purpose::SignIn { .. }, false) if !is_new => (
                TokenKind::Recovery,
                Letter::MagicLink,
                "magiclink",
                "magiclink",
            ),
            (Purpose::SignIn { .. } | Purpose::Confirm, false) => (
                TokenKind::Confirmation,
                Letter::Confirmation,
                "signup",
                "email/signup",
            ),
            (Purpose::Recover, _) => (
                TokenKind::Recovery,
                Letter::Recovery,
                "recovery",
                "recovery",
            ),
            (Purpose::Confirm, true) => return Ok(None),
            (Purpose::Change, _) => {
                let (kind, wanted) = match &self.address {
                    Address::Email(_) => (TokenKind::EmailChangeNew, &user.email_change),
                    Address::Phone(_) => (TokenKind::PhoneChange, &user.phone_change),
                };
                let asked_at = user.email_change_sent_at.max(user.phone_change_sent_at);
                let over = |at| at + self.asked.settings.code_life <= now;
                let Some(wanted) = wanted.clone().filter(|_| !asked_at.is_none_or(over)) else {
                    return Ok(None);
                };
                to = match self.address {
                    Address::Email(_) => Address::Email(wanted),
                    Address::Phone(_) => Address::Phone(wanted),
                };
                (kind, Letter::EmailChange, "email_change", "email_change")
            }
        };
        match kind {
            // Somebody whom the app's own server made stays so.
            TokenKind::Confirmation if user.confirmation_sent_at.is_some() => {
                user.confirmation_sent_at = Some(now);
            }
            TokenKind::Recovery => user.recovery_sent_at = Some(now),
            // A change is over when its first codes are.
            _ => {}
        }
        tx.save_user(&user).await?;
        let flow = begin_flow(tx, self.challenge.as_ref(), &user, method, &self.asked).await?;
        let code = code_for(&self.asked, &to, self.challenge.is_some());
        account::keep_code(tx, &user, kind, to.text(), &code, flow, now).await?;
        if kind == TokenKind::Recovery {
            audit::record(
                tx,
                &self.asked,
                "user_recovery_requested",
                &user,
                Value::Null,
            )
            .await?;
        }
        Ok(Some(Prepared {
            user: Box::new(user),
            letter,
            link_type,
            to,
            code,
        }))
    }
}
