//! One component of every kind. The function answers 204, the triggers leave everything as it is, the procedure
//! answers `"procedure"`.

use pumice::Rejection;

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
