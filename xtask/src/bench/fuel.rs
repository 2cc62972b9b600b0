//! How fuel relates to time over several kinds of work.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use super::numbers::{median, short, whole};
use super::report::Section;
use crate::http::Connection;
use crate::server::function_path;

/// Guest, its query, and what it does. Each call takes milliseconds, so that what surrounds the guest's
/// own work does not count.
const WORK: [(&str, &str, &str); 4] = [
    ("json_work", "times=8", "reads and writes JSON"),
    ("float_work", "rows=512", "computes with floats"),
    (
        "memory_work",
        "steps=1000000",
        "follows pointers through 16 MiB",
    ),
    ("spin", "", "an empty loop, until it is stopped"),
];

/// Fuel that a millisecond is worth in limits; as `FUEL_PER_MS` of the runtime's `limits.rs`.
const FUEL_PER_US: f64 = 10_000.0;

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let data = tempfile::tempdir()?;
    let server = bench.start(data.path())?;
    let functions = bench.functions(&WORK.map(|(guest, ..)| guest))?;
    let mut platform = server.platform()?;
    platform.deploy("fuel", &functions)?;
    let mut connection = Connection::open(&server.url)?;
    let calls = bench.choose(30, 5);
    let mut rows = Vec::new();
    for (guest, query, what) in WORK {
        let name = guest.replace('_', "-");
        let path = format!("{}?{query}", function_path("fuel", &name));
        // An endless loop takes half a second each time.
        let calls = if guest == "spin" { calls.min(5) } else { calls };
        for _ in 0..calls {
            let answer = connection.get(&path)?;
            let expected = answer.status == 200 || guest == "spin";
            ensure!(expected, "{path}: {} {}", answer.status, answer.text());
        }
        let outcomes = platform.outcomes("fuel", &name, calls)?;
        ensure!(outcomes.len() == calls, "the log lacks calls of {guest}");
        rows.push(line(what, &outcomes)?);
    }
    let mut section = Section::default();
    section.table(
        &["", "fuel", "CPU ms", "fuel/µs", "CPU at 500 ms of fuel, ms"],
        &rows,
    );
    section.note(
        "Medians of the calls' outcome records. The last column is where the fuel limit of 5·10⁹ would \
         end this kind of work: below 500 the fuel limit comes first, above it the CPU limit.",
    );
    Ok(section)
}

fn line(what: &str, outcomes: &[Value]) -> anyhow::Result<Vec<String>> {
    let figures = |key: &str| -> anyhow::Result<Vec<f64>> {
        let figures = outcomes.iter().map(|record| record[key].as_f64());
        figures
            .collect::<Option<_>>()
            .with_context(|| format!("an outcome has no {key}"))
    };
    let (fuel, cpu_us) = (figures("fuel")?, figures("cpu_us")?);
    let rates = fuel
        .iter()
        .zip(&cpu_us)
        .map(|(fuel, us)| fuel / us.max(1.0));
    let rate = median(&rates.collect::<Vec<_>>());
    Ok(vec![
        what.to_owned(),
        whole(median(&fuel)),
        short(median(&cpu_us) / 1000.0),
        whole(rate),
        whole(500.0 * FUEL_PER_US / rate.max(1.0)),
    ])
}
