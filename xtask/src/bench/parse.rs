//! Parse Server on PostgreSQL, a peer.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::tables::ROWS;
use super::wrk::{Kind, Work};
use super::{Bench, hello};
use crate::http::Connection;
use crate::postgres::Postgres;
use crate::process::{Running, output, tied};
use crate::{needs, peers};

const KEY: &str = "bench";

/// Its classes are made by their first rows.
pub struct Parse {
    // Dropped in this order: it runs in the folder.
    _process: Running,
    _folder: TempDir,
    url: String,
}

impl Parse {
    /// Starts it on a database of its own on our PostgreSQL server.
    pub fn start(bench: &Bench, postgres: &Postgres) -> anyhow::Result<Parse> {
        let package = peers::parse_server()?;
        let mut psql = Command::new(needs::postgres()?.join("psql"));
        output(
            psql.arg(&postgres.url)
                .args(["-c", "create database parse"]),
        )?;
        let (server, _) = postgres.url.rsplit_once('/').unwrap_or_default();
        let address = hello::free_address()?;
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        let folder = bench.folder()?;
        let mut command = tied("node".as_ref());
        command
            .arg(package.join("node_modules/parse-server/bin/parse-server"))
            .args([
                "--appId",
                KEY,
                "--masterKey",
                KEY,
                "--host",
                host,
                "--port",
                port,
            ])
            .args(["--databaseURI", &format!("{server}/parse")])
            .env("PARSE_SERVER_ALLOW_CUSTOM_OBJECT_ID", "true")
            .env("PARSE_SERVER_ALLOW_CLIENT_CLASS_CREATION", "true")
            .env("PARSE_SERVER_LOG_LEVEL", "error")
            .env("PARSE_SERVER_LOGS_FOLDER", "null")
            .env("NODE_ENV", "production")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Running::start(&mut command)?;
        let url = format!("http://{address}");
        let began = Instant::now();
        while !Connection::open(&url)
            .and_then(|mut connection| connection.get("/parse/health"))
            .is_ok_and(|answer| answer.status == 200)
        {
            let ended = process.child().try_wait()?.is_some();
            if ended || began.elapsed() > Duration::from_secs(60) {
                bail!("Parse Server does not start");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Parse {
            _process: process,
            _folder: folder,
            url,
        })
    }

    pub fn version(&self) -> &'static str {
        peers::PARSE_SERVER_VERSION
    }

    /// The rows of `bench/tables/articles.sql`.
    pub fn fill(&self) -> anyhow::Result<()> {
        let authors = (1..=100).map(|number| {
            let id = format!("row{number:012}");
            (
                "Author",
                json!({ "objectId": id, "name": format!("Author {number}") }),
            )
        });
        let articles = (1..=ROWS).map(|number| {
            let author = format!("row{:012}", number % 100 + 1);
            let author = json!({ "__type": "Pointer", "className": "Author", "objectId": author });
            let article = json!({
                "objectId": format!("row{number:012}"), "author": author,
                "title": format!("Item {number}"), "quantity": number % 1000,
                "published": !number.is_multiple_of(4),
            });
            ("Article", article)
        });
        // One by one: its batches fail as npm installs this version (a newer `router` than it was made for).
        let mut connection = Connection::open(&self.url)?;
        for (class, row) in authors.chain(articles) {
            let headers = [
                ("x-parse-application-id", KEY),
                ("x-parse-master-key", KEY),
                ("content-type", "application/json"),
            ];
            let path = format!("/parse/classes/{class}");
            let answer = connection.send("POST", &path, &headers, row.to_string().as_bytes())?;
            let text = answer.text();
            ensure!(
                answer.status == 201,
                "Parse Server takes no rows: {text:.300}"
            );
        }
        Ok(())
    }

    /// Twenty articles.
    pub fn list(&self, more: &str) -> Work {
        let path = format!("/parse/classes/Article?order=objectId&limit=20{more}");
        self.work(Kind::Get, &path)
    }

    pub fn update(&self) -> Work {
        self.work(Kind::Put, "/parse/classes/Article/row%012d")
    }

    fn work(&self, kind: Kind, path: &str) -> Work {
        Work {
            url: self.url.clone(),
            kind,
            path: path.to_owned(),
            rows: ROWS,
            headers: vec![
                ("x-parse-application-id", KEY.to_owned()),
                ("x-parse-master-key", KEY.to_owned()),
                ("content-type", "application/json".to_owned()),
            ],
        }
    }
}
