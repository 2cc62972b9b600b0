//! What a before-trigger costs an insert: Rust, JavaScript, and PocketBase's hooks.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::numbers::{median, percentile, short, whole};
use super::report::{Section, Verdict};
use super::tables::{self, App, Contender, DURABILITY, PocketBase};
use super::{Bench, wrk};
use crate::process::{output, say};

const TRIGGERS: &str = r#"
[[trigger]]
name = "rust"
path = "rust.wasm"
table = "stamped_by_rust"
when = "before"
on = ["insert"]

[[trigger]]
name = "js"
path = "js.wasm"
table = "stamped_by_js"
when = "before"
on = ["insert"]
"#;

/// Each contender: its name, who stamps its rows, and the place of the one without a trigger.
const CONTENDERS: [(&str, Option<&str>, usize); 5] = [
    ("pumice", None, 0),
    ("pumice, trigger in Rust", Some("service_role"), 0),
    ("pumice, trigger in JavaScript", Some("service_role"), 0),
    ("PocketBase", None, 3),
    ("PocketBase, hook in JavaScript", Some("hook"), 3),
];

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let components = [
        ("rust", bench.guest("before_stamp")?),
        ("js", javascript(bench)?),
    ];
    let app = App::start(bench, None, TRIGGERS, "items.sql", &components)?;
    let pocketbase = PocketBase::start(bench)?;
    let works = [
        app.insert("entry", &app.service),
        app.insert("stamped_by_rust", &app.service),
        app.insert("stamped_by_js", &app.service),
        pocketbase.insert("entry"),
        pocketbase.insert("stamped_by_hook"),
    ];
    let named = CONTENDERS.into_iter().zip(works);
    let mut contenders: Vec<Contender> = named
        .map(|((name, ..), work)| Contender::new(name, work))
        .collect();
    for (contender, (name, stamp, _)) in contenders.iter().zip(CONTENDERS) {
        let row = contender.probe()?;
        tables::check_row(&row).context(name)?;
        // PocketBase has no null.
        let stamped = row["stamped_by"].as_str().filter(|text| !text.is_empty());
        ensure!(
            stamped == stamp,
            "{name}: the row is stamped by {stamped:?}"
        );
    }
    tables::take_turns(bench, &mut contenders, bench.choose(7, 2))?;
    say("one request at a time");
    let alone = tables::one_by_one(&contenders, bench.choose(60, 4))?;
    let mut section = section(&contenders, &alone);
    section.note(&format!("Peer: {}.", pocketbase.version()));
    Ok(section)
}

/// `alone` has each contender's latencies with one request at a time.
fn section(contenders: &[Contender], alone: &[Vec<f64>]) -> Section {
    let share = |place: usize| contenders[place].times(&contenders[CONTENDERS[place].2]);
    let added =
        |place: usize| (median(&alone[place]) - median(&alone[CONTENDERS[place].2])) * 1000.0;
    let rows: Vec<Vec<String>> = (0..CONTENDERS.len())
        .map(|place| {
            let mut row = vec![
                contenders[place].name.to_owned(),
                whole(contenders[place].median(|turn| turn.per_second)),
                short(contenders[place].median(|turn| turn.p50_ms)),
                short(contenders[place].median(|turn| turn.p99_ms)),
                short(percentile(&alone[place], 0.5)),
                short(percentile(&alone[place], 0.99)),
            ];
            row.extend(match CONTENDERS[place].1 {
                Some(_) => [short(share(place)), whole(added(place))],
                None => ["–".to_owned(), "–".to_owned()],
            });
            row
        })
        .collect();
    let mut section = Section::default();
    let heads = [
        "",
        "inserts/s",
        "p50 ms",
        "p99 ms",
        "one at a time: p50 ms",
        "p99 ms",
        "× the rate without",
        "added to p50, µs",
    ];
    section.table(&heads, &rows);
    section.note(&format!(
        "wrk, 1 thread, {} connections; and {} requests of each over one connection, one at a time, in \
         turns of a few dozen. SQLite, with the service key; the triggers write a column of the row, each \
         call in a fresh instance.",
        wrk::CONNECTIONS,
        whole(alone[0].len() as f64),
    ));
    section.note(DURABILITY);
    let [rust, js] = [1, 2];
    section.verdicts = vec![
        Verdict::at_most(
            "before-trigger in Rust: adds ≤ 150 µs to an insert (p50)",
            150.0,
            added(rust),
            " µs",
        ),
        Verdict::at_most(
            "before-trigger in JavaScript: adds ≤ 300 µs to an insert (p50)",
            300.0,
            added(js),
            " µs",
        ),
        Verdict::at_least(
            "before-trigger in Rust: ≥ 0.8× the insert rate without",
            0.8,
            share(rust),
            "×",
        ),
    ];
    section
}

/// The tests' trigger in JavaScript, built as a developer builds it.
fn javascript(bench: &Bench) -> anyhow::Result<Vec<u8>> {
    const FILE: &str = "before_stamp.js";
    let folder = bench.folder()?;
    let source = bench.root.join("tests/js/guests").join(FILE);
    fs::copy(&source, folder.path().join(FILE)).with_context(|| source.display().to_string())?;
    let manifest = format!(
        "[app]\nname = \"bench\"\n[[trigger]]\nname = \"js\"\npath = \"{FILE}\"\n\
         table = \"stamped_by_js\"\nwhen = \"before\"\non = [\"insert\"]\n"
    );
    fs::write(folder.path().join("pumice.toml"), manifest)?;
    let mut build = Command::new(&bench.pumice);
    build.current_dir(folder.path()).args(["build", "--json"]);
    let built: Value = serde_json::from_str(&output(&mut build)?)?;
    let component = built[0]["component"].as_str();
    let component = Path::new(component.context("`pumice build` names no component")?);
    fs::read(component).with_context(|| component.display().to_string())
}
