//! The time of day. In a debug build a test can move it ahead: `PUMICE_TEST_CLOCK` names a file with the
//! seconds to add.

use std::path::PathBuf;
use std::sync::OnceLock;

use chrono::{DateTime, Duration, Utc};

static AHEAD: OnceLock<PathBuf> = OnceLock::new();

/// Reads the seconds to add from `file` from now on. Only in tests.
pub fn move_by(file: PathBuf) {
    let _ = AHEAD.set(file);
}

/// Now, to the microsecond: what databases keep.
pub fn utc() -> DateTime<Utc> {
    let now = Utc::now();
    let now = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
    match AHEAD.get() {
        None => now,
        Some(file) => {
            let seconds = std::fs::read_to_string(file).unwrap_or_default();
            now + Duration::seconds(seconds.trim().parse().unwrap_or(0))
        }
    }
}
