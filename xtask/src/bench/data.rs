//! Rows through `/rest/v1` on both engines, beside PocketBase.

use anyhow::{Context as _, ensure};

use super::numbers::{percentile, short, whole};
use super::report::{Section, Verdict};
use super::tables::{self, App, Contender, DURABILITY, PocketBase, ROWS};
use super::{Bench, machine, wrk};
use crate::postgres;

const BUDGETS: [&str; 3] = [
    "insert through `/rest/v1`: ≥ 4× PocketBase",
    "read by id through `/rest/v1`: ≥ 4× PocketBase",
    "list 20 through `/rest/v1`: ≥ 4× PocketBase",
];

/// Places of the contenders of each kind of work.
const SQLITE: usize = 0;
const POCKETBASE: usize = 2;

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let server = postgres::start(&bench.root, postgres::Disk::Awaited)?;
    let sqlite = App::start(bench, None, "", "items.sql", &[])?;
    let postgres = App::start(bench, Some(&server), "", "items.sql", &[])?;
    let pocketbase = PocketBase::start(bench)?;
    for app in [&sqlite, &postgres] {
        app.seed()?;
    }
    // A disk that others use as well is another disk a minute later.
    let syncs = || machine::syncs_per_second(sqlite.folder());
    let mut disk = vec![syncs()?];

    let contenders = |work: fn(&App, &str) -> wrk::Work, theirs| {
        [
            Contender::new("pumice, SQLite", work(&sqlite, &sqlite.service)),
            Contender::new("pumice, PostgreSQL", work(&postgres, &postgres.service)),
            Contender::new("PocketBase", theirs),
        ]
    };
    let mut inserts = contenders(
        |app, key| app.insert("entry", key),
        pocketbase.insert("entry"),
    );
    let mut reads = contenders(App::read, pocketbase.read());
    let mut lists = Vec::from(contenders(App::list, pocketbase.list(false)));
    lists.push(Contender::new(
        "PocketBase, which counts all rows unless told not to",
        pocketbase.list(true),
    ));
    for contender in inserts.iter().chain(&reads) {
        tables::check_row(&contender.probe()?).context(contender.name)?;
    }
    for contender in &lists {
        let answer = contender.probe()?;
        let rows = answer.as_array().or_else(|| answer["items"].as_array());
        let count = rows.map_or(0, Vec::len);
        ensure!(count == 20, "{} lists {count} rows", contender.name);
    }

    let mut section = Section::default();
    let works: [(&str, &mut [Contender]); 3] = [
        ("insert one row", &mut inserts),
        ("read by id", &mut reads),
        ("list 20", &mut lists),
    ];
    for ((what, contenders), budget) in works.into_iter().zip(BUDGETS) {
        tables::take_turns(bench, contenders, bench.choose(5, 2))?;
        let rows: Vec<Vec<String>> = contenders
            .iter()
            .map(|contender| {
                vec![
                    contender.name.to_owned(),
                    whole(contender.median(|turn| turn.per_second)),
                    short(contender.median(|turn| turn.p50_ms)),
                    short(contender.median(|turn| turn.p99_ms)),
                    short(contender.times(&contenders[POCKETBASE])),
                ]
            })
            .collect();
        section.table(&[what, "req/s", "p50 ms", "p99 ms", "× PocketBase"], &rows);
        disk.push(syncs()?);
        let times = contenders[SQLITE].times(&contenders[POCKETBASE]);
        section
            .verdicts
            .push(Verdict::at_least(budget, 4.0, times, "×"));
    }
    section.note(&format!(
        "wrk, 1 thread, {} connections. Rows of a text, an integer, a boolean and a text; {} of them in the \
         table that is read. A row that is inserted comes back in the answer. The service \
         key calls pumice, so that no policy is asked; PocketBase's rules let all pass. The promises are \
         about SQLite.",
        wrk::CONNECTIONS,
        whole(ROWS as f64),
    ));
    section.note(DURABILITY);
    section.note(&format!(
        "The disk takes {} to {} writes of 4 KiB a second when one waits for each.",
        whole(percentile(&disk, 0.0)),
        whole(percentile(&disk, 1.0)),
    ));
    section.note(&format!("Peer: {}.", pocketbase.version()));
    Ok(section)
}
