use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;

use serde::de::DeserializeOwned;
use wasip2::http::types::{IncomingRequest, Method as HostMethod};

use super::url::query_pairs;
use super::{Body, Headers};
use crate::Result;

/// A request that a client made.
pub struct Request {
    /// Never given back by a call of its own: an instance serves one request and both end together.
    host: ManuallyDrop<IncomingRequest>,
    target: OnceCell<String>,
    headers: OnceCell<Headers>,
    body: Option<Body>,
}

impl Request {
    pub(crate) fn from_host(host: IncomingRequest) -> Self {
        Self {
            host: ManuallyDrop::new(host),
            target: OnceCell::new(),
            headers: OnceCell::new(),
            body: None,
        }
    }

    pub fn method(&self) -> Method {
        Method::from_host(self.host.method())
    }

    /// The path as it was sent, escapes included; `/` at least.
    pub fn path(&self) -> &str {
        let target = self.target();
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// The first value of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        query_pairs(self.query_string())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All query parameters, decoded, in order.
    pub fn queries(&self) -> Vec<(String, String)> {
        query_pairs(self.query_string()).collect()
    }

    /// What follows the `?`, as it was sent; empty if nothing does.
    pub fn query_string(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    pub fn headers(&self) -> &Headers {
        self.headers
            .get_or_init(|| Headers::from_host(&self.host.headers()))
    }

    /// The first value of a header, if it is text; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)
    }

    /// The body, to be read part by part.
    pub fn body(&mut self) -> &mut Body {
        let host = &self.host;
        self.body
            .get_or_insert_with(|| Body::from_host(host.consume().ok()))
    }

    /// Reads a part of the body; see [`Body::read`].
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body().read(buffer)
    }

    /// The whole body.
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        self.body().bytes()
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// 400 `invalid_text` if it is not UTF-8.
    pub fn text(&mut self) -> Result<String> {
        self.body().text()
    }

    /// The whole body read as JSON, whatever its content type says.
    ///
    /// # Errors
    /// 400 `invalid_json`, naming line, column and what was expected.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.body().json()
    }

    fn target(&self) -> &str {
        self.target
            .get_or_init(|| self.host.path_with_query().unwrap_or_default())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(body) = &mut self.body {
            body.leave_to_the_host();
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// What a request asks to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    /// Any other, as it is written.
    Other(String),
}

impl Method {
    pub fn as_str(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Other(name) => name,
        }
    }

    fn from_host(method: HostMethod) -> Self {
        match method {
            HostMethod::Get => Method::Get,
            HostMethod::Head => Method::Head,
            HostMethod::Post => Method::Post,
            HostMethod::Put => Method::Put,
            HostMethod::Delete => Method::Delete,
            HostMethod::Options => Method::Options,
            HostMethod::Patch => Method::Patch,
            HostMethod::Connect => Method::Other("CONNECT".into()),
            HostMethod::Trace => Method::Other("TRACE".into()),
            HostMethod::Other(name) => Method::Other(name),
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn to_host(&self) -> HostMethod {
        match self {
            Method::Get => HostMethod::Get,
            Method::Head => HostMethod::Head,
            Method::Post => HostMethod::Post,
            Method::Put => HostMethod::Put,
            Method::Delete => HostMethod::Delete,
            Method::Options => HostMethod::Options,
            Method::Patch => HostMethod::Patch,
            Method::Other(name) => HostMethod::Other(name.clone()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
