//! A signed token taken apart (RFC 7515, 7519), before and after its signature is known to be good. Pure.
//!
//! What can be read in two ways is refused: members that come twice, numbers that are no whole seconds,
//! extensions, keys that a token brings along.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::signing::Algorithm;
use crate::limits;
use crate::services::auth::BadToken;

/// How far clocks may differ, in seconds.
pub const LEEWAY: u64 = 10;

/// A token whose signature nobody has looked at.
pub struct Token<'t> {
    pub header: Header,
    /// What is signed: both parts as sent.
    pub signed: &'t str,
    /// Of the claims, as sent.
    payload: &'t str,
    pub signature: Vec<u8>,
}

/// What a token says about its signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// What it claims; the key decides.
    pub algorithm: Algorithm,
    pub kid: Option<String>,
}

/// What a well signed token says, checked but for its expiry.
#[derive(Debug)]
pub struct Claims {
    pub all: Map<String, Value>,
    /// In seconds since 1970.
    pub expires: u64,
}

impl<'t> Token<'t> {
    /// # Errors
    /// [`BadToken::Parts`], [`BadToken::Undecodable`], [`BadToken::Algorithm`].
    pub fn parse(token: &'t str) -> Result<Token<'t>, BadToken> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(BadToken::Undecodable);
        }
        let parts = token.split('.').count();
        let (Some((signed, signature)), 3) = (token.rsplit_once('.'), parts) else {
            return Err(BadToken::Parts(parts));
        };
        let (header, payload) = signed.split_once('.').ok_or(BadToken::Undecodable)?;
        Ok(Token {
            header: Header::parse(&decode(header)?)?,
            signed,
            payload,
            signature: decode(signature)?,
        })
    }

    /// The claims; `now` in seconds since 1970. To be asked when the signature is good.
    ///
    /// # Errors
    /// As [`Claims::parse`].
    pub fn claims(&self, now: u64) -> Result<Claims, BadToken> {
        Claims::parse(&decode(self.payload)?, now)
    }
}

impl Header {
    /// # Errors
    /// [`BadToken::Undecodable`]; [`BadToken::Algorithm`] for one that no key has, such as `none`.
    pub fn parse(json: &[u8]) -> Result<Header, BadToken> {
        // Extensions that must be understood (there are none), and keys that the token brings along.
        const REFUSED: [&str; 5] = ["crit", "jku", "jwk", "x5u", "x5c"];
        let members = object(json).ok_or(BadToken::Undecodable)?;
        if REFUSED.iter().any(|name| members.contains_key(*name)) {
            return Err(BadToken::Undecodable);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(BadToken::Undecodable),
        };
        let algorithm = text("alg")?.ok_or(BadToken::Undecodable)?;
        // A token for another purpose is none of ours; `at+jwt` is an access token by RFC 9068.
        if let Some(kind) = text("typ")?
            && !["jwt", "at+jwt"].contains(&kind.to_ascii_lowercase().as_str())
        {
            return Err(BadToken::Undecodable);
        }
        Ok(Header {
            kid: text("kid")?,
            algorithm: Algorithm::named(&algorithm).ok_or(BadToken::Algorithm)?,
        })
    }
}

impl Claims {
    /// # Errors
    /// [`BadToken::Claims`] for what cannot be read in one way only; [`BadToken::NotYet`] and
    /// [`BadToken::Issued`] for a token of the future.
    pub fn parse(json: &[u8], now: u64) -> Result<Claims, BadToken> {
        let all = object(json).ok_or(BadToken::Claims)?;
        let text = |name: &str| all.get(name).is_none_or(Value::is_string);
        if !text("role") || !text("sub") {
            return Err(BadToken::Claims);
        }
        let seconds = |name: &str| match all.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(seconds) if seconds <= LAST_SECOND => Ok(Some(seconds)),
                _ => Err(BadToken::Claims),
            },
        };
        let expires = seconds("exp")?.ok_or(BadToken::Claims)?;
        let later = |at: Option<u64>| at.is_some_and(|at| at > now + LEEWAY);
        if later(seconds("nbf")?) {
            return Err(BadToken::NotYet);
        }
        if later(seconds("iat")?) {
            return Err(BadToken::Issued);
        }
        Ok(Claims { all, expires })
    }
}

/// The end of the year 9999: what is later cannot be written as a date.
const LAST_SECOND: u64 = 253_402_300_799;

fn decode(part: &str) -> Result<Vec<u8>, BadToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| BadToken::Undecodable)
}

/// A JSON object in which no member comes twice, at any depth.
pub fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Once>(json).ok()?.0 {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// JSON in which each member comes once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a member that comes twice")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Once, E> {
                Ok(Once(Value::Null))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Once, E> {
                Ok(Once(Value::Bool(value)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Once, E> {
                let number = Number::from_f64(value);
                let number = number.ok_or_else(|| E::custom("a number without a value"))?;
                Ok(Once(Value::Number(number)))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Once, E> {
                Ok(Once(Value::String(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut list = Vec::new();
                while let Some(Once(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(Once(Value::Array(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut members = Map::new();
                while let Some((name, Once(value))) = items.next_entry::<String, Once>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member comes twice"));
                    }
                }
                Ok(Once(Value::Object(members)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn headers() {
        let check = |json: &str, expect: Result<Option<&str>, BadToken>| {
            let header = Header::parse(json.as_bytes()).map(|header| header.kid);
            assert_eq!(header, expect.map(|kid| kid.map(str::to_owned)), "{json}");
        };
        check(r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#, Ok(Some("a")));
        check(r#"{"typ":"at+JWT","alg":"HS256","cty":"x"}"#, Ok(None));
        let refused = Err(BadToken::Undecodable);
        for json in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"alg":null}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":"ES256","alg":"ES256"}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256","kid":"a","kid":"b"}"#,
            r#"{"alg":"ES256","typ":"dpop+jwt"}"#,
            r#"{"alg":"ES256","crit":[]}"#,
            r#"{"alg":"ES256","jku":"https://a.example"}"#,
            r#"{"alg":"ES256","jwk":null}"#,
            r#"{"alg":"ES256","x5u":""}"#,
            r#"{"alg":"ES256","x5c":[]}"#,
            r#"{"alg":"ES256"} {}"#,
        ] {
            check(json, refused);
        }
        for json in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"es256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"ES384"}"#,
            r#"{"alg":"PS256"}"#,
        ] {
            check(json, Err(BadToken::Algorithm));
        }
    }

    #[test]
    fn claims() {
        let check = |json: &str, expect: Result<u64, BadToken>| {
            let claims = Claims::parse(json.as_bytes(), NOW).map(|claims| claims.expires);
            assert_eq!(claims, expect, "{json}");
        };
        check(r#"{"exp":1,"x":{"y":[1,-1,2.5,null,true,"z"]}}"#, Ok(1));
        check(r#"{"exp":253402300799}"#, Ok(253_402_300_799));
        check(r#"{"exp":1,"nbf":1800000010,"iat":1800000010}"#, Ok(1));
        check(r#"{"exp":1,"nbf":1800000011}"#, Err(BadToken::NotYet));
        check(r#"{"exp":1,"iat":1800000011}"#, Err(BadToken::Issued));
        for json in [
            "",
            "{}",
            "[]",
            r#""exp""#,
            r#"{"exp":null}"#,
            r#"{"exp":"1800000060"}"#,
            r#"{"exp":1800000060.0}"#,
            r#"{"exp":1.8e9}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":253402300800}"#,
            r#"{"exp":18446744073709551615}"#,
            r#"{"exp":99999999999999999999}"#,
            r#"{"exp":1e400}"#,
            r#"{"exp":1,"exp":2}"#,
            r#"{"exp":1,"\u0065xp":2}"#,
            r#"{"exp":1,"role":"anon","role":"service_role"}"#,
            r#"{"exp":1,"app_metadata":{"a":1,"a":2}}"#,
            r#"{"exp":1,"role":["service_role"]}"#,
            r#"{"exp":1,"role":null}"#,
            r#"{"exp":1,"sub":7}"#,
            r#"{"exp":1,"nbf":"0"}"#,
            r#"{"exp":1,"iat":0.5}"#,
            r#"{"exp":1,"iat":-1}"#,
        ] {
            check(json, Err(BadToken::Claims));
        }
        let deep = format!(
            r#"{{"exp":1,"x":{}{}}}"#,
            "[".repeat(5_000),
            "]".repeat(5_000)
        );
        check(&deep, Err(BadToken::Claims));
    }

    #[test]
    fn tokens_have_three_parts_of_base64url() {
        let check = |token: &str, expect: BadToken| {
            assert_eq!(Token::parse(token).err(), Some(expect), "{token}");
        };
        check("", BadToken::Parts(1));
        check("a.b", BadToken::Parts(2));
        check("a.b.c.d", BadToken::Parts(4));
        check("a.b.c", BadToken::Undecodable);
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        assert!(Token::parse(&format!("{header}.e30.AA")).is_ok());
        check(&format!("{header}=.e30.AA"), BadToken::Undecodable);
        check(&format!("{header}.e30.A"), BadToken::Undecodable);
        // Bits that carry nothing have to be zero, or one token could be written in many ways.
        check(&format!("{header}.e30.AB"), BadToken::Undecodable);
        let long = format!("{header}.{}.AA", "A".repeat(limits::TOKEN_BYTES_MAX));
        check(&long, BadToken::Undecodable);
    }
}
