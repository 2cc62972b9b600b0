//! Strings of 1 MiB to the host, `calls` times (5,000 by default), as `to`: `log` (default) or `cache`.
//! Stopped by: host-call bytes.

use guests::{number, unknown, word};
use pumice::http::Request;
use pumice::{Result, cache, log};

#[pumice::function]
fn many_strings(request: Request) -> Result<String> {
    let calls = number(&request, "calls", 5_000)?;
    let to = word(&request, "to", "log");
    let text = "x".repeat(1 << 20);
    for _ in 0..calls {
        match to.as_str() {
            "log" => log::write(log::Level::Info, &text, &[]),
            "cache" => cache::set("many", text.as_bytes(), None)?,
            other => return Err(unknown("to", other)),
        }
    }
    Ok(format!("{calls} calls\n"))
}
