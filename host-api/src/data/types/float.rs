//! real and double precision.

use std::fmt::Write;

use super::{invalid, trim};
use crate::data::{DataError, Value};

pub(super) fn parse_double(text: &str) -> Result<Value, DataError> {
    match syntax(text, "double precision")? {
        Float::NaN => Ok(Value::Text("NaN".to_owned())),
        Float::Infinity(number) => Ok(Value::Real(number)),
        Float::Finite(digits) => {
            let number: f64 = digits
                .parse()
                .map_err(|_| invalid("double precision", text))?;
            // PostgreSQL refuses what rounds to nothing as well.
            if number.is_infinite() || number == 0.0 && !is_zero(digits) {
                return Err(out_of_range(digits, "double precision"));
            }
            Ok(Value::Real(number))
        }
    }
}

/// As [`parse_double`], rounded once, to 32 bits.
pub(super) fn parse_real(text: &str) -> Result<Value, DataError> {
    match syntax(text, "real")? {
        Float::NaN => Ok(Value::Text("NaN".to_owned())),
        Float::Infinity(number) => Ok(Value::Real(number)),
        Float::Finite(digits) => {
            let number: f32 = digits.parse().map_err(|_| invalid("real", text))?;
            if number.is_infinite() || number == 0.0 && !is_zero(digits) {
                return Err(out_of_range(digits, "real"));
            }
            Ok(Value::Real(f64::from(number)))
        }
    }
}

enum Float<'t> {
    NaN,
    Infinity(f64),
    /// Decimal form, a sign and an exponent allowed.
    Finite(&'t str),
}

fn syntax<'t>(text: &'t str, ty: &str) -> Result<Float<'t>, DataError> {
    let body = trim(text);
    let (sign, magnitude) = match body.as_bytes().first() {
        Some(b'-') => (-1.0, &body[1..]),
        Some(b'+') => (1.0, &body[1..]),
        _ => (1.0, body),
    };
    match magnitude.as_bytes().first() {
        Some(b'0'..=b'9' | b'.') => {
            let end = decimal_end(magnitude.as_bytes());
            match end {
                Some(end) if end == magnitude.len() => Ok(Float::Finite(body)),
                _ => Err(invalid(ty, text)),
            }
        }
        _ if magnitude.eq_ignore_ascii_case("nan") => Ok(Float::NaN),
        _ if magnitude.eq_ignore_ascii_case("inf")
            || magnitude.eq_ignore_ascii_case("infinity") =>
        {
            Ok(Float::Infinity(sign * f64::INFINITY))
        }
        _ => Err(invalid(ty, text)),
    }
}

/// Where digits, point and exponent end; `None` without a digit.
fn decimal_end(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        text[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let whole = digits(0);
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + signed).min(text.len()));
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    Some(end)
}

fn is_zero(digits: &str) -> bool {
    digits
        .bytes()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .all(|byte| !matches!(byte, b'1'..=b'9'))
}

fn out_of_range(digits: &str, ty: &str) -> DataError {
    DataError::sql(
        "22003",
        format!("\"{digits}\" is out of range for type {ty}"),
    )
}

/// Appends the shortest decimal that reads back as the same number; `real` says of how many bits.
pub(super) fn write_text(number: f64, real: bool, out: &mut String) {
    if number.is_nan() {
        return out.push_str("NaN");
    }
    if number.is_infinite() {
        return out.push_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    if number == 0.0 {
        return out.push_str(if number.is_sign_negative() { "-0" } else { "0" });
    }
    let (digits, exponent) = shortest(number.abs(), real);
    let digits = digits.as_str();
    if number < 0.0 {
        out.push('-');
    }
    // Where PostgreSQL turns to an exponent: `d2s.c` and `f2s.c`.
    let fixed_below = if real { 6 } else { 15 };
    if exponent < -4 || exponent >= fixed_below {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("a String takes any text");
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', whole - digits.len()));
        } else {
            out.push_str(&digits[..whole]);
            out.push('.');
            out.push_str(&digits[whole..]);
        }
    }
}

/// Appends a JSON number, or a string for what JSON has no number for.
pub(super) fn write_json(number: f64, real: bool, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(24);
    write_text(number, real, &mut text);
    let quote: &[u8] = if number.is_finite() { b"" } else { b"\"" };
    out.extend_from_slice(quote);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(quote);
}

/// The digits of a number above zero, and the power of ten of the first of them.
fn shortest(number: f64, real: bool) -> (String, i32) {
    let mut text = String::with_capacity(28);
    let scientific = |text: &mut String, digits: Option<usize>| {
        text.clear();
        match (real, digits) {
            (true, None) => write!(text, "{:e}", number as f32),
            (false, None) => write!(text, "{number:e}"),
            (true, Some(digits)) => write!(text, "{:.*e}", digits - 1, number as f32),
            (false, Some(digits)) => write!(text, "{number:.*e}", digits - 1),
        }
        .expect("a String takes any text");
    };
    scientific(&mut text, None);
    let digits_of = |text: &str| {
        let digits = text.bytes().take_while(|byte| *byte != b'e').count();
        digits - usize::from(digits > 1)
    };
    // Of two that are equally near, PostgreSQL takes the even one. Fewer digits leave no choice.
    let digits = digits_of(&text);
    if digits >= if real { 7 } else { 15 } {
        let shortest = text.clone();
        scientific(&mut text, Some(digits));
        // Beside a power of two the nearest decimal may read back as another number.
        if text != shortest && !reads_back(&text, number, real) {
            text = shortest;
        }
    }
    // Rust takes a decimal that lies exactly between two floats, PostgreSQL takes one more digit. Such
    // decimals need more digits than a float has unless the float is an integer or almost one.
    let (from, to) = if real {
        (1048576.0, 1e20)
    } else {
        (1e15, 1e42)
    };
    if (from..to).contains(&number) {
        let mut digits = digits_of(&text);
        while digits < 17 && !is_within(&text, number, real) {
            digits += 1;
            scientific(&mut text, Some(digits));
        }
    }
    let at = text.find('e').unwrap_or(text.len());
    let exponent = text.get(at + 1..).and_then(|e| e.parse().ok()).unwrap_or(0);
    text.truncate(at);
    text.retain(|c| c != '.');
    let end = text.trim_end_matches('0').len();
    text.truncate(end.max(1));
    (text, exponent)
}

/// Whether decimals a little beside this one, on both sides, still read back as `number`.
fn is_within(text: &str, number: f64, real: bool) -> bool {
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return true;
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(digits) = format!("{whole}{fraction}").parse::<u64>() else {
        return true;
    };
    let Ok(exponent) = exponent.parse::<i64>() else {
        return true;
    };
    let exponent = exponent - fraction.len() as i64;
    let above = format!("{digits}.00000000000000000001e{exponent}");
    let below = format!("{}.99999999999999999999e{exponent}", digits - 1);
    reads_back(&above, number, real) && reads_back(&below, number, real)
}

fn reads_back(text: &str, number: f64, real: bool) -> bool {
    if real {
        text.parse() == Ok(number as f32)
    } else {
        text.parse() == Ok(number)
    }
}
