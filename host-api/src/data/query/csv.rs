//! Rows as comma-separated values.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::Body;
use super::body::{null, string, too_many};
use crate::data::{BODY_CELLS_MAX, BODY_ROWS_MAX, COLUMNS_MAX, DataError};

/// Reads lines: keys in the first, texts in the others; the bare word `NULL` is null. Empty lines are
/// none. Lines end with LF or CRLF.
///
/// # Errors
/// PGRST102 for what is no csv, or when a line has more or fewer fields than the first;
/// [`DataError::TooLarge`] beyond [`BODY_ROWS_MAX`] rows or [`BODY_CELLS_MAX`] fields.
///
/// Source: RFC 4180.
pub(super) fn rows(text: &str) -> Result<Body, DataError> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut header: Option<Vec<Option<String>>> = None;
    let mut body = Body::new();
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        if let Some(after) = rest.strip_prefix("\r\n").or(rest.strip_prefix('\n')) {
            rest = after;
            continue;
        }
        let fields = line(&mut rest, number)?;
        let Some(header) = &header else {
            header = Some(keys(fields));
            continue;
        };
        if fields.len() != header.len() {
            let message = "All lines must have same number of fields";
            return Err(DataError::sql("PGRST102", message));
        }
        if body.len() == BODY_ROWS_MAX {
            return Err(too_many(body.len() + 1));
        }
        if (body.len() + 1) * header.len() > BODY_CELLS_MAX {
            return Err(DataError::TooLarge(format!(
                "a body of csv has more than {BODY_CELLS_MAX} fields; send fewer rows or columns at once"
            )));
        }
        body.push(row(header, &fields));
    }
    match header {
        Some(_) => Ok(body),
        None => Err(DataError::sql("PGRST102", "Empty or invalid csv")),
    }
}

/// A header's keys; none for one that comes again: the last field of that name counts.
fn keys(fields: Vec<(String, bool)>) -> Vec<Option<String>> {
    let mut known = HashSet::new();
    let mut keys: Vec<Option<String>> = fields
        .into_iter()
        .rev()
        .map(|(key, _)| known.insert(key.clone()).then_some(key))
        .collect();
    keys.reverse();
    keys
}

fn row(keys: &[Option<String>], fields: &[(String, bool)]) -> Vec<(String, Box<RawValue>)> {
    let cell = |(key, (text, quoted)): (&Option<String>, &(String, bool))| {
        let value = match text == "NULL" && !quoted {
            true => null(),
            false => string(text),
        };
        key.clone().map(|key| (key, value))
    };
    keys.iter().zip(fields).filter_map(cell).collect()
}

/// Takes a line's fields off the text, and whether each stood in quotes.
fn line(rest: &mut &str, number: usize) -> Result<Vec<(String, bool)>, DataError> {
    let refused = |what: &str| {
        let message = format!("Invalid csv: {what} in the record of line {number}");
        Err(DataError::sql("PGRST102", message))
    };
    let mut fields = Vec::new();
    loop {
        if fields.len() == COLUMNS_MAX {
            return refused("too many fields");
        }
        let field = match rest.strip_prefix('"') {
            Some(inside) => {
                let Some(end) = closing(inside) else {
                    return refused("a quotation mark that is never closed");
                };
                *rest = &inside[end + 1..];
                (inside[..end].replace("\"\"", "\""), true)
            }
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let (bare, after) = rest.split_at(end);
                let bare = match after.starts_with(',') {
                    true => bare,
                    false => bare.strip_suffix('\r').unwrap_or(bare),
                };
                if bare.contains('"') {
                    return refused("a quotation mark inside an unquoted field");
                }
                *rest = after;
                (bare.to_owned(), false)
            }
        };
        fields.push(field);
        if let Some(after) = rest.strip_prefix(',') {
            *rest = after;
            continue;
        }
        if rest.is_empty() || *rest == "\r" {
            *rest = "";
            return Ok(fields);
        }
        match rest.strip_prefix("\r\n").or(rest.strip_prefix('\n')) {
            Some(after) => {
                *rest = after;
                return Ok(fields);
            }
            None => return refused("text behind a quoted field"),
        }
    }
}

/// Where a quoted field ends; two quotation marks stand for one.
fn closing(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let mut at = 0;
    loop {
        at += inside[at..].find('"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}
