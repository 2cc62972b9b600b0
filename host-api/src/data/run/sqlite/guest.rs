//! A guest's own statement.

use serde_json::value::RawValue;

use crate::data::query::Rows;
use crate::data::sqlite::errors::explain;
use crate::data::sqlite_ffi::Connection;
use crate::data::types::write_json_string;
use crate::data::{ANSWER_BYTES_MAX, DataError, Schema, Type, Value, ValueRef};

/// One statement of a guest's own. Its values come and go in SQLite's storage classes: a boolean is 0
/// or 1, a timestamp text.
pub fn run(
    connection: &Connection,
    schema: &Schema,
    statement: &str,
    parameters: &[Box<RawValue>],
) -> Result<Rows, DataError> {
    let args: Vec<Value> = parameters.iter().map(|json| parameter(json)).collect();
    let names = std::cell::RefCell::new(Vec::new());
    let mut json = Vec::new();
    let mut count = 0;
    let outcome = connection.guest_query(
        statement,
        &args,
        |columns| {
            *names.borrow_mut() = columns;
            Ok(())
        },
        |row| {
            count += 1;
            json.push(if json.is_empty() { b'[' } else { b',' });
            json.push(b'{');
            for (at, name) in names.borrow().iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                write_json_string(name, &mut json);
                json.push(b':');
                plain_type(row.get(at)).write_json(row.get(at), &mut json);
            }
            json.push(b'}');
            if json.len() > ANSWER_BYTES_MAX {
                return Err(super::super::super::answer_too_large());
            }
            Ok(())
        },
    );
    let changes = outcome.map_err(|error| explain(error, connection, schema, None, None))?;
    if json.is_empty() {
        json.push(b'[');
    }
    json.push(b']');
    Ok(Rows {
        body: json,
        count: changes.rows.max(count),
        ..Rows::default()
    })
}

fn parameter(json: &RawValue) -> Value {
    match serde_json::from_str(json.get()) {
        Ok(serde_json::Value::Null) => Value::Null,
        Ok(serde_json::Value::Bool(value)) => Value::Integer(value.into()),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::Real(number),
            (None, None) => Value::Text(json.get().to_owned()),
        },
        Ok(serde_json::Value::String(text)) => Value::Text(text),
        // Arrays and objects are stored as their text.
        _ => Value::Text(json.get().to_owned()),
    }
}

/// The type whose JSON form suits a value of which only the storage class is known.
fn plain_type(value: ValueRef<'_>) -> Type {
    match value {
        ValueRef::Integer(_) => Type::Bigint,
        ValueRef::Real(_) => Type::DoublePrecision,
        ValueRef::Blob(_) => Type::Bytea,
        ValueRef::Null | ValueRef::Text(_) => Type::Text,
    }
}
