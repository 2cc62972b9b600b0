//! The time zone in which moments are shown, and read where they name none: PostgreSQL's setting
//! `timezone`, of the thread that does a request's work. UTC unless a request asks for another.

use std::cell::RefCell;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::calendar::offset_at;

thread_local! {
    static ZONE: RefCell<Option<TimeZone>> = const { RefCell::new(None) };
}

/// Does `work` with the zone of this name. In the database nothing depends on it: moments are kept in
/// UTC, and what is indexed or computed is made without casts of them to text.
pub fn in_zone<T>(name: Option<&str>, work: impl FnOnce() -> T) -> T {
    /// Sets back what was before, also when `work` panics.
    struct Before(Option<TimeZone>);
    impl Drop for Before {
        fn drop(&mut self) {
            ZONE.replace(self.0.take());
        }
    }
    let zone = name.and_then(crate::timezone::named);
    let _before = Before(ZONE.replace(zone));
    work()
}

/// Whether a request may ask for it: written as in IANA's database.
pub fn is_zone(name: &str) -> bool {
    let zone = crate::timezone::named(name);
    zone.is_some_and(|zone| zone.iana_name() == Some(name))
}

/// Whether it is another than UTC.
pub(super) fn is_set() -> bool {
    ZONE.with_borrow(Option::is_some)
}

/// Seconds east of UTC at an instant, in microseconds since 1970; none when no zone is set.
pub(super) fn at_instant(micros: i64) -> Option<i64> {
    ZONE.with_borrow(|zone| {
        let instant = Timestamp::from_microsecond(micros).ok()?;
        let offset = zone.as_ref()?.to_offset(instant);
        Some(i64::from(offset.seconds()))
    })
}

/// Seconds east of UTC at a local time.
pub(super) fn at_local(days: i64, time: i64) -> i64 {
    ZONE.with_borrow(|zone| zone.as_ref().map_or(0, |zone| offset_at(zone, days, time)))
}
