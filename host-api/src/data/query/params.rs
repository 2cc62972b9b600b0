//! A query string as a whole.

use std::borrow::Cow;

use super::filter::{embed_path, is_tree, logic, plain};
use super::lex::no_nul;
use super::{Filter, Order, Path, Query, columns, on_conflict, orders, select};
use crate::data::{COLUMNS_MAX, DataError, FILTERS_MAX, LIST_MAX, SqlFault};

/// What a query string says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Without the schema and the table (or function), which stand elsewhere in a request.
    pub query: Query,
    /// Keys of the body's rows that are written (`columns`).
    pub columns: Option<Vec<String>>,
    /// Columns of the unique key that an upsert goes by (`on_conflict`).
    pub on_conflict: Option<Vec<String>>,
    /// What a call by `GET` may mean as arguments, in order. Empty unless read by [`Params::call`].
    pub candidates: Vec<Candidate>,
}

/// A pair that is an argument if the called function has one of that name, or if it is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub key: String,
    pub value: String,
    /// What it is when the function has no such argument; it is not among the query's filters. None
    /// when it reads as no filter: then it can only be an argument.
    pub filter: Option<Filter>,
}

impl Params {
    /// Reads the decoded pairs of a query string. Of `select`, `columns`, `on_conflict` and an `order`
    /// the first one counts, of a `limit` or `offset` the last; conditions must all hold. A limit that
    /// is no integer says nothing, and so does an offset that is negative.
    ///
    /// # Errors
    /// PGRST100 for what is none of the dialect's, PGRST103 for a negative limit, 22021 for a NUL,
    /// [`DataError::TooLarge`] beyond a limit ([`FILTERS_MAX`] conditions in all).
    pub fn read<'p>(
        pairs: impl IntoIterator<Item = (Cow<'p, str>, Cow<'p, str>)>,
    ) -> Result<Params, DataError> {
        Self::all(pairs, false)
    }

    /// Reads the pairs of a call by `GET` or `HEAD`: as [`Params::read`], but what would be a filter, or
    /// nothing of the dialect's, becomes a candidate. Only who knows the function can tell.
    ///
    /// # Errors
    /// As [`Params::read`], but for pairs that are candidates.
    pub fn call<'p>(
        pairs: impl IntoIterator<Item = (Cow<'p, str>, Cow<'p, str>)>,
    ) -> Result<Params, DataError> {
        Self::all(pairs, true)
    }

    fn all<'p>(
        pairs: impl IntoIterator<Item = (Cow<'p, str>, Cow<'p, str>)>,
        call: bool,
    ) -> Result<Params, DataError> {
        let mut params = Params::default();
        let mut left = FILTERS_MAX;
        for (key, value) in pairs {
            no_nul(&key)?;
            no_nul(&value)?;
            params.pair(key, value, call, &mut left)?;
        }
        Ok(params)
    }

    fn pair(
        &mut self,
        key: Cow<str>,
        value: Cow<str>,
        call: bool,
        left: &mut usize,
    ) -> Result<(), DataError> {
        let query = &mut self.query;
        match key.as_ref() {
            "select" if query.select.is_none() => query.select = Some(select(&value)?),
            "columns" if self.columns.is_none() => self.columns = Some(columns(&value)?),
            "on_conflict" if self.on_conflict.is_none() => {
                self.on_conflict = Some(on_conflict(&value)?);
            }
            "select" | "columns" | "on_conflict" => {}
            key if is_tree(key) => query.filters.push(logic(key, &value, left)?),
            plain_key => match plain_key.rsplit('.').next() {
                Some("order") => {
                    let (path, order) = (embed_path(plain_key)?, orders(&value)?);
                    first(&mut query.orders, path, order)?;
                }
                Some("limit") => {
                    let path = embed_path(plain_key)?;
                    if let Some(limit) = limit(&value)? {
                        last(&mut query.limits, path, limit)?;
                    }
                }
                Some("offset") => {
                    let path = embed_path(plain_key)?;
                    if let Some(Ok(offset)) = integer(&value) {
                        last(&mut query.offsets, path, offset)?;
                    }
                }
                _ if call => self.candidate(key, value, left)?,
                _ => query.filters.push(plain(plain_key, &value, left)?),
            },
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        key: Cow<str>,
        value: Cow<str>,
        left: &mut usize,
    ) -> Result<(), DataError> {
        if self.candidates.len() == LIST_MAX {
            let message = format!("a call has more than {LIST_MAX} arguments");
            return Err(DataError::TooLarge(message));
        }
        let filter = match plain(&key, &value, left) {
            Ok(filter) => Some(filter),
            Err(DataError::Sql(_)) => None,
            Err(error) => return Err(error),
        };
        self.candidates.push(Candidate {
            key: key.into_owned(),
            value: value.into_owned(),
            filter,
        });
        Ok(())
    }
}

fn first(
    orders: &mut Vec<(Path, Vec<Order>)>,
    path: Path,
    order: Vec<Order>,
) -> Result<(), DataError> {
    if !orders.iter().any(|(known, _)| *known == path) {
        place(orders, path, order)?;
    }
    Ok(())
}

fn last(numbers: &mut Vec<(Path, u64)>, path: Path, number: u64) -> Result<(), DataError> {
    match numbers.iter_mut().find(|(known, _)| *known == path) {
        Some((_, known)) => *known = number,
        None => place(numbers, path, number)?,
    }
    Ok(())
}

/// No select has more relations than this, so no request has a use for more.
fn place<T>(list: &mut Vec<(Path, T)>, path: Path, one: T) -> Result<(), DataError> {
    if list.len() == COLUMNS_MAX {
        let message = format!("a request has more than {COLUMNS_MAX} orders, limits or offsets");
        return Err(DataError::TooLarge(message));
    }
    list.push((path, one));
    Ok(())
}

/// # Errors
/// PGRST103 when it is negative.
fn limit(value: &str) -> Result<Option<u64>, DataError> {
    match integer(value) {
        None => Ok(None),
        Some(Ok(limit)) => Ok(Some(limit)),
        Some(Err(Negative)) => Err(negative_limit()),
    }
}

pub(super) fn negative_limit() -> DataError {
    SqlFault::new("PGRST103", "Requested range not satisfiable")
        .details("Limit should be greater than or equal to zero.")
        .into_error()
}

struct Negative;

/// An integer, if it is one; the largest that a statement takes when it is larger.
fn integer(text: &str) -> Option<Result<u64, Negative>> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    const MAX: u64 = i64::MAX as u64;
    let number = digits.parse::<u64>().map_or(MAX, |number| number.min(MAX));
    Some(match negative && number > 0 {
        true => Err(Negative),
        false => Ok(number),
    })
}
