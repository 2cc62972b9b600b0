//! Waits in the host for `seconds` (an hour by default) and costs no CPU. Stopped by: wall time.

use guests::number;
use pumice::Result;
use pumice::http::Request;
use wasip2::clocks::monotonic_clock::subscribe_duration;

#[pumice::function]
fn park(request: Request) -> Result<&'static str> {
    let seconds = number(&request, "seconds", 3_600_u64)?;
    subscribe_duration(seconds.saturating_mul(1_000_000_000)).block();
    Ok("woke up\n")
}
