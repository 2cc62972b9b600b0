//! Calls of the app's procedures: guest code, by JSON in and JSON out.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Response};
use pumice_host_api::data::DataError;
use pumice_host_api::data::query::{Media, Return, body};
use serde_json::value::RawValue;

use super::request::Asked;
use super::{Visit, answer, nulls};
use crate::body::Body;
use crate::error::Error;
use crate::functions::Procedure;
use crate::functions::manifest::Access;
use crate::services::auth::extract;
use crate::services::permissions::guard;

/// What belongs to the dialect in a query string and is no argument. (It is not applied to what a
/// procedure answers, either.)
const RESERVED: [&str; 4] = ["select", "order", "limit", "offset"];

impl Visit<'_> {
    /// Calls `procedure`: with the object in the body, or with the pairs of the query string.
    pub(super) async fn procedure(
        &self,
        procedure: &Procedure,
        asked: Asked<'_>,
    ) -> Result<Response<Body>, Error> {
        let caller = match (procedure.access, &self.identity) {
            (Access::Public, identity) => identity.clone().unwrap_or_else(|_| extract::anonymous()),
            (access, identity) => {
                let caller = identity.clone()?;
                let require = procedure.require.as_deref();
                guard::permit(&self.store, access, require, &caller).await?;
                caller
            }
        };
        let actor = self.actor(caller, &asked);
        let head = match *asked.method {
            Method::GET | Method::POST => false,
            Method::HEAD => true,
            Method::OPTIONS => return Ok(answer::allow("OPTIONS,POST")),
            _ => return Err(super::rpc::no_verb(asked.method).into()),
        };
        let read_only = *asked.method != Method::POST;
        let media = asked.media(false)?;
        if media == Media::Csv {
            let message = "None of these media types are available: text/csv";
            return Err(DataError::sql("PGRST107", message).into());
        }
        let within = self.within.is_some();
        let prefer = asked.prefer(&self.store, &self.settings, within).await?;
        let form = *asked.method == Method::POST && is_form(asked.headers);
        let arguments = if *asked.method == Method::POST {
            let sent = asked.body.bytes().await?;
            match form {
                true => of_pairs(&sent),
                false => of_body(&sent)?,
            }
        } else {
            of_pairs(asked.query.as_bytes())
        };
        let (app, request_id) = (&self.app, self.request_id);
        let json = match self.within() {
            Some(transaction) => {
                let called = self.procedures.call_within(
                    procedure,
                    &actor,
                    request_id,
                    arguments,
                    transaction,
                );
                called.await?
            }
            None => {
                let called = self
                    .procedures
                    .call(app, procedure, actor, request_id, arguments, read_only);
                called.await?
            }
        };
        if prefer.returning == Some(Return::Minimal) && !head {
            return Ok(answer::empty());
        }
        let mut json = Bytes::from(json);
        let (single, strip) = match media {
            Media::Object { nulls_stripped } => (true, nulls_stripped),
            Media::Json { nulls_stripped } => (false, nulls_stripped),
            _ => (false, false),
        };
        if single {
            json = only_one(json)?;
        }
        if strip {
            json = nulls::strip(&json).into();
        }
        Ok(answer::value(json, &media, head))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let sent = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    sent.is_some_and(|sent| sent.starts_with(b"application/x-www-form-urlencoded"))
}

/// A JSON object, or nothing for none.
fn of_body(body: &[u8]) -> Result<String, DataError> {
    let refused = || DataError::sql("PGRST102", "Empty or invalid json");
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok("{}".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|_| refused())?;
    // Reads and forgets: that it is an object is all we want to know.
    body::row(text)?;
    Ok(text.to_owned())
}

/// Pairs as an object. A value that reads as JSON and as no string is that; anything else is text. Of a
/// key that comes twice the last one counts.
fn of_pairs(pairs: &[u8]) -> String {
    let mut object: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    for (key, value) in url::form_urlencoded::parse(pairs) {
        if RESERVED.contains(&&*key) {
            continue;
        }
        // As it is written: numbers keep their digits.
        let json = RawValue::from_string(value.clone().into_owned()).ok();
        let json = json.filter(|json| !json.get().starts_with('"'));
        let json = json.unwrap_or_else(|| {
            serde_json::value::to_raw_value(&*value).expect("any text is a JSON string")
        });
        object.insert(key.into_owned(), json);
    }
    serde_json::to_string(&object).expect("keys are text and values JSON")
}

/// The element of a list that has one; what is no list stays.
fn only_one(json: Bytes) -> Result<Bytes, DataError> {
    if !json.trim_ascii_start().starts_with(b"[") {
        return Ok(json);
    }
    let list: Vec<&RawValue> =
        serde_json::from_slice(&json).map_err(|error| DataError::Internal(error.to_string()))?;
    match list[..] {
        [one] => Ok(Bytes::copy_from_slice(one.get().as_bytes())),
        _ => Err(super::rpc::not_single(list.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_arguments() {
        let check = |pairs: &str, expect: &str| assert_eq!(of_pairs(pairs.as_bytes()), expect);
        check("", "{}");
        check(
            "a=1&b=x&c=true&d=null",
            r#"{"a":1,"b":"x","c":true,"d":null}"#,
        );
        check(
            "a=%7B%22b%22%3A%5B1%5D%7D&c=%5B%5D",
            r#"{"a":{"b":[1]},"c":[]}"#,
        );
        check("a=%22x%22&b=&c=1+2", r#"{"a":"\"x\"","b":"","c":"1 2"}"#);
        check("a=1&a=2", r#"{"a":2}"#);
        check("a=1&select=b&order=c&limit=1&offset=2", r#"{"a":1}"#);
        check(
            "a=01&b=1.50&c=12345678901234567890123",
            r#"{"a":"01","b":1.50,"c":12345678901234567890123}"#,
        );
    }

    #[test]
    fn one_of_a_list() {
        let one = |json: &'static str| only_one(Bytes::from_static(json.as_bytes()));
        assert_eq!(one("{\"a\":1}").unwrap(), "{\"a\":1}");
        assert_eq!(one(" [ {\"a\":1} ]").unwrap(), "{\"a\":1}");
        assert_eq!(one("[]").unwrap_err().code(), Some("PGRST116"));
        assert_eq!(one("[1,2]").unwrap_err().code(), Some("PGRST116"));
    }
}
