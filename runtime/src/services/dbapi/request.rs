//! A request of the dialect, taken apart. Pure, up to the body.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use pumice_host_api::data::query::{self, Filter, Query, Returning};
use pumice_host_api::data::{DataError, SqlFault};

use crate::error::{Error, RequestError};
use crate::limits;

/// What a request asks for.
#[derive(Debug)]
pub struct Parsed {
    pub method: Method,
    pub query: Query,
    pub columns: Option<Vec<String>>,
    pub on_conflict: Vec<String>,
    pub prefer: Prefer,
    /// One object instead of an array.
    pub single: bool,
}

/// The preferences that are understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    pub returns: Option<Return>,
    /// Upsert: update a row that is there, or leave it.
    pub merge: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Minimal,
    HeadersOnly,
    Representation,
}

/// The media type of one object.
pub const SINGLE: &str = "application/vnd.pgrst.object+json";

impl Parsed {
    /// Reads everything but the body.
    ///
    /// # Errors
    /// The dialect's parse errors.
    pub fn of(table: String, request: &Request<Incoming>) -> Result<Parsed, Error> {
        let single = accepts_single(request.headers())?;
        let mut parsed = Parsed {
            method: request.method().clone(),
            query: Query {
                table,
                ..Query::default()
            },
            columns: None,
            on_conflict: Vec::new(),
            prefer: Prefer::of(request.headers()),
            single,
        };
        let pairs = request.uri().query().unwrap_or_default().as_bytes();
        for (key, value) in url::form_urlencoded::parse(pairs) {
            parsed.pair(&key, &value)?;
        }
        Ok(parsed)
    }

    fn pair(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let query = &mut self.query;
        match key {
            "select" => query.select = Some(value.to_owned()),
            "order" => query.order = Some(value.to_owned()),
            // What is no number is ignored.
            "limit" => match value.parse::<i64>() {
                Ok(limit) if limit < 0 => {
                    let message = "Requested range not satisfiable";
                    return Err(SqlFault::new("PGRST103", message)
                        .details("Limit should be greater than or equal to zero.")
                        .into_error()
                        .into());
                }
                Ok(limit) => query.limit = Some(limit as u64),
                Err(_) => {}
            },
            "offset" => {
                if let Ok(offset) = value.parse::<u32>() {
                    query.offset = Some(offset.into());
                }
            }
            "columns" => self.columns = Some(names(value)),
            "on_conflict" => self.on_conflict = names(value),
            "and" | "or" | "not.and" | "not.or" => {
                return Err(not_yet("logic trees").into());
            }
            column => query.filters.push(filter(column, value)?),
        }
        Ok(())
    }

    /// What a write is to answer.
    pub fn returning(&self) -> Returning {
        let select = || self.query.select.clone();
        match self.prefer.returns {
            Some(Return::Representation) if self.single => Returning::One(select()),
            Some(Return::Representation) => Returning::Rows(select()),
            _ => Returning::Count,
        }
    }
}

/// `column=[not.]operator.value`
fn filter(column: &str, value: &str) -> Result<Filter, DataError> {
    let (not, rest) = match value.strip_prefix("not.") {
        Some(rest) => ("not.", rest),
        None => ("", value),
    };
    let (operator, operand) = rest.split_once('.').ok_or_else(|| {
        let shown: String = value.chars().take(100).collect();
        let message = format!("\"failed to parse filter ({shown})\" (line 1, column 1)");
        DataError::sql("PGRST100", message)
    })?;
    if column.contains('.') || column.contains("->") {
        return Err(not_yet("filters on embedded resources and JSON paths"));
    }
    Ok(Filter {
        column: column.trim_matches('"').to_owned(),
        operator: format!("{not}{operator}"),
        value: operand.to_owned(),
    })
}

fn not_yet(what: &str) -> DataError {
    SqlFault::new("PGRST127", "Feature not implemented")
        .details(what)
        .into_error()
}

/// `"a","b"` or `a,b`
fn names(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

impl Prefer {
    /// Of each preference the first value wins; unknown ones are ignored.
    pub fn of(headers: &HeaderMap) -> Prefer {
        let mut prefer = Prefer::default();
        let values = headers.get_all("prefer").iter();
        let values = values.filter_map(|value| value.to_str().ok());
        for word in values.flat_map(|value| value.split(',')) {
            match word.trim() {
                "return=minimal" => prefer.returns = prefer.returns.or(Some(Return::Minimal)),
                "return=headers-only" => {
                    prefer.returns = prefer.returns.or(Some(Return::HeadersOnly));
                }
                "return=representation" => {
                    prefer.returns = prefer.returns.or(Some(Return::Representation));
                }
                "resolution=merge-duplicates" => prefer.merge = prefer.merge.or(Some(true)),
                "resolution=ignore-duplicates" => prefer.merge = prefer.merge.or(Some(false)),
                _ => {}
            }
        }
        prefer
    }
}

/// Whether one object is asked for.
fn accepts_single(headers: &HeaderMap) -> Result<bool, DataError> {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Ok(false);
    };
    let media = |item: &str| item.split(';').next().unwrap_or_default().trim().to_owned();
    for item in accept.split(',').map(media) {
        match &*item {
            SINGLE => return Ok(true),
            "*/*" | "application/*" | "application/json" | "application/vnd.pgrst.array+json" => {
                return Ok(false);
            }
            _ => {}
        }
    }
    let message = format!("None of these media types are available: {accept}");
    Err(DataError::sql("PGRST107", message))
}

/// A path with its percent signs decoded.
///
/// # Errors
/// PGRST125 when that is no text.
pub fn decode(path: &str) -> Result<Cow<'static, str>, DataError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'x')).to_digit(16);
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid_path()),
        }
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| invalid_path())
}

fn invalid_path() -> DataError {
    DataError::sql("PGRST125", "Invalid path specified in request URL")
}

/// The whole body.
///
/// # Errors
/// [`RequestError::BodyTooLarge`], or [`RequestError::Body`] when it breaks off.
pub async fn body(body: Incoming) -> Result<Bytes, Error> {
    let limited = Limited::new(body, limits::REST_BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!(
                "the body has more than {} bytes",
                limits::REST_BODY_BYTES_MAX
            );
            Err(DataError::TooLarge(message).into())
        }
        Err(_) => Err(RequestError::BodyBroken.into()),
    }
}

/// The arguments of a procedure: a JSON object, or nothing for none.
///
/// # Errors
/// PGRST102 when it is something else.
pub fn arguments(body: &[u8]) -> Result<String, DataError> {
    let refused = || DataError::sql("PGRST102", "Empty or invalid json");
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok("{}".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|_| refused())?;
    // Reads and forgets: that it is an object is all we want to know.
    query::row(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_taken_apart() {
        let check = |value: &str, operator: &str, operand: &str| {
            let filter = filter("a", value).unwrap();
            assert_eq!((&*filter.operator, &*filter.value), (operator, operand));
        };
        check("eq.5", "eq", "5");
        check("not.eq.a.b", "not.eq", "a.b");
        check("is.null", "is", "null");
        check("in.(1,2)", "in", "(1,2)");
        check("eq.", "eq", "");
        assert!(filter("a", "5").is_err());
        assert!(filter("a.b", "eq.5").is_err());
    }

    #[test]
    fn the_first_of_a_preference_wins() {
        let prefer = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("prefer", value.parse().unwrap());
            }
            Prefer::of(&headers)
        };
        let both = prefer(&[
            "return=minimal, resolution=ignore-duplicates",
            "return=representation",
        ]);
        assert_eq!(both.returns, Some(Return::Minimal));
        assert_eq!(both.merge, Some(false));
        assert_eq!(prefer(&["nothing=known"]), Prefer::default());
    }

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%20b").unwrap(), "a b");
        assert!(decode("a%2").is_err());
        assert!(decode("%ff").is_err());
    }
}
