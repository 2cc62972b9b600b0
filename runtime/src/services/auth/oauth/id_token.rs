//! What a provider signs about a user: an ID token, believed only as far as the provider's own keys go.
//!
//! Source: OpenID Connect Core 1.0 §3.1.3.7, RFC 8725 (the key decides the algorithm, never the token).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use crate::digest::Digest;
use crate::limits;

/// A provider's signing keys, from its JWKS (RFC 7517).
pub struct Keys(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    check: DecodingKey,
}

/// What a token must say.
pub struct Expect<'e> {
    /// With `{tenantid}` in it, the token's own tenant stands there.
    pub issuer: &'e str,
    /// Our names at the provider.
    pub audiences: &'e [&'e str],
    pub nonce: Nonce<'e>,
    /// What came along with the token.
    pub access_token: Option<&'e str>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What the token's nonce must be.
#[derive(Clone, Copy)]
pub enum Nonce<'e> {
    /// This one: we sent it there ourselves.
    Is(&'e str),
    /// The SHA-256, in hex, of what the client gives; none if it gives none. So whoever only has the token
    /// cannot use it.
    HashOf(Option<&'e str>),
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("it is no token")]
    Undecodable,
    #[error("its algorithm is not one of the provider's keys")]
    Algorithm,
    /// Perhaps the provider has new keys.
    #[error("its key is not among the provider's")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is another issuer's")]
    Issuer,
    #[error("it is for somebody else")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it names nobody")]
    Subject,
    #[error("one of token and request has a nonce and the other has none")]
    NonceMissing,
    #[error("its nonce is not the request's")]
    Nonce,
    #[error("it belongs to another access token")]
    AccessToken,
}

impl Keys {
    /// Those of a JWKS that sign and that we can check; keys of other kinds are passed over.
    pub fn read(jwks: &Value) -> Keys {
        let keys = jwks.get("keys").and_then(Value::as_array);
        let keys = keys.into_iter().flatten().take(limits::ISSUER_KEYS_MAX);
        Keys(keys.filter_map(Key::read).collect())
    }

    /// Verifies `token` and returns its claims.
    ///
    /// # Errors
    /// The first thing that is not as `expect` says.
    pub fn verify(
        &self,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<Map<String, Value>, IdTokenError> {
        if token.len() > limits::PROVIDER_TOKEN_BYTES_MAX || token.split('.').count() != 3 {
            return Err(IdTokenError::Undecodable);
        }
        // A header that names an algorithm we do not know, `none` among them, does not decode.
        let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Algorithm)?;
        if has_critical(token) {
            return Err(IdTokenError::Undecodable);
        }
        let named = |key: &&Key| match &header.kid {
            Some(kid) => key.kid.as_ref() == Some(kid),
            // Without a name it can only be the one key there is.
            None => self.0.len() == 1,
        };
        let named: Vec<&Key> = self.0.iter().filter(named).collect();
        if named.is_empty() {
            return Err(IdTokenError::UnknownKey);
        }
        let key = named
            .into_iter()
            .find(|key| key.algorithms.contains(&header.alg));
        let key = key.ok_or(IdTokenError::Algorithm)?;
        let mut validation = Validation::new(header.alg);
        // What it says is compared below, against the caller's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims::<&str>(&[]);
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key.check, &validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => IdTokenError::Signature,
                _ => IdTokenError::Undecodable,
            })?
            .claims;
        check(&claims, expect)?;
        let (Some(expected), Some(access)) = (text(&claims, "at_hash"), expect.access_token) else {
            return Ok(claims);
        };
        match at_hash(header.alg, access) {
            Some(hash) if !same(&hash, expected) => Err(IdTokenError::AccessToken),
            _ => Ok(claims),
        }
    }
}

impl Key {
    fn read(jwk: &Value) -> Option<Key> {
        let part = |name: &str| jwk.get(name).and_then(Value::as_str);
        if part("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let (algorithms, check) = match (part("kty")?, part("crv")) {
            ("RSA", _) => (
                vec![
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ],
                DecodingKey::from_rsa_components(part("n")?, part("e")?),
            ),
            ("EC", Some("P-256")) => (
                vec![Algorithm::ES256],
                DecodingKey::from_ec_components(part("x")?, part("y")?),
            ),
            ("EC", Some("P-384")) => (
                vec![Algorithm::ES384],
                DecodingKey::from_ec_components(part("x")?, part("y")?),
            ),
            ("OKP", Some("Ed25519")) => (
                vec![Algorithm::EdDSA],
                DecodingKey::from_ed_components(part("x")?),
            ),
            _ => return None,
        };
        let algorithms = match part("alg") {
            None => algorithms,
            Some(alg) => {
                let one = alg.parse::<Algorithm>().ok();
                one.filter(|one| algorithms.contains(one))
                    .into_iter()
                    .collect()
            }
        };
        Some(Key {
            kid: part("kid").map(str::to_owned),
            algorithms,
            check: check.ok()?,
        })
    }
}

fn check(claims: &Map<String, Value>, expect: &Expect<'_>) -> Result<(), IdTokenError> {
    let issuer = text(claims, "iss").ok_or(IdTokenError::Issuer)?;
    let expected = match expect.issuer.contains(TENANT) {
        true => {
            let tenant = text(claims, "tid").and_then(|tid| tid.parse::<uuid::Uuid>().ok());
            let tenant = tenant.ok_or(IdTokenError::Issuer)?;
            expect.issuer.replace(TENANT, &tenant.to_string())
        }
        false => expect.issuer.to_owned(),
    };
    // Google has signed both forms for a decade.
    let bare = |issuer: &str| issuer == "accounts.google.com";
    let google = expected == "https://accounts.google.com" && bare(issuer);
    if issuer != expected && !google {
        return Err(IdTokenError::Issuer);
    }
    let ours = |name: &str| expect.audiences.contains(&name);
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences.iter().any(|audience| ours(audience)) {
        return Err(IdTokenError::Audience);
    }
    match text(claims, "azp") {
        Some(party) if !ours(party) => return Err(IdTokenError::Audience),
        None if audiences.len() > 1 => return Err(IdTokenError::Audience),
        _ => {}
    }
    let leeway = limits::ID_TOKEN_LEEWAY.as_secs() as i64;
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = expect.now as f64;
    let leeway = leeway as f64;
    match number("exp") {
        Some(expires) if now <= expires + leeway => {}
        _ => return Err(IdTokenError::Expired),
    }
    let early = |name: &str| number(name).is_some_and(|time| time > now + leeway);
    if early("nbf") || early("iat") {
        return Err(IdTokenError::NotYet);
    }
    let subject = text(claims, "sub").unwrap_or_default();
    if subject.is_empty() || subject.len() > 255 {
        return Err(IdTokenError::Subject);
    }
    let nonce = text(claims, "nonce").filter(|nonce| !nonce.is_empty());
    match (expect.nonce, nonce) {
        (Nonce::Any, _) | (Nonce::HashOf(None), None) => Ok(()),
        (Nonce::Is(wanted), Some(nonce)) if same(wanted, nonce) => Ok(()),
        (Nonce::HashOf(Some(given)), Some(nonce))
            if same(&Digest::of(given.as_bytes()).to_string(), nonce) =>
        {
            Ok(())
        }
        (Nonce::Is(_), None) | (Nonce::HashOf(Some(_)), None) | (Nonce::HashOf(None), Some(_)) => {
            Err(IdTokenError::NonceMissing)
        }
        _ => Err(IdTokenError::Nonce),
    }
}

/// Whether the header asks for an extension (RFC 7515 §4.1.11): we know none.
fn has_critical(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    header.is_none_or(|header| header.get("crit").is_some())
}

/// Where a token of Microsoft's names its tenant.
const TENANT: &str = "{tenantid}";

/// The left half of the hash that the token's algorithm uses (OpenID Connect Core §3.1.3.6).
fn at_hash(algorithm: Algorithm, access_token: &str) -> Option<String> {
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => &digest::SHA256,
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
        Algorithm::RS512 | Algorithm::PS512 => &digest::SHA512,
        _ => return None,
    };
    let whole = digest::digest(hash, access_token.as_bytes());
    let half = whole.as_ref().get(..whole.as_ref().len() / 2)?;
    Some(URL_SAFE_NO_PAD.encode(half))
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The issuer that a token names, unverified: to find out whose keys to ask for.
pub fn issuer(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    text(&claims, "iss").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://id.example";

    struct Provider {
        sign: EncodingKey,
        jwk: Value,
    }

    fn provider(kid: &str) -> Provider {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        Provider {
            sign: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwk: json!({
                "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
            }),
        }
    }

    impl Provider {
        fn keys(&self) -> Keys {
            Keys::read(&json!({ "keys": [self.jwk] }))
        }

        fn token(&self, kid: Option<&str>, claims: &Value) -> String {
            let header = Header {
                kid: kid.map(str::to_owned),
                ..Header::new(Algorithm::ES256)
            };
            jsonwebtoken::encode(&header, claims, &self.sign).unwrap()
        }
    }

    fn claims() -> Value {
        json!({ "iss": ISSUER, "aud": "web", "sub": "u1", "exp": NOW + 60, "iat": NOW, "nonce": "n" })
    }

    fn expect() -> Expect<'static> {
        Expect {
            issuer: ISSUER,
            audiences: &["web", "phone"],
            nonce: Nonce::Is("n"),
            access_token: None,
            now: NOW,
        }
    }

    fn verified(change: impl FnOnce(&mut Value), expect: &Expect<'_>) -> Result<(), IdTokenError> {
        let provider = provider("k");
        let mut claims = claims();
        change(&mut claims);
        let token = provider.token(Some("k"), &claims);
        provider.keys().verify(&token, expect).map(drop)
    }

    #[test]
    fn each_claim_is_checked() {
        let with = |name: &'static str, value: Value| {
            verified(|claims| claims[name] = value, &expect()).err()
        };
        let without = |name: &'static str| {
            let remove = |claims: &mut Value| {
                claims.as_object_mut().unwrap().remove(name);
            };
            verified(remove, &expect()).err()
        };
        assert_eq!(verified(|_| {}, &expect()), Ok(()));
        assert_eq!(
            with("iss", json!("https://id.example/")),
            Some(IdTokenError::Issuer)
        );
        assert_eq!(
            with("iss", json!("accounts.google.com")),
            Some(IdTokenError::Issuer)
        );
        assert_eq!(without("iss"), Some(IdTokenError::Issuer));
        assert_eq!(with("aud", json!("other")), Some(IdTokenError::Audience));
        assert_eq!(with("aud", json!([])), Some(IdTokenError::Audience));
        assert_eq!(with("aud", json!(["phone"])), None);
        assert_eq!(
            with("aud", json!(["web", "other"])),
            Some(IdTokenError::Audience)
        );
        assert_eq!(without("aud"), Some(IdTokenError::Audience));
        assert_eq!(with("azp", json!("other")), Some(IdTokenError::Audience));
        assert_eq!(with("azp", json!("phone")), None);
        assert_eq!(with("exp", json!(NOW - 30)), None);
        assert_eq!(with("exp", json!(NOW - 31)), Some(IdTokenError::Expired));
        assert_eq!(with("exp", json!("2999")), Some(IdTokenError::Expired));
        assert_eq!(without("exp"), Some(IdTokenError::Expired));
        assert_eq!(with("iat", json!(NOW + 31)), Some(IdTokenError::NotYet));
        assert_eq!(with("nbf", json!(NOW + 31)), Some(IdTokenError::NotYet));
        assert_eq!(with("sub", json!("")), Some(IdTokenError::Subject));
        assert_eq!(with("sub", json!(7)), Some(IdTokenError::Subject));
        assert_eq!(without("sub"), Some(IdTokenError::Subject));
        assert_eq!(with("nonce", json!("m")), Some(IdTokenError::Nonce));
        assert_eq!(without("nonce"), Some(IdTokenError::NonceMissing));
    }

    #[test]
    fn several_audiences_need_a_party() {
        let expect = expect();
        let both = |claims: &mut Value| {
            claims["aud"] = json!(["web", "other"]);
            claims["azp"] = json!("web");
        };
        assert_eq!(verified(both, &expect), Ok(()));
    }

    #[test]
    fn a_clients_nonce_is_hashed() {
        let hashed = Digest::of(b"raw").to_string();
        let with = |nonce: Option<&str>, given: Option<&str>| {
            let expect = Expect {
                nonce: Nonce::HashOf(given),
                ..expect()
            };
            verified(|claims| claims["nonce"] = json!(nonce), &expect).err()
        };
        assert_eq!(with(Some(&hashed), Some("raw")), None);
        assert_eq!(with(None, None), None);
        assert_eq!(with(Some("raw"), Some("raw")), Some(IdTokenError::Nonce));
        assert_eq!(
            with(Some(&hashed), Some(&hashed)),
            Some(IdTokenError::Nonce)
        );
        assert_eq!(with(Some(&hashed), None), Some(IdTokenError::NonceMissing));
        assert_eq!(with(None, Some("raw")), Some(IdTokenError::NonceMissing));
    }

    #[test]
    fn the_key_decides() {
        let (provider, other) = (provider("k"), provider("k"));
        let keys = provider.keys();
        let verify = |token: &str| keys.verify(token, &expect()).err();
        assert_eq!(verify(&provider.token(Some("k"), &claims())), None);
        assert_eq!(verify(&provider.token(None, &claims())), None);
        let unknown = provider.token(Some("j"), &claims());
        assert_eq!(verify(&unknown), Some(IdTokenError::UnknownKey));
        let forged = other.token(Some("k"), &claims());
        assert_eq!(verify(&forged), Some(IdTokenError::Signature));
        let body = URL_SAFE_NO_PAD.encode(claims().to_string());
        for header in [
            r#"{"alg":"none","kid":"k"}"#,
            r#"{"alg":"None","kid":"k"}"#,
            r#"{"kid":"k"}"#,
        ] {
            let none = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(verify(&none), Some(IdTokenError::Algorithm), "{header}");
        }
        let public = provider.jwk.to_string();
        let header = Header {
            kid: Some("k".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let secret = EncodingKey::from_secret(public.as_bytes());
        let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
        assert_eq!(verify(&confused), Some(IdTokenError::Algorithm));
        for broken in ["", "a.b", "a.b.c.d"] {
            assert_eq!(verify(broken), Some(IdTokenError::Undecodable));
        }
        let critical = format!(
            "{}.{body}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k","crit":["x"]}"#)
        );
        assert_eq!(verify(&critical), Some(IdTokenError::Undecodable));
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let good = provider("k").jwk;
        let mut encrypts = good.clone();
        encrypts["use"] = json!("enc");
        let mut odd = good.clone();
        odd["alg"] = json!("HS256");
        let set =
            json!({ "keys": [{ "kty": "oct", "k": "AA", "kid": "s" }, encrypts, 7, {}, good] });
        assert_eq!(Keys::read(&set).0.len(), 1);
        assert!(
            Keys::read(&json!({ "keys": [odd] })).0[0]
                .algorithms
                .is_empty()
        );
        assert!(Keys::read(&json!([])).0.is_empty());
        let many = vec![good; limits::ISSUER_KEYS_MAX + 1];
        assert_eq!(
            Keys::read(&json!({ "keys": many })).0.len(),
            limits::ISSUER_KEYS_MAX
        );
    }

    #[test]
    fn a_tenant_stands_in_its_issuer() {
        let tenant = "9188040d-6c67-4c5b-b112-36a304b66dad";
        let with = |issuer: String, tid: Value| {
            let expect = Expect {
                issuer: "https://login.example/{tenantid}/v2.0",
                ..expect()
            };
            let change = |claims: &mut Value| {
                claims["iss"] = json!(issuer);
                claims["tid"] = tid;
            };
            verified(change, &expect).err()
        };
        let right = format!("https://login.example/{tenant}/v2.0");
        assert_eq!(with(right.clone(), json!(tenant)), None);
        assert_eq!(with(right.clone(), Value::Null), Some(IdTokenError::Issuer));
        let other = json!("00000000-6c67-4c5b-b112-36a304b66dad");
        assert_eq!(with(right, other), Some(IdTokenError::Issuer));
        let path = "https://login.example/../evil/v2.0".to_owned();
        assert_eq!(with(path, json!("../evil")), Some(IdTokenError::Issuer));
    }

    #[test]
    fn an_access_token_belongs_to_its_id_token() {
        // The example of OpenID Connect Core 1.0, appendix A.3.
        let access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(
            at_hash(Algorithm::RS256, access).as_deref(),
            Some("77QmUPtjPfzWtF2AnpK9RQ")
        );
        let with = |access_token| {
            let expect = Expect {
                access_token: Some(access_token),
                ..expect()
            };
            let change = |claims: &mut Value| claims["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ");
            verified(change, &expect).err()
        };
        assert_eq!(with(access), None);
        assert_eq!(with("another"), Some(IdTokenError::AccessToken));
    }
}
