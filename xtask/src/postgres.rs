//! A PostgreSQL server of our own for tests and measurements: made new, on a free port, gone afterwards.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::needs;
use crate::process::{Running, answer, output, say};

/// How long a server may take until it accepts connections. A busy machine takes seconds.
const START_MAX: Duration = Duration::from_secs(60);

/// The superuser's.
const PASSWORD: &str = "tests";

/// A running server. Dropping it stops it, then removes its files.
pub struct Postgres {
    // Fields are dropped in this order: the process ends before its folder goes.
    process: Running,
    _folder: TempDir,
    /// `postgres://` and so on, as the superuser.
    pub url: String,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends now, not when its last client has gone; what follows waits for it.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
    }
}

/// Starts a server whose files are below `target/` of `root`. Durable as in production: a test or a
/// measurement without fsync would tell of another machine.
///
/// # Errors
/// When the programs of PostgreSQL are missing and cannot be installed, or the server does not start;
/// with the end of its log.
pub fn start(root: &Path, disk: Disk) -> anyhow::Result<Postgres> {
    let programs = needs::postgres()?;
    let target = root.join("target");
    std::fs::create_dir_all(&target)?;
    let user = User::of_server();
    let folder = user.folder(&target)?;
    let data = folder.path().join("data");
    say("starting PostgreSQL");
    // Nobody else is on this machine to keep out; but roles must need their passwords, as elsewhere.
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD)?;
    output(
        user.command(&programs.join("initdb"))
            .current_dir(folder.path())
            .args([
                "--username=admin",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .arg("--pwfile")
            .arg(&password)
            // The server's own locale is of no matter: apps' databases name theirs.
            .args(["--locale=C", "--no-instructions", "--pgdata"])
            .arg(&data),
    )?;
    let port = free_port()?;
    let log = folder.path().join("log");
    let written = File::create(&log)?;
    let mut command = user.command(&programs.join("postgres"));
    command
        .current_dir(folder.path())
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
        // No socket files: a path below `target/` may be longer than a socket's name can be.
        .args(["-c", "unix_socket_directories=", "-c", disk.fsync()])
        // Tests run at once, each with connections of its own.
        .args(["-c", "max_connections=300"])
        .stdout(written.try_clone()?)
        .stderr(written);
    let mut process = Running::start(&mut command)?;
    let began = Instant::now();
    while !std::fs::read_to_string(&log)?.contains("ready to accept connections") {
        let ended = process.child().try_wait()?.is_some();
        if ended || began.elapsed() > START_MAX {
            let text = std::fs::read_to_string(&log)?;
            bail!("PostgreSQL does not start:\n{}", text.trim());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Postgres {
        process,
        _folder: folder,
        url: format!("postgres://admin:{PASSWORD}@127.0.0.1:{port}/postgres"),
    })
}

/// Whether the server waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// As in production.
    Awaited,
    /// For tests, which kill Pumice and never this server: a dropped database costs no checkpoint.
    Ignored,
}

impl Disk {
    fn fsync(self) -> &'static str {
        match self {
            Disk::Awaited => "fsync=on",
            Disk::Ignored => "fsync=off",
        }
    }
}

/// Whom the server runs as: PostgreSQL refuses to be root.
enum User {
    /// Us.
    Same,
    /// Another, because we are root: `postgres` where its package made one.
    Named(&'static str),
}

impl User {
    fn of_server() -> User {
        if answer("id", &["-u"]).as_deref() != Some("0") {
            return User::Same;
        }
        let known = |name| answer("id", &["-u", name]).is_some();
        User::Named(if known("postgres") {
            "postgres"
        } else {
            "nobody"
        })
    }

    /// A new folder that the server may write: below `target` if it can get there, else where all may.
    fn folder(&self, target: &Path) -> anyhow::Result<TempDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("postgres-");
        let User::Named(name) = self else {
            return Ok(builder.tempdir_in(target)?);
        };
        let reached = self
            .command(Path::new("test"))
            .arg("-x")
            .arg(target)
            .status();
        let folder = if reached.is_ok_and(|status| status.success()) {
            builder.tempdir_in(target)?
        } else {
            builder.tempdir()?
        };
        output(Command::new("chown").arg(name).arg(folder.path()))?;
        Ok(folder)
    }

    /// `program` as this user. It gets SIGINT when we end, however we end: the server then shuts down
    /// without waiting for its clients.
    fn command(&self, program: &Path) -> Command {
        let mut words: Vec<String> = Vec::new();
        if answer("setpriv", &["--pdeathsig", "INT", "true"]).is_some() {
            words.extend(["setpriv", "--pdeathsig", "INT"].map(str::to_owned));
            if let User::Named(name) = self {
                let group = answer("id", &["-g", name]).unwrap_or_default();
                words.extend([format!("--reuid={name}"), format!("--regid={group}")]);
                words.push("--clear-groups".to_owned());
            }
        } else if let User::Named(name) = self {
            words.extend(["runuser", "-u", name, "--"].map(str::to_owned));
        }
        let mut command = match words.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.stdin(Stdio::null());
        command
    }
}

/// A port that nobody listened on a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// The folder with `initdb` and `postgres`, if there is one: of the newest version that Debian's
/// packages put there, else what the path leads to.
pub fn programs() -> Option<PathBuf> {
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let of_debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").is_file() && path.join("bin/postgres").is_file())
        .max_by_key(version)
        .map(|path| path.join("bin"));
    of_debian.or_else(|| {
        let initdb = PathBuf::from(answer("sh", &["-c", "command -v initdb"])?);
        // It may be a link that stands alone: the programs find each other where they really are.
        let folder = initdb.canonicalize().ok()?.parent()?.to_owned();
        let whole = folder.join("initdb").is_file() && folder.join("postgres").is_file();
        whole.then_some(folder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where PostgreSQL is missing: `cargo xtask test` installs it before it runs this.
    #[test]
    fn a_server_starts_answers_and_goes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let server = start(root, Disk::Ignored).unwrap();
        let folder = server._folder.path().to_owned();
        let address = server.url.split(['@', '/']).nth(3).unwrap().to_owned();
        assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
        drop(server);
        assert!(std::net::TcpStream::connect(&address).is_err());
        assert!(!folder.exists());
    }

    #[test]
    fn ports_are_not_given_twice_while_one_is_held() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_ne!(first.local_addr().unwrap().port(), free_port().unwrap());
    }
}
