//! One component of every kind. The function answers 204, the triggers leave everything as it is, the procedure
//! answers `"procedure"`, the hooks change nothing.

use pumice::{ClaimsRequest, Rejection};
use serde_json::Value;

#[pumice::function]
fn function() {}

#[pumice::before_trigger]
fn before() {}

#[pumice::after_trigger]
fn after() {}

#[pumice::procedure]
fn procedure() -> Result<&'static str, Rejection> {
    Ok("procedure")
}

#[pumice::script]
fn script() {}

#[pumice::before_user_created]
fn before_user_created() {}

#[pumice::custom_claims]
fn custom_claims(request: ClaimsRequest) -> Result<Value, Rejection> {
    Ok(request.claims)
}

#[pumice::send_message]
fn send_message() {}
