use std::env;
use std::path::PathBuf;
use std::time::Duration;

use crate::BuildError;

/// What the surroundings say about building guests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cache: `guests/target` is the cargo target folder of all guests, so that what they share is
    /// compiled once; `js/` holds the JavaScript tools, one folder for each version of their lock file.
    pub cache: PathBuf,
    /// The one way to compile Rust that may be taken; `None` tries all in order.
    pub route: Option<Route>,
}

/// A way to a compiler for `wasm32-wasip2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The target's standard library as rustup installs it.
    Rustup,
    /// Debian's compiler for this target, building the standard library from Debian's sources of it.
    Debian,
}

impl Settings {
    /// How long `rustup target add` may take. It fetches about 20 MB; where that is refused it may hang
    /// instead of failing, and the other way takes less than two minutes.
    pub(crate) const RUSTUP_DEADLINE: Duration = Duration::from_secs(60);

    /// Reads `PUMICE_CACHE_DIR` (else `XDG_CACHE_HOME/pumice`, else `~/.cache/pumice`) and
    /// `PUMICE_GUEST_TOOLCHAIN` (`rustup` or `debian`).
    ///
    /// # Errors
    /// [`BuildError::Setting`], naming the variable.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this crate reads its surroundings"
    )]
    pub fn from_env() -> Result<Self, BuildError> {
        let folder = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let cache = folder("PUMICE_CACHE_DIR")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("pumice")))
            .or_else(|| Some(folder("HOME")?.join(".cache/pumice")))
            .ok_or_else(|| {
                BuildError::Setting(
                    "set PUMICE_CACHE_DIR or HOME: there is no place for the cache".into(),
                )
            })?;
        let route = match env::var("PUMICE_GUEST_TOOLCHAIN").as_deref() {
            Err(_) | Ok("") => None,
            Ok("rustup") => Some(Route::Rustup),
            Ok("debian") => Some(Route::Debian),
            Ok(other) => {
                return Err(BuildError::Setting(format!(
                    "PUMICE_GUEST_TOOLCHAIN is `{other}`; it may be `rustup` or `debian`"
                )));
            }
        };
        // A relative folder would mean another place in every function's folder.
        let cache = std::path::absolute(&cache).map_err(BuildError::io(&cache))?;
        Ok(Self { cache, route })
    }

    pub(crate) fn target_dir(&self) -> PathBuf {
        self.cache.join("guests/target")
    }
}
