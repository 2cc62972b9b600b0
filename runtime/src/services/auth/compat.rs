//! The secret and the keys that every developer of the dialect knows, for running its own suites.
//!
//! Whoever knows the secret is anybody: [`SharedSecret::of_suites`] is called for
//! `pumice dev --compat supabase`, which listens on this machine only, and for nothing else.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};

use super::keys::signing::Verifier;

/// A secret shared with whoever signs tokens (HS256).
#[derive(Clone)]
pub struct SharedSecret(Arc<Verifier>);

/// Source: supabase/cli, `pkg/config` (the defaults of a local stack).
const SECRET: &[u8] = b"super-secret-jwt-token-with-at-least-32-characters-long";
/// When the demo keys end: in 2032.
const EXPIRES: u64 = 1_983_812_996;

impl SharedSecret {
    /// The one of the dialect's own suites.
    pub fn of_suites() -> SharedSecret {
        SharedSecret(Arc::new(Verifier::secret(SECRET)))
    }

    pub(super) fn verifier(&self) -> Arc<Verifier> {
        self.0.clone()
    }
}

/// The demo key of a role (`anon`, `service_role`): its claims are those that suites contain. None if it
/// cannot be signed.
pub fn demo_key(role: &str) -> Option<String> {
    #[derive(serde::Serialize)]
    struct Demo<'r> {
        iss: &'static str,
        role: &'r str,
        exp: u64,
    }
    let claims = Demo {
        iss: "supabase-demo",
        role,
        exp: EXPIRES,
    };
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).ok()
}

#[cfg(test)]
mod tests {
    use pumice_host_api::{AppId, Role};

    use super::super::keys::stored::{KeyState, StoredKey};
    use super::super::{AppKeys, AuthError, BadToken};
    use super::*;

    const NOW: u64 = 1_800_000_000;
    /// As the suites have it.
    const ANON: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9.CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0";

    #[test]
    fn demo_keys_open_what_shares_their_secret_and_nothing_else() {
        let keys = || {
            let first = StoredKey::first(AppId(uuid::Uuid::nil()), NOW).unwrap();
            AppKeys::new(vec![(KeyState::InUse, first)], Vec::new()).unwrap()
        };
        let shared = keys().sharing(SharedSecret::of_suites()).unwrap();
        assert_eq!(shared.verify(ANON, NOW).unwrap().role, Role::Anon);
        let service = demo_key("service_role").unwrap();
        assert_eq!(
            shared.verify(&service, NOW).unwrap().role,
            Role::ServiceRole
        );
        assert_eq!(shared.verify(&shared.anon(), NOW).unwrap().role, Role::Anon);
        let refused = AuthError::Invalid(BadToken::Algorithm);
        assert_eq!(keys().verify(ANON, NOW).unwrap_err(), refused);
        let late = shared.verify(&service, EXPIRES + 60).unwrap_err();
        assert_eq!(late, AuthError::Invalid(BadToken::Expired));
        let mut forged = ANON.to_owned();
        forged.replace_range(ANON.len() - 6..ANON.len() - 5, "A");
        let broken = shared.verify(&forged, NOW).unwrap_err();
        assert_eq!(broken, AuthError::Invalid(BadToken::Signature));
    }
}
