//! What `/auth/v1` answers instead of success, in the dialect's codes and words.
//!
//! Source: <https://supabase.com/docs/guides/auth/debugging/error-codes>; clients tell cases apart by the
//! code, and their own tests by some of the messages.

use std::borrow::Cow;

use http::StatusCode;
use pumice_host_api::data::DataError;

use crate::services::rates::Decision;

/// Why a request of `/auth/v1` was refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub status: StatusCode,
    /// `error_code` of the dialect, or a hook's own: printable ASCII without spaces.
    pub code: Cow<'static, str>,
    pub message: String,
    /// Why a password is weak: `length`, `characters`, `pwned`.
    pub reasons: Vec<&'static str>,
    /// Seconds after which it may be tried again.
    pub retry_after: Option<u32>,
    /// The limit that was met: its numbers are headers of the answer.
    pub rate: Option<Box<Decision>>,
    /// What happened, for the log and nobody else.
    pub cause: Option<String>,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $status:ident $code:literal $message:literal;)*) => {
        impl Fault {
            $($(#[$doc])* pub fn $name() -> Fault {
                Fault::new(StatusCode::$status, $code, $message)
            })*
        }
    };
}

faults! {
    bad_json BAD_REQUEST "bad_json" "Could not parse request body as JSON";
    too_large PAYLOAD_TOO_LARGE "request_entity_too_large" "Request body is too large";
    not_found NOT_FOUND "validation_failed" "There is nothing at this path";
    method METHOD_NOT_ALLOWED "validation_failed" "This path has no such method";
    unsupported_grant BAD_REQUEST "invalid_credentials" "unsupported_grant_type";
    invalid_credentials BAD_REQUEST "invalid_credentials" "Invalid login credentials";
    email_not_confirmed BAD_REQUEST "email_not_confirmed" "Email not confirmed";
    phone_not_confirmed BAD_REQUEST "phone_not_confirmed" "Phone not confirmed";
    user_banned BAD_REQUEST "user_banned" "User is banned";
    invalid_email BAD_REQUEST "validation_failed" "Unable to validate email address: invalid format";
    invalid_phone BAD_REQUEST "validation_failed" "Invalid phone number format (E.164 required)";
    no_authorization UNAUTHORIZED "no_authorization" "This endpoint requires a valid Bearer token";
    user_gone FORBIDDEN "user_not_found" "User from sub claim in JWT does not exist";
    session_gone FORBIDDEN "session_not_found" "Session from session_id claim in JWT does not exist";
    not_admin FORBIDDEN "not_admin" "User not allowed";
    no_user NOT_FOUND "user_not_found" "User not found";
    user_exists UNPROCESSABLE_ENTITY "user_already_exists" "User already registered";
    email_exists UNPROCESSABLE_ENTITY "email_exists" "A user with this email address has already been registered";
    phone_exists UNPROCESSABLE_ENTITY "phone_exists" "A user with this phone number has already been registered";
    signup_disabled UNPROCESSABLE_ENTITY "signup_disabled" "Signups not allowed for this instance";
    otp_disabled UNPROCESSABLE_ENTITY "otp_disabled" "Signups not allowed for otp";
    anonymous_disabled UNPROCESSABLE_ENTITY "anonymous_provider_disabled" "Anonymous sign-ins are disabled";
    email_disabled UNPROCESSABLE_ENTITY "email_provider_disabled" "Email logins are disabled";
    email_signup_disabled UNPROCESSABLE_ENTITY "email_provider_disabled" "Email signups are disabled";
    phone_disabled UNPROCESSABLE_ENTITY "phone_provider_disabled" "Phone logins are disabled";
    phone_signup_disabled UNPROCESSABLE_ENTITY "phone_provider_disabled" "Phone signups are disabled";
    same_password UNPROCESSABLE_ENTITY "same_password" "New password should be different from the old password.";
    reauthentication_needed BAD_REQUEST "reauthentication_needed" "Password update requires reauthentication";
    reauthentication_not_valid UNPROCESSABLE_ENTITY "reauthentication_not_valid" "Nonce has expired or is invalid";
    aal_for_update UNAUTHORIZED "insufficient_aal" "AAL2 session is required to update email or password when MFA is enabled.";
    otp_expired FORBIDDEN "otp_expired" "Token has expired or is invalid";
    link_expired FORBIDDEN "otp_expired" "Email link is invalid or has expired";
    refresh_not_valid BAD_REQUEST "validation_failed" "Refresh token is not valid";
    refresh_not_found BAD_REQUEST "refresh_token_not_found" "Invalid Refresh Token: Refresh Token Not Found";
    refresh_used BAD_REQUEST "refresh_token_already_used" "Invalid Refresh Token: Already Used";
    refresh_banned BAD_REQUEST "user_banned" "Invalid Refresh Token: User Banned";
    session_expired BAD_REQUEST "session_expired" "Invalid Refresh Token: Session Expired";
    session_idle BAD_REQUEST "session_expired" "Invalid Refresh Token: Session Expired (Inactivity)";
    session_replaced BAD_REQUEST "session_expired" "Invalid Refresh Token: Session Expired (Revoked by Newer Login)";
    flow_not_found NOT_FOUND "flow_state_not_found" "invalid flow state, no valid flow state found";
    flow_expired UNPROCESSABLE_ENTITY "flow_state_expired" "invalid flow state, flow state has expired";
    bad_verifier BAD_REQUEST "bad_code_verifier" "code challenge does not match previously saved code verifier";
    linking_disabled NOT_FOUND "manual_linking_disabled" "Manual linking is disabled";
    no_identity UNPROCESSABLE_ENTITY "identity_not_found" "Identity doesn't exist";
    identity_exists UNPROCESSABLE_ENTITY "identity_already_exists" "Identity is already linked to another user";
    last_identity UNPROCESSABLE_ENTITY "single_identity_not_deletable" "User must have at least 1 identity after unlinking";
    provider_not_enabled BAD_REQUEST "validation_failed" "Unsupported provider: provider is not enabled";
    bad_oauth_state BAD_REQUEST "bad_oauth_state" "OAuth state is invalid";
    bad_oauth_callback BAD_REQUEST "bad_oauth_callback" "OAuth callback is invalid";
    changed CONFLICT "conflict" "The account changed meanwhile; try again";
    bad_id_token BAD_REQUEST "bad_jwt" "Bad ID token";
    nonce_missing BAD_REQUEST "validation_failed" "Passed nonce and nonce in id_token should either both exist or not.";
    nonce_mismatch BAD_REQUEST "validation_failed" "Nonces mismatch";
    already_linked UNPROCESSABLE_ENTITY "identity_already_exists" "Identity is already linked";
    flow_used BAD_REQUEST "flow_state_already_used" "invalid flow state, it has been used already";
    email_needs_verification FORBIDDEN "provider_email_needs_verification" "Unverified email with the provider. A confirmation email has been sent to your email";
    saml_disabled NOT_FOUND "saml_provider_disabled" "SAML 2.0 is disabled";
    web3_disabled UNPROCESSABLE_ENTITY "web3_provider_disabled" "Web3 provider is disabled";
    passkey_disabled NOT_FOUND "passkey_disabled" "Passkeys are disabled";
    feature_disabled NOT_FOUND "feature_disabled" "This feature is disabled";
    no_factor NOT_FOUND "mfa_factor_not_found" "Factor not found";
    factor_name_conflict UNPROCESSABLE_ENTITY "mfa_factor_name_conflict" "A factor with this friendly name exists already for this user";
    too_many_factors UNPROCESSABLE_ENTITY "too_many_enrolled_mfa_factors" "Maximum number of enrolled factors reached, unenroll to continue";
    totp_enroll_disabled UNPROCESSABLE_ENTITY "mfa_totp_enroll_not_enabled" "MFA enroll is disabled for TOTP";
    phone_enroll_disabled UNPROCESSABLE_ENTITY "mfa_phone_enroll_not_enabled" "MFA enroll is disabled for Phone";
    webauthn_enroll_disabled UNPROCESSABLE_ENTITY "mfa_webauthn_enroll_not_enabled" "MFA enroll is disabled for WebAuthn";
    aal_to_enroll FORBIDDEN "insufficient_aal" "AAL2 required to enroll a new factor";
    aal_to_unenroll UNPROCESSABLE_ENTITY "insufficient_aal" "AAL2 required to unenroll verified factor";
    totp_wrong UNPROCESSABLE_ENTITY "mfa_verification_failed" "Invalid TOTP code entered";
    recovery_wrong UNPROCESSABLE_ENTITY "mfa_verification_failed" "Invalid recovery code entered";
    aal_for_recovery_codes FORBIDDEN "insufficient_aal" "AAL2 required to make recovery codes";
    no_challenge UNPROCESSABLE_ENTITY "mfa_factor_not_found" "MFA factor with the provided challenge ID not found";
    challenge_expired UNPROCESSABLE_ENTITY "mfa_challenge_expired" "MFA challenge has expired, verify against another challenge or create a new challenge.";
    challenge_ip UNPROCESSABLE_ENTITY "mfa_ip_address_mismatch" "Challenge and verify IP addresses mismatch";
    secret_in_browser UNAUTHORIZED "validation_failed" "A secret key must not be used in a browser; use the publishable key there";
    external UNPROCESSABLE_ENTITY "feature_disabled" "The app's database is an external one, without users of Pumice";
    /// A hook was stopped at a limit.
    hook_timeout UNPROCESSABLE_ENTITY "hook_timeout" "A hook of the app was stopped at its limit";
    /// A hook answered what cannot be used, or nothing.
    hook_failed UNPROCESSABLE_ENTITY "hook_payload_invalid_content_type" "A hook of the app did not answer as it should";
    overloaded SERVICE_UNAVAILABLE "request_timeout" "Too many sign-ins at this moment; try again";
}

impl Fault {
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Fault {
        Fault {
            status,
            code: code.into(),
            message: message.into(),
            reasons: Vec::new(),
            retry_after: None,
            rate: None,
            cause: None,
        }
    }

    /// 400 with words of its own.
    pub fn invalid(message: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "validation_failed", message)
    }

    /// 400: the app takes no tokens of this issuer.
    pub fn provider_disabled(issuer: &str) -> Fault {
        let message = format!("Provider (issuer {issuer:?}) is not enabled");
        Fault::new(StatusCode::BAD_REQUEST, "provider_disabled", message)
    }

    /// 403 for a token; `why` says what is wrong with it.
    pub fn bad_jwt(why: impl std::fmt::Display) -> Fault {
        let message = format!("invalid JWT: unable to parse or verify signature, {why}");
        Fault::new(StatusCode::FORBIDDEN, "bad_jwt", message)
    }

    /// 422 for a password; `reasons` as clients know them: `length`, `characters`, `pwned`.
    pub fn weak_password(message: impl Into<String>, reasons: Vec<&'static str>) -> Fault {
        Fault {
            reasons,
            ..Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "weak_password", message)
        }
    }

    /// 429; `code` is one of `over_request_rate_limit`, `over_email_send_rate_limit` and the like.
    pub fn too_many(code: &'static str, message: impl Into<String>, retry_after: u64) -> Fault {
        Fault {
            retry_after: Some(u32::try_from(retry_after).unwrap_or(u32::MAX)),
            ..Fault::new(StatusCode::TOO_MANY_REQUESTS, code, message)
        }
    }

    /// 500: `cause` is logged and not told.
    pub fn unexpected(cause: impl std::fmt::Display) -> Fault {
        Fault {
            cause: Some(cause.to_string()),
            ..Fault::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "unexpected_failure",
                "Unexpected failure, please check server logs for more information",
            )
        }
    }
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Fault {
        match error {
            DataError::Unavailable(_) => Fault {
                cause: Some(error.to_string()),
                ..Fault::overloaded()
            },
            DataError::Sql(fault) if fault.code == "23503" => Fault::new(
                StatusCode::CONFLICT,
                "conflict",
                "Rows of the app still refer to this user; delete them first, or declare their foreign key `on delete cascade`",
            ),
            // Of data that cannot be kept: what was sent is at fault.
            DataError::Sql(fault)
                if fault.code.starts_with("22") || fault.code.starts_with("54") =>
            {
                Fault::invalid(fault.message.clone())
            }
            other => Fault::unexpected(other),
        }
    }
}
