//! Child processes and their lines of output.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::{DEADLINE, in_time, pumice, repository};

/// A command line of `pumice`, in a folder.
pub struct Command(std::process::Command, Option<String>);

/// Runs a script of this repository with Node.js, and returns what it printed.
///
/// # Panics
/// If it fails.
pub async fn node_script(path: &str, env: &[(&str, &str)]) -> String {
    let mut command = std::process::Command::new("node");
    command.arg(path).current_dir(repository());
    command.envs(env.iter().copied());
    let output = Command(command, None).run().await;
    output.success().stdout
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Command {
    /// `pumice` with these arguments, in `folder`, without the settings of whoever runs the tests; only
    /// those stay that say where guests are built and with what.
    #[expect(
        clippy::disallowed_methods,
        reason = "the names of the variables are needed to take them away"
    )]
    pub fn pumice(folder: &Path, arguments: &[&str]) -> Command {
        const KEPT: [&str; 2] = ["PUMICE_CACHE_DIR", "PUMICE_GUEST_TOOLCHAIN"];
        let mut command = std::process::Command::new(pumice());
        command.args(arguments).current_dir(folder);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let own = text.starts_with("PUMICE_") || text.starts_with("RUST_LOG");
            if own && !KEPT.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        Command(command, None)
    }

    /// Another program.
    pub(crate) fn program(name: &str, arguments: &[&str], folder: &Path) -> Command {
        let mut command = std::process::Command::new(name);
        command.args(arguments).current_dir(folder);
        Command(command, None)
    }

    pub fn env(mut self, name: &str, value: &str) -> Command {
        self.0.env(name, value);
        self
    }

    /// What it reads from standard input.
    pub fn stdin(mut self, text: &str) -> Command {
        self.1 = Some(text.into());
        self
    }

    /// Runs to the end.
    pub async fn run(self) -> Output {
        let told = format!("{:?}", self.0);
        let run = tokio::task::spawn_blocking(move || {
            let Command(mut command, stdin) = self;
            command.stdin(Stdio::piped());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("pumice can be started");
            let mut pipe = child.stdin.take().expect("it is piped");
            // It may end without reading.
            let _ = pipe.write_all(stdin.unwrap_or_default().as_bytes());
            drop(pipe);
            child.wait_with_output().expect("its output can be read")
        });
        let output = in_time_for(&told, run).await.expect("it does not panic");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts it and reads its output as it comes.
    pub fn start(mut self) -> Running {
        self.0
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("pumice can be started");
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        Running {
            child,
            stdout,
            stderr,
        }
    }
}

/// Building guests may take longer than anything else: the first one compiles what all share.
async fn in_time_for<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE * 5, future)
        .await
        .unwrap_or_else(|_| panic!("{what} does not end"))
}

impl Output {
    /// # Panics
    /// If the command failed.
    #[track_caller]
    pub fn success(self) -> Output {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// A process under way; killed when dropped.
pub struct Running {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").arg(&id).status();
        assert!(sent.is_ok_and(|status| status.success()));
        // Its output ends when it does.
        in_time("the process ends", self.stdout.find(|_| false)).await;
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines of a pipe, kept from the first.
#[derive(Clone)]
pub struct Lines {
    seen: Arc<Mutex<Vec<String>>>,
    news: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (send, news) = mpsc::unbounded_channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                kept.lock()
                    .expect("no test panics with it")
                    .push(line.clone());
                let _ = send.send(line);
            }
        });
        Lines {
            seen,
            news: Arc::new(tokio::sync::Mutex::new(news)),
        }
    }

    /// Waits for the next line that `wanted` accepts; none when the pipe has ended before.
    ///
    /// # Panics
    /// At a deadline of some minutes.
    pub async fn find(&self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let mut news = self.news.lock().await;
        let next = async {
            loop {
                match news.recv().await {
                    Some(line) if wanted(&line) => return Some(line),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        match tokio::time::timeout(DEADLINE * 5, next).await {
            Ok(found) => found,
            Err(_) => panic!("the line does not come; so far:\n{}", self.text()),
        }
    }

    /// Waits for the next line that is JSON and that `wanted` accepts.
    pub async fn json(&self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let line = self
            .find(|line| serde_json::from_str(line).is_ok_and(|value| wanted(&value)))
            .await;
        let line = line.unwrap_or_else(|| panic!("the pipe ended:\n{}", self.text()));
        serde_json::from_str(&line).expect("it was parsed before")
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics with it").clone()
    }

    pub fn text(&self) -> String {
        self.all().join("\n")
    }
}
