//! What one app hands out opens nothing of another, though both have the same user with the same id.

use pumice_tests::{App, Engine, PASSWORD, SignedIn, in_time, on_both_engines};
use serde_json::{Value, json};

use super::factors::{code, enroll, now, verify};

on_both_engines!(
    tokens_of_one_app_open_no_other,
    codes_and_links_of_one_app_open_no_other,
    a_code_of_a_flow_is_exchanged_at_its_app,
    a_factor_of_one_app_raises_no_session_of_another,
    a_nonce_of_one_app_changes_no_password_of_another,
    whoever_is_an_admin_of_one_app_is_none_of_another,
);

const ID: &str = "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11";
const EMAIL: &str = "ada@example.com";
const RATES: &str =
    "[auth.rates]\nverify = 100000\nsign_in = 100000\nmail = 100000\nmail_app = 100000
factor = 100000\nfactor_user = 100000";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Two apps with Ada, who has the same id and password in both.
async fn apps(engine: Engine, auth: &str) -> (App, App) {
    let server = engine.server_with("mailbox = true").await;
    let apps = (server.app("shop").await, server.app("forum").await);
    for app in [&apps.0, &apps.1] {
        app.tables(
            "create table note (id int primary key); grant select on note to authenticated;",
        )
        .table(&format!("[auth]\n{auth}\n{RATES}"))
        .await;
        let body = json!({ "id": ID, "email": EMAIL, "password": PASSWORD, "email_confirm": true });
        let made = app.admin("POST", "/admin/users").json(&body).await;
        assert_eq!(made.json()["id"], ID, "{made}");
    }
    apps
}

async fn link(app: &App, kind: &str) -> Value {
    let body = json!({ "type": kind, "email": EMAIL, "new_email": "countess@example.com" });
    let answer = app.admin("POST", "/admin/generate_link").json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// What was mailed to an address, when it is there.
async fn mailed(app: &App, to: &str) -> Value {
    in_time("a mail", async {
        loop {
            let mails = app.get(&format!("/dev/mail.json?to={to}")).await.json();
            if let Some(mail) = mails.get(0) {
                return mail.clone();
            }
        }
    })
    .await
}

async fn tokens_of_one_app_open_no_other(engine: Engine) {
    let (shop, forum) = apps(engine, "").await;
    let session = shop.sign_in(EMAIL).await;
    for (method, path) in [
        ("GET", "/user"),
        ("PUT", "/user"),
        ("POST", "/logout"),
        ("GET", "/reauthenticate"),
        ("POST", "/factors"),
        ("GET", "/user/identities/authorize"),
    ] {
        let call = forum.auth(method, path).bearer(&session.access);
        let refused = call.json(&json!({})).await;
        assert_eq!(refused.refusal(), "403 bad_jwt", "{method} {path}");
    }
    for path in ["/rest/v1/note", "/batch/v1", "/jobs/v1/x"] {
        let call = forum.call("POST", path).header("apikey", &forum.anon_key);
        let refused = call.bearer(&session.access).json(&json!({})).await;
        assert_eq!(refused.status, 401, "{path}: {refused}");
    }
    let refused = forum.refresh(&session.refresh).await;
    assert_eq!(refused.refusal(), "400 refresh_token_not_found");
    // It was not used up by that.
    let next = SignedIn::of(&shop.refresh(&session.refresh).await);
    assert_ne!(next.refresh, session.refresh);
    assert_eq!(shop.user(&next).await.status, 200);
    // What ends here goes on there.
    let theirs = forum.sign_in(EMAIL).await;
    let out = shop.auth("POST", "/logout").bearer(&next.access).await;
    out.is("204 ");
    assert_eq!(forum.user(&theirs).await.status, 200);
    SignedIn::of(&forum.refresh(&theirs.refresh).await);
}

async fn codes_and_links_of_one_app_open_no_other(engine: Engine) {
    let (shop, forum) = apps(engine, "double_confirm = false").await;
    for (kind, how) in [
        ("magiclink", "email"),
        ("recovery", "recovery"),
        ("email_change_new", "email_change"),
    ] {
        let ours = link(&shop, kind).await;
        // There is one to be found there as well.
        let theirs = link(&forum, kind).await;
        assert_ne!(ours["hashed_token"], theirs["hashed_token"]);
        let to = match kind {
            "email_change_new" => "countess@example.com",
            _ => EMAIL,
        };
        let by_code = json!({ "type": how, "email": to, "token": ours["email_otp"] });
        let by_hash = json!({ "type": how, "token_hash": ours["hashed_token"] });
        for body in [&by_code, &by_hash] {
            let refused = forum.auth("POST", "/verify").json(body).await;
            // One of a million codes is the same in both.
            if ours["email_otp"] != theirs["email_otp"] {
                assert_eq!(refused.refusal(), "403 otp_expired", "{kind} {body}");
            }
        }
        let hash = ours["hashed_token"].as_str().expect("text");
        let followed = forum
            .get(&format!("/auth/v1/verify?token={hash}&type={how}"))
            .await;
        assert_eq!(followed.status, 303, "{followed}");
        let place = followed.header("location");
        assert!(place.contains("error_code=otp_expired"), "{place}");
        // At home it is worth what it was.
        SignedIn::of(&shop.auth("POST", "/verify").json(&by_hash).await);
    }
    // The change was one app's.
    assert_eq!(shop.sign_in("countess@example.com").await.id(), ID);
    assert_eq!(forum.sign_in(EMAIL).await.id(), ID);
}

async fn a_code_of_a_flow_is_exchanged_at_its_app(engine: Engine) {
    let (shop, forum) = apps(engine, "").await;
    let flow = json!({
        "email": EMAIL, "code_challenge": CHALLENGE, "code_challenge_method": "s256",
    });
    shop.auth("POST", "/otp").json(&flow).await.is("200 {}");
    let mail = mailed(&shop, EMAIL).await;
    let link = mail["links"][0].as_str().expect("it has a link");
    let (_, path) = link.split_once("/auth/v1").expect("it is one of ours");
    // The other app neither follows the link,
    let elsewhere = forum.get(&format!("/auth/v1{path}")).await;
    let place = elsewhere.header("location");
    assert!(place.contains("error_code=otp_expired"), "{place}");
    let followed = shop.get(&format!("/auth/v1{path}")).await;
    let place = followed.header("location");
    let (_, auth_code) = place
        .split_once("code=")
        .unwrap_or_else(|| panic!("no code: {place}"));
    let auth_code = auth_code.split(['&', '#']).next().unwrap_or_default();
    // nor exchanges the code that it led to.
    let exchange = |app: &App| {
        let body = json!({ "auth_code": auth_code, "code_verifier": VERIFIER });
        app.auth("POST", "/token?grant_type=pkce").json(&body)
    };
    let refused = exchange(&forum).await;
    assert_eq!(refused.refusal(), "404 flow_state_not_found");
    assert_eq!(SignedIn::of(&exchange(&shop).await).id(), ID);
    let again = exchange(&shop).await;
    assert_eq!(again.refusal(), "404 flow_state_not_found");
}

async fn a_factor_of_one_app_raises_no_session_of_another(engine: Engine) {
    let (shop, forum) = apps(engine, "").await;
    let (ours, theirs) = (shop.sign_in(EMAIL).await, forum.sign_in(EMAIL).await);
    let factor = enroll(&shop, &ours, "phone").await;
    let other = enroll(&forum, &theirs, "phone").await;
    let answer = verify(&shop, &ours, &factor, &code(&factor.secret, now(0))).await;
    let raised = SignedIn::of(&answer);
    let recovery = answer.json()["recovery_codes"][0].clone();
    // The factor is not there.
    for path in ["challenge", "verify"] {
        let path = format!("/factors/{}/{path}", factor.id);
        let call = forum.auth("POST", &path).bearer(&theirs.access);
        let body = json!({ "challenge_id": ID, "code": code(&factor.secret, now(0)) });
        let refused = call.json(&body).await;
        assert!(
            ["404 mfa_factor_not_found", "422 mfa_factor_not_found"]
                .contains(&refused.refusal().as_str()),
            "{path}: {refused}"
        );
    }
    // What it shows is not what the other's shows, nor is a recovery code,
    let wrong = code(&factor.secret, now(0));
    if wrong != code(&other.secret, now(0)) {
        let refused = verify(&forum, &theirs, &other, &wrong).await;
        assert_eq!(refused.refusal(), "422 mfa_verification_failed");
    }
    let path = format!("/factors/{}/verify", other.id);
    let body = json!({ "recovery_code": recovery });
    let call = forum.auth("POST", &path).bearer(&theirs.access);
    let refused = call.json(&body).await;
    assert_eq!(refused.status, 422, "{refused}");
    // a challenge,
    let challenge = shop
        .auth("POST", &format!("/factors/{}/challenge", factor.id))
        .bearer(&raised.access)
        .await
        .json();
    let body = json!({ "challenge_id": challenge["id"], "code": code(&other.secret, now(0)) });
    let call = forum.auth("POST", &path).bearer(&theirs.access);
    let refused = call.json(&body).await;
    assert_eq!(refused.refusal(), "422 mfa_factor_not_found");
    // nor the session that grew.
    let refused = forum.user(&raised).await;
    assert_eq!(refused.refusal(), "403 bad_jwt");
    assert_eq!(theirs.claims()["aal"], "aal1");
    let user = forum.user(&theirs).await.json();
    assert_eq!(user["factors"][0]["status"], "unverified", "{user}");
}

async fn a_nonce_of_one_app_changes_no_password_of_another(engine: Engine) {
    let (shop, forum) = apps(engine, "reauthenticate = true\ntoken_s = 86400").await;
    let (ours, theirs) = (shop.sign_in(EMAIL).await, forum.sign_in(EMAIL).await);
    shop.server.advance(24 * 3600 + 1);
    let (ours, theirs) = (
        SignedIn::of(&shop.refresh(&ours.refresh).await),
        SignedIn::of(&forum.refresh(&theirs.refresh).await),
    );
    let mut nonces = Vec::new();
    for (app, session) in [(&shop, &ours), (&forum, &theirs)] {
        let asked = app.auth("GET", "/reauthenticate").bearer(&session.access);
        asked.await.is("200 {}");
        nonces.push(mailed(app, EMAIL).await["token"].clone());
    }
    let put = |app: &App, session: &SignedIn, nonce: &Value| {
        let body = json!({ "password": "another-plover-43", "nonce": nonce });
        app.auth("PUT", "/user").bearer(&session.access).json(&body)
    };
    if nonces[0] != nonces[1] {
        let refused = put(&forum, &theirs, &nonces[0]).await;
        assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    }
    let changed = put(&shop, &ours, &nonces[0]).await;
    assert_eq!(changed.status, 200, "{changed}");
    forum.sign_in(EMAIL).await;
}

async fn whoever_is_an_admin_of_one_app_is_none_of_another(engine: Engine) {
    let (shop, forum) = apps(engine, "").await;
    let made = shop
        .platform("POST", "/keys")
        .json(&json!({ "name": "server", "type": "secret" }))
        .await;
    let secret = made.json()["api_key"].as_str().expect("text").to_owned();
    let user = format!("/auth/v1/admin/users/{ID}");
    for key in [&shop.service_role_key, &secret] {
        for (method, path) in [
            ("GET", "/auth/v1/admin/users"),
            ("GET", user.as_str()),
            ("PUT", &user),
            ("DELETE", &user),
            ("POST", "/auth/v1/admin/generate_link"),
            ("POST", "/auth/v1/invite"),
            ("GET", "/auth/v1/admin/audit"),
            ("GET", "/auth/v1/admin/permissions/grants"),
            ("POST", "/auth/v1/admin/permissions/grants"),
        ] {
            // With the other app's own key beside it as well.
            for apikey in [key, &forum.anon_key] {
                let call = forum.call(method, path).header("apikey", apikey);
                let refused = call
                    .bearer(key)
                    .json(&json!({ "ban_duration": "1h" }))
                    .await;
                assert!(
                    [401, 403].contains(&refused.status),
                    "{method} {path}: {refused}"
                );
            }
        }
    }
    forum.sign_in(EMAIL).await;
}
