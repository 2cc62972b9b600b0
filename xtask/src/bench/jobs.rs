//! How fast jobs are accepted, and run once they are due.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::Value;

use super::Bench;
use super::numbers::{median, ms, percentile, short, whole};
use super::report::Section;
use super::tables::App;
use crate::http::Connection;
use crate::postgres;
use crate::process::say;

const SCRIPT: &str = "\n[[script]]\nname = \"tick\"\npath = \"tick.wasm\"\n";

/// Clients that add jobs at once.
const CLIENTS: usize = 16;

/// Jobs a second that are surely accepted on any machine: they are due when this many would be.
const ACCEPTED_MIN: usize = 250;

/// Longer than any backlog takes. Jobs that are tried again wait long, and mean that something is wrong.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// One engine's figures, of each round.
#[derive(Default)]
struct Figures {
    accepted_per_second: Vec<f64>,
    run_per_second: Vec<f64>,
    /// From when all were due until the first row was there.
    first_ms: Vec<f64>,
    /// From the request for a job until its row can be read, with nothing else to do.
    alone_ms: Vec<f64>,
}

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let count = bench.choose(5000, 300);
    let component = [("tick", bench.guest("script_tick")?)];
    let server = postgres::start(&bench.root, postgres::Disk::Awaited)?;
    let mut engines = Vec::new();
    for (name, postgres) in [("SQLite", None), ("PostgreSQL", Some(&server))] {
        let app = App::start(bench, postgres, SCRIPT, "tick.sql", &component)?;
        engines.push((name, app, Figures::default()));
    }
    for round in 1..=bench.choose(3, 1) {
        for (name, app, figures) in &mut engines {
            alone(app, bench.choose(50, 10), &mut figures.alone_ms).context(*name)?;
            many(app, count, figures).context(*name)?;
            let rate = figures.run_per_second.last().copied().unwrap_or_default();
            say(&format!("round {round}: {name} {} jobs/s", whole(rate)));
        }
    }
    let rows: Vec<Vec<String>> = engines
        .iter()
        .map(|(name, _, figures)| {
            vec![
                (*name).to_owned(),
                whole(median(&figures.accepted_per_second)),
                whole(median(&figures.run_per_second)),
                short(median(&figures.first_ms)),
                short(percentile(&figures.alone_ms, 0.5)),
                short(percentile(&figures.alone_ms, 0.99)),
            ]
        })
        .collect();
    let mut section = Section::default();
    let heads = [
        "",
        "accepted/s",
        "run/s",
        "first after ms",
        "one alone: p50 ms",
        "p99 ms",
    ];
    section.table(&heads, &rows);
    section.note(&format!(
        "A script in Rust, a fresh instance for each run, which inserts one row. {} jobs, added over {} \
         connections by `POST /jobs/v1/tick` and all due at one time after that; run/s counts from then \
         until the last row is there. Alone: from the request for a job until its row can be read, the \
         server having nothing else to do than to be asked for it.",
        whole(count as f64),
        CLIENTS,
    ));
    Ok(section)
}

/// Jobs one after the other, each on an idle server.
fn alone(app: &App, count: usize, took: &mut Vec<f64>) -> anyhow::Result<()> {
    let mut connection = app.connect()?;
    for _ in 0..count {
        let began = Instant::now();
        let id = enqueue(app, &mut connection, "")?;
        while newest(app, &mut connection)?["job_id"] != *id {
            wait(began)?;
        }
        took.push(ms(began.elapsed()));
    }
    Ok(())
}

/// A backlog of jobs that are due at once.
fn many(app: &App, count: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut connection = app.connect()?;
    let before = newest(app, &mut connection)?["id"].as_u64().unwrap_or(0);
    let allowed = Duration::from_secs((count / ACCEPTED_MIN).max(3) as u64);
    let run_at = (SystemTime::now() + allowed).duration_since(UNIX_EPOCH)?;
    let options = format!("?run_at={}", run_at.as_millis());
    let began = Instant::now();
    let ids = enqueue_all(app, count, &options)?;
    let accepted = began.elapsed();
    ensure!(
        accepted < allowed,
        "{count} jobs were accepted in {accepted:?} only: the first of them are under way"
    );
    figures
        .accepted_per_second
        .push(count as f64 / accepted.as_secs_f64());

    let due = began + allowed;
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let (mut first, mut runs) = (None, Vec::new());
    let mut done = due.elapsed();
    while runs.len() < count {
        wait(due)?;
        std::thread::sleep(Duration::from_millis(5));
        done = due.elapsed();
        let newest = newest(app, &mut connection)?["id"].as_u64().unwrap_or(0);
        if newest > before {
            first.get_or_insert(ms(done));
        }
        // Numbers of rows may leave gaps, but no row has the number of another.
        if newest >= before + count as u64 {
            runs = rows_after(app, &mut connection, before)?;
        }
    }
    figures.first_ms.extend(first);
    ensure!(runs.len() == count, "{} runs of {count} jobs", runs.len());
    let ran: BTreeSet<String> = runs.into_iter().collect();
    ensure!(ran == ids, "not each of the jobs ran once");
    figures
        .run_per_second
        .push(count as f64 / done.as_secs_f64());
    Ok(())
}

fn enqueue_all(app: &App, count: usize, options: &str) -> anyhow::Result<BTreeSet<String>> {
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<Vec<String>> {
        let mut connection = app.connect()?;
        let mut ids = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < count {
            ids.push(enqueue(app, &mut connection, options)?);
        }
        Ok(ids)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeSet::new();
        for client in clients {
            all.extend(client.join().map_err(|_| anyhow!("a client broke"))??);
        }
        Ok(all)
    })
}

/// Adds a job; returns its id.
fn enqueue(app: &App, connection: &mut Connection, options: &str) -> anyhow::Result<String> {
    let path = app.path(&format!("/jobs/v1/tick{options}"));
    let headers = [
        ("apikey", app.service.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = connection.send("POST", &path, &headers, b"{}")?;
    ensure!(answer.status == 202, "{}: {}", answer.status, answer.text());
    let id = answer.json()?["id"].as_str().map(str::to_owned);
    id.context("the job has no id")
}

/// The row written last; null before the first.
fn newest(app: &App, connection: &mut Connection) -> anyhow::Result<Value> {
    let rows = rows(app, connection, "select=id,job_id&order=id.desc&limit=1")?;
    Ok(rows.first().cloned().unwrap_or_default())
}

/// The jobs that wrote the rows behind the one of this number.
fn rows_after(app: &App, connection: &mut Connection, id: u64) -> anyhow::Result<Vec<String>> {
    let (mut ids, mut last) = (Vec::new(), id);
    loop {
        // An answer has a thousand rows at most.
        let query = format!("select=id,job_id&id=gt.{last}&order=id");
        let rows = rows(app, connection, &query)?;
        let Some(end) = rows.last().and_then(|row| row["id"].as_u64()) else {
            return Ok(ids);
        };
        last = end;
        let page = rows.iter().filter_map(|row| row["job_id"].as_str());
        ids.extend(page.map(str::to_owned));
    }
}

fn rows(app: &App, connection: &mut Connection, query: &str) -> anyhow::Result<Vec<Value>> {
    let path = app.path(&format!("/rest/v1/tick?{query}"));
    let answer = connection.send("GET", &path, &[("apikey", app.service.as_str())], &[])?;
    match answer.json()? {
        Value::Array(rows) => Ok(rows),
        other => Err(anyhow!("no rows: {other}")),
    }
}

/// # Errors
/// When it has been too long since `began`.
fn wait(began: Instant) -> anyhow::Result<()> {
    ensure!(
        began.elapsed() < WAIT_MAX,
        "jobs are not done after {WAIT_MAX:?}"
    );
    Ok(())
}
