//! Asks the host for the time, `calls` times (a million by default), and answers how many went forward.
//! Stopped by: fuel, if calls are priced so; else it ends by itself.

use guests::number;
use pumice::Result;
use pumice::http::Request;
use wasip2::clocks::monotonic_clock::now;

#[pumice::function]
fn cheap_calls(request: Request) -> Result<String> {
    let calls = number(&request, "calls", 1_000_000)?;
    let mut last = now();
    let mut forward = 0_u64;
    for _ in 0..calls {
        let instant = now();
        forward += u64::from(instant > last);
        last = instant;
    }
    Ok(format!("{forward} of {calls}\n"))
}
