//! Changed tokens, over HTTP: none opens anything. `services/auth/keys/tests/` asks the same without a server.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use pumice_tests::{TestServer, guest};
use serde_json::{Value, json};

/// The private key of RFC 7515, A.3: what the app signs with, so that the test can as well.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
const KID: &str = "of-the-test";

/// The key as PKCS#8 (RFC 5958, RFC 5915), which has a fixed form for this curve.
fn signing_key() -> EncodingKey {
    const HEAD: &[u8] = &[
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30,
        0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    const POINT: &[u8] = &[0xa1, 0x44, 0x03, 0x42, 0x00, 0x04];
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    EncodingKey::from_ec_der(&[HEAD, &part(D), POINT, &part(X), &part(Y)].concat())
}

/// A seeded generator: the same tokens in each run, but for the time in them.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

struct Forge {
    key: EncodingKey,
    random: Random,
    now: u64,
}

fn encode(header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", part(header), part(claims))
}

impl Forge {
    fn signed(&self, header: &str, claims: &str) -> String {
        let text = encode(header, claims);
        let signature = crypto::sign(text.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{text}.{signature}")
    }

    fn header(&self) -> String {
        format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{KID}"}}"#)
    }

    fn claims(&self) -> String {
        json!({ "role": "service_role", "iat": self.now, "exp": self.now + 3600 }).to_string()
    }

    /// A token that must open nothing, and how it came about.
    fn mutated(&mut self) -> (usize, String) {
        let (header, claims) = (self.header(), self.claims());
        let good = self.signed(&header, &claims);
        let parts: Vec<&str> = good.split('.').collect();
        let kind = self.random.below(10);
        let random = &mut self.random;
        let first = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
        let token = match kind {
            0 => {
                // Another character of the alphabet, so that it arrives.
                let mut bytes = good.clone().into_bytes();
                let at = random.below(bytes.len());
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                String::from_utf8(bytes).unwrap()
            }
            1 => good[..random.below(good.len())].to_owned(),
            2 => {
                let orders = [[0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 0, 2], [1, 1, 2]];
                let order = orders[random.below(orders.len())];
                order.map(|part| parts[part]).join(".")
            }
            3 => {
                let names = [
                    "none", "None", "HS256", "HS512", "RS256", "EdDSA", "ES384", "",
                ];
                let header = header.replace("ES256", random.of(&names));
                let end = random.of(&["", parts[2], "AAAA"]);
                format!("{}.{end}", encode(&header, &claims))
            }
            4 => {
                let jwk = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y }).to_string();
                let secret = random.of(&[X, Y, KID, &jwk, "", "ES256"]);
                let text = encode(&header.replace("ES256", "HS256"), &claims);
                let key = EncodingKey::from_secret(secret.as_bytes());
                // An empty secret is refused by the library that the test signs with.
                let tag = crypto::sign(text.as_bytes(), &key, Algorithm::HS256);
                format!("{text}.{}", tag.unwrap_or_default())
            }
            5 => {
                let jwk = format!(r#""jwk":{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"}}"#);
                let member = random.of(&[
                    r#""crit":["exp"]"#,
                    r#""jku":"https://evil.example/jwks.json""#,
                    r#""x5u":"https://evil.example/cert.pem""#,
                    r#""x5c":["MIIB"]"#,
                    r#""alg":"ES256""#,
                    &jwk,
                ]);
                let header = first(&header, member);
                self.signed(&header, &claims)
            }
            6 => {
                let header = match random.below(2) {
                    0 => r#"{"alg":"ES256","typ":"JWT"}"#.to_owned(),
                    _ => header.replace(KID, random.of(&["", "of-the-tes", "../of-the-test", "0"])),
                };
                self.signed(&header, &claims)
            }
            7 => {
                let member = random.of(&[
                    r#""role":"anon""#,
                    r#""exp":9999999999"#,
                    r#""a":{"b":1,"b":2}"#,
                ]);
                let claims = first(&claims, member);
                self.signed(&header, &claims)
            }
            8 => {
                let numbers = [
                    "-1",
                    "1e9",
                    "9999999999.5",
                    "\"9999999999\"",
                    "null",
                    "[]",
                    "1e400",
                    "253402300800",
                    "18446744073709551615",
                    "99999999999999999999",
                    "1",
                ];
                let number = random.of(&numbers);
                let claims = claims.replace(&(self.now + 3600).to_string(), number);
                self.signed(&header, &claims)
            }
            _ => {
                let later = self.now + 3600 + random.below(1_000_000) as u64;
                let claims = match random.below(3) {
                    0 => first(&claims, &format!(r#""nbf":{later}"#)),
                    1 => first(&claims, &format!(r#""nbf":"{}""#, self.now)),
                    _ => claims.replace(
                        &format!("\"iat\":{}", self.now),
                        &format!("\"iat\":{later}"),
                    ),
                };
                self.signed(&header, &claims)
            }
        };
        (kind, token)
    }
}

#[tokio::test]
async fn a_thousand_changed_tokens_open_nothing() {
    let server = TestServer::shared().await;
    let app = server.app("tokens").await;
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "d": D, "kid": KID, "alg": "ES256" });
    app.secret("SIGN", &jwk.to_string()).await;
    app.tables("create table note (id bigint primary key);")
        .table("[auth]\nsigning_key = \"SIGN\"")
        .function(guest!("whoami"))
        .await;
    let jwks: Value = app.get("/auth/v1/.well-known/jwks.json").await.json();
    assert_eq!(jwks["keys"][0]["kid"], KID);
    assert_eq!(jwks["keys"][0]["d"], Value::Null);

    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    let mut forge = Forge {
        key: signing_key(),
        random: Random(0x9e37_79b9_7f4a_7c15),
        now,
    };
    let good = forge.signed(&forge.header(), &forge.claims());
    let paths = ["/rest/v1/note", "/functions/v1/whoami"];
    for path in paths {
        let control = app.get(path).bearer(&good).await;
        assert_eq!(control.status, 200, "{path}: {control}");
    }
    let mut kinds = [0; 10];
    let mut tokens = Vec::new();
    for number in 0..1_000 {
        let (kind, token) = forge.mutated();
        kinds[kind] += 1;
        assert_ne!(token, good);
        tokens.push((number, kind, token));
    }
    assert!(kinds.iter().all(|count| *count > 50), "{kinds:?}");
    let answers = tokens.into_iter().map(|(number, kind, token)| {
        let app = app.clone();
        async move {
            for path in paths {
                let answer = app.get(path).bearer(&token).await;
                assert_eq!(
                    answer.status, 401,
                    "{number}: kind {kind} on {path}: {token}: {answer}"
                );
            }
        }
    });
    futures_util::stream::iter(answers)
        .buffer_unordered(16)
        .for_each(async |()| {})
        .await;
    for path in paths {
        assert_eq!(app.get(path).bearer(&good).await.status, 200, "{path}");
    }
}
