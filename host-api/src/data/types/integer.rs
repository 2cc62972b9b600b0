//! smallint, integer, bigint.

use super::{invalid, is_space, trim_start};
use crate::data::DataError;

/// Reads decimal digits with an optional sign, blanks around them, within the range of `N`.
pub(super) fn parse<N>(text: &str, ty: &str) -> Result<i64, DataError>
where
    N: TryFrom<i64>,
{
    let body = trim_start(text).as_bytes();
    let (negative, digits) = match body {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, body),
    };
    let mut number = 0_i64;
    let mut end = 0;
    while let Some(digit) = digits.get(end).filter(|byte| byte.is_ascii_digit()) {
        // Counted downwards: the least number has no positive twin.
        let next = number
            .checked_mul(10)
            .and_then(|tens| tens.checked_sub(i64::from(digit - b'0')));
        match next {
            // Too large is said before what follows is looked at.
            Some(next) if N::try_from(next).is_ok() => number = next,
            _ => return Err(out_of_range(text, ty)),
        }
        end += 1;
    }
    if end == 0 || !digits[end..].iter().all(|byte| is_space(*byte)) {
        return Err(invalid(ty, text));
    }
    let number = if negative {
        Some(number)
    } else {
        number.checked_neg()
    };
    match number {
        Some(number) if N::try_from(number).is_ok() => Ok(number),
        _ => Err(out_of_range(text, ty)),
    }
}

fn out_of_range(text: &str, ty: &str) -> DataError {
    DataError::sql(
        "22003",
        format!("value \"{text}\" is out of range for type {ty}"),
    )
}

/// Appends decimal digits.
pub(super) fn write(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn write_text(number: i64, out: &mut String) {
    use std::fmt::Write;
    write!(out, "{number}").expect("a String takes any text");
}
