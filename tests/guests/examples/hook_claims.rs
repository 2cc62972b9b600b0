//! A custom-claims hook that adds `plan`, and `asked`: the method, and as whom the hook itself is called. It leaves
//! out `phone` and tries to change claims that are the host's.

use pumice::{ClaimsRequest, Rejection, identity};
use serde_json::{Value, json};

#[pumice::custom_claims]
fn claims(request: ClaimsRequest) -> Result<Value, Rejection> {
    let caller = identity::caller();
    let mut claims = request.claims;
    claims["plan"] = "gold".into();
    claims["asked"] = json!({
        "method": request.authentication_method,
        "role": caller.role,
        "is_user": caller.user_id.as_ref() == Some(&request.user_id),
    });
    for name in [
        "iss",
        "sub",
        "aud",
        "session_id",
        "aal",
        "amr",
        "is_anonymous",
    ] {
        claims[name] = "forged".into();
    }
    claims["iat"] = 1.into();
    claims["exp"] = 9_999_999_999_i64.into();
    if let Some(claims) = claims.as_object_mut() {
        claims.remove("phone");
    }
    Ok(claims)
}
