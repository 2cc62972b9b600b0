//! Who calls: an app's keys, and the check of keys and tokens.
//!
//! Sign-up and sessions come on top of this; a token is the same whoever issued it, as long as a key of this app
//! signed it.

pub mod api;
pub mod compat;
pub mod extract;
pub mod fault;
pub mod keys;
pub mod mfa;
pub mod oauth;
pub mod passwords;
pub mod revoked;

pub use self::keys::AppKeys;

/// Why a key or token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("Missing authorization header")]
    Missing,
    #[error("Invalid JWT")]
    Invalid(BadToken),
    /// A valid key that is not enough for this entry.
    #[error("this entry needs {0}")]
    Denied(&'static str),
    /// An API key outside its scopes.
    #[error("this API key does not open `{0}`; its scopes name other parts of the app")]
    Scope(&'static str),
    #[error("A secret key must not be used in a browser; use the publishable key there")]
    InBrowser,
    #[error("keys could not be made")]
    KeyGeneration,
}

/// What is wrong with a token. `Display` has the REST dialect's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("Expected 3 parts in JWT; got {0}")]
    Parts(usize),
    #[error("JWT couldn't be decoded")]
    Undecodable,
    #[error("Wrong or unsupported encoding algorithm")]
    Algorithm,
    #[error("No suitable key or wrong key type")]
    Key,
    #[error("JWT cryptographic operation failed")]
    Signature,
    #[error("Parsing claims failed")]
    Claims,
    #[error("JWT expired")]
    Expired,
    #[error("JWT of a session that has ended")]
    Ended,
    #[error("JWT not yet valid")]
    NotYet,
    #[error("JWT issued at future")]
    Issued,
    #[error("API key is mistyped: its checksum does not fit")]
    Mistyped,
    #[error("API key is unknown here: it was revoked, or is another app's")]
    Revoked,
}

impl BadToken {
    /// Whether the token is well signed and says itself that it opens nothing.
    pub fn by_claims(self) -> bool {
        matches!(
            self,
            BadToken::Claims
                | BadToken::Expired
                | BadToken::Ended
                | BadToken::NotYet
                | BadToken::Issued
        )
    }
}

impl From<BadToken> for AuthError {
    fn from(bad: BadToken) -> AuthError {
        AuthError::Invalid(bad)
    }
}
