//! A request of the dialect, taken apart. Pure, up to the body.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, RANGE};
use http::{HeaderMap, HeaderName, Method};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use pumice_host_api::data::query::{
    Accept, Candidate, Format, Media, Params, Prefer, Preferences, Query, Range, Return, Returning,
    TransactionWish,
};
use pumice_host_api::data::{
    DataError, DataStore, RequestInfo, Settings, SqlFault, TransactionEnd,
};
use serde_json::{Map, Value};

use crate::error::{Error, RequestError};
use crate::limits;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// A request to `/rest/v1`, however it came: alone or in a batch.
pub struct Asked<'a> {
    pub method: &'a Method,
    /// Below `/rest/v1`, beginning with a slash, as sent.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: Payload,
}

/// A body that is still to come, or is there.
pub enum Payload {
    Coming(Incoming),
    Whole(Bytes),
}

/// The schema that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    pub schema: &'a str,
    /// Whether the answer says so.
    pub told: bool,
}

/// What a request asks for.
pub struct Parsed<'a> {
    pub method: &'a Method,
    pub query: Query,
    pub columns: Option<Vec<String>>,
    pub on_conflict: Option<Vec<String>>,
    /// Of a call by `GET`: pairs that are arguments or filters.
    pub candidates: Vec<Candidate>,
    pub prefer: Prefer,
    pub media: Media,
    pub profile: Profile<'a>,
    /// Rows before the first one that a read answers.
    pub offset: u64,
    /// The query string as sent.
    pub pairs: &'a str,
    /// Whether the transaction is undone after all is done.
    rollback: bool,
}

impl<'a> Asked<'a> {
    /// The schema that the request names, or the first exposed one. `GET` and `HEAD` name it as they say
    /// what they accept, all others as they say what they send.
    ///
    /// # Errors
    /// PGRST106 when it is not exposed.
    pub fn profile<'p>(&self, settings: &'p Settings) -> Result<Profile<'p>, DataError>
    where
        'a: 'p,
    {
        let header = match *self.method {
            Method::POST | Method::PATCH | Method::PUT | Method::DELETE => CONTENT_PROFILE,
            _ => ACCEPT_PROFILE,
        };
        let schemas = &settings.schemas;
        let Some(named) = self.headers.get(header) else {
            let schema = schemas.first().map_or("public", String::as_str);
            let told = schemas.len() > 1;
            return Ok(Profile { schema, told });
        };
        let found = schemas
            .iter()
            .find(|schema| schema.as_bytes() == named.as_bytes());
        let Some(schema) = found else {
            let shown = String::from_utf8_lossy(named.as_bytes());
            let hint = format!(
                "Only the following schemas are exposed: {}",
                schemas.join(", ")
            );
            let fault = SqlFault::new("PGRST106", format!("Invalid schema: {shown}"));
            return Err(fault.hint(hint).into_error());
        };
        Ok(Profile { schema, told: true })
    }

    /// What the `Prefer` headers say. In a batch (`within`) the end of the transaction is not a single
    /// request's to say.
    ///
    /// # Errors
    /// PGRST122; what reading the schema says, when a time zone is asked for.
    pub async fn prefer(
        &self,
        store: &DataStore,
        settings: &Settings,
        within: bool,
    ) -> Result<Prefer, DataError> {
        if !self.headers.contains_key(PREFER) {
            return Ok(Prefer::default());
        }
        let values = || {
            let values = self.headers.get_all(PREFER).iter();
            values.filter_map(|value| value.to_str().ok())
        };
        let schema = match values().any(|value| value.contains("timezone=")) {
            true => Some(store.schema().await?),
            false => None,
        };
        let known = |zone: &str| {
            let schema = schema.as_ref();
            schema.is_some_and(|schema| schema.has_timezone(zone))
        };
        let transaction = !within && settings.transaction_end != TransactionEnd::Commit;
        let prefer = Prefer::read(values(), transaction, known);
        prefer.check()?;
        Ok(prefer)
    }

    /// The best form of what is accepted. `plans` says whether the database's plan may be asked for.
    ///
    /// # Errors
    /// PGRST107.
    pub fn media(&self, plans: bool) -> Result<Media, DataError> {
        let plain = Media::Json {
            nulls_stripped: false,
        };
        if !self.headers.contains_key(ACCEPT) {
            return Ok(plain);
        }
        self.accept().choose(plain, |media| match media {
            Media::Plan { of, .. } => plans && rows_form(of),
            media => rows_form(media),
        })
    }

    /// As [`media`](Self::media), of the root document.
    ///
    /// # Errors
    /// PGRST107.
    pub fn root_media(&self) -> Result<Media, DataError> {
        let plain = Media::Json {
            nulls_stripped: false,
        };
        self.accept().choose(Media::OpenApi, |media| {
            *media == Media::OpenApi || *media == plain
        })
    }

    fn accept(&self) -> Accept {
        let values = self.headers.get_all(ACCEPT).iter();
        Accept::read(values.filter_map(|value| value.to_str().ok()))
    }

    pub fn content_type(&self) -> Option<&'a str> {
        self.headers.get(CONTENT_TYPE)?.to_str().ok()
    }

    /// Reads everything but the body. `call` says whether pairs of the query string may be arguments.
    ///
    /// # Errors
    /// The dialect's parse errors.
    pub async fn parse(
        &self,
        name: &str,
        store: &DataStore,
        settings: &'a Settings,
        within: bool,
        call: bool,
    ) -> Result<Parsed<'a>, DataError> {
        let profile = self.profile(settings)?;
        let media = self.media(settings.plan)?;
        let prefer = self.prefer(store, settings, within).await?;
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        let params = match call {
            true => Params::call(pairs)?,
            false => Params::read(pairs)?,
        };
        let Params {
            mut query,
            columns,
            on_conflict,
            candidates,
        } = params;
        query.schema = Some(profile.schema.to_owned());
        query.table = name.to_owned();
        let mut offset = own(&query.offsets).unwrap_or(0);
        let reads = *self.method == Method::GET || *self.method == Method::HEAD;
        let header = self
            .headers
            .get(RANGE)
            .filter(|_| *self.method == Method::GET);
        if header.is_some() || (reads && own(&query.limits) == Some(0)) {
            let header = header.and_then(|value| value.to_str().ok());
            let range = Range::read(header, own(&query.limits), own(&query.offsets))?;
            offset = range.offset;
            query.limits.retain(|(path, _)| !path.is_empty());
            query.offsets.retain(|(path, _)| !path.is_empty());
            query
                .limits
                .extend(range.limit.map(|limit| (Vec::new(), limit)));
            query.offsets.push((Vec::new(), range.offset));
        }
        let rollback = match (settings.transaction_end, prefer.transaction) {
            _ if within => false,
            (TransactionEnd::Commit, _) => false,
            (TransactionEnd::CommitAllowOverride, wish) => wish == Some(TransactionWish::Rollback),
            (TransactionEnd::RollbackAllowOverride, wish) => wish != Some(TransactionWish::Commit),
        };
        Ok(Parsed {
            method: self.method,
            query,
            columns,
            on_conflict,
            candidates,
            prefer,
            media,
            profile,
            offset,
            pairs: self.query,
            rollback,
        })
    }

    /// What SQL functions of PostgreSQL may ask about the request.
    pub fn info(&self) -> RequestInfo {
        let mut headers = Map::new();
        for name in self.headers.keys() {
            let values = self.headers.get_all(name).iter();
            let values: Vec<Cow<str>> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            headers.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
        }
        let mut cookies = Map::new();
        let sent = self.headers.get_all(COOKIE).iter();
        let sent = sent.filter_map(|value| value.to_str().ok());
        for (name, value) in sent
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
        {
            cookies.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        RequestInfo {
            method: self.method.as_str().to_owned(),
            path: self.path.to_owned(),
            headers: Value::Object(headers).to_string(),
            cookies: Value::Object(cookies).to_string(),
        }
    }
}

impl Parsed<'_> {
    /// What the data path is told beside the query. `writes` says whether rows can be affected.
    pub fn preferences(&self, writes: bool) -> Preferences {
        let (of, explain) = match &self.media {
            Media::Plan { of, explain } => (&**of, Some(*explain)),
            media => (media, None),
        };
        Preferences {
            count: self.prefer.count,
            format: match of {
                Media::Csv => Format::Csv,
                _ => Format::Json,
            },
            single: matches!(of, Media::Object { .. }),
            max_affected: self
                .prefer
                .max_affected
                .filter(|_| writes && self.prefer.is_strict()),
            rollback: writes && self.rollback,
            timezone: self.prefer.timezone.clone(),
            explain,
        }
    }

    /// What a write is to answer.
    pub fn returning(&self) -> Returning {
        match self.prefer.returning {
            Some(Return::Representation) => Returning::Rows,
            Some(Return::HeadersOnly) if *self.method == Method::POST => Returning::Keys,
            _ => Returning::Count,
        }
    }

    /// A write is of all rows that its filters find.
    pub fn without_range(&mut self) {
        self.query.limits.retain(|(path, _)| !path.is_empty());
        self.query.offsets.retain(|(path, _)| !path.is_empty());
    }
}

/// The limit or offset of the rows themselves.
pub fn own(numbers: &[(Vec<String>, u64)]) -> Option<u64> {
    let found = numbers.iter().find(|(path, _)| path.is_empty());
    found.map(|(_, number)| *number)
}

/// Forms that rows can be answered in.
fn rows_form(media: &Media) -> bool {
    matches!(
        media,
        Media::Json { .. } | Media::Object { .. } | Media::Csv
    )
}

pub fn unsupported(method: &Method) -> DataError {
    DataError::sql("PGRST117", format!("Unsupported HTTP method: {method}"))
}

/// A path with its percent signs decoded.
///
/// # Errors
/// PGRST125 when that is no text.
pub fn decode(path: &str) -> Result<Cow<'_, str>, DataError> {
    let invalid = || DataError::sql("PGRST125", "Invalid path specified in request URL");
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'x')).to_digit(16);
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid()),
        }
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| invalid())
}

impl Payload {
    /// The whole body.
    ///
    /// # Errors
    /// [`DataError::TooLarge`], or [`RequestError::BodyBroken`] when it breaks off.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        match self {
            Payload::Whole(bytes) => Ok(bytes),
            Payload::Coming(body) => whole(body, limits::REST_BODY_BYTES_MAX).await,
        }
    }
}

/// All of a body, `bytes_max` at most.
///
/// # Errors
/// As [`Payload::bytes`].
pub async fn whole(body: Incoming, bytes_max: usize) -> Result<Bytes, Error> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {bytes_max} bytes");
            Err(DataError::TooLarge(message).into())
        }
        Err(_) => Err(RequestError::BodyBroken.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(method: &'a Method, headers: &'a HeaderMap, query: &'a str) -> Asked<'a> {
        Asked {
            method,
            path: "/t",
            query,
            headers,
            body: Payload::Whole(Bytes::new()),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    use http::HeaderValue;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%20b").unwrap(), "a b");
        assert!(matches!(decode("ab").unwrap(), Cow::Borrowed("ab")));
        assert!(decode("a%2").is_err());
        assert!(decode("%ff").is_err());
    }

    #[test]
    fn a_schema_is_named_or_the_first() {
        let one = Settings::default();
        let two = Settings {
            schemas: vec!["public".to_owned(), "personal".to_owned()],
            ..Settings::default()
        };
        let check = |settings: &Settings,
                     method: Method,
                     pairs: &[(&'static str, &'static str)],
                     expect| {
            let headers = headers(pairs);
            let profile = asked(&method, &headers, "").profile(settings);
            let found = profile.as_ref().map(|found| (found.schema, found.told));
            match (found, expect) {
                (Ok(found), Some(expect)) => assert_eq!(found, expect),
                (Err(error), None) => assert_eq!(error.code(), Some("PGRST106")),
                (found, expect) => panic!("{found:?} {expect:?}"),
            }
        };
        check(&one, Method::GET, &[], Some(("public", false)));
        check(
            &one,
            Method::GET,
            &[("accept-profile", "public")],
            Some(("public", true)),
        );
        check(&two, Method::GET, &[], Some(("public", true)));
        check(
            &two,
            Method::GET,
            &[("accept-profile", "personal")],
            Some(("personal", true)),
        );
        // The other header says nothing.
        check(
            &two,
            Method::GET,
            &[("content-profile", "personal")],
            Some(("public", true)),
        );
        check(
            &two,
            Method::DELETE,
            &[("content-profile", "personal")],
            Some(("personal", true)),
        );
        check(
            &two,
            Method::DELETE,
            &[("accept-profile", "personal")],
            Some(("public", true)),
        );
        check(&one, Method::GET, &[("accept-profile", "personal")], None);
        check(&one, Method::POST, &[("content-profile", "")], None);
    }

    #[test]
    fn forms_are_chosen_and_plans_only_where_allowed() {
        let media = |accept: &'static str, plans: bool| {
            let headers = headers(&[("accept", accept)]);
            asked(&Method::GET, &headers, "")
                .media(plans)
                .map(|media| media.name().into_owned())
        };
        assert_eq!(media("*/*", false).unwrap(), "application/json");
        assert_eq!(media("text/csv", false).unwrap(), "text/csv");
        assert!(media("application/vnd.pgrst.plan+json", false).is_err());
        assert!(media("application/vnd.pgrst.plan+json", true).is_ok());
        assert!(media("application/openapi+json", true).is_err());
        assert!(media("image/png", true).is_err());
    }

    #[test]
    fn functions_are_told_of_the_request() {
        let headers = headers(&[("X-A", "1"), ("X-A", "2"), ("Cookie", "a=b; c=d=e")]);
        let info = asked(&Method::GET, &headers, "").info();
        assert_eq!(info.headers, r#"{"cookie":"a=b; c=d=e","x-a":"1, 2"}"#);
        assert_eq!(info.cookies, r#"{"a":"b","c":"d=e"}"#);
        assert_eq!((&*info.method, &*info.path), ("GET", "/t"));
    }
}
