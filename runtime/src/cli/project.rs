//! An app's folder: its manifest, its components as built, its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use pumice_guest_build::{JavaScript, Toolchain, source_digest};
use serde::Serialize;

use super::Report;
use crate::digest::Digest;
use crate::functions::bundle::{self, Files, MAIL, MIGRATIONS, PUBLIC, SEED, StoredFile};
use crate::functions::manifest::{Component, Fault, Manifest};

mod sdk {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// An app's folder, opened.
pub struct Project {
    pub folder: PathBuf,
    toolchain: Option<Toolchain>,
    javascript: Option<JavaScript>,
}

/// A component that is up to date.
#[derive(Debug, Serialize)]
pub struct BuiltComponent {
    /// The names of what it serves.
    pub entries: Vec<String>,
    pub component: PathBuf,
    pub bytes: u64,
    /// Whether this run had to build it.
    pub built: bool,
}

/// What is uploaded: the manifest's text, and where each file's content is.
pub struct Bundle {
    pub name: String,
    pub manifest: String,
    pub files: Files,
    pub sources: BTreeMap<Digest, PathBuf>,
}

/// What Pumice keeps inside an app's folder.
pub const STATE: &str = ".pumice";

impl Project {
    /// The app whose manifest is in `folder` or above it. Writes the SDK into it if it is not this
    /// binary's.
    ///
    /// # Errors
    /// When there is no `pumice.toml`.
    pub fn open(folder: &Path) -> anyhow::Result<Project> {
        let start = folder
            .canonicalize()
            .with_context(|| format!("{} cannot be opened", folder.display()))?;
        let found = start
            .ancestors()
            .find(|folder| folder.join("pumice.toml").is_file());
        let Some(folder) = found else {
            bail!(
                "there is no pumice.toml in {} or above it; make an app with `pumice init NAME`",
                start.display()
            );
        };
        let project = Project {
            folder: folder.to_owned(),
            toolchain: None,
            javascript: None,
        };
        project.write_sdk()?;
        Ok(project)
    }

    /// The checked manifest and its text.
    ///
    /// # Errors
    /// All its faults, a line each.
    pub fn manifest(&self) -> anyhow::Result<(Manifest, String)> {
        let text = fs::read_to_string(self.folder.join("pumice.toml"))
            .context("pumice.toml cannot be read")?;
        let manifest = Manifest::parse(&text).map_err(|faults| anyhow::anyhow!(lines(&faults)))?;
        Ok((manifest, text))
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    fn sdk(&self) -> PathBuf {
        self.state().join("sdk")
    }

    /// Builds what has changed since it was last built: each path of the manifest once, however many
    /// entries have it.
    ///
    /// # Errors
    /// The first component that does not build, in its compiler's words.
    pub fn build(&mut self, report: &Report) -> anyhow::Result<Vec<BuiltComponent>> {
        let (manifest, _) = self.manifest()?;
        let mut built = Vec::new();
        for component in manifest.components() {
            built.push(self.build_component(&component, report)?);
        }
        Ok(built)
    }

    /// Where a component is put once built.
    fn built(&self, component: &Component<'_>) -> PathBuf {
        let name = format!("{}.wasm", component.name);
        self.state().join("build").join(name)
    }

    fn build_component(
        &mut self,
        component: &Component<'_>,
        report: &Report,
    ) -> anyhow::Result<BuiltComponent> {
        let (name, path) = (component.name, component.path);
        let owners: Vec<String> = component.entries.iter().map(ToString::to_string).collect();
        let owners = owners.join(", ");
        let source = self.folder.join(path);
        if !source.exists() {
            bail!(
                "{owners}: there is nothing at {path}; write its code there, or correct its path in pumice.toml"
            );
        }
        let out = self.built(component);
        let stamp = out.with_extension("source");
        let digest = || {
            let source = source_digest(&source)?;
            anyhow::Ok(format!("{source} {} {path}", sdk_digest()))
        };
        let mut stamped = digest()?;
        // A crate's first build writes its lock file, which is a part of its source from then on.
        let locked = !source.is_dir() || source.join("Cargo.lock").exists();
        let current = out.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == stamped);
        if !current {
            let step = report.step(format!("building {name}"));
            fs::create_dir_all(self.state().join("build"))?;
            match path.rsplit_once('.').map(|(_, extension)| extension) {
                _ if source.is_dir() => self
                    .build_crate(&source, &out, report)
                    .with_context(|| owners.clone())?,
                Some("js" | "ts" | "mjs" | "mts") => {
                    self.build_script(&source, &out, report)
                        .with_context(|| owners.clone())?;
                }
                Some("wasm") => drop(fs::copy(&source, &out)?),
                _ => bail!(
                    "{owners}: {path} is no crate, script or component; its path must be a folder with a Cargo.toml, a .js or .ts file, or a .wasm file"
                ),
            }
            if !locked {
                stamped = digest()?;
            }
            fs::write(&stamp, stamped)?;
            drop(step);
        }
        let bytes = fs::metadata(&out)?.len();
        Ok(BuiltComponent {
            entries: component
                .entries
                .iter()
                .map(|entry| entry.name.clone())
                .collect(),
            component: out,
            bytes,
            built: !current,
        })
    }

    fn build_crate(&mut self, source: &Path, out: &Path, report: &Report) -> anyhow::Result<()> {
        if self.toolchain.is_none() {
            let toolchain = Toolchain::find(&|step| report.note(step))?;
            report.note(&format!("guest compiler: {}", toolchain.describe()));
            self.toolchain = Some(toolchain);
        }
        let Some(toolchain) = &self.toolchain else {
            return Ok(());
        };
        let built = toolchain.build_crate(source, out, &|_| {})?;
        if !built.warnings.is_empty() {
            report.note(&built.warnings);
        }
        Ok(())
    }

    fn build_script(&mut self, source: &Path, out: &Path, report: &Report) -> anyhow::Result<()> {
        let sdk = self.sdk();
        if self.javascript.is_none() {
            self.javascript = Some(JavaScript::prepare(&sdk.join("guest-sdk/js"), &|step| {
                report.note(step)
            })?);
        }
        let Some(javascript) = &self.javascript else {
            return Ok(());
        };
        javascript.build(source, &sdk.join("wit"), out)?;
        Ok(())
    }

    /// The app as built, ready to be uploaded.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn bundle(&self) -> anyhow::Result<Bundle> {
        let (manifest, text) = self.manifest()?;
        let mut bundle = Bundle {
            name: manifest.name.clone(),
            manifest: text,
            files: Files::new(),
            sources: BTreeMap::new(),
        };
        for component in manifest.components() {
            let path = bundle::component_path(component.name);
            bundle.add(path, self.built(&component))?;
        }
        let migrations = match fs::read_dir(self.folder.join(MIGRATIONS)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            // An app without its migrations would be another app.
            found => Some(found.context("migrations cannot be read")?),
        };
        for entry in migrations.into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| bundle::is_migration(name)) {
                bundle.add(format!("{MIGRATIONS}{name}"), path.clone())?;
            }
        }
        let mails = match fs::read_dir(self.folder.join(MAIL)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            found => Some(found.context("mail cannot be read")?),
        };
        for entry in mails.into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // A template that no letter has is refused there, and not left at home in silence.
            let is_template = |name: &&str| {
                !name.starts_with('.') && (name.ends_with(".html") || name.ends_with(".txt"))
            };
            if let Some(name) = name.filter(is_template) {
                bundle.add(format!("{MAIL}{name}"), path.clone())?;
            }
        }
        let seed = self.folder.join(SEED);
        if seed.is_file() {
            bundle.add(SEED.to_owned(), seed)?;
        }
        let public = self.folder.join("public");
        let mut folders = vec![public.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.strip_prefix(&public).ok().and_then(Path::to_str) {
                    bundle.add(format!("{PUBLIC}{name}"), path.clone())?;
                }
            }
        }
        Ok(bundle)
    }

    /// Everything whose change calls for another build, as one digest of names, sizes and times.
    pub fn watched(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        let mut paths = vec![self.folder.clone()];
        if let Ok((manifest, _)) = self.manifest() {
            let components = manifest.components().into_iter();
            paths.extend(components.map(|component| self.folder.join(component.path)));
        }
        while let Some(path) = paths.pop() {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            if meta.is_dir() {
                let Ok(entries) = fs::read_dir(&path) else {
                    continue;
                };
                let mut inner: Vec<PathBuf> = entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| is_source(path))
                    .collect();
                inner.sort();
                paths.extend(inner);
            } else {
                (path, meta.len(), meta.modified().ok()).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn write_sdk(&self) -> anyhow::Result<()> {
        let sdk = self.sdk();
        let stamp = sdk.join("version");
        let version = sdk_digest().to_string();
        if fs::read_to_string(&stamp).is_ok_and(|old| old == version) {
            return Ok(());
        }
        if sdk.exists() {
            fs::remove_dir_all(&sdk)?;
        }
        for (name, bytes) in sdk::FILES {
            let path = sdk.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, bytes)?;
        }
        // The folder is Pumice's own: nobody's repository should hold it.
        fs::write(self.state().join(".gitignore"), "*\n")?;
        fs::write(stamp, version)?;
        Ok(())
    }
}

impl Bundle {
    fn add(&mut self, name: String, source: PathBuf) -> anyhow::Result<()> {
        let bytes =
            fs::read(&source).with_context(|| format!("{} cannot be read", source.display()))?;
        let digest = Digest::of(&bytes);
        self.files.insert(
            name,
            StoredFile {
                digest,
                size: bytes.len() as u64,
            },
        );
        self.sources.insert(digest, source);
        Ok(())
    }
}

fn is_source(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // Cargo.lock is written by the build itself.
    !name.starts_with('.') && name != "target" && name != "node_modules" && name != "Cargo.lock"
}

/// Names the SDK and WIT in this binary.
fn sdk_digest() -> Digest {
    static DIGEST: std::sync::LazyLock<Digest> = std::sync::LazyLock::new(|| {
        let all = sdk::FILES
            .iter()
            .flat_map(|(name, bytes)| [name.as_bytes(), b"\0", bytes, b"\0"])
            .collect::<Vec<_>>()
            .concat();
        Digest::of(&all)
    });
    *DIGEST
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
