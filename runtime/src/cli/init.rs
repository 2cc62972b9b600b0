//! `pumice init`: a new app, from a template in the binary.

use std::fs;

use anyhow::{bail, ensure};
use clap::ValueEnum;

use super::serve::current_folder;
use super::{Report, project};
use crate::functions::manifest;

#[derive(Clone, Copy, ValueEnum)]
pub enum Template {
    Rust,
    Js,
}

impl Template {
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Template::Rust => &[
                (
                    "pumice.toml",
                    include_str!("../../templates/rust/pumice.toml"),
                ),
                (
                    "functions/hello/Cargo.toml",
                    include_str!("../../templates/rust/Cargo.toml.in"),
                ),
                (
                    "functions/hello/src/lib.rs",
                    include_str!("../../templates/rust/lib.rs"),
                ),
                (
                    "public/index.html",
                    include_str!("../../templates/index.html"),
                ),
                (".gitignore", include_str!("../../templates/gitignore")),
            ],
            Template::Js => &[
                (
                    "pumice.toml",
                    include_str!("../../templates/js/pumice.toml"),
                ),
                (
                    "functions/hello.js",
                    include_str!("../../templates/js/hello.js"),
                ),
                (
                    "jsconfig.json",
                    include_str!("../../templates/js/jsconfig.json"),
                ),
                (
                    "public/index.html",
                    include_str!("../../templates/index.html"),
                ),
                (".gitignore", include_str!("../../templates/gitignore")),
            ],
        }
    }
}

/// Makes the folder `name` below the current one.
///
/// # Errors
/// When the name cannot be one, or the folder holds something already.
pub fn run(name: &str, template: Template, report: &Report) -> anyhow::Result<()> {
    ensure!(
        manifest::is_name(name),
        "`{name}` is no name for an app; use 1 to 40 of a-z, 0-9 and -, beginning with a letter"
    );
    let folder = current_folder()?.join(name);
    if folder.exists() && fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_some())
    {
        bail!(
            "{} is there already and not empty; choose another name",
            folder.display()
        );
    }
    for (path, text) in template.files() {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text.replace("{{name}}", name))?;
    }
    // Editors find the SDK's types from the first moment.
    project::Project::open(&folder)?;
    report.data(
        &serde_json::json!({ "app": name, "folder": folder }),
        |_| {
            println!("{name} is ready. Next:\n  cd {name}\n  pumice dev");
        },
    );
    Ok(())
}
