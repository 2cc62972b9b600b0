//! Calls itself without end. Stopped by: the stack.

use std::hint::black_box;

#[pumice::function]
fn recurse() -> String {
    descend(0).to_string()
}

/// Each call needs its frame after the inner one has returned, so it is no loop in disguise.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    if depth == u64::MAX {
        return 0;
    }
    black_box(descend(frame[0] + 1)) ^ frame[7]
}
