//! A before-user-created hook that refuses addresses of `blocked.example` with `blocked_domain`, and gives the
//! others `"plan": "free"` in their app metadata and `"greeted"` with their provider in their own. It tries to
//! change the provider, which is the host's.

use pumice::{Decision, NewUser, Rejection, reject};

#[pumice::before_user_created]
fn check(user: NewUser) -> Result<Decision, Rejection> {
    let email = user.email.as_deref().unwrap_or_default();
    if email.ends_with("@blocked.example") {
        return Err(reject("blocked_domain", "this domain may not sign up"));
    }
    let mut app_metadata = user.app_metadata;
    app_metadata["plan"] = "free".into();
    app_metadata["provider"] = "forged".into();
    let mut user_metadata = user.user_metadata;
    user_metadata["greeted"] = user.provider.into();
    Ok(Decision::Replace {
        user_metadata,
        app_metadata,
    })
}
