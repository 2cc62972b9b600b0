//! Keys that sign tokens and keys that check them, by algorithm; and how both are written (JWK, RFC 7517).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::token;
use crate::functions::manifest::auth::SigningAlgorithm;
use crate::limits;

/// How a token is signed (RFC 7518, 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
    Hs256,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Rs256 => "RS256",
            Algorithm::Hs256 => "HS256",
        }
    }

    pub fn named(name: &str) -> Option<Algorithm> {
        let all = [
            Algorithm::Es256,
            Algorithm::EdDsa,
            Algorithm::Rs256,
            Algorithm::Hs256,
        ];
        all.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Algorithm {
        match algorithm {
            SigningAlgorithm::Es256 => Algorithm::Es256,
            SigningAlgorithm::EdDsa => Algorithm::EdDsa,
        }
    }
}

/// Why a value is no key. `Display` tells its writer, and nothing of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("has fewer than 32 bytes, which is too little for a secret of HS256")]
    Short,
    #[error(
        "is a public key where a secret of HS256 is meant: whoever has read it could sign; write it as a JWK of EC, OKP or RSA"
    )]
    PublicAsSecret,
    #[error("is a key as PEM; write it as a JWK")]
    Pem,
    #[error("is JSON and no JWK of EC P-256, OKP Ed25519 or RSA with 2048 bits or more")]
    Jwk,
    #[error("is a JWK without its private part (`d`, for RSA also p, q, dp, dq, qi)")]
    NotPrivate,
    #[error("is a private key where a public one is enough; leave out what is private")]
    NotPublic,
}

/// What signs.
#[expect(
    clippy::large_enum_variant,
    reason = "an app has a handful, each behind an `Arc`"
)]
pub enum Signer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Hs256(hmac::Key),
}

/// What checks. The algorithm belongs to the key.
#[expect(
    clippy::large_enum_variant,
    reason = "an app has a handful, each behind an `Arc`"
)]
pub enum Verifier {
    Public(Algorithm, ParsedPublicKey),
    Secret(hmac::Key),
}

/// The key could not be used.
#[derive(Debug)]
pub struct Broken;

impl Signer {
    /// A new key as PKCS#8.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Vec<u8>, Broken> {
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        };
        Ok(pkcs8.map_err(|_| Broken)?.as_ref().to_vec())
    }

    /// # Errors
    /// When the bytes are no such key.
    pub fn from_pkcs8(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Signer, Broken> {
        let signer = match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Signer::Es256)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(Signer::EdDsa),
        };
        signer.map_err(|_| Broken)
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Signer::Es256(_) => Algorithm::Es256,
            Signer::EdDsa(_) => Algorithm::EdDsa,
            Signer::Rs256(_) => Algorithm::Rs256,
            Signer::Hs256(_) => Algorithm::Hs256,
        }
    }

    /// The token of these claims.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, kid: Option<&str>, claims: &Map<String, Value>) -> Result<String, Broken> {
        let mut header = json!({ "alg": self.algorithm().name(), "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let claims = serde_json::to_vec(claims).map_err(|_| Broken)?;
        let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let random = SystemRandom::new();
        let signature = match self {
            Signer::Es256(pair) => {
                let signature = pair.sign(&random, text.as_bytes());
                signature.map_err(|_| Broken)?.as_ref().to_vec()
            }
            Signer::EdDsa(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Signer::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .map_err(|_| Broken)?;
                signature
            }
            Signer::Hs256(key) => hmac::sign(key, text.as_bytes()).as_ref().to_vec(),
        };
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    /// The public half as a JWK without `kid`; none of a secret.
    fn public_members(&self) -> Option<Value> {
        match self {
            Signer::Es256(pair) => {
                // An uncompressed point: 4, x, y.
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33)?, point.get(33..65)?);
                Some(json!({
                    "kty": "EC", "crv": "P-256",
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                }))
            }
            Signer::EdDsa(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                Some(json!({ "kty": "OKP", "crv": "Ed25519", "x": x }))
            }
            Signer::Rs256(_) | Signer::Hs256(_) => None,
        }
    }

    /// The public half as JWKS shows it (RFC 7517); none of a secret.
    pub fn public_jwk(&self, kid: &str) -> Option<Value> {
        Some(shown(self.public_members()?, self.algorithm(), kid))
    }
}

fn shown(mut jwk: Value, algorithm: Algorithm, kid: &str) -> Value {
    jwk["alg"] = algorithm.name().into();
    jwk["use"] = "sig".into();
    jwk["key_ops"] = json!(["verify"]);
    jwk["kid"] = kid.into();
    jwk
}

impl Verifier {
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Verifier::Public(algorithm, _) => *algorithm,
            Verifier::Secret(_) => Algorithm::Hs256,
        }
    }

    /// Whether `signature` is this key's over `signed`. Costs 50 to 100 µs with a public key.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(_, key) => key.verify_sig(signed, signature).is_ok(),
            // Compares in constant time.
            Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
        }
    }

    /// A secret of HS256, whatever its bytes are.
    pub fn secret(bytes: &[u8]) -> Verifier {
        Verifier::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// # Errors
    /// [`KeyFault::Jwk`].
    pub fn of_jwk(jwk: &Map<String, Value>) -> Result<Verifier, KeyFault> {
        let part = |name: &str| part(jwk, name).ok_or(KeyFault::Jwk);
        let (algorithm, key) = match kind(jwk)? {
            Algorithm::Es256 => {
                let point = point(&part("x")?, &part("y")?)?;
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                (Algorithm::Es256, key)
            }
            Algorithm::EdDsa => {
                let x = part("x")?;
                if x.len() != 32 {
                    return Err(KeyFault::Jwk);
                }
                (Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, x))
            }
            Algorithm::Rs256 | Algorithm::Hs256 => {
                let (n, e) = (part("n")?, part("e")?);
                if !(256..=1024).contains(&n.len()) {
                    return Err(KeyFault::Jwk);
                }
                let parts = RsaPublicKeyComponents { n, e };
                let key = parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                (Algorithm::Rs256, key)
            }
        };
        Ok(Verifier::Public(algorithm, key.map_err(|_| KeyFault::Jwk)?))
    }
}

/// A key of the app's author that signs in place of the app's own.
pub struct ForeignSigner {
    pub signer: Signer,
    pub verifier: Arc<Verifier>,
    /// The JWK's own `kid`, else its thumbprint (RFC 7638); none of a secret.
    pub kid: Option<String>,
    /// As JWKS shows it; none of a secret.
    pub public_jwk: Option<Value>,
}

impl ForeignSigner {
    /// Reads a private JWK (RSA, EC P-256, OKP Ed25519), or takes the value as a secret of HS256.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn read(value: &str) -> Result<ForeignSigner, KeyFault> {
        let Some(jwk) = read_jwk(value)? else {
            let key = hmac::Key::new(hmac::HMAC_SHA256, value.as_bytes());
            return Ok(ForeignSigner {
                signer: Signer::Hs256(key.clone()),
                verifier: Arc::new(Verifier::Secret(key)),
                kid: None,
                public_jwk: None,
            });
        };
        let verifier = Verifier::of_jwk(&jwk)?;
        let private = |name: &str| part(&jwk, name).ok_or(KeyFault::NotPrivate);
        let public = |name: &str| part(&jwk, name).ok_or(KeyFault::Jwk);
        let signer = match verifier.algorithm() {
            Algorithm::Es256 => {
                let point = point(&public("x")?, &public("y")?)?;
                let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
                EcdsaKeyPair::from_private_key_and_public_key(signing, &private("d")?, &point)
                    .map(Signer::Es256)
            }
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_seed_and_public_key(&private("d")?, &public("x")?)
                    .map(Signer::EdDsa)
            }
            Algorithm::Rs256 | Algorithm::Hs256 => {
                let parts = KeyPairComponents {
                    public_key: RsaPublicKeyComponents {
                        n: public("n")?,
                        e: public("e")?,
                    },
                    d: private("d")?,
                    p: private("p")?,
                    q: private("q")?,
                    dP: private("dp")?,
                    dQ: private("dq")?,
                    qInv: private("qi")?,
                };
                RsaKeyPair::from_components(&parts).map(Signer::Rs256)
            }
        };
        let signer = signer.map_err(|_| KeyFault::Jwk)?;
        let kid = kid_of(&jwk).map_or_else(|| thumbprint(&jwk), str::to_owned);
        let members = public_part(&jwk);
        Ok(ForeignSigner {
            public_jwk: Some(shown(Value::Object(members), signer.algorithm(), &kid)),
            kid: Some(kid),
            signer,
            verifier: Arc::new(verifier),
        })
    }
}

/// Reads a public JWK, with its `kid` if it has one, or takes the value as a secret of HS256.
///
/// # Errors
/// [`KeyFault`].
pub fn read_accepted(value: &str) -> Result<(Option<String>, Verifier), KeyFault> {
    let Some(jwk) = read_jwk(value)? else {
        return Ok((None, Verifier::secret(value.as_bytes())));
    };
    if jwk.contains_key("d") {
        return Err(KeyFault::NotPublic);
    }
    Ok((kid_of(&jwk).map(str::to_owned), Verifier::of_jwk(&jwk)?))
}

/// The members of a JWK; none if the value is a secret.
fn read_jwk(value: &str) -> Result<Option<Map<String, Value>>, KeyFault> {
    let text = value.trim();
    if text.contains("-----BEGIN") {
        return Err(match text.contains("PRIVATE KEY") {
            true => KeyFault::Pem,
            // The classic confusion: an RSA or EC public key used as an HMAC secret.
            false => KeyFault::PublicAsSecret,
        });
    }
    if !text.starts_with('{') && !text.starts_with('[') {
        // The base64 inside a PEM, or an OpenSSH line.
        let public = [
            "MIIBIjAN",
            "MIICIjAN",
            "MFkwEwYH",
            "MCowBQYD",
            "ssh-",
            "ecdsa-sha2-",
        ];
        if public.iter().any(|start| text.starts_with(start)) {
            return Err(KeyFault::PublicAsSecret);
        }
        return match value.len() < limits::SHARED_SECRET_BYTES_MIN {
            true => Err(KeyFault::Short),
            false => Ok(None),
        };
    }
    let jwk = token::object(text.as_bytes()).ok_or(KeyFault::Jwk)?;
    if jwk.contains_key("keys") || jwk.get("kty").and_then(Value::as_str) == Some("oct") {
        return Err(KeyFault::Jwk);
    }
    Ok(Some(jwk))
}

fn kind(jwk: &Map<String, Value>) -> Result<Algorithm, KeyFault> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let algorithm = match (text("kty"), text("crv")) {
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        (Some("RSA"), None) => Algorithm::Rs256,
        _ => return Err(KeyFault::Jwk),
    };
    // A key that says what it is for is used for nothing else.
    let told = text("alg").is_none_or(|told| told == algorithm.name());
    let signs = text("use").is_none_or(|told| told == "sig");
    match told && signs {
        true => Ok(algorithm),
        false => Err(KeyFault::Jwk),
    }
}

fn kid_of(jwk: &Map<String, Value>) -> Option<&str> {
    jwk.get("kid").and_then(Value::as_str)
}

fn part(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

fn point(x: &[u8], y: &[u8]) -> Result<Vec<u8>, KeyFault> {
    if x.len() != 32 || y.len() != 32 {
        return Err(KeyFault::Jwk);
    }
    Ok([&[4], x, y].concat())
}

/// What of a JWK everybody may know, in the order of their names.
fn public_part(jwk: &Map<String, Value>) -> Map<String, Value> {
    const PUBLIC: [&str; 6] = ["crv", "e", "kty", "n", "x", "y"];
    let member = |name: &str| Some((name.to_owned(), jwk.get(name)?.clone()));
    PUBLIC.into_iter().filter_map(member).collect()
}

/// RFC 7638: the digest of the members that make the key, in the order of their names.
fn thumbprint(jwk: &Map<String, Value>) -> String {
    let members = Value::Object(public_part(jwk)).to_string();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, section 3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    /// RFC 8037, appendix A.
    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    /// A private key of RSA, made for this test by `openssl genrsa`.
    const RSA_PRIVATE: &str = r#"{"kty":"RSA","kid":"r","n":"p_raXbiPUGGDW0Q8G-3vQT1YeM3MS2y-yf5lHZG_ZBJ3FdPI3zholN8SCtPUZnE2-U3HwXwpagZNyrMpfw8OQD9UacsxSbgQlNdFvSnBVEw4ayr2wNVLg3jTabyyoN63u_xjcaqJsXNB6zRq9o5rxNbtaXJa2fXSX3uuynH1c_rBBToypcR5Bj4HxXsefay5Mqq-zLk5x7V37Pi7LAhIZB6KfBGld9Vcu6m6c8nnzFRshexXt22Zm25qZk7cHPYfm6MfKOSbftVmafMuviPGOGvU1e9mWlOR6g4pA2xh70-EZRR8kReUKVdAFGgS5AlGcveSx9SC6aQ3MTX8DBZR6w","e":"AQAB","d":"Eqj29_adaPhOyg_UPjqvW3Jv8QoqJG4h6uNpInXt1QqIvbJ8kRtoNrK_A4KQ3jO7v8moToc3PIa9voN_hmn1kyUrKzi-CBU74Po2-N1PaMiyHb7fPABAYWGbLpbzyui4Gq2zSE2sT7uLejrPmlsA1WlrZHgmZ9RQYyNPVpV-hucIv14Go2P3PESssXWEvQTRb9RTxz3BODZphe4ztBI0_oXpyuMHx8Kf5tJFpCTONntvkd7kzHGOIBQ9D2fx42NXGvExjJBjA69g1pSODAUklnSXNo72koBwD-xj5K_Nx05ltjBUtrqbLopWa_AW0iCdwb2h_9kv2Zti5LgMbrcLaQ","p":"7Xsd-HEAmfnAI8oq_1UaXH8t_DWShTBl8uB5OwOg3snWWHc81rgOW7CgA_WEa7_Q3R2lsftfskuYQxdlPWLUfOSD4VPP5A_QYiHZtJli8nLcTiekA71YfhTJXj4wTq4czPjYw41ImfB0KFFKgI605YSjEsaE0gPZBDEovlApxDk","q":"tRRFl3_NL3FwaxDC7mJ5IivYM0zrNBLTVGSod8X4pL2Phrfti6VcXQu8MHBvrjrEV5vbZaLjS0dKZSOdHz7qGaFQ0TgcZynTkEVmyWCRAZfFU7YQvR1sQyszFmrTrid7LV2jg0U5zZOKDY-PDe7hpHlxX3qjYto6asvDzTYtr0M","dp":"MeAdl0QEYFI3rEyVYzK4apy7R7DoqNhVUQEb9Oz6KFAzmDjSqjXVriQWNz6lJQwQDaBgYFTu8D84Jz8OoCnVfrVvjS9RBhDcLv_0_R0JzumYo0FoDPEDWNd8wzJEawHeQp4wyEEv8kSx4JXSE9Xk4B9PMG5JDuKH_X1llTK40uE","dq":"YX7WsWlYOpEjbCIMMnnGqsVclNJ3WQRB0JCZvFNVOq3tlyV0utl_z4FAA_ylxPNTP7BlAmYfZyqtPaNdN7OSK9aVQvCpKkp05JrZateZe3gSAK5oeMpcvhWGXi2KZ5xOT_C41zbwlmU30XFYHrJdv0a76iKH0fOZvGKVu-nN0y0","qi":"nlCW7Zih2bU_OrbZ2ZIbaNfDQHCp5g3Sh-thB7aZxnxEwr3vm-bGUa4dkuToEYDotoYvqFHzehUfE4AYorQSEKh9y9ipOnEWsRtslbLFdkerpRVKMdjQo-C2Wg2BjKTQbJA5-gSUrYRGY2aLvSdj-TlmAK0b7LNlO8TK8EjehVM"}"#;

    fn members(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn thumbprints_are_those_of_the_standards() {
        assert_eq!(
            thumbprint(&members(RSA)),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(
            thumbprint(&members(ED)),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn every_sort_of_key_signs_what_it_checks() {
        let claims = members(r#"{"sub":"a"}"#);
        let secret = "0123456789abcdef0123456789abcdef";
        for value in [ED, secret, RSA_PRIVATE] {
            let key = ForeignSigner::read(value).unwrap();
            let token = key.signer.sign(key.kid.as_deref(), &claims).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(key.verifier.verify(signed.as_bytes(), &signature));
            assert!(!key.verifier.verify(&signed.as_bytes()[1..], &signature));
            signature[0] ^= 1;
            assert!(!key.verifier.verify(signed.as_bytes(), &signature));
        }
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let pkcs8 = Signer::generate(algorithm).unwrap();
            let signer = Signer::from_pkcs8(algorithm, &pkcs8).unwrap();
            let jwk = signer.public_jwk("k").unwrap();
            assert_eq!(jwk["alg"], signer.algorithm().name());
            let verifier = Verifier::of_jwk(jwk.as_object().unwrap()).unwrap();
            let token = signer.sign(Some("k"), &claims).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(verifier.verify(signed.as_bytes(), &signature));
        }
    }

    #[test]
    fn a_signature_of_the_standard_is_good() {
        // RFC 8037, A.4.
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = ForeignSigner::read(ED).unwrap();
        assert!(key.verifier.verify(signed, &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let accepted = |value: &str| read_accepted(value).err();
        let signing = |value: &str| ForeignSigner::read(value).err();
        let both = |value: &str, fault: KeyFault| {
            assert_eq!(accepted(value), Some(fault), "{value}");
            assert_eq!(signing(value), Some(fault), "{value}");
        };
        assert_eq!(accepted(RSA), None);
        assert_eq!(signing(RSA), Some(KeyFault::NotPrivate));
        assert_eq!(signing(RSA_PRIVATE), None);
        assert_eq!(accepted(RSA_PRIVATE), Some(KeyFault::NotPublic));
        let without = RSA_PRIVATE.replace("\"dp\"", "\"other\"");
        assert_eq!(signing(&without), Some(KeyFault::NotPrivate));
        assert_eq!(signing(ED), None);
        assert_eq!(accepted(ED), Some(KeyFault::NotPublic));
        assert_eq!(accepted(&"x".repeat(32)), None);
        both(&"x".repeat(31), KeyFault::Short);
        both("", KeyFault::Short);
        both(
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
            KeyFault::PublicAsSecret,
        );
        both(
            "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
            KeyFault::Pem,
        );
        both(
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0123456789",
            KeyFault::PublicAsSecret,
        );
        let octets = format!(r#"{{"kty":"oct","k":"{}"}}"#, "A".repeat(64));
        both(&octets, KeyFault::Jwk);
        both(&format!(r#"{{"keys":[{RSA}]}}"#), KeyFault::Jwk);
        both(&format!("[{RSA}]"), KeyFault::Jwk);
        both(&RSA.replace("RS256", "HS256"), KeyFault::Jwk);
        both(&RSA.replace("RS256", "PS256"), KeyFault::Jwk);
        let other_curve = ED.replace("Ed25519", "X25519");
        assert_eq!(signing(&other_curve), Some(KeyFault::Jwk));
        let small = r#"{"kty":"RSA","e":"AQAB","n":"AQAB"}"#;
        both(small, KeyFault::Jwk);
        let mixed = ED.replace("11qYAY", "12qYAY");
        assert!(signing(&mixed).is_some());
    }

    #[test]
    fn jwks_shows_nothing_private() {
        let key = ForeignSigner::read(ED).unwrap();
        let shown = key.public_jwk.unwrap().to_string();
        let rsa = ForeignSigner::read(RSA_PRIVATE).unwrap();
        let rsa = rsa.public_jwk.unwrap();
        let names: Vec<&String> = rsa.as_object().unwrap().keys().collect();
        assert_eq!(names, ["alg", "e", "key_ops", "kid", "kty", "n", "use"]);
        assert!(
            shown.contains("11qYAY") && !shown.contains("nWGxne"),
            "{shown}"
        );
        let secret = ForeignSigner::read(&"x".repeat(32)).unwrap();
        assert!(secret.public_jwk.is_none() && secret.kid.is_none());
    }
}
