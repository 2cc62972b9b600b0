//! Requests and responses as a guest holds them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::task::JoinHandle;

use super::body::IncomingBody;
use super::error::HttpFault;
use super::fields::{self, Fields};
use super::pipe::Pipe;

/// The resource `incoming-request`.
pub(crate) struct IncomingRequest {
    pub(crate) parts: http::request::Parts,
    pub(crate) body: Option<IncomingBody>,
    host: Option<HeaderValue>,
    shared: Option<Arc<HeaderMap>>,
}

impl IncomingRequest {
    pub(crate) fn new(request: http::Request<IncomingBody>) -> Self {
        let (parts, body) = request.into_parts();
        IncomingRequest {
            parts,
            body: Some(body),
            host: None,
            shared: None,
        }
    }

    /// The URI's authority, or the `host` header.
    pub(crate) fn authority(&self) -> Option<String> {
        if let Some(authority) = self.parts.uri.authority() {
            return Some(authority.as_str().to_owned());
        }
        let host = self
            .host
            .as_ref()
            .or_else(|| self.parts.headers.get(header::HOST));
        host.and_then(|host| host.to_str().ok()).map(str::to_owned)
    }

    /// The headers without those of the connection. Made when first asked for: many guests never ask.
    pub(crate) fn headers(&mut self) -> Fields {
        let shared = self.shared.get_or_insert_with(|| {
            let mut headers = std::mem::take(&mut self.parts.headers);
            self.host = headers.get(header::HOST).cloned();
            fields::remove_connection_fields(&mut headers);
            Arc::new(headers)
        });
        Fields::Shared(shared.clone())
    }
}

/// The resource `incoming-response`.
pub(crate) struct IncomingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: Arc<HeaderMap>,
    pub(crate) body: Option<IncomingBody>,
    pub(crate) between_bytes: Duration,
}

/// The resource `outgoing-request`.
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    pub(crate) path_with_query: Option<String>,
    pub(crate) headers: Fields,
    pub(crate) body: Option<Arc<Pipe>>,
}

/// The scheme of a request a guest makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    Other(String),
}

/// The resource `outgoing-response`.
pub(crate) struct OutgoingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: Fields,
    pub(crate) body: Option<Arc<Pipe>>,
}

/// The resource `request-options`; a longer time than the entry's limit has no effect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestOptions {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
}

/// What a request leads to.
pub(crate) type Answer = Result<Box<IncomingResponse>, HttpFault>;

/// The resource `future-incoming-response`.
pub(crate) enum FutureResponse {
    Pending(Sending),
    Ready(Box<Answer>),
    Taken,
}

/// The task that sends a request. It must run while the guest does other things, such as writing the
/// request's body; it dies with the resource.
pub(crate) struct Sending(JoinHandle<Answer>);

impl Sending {
    pub(crate) fn spawn(request: impl Future<Output = Answer> + Send + 'static) -> Self {
        Sending(tokio::spawn(request))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FutureResponse {
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let FutureResponse::Pending(sending) = self {
            let Poll::Ready(joined) = Pin::new(&mut sending.0).poll(cx) else {
                return Poll::Pending;
            };
            let answer = joined.unwrap_or_else(|_| {
                Err(HttpFault::Internal("the request was cancelled".to_owned()))
            });
            *self = FutureResponse::Ready(Box::new(answer));
        }
        Poll::Ready(())
    }
}
