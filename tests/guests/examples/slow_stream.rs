//! A head, then `chunks` (50) numbered lines, one every `interval_ms` (100). A client that leaves ends it:
//! the line `sent N` in the log tells how far it came, and only a full run logs `sent all`.

use guests::number;
use pumice::http::{Request, Response};
use pumice::{Result, log};
use wasip2::clocks::monotonic_clock::subscribe_duration;

#[pumice::function]
fn slow_stream(request: Request) -> Result<Response> {
    let chunks = number(&request, "chunks", 50)?;
    let interval_ms = number(&request, "interval_ms", 100_u64)?;
    Ok(Response::stream(move |writer| {
        for chunk in 0..chunks {
            writer.send(format!("{chunk}\n").as_bytes())?;
            log::info!("sent {chunk}");
            subscribe_duration(interval_ms.saturating_mul(1_000_000)).block();
        }
        log::info!("sent all");
        Ok(())
    })
    .header("content-type", "text/plain; charset=utf-8"))
}
