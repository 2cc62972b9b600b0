//! What an uploaded component must be, checked from its bytes before anything compiles it.

use std::collections::BTreeSet;

use wasmparser::{Encoding, Parser, Payload};

use crate::limits;

/// Why an upload is refused. Every message names the fix.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckError {
    #[error("this is no WebAssembly: {0}; upload the .wasm component that `pumice build` writes")]
    NotWasm(String),
    #[error(
        "this is machine code, which is never accepted; upload the .wasm component it was compiled from"
    )]
    Native,
    #[error(
        "this is a core module, not a component; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("the component has {bytes} bytes; {max} are the most")]
    TooLarge { bytes: u64, max: u64 },
    #[error("the component has more than {max} functions; split it")]
    TooManyFunctions { max: usize },
    #[error("the component consists of more than {max} modules and components; build it as one")]
    TooManyParts { max: usize },
    #[error("the component does not export {wanted}; it exports {found}")]
    WrongWorld { wanted: &'static str, found: String },
    #[error(
        "the component imports `{name}`, which Pumice does not offer; import only pumice:platform@0.1.0 and WASI 0.2"
    )]
    UnknownImport { name: String },
}

/// What a function exports.
pub const INCOMING_HANDLER: &str = "wasi:http/incoming-handler@0.2";

/// Interfaces a guest may import, version apart.
const WASI: &[&str] = &[
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Checks that `bytes` are a component that can be a function.
///
/// # Errors
/// The first thing that is wrong, in [`CheckError`]'s words.
pub fn function(bytes: &[u8]) -> Result<(), CheckError> {
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(CheckError::TooLarge {
            bytes: bytes.len() as u64,
            max: limits::COMPONENT_BYTES_MAX,
        });
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(CheckError::Native);
    }
    let mut functions = 0usize;
    let mut parts = 0usize;
    let mut depth = 0usize;
    let mut imports = Vec::new();
    let mut exports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| CheckError::NotWasm(error.message().to_owned()))? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Err(CheckError::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                parts += 1;
                if parts > limits::COMPONENT_PARTS_MAX {
                    return Err(CheckError::TooManyParts {
                        max: limits::COMPONENT_PARTS_MAX,
                    });
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::FunctionSection(section) => {
                functions = functions.saturating_add(section.count() as usize);
                if functions > limits::COMPONENT_FUNCTIONS_MAX {
                    return Err(CheckError::TooManyFunctions {
                        max: limits::COMPONENT_FUNCTIONS_MAX,
                    });
                }
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import =
                        import.map_err(|error| CheckError::NotWasm(error.message().to_owned()))?;
                    imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export =
                        export.map_err(|error| CheckError::NotWasm(error.message().to_owned()))?;
                    exports.insert(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    if let Some(name) = imports.into_iter().find(|name| !is_offered(name)) {
        return Err(CheckError::UnknownImport { name });
    }
    if !exports
        .iter()
        .any(|name| is_version_of(name, INCOMING_HANDLER))
    {
        let found = if exports.is_empty() {
            "nothing".to_owned()
        } else {
            exports.into_iter().collect::<Vec<_>>().join(", ")
        };
        return Err(CheckError::WrongWorld {
            wanted: INCOMING_HANDLER,
            found,
        });
    }
    Ok(())
}

fn is_offered(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    if interface.starts_with("pumice:platform/") {
        return version.starts_with("0.1.");
    }
    WASI.iter().any(|prefix| interface.starts_with(prefix)) && version.starts_with("0.2.")
}

/// Whether `name` is `wanted` at any patch version.
fn is_version_of(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(function(b"hello"), Err(CheckError::NotWasm(_))));
        assert!(matches!(
            function(b""),
            Err(CheckError::NotWasm(_) | CheckError::WrongWorld { .. })
        ));
        assert_eq!(function(b"\x7fELF\x02\x01\x01"), Err(CheckError::Native));
        assert_eq!(function(b"\0asm\x01\0\0\0"), Err(CheckError::CoreModule));
        let empty_component = b"\0asm\x0d\0\x01\0";
        assert!(matches!(
            function(empty_component),
            Err(CheckError::WrongWorld { .. })
        ));
    }

    #[test]
    fn imports_are_known_by_name_and_version() {
        assert!(is_offered("wasi:http/types@0.2.0"));
        assert!(is_offered("pumice:platform/log@0.1.0"));
        assert!(!is_offered("wasi:http/types@0.3.0"));
        assert!(!is_offered("pumice:platform/log@0.2.0"));
        assert!(!is_offered("wasi:keyvalue/store@0.2.0"));
        assert!(!is_offered("acme:thing/x@0.2.0"));
        assert!(!is_offered("free-function"));
    }
}
