//! Telling whether a function's source has changed since it was built, without asking a compiler.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::BuildError;

/// Stands for everything a component is made of, except for the compiler. Equal digests: no need to build.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceDigest([u8; 32]);

impl fmt::Display for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceDigest({self})")
    }
}

/// Digests a function's source:
/// - a crate's folder: its files and those of every crate it names by `path`, the SDK among them, and the
///   manifest and lock of the cargo workspace around each;
/// - a script: every script and JSON file in its folder and below, because following imports is the
///   bundler's work. A change to a neighbour costs a rebuild; a missed change would cost an afternoon;
/// - anything else, such as a built component: the file.
///
/// Hidden files, `target` and `node_modules` do not count. The version of this crate does, because a new
/// one may compile differently.
///
/// # Errors
/// [`BuildError::Io`].
pub fn source_digest(source: &Path) -> Result<SourceDigest, BuildError> {
    let source = &source.canonicalize().map_err(BuildError::io(source))?;
    let mut files = BTreeSet::new();
    if source.is_dir() {
        crate_files(source, &mut BTreeSet::new(), &mut files)?;
    } else if let (true, Some(folder)) = (is_script(source), source.parent()) {
        walk(
            folder,
            &|path| is_script(path) || ends_with(path, &["json"]),
            &mut files,
        )?;
    } else {
        files.insert(source.clone());
    }
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    for file in files {
        let bytes = std::fs::read(&file).map_err(BuildError::io(&file))?;
        let name = file.as_os_str().as_encoded_bytes();
        // Lengths first: else bytes could move from one file to the next unseen.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(&bytes);
    }
    Ok(SourceDigest(hash.finalize().into()))
}

/// The files of a crate and of the crates it needs by path.
fn crate_files(
    folder: &Path,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut BTreeSet<PathBuf>,
) -> Result<(), BuildError> {
    if !seen.insert(folder.to_owned()) {
        return Ok(());
    }
    walk(folder, &|_| true, files)?;
    follow_paths(folder, seen, files)?;
    for above in folder.ancestors().skip(1) {
        let manifest = above.join("Cargo.toml");
        let is_workspace =
            std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("[workspace"));
        if is_workspace {
            files.insert(manifest);
            let lock = above.join("Cargo.lock");
            if lock.is_file() {
                files.insert(lock);
            }
            // A dependency may be inherited from here, path and all.
            if seen.insert(above.to_owned()) {
                follow_paths(above, seen, files)?;
            }
            break;
        }
    }
    Ok(())
}

/// Follows every `path = "…"` of a manifest that leads to a crate. Reading lines instead of TOML can only
/// find too many, and what is no crate is passed over.
fn follow_paths(
    folder: &Path,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut BTreeSet<PathBuf>,
) -> Result<(), BuildError> {
    let manifest = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(BuildError::io(&manifest))?;
    for path in quoted_paths(&text) {
        let target = folder.join(path);
        if target.join("Cargo.toml").is_file() {
            let target = target.canonicalize().map_err(BuildError::io(&target))?;
            crate_files(&target, seen, files)?;
        }
    }
    Ok(())
}

fn quoted_paths(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.split("path").skip(1).filter_map(|rest| {
        let value = rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value[1..].split(quote).next()
    })
}

fn walk(
    folder: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    files: &mut BTreeSet<PathBuf>,
) -> Result<(), BuildError> {
    for entry in std::fs::read_dir(folder).map_err(BuildError::io(folder))? {
        let entry = entry.map_err(BuildError::io(folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        let path = entry.path();
        // Links are not followed: one could lead around in a circle.
        let kind = entry.file_type().map_err(BuildError::io(&path))?;
        if kind.is_dir() {
            walk(&path, wanted, files)?;
        } else if kind.is_file() && wanted(&path) {
            files.insert(path);
        }
    }
    Ok(())
}

fn is_script(path: &Path) -> bool {
    ends_with(path, &["js", "mjs", "ts", "mts", "jsx", "tsx"])
}

fn ends_with(path: &Path, ends: &[&str]) -> bool {
    path.extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| ends.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_crate_changes_with_itself_and_with_what_it_names_by_path() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(
            root,
            "Cargo.toml",
            "[workspace]\n[workspace.dependencies]\nlog = { path = 'shared/log' }",
        );
        write(root, "shared/log/Cargo.toml", "[package]");
        write(root, "shared/log/src/lib.rs", "");
        write(root, "sdk/Cargo.toml", "[package]");
        write(root, "sdk/src/lib.rs", "");
        write(
            root,
            "a/Cargo.toml",
            "[dependencies]\nsdk = { path = \"../sdk\" }\n[lib]\npath = \"src/lib.rs\"",
        );
        write(root, "a/src/lib.rs", "fn a() {}");
        write(root, "b/Cargo.toml", "[package]");
        let digest = || source_digest(&root.join("a")).unwrap();
        let mut before = digest();
        let mut check = |name: &str, expect_change: bool| {
            write(root, name, "# changed");
            let after = digest();
            assert_eq!(after != before, expect_change, "{name}");
            before = after;
        };
        check("b/Cargo.toml", false);
        check("a/target/x", false);
        check("a/.git/x", false);
        check("a/src/new.rs", true);
        check("sdk/src/lib.rs", true);
        check("shared/log/src/lib.rs", true);
        check("Cargo.lock", true);
    }

    #[test]
    fn a_script_changes_with_the_scripts_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "greet.js", "1");
        write(root, "lib/words.ts", "1");
        let digest = || source_digest(&root.join("greet.js")).unwrap();
        let before = digest();
        write(root, "crate/src/lib.rs", "");
        assert_eq!(digest(), before);
        write(root, "lib/words.ts", "2");
        assert_ne!(digest(), before);
    }
}
