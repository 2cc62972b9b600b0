//! An app on a server, and what is deployed to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::client::{Answer, Call, Streaming};
use crate::{Guest, TestServer, digest};

/// An app.
#[derive(Clone)]
pub struct App {
    pub server: TestServer,
    pub name: String,
    pub id: String,
    pub anon_key: String,
    pub service_role_key: String,
}

impl App {
    pub(crate) fn new(server: TestServer, shown: &Value) -> App {
        let text = |key: &str| shown[key].as_str().expect("the platform shows it").into();
        App {
            server,
            name: text("name"),
            id: text("id"),
            anon_key: text("anon_key"),
            service_role_key: text("service_role_key"),
        }
    }

    /// A request to a path of the app, without a key.
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.server.call(method, &format!("/a/{}{path}", self.name))
    }

    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    /// A POST to `/functions/v1/<rest>` with the anon key.
    pub fn invoke(&self, rest: &str) -> Call {
        self.call("POST", &format!("/functions/v1/{rest}"))
            .bearer(&self.anon_key)
    }

    /// A request to `/platform/v1/apps/<app><path>` with the platform key.
    pub fn platform(&self, method: &str, path: &str) -> Call {
        self.server
            .platform(method, &format!("/apps/{}{path}", self.name))
    }

    /// The folder where the server keeps this app.
    pub fn folder(&self) -> std::path::PathBuf {
        self.server.data().join("apps").join(&self.id)
    }

    /// Begins a bundle with a function called like its guest.
    pub fn function(&self, guest: Guest) -> Bundle {
        Bundle::new(self).function(guest)
    }

    /// Begins a bundle with one migration, `0001_init.sql`.
    pub fn tables(&self, sql: &str) -> Bundle {
        self.bundle().migration("0001_init.sql", sql)
    }

    /// Begins a bundle with nothing in it.
    pub fn bundle(&self) -> Bundle {
        Bundle::new(self)
    }

    /// Begins a bundle with a static file.
    pub fn file(&self, path: &str, content: impl Into<Bytes>) -> Bundle {
        Bundle::new(self).file(path, content)
    }

    /// Deploys a manifest and files by their paths in the bundle, a seed included, and returns whatever the
    /// platform answers.
    pub async fn push(&self, manifest: &str, files: &[(&str, Bytes)]) -> Answer {
        let mut listed = BTreeMap::new();
        for (path, content) in files {
            let digest = digest(content);
            let put = self
                .platform("PUT", &format!("/blobs/{digest}"))
                .body(content.clone())
                .await;
            assert_eq!(put.status, 204, "{put}");
            listed.insert(path, json!({ "digest": digest, "size": content.len() }));
        }
        self.platform("POST", "/revisions")
            .json(&json!({ "manifest": manifest, "files": listed, "seed": true }))
            .await
    }

    pub async fn secret(&self, name: &str, value: &str) {
        let set = self
            .platform("PUT", &format!("/secrets/{name}"))
            .json(&json!({ "value": value }))
            .await;
        assert_eq!(set.status, 204, "{set}");
    }

    /// All records of the app's log so far.
    pub async fn records(&self) -> Vec<Value> {
        let answer = self.platform("GET", "/logs?count=10000").await;
        assert_eq!(answer.status, 200, "{answer}");
        let parse = |line: &str| serde_json::from_str(line).expect("each line is JSON");
        answer.text().lines().map(parse).collect()
    }

    /// The app's log from now on, and what is in it already.
    pub async fn follow(&self, query: &str) -> Follow {
        let call = self.platform("GET", &format!("/logs?follow=true&count=10000{query}"));
        Follow {
            stream: call.stream().await,
            rest: Vec::new(),
        }
    }

    /// Waits for the outcome record of the request that got this id.
    pub async fn outcome(&self, request_id: &str) -> Value {
        let mut log = self.follow(&format!("&request_id={request_id}")).await;
        log.find(|record| record["type"] == "invocation").await
    }
}

/// The records of a log as they are written.
pub struct Follow {
    stream: Streaming,
    rest: Vec<u8>,
}

impl Follow {
    /// Waits for the next record that `wanted` accepts.
    pub async fn find(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let record = self.next().await;
            if wanted(&record) {
                return record;
            }
        }
    }

    /// Waits for the next record. What was waited for is not lost when the wait is given up.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).expect("each line is JSON");
            }
            match self.stream.chunk().await {
                Ok(Some(chunk)) => self.rest.extend_from_slice(&chunk),
                end => panic!("the log ended: {end:?}"),
            }
        }
    }
}

/// What is deployed: a manifest and files. Awaiting it deploys it and wants success.
///
/// Entries are called like their guests; the steps after one are about it.
#[derive(Clone)]
pub struct Bundle {
    app: App,
    head: String,
    entries: String,
    files: Vec<(String, Bytes)>,
}

impl Bundle {
    fn new(app: &App) -> Bundle {
        Bundle {
            app: app.clone(),
            head: format!("[app]\nname = \"{}\"\n", app.name),
            entries: String::new(),
            files: Vec::new(),
        }
    }

    /// Adds a function.
    pub fn function(self, guest: Guest) -> Bundle {
        self.entry("function", guest)
    }

    /// Adds a trigger that is asked before rows of `table` change.
    pub fn before(self, guest: Guest, table: &str, on: &[&str]) -> Bundle {
        self.trigger(guest, table, "before", on)
    }

    /// Adds a trigger that is told after rows of `table` have changed.
    pub fn after(self, guest: Guest, table: &str, on: &[&str]) -> Bundle {
        self.trigger(guest, table, "after", on)
    }

    fn trigger(self, guest: Guest, table: &str, when: &str, on: &[&str]) -> Bundle {
        self.entry("trigger", guest).with(&format!(
            "table = \"{table}\"\nwhen = \"{when}\"\non = {on:?}"
        ))
    }

    /// Adds a procedure.
    pub fn procedure(self, guest: Guest) -> Bundle {
        self.entry("procedure", guest)
    }

    /// Adds a script.
    pub fn script(self, guest: Guest) -> Bundle {
        self.entry("script", guest)
    }

    /// Adds a hook that is on `on`.
    pub fn hook(self, guest: Guest, on: &str) -> Bundle {
        self.entry("hook", guest).with(&format!("on = \"{on}\""))
    }

    /// Adds a schedule of a script.
    pub fn schedule(mut self, script: &str, cron: &str) -> Bundle {
        self.entries.push_str("[[schedule]]\n");
        self.with(&format!("script = \"{script}\"\ncron = \"{cron}\""))
    }

    /// Adds a bucket.
    pub fn bucket(mut self, name: &str) -> Bundle {
        self.entries.push_str("[[bucket]]\n");
        self.with(&format!("name = \"{name}\""))
    }

    fn entry(mut self, kind: &str, guest: Guest) -> Bundle {
        let name = &guest.name;
        let _ = write!(
            self.entries,
            "[[{kind}]]\nname = \"{name}\"\npath = \"{name}.wasm\"\n"
        );
        let path = format!("components/{name}.wasm");
        self.files.retain(|(known, _)| *known != path);
        self.files.push((path, guest.bytes));
        self
    }

    /// A migration, by its file's name below `migrations/`.
    pub fn migration(mut self, name: &str, sql: &str) -> Bundle {
        let sql = Bytes::copy_from_slice(sql.as_bytes());
        self.files.push((format!("migrations/{name}"), sql));
        self
    }

    /// What fills the tables the first time.
    pub fn seed(mut self, sql: &str) -> Bundle {
        let sql = Bytes::copy_from_slice(sql.as_bytes());
        self.files.push(("seed.sql".to_owned(), sql));
        self
    }

    /// A line of the entry added last, such as `route = "/api/*"`.
    pub fn with(mut self, line: &str) -> Bundle {
        self.entries.push_str(line);
        self.entries.push('\n');
        self
    }

    pub fn access(self, access: &str) -> Bundle {
        self.with(&format!("access = \"{access}\""))
    }

    pub fn route(self, route: &str) -> Bundle {
        self.with(&format!("route = \"{route}\""))
    }

    /// Limits of the entry added last: `cpu_ms = 100, wall_ms = 200`.
    pub fn limits(self, limits: &str) -> Bundle {
        self.with(&format!("limits = {{ {limits} }}"))
    }

    /// Tables of the manifest before its entries, such as `[config]`.
    pub fn table(mut self, text: &str) -> Bundle {
        self.head.push_str(text);
        self.head.push('\n');
        self
    }

    /// A static file, by its path below `public/`.
    pub fn file(mut self, path: &str, content: impl Into<Bytes>) -> Bundle {
        self.files.push((format!("public/{path}"), content.into()));
        self
    }

    /// A template of a mail, by its file's name below `mail/`.
    pub fn mail(mut self, name: &str, content: &str) -> Bundle {
        let content = Bytes::copy_from_slice(content.as_bytes());
        self.files.push((format!("mail/{name}"), content));
        self
    }

    /// Deploys it, and returns whatever the platform answers.
    pub async fn push(self) -> Answer {
        let files: Vec<(&str, Bytes)> = self
            .files
            .iter()
            .map(|(path, content)| (path.as_str(), content.clone()))
            .collect();
        let manifest = format!("{}{}", self.head, self.entries);
        self.app.push(&manifest, &files).await
    }
}

impl IntoFuture for Bundle {
    type Output = Value;
    type IntoFuture = BoxFuture<'static, Value>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = self.push().await;
            assert_eq!(answer.status, 201, "{answer}");
            answer.json()
        })
    }
}
