//! Rows as responses of the dialect.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CONTENT_RANGE, CONTENT_TYPE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use pumice_host_api::data::query::Rows;

use super::request::{Parsed, Return};
use crate::body::Body;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The answer to a read.
pub fn rows(parsed: &Parsed, rows: Rows) -> Response<Body> {
    let offset = parsed.query.offset.unwrap_or(0);
    let range = range(offset, rows.count);
    let mut response = body(parsed, rows, StatusCode::OK);
    set(&mut response, CONTENT_RANGE, &range);
    if parsed.method == Method::HEAD {
        *response.body_mut() = Body::from(Bytes::new());
    }
    response
}

/// The answer to an insert.
pub fn created(parsed: &Parsed, rows: Rows) -> Response<Body> {
    written(
        parsed,
        rows,
        StatusCode::CREATED,
        StatusCode::CREATED,
        "*/*",
    )
}

/// The answer to an update.
pub fn changed(parsed: &Parsed, rows: Rows) -> Response<Body> {
    let range = range(0, rows.count);
    written(parsed, rows, StatusCode::OK, StatusCode::NO_CONTENT, &range)
}

/// The answer to a delete.
pub fn deleted(parsed: &Parsed, rows: Rows) -> Response<Body> {
    written(parsed, rows, StatusCode::OK, StatusCode::NO_CONTENT, "*/*")
}

/// What a procedure returned.
pub fn json(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    set(&mut response, CONTENT_TYPE, JSON);
    allow_browsers(response.headers_mut());
    response
}

/// The answer to a browser that asks whether it may.
pub fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    let headers = response.headers_mut();
    allow_browsers(headers);
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
    const EXPOSED: &str = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit, X-Request-Id";
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

const JSON: &str = "application/json; charset=utf-8";

fn written(
    parsed: &Parsed,
    rows: Rows,
    full: StatusCode,
    empty: StatusCode,
    range: &str,
) -> Response<Body> {
    let mut response = match parsed.prefer.returns {
        Some(Return::Representation) => body(parsed, rows, full),
        _ => {
            let mut response = Response::new(Body::from(Bytes::new()));
            *response.status_mut() = empty;
            allow_browsers(response.headers_mut());
            response
        }
    };
    set(&mut response, CONTENT_RANGE, range);
    let applied = applied(parsed);
    if !applied.is_empty() {
        set(&mut response, PREFERENCE_APPLIED, &applied);
    }
    response
}

/// The preferences that were followed, in the dialect's order.
fn applied(parsed: &Parsed) -> String {
    let mut applied = Vec::new();
    if parsed.method == Method::POST {
        match parsed.prefer.merge {
            Some(true) => applied.push("resolution=merge-duplicates"),
            Some(false) => applied.push("resolution=ignore-duplicates"),
            None => {}
        }
    }
    match parsed.prefer.returns {
        Some(Return::Minimal) => applied.push("return=minimal"),
        Some(Return::HeadersOnly) => applied.push("return=headers-only"),
        Some(Return::Representation) => applied.push("return=representation"),
        None => {}
    }
    applied.join(", ")
}

fn body(parsed: &Parsed, rows: Rows, status: StatusCode) -> Response<Body> {
    let mut json = rows.json;
    let mut media = JSON;
    if parsed.single {
        // Exactly one row stands between the brackets.
        json.pop();
        json.remove(0);
        media = SINGLE_JSON;
    }
    let mut response = Response::new(Body::from(Bytes::from(json)));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, media);
    allow_browsers(response.headers_mut());
    response
}

const SINGLE_JSON: &str = "application/vnd.pgrst.object+json; charset=utf-8";

/// `0-9/*`, or `*/*` for nothing.
fn range(offset: u64, count: u64) -> String {
    match count {
        0 => "*/*".to_owned(),
        count => format!("{offset}-{}/*", offset.saturating_add(count - 1)),
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
