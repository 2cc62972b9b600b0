//! The process as a server: connections in, each request to the part that answers it.
//!
//! One place decides who answers: the platform's routes first, then the app that the host or the path
//! names, and inside an app the dialect's prefixes before the app's own routes.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_service::Service as _;

use crate::body::Body;
use crate::connection::Connection;
use crate::entries::http::{AppRequest, Entry, FUNCTIONS, Peer};
use crate::error::{self, Error, RequestError};
use crate::functions::{App, Registry};
use crate::limits;
use crate::request_id::RequestId;
use crate::services::auth::api::{AUTH, AuthApi};
use crate::services::auth::extract;
use crate::services::auth::keys::api::Scope;
use crate::services::dbapi::{self, Dbapi};
use crate::services::jobs::routes::{JOBS, JobsApi};
use crate::services::mail::Mailer;
use crate::services::permissions::routes as permissions;
use crate::services::rates::{Rates, TooMany, client_ip, is_trusted};

/// Where the server is and which hosts it answers for.
pub struct Server {
    pub registry: Arc<Registry>,
    pub functions: Entry,
    pub auth: Arc<AuthApi>,
    pub dbapi: Dbapi,
    pub jobs: JobsApi,
    pub rates: Arc<Rates>,
    pub mailer: Mailer,
    /// `/platform/v1`.
    pub platform: Router,
    /// Apps are reached at `<app>.<domain>`.
    pub domain: String,
    /// The app that answers at every host (`pumice dev`).
    pub single_app: Option<String>,
    pub connections: usize,
    pub trusted_proxies: Vec<ipnet::IpNet>,
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
            .max_buf_size(limits::REQUEST_HEAD_BYTES_MAX);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
            .keep_alive_interval(Some(limits::REQUEST_HEAD_WAIT_MAX))
            .keep_alive_timeout(Duration::from_secs(10))
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
            let server = self.clone();
            let service = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
            });
            let http = http.clone();
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _place = place;
                let (head, stall) = (limits::REQUEST_HEAD_WAIT_MAX, limits::WRITE_STALL_MAX);
                let Ok(stream) = Connection::open(stream, head, stall).await else {
                    return;
                };
                let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
                // A client that breaks off is no fault of ours.
                let _ = watcher.watch(connection.into_owned()).await;
            });
        }
        self.ready.store(false, Ordering::Relaxed);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(STOP_WAIT) => tracing::warn!("requests still under way were cut off"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let request_id = RequestId::next();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path();
        let mut response = if path.starts_with("/platform/v1/") {
            self.platform_request(request, request_id).await
        } else {
            match path {
                "/health" => text("ok\n"),
                "/ready" if self.ready.load(Ordering::Relaxed) => text("ready\n"),
                "/ready" => {
                    let mut response = text("stopping\n");
                    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    response
                }
                "/metrics" => text(self.metrics()),
                _ => self.app_request(request, request_id, peer.ip()).await,
            }
        };
        response
            .headers_mut()
            .insert(REQUEST_ID, request_id.header());
        response
    }

    async fn platform_request(
        &self,
        request: Request<Incoming>,
        request_id: RequestId,
    ) -> Response<Body> {
        // A router is a service that is always ready and never fails.
        let answer = self.platform.clone().call(request).await;
        let mut response = answer.unwrap_or_else(|never| match never {});
        if let Some(error::Carried(error)) = response.extensions_mut().remove() {
            return error::own(&error, request_id);
        }
        response.map(|body| Body::boxed(body.map_err(std::io::Error::other)))
    }

    async fn app_request(
        &self,
        request: Request<Incoming>,
        request_id: RequestId,
        address: IpAddr,
    ) -> Response<Body> {
        let Some((app, prefix)) = self.find_app(&request) else {
            return error::own(&RequestError::NoHost.into(), request_id);
        };
        let peer = Peer {
            address,
            trusted: is_trusted(address, &self.trusted_proxies),
            client: client_ip(address, &self.trusted_proxies, request.headers()),
        };
        let incoming = AppRequest {
            app,
            prefix,
            peer,
            request_id,
            request,
        };
        // Before anything else: what is refused here has cost next to nothing.
        let rate = match self.rates.request(&incoming.app, peer.client, 1).await {
            Ok(rate) => rate,
            Err(refusal) if is_below(incoming.path(), AUTH) => {
                let headers = incoming.request.headers();
                return self.auth.too_many(&refusal, headers, request_id);
            }
            Err(refusal) => return too_many(incoming.path(), refusal, request_id),
        };
        let mut response = self.dispatch(incoming).await;
        rate.tell_near(response.headers_mut());
        response
    }

    /// Who of an app answers.
    async fn dispatch(&self, incoming: AppRequest) -> Response<Body> {
        if incoming.request.headers().contains_key(AUTHORIZATION) {
            incoming.app.keys.revoked.look(&incoming.app).await;
        }
        let request_id = incoming.request_id;
        let path = incoming.path();
        let scope = Scope::of_path(path);
        if let Err(refused) = extract::gate(&incoming.app.keys, incoming.request.headers(), scope) {
            if scope == Scope::Auth {
                let headers = incoming.request.headers();
                return self.auth.refused(&refused, headers, request_id);
            }
            let refused = refused.into();
            return match scope {
                Scope::Rest => error::rest(&refused, false, request_id),
                Scope::Functions => error::dialect(&refused, request_id),
                _ => error::own(&refused, request_id),
            };
        }
        if path.starts_with(FUNCTIONS) {
            let answer = self.functions.by_name(incoming).await;
            return answer.unwrap_or_else(|error| error::dialect(&error, request_id));
        }
        if path.starts_with(permissions::ADMIN) {
            return permissions::admin(incoming).await;
        }
        // Parts of the dialect that this server does not have are not an app's to answer.
        const DIALECT: [&str; 2] = ["/storage/v1", "/realtime/v1"];
        let below = |prefix: &str| is_below(path, prefix);
        if path.starts_with(JOBS) {
            return self.jobs.answer(incoming).await;
        }
        if below(AUTH) {
            return self.auth.answer(incoming).await;
        }
        if below(dbapi::REST) {
            return self.dbapi.answer(incoming).await;
        }
        if below(dbapi::BATCH) {
            return self.dbapi.batch(incoming, &self.requests).await;
        }
        if DIALECT.iter().any(|prefix| below(prefix)) {
            return error::own(&RequestError::NotFound.into(), request_id);
        }
        if self.mailer.shows(&incoming) {
            return self.mailer.answer(incoming).await;
        }
        let answer = self.functions.by_route(incoming).await;
        answer.unwrap_or_else(|error: Error| error::own(&error, request_id))
    }

    /// The app a request is for, and how much of its path said so.
    ///
    /// A host that names an app shows nothing else: another app's pages there would run with its
    /// cookies.
    fn find_app(&self, request: &Request<Incoming>) -> Option<(Arc<App>, usize)> {
        const BY_PATH: &str = "/a/";
        if let Some(name) = &self.single_app {
            return Some((self.registry.get(name)?, 0));
        }
        let host = request.uri().host();
        let host = host.or_else(|| request.headers().get(HOST)?.to_str().ok())?;
        if let Some(app) = self.app_of_host(host) {
            return Some((app, 0));
        }
        let rest = request.uri().path().strip_prefix(BY_PATH)?;
        let name = rest.split('/').next().unwrap_or_default();
        Some((self.registry.get(name)?, BY_PATH.len() + name.len()))
    }

    fn app_of_host(&self, host: &str) -> Option<Arc<App>> {
        let host = host.split(':').next().unwrap_or_default();
        let end = host.len().checked_sub(self.domain.len())?;
        let (name, domain) = (host.get(..end)?, host.get(end..)?);
        if !domain.eq_ignore_ascii_case(&self.domain) {
            return None;
        }
        let name = name.strip_suffix('.')?.to_ascii_lowercase();
        self.registry.get(&name)
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
                "pumice_mails_total",
                "Mails that SMTP servers have taken.",
                self.mailer.sent(),
            ),
            counter(
                "pumice_password_hashes_total",
                "Passwords hashed or compared.",
                self.auth.passwords.runs(),
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

/// Whether `path` is `prefix` or stands below it.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// 429 as the part of an app that `path` belongs to says it.
fn too_many(path: &str, refusal: TooMany, request_id: RequestId) -> Response<Body> {
    let error = refusal.into();
    if path.starts_with(FUNCTIONS) {
        error::dialect(&error, request_id)
    } else if is_below(path, dbapi::REST) || is_below(path, dbapi::BATCH) {
        error::rest(&error, true, request_id)
    } else {
        error::own(&error, request_id)
    }
}

/// How long a stopping server waits for its requests.
const STOP_WAIT: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
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
