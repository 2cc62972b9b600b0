//! Values as JSON and as text, JSON arrays, paths into JSON, and what contains what.

use super::{too_long, type_of, utf8};
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::types::write_json_string;
use crate::data::{DataError, Type, Value, ValueRef};

/// Of an array that an aggregate collects: what SQLite keeps in one value here, with room for the rest.
const ARRAY_BYTES_MAX: usize = 60 << 20;

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    connection.function("pumice_json", 2, true, |args| match args {
        [value, form] => {
            let mut out = Vec::new();
            type_of(*form)?.write_json(*value, &mut out);
            utf8(out)
        }
        _ => Ok(Value::Null),
    })?;
    connection.function("pumice_text", 2, true, |args| match args {
        [ValueRef::Null, _] => Ok(Value::Null),
        [value, form] => Ok(Value::Text(text(&type_of(*form)?, *value))),
        _ => Ok(Value::Null),
    })?;
    connection.function("pumice_key", 1, true, |args| match args {
        [ValueRef::Text(text)] => {
            let mut out = Vec::new();
            write_json_string(text, &mut out);
            utf8(out)
        }
        _ => Ok(Value::Null),
    })?;
    connection.aggregate("pumice_array", 1, collect, |collected: Vec<u8>| {
        finish_array(collected)
    })
}

/// A stored value as PostgreSQL's cast to text gives it.
pub(super) fn text(ty: &Type, value: ValueRef<'_>) -> String {
    match (ty, value) {
        (Type::Boolean, ValueRef::Integer(0)) => "false".to_owned(),
        (Type::Boolean, ValueRef::Integer(_)) => "true".to_owned(),
        // Blanks at the end of a `char(n)` mean nothing.
        (Type::Char { .. }, ValueRef::Text(text)) => text.trim_end_matches(' ').to_owned(),
        _ => {
            let mut out = String::new();
            ty.write_text(value, &mut out);
            out
        }
    }
}

fn collect(array: &mut Vec<u8>, args: &[ValueRef<'_>]) -> Result<(), DataError> {
    array.push(if array.is_empty() { b'[' } else { b',' });
    match args {
        [ValueRef::Text(json)] => array.extend_from_slice(json.as_bytes()),
        [ValueRef::Integer(number)] => array.extend_from_slice(number.to_string().as_bytes()),
        _ => array.extend_from_slice(b"null"),
    }
    if array.len() > ARRAY_BYTES_MAX {
        return Err(too_long(ARRAY_BYTES_MAX));
    }
    Ok(())
}

fn finish_array(mut array: Vec<u8>) -> Result<Value, DataError> {
    if array.is_empty() {
        array.push(b'[');
    }
    array.push(b']');
    utf8(array)
}
