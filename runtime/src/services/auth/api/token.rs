//! `POST /token`: a session for a password, a refresh token, or a code.
//!
//! A password of nobody costs as much as a wrong one: one read and one hash.

use std::sync::Arc;

use pumice_host_api::auth::{Engine, Flow, Session, Tx, User};
use pumice_host_api::data::DataError;
use uuid::Uuid;

use super::account::Address;
use super::asked::Asked;
use super::session::{self, How};
use super::{Outcome, audit, providers};
use crate::limits;
use crate::services::auth::fault::Fault;
use crate::services::rates::auth as rates;

pub async fn token(asked: &Arc<Asked>) -> Outcome {
    match asked.param("grant_type").unwrap_or_default() {
        "password" => {
            asked.limit(&rates::SIGN_IN).await?;
            password(asked).await
        }
        "refresh_token" => {
            asked.limit(&rates::REFRESH).await?;
            session::refresh(asked).await
        }
        "pkce" => {
            asked.limit(&rates::REFRESH).await?;
            providers::exchange(asked).await
        }
        "id_token" => {
            asked.limit(&rates::SIGN_IN).await?;
            providers::by_id_token(asked).await
        }
        "web3" => Err(Fault::web3_disabled()),
        _ => Err(Fault::unsupported_grant()),
    }
}

async fn password(asked: &Arc<Asked>) -> Outcome {
    let address = match (asked.text("email")?, asked.phone()?) {
        // What is no address belongs to nobody.
        (Some(email), _) => Address::Email(email.trim().to_ascii_lowercase()),
        (None, Some(phone)) => Address::Phone(phone),
        (None, None) => return Err(Fault::invalid("missing email or phone")),
    };
    let password = asked.text("password")?.unwrap_or_default();
    match address {
        Address::Email(_) if !asked.settings.email => return Err(Fault::email_disabled()),
        Address::Phone(_) if !asked.settings.phone => return Err(Fault::phone_disabled()),
        _ => {}
    }
    asked.limit_address(address.text()).await?;
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return Err(Fault::invalid_credentials());
    }
    let found = asked.look(Find(address.clone())).await?;
    let hash = found.as_ref().and_then(|user| user.password_hash.clone());
    let passwords = &asked.api.passwords;
    let checked = passwords
        .verify(asked.app.id, password, hash.as_deref())
        .await?;
    let (Some(user), Some(hash), true) = (found, hash, checked.matches) else {
        return Err(Fault::invalid_credentials());
    };
    let (user, session) = asked
        .run(SignIn {
            asked: asked.clone(),
            id: user.id,
            address,
            hash,
            better: checked.better,
        })
        .await??;
    session::answer(asked, &user, &session).await
}

struct Find(Address);

impl Flow for Find {
    type Answer = Option<User>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        self.0.user(tx).await
    }
}

struct SignIn {
    asked: Arc<Asked>,
    id: Uuid,
    address: Address,
    /// What the password was found to match.
    hash: String,
    better: Option<String>,
}

impl Flow for SignIn {
    type Answer = Result<(User, Session), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let user = tx.lock_user(self.id).await?;
        // The password may have been changed while this one was hashed.
        let user = user.filter(|user| user.password_hash.as_ref() == Some(&self.hash));
        let Some(mut user) = user else {
            return Ok(Err(Fault::invalid_credentials()));
        };
        if session::is_banned(&user, self.asked.now) {
            return Ok(Err(Fault::user_banned()));
        }
        if !self.address.is_confirmed(&user) {
            return Ok(Err(match self.address {
                Address::Email(_) => Fault::email_not_confirmed(),
                Address::Phone(_) => Fault::phone_not_confirmed(),
            }));
        }
        if let Some(better) = &self.better {
            user.password_hash = Some(better.clone());
        }
        let provider = self.address.provider();
        let how = How {
            provider: Some(provider.to_owned()),
            ..How::of(&self.asked, "password")
        };
        let session = session::open_in(tx, &mut user, &how).await?;
        let traits = serde_json::json!({ "provider": provider });
        audit::record(tx, &self.asked, "login", &user, traits).await?;
        Ok(Ok((user, session)))
    }
}
