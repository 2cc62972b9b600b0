//! Many apps, many functions, and what a restart costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::numbers::{median, ms, percentile, short, whole};
use super::report::{Section, Verdict};
use super::{Bench, hello, machine};
use crate::http::Connection;
use crate::process::say;
use crate::server::{Server, function_path};

const MIB: f64 = 1024.0 * 1024.0;

/// The first request a fresh process gets.
pub fn cold(bench: &Bench) -> anyhow::Result<Section> {
    let data = tempfile::tempdir()?;
    hello::deployed(bench, data.path())?.stop();
    let (mut starts, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.choose(20, 3) {
        let server = bench.start(data.path())?;
        let mut connection = Connection::open(&server.url)?;
        starts.push(ms(server.start));
        firsts.push(ms(call(&mut connection, "hello", "hello")?));
        seconds.push(ms(call(&mut connection, "hello", "hello")?));
        server.stop();
    }
    let line = |what: &str, values: &[f64]| {
        vec![
            what.to_owned(),
            short(median(values)),
            short(percentile(values, 1.0)),
        ]
    };
    let mut section = Section::default();
    section.table(
        &["", "median ms", "max ms"],
        &[
            line("from the process's start until it is ready", &starts),
            line("first request to a function", &firsts),
            line("second request", &seconds),
        ],
    );
    section.note(&format!(
        "{} restarts of one server with one app.",
        starts.len()
    ));
    Ok(section)
}

/// Memory and first calls of a node that holds many apps.
pub fn many(bench: &Bench) -> anyhow::Result<Section> {
    let count = bench.choose(1000, 30);
    let data = tempfile::tempdir()?;
    let server = bench.start(data.path())?;
    let empty = machine::resident(server.id())?;
    let component = bench.guest("hello")?;
    let began = Instant::now();
    deploy_all(&server, &component, count)?;
    let deploying = began.elapsed();
    let deployed = machine::resident(server.id())?;
    server.stop();

    let server = bench.start(data.path())?;
    let idle = machine::resident(server.id())?;
    let mut connection = Connection::open(&server.url)?;
    let mut firsts = Vec::new();
    for index in 0..count {
        firsts.push(ms(call(&mut connection, &app_name(index), "hello")?));
    }
    let called = machine::resident(server.id())?;
    let recompiled = machine::cpu(server.id())?.children;
    ensure!(
        recompiled.is_zero(),
        "the restarted server had its children compute for {recompiled:?}"
    );
    let per_app = |bytes: u64| bytes.saturating_sub(empty) as f64 / count as f64 / 1024.0;
    let memory = |what: &str, bytes: u64| {
        vec![
            what.to_owned(),
            short(bytes as f64 / MIB),
            whole(per_app(bytes)),
        ]
    };
    let mut section = Section::default();
    section.table(
        &["resident memory", "MiB", "KiB for each app"],
        &[
            vec![
                "with no app".to_owned(),
                short(empty as f64 / MIB),
                String::new(),
            ],
            memory("after deploying all", deployed),
            memory("after a restart, none called yet", idle),
            memory("after one call to each", called),
        ],
    );
    section.note(&format!(
        "{} apps, each with a component of its own of {} KB, deployed in {:.0} s, compilation included. \
         After the restart ({:.0} ms until ready): first call to each, p50 {} ms, p99 {} ms, max {} ms. \
         Nothing was compiled again.",
        whole(count as f64),
        component.len() / 1000,
        deploying.as_secs_f64(),
        ms(server.start),
        short(percentile(&firsts, 0.5)),
        short(percentile(&firsts, 0.99)),
        short(percentile(&firsts, 1.0)),
    ));
    section.verdicts = vec![
        Verdict::at_most(
            "1,000 apps: first request to a cold one < 50 ms (p99)",
            50.0,
            percentile(&firsts, 0.99),
            " ms",
        ),
        Verdict::at_most(
            "1,000 apps: idle cost < 1 MiB each",
            1.0,
            per_app(deployed).max(per_app(idle)) / 1024.0,
            " MiB",
        ),
    ];
    Ok(section)
}

/// A restart with 100 functions: ready at once, and nothing compiled.
pub fn restart(bench: &Bench) -> anyhow::Result<Section> {
    let count = bench.choose(100, 20);
    let data = tempfile::tempdir()?;
    let component = bench.guest("hello")?;
    let names: Vec<String> = (0..count).map(|index| format!("hello-{index}")).collect();
    let functions: BTreeMap<String, Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.clone(), distinct(&component, index)))
        .collect();
    say(&format!("deploying {count} functions"));
    let server = bench.start(data.path())?;
    server.platform()?.deploy("many", &functions)?;
    server.stop();

    let (mut starts, mut alls) = (Vec::new(), Vec::new());
    for _ in 0..bench.choose(10, 3) {
        let server = bench.start(data.path())?;
        let mut connection = Connection::open(&server.url)?;
        let began = Instant::now();
        for name in &names {
            call(&mut connection, "many", name)?;
        }
        starts.push(ms(server.start));
        alls.push(ms(began.elapsed()));
        // Compilation happens in child processes only.
        let compiled = machine::cpu(server.id())?.children;
        ensure!(compiled.is_zero(), "something was compiled: {compiled:?}");
        server.stop();
    }
    let mut section = Section::default();
    let line = |what: &str, values: &[f64]| {
        vec![
            what.to_owned(),
            short(median(values)),
            short(percentile(values, 1.0)),
        ]
    };
    section.table(
        &["", "median ms", "max ms"],
        &[
            line("from the process's start until it is ready", &starts),
            line("then one call to each function, in turn", &alls),
        ],
    );
    section.note(&format!(
        "{} restarts with {count} functions, each with a component of its own. The server's children took \
         no processor time: nothing was compiled.",
        starts.len()
    ));
    section.verdicts = vec![Verdict::at_most(
        "restart: ready < 1 s with 100 functions, nothing recompiled",
        1000.0,
        percentile(&starts, 1.0),
        " ms",
    )];
    Ok(section)
}

fn call(connection: &mut Connection, app: &str, function: &str) -> anyhow::Result<Duration> {
    let path = function_path(app, function);
    let began = Instant::now();
    let answer = connection.get(&path)?;
    let took = began.elapsed();
    ensure!(
        answer.status == 200,
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    Ok(took)
}

fn app_name(index: usize) -> String {
    format!("app-{index}")
}

/// Deploys over as many connections as there are processors: each deployment compiles on one.
fn deploy_all(server: &Server, component: &[u8], count: usize) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        let mut platform = server.platform()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            if index.is_multiple_of(100) {
                say(&format!("deploying app {index} of {count}"));
            }
            let function = BTreeMap::from([("hello".to_owned(), distinct(component, index))]);
            platform.deploy(&app_name(index), &function)?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow!("a deploying thread broke"))??;
        }
        Ok(())
    })
}

/// The component with one more custom section, so that its hash is its own while its code is the same.
/// Source: the binary format of components, <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
fn distinct(component: &[u8], index: usize) -> Vec<u8> {
    let name = b"bench";
    let number = (index as u64).to_le_bytes();
    let mut bytes = component.to_vec();
    // Section 0, its length, the name's length (all below 128, so one byte each), name, content.
    bytes.extend([0, (1 + name.len() + number.len()) as u8, name.len() as u8]);
    bytes.extend(name);
    bytes.extend(number);
    bytes
}
