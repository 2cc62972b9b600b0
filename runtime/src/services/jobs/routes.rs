//! `/jobs/v1`: `POST /jobs/v1/<script>` adds a job, `GET /jobs/v1/<id>` says what became of it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use pumice_host_api::jobs::{JobError, Jobs, NewJob, PAYLOAD_BYTES_MAX};
use serde_json::json;
use uuid::Uuid;

use super::Clock;
use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::error::{self, Error, RequestError};
use crate::functions::manifest::Access;
use crate::services::auth::extract;
use crate::services::permissions::guard;
use crate::services::rates::Rates;

/// Where jobs live in an app.
pub const JOBS: &str = "/jobs/v1/";

/// What this door works with.
pub struct JobsApi {
    pub clock: Clock,
    pub rates: Arc<Rates>,
}

impl JobsApi {
    /// Answers a request below [`JOBS`], errors included.
    pub async fn answer(&self, incoming: AppRequest) -> Response<Body> {
        let request_id = incoming.request_id;
        match self.handle(incoming).await {
            Ok(response) => response,
            Err(error) => error::own(&error, request_id),
        }
    }

    async fn handle(&self, incoming: AppRequest) -> Result<Response<Body>, Error> {
        let name = incoming
            .path()
            .strip_prefix(JOBS)
            .unwrap_or_default()
            .to_owned();
        match *incoming.request.method() {
            Method::POST => self.enqueue(&name, incoming).await,
            Method::GET => status(&name, &incoming).await,
            _ => Err(RequestError::Method.into()),
        }
    }

    async fn enqueue(&self, script: &str, incoming: AppRequest) -> Result<Response<Body>, Error> {
        let AppRequest { app, request, .. } = incoming;
        let found = app.revision.load_full();
        let found = found.and_then(|revision| {
            let script = revision.script(script)?;
            Some((script.access, script.require.clone(), revision))
        });
        let Some((access, require, revision)) = found else {
            // Who may not know what is there is told only that a key is missing.
            extract::caller(&app.keys, request.headers())?;
            return Err(JobError::NoScript(script.chars().take(80).collect()).into());
        };
        let caller = guard::admit(&app, access, require.as_deref(), request.headers()).await?;
        let rate = self.rates.user(&app, &caller, 1).await?;
        let mut job = NewJob {
            script: script.to_owned(),
            payload: String::new(),
            run_at: None,
            unique_key: None,
            attempts_max: None,
            revision: revision.number as u64,
            caller,
            depth: 0,
        };
        let query = request.uri().query().unwrap_or_default().to_owned();
        options(&mut job, &query)?;
        job.payload = payload(request.into_body()).await?;
        let jobs = Jobs::new(app.data.clone());
        let scripts = revision.known_scripts();
        let id = jobs.enqueue(None, &scripts, job, (self.clock)()).await?;
        let mut response = answer(StatusCode::ACCEPTED, json!({ "id": id }).to_string());
        if let Some(rate) = rate {
            rate.tell_near(response.headers_mut());
        }
        Ok(response)
    }
}

async fn status(id: &str, incoming: &AppRequest) -> Result<Response<Body>, Error> {
    let app = &incoming.app;
    extract::admit(&app.keys, Access::Service, incoming.request.headers())?;
    let id = Uuid::try_parse(id).map_err(|_| RequestError::NotFound)?;
    // Without scripts there are no jobs, and perhaps no tables of them.
    let works = app
        .revision
        .load()
        .as_ref()
        .is_some_and(|revision| revision.works_later());
    let found = match works {
        true => Jobs::new(app.data.clone()).get(id).await?,
        false => None,
    };
    let job = found.ok_or(RequestError::NotFound)?;
    let json = serde_json::to_string(&job)
        .map_err(|error| pumice_host_api::data::DataError::Internal(error.to_string()))?;
    Ok(answer(StatusCode::OK, json))
}

fn answer(status: StatusCode, json: String) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(json)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// `run_at`, `unique_key` and `attempts_max`; a key that is none of them is refused, because a
/// misspelt one would change when a job runs.
fn options(job: &mut NewJob, query: &str) -> Result<(), JobError> {
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "run_at" => job.run_at = Some(instant(&value)?),
            "unique_key" => job.unique_key = Some(value.into_owned()),
            "attempts_max" => {
                let invalid = |_| JobError::Invalid("`attempts_max` is no number".to_owned());
                job.attempts_max = Some(value.parse().map_err(invalid)?);
            }
            // Some clients can only send their key so; headers are what counts.
            "apikey" => {}
            other => {
                let shown: String = other.chars().take(80).collect();
                return Err(JobError::Invalid(format!(
                    "`{shown}` is no option: there are run_at, unique_key and attempts_max"
                )));
            }
        }
    }
    Ok(())
}

/// Milliseconds since 1970-01-01T00:00:00Z, or RFC 3339.
fn instant(text: &str) -> Result<i64, JobError> {
    if let Ok(milliseconds) = text.parse() {
        return Ok(milliseconds);
    }
    let read = chrono::DateTime::parse_from_rfc3339(text);
    read.map(|at| at.timestamp_millis()).map_err(|_| {
        JobError::Invalid(
            "`run_at` is neither milliseconds since 1970 nor RFC 3339, as 2026-01-02T03:04:05Z"
                .to_owned(),
        )
    })
}

/// The body: JSON, or nothing for `null`.
async fn payload(body: Incoming) -> Result<String, Error> {
    let bytes = match Limited::new(body, PAYLOAD_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the payload has more than {PAYLOAD_BYTES_MAX} bytes");
            return Err(JobError::Invalid(message).into());
        }
        Err(_) => return Err(RequestError::BodyBroken.into()),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok("null".to_owned());
    }
    let text = String::from_utf8(bytes.into());
    text.map_err(|_| JobError::Invalid("the payload is not UTF-8".to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        type Read<'a> = (Option<i64>, Option<&'a str>, Option<u32>);
        let check = |query: &str, expect: Result<Read<'_>, &str>| {
            let mut job = NewJob {
                script: "s".to_owned(),
                payload: "null".to_owned(),
                run_at: None,
                unique_key: None,
                attempts_max: None,
                revision: 1,
                caller: pumice_host_api::Caller {
                    role: pumice_host_api::Role::Anon,
                    user_id: None,
                    claims: "{}".into(),
                },
                depth: 0,
            };
            let outcome = options(&mut job, query);
            match (outcome, expect) {
                (Ok(()), Ok(expect)) => {
                    assert_eq!(
                        (job.run_at, job.unique_key.as_deref(), job.attempts_max),
                        expect
                    );
                }
                (Err(error), Err(expect)) => {
                    assert!(error.to_string().contains(expect), "{error}");
                }
                (outcome, _) => panic!("{query}: {outcome:?}"),
            }
        };
        check("", Ok((None, None, None)));
        check(
            "run_at=1500&unique_key=a%20b&attempts_max=3",
            Ok((Some(1500), Some("a b"), Some(3))),
        );
        check(
            "run_at=1970-01-01T00:00:01.5Z",
            Ok((Some(1500), None, None)),
        );
        check(
            "run_at=1970-01-01T01:00:01%2B01:00",
            Ok((Some(1000), None, None)),
        );
        check("run_at=tomorrow", Err("run_at"));
        check("attempts_max=-1", Err("attempts_max"));
        check("runat=1", Err("`runat` is no option"));
    }
}
