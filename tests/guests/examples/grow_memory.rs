//! Takes memory, and touches all of it, until it is refused. Stopped by: memory; an allocator that gets
//! none ends the program with a trap.

use std::hint::black_box;

#[pumice::function]
fn grow_memory() -> String {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
        if taken.len() > 1 << 16 {
            return "there seems to be no limit".into();
        }
    }
}
