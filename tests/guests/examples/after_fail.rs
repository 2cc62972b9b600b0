//! An after-trigger that always fails.

#[pumice::after_trigger]
fn fail() -> Result<(), &'static str> {
    Err("it always fails")
}
