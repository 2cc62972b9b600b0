//! The compiled permissions of an app in memory, and when they are read anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::compiled::Set;
use super::{read, rows};
use crate::data::{DataError, DataStore, Db};

/// How soon a change is seen that others than this node have made on PostgreSQL, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// One for each app.
pub(crate) struct PermissionCache {
    /// None until somebody asks.
    set: ArcSwapOption<Set>,
    /// How often it was forgotten: what was read before is not kept after.
    generation: AtomicU64,
    /// When the version was last looked at, in milliseconds since `begun`.
    looked: AtomicU64,
    begun: Instant,
    prepared: AtomicBool,
}

impl Default for PermissionCache {
    fn default() -> PermissionCache {
        PermissionCache {
            set: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            begun: Instant::now(),
            prepared: AtomicBool::new(false),
        }
    }
}

impl PermissionCache {
    /// The next question reads the rows.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.set.store(None);
    }

    pub(super) fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Relaxed)
    }

    pub(super) fn set_prepared(&self) {
        self.prepared.store(true, Ordering::Relaxed);
    }

    /// The permissions as they are: from memory, unless they changed or it is time to look whether they
    /// did.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] and the like: whoever cannot look does not answer.
    pub(super) async fn set(&self, store: &DataStore) -> Result<Arc<Set>, DataError> {
        if let Some(set) = self.set.load_full() {
            if !matches!(store.db(), Db::Postgres(_)) || !self.is_due() {
                return Ok(set);
            }
            let version = Box::pin(read(store, rows::Version)).await?;
            if version.unwrap_or_default() == set.version {
                return Ok(set);
            }
        }
        Box::pin(self.read(store)).await
    }

    async fn read(&self, store: &DataStore) -> Result<Arc<Set>, DataError> {
        let generation = self.generation.load(Ordering::SeqCst);
        self.looked.store(self.now(), Ordering::Relaxed);
        let base = read(store, rows::ReadBase).await?;
        let set = Arc::new(Set::compile(&base));
        if generation == self.generation.load(Ordering::SeqCst) {
            self.set.store(Some(Arc::clone(&set)));
            // Forgotten between the two lines before: forget it again.
            if generation != self.generation.load(Ordering::SeqCst) {
                self.set.store(None);
            }
        }
        Ok(set)
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Whether it is time to look; whoever is told so looks, and nobody else does for a while.
    fn is_due(&self) -> bool {
        let (now, looked) = (self.now(), self.looked.load(Ordering::Relaxed));
        now.saturating_sub(looked) >= LOOK_EVERY_MS
            && self
                .looked
                .compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
