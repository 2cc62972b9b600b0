//! A Redis server of a test's own, which may be killed.

use std::net::TcpListener;

use crate::in_time;
use crate::pipe::{Command, Running};

/// `redis-server`, empty, on a free port.
pub struct TestRedis {
    port: u16,
    folder: tempfile::TempDir,
    process: Running,
}

impl TestRedis {
    /// # Panics
    /// If it cannot be started; `cargo xtask test` installs it.
    pub async fn start() -> TestRedis {
        let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let process = TestRedis::run(port, &folder).await;
        TestRedis {
            port,
            folder,
            process,
        }
    }

    async fn run(port: u16, folder: &tempfile::TempDir) -> Running {
        let port = port.to_string();
        let arguments = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let process = Command::program("redis-server", &arguments, folder.path()).start();
        let ready = |line: &str| line.contains("Ready to accept connections");
        let found = in_time("Redis", process.stdout.find(ready)).await;
        assert!(found.is_some(), "{}", process.stdout.text());
        process
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts another, empty, at the same address.
    pub async fn again(&mut self) {
        self.kill();
        self.process = TestRedis::run(self.port, &self.folder).await;
    }
}
