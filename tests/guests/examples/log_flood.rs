//! Writes `bytes` (1 GiB by default) of log in lines of 1 KiB, to `to`: `stdout` (default), `stderr`, `log`.
//! Stopped by: host-call bytes; the log keeps what it can and says what it dropped.

use std::io::{self, Write};

use guests::{number, unknown, word};
use pumice::http::Request;
use pumice::{Result, log};

const LINE_BYTES: u64 = 1024;

#[pumice::function]
fn log_flood(request: Request) -> Result<String> {
    let bytes = number(&request, "bytes", 1_u64 << 30)?;
    let to = word(&request, "to", "stdout");
    let line = "flood ".repeat(170);
    for _ in 0..bytes.div_ceil(LINE_BYTES) {
        match to.as_str() {
            "stdout" => writeln!(io::stdout(), "{line}")?,
            "stderr" => writeln!(io::stderr(), "{line}")?,
            "log" => log::write(log::Level::Info, &line, &[]),
            other => return Err(unknown("to", other)),
        }
    }
    Ok("all written\n".into())
}
