//! The REST dialect as tables of requests: each file beside this one holds the requests of a section, with what a
//! client of PostgREST would be answered. Each is sent to an app on SQLite and to the same app on PostgreSQL;
//! status, headers and body must be the same bytes on both, and what the file says.
//!
//! [`case`] says how a file is written.

mod case;
mod controls;

use std::collections::{BTreeMap, BTreeSet};

use case::Case;
use pumice_tests::{Answer, App, Engine, guest};

const SCHEMA: &str = include_str!("schema.sql");
pub const SEED: &str = include_str!("seed.sql");

/// Settings under which everything of the dialect can be asked for.
const API: &str = "[api]
aggregates = true
plan = true
anonymous = true
transaction_end = \"commit-allow-override\"";

/// A test of each file named, on apps of its own: what one section writes no other sees.
macro_rules! sections {
    ($($section:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $section() {
                section(
                    concat!(stringify!($section), ".txt"),
                    include_str!(concat!(stringify!($section), ".txt")),
                )
                .await;
            }
        )+
    };
}

sections!(
    aggregates,
    casts,
    counts,
    cors,
    csv,
    delete,
    embed,
    errors,
    filters,
    headers,
    insert,
    json,
    logic,
    media,
    openapi,
    order,
    paging,
    prefer,
    put,
    rpc,
    select,
    spreads,
    text_search,
    types,
    update,
    upsert,
    views,
);

/// Sends all requests of a file, one after the other, and fails with everything that is not as it should be.
async fn section(file: &str, text: &str) {
    let cases = case::parse(file, text);
    let (sqlite, postgres) = both(SEED, SEED).await;
    let mut faults = Vec::new();
    for case in &cases {
        faults.extend(compare(case, &sqlite, &postgres).await);
    }
    assert!(
        faults.is_empty(),
        "{} faults in {} requests:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
}

/// What only PostgreSQL has, on an app of its own there.
#[tokio::test]
async fn only_postgres() {
    let api = format!("{API}\nschemas = [\"public\", \"personal\"]");
    let app = Engine::Postgres.app("dialect").await;
    app.tables(SCHEMA)
        .migration("0002_more.sql", include_str!("only_postgres.sql"))
        .seed(SEED)
        .table(&api)
        .await;
    let cases = case::parse("only_postgres.txt", include_str!("only_postgres.txt"));
    let mut faults = Vec::new();
    for case in &cases {
        let answer = case.send(&app).await;
        let wrong = case.faults(&answer);
        faults.extend(wrong.iter().map(|wrong| format!("{case}\n  {wrong}")));
    }
    assert!(
        faults.is_empty(),
        "{} faults in {} requests:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
}

/// The app on both engines, each with a seed.
async fn both(sqlite: &str, postgres: &str) -> (App, App) {
    tokio::join!(app(Engine::Sqlite, sqlite), app(Engine::Postgres, postgres))
}

pub async fn app(engine: Engine, seed: &str) -> App {
    let app = engine.app("dialect").await;
    app.tables(SCHEMA)
        .seed(seed)
        .table(API)
        .procedure(guest!("proc_echo"))
        .await;
    app
}

/// What is wrong with the two answers to a request.
async fn compare(case: &Case, sqlite: &App, postgres: &App) -> Vec<String> {
    let (one, other) = tokio::join!(case.send(sqlite), case.send(postgres));
    let mut faults = differences(&one, &other);
    let (of_one, of_other) = (case.faults(&one), case.faults(&other));
    if of_one == of_other {
        faults.extend(of_one.iter().map(|wrong| format!("both: {wrong}")));
    } else {
        faults.extend(of_one.iter().map(|wrong| format!("sqlite: {wrong}")));
        faults.extend(of_other.iter().map(|wrong| format!("postgres: {wrong}")));
    }
    faults
        .iter()
        .map(|fault| format!("{case}\n  {fault}"))
        .collect()
}

/// In what two answers differ for a client, but for their dates, their ids and their apps' names.
fn differences(sqlite: &Answer, postgres: &Answer) -> Vec<String> {
    let (ours, theirs) = (parts(sqlite), parts(postgres));
    // Where the status is another, so is everything else.
    let names: BTreeSet<&str> = if sqlite.status == postgres.status {
        ours.keys()
            .chain(theirs.keys())
            .map(String::as_str)
            .collect()
    } else {
        BTreeSet::from(["status", "body"])
    };
    let mut differ = Vec::new();
    for name in names {
        let (one, other) = (ours.get(name), theirs.get(name));
        if one != other {
            let shown = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
            let (one, other) = (shown(one), shown(other));
            differ.push(format!(
                "{name} differs\n    sqlite   {one}\n    postgres {other}"
            ));
        }
    }
    differ
}

/// An answer in parts, by their names. (The body's length says nothing that the body does not.)
fn parts(answer: &Answer) -> BTreeMap<String, String> {
    const OWN: [&str; 4] = ["date", "x-request-id", "server-timing", "content-length"];
    let mut parts: BTreeMap<String, String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .collect();
    let (id, mut body) = (answer.request_id(), answer.text());
    if !id.is_empty() {
        body = body.replace(id, "[request id]");
    }
    // Apps that share a server have numbers in their names, servers in their addresses.
    for before in ["dialect-", "\"host\":\"127.0.0.1:"] {
        body = without_number(&body, before);
    }
    parts.insert("status".to_owned(), answer.status.to_string());
    parts.insert("body".to_owned(), body);
    parts
}

/// The text without the digits that follow each `before`.
fn without_number(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let part = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        format!("{text}{before}{part}")
    })
}
