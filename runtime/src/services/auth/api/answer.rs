//! Responses of `/auth/v1`.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::request_id::RequestId;
use crate::services::auth::fault::Fault;

/// The version of the dialect in which errors are told by `code`.
pub const API_VERSION: &str = "2024-01-01";
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-supabase-api-version");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");

/// What a route answers.
pub struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// One that is finished, in place of all else.
    whole: Option<Response<Body>>,
}

impl Answer {
    /// A response that somebody else has made.
    pub fn whole(response: Response<Body>) -> Answer {
        Answer {
            whole: Some(response),
            ..Answer::nothing()
        }
    }

    pub fn json(body: Value) -> Answer {
        Answer {
            status: StatusCode::OK,
            body: Some(body),
            headers: Vec::new(),
            whole: None,
        }
    }

    /// `{}`: done, and nothing to tell.
    pub fn done() -> Answer {
        Answer::json(json!({}))
    }

    /// 204.
    pub fn nothing() -> Answer {
        Answer {
            status: StatusCode::NO_CONTENT,
            body: None,
            headers: Vec::new(),
            whole: None,
        }
    }

    /// Sends a browser to `url`: 303 after a link of a mail, 302 to a provider.
    pub fn redirect(status: StatusCode, url: &str) -> Result<Answer, Fault> {
        let url = HeaderValue::try_from(url).map_err(Fault::unexpected)?;
        Ok(Answer {
            status,
            body: None,
            headers: vec![(LOCATION, url)],
            whole: None,
        })
    }

    /// One that cannot stand in a header is left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub fn into_response(self) -> Response<Body> {
        if let Some(mut response) = self.whole {
            share(response.headers_mut());
            return response;
        }
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let mut response = Response::new(Body::from(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Tokens are nobody's to keep but the client's.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        share(headers);
        response
    }
}

/// The answer to a fault, in the form that the client's version reads.
pub fn fault(fault: &Fault, versioned: bool, request_id: RequestId) -> Response<Body> {
    if let Some(cause) = &fault.cause {
        tracing::error!(request.id = %request_id, error = %fault, cause, "a request failed");
    }
    let mut body = match versioned {
        true => json!({ "code": fault.code, "message": fault.message }),
        false => json!({
            "code": fault.status.as_u16(), "error_code": fault.code, "msg": fault.message,
        }),
    };
    if !fault.reasons.is_empty() {
        body["weak_password"] = json!({ "reasons": fault.reasons });
    }
    let mut response = Response::new(Body::from(Bytes::from(body.to_string())));
    *response.status_mut() = fault.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(code) = HeaderValue::from_str(&fault.code) {
        headers.insert(ERROR_CODE, code);
    }
    if versioned {
        headers.insert(API_VERSION_HEADER, HeaderValue::from_static(API_VERSION));
    }
    if let Some(decision) = &fault.rate {
        decision.tell(headers);
    }
    if let Some(seconds) = fault.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    share(headers);
    response
}

/// The answer to a browser that asks before it calls.
pub fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET,POST,PUT,PATCH,DELETE,OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    share(headers);
    response
}

fn share(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = "X-Total-Count, Link, X-Supabase-Api-Version, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After";
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(exposed),
    );
}
