//! What reads input from outside, as functions of bytes: for fuzzers, in CI and for hours.
//!
//! Each must come back, whatever it is given. `fuzz/` wraps them for cargo-fuzz.

use std::sync::Arc;

use crate::data::plan::{self, Scope};
use crate::data::query::{self, Conflict, Insert, Params, Preferences, Query, Returning};
use crate::data::{Actor, Authority, Settings, ddl, run};
use crate::{Caller, InvocationId, Role};

/// A file of migrations: taken apart, checked and translated.
pub fn ddl(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else {
        return;
    };
    let _ = ddl::split(source);
    if let Ok(translated) = ddl::translate(source, "0001_fuzz.sql", ddl::Catalog::default()) {
        let _ = translated.catalog.schema();
    }
}

/// A request to a table: the first line is `select`, the second `order`, the third a filter's value, the
/// rest the body, in every form that a body has. What can be read is planned, for both engines.
pub fn body(input: &[u8]) {
    let mut lines = input.splitn(4, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (select, order, value, rows) = (text(), text(), text(), text());
    let operators = [
        "eq",
        "in",
        "is",
        "not.gt",
        "like",
        "cs",
        "fts(english)",
        "eq(any)",
    ];
    let filters = operators.iter().flat_map(|operator| {
        ["n", "s", "tz", "jb->a", "a", "m", "every"]
            .map(|column| query::filter(column, operator, &value).ok())
    });
    let asked = Query {
        table: "every".to_owned(),
        select: query::select(&select).ok(),
        filters: filters.flatten().collect(),
        orders: query::orders(&order)
            .map(|order| (Vec::new(), order))
            .into_iter()
            .collect(),
        ..Query::default()
    };
    let actor = Actor {
        authority: Authority::App,
        ..Actor::caller(
            Caller {
                role: Role::Anon,
                user_id: None,
                claims: "{}".into(),
            },
            InvocationId(uuid::Uuid::nil()),
        )
    };
    let settings = Settings {
        aggregates: true,
        ..Settings::default()
    };
    let schema = schema();
    let scope = Scope {
        schema: &schema,
        settings: &settings,
        actor: &actor,
    };
    if let Ok(plan) = plan::read(&scope, &asked, Preferences::default()) {
        run::texts_only(&schema, &actor.context(), &plan);
    }
    for kind in [
        "application/json",
        "text/csv",
        "application/x-www-form-urlencoded",
    ] {
        let Ok(rows) = query::body::rows(Some(kind), rows.as_bytes()) else {
            continue;
        };
        let insert = Insert {
            query: asked.clone(),
            rows,
            columns: None,
            missing_default: false,
            conflict: Some(Conflict {
                on: Vec::new(),
                merge: true,
            }),
            returning: Returning::Rows,
        };
        let Ok(plan) = plan::insert(&scope, insert, Preferences::default()) else {
            continue;
        };
        for (column, json) in plan.rows.iter().flatten() {
            let ty = &plan.table.columns[*column].ty;
            if let Some(Ok(value)) = json.as_ref().map(|json| ty.from_json(json)) {
                ty.write_json(value.as_ref(), &mut Vec::new());
            }
        }
    }
}

/// The value of `select`.
pub fn select(input: &[u8]) {
    let _ = query::select(&String::from_utf8_lossy(input));
}

/// The value of `order`.
pub fn order(input: &[u8]) {
    let _ = query::orders(&String::from_utf8_lossy(input));
}

/// A query string, decoded: pairs with `&` between them, of a read and of a call.
pub fn filter(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let pairs = || {
        text.split('&').map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.into(), value.into())
        })
    };
    let _ = Params::read(pairs());
    let _ = Params::call(pairs());
}

/// A table with a column of every type.
fn schema() -> Arc<crate::data::Schema> {
    const EVERY: &str = "create type mood as enum ('sad', 'ok'); \
        create table every (id bigint primary key, n numeric(6,2), s varchar(5), c char(3), i integer, \
        b boolean, f double precision, d date, t time, ts timestamp, tz timestamptz, v interval, u uuid, \
        j json, jb jsonb, y bytea, a integer[], m mood);";
    static SCHEMA: std::sync::OnceLock<Arc<crate::data::Schema>> = std::sync::OnceLock::new();
    SCHEMA
        .get_or_init(|| {
            let translated = ddl::translate(EVERY, "every.sql", ddl::Catalog::default());
            Arc::new(translated.map(|t| t.catalog.schema()).unwrap_or_default())
        })
        .clone()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn every_type_is_in_the_schema() {
        assert_eq!(schema().table("every").map(|t| t.columns.len()), Some(18));
    }

    /// The corpus as it is, then parts of it cut, doubled and mixed, for five seconds.
    fn run(name: &str, target: fn(&[u8])) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let files = std::fs::read_dir(folder).unwrap();
        let corpus: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!corpus.is_empty());
        corpus.iter().for_each(|input| target(input));
        let mut random = {
            // xorshift: the same inputs in each run.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            move |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % below.max(1) as u64) as usize
            }
        };
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let mut input = corpus[random(corpus.len())].clone();
            for _ in 0..1 + random(6) {
                let at = random(input.len());
                match random(5) {
                    0 if !input.is_empty() => input[at] = random(256) as u8,
                    1 => input.truncate(at),
                    2 => {
                        let other = &corpus[random(corpus.len())];
                        let from = random(other.len());
                        let part = &other[from..from + random(other.len() - from)];
                        input.splice(at..at, part.iter().copied());
                    }
                    3 => {
                        const WORDS: [&[u8]; 16] = [
                            b"(", b")", b"'", b"\"", b"$$", b"--", b"null", b"[{", b"->>", b"::",
                            b"...", b"not.", b"or(", b"in.(", b"\\", b"!inner",
                        ];
                        input.splice(at..at, WORDS[random(WORDS.len())].iter().copied());
                    }
                    _ if !input.is_empty() => {
                        let end = (at + random(8)).min(input.len());
                        input.drain(at..end);
                    }
                    _ => {}
                }
            }
            target(&input);
        }
    }

    #[test]
    fn migrations_of_any_shape_are_read() {
        run("ddl", ddl);
    }

    #[test]
    fn requests_of_any_shape_are_read() {
        run("body", body);
    }

    #[test]
    fn selects_of_any_shape_are_read() {
        run("select", select);
    }

    #[test]
    fn orders_of_any_shape_are_read() {
        run("order", order);
    }

    #[test]
    fn query_strings_of_any_shape_are_read() {
        run("filter", filter);
    }
}
