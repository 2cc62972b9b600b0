//! Rows as responses of the dialect.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use pumice_host_api::data::DataError;
use pumice_host_api::data::query::{Called, Media, ResponseSettings, Return, Rows, Write};
use serde_json::Value;

use super::nulls;
use super::request::{Parsed, Profile};
use crate::body::Body;
use crate::error::Error;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// The answer to a read.
///
/// # Errors
/// [`Error::Range`] when it begins behind the last row.
pub fn read(parsed: &Parsed<'_>, rows: Rows) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    let (status, range) = range(parsed.offset, rows.count, rows.total)?;
    let mut response = full(parsed, status, rows.body, true);
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, range);
    set(headers, CONTENT_LOCATION, &location(parsed));
    // What a cache must look at beside the address.
    headers.insert(VARY, HeaderValue::from_static("Accept, Prefer, Range"));
    applied(parsed, Write::Read, headers);
    finished(response, rows.response)
}

/// The answer to an insert. `keyed`: an upsert had a unique key to go by.
///
/// # Errors
/// PGRST111, PGRST112.
pub fn created(
    parsed: &Parsed<'_>,
    table: &str,
    keyed: bool,
    rows: Rows,
) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    use pumice_host_api::data::query::Resolution;
    let merged = parsed.prefer.resolution == Some(Resolution::MergeDuplicates);
    let status = match merged && rows.inserted == Some(0) {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let place = match parsed.prefer.returning {
        Some(Return::HeadersOnly) => key_of(table, &rows.body),
        _ => None,
    };
    let total = rows.count;
    let mut response = written(parsed, rows.body, status, status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, counted(parsed, total));
    if let Some(place) = place {
        set(headers, LOCATION, &place);
    }
    applied(parsed, Write::Insert { keyed }, headers);
    finished(response, rows.response)
}

/// The answer to an update.
///
/// # Errors
/// As [`created`].
pub fn changed(parsed: &Parsed<'_>, rows: Rows) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    let count = rows.count;
    let total = parsed.prefer.count.map(|_| count);
    let mut response = written(parsed, rows.body, StatusCode::OK, StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, content_range(0, count, total));
    applied(parsed, Write::Update, headers);
    finished(response, rows.response)
}

/// The answer to a `PUT`.
///
/// # Errors
/// As [`created`].
pub fn replaced(parsed: &Parsed<'_>, rows: Rows) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    let status = match rows.inserted {
        Some(0) => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    let mut response = written(parsed, rows.body, status, StatusCode::NO_CONTENT);
    applied(parsed, Write::Replace, response.headers_mut());
    finished(response, rows.response)
}

/// The answer to a delete.
///
/// # Errors
/// As [`created`].
pub fn deleted(parsed: &Parsed<'_>, rows: Rows) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    let count = rows.count;
    let mut response = written(parsed, rows.body, StatusCode::OK, StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, counted(parsed, count));
    applied(parsed, Write::Delete, headers);
    finished(response, rows.response)
}

/// What an SQL function returned; nothing of it when that is `minimal`.
///
/// # Errors
/// As [`read`] and [`created`].
pub fn called(parsed: &Parsed<'_>, minimal: bool, rows: Rows) -> Result<Response<Body>, Error> {
    if let Media::Plan { .. } = parsed.media {
        return Ok(plan(parsed, rows));
    }
    let (status, range) = range(parsed.offset, rows.count, rows.total)?;
    let mut response = match rows.called {
        Some(Called::Void) => nothing(StatusCode::NO_CONTENT),
        _ if minimal => nothing(StatusCode::NO_CONTENT),
        called => full(parsed, status, rows.body, called == Some(Called::Set)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_RANGE, range);
    if *parsed.method != Method::POST {
        headers.insert(VARY, HeaderValue::from_static("Accept, Prefer, Range"));
    }
    applied(parsed, Write::Call, headers);
    finished(response, rows.response)
}

/// What a procedure returned.
pub fn value(json: Bytes, media: &Media, head: bool) -> Response<Body> {
    whole(StatusCode::OK, media, json, head)
}

/// The root document.
pub fn document(
    method: &Method,
    media: Media,
    profile: &Profile<'_>,
    bytes: Vec<u8>,
) -> Response<Body> {
    let mut response = whole(
        StatusCode::OK,
        &media,
        bytes.into(),
        *method == Method::HEAD,
    );
    tell_profile(profile, response.headers_mut());
    response
}

/// Done, and nothing to say of it.
pub fn empty() -> Response<Body> {
    nothing(StatusCode::NO_CONTENT)
}

/// What can be asked of a place.
pub fn allow(verbs: &str) -> Response<Body> {
    let mut response = nothing(StatusCode::OK);
    set(response.headers_mut(), ALLOW, verbs);
    response
}

/// The answer to a browser that asks whether it may.
pub fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = nothing(StatusCode::OK);
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// Lets a page of any origin read the answer: the key decides, not the page.
pub fn allow_browsers(headers: &mut HeaderMap) {
    const EXPOSED: &str = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit, Preference-Applied, Proxy-Status, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id";
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

/// Status and `Content-Range` of a read.
///
/// # Errors
/// [`Error::Range`].
fn range(offset: u64, count: u64, total: Option<u64>) -> Result<(StatusCode, HeaderValue), Error> {
    let status = match total {
        Some(total) if offset > total => return Err(Error::Range { offset, total }),
        Some(total) if count < total => StatusCode::PARTIAL_CONTENT,
        _ => StatusCode::OK,
    };
    Ok((status, content_range(offset, count, total)))
}

/// `0-9/*`, or `*/0` for nothing.
pub fn content_range(offset: u64, count: u64, total: Option<u64>) -> HeaderValue {
    use std::fmt::Write as _;
    let mut text = match count {
        0 => "*".to_owned(),
        count if total != Some(0) => format!("{offset}-{}", offset.saturating_add(count - 1)),
        _ => "*".to_owned(),
    };
    match total {
        None => text.push_str("/*"),
        Some(total) => drop(write!(text, "/{total}")),
    }
    HeaderValue::try_from(text).expect("digits and signs make a header")
}

/// `*/9` when it was asked how many, `*/*` otherwise.
fn counted(parsed: &Parsed<'_>, count: u64) -> HeaderValue {
    content_range(0, 0, parsed.prefer.count.map(|_| count))
}

fn written(
    parsed: &Parsed<'_>,
    body: Vec<u8>,
    full_status: StatusCode,
    empty_status: StatusCode,
) -> Response<Body> {
    match parsed.prefer.returning {
        Some(Return::Representation) => full(parsed, full_status, body, true),
        _ => nothing(empty_status),
    }
}

fn nothing(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = status;
    allow_browsers(response.headers_mut());
    response
}

/// The answer with a body; `rows`: it is an array, of which a single row is the one object in it.
fn full(parsed: &Parsed<'_>, status: StatusCode, body: Vec<u8>, rows: bool) -> Response<Body> {
    let mut body = Bytes::from(body);
    let (single, strip) = match parsed.media {
        Media::Object { nulls_stripped } => (rows, nulls_stripped),
        Media::Json { nulls_stripped } => (false, nulls_stripped),
        _ => (false, false),
    };
    if strip {
        body = nulls::strip(&body).into();
    }
    if single && body.len() >= 2 && body.starts_with(b"[") && body.ends_with(b"]") {
        // Exactly one row stands between the brackets.
        body = body.slice(1..body.len() - 1);
    }
    let head = *parsed.method == Method::HEAD;
    let mut response = whole(status, &parsed.media, body, head);
    tell_profile(&parsed.profile, response.headers_mut());
    response
}

/// The database's plan.
fn plan(parsed: &Parsed<'_>, rows: Rows) -> Response<Body> {
    full(parsed, StatusCode::OK, rows.body, false)
}

fn whole(status: StatusCode, media: &Media, body: Bytes, head: bool) -> Response<Body> {
    let length = body.len();
    let body = if head { Bytes::new() } else { body };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if head {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    match media.content_type() {
        Cow::Borrowed(name) => drop(headers.insert(CONTENT_TYPE, HeaderValue::from_static(name))),
        Cow::Owned(name) => set(headers, CONTENT_TYPE, &name),
    }
    allow_browsers(headers);
    response
}

fn tell_profile(profile: &Profile<'_>, headers: &mut HeaderMap) {
    if profile.told {
        set(headers, CONTENT_PROFILE, profile.schema);
    }
}

/// Says which preferences were followed.
fn applied(parsed: &Parsed<'_>, request: Write, headers: &mut HeaderMap) {
    if let Some(applied) = parsed.prefer.applied(request) {
        set(headers, PREFERENCE_APPLIED, &applied);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `/table?a=eq.1&select=b`: the pairs in order of name, so that one address has one text.
fn location(parsed: &Parsed<'_>) -> String {
    let mut text = String::with_capacity(parsed.query.table.len() + parsed.pairs.len() + 2);
    text.push('/');
    text.push_str(&parsed.query.table);
    let mut pairs: Vec<(Cow<str>, Cow<str>)> =
        url::form_urlencoded::parse(parsed.pairs.as_bytes()).collect();
    pairs.sort();
    for (at, (key, value)) in pairs.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        encode(key, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// `/table?id=eq.1` of the one inserted row, when it has a key.
fn key_of(table: &str, keys: &[u8]) -> Option<String> {
    let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(keys).ok()?;
    let [row] = &rows[..] else {
        return None;
    };
    if row.is_empty() {
        return None;
    }
    let mut text = format!("/{table}");
    for (at, (column, value)) in row.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        encode(column, &mut text);
        text.push('=');
        match value {
            Value::Null => text.push_str("is.null"),
            Value::String(value) => encode(&format!("eq.{value}"), &mut text),
            value => encode(&format!("eq.{value}"), &mut text),
        }
    }
    Some(text)
}

/// All but letters, digits and `-_.~` as percent signs.
fn encode(plain: &str, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// The response with what a function of PostgreSQL says of it.
///
/// # Errors
/// PGRST111, PGRST112 when that makes no sense.
fn finished(
    mut response: Response<Body>,
    settings: Option<Box<ResponseSettings>>,
) -> Result<Response<Body>, Error> {
    let Some(settings) = settings else {
        return Ok(response);
    };
    if let Some(status) = settings.status.filter(|status| !status.is_empty()) {
        let known = status.parse().ok().filter(|status: &u16| *status >= 200);
        let known = known.and_then(|status| StatusCode::from_u16(status).ok());
        let Some(status) = known else {
            let message = "response.status guc must be a valid status code";
            return Err(DataError::sql("PGRST112", message).into());
        };
        *response.status_mut() = status;
    }
    if let Some(list) = settings.headers.filter(|list| !list.is_empty()) {
        let Some(list) = header_list(&list) else {
            let message = "response.headers guc must be a JSON array composed of objects with a single key and a string value";
            return Err(DataError::sql("PGRST111", message).into());
        };
        let headers = response.headers_mut();
        for (name, _) in &list {
            headers.remove(name);
        }
        for (name, value) in list {
            headers.append(name, value);
        }
    }
    Ok(response)
}

/// `[{"X-A": "b"}]`
fn header_list(json: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let list: Vec<BTreeMap<String, String>> = serde_json::from_str(json).ok()?;
    let pairs = list.into_iter().map(|object| {
        let mut pairs = object.into_iter();
        match (pairs.next(), pairs.next()) {
            (Some((name, value)), None) => Some((
                HeaderName::try_from(name).ok()?,
                HeaderValue::try_from(value).ok()?,
            )),
            _ => None,
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_their_statuses() {
        let check = |offset, count, total, expect: Option<(u16, &str)>| {
            let found = range(offset, count, total);
            let found = found.as_ref().ok();
            let found = found.map(|(status, range)| (status.as_u16(), range.to_str().unwrap()));
            assert_eq!(found, expect, "{offset} {count} {total:?}");
        };
        check(0, 0, None, Some((200, "*/*")));
        check(0, 10, None, Some((200, "0-9/*")));
        check(5, 1, None, Some((200, "5-5/*")));
        check(0, 0, Some(0), Some((200, "*/0")));
        check(0, 3, Some(3), Some((200, "0-2/3")));
        check(0, 2, Some(3), Some((206, "0-1/3")));
        check(3, 0, Some(3), Some((206, "*/3")));
        check(4, 0, Some(3), None);
        check(1, 0, Some(0), None);
        check(9, 0, None, Some((200, "*/*")));
        check(
            u64::MAX,
            5,
            None,
            Some((200, "18446744073709551615-18446744073709551615/*")),
        );
    }

    #[test]
    fn a_row_has_an_address() {
        let check = |keys: &str, expect: Option<&str>| {
            assert_eq!(key_of("t", keys.as_bytes()).as_deref(), expect);
        };
        check("[]", None);
        check("[{}]", None);
        check(r#"[{"id":1},{"id":2}]"#, None);
        check(r#"[{"id":1}]"#, Some("/t?id=eq.1"));
        check(
            r#"[{"a b":"x&y","n":null}]"#,
            Some("/t?a%20b=eq.x%26y&n=is.null"),
        );
    }

    #[test]
    fn a_function_says_status_and_headers() {
        let finish = |status: Option<&str>, headers: Option<&str>| {
            let settings = ResponseSettings {
                status: status.map(str::to_owned),
                headers: headers.map(str::to_owned),
            };
            finished(allow("GET"), Some(Box::new(settings)))
        };
        let code = |outcome: Result<Response<Body>, Error>| match outcome {
            Err(Error::Data(error)) => error.code().unwrap_or_default().to_owned(),
            other => panic!("{:?}", other.map(|response| response.status())),
        };
        let plain = finish(None, None).unwrap();
        assert_eq!(
            (plain.status().as_u16(), &plain.headers()["allow"]),
            (200, &HeaderValue::from_static("GET"))
        );
        let told = finish(
            Some("418"),
            Some(r#"[{"Set-Cookie":"a"},{"Set-Cookie":"b"},{"Allow":"x"}]"#),
        )
        .unwrap();
        assert_eq!(told.status().as_u16(), 418);
        assert_eq!(told.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(
            told.headers().get_all("allow").iter().collect::<Vec<_>>(),
            ["x"]
        );
        assert_eq!(finish(Some(""), Some("")).unwrap().status().as_u16(), 200);
        for status in ["x", "199", "1000", "20x"] {
            assert_eq!(code(finish(Some(status), None)), "PGRST112");
        }
        for headers in [
            "x",
            "{}",
            r#"[{"a":1}]"#,
            r#"[{"a":"b","c":"d"}]"#,
            "[{}]",
            r#"[{"a b":"c"}]"#,
        ] {
            assert_eq!(code(finish(None, Some(headers))), "PGRST111");
        }
    }
}
