//! boolean.

use super::{invalid, trim};
use crate::data::DataError;

/// `t`, `true`, `y`, `yes`, `on`, `1` and their opposites, unique prefixes too, in any case.
pub(super) fn parse(text: &str) -> Result<bool, DataError> {
    let word = trim(text);
    let is = |whole: &str, least: usize| {
        word.len() >= least
            && whole
                .get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    if word == "1" || is("true", 1) || is("yes", 1) || is("on", 2) {
        Ok(true)
    } else if word == "0" || is("false", 1) || is("no", 1) || is("off", 2) {
        Ok(false)
    } else {
        Err(invalid("boolean", text))
    }
}
