//! A user's rows as sign-ups make them and confirmations change them.

use chrono::{DateTime, Utc};
use pumice_host_api::auth::{Engine, Identity, OneTimeToken, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::codes::Code;
use super::shown::merge;
use crate::limits;
use crate::services::auth::fault::Fault;
use crate::services::auth::oauth::unproven::wipe_unproven;

/// A user of whom nothing is known yet.
pub fn blank(now: DateTime<Utc>) -> User {
    User {
        id: Uuid::new_v4(),
        aud: "authenticated".to_owned(),
        role: "authenticated".to_owned(),
        email: None,
        phone: None,
        password_hash: None,
        email_confirmed_at: None,
        phone_confirmed_at: None,
        invited_at: None,
        confirmation_sent_at: None,
        recovery_sent_at: None,
        email_change: None,
        email_change_half: false,
        email_change_sent_at: None,
        phone_change: None,
        phone_change_sent_at: None,
        reauthentication_sent_at: None,
        last_sign_in_at: None,
        app_metadata: Map::new(),
        user_metadata: Map::new(),
        banned_until: None,
        deleted_at: None,
        is_anonymous: false,
        created_at: now,
        updated_at: now,
        identities: Vec::new(),
        factors: Vec::new(),
    }
}

/// How somebody is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Email(String),
    /// Without `+`.
    Phone(String),
}

impl Address {
    /// The provider of its identity.
    pub fn provider(&self) -> &'static str {
        match self {
            Address::Email(_) => "email",
            Address::Phone(_) => "phone",
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Address::Email(text) | Address::Phone(text) => text,
        }
    }

    pub async fn user<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Option<User>, DataError> {
        match self {
            Address::Email(email) => tx.user_by_email(email).await,
            Address::Phone(phone) => tx.user_by_phone(phone).await,
        }
    }

    pub fn is_confirmed(&self, user: &User) -> bool {
        match self {
            Address::Email(_) => user.email_confirmed_at.is_some(),
            Address::Phone(_) => user.phone_confirmed_at.is_some(),
        }
    }
}

/// A user who signs up with `address`, and what they say of themselves.
pub fn new(address: &Address, data: Map<String, Value>, now: DateTime<Utc>) -> User {
    let mut user = blank(now);
    match address {
        Address::Email(email) => user.email = Some(email.clone()),
        Address::Phone(phone) => user.phone = Some(phone.clone()),
    }
    let provider = address.provider();
    user.app_metadata = providers(&[provider]);
    user.user_metadata = said(&user, address, false, data);
    let identity = identity(&user, provider, user.user_metadata.clone(), now);
    user.identities.push(identity);
    user
}

pub fn providers(names: &[&str]) -> Map<String, Value> {
    let mut metadata = Map::new();
    if let Some(first) = names.first() {
        metadata.insert("provider".to_owned(), (*first).into());
        metadata.insert("providers".to_owned(), json!(names));
    }
    metadata
}

/// What an identity of ours says of its user.
pub fn said(
    user: &User,
    address: &Address,
    verified: bool,
    data: Map<String, Value>,
) -> Map<String, Value> {
    let is_email = matches!(address, Address::Email(_));
    let mut said = data;
    said.insert("sub".to_owned(), user.id.to_string().into());
    said.insert(address.provider().to_owned(), address.text().into());
    said.insert("email_verified".to_owned(), (is_email && verified).into());
    said.insert("phone_verified".to_owned(), (!is_email && verified).into());
    said
}

/// An identity of ours: the provider knows the user by the user's own id.
pub fn identity(
    user: &User,
    provider: &str,
    data: Map<String, Value>,
    now: DateTime<Utc>,
) -> Identity {
    Identity {
        id: Uuid::new_v4(),
        user_id: user.id,
        provider: provider.to_owned(),
        provider_id: user.id.to_string(),
        identity_data: data,
        last_sign_in_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// Writes a new user with their identities; false when the address is taken.
pub async fn insert<E: Engine>(tx: &mut Tx<'_, E>, user: &User) -> Result<bool, DataError> {
    if !tx.insert_user(user).await? {
        return Ok(false);
    }
    for identity in &user.identities {
        tx.insert_identity(identity).await?;
    }
    Ok(true)
}

/// Says in memory that the user has shown to have the address; [`save`] writes it.
pub fn confirm(user: &mut User, address: &Address, now: DateTime<Utc>) {
    let verified = match address {
        Address::Email(_) => {
            user.email_confirmed_at.get_or_insert(now);
            "email_verified"
        }
        Address::Phone(_) => {
            user.phone_confirmed_at.get_or_insert(now);
            "phone_verified"
        }
    };
    user.updated_at = now;
    if let Some(value) = user.user_metadata.get_mut(verified) {
        *value = true.into();
    }
    let provider = address.provider();
    for identity in user
        .identities
        .iter_mut()
        .filter(|identity| identity.provider == provider)
    {
        identity
            .identity_data
            .insert(verified.to_owned(), true.into());
        identity.updated_at = now;
    }
}

/// Gives the user another address in memory, confirmed; [`save`] writes it. An anonymous user becomes a
/// lasting one.
pub fn change_address(user: &mut User, address: &Address, now: DateTime<Utc>) {
    match address {
        Address::Email(email) => {
            user.email = Some(email.clone());
            user.email_confirmed_at = Some(now);
            user.email_change = None;
            user.email_change_half = false;
        }
        Address::Phone(phone) => {
            user.phone = Some(phone.clone());
            user.phone_confirmed_at = Some(now);
            user.phone_change = None;
        }
    }
    user.updated_at = now;
    user.is_anonymous = false;
    let provider = address.provider();
    let said = said(user, address, true, Map::new());
    match user
        .identities
        .iter_mut()
        .find(|identity| identity.provider == provider)
    {
        Some(identity) => {
            merge(&mut identity.identity_data, said);
            identity.updated_at = now;
        }
        None => {
            let identity = identity(user, provider, said, now);
            user.identities.push(identity);
            let mut names: Vec<String> = user
                .app_metadata
                .get("providers")
                .and_then(Value::as_array)
                .map(|names| {
                    names
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default();
            if !names.iter().any(|name| name == provider) {
                names.push(provider.to_owned());
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            merge(&mut user.app_metadata, providers(&names));
        }
    }
    for key in [
        provider,
        if provider == "email" {
            "email_verified"
        } else {
            "phone_verified"
        },
    ] {
        if user.user_metadata.contains_key(key) {
            let value = match key == provider {
                true => address.text().into(),
                false => Value::Bool(true),
            };
            user.user_metadata.insert(key.to_owned(), value);
        }
    }
}

/// Writes the user and those identities that a [`confirm`] or [`change_address`] may have changed or made;
/// false when the address is another's.
pub async fn save<E: Engine>(tx: &mut Tx<'_, E>, user: &User) -> Result<bool, DataError> {
    if !tx.save_user(user).await? {
        return Ok(false);
    }
    for identity in &user.identities {
        let ours = identity.provider == "email" || identity.provider == "phone";
        if ours && !tx.insert_identity(identity).await? {
            tx.save_identity(identity).await?;
        }
    }
    Ok(true)
}

/// Ends what was begun before a new password: sessions but `except`, codes and links, changes of an address.
/// [`Tx::save_user`] is the caller's.
pub async fn shut<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &mut User,
    except: Option<Uuid>,
) -> Result<(), DataError> {
    tx.delete_sessions(user.id, except).await?;
    tx.delete_tokens(user.id).await?;
    tx.delete_flows(user.id).await?;
    user.email_change = None;
    user.email_change_half = false;
    user.phone_change = None;
    Ok(())
}

/// Leaves of a user whom nobody has proved to be the address and its own identity.
pub async fn wipe<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &mut User,
    address: &Address,
    now: DateTime<Utc>,
) -> Result<(), DataError> {
    let provider = address.provider();
    let own = user
        .identities
        .iter()
        .find(|identity| identity.provider == provider)
        .cloned();
    wipe_unproven(tx, user, own.as_ref()).await?;
    if own.is_none() {
        let said = said(user, address, false, Map::new());
        merge(&mut user.app_metadata, providers(&[provider]));
        user.user_metadata = said.clone();
        let identity = identity(user, provider, said, now);
        user.identities.push(identity);
    }
    Ok(())
}

/// # Errors
/// 400 when what is said of a user would make tokens too long.
pub fn fits(user: &User) -> Result<(), Fault> {
    let bytes = |said: &Map<String, Value>| {
        serde_json::to_string(said).map_or(usize::MAX, |text| text.len())
    };
    let sum = bytes(&user.user_metadata).saturating_add(bytes(&user.app_metadata));
    match sum > limits::METADATA_BYTES_MAX {
        true => Err(Fault::invalid(format!(
            "user_metadata and app_metadata have more than {} bytes together; keep what is larger in a table",
            limits::METADATA_BYTES_MAX
        ))),
        false => Ok(()),
    }
}

/// Keeps `code` as what `user` was sent.
pub async fn keep_code<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &User,
    kind: TokenKind,
    address: &str,
    code: &Code,
    flow_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), DataError> {
    tx.put_token(&OneTimeToken {
        id: Uuid::new_v4(),
        user_id: user.id,
        kind,
        token_hash: code.kept.clone(),
        relates_to: address.to_owned(),
        attempts: 0,
        flow_id,
        created_at: now,
    })
    .await
}
