//! interval: PostgreSQL's and ISO 8601's forms in, PostgreSQL's out.
//!
//! Source: PostgreSQL 15, `DecodeInterval`, `DecodeISO8601Interval` and `EncodeInterval` in
//! `src/backend/utils/adt/datetime.c`.

use std::cmp::Ordering;
use std::fmt::Write;

use super::datetime::write_fraction;
use super::fields::{self, Shape};
use crate::data::DataError;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Default)]
struct Span {
    months: i32,
    days: i32,
    micros: i64,
}

enum Fault {
    Malformed,
    /// A field is beyond what any interval has.
    Field,
    /// Months are beyond what is kept.
    Sum,
}

type Read<T> = Result<T, Fault>;

/// Reads an interval and writes it as PostgreSQL's style `postgres` does: `1 year 2 mons 3 days 04:05:06`.
pub(super) fn parse(text: &str) -> Result<String, DataError> {
    let read = match words(text) {
        Err(Fault::Malformed) => iso(text),
        read => read,
    };
    match read {
        Ok(span) => Ok(span.text()),
        Err(Fault::Malformed) => Err(DataError::sql(
            "22007",
            format!("invalid input syntax for type interval: \"{text}\""),
        )),
        Err(Fault::Field) => Err(DataError::sql(
            "22015",
            format!("interval field value out of range: \"{text}\""),
        )),
        Err(Fault::Sum) => Err(DataError::sql("22008", "interval out of range")),
    }
}

/// Compares stored intervals as PostgreSQL does: a month has 30 days, a day 24 hours. What is no
/// interval comes last, by its bytes.
///
/// Source: PostgreSQL 15, `interval_cmp_value` in `src/backend/utils/adt/timestamp.c`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (words(a), words(b)) {
        (Ok(a), Ok(b)) => a.length().cmp(&b.length()),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    /// Longer words count by their first ten letters.
    fn of(word: &str) -> Option<Unit> {
        Some(match word.get(..10).unwrap_or(word) {
            "microsecon" | "us" | "usec" | "usecond" | "useconds" | "usecs" => Unit::Microsecond,
            "millisecon" | "ms" | "msec" | "mseconds" | "msecs" => Unit::Millisecond,
            "s" | "sec" | "second" | "seconds" | "secs" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hour" | "hours" | "hr" | "hrs" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "y" | "year" | "years" | "yr" | "yrs" => Unit::Year,
            "dec" | "decade" | "decades" | "decs" => Unit::Decade,
            "c" | "cent" | "centuries" | "century" => Unit::Century,
            "mil" | "millennia" | "millennium" | "mils" => Unit::Millennium,
            _ => return None,
        })
    }
}

impl Span {
    fn add(&mut self, unit: Unit, whole: i64, part: f64) -> Read<()> {
        match unit {
            Unit::Microsecond => self.add_micros(whole, part, 1),
            Unit::Millisecond => self.add_micros(whole, part, 1000),
            Unit::Second => self.add_micros(whole, part, SECOND),
            Unit::Minute => self.add_micros(whole, part, MINUTE),
            Unit::Hour => self.add_micros(whole, part, HOUR),
            Unit::Day => {
                self.add_days(whole, 1)?;
                self.add_micros(0, part, DAY)
            }
            Unit::Week => {
                self.add_days(whole, 7)?;
                self.add_part_days(part, 7)
            }
            Unit::Month => {
                self.months = scaled(self.months, whole, 1)?;
                self.add_part_days(part, 30)
            }
            Unit::Year => self.add_years(whole, part, 1),
            Unit::Decade => self.add_years(whole, part, 10),
            Unit::Century => self.add_years(whole, part, 100),
            Unit::Millennium => self.add_years(whole, part, 1000),
        }
    }

    fn add_micros(&mut self, whole: i64, part: f64, scale: i64) -> Read<()> {
        let part = part * scale as f64;
        let mut micros = part as i64;
        let rest = part - micros as f64;
        if rest > 0.5 {
            micros += 1;
        } else if rest < -0.5 {
            micros -= 1;
        }
        let whole = whole.checked_mul(scale).ok_or(Fault::Field)?;
        self.micros = (self.micros.checked_add(whole))
            .and_then(|sum| sum.checked_add(micros))
            .ok_or(Fault::Field)?;
        Ok(())
    }

    fn add_days(&mut self, whole: i64, scale: i64) -> Read<()> {
        self.days = scaled(self.days, whole, scale)?;
        Ok(())
    }

    fn add_part_days(&mut self, part: f64, scale: i64) -> Read<()> {
        let days = part * scale as f64;
        self.add_days(days as i64, 1)?;
        self.add_micros(0, days - (days as i64) as f64, DAY)
    }

    fn add_years(&mut self, whole: i64, part: f64, scale: i64) -> Read<()> {
        // Years are kept in 32 bits of their own before they become months.
        let years = scaled(0, whole, scale)?;
        self.months = scaled(self.months, i64::from(years), 12).map_err(|_| Fault::Sum)?;
        let months = (part * scale as f64 * 12.0).round_ties_even();
        self.months = scaled(self.months, months as i64, 1)?;
        Ok(())
    }

    /// Microseconds.
    fn length(&self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    fn negated(self) -> Read<Span> {
        Ok(Span {
            months: self.months.checked_neg().ok_or(Fault::Field)?,
            days: self.days.checked_neg().ok_or(Fault::Field)?,
            micros: self.micros.checked_neg().ok_or(Fault::Field)?,
        })
    }

    fn text(&self) -> String {
        let mut out = String::with_capacity(24);
        let mut after_minus = false;
        let parts = [
            (self.months / 12, "year"),
            (self.months % 12, "mon"),
            (self.days, "day"),
        ];
        for (number, unit) in parts {
            if number == 0 {
                continue;
            }
            let blank = if out.is_empty() { "" } else { " " };
            let plus = if after_minus && number > 0 { "+" } else { "" };
            let plural = if number == 1 { "" } else { "s" };
            write!(out, "{blank}{plus}{number} {unit}{plural}").expect("a String takes any text");
            after_minus = number < 0;
        }
        if out.is_empty() || self.micros != 0 {
            let blank = if out.is_empty() { "" } else { " " };
            let sign = match (self.micros < 0, after_minus) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            let micros = self.micros.unsigned_abs();
            write!(
                out,
                "{blank}{sign}{:02}:{:02}:{:02}",
                micros / HOUR as u64,
                micros / MINUTE as u64 % 60,
                micros / SECOND as u64 % 60
            )
            .expect("a String takes any text");
            write_fraction((micros % SECOND as u64) as i64, &mut out);
        }
        out
    }
}

fn scaled(sum: i32, whole: i64, scale: i64) -> Read<i32> {
    whole
        .checked_mul(scale)
        .and_then(|add| add.checked_add(i64::from(sum)))
        .and_then(|sum| i32::try_from(sum).ok())
        .ok_or(Fault::Field)
}

/// Units as bits, so that none is given twice.
const SECONDS: u16 =
    1 << Unit::Second as u16 | 1 << Unit::Millisecond as u16 | 1 << Unit::Microsecond as u16;
const CLOCK: u16 = SECONDS | 1 << Unit::Minute as u16 | 1 << Unit::Hour as u16;

/// `1 year 2 mons -3 days 04:05:06 ago`, `1-2 3 4:05:06`, read from its end as PostgreSQL does.
fn words(text: &str) -> Read<Span> {
    let fields = fields::cut(text).ok_or(Fault::Malformed)?;
    let mut span = Span::default();
    let mut unit = None;
    let mut unit_waits = false;
    let mut ago = false;
    let mut seen = 0_u16;
    for (shape, field) in fields.iter().rev() {
        let given = match shape {
            Shape::Time => {
                span.add_micros(clock(field)?, 0.0, 1)?;
                unit = Some(Unit::Day);
                unit_waits = false;
                CLOCK
            }
            Shape::Signed if field[1..].contains(':') => {
                let micros = clock(&field[1..]).map_err(|_| Fault::Malformed)?;
                let negative = field.starts_with('-');
                span.add_micros(if negative { -micros } else { micros }, 0.0, 1)?;
                unit = Some(Unit::Day);
                unit_waits = false;
                CLOCK
            }
            Shape::Signed | Shape::Date | Shape::Number => {
                let (whole, part, is_months) = number(field)?;
                let of = if is_months {
                    Unit::Month
                } else {
                    unit.unwrap_or(Unit::Second)
                };
                unit = Some(of);
                unit_waits = false;
                span.add(of, whole, part)?;
                match of {
                    Unit::Second if part != 0.0 => SECONDS,
                    of => 1 << of as u16,
                }
            }
            Shape::Word | Shape::SignedWord => {
                if unit_waits {
                    return Err(Fault::Malformed);
                }
                if field == "ago" {
                    ago = true;
                    unit = None;
                } else {
                    unit = Some(Unit::of(field).ok_or(Fault::Malformed)?);
                    unit_waits = true;
                }
                0
            }
        };
        if given & seen != 0 {
            return Err(Fault::Malformed);
        }
        seen |= given;
    }
    if seen == 0 || unit_waits {
        return Err(Fault::Malformed);
    }
    if ago { span.negated() } else { Ok(span) }
}

/// `5`, `-5.25`, and `1-2`, which is years and months.
fn number(field: &str) -> Read<(i64, f64, bool)> {
    let negative = field.starts_with('-');
    let digits = field.trim_start_matches(['-', '+']);
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(end);
    let mut whole: i64 = match whole {
        "" => 0,
        whole => whole.parse().map_err(|_| Fault::Field)?,
    };
    let mut part = 0.0;
    let mut is_months = false;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(more) = rest.strip_prefix('-') {
        let more: i64 = match more {
            "" => 0,
            more if all_digits(more) => more.parse().map_err(|_| Fault::Field)?,
            _ => return Err(Fault::Malformed),
        };
        if more >= 12 {
            return Err(Fault::Field);
        }
        whole = whole
            .checked_mul(12)
            .and_then(|months| months.checked_add(more))
            .ok_or(Fault::Field)?;
        is_months = true;
    } else if let Some(fraction) = rest.strip_prefix('.') {
        if !all_digits(fraction) {
            return Err(Fault::Malformed);
        }
        part = format!("0.{fraction}0").parse().unwrap_or(0.0);
    } else if !rest.is_empty() {
        return Err(Fault::Malformed);
    }
    Ok(if negative {
        (-whole, -part, is_months)
    } else {
        (whole, part, is_months)
    })
}

/// `4:05`, `4:05:06.7`, and `5:06.7`, which is minutes and seconds.
fn clock(field: &str) -> Read<i64> {
    let (body, fraction) = match field.find('.') {
        Some(at) => {
            let fraction = fields::micros(&field[at..]).ok_or(Fault::Malformed)?;
            (&field[..at], Some(fraction))
        }
        None => (field, None),
    };
    let parts: Vec<i64> = body
        .split(':')
        .map(|part| match part {
            "" => Ok(0),
            part => part.parse().map_err(|_| Fault::Field),
        })
        .collect::<Read<_>>()?;
    let (hour, minute, second) = match (parts.as_slice(), fraction) {
        ([minute, second], Some(_)) => (0, *minute, *second),
        ([hour, minute], None) => (*hour, *minute, 0),
        ([hour, minute, second], _) => (*hour, *minute, *second),
        _ => return Err(Fault::Malformed),
    };
    if minute > 59 || second > 60 {
        return Err(Fault::Field);
    }
    hour.checked_mul(HOUR)
        .and_then(|hours| {
            hours.checked_add(minute * MINUTE + second * SECOND + fraction.unwrap_or(0))
        })
        .ok_or(Fault::Field)
}

/// `P1Y2M3DT4H5M6S`, `P1W`, `P0001-02-03T04:05:06`, `P00010203T040506`.
fn iso(text: &str) -> Read<Span> {
    let mut rest = match text.strip_prefix('P') {
        Some(rest) if !rest.is_empty() => rest,
        _ => return Err(Fault::Malformed),
    };
    let mut span = Span::default();
    let mut in_date = true;
    let mut have_field = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            rest = tail;
            in_date = false;
            have_field = false;
            continue;
        }
        let width = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (whole, part) = iso_number(&mut rest)?;
        let mark = rest.bytes().next();
        let designated = match (in_date, mark) {
            (true, Some(b'Y')) => Some(Unit::Year),
            (true, Some(b'M')) => Some(Unit::Month),
            (true, Some(b'W')) => Some(Unit::Week),
            (true, Some(b'D')) => Some(Unit::Day),
            (false, Some(b'H')) => Some(Unit::Hour),
            (false, Some(b'M')) => Some(Unit::Minute),
            (false, Some(b'S')) => Some(Unit::Second),
            _ => None,
        };
        if let Some(unit) = designated {
            rest = &rest[1..];
            span.add(unit, whole, part)?;
            have_field = true;
            continue;
        }
        if have_field {
            return Err(Fault::Malformed);
        }
        let (units, separator) = if in_date {
            ([Unit::Year, Unit::Month, Unit::Day], '-')
        } else {
            ([Unit::Hour, Unit::Minute, Unit::Second], ':')
        };
        let ends = |rest: &str| rest.is_empty() || in_date && rest.starts_with('T');
        if ends(rest) && width == if in_date { 8 } else { 6 } {
            span.add(units[0], whole / 10_000, 0.0)?;
            span.add(units[1], whole / 100 % 100, 0.0)?;
            span.add(units[2], whole % 100, 0.0)?;
            // PostgreSQL counts this fraction in microseconds, whatever stands before it.
            let unit = if in_date {
                Unit::Day
            } else {
                Unit::Microsecond
            };
            span.add(unit, 0, part)?;
            continue;
        }
        span.add(units[0], whole, part)?;
        for unit in &units[1..] {
            if ends(rest) {
                break;
            }
            rest = rest.strip_prefix(separator).ok_or(Fault::Malformed)?;
            let (whole, part) = iso_number(&mut rest)?;
            span.add(*unit, whole, part)?;
        }
        if !ends(rest) {
            return Err(Fault::Malformed);
        }
    }
    Ok(span)
}

/// A decimal with a sign, its whole and its part after the point.
fn iso_number(rest: &mut &str) -> Read<(i64, f64)> {
    let bytes = rest.as_bytes();
    let signed = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut end = signed + digits(signed);
    let mut any = end > signed;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        any |= fraction > 0;
        end += 1 + fraction;
    }
    if !any {
        return Err(Fault::Malformed);
    }
    let number: f64 = rest[..end].parse().map_err(|_| Fault::Malformed)?;
    *rest = &rest[end..];
    if number.abs() > 1e15 {
        return Err(Fault::Field);
    }
    Ok((number.trunc() as i64, number.fract()))
}
