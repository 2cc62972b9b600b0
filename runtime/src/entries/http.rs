//! HTTP functions: from a path of an app to an invocation and back.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use pumice_host_api::IncomingBody;

use crate::error::{Error, RequestError};
use crate::functions::components::Components;
use crate::functions::{App, Function, statics};
use crate::invoke::{FunctionBody, InvokeError, Invoker};
use crate::limits;
use crate::server::{Body, RequestId};
use crate::services::auth::extract;

/// What this entry works with.
pub struct Entry {
    pub invoker: Arc<Invoker>,
    pub components: Arc<Components>,
}

/// A request on its way to an app, with the path as the app sees it.
pub struct AppRequest {
    pub app: Arc<App>,
    /// Without the prefix that chose the app.
    pub path: String,
    /// The prefix: empty, or `/a/<app>`.
    pub prefix: String,
    pub request_id: RequestId,
    pub request: Request<Incoming>,
}

/// Paths of the functions dialect.
pub const FUNCTIONS: &str = "/functions/v1/";

impl Entry {
    /// Answers a request to `/functions/v1/<name>…`. The function sees `/<name>…`.
    ///
    /// # Errors
    /// Everything that happens before the function's head is known.
    pub async fn by_name(&self, mut incoming: AppRequest) -> Result<Response<Body>, Error> {
        let path = incoming
            .path
            .strip_prefix(FUNCTIONS.trim_end_matches('/'))
            .unwrap_or_default()
            .to_owned();
        let name = path
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        let revision = incoming.app.revision.load_full();
        let Some(function) = revision
            .as_ref()
            .and_then(|revision| revision.function(name))
        else {
            return Err(RequestError::NoFunction.into());
        };
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
        incoming.prefix.push_str(FUNCTIONS.trim_end_matches('/'));
        incoming.path = path;
        self.call(function, incoming).await
    }

    /// Answers any other path of an app: a function's route if one covers it, else a static file.
    ///
    /// # Errors
    /// As [`by_name`](Self::by_name); [`RequestError::NotFound`] when nothing is there.
    pub async fn by_route(&self, incoming: AppRequest) -> Result<Response<Body>, Error> {
        let revision = incoming
            .app
            .revision
            .load_full()
            .ok_or(RequestError::NotFound)?;
        if let Some(function) = revision.route(&incoming.path) {
            return self.call(function, incoming).await;
        }
        let AppRequest {
            app, path, request, ..
        } = &incoming;
        let page = statics::serve(app, &revision, request.method(), path, request.headers()).await;
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
            path,
            prefix,
            request_id,
            request,
        } = incoming;
        // A preflight carries no key; the function answers it as its author wants.
        let access = if request.method() == Method::OPTIONS {
            crate::functions::manifest::Access::Public
        } else {
            function.access
        };
        let caller = extract::admit(&app.keys, access, request.headers())?;
        if content_length(request.headers())
            .is_some_and(|length| length > limits::REQUEST_BODY_BYTES_MAX)
        {
            return Err(RequestError::BodyTooLarge.into());
        }
        let target = function
            .target(&self.components)
            .await
            .map_err(|error| InvokeError::Boot(error.to_string()))?;

        let (mut parts, body) = request.into_parts();
        forward_headers(&mut parts.headers, &parts.uri, &prefix);
        parts.uri = inner_uri(&parts.uri, path, &parts.headers);
        let request = Request::from_parts(parts, IncomingBody::Hyper(body));
        let response = self
            .invoker
            .function(target, caller, request_id, request)
            .await?;
        Ok(response.map(|body| match body {
            FunctionBody::Whole(bytes) => Body::from(bytes),
            FunctionBody::Stream { body, guest } => Body::Guest { body, guest },
        }))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What the function sees of the outside address: `x-forwarded-host`, `-proto` and `-prefix`. Those
/// of a proxy before us stay.
fn forward_headers(headers: &mut HeaderMap, uri: &Uri, prefix: &str) {
    const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
    if !headers.contains_key(HOST) {
        let host = headers.get(http::header::HOST).cloned();
        let host = host.or_else(|| HeaderValue::from_str(uri.authority()?.as_str()).ok());
        headers.extend(host.map(|host| (HOST, host)));
    }
    headers
        .entry(PROTO)
        .or_insert(HeaderValue::from_static("http"));
    if !prefix.is_empty() {
        headers.extend(
            HeaderValue::from_str(prefix)
                .ok()
                .map(|value| (PREFIX, value)),
        );
    }
}

/// The request's address with the app's own path: scheme and authority as `wasi:http` wants them.
fn inner_uri(uri: &Uri, path: String, headers: &HeaderMap) -> Uri {
    let mut path_and_query = path;
    if let Some(query) = uri.query() {
        path_and_query.push('?');
        path_and_query.push_str(query);
    }
    let authority = uri.authority().cloned().or_else(|| {
        let host = headers.get(http::header::HOST)?;
        host.as_bytes().try_into().ok()
    });
    let path_and_query =
        PathAndQuery::try_from(path_and_query).unwrap_or(PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path_and_query.clone());
    if let Some(authority) = authority {
        parts.authority = Some(authority);
        parts.scheme = Some(http::uri::Scheme::HTTP);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(path_and_query))
}
