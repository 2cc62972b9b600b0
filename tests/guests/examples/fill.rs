//! Fills 60 MiB in one instruction, again and again: the longest step that nothing can interrupt. Stopped
//! by: CPU or fuel.

use std::hint::black_box;

const BYTES: usize = 60 << 20;

#[pumice::function]
fn fill() {
    let mut memory = vec![0_u8; BYTES];
    let mut value = 0_u8;
    loop {
        value = value.wrapping_add(1);
        black_box(&mut memory[..]).fill(value);
    }
}
