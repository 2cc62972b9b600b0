//! Errors in the REST dialect: the status of each code, and the body with four keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use pumice_host_api::data::{DataError, SqlFault};
use pumice_host_api::permissions::PermissionError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, log, message, status_and_code, with_headers};
use crate::body::Body;
use crate::limits::REASON_BYTES_MAX;
use crate::request_id::RequestId;
use crate::services::auth::AuthError;

/// The status of PostgreSQL's codes and of the dialect's own.
///
/// Source: PostgREST, `docs/references/errors`.
pub(super) fn sql_status(fault: &SqlFault) -> StatusCode {
    let code = &*fault.code;
    let status = match code {
        "PGRST000" | "PGRST001" | "PGRST002" => 503,
        "PGRST003" => 504,
        "PGRST101" | "PGRST105" | "PGRST117" => 405,
        "PGRST103" => 416,
        "PGRST106" | "PGRST107" | "PGRST116" => 406,
        "PGRST111" | "PGRST112" | "PGRST121" | "PGRST300" | "PGRSTX00" => 500,
        "PGRST125" | "PGRST126" | "PGRST202" | "PGRST205" => 404,
        "PGRST201" | "PGRST203" => 300,
        "PGRST301" | "PGRST302" | "PGRST303" => 401,
        _ if code.starts_with("PGRST") => 400,
        "23503" | "23505" => 409,
        "25006" => 405,
        "42501" => 403,
        "P0001" => 400,
        // What an app's own SQL function asks for. Below 200 stand no answers.
        _ if code.starts_with("PT") => {
            let asked = code[2..].parse().ok();
            asked
                .filter(|status| (200..=999).contains(status))
                .unwrap_or(500)
        }
        "42883" | "42P01" => 404,
        "42P17" | "53400" => 500,
        "21000" if fault.message.ends_with("requires a WHERE clause") => 400,
        "21000" => 500,
        "22023" if no_such_role(&fault.message) => 401,
        "57P01" => 503,
        // Another transaction came between: the same request may succeed now.
        "40001" => 409,
        _ => match code.get(..2).unwrap_or_default() {
            "0L" | "0P" | "28" => 403,
            "08" | "53" => 503,
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0"
            | "HV" | "P0" | "XX" => 500,
            _ => 400,
        },
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn no_such_role(message: &str) -> bool {
    message.starts_with("role \"") && message.ends_with("\" does not exist")
}

/// An error as `/rest/v1` tells it.
pub struct Rest {
    pub status: StatusCode,
    /// What stands after the status, when an app's SQL function says something else than the standard.
    reason: Option<ReasonPhrase>,
    pub code: Cow<'static, str>,
    pub message: String,
    /// Text, a list or null.
    pub details: Value,
    pub hint: Option<String>,
    /// Of an app's SQL function.
    headers: BTreeMap<String, String>,
    challenge: Option<HeaderValue>,
}

impl Rest {
    /// Who is refused as `anonymous` is told to sign in. Writes to the log what belongs there.
    pub fn of(error: &Error, anonymous: bool, request_id: RequestId) -> Rest {
        let (mut status, own_code) = status_and_code(error);
        log(error, status, request_id);
        if anonymous && status == StatusCode::FORBIDDEN {
            status = StatusCode::UNAUTHORIZED;
        }
        let plain = |code: Cow<'static, str>, message: String| Rest {
            status,
            reason: None,
            code,
            message,
            details: Value::Null,
            hint: None,
            headers: BTreeMap::new(),
            challenge: None,
        };
        let mut rest = match error {
            Error::Data(DataError::Sql(fault)) if fault.code == "PGRST" => raised(fault),
            Error::Data(DataError::Sql(fault)) => Rest {
                reason: fault
                    .code
                    .starts_with("PT")
                    .then(|| reason(&fault.message))
                    .flatten(),
                details: details(fault),
                hint: fault.hint.clone(),
                ..plain(fault.code.clone(), fault.message.clone())
            },
            Error::Data(DataError::Rejected { code, message }) => {
                plain(Cow::Owned(code.clone()), message.clone())
            }
            Error::Range { offset, total } => {
                let details = format!(
                    "An offset of {offset} was requested, but there are only {total} rows."
                );
                Rest {
                    details: Value::String(details),
                    ..plain("PGRST103".into(), error.to_string())
                }
            }
            Error::Auth(AuthError::Missing) => {
                let hint =
                    "send one of the app's keys as `apikey`, or a token as `Authorization: Bearer`";
                Rest {
                    hint: Some(hint.to_owned()),
                    ..plain("PGRST302".into(), "Anonymous access is disabled".to_owned())
                }
            }
            Error::Auth(AuthError::Invalid(bad)) => {
                let code = if bad.by_claims() {
                    "PGRST303"
                } else {
                    "PGRST301"
                };
                let challenge =
                    format!("Bearer error=\"invalid_token\", error_description=\"{bad}\"");
                Rest {
                    challenge: HeaderValue::from_str(&challenge).ok(),
                    ..plain(code.into(), bad.to_string())
                }
            }
            Error::Auth(AuthError::Denied(_))
            | Error::Permissions(PermissionError::Denied(_) | PermissionError::Anonymous(_)) => {
                plain("42501".into(), error.to_string())
            }
            Error::Auth(AuthError::InBrowser) => plain("PGRST301".into(), error.to_string()),
            _ => plain(own_code.into(), message(error, status)),
        };
        if rest.status == StatusCode::UNAUTHORIZED {
            rest.challenge
                .get_or_insert(HeaderValue::from_static("Bearer"));
        }
        rest
    }

    /// The body; with the place in a batch, if it has one.
    fn body(&self, index: Option<usize>) -> Value {
        let mut body = json!({
            "code": self.code, "message": self.message, "details": self.details, "hint": self.hint,
        });
        if let Some(index) = index {
            body["index"] = json!(index);
        }
        body
    }

    pub fn response(self, error: &Error, index: Option<usize>) -> Response<Body> {
        let body = self.body(index).to_string();
        let mut response = Response::new(Body::from(Bytes::from(body)));
        *response.status_mut() = self.status;
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        if let Ok(value) = HeaderValue::from_str(&format!("PostgREST; error={}", self.code)) {
            headers.insert(HeaderName::from_static("proxy-status"), value);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        crate::services::dbapi::allow_browsers(response.headers_mut());
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        with_headers(error, response)
    }
}

/// The answer on `/rest/v1`: the dialect's four keys. Who is refused as `anonymous` is told to sign in.
pub fn rest(error: &Error, anonymous: bool, request_id: RequestId) -> Response<Body> {
    Rest::of(error, anonymous, request_id).response(error, None)
}

/// Lists of candidates travel as JSON text.
fn details(fault: &SqlFault) -> Value {
    let Some(details) = &fault.details else {
        return Value::Null;
    };
    let list = match &*fault.code {
        "PGRST201" => serde_json::from_str(details).ok().filter(Value::is_array),
        _ => None,
    };
    list.unwrap_or_else(|| Value::String(details.clone()))
}

fn reason(text: &str) -> Option<ReasonPhrase> {
    if text.len() > REASON_BYTES_MAX {
        return None;
    }
    ReasonPhrase::try_from(text.as_bytes()).ok()
}

/// What an app's SQL function raised as `PGRST`: all of the answer, as JSON in message and detail.
fn raised(fault: &SqlFault) -> Rest {
    #[derive(Deserialize)]
    struct Message {
        code: String,
        message: String,
        details: Option<String>,
        hint: Option<String>,
    }
    #[derive(Deserialize)]
    struct Detail {
        status: u16,
        status_text: Option<String>,
        headers: BTreeMap<String, String>,
    }
    let broken = |details: String, hint: &str| Rest {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        reason: None,
        code: "PGRST121".into(),
        message: "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error".to_owned(),
        details: Value::String(details),
        hint: Some(hint.to_owned()),
        headers: BTreeMap::new(),
        challenge: None,
    };
    let Ok(message) = serde_json::from_str::<Message>(&fault.message) else {
        let details = format!("Invalid JSON value for MESSAGE: '{}'", fault.message);
        let hint = "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'.";
        return broken(details, hint);
    };
    let hint = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.";
    let Some(detail) = &fault.details else {
        return broken("DETAIL is missing in the RAISE statement".to_owned(), hint);
    };
    let parsed = serde_json::from_str::<Detail>(detail).ok();
    let status = parsed.as_ref().and_then(|detail| {
        StatusCode::from_u16(detail.status)
            .ok()
            .filter(|status| status.as_u16() >= 200)
    });
    let (Some(parsed), Some(status)) = (parsed, status) else {
        return broken(format!("Invalid JSON value for DETAIL: '{detail}'"), hint);
    };
    Rest {
        status,
        reason: parsed.status_text.as_deref().and_then(reason),
        code: message.code.into(),
        message: message.message,
        details: message.details.map_or(Value::Null, Value::String),
        hint: message.hint,
        headers: parsed.headers,
        challenge: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::auth::BadToken;

    fn told(error: impl Into<Error>, anonymous: bool) -> (u16, Value, Response<Body>) {
        let error = error.into();
        let rest = Rest::of(&error, anonymous, RequestId::next());
        let (status, body) = (rest.status.as_u16(), rest.body(None));
        (status, body, rest.response(&error, None))
    }

    #[test]
    fn each_code_has_its_status() {
        let check = |code: &'static str, message: &str, expect: u16| {
            let (status, body, response) = told(DataError::sql(code, message), false);
            assert_eq!((status, &body["code"]), (expect, &json!(code)), "{code}");
            let header = response.headers()["proxy-status"].to_str().unwrap();
            assert_eq!(header, format!("PostgREST; error={code}"));
        };
        for code in [
            "PGRST100", "PGRST102", "PGRST108", "PGRST114", "PGRST115", "PGRST118",
        ] {
            check(code, "", 400);
        }
        for code in [
            "PGRST120", "PGRST122", "PGRST123", "PGRST124", "PGRST127", "PGRST128",
        ] {
            check(code, "", 400);
        }
        for (code, status) in [
            ("PGRST000", 503),
            ("PGRST002", 503),
            ("PGRST003", 504),
            ("PGRST101", 405),
            ("PGRST103", 416),
            ("PGRST105", 405),
            ("PGRST106", 406),
            ("PGRST107", 406),
            ("PGRST111", 500),
            ("PGRST112", 500),
            ("PGRST116", 406),
            ("PGRST117", 405),
            ("PGRST121", 500),
            ("PGRST125", 404),
            ("PGRST126", 404),
            ("PGRST200", 400),
            ("PGRST201", 300),
            ("PGRST202", 404),
            ("PGRST203", 300),
            ("PGRST204", 400),
            ("PGRST205", 404),
            ("PGRST300", 500),
            ("PGRST303", 401),
            ("PGRSTX00", 500),
            ("23502", 400),
            ("23503", 409),
            ("23505", 409),
            ("25006", 405),
            ("25001", 500),
            ("42501", 403),
            ("42883", 404),
            ("42P01", 404),
            ("42P17", 500),
            ("42P10", 400),
            ("22P02", 400),
            ("22023", 400),
            ("P0001", 400),
            ("P0002", 500),
            ("PT402", 402),
            ("PT099", 500),
            ("PTabc", 500),
            ("21000", 500),
            ("0L000", 403),
            ("28000", 403),
            ("08006", 503),
            ("53300", 503),
            ("53400", 500),
            ("57P01", 503),
            ("57014", 500),
            ("40001", 409),
            ("40P01", 500),
            ("XX000", 500),
        ] {
            check(code, "", status);
        }
        check("21000", "UPDATE requires a WHERE clause", 400);
        check("22023", "role \"nobody\" does not exist", 401);
    }

    #[test]
    fn who_is_anonymous_is_told_to_sign_in() {
        let denied = || DataError::sql("42501", "permission denied for table t");
        assert_eq!(told(denied(), false).0, 403);
        let (status, _, response) = told(denied(), true);
        assert_eq!(
            (status, &response.headers()[WWW_AUTHENTICATE]),
            (401, &HeaderValue::from_static("Bearer"))
        );
    }

    #[test]
    fn tokens_are_told_apart() {
        let check = |bad: BadToken, code: &str, message: &str| {
            let (status, body, response) = told(AuthError::Invalid(bad), true);
            assert_eq!(
                (status, &body["code"], &body["message"]),
                (401, &json!(code), &json!(message))
            );
            assert_eq!(
                response.headers()[WWW_AUTHENTICATE].to_str().unwrap(),
                format!("Bearer error=\"invalid_token\", error_description=\"{message}\"")
            );
        };
        check(
            BadToken::Parts(2),
            "PGRST301",
            "Expected 3 parts in JWT; got 2",
        );
        check(
            BadToken::Key,
            "PGRST301",
            "No suitable key or wrong key type",
        );
        check(BadToken::Expired, "PGRST303", "JWT expired");
        check(BadToken::NotYet, "PGRST303", "JWT not yet valid");
        let (status, body, response) = told(AuthError::Missing, true);
        assert_eq!((status, &body["code"]), (401, &json!("PGRST302")));
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn what_is_behind_the_last_row_is_told_how_many_there_are() {
        let (status, body, response) = told(
            Error::Range {
                offset: 9,
                total: 3,
            },
            false,
        );
        let details = "An offset of 9 was requested, but there are only 3 rows.";
        let expect = json!({
            "code": "PGRST103", "message": "Requested range not satisfiable", "details": details, "hint": null,
        });
        assert_eq!((status, body), (416, expect));
        assert_eq!(response.headers()["content-range"], "*/3");
    }

    #[test]
    fn candidates_are_a_list_and_other_details_text() {
        let fault = |code| {
            SqlFault::new(code, "m")
                .details(r#"[{"a":1}]"#)
                .into_error()
        };
        assert_eq!(
            told(fault("PGRST201"), false).1["details"],
            json!([{ "a": 1 }])
        );
        assert_eq!(
            told(fault("P0001"), false).1["details"],
            json!(r#"[{"a":1}]"#)
        );
    }

    #[test]
    fn a_function_has_the_last_word() {
        let raise = |message: &str, detail: Option<&str>| {
            let mut fault = SqlFault::new("PGRST", message);
            fault.details = detail.map(str::to_owned);
            told(fault.into_error(), false)
        };
        let message = r#"{"code":"123","message":"ABC","details":"DEF","hint":"XYZ"}"#;
        let detail = r#"{"status":332,"status_text":"My Text","headers":{"X-Header":"str"}}"#;
        let (status, body, response) = raise(message, Some(detail));
        assert_eq!(
            (status, body),
            (
                332,
                json!({ "code": "123", "message": "ABC", "details": "DEF", "hint": "XYZ" })
            )
        );
        assert_eq!(response.headers()["x-header"], "str");
        assert_eq!(
            response
                .extensions()
                .get::<ReasonPhrase>()
                .unwrap()
                .as_bytes(),
            b"My Text"
        );
        for (message, detail) in [
            ("INVALID", Some(detail)),
            (message, None),
            (message, Some("{}")),
            (message, Some(r#"{"status":100,"headers":{}}"#)),
        ] {
            let (status, body, _) = raise(message, detail);
            assert_eq!((status, &body["code"]), (500, &json!("PGRST121")));
        }
        let (_, _, response) = told(
            DataError::Sql(Box::new(SqlFault {
                code: "PT402".into(),
                message: "Payment Required, now".to_owned(),
                details: None,
                hint: None,
            })),
            false,
        );
        assert_eq!(
            response
                .extensions()
                .get::<ReasonPhrase>()
                .unwrap()
                .as_bytes(),
            b"Payment Required, now"
        );
    }
}
