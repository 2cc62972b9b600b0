//! Whether an app's catalog has changed since it was read.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{PgTx, sql};
use crate::data::DataError;

/// How often the catalog is looked at, at most.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was seen last, and when.
#[derive(Default)]
pub(super) struct Watch(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    fingerprint: Option<String>,
    at: Option<Instant>,
}

impl Watch {
    /// Whether it is time to look; whoever is told so looks, and nobody else does for a while.
    pub(super) fn is_due(&self) -> bool {
        let mut seen = self.0.lock();
        let due = seen.at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if due {
            seen.at = Some(Instant::now());
        }
        due
    }

    /// Looks, and says whether it is another catalog than the one that was seen before.
    pub(super) async fn look(&self, tx: &mut PgTx) -> Result<bool, DataError> {
        let found = tx.rows(sql::FINGERPRINT.to_owned(), &[]).await?.pop();
        let mut seen = self.0.lock();
        let changed = seen.fingerprint.is_some() && seen.fingerprint != found;
        seen.fingerprint = found;
        seen.at = Some(Instant::now());
        Ok(changed)
    }

    #[cfg(test)]
    pub(super) fn make_due(&self) {
        self.0.lock().at = None;
    }
}
