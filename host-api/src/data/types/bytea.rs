//! bytea.

use crate::data::DataError;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads `\x6869` or the older form, where `\\` is a backslash and `\ooo` a byte in octal.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, DataError> {
    match text.strip_prefix("\\x") {
        Some(digits) => hex(digits),
        None => escaped(text.as_bytes())
            .ok_or_else(|| DataError::sql("22P02", "invalid input syntax for type bytea")),
    }
}

fn hex(digits: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut digits = digits.chars();
    let nibble = |digit: char| {
        digit.to_digit(16).map(|digit| digit as u8).ok_or_else(|| {
            DataError::sql("22023", format!("invalid hexadecimal digit: \"{digit}\""))
        })
    };
    // Blanks may stand between pairs, not within one.
    while let Some(high) = digits.next() {
        if matches!(high, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = nibble(high)?;
        let Some(low) = digits.next() else {
            return Err(DataError::sql(
                "22023",
                "invalid hexadecimal data: odd number of digits",
            ));
        };
        bytes.push(high << 4 | nibble(low)?);
    }
    Ok(bytes)
}

fn escaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => return None,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// Appends two digits per byte.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

pub(super) fn write_hex_text(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}
