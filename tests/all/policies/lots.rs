//! Policies, rows and callers by lot: PostgreSQL applies policies of its own accord, and says what SQLite has to answer.

use std::fmt::Write as _;

use pumice_tests::{Answer, App, Engine, TestServer};
use serde_json::{Value, json};

use super::{ANA, BEN, Caller, deploy, server};

/// Numbers that look like chance and are the same on every run.
struct Lots(u64);

impl Lots {
    /// One of `0..end`. Source: the generator SplitMix64.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 16) as usize % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const TABLES: &str = "
create table docs (id integer primary key, owner uuid, team text, level integer, open boolean, title text);
create table shares (doc_id integer references docs (id) on delete cascade, who uuid, primary key (doc_id, who));
create table notes (id integer primary key, doc_id integer references docs (id) on delete cascade, owner uuid, body text);
";

/// A condition on a row of `table`. Policies of `docs` ask `shares`, those of `notes` ask `docs`, and so its policies.
fn condition(lots: &mut Lots, table: &str, depth: u32) -> String {
    if depth > 0 {
        let (one, other) = (
            condition(lots, table, depth - 1),
            condition(lots, table, depth - 1),
        );
        return match lots.below(5) {
            0 => format!("({one} and {other})"),
            1 => format!("({one} or {other})"),
            2 => format!("not ({one})"),
            _ => one,
        };
    }
    let shared = [
        "true",
        "auth.uid() is not null",
        "auth.role() = 'authenticated'",
        "auth.jwt()->>'team' = 'red'",
    ];
    let own: &[&str] = match table {
        "docs" => &[
            "owner = auth.uid()",
            "open",
            "level > 2",
            "level is null",
            "team = auth.jwt()->>'team'",
            "title like 'a%'",
            "team in ('red', 'blue')",
            "coalesce(level, 0) < 4",
            "exists (select 1 from shares where shares.doc_id = docs.id and shares.who = auth.uid())",
            "id in (select doc_id from shares where who = auth.uid())",
        ],
        "shares" => &["who = auth.uid()", "doc_id > 2", "doc_id <> 3"],
        _ => &[
            "owner = auth.uid()",
            "owner is null",
            "body <> 'secret'",
            "exists (select 1 from docs where docs.id = notes.doc_id)",
            "exists (select 1 from docs d where d.id = notes.doc_id and d.open)",
            "exists (select 1 from docs d join shares s on s.doc_id = d.id where d.id = notes.doc_id and s.who = auth.uid())",
        ],
    };
    if lots.below(5) == 0 {
        lots.of(&shared).to_owned()
    } else {
        lots.of(own).to_owned()
    }
}

/// Migrations of one lot: tables, grants and policies.
fn guarded(lots: &mut Lots) -> String {
    let mut sql = TABLES.to_owned();
    for table in ["docs", "shares", "notes"] {
        for role in ["anon", "authenticated"] {
            // Most are granted: what is not says nothing of policies.
            for right in ["select", "insert", "update", "delete"] {
                if lots.below(8) > 0 {
                    let _ = writeln!(sql, "grant {right} on {table} to {role};");
                }
            }
        }
        for number in 0..2 + lots.below(4) {
            let command = lots.of(&[
                "all", "all", "select", "select", "insert", "update", "delete",
            ]);
            let kind = if number > 0 && lots.below(4) == 0 {
                "restrictive"
            } else {
                "permissive"
            };
            let role = lots.of(&[
                "public",
                "anon",
                "authenticated",
                "authenticated",
                "anon, authenticated",
            ]);
            let depth = lots.below(3) as u32;
            let _ = write!(
                sql,
                "create policy p{number} on {table} as {kind} for {command} to {role}"
            );
            if command != "insert" {
                let _ = write!(sql, " using ({})", condition(lots, table, depth));
            }
            if command == "insert" || (["all", "update"].contains(&command) && lots.below(2) == 0) {
                let _ = write!(sql, " with check ({})", condition(lots, table, depth));
            }
            sql.push_str(";\n");
        }
    }
    sql
}

/// A row of `docs` as its fields in SQL.
fn doc(lots: &mut Lots) -> [String; 5] {
    let text = |value: Option<&str>| value.map_or("null".to_owned(), |value| format!("'{value}'"));
    [
        text(lots.of(&[Some(ANA), Some(BEN), None])),
        text(lots.of(&[Some("red"), Some("blue"), None])),
        lots.of(&["1", "3", "5", "null"]).to_owned(),
        lots.of(&["true", "false", "null"]).to_owned(),
        text(lots.of(&[Some("a doc"), Some("b doc")])),
    ]
}

fn rows(lots: &mut Lots) -> String {
    let mut sql = String::new();
    for id in 1..=8 {
        let row = doc(lots).join(", ");
        let _ = writeln!(
            sql,
            "insert into docs (id, owner, team, level, open, title) values ({id}, {row});"
        );
        for who in [ANA, BEN] {
            if lots.below(3) == 0 {
                let _ = writeln!(
                    sql,
                    "insert into shares (doc_id, who) values ({id}, '{who}');"
                );
            }
        }
        for note in 0..lots.below(3) {
            let owner = lots.of(&[format!("'{ANA}'").as_str(), "null"]).to_owned();
            let body = lots.of(&["'secret'", "'plain'"]);
            let note = id * 10 + note;
            let _ = writeln!(
                sql,
                "insert into notes (id, doc_id, owner, body) values ({note}, {id}, {owner}, {body});"
            );
        }
    }
    sql
}

/// What each caller asks of each lot: method, path, body.
fn requests(lots: &mut Lots) -> Vec<(&'static str, String, String)> {
    let mut asked: Vec<(&str, String, String)> = [
        "docs?order=id",
        "shares?order=doc_id,who",
        "notes?order=id",
        "docs?select=id&level=gt.2&order=id",
        "docs?select=id&or=(open.is.true,team.eq.red)&order=id",
        "docs?select=id,notes(id),shares(who)&order=id&notes.order=id&shares.order=who",
        "docs?select=id,notes!inner(id)&order=id&notes.order=id",
        "docs?select=id,notes!inner(id)&notes.body=eq.plain&order=id&notes.order=id",
        "docs?select=id,notes()&notes=is.null&order=id",
        "notes?select=id,docs(title)&order=id",
        "notes?select=id,docs!inner(title)&docs.open=is.true&order=id",
        "notes?select=id,docs(id,shares(who))&order=docs(title),id&docs.shares.order=who",
        "docs?select=count(),level.sum()",
        "docs?select=team,count()&order=team",
        "docs?select=id,notes(count())&order=id",
    ]
    .iter()
    .map(|path| ("GET", (*path).to_owned(), String::new()))
    .collect();
    for id in [3, 20, 21, 22] {
        let field = |text: String| match text.strip_prefix('\'') {
            Some(text) => json!(text.trim_end_matches('\'')),
            None => serde_json::from_str(&text).expect("it is JSON as well"),
        };
        let [owner, team, level, open, title] = doc(lots).map(field);
        let row = json!({ "id": id, "owner": owner, "team": team, "level": level, "open": open, "title": title });
        asked.push(("POST", "docs".to_owned(), row.to_string()));
        asked.push(("POST", "docs?select=id,title".to_owned(), row.to_string()));
        asked.push((
            "POST",
            "docs?on_conflict=id&select=id,title".to_owned(),
            row.to_string(),
        ));
        let change = match lots.below(3) {
            0 => json!({ "team": team }),
            1 => json!({ "owner": owner }),
            _ => json!({ "level": level, "open": open }),
        };
        asked.push(("PATCH", "docs".to_owned(), change.to_string()));
        asked.push((
            "PATCH",
            format!("docs?id=lt.{}&select=id", 3 + id % 5),
            change.to_string(),
        ));
    }
    for (method, path, body) in [
        (
            "POST",
            "notes?select=id",
            json!({ "id": 200, "doc_id": 2, "owner": ANA, "body": "new" }),
        ),
        (
            "POST",
            "notes",
            json!({ "id": 200, "doc_id": 5, "owner": null, "body": "secret" }),
        ),
        (
            "POST",
            "shares",
            json!({ "doc_id": 4, "who": "00000000-0000-0000-0000-00000000000c" }),
        ),
        (
            "PATCH",
            "notes?docs.open=is.true&select=id,docs!inner(id)",
            json!({ "body": "changed" }),
        ),
        ("PATCH", "notes?select=id", json!({ "doc_id": 1 })),
        ("DELETE", "docs", Value::Null),
        ("DELETE", "docs?select=id&id=gt.4", Value::Null),
        ("DELETE", "notes?select=id,docs(title)", Value::Null),
        ("DELETE", "shares?doc_id=gt.2", Value::Null),
    ] {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        asked.push((method, path.to_owned(), body));
    }
    asked
}

/// A caller's answer as far as it is the same whichever way rows come: status, range and body, its rows in order.
fn told(answer: &Answer) -> String {
    let text = answer.text();
    let body = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(rows)) => {
            let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
            rows.sort();
            rows.join(",")
        }
        _ => text,
    };
    format!(
        "{} {} {body}",
        answer.status,
        answer.header("content-range")
    )
}

/// How often something was seen, so that nobody compares nothing with nothing.
#[derive(Default, Debug)]
struct Seen {
    compared: u32,
    rows: u32,
    nothing: u32,
    written: u32,
    refused_by_policy: u32,
    refused_by_grant: u32,
}

impl Seen {
    fn add(&mut self, method: &str, answer: &Answer) {
        self.compared += 1;
        let text = answer.text();
        if text.contains("row-level security") {
            self.refused_by_policy += 1;
        } else if text.contains("permission denied") {
            self.refused_by_grant += 1;
        } else if answer.status < 300 && method != "GET" {
            self.written += 1;
        } else if text == "[]" {
            self.nothing += 1;
        } else if answer.status == 200 {
            self.rows += 1;
        }
    }
}

#[tokio::test]
async fn both_engines_let_the_same_rows_through() {
    const LOTS: u64 = 12;
    let (sqlite, postgres) = tokio::join!(server(Engine::Sqlite), server(Engine::Postgres));
    let mut seen = Seen::default();
    let mut differ = Vec::new();
    for seed in 1..=LOTS {
        let mut lots = Lots(seed);
        let (tables, rows) = (guarded(&mut lots), rows(&mut lots));
        let asked = requests(&mut lots);
        let made = async |server: &TestServer| {
            let app = server.app(&format!("lot-{seed}")).await;
            deploy(&app, &tables, &rows).await;
            app
        };
        let (one, other) = tokio::join!(made(&sqlite), made(&postgres));
        let callers = [
            Caller::Anon,
            Caller::User(json!({ "sub": ANA, "team": "red" })),
            Caller::User(json!({ "sub": BEN, "team": "blue" })),
            Caller::User(json!({})),
        ];
        for caller in &callers {
            for (method, path, body) in &asked {
                let ask = |app: &App| {
                    let prefer = match (path.contains("on_conflict"), path.contains("select=")) {
                        (true, _) => {
                            "tx=rollback, return=representation, resolution=merge-duplicates"
                        }
                        (_, true) if *method != "GET" => {
                            "tx=rollback, return=representation, count=exact"
                        }
                        _ => "tx=rollback, count=exact",
                    };
                    let call = caller.call(app, method, &path.replace('"', "%22"));
                    call.header("prefer", prefer).body(body.clone())
                };
                let (ours, theirs) = tokio::join!(ask(&one), ask(&other));
                seen.add(method, &theirs);
                if told(&ours) != told(&theirs) {
                    let policies: Vec<&str> = tables
                        .lines()
                        .filter(|line| line.contains("policy"))
                        .collect();
                    differ.push(format!(
                        "lot {seed} {caller:?} {method} {path} {body}\n  sqlite   {}\n  postgres {}\n  {}",
                        told(&ours),
                        told(&theirs),
                        policies.join("\n  ")
                    ));
                }
            }
        }
    }
    let total = differ.len();
    differ.truncate(12);
    assert!(
        differ.is_empty(),
        "{total} of {} differ, such as:\n{}",
        seen.compared,
        differ.join("\n")
    );
    // Of each kind a good deal was there.
    for (what, count) in [
        ("reads with rows", seen.rows),
        ("reads without", seen.nothing),
        ("writes done", seen.written),
        ("writes refused by a policy", seen.refused_by_policy),
        (
            "requests refused for want of a grant",
            seen.refused_by_grant,
        ),
    ] {
        assert!(count > 50, "{what}: {count} of {seen:?}");
    }
}
