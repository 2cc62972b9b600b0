//! Compiling JavaScript and TypeScript guests: the SDK's own `build.mjs` does it, with tools from npm in the
//! versions of the SDK's lock file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::process::{run, start_error};
use crate::{BuildError, Built, ScriptFault, Settings, place};

const NODE_FIX: &str = "install Node.js 20 or later, which JavaScript functions are built with (https://nodejs.org, or `apt-get install nodejs npm`)";

/// The tools that make a component of a script, installed and ready.
#[derive(Clone, Debug)]
pub struct JavaScript {
    sdk_dir: PathBuf,
    modules: PathBuf,
}

impl JavaScript {
    /// Installs the packages of `sdk_dir/package-lock.json` into the cache, unless they are there.
    ///
    /// # Errors
    /// [`BuildError::NoProgram`] without node or npm; [`BuildError::Command`] with npm's words;
    /// [`BuildError::Setting`], [`BuildError::Io`].
    pub fn prepare(sdk_dir: &Path, progress: &dyn Fn(&str)) -> Result<Self, BuildError> {
        Self::prepare_with(&Settings::from_env()?, sdk_dir, progress)
    }

    /// As [`JavaScript::prepare`], with settings from the caller.
    ///
    /// # Errors
    /// As [`JavaScript::prepare`], without [`BuildError::Setting`].
    pub fn prepare_with(
        settings: &Settings,
        sdk_dir: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<Self, BuildError> {
        let sdk_dir = std::path::absolute(sdk_dir).map_err(BuildError::io(sdk_dir))?;
        let lock_path = sdk_dir.join("package-lock.json");
        let lock = std::fs::read(&lock_path).map_err(BuildError::io(&lock_path))?;
        let folder = settings.cache.join("js").join(short_hash(&lock));
        let javascript = Self {
            modules: folder.join("node_modules"),
            sdk_dir,
        };
        let cache = settings.cache.join("js");
        std::fs::create_dir_all(&cache).map_err(BuildError::io(&cache))?;
        let guard = cache.join(".pumice-lock");
        let file = File::create(&guard).map_err(BuildError::io(&guard))?;
        file.lock().map_err(BuildError::io(&guard))?;
        // npm writes into its folder bit by bit; the folder gets its final name when everything is in it.
        if !javascript.modules.is_dir() {
            javascript.install(&folder, &lock, progress)?;
        }
        Ok(javascript)
    }

    /// Makes a component of `entry` at `out`. `wit_dir` holds the package `pumice:platform`.
    ///
    /// # Errors
    /// [`BuildError::Script`] with the faults of the author's code; [`BuildError::NoProgram`],
    /// [`BuildError::Command`], [`BuildError::Io`].
    pub fn build(&self, entry: &Path, wit_dir: &Path, out: &Path) -> Result<Built, BuildError> {
        let started = Instant::now();
        let mut partial = out.as_os_str().to_owned();
        partial.push(format!(".{}.build", std::process::id()));
        let partial = PathBuf::from(partial);
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder).map_err(BuildError::io(folder))?;
        }
        let result = self.run_build(entry, wit_dir, &partial);
        let bytes = result.and_then(|()| std::fs::read(&partial).map_err(BuildError::io(&partial)));
        // Absent after a failed build.
        let _ = std::fs::remove_file(&partial);
        let bytes = bytes?;
        Ok(Built {
            component: out.to_owned(),
            bytes: bytes.len() as u64,
            changed: place(&bytes, out)?,
            warnings: String::new(),
            elapsed: started.elapsed(),
        })
    }

    fn run_build(&self, entry: &Path, wit_dir: &Path, out: &Path) -> Result<(), BuildError> {
        let mut command = Command::new("node");
        command
            .arg(self.sdk_dir.join("build.mjs"))
            .arg("--wit")
            .arg(wit_dir)
            .arg("--entry")
            .arg(entry)
            .arg("--out")
            .arg(out)
            .arg("--modules")
            .arg(&self.modules)
            .arg("--json");
        let finished = run(&mut command, &mut |_| {}).map_err(start_error("node", NODE_FIX))?;
        let outcome = finished
            .stdout
            .lines()
            .next_back()
            .and_then(|line| serde_json::from_str::<Outcome>(line).ok());
        match outcome {
            Some(outcome) if outcome.ok && finished.succeeded => Ok(()),
            Some(outcome) if !outcome.errors.is_empty() => Err(BuildError::Script {
                source_path: entry.to_owned(),
                faults: outcome.errors,
            }),
            _ => Err(BuildError::Command {
                command: format!("node {}", self.sdk_dir.join("build.mjs").display()),
                text: format!("{}{}", finished.stdout, finished.stderr)
                    .trim()
                    .into(),
            }),
        }
    }

    fn install(
        &self,
        folder: &Path,
        lock: &[u8],
        progress: &dyn Fn(&str),
    ) -> Result<(), BuildError> {
        let partial = folder.with_extension("partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(BuildError::io(&partial))?;
        }
        std::fs::create_dir_all(&partial).map_err(BuildError::io(&partial))?;
        for name in ["package.json", "package-lock.json"] {
            let from = self.sdk_dir.join(name);
            std::fs::copy(&from, partial.join(name)).map_err(BuildError::io(&from))?;
        }
        progress("npm install (the tools JavaScript functions are built with)");
        // Not `npm ci`: it refuses a lock file without the tool's packages for platforms that the tool names
        // but never published. `install` takes the locked versions and checks their hashes too; that it has
        // not chosen others is checked below. The tools need no install scripts.
        let mut npm = Command::new("npm");
        npm.current_dir(&partial).args([
            "install",
            "--ignore-scripts",
            "--include=dev",
            "--no-audit",
            "--no-fund",
            "--no-progress",
        ]);
        let finished = run(&mut npm, &mut |_| {}).map_err(start_error("npm", NODE_FIX))?;
        let failed = |text: &str| BuildError::Command {
            command: "npm install".into(),
            text: text.into(),
        };
        if !finished.succeeded {
            return Err(failed(reason(&finished.stderr)));
        }
        let installed = partial.join("package-lock.json");
        if std::fs::read(&installed).map_err(BuildError::io(&installed))? != lock {
            return Err(failed(
                "package-lock.json does not fix every version that package.json asks for",
            ));
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(BuildError::io(folder))?;
        }
        std::fs::rename(&partial, folder).map_err(BuildError::io(folder))
    }
}

/// What npm says before it goes on to explain all of its options.
fn reason(stderr: &str) -> &str {
    stderr
        .split("npm error Usage:")
        .next()
        .unwrap_or(stderr)
        .trim()
}

/// What `build.mjs --json` prints.
#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    #[serde(default)]
    errors: Vec<ScriptFault>,
}

/// 64 bits tell the few lock files of one machine apart.
fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
