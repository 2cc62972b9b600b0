//! What rows hold, as arguments that both engines take.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::data::{DataError, Value, normalize_jsonb, sqlite};

pub fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

/// Text, or null.
pub fn maybe(text: &Option<String>) -> Value {
    text.clone().map_or(Value::Null, Value::Text)
}

pub fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

pub fn id(id: Uuid) -> Value {
    text(id)
}

pub fn maybe_id(of: Option<Uuid>) -> Value {
    of.map_or(Value::Null, id)
}

/// A moment as a timestamptz is stored: in UTC, to the microsecond.
pub fn time(at: DateTime<Utc>) -> Value {
    Value::Text(sqlite::timestamptz(at.into()))
}

pub fn maybe_time(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, time)
}

/// As a jsonb is stored.
///
/// # Errors
/// 22P05 for `\u0000`, 54001 when nested too deep, and what else PostgreSQL refuses.
pub fn json(value: &impl Serialize) -> Result<Value, DataError> {
    let written = serde_json::to_string(value);
    let written = written.map_err(|error| DataError::Internal(error.to_string()))?;
    Ok(Value::Text(normalize_jsonb(&written)?))
}

/// How many rows: more than there can be is as many as there can be.
pub fn count(rows: u64) -> Value {
    Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}
