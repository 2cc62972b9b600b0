//! Grows its memory to exactly `total` pages of 64 KiB (64 by default) in one step and answers how many it
//! has; a refusal ends it with a trap, as it ends a program that allocates.

use core::arch::wasm32::{memory_grow, memory_size};

use guests::number;
use pumice::Result;
use pumice::http::Request;

#[pumice::function]
fn pages(request: Request) -> Result<String> {
    let total = number(&request, "total", 64_usize)?;
    let missing = total.saturating_sub(memory_size::<0>());
    assert_ne!(memory_grow::<0>(missing), usize::MAX, "no more memory");
    Ok(format!("{} pages", memory_size::<0>()))
}
