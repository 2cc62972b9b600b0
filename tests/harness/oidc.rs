//! A provider of sign-ins on this machine, which checks what it gets: OpenID Connect, and what GitHub has in
//! its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use sha2::Digest as _;
use tokio::net::TcpListener;

/// The client's name and secret at this provider. The name is encoded in `authorization`, so it has a colon.
pub const CLIENT_ID: &str = "shop:web";
pub const CLIENT_SECRET: &str = "canary-hush/%+";

/// Two private keys of P-256 (PKCS#8), made for these tests, and their public halves.
const KEYS: [(&str, &str); 2] = [
    (
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgueodY2WEM3gEtA/BVuWaXCXv9AGxKJeqELnG6D2R9FahRANCAAQkDGSf5nnAluhHbJgeoeL9mAoyEmRvZJHOQcbWssyHlQ8WFwetIutaiD0uTffepJcdEhTGQFhbLh8VGHJT8vuP",
        "JAxkn-Z5wJboR2yYHqHi_ZgKMhJkb2SRzkHG1rLMh5UPFhcHrSLrWog9Lk333qSXHRIUxkBYWy4fFRhyU_L7jw==",
    ),
    (
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR3dXjjUxxKBIoSE1hCoL3O1yFSmVywV2i8sMa7wDWOShRANCAARwYtodJahAaekxWQONQzi4EW7+ulgragJO6fHGulAp9pNiDV4VChZ6dNRsuWSTuDMNRFy3NVhE4t33IVQOjPrf",
        "cGLaHSWoQGnpMVkDjUM4uBFu_rpYK2oCTunxxrpQKfaTYg1eFQoWenTUbLlkk7gzDURctzVYROLd9yFUDoz63w==",
    ),
];

/// Who signs in at the provider.
#[derive(Clone, Debug)]
pub struct Person {
    pub sub: String,
    pub email: Option<String>,
    pub email_verified: Value,
}

impl Person {
    pub fn new(sub: &str, email: &str, verified: bool) -> Person {
        Person {
            sub: sub.into(),
            email: Some(email.into()),
            email_verified: verified.into(),
        }
    }

    pub fn without_email(sub: &str) -> Person {
        Person {
            sub: sub.into(),
            email: None,
            email_verified: Value::Null,
        }
    }
}

/// What the provider does wrong from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrong {
    #[default]
    Nothing,
    Issuer,
    Audience,
    Nonce,
    NoNonce,
    Expired,
    /// A key that the JWKS does not have.
    UnknownKey,
    /// The right key's name over another key's signature.
    Signature,
    AlgNone,
    /// HS256 with the public key as its secret.
    AlgHmac,
    NoIdToken,
    /// The token endpoint answers 500.
    Broken,
    /// The token endpoint answers a megabyte.
    Huge,
    /// The token endpoint answers a redirect to this machine.
    Redirects,
    /// The userinfo endpoint speaks of somebody else, and the ID token of no address.
    Somebody,
    /// The user says no.
    Denied,
}

/// The provider. Cheap to clone.
#[derive(Clone)]
pub struct Oidc {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    person: Person,
    wrong: Wrong,
    /// Which of [`KEYS`] signs.
    key: usize,
    codes: BTreeMap<String, Issued>,
    used: BTreeSet<String>,
    tokens: BTreeMap<String, Person>,
    asked: BTreeMap<String, u32>,
    complaints: Vec<String>,
    count: u32,
}

/// What was asked for when a code was issued.
#[derive(Clone)]
struct Issued {
    redirect_uri: String,
    challenge: String,
    nonce: String,
    person: Person,
}

type Answer = Response<Full<Bytes>>;

impl Oidc {
    /// Starts one on a free port, where `person` is signed in.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start(person: Person) -> Oidc {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it is free");
        let address = listener.local_addr().expect("it is bound");
        let oidc = Oidc {
            address,
            state: Arc::new(Mutex::new(State {
                person,
                wrong: Wrong::Nothing,
                key: 0,
                codes: BTreeMap::new(),
                used: BTreeSet::new(),
                tokens: BTreeMap::new(),
                asked: BTreeMap::new(),
                complaints: Vec::new(),
                count: 0,
            })),
        };
        let served = oidc.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                let service = service_fn(move |request| {
                    let served = served.clone();
                    async move { Ok::<_, std::convert::Infallible>(served.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        oidc
    }

    /// Its address, which is its issuer.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    /// Signs somebody else in.
    pub fn person(&self, person: Person) {
        self.state().person = person;
    }

    pub fn wrong(&self, wrong: Wrong) {
        self.state().wrong = wrong;
    }

    /// Signs with the other key from now on, and publishes that alone.
    pub fn rotate(&self) {
        let mut state = self.state();
        state.key = 1 - state.key;
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> u32 {
        self.state().asked.get(path).copied().unwrap_or(0)
    }

    /// Fails the test if a request was not as it should be.
    ///
    /// # Panics
    /// With the complaints.
    #[track_caller]
    pub fn is_content(&self) {
        let complaints = std::mem::take(&mut self.state().complaints);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Fails the test unless something was complained of that contains `part`.
    ///
    /// # Panics
    /// With the complaints.
    #[track_caller]
    pub fn complained(&self, part: &str) {
        let complaints = std::mem::take(&mut self.state().complaints);
        assert!(
            complaints.iter().any(|complaint| complaint.contains(part)),
            "{complaints:#?}"
        );
    }

    /// An ID token about the person who is signed in, as a phone's library gets it. `now` in seconds since
    /// 1970; with `nonce` as its claim.
    pub fn id_token(&self, nonce: Option<&str>, now: u64) -> String {
        let state = self.state();
        let nonce = nonce.unwrap_or_default();
        self.sign(&state, &state.person, nonce, None, now)
    }

    fn sign(
        &self,
        state: &State,
        person: &Person,
        nonce: &str,
        access_token: Option<&str>,
        now: u64,
    ) -> String {
        let wrong = state.wrong;
        let mut claims = json!({
            "iss": self.issuer(), "aud": CLIENT_ID, "sub": person.sub, "iat": now, "exp": now + 300,
            "name": format!("Name of {}", person.sub),
        });
        if wrong != Wrong::Somebody {
            if let Some(email) = &person.email {
                claims["email"] = json!(email);
            }
            claims["email_verified"] = person.email_verified.clone();
        }
        if !nonce.is_empty() && wrong != Wrong::NoNonce {
            claims["nonce"] = json!(nonce);
        }
        if let Some(access) = access_token {
            let hash = sha2::Sha256::digest(access.as_bytes());
            claims["at_hash"] = json!(URL_SAFE_NO_PAD.encode(&hash[..16]));
        }
        match wrong {
            Wrong::Issuer => claims["iss"] = json!("https://evil.example"),
            Wrong::Audience => claims["aud"] = json!("another"),
            Wrong::Nonce => claims["nonce"] = json!("another"),
            Wrong::Expired => claims["exp"] = json!(now - 3600),
            _ => {}
        }
        let kid = match wrong {
            Wrong::UnknownKey => "k-unknown".to_owned(),
            _ => format!("k{}", state.key),
        };
        if wrong == Wrong::AlgNone {
            let header = json!({ "alg": "none", "kid": kid }).to_string();
            let [header, body] = [header, claims.to_string()].map(|p| URL_SAFE_NO_PAD.encode(p));
            return format!("{header}.{body}.");
        }
        let header = |alg| Header {
            kid: Some(kid.clone()),
            ..Header::new(alg)
        };
        if wrong == Wrong::AlgHmac {
            let secret = EncodingKey::from_secret(jwk(state.key).to_string().as_bytes());
            let token = jsonwebtoken::encode(&header(Algorithm::HS256), &claims, &secret);
            return token.expect("it can be signed");
        }
        let key = match wrong {
            Wrong::Signature | Wrong::UnknownKey => 1 - state.key,
            _ => state.key,
        };
        let der = STANDARD.decode(KEYS[key].0).expect("it is base64");
        let key = EncodingKey::from_ec_der(&der);
        jsonwebtoken::encode(&header(Algorithm::ES256), &claims, &key).expect("it can be signed")
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = body.unwrap_or_default();
        let path = head.uri.path().to_owned();
        let query = form(head.uri.query().unwrap_or_default().as_bytes());
        let authorization = head.headers.get("authorization");
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let authorization = authorization.unwrap_or_default().to_owned();
        let mut state = self.state();
        *state.asked.entry(path.clone()).or_default() += 1;
        let answered = match (head.method.as_str(), &*path) {
            ("GET", "/.well-known/openid-configuration") => Ok(json_answer(200, &self.discovery())),
            ("GET", "/jwks") => Ok(json_answer(200, &json!({ "keys": [jwk(state.key)] }))),
            ("GET", "/authorize") => state.authorize(&query, true),
            ("GET", "/login/oauth/authorize") => state.authorize(&query, false),
            ("POST", "/token") => self.token(&mut state, &form(&body), &authorization, true),
            ("POST", "/login/oauth/access_token") => {
                self.token(&mut state, &form(&body), &authorization, false)
            }
            ("GET", "/userinfo") => state.whose(&authorization).map(|person| {
                let somebody = state.wrong == Wrong::Somebody;
                let sub = if somebody { "somebody" } else { &person.sub };
                let info = json!({ "sub": sub, "email": person.email, "email_verified": person.email_verified });
                json_answer(200, &info)
            }),
            ("GET", "/api/v3/user") => state.whose(&authorization).map(|person| {
                let id = person.sub.parse::<u64>().unwrap_or(7);
                json_answer(200, &json!({ "id": id, "login": "octo", "email": "said@example.com" }))
            }),
            ("GET", "/api/v3/user/emails") => state.whose(&authorization).map(|person| {
                let main = json!({ "email": person.email, "primary": true, "verified": person.email_verified });
                let other = json!({ "email": "other@example.com", "primary": false, "verified": true });
                json_answer(200, &json!([other, main]))
            }),
            (method, path) => Err(format!("nothing is at {method} {path}")),
        };
        answered.unwrap_or_else(|complaint| {
            let answer = json!({ "error": "invalid_request", "error_description": complaint });
            state.complaints.push(complaint);
            json_answer(400, &answer)
        })
    }

    fn discovery(&self) -> Value {
        let issuer = self.issuer();
        let at = |path: &str| format!("{issuer}{path}");
        json!({
            "issuer": issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"), "jwks_uri": at("/jwks"),
            "code_challenge_methods_supported": ["S256"], "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn token(
        &self,
        state: &mut State,
        form: &BTreeMap<String, String>,
        authorization: &str,
        oidc: bool,
    ) -> Result<Answer, String> {
        match state.wrong {
            Wrong::Broken => return Ok(json_answer(500, &json!({ "oops": true }))),
            Wrong::Huge => {
                let huge = json!({ "access_token": "x".repeat(1 << 20) });
                return Ok(json_answer(200, &huge));
            }
            Wrong::Redirects => {
                let answer = Response::builder().status(302);
                let answer = answer.header("location", format!("{}/userinfo", self.issuer()));
                return Ok(answer.body(Full::default()).expect("it is a response"));
            }
            _ => {}
        }
        let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let shown = if oidc {
            // Both are encoded as in a form before they are joined (RFC 6749 §2.3.1).
            let pair = authorization.strip_prefix("Basic ").unwrap_or_default();
            let pair = STANDARD.decode(pair).map_err(|_| "no client".to_owned())?;
            let pair = String::from_utf8_lossy(&pair).into_owned();
            let (id, secret) = pair.split_once(':').ok_or("no client")?;
            (decode(id), decode(secret))
        } else {
            (
                text("client_id").to_owned(),
                text("client_secret").to_owned(),
            )
        };
        if shown != (CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned()) {
            return Err(format!("another client: {}", shown.0));
        }
        if text("grant_type") != "authorization_code" {
            return Err("another grant".to_owned());
        }
        let code = text("code");
        let Some(issued) = state.codes.remove(code) else {
            let again = state.used.contains(code);
            return Err(if again {
                "a code was used twice"
            } else {
                "an unknown code"
            }
            .to_owned());
        };
        state.used.insert(code.to_owned());
        if text("redirect_uri") != issued.redirect_uri {
            return Err("another redirect_uri".to_owned());
        }
        let hash = sha2::Sha256::digest(text("code_verifier").as_bytes());
        if URL_SAFE_NO_PAD.encode(hash) != issued.challenge {
            return Err("another verifier".to_owned());
        }
        state.count += 1;
        let access = format!("canary-access-{}", state.count);
        state.tokens.insert(access.clone(), issued.person.clone());
        let mut answer = json!({ "access_token": access, "token_type": "bearer", "refresh_token": "canary-refresh" });
        if oidc && state.wrong != Wrong::NoIdToken {
            let id = self.sign(state, &issued.person, &issued.nonce, Some(&access), now());
            answer["id_token"] = json!(id);
        }
        Ok(json_answer(200, &answer))
    }
}

impl State {
    fn authorize(
        &mut self,
        query: &BTreeMap<String, String>,
        oidc: bool,
    ) -> Result<Answer, String> {
        let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let needs = |name: &str| match text(name) {
            "" => Err(format!("no {name}")),
            value => Ok(value.to_owned()),
        };
        if text("client_id") != CLIENT_ID || text("response_type") != "code" {
            return Err("another client or response".to_owned());
        }
        if text("code_challenge_method") != "S256" {
            return Err("no S256".to_owned());
        }
        if oidc && !text("scope").split(' ').any(|scope| scope == "openid") {
            return Err("no openid".to_owned());
        }
        let redirect_uri = needs("redirect_uri")?;
        let state = needs("state")?;
        if self.wrong == Wrong::Denied {
            let location = format!(
                "{redirect_uri}?error=access_denied&error_description=The+user+said+no&state={state}"
            );
            return Ok(found(&location));
        }
        self.count += 1;
        let code = format!("code-{}", self.count);
        let issued = Issued {
            challenge: needs("code_challenge")?,
            nonce: if oidc { needs("nonce")? } else { String::new() },
            person: self.person.clone(),
            redirect_uri: redirect_uri.clone(),
        };
        self.codes.insert(code.clone(), issued);
        Ok(found(&format!("{redirect_uri}?code={code}&state={state}")))
    }

    fn whose(&self, authorization: &str) -> Result<Person, String> {
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let person = self.tokens.get(token).cloned();
        person.ok_or_else(|| "an unknown token".to_owned())
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn jwk(key: usize) -> Value {
    use base64::engine::general_purpose::URL_SAFE;
    let point = URL_SAFE.decode(KEYS[key].1).expect("it is base64");
    let (x, y) = point.split_at(32);
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": format!("k{key}"),
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    })
}

fn found(location: &str) -> Answer {
    let answer = Response::builder().status(302).header("location", location);
    answer.body(Full::default()).expect("it is a response")
}

fn json_answer(status: u16, value: &Value) -> Answer {
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", "application/json");
    let body = Full::from(Bytes::from(value.to_string()));
    answer.body(body).expect("it is a response")
}

/// A form or a query, the last value of each name.
pub fn form(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// A name or value of a form.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The claims of a token, unverified.
///
/// # Panics
/// If it is no token.
pub fn claims(token: &str) -> Map<String, Value> {
    let body = token.split('.').nth(1).expect("it has three parts");
    let body = URL_SAFE_NO_PAD.decode(body).expect("it is base64");
    serde_json::from_slice(&body).expect("it is JSON")
}
