//! `pumice doctor`: what this machine offers, and what to do about what is missing.

use std::process::{Command, ExitCode};

use pumice_guest_build::Toolchain;
use serde::Serialize;

use super::Report;
use crate::engine;
use crate::limits;

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    detail: String,
}

/// Looks and reports; fails only if no server could start here.
///
/// # Errors
/// Never; the type is that of the other commands.
pub fn run(report: &Report) -> anyhow::Result<ExitCode> {
    let node = limits::Node::default();
    let engine = engine::runtime_engine(&node);
    let starts = engine.is_ok();
    let scan = engine::pagemap_scan_is_safe();
    let findings = [
        Finding {
            what: "engine",
            ok: starts,
            detail: engine.map_or_else(
                |error| format!("{error:#}; lower `instances` in server.toml"),
                |engine| format!("wasmtime with room for {} guests, artifacts {}", node.instances, engine::fingerprint(&engine)),
            ),
        },
        Finding {
            what: "memory reset",
            ok: scan && kernel_scans(),
            detail: match (scan, kernel_scans()) {
                (true, true) => "by scanning for dirty pages".to_owned(),
                (false, _) => "in full, because this machine has swap; without swap, calls are faster".to_owned(),
                (true, false) => "in full, because the kernel is older than 6.7; with a newer one, calls are faster".to_owned(),
            },
        },
        rust(),
        program("node", "JavaScript functions need Node.js 20 or newer: https://nodejs.org, or `apt-get install nodejs npm`"),
        program("npm", "JavaScript functions need npm: it comes with Node.js, or `apt-get install npm`"),
    ];
    report.data(&findings, |findings| {
        for finding in findings {
            println!(
                "{} {:<14} {}",
                if finding.ok { "ok  " } else { "note" },
                finding.what,
                finding.detail
            );
        }
    });
    Ok(if starts {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The guest compiler that is here now; nothing is installed.
fn rust() -> Finding {
    let found = Toolchain::is_installed().then(|| Toolchain::find(&|_| {}));
    let (ok, detail) = match found {
        Some(Ok(toolchain)) => (true, toolchain.describe()),
        Some(Err(error)) => (false, error.to_string()),
        None => (false, "the first `pumice build` installs the target wasm32-wasip2: `rustup target add wasm32-wasip2`".to_owned()),
    };
    Finding {
        what: "rust guests",
        ok,
        detail,
    }
}

fn program(name: &'static str, fix: &str) -> Finding {
    let version = Command::new(name)
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success());
    Finding {
        what: name,
        ok: version.is_some(),
        detail: version.map_or_else(
            || fix.to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        ),
    }
}

/// Whether the kernel has `PAGEMAP_SCAN`: Linux 6.7.
fn kernel_scans() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 7)
}
