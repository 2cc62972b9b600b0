//! The least a function does; the bench calls it.

#[pumice::function]
fn hello() -> &'static str {
    "hello"
}
