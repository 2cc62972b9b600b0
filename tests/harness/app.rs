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

    /// Begins a bundle with a static file.
    pub fn file(&self, path: &str, content: impl Into<Bytes>) -> Bundle {
        Bundle::new(self).file(path, content)
    }

    /// Deploys a manifest and files by their paths in the bundle, and returns whatever the platform answers.
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
            .json(&json!({ "manifest": manifest, "files": listed }))
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
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let record = serde_json::from_slice(&line).expect("each line is JSON");
                if wanted(&record) {
                    return record;
                }
            }
            match self.stream.chunk().await {
                Ok(Some(chunk)) => self.rest.extend_from_slice(&chunk),
                end => panic!("the log ended: {end:?}"),
            }
        }
    }
}

/// What is deployed: a manifest and files. Awaiting it deploys it and wants success.
#[derive(Clone)]
pub struct Bundle {
    app: App,
    head: String,
    functions: String,
    files: Vec<(String, Bytes)>,
}

impl Bundle {
    fn new(app: &App) -> Bundle {
        Bundle {
            app: app.clone(),
            head: format!("[app]\nname = \"{}\"\n", app.name),
            functions: String::new(),
            files: Vec::new(),
        }
    }

    /// Adds a function called like its guest; the steps after it are about it.
    pub fn function(mut self, guest: Guest) -> Bundle {
        let name = &guest.name;
        let _ = write!(
            self.functions,
            "[[function]]\nname = \"{name}\"\npath = \"{name}.wasm\"\n"
        );
        self.files
            .push((format!("components/{name}.wasm"), guest.bytes));
        self
    }

    /// A line of the function added last, such as `route = "/api/*"`.
    pub fn with(mut self, line: &str) -> Bundle {
        self.functions.push_str(line);
        self.functions.push('\n');
        self
    }

    pub fn access(self, access: &str) -> Bundle {
        self.with(&format!("access = \"{access}\""))
    }

    pub fn route(self, route: &str) -> Bundle {
        self.with(&format!("route = \"{route}\""))
    }

    /// Limits of the function added last: `cpu_ms = 100, wall_ms = 200`.
    pub fn limits(self, limits: &str) -> Bundle {
        self.with(&format!("limits = {{ {limits} }}"))
    }

    /// Tables of the manifest before its functions, such as `[config]`.
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

    /// Deploys it, and returns whatever the platform answers.
    pub async fn push(self) -> Answer {
        let files: Vec<(&str, Bytes)> = self
            .files
            .iter()
            .map(|(path, content)| (path.as_str(), content.clone()))
            .collect();
        let manifest = format!("{}{}", self.head, self.functions);
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
