//! The `pumice` binary.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // An error is made on every request's path, and with RUST_BACKTRACE set each would record its
    // stack (40 % of the request rate). Panics keep theirs.
    if let Some(code) = without_error_backtraces() {
        return code;
    }
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: a second TLS provider is linked in");
        return ExitCode::FAILURE;
    }
    pumice_runtime::cli::main()
}

/// Starts the process over with `RUST_LIB_BACKTRACE=0`, if it would record errors' stacks.
#[expect(
    clippy::disallowed_methods,
    reason = "before anything else runs, and only these two variables"
)]
fn without_error_backtraces() -> Option<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let on = |name: &str| std::env::var_os(name).is_some_and(|value| value != "0");
    let records = on("RUST_LIB_BACKTRACE")
        || (on("RUST_BACKTRACE") && std::env::var_os("RUST_LIB_BACKTRACE").is_none());
    if !records {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env("RUST_LIB_BACKTRACE", "0")
        .exec();
    eprintln!("error: cannot start over: {error}");
    Some(ExitCode::FAILURE)
}
