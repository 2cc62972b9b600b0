//! Rows in a request's body.

use serde_json::value::RawValue;

use super::{Body, csv};
use crate::data::{BODY_ROWS_MAX, COLUMNS_MAX, DataError};

/// Reads rows as the content type says: JSON when none is said.
///
/// # Errors
/// PGRST102 when they are not in that form, or the form is not ours; 22021 for text that is no UTF-8 or
/// has a NUL; [`DataError::TooLarge`] beyond [`BODY_ROWS_MAX`] rows.
pub fn rows(content_type: Option<&str>, body: &[u8]) -> Result<Body, DataError> {
    let kind = content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match kind {
        None | Some("") => json(body),
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => json(body),
        Some(kind) if kind.eq_ignore_ascii_case("text/csv") => csv::rows(text(body)?),
        Some(kind) if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => form(body),
        Some(kind) => Err(not_acceptable(kind)),
    }
}

/// The refusal of a content type.
pub fn not_acceptable(kind: &str) -> DataError {
    DataError::sql("PGRST102", format!("Content-Type not acceptable: {kind}"))
}

/// Reads one row object, or an array of them.
///
/// # Errors
/// PGRST102 when it is neither, [`DataError::TooLarge`] beyond [`BODY_ROWS_MAX`] rows.
pub fn json(json: &[u8]) -> Result<Body, DataError> {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    let rows: Vec<Object> = match first {
        Some(b'[') => serde_json::from_slice(json).map_err(|_| invalid())?,
        Some(b'{') => vec![serde_json::from_slice(json).map_err(|_| invalid())?],
        _ => return Err(invalid()),
    };
    if rows.len() > BODY_ROWS_MAX {
        return Err(too_many(rows.len()));
    }
    Ok(rows.into_iter().map(|Object(cells)| cells).collect())
}

/// Reads one row object, or the arguments of a call.
///
/// # Errors
/// PGRST102 when it is none.
pub fn row(json: &str) -> Result<Vec<(String, Box<RawValue>)>, DataError> {
    serde_json::from_str(json)
        .map(|Object(cells)| cells)
        .map_err(|_| invalid())
}

/// Reads a form's pairs, in order: arguments of a call.
///
/// # Errors
/// 22021 for text that is no UTF-8 or has a NUL; [`DataError::TooLarge`] beyond [`COLUMNS_MAX`] pairs.
pub fn pairs(form: &[u8]) -> Result<Vec<(String, String)>, DataError> {
    let pairs = form.split(|byte| *byte == b'&').filter(|p| !p.is_empty());
    let mut read = Vec::new();
    for pair in pairs {
        if read.len() == COLUMNS_MAX {
            let message = format!("a form has more than {COLUMNS_MAX} pairs");
            return Err(DataError::TooLarge(message));
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut half = || decoded(halves.next().unwrap_or_default());
        read.push((half()?, half()?));
    }
    Ok(read)
}

/// One row of texts. Of a key that stands there twice, the last one counts.
fn form(body: &[u8]) -> Result<Body, DataError> {
    let mut cells: Vec<(String, Box<RawValue>)> = Vec::new();
    for (key, value) in pairs(body)? {
        let value = string(&value);
        match cells.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => cells.push((key, value)),
        }
    }
    Ok(vec![cells])
}

/// `+` and `%41` as what they stand for.
fn decoded(bytes: &[u8]) -> Result<String, DataError> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        match (byte, code) {
            (b'%', Some((high, low))) => {
                plain.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(*byte),
        }
        at += 1;
    }
    text(&plain).map(str::to_owned)
}

/// # Errors
/// 22021, naming the first byte that is wrong.
fn text(bytes: &[u8]) -> Result<&str, DataError> {
    let bad = match std::str::from_utf8(bytes) {
        Ok(text) => match bytes.contains(&0) {
            false => return Ok(text),
            true => 0,
        },
        Err(error) => bytes.get(error.valid_up_to()).copied().unwrap_or(0),
    };
    let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{bad:02x}");
    Err(DataError::sql("22021", message))
}

/// A JSON string.
pub(super) fn string(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("any text is a JSON string")
}

pub(super) fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

pub(super) fn too_many(rows: usize) -> DataError {
    DataError::TooLarge(format!(
        "a body has {rows} rows; {BODY_ROWS_MAX} are the most"
    ))
}

fn invalid() -> DataError {
    DataError::sql("PGRST102", "Empty or invalid json")
}

/// An object whose keys keep their order; of a key that stands there twice, the last one counts.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Object, D::Error> {
        struct Cells;
        impl<'de> serde::de::Visitor<'de> for Cells {
            type Value = Vec<(String, Box<RawValue>)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut cells: Self::Value = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    match cells.iter().position(|(known, _)| *known == key) {
                        Some(at) => cells[at].1 = value,
                        // No table has more columns than this.
                        None if cells.len() == COLUMNS_MAX => {
                            return Err(serde::de::Error::custom("too many keys"));
                        }
                        None => cells.push((key, value)),
                    }
                }
                Ok(cells)
            }
        }
        from.deserialize_map(Cells).map(Object)
    }
}
