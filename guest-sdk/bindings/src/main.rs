//! Writes `rust/src/bindings.rs` from `wit/`; with `--check`, only says whether it is up to date.
//!
//! The bindings are committed because the macro that would make them in every app adds about 40 s on two
//! cores to an app's first build (a WIT parser, an encoder and a Rust parser, all in optimised code); the
//! committed file adds less than one. WASI itself comes from the crate `wasip2`, which does the same.
//!
//! Run from anywhere: `cargo run --manifest-path guest-sdk/Cargo.toml -p pumice-bindings [-- --check]`.

use std::path::Path;
use std::process::ExitCode;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

/// The interfaces the SDK wraps. An interface is added here together with the module that wraps it.
const INTERFACES: [&str; 5] = ["cache", "config", "identity", "log", "secrets"];

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
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = sdk.join("rust/src/bindings.rs");
    let text = bindings(&sdk.join("../wit"))?;
    match std::env::args().nth(1).as_deref() {
        None => std::fs::write(&target, text).map_err(|e| format!("{}: {e}", target.display())),
        Some("--check") => {
            let found = std::fs::read_to_string(&target).unwrap_or_default();
            if found == text {
                return Ok(());
            }
            Err(format!(
                "{} does not match the WIT: run `cargo run -p pumice-bindings` in guest-sdk/",
                target.display()
            ))
        }
        Some(other) => Err(format!(
            "unknown argument `{other}`; the only one is --check"
        )),
    }
}

fn bindings(wit: &Path) -> Result<String, String> {
    let mut resolve = Resolve::default();
    resolve.push_dir(wit).map_err(|e| format!("{e:#}"))?;
    let imports: String = INTERFACES
        .iter()
        .map(|name| format!("import pumice:platform/{name}@0.1.0; "))
        .collect();
    let world = format!("package pumice:sdk; world platform {{ {imports} }}");
    let package = resolve
        .push_str("sdk.wit", &world)
        .map_err(|e| format!("{e:#}"))?;
    let world = resolve
        .select_world(&[package], Some("platform"))
        .map_err(|e| format!("{e:#}"))?;
    let mut generator = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        runtime_path: Some("::wit_bindgen::rt".into()),
        ..Default::default()
    }
    .build();
    let mut files = Files::default();
    generator
        .generate(&mut resolve, world, &mut files)
        .map_err(|e| format!("{e:#}"))?;
    let (_, bytes) = files.iter().next().ok_or("the generator wrote no file")?;
    let text = String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())?;
    Ok(format!("{HEADER}{text}"))
}
