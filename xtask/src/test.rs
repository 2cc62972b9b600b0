//! `cargo xtask test`: every check there is, cheap ones first.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::process::{self, output, say, watch};
use crate::{demo, deps, guests, needs, postgres, redis, server};

/// Runs all checks and tests, or with `-- FILTER` only the tests whose names contain it.
///
/// # Errors
/// At the first check that fails; after all tests if one failed.
pub fn run(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let filter = match arguments {
        [] => None,
        [dashes, filter @ ..] if dashes == "--" && !filter.is_empty() => Some(filter),
        _ => bail!("`test` takes nothing, or `-- FILTER`"),
    };
    needs::c_compiler()?;
    if filter.is_none() {
        needs::rust_tools()?;
        format(root)?;
        deps::check(root)?;
        say("clippy");
        let mut clippy = needs::cargo(root, "clippy");
        clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
        process::run(&mut clippy)?;
    }
    needs::node()?;
    needs::curl()?;
    javascript_packages(&root.join("tests/js"))?;
    let guests = guests::build(root)?;
    say("building pumice");
    process::run(needs::cargo(root, "build").args(["--package", "pumice-runtime"]))?;

    let database = postgres::start(root, postgres::Disk::Ignored)?;
    let redis = redis::start(root)?;

    say("tests");
    let mut tests = needs::cargo(root, "test");
    tests
        .args(["--workspace", "--no-fail-fast"])
        .env("PUMICE_BIN", server::debug_binary(root))
        .env("PUMICE_GUESTS", guests)
        .env("PUMICE_TEST_DATABASE_URL", &database.url)
        .env("PUMICE_TEST_REDIS_URL", &redis.url)
        // A captured backtrace on an expected error is slow, and changes what is printed.
        .env("RUST_BACKTRACE", "0");
    if let Some(filter) = filter {
        tests.arg("--").args(filter);
    }
    let mut count = Count::default();
    let mut succeeded = watch(&mut tests, &mut |line| count.add(line))?;
    drop((database, redis));
    if filter.is_none() {
        say("tests of the Rust SDK, and whether its bindings are those of wit/");
        let manifest = ["--locked", "--manifest-path", "guest-sdk/Cargo.toml"];
        let mut bindings = Command::new("cargo");
        bindings.current_dir(root).arg("run").args(manifest);
        bindings.args(["--package", "pumice-bindings", "--", "--check"]);
        process::run(&mut bindings)?;
        let mut tests = Command::new("cargo");
        tests.current_dir(root).arg("test").args(manifest);
        tests.args(["--package", "pumice"]);
        succeeded &= watch(&mut tests, &mut |line| count.add(line))?;
        say("tests of the JavaScript SDK");
        let mut tests = Command::new("node");
        tests
            .current_dir(root.join("guest-sdk/js"))
            .args(["--test", "--test-reporter=tap"]);
        succeeded &= watch(&mut tests, &mut |line| count.add(line))?;
    }
    if succeeded && filter.is_none() {
        demo::run(root, &demo::Options::once())?;
    }
    // Tests that did not compile did not run: nothing to count.
    if count != Count::default() {
        println!("{} passed, {} failed", count.passed, count.failed);
    }
    ensure!(succeeded, "tests failed; they stand above");
    Ok(())
}

/// Every workspace: the root's, and those of guests, which are compiled for another machine.
fn format(root: &Path) -> anyhow::Result<()> {
    say("format");
    process::run(
        Command::new("cargo")
            .current_dir(root)
            .args(["fmt", "--all", "--check"]),
    )?;
    let tracked = output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*Cargo.toml",
    ]))?;
    for manifest in tracked.lines() {
        let path = root.join(manifest);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if manifest == "Cargo.toml" || !text.lines().any(|line| line.trim() == "[workspace]") {
            continue;
        }
        let mut format = Command::new("cargo");
        format
            .current_dir(root)
            .args(["fmt", "--all", "--check", "--manifest-path"])
            .arg(&path);
        process::run(&mut format)?;
    }
    Ok(())
}

/// Installs what the lock file in `folder` names, unless that was done since it last changed.
fn javascript_packages(folder: &Path) -> anyhow::Result<()> {
    let changed = |path: &str| folder.join(path).metadata()?.modified();
    let Ok(lock) = changed("package-lock.json") else {
        return Ok(());
    };
    if changed("node_modules/.package-lock.json").is_ok_and(|installed| installed >= lock) {
        return Ok(());
    }
    say(&format!("npm ci in {}", folder.display()));
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["ci", "--no-audit", "--no-fund"]);
    process::run(&mut npm)
}

/// What all test programs together report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; …`, or `# pass 12` and
    /// `# fail 0` of Node's; others say nothing.
    fn add(&mut self, line: &str) {
        for (start, sum) in [("# pass ", &mut self.passed), ("# fail ", &mut self.failed)] {
            let number = line.strip_prefix(start).map(str::parse);
            *sum += number.and_then(Result::ok).unwrap_or(0_u64);
        }
        let Some(result) = line.trim().strip_prefix("test result: ") else {
            return;
        };
        let number = |what: &str| {
            let parts = result.split(['.', ';']).map(str::trim);
            let mut found = parts.filter_map(|part| part.strip_suffix(what)?.trim().parse().ok());
            found.next().unwrap_or(0_u64)
        };
        self.passed += number("passed");
        self.failed += number("failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_count() {
        let mut count = Count::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "99 passed",
            "# pass 5",
            "# fail 2",
            "# a comment",
        ] {
            count.add(line);
        }
        assert_eq!(
            count,
            Count {
                passed: 19,
                failed: 3
            }
        );
    }
}
