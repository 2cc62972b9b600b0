//! `POST /signup`.
//!
//! A mail is sent and the same answer given whether the address is free or not: who has an account already
//! gets a link to sign in with. Where addresses are confirmed without a mail, only the answer can tell.

use std::sync::Arc;

use pumice_host_api::auth::{Engine, Flow, Identity, Session, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::Asked;
use super::codes::Code;
use super::delivery::{self, Message};
use super::pkce::Challenge;
use super::session::{self, How};
use super::{Outcome, audit, codes, shown};
use crate::entries::hook::NewUser;
use crate::services::auth::fault::Fault;
use crate::services::auth::oauth::unproven::proved;
use crate::services::auth::passwords;
use crate::services::mail::Letter;
use crate::services::rates::auth as rates;

pub async fn sign_up(asked: &Arc<Asked>) -> Outcome {
    let settings = &asked.settings;
    let address = match (asked.email()?, asked.phone()?) {
        (None, None) if asked.text("password")?.is_some() => {
            return Err(Fault::invalid(
                "Sign-up requires a valid email address or phone number",
            ));
        }
        (None, None) => return anonymous(asked).await,
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(
                "Only an email address or phone number should be provided on signup.",
            ));
        }
        (Some(email), None) => Address::Email(email),
        (None, Some(phone)) => Address::Phone(phone),
    };
    asked.limit(&rates::SIGN_UP).await?;
    if !settings.signup {
        return Err(Fault::signup_disabled());
    }
    match address {
        Address::Email(_) if !settings.email => return Err(Fault::email_signup_disabled()),
        Address::Phone(_) if !settings.phone => return Err(Fault::phone_signup_disabled()),
        _ => {}
    }
    let password = asked.text("password")?;
    let password = password.ok_or_else(|| Fault::invalid("Signup requires a valid password"))?;
    passwords::check(&settings.password, &asked.api.leaked, password)?;
    let challenge = Challenge::of(asked)?;
    let confirmed = match address {
        Address::Email(_) => settings.autoconfirm,
        Address::Phone(_) => settings.phone_autoconfirm,
    };
    if !confirmed {
        asked.limit_mail(address.text()).await?;
    }
    let data = asked.object("data")?.unwrap_or_default();
    let mut user = account::new(&address, data, asked.now);
    user.password_hash = Some(asked.api.passwords.hash(asked.app.id, password).await?);
    before_created(asked, &mut user, address.provider()).await?;
    account::fits(&user)?;
    if confirmed {
        account::confirm(&mut user, &address, asked.now);
    } else {
        user.confirmation_sent_at = Some(asked.now);
    }
    let code = code_for(asked, &address, challenge.is_some());
    let signed = asked
        .run(SignUp {
            asked: asked.clone(),
            address: address.clone(),
            user,
            confirmed,
            code: code.clone(),
            challenge,
        })
        .await??;
    match signed {
        Signed::In(user, session) => session::answer(asked, &user, &session).await,
        Signed::Pending { shown, known } => {
            let (letter, link_type) = match &known {
                Some(_) => (Letter::MagicLink, "magiclink"),
                None => (Letter::Confirmation, "signup"),
            };
            let message = Message {
                letter,
                link_type,
                user: known.as_deref().unwrap_or(&shown),
                to: address.text(),
                code: &code,
                redirect_to: &asked.redirect_to(),
                new_email: None,
            };
            match address {
                Address::Email(_) => delivery::mail(asked, message).await?,
                Address::Phone(_) => delivery::text(asked, message).await?,
            }
            Ok(Answer::json(shown::user(&shown)))
        }
    }
}

async fn anonymous(asked: &Arc<Asked>) -> Outcome {
    if !asked.settings.anonymous {
        return Err(Fault::anonymous_disabled());
    }
    if !asked.settings.signup {
        return Err(Fault::signup_disabled());
    }
    asked.limit(&rates::ANONYMOUS).await?;
    let mut user = account::blank(asked.now);
    user.is_anonymous = true;
    user.user_metadata = asked.object("data")?.unwrap_or_default();
    before_created(asked, &mut user, "anonymous").await?;
    account::fits(&user)?;
    let (user, session) = asked
        .run(Anonymous {
            asked: asked.clone(),
            user,
        })
        .await?;
    session::answer(asked, &user, &session).await
}

/// Asks the app's hook about a user who is to be.
pub async fn before_created(asked: &Asked, user: &mut User, provider: &str) -> Result<(), Fault> {
    let new = NewUser {
        id: user.id,
        email: user.email.clone(),
        phone: user.phone.clone(),
        user_metadata: user.user_metadata.clone(),
        app_metadata: user.app_metadata.clone(),
        is_anonymous: user.is_anonymous,
        provider: provider.to_owned(),
        ip: Some(asked.ip.to_string()),
    };
    let changed = asked.api.hooks.before_user_created(&asked.app, &new).await;
    if let Some(metadata) = changed.map_err(Fault::from)? {
        user.user_metadata = metadata.user;
        user.app_metadata = metadata.app;
    }
    Ok(())
}

/// A new code for `address`; that of the manifest for a phone number of tests.
pub fn code_for(asked: &Asked, address: &Address, pkce: bool) -> Code {
    let (key, app) = (asked.api.keyring.codes(), asked.app.id);
    let fixed = match address {
        Address::Phone(phone) => asked.settings.test_codes.get(phone),
        Address::Email(_) => None,
    };
    match fixed {
        Some(digits) => codes::given(key, app, address.text(), digits.clone(), pkce),
        None => codes::new(key, app, address.text(), asked.settings.code_digits, pkce),
    }
}

struct SignUp {
    asked: Arc<Asked>,
    address: Address,
    /// As it is to be, should the address be free.
    user: User,
    confirmed: bool,
    code: Code,
    challenge: Option<Challenge>,
}

enum Signed {
    In(Box<User>, Box<Session>),
    Pending {
        shown: Box<User>,
        /// Who has had the address for long.
        known: Option<Box<User>>,
    },
}

impl Flow for SignUp {
    type Answer = Result<Signed, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let mut user = self.user.clone();
        if account::insert(tx, &user).await? {
            return self.signed(tx, user).await.map(Ok);
        }
        let Some(found) = self.address.user(tx).await? else {
            return Ok(Err(Fault::user_exists()));
        };
        let Some(mut known) = tx.lock_user(found.id).await? else {
            return Ok(Err(Fault::user_exists()));
        };
        if !proved(&known) {
            // Nobody has shown to have the address: the last who signed up with it counts, and what others
            // have prepared goes.
            let provider = self.address.provider();
            account::wipe(tx, &mut known, &self.address, self.asked.now).await?;
            known.password_hash = user.password_hash.take();
            known.user_metadata = self.as_shown(known.id).user_metadata;
            let own = |identity: &&mut Identity| identity.provider == provider;
            if let Some(identity) = known.identities.iter_mut().find(own) {
                identity.identity_data = known.user_metadata.clone();
            }
            known.confirmation_sent_at = user.confirmation_sent_at;
            known.updated_at = self.asked.now;
            if self.confirmed {
                account::confirm(&mut known, &self.address, self.asked.now);
            }
            account::save(tx, &known).await?;
            return self.signed(tx, known).await.map(Ok);
        }
        audit::record(tx, &self.asked, "user_repeated_signup", &known, Value::Null).await?;
        if self.confirmed {
            return Ok(Err(Fault::user_exists()));
        }
        let flow = self.flow(tx, &known, "magiclink").await?;
        let (address, now) = (self.address.text(), self.asked.now);
        account::keep_code(
            tx,
            &known,
            TokenKind::Recovery,
            address,
            &self.code,
            flow,
            now,
        )
        .await?;
        Ok(Ok(Signed::Pending {
            shown: Box::new(self.as_shown(self.nobody())),
            known: Some(Box::new(known)),
        }))
    }
}

impl SignUp {
    async fn signed<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        mut user: User,
    ) -> Result<Signed, DataError> {
        let traits = serde_json::json!({ "provider": self.address.provider() });
        audit::record(tx, &self.asked, "user_signedup", &user, traits).await?;
        if self.confirmed {
            let how = How {
                provider: Some(self.address.provider().to_owned()),
                ..How::of(&self.asked, "password")
            };
            let session = session::open_in(tx, &mut user, &how).await?;
            return Ok(Signed::In(Box::new(user), Box::new(session)));
        }
        let flow = self.flow(tx, &user, "email/signup").await?;
        let (address, now) = (self.address.text(), self.asked.now);
        account::keep_code(
            tx,
            &user,
            TokenKind::Confirmation,
            address,
            &self.code,
            flow,
            now,
        )
        .await?;
        Ok(Signed::Pending {
            shown: Box::new(self.as_shown(user.id)),
            known: None,
        })
    }

    /// What is shown until the address is confirmed: what was sent and no more, so that nobody learns
    /// whether the address was known, and how well.
    fn as_shown(&self, id: Uuid) -> User {
        let mut shown = self.user.clone();
        shown.id = id;
        let sub = Value::from(id.to_string());
        shown.user_metadata.insert("sub".to_owned(), sub.clone());
        for identity in &mut shown.identities {
            identity.user_id = id;
            identity.provider_id = id.to_string();
            identity.identity_data.insert("sub".to_owned(), sub.clone());
        }
        shown
    }

    /// The id of nobody, always the same for one address.
    fn nobody(&self) -> Uuid {
        let (key, app) = (self.asked.api.keyring.codes(), self.asked.app.id);
        let mac = codes::link_of(key, app, self.address.text(), "nobody", false);
        let mut bytes = [0; 16];
        for (byte, hex) in bytes.iter_mut().zip(mac.as_bytes().chunks(2)) {
            let hex = std::str::from_utf8(hex).unwrap_or_default();
            *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    async fn flow<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &User,
        method: &str,
    ) -> Result<Option<Uuid>, DataError> {
        begin_flow(tx, self.challenge.as_ref(), user, method, &self.asked).await
    }
}

/// Keeps the challenge of a client that waits for `user` to follow a link.
pub async fn begin_flow<E: Engine>(
    tx: &mut Tx<'_, E>,
    challenge: Option<&Challenge>,
    user: &User,
    method: &str,
    asked: &Asked,
) -> Result<Option<Uuid>, DataError> {
    let Some(challenge) = challenge else {
        return Ok(None);
    };
    let flow = challenge.flow(user.id, method, asked.now);
    tx.insert_flow(&flow).await?;
    Ok(Some(flow.id))
}

struct Anonymous {
    asked: Arc<Asked>,
    user: User,
}

impl Flow for Anonymous {
    type Answer = (User, Session);

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let mut user = self.user.clone();
        account::insert(tx, &user).await?;
        let traits = Value::Object(Map::new());
        audit::record(tx, &self.asked, "user_signedup", &user, traits).await?;
        let how = How::of(&self.asked, "anonymous");
        let session = session::open_in(tx, &mut user, &how).await?;
        Ok((user, session))
    }
}
