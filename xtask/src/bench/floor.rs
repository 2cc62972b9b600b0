//! What the host adds: the processor time of a request to hello, less that of plain HTTP, beside what
//! wasmtime alone takes to instantiate and call the same component.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::hello::{deployed, hello_url, measured};
use super::numbers::{median, short};
use super::report::{Section, Verdict};
use super::{Bench, wrk};
use crate::needs;
use crate::process::{output, run, say};

const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    needs::wrk()?;
    let floor = build(bench)?;
    let data = tempfile::tempdir()?;
    let server = deployed(bench, data.path())?;
    let (hello, health) = (hello_url(&server), format!("{}/health", server.url));
    wrk::turn(&hello, bench.turn())?;
    let mut figures: [Vec<f64>; 4] = Default::default();
    for _ in 0..bench.choose(ROUNDS, ROUNDS_QUICK) {
        let raw = raw(bench, &floor)?;
        let round = [
            raw["plain_us"].as_f64().context("plain_us")?,
            raw["metered_us"].as_f64().context("metered_us")?,
            measured(&hello, server.id(), bench.turn())?.1,
            measured(&health, server.id(), bench.turn())?.1,
        ];
        for (all, figure) in figures.iter_mut().zip(round) {
            all.push(figure);
        }
    }
    let [plain, metered, hello, health] = figures.map(|all| median(&all));
    let host = (hello - health).max(0.0);
    let line = |what: &str, value: f64| vec![what.to_owned(), short(value), short(value / plain)];
    let mut section = Section::default();
    section.table(
        &["CPU for one call", "µs", "× the floor"],
        &[
            line("floor: wasmtime, `InstancePre` and call", plain),
            line("the same with fuel, on a fiber", metered),
            line("pumice: a request to hello", hello),
            line(
                "pumice: a request to `/health`, which calls no guest",
                health,
            ),
            line("pumice: hello less `/health`", host),
        ],
    );
    section.note(
        "The floor runs on one thread with pumice's engine settings and answers every import with the \
         least that lets the guest go on. A server's CPU is all of its process's, the kernel's part \
         included, over the requests of a turn of wrk.",
    );
    section.verdicts = vec![Verdict::at_most(
        "host cost of a fresh invocation ≤ 2× the raw floor",
        2.0,
        host / plain,
        "×",
    )];
    Ok(section)
}

/// The floor is a program of its own, in a workspace of its own: nothing else has to wait for it.
fn build(bench: &Bench) -> anyhow::Result<PathBuf> {
    say("building bench/floor (minutes, the first time)");
    let target = bench.root.join("target/floor");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(bench.root.join("bench/floor"))
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target);
    run(&mut cargo)?;
    Ok(target.join("release/floor"))
}

fn raw(bench: &Bench, floor: &PathBuf) -> anyhow::Result<Value> {
    let mut command = Command::new(floor);
    command
        .arg(bench.guest_path("hello"))
        .arg(bench.choose("100000", "5000"))
        .env("RUST_BACKTRACE", "0");
    serde_json::from_str(&output(&mut command)?).context("bench/floor prints JSON")
}
