//! What the last few texts were read to: a pattern or path is the same for all rows of a statement.
//!
//! SQLite could keep it with the argument, but only of one place in one statement; this also serves
//! the next request of the same shape. Each connection has its own, so each is small.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::data::DataError;

/// A statement has few patterns.
const ENTRIES_MAX: usize = 16;
/// Bytes of a text that is kept: a longer one is read for each row.
const ENTRY_BYTES_MAX: usize = 64 << 10;
/// Bytes of all texts that are kept.
pub(super) const BYTES_MAX: usize = 256 << 10;
/// The texts last read that are not kept, so that one is known when it comes again.
const SEEN: usize = 4;

pub(super) struct Recent<T> {
    kept: RefCell<Kept<T>>,
    bytes_max: usize,
}

struct Kept<T> {
    entries: Vec<Entry<T>>,
    bytes: usize,
    seen: [u64; SEEN],
}

struct Entry<T> {
    text: Box<str>,
    read: Arc<T>,
    bytes: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent::of(BYTES_MAX)
    }
}

impl<T> Recent<T> {
    /// Keeps so many bytes in all: for what takes much more room than its text, or other than that.
    pub(super) fn of(bytes_max: usize) -> Recent<T> {
        Recent {
            kept: RefCell::new(Kept {
                entries: Vec::new(),
                bytes: 0,
                seen: [0; SEEN],
            }),
            bytes_max,
        }
    }

    /// What `text` is read to; it is a part of the statement.
    pub(super) fn get(
        &self,
        text: &str,
        read: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Arc<T>, DataError> {
        self.weighed(text, || Ok((read()?, text.len())))
    }

    /// As [`Recent::get`], for what takes as many bytes as `read` says.
    pub(super) fn weighed(
        &self,
        text: &str,
        read: impl FnOnce() -> Result<(T, usize), DataError>,
    ) -> Result<Arc<T>, DataError> {
        let mut kept = self.kept.borrow_mut();
        if let Some(found) = kept.find(text) {
            return Ok(found);
        }
        let (read, bytes) = read()?;
        let read = Arc::new(read);
        kept.keep(text, &read, bytes, self.bytes_max);
        Ok(read)
    }

    /// As [`Recent::get`], of a text that may as well be a row's: it is kept when it comes again soon.
    pub(super) fn if_again(
        &self,
        text: &str,
        read: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Arc<T>, DataError> {
        let mut kept = self.kept.borrow_mut();
        if let Some(found) = kept.find(text) {
            return Ok(found);
        }
        let read = Arc::new(read()?);
        if text.len() <= ENTRY_BYTES_MAX && kept.seen_before(text) {
            kept.keep(text, &read, text.len(), self.bytes_max);
        }
        Ok(read)
    }
}

impl<T> Kept<T> {
    fn find(&mut self, text: &str) -> Option<Arc<T>> {
        let at = self.entries.iter().position(|entry| *entry.text == *text)?;
        // The one used last goes last.
        self.entries[at..].rotate_left(1);
        self.entries.last().map(|entry| Arc::clone(&entry.read))
    }

    fn keep(&mut self, text: &str, read: &Arc<T>, bytes: usize, bytes_max: usize) {
        if text.len() > ENTRY_BYTES_MAX || bytes > bytes_max {
            return;
        }
        while self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > bytes_max {
            let oldest = self.entries.remove(0);
            self.bytes -= oldest.bytes;
        }
        self.bytes += bytes;
        self.entries.push(Entry {
            text: text.into(),
            read: Arc::clone(read),
            bytes,
        });
    }

    fn seen_before(&mut self, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.contains(&hash) {
            return true;
        }
        self.seen.rotate_left(1);
        self.seen[SEEN - 1] = hash;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes<T>(recent: &Recent<T>) -> (usize, usize) {
        let kept = recent.kept.borrow();
        let bytes: usize = kept.entries.iter().map(|entry| entry.text.len()).sum();
        assert_eq!(bytes, kept.bytes);
        (kept.entries.len(), bytes)
    }

    #[test]
    fn what_is_kept_is_bounded_by_number_and_bytes() {
        let recent = Recent::<usize>::default();
        for number in 0..100 {
            recent.get(&number.to_string(), || Ok(number)).unwrap();
        }
        assert_eq!(sizes(&recent).0, ENTRIES_MAX);
        let again = recent.get("99", || panic!("it is kept"));
        assert_eq!(*again.unwrap(), 99);
        for number in 0..100 {
            let text = number.to_string().repeat(30_000);
            recent.get(&text, || Ok(number)).unwrap();
            let (_, bytes) = sizes(&recent);
            assert!(bytes <= BYTES_MAX, "{bytes}");
        }
        let long = "a".repeat(ENTRY_BYTES_MAX + 1);
        recent.get(&long, || Ok(0)).unwrap();
        assert_eq!(*recent.get(&long, || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn rows_are_not_kept() {
        let recent = Recent::<usize>::of(1_000);
        for number in 0..100 {
            recent.if_again(&number.to_string(), || Ok(number)).unwrap();
            recent.if_again("constant", || Ok(0)).unwrap();
        }
        assert_eq!(sizes(&recent), (1, "constant".len()));
    }
}
