//! Messages to the app's connected clients.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::pumice::platform::messaging as host;
use crate::row;

/// Whom a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everybody on the channel.
    Channel(String),
    /// Every socket of one user, by id.
    User(String),
    Everyone,
}

impl Target {
    /// Everybody on the channel `name`.
    pub fn channel(name: impl Into<String>) -> Self {
        Target::Channel(name.into())
    }

    /// Every socket of the user with this id.
    pub fn user(id: impl Into<String>) -> Self {
        Target::User(id.into())
    }
}

/// Sends `payload` under the name `event`.
///
/// # Errors
/// [`MessagingError`].
pub fn publish<T: Serialize + ?Sized>(
    target: Target,
    event: &str,
    payload: &T,
) -> Result<(), MessagingError> {
    let target = match target {
        Target::Channel(name) => host::Target::Channel(name),
        Target::User(id) => host::Target::User(id),
        Target::Everyone => host::Target::Everyone,
    };
    let payload = row::to_text(payload).map_err(MessagingError::Other)?;
    Ok(host::publish(&target, event, &payload)?)
}

/// Who is on `channel` now: a map from presence key to what each has told of itself.
///
/// # Errors
/// [`MessagingError`]; [`MessagingError::Other`] too if it does not fit `T`.
pub fn presence<T: DeserializeOwned>(channel: &str) -> Result<T, MessagingError> {
    let text = host::presence(channel)?;
    row::read(&text).map_err(MessagingError::Other)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagingError {
    /// This server carries no messages for this app.
    NotConfigured,
    /// The payload is larger than a message may be.
    TooLarge(String),
    /// A before-trigger cannot send.
    NotInBeforeTrigger,
    Unavailable,
    Other(String),
}

impl From<host::Error> for MessagingError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NotConfigured => MessagingError::NotConfigured,
            host::Error::TooLarge(what) => MessagingError::TooLarge(what),
            host::Error::NotInBeforeTrigger => MessagingError::NotInBeforeTrigger,
            host::Error::Unavailable => MessagingError::Unavailable,
            host::Error::Other(message) => MessagingError::Other(message),
        }
    }
}

impl fmt::Display for MessagingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessagingError::NotConfigured => {
                f.write_str("this server carries no messages for this app")
            }
            MessagingError::TooLarge(what) => write!(f, "too large for a message: {what}"),
            MessagingError::NotInBeforeTrigger => f.write_str("a before-trigger cannot send"),
            MessagingError::Unavailable => f.write_str("messaging is unavailable"),
            MessagingError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for MessagingError {}
