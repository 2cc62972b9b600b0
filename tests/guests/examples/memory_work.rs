//! Follows a chain of indices through 16 MiB in an order no cache foresees, `steps` times (100,000 by default).

use guests::number;
use pumice::Result;
use pumice::http::Request;

/// A power of two, so that the sequence below visits every place before it repeats.
const PLACES: u32 = 4 << 20;

#[pumice::function]
fn memory_work(request: Request) -> Result<String> {
    let steps = number(&request, "steps", 100_000_u32)?;
    // A full-period linear congruence: odd increment, multiplier 1 mod 4.
    let chain: Vec<u32> = (0..PLACES)
        .map(|place| place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % PLACES)
        .collect();
    let mut place = 0;
    for _ in 0..steps {
        place = chain[place as usize];
    }
    Ok(format!("at {place}\n"))
}
