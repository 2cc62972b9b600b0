//! Who serves tables: pumice on either engine and PocketBase, made ready with the same rows, and their turns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::numbers::{median, ms, whole};
use super::wrk::{self, Kind, Turn, Work};
use super::{Bench, hello};
use crate::http::{Answer, Connection};
use crate::process::{Running, answer, output, say, tied};
use crate::server::Server;
use crate::{peers, postgres::Postgres};

/// Rows of the tables that are read. `bench/pocketbase/migrations` has the number too.
pub const ROWS: usize = 10_000;

/// What all rows say about the two servers' durability.
pub const DURABILITY: &str = "pumice waits for the disk before it answers (SQLite with `synchronous=FULL`, \
    PostgreSQL as it comes); PocketBase, with its own settings, does not (`synchronous=NORMAL`).";

/// An app with tables on a server of ours.
pub struct App {
    // Fields are dropped in this order: the process ends before its folder goes.
    server: Server,
    folder: TempDir,
    name: String,
    /// The service key.
    pub service: String,
    /// The key that anybody may have.
    pub anon: String,
}

impl App {
    /// Starts a server and makes an app: on an SQLite file, or on `postgres`. `entries` is its manifest
    /// below `[app]`, `migration` a file of `bench/tables`, and `components` those of the entries by name.
    pub fn start(
        bench: &Bench,
        postgres: Option<&Postgres>,
        entries: &str,
        migration: &str,
        components: &[(&str, Vec<u8>)],
    ) -> anyhow::Result<App> {
        let folder = bench.folder()?;
        // Mails end there: no other server has a part in what is measured.
        let mut settings = "mailbox = true\n".to_owned();
        if let Some(postgres) = postgres {
            settings.push_str(&format!("database_url = \"{}\"\n", postgres.url));
        }
        fs::write(folder.path().join("server.toml"), settings)?;
        let server = bench.start(folder.path())?;
        let name = "bench".to_owned();
        let mut platform = server.platform()?;
        let shown = platform.create(&name)?;
        let service = shown["service_role_key"].as_str();
        let service = service.context("the app has no service key")?.to_owned();
        let anon = shown["anon_key"].as_str();
        let anon = anon.context("the app has no anon key")?.to_owned();
        let source = bench.file("tables").join(migration);
        let sql = fs::read(&source).with_context(|| source.display().to_string())?;
        let mut files =
            BTreeMap::from([("migrations/0001_tables.sql".to_owned(), Cow::Owned(sql))]);
        for (name, component) in components {
            files.insert(format!("components/{name}.wasm"), component.into());
        }
        platform.push(&name, entries, &files)?;
        Ok(App {
            server,
            folder,
            name,
            service,
            anon,
        })
    }

    /// The path of a table or a part of one, or of something else in the app.
    pub fn path(&self, rest: &str) -> String {
        format!("/a/{}{rest}", self.name)
    }

    /// Where its files are, the database among them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Of the server.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Of the server's process.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    pub fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.server.url)
    }

    /// Fills the table that is read.
    pub fn seed(&self) -> anyhow::Result<()> {
        let rows = (1..=ROWS).map(|number| {
            json!({
                "title": format!("Item {number}"), "quantity": number % 1000,
                "done": number.is_multiple_of(2),
            })
        });
        self.fill("item", rows)
    }

    /// Adds rows to a table.
    pub fn fill(&self, table: &str, rows: impl Iterator<Item = Value>) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        let headers = [
            ("apikey", self.service.as_str()),
            ("content-type", "application/json"),
        ];
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let body = Value::from_iter(rows.by_ref().take(1000)).to_string();
            let path = self.path(&format!("/rest/v1/{table}"));
            let answer = connection.send("POST", &path, &headers, body.as_bytes())?;
            ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
        }
        Ok(())
    }

    /// One row a request, which comes back as it was stored.
    pub fn insert(&self, table: &str, key: &str) -> Work {
        let mut headers = one_row(key);
        headers.push(("content-type", "application/json".to_owned()));
        headers.push(("prefer", "return=representation".to_owned()));
        Work {
            url: self.server.url.clone(),
            kind: Kind::Insert,
            path: self.path(&format!("/rest/v1/{table}")),
            rows: ROWS,
            headers,
        }
    }

    /// One row a request, another one each time.
    pub fn read(&self, key: &str) -> Work {
        Work {
            url: self.server.url.clone(),
            kind: Kind::Get,
            path: self.path("/rest/v1/item?id=eq.%d"),
            rows: ROWS,
            headers: one_row(key),
        }
    }

    /// A path below `/rest/v1`, asked for or written to with a key.
    pub fn work(&self, kind: Kind, path: &str, key: &str) -> Work {
        let mut headers = vec![("apikey", key.to_owned())];
        if kind != Kind::Get {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Work {
            url: self.server.url.clone(),
            kind,
            path: self.path(&format!("/rest/v1/{path}")),
            rows: ROWS,
            headers,
        }
    }

    /// Twenty rows a request.
    pub fn list(&self, key: &str) -> Work {
        Work {
            url: self.server.url.clone(),
            kind: Kind::Get,
            path: self.path("/rest/v1/item?order=id&limit=20"),
            rows: ROWS,
            headers: vec![("apikey", key.to_owned())],
        }
    }
}

/// Headers with which one row comes as an object, as PocketBase has it.
fn one_row(key: &str) -> Vec<(&'static str, String)> {
    vec![
        ("apikey", key.to_owned()),
        ("accept", "application/vnd.pgrst.object+json".to_owned()),
    ]
}

/// PocketBase with the tables of `bench/pocketbase`.
pub struct PocketBase {
    // As in `App`.
    _process: Running,
    _folder: TempDir,
    url: String,
    version: String,
}

impl PocketBase {
    /// Starts it with its own default settings. Its migration makes tables and rows.
    pub fn start(bench: &Bench) -> anyhow::Result<PocketBase> {
        let binary = peers::pocketbase()?;
        let folder = bench.folder()?;
        let address = hello::free_address()?;
        let mut command = tied(&binary);
        command.arg("serve").arg(format!("--http={address}"));
        for (flag, path) in [
            ("dir", folder.path().join("data")),
            ("publicDir", folder.path().join("public")),
            ("migrationsDir", bench.file("pocketbase/migrations")),
            ("hooksDir", bench.file("pocketbase/hooks")),
        ] {
            command.arg(format!("--{flag}={}", path.display()));
        }
        command.stdout(Stdio::null());
        let mut process = Running::start(&mut command)?;
        let url = format!("http://{address}");
        let began = Instant::now();
        while !Connection::open(&url)
            .and_then(|mut connection| connection.get("/api/health"))
            .is_ok_and(|answer| answer.status == 200)
        {
            let ended = process.child().try_wait()?.is_some();
            if ended || began.elapsed() > Duration::from_secs(60) {
                bail!("PocketBase does not start");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(PocketBase {
            _process: process,
            _folder: folder,
            url,
            version: answer(&binary, &["--version"]).unwrap_or_default(),
        })
    }

    /// Its name and version.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// As [`App::insert`].
    pub fn insert(&self, table: &str) -> Work {
        self.work(Kind::Insert, &format!("/{table}/records"))
    }

    /// As [`App::read`].
    pub fn read(&self) -> Work {
        self.work(Kind::Get, "/item/records/row%012d")
    }

    /// As [`App::list`], without the number of all rows, unless `counted`.
    pub fn list(&self, counted: bool) -> Work {
        let skip = if counted { "" } else { "&skipTotal=1" };
        self.work(
            Kind::Get,
            &format!("/item/records?sort=id&perPage=20{skip}"),
        )
    }

    /// Twenty rows that a rule lets through.
    pub fn list_ruled(&self) -> Work {
        let path = "/article/records?sort=id&perPage=20&skipTotal=1";
        self.work(Kind::Get, path)
    }

    /// Twenty rows, each with the one it belongs to.
    pub fn list_expanded(&self) -> Work {
        let path = "/article/records?sort=id&perPage=20&skipTotal=1&expand=author";
        self.work(Kind::Get, path)
    }

    /// Sets a number in a row.
    pub fn update(&self) -> Work {
        self.work(Kind::Patch, "/article/records/row%012d")
    }

    /// 500 rows a request.
    pub fn bulk(&self) -> Work {
        let url = "/api/collections/entry/records".to_owned();
        let mut work = self.work(Kind::Batch(url), "");
        work.path = "/api/batch".to_owned();
        work
    }

    fn work(&self, kind: Kind, path: &str) -> Work {
        let json = ("content-type", "application/json".to_owned());
        Work {
            url: self.url.clone(),
            headers: if kind == Kind::Get {
                Vec::new()
            } else {
                vec![json]
            },
            kind,
            path: format!("/api/collections{path}"),
            rows: ROWS,
        }
    }
}

/// One kind of work at one server, and how it went.
pub struct Contender {
    pub name: &'static str,
    pub work: Work,
    pub turns: Vec<Turn>,
}

impl Contender {
    pub fn new(name: &'static str, work: Work) -> Contender {
        Contender {
            name,
            work,
            turns: Vec::new(),
        }
    }

    pub fn median(&self, figure: fn(&Turn) -> f64) -> f64 {
        median(&self.turns.iter().map(figure).collect::<Vec<_>>())
    }

    /// How many times the rate of another: the median of the rounds' ratios, because within a round the
    /// machine had one speed.
    pub fn times(&self, other: &Contender) -> f64 {
        let rounds = self.turns.iter().zip(&other.turns);
        let ratios = rounds.map(|(ours, theirs)| ours.per_second / theirs.per_second);
        median(&ratios.collect::<Vec<_>>())
    }

    /// The answer to one such request, outside of any turn.
    pub fn probe(&self) -> anyhow::Result<Value> {
        let answer = self.send(&mut Connection::open(&self.work.url)?)?;
        answer.json().context(self.name)
    }

    /// Whether one such request succeeds.
    pub fn succeed(&self) -> anyhow::Result<()> {
        let answer = self.send(&mut Connection::open(&self.work.url)?)?;
        let text = answer.text();
        ensure!(
            answer.status < 300,
            "{}: {} {text:.300}",
            self.name,
            answer.status
        );
        Ok(())
    }

    /// One such request, about the last row: if that is there, so are those before it.
    fn send(&self, connection: &mut Connection) -> anyhow::Result<Answer> {
        let headers = self.work.headers.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let number = self.work.rows;
        let path = &self.work.path;
        let path = path
            .replace("%012d", &format!("{number:012}"))
            .replace("%d", &number.to_string());
        let row = json!({ "title": format!("Item {number}"), "quantity": 7, "done": true });
        let (method, body) = match &self.work.kind {
            Kind::Get => ("GET", Value::Null),
            Kind::Insert => ("POST", row),
            Kind::Patch => ("PATCH", json!({ "quantity": 7 })),
            Kind::Put => ("PUT", json!({ "quantity": 7 })),
            Kind::Bulk => ("POST", Value::from(vec![row; 500])),
            Kind::Batch(url) => {
                let one = json!({ "method": "POST", "url": url, "path": url, "body": row });
                ("POST", json!({ "requests": vec![one; 500] }))
            }
        };
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        connection.send(method, &path, &headers, body.as_bytes())
    }
}

/// Requests of one after the other before the next one's turn: enough to find the processor's caches as
/// a steady load would.
const BLOCK: usize = 50;

/// How long each one's requests take in milliseconds, sent over one connection one after the other.
///
/// The turns are short, a few dozen requests: where two differ by a tenth of a millisecond, the machine's
/// speed moves by more than that between turns of seconds.
pub fn one_by_one(contenders: &[Contender], blocks: usize) -> anyhow::Result<Vec<Vec<f64>>> {
    let connections = contenders.iter().map(|one| Connection::open(&one.work.url));
    let mut connections = connections.collect::<anyhow::Result<Vec<_>>>()?;
    let mut all = vec![Vec::with_capacity(blocks * BLOCK); contenders.len()];
    // The first block counts for nothing.
    for block in 0..=blocks {
        for (index, contender) in contenders.iter().enumerate() {
            for _ in 0..BLOCK {
                let began = Instant::now();
                let answer = contender.send(&mut connections[index])?;
                let took = ms(began.elapsed());
                answer.json().context(contender.name)?;
                if block > 0 {
                    all[index].push(took);
                }
            }
        }
    }
    Ok(all)
}

/// Lets them take turns of wrk. A turn before the first counts for nothing.
pub fn take_turns(
    bench: &Bench,
    contenders: &mut [Contender],
    rounds: usize,
) -> anyhow::Result<()> {
    let script = bench.file("wrk/rows.lua");
    for contender in &*contenders {
        wrk::work(&script, &contender.work, Duration::from_secs(1)).context(contender.name)?;
    }
    for round in 1..=rounds {
        for contender in &mut *contenders {
            if contender.work.kind != Kind::Get {
                // What one has left for the system to write later must not be written in another's turn.
                output(&mut Command::new("sync"))?;
            }
            let turn = wrk::work(&script, &contender.work, bench.turn()).context(contender.name)?;
            let rate = whole(turn.per_second);
            say(&format!("round {round}: {} {rate} req/s", contender.name));
            contender.turns.push(turn);
        }
    }
    Ok(())
}

/// A row as all have it.
///
/// # Errors
/// When it is none.
pub fn check_row(row: &Value) -> anyhow::Result<()> {
    let is_one = row["title"] == format!("Item {ROWS}")
        && row["quantity"].is_u64()
        && row["done"] == json!(true);
    ensure!(is_one, "this is not the row: {row}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(rates: &[f64]) -> Contender {
        let work = Work {
            url: String::new(),
            kind: Kind::Get,
            path: String::new(),
            rows: 0,
            headers: Vec::new(),
        };
        let mut contender = Contender::new("", work);
        contender.turns.extend(rates.iter().map(|rate| Turn {
            requests: 0.0,
            per_second: *rate,
            p50_ms: 1000.0 / rate,
            p99_ms: 0.0,
        }));
        contender
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        // The machine was twice as fast in the second round, for both.
        let (ours, theirs) = (
            contender(&[40.0, 80.0, 50.0]),
            contender(&[10.0, 20.0, 10.0]),
        );
        assert_eq!(ours.times(&theirs), 4.0);
        assert_eq!(ours.median(|turn| turn.per_second), 50.0);
    }

    #[test]
    fn another_row_is_refused() {
        let row = |done: bool| json!({ "title": "Item 10000", "quantity": 7, "done": done });
        assert!(check_row(&row(true)).is_ok());
        assert!(check_row(&row(false)).is_err());
        assert!(check_row(&json!([row(true)])).is_err());
    }
}
