//! `loop {}` in one app, and what another app at 200 requests a second feels of it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use super::load::{Latencies, open_loop, while_calling};
use super::numbers::{median, percentile, short};
use super::report::{Section, Verdict};
use crate::process::say;
use crate::server::{Server, function_path};

const PER_SECOND: u32 = 200;
/// The CPU limit of a function.
const CPU_LIMIT_US: f64 = 500_000.0;

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let data = tempfile::tempdir()?;
    let server = bench.start(data.path())?;
    let mut platform = server.platform()?;
    platform.deploy("neighbour", &bench.functions(&["hello"])?)?;
    platform.deploy("spinner", &bench.functions(&["spin"])?)?;
    let length = bench.choose(Duration::from_secs(20), Duration::from_secs(4));
    let neighbour = || {
        open_loop(
            &server.url,
            &function_path("neighbour", "hello"),
            PER_SECOND,
            length,
        )
    };
    // The first calls of a process find nothing warm.
    neighbour();

    let mut section = Section::default();
    let (mut phases, mut seen) = (Vec::new(), 0);
    for spinners in [0, 1, 16] {
        say(&format!("{spinners} spinners"));
        let spin = function_path("spinner", "spin");
        let latencies = while_calling(&server.url, &spin, spinners, neighbour);
        ensure!(
            latencies.failed == 0,
            "{} of the neighbour's requests failed beside {spinners} spinners",
            latencies.failed
        );
        let kills = kills(&server, spinners, &mut seen)?;
        phases.push((spinners, latencies, kills));
    }
    let rows: Vec<Vec<String>> = phases
        .iter()
        .map(|(spinners, latencies, kills)| line(*spinners, latencies, kills))
        .collect();
    section.table(
        &[
            "spinners at once",
            "neighbour p50 ms",
            "p99 ms",
            "max ms",
            "kills",
            "stopped by",
            "CPU when stopped, ms: median",
            "max",
            "wall, ms: median",
        ],
        &rows,
    );
    section.note(
        "The neighbour's load is an open loop: latency counts from when a request should have been \
         sent. Each spinner is called again as soon as it has been stopped. The wall time of one of 16 \
         includes its wait for a processor.",
    );
    let p99 = |index: usize| percentile(&phases[index].1.ms, 0.99);
    let allowed = (p99(0) * 2.0).max(p99(0) + 5.0);
    let over = |index: usize| (phases[index].2.cpu_max() - CPU_LIMIT_US) / 1000.0;
    section.verdicts = vec![
        Verdict::at_most(
            "`loop {}`: stopped within 50 ms of CPU after its limit",
            50.0,
            over(1).max(over(2)),
            " ms",
        ),
        Verdict::at_most(
            "neighbour's p99 beside one ≤ max(2×, +5 ms)",
            allowed,
            p99(1),
            " ms",
        ),
        Verdict::at_most(
            "neighbour's p99 beside 16 ≤ max(2×, +5 ms)",
            allowed,
            p99(2),
            " ms",
        ),
    ];
    Ok(section)
}

/// How the spinners of one phase ended.
#[derive(Default)]
struct Kills {
    limits: Vec<String>,
    cpu_us: Vec<f64>,
    wall_us: Vec<f64>,
}

impl Kills {
    fn cpu_max(&self) -> f64 {
        self.cpu_us.iter().copied().fold(0.0, f64::max)
    }
}

/// The kills of this phase: what the log holds beyond the `seen` of earlier ones.
fn kills(server: &Server, spinners: usize, seen: &mut usize) -> anyhow::Result<Kills> {
    if spinners == 0 {
        return Ok(Kills::default());
    }
    let records = server.platform()?.outcomes("spinner", "spin", 10_000)?;
    let stopped: Vec<&Value> = records
        .iter()
        .skip(std::mem::replace(seen, records.len()))
        .filter(|record| record["outcome"] == "limit")
        .collect();
    let figures = |key: &str| -> anyhow::Result<Vec<f64>> {
        let figures = stopped.iter().map(|record| record[key].as_f64());
        figures
            .collect::<Option<_>>()
            .with_context(|| format!("an outcome has no {key}"))
    };
    let mut limits: Vec<String> = stopped
        .iter()
        .map(|record| record["limit"].as_str().unwrap_or("?").to_owned())
        .collect();
    limits.sort();
    ensure!(!limits.is_empty(), "no spinner was stopped");
    Ok(Kills {
        limits,
        cpu_us: figures("cpu_us")?,
        wall_us: figures("wall_us")?,
    })
}

fn line(spinners: usize, latencies: &Latencies, kills: &Kills) -> Vec<String> {
    let mut limits = kills.limits.clone();
    limits.dedup();
    let ms = |us: f64| {
        if kills.limits.is_empty() {
            "–".to_owned()
        } else {
            short(us / 1000.0)
        }
    };
    vec![
        spinners.to_string(),
        short(percentile(&latencies.ms, 0.5)),
        short(percentile(&latencies.ms, 0.99)),
        short(percentile(&latencies.ms, 1.0)),
        kills.limits.len().to_string(),
        limits.join(", "),
        ms(median(&kills.cpu_us)),
        ms(kills.cpu_max()),
        ms(median(&kills.wall_us)),
    ]
}
