//! Compiling Rust guests.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;

use crate::process::{run, start_error};
use crate::toolchain::{TARGET, cargo};
use crate::{BuildError, Built, Toolchain, place};

/// The profile of every guest, whatever its manifest says: one profile means that the standard library and
/// the SDK are compiled once for all of them.
///
/// Speed is measured on a hello function (fuel of a call): opt-level 3 4,270, s 4,547; the component is
/// 5 % smaller with s. Debug information goes, function names stay: a trap's backtrace in the log shows them.
const PROFILE: [(&str, &str); 7] = [
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
];

/// 2 MiB from the start: 1 MiB is Rust's stack, and in most of the rest a call can allocate without asking
/// for more. A growth costs the host an `mprotect`; memory that nobody touches costs nothing (11.4 µs per
/// fresh instance and call at 0.5, 1, 1.1 and 2 MiB, 12.0 at 4).
const RUSTFLAGS: [&str; 1] = ["-Clink-arg=--initial-memory=2097152"];

const CARGO_FIX: &str = "install Rust from https://rustup.rs";

impl Toolchain {
    /// Builds the crate in `manifest_dir`, which has one library of type `cdylib`, and puts the component at
    /// `out`. `progress` hears the names of the packages as they are compiled.
    ///
    /// # Errors
    /// [`BuildError::Compile`] with the compiler's text; [`BuildError::NotAFunction`] if the crate makes no
    /// component; [`BuildError::NoProgram`], [`BuildError::Io`].
    pub fn build_crate(
        &self,
        manifest_dir: &Path,
        out: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<Built, BuildError> {
        let started = Instant::now();
        let manifest_dir = &absolute(manifest_dir)?;
        if !manifest_dir.join("Cargo.toml").is_file() {
            return Err(BuildError::NotAFunction {
                source_path: manifest_dir.clone(),
                message: "no Cargo.toml in this folder".into(),
            });
        }
        let _lock = self.lock()?;
        self.claim(manifest_dir)?;
        let build = self.compile(manifest_dir, &["--lib"], progress)?;
        let components = build.components("cdylib");
        let [(_, component)] = components.as_slice() else {
            return Err(BuildError::NotAFunction {
                source_path: manifest_dir.clone(),
                message: "the crate makes no component: its Cargo.toml needs\n[lib]\ncrate-type = [\"cdylib\"]".into(),
            });
        };
        let bytes = std::fs::read(component).map_err(BuildError::io(component))?;
        Ok(Built {
            component: out.to_owned(),
            bytes: bytes.len() as u64,
            changed: place(&bytes, out)?,
            warnings: build.warnings,
            elapsed: started.elapsed(),
        })
    }

    /// Builds every example of the crate in `manifest_dir` in one go (each is of crate type `cdylib`) and
    /// puts them into `out` as `<example>.wasm`; returns where each is, by name.
    ///
    /// # Errors
    /// As [`Toolchain::build_crate`].
    pub fn build_crate_examples(
        &self,
        manifest_dir: &Path,
        out: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<BTreeMap<String, PathBuf>, BuildError> {
        let manifest_dir = &absolute(manifest_dir)?;
        let _lock = self.lock()?;
        self.claim(manifest_dir)?;
        let build = self.compile(manifest_dir, &["--examples"], progress)?;
        let mut guests = BTreeMap::new();
        for (name, component) in build.components("example") {
            let bytes = std::fs::read(&component).map_err(BuildError::io(&component))?;
            let target = out.join(format!("{name}.wasm"));
            place(&bytes, &target)?;
            guests.insert(name, target);
        }
        Ok(guests)
    }

    /// All guests share one target folder, and two apps may have crates of one name: from the start of the
    /// compiler until its output is copied, nobody else may build.
    fn lock(&self) -> Result<File, BuildError> {
        let folder = self.settings.target_dir();
        std::fs::create_dir_all(&folder).map_err(BuildError::io(&folder))?;
        let path = folder.join(".pumice-lock");
        let file = File::create(&path).map_err(BuildError::io(&path))?;
        file.lock().map_err(BuildError::io(&path))?;
        Ok(file)
    }

    /// Makes cargo forget what a workspace elsewhere has built under the names of this one.
    ///
    /// Cargo knows the crates of a workspace by name and by place within it, not by the workspace's own
    /// place, and a component's file by name alone. So in a shared target folder it takes the `hello` of
    /// one app for a fresh build of another app's `hello`. Here every name has an owner, and whoever is not
    /// the owner builds anew: only these crates, not what they depend on.
    fn claim(&self, manifest_dir: &Path) -> Result<(), BuildError> {
        let workspace = self.workspace(manifest_dir)?;
        let folder = self.settings.target_dir().join(".pumice-owners");
        std::fs::create_dir_all(&folder).map_err(BuildError::io(&folder))?;
        let root = workspace.workspace_root.as_os_str().as_encoded_bytes();
        let names: BTreeSet<&str> = workspace.names().collect();
        let is_owner =
            |name: &&str| std::fs::read(folder.join(name)).is_ok_and(|owner| owner == root);
        if names.iter().all(is_owner) {
            return Ok(());
        }
        let mut clean = cargo(self, "clean", &RUSTFLAGS);
        clean
            .current_dir(manifest_dir)
            .args(self.target_dir_argument());
        for package in &workspace.packages {
            clean.args(["-p", &package.id]);
        }
        self.finish(manifest_dir, clean, &mut |_| {})?;
        for name in names {
            let path = folder.join(name);
            std::fs::write(&path, root).map_err(BuildError::io(&path))?;
        }
        Ok(())
    }

    fn workspace(&self, manifest_dir: &Path) -> Result<Workspace, BuildError> {
        let mut command = Command::new("cargo");
        command
            .current_dir(manifest_dir)
            .args(["metadata", "--no-deps", "--format-version=1"]);
        let (messages, _) = self.finish(manifest_dir, command, &mut |_| {})?;
        serde_json::from_str(&messages).map_err(|error| BuildError::Command {
            command: "cargo metadata".into(),
            text: error.to_string(),
        })
    }

    fn target_dir_argument(&self) -> [OsString; 2] {
        ["--target-dir".into(), self.settings.target_dir().into()]
    }

    /// Runs cargo to its end; standard output, and what it had to say.
    fn finish(
        &self,
        manifest_dir: &Path,
        mut command: Command,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(String, String), BuildError> {
        let mut diagnostics = String::new();
        let finished = run(&mut command, &mut |line| match status(line) {
            Some(step) => progress(step),
            None => {
                diagnostics.push_str(line);
                diagnostics.push('\n');
            }
        })
        .map_err(start_error("cargo", CARGO_FIX))?;
        let diagnostics = diagnostics.trim().to_owned();
        if finished.succeeded {
            return Ok((finished.stdout, diagnostics));
        }
        Err(BuildError::Compile {
            source_path: manifest_dir.to_owned(),
            text: diagnostics,
        })
    }

    fn compile(
        &self,
        manifest_dir: &Path,
        what: &[&str],
        progress: &dyn Fn(&str),
    ) -> Result<CargoBuild, BuildError> {
        let mut command = cargo(self, "build", &RUSTFLAGS);
        command
            .current_dir(manifest_dir)
            .args(what)
            .arg("--message-format=json-render-diagnostics")
            .args(self.target_dir_argument())
            .envs(PROFILE);
        self.build_std(&mut command);
        let (messages, warnings) =
            self.finish(manifest_dir, command, &mut |step| progress(step))?;
        Ok(CargoBuild {
            artifacts: artifacts(&messages, manifest_dir),
            warnings,
        })
    }
}

/// The part of `cargo metadata` that is needed here.
/// Source: <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html#json-format>.
#[derive(Deserialize)]
struct Workspace {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    /// Unlike the name, never that of a dependency too.
    id: String,
    name: String,
    targets: Vec<PackageTarget>,
}

#[derive(Deserialize)]
struct PackageTarget {
    name: String,
}

impl Workspace {
    /// Of packages and of their targets: a component's file has the name of its target.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().flat_map(|package| {
            let targets = package.targets.iter().map(|target| target.name.as_str());
            targets.chain([package.name.as_str()])
        })
    }
}

struct CargoBuild {
    artifacts: Vec<Artifact>,
    warnings: String,
}

impl CargoBuild {
    /// Name and file of each component whose target is of this kind.
    fn components(&self, kind: &str) -> Vec<(String, PathBuf)> {
        let of_kind = self
            .artifacts
            .iter()
            .filter(|artifact| artifact.target.kind.iter().any(|found| found == kind));
        of_kind
            .filter_map(|artifact| {
                let mut files = artifact.filenames.iter();
                let file = files.find(|file| file.extension().is_some_and(|end| end == "wasm"))?;
                Some((artifact.target.name.clone(), file.clone()))
            })
            .collect()
    }
}

/// Cargo's message for each target it has built or found built.
/// Source: <https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: ArtifactTarget,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    name: String,
    kind: Vec<String>,
}

/// The artifacts of the crate itself: its dependencies may make components too, and are not asked for.
fn artifacts(messages: &str, manifest_dir: &Path) -> Vec<Artifact> {
    let manifest = manifest_dir.join("Cargo.toml");
    messages
        .lines()
        .filter(|line| line.contains("\"compiler-artifact\"") && line.contains(TARGET))
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.manifest_path == manifest)
        .collect()
}

/// The part of one of cargo's own lines that tells what goes on, for example `Compiling serde v1.0.0`.
/// They are set apart from diagnostics by being right-aligned to 12 columns.
fn status(line: &str) -> Option<&str> {
    let verb = line.trim_start().split(' ').next()?;
    let is_status = matches!(
        verb,
        "Compiling"
            | "Downloaded"
            | "Downloading"
            | "Updating"
            | "Locking"
            | "Adding"
            | "Finished"
            | "Blocking"
            | "Fresh"
    );
    (is_status && line.starts_with(' ')).then(|| line.trim_start())
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    // Cargo reports paths with links resolved.
    path.canonicalize().map_err(BuildError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_lines_are_told_from_diagnostics() {
        let check = |line: &str, expect: Option<&str>| assert_eq!(status(line), expect, "{line}");
        check("   Compiling serde v1.0.0", Some("Compiling serde v1.0.0"));
        check(
            "    Finished `release` profile",
            Some("Finished `release` profile"),
        );
        check("error[E0308]: mismatched types", None);
        check("  --> src/lib.rs:1:1", None);
        check("Compiling is a word of the author's", None);
        check("", None);
    }

    #[test]
    fn only_the_crate_itself_is_taken() {
        let message = |manifest: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","target":{{"name":"a","kind":["{kind}"]}},"filenames":["/t/wasm32-wasip2/release/a.wasm","/t/a.d"]}}"#
            )
        };
        let messages = [
            message("/app/Cargo.toml", "cdylib"),
            message("/dep/Cargo.toml", "cdylib"),
            r#"{"reason":"build-finished","success":true}"#.into(),
        ];
        let build = CargoBuild {
            artifacts: artifacts(&messages.join("\n"), Path::new("/app")),
            warnings: String::new(),
        };
        let expect = [(
            "a".to_owned(),
            PathBuf::from("/t/wasm32-wasip2/release/a.wasm"),
        )];
        assert_eq!(build.components("cdylib"), expect);
        assert_eq!(build.components("example"), []);
    }
}
