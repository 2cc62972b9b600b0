//! Accounts that somebody prepared with an address of somebody else's.
//!
//! Whoever proves the address gets the account, and nothing in it may let the other in again.

use pumice_host_api::auth::{Engine, Identity, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::Map;
use uuid::Uuid;

use super::identities::name_providers;

/// Whether anything of the account was ever proved: an address is confirmed, or there is none that would
/// have to be, or the app's server made the account.
///
/// Linking at providers does not ask this: an address that a provider vouches for takes over an account of
/// the app's making too.
pub fn proved(user: &User) -> bool {
    user.email_confirmed_at.is_some()
        || user.phone_confirmed_at.is_some()
        || (user.email.is_none() && user.phone.is_none())
        || is_made_by_app(user)
}

/// Whether the app's server made the account, or invited to it, and nobody has signed up with its address
/// before or since. No column says so; in doubt it is not. `invited_at` says nothing, as an account that
/// somebody has prepared can be invited to as well.
fn is_made_by_app(user: &User) -> bool {
    // Public sign-ups leave `sub` in what users say of themselves, unless a hook removes it.
    let signed_up = user.user_metadata.contains_key("sub");
    // One with a password sends a mail before it counts; an account that the app's server gives a password
    // has had none.
    let password = user.password_hash.is_some() && user.confirmation_sent_at.is_some();
    let foreign = user.identities.iter().any(|identity| !is_ours(identity));
    !signed_up && !password && !foreign
}

fn is_ours(identity: &Identity) -> bool {
    matches!(&*identity.provider, "email" | "phone")
}

/// Removes what an unproven account has and its address does not prove: password, other identities than
/// `keep`, factors, recovery codes, sessions, codes and links that were sent, changes of address that were
/// begun, and what the user is said to have said. Answers the sessions that ended, whose access tokens the
/// caller has refused once that is durable.
///
/// `keep` is the identity that proves the address, by its id; none if it is yet to be added. Only an identity
/// `phone` keeps the phone number, and with it the e-mail address goes; otherwise it is the other way round.
/// What the app says of the user stays: `app_metadata`, role, ban. The row has to be locked, and is written;
/// to confirm the address is the caller's.
///
/// # Errors
/// The engine's.
pub async fn wipe_unproven<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &mut User,
    keep: Option<&Identity>,
) -> Result<Vec<Uuid>, DataError> {
    let ended = tx.delete_sessions(user.id, None).await?;
    tx.delete_tokens(user.id).await?;
    tx.put_recovery_codes(user.id, &[]).await?;
    for factor in &user.factors {
        tx.delete_factor(factor.id).await?;
    }
    for identity in &user.identities {
        if !is_kept(identity, keep) {
            tx.delete_identity(identity.id).await?;
        }
    }
    strip(user, keep);
    for identity in &user.identities {
        tx.save_identity(identity).await?;
    }
    tx.save_user(user).await?;
    Ok(ended)
}

fn is_kept(identity: &Identity, keep: Option<&Identity>) -> bool {
    keep.is_some_and(|keep| keep.id == identity.id)
}

/// [`wipe_unproven`] in memory.
fn strip(user: &mut User, keep: Option<&Identity>) {
    user.factors.clear();
    user.identities.retain(|identity| is_kept(identity, keep));
    user.user_metadata = Map::new();
    for identity in &mut user.identities {
        if is_ours(identity) {
            // The rest was said at the sign-up.
            let own = identity.provider.clone();
            identity.identity_data.retain(|name, _| {
                *name == own || matches!(&**name, "sub" | "email_verified" | "phone_verified")
            });
        }
        user.user_metadata = identity.identity_data.clone();
    }
    name_providers(user);
    user.password_hash = None;
    if keep.is_some_and(|keep| keep.provider == "phone") {
        user.email = None;
        user.email_confirmed_at = None;
    } else {
        user.phone = None;
        user.phone_confirmed_at = None;
    }
    user.email_change = None;
    user.email_change_half = false;
    user.email_change_sent_at = None;
    user.phone_change = None;
    user.phone_change_sent_at = None;
    user.recovery_sent_at = None;
    user.reauthentication_sent_at = None;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: &str = "2026-01-02T03:04:05Z";

    fn identity(number: u128, provider: &str, data: Value) -> Value {
        json!({ "id": Uuid::from_u128(number), "user_id": Uuid::nil(), "provider": provider,
            "provider_id": "x", "identity_data": data, "created_at": AT, "updated_at": AT })
    }

    /// A user with an address that nobody has proved, and `more`.
    fn user(more: Value) -> User {
        let mut user = json!({ "id": Uuid::nil(), "aud": "authenticated", "role": "authenticated",
            "email": "ann@example.com", "email_change_half": false, "app_metadata": {},
            "user_metadata": {}, "is_anonymous": false, "created_at": AT, "updated_at": AT });
        for (name, value) in more.as_object().unwrap() {
            user[name] = value.clone();
        }
        serde_json::from_value(user).unwrap()
    }

    #[test]
    fn what_was_ever_proved() {
        let is = |more| proved(&user(more));
        assert!(is(
            json!({ "email_confirmed_at": AT, "user_metadata": { "sub": "x" } })
        ));
        assert!(is(
            json!({ "phone_confirmed_at": AT, "user_metadata": { "sub": "x" } })
        ));
        assert!(is(
            json!({ "email": null, "identities": [identity(1, "google", json!({}))] })
        ));
        // As the app's server makes one, with a password and by an invitation.
        assert!(is(
            json!({ "password_hash": "x", "user_metadata": { "name": "Ann" } })
        ));
        let email = identity(1, "email", json!({ "sub": "x" }));
        assert!(is(
            json!({ "invited_at": AT, "confirmation_sent_at": AT, "identities": [email] })
        ));
    }

    #[test]
    fn what_somebody_may_have_prepared() {
        let is = |more| proved(&user(more));
        assert!(!is(json!({ "user_metadata": { "sub": "x" } })));
        assert!(!is(
            json!({ "invited_at": AT, "user_metadata": { "sub": "x" } })
        ));
        // A hook has taken `sub` out.
        assert!(!is(
            json!({ "password_hash": "x", "confirmation_sent_at": AT })
        ));
        assert!(!is(
            json!({ "identities": [identity(1, "google", json!({}))] })
        ));
        assert!(!is(
            json!({ "email": null, "phone": "1", "user_metadata": { "sub": "x" } })
        ));
    }

    fn prepared() -> User {
        let said = json!({ "sub": "x", "email": "ann@example.com", "email_verified": false,
            "phone_verified": false, "phone": "666", "admin": true });
        let factor = json!({ "id": Uuid::nil(), "user_id": Uuid::nil(), "factor_type": "totp",
            "status": "verified", "secret": "x", "created_at": AT, "updated_at": AT });
        user(
            json!({ "password_hash": "x", "phone": "1", "email_change": "eve@example.com",
            "email_change_half": true, "phone_change": "2", "email_change_sent_at": AT,
            "phone_change_sent_at": AT, "recovery_sent_at": AT, "reauthentication_sent_at": AT,
            "app_metadata": { "plan": "gold", "provider": "email", "providers": ["email", "google"] },
            "user_metadata": said, "banned_until": AT, "factors": [factor],
            "identities": [identity(1, "email", said), identity(2, "google", json!({ "sub": "g" })),
                identity(3, "phone", json!({ "sub": "x", "phone": "1", "admin": true }))] }),
        )
    }

    #[test]
    fn nothing_that_was_prepared_is_left() {
        let stripped = |kept: Option<usize>| {
            let mut user = prepared();
            let keep = kept.map(|at| user.identities[at].clone());
            strip(&mut user, keep.as_ref());
            user
        };
        let proved = stripped(Some(0));
        let data = json!({ "sub": "x", "email": "ann@example.com", "email_verified": false,
            "phone_verified": false });
        let expected = user(json!({ "user_metadata": data, "banned_until": AT,
            "app_metadata": { "plan": "gold", "provider": "email", "providers": ["email"] },
            "identities": [identity(1, "email", data)] }));
        assert_eq!(proved, expected);

        let proved = stripped(Some(1));
        let expected = user(json!({ "user_metadata": { "sub": "g" }, "banned_until": AT,
            "app_metadata": { "plan": "gold", "provider": "google", "providers": ["google"] },
            "identities": [identity(2, "google", json!({ "sub": "g" }))] }));
        assert_eq!(proved, expected);

        let proved = stripped(Some(2));
        let data = json!({ "sub": "x", "phone": "1" });
        let expected = user(json!({ "email": null, "phone": "1", "user_metadata": data,
            "banned_until": AT, "identities": [identity(3, "phone", data)],
            "app_metadata": { "plan": "gold", "provider": "phone", "providers": ["phone"] } }));
        assert_eq!(proved, expected);

        let proved = stripped(None);
        let expected = user(json!({ "banned_until": AT,
            "app_metadata": { "plan": "gold", "providers": [] } }));
        assert_eq!(proved, expected);
    }
}
