//! date, time, timestamp, timestamptz.

use super::{calendar, zone};
use crate::data::DataError;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// Days since 1970 of 0001-01-01 and of 10000-01-01.
const DAYS: std::ops::Range<i64> = -719_162..2_932_897;

/// What a date-and-time text says.
pub(super) enum Moment {
    /// `infinity` and `-infinity`; `epoch`, `now` and the like are read to a stamp.
    Infinity,
    MinusInfinity,
    Stamp(Stamp),
}

/// A date and a time of day as written.
pub(super) struct Stamp {
    /// Since 1970-01-01; `None` when only a time was given.
    pub(super) days: Option<i64>,
    /// Microseconds of the day, at most a day.
    pub(super) time: Option<i64>,
    /// Seconds east of UTC.
    pub(super) offset: Option<i64>,
}

/// Which words an error is said in.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Date,
    Time,
    Timestamp,
    Timestamptz,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Timestamp => "timestamp",
            Kind::Timestamptz => "timestamp with time zone",
        }
    }
}

/// 22007.
fn malformed(kind: Kind, text: &str) -> DataError {
    DataError::sql(
        "22007",
        format!("invalid input syntax for type {}: \"{text}\"", kind.word()),
    )
}

/// 22008 for a year that is not kept.
fn out_of_range(kind: Kind, text: &str) -> DataError {
    let word = match kind {
        Kind::Date => "date",
        _ => "timestamp",
    };
    DataError::sql("22008", format!("{word} out of range: \"{text}\""))
}

/// `2021-06-05`. A time of day that is given too is left out.
pub(super) fn date(text: &str) -> Result<String, DataError> {
    let stamp = match read(Kind::Date, text)? {
        Moment::Infinity => return Ok("infinity".to_owned()),
        Moment::MinusInfinity => return Ok("-infinity".to_owned()),
        Moment::Stamp(stamp) => stamp,
    };
    let days = stamp.days.ok_or_else(|| malformed(Kind::Date, text))?;
    if !DAYS.contains(&days) {
        return Err(out_of_range(Kind::Date, text));
    }
    let mut out = String::with_capacity(10);
    write_date(days, &mut out);
    Ok(out)
}

/// `12:00:00[.ffffff]`, up to `24:00:00`. A date that is given too is left out.
pub(super) fn time(text: &str) -> Result<String, DataError> {
    let Moment::Stamp(Stamp {
        time: Some(time), ..
    }) = read(Kind::Time, text)?
    else {
        return Err(malformed(Kind::Time, text));
    };
    let mut out = String::with_capacity(15);
    write_time(time, &mut out);
    Ok(out)
}

/// `2021-06-05T12:00:00[.ffffff]`. An offset that is given is left out, as PostgreSQL does.
pub(super) fn timestamp(text: &str) -> Result<String, DataError> {
    let stamp = match read(Kind::Timestamp, text)? {
        Moment::Infinity => return Ok("infinity".to_owned()),
        Moment::MinusInfinity => return Ok("-infinity".to_owned()),
        Moment::Stamp(stamp) => stamp,
    };
    let Some(days) = stamp.days else {
        return Err(malformed(Kind::Timestamp, text));
    };
    write_stamp(days, stamp.time.unwrap_or(0), "")
        .ok_or_else(|| out_of_range(Kind::Timestamp, text))
}

/// `2021-06-05T12:00:00[.ffffff]+00:00`. Without an offset the text is in the session's zone.
pub(super) fn timestamptz(text: &str) -> Result<String, DataError> {
    let stamp = match read(Kind::Timestamptz, text)? {
        Moment::Infinity => return Ok("infinity".to_owned()),
        Moment::MinusInfinity => return Ok("-infinity".to_owned()),
        Moment::Stamp(stamp) => stamp,
    };
    let Some(days) = stamp.days else {
        return Err(malformed(Kind::Timestamptz, text));
    };
    let time = stamp.time.unwrap_or(0);
    let offset = stamp.offset.unwrap_or_else(|| zone::at_local(days, time));
    let time = time - offset * SECOND;
    write_stamp(days, time, "+00:00").ok_or_else(|| out_of_range(Kind::Timestamptz, text))
}

/// The text form of a stored timestamp: a blank for the `T`, `+00` for `+00:00`.
pub(super) fn write_text(stored: &str, out: &mut String) {
    let local = local(stored);
    let stored = local.as_deref().unwrap_or(stored);
    match stored.split_once('T') {
        Some((date, time)) => {
            out.push_str(date);
            out.push(' ');
            let hours = time.strip_suffix(":00");
            let whole = hours.filter(|hours| hours.rfind(['+', '-']) == hours.len().checked_sub(3));
            out.push_str(whole.unwrap_or(time));
        }
        None => out.push_str(stored),
    }
}

/// A stored moment in the session's zone, as its JSON form; none when that is what is stored. (Neither is
/// a year that is not kept told.)
pub(super) fn local(stored: &str) -> Option<String> {
    if !zone::is_set() || !stored.ends_with("+00:00") {
        return None;
    }
    let stamp = iso(stored.as_bytes())?;
    let (days, time) = (stamp.days?, stamp.time?);
    let offset = zone::at_instant(days * DAY + time)?;
    let sign = if offset < 0 { '-' } else { '+' };
    let mut suffix = String::from(sign);
    let seconds = offset.abs();
    push(seconds / 3600, 2, &mut suffix);
    suffix.push(':');
    push(seconds / 60 % 60, 2, &mut suffix);
    if seconds % 60 != 0 {
        suffix.push(':');
        push(seconds % 60, 2, &mut suffix);
    }
    write_stamp(days, time + offset * SECOND, &suffix)
}

/// A stored moment as the clocks of the session's zone show it: a stored timestamp.
pub(super) fn clock(stored: &str) -> String {
    let local = local(stored);
    let shown = local.as_deref().unwrap_or(stored);
    // The date has dashes too.
    let time = shown.find('T').unwrap_or(0);
    let end = shown[time..].find(['+', '-']).map(|at| time + at);
    match (time, end) {
        (0, _) | (_, None) => shown.to_owned(),
        (_, Some(end)) => shown[..end].to_owned(),
    }
}

fn read(kind: Kind, text: &str) -> Result<Moment, DataError> {
    match iso(text.as_bytes()) {
        // PostgreSQL takes no `T` between a date and a time that is read for the time alone.
        Some(stamp) if stamp.days.is_none() || !matches!(kind, Kind::Time) => {
            return Ok(Moment::Stamp(stamp));
        }
        _ => {}
    }
    calendar::read(kind, text)
}

/// The form that nearly every text has, read without more ado: `2021-06-05`, `12:00[:00[.5]]`, both with
/// `T` or a blank between, then `Z` or an offset. `None` for all else, right or wrong.
fn iso(text: &[u8]) -> Option<Stamp> {
    let two = |at: usize| -> Option<i64> {
        let digits = text.get(at..at + 2)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0'))
    };
    let is = |at: usize, mark: u8| text.get(at) == Some(&mark);
    let mut at = 0;
    let mut days = None;
    if is(4, b'-') {
        let year = two(0)? * 100 + two(2)?;
        let (month, day) = (two(5)?, two(8)?);
        let known = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
        if !known || !is(7, b'-') || year == 0 {
            return None;
        }
        days = Some(days_of(year, month, day));
        if text.len() == 10 {
            return Some(Stamp {
                days,
                time: None,
                offset: None,
            });
        }
        if !is(10, b'T') && !is(10, b' ') {
            return None;
        }
        at = 11;
    }
    let (hour, minute) = (two(at)?, two(at + 3)?);
    if !is(at + 2, b':') || hour > 23 || minute > 59 {
        return None;
    }
    at += 5;
    let mut time = hour * HOUR + minute * MINUTE;
    if is(at, b':') {
        let second = two(at + 1)?;
        if second > 59 {
            return None;
        }
        time += second * SECOND;
        at += 3;
        if is(at, b'.') {
            at += 1;
            let mut unit = SECOND / 10;
            while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
                // More than six digits are rounded elsewhere.
                if unit == 0 {
                    return None;
                }
                time += i64::from(digit - b'0') * unit;
                unit /= 10;
                at += 1;
            }
        }
    }
    let offset = match text.get(at) {
        None => None,
        Some(b'Z') => {
            at += 1;
            Some(0)
        }
        Some(sign @ (b'+' | b'-')) => {
            let hours = two(at + 1)?;
            at += 3;
            let mut minutes = 0;
            if at < text.len() {
                at += usize::from(is(at, b':'));
                minutes = two(at)?;
                at += 2;
            }
            if hours > 14 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        Some(_) => return None,
    };
    (at == text.len()).then_some(Stamp {
        days,
        time: Some(time),
        offset,
    })
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a day of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The other way; same source, `civil_from_days`.
pub(super) fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `None` for a year that is not kept. `time` may be before or after the day.
fn write_stamp(days: i64, time: i64, suffix: &str) -> Option<String> {
    let days = days + time.div_euclid(DAY);
    if !DAYS.contains(&days) {
        return None;
    }
    let mut out = String::with_capacity(32);
    write_date(days, &mut out);
    out.push('T');
    write_time(time.rem_euclid(DAY), &mut out);
    out.push_str(suffix);
    Some(out)
}

fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_of(days);
    push(year, 4, out);
    out.push('-');
    push(month, 2, out);
    out.push('-');
    push(day, 2, out);
}

fn write_time(time: i64, out: &mut String) {
    push(time / HOUR, 2, out);
    out.push(':');
    push(time / MINUTE % 60, 2, out);
    out.push(':');
    push(time / SECOND % 60, 2, out);
    write_fraction(time % SECOND, out);
}

/// Appends microseconds without zeros at the end; nothing for none.
pub(super) fn write_fraction(micros: i64, out: &mut String) {
    if micros != 0 {
        out.push('.');
        push(micros, 6, out);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Appends at least `width` digits.
pub(super) fn push(number: i64, width: u32, out: &mut String) {
    let mut unit = 10_i64.pow(width - 1);
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        out.push(char::from(b'0' + (number / unit % 10) as u8));
        unit /= 10;
    }
}
