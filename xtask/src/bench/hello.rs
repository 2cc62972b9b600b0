//! A hello function beside `wasmtime serve` with the same component and workerd with the same few words.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::numbers::{median, short, whole};
use super::report::{Section, Verdict};
use super::wrk::Turn;
use super::{Bench, machine, wrk};
use crate::http::Connection;
use crate::process::{Running, say, tied};
use crate::server::{Server, function_path};

/// Turns of each peer.
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

/// One who is measured.
struct Contender {
    name: &'static str,
    url: String,
    id: u32,
    turns: Vec<(Turn, f64)>,
}

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let peers = bench.peers()?;
    let data = tempfile::tempdir()?;
    let server = deployed(bench, data.path())?;
    let (wasmtime, wasmtime_url) = wasmtime(&peers.wasmtime, &bench.guest_path("hello"))?;
    let (workerd, workerd_url) = workerd(&peers.workerd, &bench.root)?;
    let contender = |name, url, id| Contender {
        name,
        url,
        id,
        turns: Vec::new(),
    };
    let mut contenders = [
        contender("pumice", hello_url(&server), server.id()),
        contender("wasmtime serve", wasmtime_url, wasmtime.id()),
        contender("workerd", workerd_url, workerd.id()),
    ];
    for contender in &contenders {
        ready(&contender.url)?;
        wrk::turn(&contender.url, Duration::from_secs(1))?;
    }
    for round in 0..bench.choose(ROUNDS, ROUNDS_QUICK) {
        for contender in &mut contenders {
            let turn = measured(&contender.url, contender.id, bench.turn())?;
            say(&format!(
                "round {}: {} {} req/s",
                round + 1,
                contender.name,
                whole(turn.0.per_second)
            ));
            contender.turns.push(turn);
        }
    }
    let mut section = section(&contenders);
    section.note(&format!("Peers: {}.", peers.versions().join(", ")));
    Ok(section)
}

/// One turn of wrk, with the processor time the server took for each request, in µs.
pub fn measured(url: &str, id: u32, length: Duration) -> anyhow::Result<(Turn, f64)> {
    let before = machine::cpu(id)?.own;
    let turn = wrk::turn(url, length)?;
    let used = machine::cpu(id)?.own.saturating_sub(before);
    Ok((turn, used.as_secs_f64() * 1e6 / turn.requests.max(1.0)))
}

/// A server with the app `hello` and its function `hello`.
pub fn deployed(bench: &Bench, data: &Path) -> anyhow::Result<Server> {
    let server = bench.start(data)?;
    let functions = bench.functions(&["hello"])?;
    server.platform()?.deploy("hello", &functions)?;
    Ok(server)
}

pub fn hello_url(server: &Server) -> String {
    format!("{}{}", server.url, function_path("hello", "hello"))
}

fn section(contenders: &[Contender; 3]) -> Section {
    let of = |contender: &Contender, figure: fn(&(Turn, f64)) -> f64| {
        median(&contender.turns.iter().map(figure).collect::<Vec<_>>())
    };
    let rows: Vec<Vec<String>> = contenders
        .iter()
        .map(|contender| {
            vec![
                contender.name.to_owned(),
                whole(of(contender, |(turn, _)| turn.per_second)),
                short(of(contender, |(turn, _)| turn.p50_ms)),
                short(of(contender, |(turn, _)| turn.p99_ms)),
                short(of(contender, |(_, cpu)| *cpu)),
                short(ratio(&contenders[0], contender)),
            ]
        })
        .collect();
    let mut section = Section::default();
    let heads = [
        "",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/request",
        "pumice is × as fast",
    ];
    section.table(&heads, &rows);
    section.note(
        "wrk, 1 thread, 32 connections; `RUST_BACKTRACE=0` for all. The same component in pumice and \
         `wasmtime serve`, a fresh instance for each request; workerd keeps one isolate.",
    );
    let [pumice, wasmtime, workerd] = contenders;
    let p99 = |contender| of(contender, |(turn, _)| turn.p99_ms);
    section.verdicts = vec![
        Verdict::at_least(
            "hello: ≥ 4× the rate of `wasmtime serve`",
            4.0,
            ratio(pumice, wasmtime),
            "×",
        ),
        Verdict::at_least(
            "hello: ≥ 2× the rate of workerd",
            2.0,
            ratio(pumice, workerd),
            "×",
        ),
        Verdict::at_most(
            "hello: p99 below both peers'",
            p99(wasmtime).min(p99(workerd)),
            p99(pumice),
            " ms",
        ),
    ];
    section
}

/// The median of the rounds' ratios: within a round the machine had one speed.
fn ratio(ours: &Contender, theirs: &Contender) -> f64 {
    let rounds = ours.turns.iter().zip(&theirs.turns);
    let ratios = rounds.map(|((ours, _), (theirs, _))| ours.per_second / theirs.per_second);
    median(&ratios.collect::<Vec<_>>())
}

fn wasmtime(binary: &Path, component: &Path) -> anyhow::Result<(Running, String)> {
    let address = free_address()?;
    let mut command = tied(binary);
    // Rust's standard library imports wasi:cli, which `serve` leaves out unless asked.
    command
        .args(["serve", "-S", "cli", "--addr", &address])
        .arg(component);
    start(command, address)
}

fn workerd(binary: &Path, root: &Path) -> anyhow::Result<(Running, String)> {
    let address = free_address()?;
    let mut command = tied(binary);
    command
        .arg("serve")
        .arg(root.join("bench/workerd/hello.capnp"))
        .arg(format!("--socket-addr=http={address}"));
    start(command, address)
}

fn start(mut command: Command, address: String) -> anyhow::Result<(Running, String)> {
    command.env("RUST_BACKTRACE", "0").stdout(Stdio::null());
    Ok((Running::start(&mut command)?, format!("http://{address}/")))
}

/// An address nobody listened on a moment ago.
pub fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Waits until the server answers, and sees that it says what all say.
fn ready(url: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut connection = loop {
        match Connection::open(url) {
            Ok(connection) => break connection,
            Err(error) if began.elapsed() > Duration::from_secs(30) => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let answer = connection.get(&format!("/{path}"))?;
    ensure!(answer.status == 200, "{url} answers {}", answer.status);
    if answer.text() != "hello" {
        bail!("{url} says `{}`", answer.text());
    }
    Ok(())
}
