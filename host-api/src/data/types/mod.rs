//! PostgreSQL's types as SQLite stores them: text and JSON in, one canonical [`Value`] per value, JSON
//! and text out, refusals with PostgreSQL's codes and words. Pure: no clock but for the words `now`
//! and `today`, no database; moments are shown and read in the zone of [`in_zone`].
//!
//! Storage, one line per type:
//!
//! - boolean, smallint, integer, bigint: INTEGER (0 and 1 for boolean).
//! - numeric: TEXT in plain decimal form, declared scale kept; order by [`compare_numeric`].
//! - real, double precision: REAL; NaN is the TEXT `NaN`, which SQLite sorts after every number, as
//!   PostgreSQL does (a REAL NaN would become null). SQLite does not keep the sign of zero.
//! - date, time, timestamp, timestamptz: TEXT in JSON form (timestamptz in UTC), which sorts as text,
//!   `-infinity` first and `infinity` last. Years 0001 to 9999.
//! - interval: TEXT as PostgreSQL writes it. uuid: TEXT in lower case with dashes.
//! - json: TEXT as sent. jsonb: TEXT as PostgreSQL writes it.
//! - arrays: TEXT, a JSON array of the elements' JSON forms.
//! - intervals, jsonb and arrays are ordered and equal by [`Type::collation`].
//! - bytea: BLOB. Everything else: TEXT.
//!
//! Source: PostgreSQL 15, `src/backend/utils/adt`; compared with a server of that version.

mod array;
mod boolean;
mod bytea;
mod calendar;
mod datetime;
mod fields;
mod float;
mod form;
mod integer;
mod interval;
mod json;
mod jsonb;
mod numeric;
mod order;
mod text;
mod uuid;
mod zone;

use serde_json::value::RawValue;

use super::error::{DataError, SqlFault};
use super::schema::{Column, Enum, Type};
use super::value::{Value, ValueRef};

pub use self::json::write_json_string;
pub(in crate::data) use self::json::{Node, parse as parse_json, unescape};
pub use self::jsonb::normalize_jsonb;
pub use self::numeric::compare_numeric;
pub(in crate::data) use self::order::COLLATIONS;
pub use self::zone::{in_zone, is_zone};

/// Whether the declared length, precision and scale of a type apply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// A value that a column will hold: cut, rounded, padded or refused.
    Column,
    /// A value that is only compared: PostgreSQL reads such literals without the type's modifier.
    Literal,
}

impl Type {
    /// Reads a value of a JSON body for a column, as `json_populate_record` does: one JSON text, such
    /// as `5`, `"x"`, `null` or `{"a":1}`.
    ///
    /// Numbers may come as strings. Text columns take any scalar's text, and objects and arrays as
    /// they are written. Array columns take JSON arrays, or PostgreSQL's array literals as strings.
    ///
    /// # Errors
    /// PostgreSQL's: 22P02, 22003, 22001, 22007, 22008, 22P05, 22023; 54001 when nested too deep;
    /// 0A000 for a type that only PostgreSQL has.
    pub fn from_json(&self, json: &RawValue) -> Result<Value, DataError> {
        self.of_json(json.get(), Fit::Column)
    }

    /// Reads a literal of a filter or a parameter in PostgreSQL's text form: `t`, `5`, `{1,2}`,
    /// `2021-06-05 12:00`. Declared length and scale do not apply: `eq.abcd` on a `varchar(3)` is
    /// never true, not an error.
    ///
    /// # Errors
    /// As [`Type::from_json`], and 22021 for a NUL.
    pub fn from_text(&self, text: &str) -> Result<Value, DataError> {
        no_nul(text)?;
        self.of_text(text, Fit::Literal)
    }

    /// Reads PostgreSQL's text form of a value for a column, as a field of a csv body is: like
    /// [`Type::from_text`], and the declared length and scale apply.
    pub fn from_field(&self, text: &str) -> Result<Value, DataError> {
        no_nul(text)?;
        self.of_text(text, Fit::Column)
    }

    /// Appends the JSON form that PostgreSQL's `row_to_json` gives.
    pub fn write_json(&self, value: ValueRef<'_>, out: &mut Vec<u8>) {
        match value {
            ValueRef::Null => out.extend_from_slice(b"null"),
            ValueRef::Integer(number) => match self {
                Type::Boolean => {
                    out.extend_from_slice(if number == 0 { b"false" } else { b"true" });
                }
                _ if self.is_number() => integer::write(number, out),
                _ => {
                    out.push(b'"');
                    integer::write(number, out);
                    out.push(b'"');
                }
            },
            ValueRef::Real(number) => float::write_json(number, *self == Type::Real, out),
            ValueRef::Text(text) => match self {
                Type::Array(element) if **element == Type::Timestamptz && zone::is_set() => {
                    array::write_local(text, out);
                }
                Type::Json | Type::Jsonb | Type::Array(_) => out.extend_from_slice(text.as_bytes()),
                Type::Timestamptz => {
                    let local = datetime::local(text);
                    write_json_string(local.as_deref().unwrap_or(text), out);
                }
                _ if self.is_number() && numeric::is_finite(text) => {
                    out.extend_from_slice(text.as_bytes());
                }
                _ => write_json_string(text, out),
            },
            ValueRef::Blob(bytes) => {
                out.extend_from_slice(b"\"\\\\x");
                bytea::write_hex(bytes, out);
                out.push(b'"');
            }
        }
    }

    /// Appends PostgreSQL's text form, as in csv and in `Key (c)=(…)`; nothing for null.
    pub fn write_text(&self, value: ValueRef<'_>, out: &mut String) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) if *self == Type::Boolean => {
                out.push(if number == 0 { 'f' } else { 't' });
            }
            ValueRef::Integer(number) => integer::write_text(number, out),
            ValueRef::Real(number) => float::write_text(number, *self == Type::Real, out),
            ValueRef::Text(text) => match self {
                Type::Timestamp | Type::Timestamptz => datetime::write_text(text, out),
                Type::Array(element) => array::write_text(element, text, out),
                _ => out.push_str(text),
            },
            ValueRef::Blob(bytes) => {
                out.push_str("\\x");
                bytea::write_hex_text(bytes, out);
            }
        }
    }

    /// What SQLite declares for a column of this type: its affinity and collation.
    pub fn sqlite_declaration(&self) -> &'static str {
        match self.collation() {
            Some("numeric") => return "text collate \"numeric\"",
            Some("interval") => return "text collate \"interval\"",
            Some("jsonb") => return "text collate \"jsonb\"",
            Some("array") => return "text collate \"array\"",
            Some("array_number") => return "text collate \"array_number\"",
            Some("array_interval") => return "text collate \"array_interval\"",
            Some("array_jsonb") => return "text collate \"array_jsonb\"",
            _ => {}
        }
        match self {
            Type::Boolean | Type::Smallint | Type::Integer | Type::Bigint => "integer",
            Type::Real | Type::DoublePrecision => "real",
            Type::Bytea => "blob",
            Type::Text
            | Type::Numeric { .. }
            | Type::Varchar { .. }
            | Type::Char { .. }
            | Type::Date
            | Type::Time
            | Type::Timestamp
            | Type::Timestamptz
            | Type::Interval
            | Type::Uuid
            | Type::Json
            | Type::Jsonb
            | Type::Array(_)
            | Type::Enum(_)
            | Type::Other(_) => "text",
        }
    }

    /// Whether its JSON form is a number.
    fn is_number(&self) -> bool {
        matches!(
            self,
            Type::Smallint
                | Type::Integer
                | Type::Bigint
                | Type::Numeric { .. }
                | Type::Real
                | Type::DoublePrecision
        )
    }

    fn of_json(&self, json: &str, fit: Fit) -> Result<Value, DataError> {
        if json == "null" {
            return Ok(Value::Null);
        }
        match (self, json.as_bytes().first()) {
            // As PostgreSQL does: a string is decoded and written anew, all else is taken as sent.
            (Type::Json, Some(b'"')) => {
                let mut text = Vec::with_capacity(json.len());
                write_json_string(&unescape(json)?, &mut text);
                String::from_utf8(text)
                    .map(Value::Text)
                    .map_err(|error| DataError::Internal(error.to_string()))
            }
            (Type::Json, _) => {
                json::check_escapes(json)?;
                Ok(Value::Text(json.to_owned()))
            }
            (Type::Jsonb, _) => normalize_jsonb(json).map(Value::Text),
            (_, Some(b'"')) => self.of_text(&unescape(json)?, fit),
            (Type::Array(element), _) => array::of_json(element, json, fit).map(Value::Text),
            (_, Some(b'{' | b'[')) => {
                json::check_escapes(json)?;
                self.of_text(json, fit)
            }
            _ => self.of_text(json, fit),
        }
    }

    fn of_text(&self, text: &str, fit: Fit) -> Result<Value, DataError> {
        Ok(match self {
            Type::Boolean => Value::Integer(i64::from(boolean::parse(text)?)),
            Type::Smallint => Value::Integer(integer::parse::<i16>(text, "smallint")?),
            Type::Integer => Value::Integer(integer::parse::<i32>(text, "integer")?),
            Type::Bigint => Value::Integer(integer::parse::<i64>(text, "bigint")?),
            Type::Numeric { precision } => {
                let precision = precision.filter(|_| fit == Fit::Column);
                Value::Text(numeric::parse(text, precision)?.into_owned())
            }
            Type::Real => float::parse_real(text)?,
            Type::DoublePrecision => float::parse_double(text)?,
            Type::Text => Value::Text(text.to_owned()),
            Type::Varchar { length } => Value::Text(text::varchar(text, *length, fit)?.to_owned()),
            Type::Char { length } => Value::Text(text::char(text, *length, fit)?),
            Type::Date => Value::Text(datetime::date(text)?),
            Type::Time => Value::Text(datetime::time(text)?),
            Type::Timestamp => Value::Text(datetime::timestamp(text)?),
            Type::Timestamptz => Value::Text(datetime::timestamptz(text)?),
            Type::Interval => Value::Text(interval::parse(text)?),
            Type::Uuid => Value::Text(uuid::parse(text)?),
            Type::Json => {
                json::validate(text)?;
                Value::Text(text.to_owned())
            }
            Type::Jsonb => Value::Text(normalize_jsonb(text)?),
            Type::Bytea => Value::Blob(bytea::parse(text)?),
            Type::Array(element) => Value::Text(array::of_literal(element, text, fit)?),
            Type::Enum(of) => Value::Text(label(of, text)?.to_owned()),
            Type::Other(name) => {
                return Err(SqlFault::new(
                    "0A000",
                    format!("type {name} is not supported on SQLite"),
                )
                .hint("Only PostgreSQL has this type.")
                .into());
            }
        })
    }
}

/// A stored timestamptz as a timestamp of the session's zone.
pub(in crate::data) fn clock(moment: &str) -> String {
    datetime::clock(moment)
}

impl Column {
    /// Reads a value of a JSON body, as [`Type::from_json`].
    ///
    /// # Errors
    /// As there, with the column's name where PostgreSQL says it.
    pub fn from_json(&self, json: &RawValue) -> Result<Value, DataError> {
        let read = self.ty.from_json(json);
        read.map_err(|error| array::expected_array(error, self.name.as_str()))
    }
}

impl Value {
    /// The same value, lent.
    fn lend(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

fn label<'t>(of: &Enum, text: &'t str) -> Result<&'t str, DataError> {
    if of.labels.iter().any(|label| label == text) {
        return Ok(text);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let name = if of.name.bytes().all(plain) && !of.name.starts_with(|c: char| c.is_ascii_digit()) {
        of.name.clone()
    } else {
        format!("\"{}\"", of.name.replace('"', "\"\""))
    };
    Err(DataError::sql(
        "22P02",
        format!("invalid input value for enum {name}: \"{text}\""),
    ))
}

/// PostgreSQL keeps no text with a NUL in it.
fn no_nul(text: &str) -> Result<(), DataError> {
    if text.as_bytes().contains(&0) {
        return Err(DataError::sql(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(())
}

/// 22P02 in the words that most input functions use.
fn invalid(ty: &str, text: &str) -> DataError {
    DataError::sql(
        "22P02",
        format!("invalid input syntax for type {ty}: \"{text}\""),
    )
}

/// C's `isspace`, which PostgreSQL's input functions skip.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

fn trim(text: &str) -> &str {
    trim_start(text).trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

#[cfg(test)]
mod tests;
