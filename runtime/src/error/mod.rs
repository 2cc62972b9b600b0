//! The one table from error to HTTP: status, code, and the body each part of the surface speaks.
//!
//! A 5xx carries a fixed message; its cause is logged here, once.

mod rest;

use std::sync::Arc;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pumice_host_api::data::{DataError, GuestFault};
use pumice_host_api::jobs::JobError;
use pumice_host_api::permissions::PermissionError;
use serde_json::{Value, json};

pub use self::rest::{Rest, rest};

use crate::body::Body;
use crate::engine::artifact::ArtifactError;
use crate::engine::compile::CompileError;
use crate::limits;
use crate::outcome::{InvokeError, Limit};
use crate::request_id::RequestId;
use crate::services::auth::AuthError;
use crate::services::mail::MailError;
use crate::services::platform::PlatformError;
use crate::services::platform::members::MemberError;
use crate::services::rates::TooMany;

/// Everything a request can be answered with instead of success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Jobs(#[from] JobError),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error(transparent)]
    Permissions(#[from] PermissionError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Rate(#[from] TooMany),
    /// A read that begins behind the last row.
    #[error("Requested range not satisfiable")]
    Range { offset: u64, total: u64 },
}

/// What is wrong with a request before anything looks at its meaning.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is nothing at this path")]
    NotFound,
    #[error("Requested function was not found")]
    NoFunction,
    #[error("no app is served at this host; use /a/<app>/ or <app>.<domain>")]
    NoHost,
    #[error("this method is not understood here")]
    Method,
    #[error("the body has more than {max} bytes", max = limits::REQUEST_BODY_BYTES_MAX)]
    BodyTooLarge,
    #[error("the body broke off")]
    BodyBroken,
    #[error("a stored file cannot be read")]
    File(#[source] std::io::Error),
}

/// The table for our own routes. Codes are stable; they are `part.word`.
pub fn status_and_code(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Invoke(error) => match error {
            InvokeError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "function.overloaded"),
            InvokeError::Limit(_) => (StatusCode::GATEWAY_TIMEOUT, "function.limit"),
            InvokeError::Trap { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "function.trap"),
            InvokeError::NoResponse(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "function.no_response")
            }
            InvokeError::Boot(_) => (StatusCode::SERVICE_UNAVAILABLE, "function.boot"),
            InvokeError::Host(_) => (StatusCode::INTERNAL_SERVER_ERROR, "function.host"),
            InvokeError::Cancelled => (StatusCode::INTERNAL_SERVER_ERROR, "function.cancelled"),
        },
        Error::Auth(error) => match error {
            AuthError::Missing => (StatusCode::UNAUTHORIZED, "auth.missing"),
            AuthError::Invalid(_) => (StatusCode::UNAUTHORIZED, "auth.invalid"),
            AuthError::Denied(_) => (StatusCode::FORBIDDEN, "auth.denied"),
            AuthError::Scope(_) => (StatusCode::FORBIDDEN, "auth.scope"),
            AuthError::InBrowser => (StatusCode::UNAUTHORIZED, "auth.secret_in_browser"),
            AuthError::KeyGeneration => (StatusCode::INTERNAL_SERVER_ERROR, "auth.keys"),
        },
        Error::Platform(error) => match error {
            PlatformError::NoApp(_) => (StatusCode::NOT_FOUND, "platform.no_app"),
            PlatformError::AppExists(_) => (StatusCode::CONFLICT, "platform.app_exists"),
            PlatformError::InvalidName(_) => (StatusCode::BAD_REQUEST, "platform.invalid_name"),
            PlatformError::TooManyApps(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "platform.too_many_apps")
            }
            PlatformError::Manifest(_) => (StatusCode::BAD_REQUEST, "platform.manifest"),
            PlatformError::InvalidPath(_) => (StatusCode::BAD_REQUEST, "platform.invalid_path"),
            PlatformError::TooManyFiles(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "platform.too_many_files")
            }
            PlatformError::TooManyMigrations(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "platform.too_many_migrations",
            ),
            PlatformError::FileTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "platform.file_too_large")
            }
            PlatformError::MissingBlobs(_) => (StatusCode::CONFLICT, "platform.missing_blobs"),
            PlatformError::WrongDigest => (StatusCode::BAD_REQUEST, "platform.wrong_digest"),
            PlatformError::Component { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "platform.component")
            }
            PlatformError::Artifact { reason, .. } => match reason {
                ArtifactError::Compile(CompileError::Refused(_) | CompileError::Exceeded(_))
                | ArtifactError::Load(_)
                | ArtifactError::NoHandler(_) => {
                    (StatusCode::UNPROCESSABLE_ENTITY, "platform.component")
                }
                ArtifactError::Compile(CompileError::Io(_))
                | ArtifactError::Component(_)
                | ArtifactError::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "platform.artifact"),
            },
            PlatformError::NoRevision(_) => (StatusCode::NOT_FOUND, "platform.no_revision"),
            PlatformError::InvalidSecretName(_) => {
                (StatusCode::BAD_REQUEST, "platform.invalid_secret_name")
            }
            PlatformError::SecretLimits => (StatusCode::BAD_REQUEST, "platform.secret_limits"),
            PlatformError::NoSecret(_) => (StatusCode::NOT_FOUND, "platform.no_secret"),
            PlatformError::NoKey(_) => (StatusCode::NOT_FOUND, "platform.no_key"),
            PlatformError::InvalidKey(_) => (StatusCode::BAD_REQUEST, "platform.invalid_key"),
            PlatformError::KeyExists(_) => (StatusCode::CONFLICT, "platform.key_exists"),
            PlatformError::TooManyKeys => (StatusCode::BAD_REQUEST, "platform.too_many_keys"),
            PlatformError::NoStandby => (StatusCode::CONFLICT, "platform.no_standby"),
            PlatformError::StandbyExists => (StatusCode::CONFLICT, "platform.standby_exists"),
            PlatformError::KeyInUse => (StatusCode::CONFLICT, "platform.key_in_use"),
            PlatformError::ForeignKeys(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "platform.foreign_keys")
            }
            PlatformError::Unauthorized => (StatusCode::UNAUTHORIZED, "platform.unauthorized"),
            PlatformError::BadRequest(_) => (StatusCode::BAD_REQUEST, "platform.bad_request"),
            PlatformError::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "platform.body_too_large")
            }
            PlatformError::Mail(_) => (StatusCode::UNPROCESSABLE_ENTITY, "platform.mail"),
            PlatformError::Migration(_) => (StatusCode::UNPROCESSABLE_ENTITY, "platform.migration"),
            PlatformError::OnPostgres(_) => (StatusCode::CONFLICT, "platform.on_postgres"),
            PlatformError::OtherCluster => (StatusCode::CONFLICT, "platform.other_cluster"),
            PlatformError::DatabaseExists(_) => (StatusCode::CONFLICT, "platform.database_exists"),
            PlatformError::Cluster(_) => (StatusCode::UNPROCESSABLE_ENTITY, "platform.cluster"),
            PlatformError::Transfer(_) => (StatusCode::UNPROCESSABLE_ENTITY, "platform.transfer"),
            PlatformError::Moving(_) | PlatformError::HalfMoved(_) => {
                (StatusCode::CONFLICT, "platform.moving")
            }
            PlatformError::MoveLeft { .. } => (StatusCode::CONFLICT, "platform.move_left"),
            PlatformError::NoMove(_) => (StatusCode::NOT_FOUND, "platform.no_move"),
            PlatformError::External(_) => (StatusCode::UNPROCESSABLE_ENTITY, "platform.external"),
            PlatformError::DatabaseUsed(_) => (StatusCode::CONFLICT, "platform.database_used"),
            PlatformError::NotExternal(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "platform.not_external")
            }
            PlatformError::NoCluster => (StatusCode::SERVICE_UNAVAILABLE, "platform.no_cluster"),
            PlatformError::Permissions(error) => permission_status(error),
            PlatformError::Members(error) => match error {
                MemberError::NoMember(_) => (StatusCode::NOT_FOUND, "platform.no_member"),
                MemberError::NoToken(_) => (StatusCode::NOT_FOUND, "platform.no_token"),
                MemberError::Invalid(_) => (StatusCode::BAD_REQUEST, "platform.bad_request"),
                MemberError::Exists(_) => (StatusCode::CONFLICT, "platform.member_exists"),
                MemberError::LastOwner => (StatusCode::CONFLICT, "platform.last_owner"),
                MemberError::TooMany { .. } => (StatusCode::CONFLICT, "platform.too_many"),
                MemberError::Owners | MemberError::Others | MemberError::Outlives => {
                    (StatusCode::FORBIDDEN, "platform.denied")
                }
                MemberError::Denied { .. } => (StatusCode::FORBIDDEN, "platform.denied"),
            },
            PlatformError::Data(_) => (StatusCode::SERVICE_UNAVAILABLE, "platform.data"),
            PlatformError::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "platform.database"),
            PlatformError::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "platform.io"),
            PlatformError::Sealed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "platform.sealed"),
            PlatformError::Keys(_) => (StatusCode::INTERNAL_SERVER_ERROR, "platform.keys"),
            PlatformError::Corrupt(_) => (StatusCode::INTERNAL_SERVER_ERROR, "platform.corrupt"),
        },
        Error::Data(error) => data_status(error),
        Error::Permissions(error) => permission_status(error),
        Error::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "data.range"),
        Error::Jobs(error) => match error {
            JobError::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "jobs.not_configured"),
            JobError::NoScript(_) => (StatusCode::NOT_FOUND, "jobs.no_script"),
            JobError::Invalid(_) => (StatusCode::BAD_REQUEST, "jobs.invalid"),
            JobError::Data(error) => data_status(error),
        },
        Error::Rate(_) => (StatusCode::TOO_MANY_REQUESTS, "request.too_many"),
        Error::Mail(error) => match error {
            MailError::NotConfigured(_) => (StatusCode::CONFLICT, "mail.not_configured"),
            MailError::Template(_) => (StatusCode::UNPROCESSABLE_ENTITY, "mail.template"),
            MailError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "mail.refused"),
            MailError::Unavailable(_) => (StatusCode::BAD_GATEWAY, "mail.unavailable"),
        },
        Error::Request(error) => match error {
            RequestError::NotFound => (StatusCode::NOT_FOUND, "request.not_found"),
            RequestError::NoFunction => (StatusCode::NOT_FOUND, "request.no_function"),
            RequestError::NoHost => (StatusCode::MISDIRECTED_REQUEST, "request.no_host"),
            RequestError::Method => (StatusCode::METHOD_NOT_ALLOWED, "request.method"),
            RequestError::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request.body_too_large"),
            RequestError::BodyBroken => (StatusCode::BAD_REQUEST, "request.body_broken"),
            RequestError::File(_) => (StatusCode::INTERNAL_SERVER_ERROR, "request.file"),
        },
    }
}

fn permission_status(error: &PermissionError) -> (StatusCode, &'static str) {
    match error {
        PermissionError::Invalid(_) => (StatusCode::BAD_REQUEST, "permissions.invalid"),
        PermissionError::Unknown(_) => (StatusCode::NOT_FOUND, "permissions.unknown"),
        PermissionError::NoNamespace(_) => (StatusCode::NOT_FOUND, "permissions.no_namespace"),
        PermissionError::NoRole(_) => (StatusCode::NOT_FOUND, "permissions.no_role"),
        PermissionError::NoGrant(_) => (StatusCode::NOT_FOUND, "permissions.no_grant"),
        PermissionError::NoMember { .. } => (StatusCode::NOT_FOUND, "permissions.no_member"),
        PermissionError::NotOwner { .. } => (StatusCode::FORBIDDEN, "permissions.not_owner"),
        PermissionError::Cycle(_) => (StatusCode::CONFLICT, "permissions.cycle"),
        PermissionError::TooMany { .. } => (StatusCode::CONFLICT, "permissions.too_many"),
        PermissionError::Denied(_) | PermissionError::Anonymous(_) => {
            (StatusCode::FORBIDDEN, "auth.denied")
        }
        PermissionError::NotPrepared => (StatusCode::CONFLICT, "permissions.not_prepared"),
        PermissionError::Data(error) => data_status(error),
    }
}

fn data_status(error: &DataError) -> (StatusCode, &'static str) {
    match error {
        DataError::Sql(fault) => (rest::sql_status(fault), "data.sql"),
        DataError::Rejected { .. } => (StatusCode::BAD_REQUEST, "data.rejected"),
        DataError::Guest { fault, .. } => match fault {
            GuestFault::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "data.overloaded"),
            GuestFault::Limit(_) => (StatusCode::GATEWAY_TIMEOUT, "data.limit"),
            GuestFault::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "data.failed"),
        },
        DataError::TransactionOpen => (StatusCode::CONFLICT, "data.transaction_open"),
        DataError::TransactionEnded => (StatusCode::GATEWAY_TIMEOUT, "data.transaction_ended"),
        DataError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "data.too_large"),
        DataError::Moving => (StatusCode::SERVICE_UNAVAILABLE, "data.moving"),
        DataError::Moved(_) => (StatusCode::SERVICE_UNAVAILABLE, "data.moved"),
        DataError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "data.unavailable"),
        DataError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "data.internal"),
    }
}

/// The header that names the limit a guest met.
pub const LIMIT_HEADER: HeaderName = HeaderName::from_static("x-pumice-limit");
/// The dialect's header with the code of a gateway's error.
const SB_ERROR_CODE: HeaderName = HeaderName::from_static("sb-error-code");

/// The answer on our own routes: `{code, message, request_id}`, and what a machine can use.
pub fn own(error: &Error, request_id: RequestId) -> Response<Body> {
    let (status, code) = status_and_code(error);
    log(error, status, request_id);
    let mut body = json!({ "code": code, "message": message(error, status), "request_id": request_id.to_string() });
    add_details(error, &mut body);
    with_headers(error, json_response(status, &body))
}

/// The answer to a browser's question whether it may call a function that is not there.
pub fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow_browsers(&mut response);
    let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    response
}

/// Lets a page of any origin read an answer of ours, as it may read a function's if that says so.
fn allow_browsers(response: &mut Response<Body>) {
    const HEADERS: &str = "authorization, apikey, x-client-info, content-type, x-region";
    const EXPOSED: &str = "sb-error-code, x-request-id, x-pumice-limit, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset";
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(HEADERS),
    );
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

/// The answer on `/functions/v1`: the dialect's codes and bodies.
pub fn dialect(error: &Error, request_id: RequestId) -> Response<Body> {
    let (status, _) = status_and_code(error);
    log(error, status, request_id);
    let (status, code, text) = match error {
        Error::Request(RequestError::NoFunction) => (
            404,
            json!("NOT_FOUND"),
            "Requested function was not found".to_owned(),
        ),
        Error::Auth(AuthError::Missing | AuthError::Invalid(_) | AuthError::InBrowser) => {
            (401, json!(401), error.to_string())
        }
        Error::Auth(AuthError::Denied(_) | AuthError::Scope(_))
        | Error::Permissions(PermissionError::Denied(_) | PermissionError::Anonymous(_)) => {
            (403, json!(403), error.to_string())
        }
        Error::Invoke(InvokeError::Boot(_)) => (
            503,
            json!("BOOT_ERROR"),
            "Worker failed to boot (please check logs)".to_owned(),
        ),
        Error::Invoke(InvokeError::Trap { .. } | InvokeError::NoResponse(_)) => (
            500,
            json!("WORKER_ERROR"),
            "Function exited due to an error (please check logs)".to_owned(),
        ),
        Error::Invoke(InvokeError::Limit(_)) => (
            546,
            json!("WORKER_LIMIT"),
            "Worker failed to respond due to a resource limit (please check logs)".to_owned(),
        ),
        Error::Invoke(InvokeError::Overloaded) => (
            503,
            json!("OVERLOADED"),
            "Too many requests are waiting; try again".to_owned(),
        ),
        Error::Rate(_) => (429, json!("TOO_MANY_REQUESTS"), error.to_string()),
        Error::Request(RequestError::Method | RequestError::BodyTooLarge) => {
            (status.as_u16(), json!(status.as_u16()), error.to_string())
        }
        _ => (
            500,
            json!("Internal Server Error"),
            "Request failed due to an internal server error".to_owned(),
        ),
    };
    let name = code
        .as_str()
        .map_or_else(|| code.to_string(), str::to_owned);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, &json!({ "code": code, "message": text }));
    if let Ok(value) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(SB_ERROR_CODE, value);
    }
    allow_browsers(&mut response);
    with_headers(error, response)
}

/// An error on its way out of a router, to be worded by [`own`] where the request's id is known.
#[derive(Clone)]
pub struct Carried(pub Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}

fn message(error: &Error, status: StatusCode) -> String {
    match error {
        Error::Invoke(InvokeError::Limit(limit)) => {
            format!("the function was stopped at its {limit} limit")
        }
        Error::Invoke(InvokeError::Trap { .. } | InvokeError::NoResponse(_)) => {
            "the function failed; see the app's log".to_owned()
        }
        Error::Invoke(InvokeError::Overloaded) => {
            "too many requests are waiting; try again".to_owned()
        }
        Error::Data(DataError::Guest { name, fault }) => match fault {
            GuestFault::Overloaded => "too many requests are waiting; try again".to_owned(),
            GuestFault::Limit(limit) => format!("`{name}` was stopped at its {limit} limit"),
            GuestFault::Failed => format!("`{name}` failed; see the app's log"),
        },
        Error::Data(DataError::TransactionEnded) => {
            "the transaction was open for too long and is undone".to_owned()
        }
        Error::Data(DataError::Moving) | Error::Jobs(JobError::Data(DataError::Moving)) => {
            error.to_string()
        }
        Error::Mail(error) => error.to_string(),
        _ if status.is_server_error() => {
            "something failed inside the server; its log says what".to_owned()
        }
        _ => error.to_string(),
    }
}

fn add_details(error: &Error, body: &mut Value) {
    match error {
        Error::Platform(PlatformError::Manifest(faults)) => body["faults"] = json!(faults),
        Error::Platform(PlatformError::MissingBlobs(digests)) => body["missing"] = json!(digests),
        _ => {}
    }
}

fn with_headers(error: &Error, mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    match error {
        Error::Invoke(InvokeError::Overloaded) => {
            drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")))
        }
        Error::Invoke(InvokeError::Limit(limit)) => {
            drop(headers.insert(LIMIT_HEADER, limit_value(*limit)))
        }
        Error::Data(DataError::Guest { fault, .. }) => match fault {
            GuestFault::Overloaded => {
                drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")))
            }
            GuestFault::Limit(limit) => {
                drop(headers.insert(LIMIT_HEADER, HeaderValue::from_static(limit)))
            }
            GuestFault::Failed => {}
        },
        Error::Data(DataError::Unavailable(_) | DataError::Moving)
        | Error::Jobs(JobError::Data(DataError::Moving)) => {
            drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")))
        }
        Error::Rate(refusal) => refusal.decision.tell(headers),
        Error::Range { total, .. } => {
            if let Ok(range) = HeaderValue::try_from(format!("*/{total}")) {
                headers.insert(CONTENT_RANGE, range);
            }
        }
        _ => {}
    }
    response
}

fn limit_value(limit: Limit) -> HeaderValue {
    HeaderValue::from_static(limit.name())
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Guests' failures stand in their app's log; what is ours to mend stands in the server's.
fn log(error: &Error, status: StatusCode, request_id: RequestId) {
    let guests = matches!(
        error,
        Error::Invoke(_)
            | Error::Mail(_)
            | Error::Data(
                DataError::Guest { .. }
                    | DataError::Sql(_)
                    | DataError::TransactionEnded
                    | DataError::Moving
            )
            | Error::Jobs(JobError::Data(DataError::Moving))
    );
    let ours = status.is_server_error() && !guests;
    if ours || matches!(error, Error::Invoke(InvokeError::Boot(_))) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(request.id = %request_id, error = %error, cause, "a request failed");
    }
}
