mod forged;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use pumice_host_api::AppId;
use uuid::Uuid;

use super::foreign::ForeignFault;
use super::signing::KeyFault;
use super::*;
use crate::functions::manifest::auth::{KeySettings, SigningAlgorithm};
use crate::services::auth::extract;

const NOW: u64 = 1_800_000_000;
const USER: &str = "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11";

fn app() -> AppKeys {
    let first = StoredKey::first(AppId(Uuid::new_v4()), NOW).unwrap();
    AppKeys::new(vec![(KeyState::InUse, first)], Vec::new()).unwrap()
}

fn claims(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn user() -> Map<String, Value> {
    claims(json!({ "sub": USER, "role": "authenticated", "iat": NOW, "exp": NOW + 60 }))
}

fn refused(keys: &AppKeys, token: &str) -> BadToken {
    match keys.verify(token, NOW) {
        Err(AuthError::Invalid(bad)) => bad,
        other => panic!("{other:?}: {token}"),
    }
}

/// Adds a key on standby, as a rotation begins.
fn standby(keys: &AppKeys, algorithm: SigningAlgorithm) {
    let key = StoredKey::generate(algorithm).unwrap().load().unwrap();
    let mut signing = keys.signing();
    signing.push((KeyState::Standby, Arc::new(key)));
    keys.set_signing(signing).unwrap();
}

/// What a rotation does to the states.
fn rotate(keys: &AppKeys) {
    let mut signing = keys.signing();
    for (state, _) in &mut signing {
        *state = match *state {
            KeyState::Standby => KeyState::InUse,
            _ => KeyState::PreviouslyUsed,
        };
    }
    keys.set_signing(signing).unwrap();
}

#[test]
fn an_apps_own_keys_open_it_and_no_other() {
    let (shop, forum) = (app(), app());
    assert_eq!(shop.verify(&shop.anon(), NOW).unwrap().role, Role::Anon);
    assert_eq!(
        shop.verify(&shop.service_role(), NOW).unwrap().role,
        Role::ServiceRole
    );
    assert_eq!(refused(&shop, &forum.service_role()), BadToken::Key);
    let token = forum.sign(&user()).unwrap();
    assert_eq!(refused(&shop, &token), BadToken::Key);
    let parts = |token: &str| refused(&shop, token);
    assert_eq!(parts(""), BadToken::Parts(1));
    assert_eq!(parts("a.b"), BadToken::Parts(2));
    assert_eq!(parts("a.b.c"), BadToken::Undecodable);
    assert_eq!(parts(&"a".repeat(100_000)), BadToken::Undecodable);
}

#[test]
fn a_signed_token_is_its_users() {
    let shop = app();
    let token = shop.sign(&user()).unwrap();
    let caller = shop.verify(&token, NOW).unwrap();
    assert_eq!(caller.role, Role::from("authenticated"));
    assert_eq!(caller.user_id.unwrap().to_string(), USER);
    let known = shop.check_access(&token, NOW).unwrap();
    assert_eq!(*known, user());
    // As it is remembered.
    assert!(Arc::ptr_eq(
        &known,
        &shop.check_access(&token, NOW).unwrap()
    ));
    let nobodys = shop.check_access(&shop.anon(), NOW);
    assert_eq!(nobodys.unwrap_err(), BadToken::Claims);
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let kid = &shop.jwks()["keys"][0]["kid"];
    assert_eq!(header, json!({ "alg": "ES256", "typ": "JWT", "kid": kid }));
}

#[test]
fn a_token_lives_until_its_expiry_even_when_cached() {
    let shop = app();
    let token = shop.sign(&user()).unwrap();
    assert!(shop.verify(&token, NOW).is_ok());
    assert!(shop.verify(&token, NOW + 60 + LEEWAY).is_ok());
    let expired = Some(AuthError::Invalid(BadToken::Expired));
    assert_eq!(shop.verify(&token, NOW + 61 + LEEWAY).err(), expired);
    let dead = claims(json!({ "role": "authenticated", "exp": NOW - 60 }));
    assert_eq!(
        refused(&shop, &shop.sign(&dead).unwrap()),
        BadToken::Expired
    );
    let immortal = claims(json!({ "role": "service_role" }));
    let immortal = shop.sign(&immortal).unwrap();
    assert_eq!(refused(&shop, &immortal), BadToken::Claims);
}

#[test]
fn a_key_goes_through_its_states() {
    let shop = app();
    let before = shop.sign(&user()).unwrap();
    assert!(shop.verify(&before, NOW).is_ok());
    standby(&shop, SigningAlgorithm::EdDsa);
    let shown = shop.jwks();
    assert_eq!(shown["keys"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains("\"d\""), "{shown}");
    // Not signing yet, but known already.
    assert_eq!(
        Token::parse(&shop.sign(&user()).unwrap())
            .unwrap()
            .header
            .algorithm,
        Algorithm::Es256
    );
    let (_, next) = shop.signing().pop().unwrap();
    let early = next.signer.sign(Some(&next.stored.kid), &user()).unwrap();
    assert!(shop.verify(&early, NOW).is_ok());

    let legacy = shop.service_role();
    rotate(&shop);
    let after = shop.sign(&user()).unwrap();
    assert_eq!(
        Token::parse(&after).unwrap().header.algorithm,
        Algorithm::EdDsa
    );
    for token in [&before, &early, &after, &legacy] {
        assert!(shop.verify(token, NOW).is_ok());
    }
    assert_eq!(shop.service_role(), legacy);

    // The first is revoked: with it end its tokens, remembered or not, and the app's API keys of old.
    let mut signing = shop.signing();
    let (_, first) = signing.remove(0);
    assert_eq!(
        shop.set_signing(signing.clone()),
        Err(AuthError::KeyGeneration)
    );
    assert!(shop.verify(&before, NOW).is_ok(), "nothing has changed");
    let heir = signing[0].1.stored.clone();
    let heir = heir.with_tokens(AppId(Uuid::nil()), NOW).unwrap();
    signing[0].1 = Arc::new(heir.load().unwrap());
    shop.set_signing(signing).unwrap();
    for token in [&before, &legacy] {
        assert_eq!(refused(&shop, token), BadToken::Algorithm);
    }
    assert!(shop.verify(&after, NOW).is_ok());
    assert!(shop.verify(&shop.service_role(), NOW).is_ok());
    assert!(!shop.jwks().to_string().contains(&first.stored.kid));
}

#[test]
fn an_app_without_a_key_in_use_is_not_loaded() {
    let first = || StoredKey::first(AppId(Uuid::nil()), NOW).unwrap();
    for state in [KeyState::Standby, KeyState::PreviouslyUsed] {
        assert!(AppKeys::new(vec![(state, first())], Vec::new()).is_err());
    }
    assert!(AppKeys::new(Vec::new(), Vec::new()).is_err());
}

fn settings(signing: Option<&str>, accepted: &[&str]) -> KeySettings {
    KeySettings {
        algorithm: SigningAlgorithm::Es256,
        signing: signing.map(str::to_owned),
        accepted: accepted.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn an_authors_keys_sign_and_are_taken_besides() {
    // RFC 8037, appendix A.
    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let secrets: BTreeMap<String, String> = [
        ("ED", ED),
        ("OLD", "an old secret that others know as well"),
        ("OTHER", "and another one of 32 bytes or more"),
        (
            "PEM",
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (shop, elsewhere) = (app(), app());
    let own = shop.sign(&user()).unwrap();
    let read = |signing, accepted: &[&str]| Foreign::read(&settings(signing, accepted), &secrets);
    let foreign = |signing, accepted: &[&str]| Arc::new(read(signing, accepted).ok().unwrap());

    elsewhere.set_foreign(foreign(Some("OLD"), &[])).unwrap();
    let old = elsewhere.sign(&user()).unwrap();
    assert!(elsewhere.verify(&old, NOW).is_ok());
    assert_eq!(elsewhere.jwks()["keys"].as_array().unwrap().len(), 1);
    assert!(!elsewhere.jwks().to_string().contains("HS256"));

    assert_eq!(refused(&shop, &old), BadToken::Algorithm);
    shop.set_foreign(foreign(None, &["OTHER"])).unwrap();
    assert_eq!(refused(&shop, &old), BadToken::Signature);
    shop.set_foreign(foreign(Some("ED"), &["OTHER", "OLD"]))
        .unwrap();
    assert!(shop.verify(&old, NOW).is_ok());
    assert!(shop.verify(&own, NOW).is_ok());
    let new = shop.sign(&user()).unwrap();
    let header = Token::parse(&new).unwrap().header;
    assert_eq!(header.algorithm, Algorithm::EdDsa);
    assert_eq!(
        header.kid.as_deref(),
        Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    );
    assert_eq!(shop.jwks(), shop.jwks_with(&foreign(Some("ED"), &[])));
    assert_eq!(
        shop.jwks()["keys"][0]["x"],
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    // Without them, nothing of it is left, remembered or not.
    shop.set_foreign(foreign(None, &[])).unwrap();
    assert_eq!(refused(&shop, &old), BadToken::Algorithm);
    assert_eq!(refused(&shop, &new), BadToken::Algorithm);

    assert_eq!(
        read(Some("NONE"), &[]).err(),
        Some(ForeignFault::Unset("NONE".to_owned()))
    );
    let fault = ForeignFault::Fault("PEM".to_owned(), KeyFault::PublicAsSecret);
    assert_eq!(read(None, &["PEM"]).err(), Some(fault));
    let most = vec!["OLD"; limits::ACCEPTED_KEYS_MAX];
    assert!(read(None, &most).is_ok());
    let over = vec!["OLD"; limits::ACCEPTED_KEYS_MAX + 1];
    assert_eq!(
        read(None, &over).err(),
        Some(ForeignFault::TooMany(over.len()))
    );
}

fn key(keys: &AppKeys, kind: ApiKeyKind, scopes: Option<Vec<Scope>>) -> (Arc<ApiKey>, String) {
    let new = kind.generate();
    let key = Arc::new(ApiKey::new(StoredApiKey {
        id: Uuid::new_v4(),
        name: format!("key{}", keys.api().len()),
        kind,
        digest: new.digest,
        shown: new.shown,
        scopes,
        created_at: String::new(),
        last_used: 0,
    }));
    let mut all = keys.api();
    all.push(key.clone());
    keys.set_api(all).unwrap();
    (key, new.text)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn opaque_keys_count_until_they_are_revoked() {
    let (shop, forum) = (app(), app());
    let (_, publishable) = key(&shop, ApiKeyKind::Publishable, None);
    let (stored, secret) = key(&shop, ApiKeyKind::Secret, None);
    assert_eq!(shop.verify(&publishable, NOW).unwrap().role, Role::Anon);
    assert_eq!(stored.last_used(), 0);
    assert_eq!(shop.verify(&secret, NOW).unwrap().role, Role::ServiceRole);
    assert_eq!(stored.last_used(), NOW);
    assert_eq!(refused(&forum, &secret), BadToken::Revoked);
    let mistyped = format!("{secret}x");
    assert_eq!(refused(&shop, &mistyped), BadToken::Mistyped);
    assert_eq!(
        shop.check_access(&secret, NOW).err(),
        Some(BadToken::Parts(1))
    );
    assert_eq!(shop.publishable(), json!({ "key0": publishable }));

    let bearer = |token: &str| format!("Bearer {token}");
    let as_client = |key: &str| headers(&[("apikey", key), ("authorization", &bearer(key))]);
    let role = |headers: &HeaderMap| extract::caller(&shop, headers).map(|caller| caller.role);
    assert_eq!(role(&as_client(&publishable)), Ok(Role::Anon));
    assert_eq!(role(&as_client(&secret)), Ok(Role::ServiceRole));
    // The clock of `caller` is the machine's.
    let mut long = user();
    long.insert("exp".to_owned(), json!(extract::now() + 600));
    long.remove("iat");
    let token = shop.sign(&long).unwrap();
    for apikey in [&publishable, &secret] {
        let both = headers(&[("apikey", apikey), ("authorization", &bearer(&token))]);
        assert_eq!(role(&both), Ok(Role::from("authenticated")));
    }
    let token_before = shop.verify(&token, NOW);
    shop.set_api(Vec::new()).unwrap();
    assert_eq!(refused(&shop, &secret), BadToken::Revoked);
    let both = headers(&[("apikey", &publishable), ("authorization", &bearer(&token))]);
    assert_eq!(role(&both), Err(BadToken::Revoked.into()));
    assert_eq!(shop.verify(&token, NOW).is_ok(), token_before.is_ok());
}

#[test]
fn a_secret_key_stays_out_of_browsers_and_in_its_scopes() {
    let shop = app();
    let (_, publishable) = key(&shop, ApiKeyKind::Publishable, None);
    let (_, secret) = key(&shop, ApiKeyKind::Secret, None);
    let (_, scoped) = key(
        &shop,
        ApiKeyKind::Secret,
        Some(vec![Scope::Rest, Scope::Jobs]),
    );
    let gate = |pairs: &[(&'static str, &str)], scope| extract::gate(&shop, &headers(pairs), scope);
    let browsers = [
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
        ),
        ("origin", "https://shop.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-dest", "empty"),
    ];
    let bearer = format!("bearer {secret}");
    for browser in browsers {
        for key in [
            ("apikey", secret.as_str()),
            ("authorization", bearer.as_str()),
        ] {
            for scope in Scope::ALL {
                assert_eq!(
                    gate(&[key, browser], scope),
                    Err(AuthError::InBrowser),
                    "{browser:?}"
                );
            }
        }
        // Mistyped or revoked, it is still somebody's secret.
        let unknown = ApiKeyKind::Secret.generate().text;
        let unknown = [("apikey", &unknown[..20]), browser];
        assert_eq!(gate(&unknown, Scope::Auth), Err(AuthError::InBrowser));
        assert_eq!(
            gate(&[("apikey", &publishable), browser], Scope::Rest),
            Ok(())
        );
        assert_eq!(
            gate(&[("apikey", &shop.service_role()), browser], Scope::Rest),
            Ok(())
        );
    }
    for other in [
        ("user-agent", "node"),
        ("sec-fetch-mode", "cors"),
        ("user-agent", "curl/8.5.0"),
        ("user-agent", "like Mozilla/5.0"),
    ] {
        assert_eq!(
            gate(&[("apikey", &secret), other], Scope::Rest),
            Ok(()),
            "{other:?}"
        );
    }
    for scope in Scope::ALL {
        let opens = [Scope::Rest, Scope::Jobs].contains(&scope);
        let expect = match opens {
            true => Ok(()),
            false => Err(AuthError::Scope(scope.name())),
        };
        assert_eq!(gate(&[("apikey", &scoped)], scope), expect);
    }
}

/// Sign-ins and requests go on while keys follow each other: whatever was signed is good, before and after.
#[test]
fn twenty_rotations_refuse_no_token() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;

    let shop = app();
    let first = shop.sign(&user()).unwrap();
    let done = AtomicBool::new(false);
    // Each round of a worker is waited for: every rotation has work on both its sides.
    let (rounds, worked) = sync_channel(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (rounds, shop, first, done) = (rounds.clone(), &shop, &first, &done);
            scope.spawn(move || {
                let mut before = first.clone();
                while !done.load(Ordering::Relaxed) {
                    let token = shop.sign(&user()).unwrap();
                    for token in [&token, &before, first] {
                        let checked = shop.check_access(token, NOW);
                        let verified = shop.verify(token, NOW);
                        if let Err(bad) = checked {
                            panic!("{bad}");
                        }
                        assert!(verified.is_ok());
                    }
                    before = token;
                    if rounds.send(()).is_err() {
                        break;
                    }
                }
            });
        }
        drop(rounds);
        for rotation in 0..20 {
            let algorithm = match rotation % 2 {
                0 => SigningAlgorithm::EdDsa,
                _ => SigningAlgorithm::Es256,
            };
            standby(&shop, algorithm);
            worked.recv().unwrap();
            rotate(&shop);
            for _ in 0..6 {
                worked.recv().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        drop(worked);
    });
    assert_eq!(shop.signing().len(), 21);
    assert!(shop.verify(&first, NOW).is_ok());
}
