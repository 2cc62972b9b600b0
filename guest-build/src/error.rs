use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no component. The text is meant for the author, and says what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{0}")]
    Setting(String),
    /// No way to compile Rust for `wasm32-wasip2`; what was tried, and the fix for each.
    #[error("no compiler for wasm32-wasip2:\n{0}")]
    NoToolchain(String),
    #[error("{program} was not found: {fix}")]
    NoProgram {
        program: &'static str,
        fix: &'static str,
    },
    /// The compiler's own words.
    #[error("{}: does not compile\n{text}", .source_path.display())]
    Compile { source_path: PathBuf, text: String },
    #[error("{}: {message}", .source_path.display())]
    NotAFunction {
        source_path: PathBuf,
        message: String,
    },
    #[error("{}: does not build\n{}", .source_path.display(), lines(.faults))]
    Script {
        source_path: PathBuf,
        faults: Vec<ScriptFault>,
    },
    /// A program of the build failed for a reason that lies outside of the author's code.
    #[error("`{command}` failed\n{text}")]
    Command { command: String, text: String },
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl BuildError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    }
}

/// One fault in a JavaScript or TypeScript source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ScriptFault {
    #[serde(default)]
    pub file: Option<String>,
    /// From 1.
    #[serde(default)]
    pub line: Option<u32>,
    #[serde(default)]
    pub column: Option<u32>,
    pub text: String,
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
            for place in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{place}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.text)
    }
}

fn lines(faults: &[ScriptFault]) -> String {
    let lines: Vec<_> = faults.iter().map(ScriptFault::to_string).collect();
    lines.join("\n")
}
