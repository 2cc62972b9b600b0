//! Medians, percentiles, and how figures are written.

use std::time::Duration;

/// The value below which `share` (0 to 1) of the values lie; 0 of none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(0.0)
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// How well a threshold tells these two apart: the chance that one of the first lies above one of the second
/// or, if that is greater, below it. 0.5 is not at all, 1 is always; equal values count half. This is the area
/// under the curve of a classifier.
pub fn apart(first: &[f64], second: &[f64]) -> f64 {
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below: f64 = first
        .iter()
        .map(|value| {
            let less = sorted.partition_point(|other| other < value);
            let not_more = sorted.partition_point(|other| other <= value);
            (less + not_more) as f64 / 2.0
        })
        .sum();
    let pairs = first.len() as f64 * second.len() as f64;
    if pairs == 0.0 {
        return 0.5;
    }
    let share = below / pairs;
    share.max(1.0 - share)
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// With thousands set apart, without decimals.
pub fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" {
        text.insert(0, '-');
    }
    text
}

/// With as many decimals as leave about three digits that say something.
pub fn short(value: f64) -> String {
    match value.abs() {
        value_abs if value_abs >= 100.0 => whole(value),
        value_abs if value_abs >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.5), 50.0);
        assert_eq!(percentile(&hundred, 0.99), 99.0);
        assert_eq!(percentile(&hundred, 1.0), 100.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[], 0.99), 0.0);
    }

    #[test]
    fn what_differs_can_be_told_apart() {
        assert_eq!(apart(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(apart(&[3.0, 4.0], &[1.0, 2.0]), 1.0);
        assert_eq!(apart(&[1.0, 4.0], &[2.0, 3.0]), 0.5);
        assert_eq!(apart(&[2.0, 2.0], &[2.0]), 0.5);
        assert_eq!(apart(&[1.0, 3.0, 4.0, 5.0], &[2.0]), 0.75);
        assert_eq!(apart(&[], &[2.0]), 0.5);
    }

    #[test]
    fn figures_are_written_for_people() {
        for (value, expect) in [
            (0.0, "0"),
            (999.4, "999"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-0.2, "0"),
            (-4321.0, "-4,321"),
        ] {
            assert_eq!(whole(value), expect);
        }
        assert_eq!(
            [short(1.234), short(12.34), short(1234.0)],
            ["1.23", "12.3", "1,234"]
        );
    }
}
