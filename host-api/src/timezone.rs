//! Time zones by their names.

use jiff::tz::TimeZone;

/// A zone of IANA's database, such as `Europe/Berlin` or `UTC`, in any case.
pub(crate) fn named(name: &str) -> Option<TimeZone> {
    // Files beside the zones: what they say depends on the machine, or counts leap seconds.
    let lower = name.to_ascii_lowercase();
    let foreign = ["localtime", "posixrules", "factory", "etc/unknown"].contains(&lower.as_str())
        || lower.starts_with("posix/")
        || lower.starts_with("right/");
    TimeZone::get(name).ok().filter(|_| !foreign)
}
