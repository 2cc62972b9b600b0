//! Schedules against another reader of cron lines, on 48 known clock changes and on made-up lines.

use std::str::FromStr;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::cron::Schedule;
use super::cron_tests::{at, check, shown};

#[test]
fn forty_eight_clock_changes_in_twelve_zones() {
    let mut changes = 0;
    let rows = include_str!("clock_changes.txt").lines();
    for row in rows.filter(|row| !row.starts_with('#')) {
        let parts: Vec<&str> = row.split(" | ").collect();
        let [
            change,
            fixed,
            fixed_runs,
            interval,
            interval_after,
            interval_runs,
        ] = parts[..]
        else {
            panic!("{row}");
        };
        let change: Vec<&str> = change.split_whitespace().collect();
        let (zone, instant) = (change[0], change[2]);
        let fixed_after = shown(at(instant) - 36 * 3600);
        for (line, after, runs) in [
            (fixed, fixed_after.as_str(), fixed_runs),
            (interval, interval_after, interval_runs),
        ] {
            check(line, zone, after, runs);
            let fields: Vec<String> = format!("0 {line}")
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            let mut last = at(after);
            for run in runs.split_whitespace() {
                last = other_reader(&fields, zone, last).unwrap();
                assert_eq!(shown(last), run, "croner: `{line}` in {zone}");
            }
        }
        changes += 1;
    }
    assert_eq!(changes, 48);
}

const ZONES: [&str; 16] = [
    "UTC",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Santiago",
    "America/Havana",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "America/Nuuk",
    "America/St_Johns",
    "America/Scoresbysund",
    "Asia/Kathmandu",
    "Pacific/Chatham",
];

/// What croner says, with the differences that `cron.rs` lists taken out: `fields` are six.
///
/// - Open steps are given an end.
/// - Days with a `*` in them that are not `*` alone are joined with croner's `+`.
/// - A fixed line of several times is as many lines of one time.
fn other_reader(fields: &[String], zone: &str, after: i64) -> Option<i64> {
    const MAX: [u8; 6] = [59, 59, 23, 31, 12, 6];
    let mut fields: Vec<String> = fields.to_vec();
    let mut open = [false; 6];
    for (at, field) in fields.iter_mut().enumerate() {
        let items: Vec<String> = field
            .split(',')
            .map(|item| match item.split_once('/') {
                Some((first, step)) if first != "*" && !first.contains('-') => {
                    open[at] = true;
                    format!("{first}-{}/{step}", MAX[at])
                }
                _ => item.to_owned(),
            })
            .collect();
        *field = items.join(",");
    }
    let interval = (0..3).any(|at| open[at] || fields[at].contains('*'));
    if fields[3] != "*" && fields[5] != "*" && (fields[3].contains('*') || fields[5].contains('*'))
    {
        fields[5].insert(0, '+');
    }
    let start = Timestamp::from_second(after)
        .unwrap()
        .to_zoned(TimeZone::get(zone).unwrap());
    let values = |at: usize| -> Vec<String> {
        if interval {
            return vec![fields[at].clone()];
        }
        fields[at].split(',').flat_map(written_out).collect()
    };
    let mut first = None;
    for second in values(0) {
        for minute in values(1) {
            for hour in values(2) {
                let line = format!("{second} {minute} {hour} {}", fields[3..].join(" "));
                let cron = Cron::from_str(&line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
                let next = cron.find_next_occurrence(&start, false).ok();
                let next = next.map(|next| next.timestamp().as_second());
                first = [first, next].into_iter().flatten().min();
            }
        }
    }
    first
}

/// Whether the clock jumped into another day at `instant`.
fn gap_over_midnight(zone: &str, instant: i64) -> bool {
    let zone = TimeZone::get(zone).unwrap();
    let instant = Timestamp::from_second(instant).unwrap();
    let before = Timestamp::from_second(instant.as_second() - 1).unwrap();
    let old = zone.to_offset(before).to_datetime(instant);
    let new = zone.to_offset(instant).to_datetime(instant);
    old < new && old.date() != new.date()
}

/// `1-5/2` as `1`, `3`, `5`.
fn written_out(item: &str) -> Vec<String> {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u8, u8) = (first.parse().unwrap(), last.parse().unwrap());
    (first..=last)
        .step_by(step.parse().unwrap())
        .map(|value| value.to_string())
        .collect()
}

/// Values, short ranges and their steps: what a fixed line is made of.
fn few(min: u8, max: u8) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => (min..=max).prop_map(|value| value.to_string()),
        1 => (min..max, 1..4u8).prop_map(move |(first, more)| {
            format!("{first}-{}", (first + more).min(max))
        }),
        1 => (min..=max - 4, 2..5u8).prop_map(move |(first, step)| format!("{first}-{}/{step}", first + 4)),
    ];
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

/// Any field that both readers take, stars and open steps too.
fn any_field(min: u8, max: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => few(min, max),
        1 => (1..=max - min).prop_map(|step| format!("*/{step}")),
        1 => (min..max).prop_flat_map(move |first| {
            (Just(first), 1..=max - first).prop_map(|(first, step)| format!("{first}/{step}"))
        }),
    ]
}

/// Six fields: a fixed line half of the time.
fn line() -> impl Strategy<Value = Vec<String>> {
    let fixed = (
        prop_oneof![3 => Just("0".to_owned()), 1 => few(0, 59)],
        few(0, 59),
        few(0, 23),
    );
    let any = (
        prop_oneof![3 => Just("0".to_owned()), 1 => any_field(0, 59)],
        any_field(0, 59),
        any_field(0, 23),
    );
    let often = |field: BoxedStrategy<String>| prop_oneof![1 => Just("*".to_owned()), 1 => field];
    (
        prop_oneof![fixed.boxed(), any.boxed()],
        often(any_field(1, 31).boxed()),
        often(any_field(1, 12).boxed()),
        often(any_field(0, 6).boxed()),
    )
        .prop_map(|((second, minute, hour), day, month, weekday)| {
            vec![second, minute, hour, day, month, weekday]
        })
}

/// An instant from 2000 to 2040 in a zone: half of them within a day of a clock change.
fn zone_and_instant() -> impl Strategy<Value = (&'static str, i64)> {
    let instant = at("2000-01-01T00:00Z")..at("2040-01-01T00:00Z");
    (
        prop::sample::select(&ZONES[..]),
        instant,
        any::<bool>(),
        -90_000..10_000i64,
    )
        .prop_map(|(zone, instant, near, distance)| {
            let from = Timestamp::from_second(instant).unwrap();
            let change = TimeZone::get(zone)
                .unwrap()
                .following(from)
                .next()
                .map(|change| change.timestamp());
            match change {
                Some(change) if near => (zone, change.as_second() + distance),
                _ => (zone, instant),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn another_reader_agrees((zone, start) in zone_and_instant(), fields in line()) {
        let line = fields.join(" ");
        let Ok(schedule) = Schedule::parse(&line, zone) else {
            // Only a day that no month has is refused.
            prop_assert_eq!(other_reader(&fields, zone, start), None, "{}", line);
            return Ok(());
        };
        let mut last = start;
        for _ in 0..4 {
            let next = schedule.next_after(last);
            let other = other_reader(&fields, zone, last).filter(|&other| other < at("2100-12-30T00:00Z"));
            let Some(next) = next else {
                prop_assert_eq!(other, None, "`{}` in {} after {}", line, zone, shown(last));
                break;
            };
            // croner has nothing to run at the end of a gap that ends on another day.
            if !(gap_over_midnight(zone, next) && other.is_none_or(|other| other > next)) {
                prop_assert_eq!(Some(shown(next)), other.map(shown), "`{}` in {} after {}", line, zone, shown(last));
            }
            last = next;
        }
    }

    #[test]
    fn the_next_run_is_later_and_none_lies_between(
        (zone, start) in zone_and_instant(), fields in line(), share in 0.0..1.0f64,
    ) {
        if let Ok(schedule) = Schedule::parse(&fields.join(" "), zone)
            && let Some(next) = schedule.next_after(start)
        {
            prop_assert!(next > start);
            let between = start + ((next - start) as f64 * share) as i64;
            prop_assert_eq!(schedule.next_after(between.min(next - 1)), Some(next));
        }
    }

    #[test]
    fn any_instant_has_an_answer(after in any::<i64>(), fields in line()) {
        if let Ok(schedule) = Schedule::parse(&fields.join(" "), "America/New_York")
            && let Some(next) = schedule.next_after(after)
        {
            prop_assert!(next > after);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_in_a_sentence(
        line in prop_oneof![
            any::<String>(),
            "[-*/,0-9A-Za-z?#@ ]{0,40}",
            "([-*/,0-9?#LW]{1,6} ){4,5}[-*/,0-9A-Z]{1,8}",
        ],
        zone in prop_oneof![3 => Just("UTC".to_owned()), 1 => any::<String>()],
    ) {
        match Schedule::parse(&line, &zone) {
            Ok(schedule) => prop_assert!(schedule.next_after(0) > Some(0)),
            Err(fault) => {
                let said = fault.to_string();
                prop_assert!(said.contains("write") || said.contains("change the day"), "{}", said);
                prop_assert!(said.len() < 600 && !said.chars().any(char::is_control), "{:?}", said);
            }
        }
    }
}
