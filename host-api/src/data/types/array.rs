//! Arrays: literals and JSON in, a JSON array stored, literals out.

use serde_json::value::RawValue;

use super::{Fit, datetime, is_space, json, jsonb, trim_start};
use crate::data::schema::Type;
use crate::data::value::Value;
use crate::data::{DataError, SqlFault};

/// Source: PostgreSQL 15, `MAXDIM` in `src/include/utils/array.h`.
const DIMENSIONS_MAX: usize = 6;

/// Reads a JSON array, nested as deep as the array has dimensions.
pub(super) fn of_json(element: &Type, json: &str, fit: Fit) -> Result<String, DataError> {
    if !json.starts_with('[') {
        json::check_escapes(json)?;
        return Err(no_array(&[]));
    }
    let mut shape = Shape::new(json, false);
    json_level(element, json, fit, &mut shape, &mut Vec::new())?;
    Ok(shape.finish())
}

fn json_level(
    element: &Type,
    json: &str,
    fit: Fit,
    shape: &mut Shape<'_>,
    place: &mut Vec<usize>,
) -> Result<(), DataError> {
    let items: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|error| DataError::Internal(error.to_string()))?;
    let depth = place.len();
    shape.open(depth)?;
    for (index, item) in items.iter().enumerate() {
        let item = item.get();
        let nested = item.starts_with('[') && shape.leaf != Some(depth);
        if index > 0 {
            shape.out.push(b',');
        }
        place.push(index);
        if nested {
            json_level(element, item, fit, shape, place)?;
        } else {
            if !shape.leaf(depth) {
                return Err(no_array(place));
            }
            shape.push(element, element.of_json(item, fit)?)?;
        }
        place.pop();
    }
    shape.close(depth, items.len())
}

/// Reads `{1,2}`, `{{"a b",NULL},{c,d}}`. Bounds (`[0:1]={1,2}`) are refused: JSON has no place for
/// them.
pub(super) fn of_literal(element: &Type, text: &str, fit: Fit) -> Result<String, DataError> {
    let body = trim_start(text);
    if body.starts_with('[') {
        return Err(match body.split_once("]=") {
            Some(_) => DataError::sql(
                "0A000",
                "array literals with bounds are not supported on SQLite",
            ),
            None => malformed(text, "Missing \"]\" after array dimensions."),
        });
    }
    let mut literal = Literal {
        element,
        fit,
        text,
        at: text.len() - body.len(),
        shape: Shape::new(text, true),
        reads: false,
    };
    if !body.starts_with('{') {
        return Err(malformed(
            text,
            "Array value must start with \"{\" or dimension information.",
        ));
    }
    // First the braces, then the elements: PostgreSQL reports faults in that order.
    let start = literal.at;
    literal.level(0)?;
    if literal.peek().is_some() {
        return Err(malformed(text, "Junk after closing right brace."));
    }
    literal.at = start;
    literal.shape = Shape::new(text, true);
    literal.reads = true;
    literal.level(0)?;
    Ok(literal.shape.finish())
}

/// PostgreSQL names the column too, which is not known here ([`expected_array`]).
const NO_ARRAY: &str = "expected JSON array";

fn no_array(place: &[usize]) -> DataError {
    let fault = SqlFault::new("22P02", NO_ARRAY);
    if place.is_empty() {
        return fault.into();
    }
    let place: String = place.iter().map(|index| format!("[{index}]")).collect();
    fault.hint(format!("See the array element {place}.")).into()
}

/// The error of a column's value, with the column's name where PostgreSQL says it.
pub(super) fn expected_array(error: DataError, column: &str) -> DataError {
    match error {
        DataError::Sql(mut fault) if fault.message == NO_ARRAY => {
            let place = fault
                .hint
                .as_deref()
                .and_then(|hint| hint.strip_suffix('.'));
            let place = place.unwrap_or("See the value");
            fault.hint = Some(format!("{place} of key \"{column}\"."));
            DataError::Sql(fault)
        }
        error => error,
    }
}

fn malformed(text: &str, details: impl Into<String>) -> DataError {
    SqlFault::new("22P02", format!("malformed array literal: \"{text}\""))
        .details(details)
        .into()
}

/// What is written so far, and the extents that each sub-array must have.
struct Shape<'t> {
    source: &'t str,
    is_literal: bool,
    out: Vec<u8>,
    extents: [Option<usize>; DIMENSIONS_MAX],
    /// The depth at which elements stand.
    leaf: Option<usize>,
}

impl<'t> Shape<'t> {
    fn new(source: &'t str, is_literal: bool) -> Self {
        Shape {
            source,
            is_literal,
            out: Vec::with_capacity(source.len() + 8),
            extents: [None; DIMENSIONS_MAX],
            leaf: None,
        }
    }

    fn mismatch(&self) -> DataError {
        const DETAILS: &str =
            "Multidimensional arrays must have sub-arrays with matching dimensions.";
        if self.is_literal {
            malformed(self.source, DETAILS)
        } else {
            SqlFault::new("22P02", "malformed JSON array")
                .details(DETAILS)
                .into()
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), DataError> {
        if depth >= DIMENSIONS_MAX {
            return Err(DataError::sql(
                "54000",
                format!(
                    "number of array dimensions ({}) exceeds the maximum allowed ({DIMENSIONS_MAX})",
                    depth + 1
                ),
            ));
        }
        if self.leaf.is_some_and(|leaf| depth > leaf) {
            return Err(self.mismatch());
        }
        self.out.push(b'[');
        Ok(())
    }

    /// An element stands at `depth`: whether all do.
    fn leaf(&mut self, depth: usize) -> bool {
        *self.leaf.get_or_insert(depth) == depth
    }

    fn push(&mut self, element: &Type, value: Value) -> Result<(), DataError> {
        element.write_json(value.lend(), &mut self.out);
        if self.out.len() > self.source.len() * 8 + jsonb::GROWTH_BYTES_MAX {
            return Err(DataError::sql("54000", "array size exceeds the maximum"));
        }
        Ok(())
    }

    fn close(&mut self, depth: usize, count: usize) -> Result<(), DataError> {
        if *self.extents[depth].get_or_insert(count) != count {
            return Err(self.mismatch());
        }
        self.out.push(b']');
        Ok(())
    }

    /// An array without elements has no dimensions either.
    fn finish(self) -> String {
        match self.leaf {
            Some(_) => String::from_utf8(self.out).unwrap_or_default(),
            None => "[]".to_owned(),
        }
    }
}

struct Literal<'t> {
    element: &'t Type,
    fit: Fit,
    text: &'t str,
    at: usize,
    shape: Shape<'t>,
    /// Whether elements are read, or only looked for.
    reads: bool,
}

impl Literal<'_> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if !is_space(*byte) {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn unexpected(&self) -> DataError {
        match self.text[self.at..].chars().next() {
            Some(c) => malformed(self.text, format!("Unexpected \"{c}\" character.")),
            None => malformed(self.text, "Unexpected end of input."),
        }
    }

    fn level(&mut self, depth: usize) -> Result<(), DataError> {
        self.at += 1;
        self.shape.open(depth)?;
        let mut count = 0;
        if depth > 0 || self.peek() != Some(b'}') {
            loop {
                match self.peek() {
                    Some(b'{') => self.level(depth + 1)?,
                    Some(b'}' | b',') | None => return Err(self.unexpected()),
                    Some(quote) => {
                        if !self.shape.leaf(depth) {
                            return Err(self.shape.mismatch());
                        }
                        let value = match quote {
                            b'"' => {
                                let text = self.quoted()?;
                                self.read(&text)?
                            }
                            _ => self.bare()?,
                        };
                        self.shape.push(self.element, value)?;
                    }
                }
                count += 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.shape.out.push(b',');
                    }
                    Some(b'}') => break,
                    Some(byte) if byte != b'{' => {
                        return Err(malformed(self.text, "Unexpected array element."));
                    }
                    _ => return Err(self.unexpected()),
                }
            }
        }
        self.at += 1;
        self.shape.close(depth, count)
    }

    fn quoted(&mut self) -> Result<String, DataError> {
        let mut text = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += offset + 2;
                    return Ok(text);
                }
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.unexpected())
    }

    /// An element without quotes: up to the next mark, blanks at its end cut.
    fn bare(&mut self) -> Result<Value, DataError> {
        let start = self.at;
        let mut text = String::new();
        let mut kept = 0;
        let mut escaped = false;
        let mut chars = self.text[start..].char_indices();
        loop {
            let Some((offset, c)) = chars.next() else {
                self.at = self.text.len();
                return Err(self.unexpected());
            };
            match c {
                ',' | '}' => {
                    self.at = start + offset;
                    break;
                }
                '"' | '{' => {
                    self.at = start + offset;
                    return Err(self.unexpected());
                }
                '\\' => {
                    escaped = true;
                    text.extend(chars.next().map(|(_, c)| c));
                    kept = text.len();
                }
                c => {
                    text.push(c);
                    if !(c.is_ascii() && is_space(c as u8)) {
                        kept = text.len();
                    }
                }
            }
        }
        text.truncate(kept);
        if !escaped && text.eq_ignore_ascii_case("null") {
            return Ok(Value::Null);
        }
        self.read(&text)
    }

    fn read(&self, text: &str) -> Result<Value, DataError> {
        if self.reads {
            self.element.of_text(text, self.fit)
        } else {
            Ok(Value::Null)
        }
    }
}

/// Appends the literal of a stored array.
pub(super) fn write_text(element: &Type, stored: &str, out: &mut String) {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(stored) else {
        // Not an array of ours: shown as it is.
        return out.push_str(stored);
    };
    let is_json = matches!(element, Type::Json | Type::Jsonb);
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        let item = item.get();
        if index > 0 {
            out.push(',');
        }
        if item.starts_with('[') && !is_json {
            write_text(element, item, out);
            continue;
        }
        match element.of_json(item, Fit::Literal) {
            Ok(Value::Null) => out.push_str("NULL"),
            Ok(value) => {
                let mut text = String::new();
                element.write_text(value.lend(), &mut text);
                write_element(&text, out);
            }
            Err(_) => write_element(item, out),
        }
    }
    out.push('}');
}

/// A stored array of moments as JSON, in the session's zone.
pub(super) fn write_local(stored: &str, out: &mut Vec<u8>) {
    // No moment has a quote in it.
    for (at, part) in stored.split('"').enumerate() {
        if at > 0 {
            out.push(b'"');
        }
        let local = datetime::local(part).filter(|_| at % 2 == 1);
        out.extend_from_slice(local.as_deref().unwrap_or(part).as_bytes());
    }
}

fn write_element(text: &str, out: &mut String) {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text
            .bytes()
            .any(|byte| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(byte));
    if plain {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}
