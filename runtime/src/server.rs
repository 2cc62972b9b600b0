//! The process as a server: connections in, each request to the part that answers it.
//!
//! One place decides who answers: the platform's routes first, then the app that the path or the host
//! names, and inside an app the dialect's prefixes before the app's own routes.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use pumice_host_api::GuestBody;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use crate::entries::http::{AppRequest, Entry, FUNCTIONS};
use crate::error::{self, Error, RequestError};
use crate::functions::{App, Registry};
use crate::invoke::Running;
use crate::limits;

/// Where the server is and which hosts it answers for.
pub struct Server {
    pub registry: Arc<Registry>,
    pub functions: Entry,
    /// `/platform/v1`.
    pub platform: Router,
    /// Apps are reached at `<app>.<domain>`.
    pub domain: String,
    /// The app that answers at every host (`pumice dev`).
    pub single_app: Option<String>,
    pub connections: usize,
    pub ready: AtomicBool,
    pub requests: AtomicU64,
}

impl Server {
    /// Accepts connections until `stop` resolves, then lets requests under way finish for
    /// [`STOP_WAIT`].
    pub async fn run(self: Arc<Server>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::REQUEST_HEAD_WAIT_MAX)
            .max_buf_size(limits::REQUEST_HEAD_BYTES_MAX)
            .pipeline_flush(true);
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(limits::REQUEST_HEAD_BYTES_MAX as u32);
        let places = Arc::new(Semaphore::new(self.connections));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => break,
                accepted = accepted => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: give those that are open time to close.
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            prepare(&stream);
            let server = self.clone();
            let service = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
            });
            let connection = http
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A client that breaks off is no fault of ours.
                let _ = connection.await;
                drop(place);
            });
        }
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(STOP_WAIT) => tracing::warn!("requests still under way were cut off"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, _peer: SocketAddr) -> Response<Body> {
        let request_id = RequestId::next();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path();
        let mut response = if path.starts_with("/platform/v1/") {
            self.platform_request(request).await
        } else {
            match path {
                "/health" => text("ok\n"),
                "/ready" if self.ready.load(Ordering::Relaxed) => text("ready\n"),
                "/ready" => {
                    let mut response = text("starting\n");
                    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    response
                }
                "/metrics" => text(self.metrics()),
                _ => self.app_request(request, request_id).await,
            }
        };
        response
            .headers_mut()
            .insert(REQUEST_ID, request_id.header());
        response
    }

    async fn platform_request(&self, request: Request<Incoming>) -> Response<Body> {
        // A router is a service that is always ready and never fails.
        let response = self
            .platform
            .clone()
            .call(request)
            .await
            .unwrap_or_else(|never| match never {});
        response.map(|body| Body::boxed(body.map_err(std::io::Error::other)))
    }

    async fn app_request(
        &self,
        request: Request<Incoming>,
        request_id: RequestId,
    ) -> Response<Body> {
        let Some((app, prefix, path)) = self.find_app(&request) else {
            return error::own(&RequestError::NoHost.into(), request_id);
        };
        if path.starts_with(FUNCTIONS) {
            let incoming = AppRequest {
                app,
                path,
                prefix,
                request_id,
                request,
            };
            return self
                .functions
                .by_name(incoming)
                .await
                .unwrap_or_else(|error| error::dialect(&error, request_id));
        }
        if path == "/auth/v1/.well-known/jwks.json" {
            let mut response = Response::new(Body::from(Bytes::from(app.keys.jwks().to_string())));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return response;
        }
        // Parts of the dialect that this server does not have are not an app's to answer.
        const DIALECT: [&str; 4] = ["/rest/v1", "/auth/v1", "/storage/v1", "/realtime/v1"];
        if DIALECT.iter().any(|prefix| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) {
            return error::own(&RequestError::NotFound.into(), request_id);
        }
        let incoming = AppRequest {
            app,
            path,
            prefix,
            request_id,
            request,
        };
        self.functions
            .by_route(incoming)
            .await
            .unwrap_or_else(|error: Error| error::own(&error, request_id))
    }

    /// The app a request is for, the prefix that said so, and the path inside the app.
    fn find_app(&self, request: &Request<Incoming>) -> Option<(Arc<App>, String, String)> {
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/a/") {
            let (name, inner) = rest
                .find('/')
                .map_or((rest, "/"), |slash| rest.split_at(slash));
            if let Some(app) = self.registry.get(name) {
                return Some((app, format!("/a/{name}"), inner.to_owned()));
            }
        }
        let whole = |app| (app, String::new(), path.to_owned());
        if let Some(name) = &self.single_app {
            return self.registry.get(name).map(whole);
        }
        let host = request
            .uri()
            .host()
            .or_else(|| request.headers().get(HOST)?.to_str().ok())?;
        let host = host.split(':').next().unwrap_or_default();
        let name = host.strip_suffix(self.domain.as_str())?.strip_suffix('.')?;
        self.registry.get(&name.to_ascii_lowercase()).map(whole)
    }

    /// Prometheus text. Nothing of a single app: metrics are the operator's.
    fn metrics(&self) -> String {
        let gauge = |name: &str, help: &str, value: u64| {
            format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
        };
        let counter = |name: &str, help: &str, value: u64| {
            format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n")
        };
        [
            gauge(
                "pumice_apps",
                "Apps on this node.",
                self.registry.all().len() as u64,
            ),
            gauge(
                "pumice_components_loaded",
                "Components in memory.",
                self.functions.components.count() as u64,
            ),
            gauge(
                "pumice_invocations_running",
                "Guests alive now.",
                u64::from(self.functions.invoker.running()),
            ),
            counter(
                "pumice_requests_total",
                "Requests answered.",
                self.requests.load(Ordering::Relaxed),
            ),
            counter(
                "pumice_usage_events_lost_total",
                "Usage events that found their queue full.",
                self.functions.invoker.metering.lost(),
            ),
        ]
        .concat()
    }
}

/// How long a stopping server waits for its requests.
const STOP_WAIT: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn prepare(stream: &TcpStream) {
    // Without it the head of a streamed response waits for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// A request's id: unique, ordered by time, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u128);

impl RequestId {
    /// Milliseconds, this process's random part, a counter: no system call and no lock.
    pub fn next() -> RequestId {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        static PROCESS: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis());
        let count = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff_ffff;
        RequestId(time << 80 | u128::from(*PROCESS) << 48 | u128::from(count))
    }

    /// The same id as a UUID.
    pub fn uuid(self) -> uuid::Uuid {
        uuid::Uuid::from_u128(self.0)
    }

    fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (place, digit) in digits.iter_mut().enumerate() {
            let value = (self.0 >> (124 - 4 * place)) as u8 & 15;
            *digit = if value < 10 {
                b'0' + value
            } else {
                b'a' + value - 10
            };
        }
        digits
    }

    fn header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.digits()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// The body of any response.
pub enum Body {
    Whole(Full<Bytes>),
    /// Written by a guest that is still at work.
    Guest {
        body: GuestBody,
        guest: Running,
    },
    Other(BoxBody),
}

impl Body {
    pub fn boxed(
        body: impl HttpBody<Data = Bytes, Error = std::io::Error> + Send + 'static,
    ) -> Body {
        Body::Other(body.boxed_unsync())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Whole(Full::new(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.get_mut() {
            Body::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Body::Guest { body, .. } => {
                Pin::new(body).poll_frame(cx).map_err(std::io::Error::other)
            }
            Body::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(body) => body.is_end_stream(),
            Body::Guest { body, .. } => body.is_end_stream(),
            Body::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(body) => body.size_hint(),
            Body::Guest { body, .. } => body.size_hint(),
            Body::Other(body) => body.size_hint(),
        }
    }
}

/// Resolves when the process is asked to stop: Ctrl-C or SIGTERM.
pub fn stop_signal() -> BoxFuture<'static, ()> {
    Box::pin(async {
        let terminate = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminate => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_are_ordered() {
        let ids: Vec<String> = (0..1000).map(|_| RequestId::next().to_string()).collect();
        assert!(ids.iter().all(|id| id.len() == 32));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
