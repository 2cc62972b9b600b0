//! varchar and char: declared lengths.

use super::Fit;
use crate::data::{DataError, SqlFault};

/// Characters of a `char(n)`, which are there whatever is stored.
///
/// Source: PostgreSQL 15, `MaxAttrSize` in `src/include/access/htup_details.h`.
const LENGTH_MAX: u32 = 10 << 20;

/// Cuts blanks beyond the declared length; refuses anything else there.
pub(super) fn varchar(text: &str, length: Option<u32>, fit: Fit) -> Result<&str, DataError> {
    match length {
        Some(length) if fit == Fit::Column => cut(text, length, "character varying"),
        _ => Ok(text),
    }
}

/// Pads with blanks to the declared length. Blanks at the end mean nothing in a `char(n)`, so a
/// literal is padded or cut to compare equal to what a column holds.
pub(super) fn char(text: &str, length: u32, fit: Fit) -> Result<String, DataError> {
    if length > LENGTH_MAX {
        return Err(SqlFault::new(
            "22023",
            format!("length for type char cannot exceed {LENGTH_MAX}"),
        )
        .into());
    }
    let text = match fit {
        Fit::Column => cut(text, length, "character")?,
        Fit::Literal => text.trim_end_matches(' '),
    };
    let missing = (length as usize).saturating_sub(text.chars().count());
    let mut padded = String::with_capacity(text.len() + missing);
    padded.push_str(text);
    padded.extend(std::iter::repeat_n(' ', missing));
    Ok(padded)
}

fn cut<'t>(text: &'t str, length: u32, ty: &str) -> Result<&'t str, DataError> {
    if text.len() <= length as usize {
        return Ok(text);
    }
    match text.char_indices().nth(length as usize) {
        None => Ok(text),
        Some((at, _)) if text.as_bytes()[at..].iter().all(|byte| *byte == b' ') => Ok(&text[..at]),
        Some(_) => Err(DataError::sql(
            "22001",
            format!("value too long for type {ty}({length})"),
        )),
    }
}
