//! An app's cache in the memory of this process.
//!
//! Values may go at any time: when they are old, or when the app's share is full and others are used
//! more. Nothing here is shared between nodes.

mod host;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::sync::Cache as Store;

/// An app's share of memory unless the runtime says otherwise.
pub const CACHE_BYTES_MAX: u64 = 32 << 20;
/// The longest key.
pub const KEY_BYTES_MAX: usize = 512;
/// The longest value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// How long a value is kept when the guest does not say.
pub const TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time a value is kept; a longer wish is shortened to this.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What an entry costs beside its key and value; counts the store's own bookkeeping.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// One app's cache. Cheap to clone; clones are the same cache.
#[derive(Clone)]
pub struct Cache {
    bytes_max: u64,
    /// Made at the first use: most apps on a server never use theirs.
    store: Arc<OnceLock<Store<String, Kept>>>,
}

#[derive(Clone)]
struct Kept {
    value: Value,
    ttl: Duration,
}

#[derive(Clone)]
enum Value {
    Bytes(Bytes),
    Counter(i64),
}

/// What the cache refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("a key has at most {KEY_BYTES_MAX} bytes, a value at most {VALUE_BYTES_MAX}")]
    TooLarge,
    #[error("the value under this key is no counter")]
    NotACounter,
}

impl Cache {
    /// An empty cache for at most `bytes_max` bytes of keys, values and bookkeeping.
    pub fn new(bytes_max: u64) -> Self {
        Cache {
            bytes_max,
            store: Arc::default(),
        }
    }

    fn store(&self) -> &Store<String, Kept> {
        self.store.get_or_init(|| {
            Store::builder()
                .max_capacity(self.bytes_max)
                .weigher(|key: &String, kept: &Kept| {
                    let value = match &kept.value {
                        Value::Bytes(bytes) => bytes.len(),
                        Value::Counter(_) => 8,
                    };
                    (key.len() + value + ENTRY_OVERHEAD_BYTES) as u32
                })
                .expire_after(Lifetime)
                .build()
        })
    }

    /// A counter reads as its decimal digits.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] for a key no value can be under.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        check_key(key)?;
        Ok(self.store().get(key).map(|kept| match kept.value {
            Value::Bytes(bytes) => bytes,
            Value::Counter(count) => count.to_string().into(),
        }))
    }

    /// Keeps `value` for `ttl`, [`TTL`] when none.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] beyond [`KEY_BYTES_MAX`] or [`VALUE_BYTES_MAX`].
    pub fn set(&self, key: String, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError> {
        check_key(&key)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(CacheError::TooLarge);
        }
        let kept = Kept {
            value: Value::Bytes(value),
            ttl: lifetime(ttl),
        };
        self.store().insert(key, kept);
        Ok(())
    }

    /// # Errors
    /// [`CacheError::TooLarge`] for a key no value can be under.
    pub fn delete(&self, key: &str) -> Result<(), CacheError> {
        check_key(key)?;
        self.store().invalidate(key);
        Ok(())
    }

    /// Adds `by` in one step, whoever else does so at the same time; returns the sum, which stays at
    /// the ends of its range. A new counter lives for `ttl` from now, an old one as long as it had.
    ///
    /// # Errors
    /// [`CacheError::NotACounter`] if the key holds bytes, [`CacheError::TooLarge`] for its length.
    pub fn increment(
        &self,
        key: String,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, CacheError> {
        check_key(&key)?;
        let mut sum = Ok(0);
        self.store().entry(key).and_compute_with(|entry| {
            match entry.map(|entry| entry.into_value()) {
                None => {
                    sum = Ok(by);
                    Op::Put(Kept {
                        value: Value::Counter(by),
                        ttl: lifetime(ttl),
                    })
                }
                Some(Kept {
                    value: Value::Counter(count),
                    ttl,
                }) => {
                    let count = count.saturating_add(by);
                    sum = Ok(count);
                    Op::Put(Kept {
                        value: Value::Counter(count),
                        ttl,
                    })
                }
                Some(Kept {
                    value: Value::Bytes(_),
                    ..
                }) => {
                    sum = Err(CacheError::NotACounter);
                    Op::Nop
                }
            }
        });
        sum
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache::new(CACHE_BYTES_MAX)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("bytes", &self.store.get().map_or(0, Store::weighted_size))
            .finish()
    }
}

fn lifetime(ttl: Option<Duration>) -> Duration {
    ttl.unwrap_or(TTL).min(TTL_MAX)
}

fn check_key(key: &str) -> Result<(), CacheError> {
    if key.len() > KEY_BYTES_MAX {
        Err(CacheError::TooLarge)
    } else {
        Ok(())
    }
}

struct Lifetime;

impl Expiry<String, Kept> for Lifetime {
    fn expire_after_create(&self, _: &String, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept,
        _: Instant,
        left: Option<Duration>,
    ) -> Option<Duration> {
        match kept.value {
            // An increment does not give a counter more time.
            Value::Counter(_) => left.or(Some(kept.ttl)),
            Value::Bytes(_) => Some(kept.ttl),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go() {
        let cache = Cache::default();
        assert_eq!(cache.get("k"), Ok(None));
        cache.set("k".into(), "v".into(), None).unwrap();
        assert_eq!(cache.get("k"), Ok(Some("v".into())));
        cache.delete("k").unwrap();
        assert_eq!(cache.get("k"), Ok(None));
        cache
            .set("k".into(), "v".into(), Some(Duration::ZERO))
            .unwrap();
        assert_eq!(cache.get("k"), Ok(None));
    }

    #[test]
    fn sizes_are_bounded() {
        let cache = Cache::default();
        let key = "k".repeat(KEY_BYTES_MAX);
        assert!(
            cache
                .set(key.clone(), vec![0; VALUE_BYTES_MAX].into(), None)
                .is_ok()
        );
        assert_eq!(
            cache.set(key.clone(), vec![0; VALUE_BYTES_MAX + 1].into(), None),
            Err(CacheError::TooLarge)
        );
        assert_eq!(cache.get(&(key + "k")), Err(CacheError::TooLarge));
    }

    #[test]
    fn counters_count_under_contention() {
        let cache = Cache::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| drop(cache.increment("n".into(), 1, None))));
            }
        });
        assert_eq!(cache.increment("n".into(), -2000, None), Ok(0));
        assert_eq!(cache.get("n"), Ok(Some("0".into())));
        assert_eq!(cache.increment("n".into(), i64::MAX, None), Ok(i64::MAX));
        assert_eq!(cache.increment("n".into(), 1, None), Ok(i64::MAX));
        cache.set("n".into(), "x".into(), None).unwrap();
        assert_eq!(
            cache.increment("n".into(), 1, None),
            Err(CacheError::NotACounter)
        );
    }
}
