//! Second factors.

use aws_lc_rs::hmac;
use pumice_tests::{App, Engine, SignedIn, TestServer, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    a_factor_raises_the_session,
    a_code_is_taken_once_and_wrong_ones_are_counted,
    who_has_a_factor_needs_it,
    a_recovery_code_stands_in_for_a_lost_factor,
);

async fn server(engine: Engine) -> (TestServer, App) {
    let server = engine.server().await;
    let app = server.app("factors").await;
    app.tables(
        "create table vault (id int primary key);
         grant select on vault to authenticated;
         create policy strong on vault using (auth.jwt() ->> 'aal' = 'aal2');",
    )
    .table("[auth]\nautoconfirm = true\n[auth.rates]\nfactor = 100000\nfactor_user = 100000\nsign_in = 100000")
    .await;
    app.insert("vault", &json!({ "id": 1 })).await;
    (server, app)
}

fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => panic!("{text} is no base32"),
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// What an authenticator shows at `seconds` (RFC 6238).
pub fn code(secret: &str, seconds: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret));
    let tag = hmac::sign(&key, &(seconds / 30).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// The server's time, when it is so many seconds ahead.
pub fn now(ahead: u64) -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.expect("it is past 1970").as_secs() + ahead
}

pub struct Factor {
    pub id: String,
    pub secret: String,
}

pub async fn enroll(app: &App, session: &SignedIn, name: &str) -> Factor {
    let body = json!({ "factor_type": "totp", "friendly_name": name });
    let answer = app
        .auth("POST", "/factors")
        .bearer(&session.access)
        .json(&body)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let made = answer.json();
    assert!(
        made["totp"]["qr_code"]
            .as_str()
            .is_some_and(|code| code.starts_with("<svg")),
        "{made}"
    );
    assert!(
        made["totp"]["uri"]
            .as_str()
            .is_some_and(|uri| uri.starts_with("otpauth://totp/"))
    );
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Factor {
        id: text(&made["id"]),
        secret: text(&made["totp"]["secret"]),
    }
}

pub async fn verify(
    app: &App,
    session: &SignedIn,
    factor: &Factor,
    code: &str,
) -> pumice_tests::Answer {
    let challenge = app
        .auth("POST", &format!("/factors/{}/challenge", factor.id))
        .bearer(&session.access)
        .json(&json!({}))
        .await;
    assert_eq!(challenge.status, 200, "{}", challenge.text());
    let body = json!({ "challenge_id": challenge.json()["id"], "code": code });
    app.auth("POST", &format!("/factors/{}/verify", factor.id))
        .bearer(&session.access)
        .json(&body)
        .await
}

async fn a_factor_raises_the_session(engine: Engine) {
    let (_server, app) = server(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let other = app.sign_in("ada@example.com").await;
    let factor = enroll(&app, &ada, "phone").await;
    let user = app.user(&ada).await.json();
    assert_eq!(
        (
            &user["factors"][0]["status"],
            &user["factors"][0]["friendly_name"]
        ),
        (&json!("unverified"), &json!("phone"))
    );
    assert!(!user.to_string().contains(&factor.secret));
    let answer = verify(&app, &ada, &factor, &code(&factor.secret, now(0))).await;
    let raised = SignedIn::of(&answer);
    assert_eq!(
        answer.json()["recovery_codes"].as_array().map(Vec::len),
        Some(10)
    );
    let claims = raised.claims();
    assert_eq!(
        (
            &claims["aal"],
            &claims["amr"][0]["method"],
            &claims["amr"][1]["method"]
        ),
        (&json!("aal2"), &json!("totp"), &json!("password"))
    );
    assert_eq!(claims["session_id"], ada.claims()["session_id"]);
    assert_eq!(raised.user["factors"][0]["status"], "verified");
    let vault = async |session: &SignedIn| {
        app.rest("GET", "/vault")
            .bearer(&session.access)
            .await
            .text()
    };
    assert_eq!(
        (vault(&raised).await.as_str(), vault(&ada).await.as_str()),
        (r#"[{"id":1}]"#, "[]")
    );
    // Weaker sessions end; this one's older refresh token does not lead back.
    assert_eq!(app.user(&other).await.refusal(), "403 session_not_found");
    let refreshed = SignedIn::of(&app.refresh(&raised.refresh).await);
    assert_eq!(refreshed.claims()["aal"], "aal2");
    let before = app.refresh(&ada.refresh).await;
    assert_eq!(before.refusal(), "400 refresh_token_already_used");
}

async fn a_code_is_taken_once_and_wrong_ones_are_counted(engine: Engine) {
    let (server, app) = server(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let factor = enroll(&app, &ada, "phone").await;
    // Far from the edge of a step as the test sees it: the codes of one step before, and of three.
    let right = code(&factor.secret, now(0));
    for _ in 0..4 {
        let far = code(&factor.secret, now(600));
        assert_eq!(
            verify(&app, &ada, &factor, &far).await.refusal(),
            "422 mfa_verification_failed"
        );
    }
    let raised = SignedIn::of(&verify(&app, &ada, &factor, &right).await);
    let again = verify(&app, &raised, &factor, &right).await;
    assert_eq!(
        again.refusal(),
        "422 mfa_verification_failed",
        "a code is taken once"
    );
    let locked = verify(&app, &raised, &factor, &code(&factor.secret, now(30))).await;
    assert_eq!(locked.refusal(), "429 over_request_rate_limit");
    server.advance(301);
    let later = verify(&app, &raised, &factor, &code(&factor.secret, now(301))).await;
    SignedIn::of(&later);
    // A challenge is answered in time.
    let challenge = app
        .auth("POST", &format!("/factors/{}/challenge", factor.id))
        .bearer(&raised.access)
        .await
        .json();
    server.advance(301);
    let body = json!({ "challenge_id": challenge["id"], "code": code(&factor.secret, now(602)) });
    let late = app
        .auth("POST", &format!("/factors/{}/verify", factor.id))
        .bearer(&raised.access)
        .json(&body)
        .await;
    assert_eq!(late.refusal(), "422 mfa_challenge_expired");
}

async fn who_has_a_factor_needs_it(engine: Engine) {
    let (_server, app) = server(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let factor = enroll(&app, &ada, "phone").await;
    let raised = SignedIn::of(&verify(&app, &ada, &factor, &code(&factor.secret, now(0))).await);
    let weak = app.sign_in("ada@example.com").await;
    let second = json!({ "factor_type": "totp", "friendly_name": "second" });
    let enrolled = app
        .auth("POST", "/factors")
        .bearer(&weak.access)
        .json(&second)
        .await;
    assert_eq!(enrolled.refusal(), "403 insufficient_aal");
    let put = app
        .auth("PUT", "/user")
        .bearer(&weak.access)
        .json(&json!({ "password": "another-plover-43" }))
        .await;
    assert_eq!(put.refusal(), "401 insufficient_aal");
    let path = format!("/factors/{}", factor.id);
    let gone = app.auth("DELETE", &path).bearer(&weak.access).await;
    assert_eq!(gone.refusal(), "422 insufficient_aal");
    let same = json!({ "factor_type": "totp", "friendly_name": "phone" });
    let conflict = app
        .auth("POST", "/factors")
        .bearer(&raised.access)
        .json(&same)
        .await;
    assert_eq!(conflict.refusal(), "422 mfa_factor_name_conflict");
    // Another's factor is nobody's.
    let bob = app.sign_up("bob@example.com").await;
    let others = app.auth("DELETE", &path).bearer(&bob.access).await;
    assert_eq!(others.refusal(), "404 mfa_factor_not_found");
    let gone = app.auth("DELETE", &path).bearer(&raised.access).await;
    assert_eq!(gone.json(), json!({ "id": factor.id }));
    assert_eq!(app.user(&raised).await.json().get("factors"), None);
}

async fn a_recovery_code_stands_in_for_a_lost_factor(engine: Engine) {
    let (_server, app) = server(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let factor = enroll(&app, &ada, "phone").await;
    let answer = verify(&app, &ada, &factor, &code(&factor.secret, now(0))).await;
    let codes = answer.json()["recovery_codes"].clone();
    let weak = app.sign_in("ada@example.com").await;
    let path = format!("/factors/{}/verify", factor.id);
    let body = json!({ "recovery_code": codes[0] });
    let raised = app
        .auth("POST", &path)
        .bearer(&weak.access)
        .json(&body)
        .await;
    assert_eq!(raised.json()["recovery_codes_left"], 9, "{}", raised.text());
    let raised = SignedIn::of(&raised);
    assert_eq!(raised.claims()["aal"], "aal2");
    let again = app
        .auth("POST", &path)
        .bearer(&raised.access)
        .json(&body)
        .await;
    assert_eq!(again.status, 422, "{}", again.text());
    let new = app
        .auth("POST", "/factors/recovery_codes")
        .bearer(&raised.access)
        .json(&json!({}))
        .await;
    assert_eq!(
        new.json()["recovery_codes"].as_array().map(Vec::len),
        Some(10)
    );
    let old = json!({ "recovery_code": codes[1] });
    assert_eq!(
        app.auth("POST", &path)
            .bearer(&raised.access)
            .json(&old)
            .await
            .status,
        422
    );
}
