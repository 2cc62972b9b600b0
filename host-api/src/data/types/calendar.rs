//! Dates and times in the forms people write: the slow way, after [`super::datetime`]'s quick one.
//!
//! Source: PostgreSQL 15, `DecodeDateTime` and what it calls in `src/backend/utils/adt/datetime.c`,
//! with `datestyle` `ISO, MDY`.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::datetime::{
    DAY, HOUR, Kind, MINUTE, Moment, SECOND, Stamp, civil_of, days_of, month_days,
};
use super::fields::{self, Shape};
use super::zone;
use crate::data::{DataError, SqlFault};

enum Fault {
    Malformed,
    FieldOutOfRange,
    /// A day or month out of range, which another order of fields may explain.
    DayOutOfRange,
    OffsetOutOfRange,
    /// No time zone of that name.
    Zone(String),
}

type Read<T> = Result<T, Fault>;

/// Which fields were given; a text that gives one twice is refused.
mod given {
    pub const YEAR: u16 = 1;
    pub const MONTH: u16 = 2;
    pub const DAY: u16 = 4;
    pub const TIME: u16 = 8;
    pub const ZONE: u16 = 16;
    pub const HALF: u16 = 32;
    pub const ERA: u16 = 64;
    pub const WEEKDAY: u16 = 128;
    pub const DATE: u16 = YEAR | MONTH | DAY;
}

/// Reads any form that PostgreSQL reads, but for years before 1 and rare words.
pub(super) fn read(kind: Kind, text: &str) -> Result<Moment, DataError> {
    decode(kind, text).map_err(|fault| match fault {
        Fault::Malformed => DataError::sql(
            "22007",
            format!("invalid input syntax for type {}: \"{text}\"", kind.word()),
        ),
        Fault::FieldOutOfRange => field_out_of_range(text).into(),
        Fault::DayOutOfRange => field_out_of_range(text)
            .hint("Perhaps you need a different \"datestyle\" setting.")
            .into(),
        Fault::OffsetOutOfRange => DataError::sql(
            "22009",
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fault::Zone(zone) => {
            DataError::sql("22023", format!("time zone \"{zone}\" not recognized"))
        }
    })
}

fn field_out_of_range(text: &str) -> SqlFault {
    SqlFault::new(
        "22008",
        format!("date/time field value out of range: \"{text}\""),
    )
}

enum Zone {
    /// Seconds east of UTC.
    Offset(i64),
    Named(TimeZone),
}

#[derive(Clone, Copy, PartialEq)]
enum Half {
    Am,
    Pm,
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    seen: u16,
    year: i64,
    month: i64,
    day: i64,
    /// The year was written with one or two digits.
    short_year: bool,
    /// The month was written as a word.
    named_month: bool,
    /// Days since 1970, when given as such.
    julian: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    half: Option<Half>,
    before_christ: bool,
    zone: Option<Zone>,
    /// `today` and the like: the day, and the time when that is said too.
    special: Option<(i64, Option<i64>)>,
}

fn decode(kind: Kind, text: &str) -> Read<Moment> {
    let fields = fields::cut(text).ok_or(Fault::Malformed)?;
    let mut reading = Reading::default();
    // After `T` a time follows, after `J` a Julian day.
    let mut prefix = None;
    for (index, (shape, field)) in fields.iter().enumerate() {
        let before = reading.seen;
        let added = match shape {
            Shape::Time => {
                if prefix.take().is_some_and(|prefix| prefix != 't') {
                    return Err(Fault::Malformed);
                }
                reading.time(field)?
            }
            Shape::Signed => {
                reading.zone = Some(Zone::Offset(offset(field)?));
                given::ZONE
            }
            Shape::Date if prefix == Some('j') => return Err(Fault::Malformed),
            Shape::Date => {
                let is_later = match kind {
                    // A time may come with a date, if the date comes first and the time is next.
                    Kind::Time => {
                        let last = fields.last().map(|(shape, _)| *shape);
                        let next = fields.get(1).map(|(shape, _)| *shape);
                        let allowed = next.is_some()
                            && (last == Some(Shape::Date) || next == Some(Shape::Time));
                        index > 0 || !allowed
                    }
                    _ => prefix.is_some() || before & given::DATE == given::DATE,
                };
                if !is_later {
                    reading.date(field)?
                } else if starts_with_digit(field) {
                    // A time with an offset and no colon: `040506-08`.
                    prefix = None;
                    let at = field.find('-').ok_or(Fault::Malformed)?;
                    reading.zone = Some(Zone::Offset(offset(&field[at..])?));
                    reading.time_together(&field[..at])? | given::ZONE
                } else {
                    reading.zone = Some(named_zone(field)?);
                    given::ZONE
                }
            }
            Shape::Number => {
                let whole = field.find('.').unwrap_or(field.len());
                let has_point = whole < field.len();
                match prefix.take() {
                    Some('j') => reading.julian(field)?,
                    Some(_) => reading.time_together(field)?,
                    None if matches!(kind, Kind::Time) => reading.time_together(field)?,
                    None if has_point && before & given::DATE == 0 => reading.date(field)?,
                    None if has_point && whole > 2 => reading.run_together(field)?,
                    None if whole >= 6 => reading.run_together(field)?,
                    None => reading.number(field)?,
                }
            }
            Shape::Word | Shape::SignedWord => {
                if prefix.is_some() {
                    return Err(Fault::Malformed);
                }
                let follows = fields.get(index + 1).map(|(shape, _)| *shape);
                let is_day = matches!(field.as_str(), "today" | "tomorrow" | "yesterday")
                    || fields::month(field).is_some()
                    || fields::is_weekday(field);
                if matches!(kind, Kind::Time) && is_day {
                    return Err(Fault::Malformed);
                }
                match reading.word(field, follows, &mut prefix)? {
                    Word::Field(added) => added,
                    Word::Moment(moment) if fields.len() == 1 && !matches!(kind, Kind::Time) => {
                        return Ok(moment);
                    }
                    Word::Moment(_) => return Err(Fault::Malformed),
                }
            }
        };
        if added & before != 0 {
            return Err(Fault::Malformed);
        }
        reading.seen |= added;
    }
    if prefix.is_some() {
        return Err(Fault::Malformed);
    }
    reading.finish(kind)
}

fn starts_with_digit(field: &str) -> bool {
    field.starts_with(|c: char| c.is_ascii_digit())
}

enum Word {
    Field(u16),
    Moment(Moment),
}

impl Reading {
    /// `2021-06-05`, `6/5/2021`, `8-Jan-1999`, `2021.156`.
    fn date(&mut self, field: &str) -> Read<u16> {
        let mut parts = Vec::new();
        let mut rest = field.as_bytes();
        while let Some(first) = rest.first() {
            let same = |byte: &u8| match first {
                b'0'..=b'9' => byte.is_ascii_digit(),
                _ => byte.is_ascii_alphabetic(),
            };
            let length = rest.iter().take_while(|byte| same(byte)).count();
            let (part, tail) = rest.split_at(length.max(1));
            if length > 0 {
                parts.push(std::str::from_utf8(part).map_err(|_| Fault::Malformed)?);
            }
            rest = tail;
        }
        let mut seen = 0;
        for part in parts.iter().filter(|part| !starts_with_digit(part)) {
            self.month = fields::month(part).ok_or(Fault::Malformed)?;
            self.named_month = true;
            if seen != 0 {
                return Err(Fault::Malformed);
            }
            seen |= given::MONTH;
        }
        let outer = self.seen;
        if outer & !given::ZONE != 0 {
            return Err(Fault::Malformed);
        }
        for part in parts.iter().filter(|part| starts_with_digit(part)) {
            self.seen = outer | seen;
            let added = self.number(part);
            self.seen = outer;
            let added = added?;
            if added & seen != 0 {
                return Err(Fault::Malformed);
            }
            seen |= added;
        }
        if seen != given::DATE {
            return Err(Fault::Malformed);
        }
        Ok(seen)
    }

    /// One number of a date; which one depends on what is there already.
    fn number(&mut self, field: &str) -> Read<u16> {
        if let Some(at) = field.find('.') {
            if at > 2 {
                return self.run_together(field);
            }
            return Err(Fault::Malformed);
        }
        let length = field.len();
        let value: i64 = field.parse().map_err(|_| Fault::FieldOutOfRange)?;
        if value > i64::from(i32::MAX) {
            return Err(Fault::FieldOutOfRange);
        }
        let date = self.seen & given::DATE;
        if length == 3 && date == given::YEAR && (1..=366).contains(&value) {
            self.day_of_year = Some(value);
            return Ok(given::MONTH | given::DAY);
        }
        const YEAR_MONTH: u16 = given::YEAR | given::MONTH;
        const MONTH_DAY: u16 = given::MONTH | given::DAY;
        let added = match date {
            0 if length >= 3 => given::YEAR,
            0 | given::YEAR | given::DAY => given::MONTH,
            given::MONTH if self.named_month && length >= 3 => given::YEAR,
            given::MONTH => given::DAY,
            YEAR_MONTH if self.named_month && length >= 3 && self.short_year => {
                // What was taken for a year was the day: `8-Jan-1999`.
                self.day = self.year;
                self.year = value;
                self.short_year = false;
                return Ok(given::DAY);
            }
            YEAR_MONTH => given::DAY,
            MONTH_DAY => given::YEAR,
            given::DATE => return self.run_together(field),
            _ => return Err(Fault::Malformed),
        };
        match added {
            given::YEAR => {
                self.year = value;
                self.short_year = length <= 2;
            }
            given::MONTH => self.month = value,
            _ => self.day = value,
        }
        Ok(added)
    }

    /// `20210605`, `210605`, `120000`, `120000.5`, `1200`.
    fn run_together(&mut self, field: &str) -> Read<u16> {
        let digits = match field.find('.') {
            Some(at) => {
                self.micros = fields::micros(&field[at..]).ok_or(Fault::Malformed)?;
                &field[..at]
            }
            None => field,
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Malformed);
        }
        // A year of more digits is beyond what is kept in any case.
        let number = |range: &str| range.parse().unwrap_or(i64::MAX).min(i64::from(i32::MAX));
        let length = digits.len();
        let no_date = self.seen & given::DATE != given::DATE;
        if digits.len() == field.len() && no_date && length >= 6 {
            self.day = number(&digits[length - 2..]);
            self.month = number(&digits[length - 4..length - 2]);
            self.year = number(&digits[..length - 4]);
            self.short_year = length == 6;
            return Ok(given::DATE);
        }
        if self.seen & given::TIME == 0 && (length == 6 || length == 4) {
            self.hour = number(&digits[..2]);
            self.minute = number(&digits[2..4]);
            self.second = if length == 6 { number(&digits[4..]) } else { 0 };
            return Ok(given::TIME);
        }
        Err(Fault::Malformed)
    }

    /// [`Reading::run_together`] where only a time may stand.
    fn time_together(&mut self, field: &str) -> Read<u16> {
        let seen = self.seen;
        self.seen |= given::DATE;
        let added = self.run_together(field);
        self.seen = seen;
        added
    }

    fn julian(&mut self, field: &str) -> Read<u16> {
        let (day, part) = field.split_at(field.find('.').unwrap_or(field.len()));
        let day: i64 = day.parse().map_err(|_| Fault::FieldOutOfRange)?;
        if day > i64::from(i32::MAX) {
            return Err(Fault::FieldOutOfRange);
        }
        // Julian day 2440588 is 1970-01-01.
        self.julian = Some(day - 2_440_588);
        if part.is_empty() {
            return Ok(given::DATE);
        }
        let part: f64 = format!("0{part}0").parse().map_err(|_| Fault::Malformed)?;
        let time = (part * DAY as f64) as i64;
        self.hour = time / HOUR;
        self.minute = time / MINUTE % 60;
        self.second = time / SECOND % 60;
        self.micros = time % SECOND;
        Ok(given::DATE | given::TIME)
    }

    /// `12:00`, `12:00:00.5`, and `5:06.7`, which is minutes and seconds.
    fn time(&mut self, field: &str) -> Read<u16> {
        let (body, fraction) = match field.find('.') {
            Some(at) => {
                let fraction = &field[at..];
                let micros = fields::micros(fraction).ok_or(Fault::Malformed)?;
                (&field[..at], Some(micros))
            }
            None => (field, None),
        };
        let parts: Vec<i64> = body
            .split(':')
            .map(|part| match part {
                "" => Ok(0),
                part => match part.parse() {
                    Ok(number) if number <= i64::from(i32::MAX) => Ok(number),
                    _ => Err(Fault::FieldOutOfRange),
                },
            })
            .collect::<Read<_>>()?;
        let (hour, minute, second) = match (parts.as_slice(), fraction) {
            ([minute, second], Some(_)) => (0, *minute, *second),
            ([hour, minute], None) => (*hour, *minute, 0),
            ([hour, minute, second], _) => (*hour, *minute, *second),
            _ => return Err(Fault::Malformed),
        };
        if minute > 59 || second > 60 {
            return Err(Fault::FieldOutOfRange);
        }
        (self.hour, self.minute, self.second) = (hour, minute, second);
        self.micros = fraction.unwrap_or(0);
        if hour > 24 || hour == 24 && (minute > 0 || second > 0 || self.micros > 0) {
            return Err(Fault::FieldOutOfRange);
        }
        Ok(given::TIME)
    }

    fn word(
        &mut self,
        word: &str,
        follows: Option<Shape>,
        prefix: &mut Option<char>,
    ) -> Read<Word> {
        if let Some(month) = fields::month(word) {
            if self.seen & given::MONTH != 0 && !self.named_month && self.seen & given::DAY == 0 {
                // `8 Jan 1999`: what was taken for the month was the day.
                self.day = self.month;
                self.month = month;
                self.named_month = true;
                return Ok(Word::Field(given::DAY));
            }
            self.month = month;
            self.named_month = true;
            return Ok(Word::Field(given::MONTH));
        }
        if fields::is_weekday(word) {
            return Ok(Word::Field(given::WEEKDAY));
        }
        if let Some(hours) = abbreviation(word) {
            self.zone = Some(Zone::Offset(hours * 3600));
            return Ok(Word::Field(given::ZONE));
        }
        let today = || {
            let now = Timestamp::now().as_microsecond();
            let offset = zone::at_instant(now).unwrap_or(0);
            (now + offset * SECOND).div_euclid(DAY)
        };
        Ok(match word {
            "infinity" => Word::Moment(Moment::Infinity),
            "-infinity" => Word::Moment(Moment::MinusInfinity),
            "epoch" => Word::Moment(Moment::Stamp(Stamp {
                days: Some(0),
                time: None,
                offset: Some(0),
            })),
            "now" => {
                let now = Timestamp::now().as_microsecond();
                let now = now + zone::at_instant(now).unwrap_or(0) * SECOND;
                self.special = Some((now.div_euclid(DAY), Some(now.rem_euclid(DAY))));
                Word::Field(given::DATE | given::TIME | given::ZONE)
            }
            "today" | "tomorrow" | "yesterday" => {
                let shift = match word {
                    "tomorrow" => 1,
                    "yesterday" => -1,
                    _ => 0,
                };
                self.special = Some((today() + shift, None));
                Word::Field(given::DATE)
            }
            "allballs" => {
                self.zone = Some(Zone::Offset(0));
                Word::Field(given::TIME | given::ZONE)
            }
            "am" | "pm" => {
                self.half = Some(if word == "am" { Half::Am } else { Half::Pm });
                Word::Field(given::HALF)
            }
            "ad" | "bc" => {
                self.before_christ = word == "bc";
                Word::Field(given::ERA)
            }
            "at" | "on" => Word::Field(0),
            "t" if matches!(follows, Some(Shape::Number | Shape::Time | Shape::Date)) => {
                *prefix = Some('t');
                Word::Field(0)
            }
            "j" | "jd" | "julian" if follows == Some(Shape::Number) => {
                *prefix = Some('j');
                Word::Field(0)
            }
            _ => {
                self.zone = Some(named_zone(word).map_err(|_| Fault::Malformed)?);
                Word::Field(given::ZONE)
            }
        })
    }

    fn finish(mut self, kind: Kind) -> Read<Moment> {
        match self.half {
            Some(_) if self.hour > 12 => return Err(Fault::FieldOutOfRange),
            Some(Half::Am) if self.hour == 12 => self.hour = 0,
            Some(Half::Pm) if self.hour != 12 => self.hour += 12,
            _ => {}
        }
        if self.hour > 24 || self.minute > 59 || self.second > 60 {
            return Err(Fault::FieldOutOfRange);
        }
        let mut time = self.hour * HOUR + self.minute * MINUTE + self.second * SECOND + self.micros;
        if self.hour == 24 && time > DAY {
            return Err(Fault::FieldOutOfRange);
        }
        let mut days = self.days()?;
        if let Some((special, at)) = self.special {
            days = Some(special);
            time = at.unwrap_or(time);
        }
        let has_time = self.seen & given::TIME != 0;
        if matches!(kind, Kind::Time) {
            if !has_time || time > DAY || days.is_none() && self.seen & given::DATE != 0 {
                return Err(Fault::Malformed);
            }
            // Without a date a zone's name says no offset.
            if matches!(self.zone, Some(Zone::Named(_))) && days.is_none() {
                return Err(Fault::Malformed);
            }
        } else if days.is_none() {
            return Err(Fault::Malformed);
        }
        let offset = match self.zone {
            None => None,
            Some(Zone::Offset(offset)) => Some(offset),
            Some(Zone::Named(zone)) => Some(offset_at(&zone, days.unwrap_or(0), time)),
        };
        Ok(Moment::Stamp(Stamp {
            days,
            time: has_time.then_some(time),
            offset,
        }))
    }

    /// The day since 1970; `None` when not all of year, month and day are given.
    fn days(&self) -> Read<Option<i64>> {
        if let Some(julian) = self.julian {
            return Ok(Some(julian));
        }
        if self.special.is_some() {
            return Ok(None);
        }
        let mut year = self.year;
        if self.seen & given::YEAR != 0 {
            if self.short_year && !self.before_christ {
                year += if year < 70 { 2000 } else { 1900 };
            } else if year <= 0 {
                return Err(Fault::FieldOutOfRange);
            }
            if self.before_christ {
                year = 1 - year;
            }
        }
        if let Some(day_of_year) = self.day_of_year {
            return Ok(Some(days_of(year, 1, 1) + day_of_year - 1));
        }
        if self.seen & given::MONTH != 0 && !(1..=12).contains(&self.month)
            || self.seen & given::DAY != 0 && !(1..=31).contains(&self.day)
        {
            return Err(Fault::DayOutOfRange);
        }
        if self.seen & given::DATE != given::DATE {
            return Ok(None);
        }
        if self.day > month_days(year, self.month) {
            return Err(Fault::FieldOutOfRange);
        }
        Ok(Some(days_of(year, self.month, self.day)))
    }
}

/// `+2`, `-0330`, `+02:00:30`, in seconds.
fn offset(field: &str) -> Read<i64> {
    let end = field[1..].find(|c: char| !c.is_ascii_digit() && c != ':');
    let (digits, junk) = field[1..].split_at(end.unwrap_or(field.len() - 1));
    let parts: Vec<i64> = digits
        .split(':')
        .map(|part| match part {
            "" => 0,
            part => part.parse().unwrap_or(i64::from(i32::MAX)),
        })
        .collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours] if field.len() > 3 => (hours / 100, hours % 100, 0),
        [hours] => (*hours, 0, 0),
        [hours, minutes] => (*hours, *minutes, 0),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return Err(Fault::Malformed),
    };
    // Source: `MAX_TZDISP_HOUR`.
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Fault::OffsetOutOfRange);
    }
    if !junk.is_empty() {
        return Err(Fault::Malformed);
    }
    let offset = hours * 3600 + minutes * 60 + seconds;
    Ok(if field.starts_with('-') {
        -offset
    } else {
        offset
    })
}

/// Hours east of UTC of the abbreviations that are used most.
///
/// Source: PostgreSQL 15, `src/timezone/tznames/Default`.
fn abbreviation(word: &str) -> Option<i64> {
    Some(match word {
        "z" | "zulu" | "utc" | "uct" | "ut" | "gmt" | "wet" => 0,
        "bst" | "cet" | "met" | "west" => 1,
        "cest" | "cetdst" | "eet" | "ist" | "mest" | "sast" => 2,
        "eest" | "eetdst" | "idt" | "msk" => 3,
        "hkt" | "sgt" | "awst" => 8,
        "jst" | "kst" => 9,
        "aest" => 10,
        "aedt" => 11,
        "nzst" => 12,
        "nzdt" => 13,
        "adt" | "brt" | "art" => -3,
        "ast" | "edt" => -4,
        "cdt" | "est" => -5,
        "cst" | "mdt" => -6,
        "mst" | "pdt" => -7,
        "pst" | "akdt" => -8,
        "akst" => -9,
        "hst" => -10,
        _ => return None,
    })
}

/// A zone of the IANA database, or as POSIX writes it: `utc+2`, which lies west.
fn named_zone(name: &str) -> Read<Zone> {
    if let Ok(zone) = TimeZone::get(name) {
        return Ok(Zone::Named(zone));
    }
    let posix = name
        .find(['+', '-'])
        .filter(|at| *at >= 3 && name[..*at].bytes().all(|byte| byte.is_ascii_alphabetic()))
        .and_then(|at| offset(&name[at..]).ok());
    match posix {
        Some(offset) => Ok(Zone::Offset(-offset)),
        None => Err(Fault::Zone(name.to_owned())),
    }
}

/// Seconds east of UTC at a local time. Where clocks go forward the offset before counts, where they go
/// back the one after, as in PostgreSQL.
pub(super) fn offset_at(zone: &TimeZone, days: i64, time: i64) -> i64 {
    let (year, month, day) = civil_of(days + time.div_euclid(DAY));
    let time = time.rem_euclid(DAY);
    let local = jiff::civil::DateTime::new(
        year.clamp(1, 9999) as i16,
        month as i8,
        day as i8,
        (time / HOUR) as i8,
        (time / MINUTE % 60) as i8,
        (time / SECOND % 60) as i8,
        0,
    );
    let Ok(local) = local else { return 0 };
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } => before,
        AmbiguousOffset::Fold { after, .. } => after,
    };
    i64::from(offset.seconds())
}
