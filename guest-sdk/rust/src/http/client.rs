use std::fmt;
use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, FutureIncomingResponse, IncomingResponse, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::poll::poll;

use super::url::Target;
use super::{Body, Headers, Method};
use crate::Result;

/// The most `blocking-write-and-flush` takes in one call. Source: `wasi:io/streams`.
const ONE_CALL_BYTES_MAX: usize = 4096;

/// Begins a request to another server: `http::fetch("https://api.example.com/x").send()?`.
///
/// The host must stand in the function's `egress` list in `pumice.toml`. Redirects are not followed.
pub fn fetch(url: impl Into<String>) -> Fetch {
    Fetch {
        url: url.into(),
        method: Method::Get,
        headers: Headers::new(),
        body: Vec::new(),
        timeout: None,
    }
}

/// A request on its way out; [`Fetch::send`] sends it.
#[must_use = "nothing is sent before `send`"]
pub struct Fetch {
    url: String,
    method: Method,
    headers: Headers,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

impl Fetch {
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Puts this header in place of any with its name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.set(name, value);
        self
    }

    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// A JSON body with its content type.
    ///
    /// # Errors
    /// If the value has no JSON form.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(bytes))
    }

    /// How long to wait for the head of the reply, and then for each further part of its body. Without it
    /// only the function's own time bounds the wait.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and waits for the head of the reply. A status of 400 or more is a reply too.
    ///
    /// # Errors
    /// [`FetchError`], whenever there is no reply.
    pub fn send(self) -> Result<Reply, FetchError> {
        let pending = self.start()?;
        let reply = self.wait(&pending)?;
        Ok(Reply {
            status: reply.status(),
            headers: Headers::from_host(&reply.headers()),
            body: Body::from_host(reply.consume().ok()),
            _host: reply,
        })
    }

    fn start(&self) -> Result<FutureIncomingResponse, FetchError> {
        let target = Target::parse(&self.url).ok_or_else(|| FetchError::Url(self.url.clone()))?;
        let mut headers = self.headers.clone();
        if !self.body.is_empty() && !headers.contains("content-length") {
            headers.append("content-length", self.body.len().to_string());
        }
        let fields = headers.to_host().map_err(FetchError::Invalid)?;
        let request = OutgoingRequest::new(fields);
        let scheme = if target.https {
            Scheme::Https
        } else {
            Scheme::Http
        };
        request
            .set_method(&self.method.to_host())
            .map_err(|()| FetchError::Invalid(format!("method `{}`", self.method)))?;
        let placed = request
            .set_scheme(Some(&scheme))
            .and_then(|()| request.set_authority(Some(target.authority)))
            .and_then(|()| request.set_path_with_query(Some(&target.path_with_query)));
        placed.map_err(|()| FetchError::Url(self.url.clone()))?;

        let body = request
            .body()
            .expect("the body of a new request has not been taken");
        let pending =
            outgoing_handler::handle(request, self.options()).map_err(FetchError::from)?;
        self.write_body(body)?;
        Ok(pending)
    }

    fn write_body(&self, body: OutgoingBody) -> Result<(), FetchError> {
        if !self.body.is_empty() {
            let stream = body
                .write()
                .expect("the stream of a new body has not been taken");
            for chunk in self.body.chunks(ONE_CALL_BYTES_MAX) {
                // A server may answer and close before it has read everything: its reply is what counts.
                if stream.blocking_write_and_flush(chunk).is_err() {
                    return Ok(());
                }
            }
        }
        OutgoingBody::finish(body, None).map_err(FetchError::from)
    }

    fn options(&self) -> Option<RequestOptions> {
        let nanoseconds = Some(nanoseconds(self.timeout?));
        let options = RequestOptions::new();
        // A host may not know all three; the clock in `wait` holds in any case.
        let _ = options.set_connect_timeout(nanoseconds);
        let _ = options.set_first_byte_timeout(nanoseconds);
        let _ = options.set_between_bytes_timeout(nanoseconds);
        Some(options)
    }

    fn wait(&self, pending: &FutureIncomingResponse) -> Result<IncomingResponse, FetchError> {
        let ready = pending.subscribe();
        match self.timeout {
            None => ready.block(),
            Some(timeout) => {
                let clock = monotonic_clock::subscribe_duration(nanoseconds(timeout));
                if !poll(&[&ready, &clock]).contains(&0) {
                    return Err(FetchError::Timeout);
                }
            }
        }
        drop(ready);
        match pending.get() {
            Some(Ok(reply)) => reply.map_err(FetchError::from),
            Some(Err(())) | None => Err(FetchError::Failed("the host gave no reply".into())),
        }
    }
}

/// What another server replied.
pub struct Reply {
    status: u16,
    headers: Headers,
    body: Body,
    /// After `body`, because its parts belong to this.
    _host: IncomingResponse,
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The first value of a header, if it is text; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body, to be read part by part.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The whole body.
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        self.body.bytes()
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] if it is not UTF-8.
    pub fn text(&mut self) -> Result<String> {
        let bytes = self.body.bytes()?;
        String::from_utf8(bytes)
            .map_err(|_| FetchError::Invalid("the reply is not UTF-8 text".into()).into())
    }

    /// The whole body read as JSON.
    ///
    /// # Errors
    /// [`FetchError::Invalid`], naming line, column and what was expected.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        let bytes = self.body.bytes()?;
        serde_json::from_slice(&bytes)
            .map_err(|error| FetchError::Invalid(format!("the reply: {error}")).into())
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub enum FetchError {
    /// Not an absolute `http` or `https` URL.
    Url(String),
    /// The host refuses this destination: it is not in `egress`, or it is a private address.
    Denied,
    /// No reply in time.
    Timeout,
    /// The request or the reply is not what HTTP, or the reader, allows.
    Invalid(String),
    /// No connection, or it broke; the text is the host's.
    Failed(String),
}

impl From<ErrorCode> for FetchError {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::HttpRequestDenied
            | ErrorCode::DestinationIpProhibited
            | ErrorCode::DestinationIpUnroutable => FetchError::Denied,
            ErrorCode::DnsTimeout
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
            // `ConnectionRefused`, `DnsError(…)`: the words of `wasi:http`, without the type's name.
            other => FetchError::Failed(format!("{other:?}").replace("ErrorCode::", "")),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Url(url) => write!(f, "`{url}` is not an absolute http or https URL"),
            FetchError::Denied => f.write_str(
                "the destination is not allowed: `egress` in pumice.toml does not list it, or its address is private",
            ),
            FetchError::Timeout => f.write_str("no reply in time"),
            FetchError::Invalid(what) | FetchError::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for FetchError {}

impl io::Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
