//! How guests are compiled: from a cargo crate or a JavaScript file to a component.
//!
//! The `pumice` command and `cargo xtask` both come here, so that a function built by its author and one
//! built by the project's tests cannot differ. This crate knows compilers and nothing of what a component
//! means: whether it exports a handler is for the deploy to check.
//!
//! Everything that is slow to make is kept in one cache outside of any app: see [`Settings`].

mod cargo;
mod digest;
mod error;
mod javascript;
mod process;
mod settings;
mod toolchain;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use digest::{SourceDigest, source_digest};
pub use error::{BuildError, ScriptFault};
pub use javascript::JavaScript;
pub use settings::{Route, Settings};
pub use toolchain::Toolchain;

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where it is: the `out` of the call.
    pub component: PathBuf,
    pub bytes: u64,
    /// Whether the file differs from what stood there before.
    pub changed: bool,
    /// The compiler's warnings as it words them; often empty.
    pub warnings: String,
    pub elapsed: Duration,
}

/// Puts `bytes` at `out` in one step, so that a reader sees the old component or the new one. A file that
/// already holds them is left alone, and with it the time it was last modified.
fn place(bytes: &[u8], out: &Path) -> Result<bool, BuildError> {
    if std::fs::read(out).is_ok_and(|found| found == bytes) {
        return Ok(false);
    }
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(BuildError::io(folder))?;
    }
    let mut partial = out.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, bytes).map_err(BuildError::io(&partial))?;
    std::fs::rename(&partial, out).map_err(BuildError::io(out))?;
    Ok(true)
}
