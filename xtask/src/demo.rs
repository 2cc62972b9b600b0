//! `cargo xtask demo`: from a checkout to a served guestbook that has gone through every kind of guest.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::http::{Answer, Connection};
use crate::process::{self, Running, say, tied};
use crate::{needs, server};

/// The first start compiles guests, which may begin with fetching their compilers.
const DEPLOY_MAX: Duration = Duration::from_secs(30 * 60);

/// What follows a write without being waited for: an after-trigger, a job. Far more than either takes.
const EFFECT_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

const APP: &str = "examples/guestbook";

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

    say(&format!("pumice dev {APP}"));
    let mut command = dev(root, &options.listen);
    let mut dev = Running::start(&mut command)?;
    let events = events(&mut dev)?;
    let (serving, took) = wait_until_deployed(&mut dev, &events)?;
    let fact = |key: &str| serving[key].as_str().unwrap_or_default().to_owned();
    let guestbook = Guestbook {
        url: fact("url"),
        service_key: fact("service_role_key"),
    };
    say(&format!("serving after {:.1} s", took.as_secs_f32()));
    guestbook.walk()?;
    if options.once {
        dev.stop();
        return Ok(());
    }
    println!("\nurl               {}", guestbook.url);
    println!("anon key          {}", fact("anon_key"));
    println!("service role key  {}", guestbook.service_key);
    println!("\nOpen {} in a browser, or try:\n", guestbook.url);
    for call in guestbook.calls() {
        println!("{}", call.as_curl(&guestbook.url));
    }
    println!("\nChange a file in {APP} and see it served. Ctrl-C ends this.\n");
    show(&mut dev, &events)
}

/// The app being served.
struct Guestbook {
    url: String,
    service_key: String,
}

/// One of the demo's calls.
struct Call {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    service_key: Option<String>,
    body: Option<Value>,
    status: u16,
    /// What the answer must contain, each of them.
    expect: &'static [&'static str],
}

impl Guestbook {
    /// Makes all calls, and waits for what follows from them.
    fn walk(&self) -> anyhow::Result<()> {
        let [page, table, entry, refusal, transfer, script] = self.calls();
        self.make(&page)?;
        self.make(&table)?;
        let before = self.points_of_ada()?;
        self.make(&entry)?;
        self.make(&refusal)?;
        self.wait_for("after-trigger: Ada has five points more", || {
            Ok(self.points_of_ada()? == before + 5)
        })?;
        self.make(&transfer)?;
        let left = self.points_of_ada()?;
        ensure!(
            left == before + 2,
            "Ada should have {} points and has {left}",
            before + 2
        );
        self.make(&script)?;
        self.wait_for("script: this minute's row is there", || self.is_tallied())
    }

    fn calls(&self) -> [Call; 6] {
        let get = |what, path, expect| Call {
            what,
            method: "GET",
            path,
            service_key: None,
            body: None,
            status: 200,
            expect,
        };
        let post = |what, path, body, expect| Call {
            method: "POST",
            body: Some(body),
            ..get(what, path, expect)
        };
        let says = |message: &str| json!({ "name": "Ada", "message": message });
        [
            get("static page", "/", &["<!doctype html>"]),
            Call {
                service_key: Some(self.service_key.clone()),
                ..get(
                    "table",
                    "/rest/v1/members?select=name,points&order=points.desc&limit=3",
                    &["\"name\":", "\"points\":"],
                )
            },
            Call {
                status: 201,
                ..post(
                    "function, and two before-triggers that trim and find a mood",
                    "/api/entries",
                    says("  What a lovely book!  "),
                    &["\"message\":\"What a lovely book!\"", "\"mood\":\"happy\""],
                )
            },
            Call {
                status: 400,
                ..post(
                    "before-trigger that refuses",
                    "/api/entries",
                    says("What a damn book"),
                    &["\"code\":\"rude\""],
                )
            },
            post(
                "procedure",
                "/rest/v1/rpc/transfer",
                json!({ "from": "Ada", "to": "Grace", "points": 3 }),
                &["\"name\":\"Ada\"", "\"name\":\"Grace\""],
            ),
            Call {
                service_key: Some(self.service_key.clone()),
                status: 202,
                ..post("script", "/jobs/v1/tally", json!({}), &["\"id\":"])
            },
        ]
    }

    fn make(&self, call: &Call) -> anyhow::Result<()> {
        let began = Instant::now();
        let answer = self.send(call)?;
        let took = began.elapsed();
        let text = answer.text();
        println!(
            "\n{}: {} {}\n  {} in {:.1} ms: {}",
            call.what,
            call.method,
            call.path,
            answer.status,
            took.as_secs_f64() * 1000.0,
            text.lines().next().unwrap_or_default()
        );
        ensure!(
            answer.status == call.status && call.expect.iter().all(|part| text.contains(part)),
            "{} {} should answer {} with {}, and answered {}: {}",
            call.method,
            call.path,
            call.status,
            call.expect.join(" and "),
            answer.status,
            text.trim()
        );
        Ok(())
    }

    fn send(&self, call: &Call) -> anyhow::Result<Answer> {
        let mut headers = Vec::new();
        if let Some(key) = &call.service_key {
            headers.push(("apikey", key.as_str()));
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        if call.body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        Connection::open(&self.url)?.send(call.method, call.path, &headers, body.as_bytes())
    }

    /// What the page shows.
    fn book(&self) -> anyhow::Result<Value> {
        Connection::open(&self.url)?.get("/api/book")?.json()
    }

    fn points_of_ada(&self) -> anyhow::Result<i64> {
        let book = self.book()?;
        let mut members = book["members"].as_array().into_iter().flatten();
        let ada = members.find(|member| member["name"] == "Ada");
        ada.and_then(|ada| ada["points"].as_i64())
            .context("Ada is not in the book; remove examples/guestbook/.pumice and start again")
    }

    /// Whether the newest row of `minutes` says what is in the book.
    fn is_tallied(&self) -> anyhow::Result<bool> {
        let book = self.book()?;
        let members = book["members"].as_array().into_iter().flatten();
        let points: i64 = members.filter_map(|member| member["points"].as_i64()).sum();
        Ok(book["minutes"][0]["points"] == points)
    }

    fn wait_for(&self, what: &str, is_so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_so()? {
            ensure!(
                began.elapsed() < EFFECT_MAX,
                "{what}: not within {EFFECT_MAX:?}"
            );
            std::thread::sleep(LOOK_AGAIN);
        }
        println!(
            "\n{what}\n  seen after {:.0} ms",
            began.elapsed().as_secs_f64() * 1000.0
        );
        Ok(())
    }
}

impl Call {
    fn as_curl(&self, url: &str) -> String {
        let mut line = format!("curl '{url}{}'", self.path);
        if let Some(key) = &self.service_key {
            line.push_str(&format!(" -H 'apikey: {key}'"));
        }
        if let Some(body) = &self.body {
            line.push_str(&format!(" -H 'content-type: application/json' -d '{body}'"));
        }
        line
    }
}

fn dev(root: &Path, listen: &str) -> Command {
    let mut command = tied(&server::debug_binary(root));
    command
        .args(["dev", APP, "--json", "--listen", listen])
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
