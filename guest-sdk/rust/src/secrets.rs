//! Values that only the entries which name them may read: `secrets = ["PAYMENT_KEY"]` in `pumice.toml`.

use std::fmt;

use crate::bindings::imports::pumice::platform::secrets as host;

/// The secret called `name`, not yet its value.
///
/// # Errors
/// [`SecretError`], naming what to put right.
pub fn get(name: &str) -> Result<Secret, SecretError> {
    match host::get(name) {
        Ok(secret) => Ok(Secret(secret)),
        Err(host::Error::NotGranted(name)) => Err(SecretError::NotGranted(name)),
        Err(host::Error::NotSet(name)) => Err(SecretError::NotSet(name)),
        Err(host::Error::Other(message)) => Err(SecretError::Other(message)),
    }
}

/// A handle. Printing it shows nothing; [`Secret::reveal`] is the one way to the value.
pub struct Secret(host::Secret);

impl Secret {
    pub fn reveal(&self) -> String {
        self.0.reveal()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[derive(Debug)]
pub enum SecretError {
    /// The entry's `secrets` list in `pumice.toml` does not name it.
    NotGranted(String),
    /// It is named, but no value has been set for this app.
    NotSet(String),
    Other(String),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::NotGranted(name) => {
                write!(
                    f,
                    "secret `{name}` is not in this entry's `secrets` list in pumice.toml"
                )
            }
            SecretError::NotSet(name) => write!(f, "secret `{name}` has no value in this app"),
            SecretError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SecretError {}
