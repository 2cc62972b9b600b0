//! `cargo xtask demo`: from a checkout to a served app that has answered.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::http::Connection;
use crate::process::{self, Running, say, tied};
use crate::{needs, server};

/// The first start compiles guests, which may begin with fetching their compilers.
const DEPLOY_MAX: Duration = Duration::from_secs(30 * 60);

/// How the demo runs.
pub struct Options {
    /// End after the demo's own calls.
    once: bool,
    listen: String,
}

impl Options {
    /// # Errors
    /// On anything unknown.
    pub fn parse(arguments: &[String]) -> anyhow::Result<Options> {
        let (mut once, mut listen) = (false, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--once" => once = true,
                "--listen" => {
                    let address = arguments.next();
                    listen = Some(address.context("--listen needs an address")?.clone());
                }
                other => bail!("`demo` does not know `{other}`; it takes --once and --listen ADDR"),
            }
        }
        // A check must not fail because somebody looks at the demo in another window.
        let default = if once {
            "127.0.0.1:0"
        } else {
            "127.0.0.1:8787"
        };
        let listen = listen.unwrap_or_else(|| default.to_owned());
        Ok(Options { once, listen })
    }

    pub fn once() -> Options {
        Options {
            once: true,
            listen: "127.0.0.1:0".to_owned(),
        }
    }
}

/// Builds, serves, calls and shows.
///
/// # Errors
/// When something does not build, or a call is not answered as it should be.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    needs::c_compiler()?;
    needs::node()?;
    // The dev profile: a release build takes several times as long, and a demo is about the first minute.
    say("building pumice");
    process::run(needs::cargo(root, "build").args(["--package", "pumice-runtime"]))?;

    say("pumice dev examples/hello");
    let mut command = dev(root, &options.listen);
    let mut dev = Running::start(&mut command)?;
    let events = events(&mut dev)?;
    let (serving, took) = wait_until_deployed(&mut dev, &events)?;
    let fact = |key: &str| serving[key].as_str().unwrap_or_default().to_owned();
    let (url, anon) = (fact("url"), fact("anon_key"));
    say(&format!("serving after {:.1} s", took.as_secs_f32()));

    let calls = calls(&anon);
    for call in &calls {
        call.make(&url)?;
    }
    if options.once {
        dev.stop();
        return Ok(());
    }
    println!("\nurl               {url}");
    println!("anon key          {anon}");
    println!("service role key  {}", fact("service_role_key"));
    println!("\nTry:\n");
    for call in &calls {
        println!("{}", call.as_curl(&url));
    }
    println!("\nChange a file in examples/hello and see it served. Ctrl-C ends this.\n");
    show(&mut dev, &events)
}

/// One of the demo's calls.
struct Call {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// What the answer must contain.
    expect: &'static str,
}

fn calls(anon_key: &str) -> [Call; 4] {
    let get = |what, path, expect| Call {
        what,
        method: "GET",
        path,
        headers: Vec::new(),
        body: String::new(),
        expect,
    };
    [
        get("Rust", "/functions/v1/hello?name=Ada", "Ada"),
        Call {
            what: "JavaScript",
            method: "POST",
            path: "/functions/v1/greet",
            headers: vec![
                ("apikey", anon_key.to_owned()),
                ("content-type", "application/json".to_owned()),
            ],
            body: json!({ "name": "Grace" }).to_string(),
            expect: "Grace",
        },
        Call {
            body: "any body".to_owned(),
            method: "POST",
            ..get("foreign wasi:http component", "/functions/v1/foreign", "")
        },
        get("static page", "/", "<!doctype html>"),
    ]
}

impl Call {
    fn make(&self, url: &str) -> anyhow::Result<()> {
        let mut connection = Connection::open(url)?;
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let began = Instant::now();
        let answer = connection.send(self.method, self.path, &headers, self.body.as_bytes())?;
        let took = began.elapsed();
        let text = answer.text();
        println!(
            "\n{}: {} {}\n  {} in {:.1} ms: {}",
            self.what,
            self.method,
            self.path,
            answer.status,
            took.as_secs_f64() * 1000.0,
            text.lines().next().unwrap_or_default()
        );
        ensure!(
            answer.status == 200 && text.contains(self.expect),
            "{} {} should answer 200 with `{}`, and answered {}: {}",
            self.method,
            self.path,
            self.expect,
            answer.status,
            text.trim()
        );
        Ok(())
    }

    fn as_curl(&self, url: &str) -> String {
        let mut line = format!("curl '{url}{}'", self.path);
        for (name, value) in &self.headers {
            line.push_str(&format!(" -H '{name}: {value}'"));
        }
        if !self.body.is_empty() {
            line.push_str(&format!(" -d '{}'", self.body));
        }
        line
    }
}

fn dev(root: &Path, listen: &str) -> Command {
    let mut command = tied(&server::debug_binary(root));
    command
        .args(["dev", "examples/hello", "--json", "--listen", listen])
        .current_dir(root)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped());
    command
}

/// What `pumice dev --json` says, as it says it.
fn events(dev: &mut Running) -> anyhow::Result<Receiver<Value>> {
    let stdout = dev.child().stdout.take();
    let stdout = stdout.context("the server's output was not asked for")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or(Value::Null);
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn wait_until_deployed(
    dev: &mut Running,
    events: &Receiver<Value>,
) -> anyhow::Result<(Value, Duration)> {
    let began = Instant::now();
    let mut serving = None;
    loop {
        let left = DEPLOY_MAX.saturating_sub(began.elapsed());
        match events.recv_timeout(left) {
            Ok(event) if event["event"] == "serving" => serving = Some(event),
            Ok(event) if event["event"] == "deployed" => {
                let serving = serving.context("the server deployed before it said where it is")?;
                return Ok((serving, began.elapsed()));
            }
            Ok(event) if event["event"] == "failed" => {
                bail!("{}", event["error"].as_str().unwrap_or("it does not build"))
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => bail!(
                "nothing was deployed in {} minutes",
                DEPLOY_MAX.as_secs() / 60
            ),
            Err(RecvTimeoutError::Disconnected) => {
                bail!(
                    "`pumice dev` ended ({}); its own words stand above",
                    dev.child().wait()?
                )
            }
        }
    }
}

/// Shows what happens until the server ends.
fn show(dev: &mut Running, events: &Receiver<Value>) -> anyhow::Result<()> {
    for event in events {
        if event["event"] == "deployed" {
            println!("revision {} is live", event["revision"]);
        } else if let Some(error) = event["error"].as_str() {
            println!("{error}");
        }
    }
    let status = dev.child().wait()?;
    ensure!(status.success(), "`pumice dev` failed ({status})");
    Ok(())
}
