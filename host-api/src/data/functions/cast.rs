//! PostgreSQL's explicit casts between stored values.
//!
//! A form does not tell which enum it is, so a refusal calls it
//! `anyenum`; a cast from one enum to another goes by its labels.
//!
//! Source: PostgreSQL 15, `pg_cast`; compared with a server of that version.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::json::text;
use super::{Recent, too_long, type_of, utf8};
use crate::data::schema::Enum;
use crate::data::sqlite_ffi::{Connection, SqliteError, VALUE_BYTES_MAX};
use crate::data::types::{Node, clock, parse_json};
use crate::data::{DataError, Type, Value, ValueRef};

/// More digits than any numeric has before its point.
const ANY_DIGITS: u32 = 200_000;

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    let recent = Recent::default();
    connection.function("pumice_cast", 3, true, move |args| {
        let [value, form, ValueRef::Text(target)] = args else {
            return Ok(Value::Null);
        };
        let to = recent.get(target, || named(target))?;
        cast(&type_of(*form)?, &to, *value)
    })
}

/// The type that `format_type` writes so, with a few of PostgreSQL's other names. An enum is a JSON
/// object: `{"name":"color","labels":["red"]}`.
fn named(name: &str) -> Result<Type, DataError> {
    let unknown = || DataError::sql("42704", format!("type \"{name}\" does not exist"));
    if let Some(element) = name.strip_suffix("[]") {
        return Ok(match named(element)? {
            array @ Type::Array(_) => array,
            element => Type::Array(Box::new(element)),
        });
    }
    if name.starts_with('{') {
        let of: Enum = serde_json::from_str(name).map_err(|_| unknown())?;
        return Ok(Type::Enum(Arc::new(of)));
    }
    let (word, modifier) = match name.split_once('(') {
        None => (name, None),
        Some((word, rest)) => (word, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
    };
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| unknown());
    Ok(match (word, modifier) {
        ("numeric" | "decimal", Some(modifier)) => {
            let (digits, scale) = modifier.split_once(',').unwrap_or((modifier, "0"));
            Type::Numeric {
                precision: Some((number(digits)?, number(scale)?)),
            }
        }
        ("character varying" | "varchar", Some(length)) => Type::Varchar {
            length: Some(number(length)?),
        },
        ("character" | "char", length) => Type::Char {
            length: length.map_or(Ok(1), number)?,
        },
        (_, Some(_)) => return Err(unknown()),
        ("boolean" | "bool", _) => Type::Boolean,
        ("smallint" | "int2", _) => Type::Smallint,
        ("integer" | "int" | "int4", _) => Type::Integer,
        ("bigint" | "int8", _) => Type::Bigint,
        ("numeric" | "decimal", _) => Type::Numeric { precision: None },
        ("real" | "float4", _) => Type::Real,
        ("double precision" | "float8" | "float", _) => Type::DoublePrecision,
        ("text", _) => Type::Text,
        ("character varying" | "varchar", _) => Type::Varchar { length: None },
        ("date", _) => Type::Date,
        ("time without time zone" | "time", _) => Type::Time,
        ("timestamp without time zone" | "timestamp", _) => Type::Timestamp,
        ("timestamp with time zone" | "timestamptz", _) => Type::Timestamptz,
        ("interval", _) => Type::Interval,
        ("uuid", _) => Type::Uuid,
        ("json", _) => Type::Json,
        ("jsonb", _) => Type::Jsonb,
        ("bytea", _) => Type::Bytea,
        _ => return Err(unknown()),
    })
}

/// # Errors
/// 42846 when there is no such cast; else PostgreSQL's for the value.
fn cast(from: &Type, to: &Type, value: ValueRef<'_>) -> Result<Value, DataError> {
    let impossible = || {
        DataError::sql(
            "42846",
            format!("cannot cast type {} to {}", bare(from), bare(to)),
        )
    };
    if value == ValueRef::Null {
        return match casts(from, to) {
            true => Ok(Value::Null),
            false => Err(impossible()),
        };
    }
    if !casts(from, to) {
        return Err(impossible());
    }
    let stored = |text: &str| to.from_field(text);
    match (from, to) {
        (Type::Array(from), Type::Array(to)) => {
            let ValueRef::Text(array) = value else {
                return Err(impossible());
            };
            let mut out = Vec::with_capacity(array.len());
            elements(from, to, array, &mut out)?;
            utf8(out)
        }
        // Longer text is cut, which only an explicit cast does.
        (
            _,
            Type::Varchar {
                length: Some(length),
            }
            | Type::Char { length },
        ) => {
            let text = text(from, value);
            let end = text.char_indices().nth(*length as usize);
            stored(end.map_or(&*text, |(at, _)| &text[..at]))
        }
        (_, Type::Text | Type::Varchar { .. }) => Ok(Value::Text(text(from, value))),
        (Type::Boolean, _) if is_integer(to) => Ok(owned(value)),
        (Type::Jsonb, Type::Boolean) => match value {
            ValueRef::Text("true") => Ok(Value::Integer(1)),
            ValueRef::Text("false") => Ok(Value::Integer(0)),
            _ => Err(no_scalar(value, to)),
        },
        (Type::Jsonb, _) if is_number(to) => {
            let ValueRef::Text(number) = value else {
                return Err(no_scalar(value, to));
            };
            if !number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                return Err(no_scalar(value, to));
            }
            cast(&Type::Numeric { precision: None }, to, value)
        }
        _ if is_number(from) && *to == Type::Boolean => match value {
            ValueRef::Integer(number) => Ok(Value::Integer(i64::from(number != 0))),
            _ => Err(impossible()),
        },
        _ if is_number(from) => number(from, to, value),
        (Type::Date | Type::Timestamp | Type::Timestamptz | Type::Time | Type::Interval, _) => {
            match value {
                ValueRef::Text(text) => moment(from, to, text),
                _ => Err(impossible()),
            }
        }
        // Its blanks are cut only on the way to another text.
        (Type::Char { .. }, _) => stored(&text(&Type::Text, value)),
        _ => stored(&text(from, value)),
    }
}

/// Whether PostgreSQL has such an explicit cast.
pub(in crate::data) fn casts(from: &Type, to: &Type) -> bool {
    if is_text(from) || is_text(to) || from.form() == to.form() {
        return true;
    }
    match (from, to) {
        (Type::Array(from), Type::Array(to)) => casts(from, to),
        (Type::Boolean, Type::Integer) | (Type::Integer, Type::Boolean) => true,
        (Type::Date, Type::Timestamp | Type::Timestamptz)
        | (Type::Timestamp, Type::Date | Type::Time | Type::Timestamptz)
        | (Type::Timestamptz, Type::Date | Type::Time | Type::Timestamp)
        | (Type::Time, Type::Interval)
        | (Type::Interval, Type::Time)
        | (Type::Json, Type::Jsonb)
        | (Type::Jsonb, Type::Json | Type::Boolean) => true,
        (Type::Jsonb, to) => is_number(to),
        (from, to) => is_number(from) && is_number(to),
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Varchar { .. } | Type::Char { .. })
}

fn is_integer(ty: &Type) -> bool {
    matches!(ty, Type::Smallint | Type::Integer | Type::Bigint)
}

fn is_number(ty: &Type) -> bool {
    is_integer(ty)
        || matches!(
            ty,
            Type::Numeric { .. } | Type::Real | Type::DoublePrecision
        )
}

/// A type's name without what is declared of its size.
fn bare(ty: &Type) -> String {
    match ty {
        Type::Char { .. } => "character".to_owned(),
        Type::Varchar { .. } => "character varying".to_owned(),
        Type::Numeric { .. } => "numeric".to_owned(),
        Type::Array(element) => bare(element) + "[]",
        ty => ty.to_string(),
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn no_scalar(value: ValueRef<'_>, to: &Type) -> DataError {
    let kind = match value {
        ValueRef::Text("null") => "null",
        ValueRef::Text("true" | "false") => "boolean",
        ValueRef::Text(text) => match text.as_bytes().first() {
            Some(b'"') => "string",
            Some(b'[') => "array",
            Some(b'{') => "object",
            _ => "numeric",
        },
        _ => "numeric",
    };
    DataError::sql(
        "22023",
        format!("cannot cast jsonb {kind} to type {}", bare(to)),
    )
}

fn number(from: &Type, to: &Type, value: ValueRef<'_>) -> Result<Value, DataError> {
    let out_of_range = || DataError::sql("22003", format!("{} out of range", bare(to)));
    let ranged = |number: i64| {
        let fits = match to {
            Type::Smallint => i16::try_from(number).is_ok(),
            Type::Integer => i32::try_from(number).is_ok(),
            _ => true,
        };
        match fits {
            true => Ok(Value::Integer(number)),
            false => Err(out_of_range()),
        }
    };
    match (value, to) {
        (ValueRef::Integer(number), _) if is_integer(to) => ranged(number),
        (ValueRef::Real(number), _) if is_integer(to) => {
            let whole = number.round_ties_even();
            // Both bounds are exact as floats.
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
                return Err(out_of_range());
            }
            ranged(whole as i64)
        }
        (ValueRef::Text(special), _) if is_integer(to) && !is_finite(special) => match from {
            Type::Numeric { .. } => {
                let what = if special == "NaN" { "NaN" } else { "infinity" };
                Err(DataError::sql(
                    "0A000",
                    format!("cannot convert {what} to {}", bare(to)),
                ))
            }
            _ => Err(out_of_range()),
        },
        (ValueRef::Text(number), _) if is_integer(to) => {
            let whole = Type::Numeric {
                precision: Some((ANY_DIGITS, 0)),
            };
            match whole.from_field(number)? {
                Value::Text(whole) => ranged(whole.parse().map_err(|_| out_of_range())?),
                _ => Err(out_of_range()),
            }
        }
        (ValueRef::Real(number), Type::Real) if *from == Type::DoublePrecision => {
            let narrow = number as f32;
            if narrow.is_infinite() && number.is_finite() {
                return Err(DataError::sql("22003", "value out of range: overflow"));
            }
            if narrow == 0.0 && number != 0.0 {
                return Err(DataError::sql("22003", "value out of range: underflow"));
            }
            Ok(Value::Real(f64::from(narrow)))
        }
        (ValueRef::Real(number), Type::Real | Type::DoublePrecision) => Ok(Value::Real(number)),
        (ValueRef::Real(number), _) if number.is_finite() => {
            // As many digits as the float holds for sure, zeros at the end cut.
            let text = match from {
                Type::Real => format!("{number:.5e}"),
                _ => format!("{number:.14e}"),
            };
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            to.from_field(&format!("{digits}e{exponent}"))
        }
        (value, to) => to.from_field(&text(from, value)),
    }
}

fn is_finite(number: &str) -> bool {
    !matches!(number, "NaN" | "Infinity" | "-Infinity")
}

/// Between dates, times and spans; their stored texts are parts of each other.
fn moment(from: &Type, to: &Type, text: &str) -> Result<Value, DataError> {
    let is_infinite = text.ends_with("infinity");
    let stamp = match from {
        Type::Timestamptz => Cow::Owned(clock(text)),
        _ => Cow::Borrowed(text),
    };
    let of = |text: String| Ok(Value::Text(text));
    match (from, to) {
        (Type::Timestamp | Type::Timestamptz, Type::Time) if is_infinite => Ok(Value::Null),
        _ if is_infinite => of(text.to_owned()),
        (Type::Date, Type::Timestamp) => of(format!("{text}T00:00:00")),
        (Type::Date | Type::Timestamp, Type::Timestamptz) => to.from_field(text),
        (Type::Timestamp | Type::Timestamptz, _) => match (stamp.split_once('T'), to) {
            (Some((date, _)), Type::Date) => of(date.to_owned()),
            (Some((_, time)), Type::Time) => of(time.to_owned()),
            (_, Type::Timestamptz) => of(text.to_owned()),
            _ => of(stamp.into_owned()),
        },
        (Type::Interval, Type::Time) => {
            let clock = text.rsplit(' ').next().filter(|word| word.contains(':'));
            let micros = clock.map_or(0, micros).rem_euclid(86_400_000_000);
            let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let (minutes, second) = (seconds / 60, seconds % 60);
            to.from_field(&format!(
                "{:02}:{:02}:{second:02}.{fraction:06}",
                minutes / 60,
                minutes % 60
            ))
        }
        _ => to.from_field(text),
    }
}

/// Microseconds of `-04:05:06.789`.
fn micros(clock: &str) -> i64 {
    let (negative, clock) = match clock.strip_prefix('-') {
        Some(clock) => (true, clock),
        None => (false, clock),
    };
    let mut total = 0_i64;
    for part in clock.split(':') {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        let fraction: i64 = format!("{fraction:0<6}").parse().unwrap_or(0);
        let whole: i64 = whole.parse().unwrap_or(0);
        total = total.saturating_mul(60);
        total = total.saturating_add(whole.saturating_mul(1_000_000));
        total = total.saturating_add(fraction);
    }
    if negative { -total } else { total }
}

fn elements(from: &Type, to: &Type, array: &str, out: &mut Vec<u8>) -> Result<(), DataError> {
    let is_json = matches!(from, Type::Json | Type::Jsonb);
    let items: Vec<&RawValue> =
        serde_json::from_str(array).map_err(|error| DataError::Internal(error.to_string()))?;
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let json = item.get();
        if json.starts_with('[') && !is_json {
            elements(from, to, json, out)?;
            continue;
        }
        // Read back to its stored form. What has a length keeps it, and a label is a text.
        let value = match (from, parse_json(json)?) {
            (_, Node::Word("null")) => Value::Null,
            (Type::Char { .. } | Type::Enum(_), Node::String(text)) => {
                Value::Text(text.into_owned())
            }
            _ => from.from_json(item)?,
        };
        let cast = cast(from, to, value.as_ref())?;
        to.write_json(cast.as_ref(), out);
        if out.len() > VALUE_BYTES_MAX {
            return Err(too_long(VALUE_BYTES_MAX));
        }
    }
    out.push(b']');
    Ok(())
}
