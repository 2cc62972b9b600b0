//! The tests' guests: compiled by the code that compiles users' functions.

use std::path::{Path, PathBuf};

use pumice_guest_build::Toolchain;

use crate::process::say;

/// Builds every example of `tests/guests`; returns the folder that then holds a `<name>.wasm` of each.
/// (Guests in JavaScript are built by the tests that name them, through `pumice build`.)
///
/// # Errors
/// Without a compiler for guests; with the compiler's words.
pub fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let out = root.join("target/guests");
    let toolchain = Toolchain::find(&|step| say(step))?;
    say(&format!("guests: {}", toolchain.describe()));
    let guests = toolchain.build_crate_examples(&root.join("tests/guests"), &out, &|step| {
        eprintln!("    {step}");
    })?;
    say(&format!("{} guests in target/guests", guests.len()));
    Ok(out)
}
