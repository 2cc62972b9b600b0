//! numeric: exact decimals of any length, as text.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{invalid, is_space, trim};
use crate::data::{DataError, SqlFault};

/// Digits before the point.
///
/// Source: PostgreSQL 15, "8.1.2. Arbitrary Precision Numbers".
const WHOLE_DIGITS_MAX: i64 = 131_072;
/// Digits after the point; same source.
const SCALE_MAX: i64 = 16_383;
/// Exponents beyond this are refused before anything is counted.
const EXPONENT_MAX: i64 = i32::MAX as i64 / 2;

/// Reads a decimal, with an exponent or not, `NaN` or an infinity; `precision` is the digits in all
/// and after the point that the column declares. Gives the plain form: no exponent, no sign before
/// zero, as many digits after the point as were written or are declared.
pub(super) fn parse(text: &str, precision: Option<(u32, u32)>) -> Result<Cow<'_, str>, DataError> {
    if precision.is_none() && is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    let body = trim(text);
    if let Some(special) = special(body) {
        if let (Some((precision, scale)), true) = (precision, special != "NaN") {
            return Err(SqlFault::new("22003", "numeric field overflow")
                .details(format!(
                    "A field with precision {precision}, scale {scale} cannot hold an infinite value."
                ))
                .into());
        }
        return Ok(Cow::Borrowed(special));
    }
    let mut decimal = Decimal::read(body).ok_or_else(|| invalid("numeric", text))??;
    if let Some((precision, scale)) = precision {
        decimal.round(i64::from(scale));
        let whole_digits = i64::from(precision) - i64::from(scale);
        if !decimal.digits.is_empty() && decimal.point > whole_digits {
            let bound = match whole_digits {
                0 => "1".to_owned(),
                digits => format!("10^{digits}"),
            };
            return Err(SqlFault::new("22003", "numeric field overflow")
                .details(format!(
                    "A field with precision {precision}, scale {scale} must round to an absolute \
                     value less than {bound}."
                ))
                .into());
        }
    }
    if decimal.scale > SCALE_MAX || !decimal.digits.is_empty() && decimal.point > WHOLE_DIGITS_MAX {
        return Err(overflow());
    }
    Ok(Cow::Owned(decimal.plain()))
}

fn overflow() -> DataError {
    DataError::sql("22003", "value overflows numeric format")
}

fn special(body: &str) -> Option<&'static str> {
    let (negative, word) = match body.as_bytes().first()? {
        b'-' => (true, &body[1..]),
        b'+' => (false, &body[1..]),
        _ => (false, body),
    };
    if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") {
        return Some(if negative { "-Infinity" } else { "Infinity" });
    }
    body.eq_ignore_ascii_case("nan").then_some("NaN")
}

/// Whether the text is already what [`parse`] would make of it. May say no to some that are.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let digits = if negative { &bytes[1..] } else { bytes };
    if digits.is_empty() || digits.len() > 1000 {
        return false;
    }
    if digits[0] == b'0' && (negative || digits.get(1).is_some_and(|next| *next != b'.')) {
        return false;
    }
    let mut point = false;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !point && at > 0 && at + 1 < digits.len() => point = true,
            _ => return false,
        }
    }
    true
}

/// Whether a stored numeric is a number and not NaN or an infinity.
pub(super) fn is_finite(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..])
}

/// 0.d₁d₂d₃… × 10^point.
struct Decimal {
    negative: bool,
    /// ASCII digits, the first of them not zero; empty for zero.
    digits: Vec<u8>,
    point: i64,
    /// Digits to show after the point.
    scale: i64,
}

impl Decimal {
    /// `None` when it is no decimal.
    fn read(body: &str) -> Option<Result<Decimal, DataError>> {
        let bytes = body.as_bytes();
        let (negative, magnitude) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let run = |from: usize| {
            let rest = magnitude.get(from..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = run(0);
        let mut end = whole;
        let mut fraction = &magnitude[..0];
        if magnitude.get(end) == Some(&b'.') {
            let length = run(end + 1);
            fraction = &magnitude[end + 1..end + 1 + length];
            end += 1 + length;
        }
        let whole = &magnitude[..whole];
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match &magnitude[end..] {
            [] => 0,
            [b'e' | b'E', exponent @ ..] => exponent_of(exponent)?,
            _ => return None,
        };
        if exponent.abs() >= EXPONENT_MAX {
            return Some(Err(overflow()));
        }
        let mut digits = Vec::with_capacity(whole.len() + fraction.len() + 1);
        digits.extend_from_slice(whole);
        digits.extend_from_slice(fraction);
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        Some(Ok(Decimal {
            negative,
            digits,
            point: whole.len() as i64 - zeros as i64 + exponent,
            scale: (fraction.len() as i64 - exponent).max(0),
        }))
    }

    /// Rounds to `scale` digits after the point, halves away from zero.
    fn round(&mut self, scale: i64) {
        self.scale = scale;
        let keep = self.point + scale;
        if keep < 0 {
            self.digits.clear();
        }
        let Some(first_cut) = usize::try_from(keep)
            .ok()
            .filter(|keep| *keep < self.digits.len())
        else {
            return;
        };
        let up = self.digits[first_cut] >= b'5';
        self.digits.truncate(first_cut);
        if !up {
            return;
        }
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.digits.insert(0, b'1');
        self.point += 1;
    }

    /// The plain form; its length is bounded by the limits, which hold by now.
    fn plain(&self) -> String {
        let whole = if self.digits.is_empty() {
            0
        } else {
            self.point
        };
        let digit = |place: i64| {
            let at = usize::try_from(place).ok();
            char::from(*at.and_then(|at| self.digits.get(at)).unwrap_or(&b'0'))
        };
        let mut text = String::with_capacity((whole.max(0) + self.scale + 3) as usize);
        // Rounding leaves digits that are all zero only by leaving none.
        if self.negative && !self.digits.is_empty() {
            text.push('-');
        }
        if whole <= 0 {
            text.push('0');
        }
        (0..whole).for_each(|place| text.push(digit(place)));
        if self.scale > 0 {
            text.push('.');
            (whole..whole + self.scale).for_each(|place| text.push(digit(place)));
        }
        text
    }
}

/// As C's `strtol` reads it: blanks and a sign before the digits.
fn exponent_of(text: &[u8]) -> Option<i64> {
    let blanks = text.iter().take_while(|byte| is_space(**byte)).count();
    let text = &text[blanks..];
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits.iter().fold(0_i64, |number, digit| {
        (number * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX)
    });
    Some(if negative { -exponent } else { exponent })
}

/// Compares stored numerics by value, exactly and at any length: `1.5` and `1.50` are equal, NaN is
/// greatest. Texts that are no numerics come after all, in order of their bytes.
pub fn compare_numeric(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (Ranked::of(a), Ranked::of(b)) {
        (Ranked::Finite(a), Ranked::Finite(b)) => a.compare(&b),
        (Ranked::Stranger, Ranked::Stranger) => a.cmp(b),
        (a, b) => a.rank().cmp(&b.rank()),
    }
}

enum Ranked<'t> {
    MinusInfinity,
    Finite(Parts<'t>),
    Infinity,
    NaN,
    Stranger,
}

struct Parts<'t> {
    negative: bool,
    /// Without zeros in front.
    whole: &'t [u8],
    /// Without zeros at the end.
    fraction: &'t [u8],
}

impl<'t> Ranked<'t> {
    fn of(text: &'t str) -> Ranked<'t> {
        match text {
            "NaN" => Ranked::NaN,
            "Infinity" => Ranked::Infinity,
            "-Infinity" => Ranked::MinusInfinity,
            _ => Parts::of(text.as_bytes()).map_or(Ranked::Stranger, Ranked::Finite),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Ranked::MinusInfinity => 0,
            Ranked::Finite(_) => 1,
            Ranked::Infinity => 2,
            Ranked::NaN => 3,
            Ranked::Stranger => 4,
        }
    }
}

impl<'t> Parts<'t> {
    fn of(text: &'t [u8]) -> Option<Parts<'t>> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let point = digits.iter().position(|byte| *byte == b'.');
        let (mut whole, mut fraction) = match point {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &digits[..0]),
        };
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if digits.is_empty() || !all_digits || whole.is_empty() && fraction.is_empty() {
            return None;
        }
        while let [b'0', rest @ ..] = whole {
            whole = rest;
        }
        while let [rest @ .., b'0'] = fraction {
            fraction = rest;
        }
        Some(Parts {
            negative: negative && !(whole.is_empty() && fraction.is_empty()),
            whole,
            fraction,
        })
    }

    fn compare(&self, other: &Parts<'_>) -> Ordering {
        match (self.negative, other.negative) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        let magnitude = self
            .whole
            .len()
            .cmp(&other.whole.len())
            .then_with(|| self.whole.cmp(other.whole))
            .then_with(|| self.fraction.cmp(other.fraction));
        if self.negative {
            magnitude.reverse()
        } else {
            magnitude
        }
    }
}
