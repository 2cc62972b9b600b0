//! A Redis server of our own for tests: empty, on a free port, gone afterwards.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use tempfile::TempDir;

use crate::needs;
use crate::postgres::free_port;
use crate::process::{Running, say, tied};

/// How long it may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(30);

/// A running server. Dropping it stops it, then removes its files.
pub struct Redis {
    // Fields are dropped in this order: the process ends before its folder goes.
    _process: Running,
    _folder: TempDir,
    /// `redis://127.0.0.1:port`
    pub url: String,
}

/// Starts a server that keeps nothing on disk but its log, below `target/` of `root`.
///
/// # Errors
/// When Redis is missing and cannot be installed, or does not start; with the end of its log.
pub fn start(root: &Path) -> anyhow::Result<Redis> {
    needs::redis()?;
    let target = root.join("target");
    std::fs::create_dir_all(&target)?;
    let folder = tempfile::Builder::new()
        .prefix("redis-")
        .tempdir_in(&target)?;
    say("starting Redis");
    let port = free_port()?;
    let log = folder.path().join("log");
    let written = File::create(&log)?;
    let mut command = tied(Path::new("redis-server"));
    command
        .current_dir(folder.path())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .stdout(written.try_clone()?)
        .stderr(written);
    let mut process = Running::start(&mut command)?;
    let began = Instant::now();
    while !std::fs::read_to_string(&log)?.contains("Ready to accept connections") {
        let ended = process.child().try_wait()?.is_some();
        if ended || began.elapsed() > START_MAX {
            let text = std::fs::read_to_string(&log)?;
            bail!("Redis does not start:\n{}", text.trim());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Redis {
        _process: process,
        _folder: folder,
        url: format!("redis://127.0.0.1:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where Redis is missing: `cargo xtask test` installs it before it runs this.
    #[test]
    fn a_server_starts_answers_and_goes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let server = start(root).unwrap();
        let folder = server._folder.path().to_owned();
        let address = server.url.strip_prefix("redis://").unwrap().to_owned();
        assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
        drop(server);
        assert!(std::net::TcpStream::connect(&address).is_err());
        assert!(!folder.exists());
    }
}
