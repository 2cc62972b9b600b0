//! `cargo xtask bench`: what the design promises, measured.
//!
//! The machine's speed moves between sessions, so only ratios within one run count: whoever is compared
//! takes turns with the others, and medians are kept. Run it on a quiet machine.

mod api;
mod apps;
mod auth;
mod data;
mod floor;
mod fuel;
mod hello;
mod jobs;
mod kill;
mod load;
mod machine;
mod numbers;
mod parse;
mod report;
mod tables;
mod triggers;
mod wrk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use self::report::Section;
use crate::peers::Peers;
use crate::process::{run as run_command, say};
use crate::{guests, needs, server};

/// What a row works with.
pub struct Bench {
    root: PathBuf,
    /// Fewer and shorter measurements: to see that all works, not to believe the figures.
    quick: bool,
    /// The binary that is measured.
    pumice: PathBuf,
    guests: PathBuf,
}

/// Name, heading and code of each row, in the order of the report.
type Row = (
    &'static str,
    &'static str,
    fn(&Bench) -> anyhow::Result<Section>,
);

const ROWS: [Row; 12] = [
    ("hello", "Hello beside peers", hello::row),
    ("floor", "Host cost over the raw floor", floor::row),
    ("fuel", "Fuel against time", fuel::row),
    ("kill", "Endless loops and their neighbour", kill::row),
    ("cold", "First request after a restart", apps::cold),
    ("apps", "1,000 deployed apps", apps::many),
    ("restart", "Restart with 100 functions", apps::restart),
    ("data", "Rows through `/rest/v1`", data::row),
    ("api", "Policies, embeds, updates, many rows", api::row),
    ("triggers", "Inserts with a trigger", triggers::row),
    ("jobs", "Jobs", jobs::row),
    ("auth", "Tokens, sign-ins, sessions", auth::row),
];

/// Measures the rows asked for, or all, and writes the report.
///
/// # Errors
/// When something cannot be built or started, or answers wrongly. A budget that is missed is no error.
pub fn run(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let (mut quick, mut binary, mut wanted) = (false, None, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--pumice" => {
                let path = arguments.next().context("--pumice needs a path")?;
                binary = Some(std::path::absolute(path)?);
            }
            name if ROWS.iter().any(|(row, ..)| *row == name) => wanted.push(name.to_owned()),
            other => {
                let names = ROWS.map(|(name, ..)| name).join(" ");
                bail!("`bench` has no row `{other}`; it takes --quick, --pumice PATH and: {names}")
            }
        }
    }
    let rows = ROWS
        .iter()
        .filter(|(name, ..)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name));

    needs::c_compiler()?;
    let guests = guests::build(root)?;
    let pumice = match binary {
        Some(path) => path,
        None => {
            say("building pumice as it is released (minutes)");
            let mut build = needs::cargo(root, "build");
            run_command(build.args(["--release", "--package", "pumice-runtime"]))?;
            server::release_binary(root)
        }
    };
    let bench = Bench {
        root: root.to_owned(),
        quick,
        pumice,
        guests,
    };
    let store = report::Store::open(root, quick)?;
    for (name, title, measure) in rows {
        say(&format!("bench: {name}"));
        let section = measure(&bench).with_context(|| format!("row `{name}`"))?;
        println!("\n{}", section.as_text());
        // After each row: an hour's work must not hang on the last one.
        store.put(name, title, &section)?;
    }
    let order = ROWS.map(|(name, ..)| name);
    let path = store.write(&order, &machine::facts(&bench.pumice))?;
    say(&format!("written: {}", path.display()));
    Ok(())
}

impl Bench {
    /// `full`, or `quick` in a quick run.
    fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    fn guest(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.guest_path(name);
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    fn guest_path(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.wasm"))
    }

    /// Functions of an app, each the guest of its name.
    fn functions(&self, names: &[&str]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let named = names
            .iter()
            // A guest's file has `_` where a function's name has `-`.
            .map(|name| Ok((name.replace('_', "-"), self.guest(name)?)));
        named.collect()
    }

    fn start(&self, data: &Path) -> anyhow::Result<server::Server> {
        server::Server::start(&self.pumice, data)
    }

    /// A folder on the checkout's disk: what the system has for temporary files may be memory, where
    /// nothing waits for a disk.
    fn folder(&self) -> anyhow::Result<TempDir> {
        let target = self.root.join("target");
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("bench-").tempdir_in(&target);
        folder.with_context(|| target.display().to_string())
    }

    /// A file of `bench/`.
    fn file(&self, path: &str) -> PathBuf {
        self.root.join("bench").join(path)
    }

    fn peers(&self) -> anyhow::Result<Peers> {
        Peers::prepare()
    }

    /// One turn of wrk.
    fn turn(&self) -> Duration {
        self.choose(Duration::from_secs(5), Duration::from_secs(1))
    }
}
