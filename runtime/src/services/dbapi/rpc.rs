//! Calls of SQL functions, which an app on PostgreSQL may have.

use std::sync::Arc;

use http::{Method, Response};
use pumice_host_api::data::plan::{Given, WholeType};
use pumice_host_api::data::query::{Candidate, Query, Return, body};
use pumice_host_api::data::schema::{Function, Volatility};
use pumice_host_api::data::{DataError, Schema, SqlFault};

use super::request::Asked;
use super::{Visit, answer};
use crate::body::Body;
use crate::error::Error;

impl Visit<'_> {
    pub(super) async fn rpc(&self, name: &str, asked: Asked<'_>) -> Result<Response<Body>, Error> {
        let caller = self.identity.clone()?;
        let reads = match *asked.method {
            Method::GET | Method::HEAD => true,
            Method::POST => false,
            Method::OPTIONS => return self.rpc_options(name, &asked).await,
            _ => return Err(no_verb(asked.method).into()),
        };
        let actor = self.actor(caller, &asked);
        let within = self.within.is_some();
        let mut parsed = asked
            .parse(name, &self.store, &self.settings, within, reads)
            .await?;
        let schema = self.store.schema().await?;
        let given = if reads {
            let candidates = std::mem::take(&mut parsed.candidates);
            let overloads = overloads(&schema, &parsed.query);
            Given::Text(arguments(candidates, &overloads, &mut parsed.query))
        } else {
            given(asked.content_type(), asked.body.bytes().await?.into())?
        };
        let rows = self
            .store
            .call(
                &actor,
                self.within(),
                &parsed.query,
                given,
                reads,
                parsed.preferences(true),
            )
            .await?;
        let head = *asked.method == Method::HEAD;
        let minimal = parsed.prefer.returning == Some(Return::Minimal) && !head;
        answer::called(&parsed, minimal, rows)
    }

    async fn rpc_options(&self, name: &str, asked: &Asked<'_>) -> Result<Response<Body>, Error> {
        let profile = asked.profile(&self.settings)?;
        let schema = self.store.schema().await?;
        let query = Query {
            schema: Some(profile.schema.to_owned()),
            table: name.to_owned(),
            ..Query::default()
        };
        let overloads = overloads(&schema, &query);
        if overloads.is_empty() {
            let message = format!(
                "Could not find the function {}.{name} in the schema cache",
                profile.schema
            );
            return Err(DataError::sql("PGRST202", message).into());
        }
        let volatile = |function: &&Arc<Function>| function.volatility == Volatility::Volatile;
        Ok(answer::allow(match overloads.iter().all(volatile) {
            true => "OPTIONS,POST",
            false => "OPTIONS,GET,HEAD,POST",
        }))
    }
}

fn overloads<'s>(schema: &'s Schema, query: &Query) -> Vec<&'s Arc<Function>> {
    let space = query.schema.as_deref().unwrap_or_default();
    schema.overloads(space, &query.table).collect()
}

/// The arguments among the pairs of a query string; the others become filters of what is returned. A pair
/// that reads as no filter can only be an argument, though no function takes it.
fn arguments(
    candidates: Vec<Candidate>,
    overloads: &[&Arc<Function>],
    query: &mut Query,
) -> Vec<(String, String)> {
    let mut arguments = Vec::new();
    for Candidate { key, value, filter } in candidates {
        let named = overloads
            .iter()
            .flat_map(|function| &function.arguments)
            .any(|argument| argument.name == key);
        match filter {
            Some(filter) if !named => query.filters.push(filter),
            _ => arguments.push((key, value)),
        }
    }
    arguments
}

/// What a body gives a function.
fn given(content_type: Option<&str>, sent: Vec<u8>) -> Result<Given, DataError> {
    let kind = content_type.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let whole = match &*kind.to_ascii_lowercase() {
        "" | "application/json" => return json(sent),
        "application/x-www-form-urlencoded" => return Ok(Given::Text(body::pairs(&sent)?)),
        "text/plain" => WholeType::Text,
        "text/xml" => WholeType::Xml,
        "application/octet-stream" => WholeType::Bytes,
        _ => return Err(body::not_acceptable(kind)),
    };
    Ok(Given::Whole(whole, sent))
}

/// An object is arguments by name; nothing is none; any other JSON can only be the one argument of a
/// function that takes all.
fn json(sent: Vec<u8>) -> Result<Given, DataError> {
    let first = sent.iter().find(|byte| !byte.is_ascii_whitespace());
    let values = match first {
        None => Vec::new(),
        Some(b'{') => body::json(&sent)?.into_iter().next().unwrap_or_default(),
        Some(_) => {
            let any = serde_json::from_slice::<serde::de::IgnoredAny>(&sent);
            any.map_err(|_| DataError::sql("PGRST102", "Empty or invalid json"))?;
            Vec::new()
        }
    };
    Ok(Given::Json { values, body: sent })
}

pub fn no_verb(method: &Method) -> DataError {
    DataError::sql("PGRST101", format!("Cannot use the {method} method on RPC"))
}

/// # Errors
/// Always: there are so many, and one was asked for.
pub fn not_single(rows: usize) -> DataError {
    SqlFault::new(
        "PGRST116",
        "Cannot coerce the result to a single JSON object",
    )
    .details(format!("The result contains {rows} rows"))
    .into_error()
}

#[cfg(test)]
mod tests {
    use pumice_host_api::data::query::Params;

    use super::super::openapi::tests::schema;
    use super::*;

    #[test]
    fn pairs_are_arguments_or_filters() {
        let schema = schema();
        let check = |pairs: &str, expect: &[(&str, &str)], filters: usize| {
            let pairs = url::form_urlencoded::parse(pairs.as_bytes());
            let Params {
                mut query,
                candidates,
                ..
            } = Params::call(pairs).unwrap();
            query.schema = Some("public".to_owned());
            query.table = "add".to_owned();
            let given = arguments(candidates, &overloads(&schema, &query), &mut query);
            let given: Vec<(&str, &str)> = given
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect();
            assert_eq!((given.as_slice(), query.filters.len()), (expect, filters));
        };
        check("a=1&b=2", &[("a", "1"), ("b", "2")], 0);
        check("a=1&id=eq.5&select=id", &[("a", "1")], 1);
        check("a=eq.1", &[("a", "eq.1")], 0);
        check("c=1", &[("c", "1")], 0);
    }

    #[test]
    fn bodies_are_arguments() {
        let given = |kind: Option<&str>, sent: &str| given(kind, sent.as_bytes().to_vec());
        let named = |given: Given| match given {
            Given::Json { values, .. } => values.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(named(given(None, "").unwrap()), 0);
        assert_eq!(named(given(None, r#"{"a":1,"b":2}"#).unwrap()), 2);
        assert_eq!(
            named(given(Some("application/json; charset=utf-8"), "[1,2]").unwrap()),
            0
        );
        assert_eq!(given(None, "{").unwrap_err().code(), Some("PGRST102"));
        assert_eq!(given(None, "[").unwrap_err().code(), Some("PGRST102"));
        assert_eq!(
            given(Some("image/png"), "").unwrap_err().code(),
            Some("PGRST102")
        );
        let whole = given(Some("text/plain"), "x").unwrap();
        assert!(matches!(whole, Given::Whole(WholeType::Text, body) if body == b"x"));
        let form = given(Some("application/x-www-form-urlencoded"), "a=1&b=x+y").unwrap();
        let expect = [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "x y".to_owned()),
        ];
        assert!(matches!(form, Given::Text(pairs) if pairs == expect));
    }
}
