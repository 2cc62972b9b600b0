//! uuid.

use super::invalid;
use crate::data::DataError;

/// Sixteen bytes in hexadecimal, a dash allowed after each four digits, braces allowed around.
pub(super) fn parse(text: &str) -> Result<String, DataError> {
    read(text.as_bytes()).ok_or_else(|| invalid("uuid", text))
}

fn read(text: &[u8]) -> Option<String> {
    let mut rest = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let mut uuid = String::with_capacity(36);
    for place in 0..32 {
        if place != 0 && place % 4 == 0 && rest.first() == Some(&b'-') {
            rest = &rest[1..];
        }
        if matches!(place, 8 | 12 | 16 | 20) {
            uuid.push('-');
        }
        let (digit, tail) = rest.split_first()?;
        if !digit.is_ascii_hexdigit() {
            return None;
        }
        uuid.push(char::from(digit.to_ascii_lowercase()));
        rest = tail;
    }
    rest.is_empty().then_some(uuid)
}
