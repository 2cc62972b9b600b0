//! interval.

use crate::data::DataError;

pub(super) fn parse(text: &str) -> Result<String, DataError> {
    Err(super::invalid("interval", text))
}
