//! What SQL on SQLite calls that PostgreSQL has built in: how values become JSON and text, casts,
//! patterns, JSON, arrays, exact aggregates and text search. Each answers as PostgreSQL 15 does.
//!
//! A null argument gives null unless said. Types are told by [`Type::form`]. All but the aggregates
//! are pure, so that SQLite calls one with constant arguments once per statement.

mod aggregate;
mod cast;
mod contains;
mod json;
mod path;
mod recent;
mod regex;
mod search;

pub(in crate::data) use self::cast::casts;

use self::recent::Recent;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::{DataError, SqlFault, Type, Value, ValueRef};

/// Registers the functions on a connection.
///
/// - `pumice_json(value, form)`: its JSON text; `null` for null.
/// - `pumice_text(value, form)`: its text, as a cast to text gives it.
/// - `pumice_key(text)`: a JSON string.
/// - `pumice_cast(value, form, type)`: the stored form of the type, named as `format_type` does; an enum as
///   JSON: `{"name":"color","labels":["red"]}`.
/// - `pumice_sum(value, form)`, `pumice_avg(value, form)`, aggregates: as PostgreSQL types and rounds
///   them; the sum of bigints and all averages but those of floats are numerics.
/// - `pumice_path(json, path, as_text)`: what stands at the path, a JSON array of keys and indices: as
///   `->` gives it, or as `->>` when `as_text` is 1.
/// - `pumice_contains(whole, part, kind)`: `@>` of jsonb (kind 0) or of arrays (kind 1).
/// - `pumice_overlaps(array, array)`: `&&`.
/// - `pumice_match(text, pattern)`, `pumice_imatch`: PostgreSQL's `~` and `~*`.
/// - `pumice_fts(text, config, query, kind)`: whether the text matches; the query is read as `to_tsquery`
///   (kind 0), `plainto_` (1), `phraseto_` (2) or `websearch_to_tsquery` (3) do.
/// - `pumice_tsvector(text, config)`: what `to_tsvector` prints. This and `pumice_fts` take the text's form as
///   one argument more: of json and jsonb the strings are read.
/// - `pumice_array(json)`, an aggregate: a JSON array of JSON texts; `[]` of no rows.
///
/// # Errors
/// SQLite's.
pub fn register(connection: &Connection) -> Result<(), SqliteError> {
    json::register(connection)?;
    cast::register(connection)?;
    aggregate::register(connection)?;
    path::register(connection)?;
    contains::register(connection)?;
    regex::register(connection)?;
    search::register(connection)
}

/// The type of a form that SQL text passes.
fn type_of(form: ValueRef<'_>) -> Result<Type, DataError> {
    match form {
        ValueRef::Integer(form) => Type::of_form(form),
        _ => None,
    }
    .ok_or_else(|| DataError::Internal(format!("no form of a type: {form:?}")))
}

/// An answer beyond what one call may carry.
pub(in crate::data) fn too_long(bytes_max: usize) -> DataError {
    SqlFault::new("54000", "the value is too long")
        .details(format!("A value has at most {bytes_max} bytes."))
        .into()
}

fn utf8(bytes: Vec<u8>) -> Result<Value, DataError> {
    String::from_utf8(bytes)
        .map(Value::Text)
        .map_err(|error| DataError::Internal(error.to_string()))
}

#[cfg(test)]
mod tests;
