//! A `pumice serve` of our own and its platform API.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http::Connection;
use crate::process::{Running, tied};

/// The binary of `cargo build`.
pub fn debug_binary(root: &Path) -> PathBuf {
    root.join("target/debug/pumice")
}

/// The binary of `cargo build --release`.
pub fn release_binary(root: &Path) -> PathBuf {
    root.join("target/release/pumice")
}

/// A running server.
pub struct Server {
    process: Running,
    data: PathBuf,
    pub url: String,
    /// From the start of the process until it answered `/ready`.
    pub start: Duration,
}

impl Server {
    /// Starts `pumice serve` on a free port and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start; its own words are on standard error.
    pub fn start(binary: &Path, data: &Path) -> anyhow::Result<Server> {
        let mut command = tied(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            // An error with a backtrace is made on many paths that are no errors: all peers run without.
            .env("RUST_BACKTRACE", "0")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped());
        let began = Instant::now();
        let mut process = Running::start(&mut command)?;
        let stdout = process.child().stdout.take();
        let mut line = String::new();
        BufReader::new(stdout.context("the server's output was not asked for")?)
            .read_line(&mut line)?;
        let url = line.trim().to_owned();
        ensure!(!url.is_empty(), "the server did not say where it is");
        let ready = Connection::open(&url)?.get("/ready")?;
        let start = began.elapsed();
        ensure!(
            ready.status == 200,
            "the server is not ready: {}",
            ready.text()
        );
        Ok(Server {
            process,
            data: data.to_owned(),
            url,
            start,
        })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops the server as `kill` does.
    pub fn stop(mut self) {
        self.process.stop();
    }

    /// The platform's API.
    ///
    /// # Errors
    /// When the server's contact file cannot be read.
    pub fn platform(&self) -> anyhow::Result<Platform> {
        let path = self.data.join("platform.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let contact: Value = serde_json::from_slice(&text)?;
        let key = contact["key"]
            .as_str()
            .context("platform.json has no key")?;
        Ok(Platform {
            connection: Connection::open(&self.url)?,
            bearer: format!("Bearer {key}"),
        })
    }
}

/// The path at which a function of an app is called.
pub fn function_path(app: &str, function: &str) -> String {
    format!("/a/{app}/functions/v1/{function}")
}

/// A connection to the platform's API.
pub struct Platform {
    connection: Connection,
    bearer: String,
}

impl Platform {
    /// Makes an app whose functions, public to all, are these components.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn deploy(
        &mut self,
        app: &str,
        functions: &BTreeMap<String, Vec<u8>>,
    ) -> anyhow::Result<Value> {
        self.create(app)?;
        let mut entries = String::new();
        let mut files = BTreeMap::new();
        for (function, component) in functions {
            entries.push_str(&format!(
                "\n[[function]]\nname = \"{function}\"\npath = \"{function}.wasm\"\naccess = \"public\"\n"
            ));
            files.insert(
                format!("components/{function}.wasm"),
                component.as_slice().into(),
            );
        }
        self.push(app, &entries, &files)
    }

    /// Makes an app; returns what the platform shows of it, its keys among it.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn create(&mut self, app: &str) -> anyhow::Result<Value> {
        let name = json!({ "name": app }).to_string();
        self.call("POST", "/apps", name.as_bytes())
    }

    /// Deploys an app's next revision: its manifest below `[app]`, and its files by their paths in the bundle.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn push(
        &mut self,
        app: &str,
        entries: &str,
        files: &BTreeMap<String, Cow<'_, [u8]>>,
    ) -> anyhow::Result<Value> {
        // A load generator is one client, which no page resembles.
        let rates = "[rates]\nper_ip = 60000000\nper_user = 60000000\nper_app = 60000000\n";
        let manifest = format!("[app]\nname = \"{app}\"\n{rates}{entries}");
        let mut listed = serde_json::Map::new();
        for (path, content) in files {
            let digest = hex(&Sha256::digest(content));
            let size = content.len();
            listed.insert(path.clone(), json!({ "digest": digest, "size": size }));
            self.call("PUT", &format!("/apps/{app}/blobs/{digest}"), content)?;
        }
        let bundle = json!({ "manifest": manifest, "files": listed }).to_string();
        self.call("POST", &format!("/apps/{app}/revisions"), bundle.as_bytes())
    }

    /// The last `count` outcome records of one function.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn outcomes(
        &mut self,
        app: &str,
        function: &str,
        count: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let path = format!("/apps/{app}/logs?count={count}&component={function}");
        let answer = self.send("GET", &path, &[])?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        let text = answer.text();
        let records = text.lines().map(serde_json::from_str::<Value>);
        let records = records.collect::<Result<Vec<_>, _>>()?;
        Ok(records
            .into_iter()
            .filter(|record| record["type"] == "invocation")
            .collect())
    }

    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let answer = self.send(method, path, body)?;
        answer.json().with_context(|| format!("{method} {path}"))
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<crate::http::Answer> {
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let path = format!("/platform/v1{path}");
        self.connection.send(method, &path, &headers, body)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
