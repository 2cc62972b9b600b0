//! PostgreSQL's regular expressions (`~`, `~*`): only whether one matches, in time linear in the text.
//!
//! Advanced, extended and literal forms with their embedded options are put into the words of the
//! crate `regex` (`translate.rs`), which finds. What no automaton can do in linear time is refused:
//! back references and look-around. Ranges of characters go by code point, as under
//! `LC_COLLATE 'C'`; classes are Unicode's, digits are the ten of ASCII.
//!
//! Differences: at the edges of words and in either case, characters are what Unicode says: marks
//! that combine belong to words, and the Kelvin sign is a `k`.
//!
//! Source: PostgreSQL 15, "9.7.3. POSIX Regular Expressions"; compared with a server of that version.

mod translate;

use self::translate::{DEPTH_MAX, Translated, too_complex};
use super::Recent;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::{DataError, Value, ValueRef};

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Bytes of a compiled pattern, and of the automaton that is built while text is read: the least that
/// will do.
const SIZES: [(usize, usize); 3] = [
    (64 << 10, 256 << 10),
    (512 << 10, 1 << 20),
    (4 << 20, 1 << 20),
];
/// Bytes of both for all patterns that are kept, for each connection: one large or sixteen small ones.
const KEPT_BYTES_MAX: usize = 5 << 20;
/// A pattern's places times the text's bytes: some seconds at the worst, where no automaton fits.
const WORK_MAX: usize = 1 << 29;

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    for (name, fold) in [("pumice_match", false), ("pumice_imatch", true)] {
        let recent = Recent::of(KEPT_BYTES_MAX);
        connection.function(name, 2, true, move |args| {
            let [ValueRef::Text(text), ValueRef::Text(pattern)] = args else {
                return Ok(Value::Null);
            };
            let pattern = recent.weighed(pattern, || {
                let made = Pattern::new(pattern, fold)?;
                let bytes = made.bytes;
                Ok((made, bytes))
            })?;
            Ok(Value::Integer(i64::from(pattern.matches(text)?)))
        })?;
    }
    Ok(())
}

/// A compiled pattern.
struct Pattern {
    regex: regex::Regex,
    /// What one byte of text may cost.
    size: usize,
    /// What it takes in memory at most.
    bytes: usize,
}

impl Pattern {
    /// `fold`: letters match in either case (`~*`).
    ///
    /// # Errors
    /// 2201B in PostgreSQL's words.
    fn new(pattern: &str, fold: bool) -> Result<Pattern, DataError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(too_complex());
        }
        let Translated { text, fold, size } = translate::translate(pattern, fold)?;
        let made = SIZES.iter().find_map(|&(compiled, automaton)| {
            let regex = regex::RegexBuilder::new(&text)
                .case_insensitive(fold)
                .size_limit(compiled)
                .dfa_size_limit(automaton)
                // The crate counts a group, its branches, their parts and each repetition.
                .nest_limit(DEPTH_MAX * 5)
                .build()
                .ok()?;
            Some((regex, compiled + automaton))
        });
        let (regex, bytes) = made.ok_or_else(too_complex)?;
        Ok(Pattern { regex, size, bytes })
    }

    /// # Errors
    /// 54000 when the text and the pattern together may be too much work.
    fn matches(&self, text: &str) -> Result<bool, DataError> {
        if self.size.saturating_mul(text.len()) > WORK_MAX {
            return Err(DataError::sql(
                "54000",
                "the regular expression takes too long on this text",
            ));
        }
        Ok(self.regex.is_match(text))
    }
}
