//! Schedules against tables: what lines mean, clock changes, refusals, limits.

use std::str::FromStr;

use jiff::Timestamp;

use super::cron::{LINE_BYTES_MAX, Schedule};

pub(super) fn at(instant: &str) -> i64 {
    let full = match instant.len() {
        17 => format!("{}:00Z", &instant[..16]),
        _ => instant.to_owned(),
    };
    Timestamp::from_str(&full).unwrap().as_second()
}

pub(super) fn shown(instant: i64) -> String {
    let shown = Timestamp::from_second(instant).unwrap().to_string();
    shown.replace(":00Z", "Z")
}

/// The runs after `after`, as many as are expected.
pub(super) fn check(line: &str, zone: &str, after: &str, expected: &str) {
    let schedule = Schedule::parse(line, zone).unwrap();
    let mut last = at(after);
    let mut runs = Vec::new();
    for _ in expected.split_whitespace() {
        match schedule.next_after(last) {
            Some(next) => {
                runs.push(shown(next));
                last = next;
            }
            None => runs.push("none".to_owned()),
        }
    }
    assert_eq!(runs.join(" "), expected, "`{line}` in {zone}");
}

#[test]
fn a_line_means_what_crontab_says() {
    for (line, expected) in [
        // 2026-01-01 is a Thursday.
        ("* * * * *", "2026-01-01T00:01Z 2026-01-01T00:02Z"),
        ("30 * * * * *", "2026-01-01T00:00:30Z 2026-01-01T00:01:30Z"),
        ("5 4 * * *", "2026-01-01T04:05Z 2026-01-02T04:05Z"),
        ("05 04 * * *", "2026-01-01T04:05Z 2026-01-02T04:05Z"),
        (
            "*/20 0 * * *",
            "2026-01-01T00:20Z 2026-01-01T00:40Z 2026-01-02T00:00Z",
        ),
        (
            "5/25 0 * * *",
            "2026-01-01T00:05Z 2026-01-01T00:30Z 2026-01-01T00:55Z",
        ),
        (
            "10-30/10 0 * * *",
            "2026-01-01T00:10Z 2026-01-01T00:20Z 2026-01-01T00:30Z",
        ),
        ("0 9,17 * * *", "2026-01-01T09:00Z 2026-01-01T17:00Z"),
        ("0 0 * * 0", "2026-01-04T00:00Z 2026-01-11T00:00Z"),
        ("0 0 * * 7", "2026-01-04T00:00Z 2026-01-11T00:00Z"),
        ("0 0 * * sun", "2026-01-04T00:00Z 2026-01-11T00:00Z"),
        ("0 0 * * 1", "2026-01-05T00:00Z"),
        ("0 0 * * 6", "2026-01-03T00:00Z"),
        (
            "0 0 * * 5-7",
            "2026-01-02T00:00Z 2026-01-03T00:00Z 2026-01-04T00:00Z 2026-01-09T00:00Z",
        ),
        (
            "0 0 * * SAT-SUN",
            "2026-01-03T00:00Z 2026-01-04T00:00Z 2026-01-10T00:00Z",
        ),
        ("0 0 * * 7-7", "2026-01-04T00:00Z 2026-01-11T00:00Z"),
        (
            "0 0 * * 7-1",
            "2026-01-04T00:00Z 2026-01-05T00:00Z 2026-01-11T00:00Z",
        ),
        (
            "0 0 * * Sun-Mon",
            "2026-01-04T00:00Z 2026-01-05T00:00Z 2026-01-11T00:00Z",
        ),
        ("0 0 * * SUN-SUN", "2026-01-04T00:00Z 2026-01-11T00:00Z"),
        (
            "0 0 * * 1/2",
            "2026-01-02T00:00Z 2026-01-05T00:00Z 2026-01-07T00:00Z",
        ),
        (
            "0 0 * * */3",
            "2026-01-03T00:00Z 2026-01-04T00:00Z 2026-01-07T00:00Z",
        ),
        ("0 0 1 jan,JUL *", "2026-07-01T00:00Z 2027-01-01T00:00Z"),
        (
            "0 0 1 FEB-APR *",
            "2026-02-01T00:00Z 2026-03-01T00:00Z 2026-04-01T00:00Z 2027-02-01T00:00Z",
        ),
        ("0 0 29 2 *", "2028-02-29T00:00Z 2032-02-29T00:00Z"),
        ("0 0 31 * *", "2026-01-31T00:00Z 2026-03-31T00:00Z"),
        // Either day, when both are restricted.
        (
            "0 0 13 * 5",
            "2026-01-02T00:00Z 2026-01-09T00:00Z 2026-01-13T00:00Z 2026-01-16T00:00Z",
        ),
        ("0 0 1-31 * 5", "2026-01-02T00:00Z 2026-01-03T00:00Z"),
        ("0 0 29 2 1", "2026-02-02T00:00Z 2026-02-09T00:00Z"),
        ("0 0 30 2 1", "2026-02-02T00:00Z"),
        // A day with `*` in it restricts nothing by itself: both must match.
        (
            "0 0 */2 * MON",
            "2026-01-05T00:00Z 2026-01-19T00:00Z 2026-02-09T00:00Z",
        ),
        ("0 0 29 2 */6", "2032-02-29T00:00Z 2048-02-29T00:00Z"),
        ("@hourly", "2026-01-01T01:00Z 2026-01-01T02:00Z"),
        ("@daily", "2026-01-02T00:00Z"),
        (" @Midnight ", "2026-01-02T00:00Z"),
        ("@weekly", "2026-01-04T00:00Z"),
        ("@monthly", "2026-02-01T00:00Z"),
        ("@yearly", "2027-01-01T00:00Z 2028-01-01T00:00Z"),
        ("@annually", "2027-01-01T00:00Z"),
        ("\t0  0 * * *\n", "2026-01-02T00:00Z"),
    ] {
        check(line, "UTC", "2026-01-01T00:00Z", expected);
    }
}

#[test]
fn clock_changes_known_to_be_hard() {
    for (line, zone, after, expected) in [
        // New York, 2025-03-09: 02:00 EST becomes 03:00 EDT at 07:00Z.
        (
            "30 2 * * *",
            "America/New_York",
            "2025-03-09T06:59:59Z",
            "2025-03-09T07:00Z 2025-03-10T06:30Z",
        ),
        (
            "0 3 * * *",
            "America/New_York",
            "2025-03-09T06:59:59Z",
            "2025-03-09T07:00Z 2025-03-10T07:00Z",
        ),
        (
            "30 2 * * *",
            "America/New_York",
            "2025-03-09T07:00Z",
            "2025-03-10T06:30Z",
        ),
        // Skipped times and the first valid one make one run.
        (
            "0,20,40 2,3 * * *",
            "America/New_York",
            "2025-03-09T06:00Z",
            "2025-03-09T07:00Z 2025-03-09T07:20Z 2025-03-09T07:40Z 2025-03-10T06:00Z",
        ),
        (
            "*/20 2 * * *",
            "America/New_York",
            "2025-03-09T06:00Z",
            "2025-03-10T06:00Z 2025-03-10T06:20Z",
        ),
        (
            "0 * * * *",
            "America/New_York",
            "2025-03-09T05:30Z",
            "2025-03-09T06:00Z 2025-03-09T07:00Z",
        ),
        (
            "0 */2 * * *",
            "America/New_York",
            "2025-03-09T04:30Z",
            "2025-03-09T05:00Z 2025-03-09T08:00Z 2025-03-09T10:00Z",
        ),
        (
            "0 0/2 * * *",
            "America/New_York",
            "2025-03-09T04:30Z",
            "2025-03-09T05:00Z 2025-03-09T08:00Z 2025-03-09T10:00Z",
        ),
        // 2025-11-02: 02:00 EDT becomes 01:00 EST at 06:00Z.
        (
            "30 1 * * *",
            "America/New_York",
            "2025-11-02T05:00Z",
            "2025-11-02T05:30Z 2025-11-03T06:30Z",
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2025-11-02T06:10Z",
            "2025-11-03T06:30Z",
        ),
        (
            "0,30 1 * * *",
            "America/New_York",
            "2025-11-02T04:59Z",
            "2025-11-02T05:00Z 2025-11-02T05:30Z 2025-11-03T06:00Z",
        ),
        (
            "59 59 1 * * *",
            "America/New_York",
            "2025-11-02T05:59:58Z",
            "2025-11-02T05:59:59Z 2025-11-03T06:59:59Z",
        ),
        (
            "0 1-2 * * *",
            "America/New_York",
            "2025-11-02T05:00Z",
            "2025-11-02T07:00Z 2025-11-03T06:00Z",
        ),
        (
            "*/30 * * * *",
            "America/New_York",
            "2025-11-02T05:00Z",
            "2025-11-02T05:30Z 2025-11-02T06:00Z 2025-11-02T06:30Z 2025-11-02T07:00Z",
        ),
        (
            "*/30 1 * * *",
            "America/New_York",
            "2025-11-02T05:10Z",
            "2025-11-02T05:30Z 2025-11-02T06:00Z 2025-11-02T06:30Z 2025-11-03T06:00Z",
        ),
        // Lord Howe moves by half an hour: 02:00 becomes 01:30 at 2025-04-05T15:00Z …
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2025-04-05T14:00Z",
            "2025-04-05T14:45Z 2025-04-06T15:15Z",
        ),
        (
            "45 * * * *",
            "Australia/Lord_Howe",
            "2025-04-05T14:00Z",
            "2025-04-05T14:45Z 2025-04-05T15:15Z 2025-04-05T16:15Z",
        ),
        // … and 02:00 becomes 02:30 at 2025-10-04T15:30Z.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2025-10-04T15:00Z",
            "2025-10-04T15:30Z 2025-10-05T15:15Z",
        ),
        (
            "15 * * * *",
            "Australia/Lord_Howe",
            "2025-10-04T14:00Z",
            "2025-10-04T14:45Z 2025-10-04T16:15Z",
        ),
        // São Paulo had no midnight on 2018-11-04: 00:00 became 01:00 at 03:00Z.
        (
            "0 0 * * *",
            "America/Sao_Paulo",
            "2018-11-03T04:00Z",
            "2018-11-04T03:00Z 2018-11-05T02:00Z",
        ),
        (
            "@monthly",
            "America/Sao_Paulo",
            "2018-11-03T04:00Z",
            "2018-12-01T02:00Z",
        ),
        (
            "@hourly",
            "America/Sao_Paulo",
            "2018-11-04T01:30Z",
            "2018-11-04T02:00Z 2018-11-04T03:00Z 2018-11-04T04:00Z",
        ),
        (
            "0 0 4 11 *",
            "America/Sao_Paulo",
            "2018-01-01T00:00Z",
            "2018-11-04T03:00Z 2019-11-04T03:00Z",
        ),
        // London: 01:00 becomes 02:00, and 02:00 becomes 01:00, both at 01:00Z.
        (
            "30 1 * * *",
            "Europe/London",
            "2025-03-29T12:00Z",
            "2025-03-30T01:00Z 2025-03-31T00:30Z",
        ),
        (
            "30 1 * * *",
            "Europe/London",
            "2025-10-25T12:00Z",
            "2025-10-26T00:30Z 2025-10-27T01:30Z",
        ),
        (
            "30 1 * * 0",
            "Europe/London",
            "2025-10-26T00:30Z",
            "2025-11-02T01:30Z",
        ),
        // Apia had no 2011-12-30: the 31st came at 10:00Z.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00Z",
            "2011-12-29T19:00Z 2011-12-30T10:00Z 2011-12-30T19:00Z",
        ),
        (
            "0 0 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00Z",
            "2011-12-30T10:00Z 2012-12-29T10:00Z",
        ),
        (
            "0 0 * * FRI",
            "Pacific/Apia",
            "2011-12-24T00:00Z",
            "2011-12-30T10:00Z 2012-01-05T10:00Z",
        ),
        (
            "0 */12 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00Z",
            "2011-12-29T10:00Z 2011-12-29T22:00Z 2011-12-30T10:00Z 2011-12-30T22:00Z",
        ),
        (
            "*/30 * 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00Z",
            "2012-12-29T10:00Z",
        ),
        // Nuuk jumps from Saturday 23:00 to Sunday 00:00: Saturday's run comes on Sunday.
        (
            "30 23 * * 6",
            "America/Nuuk",
            "2025-03-28T12:00Z",
            "2025-03-30T01:00Z 2025-04-06T00:30Z",
        ),
        (
            "30 2 * * *",
            "UTC",
            "2025-03-09T02:30Z",
            "2025-03-10T02:30Z",
        ),
    ] {
        check(line, zone, after, expected);
    }
}

#[test]
fn a_refused_line_says_what_to_write() {
    for (line, expected) in [
        (
            "",
            "an empty line is never due: write `minute hour day month weekday`, or six fields with seconds first",
        ),
        (
            "5",
            "one field is not a line: write `minute hour day month weekday`, or six fields with seconds first",
        ),
        (
            "* * * *",
            "4 fields are not a line: write `minute hour day month weekday`, or six fields with seconds first",
        ),
        (
            "0 0 0 * * * 2027",
            "seven fields are one too many, a line has no years: write `minute hour day month weekday`, or six fields with seconds first",
        ),
        (
            "60 * * * *",
            "the minute `60` is out of range: write a number from 0 to 59, or `*`",
        ),
        (
            "99999999999 * * * *",
            "the minute `99999999999` is out of range: write a number from 0 to 59, or `*`",
        ),
        (
            "60 * * * * *",
            "the second `60` is out of range: write a number from 0 to 59, or `*`",
        ),
        (
            "0 24 * * *",
            "the hour `24` is out of range: write a number from 0 to 23, or `*`",
        ),
        (
            "0 0 0 * *",
            "the day of month `0` is out of range: write a number from 1 to 31, or `*`",
        ),
        (
            "0 0 32 * *",
            "the day of month `32` is out of range: write a number from 1 to 31, or `*`",
        ),
        (
            "0 0 * 13 *",
            "the month `13` is out of range: write 1 to 12, JAN to DEC, or `*`",
        ),
        (
            "0 0 * 0 *",
            "the month `0` is out of range: write 1 to 12, JAN to DEC, or `*`",
        ),
        (
            "0 0 * * 8",
            "the weekday `8` is out of range: write 0 to 7 (Sunday is 0 and 7), SUN to SAT, or `*`",
        ),
        (
            "0 0 * * Montag",
            "the weekday `Montag` is not understood: write 0 to 7 (Sunday is 0 and 7), SUN to SAT, or `*`",
        ),
        (
            "0 0 * MON *",
            "the month `MON` is not understood: write 1 to 12, JAN to DEC, or `*`",
        ),
        (
            "-5 * * * *",
            "the minute `-5` has an empty part: write a number from 0 to 59, or `*`",
        ),
        (
            "+5 * * * *",
            "the minute `+5` is not understood: write a number from 0 to 59, or `*`",
        ),
        (
            "1,,2 * * * *",
            "the minute `1,,2` has an empty part: write a number from 0 to 59, or `*`",
        ),
        (
            "1-2-3 * * * *",
            "the minute `1-2-3` is not understood: write a number from 0 to 59, or `*`",
        ),
        (
            "*5 * * * *",
            "the minute `*5` is not understood: write a number from 0 to 59, or `*`",
        ),
        (
            "0 22-2 * * *",
            "the hour `22-2` runs backwards: write `22-23,0-2`",
        ),
        (
            "0 0 * * FRI-MON",
            "the weekday `FRI-MON` runs backwards: write `5-6,0-1`",
        ),
        (
            "0 0 * * 6-0",
            "the weekday `6-0` runs backwards: write `6,0`",
        ),
        (
            "0 0 * * 6-00",
            "the weekday `6-00` runs backwards: write `6,0`",
        ),
        (
            "0 0 5-3 * *",
            "the day of month `5-3` runs backwards: write `5-31,1-3`",
        ),
        (
            "*/0 * * * *",
            "the minute `*/0` has a step of 0: write 1 or more",
        ),
        (
            "*/ * * * *",
            "the minute `*/` has a step that is no number: write a step such as `*/10`",
        ),
        (
            "*/5/5 * * * *",
            "the minute `*/5/5` has a step that is no number: write a step such as `*/10`",
        ),
        (
            "*/90 * * * *",
            "the minute `*/90` has a step that leaves only 0, since a step starts again with each turn of the field: write `0`, or a step of at most 59",
        ),
        (
            "50/20 * * * *",
            "the minute `50/20` has a step that leaves only 50, since a step starts again with each turn of the field: write `50`, or a step of at most 9",
        ),
        (
            "0 0 * * 7/2",
            "the weekday `7/2` has a step that leaves only 7, since a step starts again with each turn of the field: write `7`, or a step of at most 1",
        ),
        (
            "0 0 ? * 1",
            "the day of month `?` has a `?`, which crontab does not know: write `*`",
        ),
        (
            "0 0 L * *",
            "the day of month `L` has an `L`, which crontab does not know: write the days it may be on, such as `28-31`, and let the script see whether tomorrow is another month",
        ),
        (
            "0 0 * * 5L",
            "the weekday `5L` has an `L`, which crontab does not know: write the days it may be on, such as `28-31`, and let the script see whether tomorrow is another month",
        ),
        (
            "0 0 15W * *",
            "the day of month `15W` has a `W`, which crontab does not know: write the days it may be on and let the script look at the weekday",
        ),
        (
            "0 0 * * 1#2",
            "the weekday `1#2` has a `#`, which crontab does not know: write the days it may be on, such as `1-7`, and let the script look at the weekday",
        ),
        (
            "@reboot",
            "`@reboot` is not a time: nodes start and stop on their own, and there may be several; write when it should run, or enqueue the script when you deploy",
        ),
        (
            "@every 5m",
            "`@every` is not known: write a step, such as `*/10 * * * *` for every ten minutes",
        ),
        (
            "@often",
            "`@often` is not known: write @hourly, @daily, @weekly, @monthly or @yearly, or five fields",
        ),
        (
            "0 0 30 2 *",
            "`0 0 30 2 *` is never due: none of its months has such a day; change the day or the month",
        ),
        (
            "0 0 31 2,4,6,9,11 *",
            "`0 0 31 2,4,6,9,11 *` is never due: none of its months has such a day; change the day or the month",
        ),
        (
            "a\u{1b}[31m * * * *",
            "the minute `a\\u{1b}[31m` is not understood: write a number from 0 to 59, or `*`",
        ),
    ] {
        let fault = Schedule::parse(line, "UTC").expect_err(line);
        assert_eq!(fault.to_string(), expected);
    }
}

#[test]
fn a_line_has_a_longest_length() {
    let padded = |bytes: usize| format!("* * * * *{}", " ".repeat(bytes - 9));
    assert!(Schedule::parse(&padded(LINE_BYTES_MAX), "UTC").is_ok());
    let fault = Schedule::parse(&padded(LINE_BYTES_MAX + 1), "UTC").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "a line of 513 bytes is too long: 512 is the most; write ranges and steps"
    );
    // Every value of every field, written out.
    let all = |range: std::ops::RangeInclusive<u8>| {
        let values: Vec<String> = range.map(|value| value.to_string()).collect();
        values.join(",")
    };
    let line = format!("{0} {0} {1} {2} * *", all(0..=59), all(0..=23), all(1..=31));
    check(
        &line,
        "UTC",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:01Z 2026-01-01T00:00:02Z",
    );
}

#[test]
fn a_time_zone_is_a_place() {
    for zone in [
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "america/new_york",
        "Etc/GMT-2",
        "Asia/Calcutta",
    ] {
        assert!(Schedule::parse("@daily", zone).is_ok(), "{zone}");
    }
    for zone in [
        "",
        " ",
        "Europe/Londn",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "posixrules",
        "Factory",
        "Etc/Unknown",
        "posix/UTC",
        "right/UTC",
        "EST5EDT,M3.2.0,M11.1.0",
        "UTC\0",
    ] {
        let fault = Schedule::parse("@daily", zone).expect_err(zone).to_string();
        assert!(
            fault.contains("is not a time zone: write a name of IANA's database"),
            "{fault}"
        );
    }
    let fault = Schedule::parse("@daily", "+02:00").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`+02:00` is an offset, not a time zone: write a place, such as `Europe/Berlin`, or `UTC`"
    );
}

#[test]
fn the_calendar_has_two_ends() {
    check(
        "0 0 1 1 *",
        "UTC",
        "2099-06-01T00:00Z",
        "2100-01-01T00:00Z none",
    );
    check(
        "@daily",
        "Pacific/Pago_Pago",
        "2100-12-31T00:00Z",
        "2100-12-31T11:00Z none",
    );
    check(
        "@daily",
        "Pacific/Kiritimati",
        "2100-12-30T00:00Z",
        "2100-12-30T10:00Z none",
    );
    let every_second = Schedule::parse("* * * * * *", "UTC").unwrap();
    assert_eq!(every_second.next_after(i64::MIN), Some(0));
    assert_eq!(every_second.next_after(-1), Some(0));
    assert_eq!(every_second.next_after(i64::MAX), None);
}

/// Lines that match rarely, or match much and seldom: the search must not walk through seconds.
#[test]
fn no_line_is_searched_for_long() {
    let started = std::time::Instant::now();
    for line in [
        "0 0 29 2 *",
        "0 0 29 2 */6",
        "59 59 23 29 2 */6",
        "0 0 29 2 1",
        "* * * 29 2 */6",
        "0-59 0-59 0-23 29 2 */6",
        "* * 2 * * *",
        "0-59 0-59 1-3 * * *",
        "0 0 31 12 *",
    ] {
        for zone in [
            "UTC",
            "America/New_York",
            "Pacific/Apia",
            "Africa/Casablanca",
        ] {
            let schedule = Schedule::parse(line, zone).unwrap();
            for year in 0..100 {
                schedule.next_after(at("2000-11-01T05:59:59Z") + year * 31_556_952);
            }
        }
    }
    // 3,600 searches. Far above what they take, far below what walking through seconds would.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
