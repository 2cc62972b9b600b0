//! Finding a compiler for `wasm32-wasip2`, and installing one where that is possible.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{answer, run_until};
use crate::{BuildError, Route, Settings};

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Debian's packages for the second route, and what they bring.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// 60 MB of packages on a slow line; a package index first.
const APT_DEADLINE: Duration = Duration::from_secs(600);

/// A compiler that was found, and how to call it.
#[derive(Clone, Debug)]
pub struct Toolchain {
    pub(crate) settings: Settings,
    pub(crate) way: Way,
    version: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Plain cargo.
    Installed,
    /// Cargo with Debian's rustc, which is of another build than the linker next to cargo.
    BuildStd { linker_folder: PathBuf },
}

impl Toolchain {
    /// Finds the first way that works, and installs what it lacks: `rustup target add`, or the Debian
    /// packages if this is Debian and the process is root. `progress` hears of every step that takes time.
    ///
    /// # Errors
    /// [`BuildError::NoToolchain`] with the reason and the fix for each way;
    /// [`BuildError::Setting`] from [`Settings::from_env`].
    pub fn find(progress: &dyn Fn(&str)) -> Result<Self, BuildError> {
        Self::find_with(Settings::from_env()?, progress)
    }

    /// As [`Toolchain::find`], with settings from the caller.
    ///
    /// # Errors
    /// [`BuildError::NoToolchain`].
    pub fn find_with(settings: Settings, progress: &dyn Fn(&str)) -> Result<Self, BuildError> {
        if answer("cargo", &["--version"]).is_none() {
            return Err(BuildError::NoToolchain(
                "- cargo was not found: install Rust from https://rustup.rs".into(),
            ));
        }
        let mut refusals = String::new();
        for route in [Route::Rustup, Route::Debian] {
            if settings.route.is_some_and(|only| only != route) {
                continue;
            }
            let found = match route {
                Route::Rustup => installed(progress),
                Route::Debian => debian(progress),
            };
            match found {
                Ok((way, version)) => {
                    return Ok(Self {
                        settings,
                        way,
                        version,
                    });
                }
                Err(refusal) => refusals.push_str(&format!("- {refusal}\n")),
            }
        }
        Err(BuildError::NoToolchain(refusals.trim_end().into()))
    }

    /// Whether a compiler is there already, so that [`Toolchain::find`] would install nothing.
    pub fn is_installed() -> bool {
        has_std() || debian_is_complete()
    }

    /// Which way was taken, and the compiler's version: one line.
    pub fn describe(&self) -> String {
        let way = match self.way {
            Way::Installed => "standard library installed by rustup",
            Way::BuildStd { .. } => "Debian's compiler, standard library built from source",
        };
        format!("{TARGET} by {} ({way})", self.version)
    }

    pub fn route(&self) -> Route {
        match self.way {
            Way::Installed => Route::Rustup,
            Way::BuildStd { .. } => Route::Debian,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn installed(progress: &dyn Fn(&str)) -> Result<(Way, String), String> {
    if !has_std() {
        if answer("rustup", &["--version"]).is_none() {
            return Err(format!(
                "the Rust here has no standard library for {TARGET}, and there is no rustup to add it: install rustup from https://rustup.rs"
            ));
        }
        progress(&format!("rustup target add {TARGET}"));
        let mut command = Command::new("rustup");
        command.args(["target", "add", TARGET]);
        run_until(&mut command, Settings::RUSTUP_DEADLINE).map_err(|why| {
            format!("{why}: run `rustup target add {TARGET}` with a network that allows it")
        })?;
        if !has_std() {
            return Err(format!(
                "`rustup target add {TARGET}` ended well, but rustc has no such standard library"
            ));
        }
    }
    let version = answer("rustc", &["--version"]).ok_or("`rustc --version` failed")?;
    Ok((Way::Installed, version))
}

/// Whether the standard library of the target is there, whoever put it there.
fn has_std() -> bool {
    let Some(folder) = answer("rustc", &["--print", "target-libdir", "--target", TARGET]) else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn debian(progress: &dyn Fn(&str)) -> Result<(Way, String), String> {
    if !debian_is_complete() {
        install_debian_packages(progress)?;
    }
    let version = answer(DEBIAN_RUSTC, &["--version"])
        .ok_or_else(|| format!("`{DEBIAN_RUSTC} --version` failed"))?;
    let linker_folder = linker_folder()?;
    Ok((Way::BuildStd { linker_folder }, version))
}

fn debian_is_complete() -> bool {
    let sources = answer(DEBIAN_RUSTC, &["--print", "sysroot"])
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std"));
    sources.is_some_and(|folder| folder.exists()) && Path::new(DEBIAN_LIBC).join("libc.a").exists()
}

fn install_debian_packages(progress: &dyn Fn(&str)) -> Result<(), String> {
    let packages = DEBIAN_PACKAGES.join(" ");
    let by_hand = format!("apt-get install --no-install-recommends {packages}");
    if answer("apt-get", &["--version"]).is_none() {
        return Err(format!(
            "Debian's way needs the packages {packages}, and this is not Debian"
        ));
    }
    if answer("id", &["-u"]).as_deref() != Some("0") {
        return Err(format!(
            "Debian's way needs its packages: run `sudo {by_hand}`"
        ));
    }
    progress("apt-get update");
    let mut update = Command::new("apt-get");
    // An index that is partly out of reach may still have the packages: the install tells.
    let _ = run_until(update.args(["-qq", "update"]), APT_DEADLINE);
    progress(&by_hand);
    let mut install = Command::new("apt-get");
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "install", "-y", "--no-install-recommends"])
        .args(DEBIAN_PACKAGES);
    run_until(&mut install, APT_DEADLINE)
        .map_err(|why| format!("{why}: run it by hand to see why"))?;
    if debian_is_complete() {
        return Ok(());
    }
    Err(format!(
        "{packages} are installed, but {DEBIAN_RUSTC} or {DEBIAN_LIBC} is not what they bring"
    ))
}

/// Debian's rustc brings no linker for components; the ordinary toolchain, whose cargo is used, does.
fn linker_folder() -> Result<PathBuf, String> {
    let sysroot =
        answer("rustc", &["--print", "sysroot"]).ok_or("`rustc --print sysroot` failed")?;
    let about = answer("rustc", &["-vV"]).ok_or("`rustc -vV` failed")?;
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or("`rustc -vV` names no host")?;
    let folder = Path::new(&sysroot)
        .join("lib/rustlib")
        .join(host)
        .join("bin");
    if folder.join("wasm-component-ld").exists() && folder.join("gcc-ld/wasm-ld").exists() {
        return Ok(folder);
    }
    Err(format!(
        "Debian's way needs the linker of a rustup toolchain; {} has none: install rustup from https://rustup.rs",
        folder.display()
    ))
}

impl Toolchain {
    /// Adds what makes `cargo build` compile the standard library too, where that is the way.
    pub(crate) fn build_std(&self, command: &mut Command) {
        if let Way::BuildStd { .. } = self.way {
            command.arg("-Zbuild-std=std,panic_abort");
        }
    }
}

/// A command of cargo for release builds, the flags that are particular to the way, and nothing that the
/// surroundings could change.
pub(crate) fn cargo(toolchain: &Toolchain, subcommand: &str, rustflags: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    let mut rustflags: Vec<String> = rustflags.iter().map(|&flag| flag.to_owned()).collect();
    if let Way::BuildStd { linker_folder } = &toolchain.way {
        let linker = linker_folder.join("gcc-ld/wasm-ld");
        rustflags.extend([
            format!("-Lnative={DEBIAN_LIBC}"),
            "-Clink-self-contained=no".into(),
            format!("-Clink-arg=--wasm-ld-path={}", linker.display()),
            format!("-Clink-arg={DEBIAN_LIBC}/crt1-reactor.o"),
        ]);
        command
            .env("RUSTC", DEBIAN_RUSTC)
            // Only an unstable compiler builds the standard library; this one is asked to be one.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_TARGET_WASM32_WASIP2_LINKER",
                linker_folder.join("wasm-component-ld"),
            );
    }
    // The encoded form is the one that allows spaces in paths, and it overrules every other source of flags.
    command
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUST_BACKTRACE");
    command.args([subcommand, "--release", "--target", TARGET]);
    command
}
