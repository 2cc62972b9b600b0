//! Fetches `url` and answers with its status and body, or with 502 and the reason. Redirects are followed
//! here, up to five, so that every hop is a request the host has to judge.

use std::time::Duration;

use guests::number;
use pumice::http::{self, FetchError, Reply, Request, Response};
use pumice::{Error, Result};

const REDIRECTS_MAX: usize = 5;

#[pumice::function]
fn fetch(request: Request) -> Result<Response> {
    let url = request
        .query("url")
        .ok_or_else(|| Error::bad_request("invalid_query", "url is missing"))?;
    let timeout = Duration::from_millis(number(&request, "timeout_ms", 5_000)?);
    match follow(url, timeout) {
        Ok(mut reply) => Ok(Response::bytes(reply.bytes()?).status(reply.status())),
        Err(error) => Ok(Response::text(format!("{error:?}: {error}\n")).status(502)),
    }
}

fn follow(mut url: String, timeout: Duration) -> Result<Reply, FetchError> {
    for _ in 0..=REDIRECTS_MAX {
        let reply = http::fetch(url.as_str()).timeout(timeout).send()?;
        match reply.header("location") {
            Some(location) if (300..400).contains(&reply.status()) => url = resolve(&url, location),
            _ => return Ok(reply),
        }
    }
    Err(FetchError::Failed("too many redirects".into()))
}

/// Absolute locations and absolute paths, which is what redirects use.
fn resolve(base: &str, location: &str) -> String {
    if !location.starts_with('/') {
        return location.to_owned();
    }
    let authority_at = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority_at..]
        .find('/')
        .map_or(base.len(), |at| authority_at + at);
    format!("{}{location}", &base[..end])
}
