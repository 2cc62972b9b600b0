//! `pumice serve`: all apps of a data folder.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::node::Node;
use crate::{server, telemetry};

/// The threads that serve, one for each processor. (One more, to be free of spinners, cost 7 % of the
/// hello rate.) Guests run on them and pause every 0.2 ms of work. Looking for I/O after every 31 polls
/// and not after 61 halves what a node full of spinners keeps it waiting; after every 7, the hello
/// function's p99 was 4.4 ms instead of 1.2.
///
/// # Errors
/// When no threads can be started.
pub fn tokio_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(31)
        .on_thread_start(wasmtime::Engine::tls_eager_initialize)
        .build()?;
    Ok(runtime)
}

pub async fn run(
    data: &Path,
    listen: Option<SocketAddr>,
    database_url: Option<String>,
) -> anyhow::Result<()> {
    telemetry::start(environment("RUST_LOG").as_deref());
    let flags: Vec<(&str, String)> = listen
        .map(|listen| ("listen", listen.to_string()))
        .into_iter()
        .chain(database_url.map(|url| ("database_url", url)))
        .collect();
    let config = Config::load(data, environment_all(), &flags)?;
    let node = Node::start(with_descriptors(config), None).await?;
    println!("{}", node.url);
    let stop = server::stop_signal();
    node.serve(stop).await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here, once, and handed on"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here, once, and handed on"
)]
pub fn environment_all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Raises this process's limit of open files as far as it may go, and accepts no more connections than
/// leave it half of them for everything else.
pub fn with_descriptors(mut config: Config) -> Config {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    if let Some(files) = current {
        config.node.connections = config.node.connections.min(files as usize / 2);
    }
    config
}

/// The folder a command works in.
pub fn current_folder() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_dir().context("the current folder cannot be read")
}
