//! When a cron line is due, in a time zone.
//!
//! The line is read here, in crontab's words. The calendar is searched by the `cron` crate, on local
//! time taken as if it were UTC; `jiff` knows when a zone's clock changes. The crate is not given the
//! line itself, nor zones: it has its own weekday numbers, wants both the day and the weekday to
//! match, and around a clock change it skips runs, doubles them, and can answer with an instant
//! before the one it was asked about.
//!
//! # When the clock changes
//!
//! A line is *fixed* if none of its seconds, minutes and hours is written with `*` or as an open step
//! (`5/15`): it means times of day. Any other line is an *interval*: it means every so often.
//!
//! - A fixed line whose time is skipped runs at the first instant after the gap; several skipped
//!   times make one run. A time that comes twice counts the first time only.
//! - An interval line runs at every instant whose local time matches: nothing in a gap, and both
//!   times in a repeated hour, so that it goes on as time passes.
//!
//! Source of the fixed and interval rules: cron(8) of Debian, "local time changes". It counts lines
//! by their minutes and hours, since it has no seconds.
//!
//! # Where other readers differ
//!
//! - `*/2` in a day field is not a restriction, as crontab(5) has it: `0 0 */2 * MON` runs on Mondays
//!   that are odd days. Readers after POSIX's letter (`croner`) run it on odd days and on Mondays.
//! - `croner` takes lists and ranges of times (`0 1,2 * * *`) for intervals, looks for the end of a
//!   gap for two hours only, and runs nothing if the gap ends on another day. It refuses `5/15`.

use chrono::DateTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longest line read, in bytes. All 60 values of a field, written out, take 169.
pub const LINE_BYTES_MAX: usize = 512;

/// 2101-01-02T00:00:00Z. It is 2101 everywhere, and the `cron` crate's calendar ends with 2100.
const END: i64 = 4_134_067_200;

/// A cron line in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// One calendar, or two when the day of month or the weekday may match: the earlier counts.
    calendars: Vec<::cron::Schedule>,
    timezone: TimeZone,
    /// Means times of day, not every so often.
    fixed: bool,
}

impl Schedule {
    /// Reads `line`, due by the clock of `timezone`, a name of IANA's database such as
    /// `Europe/Berlin` or `UTC`.
    ///
    /// A line has five fields (minute, hour, day of month, month, weekday) or six, with seconds
    /// first. A field is `*`, a value, a range `1-5`, a step `*/10`, `10-50/10` or `5/15` (to the
    /// end of the field), or a list of these with commas. Months and weekdays may be three-letter
    /// names; Sunday is 0 or 7. If both days are restricted, that is neither has a `*`, either may
    /// match. Also `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
    ///
    /// # Errors
    /// [`CronFault`] names the field and says what to write instead. A line with no day in the
    /// calendar (30 February) is refused too.
    ///
    /// Source: crontab(5) of Debian; six fields and open steps from common use.
    pub fn parse(line: &str, timezone: &str) -> Result<Schedule, CronFault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(CronFault::Line(format!(
                "a line of {} bytes is too long: {LINE_BYTES_MAX} is the most; write ranges and steps",
                line.len()
            )));
        }
        let expanded = match line.trim().strip_prefix('@') {
            Some(nickname) => expand(nickname)?,
            None => line,
        };
        let mut fields: Vec<&str> = expanded.split_whitespace().collect();
        match fields.len() {
            5 => fields.insert(0, "0"),
            6 => {}
            count => return Err(CronFault::count(count)),
        }
        let mut values = Vec::with_capacity(fields.len());
        for (unit, text) in UNITS.iter().zip(&fields) {
            values.push(unit.parse(text)?);
        }
        let [second, minute, hour, day, month, weekday] = values[..] else {
            return Err(CronFault::count(values.len()));
        };

        let time = [second, minute, hour];
        let mut calendars = Vec::with_capacity(2);
        if day.star || weekday.star {
            calendars.push(calendar(time, day, month, weekday)?);
        } else {
            calendars.push(calendar(time, day, month, UNITS[5].all())?);
            calendars.push(calendar(time, UNITS[3].all(), month, weekday)?);
        }
        let schedule = Schedule {
            calendars,
            timezone: zone(timezone)?,
            fixed: !time.iter().any(|field| field.star || field.open),
        };
        match schedule.due(0) {
            Some(_) => Ok(schedule),
            None => Err(CronFault::Never {
                line: show(line.trim()),
            }),
        }
    }

    /// The first due instant strictly after `after`, both in seconds since 1970-01-01T00:00:00Z.
    ///
    /// `None` if there is none up to the year 2100. Rules of zones after the newest clock change that
    /// was known when the line was parsed are those of that time.
    pub fn next_after(&self, after: i64) -> Option<i64> {
        let after = after.max(-1);
        if after >= END {
            return None;
        }
        let start = Timestamp::from_second(after).ok()?;
        let mut offset = self.offset(start);
        // The first local second that was not looked at, and the first due one from there.
        let mut from = after + offset + 1;
        if self.fixed {
            from = from.max(self.repeated_until(start));
        }
        let mut due = self.due(from)?;
        for change in self.timezone.following(start) {
            let at = change.timestamp().as_second();
            if due - offset < at {
                break;
            }
            offset = i64::from(change.offset().seconds());
            let local = at + offset;
            if self.fixed {
                // Skipped: `due` is past the old clock and before the new one.
                if due < local {
                    return Some(at);
                }
            } else if local < from || due < local {
                from = local;
                due = self.due(from)?;
            }
        }
        Some(due - offset)
    }

    /// The local second at which the zone's last clock change before or at `instant` came. If the
    /// clock went back, the local seconds before it have all been.
    fn repeated_until(&self, instant: Timestamp) -> i64 {
        let next = Timestamp::from_second(instant.as_second() + 1).unwrap_or(Timestamp::MAX);
        let Some(change) = self.timezone.preceding(next).next() else {
            return i64::MIN;
        };
        let at = change.timestamp().as_second();
        match Timestamp::from_second(at - 1) {
            Ok(before) => at + self.offset(before),
            Err(_) => i64::MIN,
        }
    }

    /// Seconds that the zone's clock is ahead of UTC.
    fn offset(&self, instant: Timestamp) -> i64 {
        i64::from(self.timezone.to_offset(instant).seconds())
    }

    /// The first due local second at or after `local`, both counted as if the zone were UTC.
    fn due(&self, local: i64) -> Option<i64> {
        let before = DateTime::from_timestamp(local - 1, 0)?;
        self.calendars
            .iter()
            .filter_map(|calendar| calendar.after(&before).next())
            .map(|due| due.timestamp())
            .min()
    }
}

/// Why a line is refused: a sentence that says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronFault {
    /// Not a line at all.
    #[error("{0}")]
    Line(String),
    #[error("the {field} `{text}` {fix}")]
    Field {
        field: &'static str,
        text: String,
        fix: String,
    },
    #[error(
        "`{line}` is never due: none of its months has such a day; change the day or the month"
    )]
    Never { line: String },
    #[error("`{name}` {fix}")]
    TimeZone { name: String, fix: &'static str },
}

impl CronFault {
    fn count(count: usize) -> CronFault {
        let fields = match count {
            0 => "an empty line is never due".to_owned(),
            1 => "one field is not a line".to_owned(),
            7 => "seven fields are one too many, a line has no years".to_owned(),
            count => format!("{count} fields are not a line"),
        };
        CronFault::Line(format!(
            "{fields}: write `minute hour day month weekday`, or six fields with seconds first"
        ))
    }
}

/// What one field counts.
struct Unit {
    name: &'static str,
    min: u8,
    /// The end of `*` and of open steps.
    max: u8,
    /// The largest that may be written: 7 is a second name of Sunday.
    written_max: u8,
    /// Names of the values from `min`.
    names: &'static [&'static str],
}

const UNITS: [Unit; 6] = [
    Unit::numbers("second", 0, 59),
    Unit::numbers("minute", 0, 59),
    Unit::numbers("hour", 0, 23),
    Unit::numbers("day of month", 1, 31),
    Unit {
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        ..Unit::numbers("month", 1, 12)
    },
    Unit {
        written_max: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        ..Unit::numbers("weekday", 0, 6)
    },
];

/// One field, read.
#[derive(Clone, Copy)]
struct Values {
    /// Bit n: value n.
    set: u64,
    /// Written with a `*`.
    star: bool,
    /// Written with a step that has no end, `5/15`.
    open: bool,
}

impl Unit {
    const fn numbers(name: &'static str, min: u8, max: u8) -> Unit {
        Unit {
            name,
            min,
            max,
            written_max: max,
            names: &[],
        }
    }

    fn all(&self) -> Values {
        Values {
            set: (self.min..=self.max).fold(0, |set, value| set | 1 << value),
            star: true,
            open: false,
        }
    }

    fn parse(&self, text: &str) -> Result<Values, CronFault> {
        let mut values = Values {
            set: 0,
            star: false,
            open: false,
        };
        for item in text.split(',') {
            if item.is_empty() {
                let fix = format!("has an empty part: write {}", self.allowed());
                return Err(self.fault(text, fix));
            }
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (item, None),
            };
            let (first, last) = if range == "*" {
                values.star = true;
                (self.min, self.max)
            } else if let Some((first, last)) = range.split_once('-') {
                self.range(
                    item,
                    self.value(item, first)?,
                    self.value(item, last)?,
                    last,
                )?
            } else {
                let value = self.value(item, range)?;
                values.open |= step.is_some();
                (
                    value,
                    if step.is_some() {
                        value.max(self.max)
                    } else {
                        value
                    },
                )
            };
            let step = match step {
                Some(step) => self.step(item, step, first, last)?,
                None => 1,
            };
            for value in (first..=last).step_by(usize::from(step)) {
                // Only a weekday can be past the end: Sunday as 7.
                values.set |= 1 << if value > self.max { self.min } else { value };
            }
        }
        Ok(values)
    }

    /// `first-last` of `item`, where `last` was written as `text`.
    fn range(&self, item: &str, first: u8, last: u8, text: &str) -> Result<(u8, u8), CronFault> {
        // Sunday begins a week and ends it: SAT-SUN is 6-7, and 7-3 is 0-3.
        let named_sunday = last == 0 && self.written_max == 7 && digits(text).is_none();
        let (first, last) = match (first, last) {
            (1..7, 0) if named_sunday => (first, 7),
            (7, ..7) if self.written_max == 7 => (0, last),
            range => range,
        };
        if first <= last {
            return Ok((first, last));
        }
        let part = |from: u8, to: u8| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        };
        let (until, since) = (part(first, self.max), part(self.min, last));
        Err(self.fault(item, format!("runs backwards: write `{until},{since}`")))
    }

    fn step(&self, item: &str, text: &str, first: u8, last: u8) -> Result<u8, CronFault> {
        match digits(text) {
            Some(0) => Err(self.fault(item, "has a step of 0: write 1 or more".to_owned())),
            Some(step) if step > 1 && step > u32::from(last - first) => Err(self.fault(
                item,
                format!(
                    "has a step that leaves only {first}, since a step starts again with each turn \
                     of the field: write `{first}`, or a step of at most {}",
                    (last - first).max(1)
                ),
            )),
            // Below 256: at most `last - first`, or 1.
            Some(step) => Ok(u8::try_from(step).unwrap_or(u8::MAX)),
            None => Err(self.fault(
                item,
                "has a step that is no number: write a step such as `*/10`".to_owned(),
            )),
        }
    }

    fn value(&self, item: &str, text: &str) -> Result<u8, CronFault> {
        let (min, max) = (self.min, self.written_max);
        if let Some(number) = digits(text) {
            if let Ok(value) = u8::try_from(number)
                && (min..=max).contains(&value)
            {
                return Ok(value);
            }
            return Err(self.fault(item, format!("is out of range: write {}", self.allowed())));
        }
        for (value, name) in (min..).zip(self.names) {
            if text.eq_ignore_ascii_case(name) {
                return Ok(value);
            }
        }
        let fix = if text.contains('?') {
            "has a `?`, which crontab does not know: write `*`".to_owned()
        } else if text.contains('#') {
            "has a `#`, which crontab does not know: write the days it may be on, such as `1-7`, and \
             let the script look at the weekday"
                .to_owned()
        } else if text.eq_ignore_ascii_case("L") || is_marked(text, 'L') {
            "has an `L`, which crontab does not know: write the days it may be on, such as `28-31`, \
             and let the script see whether tomorrow is another month"
                .to_owned()
        } else if text.eq_ignore_ascii_case("LW") || is_marked(text, 'W') {
            "has a `W`, which crontab does not know: write the days it may be on and let the script \
             look at the weekday"
                .to_owned()
        } else if text.is_empty() {
            format!("has an empty part: write {}", self.allowed())
        } else {
            format!("is not understood: write {}", self.allowed())
        };
        Err(self.fault(item, fix))
    }

    /// What may be written, for a sentence.
    fn allowed(&self) -> String {
        let (min, max) = (self.min, self.written_max);
        match (self.names, self.written_max) {
            ([], _) => format!("a number from {min} to {max}, or `*`"),
            ([first, .., last], 7) => {
                format!("0 to 7 (Sunday is 0 and 7), {first} to {last}, or `*`")
            }
            ([first, ..], _) => format!(
                "{min} to {max}, {first} to {}, or `*`",
                self.names[self.names.len() - 1]
            ),
        }
    }

    fn fault(&self, item: &str, fix: String) -> CronFault {
        CronFault::Field {
            field: self.name,
            text: show(item),
            fix,
        }
    }
}

/// A number of digits only; too many of them count as the largest.
fn digits(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

/// Digits, or a weekday's name, with `mark` at the end: `15W`, `5L`, `FRIL`.
fn is_marked(text: &str, mark: char) -> bool {
    let Some(head) = text
        .to_ascii_uppercase()
        .strip_suffix(mark)
        .map(str::to_owned)
    else {
        return false;
    };
    digits(&head).is_some() || UNITS[5].names.contains(&head.as_str())
}

fn expand(nickname: &str) -> Result<&'static str, CronFault> {
    const NICKNAMES: [(&str, &str); 7] = [
        ("hourly", "0 * * * *"),
        ("daily", "0 0 * * *"),
        ("midnight", "0 0 * * *"),
        ("weekly", "0 0 * * 0"),
        ("monthly", "0 0 1 * *"),
        ("yearly", "0 0 1 1 *"),
        ("annually", "0 0 1 1 *"),
    ];
    if let Some((_, line)) = NICKNAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(nickname))
    {
        return Ok(line);
    }
    let word = nickname.split_whitespace().next().unwrap_or_default();
    Err(CronFault::Line(if word.eq_ignore_ascii_case("reboot") {
        "`@reboot` is not a time: nodes start and stop on their own, and there may be several; write \
         when it should run, or enqueue the script when you deploy"
            .to_owned()
    } else if word.eq_ignore_ascii_case("every") {
        "`@every` is not known: write a step, such as `*/10 * * * *` for every ten minutes"
            .to_owned()
    } else {
        format!(
            "`@{}` is not known: write @hourly, @daily, @weekly, @monthly or @yearly, or five fields",
            show(nickname)
        )
    }))
}

fn zone(name: &str) -> Result<TimeZone, CronFault> {
    let fault = |fix| CronFault::TimeZone {
        name: show(name),
        fix,
    };
    if name.starts_with(['+', '-']) {
        return Err(fault(
            "is an offset, not a time zone: write a place, such as `Europe/Berlin`, or `UTC`",
        ));
    }
    match crate::timezone::named(name) {
        Some(zone) => Ok(zone),
        None => Err(fault(
            "is not a time zone: write a name of IANA's database, such as `Europe/Berlin` or `UTC`",
        )),
    }
}

/// What the `cron` crate searches: every value written out, its weekdays being 1 to 7 from Sunday.
fn calendar(
    [second, minute, hour]: [Values; 3],
    day: Values,
    month: Values,
    weekday: Values,
) -> Result<::cron::Schedule, CronFault> {
    let fields = [second, minute, hour, day, month, weekday];
    let line: Vec<String> = fields
        .iter()
        .zip(&UNITS)
        .enumerate()
        .map(|(at, (values, unit))| {
            if values.set == unit.all().set {
                return "*".to_owned();
            }
            let shift = u8::from(at == 5);
            let written: Vec<String> = (unit.min..=unit.max)
                .filter(|value| values.set & (1 << value) != 0)
                .map(|value| (value + shift).to_string())
                .collect();
            written.join(",")
        })
        .collect();
    line.join(" ")
        .parse()
        .map_err(|error: ::cron::error::Error| CronFault::Line(error.to_string()))
}

/// A developer's text in a sentence: short, and on one line.
fn show(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
