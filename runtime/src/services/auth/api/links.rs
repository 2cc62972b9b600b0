//! `POST /invite` and `/admin/generate_link`: links that an app's own server asks for.

use std::sync::Arc;

use pumice_host_api::auth::{Engine, Flow, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Map, Value};

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::{self as parse, Asked};
use super::codes::Code;
use super::delivery::{self, Message};
use super::sign_up::code_for;
use super::{Outcome, audit, shown};
use crate::services::auth::fault::Fault;
use crate::services::auth::passwords;
use crate::services::mail::Letter;

/// `POST /invite`.
pub async fn invite(asked: &Arc<Asked>) -> Outcome {
    let email = asked.email()?.ok_or_else(Fault::invalid_email)?;
    let address = Address::Email(email);
    let made = make(asked, address.clone(), Kind::Invite, None).await?;
    let redirect_to = asked.redirect_to();
    let message = Message {
        letter: Letter::Invite,
        link_type: "invite",
        user: &made.user,
        to: address.text(),
        code: &made.code,
        redirect_to: &redirect_to,
        new_email: None,
    };
    delivery::mail(asked, message).await?;
    Ok(Answer::json(shown::user(&made.user)))
}

/// `POST /admin/generate_link`: nothing is sent.
pub async fn generate(asked: &Arc<Asked>) -> Outcome {
    let link_type = asked.text("type")?.unwrap_or_default();
    let kind = match link_type {
        "signup" => Kind::SignUp,
        "invite" => Kind::Invite,
        "magiclink" => Kind::MagicLink,
        "recovery" => Kind::Recovery,
        "email_change_current" => Kind::EmailChangeCurrent,
        "email_change_new" => Kind::EmailChangeNew,
        _ => {
            return Err(Fault::invalid(
                "type has to be signup, invite, magiclink, recovery, email_change_current or email_change_new",
            ));
        }
    };
    let email = asked.email()?.ok_or_else(Fault::invalid_email)?;
    let new_email = asked.text("new_email")?.map(parse::email).transpose()?;
    let wants_new = matches!(kind, Kind::EmailChangeCurrent | Kind::EmailChangeNew);
    if wants_new && new_email.is_none() {
        return Err(Fault::invalid("An email change needs `new_email`"));
    }
    let made = make(asked, Address::Email(email), kind, new_email).await?;
    // What the link was asked to lead to may stand in the body too.
    let redirect_to = match asked.text("redirect_to")? {
        None => asked.redirect_to(),
        wanted => crate::services::auth::oauth::redirect::target(
            &asked.settings,
            &asked.app_url(),
            wanted,
        ),
    };
    let verification = match kind {
        Kind::EmailChangeCurrent | Kind::EmailChangeNew => "email_change",
        _ => link_type,
    };
    let mut shown = shown::user(&made.user);
    shown["action_link"] =
        delivery::link(asked, &made.code.link, verification, &redirect_to).into();
    shown["email_otp"] = made.code.digits.into();
    shown["hashed_token"] = made.code.link.into();
    shown["verification_type"] = link_type.into();
    shown["redirect_to"] = redirect_to.into();
    Ok(Answer::json(shown))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SignUp,
    Invite,
    MagicLink,
    Recovery,
    EmailChangeCurrent,
    EmailChangeNew,
}

struct Made {
    user: User,
    code: Code,
}

async fn make(
    asked: &Arc<Asked>,
    address: Address,
    kind: Kind,
    new_email: Option<String>,
) -> Result<Made, Fault> {
    let password = match asked.text("password")? {
        Some(password) if kind == Kind::SignUp => {
            passwords::check(&asked.settings.password, &asked.api.leaked, password)?;
            Some(asked.api.passwords.hash(asked.app.id, password).await?)
        }
        None if kind == Kind::SignUp => {
            return Err(Fault::invalid("Signup requires a valid password"));
        }
        _ => None,
    };
    let to = match (&new_email, kind) {
        (Some(new), Kind::EmailChangeNew) => Address::Email(new.clone()),
        _ => address.clone(),
    };
    let code = code_for(asked, &to, false);
    asked
        .run(Make {
            asked: asked.clone(),
            address,
            to,
            kind,
            new_email,
            password,
            data: asked.object("data")?.unwrap_or_default(),
            code,
        })
        .await?
}

struct Make {
    asked: Arc<Asked>,
    address: Address,
    to: Address,
    kind: Kind,
    new_email: Option<String>,
    password: Option<String>,
    data: Map<String, Value>,
    code: Code,
}

impl Flow for Make {
    type Answer = Result<Made, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let now = self.asked.now;
        let found = match self.address.user(tx).await? {
            Some(user) => tx.lock_user(user.id).await?,
            None => None,
        };
        let mut user = match (found, self.kind) {
            (Some(user), Kind::SignUp | Kind::Invite) if self.address.is_confirmed(&user) => {
                return Ok(Err(Fault::email_exists()));
            }
            (Some(user), _) => user,
            (None, Kind::SignUp | Kind::Invite | Kind::MagicLink) => {
                let mut user = account::new(&self.address, Map::new(), now);
                // An app's server says itself what stands there.
                user.user_metadata = self.data.clone();
                if !account::insert(tx, &user).await? {
                    return Ok(Err(Fault::email_exists()));
                }
                user
            }
            (None, _) => return Ok(Err(Fault::no_user())),
        };
        let kind = match self.kind {
            Kind::SignUp => {
                user.password_hash.clone_from(&self.password);
                user.confirmation_sent_at = Some(now);
                TokenKind::Confirmation
            }
            Kind::Invite => {
                user.invited_at = Some(now);
                user.confirmation_sent_at = Some(now);
                TokenKind::Confirmation
            }
            Kind::MagicLink | Kind::Recovery => {
                user.recovery_sent_at = Some(now);
                TokenKind::Recovery
            }
            Kind::EmailChangeCurrent | Kind::EmailChangeNew => {
                if user.email_change != self.new_email {
                    user.email_change.clone_from(&self.new_email);
                    user.email_change_half = false;
                }
                user.email_change_sent_at = Some(now);
                match self.kind {
                    Kind::EmailChangeNew => TokenKind::EmailChangeNew,
                    _ => TokenKind::EmailChangeCurrent,
                }
            }
        };
        if !tx.save_user(&user).await? {
            return Ok(Err(Fault::email_exists()));
        }
        account::keep_code(tx, &user, kind, self.to.text(), &self.code, None, now).await?;
        let action = match self.kind {
            Kind::Invite => "user_invited",
            Kind::Recovery => "user_recovery_requested",
            _ => "user_confirmation_requested",
        };
        audit::record(tx, &self.asked, action, &user, Value::Null).await?;
        Ok(Ok(Made {
            user,
            code: self.code.clone(),
        }))
    }
}
