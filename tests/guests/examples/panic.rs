//! Panics three calls deep, with the message `as asked`: 500 for the client; message and function names,
//! `deepest` among them, for the log.

use std::hint::black_box;

#[pumice::function]
fn panic() -> String {
    outer(1).to_string()
}

#[inline(never)]
fn outer(depth: u32) -> u32 {
    black_box(deepest(depth + 1)) + 1
}

#[inline(never)]
fn deepest(depth: u32) -> u32 {
    if black_box(depth) > 0 {
        panic!("as asked");
    }
    depth
}
