//! The dialect's longer words: rows behind a policy, an embedded row, an update, many rows at once; beside
//! PocketBase on SQLite and Parse Server on PostgreSQL. And how the cost of a request grows with the table.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::numbers::{percentile, short, whole};
use super::parse::Parse;
use super::report::Section;
use super::tables::{self, App, Contender, DURABILITY, PocketBase, ROWS};
use super::wrk::{self, Kind};
use super::{Bench, machine};
use crate::postgres;

/// Place of each in a table of contenders.
const NAMES: [&str; 4] = [
    "pumice, SQLite",
    "PocketBase, SQLite",
    "pumice, PostgreSQL",
    "Parse Server, PostgreSQL",
];

/// Sizes of the table whose cost is measured.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let server = postgres::start(&bench.root, postgres::Disk::Awaited)?;
    let sqlite = App::start(bench, None, "", "articles.sql", &[])?;
    let postgres = App::start(bench, Some(&server), "", "articles.sql", &[])?;
    let pocketbase = PocketBase::start(bench)?;
    let parse = Parse::start(bench, &server)?;
    for app in [&sqlite, &postgres] {
        let authors = (1..=100).map(|number| json!({ "name": format!("Author {number}") }));
        app.fill("author", authors)?;
        app.fill("article", articles(1..=ROWS))?;
    }
    parse.fill()?;

    let ours = |app: &App, kind: Kind, path: &str| app.work(kind, path, &app.anon);
    let service = |app: &App, kind: Kind, path: &str| app.work(kind, path, &app.service);
    let policy = "article?order=id&limit=20";
    let embed = "article?select=*,author(*)&order=id&limit=20";
    let works = [
        (
            "list 20 behind a policy",
            [
                Some(ours(&sqlite, Kind::Get, policy)),
                Some(pocketbase.list_ruled()),
                Some(ours(&postgres, Kind::Get, policy)),
                Some(parse.list("")),
            ],
        ),
        (
            "list 20, each with its author",
            [
                Some(ours(&sqlite, Kind::Get, embed)),
                Some(pocketbase.list_expanded()),
                Some(ours(&postgres, Kind::Get, embed)),
                Some(parse.list("&include=author")),
            ],
        ),
        (
            "update one row",
            [
                Some(service(&sqlite, Kind::Patch, "article?id=eq.%d")),
                Some(pocketbase.update()),
                Some(service(&postgres, Kind::Patch, "article?id=eq.%d")),
                Some(parse.update()),
            ],
        ),
        (
            "insert 500 rows at once",
            [
                Some(service(&sqlite, Kind::Bulk, "entry")),
                Some(pocketbase.bulk()),
                Some(service(&postgres, Kind::Bulk, "entry")),
                None,
            ],
        ),
    ];
    let mut section = Section::default();
    for (what, works) in works {
        let named = NAMES.into_iter().zip(works);
        let mut contenders: Vec<Contender> = named
            .filter_map(|(name, work)| Some(Contender::new(name, work?)))
            .collect();
        for contender in &contenders {
            contender.check(what.starts_with("list")).context(what)?;
        }
        tables::take_turns(bench, &mut contenders, bench.choose(5, 2))?;
        let rows: Vec<Vec<String>> = contenders
            .iter()
            .enumerate()
            .map(|(at, contender)| {
                // Each engine's peer stands after it.
                let times = match contenders.get(at + 1) {
                    Some(peer) if at % 2 == 0 => short(contender.times(peer)),
                    _ => String::new(),
                };
                vec![
                    contender.name.to_owned(),
                    whole(contender.median(|turn| turn.per_second)),
                    short(contender.median(|turn| turn.p50_ms)),
                    short(contender.median(|turn| turn.p99_ms)),
                    times,
                ]
            })
            .collect();
        section.table(&[what, "req/s", "p50 ms", "p99 ms", "× its peer"], &rows);
    }
    section.note(&format!(
        "wrk, 1 thread, {} connections, {} articles of 100 authors. The lists are read with the anon key: a \
         policy lets three of four articles through, as PocketBase's rule does; Parse has no row policy here \
         and is asked with its master key.",
        wrk::CONNECTIONS,
        whole(ROWS as f64),
    ));
    section.note(DURABILITY);
    section.note(&format!(
        "Peers: {}; parse-server {} on the same PostgreSQL server.",
        pocketbase.version(),
        parse.version(),
    ));
    growth(bench, &mut section, &sqlite)?;
    Ok(section)
}

/// One request after the other, while the table grows.
fn growth(bench: &Bench, section: &mut Section, app: &App) -> anyhow::Result<()> {
    let sizes = &SIZES[..bench.choose(SIZES.len(), 2)];
    let mut rows = Vec::new();
    let mut filled = 0;
    for &size in sizes {
        app.fill("entry", entries(filled + 1..=size))?;
        filled = size;
        let mut cells = vec![whole(size as f64)];
        for (kind, path) in [
            (Kind::Get, "entry?id=eq.%d"),
            (Kind::Get, "entry?order=id.desc&limit=20"),
            (Kind::Get, "entry?quantity=eq.7&order=id&limit=20"),
            (Kind::Insert, "entry"),
        ] {
            let mut work = app.work(kind, path, &app.service);
            work.rows = size;
            let contenders = [Contender::new("pumice", work)];
            let took = tables::one_by_one(&contenders, bench.choose(20, 4))?;
            cells.push(whole(percentile(&took[0], 0.5) * 1000.0));
        }
        rows.push(cells);
    }
    section.table(
        &[
            "rows in the table (SQLite)",
            "read by id, p50 µs",
            "newest 20",
            "20 by a column without index",
            "insert",
        ],
        &rows,
    );
    let disk = machine::syncs_per_second(app.folder())?;
    section.note(&format!(
        "One connection, one request after the other; the disk takes {} writes of 4 KiB a second when one \
         waits for each.",
        whole(disk)
    ));
    Ok(())
}

fn articles(numbers: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = Value> {
    numbers.map(|number| {
        json!({
            "author_id": number % 100 + 1, "title": format!("Item {number}"),
            "quantity": number % 1000, "published": !number.is_multiple_of(4),
        })
    })
}

fn entries(numbers: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = Value> {
    numbers.map(|number| {
        json!({
            "title": format!("Item {number}"), "quantity": number % 1000,
            "done": number.is_multiple_of(2),
        })
    })
}

impl Contender {
    /// Sees that it does the work: a list has 20 rows, anything else succeeds.
    fn check(&self, list: bool) -> anyhow::Result<()> {
        if !list {
            return self.succeed();
        }
        let answer = self.probe()?;
        let rows = answer
            .as_array()
            .or_else(|| answer["items"].as_array())
            .or_else(|| answer["results"].as_array());
        let count = rows.map_or(0, Vec::len);
        ensure!(count == 20, "{} lists {count} rows", self.name);
        Ok(())
    }
}
