//! Who calls, and who signs in: checks of tokens, sign-ins beside bare argon2 and PocketBase, refreshes, what
//! the time of an answer tells of an address, and what a crowd gets.

mod addresses;
mod crowd;
mod site;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use self::site::{Door, Signed, Site, USERS};
use super::Bench;
use super::load::closed_loop;
use super::numbers::{median, short, whole};
use super::report::{Section, Verdict};
use super::tables::{self, App, Contender, PocketBase};
use super::wrk::{CONNECTIONS, Kind, Turn, Work};
use crate::http::Connection;
use crate::process::{output, say};
use crate::{needs, postgres};

/// The load generator is one client, and all limits are those of many.
const MANIFEST: &str = "[auth.rates]\nsign_in = 100000000\nsign_in_address = 100000000\nrefresh = 100000000\n\
    mail = 100000000\nmail_app = 100000000\nmail_address = 100000000\n";

pub fn row(bench: &Bench) -> anyhow::Result<Section> {
    let alone = Alone::build(bench)?;
    let server = postgres::start(&bench.root, postgres::Disk::Awaited)?;
    let sqlite = App::start(bench, None, MANIFEST, "items.sql", &[])?;
    let postgres = App::start(bench, Some(&server), MANIFEST, "items.sql", &[])?;
    let pocketbase = PocketBase::start(bench)?;
    let sites = [
        Site::new("pumice, SQLite", Door::Pumice(&sqlite)),
        Site::new("pumice, PostgreSQL", Door::Pumice(&postgres)),
        Site::new("PocketBase, SQLite", Door::PocketBase(&pocketbase)),
    ];
    say(&format!("making {USERS} users each"));
    for site in &sites {
        site.add_users().context(site.name)?;
    }
    let mut section = Section::default();
    checks(bench, &alone, &mut section)?;
    sign_ins(bench, &alone, &sites, &mut section)?;
    refreshes(bench, &sites, &mut section)?;
    section.note(&format!("Peer: {}.", pocketbase.version()));
    let [on_sqlite, on_postgres, _] = &sites;
    who_am_i(
        bench,
        &[(on_sqlite, &sqlite), (on_postgres, &postgres)],
        &mut section,
    )?;
    addresses::compare(bench, &[on_sqlite, on_postgres], &mut section)?;
    crowd::crowd(on_sqlite, &sqlite, &mut section)?;
    Ok(section)
}

/// The program `runtime/benches/auth.rs`: what checks and hashes cost without a server.
struct Alone(PathBuf);

impl Alone {
    fn build(bench: &Bench) -> anyhow::Result<Alone> {
        say("building runtime/benches/auth (minutes, the first time)");
        let mut cargo = needs::cargo(&bench.root, "bench");
        cargo.args(["--package", "pumice-runtime", "--bench", "auth", "--no-run"]);
        cargo.arg("--message-format=json-render-diagnostics");
        let messages = output(&mut cargo)?;
        let built = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == "auth";
            let path = message["executable"].as_str()?;
            is_it.then(|| PathBuf::from(path))
        });
        Ok(Alone(built.context("cargo names no program")?))
    }

    fn run(&self, what: &str, how_many: u128) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.0);
        command.args([what, &how_many.to_string()]);
        serde_json::from_str(&output(&mut command)?).context("it prints JSON")
    }

    /// argon2 hashes a second, and on how many threads.
    fn hashes(&self, length: Duration) -> anyhow::Result<(f64, u64)> {
        let figures = self.run("hashes", length.as_millis())?;
        let rate = figures["per_second"].as_f64().context("per_second")?;
        Ok((rate, figures["threads"].as_u64().context("threads")?))
    }
}

/// What it costs a request that it is known who sends it.
fn checks(bench: &Bench, alone: &Alone, section: &mut Section) -> anyhow::Result<()> {
    let figures = alone.run("tokens", bench.choose(1_000_000, 10_000))?;
    let figure = |name: &'static str| figures[name].as_f64().context(name);
    let (cached, at_once) = (figure("cached_ns")?, figure("at_once_ns")?);
    let threads = figure("threads")?;
    let line = |what: String, ns: f64, checks: f64| vec![what, whole(ns), whole(checks)];
    let checks = figure("checks")?;
    section.table(
        &["one request's check", "ns", "checks"],
        &[
            line("user's token, seen before".to_owned(), cached, checks),
            line(
                format!("the same on {threads} threads at once"),
                at_once,
                checks * threads,
            ),
            line(
                "user's token, never seen (ES256)".to_owned(),
                figure("new_ns")?,
                figure("new_checks")?,
            ),
            line(
                "publishable key alone".to_owned(),
                figure("key_ns")?,
                checks,
            ),
        ],
    );
    section.note(
        "By the server's own code in a program of its own (`runtime/benches/auth.rs`), from a request's \
         headers to its caller, scopes included. A token comes with the publishable key beside it, which \
         is checked as well.",
    );
    section.verdicts.push(Verdict::at_most(
        "check of a token that was seen before < 20 µs a request",
        20.0,
        cached.max(at_once) / 1000.0,
        " µs",
    ));
    Ok(())
}

fn of(turns: &[Turn], figure: fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(figure).collect::<Vec<_>>())
}

/// What one site has left for the system to write later must not be written in another's turn.
fn sync() -> anyhow::Result<()> {
    output(&mut Command::new("sync")).map(drop)
}

/// Sign-ins by password, beside what the processors can hash at all.
fn sign_ins(
    bench: &Bench,
    alone: &Alone,
    sites: &[Site<'_>; 3],
    section: &mut Section,
) -> anyhow::Result<()> {
    let turn = |site: &Site<'_>, length: Duration| {
        let mut clients: Vec<usize> = (0..CONNECTIONS as usize).collect();
        closed_loop(site.url(), &mut clients, length, |next, connection| {
            let user = &site.users[*next % USERS];
            *next += CONNECTIONS as usize;
            site.sign_in(connection, user).map(drop)
        })
    };
    for site in sites {
        turn(site, Duration::from_secs(1)).context(site.name)?;
    }
    let (mut hashes, mut threads) = (Vec::new(), 0);
    let mut turns: [Vec<Turn>; 3] = Default::default();
    for round in 1..=bench.choose(5, 2) {
        let (rate, on) = alone.hashes(bench.turn())?;
        say(&format!("round {round}: argon2 alone {} /s", short(rate)));
        hashes.push(rate);
        threads = on;
        for (site, turns) in sites.iter().zip(&mut turns) {
            sync()?;
            let one = turn(site, bench.turn()).context(site.name)?;
            let rate = short(one.per_second);
            say(&format!("round {round}: {} {rate} sign-ins/s", site.name));
            turns.push(one);
        }
    }
    // Within a round the machine had one speed.
    let share = |turns: &[Turn]| {
        let rounds = turns.iter().zip(&hashes);
        median(
            &rounds
                .map(|(turn, hashes)| turn.per_second / hashes)
                .collect::<Vec<_>>(),
        )
    };
    let ours = "argon2id, m=19456 t=2 p=1";
    let mut rows = vec![vec![
        format!("argon2 alone, {threads} threads"),
        short(median(&hashes)),
        String::new(),
        String::new(),
        "1.00".to_owned(),
        ours.to_owned(),
    ]];
    for (site, turns) in sites.iter().zip(&turns) {
        let (share, hash) = match site.door {
            Door::Pumice(_) => (short(share(turns)), ours),
            Door::PocketBase(_) => (String::new(), "bcrypt, cost 10"),
        };
        rows.push(vec![
            site.name.to_owned(),
            short(of(turns, |turn| turn.per_second)),
            short(of(turns, |turn| turn.p50_ms)),
            short(of(turns, |turn| turn.p99_ms)),
            share,
            hash.to_owned(),
        ]);
    }
    let heads = [
        "sign in by password",
        "/s",
        "p50 ms",
        "p99 ms",
        "of argon2 alone",
        "hash",
    ];
    section.table(&heads, &rows);
    section.note(&format!(
        "{CONNECTIONS} connections, {USERS} users, each with a password of its own; each sign-in makes a \
         session and an entry of the audit log. PocketBase hashes otherwise and keeps no sessions: its \
         figure says what its users get, not whose code is faster.",
    ));
    for (turns, budget) in turns.iter().zip([
        "sign-ins on SQLite ≥ 80 % of what argon2 alone does",
        "sign-ins on PostgreSQL ≥ 80 % of what argon2 alone does",
    ]) {
        let percent = share(turns) * 100.0;
        section
            .verdicts
            .push(Verdict::at_least(budget, 80.0, percent, " %"));
    }
    Ok(())
}

/// Each connection refreshes a session of its own.
fn refreshes(bench: &Bench, sites: &[Site<'_>; 3], section: &mut Section) -> anyhow::Result<()> {
    let mut chains: [Vec<Signed>; 3] = Default::default();
    for (site, chains) in sites.iter().zip(&mut chains) {
        let mut connection = Connection::open(site.url())?;
        for user in site.users.iter().take(CONNECTIONS as usize) {
            chains.push(site.sign_in(&mut connection, user)?);
        }
    }
    let turn = |site: &Site<'_>, chains: &mut Vec<Signed>, length: Duration| {
        closed_loop(site.url(), chains, length, |signed, connection| {
            site.refresh(connection, signed)
        })
        .context(site.name)
    };
    let mut turns: [Vec<Turn>; 3] = Default::default();
    // The first round counts for nothing.
    for round in 0..=bench.choose(5, 2) {
        for ((site, chains), turns) in sites.iter().zip(&mut chains).zip(&mut turns) {
            sync()?;
            if round == 0 {
                turn(site, chains, Duration::from_secs(1))?;
                continue;
            }
            let one = turn(site, chains, bench.turn())?;
            let rate = whole(one.per_second);
            say(&format!("round {round}: {} {rate} refreshes/s", site.name));
            turns.push(one);
        }
    }
    let rows: Vec<Vec<String>> = sites
        .iter()
        .zip(&turns)
        .map(|(site, turns)| line(site.name, turns))
        .collect();
    section.table(&["refresh a session", "/s", "p50 ms", "p99 ms"], &rows);
    section.note(&format!(
        "{CONNECTIONS} connections, each with a chain of its own: pumice writes down which token of it is \
         the last, so that a stolen one is noticed, and waits for the disk; PocketBase signs another token \
         and writes nothing.",
    ));
    Ok(())
}

fn line(name: &str, turns: &[Turn]) -> Vec<String> {
    vec![
        name.to_owned(),
        whole(of(turns, |turn| turn.per_second)),
        short(of(turns, |turn| turn.p50_ms)),
        short(of(turns, |turn| turn.p99_ms)),
    ]
}

/// `GET /auth/v1/user` with one user's token.
fn who_am_i(
    bench: &Bench,
    sites: &[(&Site<'_>, &App)],
    section: &mut Section,
) -> anyhow::Result<()> {
    let mut contenders = Vec::new();
    for (site, app) in sites {
        let user = &site.users[0];
        let signed = site.sign_in(&mut app.connect()?, user)?;
        let contender = Contender::new(
            site.name,
            Work {
                url: app.url().to_owned(),
                kind: Kind::Get,
                path: app.path("/auth/v1/user"),
                rows: 1,
                headers: vec![
                    ("apikey", app.anon.clone()),
                    ("authorization", format!("Bearer {}", signed.token)),
                ],
            },
        );
        let answer = contender.probe()?;
        ensure!(
            answer["email"] == user.email,
            "this is not the user: {answer}"
        );
        contenders.push(contender);
    }
    tables::take_turns(bench, &mut contenders, bench.choose(5, 2))?;
    let rows: Vec<Vec<String>> = contenders
        .iter()
        .map(|contender| line(contender.name, &contender.turns))
        .collect();
    section.table(&["`GET /auth/v1/user`", "req/s", "p50 ms", "p99 ms"], &rows);
    section.note(&format!(
        "wrk, 1 thread, {CONNECTIONS} connections, one user's token: each request reads user and session, so \
         that a session that has ended is told so at once.",
    ));
    Ok(())
}
