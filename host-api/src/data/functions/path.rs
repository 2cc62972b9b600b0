//! PostgreSQL's `->` and `->>`, along a path.

use super::Recent;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::types::{Node, parse_json, unescape};
use crate::data::{DataError, Value, ValueRef};

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    let recent = Recent::default();
    connection.function("pumice_path", 3, true, move |args| {
        let [base, ValueRef::Text(path), as_text] = args else {
            return Ok(Value::Null);
        };
        let path = recent.get(path, || steps(path))?;
        let number;
        let base = match base {
            ValueRef::Text(base) => *base,
            // A jsonb that is a number, if a column's affinity made one of it.
            ValueRef::Integer(integer) => {
                number = integer.to_string();
                &number
            }
            _ => return Ok(Value::Null),
        };
        let Some(found) = walk(base, &path)? else {
            return Ok(Value::Null);
        };
        Ok(match as_text {
            ValueRef::Integer(1) => match found.as_bytes().first() {
                Some(b'"') => Value::Text(unescape(found)?.into_owned()),
                _ if found == "null" => Value::Null,
                _ => Value::Text(found.to_owned()),
            },
            _ => Value::Text(found.to_owned()),
        })
    })
}

enum Step {
    Key(String),
    /// From the end when negative.
    Index(i64),
}

/// A path of ours: `["a",0,-1]`.
fn steps(path: &str) -> Result<Vec<Step>, DataError> {
    let wrong = || DataError::Internal(format!("no path: {path}"));
    let Node::Array(elements) = parse_json(path)? else {
        return Err(wrong());
    };
    elements
        .into_iter()
        .map(|element| match element {
            Node::String(key) => Ok(Step::Key(key.into_owned())),
            Node::Number(index) => index.parse().map(Step::Index).map_err(|_| wrong()),
            _ => Err(wrong()),
        })
        .collect()
}

/// The text of the value at the path's end, as it is written.
fn walk<'t>(json: &'t str, path: &[Step]) -> Result<Option<&'t str>, DataError> {
    let mut here = json.trim_matches([' ', '\t', '\n', '\r']);
    for step in path {
        let found = match (here.as_bytes().first(), step) {
            (Some(b'{'), Step::Key(key)) => member(here, key)?,
            (Some(b'['), Step::Index(index)) => element(here, *index),
            _ => None,
        };
        match found {
            Some(value) => here = value,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// Of equal keys the last counts.
fn member<'t>(object: &'t str, wanted: &str) -> Result<Option<&'t str>, DataError> {
    let mut found = None;
    let mut at = blanks(object, 1);
    while object.as_bytes().get(at) == Some(&b'"') {
        let end = skip(object, at);
        let key = object.get(at..end).unwrap_or_default();
        let from = blanks(object, blanks(object, end) + 1);
        let end = skip(object, from);
        if unescape(key)? == wanted {
            found = object.get(from..end);
        }
        at = blanks(object, blanks(object, end) + 1);
    }
    Ok(found)
}

fn element(array: &str, index: i64) -> Option<&str> {
    let mut elements = Vec::new();
    let mut at = blanks(array, 1);
    while !matches!(array.as_bytes().get(at), None | Some(b']')) {
        let end = skip(array, at);
        elements.push((at, end));
        if index >= 0 && elements.len() as i64 > index {
            return array.get(at..end);
        }
        at = blanks(array, blanks(array, end) + 1);
    }
    let place = (elements.len() as i64).checked_add(index)?;
    let (from, to) = elements.get(usize::try_from(place).ok()?)?;
    if index >= 0 {
        None
    } else {
        array.get(*from..*to)
    }
}

fn blanks(json: &str, mut at: usize) -> usize {
    while matches!(json.as_bytes().get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the value that starts at `at` ends, of what is known to be JSON; always behind `at`.
fn skip(json: &str, at: usize) -> usize {
    let bytes = json.as_bytes();
    let string = |at: usize| {
        let mut at = at + 1;
        loop {
            match bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(b'"') => return at + 1,
                Some(_) => at += 1,
                None => return bytes.len(),
            }
        }
    };
    match bytes.get(at) {
        Some(b'"') => string(at),
        Some(b'{' | b'[') => {
            let (mut depth, mut at) = (0, at);
            loop {
                match bytes.get(at) {
                    None => return bytes.len(),
                    Some(b'"') => {
                        at = string(at);
                        continue;
                    }
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => depth -= 1,
                    Some(_) => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        _ => {
            let length = bytes.get(at..).unwrap_or_default().iter();
            let length = length
                .take_while(|byte| {
                    !matches!(byte, b',' | b']' | b'}' | b':') && byte.is_ascii_graphic()
                })
                .count();
            at + length.max(1)
        }
    }
}
