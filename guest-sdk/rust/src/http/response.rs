use std::borrow::Cow;
use std::io;

use serde::Serialize;
use wasip2::http::types::{
    IncomingRequest, OutgoingBody, OutgoingResponse, OutputStream, ResponseOutparam,
};

use super::{Headers, Request};
use crate::stream::{self, write_error};
use crate::{Error, Result};

/// The most `blocking-write-and-flush` takes in one call. Source: `wasi:io/streams`.
const ONE_CALL_BYTES_MAX: usize = 4096;

/// An answer: a status, headers, and a body that is there already or is written as it comes.
pub struct Response {
    status: u16,
    headers: Headers,
    content: Content,
}

enum Content {
    Whole(Cow<'static, [u8]>),
    Written(Box<WriteBody>),
}

type WriteBody = dyn FnOnce(&mut BodyWriter) -> Result<()>;

impl Response {
    /// An empty answer with this status.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Headers::new(),
            content: Content::Whole(Cow::Borrowed(&[])),
        }
    }

    /// 200 with text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::whole("text/plain; charset=utf-8", bytes)
    }

    /// 200 with bytes of any kind; say which with `.header("content-type", …)`.
    pub fn bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::whole("application/octet-stream", bytes.into())
    }

    /// 200 with JSON.
    ///
    /// # Errors
    /// If the value has no JSON form, for example a map whose keys are not text.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        Ok(Self::whole("application/json", Cow::Owned(bytes)))
    }

    /// 200 with a body that `write` writes after status and headers have gone to the client.
    ///
    /// If `write` fails, the client sees a body that breaks off, and the cause goes to the log.
    pub fn stream(write: impl FnOnce(&mut BodyWriter) -> Result<()> + 'static) -> Self {
        Self {
            status: 200,
            headers: Headers::new(),
            content: Content::Written(Box::new(write)),
        }
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Puts this header in place of any with its name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.set(name, value);
        self
    }

    /// All headers, for instance to append a second `set-cookie`.
    pub fn headers(&mut self) -> &mut Headers {
        &mut self.headers
    }

    fn whole(content_type: &str, bytes: Cow<'static, [u8]>) -> Self {
        let mut headers = Headers::new();
        headers.append("content-type", content_type);
        Self {
            status: 200,
            headers,
            content: Content::Whole(bytes),
        }
    }

    fn send(mut self, to: ResponseOutparam) -> Result<(), SendError> {
        if let Content::Whole(bytes) = &self.content {
            // With a length the host needs no chunks, and the client can tell a whole body from a cut one.
            let has_body = !matches!(self.status, 100..=199 | 204 | 304);
            if has_body && !self.headers.contains("content-length") {
                self.headers
                    .append("content-length", bytes.len().to_string());
            }
        }
        let fields = match self.headers.to_host() {
            Ok(fields) => fields,
            Err(message) => return Err(SendError::Head(to, message)),
        };
        let response = OutgoingResponse::new(fields);
        if self.status != 200 && response.set_status_code(self.status).is_err() {
            let message = format!("{} is no status", self.status);
            return Err(SendError::Head(to, message));
        }
        let body = response
            .body()
            .expect("the body of a new response has not been taken");
        ResponseOutparam::set(to, Ok(response));
        let result = match self.content {
            Content::Whole(bytes) if bytes.is_empty() => Ok(()),
            content => {
                let stream = body
                    .write()
                    .expect("the stream of a new body has not been taken");
                let mut writer = BodyWriter { stream };
                match content {
                    Content::Whole(bytes) => writer.send(&bytes).map_err(Error::from),
                    Content::Written(write) => write(&mut writer),
                }
            }
        };
        // Without `finish` the host knows that the body is not whole.
        result.map_err(SendError::Body)?;
        OutgoingBody::finish(body, None)
            .map_err(|code| SendError::Body(io::Error::other(format!("{code:?}")).into()))
    }
}

enum SendError {
    /// Nothing has been sent yet.
    Head(ResponseOutparam, String),
    /// The head has been sent, so the status can no longer say it.
    Body(Error),
}

/// Writes a body part by part; see [`Response::stream`].
pub struct BodyWriter {
    stream: OutputStream,
}

impl BodyWriter {
    /// Writes all of `bytes` and sees them off to the client before it returns.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] once the client has gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= ONE_CALL_BYTES_MAX {
            return self
                .stream
                .blocking_write_and_flush(bytes)
                .map_err(write_error);
        }
        io::Write::write_all(self, bytes)?;
        io::Write::flush(self)
    }
}

/// For `write!` and for whatever else writes to a [`io::Write`]. What is written waits in the host until
/// `flush` or until there is enough of it.
impl io::Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stream::write(&self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.blocking_flush().map_err(write_error)
    }
}

/// A JSON body: as a return value, 200 with this value.
pub struct Json<T>(pub T);

/// What a function may return.
pub trait IntoResponse {
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0).into_response()
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

/// 204.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(204)
    }
}

impl<T: IntoResponse, E: Into<Error>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into().into_response(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.has_cause() {
            log_error(&self);
        }
        let bytes = serde_json::to_vec(&self).expect("two strings have a JSON form");
        Response::whole("application/json", Cow::Owned(bytes)).status(self.status())
    }
}

/// Takes one request to the author's function and its answer back to the host.
#[doc(hidden)]
pub fn answer<R: IntoResponse>(
    request: IncomingRequest,
    response: ResponseOutparam,
    function: impl FnOnce(Request) -> R,
) {
    crate::begin();
    let answer = function(Request::from_host(request)).into_response();
    match answer.send(response) {
        Ok(()) => {}
        Err(SendError::Head(response, message)) => {
            let error = Error::from(io::Error::other(message));
            // The second answer has nothing a host could refuse.
            if let Err(SendError::Body(error)) = error.into_response().send(response) {
                log_error(&error);
            }
        }
        Err(SendError::Body(error)) => log_error(&error),
    }
}

/// Standard error is the app's log at level `error`, and unlike `pumice:platform/log` it is there on every
/// host: a function that uses nothing of the platform imports nothing of it.
fn log_error(error: &Error) {
    eprintln!("{error:?}");
}
