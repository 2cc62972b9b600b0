//! A user's identities: added and taken away, by whoever may.

use chrono::{DateTime, Utc};
use pumice_host_api::auth::{Engine, FactorStatus, Flow, Identity, Tx, User};
use pumice_host_api::data::DataError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::super::fault::Fault;
use super::linking::Email;
use super::profile::Profile;

/// Who asks, signed in, that an identity be added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    pub user_id: Uuid,
    pub session_id: Uuid,
}

impl Asker {
    /// The user, whose row is this transaction's now, if this session may change identities: each of them
    /// is a way in, so whoever has a second factor has to have shown it. The row of the session decides,
    /// as a token may be older. Writes nothing.
    ///
    /// # Errors
    /// The engine's. Of the inner result: 403 when the user or the session is gone, 400 for a banned user,
    /// 401 `insufficient_aal`.
    pub async fn lock<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        now: DateTime<Utc>,
    ) -> Result<Result<User, Fault>, DataError> {
        let user = match lock_user(tx, self.user_id, now).await? {
            Ok(user) => user,
            Err(fault) => return Ok(Err(fault)),
        };
        let session = tx.lock_session(self.session_id).await?;
        let session = session.filter(|session| {
            session.user_id == user.id && session.not_after.is_none_or(|end| end > now)
        });
        let Some(session) = session else {
            return Ok(Err(Fault::session_gone()));
        };
        let has_factor = user
            .factors
            .iter()
            .any(|factor| factor.status == FactorStatus::Verified);
        if has_factor && session.aal != "aal2" {
            return Ok(Err(Fault::aal_for_update()));
        }
        Ok(Ok(user))
    }
}

/// The user who is to sign in, whose row is this transaction's now. Writes nothing.
///
/// # Errors
/// The engine's. Of the inner result: 403 when the user is gone, 400 when banned.
pub async fn lock_user<E: Engine>(
    tx: &mut Tx<'_, E>,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Result<User, Fault>, DataError> {
    let user = tx.lock_user(id).await?;
    Ok(match user.filter(|user| user.deleted_at.is_none()) {
        None => Err(Fault::user_gone()),
        Some(user) if user.banned_until.is_some_and(|until| until > now) => {
            Err(Fault::user_banned())
        }
        Some(user) => Ok(user),
    })
}

pub fn identity(provider: &str, profile: &Profile, user_id: Uuid, now: DateTime<Utc>) -> Identity {
    Identity {
        id: Uuid::new_v4(),
        user_id,
        provider: provider.to_owned(),
        provider_id: profile.subject.clone(),
        identity_data: profile.data.clone(),
        last_sign_in_at: Some(now),
        created_at: now,
        updated_at: now,
    }
}

/// Adds an identity. An anonymous user is one no longer; a user without an address gets the `offered` one,
/// if that is proved and nobody's. False when the identity is bound already.
pub async fn add_identity<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &mut User,
    identity: Identity,
    offered: Option<&Email>,
    now: DateTime<Utc>,
) -> Result<bool, DataError> {
    if !tx.insert_identity(&identity).await? {
        return Ok(false);
    }
    user.is_anonymous = false;
    let mut taken = false;
    if let (None, Some(email)) = (&user.email, offered)
        && email.verified
        && tx.user_by_email(&email.address).await?.is_none()
    {
        user.email = Some(email.address.clone());
        user.email_confirmed_at = Some(now);
        taken = true;
    }
    // What is said of an address that is not the user's stays with the identity.
    let address = identity.identity_data.get("email").and_then(Value::as_str);
    let is_own = address == user.email.as_deref();
    for (name, value) in &identity.identity_data {
        if is_own || !matches!(&**name, "email" | "email_verified") {
            user.user_metadata
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
    }
    user.identities.push(identity);
    name_providers(user);
    user.updated_at = now;
    if !tx.save_user(user).await? && taken {
        // Somebody has just taken the address: the identity is added without it.
        user.email = None;
        user.email_confirmed_at = None;
        tx.save_user(user).await?;
    }
    Ok(true)
}

/// `provider` and `providers` of `app_metadata`, from the identities.
pub fn name_providers(user: &mut User) {
    let mut providers: Vec<&str> = Vec::new();
    for identity in &user.identities {
        if !providers.contains(&&*identity.provider) {
            providers.push(&identity.provider);
        }
    }
    let list = providers.iter().map(|name| Value::from(*name)).collect();
    let first = user.app_metadata.get("provider").and_then(Value::as_str);
    let first = first.filter(|first| providers.contains(first));
    let first = first.or(providers.first().copied()).map(Value::from);
    user.app_metadata.insert("providers".to_owned(), list);
    match first {
        Some(first) => user.app_metadata.insert("provider".to_owned(), first),
        None => user.app_metadata.remove("provider"),
    };
}

/// Takes an identity away from its user.
pub struct Unlink {
    pub asker: Asker,
    pub identity_id: Uuid,
    pub now: DateTime<Utc>,
}

impl Flow for Unlink {
    type Answer = Result<(), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let mut user = match self.asker.lock(tx, self.now).await? {
            Ok(user) => user,
            Err(fault) => return Ok(Err(fault)),
        };
        let own = |identity: &Identity| identity.id == self.identity_id;
        let Some(at) = user.identities.iter().position(own) else {
            return Ok(Err(Fault::no_identity()));
        };
        if user.identities.len() < 2 {
            return Ok(Err(Fault::last_identity()));
        }
        let gone = user.identities.remove(at);
        tx.delete_identity(gone.id).await?;
        match &*gone.provider {
            // The address goes with the password, unless another identity has proved the same one. One that
            // the user did not have may be that of somebody who followed a link.
            "email" => {
                user.password_hash = None;
                let mut proved = user.identities.iter().filter_map(proved_address);
                if !proved.any(|address| user.email.as_deref() == Some(address)) {
                    user.email = None;
                    user.email_confirmed_at = None;
                    user.email_change = None;
                }
            }
            "phone" => {
                user.phone = None;
                user.phone_confirmed_at = None;
            }
            _ => {}
        }
        name_providers(&mut user);
        user.updated_at = self.now;
        tx.save_user(&user).await?;
        Ok(Ok(()))
    }
}

fn proved_address(identity: &Identity) -> Option<&str> {
    let verified = identity.identity_data.get("email_verified") == Some(&Value::Bool(true));
    let email = identity.identity_data.get("email").and_then(Value::as_str);
    email.filter(|_| verified)
}
