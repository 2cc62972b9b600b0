//! What goes over the wire: parameters, states, cookies and redirects.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::fault::Fault;
use super::provider::is_extra;
use crate::body::Body;

/// Parameters of a query or a form.
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn read(form: &[u8]) -> Params {
        Params(url::form_urlencoded::parse(form).into_owned().collect())
    }

    /// The value; none when it is empty or stands there twice (RFC 6749 §3.1).
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        let (_, value) = found.next()?;
        (found.next().is_none() && !value.is_empty()).then_some(value)
    }

    /// Those that are the provider's affair.
    pub fn extras(&self) -> Vec<(String, String)> {
        let extras = self.0.iter().filter(|(name, _)| is_extra(name));
        extras.cloned().collect()
    }

    pub fn says(&self, name: &str) -> bool {
        self.one(name) == Some("true")
    }
}

/// An id and a secret that goes with it, as one text of 43 characters.
pub struct Paired {
    pub id: Uuid,
    pub secret: String,
}

impl Paired {
    pub fn new(id: Uuid) -> Paired {
        let secret: [u8; 16] = rand::random();
        Paired {
            id,
            secret: URL_SAFE_NO_PAD.encode(secret),
        }
    }

    pub fn read(text: &str) -> Option<Paired> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, secret) = bytes.split_at_checked(16)?;
        Some(Paired {
            id: Uuid::from_slice(id).ok()?,
            secret: URL_SAFE_NO_PAD.encode(secret),
        })
    }

    pub fn text(&self) -> String {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend(URL_SAFE_NO_PAD.decode(&self.secret).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

pub fn random() -> String {
    let bytes: [u8; 32] = rand::random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The name of the cookie that a flow leaves in its browser. Each flow has its own, so that two tabs do not
/// disturb each other.
fn cookie_name(id: Uuid) -> String {
    let id = id.simple().to_string();
    format!("__Host-pumice-{}", &id[..12])
}

pub fn cookie(id: Uuid, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(id);
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

pub fn set_cookie(id: Uuid, value: &str, seconds: u64) -> String {
    let name = cookie_name(id);
    format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

/// A redirect that no cache keeps and that tells the next page nothing of this one.
pub fn to(status: StatusCode, location: &str, cookie: Option<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // It is ASCII without control characters: allowed by `redirect`, or made by `url`.
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, location);
    }
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

pub fn url_answer(url: &str) -> Response<Body> {
    let body = json!({ "url": url }).to_string();
    let mut response = Response::new(Body::from(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A challenge of the client's, checked; none in the implicit flow.
pub fn pkce(params: &Params) -> Result<Option<(String, String)>, Fault> {
    let (challenge, method) = (
        params.one("code_challenge"),
        params.one("code_challenge_method"),
    );
    let (challenge, method) = match (challenge, method) {
        (None, None) => return Ok(None),
        (Some(challenge), Some(method)) => (challenge, method.to_ascii_lowercase()),
        _ => {
            return Err(Fault::invalid(
                "PKCE flow requires code_challenge_method and code_challenge",
            ));
        }
    };
    if !matches!(&*method, "s256" | "plain") {
        return Err(Fault::invalid(
            "code_challenge_method must be s256 or plain",
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&challenge.len()) || !challenge.bytes().all(plain) {
        return Err(Fault::invalid(
            "code challenge has to be between 43 and 128 characters of A-Z, a-z, 0-9, -, ., _ and ~",
        ));
    }
    Ok(Some((challenge.to_owned(), method)))
}

/// What a client is told of a fault where it cannot see a status.
pub fn told(fault: &Fault) -> [(&'static str, String); 4] {
    let error = match fault.status.as_u16() {
        500.. => "server_error",
        401 | 403 | 422 => "access_denied",
        _ => "invalid_request",
    };
    [
        ("error", error.to_owned()),
        ("error_code", fault.code.to_string()),
        ("error_description", fault.message.clone()),
        ("sb", String::new()),
    ]
}

pub fn borrowed<'p>(pairs: &'p [(&'static str, String)]) -> Vec<(&'p str, &'p str)> {
    pairs
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect()
}

/// The name that Apple posts with the first sign-in, and never again.
pub fn apples_name(user: &str) -> Option<String> {
    let user: Value = serde_json::from_str(user).ok()?;
    let part = |name: &str| user.get("name")?.get(name)?.as_str();
    let parts: Vec<&str> = [part("firstName"), part("lastName")]
        .into_iter()
        .flatten()
        .collect();
    Some(parts.join(" ")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let state = Paired::new(Uuid::new_v4());
        let read = Paired::read(&state.text()).unwrap();
        assert_eq!((read.id, &read.secret), (state.id, &state.secret));
        assert_eq!(state.text().len(), 43);
        for broken in ["", "x", "====", &state.text()[..20]] {
            assert!(Paired::read(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn parameters_that_stand_there_twice_are_none() {
        let params = Params::read(b"a=1&b=&c=1&c=2&d=x%20y");
        assert_eq!(params.one("a"), Some("1"));
        assert_eq!(params.one("b"), None);
        assert_eq!(params.one("c"), None);
        assert_eq!(params.one("d"), Some("x y"));
    }

    #[test]
    fn challenges() {
        let read = |query: &str| pkce(&Params::read(query.as_bytes()));
        let long = |length: usize| format!("code_challenge={}", "a".repeat(length));
        assert!(read("").unwrap().is_none());
        for length in [43, 128] {
            let both = format!("{}&code_challenge_method=S256", long(length));
            assert_eq!(read(&both).unwrap().unwrap().1, "s256");
        }
        for bad in [
            long(43),
            "code_challenge_method=s256".to_owned(),
            format!("{}&code_challenge_method=s256", long(42)),
            format!("{}&code_challenge_method=s256", long(129)),
            format!("{}&code_challenge_method=md5", long(43)),
            format!("{}%20&code_challenge_method=s256", long(43)),
        ] {
            assert_eq!(read(&bad).err().unwrap().code, "validation_failed", "{bad}");
        }
    }

    #[test]
    fn a_flow_finds_its_own_cookie() {
        let (one, two) = (Uuid::from_u128(1 << 100), Uuid::from_u128(2 << 100));
        let mut headers = HeaderMap::new();
        let line = format!("theme=dark; {}=value; x", cookie_name(one));
        headers.append(COOKIE, HeaderValue::from_str(&line).unwrap());
        assert_eq!(cookie(one, &headers).as_deref(), Some("value"));
        assert_eq!(cookie(two, &headers), None);
        let set = set_cookie(one, "value", 300);
        for part in ["__Host-", "Path=/;", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(set.contains(part), "{set}");
        }
    }

    #[test]
    fn apples_form_has_a_name_once() {
        let user = r#"{"name":{"firstName":"Ann","lastName":"Lee"},"email":"evil@example.com"}"#;
        assert_eq!(apples_name(user).as_deref(), Some("Ann Lee"));
        for none in ["", "{}", "[]", r#"{"name":{}}"#, r#"{"name":"x"}"#] {
            assert_eq!(apples_name(none), None, "{none}");
        }
    }

    #[test]
    fn what_a_client_is_told_of_a_fault() {
        let of = |fault: Fault| told(&fault)[0].1.clone();
        assert_eq!(of(Fault::bad_oauth_state()), "invalid_request");
        assert_eq!(of(Fault::signup_disabled()), "access_denied");
        assert_eq!(of(Fault::email_needs_verification()), "access_denied");
        assert_eq!(of(Fault::unexpected("x")), "server_error");
    }
}
