//! Writes `rust/src/bindings/` from `wit/`; with `--check`, only says whether it is up to date.
//!
//! The bindings are committed because the macro that would make them in every app adds about 40 s on two
//! cores to an app's first build (a WIT parser, an encoder and a Rust parser, all in optimised code); the
//! committed files add less than one. WASI itself comes from the crate `wasip2`, which does the same.
//!
//! What is exported has a file for each kind of guest, with a world of its own: a component exports all of a
//! world or does not link.
//!
//! Run from anywhere: `cargo run --manifest-path guest-sdk/Cargo.toml -p pumice-bindings [-- --check]`.

use std::path::Path;
use std::process::ExitCode;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::{Opts, WithOption};

/// The interfaces the SDK wraps. An interface is added here together with the module that wraps it.
const INTERFACES: [&str; 9] = [
    "cache",
    "config",
    "data",
    "files",
    "identity",
    "jobs",
    "log",
    "messaging",
    "secrets",
];

/// The kinds of guest that are entered through a handler of ours, by the version that brought them.
const KINDS: [(&Version, &[&str]); 2] = [
    (
        &V0_1,
        &["before-trigger", "after-trigger", "procedure", "script"],
    ),
    (
        &V0_2,
        &["before-user-created", "custom-claims", "send-message"],
    ),
];

/// A version of `pumice:platform`.
struct Version {
    number: &'static str,
    /// Its folders below `wit/`, each after those it needs.
    ///
    /// Nothing newer is read: the generator puts versions into names of Rust once it knows of two.
    folders: &'static [&'static str],
}

const V0_1: Version = Version {
    number: "0.1.0",
    folders: &[""],
};
const V0_2: Version = Version {
    number: "0.2.0",
    folders: &["", "v0_2"],
};

/// Interfaces whose Rust types exist already, so that they are the same ones everywhere.
const WASI: [&str; 3] = ["error", "poll", "streams"];
const TYPES: (&str, &str) = (
    "pumice:platform/types@0.1.0",
    "crate::bindings::imports::pumice::platform::types",
);

const HEADER: &str = "// Written by `pumice-bindings` from `wit/`: do not edit, run it again.\n";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            return Err(format!(
                "unknown argument `{other}`; the only one is --check"
            ));
        }
    };
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wit = sdk.join("../wit");
    let folder = sdk.join("rust/src/bindings");
    put(&folder.join("imports.rs"), &imports(&wit)?, check)?;
    for (version, kinds) in KINDS {
        for kind in kinds {
            let name = kind.replace('-', "_");
            put(
                &folder.join(format!("{name}.rs")),
                &handler(&wit, version, kind)?,
                check,
            )?;
        }
    }
    Ok(())
}

fn put(target: &Path, text: &str, check: bool) -> Result<(), String> {
    if !check {
        return std::fs::write(target, text).map_err(|e| format!("{}: {e}", target.display()));
    }
    if std::fs::read_to_string(target).unwrap_or_default() == text {
        return Ok(());
    }
    Err(format!(
        "{} does not match the WIT: run `cargo run -p pumice-bindings` in guest-sdk/",
        target.display()
    ))
}

fn imports(wit: &Path) -> Result<String, String> {
    let imports: String = INTERFACES
        .iter()
        .map(|name| format!("import pumice:platform/{name}@0.1.0; "))
        .collect();
    let options = Opts {
        with: WASI
            .iter()
            .map(|name| {
                let path = WithOption::Path(format!("::wasip2::io::{name}"));
                (format!("wasi:io/{name}@0.2.12"), path)
            })
            .collect(),
        ..options()
    };
    bindings(wit, &V0_1, "platform", &imports, options)
}

fn handler(wit: &Path, version: &Version, kind: &str) -> Result<String, String> {
    let name = kind.replace('-', "_");
    let options = Opts {
        with: vec![(TYPES.0.into(), WithOption::Path(TYPES.1.into()))],
        // Several kinds may meet in one component.
        type_section_suffix: Some(name.clone()),
        pub_export_macro: true,
        export_macro_name: Some("export".into()),
        default_bindings_module: Some(format!("::pumice::__export::{name}")),
        ..options()
    };
    let export = format!("export pumice:platform/{kind}-handler@{};", version.number);
    // The generator names a macro of the crate after the world.
    bindings(wit, version, kind, &export, options)
}

fn options() -> Opts {
    Opts {
        format: true,
        generate_all: true,
        runtime_path: Some("::wit_bindgen::rt".into()),
        ..Default::default()
    }
}

fn bindings(
    wit: &Path,
    version: &Version,
    world: &str,
    items: &str,
    options: Opts,
) -> Result<String, String> {
    let mut resolve = Resolve::default();
    for folder in version.folders {
        let pushed = resolve.push_dir(wit.join(folder));
        pushed.map_err(|e| format!("{e:#}"))?;
    }
    let text = format!("package pumice:sdk; world {world} {{ {items} }}");
    let package = resolve
        .push_str("sdk.wit", &text)
        .map_err(|e| format!("{e:#}"))?;
    let world = resolve
        .select_world(&[package], Some(world))
        .map_err(|e| format!("{e:#}"))?;
    let mut files = Files::default();
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .map_err(|e| format!("{e:#}"))?;
    let (_, bytes) = files.iter().next().ok_or("the generator wrote no file")?;
    let text = String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())?;
    Ok(format!("{HEADER}{text}"))
}
