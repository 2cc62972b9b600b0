//! Tokens that somebody has changed, or made without a key.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

use super::super::signing::Signer;
use super::*;

/// A seeded generator: the same tokens in each run.
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

fn encode(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

/// The token of these texts, signed by the key.
fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let text = encode(header, claims);
    let Signer::Es256(pair) = &key.signer else {
        panic!("the first key is one of ES256");
    };
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token that must open nothing, and how it came about.
fn mutated(random: &mut Random, key: &SigningKey, other: &SigningKey) -> (usize, String) {
    let kid = &key.stored.kid;
    let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#);
    let body = format!(
        r#"{{"role":"authenticated","sub":"{USER}","iat":{NOW},"exp":{}}}"#,
        NOW + 60
    );
    let with = |members: &str| format!("{},{members}}}", body.trim_end_matches('}'));
    let good = signed(key, &header, &body);
    let parts: Vec<&str> = good.split('.').collect();
    let kind = random.below(16);
    let token = match kind {
        0 => {
            let mut bytes = good.clone().into_bytes();
            let at = random.below(bytes.len());
            const CHARS: &[u8] = b"ABCDwxyz0189-_.=+/";
            let new = CHARS[random.below(CHARS.len())];
            bytes[at] = if bytes[at] == new { b'!' } else { new };
            String::from_utf8(bytes).unwrap()
        }
        1 => {
            let mut text = good.clone();
            match random.below(2) {
                0 => drop(text.remove(random.below(good.len()))),
                _ => text.insert(random.below(good.len()), 'A'),
            }
            text
        }
        2 => good[..random.below(good.len())].to_owned(),
        3 => {
            let order = [
                [0, 2, 1],
                [1, 0, 2],
                [2, 1, 0],
                [0, 0, 2],
                [1, 1, 2],
                [0, 1, 1],
            ];
            let order = order[random.below(order.len())];
            order.map(|part| parts[part]).join(".")
        }
        4 => {
            let names = [
                "none", "None", "NONE", "nOnE", "HS256", "HS384", "RS256", "EdDSA", "ES384",
                "es256", "",
            ];
            let header = header.replace("ES256", random.of(&names));
            let end = random.of(&["", parts[2], "AAAA"]);
            format!("{}.{end}", encode(&header, &body))
        }
        5 => {
            // The public key, as whatever somebody may have it, for a secret.
            let public = key.public_jwk.to_string();
            let point = [&key.public_jwk["x"], &key.public_jwk["y"]]
                .map(|part| URL_SAFE_NO_PAD.decode(part.as_str().unwrap()).unwrap());
            let secrets = [
                public.into_bytes(),
                point.concat(),
                [vec![4], point.concat()].concat(),
                kid.clone().into_bytes(),
                Vec::new(),
            ];
            let secret = &secrets[random.below(secrets.len())];
            let text = encode(&header.replace("ES256", "HS256"), &body);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
        }
        6 => {
            let jwk = &other.public_jwk;
            let member = [
                r#""crit":["exp"]"#.to_owned(),
                r#""crit":[]"#.to_owned(),
                r#""jku":"https://evil.example/jwks.json""#.to_owned(),
                r#""x5u":"https://evil.example/cert.pem""#.to_owned(),
                r#""x5c":["MIIB"]"#.to_owned(),
                format!(r#""jwk":{jwk}"#),
            ];
            let member = &member[random.below(member.len())];
            let header = header.replace('{', &format!("{{{member},"));
            // By our key, and by the one that came along.
            let by = [key, other][random.below(2)];
            signed(by, &header, &body)
        }
        7 => {
            let kids = [
                "",
                "null",
                "../../dev/null",
                &other.stored.kid,
                &kid[1..],
                "' or 1=1",
                "0",
            ];
            let header = match random.below(3) {
                0 => r#"{"alg":"ES256","typ":"JWT"}"#.to_owned(),
                1 => header.replace(
                    &format!("\"{kid}\""),
                    random.of(&["null", "7", "[]", "{}", "true"]),
                ),
                _ => header.replace(kid.as_str(), random.of(&kids)),
            };
            signed(key, &header, &body)
        }
        8 => {
            let member = [
                r#""alg":"ES256""#.to_owned(),
                r#""alg":"none""#.to_owned(),
                format!(r#""kid":"{kid}""#),
                r#""\u0061lg":"ES256""#.to_owned(),
                r#""typ":"JWT""#.to_owned(),
            ];
            let member = &member[random.below(member.len())];
            signed(key, &header.replace('{', &format!("{{{member},")), &body)
        }
        9 => {
            let members = [
                r#""role":"service_role""#,
                r#""exp":1"#,
                r#""\u0073ub":"x""#,
                r#""a":{"b":1,"b":2}"#,
                r#""iat":1"#,
            ];
            signed(key, &header, &with(random.of(&members)))
        }
        10 => {
            let exp = random.of(&[
                "-1",
                "1.8e9",
                "1800000060.5",
                "\"1800000060\"",
                "null",
                "true",
                "[]",
                "{}",
                "1e400",
                "253402300800",
                "18446744073709551615",
                "18446744073709551616",
                "99999999999999999999999",
                "1",
                "0",
            ]);
            let body = body.replace(&(NOW + 60).to_string(), exp);
            signed(key, &header, &body)
        }
        11 => {
            let later = (NOW + LEEWAY + 1 + random.below(1_000_000) as u64).to_string();
            let member = match random.below(4) {
                0 => format!(r#""nbf":{later}"#),
                1 => format!(r#""nbf":"{NOW}""#),
                2 => r#""nbf":-1"#.to_owned(),
                _ => {
                    return (
                        kind,
                        signed(
                            key,
                            &header,
                            &body.replace(&format!("\"iat\":{NOW}"), &format!("\"iat\":{later}")),
                        ),
                    );
                }
            };
            signed(key, &header, &with(&member))
        }
        12 => signed(other, &header, &body),
        13 => {
            let body = body.replace(
                "authenticated",
                random.of(&["service_role", "anon", "postgres"]),
            );
            format!("{}.{}", encode(&header, &body), parts[2])
        }
        14 => {
            let odd = random.of(&["=", ".", "..", "A", "\n", "\0", "%00", ".e30"]);
            match random.below(3) {
                0 => format!("{good}{odd}"),
                1 => format!("{odd}{good}"),
                _ => good.replacen('.', &format!("{odd}."), 1),
            }
        }
        _ => {
            let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            let (r, s) = signature.split_at(32);
            let forged = match random.below(5) {
                0 => vec![0; 64],
                1 => [s, r].concat(),
                2 => [&[0x30, 0x44, 2, 32], r, &[2, 32], s].concat(),
                3 => [r, &[0; 32]].concat(),
                _ => [&[0], signature.as_slice()].concat(),
            };
            format!(
                "{}.{}.{}",
                parts[0],
                parts[1],
                URL_SAFE_NO_PAD.encode(forged)
            )
        }
    };
    (kind, token)
}

#[test]
fn a_thousand_changed_tokens_open_nothing() {
    let (shop, forum) = (app(), app());
    let (_, key) = shop.signing().remove(0);
    let (_, other) = forum.signing().remove(0);
    let good = shop.sign(&user()).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut kinds = [0; 16];
    for number in 0..1_000 {
        let (kind, token) = mutated(&mut random, &key, &other);
        kinds[kind] += 1;
        let accepted = shop.verify(&token, NOW).is_ok();
        assert!(
            !accepted,
            "{number}: a token of kind {kind} was accepted: {token}"
        );
        assert!(shop.check_access(&token, NOW).is_err());
    }
    assert!(kinds.iter().all(|count| *count > 20), "{kinds:?}");
    assert!(shop.verify(&good, NOW).is_ok(), "the control");
    let header = format!(
        r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#,
        key.stored.kid
    );
    let same = signed(&key, &header, &Value::Object(user()).to_string());
    assert!(shop.verify(&same, NOW).is_ok(), "the control of `signed`");
}
