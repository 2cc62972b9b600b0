//! The rows of schema `auth`.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A user of an app. Column names are those of the dialect's `auth.users`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct User {
    pub id: Uuid,
    pub aud: String,
    pub role: String,
    /// Lower case.
    pub email: Option<String>,
    /// Digits, without `+`.
    pub phone: Option<String>,
    /// A PHC string, or one that was imported. Column `encrypted_password`.
    pub password_hash: Option<String>,
    pub email_confirmed_at: Option<DateTime<Utc>>,
    pub phone_confirmed_at: Option<DateTime<Utc>>,
    pub invited_at: Option<DateTime<Utc>>,
    pub confirmation_sent_at: Option<DateTime<Utc>>,
    pub recovery_sent_at: Option<DateTime<Utc>>,
    /// The address that is to become `email`.
    pub email_change: Option<String>,
    /// Whether one of two sides has confirmed the change.
    pub email_change_half: bool,
    pub email_change_sent_at: Option<DateTime<Utc>>,
    pub phone_change: Option<String>,
    pub phone_change_sent_at: Option<DateTime<Utc>>,
    pub reauthentication_sent_at: Option<DateTime<Utc>>,
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Column `raw_app_meta_data`: what the app says of the user.
    pub app_metadata: Map<String, Value>,
    /// Column `raw_user_meta_data`: what users say of themselves.
    pub user_metadata: Map<String, Value>,
    pub banned_until: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub is_anonymous: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// In order of creation.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// In order of creation.
    #[serde(default)]
    pub factors: Vec<Factor>,
}

/// What a user signs in with: `email`, `phone`, or one of a provider.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Identity {
    pub id: Uuid,
    pub user_id: Uuid,
    pub provider: String,
    /// The provider's name of the user; for `email` and `phone` the user's id. Unique with `provider`.
    pub provider_id: String,
    pub identity_data: Map<String, Value>,
    pub last_sign_in_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A second factor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Factor {
    pub id: Uuid,
    pub user_id: Uuid,
    pub friendly_name: Option<String>,
    /// `totp`.
    pub factor_type: String,
    pub status: FactorStatus,
    /// Sealed, base64.
    pub secret: String,
    /// The last step of time whose code was taken: no code is taken twice.
    pub last_step: Option<i64>,
    pub last_challenged_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorStatus {
    Unverified,
    Verified,
}

/// What a factor is asked once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Challenge {
    pub id: Uuid,
    pub factor_id: Uuid,
    pub created_at: DateTime<Utc>,
    pub verified_at: Option<DateTime<Utc>>,
    /// Wrong codes so far.
    pub attempts: i64,
    pub ip: Option<String>,
}

/// One sign-in and what followed from it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Session {
    /// The claim `session_id`.
    pub id: Uuid,
    pub user_id: Uuid,
    /// `aal1` or `aal2`.
    pub aal: String,
    /// How the user proved who they are: `[{"method", "timestamp"}]`, newest first.
    pub amr: Value,
    /// The number of the refresh token that is valid now.
    pub counter: i64,
    pub factor_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub refreshed_at: DateTime<Utc>,
    pub not_after: Option<DateTime<Utc>>,
    pub user_agent: Option<String>,
    pub ip: Option<String>,
}

/// A code or link that was sent and can be used once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OneTimeToken {
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: TokenKind,
    /// SHA-256 of what the link carries, in hex.
    pub token_hash: String,
    /// The address it was sent to.
    pub relates_to: String,
    /// Wrong codes so far.
    pub attempts: i64,
    /// Of the client that asked, with PKCE.
    pub flow_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// Each user has at most one of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    Confirmation,
    /// Magic link, code and recovery: each opens a session.
    Recovery,
    EmailChangeCurrent,
    EmailChangeNew,
    PhoneChange,
    Reauthentication,
}

impl TokenKind {
    pub fn as_str(self) -> &'static str {
        match self {
            TokenKind::Confirmation => "confirmation",
            TokenKind::Recovery => "recovery",
            TokenKind::EmailChangeCurrent => "email_change_current",
            TokenKind::EmailChangeNew => "email_change_new",
            TokenKind::PhoneChange => "phone_change",
            TokenKind::Reauthentication => "reauthentication",
        }
    }
}

/// A sign-in under way: PKCE, or at a provider.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FlowState {
    pub id: Uuid,
    /// None until the user is known.
    pub user_id: Option<Uuid>,
    /// The user whom a provider's identity is to be linked to.
    pub linking_user_id: Option<Uuid>,
    /// SHA-256 of the code that the client exchanges, in hex. None until the user is known.
    pub auth_code_hash: Option<String>,
    /// None in the implicit flow.
    pub code_challenge: Option<String>,
    /// `s256` or `plain`.
    pub code_challenge_method: Option<String>,
    /// Of the provider, or `email`.
    pub provider: String,
    /// As in `amr`: `oauth`, `magiclink`, `recovery`, …
    pub method: String,
    /// What the provider flow keeps, sealed and base64: verifier, nonce, the provider's tokens.
    pub sealed: Option<String>,
    pub redirect_to: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When the code was given.
    pub code_issued_at: Option<DateTime<Utc>>,
}

/// Something that happened to a user.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AuditEntry {
    pub id: Uuid,
    /// `action`, `actor_id`, `actor_username`, `traits`, …; no secret and no token.
    pub payload: Value,
    pub ip_address: String,
    pub created_at: DateTime<Utc>,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Part of the address, the phone number or the name, in any case.
    pub text: Option<String>,
}
