//! What every connection knows beside SQLite's own functions.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::data::functions::too_long;
use crate::data::sqlite_ffi::{Connection, SqliteError, VALUE_BYTES_MAX};
use crate::data::types::COLLATIONS;
use crate::data::{DataError, Type, Value, ValueRef};

pub(in crate::data) fn register(connection: &Connection) -> Result<(), SqliteError> {
    for (name, compare) in COLLATIONS {
        connection.collation(name, compare)?;
    }
    crate::data::changes::register(connection)?;
    crate::data::functions::register(connection)?;
    connection.context_function("now", 0, false, |_, now, _| {
        Ok(Value::Text(timestamptz(now)))
    })?;
    connection.function("gen_random_uuid", 0, false, |_| {
        Ok(Value::Text(Uuid::new_v4().to_string()))
    })?;
    // Who calls is the same throughout a statement: SQLite then asks once, not for every row.
    connection.context_function("pumice_role", 0, true, |context, _, _| {
        Ok(Value::Text(context.role.to_string()))
    })?;
    connection.context_function("pumice_claims", 0, true, |context, _, _| {
        Ok(Value::Text(context.claims.to_string()))
    })?;
    connection.context_function("pumice_uid", 0, true, |context, _, _| {
        match claim(&context.claims, "sub") {
            Some(id) if !id.is_empty() => Type::Uuid.from_text(&id),
            _ => Ok(Value::Null),
        }
    })?;
    connection.context_function("pumice_email", 0, true, |context, _, _| {
        Ok(claim(&context.claims, "email").map_or(Value::Null, Value::Text))
    })?;
    // SQLite's own take time with the product of both lengths, in one step that no deadline sees.
    connection.function("instr", 2, true, |args| {
        Ok(match args {
            [ValueRef::Null, _] | [_, ValueRef::Null] => Value::Null,
            [ValueRef::Blob(whole), ValueRef::Blob(part)] => {
                // A character for each byte: searching text takes linear time.
                let letters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
                let (whole, part): (String, String) = (letters(whole), letters(part));
                let found = whole.find(&*part);
                Value::Integer(found.map_or(0, |at| whole[..at].chars().count() as i64 + 1))
            }
            [whole, part] => {
                let (whole, part) = (text_of(*whole), text_of(*part));
                let found = whole.find(&*part);
                Value::Integer(found.map_or(0, |at| whole[..at].chars().count() as i64 + 1))
            }
            _ => Value::Null,
        })
    })?;
    connection.function("replace", 3, true, |args| match args {
        [whole, part, with]
            if ![whole, part, with]
                .iter()
                .any(|v| matches!(v, ValueRef::Null)) =>
        {
            replace(&text_of(*whole), &text_of(*part), &text_of(*with)).map(Value::Text)
        }
        _ => Ok(Value::Null),
    })?;
    connection.context_function("pumice_depth", 0, false, |context, _, _| {
        Ok(Value::Integer(context.depth.into()))
    })
}

/// A claim's text, as `->>` gives it.
fn claim(claims: &str, name: &str) -> Option<String> {
    let claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(claims).ok()?;
    match claims.get(name)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A moment as a column of type timestamptz stores it: UTC, microseconds, no trailing zeros.
pub fn timestamptz(at: SystemTime) -> String {
    let at = DateTime::<Utc>::from(at);
    let mut text = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    text.truncate(
        text.trim_end_matches('0')
            .trim_end_matches('.')
            .len()
            .max(19),
    );
    text.push_str("+00:00");
    text
}

/// # Errors
/// 54000 when the answer is longer than a value may be: that is known before any of it is made.
fn replace(whole: &str, part: &str, with: &str) -> Result<String, DataError> {
    if part.is_empty() {
        return Ok(whole.to_owned());
    }
    if with.len() > part.len() {
        let found = whole.matches(part).count();
        let length = found.saturating_mul(with.len() - part.len());
        if whole.len().saturating_add(length) > VALUE_BYTES_MAX {
            return Err(too_long(VALUE_BYTES_MAX));
        }
    }
    Ok(whole.replace(part, with))
}

fn text_of(value: ValueRef<'_>) -> Cow<'_, str> {
    match value {
        ValueRef::Null => Cow::Borrowed(""),
        ValueRef::Integer(number) => number.to_string().into(),
        ValueRef::Real(number) => format!("{number:?}").into(),
        ValueRef::Text(text) => text.into(),
        ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::time::Duration;

    use super::*;

    fn numeric(left: &[u8], right: &[u8]) -> Ordering {
        COLLATIONS[0].1(left, right)
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered = [
            "-Infinity",
            "-100000000000000000000000000000000000000001",
            "-100000000000000000000000000000000000000000.5",
            "-10",
            "-9.99",
            "-0.01",
            "-0.001",
            "0",
            "0.0009",
            "0.001",
            "1.4999999999999999999999999999999999999",
            "1.5",
            "2",
            "10",
            "9007199254740993",
            "9007199254740993.1",
            "Infinity",
            "NaN",
            "no number",
        ];
        for (i, left) in ordered.iter().enumerate() {
            for (j, right) in ordered.iter().enumerate() {
                assert_eq!(
                    numeric(left.as_bytes(), right.as_bytes()),
                    i.cmp(&j),
                    "{left} {right}"
                );
            }
        }
        for (left, right) in [
            ("1.5", "1.500"),
            ("0", "-0.00"),
            ("007", "7"),
            (".5", "0.5"),
        ] {
            assert!(
                numeric(left.as_bytes(), right.as_bytes()).is_eq(),
                "{left} {right}"
            );
        }
        for text in ["", ".", "-", "1e5", "1.2.3", " 1", "--1"] {
            assert!(
                numeric(text.as_bytes(), b"NaN").is_gt(),
                "{text:?} is no number"
            );
        }
    }

    #[test]
    fn a_moment_has_no_trailing_zeros() {
        for (micros, expect) in [
            (1_622_894_400_123_456, "2021-06-05T12:00:00.123456+00:00"),
            (1_622_894_400_120_000, "2021-06-05T12:00:00.12+00:00"),
            (1_622_894_400_000_000, "2021-06-05T12:00:00+00:00"),
            (1_622_894_410_000_001, "2021-06-05T12:00:10.000001+00:00"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(timestamptz(at), expect);
        }
    }
}
