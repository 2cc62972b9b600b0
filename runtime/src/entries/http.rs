//! HTTP functions: from a path of an app to an invocation and back.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, FORWARDED, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use pumice_host_api::IncomingBody;

use crate::body::Body;
use crate::error::{self, Error, RequestError};
use crate::functions::components::Components;
use crate::functions::manifest::Access;
use crate::functions::{App, Function, statics};
use crate::invoke::{FunctionBody, Invoker};
use crate::limits;
use crate::outcome::{InvokeError, Limit};
use crate::request_id::RequestId;
use crate::services::permissions::guard;
use crate::services::rates::Rates;

/// What this entry works with.
pub struct Entry {
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
    pub rates: Arc<Rates>,
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy)]
pub struct Peer {
    pub address: IpAddr,
    /// A proxy of the operator's: what it says of its client is true.
    pub trusted: bool,
    /// Where the request comes from, as far as anybody trusted says: the address that limits count, and
    /// that sessions remember.
    pub client: IpAddr,
}

/// A request on its way to an app.
pub struct AppRequest {
    pub app: Arc<App>,
    /// How many bytes of the path chose the app and the part of it, and are not for it to see.
    pub prefix: usize,
    pub peer: Peer,
    pub request_id: RequestId,
    pub request: Request<Incoming>,
}

impl AppRequest {
    /// The path as the app sees it.
    pub fn path(&self) -> &str {
        match self.request.uri().path().get(self.prefix..) {
            Some("") | None => "/",
            Some(path) => path,
        }
    }
}

/// Paths of the functions dialect.
pub const FUNCTIONS: &str = "/functions/v1/";

impl Entry {
    /// Answers a request to `/functions/v1/<name>…`. The function sees `/<name>…`.
    ///
    /// # Errors
    /// Everything that happens before the function's head is known.
    pub async fn by_name(&self, mut incoming: AppRequest) -> Result<Response<Body>, Error> {
        // The slash before the name is the function's.
        incoming.prefix += FUNCTIONS.len() - 1;
        let name = incoming.path()[1..].split('/').next().unwrap_or_default();
        let revision = incoming.app.revision.load();
        let function = revision
            .as_ref()
            .and_then(|revision| revision.function(name));
        let Some(function) = function.cloned() else {
            // A browser asks before it calls; only then can it read that there is no such function.
            if incoming.request.method() == Method::OPTIONS {
                return Ok(error::preflight());
            }
            return Err(RequestError::NoFunction.into());
        };
        drop(revision);
        const METHODS: [Method; 7] = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ];
        if !METHODS.contains(incoming.request.method()) {
            return Err(RequestError::Method.into());
        }
        self.call(&function, incoming).await
    }

    /// Answers any other path of an app: a function's route if one covers it, else a static file.
    ///
    /// # Errors
    /// As [`by_name`](Self::by_name); [`RequestError::NotFound`] when nothing is there.
    pub async fn by_route(&self, incoming: AppRequest) -> Result<Response<Body>, Error> {
        let revision = incoming.app.revision.load_full();
        let revision = revision.ok_or(RequestError::NotFound)?;
        if let Some(function) = revision.route(incoming.path()) {
            return self.call(function, incoming).await;
        }
        let (method, headers) = (incoming.request.method(), incoming.request.headers());
        let page = statics::serve(&incoming.app, &revision, method, incoming.path(), headers).await;
        page.map_err(RequestError::File)?
            .ok_or_else(|| RequestError::NotFound.into())
    }

    async fn call(
        &self,
        function: &Arc<Function>,
        incoming: AppRequest,
    ) -> Result<Response<Body>, Error> {
        let AppRequest {
            app,
            prefix,
            peer,
            request_id,
            request,
        } = incoming;
        // A preflight carries no key; the function answers it as its author wants.
        let (access, require) = match *request.method() {
            Method::OPTIONS => (Access::Public, None),
            _ => (function.access, function.require.as_deref()),
        };
        let caller = guard::admit(&app, access, require, request.headers()).await?;
        let rate = self.rates.user(&app, &caller, 1).await?;
        let length = content_length(request.headers());
        if length.is_some_and(|length| length > limits::REQUEST_BODY_BYTES_MAX) {
            return Err(RequestError::BodyTooLarge.into());
        }
        let target = function.guest.target(&self.components).await;
        let target = target.map_err(|error| {
            let error = InvokeError::Boot(error.to_string());
            self.invoker
                .refused(function.guest.entry(), request_id, error)
        })?;

        let (mut parts, body) = request.into_parts();
        forward_headers(&mut parts.headers, &parts.uri, prefix, peer);
        if prefix > 0 {
            parts.uri = without_prefix(parts.uri, prefix);
        }
        let request = Request::from_parts(parts, IncomingBody::Hyper(body));
        let invoked = self.invoker.function(target, caller, request_id, request);
        let mut response = invoked.await.map_err(|error| match error {
            InvokeError::Limit(Limit::RequestBytes) => RequestError::BodyTooLarge.into(),
            error => Error::from(error),
        })?;
        if let Some(rate) = rate {
            rate.tell_near(response.headers_mut());
        }
        Ok(response.map(|body| match body {
            FunctionBody::Whole(bytes) => Body::from(bytes),
            FunctionBody::Stream { body, guest } => Body::Guest { body, guest },
        }))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What the function sees of the outside: `x-forwarded-for`, `-host`, `-port`, `-proto` and `-prefix`.
/// What a trusted proxy before us wrote stays; what any other client claims does not.
fn forward_headers(headers: &mut HeaderMap, uri: &Uri, prefix: usize, peer: Peer) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
    headers.remove(FORWARDED_PREFIX);
    if !peer.trusted {
        for name in [
            FOR,
            FORWARDED_HOST,
            FORWARDED_PORT,
            FORWARDED_PROTO,
            FORWARDED,
        ] {
            headers.remove(name);
        }
    }
    let before = headers.get(FOR).and_then(|value| value.to_str().ok());
    let chain = before.map_or_else(
        || peer.address.to_string(),
        |before| format!("{before}, {}", peer.address),
    );
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert(FOR, chain);
    }
    if !headers.contains_key(FORWARDED_HOST) {
        let host = headers.get(HOST).cloned();
        let host = host.or_else(|| HeaderValue::from_str(uri.authority()?.as_str()).ok());
        if let Some(host) = host {
            let authority = Authority::try_from(host.as_bytes()).ok();
            let port = authority
                .and_then(|authority| authority.port_u16())
                .unwrap_or(80);
            headers.insert(FORWARDED_PORT, port.into());
            headers.insert(FORWARDED_HOST, host);
        }
    }
    let proto = headers.entry(FORWARDED_PROTO);
    proto.or_insert(HeaderValue::from_static("http"));
    let prefix = uri.path().get(..prefix).filter(|prefix| !prefix.is_empty());
    if let Some(value) = prefix.and_then(|prefix| HeaderValue::from_str(prefix).ok()) {
        headers.insert(FORWARDED_PREFIX, value);
    }
}

/// The same address with a path that begins after the first `prefix` bytes.
fn without_prefix(uri: Uri, prefix: usize) -> Uri {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.get(prefix..).unwrap_or_default();
    let rest = match rest.starts_with('/') {
        true => PathAndQuery::try_from(rest),
        false => PathAndQuery::try_from(format!("/{rest}")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = rest.ok();
    Uri::from_parts(parts).unwrap_or(uri)
}
