//! What an uploaded component must be, checked from its bytes before anything compiles it.

use std::collections::BTreeSet;

use pumice_host_api::Kind;
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

/// The interface that a component exports to be an entry of `kind`. Any patch version will do.
pub fn export_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Function => "wasi:http/incoming-handler@0.2",
        Kind::BeforeTrigger => "pumice:platform/before-trigger-handler@0.1.0",
        Kind::AfterTrigger => "pumice:platform/after-trigger-handler@0.1.0",
        Kind::Procedure => "pumice:platform/procedure-handler@0.1.0",
        Kind::Script => "pumice:platform/script-handler@0.1.0",
        Kind::BeforeUserCreated => "pumice:platform/before-user-created-handler@0.2.0",
        Kind::CustomClaims => "pumice:platform/custom-claims-handler@0.2.0",
        Kind::SendMessage => "pumice:platform/send-message-handler@0.2.0",
    }
}

/// What a checked component exports.
#[derive(Debug, PartialEq, Eq)]
pub struct Exports(BTreeSet<String>);

impl Exports {
    /// Checks that the component can be an entry of `kind`.
    ///
    /// # Errors
    /// [`CheckError::WrongWorld`].
    pub fn must_serve(&self, kind: Kind) -> Result<(), CheckError> {
        let wanted = export_of(kind);
        if self.0.iter().any(|name| is_version_of(name, wanted)) {
            return Ok(());
        }
        let found = if self.0.is_empty() {
            "nothing".to_owned()
        } else {
            let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
            names.join(", ")
        };
        Err(CheckError::WrongWorld { wanted, found })
    }
}

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

/// Checks that `bytes` are a component that can run here; says what it can be.
///
/// # Errors
/// The first thing that is wrong, in [`CheckError`]'s words.
pub fn component(bytes: &[u8]) -> Result<Exports, CheckError> {
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
    Ok(Exports(exports))
}

fn is_offered(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    if interface.starts_with("pumice:platform/") {
        // 0.2.0 has brought exports only.
        return version.starts_with("0.1.");
    }
    WASI.iter().any(|prefix| interface.starts_with(prefix)) && version.starts_with("0.2.")
}

/// Whether `name` is `wanted` at any patch version.
fn is_version_of(name: &str, wanted: &str) -> bool {
    let minor = wanted.strip_suffix(".0").unwrap_or(wanted);
    name.strip_prefix(minor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(component(b"hello"), Err(CheckError::NotWasm(_))));
        assert_eq!(component(b"\x7fELF\x02\x01\x01"), Err(CheckError::Native));
        assert_eq!(component(b"\0asm\x01\0\0\0"), Err(CheckError::CoreModule));
        let empty_component = b"\0asm\x0d\0\x01\0";
        assert_eq!(component(empty_component), Ok(Exports(BTreeSet::new())));
        let refusal = Exports(BTreeSet::new()).must_serve(Kind::Script);
        assert_eq!(
            refusal.unwrap_err().to_string(),
            "the component does not export pumice:platform/script-handler@0.1.0; it exports nothing"
        );
    }

    #[test]
    fn a_component_is_what_it_exports() {
        let kinds = [
            (Kind::Function, "wasi:http/incoming-handler@0.2.12"),
            (
                Kind::BeforeTrigger,
                "pumice:platform/before-trigger-handler@0.1.0",
            ),
            (
                Kind::AfterTrigger,
                "pumice:platform/after-trigger-handler@0.1.3",
            ),
            (Kind::Procedure, "pumice:platform/procedure-handler@0.1.0"),
            (Kind::Script, "pumice:platform/script-handler@0.1.0"),
            (
                Kind::BeforeUserCreated,
                "pumice:platform/before-user-created-handler@0.2.0",
            ),
            (
                Kind::CustomClaims,
                "pumice:platform/custom-claims-handler@0.2.1",
            ),
            (
                Kind::SendMessage,
                "pumice:platform/send-message-handler@0.2.0",
            ),
        ];
        for (kind, export) in kinds {
            let exports = Exports([export.to_owned()].into());
            for (asked, _) in kinds {
                let served = exports.must_serve(asked);
                assert_eq!(served.is_ok(), asked == kind, "{asked} of {export}");
                if let Err(refusal) = served {
                    let refusal = refusal.to_string();
                    assert!(refusal.contains(export_of(asked)), "{refusal}");
                    assert!(
                        refusal.ends_with(&format!("it exports {export}")),
                        "{refusal}"
                    );
                }
            }
        }
        let both = Exports(kinds[..2].iter().map(|(_, name)| (*name).into()).collect());
        assert_eq!(both.must_serve(Kind::Function), Ok(()));
        assert_eq!(both.must_serve(Kind::BeforeTrigger), Ok(()));
        assert!(both.must_serve(Kind::Script).is_err());
        for other in [
            "pumice:platform/script-handler@0.2.0",
            "pumice:platform/script-handler@0.10.0",
            "pumice:platform/script-handler",
            "acme:platform/script-handler@0.1.0",
        ] {
            let exports = Exports([other.to_owned()].into());
            assert!(exports.must_serve(Kind::Script).is_err(), "{other}");
        }
        let never = "pumice:platform/custom-claims-handler@0.1.0".to_owned();
        let exports = Exports([never].into());
        assert!(exports.must_serve(Kind::CustomClaims).is_err());
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
