//! What becomes of more sign-ins at once than there are processors to hash for them.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::Instant;

use anyhow::{anyhow, ensure};
use serde_json::json;

use super::site::{Site, USERS, User};
use crate::bench::machine;
use crate::bench::numbers::{ms, percentile, short};
use crate::bench::report::{Section, Verdict};
use crate::bench::tables::App;
use crate::http::Connection;
use crate::process::say;

const MIB: f64 = 1024.0 * 1024.0;

/// Sign-ins at once.
const CROWDS: [usize; 3] = [32, 100, 1_000];

/// What becomes of many sign-ins at once, and of the server's memory.
pub fn crowd(site: &Site<'_>, app: &App, section: &mut Section) -> anyhow::Result<()> {
    // The server has as many files of its own besides, and so have we.
    let room = machine::open_files_max().saturating_sub(100);
    let (mut rows, mut grown, mut largest) = (Vec::new(), 0.0, 0);
    for count in CROWDS.map(|count| count.min(room)) {
        say(&format!("{count} sign-ins at once"));
        machine::forget_peak(app.id())?;
        let before = machine::resident(app.id())?;
        let answers = at_once(site, count)?;
        let peak = machine::peak(app.id())?;
        let mut statuses = BTreeMap::new();
        for (status, _) in &answers {
            *statuses.entry(*status).or_insert(0_usize) += 1;
        }
        let others = statuses
            .keys()
            .find(|status| ![200, 429, 503].contains(*status));
        ensure!(others.is_none(), "a sign-in of a crowd is told {others:?}");
        let took = |ok: bool| -> Vec<f64> {
            let of_kind = answers.iter().filter(|(status, _)| (*status == 200) == ok);
            of_kind.map(|(_, took)| *took).collect()
        };
        let of_all = |status: u16| {
            let number = statuses.get(&status).copied().unwrap_or(0);
            format!("{number} ({:.0} %)", number as f64 * 100.0 / count as f64)
        };
        grown = peak.saturating_sub(before) as f64 / MIB;
        largest = count;
        rows.push(vec![
            count.to_string(),
            of_all(200),
            of_all(503),
            of_all(429),
            short(percentile(&took(true), 0.5)),
            short(percentile(&took(true), 1.0)),
            short(percentile(&took(false), 1.0)),
            short(before as f64 / MIB),
            short(peak as f64 / MIB),
        ]);
    }
    let heads = [
        "sign-ins at once",
        "200",
        "503",
        "429",
        "200: p50 ms",
        "max",
        "refused: max ms",
        "memory before, MiB",
        "at most",
    ];
    section.table(&heads, &rows);
    section.note(
        "pumice on SQLite, all of one app, each over a connection of its own that was open before. Memory is \
         what is resident; the threads that hash may have theirs already.",
    );
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    section.verdicts.push(Verdict::at_most(
        "a crowd of sign-ins: memory grows by ≤ 19 MiB a processor and 64 KiB each",
        19.0 * processors as f64 + largest as f64 / 16.0,
        grown,
        " MiB",
    ));
    Ok(())
}

/// Status and milliseconds of sign-ins that begin together.
fn at_once(site: &Site<'_>, count: usize) -> anyhow::Result<Vec<(u16, f64)>> {
    let connections = (0..count).map(|_| Connection::open(site.url()));
    let connections = connections.collect::<anyhow::Result<Vec<_>>>()?;
    let gate = RwLock::new(());
    let sign_in = |number: usize, mut connection: Connection| {
        let User { email, password } = &site.users[number % USERS];
        let body = json!({ "email": email, "password": password });
        // Open as soon as nobody holds it to write.
        drop(gate.read());
        let sent = Instant::now();
        let answer = site.post(&mut connection, "/token?grant_type=password", None, &body)?;
        anyhow::Ok((answer.status, ms(sent.elapsed())))
    };
    let sign_in = &sign_in;
    std::thread::scope(|scope| {
        let closed = gate.write();
        let mut threads = Vec::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let thread = std::thread::Builder::new().stack_size(256 * 1024);
            threads.push(thread.spawn_scoped(scope, move || sign_in(number, connection))?);
        }
        drop(closed);
        let mut answers = Vec::new();
        for thread in threads {
            answers.push(thread.join().map_err(|_| anyhow!("a client broke"))??);
        }
        Ok(answers)
    })
}
