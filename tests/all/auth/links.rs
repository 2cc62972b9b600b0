//! Codes and links, as an app's own server asks for them: nothing is mailed.

use pumice_tests::{Answer, App, Engine, PASSWORD, SignedIn, TestServer, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    a_link_opens_a_session_once,
    a_code_opens_what_its_link_does,
    codes_and_links_end,
    a_code_can_be_tried_a_few_times,
    both_addresses_agree_to_a_change,
    a_link_leads_only_where_the_app_allows,
    clients_with_a_verifier_get_a_code,
    one_address_alone_changes_nothing,
    what_a_stranger_prepared_is_gone,
);

const SITE: &str = "https://shop.example";

async fn server(engine: Engine) -> (TestServer, App) {
    let server = engine.server().await;
    let app = server.app("links").await;
    app.users(&format!("site_url = \"{SITE}\"\nredirect_urls = [\"https://app.example/**\", \"myapp://cb\"]\n[auth.rates]\nverify = 100000\nsign_in_address = 100000"))
        .await;
    (server, app)
}

async fn link(app: &App, body: Value) -> Value {
    let answer = app.admin("POST", "/admin/generate_link").json(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Follows a link as a browser does; where it leads.
async fn follow(app: &App, link: &Value) -> String {
    let url = link["action_link"].as_str().expect("text");
    let path = url.split_once("/auth/v1").expect("it is one of ours").1;
    let answer = app.call("GET", &format!("/auth/v1{path}")).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").to_owned()
}

async fn verify(app: &App, body: Value) -> Answer {
    app.auth("POST", "/verify").json(&body).await
}

fn part<'l>(location: &'l str, name: &str) -> &'l str {
    let pairs = location.split(['#', '?', '&']);
    let mut found = pairs.filter_map(|pair| pair.split_once('='));
    found
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

async fn a_link_opens_a_session_once(engine: Engine) {
    let (_server, app) = server(engine).await;
    for (kind, extra) in [
        (
            "signup",
            json!({ "password": PASSWORD, "data": { "n": 1 } }),
        ),
        ("magiclink", json!({})),
        ("recovery", json!({})),
    ] {
        let mut body = json!({ "type": kind, "email": "ada@example.com" });
        body.as_object_mut()
            .expect("it is one")
            .extend(extra.as_object().cloned().expect("one"));
        let link = link(&app, body).await;
        assert_eq!(link["verification_type"], kind);
        assert_eq!(link["redirect_to"], SITE);
        let location = follow(&app, &link).await;
        assert!(
            location.starts_with(&format!("{SITE}#access_token=")),
            "{location}"
        );
        assert_eq!(
            (part(&location, "type"), part(&location, "token_type")),
            (kind, "bearer")
        );
        let user = app
            .auth("GET", "/user")
            .bearer(part(&location, "access_token"))
            .await
            .json();
        assert_eq!(user["email"], "ada@example.com");
        assert!(user["email_confirmed_at"].is_string());
        let again = follow(&app, &link).await;
        assert!(
            again.starts_with(&format!(
                "{SITE}#error=access_denied&error_code=otp_expired"
            )),
            "{again}"
        );
    }
    // With metadata that is the app's own, and nothing else in it.
    let users = app.admin("GET", "/admin/users").await.json();
    assert_eq!(users["users"][0]["user_metadata"], json!({ "n": 1 }));
    app.sign_in("ada@example.com").await;
    let again = json!({ "type": "signup", "email": "ada@example.com", "password": PASSWORD });
    let again = app.admin("POST", "/admin/generate_link").json(&again).await;
    assert_eq!(again.refusal(), "422 email_exists");
    let nobody = json!({ "type": "recovery", "email": "nobody@example.com" });
    let nobody = app
        .admin("POST", "/admin/generate_link")
        .json(&nobody)
        .await;
    assert_eq!(nobody.refusal(), "404 user_not_found");
}

async fn a_code_opens_what_its_link_does(engine: Engine) {
    let (_server, app) = server(engine).await;
    let made = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    let code = made["email_otp"].as_str().expect("text");
    assert!(
        code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{code}"
    );
    let body = |email: &str, kind: &str| json!({ "email": email, "token": code, "type": kind });
    for (email, kind) in [
        ("bob@example.com", "email"),
        ("ada@example.com", "recovery"),
        ("ada@example.com", "email_change"),
    ] {
        let wrong = verify(&app, body(email, kind)).await;
        // A magic link is of the kind of a recovery: both open a session of who has the address.
        if kind != "recovery" {
            assert_eq!(wrong.refusal(), "403 otp_expired", "{email} {kind}");
        }
    }
    let made = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    let hash = json!({ "token_hash": made["hashed_token"], "type": "email" });
    let session = SignedIn::of(&verify(&app, hash.clone()).await);
    assert_eq!(session.claims()["amr"][0]["method"], "otp");
    assert_eq!(verify(&app, hash).await.refusal(), "403 otp_expired");
    for body in [
        json!({ "type": "email" }),
        json!({ "token": "123456", "type": "email" }),
        json!({ "token": "123456", "type": "door", "email": "ada@example.com" }),
        json!({ "token": "1", "token_hash": "2", "type": "email" }),
    ] {
        assert_eq!(
            verify(&app, body.clone()).await.refusal(),
            "400 validation_failed",
            "{body}"
        );
    }
}

async fn codes_and_links_end(engine: Engine) {
    let (server, app) = server(engine).await;
    let made = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    server.advance(3601);
    assert_eq!(
        part(&follow(&app, &made).await, "error_code"),
        "otp_expired"
    );
    let old = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    let new = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    assert_eq!(
        part(&follow(&app, &old).await, "error_code"),
        "otp_expired",
        "another was asked for"
    );
    assert_eq!(part(&follow(&app, &new).await, "error_code"), "");
}

async fn a_code_can_be_tried_a_few_times(engine: Engine) {
    let (_server, app) = server(engine).await;
    let made = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    let code = made["email_otp"].as_str().expect("text");
    let right = json!({ "email": "ada@example.com", "token": code, "type": "email" });
    let wrong = if code == "000000" { "111111" } else { "000000" };
    for _ in 0..5 {
        let body = json!({ "email": "ada@example.com", "token": wrong, "type": "email" });
        assert_eq!(verify(&app, body).await.refusal(), "403 otp_expired");
    }
    assert_eq!(
        verify(&app, right).await.refusal(),
        "403 otp_expired",
        "it is worth nothing now"
    );
    // The link cannot be guessed, and a stranger's guesses do not shut it.
    assert_eq!(part(&follow(&app, &made).await, "error_code"), "");
}

async fn both_addresses_agree_to_a_change(engine: Engine) {
    let (_server, app) = server(engine).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "email_confirm": true });
    app.admin("POST", "/admin/users").json(&body).await;
    let change = |kind: &str| json!({ "type": kind, "email": "ada@example.com", "new_email": "countess@example.com" });
    let current = link(&app, change("email_change_current")).await;
    let new = link(&app, change("email_change_new")).await;
    assert_eq!(new["new_email"], "countess@example.com");
    let first = follow(&app, &current).await;
    assert!(
        first.starts_with(&format!("{SITE}#message=Confirmation+link+accepted")),
        "{first}"
    );
    app.sign_in("ada@example.com").await;
    let second = follow(&app, &new).await;
    assert_eq!(part(&second, "type"), "email_change");
    assert_eq!(
        app.try_sign_in("ada@example.com", PASSWORD).await.refusal(),
        "400 invalid_credentials"
    );
    let session = app.sign_in("countess@example.com").await;
    assert_eq!(
        session.user["identities"][0]["identity_data"]["email"],
        "countess@example.com"
    );
    assert_eq!(session.user.get("new_email"), None);
}

async fn a_link_leads_only_where_the_app_allows(engine: Engine) {
    let (_server, app) = server(engine).await;
    for (wanted, leads) in [
        ("https://app.example/a/b?x=1", "https://app.example/a/b?x=1"),
        ("myapp://cb", "myapp://cb"),
        (
            "https://shop.example/account",
            "https://shop.example/account",
        ),
        ("https://evil.example/", SITE),
        ("https://app.example.evil.example/", SITE),
        ("https://app.example@evil.example/", SITE),
        ("javascript:alert(1)", SITE),
        ("//evil.example", SITE),
    ] {
        let body =
            json!({ "type": "magiclink", "email": "ada@example.com", "redirect_to": wanted });
        let made = link(&app, body).await;
        let location = follow(&app, &made).await;
        assert_eq!(location.split('#').next(), Some(leads), "{wanted}");
    }
    // What a link was made for is not the last word: it is looked at when it is followed.
    let made = link(
        &app,
        json!({ "type": "magiclink", "email": "ada@example.com" }),
    )
    .await;
    let url = made["action_link"]
        .as_str()
        .expect("text")
        .replace("shop.example", "evil.example");
    let location = follow(&app, &json!({ "action_link": url })).await;
    assert!(location.starts_with(SITE), "{location}");
}

async fn clients_with_a_verifier_get_a_code(engine: Engine) {
    let (_server, app) = server(engine).await;
    for body in [
        json!({ "auth_code": "x", "code_verifier": "" }),
        json!({ "code_verifier": "x" }),
    ] {
        let answer = app.auth("POST", "/token?grant_type=pkce").json(&body).await;
        assert_eq!(answer.refusal(), "400 validation_failed");
    }
    let body = json!({ "auth_code": "00000000-0000-4000-8000-000000000000", "code_verifier": "x".repeat(43) });
    let answer = app.auth("POST", "/token?grant_type=pkce").json(&body).await;
    assert_eq!(answer.refusal(), "404 flow_state_not_found");
}

/// The code of the newest mail to an address, once it is there.
async fn mailed(app: &App, to: &str) -> String {
    let path = format!("/dev/mail.json?to={to}");
    let mut effects = app.effects().await;
    let code = effects
        .until("a mail", async || {
            let mails = app.get(&path).await.json();
            mails[0]["token"].as_str().map(str::to_owned)
        })
        .await;
    app.call("DELETE", &path).await;
    code
}

async fn with_mailbox(engine: Engine) -> App {
    let app = engine
        .server_with("mailbox = true")
        .await
        .app("links")
        .await;
    app.users("signup = true").await;
    app
}

async fn one_address_alone_changes_nothing(engine: Engine) {
    let app = with_mailbox(engine).await;
    let (old, new) = ("ada@example.com", "eve@example.com");
    let body = json!({ "email": old, "password": PASSWORD, "email_confirm": true });
    app.admin("POST", "/admin/users").json(&body).await;
    let ada = app.sign_in(old).await;
    let change = json!({ "email": new });
    let asked = app
        .auth("PUT", "/user")
        .bearer(&ada.access)
        .json(&change)
        .await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let current = mailed(&app, old).await;
    for _ in 0..2 {
        let code = mailed(&app, new).await;
        let body = json!({ "type": "email_change", "email": new, "token": code });
        let half = verify(&app, body).await;
        assert_eq!(half.json().get("access_token"), None, "{half}");
        let resend = json!({ "type": "email_change", "email": old });
        app.auth("POST", "/resend").json(&resend).await.is("200 {}");
    }
    app.sign_in(old).await;
    let body = json!({ "type": "email_change", "email": old, "token": current });
    verify(&app, body).await;
    let code = mailed(&app, new).await;
    let body = json!({ "type": "email_change", "email": new, "token": code });
    verify(&app, body).await;
    app.sign_in(new).await;
}

async fn what_a_stranger_prepared_is_gone(engine: Engine) {
    let app = with_mailbox(engine).await;
    let body = json!({ "email": "ada@example.com", "password": "of-the-stranger-1", "data": { "admin": true } });
    let prepared = app.auth("POST", "/signup").json(&body).await;
    assert_eq!(prepared.status, 200, "{}", prepared.text());
    mailed(&app, "ada@example.com").await;
    let ask = json!({ "email": "ada@example.com" });
    app.auth("POST", "/otp").json(&ask).await.is("200 {}");
    let code = mailed(&app, "ada@example.com").await;
    let body = json!({ "type": "email", "email": "ada@example.com", "token": code });
    let ada = SignedIn::of(&verify(&app, body).await);
    assert_eq!(ada.user["user_metadata"].get("admin"), None, "{}", ada.user);
    let stranger = app
        .try_sign_in("ada@example.com", "of-the-stranger-1")
        .await;
    assert_eq!(stranger.refusal(), "400 invalid_credentials");
}
