//! `columns=` and `on_conflict=`: names with commas between them.

use super::lex::{COMMA, Cursor, END, Parse, Stop, no_nul};
use crate::data::{COLUMNS_MAX, DataError};

/// Reads the keys of a body that are written: `"a","b"`. A name that stands there twice counts once.
///
/// # Errors
/// PGRST100 for what is no list of names (an empty one is none), 22021, [`DataError::TooLarge`] beyond
/// [`COLUMNS_MAX`] names.
pub fn columns(text: &str) -> Result<Vec<String>, DataError> {
    read(text, "columns parameter")
}

/// Reads the columns of the unique key that an upsert goes by. Errors as [`columns`].
pub fn on_conflict(text: &str) -> Result<Vec<String>, DataError> {
    read(text, "on_conflict parameter")
}

fn read(text: &str, what: &str) -> Result<Vec<String>, DataError> {
    no_nul(text)?;
    names(&mut Cursor::new(text)).map_err(|stop| stop.of(what, text))
}

fn names(cursor: &mut Cursor) -> Parse<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    loop {
        cursor.blank();
        let name = cursor.name()?;
        cursor.blank();
        if !names.contains(&name) {
            if names.len() == COLUMNS_MAX {
                let message = format!("a list of columns has more than {COLUMNS_MAX} names");
                return Err(Stop::Refused(DataError::TooLarge(message)));
            }
            names.push(name);
        }
        if !cursor.eat(",") {
            cursor.expect_end(&[COMMA, END])?;
            return Ok(names);
        }
    }
}
