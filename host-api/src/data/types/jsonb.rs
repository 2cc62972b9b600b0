//! jsonb: the text that PostgreSQL prints for it.

use super::json::{Node, parse, write_json_string};
use super::numeric;
use crate::data::DataError;

/// What numbers with exponents may add to the input's length: `1e131071` is a number of 131072 digits.
pub(super) const GROWTH_BYTES_MAX: usize = 16 << 20;

/// PostgreSQL's text of a jsonb: `{"a": 1, "bb": [1, 2]}`. Keys go by length, then by bytes; of equal
/// keys the last counts; numbers lose their exponent and keep their digits.
///
/// # Errors
/// 22P02 when it is no JSON; 22P05 for `\u0000`; 22003 for a number beyond numeric; 54001 when nested
/// too deep; 54000 when its numbers grow to more than 16 MiB beyond the input.
pub fn normalize_jsonb(json: &str) -> Result<String, DataError> {
    let node = parse(json)?;
    let mut out = Vec::with_capacity(json.len() + json.len() / 8);
    // Each `,` and `:` gets a blank behind it, and each control character is escaped already.
    let length_max = json.len() * 2 + GROWTH_BYTES_MAX;
    write(node, &mut out, length_max)?;
    String::from_utf8(out).map_err(|error| DataError::Internal(error.to_string()))
}

fn write(node: Node<'_>, out: &mut Vec<u8>, length_max: usize) -> Result<(), DataError> {
    match node {
        Node::Word(word) => out.extend_from_slice(word.as_bytes()),
        Node::Number(token) => {
            out.extend_from_slice(numeric::parse(token, None)?.as_bytes());
            if out.len() > length_max {
                return Err(DataError::sql(
                    "54000",
                    format!("numbers of a jsonb may grow by {GROWTH_BYTES_MAX} bytes"),
                ));
            }
        }
        Node::String(text) => write_json_string(&text, out),
        Node::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                write(element, out, length_max)?;
            }
            out.push(b']');
        }
        Node::Object(mut members) => {
            // A stable sort keeps equal keys in order of writing: the last of a run is the one.
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            out.push(b'{');
            let mut first = true;
            let mut members = members.into_iter().peekable();
            while let Some((key, value)) = members.next() {
                if members.peek().is_some_and(|(next, _)| *next == key) {
                    // Dropped, yet its numbers must be numbers, as PostgreSQL reads them all.
                    write(value, &mut Vec::new(), length_max)?;
                    continue;
                }
                if !first {
                    out.extend_from_slice(b", ");
                }
                first = false;
                write_json_string(&key, out);
                out.extend_from_slice(b": ");
                write(value, out, length_max)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}
