//! The `Range` header beside `limit` and `offset`.

use super::params::negative_limit;
use crate::data::{DataError, SqlFault};

/// Which rows of all that a read finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub limit: Option<u64>,
}

impl Range {
    /// What header (`0-9`; only a `GET` has one that counts) and parameters leave together. A header of
    /// another form says nothing. A limit of 0 asks for no rows, whatever else is said.
    ///
    /// # Errors
    /// PGRST103 when the header ends before it begins, or nothing is left.
    pub fn read(
        header: Option<&str>,
        limit: Option<u64>,
        offset: Option<u64>,
    ) -> Result<Range, DataError> {
        let offset = offset.unwrap_or(0);
        if limit == Some(0) {
            return Ok(Range {
                offset: 0,
                limit: Some(0),
            });
        }
        let Some((lower, upper)) = header.and_then(bounds) else {
            return Ok(Range { offset, limit });
        };
        if upper.is_some_and(|upper| upper < lower) {
            return Err(SqlFault::new("PGRST103", "Requested range not satisfiable")
                .details("The lower boundary must be lower than or equal to the upper boundary in the Range header.")
                .into_error());
        }
        let first = offset.max(lower);
        let last = limit.map(|limit| offset.saturating_add(limit - 1));
        let last = match (last, upper) {
            (Some(last), Some(upper)) => Some(last.min(upper)),
            (last, upper) => last.or(upper),
        };
        let limit = match last {
            None => None,
            Some(last) if last < first => return Err(negative_limit()),
            Some(last) => Some((last - first).saturating_add(1)),
        };
        Ok(Range {
            offset: first,
            limit,
        })
    }
}

/// `0-9` or `5-`. Numbers beyond what a statement takes are the largest it takes.
fn bounds(header: &str) -> Option<(u64, Option<u64>)> {
    const MAX: u64 = i64::MAX as u64;
    let number = |digits: &str| {
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        (all && !digits.is_empty())
            .then(|| digits.parse::<u64>().map_or(MAX, |number| number.min(MAX)))
    };
    let (lower, upper) = header.split_once('-')?;
    let lower = number(lower)?;
    match upper {
        "" => Some((lower, None)),
        upper => Some((lower, Some(number(upper)?))),
    }
}
