//! The app's static site: `public/`, served at `/` with validators and ranges.

use std::ops::RangeInclusive;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{
    ACCEPT, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{App, Revision, StoredFile};
use crate::body::Body;

/// What `path` (with its leading slash) shows, or none when there is no such page.
///
/// A folder shows its `index.html`. What is not there shows `404.html` if the app has one; else a
/// browser's navigation shows `/index.html`, for apps that route in the page.
///
/// # Errors
/// When a stored file cannot be read.
pub async fn serve(
    app: &App,
    revision: &Revision,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> std::io::Result<Option<Response<Body>>> {
    if revision.statics.is_empty() {
        return Ok(None);
    }
    let Some((name, file, status)) = find(revision, path, headers) else {
        return Ok(None);
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = Response::new(Body::from(Bytes::from_static(b"method not allowed\n")));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(Some(response));
    }
    let etag = format!("\"{}\"", &file.digest.to_string()[..32]);
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, content_type(name));
    out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The same path may hold something else after the next deployment: ask each time, cheaply.
    out.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0, must-revalidate"),
    );
    if let Ok(value) = HeaderValue::from_str(&etag) {
        out.insert(ETAG, value);
    }
    if status == StatusCode::OK && matches_etag(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Some(response));
    }
    let whole = 0..=file.size.saturating_sub(1);
    let range = match range(headers, &etag, file.size).filter(|_| status == StatusCode::OK) {
        None => whole,
        Some(Some(range)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {}-{}/{}", range.start(), range.end(), file.size);
            response.headers_mut().extend(
                HeaderValue::from_str(&value)
                    .ok()
                    .map(|value| (CONTENT_RANGE, value)),
            );
            range
        }
        Some(None) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let value = HeaderValue::from_str(&format!("bytes */{}", file.size));
            response
                .headers_mut()
                .extend(value.ok().map(|value| (CONTENT_RANGE, value)));
            return Ok(Some(response));
        }
    };
    let length = if file.size == 0 {
        0
    } else {
        range.end() - range.start() + 1
    };
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    if method == Method::GET && length > 0 {
        *response.body_mut() = read(app, file, *range.start(), length).await?;
    } else {
        *response.body_mut() = Body::boxed(Empty::new().map_err(|never| match never {}));
    }
    Ok(Some(response))
}

fn find<'r>(
    revision: &'r Revision,
    path: &str,
    headers: &HeaderMap,
) -> Option<(&'r str, StoredFile, StatusCode)> {
    let decoded = decode(path)?;
    let name = decoded.trim_start_matches('/');
    let get = |name: &str| {
        revision
            .statics
            .get_key_value(name)
            .map(|(name, file)| (name.as_str(), *file))
    };
    let folder = || {
        let trimmed = name.trim_end_matches('/');
        get(&if trimmed.is_empty() {
            "index.html".to_owned()
        } else {
            format!("{trimmed}/index.html")
        })
    };
    if let Some((name, file)) = get(name).filter(|_| !name.is_empty()).or_else(folder) {
        return Some((name, file, StatusCode::OK));
    }
    if let Some((name, file)) = get("404.html") {
        return Some((name, file, StatusCode::NOT_FOUND));
    }
    let navigates = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let is_page = !name.rsplit('/').next().unwrap_or_default().contains('.');
    let (name, file) = get("index.html").filter(|_| navigates && is_page)?;
    Some((name, file, StatusCode::OK))
}

/// Percent-decodes a path; none if that gives no UTF-8.
fn decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn content_type(name: &str) -> HeaderValue {
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let text = mime.type_() == "text" || matches!(mime.subtype().as_str(), "javascript" | "json");
    let value = if text {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    };
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    let Some(wanted) = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    wanted
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// The one range asked for (RFC 9110 §14): none if the whole is wanted, `Some(None)` if it cannot be
/// satisfied. Several ranges at once get the whole, which the standard allows.
fn range(headers: &HeaderMap, etag: &str, size: u64) -> Option<Option<RangeInclusive<u64>>> {
    if headers
        .get(IF_RANGE)
        .is_some_and(|value| value.as_bytes() != etag.as_bytes())
    {
        return None;
    }
    let (first, last) = headers
        .get(RANGE)?
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?
        .trim()
        .split_once('-')?;
    if last.contains(',') {
        return None;
    }
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some((suffix > 0 && size > 0).then(|| size.saturating_sub(suffix)..=size - 1));
    }
    let first: u64 = first.parse().ok()?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    if last < first {
        return None;
    }
    Some((first < size).then(|| first..=last.min(size - 1)))
}

async fn read(app: &App, file: StoredFile, start: u64, length: u64) -> std::io::Result<Body> {
    const CHUNK: usize = 64 * 1024;
    let mut source = tokio::fs::File::open(app.blob(file.digest)).await?;
    if start > 0 {
        source.seek(std::io::SeekFrom::Start(start)).await?;
    }
    if length <= CHUNK as u64 {
        let mut bytes = vec![0; length as usize];
        source.read_exact(&mut bytes).await?;
        return Ok(Body::from(Bytes::from(bytes)));
    }
    let chunks = tokio_util::io::ReaderStream::with_capacity(source.take(length), CHUNK);
    Ok(Body::boxed(StreamBody::new(
        chunks.map(|chunk| chunk.map(Frame::data)),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |range_header: &str, expect: Option<Option<RangeInclusive<u64>>>| {
            let headers =
                HeaderMap::from_iter([(RANGE, HeaderValue::from_str(range_header).unwrap())]);
            assert_eq!(range(&headers, "\"e\"", 10), expect, "{range_header}");
        };
        check("bytes=0-3", Some(Some(0..=3)));
        check("bytes=5-", Some(Some(5..=9)));
        check("bytes=-3", Some(Some(7..=9)));
        check("bytes=0-100", Some(Some(0..=9)));
        check("bytes=10-", Some(None));
        check("bytes=-0", Some(None));
        check("bytes=4-2", None);
        check("bytes=0-1,3-4", None);
        check("items=0-1", None);
    }

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("/a%20b").as_deref(), Some("/a b"));
        assert_eq!(decode("/%E2%82%AC").as_deref(), Some("/€"));
        assert_eq!(decode("/%ff"), None);
        assert_eq!(decode("/%f"), None);
    }
}
