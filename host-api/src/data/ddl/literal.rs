//! A literal of a migration as its column stores it.

use crate::data::{DataError, Type, Value, ValueRef};

use super::Refusal;

/// The stored form of `text`, a literal of type `ty`.
///
/// # Errors
/// In PostgreSQL's words when `text` is none.
pub fn stored(ty: &Type, text: &str) -> Result<Value, Refusal> {
    ty.from_field(text).map_err(refusal)
}

/// The stored form of an array of literals; `None` is null.
pub fn array(element: &Type, items: &[Option<String>]) -> Result<Value, Refusal> {
    let mut out = b"[".to_vec();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let value = match item {
            None => Value::Null,
            Some(text) => stored(element, text)?,
        };
        let value = match &value {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        };
        element.write_json(value, &mut out);
    }
    out.push(b']');
    String::from_utf8(out)
        .map(Value::Text)
        .map_err(|_| Refusal::wrong("an array that is not UTF-8"))
}

fn refusal(error: DataError) -> Refusal {
    match error {
        DataError::Sql(fault) => Refusal::wrong(fault.message).fix(fault.hint.unwrap_or_default()),
        other => Refusal::wrong(other.to_string()),
    }
}
