//! The engines that an app's tables can be on, and PostgreSQL from outside.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{App, TestServer, in_time, setting};

/// Where apps of a server have their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Makes two tests of each `async fn(Engine)` named: `…::sqlite` and `…::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $(
            mod $test {
                #[tokio::test]
                async fn sqlite() {
                    super::$test($crate::Engine::Sqlite).await;
                }

                #[tokio::test]
                async fn postgres() {
                    super::$test($crate::Engine::Postgres).await;
                }
            }
        )+
    };
}

impl Engine {
    /// An app of the server that tests on this engine share.
    pub async fn app(self, name: &str) -> App {
        TestServer::shared_on(self).await.app(name).await
    }

    /// A server of this test's own.
    pub async fn server(self) -> TestServer {
        self.server_with("").await
    }

    /// A server of this test's own, with this `server.toml`.
    pub async fn server_with(self, settings: &str) -> TestServer {
        TestServer::on(self, settings, &[]).await
    }

    /// What a server is told besides its settings.
    pub(crate) fn arguments(self) -> Vec<String> {
        match self {
            Engine::Sqlite => Vec::new(),
            Engine::Postgres => vec!["--database-url".to_owned(), admin_url()],
        }
    }
}

/// The superuser's address of the PostgreSQL server that tests use.
///
/// # Panics
/// If nobody started one.
pub fn admin_url() -> String {
    let url = setting("PUMICE_TEST_DATABASE_URL", "")
        .to_string_lossy()
        .into_owned();
    assert!(
        url.starts_with("postgres"),
        "PUMICE_TEST_DATABASE_URL names no PostgreSQL server; `cargo xtask test` starts one"
    );
    url
}

/// The superuser's address of another database of that server.
///
/// # Panics
/// If nobody started one.
pub fn address(database: &str) -> String {
    let admin = admin_url();
    let (server, _) = admin.rsplit_once('/').expect("it names a database");
    format!("{server}/{database}")
}

/// A login's address of a database of that server.
///
/// # Panics
/// If nobody started one.
pub fn address_as(login: &str, password: &str, database: &str) -> String {
    let address = address(database);
    let (_, place) = address.split_once('@').expect("it names a user");
    format!("postgres://{login}:{password}@{place}")
}

impl App {
    /// The name of its database on PostgreSQL.
    pub fn database(&self) -> String {
        format!("pumice_{}", self.id.replace('-', ""))
    }

    /// What `psql` prints for these statements in the app's database, as the superuser, past the server:
    /// values by `|`, one line for each row.
    ///
    /// # Panics
    /// If a statement fails.
    pub async fn psql(&self, sql: &str) -> String {
        let (succeeded, text) = self.try_psql(sql).await;
        assert!(succeeded, "{sql}: {text}");
        text
    }

    /// As [`psql`](Self::psql): whether it succeeded, and what it said.
    pub async fn try_psql(&self, sql: &str) -> (bool, String) {
        psql(&self.database(), sql).await
    }
}

/// Runs statements in a database of the tests' server, as the superuser; whether they succeeded, and what
/// `psql` said.
pub async fn psql(database: &str, sql: &str) -> (bool, String) {
    let mut command = tokio::process::Command::new("psql");
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .args(["-d", &address(database)])
        .args(["-c", sql])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = in_time(sql, command.output())
        .await
        .expect("psql can be started");
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    (output.status.success(), text)
}

/// One `psql` that goes on: for transactions that stay open between the steps of a test.
pub struct Session {
    process: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl App {
    /// Opens a session in the app's database on PostgreSQL, as the superuser.
    pub async fn session(&self) -> Session {
        Session::open(&self.database())
    }
}

impl Session {
    /// Opens one in a database of the tests' server, as the superuser.
    ///
    /// # Panics
    /// If `psql` cannot be started.
    pub fn open(database: &str) -> Session {
        let mut command = tokio::process::Command::new("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-d", &address(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("psql can be started");
        let output = process.stdout.take().expect("it is piped");
        let lines = BufReader::new(output).lines();
        Session { process, lines }
    }

    /// Runs one statement, and returns what it printed when it has ended.
    ///
    /// # Panics
    /// If it fails.
    pub async fn run(&mut self, sql: &str) -> String {
        const END: &str = "-- end of the statement --";
        let input = self.process.stdin.as_mut().expect("it is piped");
        let lines = format!("{sql};\n\\echo {END}\n");
        let sent = input.write_all(lines.as_bytes()).await;
        sent.expect("psql reads");
        let mut printed = String::new();
        loop {
            let line = in_time(sql, self.lines.next_line()).await;
            match line.expect("psql prints text") {
                Some(line) if line == END => return printed,
                Some(line) => printed.push_str(&line),
                None => panic!("{sql}: psql ended after {printed:?}"),
            }
        }
    }
}
