//! A request to `/auth/v1`, taken apart.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Limited};
use pumice_host_api::Role;
use pumice_host_api::auth::{Flow, Users};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::AUTH;
use super::AuthApi;
use super::answer::API_VERSION;
use crate::clock;
use crate::entries::http::AppRequest;
use crate::functions::App;
use crate::functions::manifest::auth::AuthSettings;
use crate::limits;
use crate::services::auth::extract;
use crate::services::auth::fault::Fault;
use crate::services::auth::oauth::redirect;
use crate::services::rates::auth as rates;
use crate::services::rates::{Decision, Key, Rule};

/// A request, whole.
pub struct Asked {
    pub api: Arc<AuthApi>,
    pub app: Arc<App>,
    pub settings: Arc<AuthSettings>,
    pub method: Method,
    /// Below `/auth/v1`.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// As sent.
    pub raw_query: String,
    pub headers: HeaderMap,
    /// Of a JSON object, or of a form.
    pub body: Map<String, Value>,
    /// As sent.
    pub raw_body: Bytes,
    pub ip: IpAddr,
    /// Whether a trusted proxy says that the client came over TLS.
    secure: bool,
    pub now: DateTime<Utc>,
    /// Of the limit that counted this request.
    limit: OnceLock<Decision>,
}

/// Who signed in, as the token says.
#[derive(Clone, Debug)]
pub struct Bearer {
    pub user_id: Uuid,
    pub session_id: Uuid,
    /// `aal1` or `aal2`.
    pub aal: String,
}

impl Asked {
    pub async fn read(api: Arc<AuthApi>, incoming: AppRequest) -> Result<Asked, Fault> {
        let ip = incoming.peer.client;
        let path = incoming.path().strip_prefix(AUTH).unwrap_or_default();
        let path = path.to_owned();
        let (parts, body) = incoming.request.into_parts();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let query = url::form_urlencoded::parse(raw_query.as_bytes())
            .into_owned()
            .collect();
        let bytes = Limited::new(body, limits::AUTH_BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| Fault::too_large())?
            .to_bytes();
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|value| {
            value
                .as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let body = members(&bytes, is_form)?;
        let proto = parts.headers.get("x-forwarded-proto");
        let is_https = |proto: &HeaderValue| proto.as_bytes().eq_ignore_ascii_case(b"https");
        let secure = incoming.peer.trusted && proto.is_some_and(is_https);
        let asked = Asked {
            secure,
            settings: incoming.app.auth(),
            app: incoming.app,
            api,
            method: parts.method,
            path,
            query,
            raw_query,
            headers: parts.headers,
            body,
            raw_body: bytes,
            ip,
            now: clock::utc(),
            limit: OnceLock::new(),
        };
        // No database keeps it. (Where a link leads is judged elsewhere, and never refused.)
        let judged = |name: &str| name == "redirect_to";
        let in_query = |(name, value): &(String, String)| value.contains('\0') && !judged(name);
        if asked.query.iter().any(in_query)
            || asked.body.iter().any(|(name, value)| has_nul(name, value))
        {
            return Err(Fault::invalid("The request has a NUL character in it"));
        }
        asked.check_key()?;
        Ok(asked)
    }

    /// A key is not asked for, as links and providers bring none; one that is sent has to be the app's.
    fn check_key(&self) -> Result<(), Fault> {
        let Some(key) = self.headers.get("apikey") else {
            return Ok(());
        };
        let only_key = HeaderMap::from_iter([(HeaderName::from_static("apikey"), key.clone())]);
        extract::caller(&self.app.keys, &only_key).map_err(Fault::bad_jwt)?;
        Ok(())
    }

    /// The app's address with [`AUTH`]: the issuer of its tokens.
    pub fn base(&self) -> String {
        format!("{}{AUTH}", self.app_url())
    }

    /// The app's address as the client's browser has it: under TLS where a trusted proxy says so.
    pub fn seen_url(&self) -> String {
        let url = self.app_url();
        match url.strip_prefix("http://") {
            Some(rest) if self.secure => format!("https://{rest}"),
            _ => url,
        }
    }

    pub fn app_url(&self) -> String {
        self.api.server.app_url(&self.app.name)
    }

    pub fn users(&self) -> Users {
        self.app.users.clone()
    }

    /// Runs `flow` to its end, whoever still waits for it.
    pub async fn run<F: Flow>(&self, flow: F) -> Result<F::Answer, Fault> {
        Ok(self.users().run(flow).await?)
    }

    pub async fn look<F: Flow>(&self, flow: F) -> Result<F::Answer, Fault> {
        Ok(self.users().read(flow).await?)
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A member of the body; none when it is null or empty.
    ///
    /// # Errors
    /// 400 when it is no string.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::invalid(format!("`{name}` has to be a string"))),
        }
    }

    /// # Errors
    /// 400 when it is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Fault::invalid(format!("`{name}` has to be true or false"))),
        }
    }

    /// An object of the body; none when it is null.
    ///
    /// # Errors
    /// 400 when it is none, or larger than what a user may say of themselves.
    pub fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, Fault> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => {
                let text = serde_json::to_string(object).unwrap_or_default();
                if text.len() > limits::METADATA_BYTES_MAX {
                    return Err(Fault::invalid(format!(
                        "`{name}` has more than {} bytes; keep what is larger in a table",
                        limits::METADATA_BYTES_MAX
                    )));
                }
                Ok(Some(object.clone()))
            }
            Some(_) => Err(Fault::invalid(format!("`{name}` has to be an object"))),
        }
    }

    /// The address of the body in lower case; none without one.
    ///
    /// # Errors
    /// 400 for what is no address.
    pub fn email(&self) -> Result<Option<String>, Fault> {
        self.text("email")?.map(email).transpose()
    }

    /// The phone number of the body without its `+`; none without one.
    ///
    /// # Errors
    /// 400 for what is no number.
    pub fn phone(&self) -> Result<Option<String>, Fault> {
        self.text("phone")?.map(phone).transpose()
    }

    pub fn user_agent(&self) -> Option<String> {
        let agent = self.headers.get(USER_AGENT)?.to_str().ok()?;
        Some(agent.chars().take(limits::USER_AGENT_CHARS_KEPT).collect())
    }

    /// Where a link of a mail or a provider is to lead, if the app allows it; else its site.
    pub fn redirect_to(&self) -> String {
        let header = self.headers.get("redirect_to");
        let wanted = self.param("redirect_to");
        let wanted = wanted.or_else(|| header.and_then(|value| value.to_str().ok()));
        redirect::target(&self.settings, &self.app_url(), wanted)
    }

    /// The signed-in user of the `Authorization` header. A key of the app is none.
    ///
    /// # Errors
    /// 401 without one, 403 for one that is not valid.
    pub fn bearer(&self) -> Result<Bearer, Fault> {
        let token = extract::bearer(&self.headers).ok_or_else(Fault::no_authorization)?;
        let (keys, now) = (&self.app.keys, self.now.timestamp() as u64);
        let claims = match keys.check_access(token, now) {
            Ok(claims) => claims,
            // A key of the app is somebody, and no user.
            Err(_) if keys.verify(token, now).is_ok() => return Err(Fault::no_authorization()),
            Err(bad) => return Err(Fault::bad_jwt(bad)),
        };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("aud").is_some_and(|aud| aud != "authenticated") {
            return Err(Fault::bad_jwt("unexpected audience"));
        }
        let user_id = text("sub").and_then(|id| id.parse().ok());
        let session_id = text("session_id").and_then(|id| id.parse().ok());
        Ok(Bearer {
            user_id: user_id.ok_or_else(|| Fault::bad_jwt("missing sub claim"))?,
            session_id: session_id.ok_or_else(Fault::session_gone)?,
            aal: text("aal").unwrap_or("aal1").to_owned(),
        })
    }

    /// # Errors
    /// 401 without a key, 403 for one that is not the service key.
    pub fn admin(&self) -> Result<(), Fault> {
        let caller = match extract::caller(&self.app.keys, &self.headers) {
            Ok(caller) => caller,
            Err(super::super::AuthError::Missing) => return Err(Fault::no_authorization()),
            Err(error) => return Err(Fault::bad_jwt(error)),
        };
        match caller.role {
            Role::ServiceRole => Ok(()),
            _ => Err(Fault::not_admin()),
        }
    }

    /// Counts this request against a rule of clients.
    ///
    /// # Errors
    /// 429.
    pub async fn limit(&self, rule: &'static Rule) -> Result<(), Fault> {
        let decision = self.api.rates.limit(&self.app, rule, self.ip, 1).await?;
        let _ = self.limit.set(decision);
        Ok(())
    }

    /// Counts a mail or message to `address`, whether anybody has it or not.
    ///
    /// # Errors
    /// 429.
    pub async fn limit_mail(&self, address: &str) -> Result<(), Fault> {
        self.limit(&rates::MAIL).await?;
        let key = Key::Address(address);
        let counted = self
            .api
            .rates
            .limit(&self.app, &rates::MAIL_ADDRESS, key, 1);
        counted.await?;
        Ok(())
    }

    /// Counts an attempt to prove something of `address` from where this request comes.
    ///
    /// # Errors
    /// 429.
    pub async fn limit_address(&self, address: &str) -> Result<(), Fault> {
        let key = Key::AddressFrom(address, self.ip);
        self.api
            .rates
            .limit(&self.app, &rates::SIGN_IN_ADDRESS, key, 1)
            .await?;
        Ok(())
    }

    pub fn add_limits(&self, headers: &mut HeaderMap) {
        if let Some(decision) = self.limit.get() {
            decision.tell(headers);
        }
    }
}

/// The members of a body: of a JSON object, or of a form.
///
/// # Errors
/// 400 for what is neither.
fn members(bytes: &[u8], is_form: bool) -> Result<Map<String, Value>, Fault> {
    // Some clients say so of everything that they post.
    let is_form = is_form && bytes.first() != Some(&b'{');
    match (bytes.iter().all(u8::is_ascii_whitespace), is_form) {
        (true, _) => Ok(Map::new()),
        (_, true) => Ok(url::form_urlencoded::parse(bytes)
            .map(|(key, value)| (key.into_owned(), Value::String(value.into_owned())))
            .collect()),
        (_, false) => serde_json::from_slice(bytes).map_err(|_| Fault::bad_json()),
    }
}

/// A body as it is posted, and its texts as addresses. See [`crate::fuzz`].
pub fn fuzz(input: &[u8]) {
    for is_form in [false, true] {
        let Ok(members) = members(input, is_form) else {
            continue;
        };
        for text in members.values().filter_map(Value::as_str) {
            if let Ok(address) = email(text) {
                assert!(address.bytes().all(|byte| byte.is_ascii_graphic()));
                assert_eq!(email(&address).ok(), Some(address));
            }
            if let Ok(number) = phone(text) {
                assert!(number.bytes().all(|byte| byte.is_ascii_digit()));
                assert_eq!(phone(&number).ok(), Some(number));
            }
        }
    }
}

/// Whether the client reads errors by `code`.
pub fn is_versioned(headers: &HeaderMap) -> bool {
    let version = headers.get("x-supabase-api-version");
    version.is_some_and(|version: &HeaderValue| version.as_bytes() >= API_VERSION.as_bytes())
}

fn has_nul(name: &str, value: &Value) -> bool {
    let here = match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(|item| has_nul("", item)),
        Value::Object(members) => members.iter().any(|(name, value)| has_nul(name, value)),
        _ => false,
    };
    here || name.contains('\0')
}

/// # Errors
/// 400 for what is no address.
pub fn email(text: &str) -> Result<String, Fault> {
    // Not as Unicode has it: its lower case of the Kelvin sign is a k.
    let email = text.trim().to_ascii_lowercase();
    let valid = email.rsplit_once('@').is_some_and(|(local, domain)| {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        (1..=64).contains(&local.len())
            && local
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte))
            && domain.len() <= 190
            && domain.split('.').all(label)
    });
    match valid {
        true => Ok(email),
        false => Err(Fault::invalid_email()),
    }
}

/// # Errors
/// 400 for what is no number of E.164.
pub fn phone(text: &str) -> Result<String, Fault> {
    let digits = text.trim().trim_start_matches('+');
    let valid = (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    match valid {
        true => Ok(digits.to_owned()),
        false => Err(Fault::invalid_phone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_lower_case_and_plain() {
        assert_eq!(email(" Ada@Example.COM ").unwrap(), "ada@example.com");
        for good in ["a@b.co", "a+b@localhost", "o'neil@x-y.example"] {
            assert_eq!(email(good).unwrap(), good);
        }
        let long = format!("{}@b.co", "a".repeat(65));
        let bad = [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b..co",
            "a@-b.co",
            "a b@c.de",
            "a@b.co\r\nBcc: x@y.z",
            &long,
        ];
        for bad in bad {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_kept_without_plus() {
        assert_eq!(phone("+4915112345678").unwrap(), "4915112345678");
        for bad in ["", "+", "0123", "12a", "1234567890123456", "1"] {
            assert!(phone(bad).is_err(), "{bad:?}");
        }
    }
}
