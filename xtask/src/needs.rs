//! What the commands need of the machine, found or installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::postgres;
use crate::process::{answer, output, run, say};

/// The oldest Node.js that the tools of JavaScript functions run on.
const NODE_MAJOR_MIN: u32 = 20;

/// A C compiler, for the few dependencies that bring C: cryptography, SQLite, the allocator.
///
/// # Errors
/// When there is none.
pub fn c_compiler() -> anyhow::Result<()> {
    if answer("cc", &["--version"]).is_some() {
        return Ok(());
    }
    bail!(
        "there is no C compiler: install one, for example with `apt-get install gcc libc6-dev` or `xcode-select --install`"
    )
}

/// Node.js and npm, which JavaScript functions are built with.
///
/// # Errors
/// When they are missing and cannot be installed, or too old.
pub fn node() -> anyhow::Result<()> {
    if answer("node", &["--version"]).is_none() || answer("npm", &["--version"]).is_none() {
        debian_packages(
            &["nodejs", "npm"],
            "install Node.js 20 or later from https://nodejs.org",
        )?;
    }
    let version = answer("node", &["--version"]).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(()),
        _ => bail!(
            "node is {version}; JavaScript functions need {NODE_MAJOR_MIN} or later: https://nodejs.org"
        ),
    }
}

/// curl, with which the tests do what a user does.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn curl() -> anyhow::Result<()> {
    if answer("curl", &["--version"]).is_some() {
        return Ok(());
    }
    debian_packages(&["curl"], "install curl")
}

/// wrk, the load generator of the bench.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn wrk() -> anyhow::Result<()> {
    // It prints its version with a failure status.
    if Command::new("wrk").arg("--version").output().is_ok() {
        return Ok(());
    }
    debian_packages(&["wrk"], "install wrk, https://github.com/wg/wrk")
}

/// Python's installer of packages, which brings a peer of the bench.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn pip() -> anyhow::Result<()> {
    if answer("python3", &["-m", "pip", "--version"]).is_some() {
        return Ok(());
    }
    debian_packages(
        &["python3-pip"],
        "install Python 3 with pip, https://www.python.org",
    )
}

/// The folder of PostgreSQL's programs, for a server of our own.
///
/// # Errors
/// When they are missing and cannot be installed.
pub fn postgres() -> anyhow::Result<PathBuf> {
    const ELSEWHERE: &str = "install PostgreSQL 15 or later, https://www.postgresql.org/download";
    if let Some(programs) = postgres::programs() {
        return Ok(programs);
    }
    // The package starts a server of its own unless it is told not to.
    // Source: pg_createcluster(1), createcluster.conf.
    if answer("id", &["-u"]).as_deref() == Some("0") && answer("apt-get", &["--version"]).is_some()
    {
        let settings = Path::new("/etc/postgresql-common/createcluster.conf");
        if !settings.exists() {
            std::fs::create_dir_all("/etc/postgresql-common")?;
            std::fs::write(settings, "create_main_cluster = false\n")?;
        }
    }
    debian_packages(&["postgresql"], ELSEWHERE)?;
    postgres::programs()
        .with_context(|| format!("the package has no `initdb` and `postgres`: {ELSEWHERE}"))
}

/// Redis' server, for one of our own.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn redis() -> anyhow::Result<()> {
    if answer("redis-server", &["--version"]).is_some() {
        return Ok(());
    }
    debian_packages(
        &["redis-server"],
        "install Redis 6 or later, https://redis.io",
    )
}

/// rustfmt and clippy, which the smallest profile of rustup leaves out.
///
/// # Errors
/// When they are missing and rustup cannot add them.
pub fn rust_tools() -> anyhow::Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if answer("cargo", &[tool, "--version"]).is_none() {
            say(&format!("rustup component add {component}"));
            run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Cargo in the workspace, with the committed lock file.
pub fn cargo(root: &Path, command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args([command, "--locked"]);
    cargo
}

/// Installs packages if this is Debian (or one of its children) and the process may.
fn debian_packages(packages: &[&str], elsewhere: &str) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if answer("apt-get", &["--version"]).is_none() {
        bail!("{list} is missing: {elsewhere}");
    }
    let by_hand = format!("apt-get install -y --no-install-recommends {list}");
    if answer("id", &["-u"]).as_deref() != Some("0") {
        bail!("{list} is missing: run `sudo {by_hand}`, or {elsewhere}");
    }
    say(&by_hand);
    // An index that is partly out of reach may still have the packages: the install tells.
    let _ = output(Command::new("apt-get").args(["-qq", "update"]));
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages of servers start one unless the machine is in single-user mode.
        // Source: invoke-rc.d(8), environment.
        .env("RUNLEVEL", "1")
        // A file of settings that stands there already is kept.
        .args(["-o", "Dpkg::Options::=--force-confold"])
        .args(["-qq", "install", "-y", "--no-install-recommends"])
        .args(packages);
    output(&mut install).map(|_| ())
}
