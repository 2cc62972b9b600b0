//! The functions that translated expressions call and SQLite has not.

use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::{DataError, Type, Value, ValueRef};

/// Registers `pumice_domain(kept, domain, constraint)`, which answers 1 unless a value breaks a condition
/// of its domain (the constraint null: `not null`); `pumice_fit(text, type)`, a text for a column of
/// type `varchar(n)` or `char(n)`, which is not cut; and `pumice_like(text, pattern)`, `pumice_ilike`, `pumice_lower` and `pumice_upper`: what
/// PostgreSQL's `like`, `ilike`, `lower` and `upper` answer under `LC_CTYPE 'C.UTF-8'`. Every
/// connection to an app's file needs them, as indexes and checks may call them.
///
/// # Errors
/// SQLite's.
pub fn register(connection: &Connection) -> Result<(), SqliteError> {
    connection.function("pumice_like", 2, true, |arguments| like(arguments, false))?;
    connection.function("pumice_domain", 3, true, domain)?;
    connection.function("pumice_fit", 2, true, fit)?;
    connection.function("pumice_ilike", 2, true, |arguments| like(arguments, true))?;
    connection.function("pumice_lower", 1, true, |arguments| {
        Ok(mapped(arguments, lower))
    })?;
    connection.function("pumice_upper", 1, true, |arguments| {
        Ok(mapped(arguments, upper))
    })
}

fn domain(arguments: &[ValueRef<'_>]) -> Result<Value, DataError> {
    let [kept, ValueRef::Text(domain), constraint] = arguments else {
        return Ok(Value::Null);
    };
    match (kept, constraint) {
        (ValueRef::Integer(0), ValueRef::Text(constraint)) => Err(DataError::sql(
            "23514",
            format!(
                "value for domain {domain} violates check constraint {}",
                super::sql::quoted(constraint)
            ),
        )),
        (ValueRef::Integer(0), _) => Err(DataError::sql(
            "23502",
            format!("domain {domain} does not allow null values"),
        )),
        _ => Ok(Value::Integer(1)),
    }
}

fn fit(arguments: &[ValueRef<'_>]) -> Result<Value, DataError> {
    let [ValueRef::Text(text), ValueRef::Text(ty)] = arguments else {
        return Ok(Value::Null);
    };
    let length = |prefix: &str| {
        let length = ty.strip_prefix(prefix)?.strip_suffix(')')?;
        length.parse::<u32>().ok()
    };
    match (length("character varying("), length("character(")) {
        (Some(length), _) => Type::Varchar {
            length: Some(length),
        },
        (_, Some(length)) => Type::Char { length },
        _ => Type::Text,
    }
    .from_field(text)
}

fn mapped(arguments: &[ValueRef<'_>], map: fn(char) -> char) -> Value {
    match arguments {
        [ValueRef::Text(text)] => Value::Text(text.chars().map(map).collect()),
        _ => Value::Null,
    }
}

fn like(arguments: &[ValueRef<'_>], fold: bool) -> Result<Value, DataError> {
    let [ValueRef::Text(text), ValueRef::Text(pattern)] = arguments else {
        return Ok(Value::Null);
    };
    let matched = match fold {
        false => super::like::like(text, pattern)?,
        true => super::like::like(&folded(text), &folded(pattern))?,
    };
    Ok(Value::Integer(i64::from(matched)))
}

fn folded(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.chars().map(lower).collect(),
    }
}

/// One character for one, as `towlower` does: what would become several stays.
pub(in crate::data) fn lower(c: char) -> char {
    one(c, c.to_lowercase())
}

fn upper(c: char) -> char {
    one(c, c.to_uppercase())
}

fn one(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_one_for_one() {
        let all = |text: &str, map: fn(char) -> char| text.chars().map(map).collect::<String>();
        assert_eq!(all("ÄÉß", lower), "äéß");
        assert_eq!(all("äéß", upper), "ÄÉß");
    }
}
