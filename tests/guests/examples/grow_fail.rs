//! Asks for 4 GiB again and again and does not mind the refusals. Stopped by: CPU or fuel, to which a
//! refused growth has to count.

use core::arch::wasm32::memory_grow;
use std::hint::black_box;

#[pumice::function]
fn grow_fail() {
    loop {
        black_box(memory_grow::<0>(black_box(65_535)));
    }
}
