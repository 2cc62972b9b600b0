//! One running server.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::client::{Answer, Call};
use crate::pipe::{Command, Running};
use crate::{App, Engine, in_time};

/// `pumice serve` on a free port with a data folder of its own. Cheap to clone; the last clone ends it, and
/// fails its test if the server logged an ERROR that nobody expected.
#[derive(Clone)]
pub struct TestServer(Arc<Inner>);

struct Inner {
    data: tempfile::TempDir,
    process: Mutex<Running>,
    url: String,
    key: String,
    expected: Mutex<Vec<String>>,
    launch: Launch,
    /// Whether apps get names that no other test has taken.
    shared: bool,
}

/// Seconds that the server's clock is ahead.
const CLOCK: &str = "clock";

/// How a server is started, and started again.
#[derive(Clone)]
struct Launch {
    engine: Engine,
    env: Vec<(String, String)>,
}

impl TestServer {
    /// A server of this test's own, with default settings.
    pub async fn start() -> TestServer {
        TestServer::with("").await
    }

    /// A server of this test's own, with this `server.toml`.
    pub async fn with(settings: &str) -> TestServer {
        TestServer::on(Engine::Sqlite, settings, &[]).await
    }

    /// A server of this test's own on an engine, with this `server.toml` and these variables, which it
    /// keeps when it is restarted.
    pub async fn on(engine: Engine, settings: &str, env: &[(&str, &str)]) -> TestServer {
        let data = tempfile::tempdir().expect("a folder can be made");
        std::fs::write(data.path().join("server.toml"), settings).expect("it can be written");
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let env = env.iter().map(own).collect();
        TestServer::run(data, Launch { engine, env }, false).await
    }

    /// The server that all tests share which change nothing but apps of their own. It lives as long as any
    /// of them runs.
    pub async fn shared() -> TestServer {
        TestServer::shared_on(Engine::Sqlite).await
    }

    /// As [`shared`](Self::shared), one for each engine.
    pub async fn shared_on(engine: Engine) -> TestServer {
        type Slot = tokio::sync::Mutex<Weak<Inner>>;
        static SQLITE: Slot = Slot::const_new(Weak::new());
        static POSTGRES: Slot = Slot::const_new(Weak::new());
        let slot = match engine {
            Engine::Sqlite => &SQLITE,
            Engine::Postgres => &POSTGRES,
        };
        let mut shared = slot.lock().await;
        if let Some(inner) = shared.upgrade() {
            return TestServer(inner);
        }
        let data = tempfile::tempdir().expect("a folder can be made");
        let env = Vec::new();
        let server = TestServer::run(data, Launch { engine, env }, true).await;
        *shared = Arc::downgrade(&server.0);
        server
    }

    async fn run(data: tempfile::TempDir, launch: Launch, shared: bool) -> TestServer {
        let folder = data.path().to_str().expect("the path is text");
        let mut arguments = vec!["serve", "--data", folder, "--listen", "127.0.0.1:0"];
        let of_engine = launch.engine.arguments();
        arguments.extend(of_engine.iter().map(String::as_str));
        let clock = data.path().join(CLOCK);
        let clock = clock.to_str().expect("the path is text");
        let mut command = Command::pumice(data.path(), &arguments).env("PUMICE_TEST_CLOCK", clock);
        for (name, value) in &launch.env {
            command = command.env(name, value);
        }
        let process = command.start();
        let url = in_time("the server's URL", process.stdout.find(|_| true)).await;
        let Some(url) = url else {
            panic!("the server does not start:\n{}", process.stderr.text());
        };
        let contact = std::fs::read(data.path().join("platform.json")).expect("it is written");
        let contact: Value = serde_json::from_slice(&contact).expect("it is JSON");
        TestServer(Arc::new(Inner {
            key: contact["key"].as_str().expect("it has a key").into(),
            process: Mutex::new(process),
            data,
            url,
            expected: Mutex::default(),
            launch,
            shared,
        }))
    }

    /// Lets the server believe that so many seconds more have passed since it was made. (Timers of its own
    /// go on as they do.)
    ///
    /// # Panics
    /// If others' tests share the server.
    pub fn advance(&self, seconds: u64) {
        assert!(!self.0.shared, "other tests would grow old");
        let clock = self.0.data.path().join(CLOCK);
        let before = std::fs::read_to_string(&clock).unwrap_or_default();
        let ahead = before.parse::<u64>().unwrap_or(0) + seconds;
        // Under another name first: the server may read at any time.
        let fresh = clock.with_extension("new");
        std::fs::write(&fresh, ahead.to_string()).expect("it can be written");
        std::fs::rename(fresh, clock).expect("it can be renamed");
    }

    /// Stops the server with SIGKILL (`kill -9`).
    pub fn kill(&self) {
        let mut process = self.0.process.lock().expect("no test panics with it");
        process.kill();
    }

    /// Kills the server and starts another on the same data folder.
    ///
    /// # Panics
    /// If something else still holds the server.
    pub async fn kill_and_restart(self) -> TestServer {
        self.kill();
        self.again().await
    }

    /// Stops the server with SIGTERM, and starts another on the same data folder.
    ///
    /// # Panics
    /// As [`kill_and_restart`](Self::kill_and_restart).
    pub async fn restart(self) -> TestServer {
        self.stop().await;
        self.again().await
    }

    /// Stops the server with SIGTERM, and starts two on copies of its data folder: nodes that know the same
    /// apps.
    ///
    /// # Panics
    /// As [`kill_and_restart`](Self::kill_and_restart).
    pub async fn twins(self) -> (TestServer, TestServer) {
        self.stop().await;
        let (data, launch) = self.ended();
        let copy = tempfile::tempdir().expect("a folder can be made");
        copy_folder(data.path(), copy.path()).expect("it can be copied");
        (
            TestServer::run(data, launch.clone(), false).await,
            TestServer::run(copy, launch, false).await,
        )
    }

    async fn again(self) -> TestServer {
        let (data, launch) = self.ended();
        TestServer::run(data, launch, false).await
    }

    /// What a server that has ended leaves to the next.
    fn ended(self) -> (tempfile::TempDir, Launch) {
        let Some(mut inner) = Arc::into_inner(self.0) else {
            panic!("an app or a clone still holds the server");
        };
        inner.check();
        let data = std::mem::replace(
            &mut inner.data,
            tempfile::tempdir().expect("a folder can be made"),
        );
        (data, inner.launch.clone())
    }

    /// Stops the server with SIGTERM and waits for its end.
    #[expect(
        clippy::await_holding_lock,
        reason = "nobody else asks for the process of a server that is being stopped"
    )]
    pub async fn stop(&self) {
        let status = self
            .0
            .process
            .lock()
            .expect("no test panics with it")
            .terminate()
            .await;
        assert!(status.success(), "the server ended with {status}");
    }

    /// Allows ERROR lines that contain `part`.
    pub fn expect_error(&self, part: &str) {
        self.0
            .expected
            .lock()
            .expect("no test panics with it")
            .push(part.into());
    }

    /// The lines of the server's own log so far.
    pub fn log(&self) -> Vec<String> {
        self.0
            .process
            .lock()
            .expect("no test panics with it")
            .stderr
            .all()
    }

    /// Waits for a line of the server's own log that contains `part`.
    pub async fn log_line(&self, part: &str) -> String {
        let lines = self
            .0
            .process
            .lock()
            .expect("no test panics with it")
            .stderr
            .clone();
        let line = in_time(part, lines.find(|line| line.contains(part))).await;
        line.unwrap_or_else(|| panic!("the server ended:\n{}", lines.text()))
    }

    /// The address of a path on this server, as a URL.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url)
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        self.0
            .url
            .strip_prefix("http://")
            .expect("it is served without TLS")
    }

    /// The platform key.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    pub fn engine(&self) -> Engine {
        self.0.launch.engine
    }

    pub fn data(&self) -> &Path {
        self.0.data.path()
    }

    /// A request without any key.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.address(), method, path)
    }

    /// A request to `/platform/v1<path>` with the platform key.
    pub fn platform(&self, method: &str, path: &str) -> Call {
        self.call(method, &format!("/platform/v1{path}"))
            .bearer(self.key())
    }

    /// Makes an app. On the shared server its name gets a number.
    pub async fn app(&self, name: &str) -> App {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = if self.0.shared {
            format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
        } else {
            name.to_owned()
        };
        let made: Answer = self
            .platform("POST", "/apps")
            .json(&json!({ "name": name }))
            .await;
        assert_eq!(made.status, 201, "{made}");
        App::new(self.clone(), &made.json())
    }

    /// An app that is there.
    pub async fn found(&self, name: &str) -> App {
        let shown = self.platform("GET", &format!("/apps/{name}")).await;
        assert_eq!(shown.status, 200, "{shown}");
        App::new(self.clone(), &shown.json())
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Inner {
    fn check(&self) {
        let expected = self.expected.lock().expect("no test panics with it");
        let lines = self
            .process
            .lock()
            .expect("no test panics with it")
            .stderr
            .all();
        let unlisted: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains(r#""level":"ERROR""#) || line.contains("panicked at"))
            .filter(|line| !expected.iter().any(|part| line.contains(part)))
            .collect();
        assert!(
            unlisted.is_empty() || std::thread::panicking(),
            "the server logged errors that no test expects: {unlisted:#?}"
        );
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.process.lock().expect("no test panics with it").kill();
        self.check();
    }
}
