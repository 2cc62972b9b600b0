//! What the tests drive Pumice with: the real binary on a free port with a data folder of its own, apps
//! made and deployed through its platform API, and a plain HTTP client.
//!
//! Tests of tables run on both engines: see [`on_both_engines`].
//!
//! Everything that waits has a deadline and fails the test at it. Nothing sleeps: a test awaits a line of a
//! log, an answer, or the end of a process.

mod app;
mod auth;
mod client;
mod engine;
pub mod oidc;
mod pipe;
mod redis;
mod rest;
mod server;
pub mod smtp;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

pub use app::{App, Bundle, Follow};
pub use auth::{PASSWORD, Session as SignedIn};
pub use client::{Answer, Call, Streaming, raw};
pub use engine::{Engine, Session, address, address_as, admin_url, psql};
pub use pipe::{Command, Lines, Output, Running, node_script};
pub use redis::TestRedis;
pub use rest::Effects;
pub use server::TestServer;

/// How long a test waits for anything before it fails. Far above what any step takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A component of `tests/guests`.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name, as the name of a function: `-` in place of `_`.
    pub name: String,
    pub bytes: bytes::Bytes,
}

/// The guest built from `tests/guests/examples/<name>.rs`. `tidy` finds guests that no test names by
/// looking for this macro, so the name has to be a literal.
#[macro_export]
macro_rules! guest {
    ($name:literal) => {
        $crate::guest($name)
    };
}

/// What [`guest!`] calls.
///
/// # Panics
/// If the guests are not built.
pub fn guest(name: &str) -> Guest {
    let path = setting("PUMICE_GUESTS", "target/guests").join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo xtask guests` builds it",
            path.display()
        )
    });
    Guest {
        name: name.replace('_', "-"),
        bytes: bytes.into(),
    }
}

impl Guest {
    /// Some other component, as a function called `name`.
    pub fn new(name: &str, bytes: impl Into<bytes::Bytes>) -> Guest {
        Guest {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    /// The same component as a function of another name.
    #[must_use]
    pub fn named(self, name: &str) -> Guest {
        Guest::new(name, self.bytes)
    }
}

/// The binary under test: `PUMICE_BIN`, else the workspace's debug build.
pub fn pumice() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| setting("PUMICE_BIN", "target/debug/pumice"))
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the repository")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the tests read their surroundings"
)]
fn setting(name: &str, default: &str) -> PathBuf {
    std::env::var_os(name).map_or_else(|| repository().join(default), PathBuf::from)
}

/// Lower-case hexadecimal SHA-256: the name of a blob.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Fails the test if `future` takes longer than [`DEADLINE`].
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {} s", DEADLINE.as_secs()))
}
