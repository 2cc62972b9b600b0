//! One string of `bytes` (100 MiB by default) to the host, as `to`: `log` (default), `cache`, `header`, `field`.
//! Stopped by: host-call bytes, unless the call itself refuses the length.

use guests::{number, unknown, word};
use pumice::http::{Request, Response};
use pumice::{Result, cache, log};

#[pumice::function]
fn big_string(request: Request) -> Result<Response> {
    let bytes = number(&request, "bytes", 100_usize << 20)?;
    let to = word(&request, "to", "log");
    let text = String::from_utf8(vec![b'x'; bytes])?;
    match to.as_str() {
        "log" => log::write(log::Level::Info, &text, &[]),
        "field" => log::write(log::Level::Info, "big", &[("field".into(), text)]),
        "cache" => cache::set("big", text.as_bytes(), None)?,
        "header" => return Ok(Response::text("sent\n").header("x-big", text)),
        other => return Err(unknown("to", other)),
    }
    Ok(Response::text("sent\n"))
}
