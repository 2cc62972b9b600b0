//! wrk, the closed-loop load generator.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::process::output;

/// What one turn showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    pub requests: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// The connections of a turn.
pub const CONNECTIONS: u32 = 32;

/// What is sent to a table: the arguments of `bench/wrk/rows.lua`.
pub struct Work {
    /// Of the server.
    pub url: String,
    pub kind: Kind,
    /// From the root; `%d` (or another directive of C's `printf` for a number) stands for a row's number.
    pub path: String,
    /// Rows there are to read.
    pub rows: usize,
    pub headers: Vec<(&'static str, String)>,
}

/// A kind of `bench/wrk/rows.lua`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Insert,
    Patch,
    Put,
    Bulk,
    /// 500 requests in one, each a row to this path.
    Batch(String),
}

impl Kind {
    fn word(&self) -> String {
        match self {
            Kind::Get => "get".to_owned(),
            Kind::Insert => "insert".to_owned(),
            Kind::Patch => "patch".to_owned(),
            Kind::Put => "put".to_owned(),
            Kind::Bulk => "bulk".to_owned(),
            Kind::Batch(url) => format!("batch:{url}"),
        }
    }
}

/// Loads `url` from one thread with 32 connections, each sending its next request when it has its answer.
///
/// # Errors
/// When wrk fails, or one answer was not a success: then there is nothing to compare.
pub fn turn(url: &str, length: Duration) -> anyhow::Result<Turn> {
    run(command(length).arg(url)).with_context(|| format!("wrk {url}"))
}

/// As [`turn`], with requests that `script` (`bench/wrk/rows.lua`) makes, instead of one and the same.
///
/// # Errors
/// As [`turn`].
pub fn work(script: &Path, work: &Work, length: Duration) -> anyhow::Result<Turn> {
    let mut wrk = command(length);
    wrk.arg("--script").arg(script).args([&work.url, "--"]);
    wrk.arg(work.kind.word());
    wrk.args([&work.path, &work.rows.to_string()]);
    for (name, value) in &work.headers {
        wrk.args([*name, value]);
    }
    run(&mut wrk).with_context(|| format!("wrk {}{}", work.url, work.path))
}

fn command(length: Duration) -> Command {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "--latency"])
        .arg(format!("-c{CONNECTIONS}"))
        // A slow answer is a figure, no failure.
        .args(["--timeout", "60s"])
        .arg(format!("-d{}s", length.as_secs().max(1)));
    wrk
}

fn run(wrk: &mut Command) -> anyhow::Result<Turn> {
    read(&output(wrk)?)
}

fn read(text: &str) -> anyhow::Result<Turn> {
    let lines = || text.lines().map(str::trim);
    for line in lines() {
        if line.starts_with("Non-2xx") || line.starts_with("Socket errors") {
            bail!("{line}");
        }
    }
    let after = |start: &str| {
        lines()
            .find_map(|line| line.strip_prefix(start))
            .map(str::trim)
    };
    let latency = |start: &str| after(start).and_then(milliseconds);
    let requests = lines().find_map(|line| line.split_once(" requests in "));
    let turn = || {
        Some(Turn {
            requests: requests?.0.parse().ok()?,
            per_second: after("Requests/sec:")?.parse().ok()?,
            p50_ms: latency("50%")?,
            p99_ms: latency("99%")?,
        })
    };
    turn().with_context(|| format!("not understood:\n{text}"))
}

/// Such as `635.00us`, `1.50ms`, `2.01s`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.strip_suffix('s')?, 1000.0)
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 1s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.33ms    1.31ms  29.15ms   93.60%
    Req/Sec    13.93k     1.51k   16.43k    81.82%
  Latency Distribution
     50%  635.00us
     75%    2.52ms
     90%    3.13ms
     99%    1.01s
  15239 requests in 1.10s, 1.98MB read
Requests/sec:  13853.69
Transfer/sec:      1.80MB
";

    #[test]
    fn figures_are_found() {
        let turn = read(TEXT).unwrap();
        let expect = Turn {
            requests: 15_239.0,
            per_second: 13_853.69,
            p50_ms: 0.635,
            p99_ms: 1010.0,
        };
        assert_eq!(turn, expect);
    }

    #[test]
    fn failures_are_no_figures() {
        let text = format!("{TEXT}  Non-2xx or 3xx responses: 3\n");
        assert_eq!(
            read(&text).unwrap_err().to_string(),
            "Non-2xx or 3xx responses: 3"
        );
    }
}
