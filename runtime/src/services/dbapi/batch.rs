//! `/batch/v1`: requests of the dialect that happen together or not at all.
//!
//! Each goes the way of a lone request, inside one transaction; the first that fails undoes all. Whoever
//! sends the batch sends each of them: there is one key, that of the batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use pumice_host_api::Budget;
use pumice_host_api::data::query::TransactionWish;
use pumice_host_api::data::{
    Actor, DataError, SqlFault, TRANSACTION_MAX, Transaction, TransactionEnd,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::request::{Asked, Payload, unsupported, whole};
use super::{REST, Visit, answer};
use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::error::{Error, Rest};
use crate::functions::Procedure;
use crate::limits;
use crate::services::rates::Rates;

/// One request as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent<'s> {
    method: String,
    /// With its query string, from `/rest/v1/` on.
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON; with another content type, a string that is the body's text.
    #[serde(borrow, default)]
    body: Option<&'s RawValue>,
}

/// One request as it is done.
struct Request {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Why a batch failed, and at which request if at one.
struct Failed {
    error: Error,
    index: Option<usize>,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed {
            error: error.into(),
            index: None,
        }
    }
}

/// Answers a batch, errors included. `requests` counts its requests as if each came alone, and so do
/// `rates`.
pub async fn answer(
    mut visit: Visit<'_>,
    incoming: AppRequest,
    requests: &AtomicU64,
    rates: &Rates,
) -> Response<Body> {
    match all(&mut visit, incoming, requests, rates).await {
        Ok(response) => response,
        Err(Failed { error, index }) => {
            let rest = Rest::of(&error, visit.anonymous(), visit.request_id);
            rest.response(&error, index)
        }
    }
}

async fn all(
    visit: &mut Visit<'_>,
    incoming: AppRequest,
    counted: &AtomicU64,
    rates: &Rates,
) -> Result<Response<Body>, Failed> {
    let path = incoming.path().trim_end_matches('/');
    if path != super::BATCH {
        let message = "Invalid path specified in request URL";
        return Err(DataError::sql("PGRST125", message).into());
    }
    if incoming.request.method() != Method::POST {
        return Err(unsupported(incoming.request.method()).into());
    }
    let caller = visit.identity.clone()?;
    let client = incoming.peer.client;
    let (parts, body) = incoming.request.into_parts();
    let asked = Asked {
        method: &parts.method,
        path: "/",
        query: "",
        headers: &parts.headers,
        body: Payload::Whole(Bytes::new()),
    };
    let wish = asked.prefer(&visit.store, &visit.settings, false).await?;
    let undo = match (visit.settings.transaction_end, wish.transaction) {
        (TransactionEnd::Commit, _) => false,
        (TransactionEnd::CommitAllowOverride, wish) => wish == Some(TransactionWish::Rollback),
        (TransactionEnd::RollbackAllowOverride, wish) => wish != Some(TransactionWish::Commit),
    };
    let actor = visit.actor(caller, &asked);
    let body = whole(body, limits::BATCH_BODY_BYTES_MAX).await?;
    let requests = read(&body)?;
    // This one is counted already.
    counted.fetch_add((requests.len() as u64).saturating_sub(1), Ordering::Relaxed);
    let rate = rates.batch(&visit.app, client, &actor.caller, requests.len() as u32);
    let rate = rate.await.map_err(Error::from)?;
    let procedure = requests.iter().find_map(|request| called(visit, request));
    let until = Instant::now() + limits::PROCEDURE_AGAIN;
    let mut pause = Duration::from_millis(1);
    loop {
        // The place comes first: who waits for one holds no transaction.
        let ticket = match &procedure {
            Some(procedure) => Some(visit.procedures.ticket(procedure, visit.request_id).await?),
            None => None,
        };
        let store = visit.store.clone();
        let transaction = store.begin(&actor, procedure.is_some()).await?;
        let outcome = each(visit, &transaction, &actor, &requests).await;
        let outcome = match outcome {
            Ok(answers) if undo => {
                store.rollback(&transaction).await;
                Ok(answers)
            }
            Ok(answers) => match store.commit(&transaction).await {
                Ok(()) => Ok(answers),
                Err(error) => Err(error.into()),
            },
            Err(failed) => {
                store.rollback(&transaction).await;
                Err(failed)
            }
        };
        drop(ticket);
        let failed = match outcome {
            Ok(answers) => {
                let mut response = answered(&answers);
                if let Some(rate) = rate {
                    rate.tell_near(response.headers_mut());
                }
                return Ok(response);
            }
            Err(failed) => failed,
        };
        let conflict = matches!(&failed.error, Error::Data(error) if error.is_conflict());
        if !(conflict || transaction.conflicted()) || Instant::now() + pause > until {
            return Err(failed);
        }
        // Those that met would meet again if they all came back at once.
        tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
        pause = (pause * 2).min(limits::PROCEDURE_PAUSE);
    }
}

/// The requests of a batch, each checked as far as it can be before any is done.
fn read(body: &[u8]) -> Result<Vec<Request>, Failed> {
    let refused = |details: String| {
        SqlFault::new("PGRST102", "Empty or invalid json")
            .details(details)
            .hint("send a list of {\"method\", \"path\", \"headers\", \"body\"}")
            .into_error()
    };
    let sent: Vec<Sent<'_>> =
        serde_json::from_slice(body).map_err(|error| refused(error.to_string()))?;
    if sent.len() > limits::BATCH_REQUESTS_MAX {
        let message = format!(
            "the batch has {} requests; {} are the most",
            sent.len(),
            limits::BATCH_REQUESTS_MAX
        );
        return Err(DataError::TooLarge(message).into());
    }
    let sent = sent.into_iter().enumerate();
    sent.map(|(index, sent)| {
        request(sent).map_err(|error| Failed {
            error: error.into(),
            index: Some(index),
        })
    })
    .collect()
}

/// Headers that one request of a batch may have of its own: what the dialect reads.
const HEADERS: [HeaderName; 6] = [
    ACCEPT,
    HeaderName::from_static("accept-profile"),
    HeaderName::from_static("content-profile"),
    CONTENT_TYPE,
    HeaderName::from_static("prefer"),
    RANGE,
];

fn request(sent: Sent<'_>) -> Result<Request, DataError> {
    let method = match &*sent.method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PATCH" => Method::PATCH,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        other => {
            let message = format!("Unsupported HTTP method: {other}");
            return Err(DataError::sql("PGRST117", message));
        }
    };
    let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
    let below = path
        .strip_prefix(REST)
        .filter(|rest| rest.len() > 1 && rest.starts_with('/'));
    let Some(below) = below else {
        return Err(
            SqlFault::new("PGRST125", "Invalid path specified in request URL")
                .hint("a batch takes requests to /rest/v1/<table> and /rest/v1/rpc/<function>")
                .into_error(),
        );
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &sent.headers {
        let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
        match pair {
            (Ok(name), Ok(value)) if HEADERS.contains(&name) => {
                headers.append(name, value);
            }
            _ => {
                let fault = SqlFault::new(
                    "PGRST102",
                    format!("a request of a batch cannot have the header `{name}`"),
                );
                let hint = "the batch's own keys count; its requests may have Accept, Accept-Profile, Content-Profile, Content-Type, Prefer and Range";
                return Err(fault.hint(hint).into_error());
            }
        }
    }
    let json = headers.get(CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.as_bytes();
        kind.len() >= 16 && kind[..16].eq_ignore_ascii_case(b"application/json")
    });
    let body = match sent.body {
        None => Bytes::new(),
        Some(body) if json => Bytes::copy_from_slice(body.get().as_bytes()),
        Some(body) => match serde_json::from_str::<String>(body.get()) {
            Ok(text) => text.into(),
            Err(_) => {
                let message = "a body that is no JSON is sent as a string";
                return Err(DataError::sql("PGRST102", message));
            }
        },
    };
    Ok(Request {
        method,
        path: below.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

/// The procedure that a request calls, if it does.
fn called(visit: &Visit<'_>, request: &Request) -> Option<Arc<Procedure>> {
    let name = request.path.strip_prefix("/rpc/")?;
    visit.procedures.find(&visit.app, name)
}

/// Does one after the other.
async fn each(
    visit: &Visit<'_>,
    transaction: &Transaction,
    actor: &Actor,
    requests: &[Request],
) -> Result<Vec<String>, Failed> {
    // Triggers and procedures do not queue behind guests that wait for this transaction's end.
    let deadline = Instant::now() + TRANSACTION_MAX;
    let budget = Arc::new(Budget::new(u64::MAX / 2, TRANSACTION_MAX, deadline));
    let visit = Visit {
        procedures: visit.procedures,
        app: visit.app.clone(),
        store: visit.store.clone(),
        settings: visit.settings.clone(),
        identity: Ok(actor.caller.clone()),
        request_id: visit.request_id,
        within: Some((transaction, budget)),
    };
    let mut answers = Vec::with_capacity(requests.len());
    let mut bytes = 0;
    for (index, request) in requests.iter().enumerate() {
        let at = |error: Error| Failed {
            error,
            index: Some(index),
        };
        let asked = Asked {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            headers: &request.headers,
            body: Payload::Whole(request.body.clone()),
        };
        let response = visit.handle(asked).await.map_err(at)?;
        let answer = shown(response, &mut bytes).await.map_err(at)?;
        answers.push(answer);
    }
    Ok(answers)
}

/// A response as a part of the batch's. `bytes` are those of all so far.
async fn shown(response: Response<Body>, bytes: &mut usize) -> Result<String, Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await;
    let body = body
        .map_err(|error| DataError::Internal(error.to_string()))?
        .to_bytes();
    *bytes += body.len();
    if *bytes > pumice_host_api::data::ANSWER_BYTES_MAX {
        let message = format!(
            "the batch's answers have more than {} bytes together",
            pumice_host_api::data::ANSWER_BYTES_MAX
        );
        return Err(DataError::TooLarge(message).into());
    }
    let status = parts.status.as_u16();
    if status >= 400 {
        // A function's own word; it undoes the batch as an error does.
        let fault = SqlFault {
            code: format!("PT{status}").into(),
            message: "the function answers with this status".to_owned(),
            details: Some(String::from_utf8_lossy(&body).into_owned()),
            hint: None,
        };
        return Err(fault.into_error().into());
    }
    let media = parts.headers.get(CONTENT_TYPE);
    let json = media.is_some_and(|media| is_json(media.as_bytes()));
    let text = String::from_utf8_lossy(&body);
    // JSON stays as it is written: numbers keep their digits, keys their order.
    let body = match serde_json::from_str::<&RawValue>(&text) {
        _ if text.is_empty() => "null".to_owned(),
        Ok(raw) if json => raw.get().to_owned(),
        _ => Value::from(&*text).to_string(),
    };
    let mut headers = serde_json::Map::new();
    for name in parts.headers.keys() {
        if [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS].contains(name) {
            continue;
        }
        let values = parts.headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        headers.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
    }
    let headers = Value::Object(headers);
    Ok(format!(
        "{{\"status\":{status},\"headers\":{headers},\"body\":{body}}}"
    ))
}

/// `application/json`, `application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8`
fn is_json(media: &[u8]) -> bool {
    let kind = media.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.ends_with(b"json")
}

fn answered(answers: &[String]) -> Response<Body> {
    let json = format!("[{}]", answers.join(","));
    let media = pumice_host_api::data::query::Media::Json {
        nulls_stripped: false,
    };
    answer::value(json.into(), &media, false)
}
