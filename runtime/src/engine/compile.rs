//! Compilation in a child process: the compiler reads what strangers upload, so it gets a process
//! with little time and memory and an empty environment. The component is its standard input and the
//! code its standard output; it can open no file and no socket.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::limits;

/// The hidden subcommand that [`child`] serves.
pub const SUBCOMMAND: &str = "compile-component";

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("the component does not compile: {0}")]
    Refused(String),
    #[error("the component took more than the compiler's {0}; make it smaller")]
    Exceeded(&'static str),
    #[error("the compiler could not be run")]
    Io(#[from] std::io::Error),
}

/// Compiles the component at `wasm` into a file at `artifact`, in a process of its own.
///
/// # Errors
/// [`CompileError::Refused`] with wasmtime's reason, [`CompileError::Exceeded`] at
/// [`limits::COMPILE_CPU`], [`limits::COMPILE_WALL`] or [`limits::COMPILE_MEMORY_BYTES`].
pub async fn in_child(wasm: &Path, artifact: &Path) -> Result<(), CompileError> {
    // This very program, even if its file has been replaced meanwhile.
    let child = tokio::process::Command::new("/proc/self/exe")
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(std::fs::File::open(wasm)?)
        .stdout(std::fs::File::create(artifact)?)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let Ok(output) = tokio::time::timeout(limits::COMPILE_WALL, child.wait_with_output()).await
    else {
        return Err(CompileError::Exceeded("time"));
    };
    let output = output?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(REFUSED) {
        return Err(CompileError::Refused(
            text.trim().chars().take(2_000).collect(),
        ));
    }
    // Ended by a signal: SIGXCPU or SIGKILL at the processor limit, SIGABRT when memory ran out.
    use std::os::unix::process::ExitStatusExt;
    let limit = if output.status.signal() == Some(6) {
        "memory"
    } else {
        "processor time"
    };
    Err(CompileError::Exceeded(limit))
}

const REFUSED: i32 = 2;

/// The child's side: bounds itself, compiles standard input to standard output, and ends the process.
pub fn child() -> std::process::ExitCode {
    match compile() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            std::process::ExitCode::from(REFUSED as u8)
        }
    }
}

fn compile() -> Result<(), String> {
    bound()?;
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .take(limits::COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    let engine = super::compiler_engine().map_err(|error| format!("{error:#}"))?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| format!("{error:#}"))?;
    std::io::stdout()
        .write_all(&code)
        .map_err(|error| error.to_string())
}

fn bound() -> Result<(), String> {
    let cpu = limits::COMPILE_CPU.as_secs();
    let bounds = [
        (Resource::Cpu, cpu),
        (Resource::As, limits::COMPILE_MEMORY_BYTES),
        (Resource::Core, 0),
        (Resource::Fsize, 1 << 30),
        // No descriptor beyond the three it was given.
        (Resource::Nofile, 0),
    ];
    for (resource, value) in bounds {
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        setrlimit(resource, limit).map_err(|error| error.to_string())?;
    }
    Ok(())
}
