//! `/user` and `/reauthenticate`: what signed-in users see and change of themselves.

use std::sync::Arc;

use chrono::Duration;
use pumice_host_api::auth::{Engine, Factor, FactorStatus, Flow, Session, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Map, Value};

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::{Asked, Bearer};
use super::codes::{self, Code};
use super::delivery::{self, Message};
use super::pkce::Challenge;
use super::sign_up::{begin_flow, code_for};
use super::{Outcome, audit, shown};
use crate::limits;
use crate::services::auth::fault::Fault;
use crate::services::auth::passwords;
use crate::services::mail::Letter;
use crate::services::rates::auth as rates;

/// A sign-in that is younger proves who somebody is.
const RECENT: Duration = Duration::hours(24);

pub async fn get(asked: &Arc<Asked>) -> Outcome {
    let (user, _) = asked.look(Signed(asked.bearer()?)).await??;
    Ok(Answer::json(shown::user(&user)))
}

/// The user and session of a token, while both are there.
pub struct Signed(pub Bearer);

impl Flow for Signed {
    type Answer = Result<(User, Session), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        signed_in(tx, &self.0, false).await
    }
}

/// The user and session of a token; with `lock`, the user's row is this transaction's.
pub async fn signed_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    bearer: &Bearer,
    lock: bool,
) -> Result<Result<(User, Session), Fault>, DataError> {
    let user = match lock {
        true => tx.lock_user(bearer.user_id).await?,
        false => tx.user(bearer.user_id).await?,
    };
    let Some(user) = user.filter(|user| user.deleted_at.is_none()) else {
        return Ok(Err(Fault::user_gone()));
    };
    let session = tx.session(bearer.session_id).await?;
    match session.filter(|session| session.user_id == user.id) {
        Some(session) => Ok(Ok((user, session))),
        None => Ok(Err(Fault::session_gone())),
    }
}

pub async fn put(asked: &Arc<Asked>) -> Outcome {
    let bearer = asked.bearer()?;
    asked.limit(&rates::SIGN_IN).await?;
    let (user, _) = asked.look(Signed(bearer.clone())).await??;
    let email = asked
        .email()?
        .filter(|email| user.email.as_ref() != Some(email));
    let phone = asked
        .phone()?
        .filter(|phone| user.phone.as_ref() != Some(phone));
    let password = asked.text("password")?;
    let password = match password {
        None => None,
        Some(password) => Some(new_password(asked, &user, password).await?),
    };
    let challenge = Challenge::of(asked)?;
    let address = match (email, phone) {
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(
                "Change the email address and the phone number one at a time",
            ));
        }
        (Some(email), None) => Some(Address::Email(email)),
        (None, Some(phone)) => Some(Address::Phone(phone)),
        (None, None) => None,
    };
    let confirmed = match &address {
        Some(Address::Email(_)) => asked.settings.autoconfirm,
        Some(Address::Phone(_)) => asked.settings.phone_autoconfirm,
        None => true,
    };
    if let (Some(address), false) = (&address, confirmed) {
        asked.limit_mail(address.text()).await?;
    }
    let changed = asked
        .run(Change {
            asked: asked.clone(),
            bearer,
            password,
            old_hash: user.password_hash,
            new_code: address
                .as_ref()
                .map(|address| code_for(asked, address, challenge.is_some())),
            old_code: user
                .email
                .map(|email| code_for(asked, &Address::Email(email), challenge.is_some())),
            address,
            confirmed,
            challenge,
            data: asked.object("data")?,
            nonce: asked.text("nonce")?.map(str::to_owned),
        })
        .await??;
    let redirect_to = asked.redirect_to();
    for (to, code) in &changed.mails {
        let message = Message {
            letter: Letter::EmailChange,
            link_type: if matches!(to, Address::Email(_)) {
                "email_change"
            } else {
                "phone_change"
            },
            user: &changed.user,
            to: to.text(),
            code,
            redirect_to: &redirect_to,
            new_email: changed.user.email_change.as_deref(),
        };
        match to {
            Address::Email(_) => delivery::mail(asked, message).await?,
            Address::Phone(_) => delivery::text(asked, message).await?,
        }
    }
    Ok(Answer::json(shown::user(&changed.user)))
}

/// The hash of what is to be the user's password.
async fn new_password(asked: &Asked, user: &User, password: &str) -> Result<String, Fault> {
    passwords::check(&asked.settings.password, &asked.api.leaked, password)?;
    let (passwords, app) = (&asked.api.passwords, asked.app.id);
    if let Some(old) = &user.password_hash
        && passwords.verify(app, password, Some(old)).await?.matches
    {
        return Err(Fault::same_password());
    }
    Ok(passwords.hash(app, password).await?)
}

struct Change {
    asked: Arc<Asked>,
    bearer: Bearer,
    /// Its hash.
    password: Option<String>,
    /// What the new password was compared with.
    old_hash: Option<String>,
    address: Option<Address>,
    /// Whether the address counts at once.
    confirmed: bool,
    new_code: Option<Code>,
    old_code: Option<Code>,
    challenge: Option<Challenge>,
    data: Option<Map<String, Value>>,
    nonce: Option<String>,
}

struct Changed {
    user: User,
    mails: Vec<(Address, Code)>,
}

impl Flow for Change {
    type Answer = Result<Changed, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let now = self.asked.now;
        let (mut user, session) = match signed_in(tx, &self.bearer, true).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        let sensitive = self.password.is_some() || self.address.is_some();
        let verified = |factor: &Factor| factor.status == FactorStatus::Verified;
        if sensitive && session.aal != "aal2" && user.factors.iter().any(verified) {
            return Ok(Err(Fault::aal_for_update()));
        }
        if let Some(hash) = &self.password {
            if user.password_hash != self.old_hash {
                return Ok(Err(Fault::same_password()));
            }
            let recent = session.created_at + RECENT > now;
            if self.asked.settings.reauthenticate
                && !recent
                && !self.reauthenticated(tx, &user).await?
            {
                return Ok(Err(match self.nonce {
                    None => Fault::reauthentication_needed(),
                    Some(_) => Fault::reauthentication_not_valid(),
                }));
            }
            user.password_hash = Some(hash.clone());
            account::shut(tx, &mut user, Some(session.id)).await?;
            audit::record(tx, &self.asked, "user_updated_password", &user, Value::Null).await?;
        }
        if let Some(data) = &self.data {
            shown::merge(&mut user.user_metadata, data.clone());
            if let Err(fault) = account::fits(&user) {
                return Ok(Err(fault));
            }
        }
        let mut mails = Vec::new();
        if let Some(address) = &self.address {
            let taken = address.user(tx).await?;
            if taken.is_some_and(|other| other.id != user.id) {
                return Ok(Err(taken_fault(address)));
            }
            match self.confirmed {
                true => account::change_address(&mut user, address, now),
                false => mails = self.ask_for(tx, &mut user, address).await?,
            }
        }
        user.updated_at = now;
        if !account::save(tx, &user).await? {
            let address = self.address.as_ref();
            return Ok(Err(address.map_or_else(Fault::email_exists, taken_fault)));
        }
        audit::record(tx, &self.asked, "user_modified", &user, Value::Null).await?;
        Ok(Ok(Changed { user, mails }))
    }
}

fn taken_fault(address: &Address) -> Fault {
    match address {
        Address::Email(_) => Fault::email_exists(),
        Address::Phone(_) => Fault::phone_exists(),
    }
}

impl Change {
    /// Keeps the codes that are to be sent before the address counts.
    async fn ask_for<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &mut User,
        address: &Address,
    ) -> Result<Vec<(Address, Code)>, DataError> {
        let now = self.asked.now;
        let challenge = self.challenge.as_ref();
        let flow = begin_flow(tx, challenge, user, "email_change", &self.asked).await?;
        let mut mails = Vec::new();
        let kind = match address {
            Address::Email(email) => {
                user.email_change = Some(email.clone());
                user.email_change_half = false;
                user.email_change_sent_at = Some(now);
                TokenKind::EmailChangeNew
            }
            Address::Phone(phone) => {
                user.phone_change = Some(phone.clone());
                user.phone_change_sent_at = Some(now);
                TokenKind::PhoneChange
            }
        };
        if let Some(code) = &self.new_code {
            account::keep_code(tx, user, kind, address.text(), code, flow, now).await?;
            mails.push((address.clone(), code.clone()));
        }
        if let (TokenKind::EmailChangeNew, true, Some(old), Some(code)) = (
            kind,
            self.asked.settings.double_confirm,
            &user.email,
            &self.old_code,
        ) {
            let (kind, old) = (TokenKind::EmailChangeCurrent, old.clone());
            account::keep_code(tx, user, kind, &old, code, flow, now).await?;
            mails.push((Address::Email(old), code.clone()));
        }
        Ok(mails)
    }

    /// Whether the code that `/reauthenticate` sent was given.
    async fn reauthenticated<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &User,
    ) -> Result<bool, DataError> {
        let Some(nonce) = &self.nonce else {
            return Ok(false);
        };
        let Some(token) = tx.token_of(user.id, TokenKind::Reauthentication).await? else {
            return Ok(false);
        };
        let (key, app) = (self.asked.api.keyring.codes(), self.asked.app.id);
        let link = codes::link_of(key, app, &token.relates_to, nonce, false);
        let fresh = token.created_at + self.asked.settings.code_life > self.asked.now;
        if codes::kept(&link) == token.token_hash
            && fresh
            && token.attempts < limits::CODE_ATTEMPTS_MAX
        {
            tx.delete_token(token.id).await?;
            return Ok(true);
        }
        tx.count_attempt(token.id).await?;
        Ok(false)
    }
}

/// `GET /reauthenticate`: mails a code that allows a new password.
pub async fn reauthenticate(asked: &Arc<Asked>) -> Outcome {
    let bearer = asked.bearer()?;
    let (user, _) = asked.look(Signed(bearer.clone())).await??;
    let address = match (user.email.clone(), user.phone.clone()) {
        (Some(email), _) => Address::Email(email),
        (None, Some(phone)) => Address::Phone(phone),
        (None, None) => {
            return Err(Fault::invalid(
                "Reauthentication requires the user to have an email or a phone number",
            ));
        }
    };
    asked.limit_mail(address.text()).await?;
    let code = code_for(asked, &address, false);
    let user = asked
        .run(Reauthenticate {
            asked: asked.clone(),
            bearer,
            address: address.clone(),
            code: code.clone(),
        })
        .await??;
    let redirect_to = asked.redirect_to();
    let message = Message {
        letter: Letter::Reauthentication,
        link_type: "reauthentication",
        user: &user,
        to: address.text(),
        code: &code,
        redirect_to: &redirect_to,
        new_email: None,
    };
    match address {
        Address::Email(_) => delivery::mail(asked, message).await?,
        Address::Phone(_) => delivery::text(asked, message).await?,
    }
    Ok(Answer::done())
}

struct Reauthenticate {
    asked: Arc<Asked>,
    bearer: Bearer,
    address: Address,
    code: Code,
}

impl Flow for Reauthenticate {
    type Answer = Result<User, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let now = self.asked.now;
        let (mut user, _) = match signed_in(tx, &self.bearer, true).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        user.reauthentication_sent_at = Some(now);
        tx.save_user(&user).await?;
        let (kind, address) = (TokenKind::Reauthentication, self.address.text());
        account::keep_code(tx, &user, kind, address, &self.code, None, now).await?;
        audit::record(
            tx,
            &self.asked,
            "user_reauthenticate_requested",
            &user,
            Value::Null,
        )
        .await?;
        Ok(Ok(user))
    }
}
