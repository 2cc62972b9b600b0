//! What contains what: jsonb's `@>`, and `@>`, `<@` and `&&` of arrays.

use std::collections::HashSet;

use super::Recent;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::types::{Node, compare_numeric, parse_json};
use crate::data::{DataError, Value, ValueRef};

/// Members compared in one call: nested arrays are compared each with each.
const STEPS_MAX: usize = 20_000_000;

/// Bytes of documents and arrays that are kept read: they take some forty times as much then.
const KEPT_BYTES_MAX: usize = 64 << 10;

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    // Either side is the request's, and the other a row's.
    let (documents, sets) = (Recent::of(KEPT_BYTES_MAX), Recent::of(KEPT_BYTES_MAX));
    connection.function("pumice_contains", 3, true, move |args| {
        let [
            ValueRef::Text(whole),
            ValueRef::Text(part),
            ValueRef::Integer(kind),
        ] = args
        else {
            return Ok(Value::Null);
        };
        let found = if *kind == 0 {
            let part = documents.if_again(part, || Json::read(part))?;
            let whole = documents.if_again(whole, || Json::read(whole))?;
            let mut steps = STEPS_MAX;
            contains(&whole, &part, true, &mut steps)?
        } else {
            let part = sets.if_again(part, || members(part))?;
            let whole = sets.if_again(whole, || members(whole))?;
            // A null is equal to nothing, so what has one is contained nowhere.
            !part.has_null && part.values.is_subset(&whole.values)
        };
        Ok(Value::Integer(i64::from(found)))
    })?;
    let sets = Recent::of(KEPT_BYTES_MAX);
    connection.function("pumice_overlaps", 2, true, move |args| {
        let [ValueRef::Text(left), ValueRef::Text(right)] = args else {
            return Ok(Value::Null);
        };
        let right = sets.if_again(right, || members(right))?;
        let left = sets.if_again(left, || members(left))?;
        let apart = left.values.is_disjoint(&right.values);
        Ok(Value::Integer(i64::from(!apart)))
    })
}

/// A jsonb, read.
enum Json {
    /// A word, number or string, so that equal ones are the same text.
    Scalar(String),
    Array(Vec<Json>),
    /// In order of key, as jsonb has it.
    Object(Vec<(String, Json)>),
}

impl Json {
    fn read(text: &str) -> Result<Json, DataError> {
        parse_json(text).map(Json::of)
    }

    fn of(node: Node<'_>) -> Json {
        match node {
            Node::Array(elements) => Json::Array(elements.into_iter().map(Json::of).collect()),
            Node::Object(members) => {
                let members = members.into_iter();
                let mut members: Vec<_> = members
                    .map(|(key, value)| (key.into_owned(), Json::of(value)))
                    .collect();
                members.sort_by(|(a, _), (b, _)| order(a, b));
                Json::Object(members)
            }
            scalar => Json::Scalar(canonical(&scalar)),
        }
    }
}

fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Equal scalars have one text, of whatever kind they are.
fn canonical(scalar: &Node<'_>) -> String {
    match scalar {
        Node::Word(word) => (*word).to_owned(),
        Node::String(text) => format!("\"{text}"),
        Node::Number(number) => {
            let plain = match number.contains(['e', 'E']) {
                // Of a float, whose text is one for each number.
                true => return (*number).to_owned(),
                false if number.contains('.') => number.trim_end_matches('0').trim_end_matches('.'),
                false => number,
            };
            match compare_numeric(plain, "0").is_eq() {
                true => "0".to_owned(),
                false => plain.to_owned(),
            }
        }
        Node::Array(_) | Node::Object(_) => String::new(),
    }
}

/// Source: PostgreSQL 15, `JsonbDeepContains` in `src/backend/utils/adt/jsonb_util.c`.
fn contains(whole: &Json, part: &Json, root: bool, steps: &mut usize) -> Result<bool, DataError> {
    *steps = steps.checked_sub(1).ok_or_else(|| {
        DataError::sql(
            "54000",
            "the documents are too large to compare each with each",
        )
    })?;
    Ok(match (whole, part) {
        (Json::Scalar(whole), Json::Scalar(part)) => whole == part,
        // A scalar alone counts as an array of it, on the right only.
        (Json::Array(elements), Json::Scalar(part)) if root => {
            elements.iter().any(|element| is(element, part))
        }
        (Json::Object(whole), Json::Object(part)) => {
            for (key, part) in part {
                let found = whole.binary_search_by(|(known, _)| order(known, key));
                match found {
                    Ok(at) if contains(&whole[at].1, part, false, steps)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Json::Array(whole), Json::Array(part)) => {
            for wanted in part {
                let mut found = false;
                for element in whole {
                    found = contains(element, wanted, false, steps)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

fn is(json: &Json, scalar: &str) -> bool {
    matches!(json, Json::Scalar(text) if text == scalar)
}

/// The elements of an array, of all its dimensions.
struct Members {
    values: HashSet<String>,
    has_null: bool,
}

fn members(array: &str) -> Result<Members, DataError> {
    let mut members = Members {
        values: HashSet::new(),
        has_null: false,
    };
    let mut open = vec![parse_json(array)?];
    while let Some(node) = open.pop() {
        match node {
            Node::Array(elements) => open.extend(elements),
            Node::Word("null") => members.has_null = true,
            // Of an array of jsonb, whose elements are normal already.
            object @ Node::Object(_) => {
                members.values.insert(written(&object));
            }
            scalar => {
                members.values.insert(canonical(&scalar));
            }
        }
    }
    Ok(members)
}

fn written(node: &Node<'_>) -> String {
    match node {
        Node::Object(members) => {
            let mut text = "{".to_owned();
            for (key, value) in members {
                text.push_str(&format!("{key:?}:{},", written(value)));
            }
            text + "}"
        }
        Node::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(written).collect();
            format!("[{}]", elements.join(","))
        }
        scalar => canonical(scalar),
    }
}
