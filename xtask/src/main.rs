//! The project's own commands. `cargo xtask help` lists them; CI runs the same ones.

mod bench;
mod demo;
mod deps;
mod guests;
mod http;
mod needs;
mod peers;
mod postgres;
mod process;
mod redis;
mod server;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

const HELP: &str = "\
cargo xtask demo [--once] [--listen ADDR]   build, serve examples/guestbook, call it, show how to go on
cargo xtask test [-- FILTER]                all checks and tests; with FILTER, only the tests so named
cargo xtask guests                          build the tests' guests into target/guests
cargo xtask deps                            check licences and names of all dependencies
cargo xtask bench [--quick] [--pumice PATH] [ROW…]
    measure beside peers and write bench/RESULTS.md; --quick is short and writes target/bench/RESULTS.md;
    --pumice measures another binary than the release build
    rows: hello floor fuel kill cold apps restart data triggers jobs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("which command?\n\n{HELP}");
    };
    let root = &root()?;
    match command.as_str() {
        "demo" => demo::run(root, &demo::Options::parse(rest)?),
        "test" => test::run(root, rest),
        "guests" => guests::build(root).map(|_| ()),
        "deps" => deps::check(root),
        "bench" => bench::run(root, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{HELP}"),
    }
}

/// The top of the checkout.
fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root
        .context("xtask stands at the top of a drive")?
        .to_owned())
}
