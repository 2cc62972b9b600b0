//! The server's own log, on standard error. An app's log is elsewhere: see [`crate::logs`].

use tracing_subscriber::EnvFilter;

/// Starts logging: `filter` as `RUST_LOG` has it; JSON when nobody watches.
pub fn start(filter: Option<&str>) {
    use std::io::IsTerminal as _;
    let filter = filter
        .and_then(|filter| filter.parse().ok())
        .unwrap_or_else(|| EnvFilter::new("warn,pumice_runtime=info,sqlx::postgres::notice=error"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (a test) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().try_init()
    };
}
