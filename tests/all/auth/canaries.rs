//! No secret of a user, an app or its operator is ever in a log, whatever becomes of the request that has it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pumice_tests::oidc::{CLIENT_SECRET, Oidc, Person};
use pumice_tests::smtp::{self, Sink};
use pumice_tests::{Answer, App, Call, Engine, SignedIn, TestServer, on_both_engines};
use serde_json::{Value, json};

use super::factors::{code, enroll, now, verify};

on_both_engines!(no_secret_is_in_any_log);

/// Stands in everything that these tests and their provider make up as a secret.
const MARK: &str = "canary-";
const PASSWORD: &str = "canary-password-42";
const WRONG: &str = "canary-of-nobody-43";
const NEW: &str = "canary-password-44";
const SIGNING: &str = "canary-signing-key-with-more-than-32-characters";
const VERIFIER: &str = "canary-verifier-dBjftJeZ4CVP-mB92K27uhbUJU1";
const EMAIL: &str = "ada@example.com";

/// Secrets that were given out, by what they are.
#[derive(Default)]
struct Given(BTreeMap<String, Vec<String>>);

impl Given {
    fn add(&mut self, what: &str, secret: &str) {
        assert!(
            secret.len() >= 8,
            "{what}: too short to be told from others: {secret:?}"
        );
        self.0
            .entry(what.to_owned())
            .or_default()
            .push(secret.to_owned());
    }

    fn session(&mut self, session: &SignedIn) {
        self.add("access token", &session.access);
        self.add("refresh token", &session.refresh);
    }

    /// Where lines of `place` have one of them: as it is, in part, or encoded.
    fn found(&self, place: &str, lines: &[String]) -> Vec<String> {
        let mut shapes = Vec::new();
        for (what, secrets) in &self.0 {
            for secret in secrets {
                shapes.push((what.as_str(), secret.clone()));
                shapes.push((what, STANDARD.encode(secret)));
                let encoded: String = secret
                    .bytes()
                    .map(|byte| match byte {
                        b'-' | b'_' | b'.' => char::from(byte).to_string(),
                        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                        byte => format!("%{byte:02X}"),
                    })
                    .collect();
                shapes.push((what, encoded));
                // A part of a long one is as telling.
                if secret.len() >= 48 {
                    let middle = secret.len() / 2;
                    shapes.push((what, secret[middle..middle + 24].to_owned()));
                    shapes.push((what, secret[secret.len() - 24..].to_owned()));
                }
            }
        }
        let mut found = Vec::new();
        for line in lines {
            for (what, shape) in &shapes {
                if line.contains(shape.as_str()) {
                    found.push(format!("{place}: {what}: {line}"));
                }
            }
            if line.contains(MARK) {
                found.push(format!("{place}: {line}"));
            }
        }
        found
    }
}

struct Shop {
    app: App,
    oidc: Oidc,
    sink: Sink,
}

async fn shop(engine: Engine) -> Shop {
    let sink = Sink::start().await;
    let settings = format!(
        "allow_private = [\"127.0.0.0/8\"]\nsmtp_url = \"{}\"\nmail_from = \"Pumice <no-reply@pumice.example>\"",
        sink.url()
    );
    let server = TestServer::on(engine, &settings, &[("RUST_LOG", "debug")]).await;
    let app = server.app("quiet").await;
    let oidc = Oidc::start(Person::new("ann", "ann@example.com", true)).await;
    app.secret("SIGNING", SIGNING).await;
    app.secret("PROVIDER", CLIENT_SECRET).await;
    let (issuer, id) = (oidc.issuer(), pumice_tests::oidc::CLIENT_ID);
    app.users(&format!(
        "code_digits = 10\nanonymous = true\nsigning_key = \"SIGNING\"\nmanual_linking = true
[auth.provider.\"custom:local\"]\nclient_id = {id:?}\nsecret = \"PROVIDER\"\nissuer = {issuer:?}
[auth.rates]\nsign_up = 100000\nsign_in = 100000\nsign_in_address = 100000\nverify = 100000
mail = 100000\nmail_app = 100000\nmail_address = 100000\nfactor = 100000\nfactor_user = 100000",
    ))
    .await;
    // Its keys may be others since it has a signing key.
    let app = server.found("quiet").await;
    Shop { app, oidc, sink }
}

fn post(app: &App, path: &str, body: &Value) -> Call {
    app.auth("POST", path).json(body)
}

#[track_caller]
fn ok(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// Everything that a user does, with success and without.
async fn users_do_what_they_do(shop: &Shop, given: &mut Given) -> SignedIn {
    let Shop { app, sink, .. } = shop;
    let body =
        json!({ "email": EMAIL, "password": PASSWORD, "data": { "about": "canary-metadata" } });
    ok(post(app, "/signup", &body).await);
    let mail = sink.next().await;
    let confirm = |token: &str| json!({ "type": "signup", "email": EMAIL, "token": token });
    given.add("code", &mail.code());
    let link = mail.link();
    given.add("link", hash(&link));
    let refused = post(app, "/verify", &confirm("0123456789")).await;
    assert_eq!(refused.refusal(), "403 otp_expired");
    let session = SignedIn::of(&post(app, "/verify", &confirm(&mail.code())).await);
    given.session(&session);
    for (email, password) in [(EMAIL, WRONG), ("canary-user@example.com", PASSWORD)] {
        let refused = app.try_sign_in(email, password).await;
        assert_eq!(refused.refusal(), "400 invalid_credentials");
    }
    let session = SignedIn::of(&app.try_sign_in(EMAIL, PASSWORD).await);
    given.session(&session);
    let next = SignedIn::of(&app.refresh(&session.refresh).await);
    given.session(&next);
    let forged = format!("{}canary-", &next.refresh[..40]);
    assert_eq!(app.refresh(&forged).await.status, 400);
    // Known again, and therefore another mail.
    ok(post(app, "/signup", &body).await);
    given.add("link", hash(&sink.next().await.link()));
    for path in ["/recover", "/otp", "/magiclink"] {
        ok(post(app, path, &json!({ "email": EMAIL })).await);
        let mail = sink.next().await;
        given.add("code", &mail.code());
        given.add("link", hash(&mail.link()));
        let (_, path) = mail
            .link()
            .split_once("/auth/v1")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("ours");
        let followed = app.get(&format!("/auth/v1{path}")).await;
        let place = followed.header("location").to_owned();
        let (_, token) = place.split_once("access_token=").expect("a session");
        given.add("access token", token.split('&').next().unwrap_or_default());
        // It is worth nothing now, and still nobody's to read.
        assert_eq!(app.get(&format!("/auth/v1{path}")).await.status, 303);
    }
    // With a verifier.
    let challenge = {
        use aws_lc_rs::digest::{SHA256, digest};
        let digest = digest(&SHA256, VERIFIER.as_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
    };
    let flow =
        json!({ "email": EMAIL, "code_challenge": challenge, "code_challenge_method": "s256" });
    ok(post(app, "/otp", &flow).await);
    let link = sink.next().await.link();
    given.add("link", hash(&link));
    let (_, path) = link.split_once("/auth/v1").expect("ours");
    let place = app
        .get(&format!("/auth/v1{path}"))
        .await
        .header("location")
        .to_owned();
    let (_, auth_code) = place
        .split_once("code=")
        .unwrap_or_else(|| panic!("no code: {place}"));
    given.add("auth code", auth_code);
    let exchange = |verifier: &str| json!({ "auth_code": auth_code, "code_verifier": verifier });
    let pkce = "/token?grant_type=pkce";
    let refused = post(
        app,
        pkce,
        &exchange("canary-another-verifier-of-43-characters-000"),
    )
    .await;
    assert_eq!(refused.status, 400, "{refused}");
    let exchanged = post(app, pkce, &exchange(VERIFIER)).await;
    assert!([200, 404].contains(&exchanged.status), "{exchanged}");
    // Changes.
    let put = |body: Value| app.auth("PUT", "/user").bearer(&next.access).json(&body);
    assert_eq!(put(json!({ "password": "c-" })).await.status, 422);
    assert_eq!(put(json!({ "password": PASSWORD })).await.status, 422);
    ok(put(json!({ "password": NEW, "nonce": "canary-nonce" })).await);
    ok(put(json!({ "email": "countess@example.com" })).await);
    for mail in [sink.next().await, sink.next().await] {
        given.add("code", &mail.code());
        given.add("link", hash(&mail.link()));
    }
    ok(app
        .auth("GET", "/reauthenticate")
        .bearer(&next.access)
        .await);
    given.add("code", &sink.next().await.code());
    next
}

/// The hash of a link.
fn hash(link: &str) -> &str {
    let (_, rest) = link.split_once("token=").expect("it has a token");
    rest.split('&').next().unwrap_or_default()
}

async fn factors(shop: &Shop, session: &SignedIn, given: &mut Given) {
    let app = &shop.app;
    let factor = enroll(app, session, "phone").await;
    given.add("factor", &factor.secret);
    let wrong = verify(app, session, &factor, "canary-code").await;
    assert_eq!(wrong.refusal(), "422 mfa_verification_failed");
    let raised = verify(app, session, &factor, &code(&factor.secret, now(0))).await;
    for recovery in raised.json()["recovery_codes"].as_array().expect("a list") {
        given.add("recovery code", recovery.as_str().expect("text"));
    }
    let raised_session = SignedIn::of(&raised);
    given.session(&raised_session);
    let path = format!("/factors/{}/verify", factor.id);
    for used in [
        json!("canary-recovery-code"),
        raised.json()["recovery_codes"][0].clone(),
    ] {
        let body = json!({ "recovery_code": used });
        let call = post(app, &path, &body).bearer(&raised_session.access);
        call.await;
    }
}

/// A sign-in at the provider, and one that fails.
async fn provider(shop: &Shop, given: &mut Given) {
    let Shop { app, oidc, .. } = shop;
    for good in [false, true] {
        let leaving = app
            .get("/auth/v1/authorize?provider=custom:local&login_hint=canary-hint")
            .await;
        assert_eq!(leaving.status, 302, "{leaving}");
        let place = leaving.header("location").to_owned();
        let (_, state) = place.split_once("state=").expect("it has a state");
        given.add("state", state.split('&').next().unwrap_or_default());
        let path = place.strip_prefix(&oidc.issuer()).expect("to the provider");
        let address = oidc.issuer().replace("http://", "");
        let back = Call::new(&address, "GET", path)
            .await
            .header("location")
            .to_owned();
        let (_, path) = back.split_once("/auth/v1").expect("it leads back");
        let path = match good {
            true => path.to_owned(),
            false => path.replace("code=", "code=canary-code"),
        };
        let ended = app.get(&format!("/auth/v1{path}")).await;
        assert_eq!(ended.status, 302, "{ended}");
        let end = ended.header("location");
        assert_eq!(end.contains("access_token="), good, "{end}");
        if good {
            let (_, token) = end.split_once("#access_token=").expect("it is first");
            given.add("access token", token.split('&').next().unwrap_or_default());
        }
    }
    let token = oidc.id_token(Some("canary-nonce"), now(0));
    given.add("id token", &token);
    for nonce in ["canary-nonce", "canary-another"] {
        let body = json!({ "provider": "custom:local", "id_token": token, "nonce": nonce });
        post(app, "/token?grant_type=id_token", &body).await;
    }
}

/// Keys of the app's own server, which makes users too.
async fn admins(shop: &Shop, given: &mut Given) {
    let app = &shop.app;
    given.add("service key", &app.service_role_key);
    given.add("platform key", app.server.key());
    let made = app
        .platform("POST", "/keys")
        .json(&json!({ "name": "server", "type": "secret" }))
        .await;
    let key = made.json()["api_key"]
        .as_str()
        .expect("it is shown")
        .to_owned();
    given.add("api key", &key);
    let user = json!({ "email": "bob@example.com", "password": PASSWORD, "email_confirm": true });
    for key in [&key, &app.service_role_key] {
        let call = app
            .call("POST", "/auth/v1/admin/users")
            .header("apikey", key);
        call.bearer(key).json(&user).await;
    }
    let link = json!({ "type": "recovery", "email": "bob@example.com" });
    let link = app
        .admin("POST", "/admin/generate_link")
        .json(&link)
        .await
        .json();
    for (what, name) in [("code", "email_otp"), ("link", "hashed_token")] {
        given.add(what, link[name].as_str().expect("text"));
    }
    ok(app
        .admin("POST", "/invite")
        .json(&json!({ "email": "eve@example.com" }))
        .await);
    given.add("link", hash(&shop.sink.next().await.link()));
    // Revoked, mistyped, in a browser.
    let call = |key: &str| app.call("GET", "/auth/v1/admin/users").bearer(key);
    call(&key).header("origin", "https://evil.example").await;
    call(&format!("{}x", &key[..key.len() - 1])).await;
    let id = made.json()["id"].as_str().expect("it has one").to_owned();
    app.platform("DELETE", &format!("/keys/{id}")).await;
    assert_eq!(call(&key).await.status, 403);
}

/// What no client should send, and some do.
async fn nonsense(app: &App, session: &SignedIn) {
    let long = format!("{{\"password\":\"canary-long{}\"}}", "x".repeat(1 << 20));
    let bodies = [
        "{\"password\":\"canary-cut".to_owned(),
        "canary-text".to_owned(),
        "[\"canary-list\"]".to_owned(),
        "{\"password\":{\"canary-key\":\"canary-value\"},\"email\":[\"canary-email\"]}".to_owned(),
        "{\"email\":\"canary-no-address\",\"password\":\"canary-x\",\"refresh_token\":\"canary-y\",\"token\":\"canary-z\",\"type\":\"canary-type\"}".to_owned(),
        long,
    ];
    let paths = [
        "/signup",
        "/token?grant_type=password",
        "/token?grant_type=refresh_token",
        "/token?grant_type=pkce",
        "/token?grant_type=id_token",
        "/token?grant_type=canary-grant",
        "/otp",
        "/recover",
        "/resend",
        "/verify",
        "/factors",
        "/logout?scope=canary-scope",
        "/callback",
        "/nothing/canary-path",
        "/admin/users",
    ];
    for path in paths {
        for body in &bodies {
            let call = app.auth("POST", path).body(body.clone());
            let answer = call.header("content-type", "application/json").await;
            assert!(answer.status < 500, "{path}: {answer}");
            let form = app
                .auth("POST", path)
                .body("password=canary-form&token=canary-form");
            let form = form.header("content-type", "application/x-www-form-urlencoded");
            assert!(form.await.status < 500, "{path}");
        }
    }
    for path in [
        "/settings?password=canary-query",
        "/health?access_token=canary-query",
        "/user?apikey=canary-query",
        "/verify?token=canary-query&type=signup&redirect_to=https://canary-host.example/",
        "/callback?code=canary-query&state=canary-query",
        "/authorize?provider=canary-provider",
        "/.well-known/jwks.json?refresh_token=canary-query",
        "/canary-path",
    ] {
        let answer = app.auth("GET", path).await;
        assert!(answer.status < 500, "{path}: {answer}");
    }
    for (name, value) in [
        ("user-agent", "canary-agent"),
        ("authorization", "Bearer canary-bearer"),
        ("authorization", "Basic canary-basic"),
        ("apikey", "canary-key"),
        ("cookie", "canary-cookie=1"),
        ("redirect_to", "https://canary-host.example/"),
        ("x-client-info", "canary-client"),
        ("x-supabase-api-version", "canary-version"),
    ] {
        for (method, path) in [("GET", "/user"), ("POST", "/token?grant_type=password")] {
            let call = app.call(method, &format!("/auth/v1{path}"));
            let body = json!({ "email": EMAIL, "password": WRONG });
            let answer = call.header(name, value).json(&body).await;
            assert!(answer.status < 500, "{path} with {name}: {answer}");
        }
    }
    // A session remembers from where, and no log does.
    let body = json!({ "email": EMAIL, "password": NEW });
    let call = app.auth("POST", "/token?grant_type=password").json(&body);
    call.header("user-agent", "canary-agent").await;
    // A token in the wrong place.
    let path = format!("/auth/v1/user?access_token={}", session.access);
    assert_eq!(app.get(&path).await.status, 401);
    let out = app.auth("POST", "/logout").bearer(&session.access).await;
    assert_eq!(out.status, 204, "{out}");
    let ended = app.user(session).await;
    assert_eq!(ended.refusal(), "403 session_not_found");
}

async fn no_secret_is_in_any_log(engine: Engine) {
    let shop = shop(engine).await;
    let app = &shop.app;
    let mut given = Given::default();
    given.add("smtp password", smtp::PASSWORD);
    given.add("signing key", SIGNING);
    given.add("provider's secret", CLIENT_SECRET);
    let session = users_do_what_they_do(&shop, &mut given).await;
    factors(&shop, &session, &mut given).await;
    provider(&shop, &mut given).await;
    admins(&shop, &mut given).await;
    nonsense(app, &session).await;

    let mut found = Vec::new();
    let server = app.server.log();
    assert!(
        server.iter().any(|line| line.contains("\"DEBUG\"")),
        "it tells little"
    );
    found.extend(given.found("the server's log", &server));
    let records: Vec<String> = app.records().await.iter().map(Value::to_string).collect();
    assert!(
        records.iter().any(|line| line.contains("\"mail\"")),
        "{records:?}"
    );
    found.extend(given.found("the app's log", &records));
    let mut audit = Vec::new();
    for page in 1..=20 {
        let path = format!("/admin/audit?page={page}&per_page=1000");
        let entries = app.admin("GET", &path).await.json();
        audit.extend(
            entries
                .as_array()
                .expect("a list")
                .iter()
                .map(Value::to_string),
        );
    }
    assert!(audit.len() > 10, "{audit:?}");
    found.extend(given.found("the audit log", &audit));
    let metrics = app.server.call("GET", "/metrics").await.text();
    let metrics: Vec<String> = metrics.lines().map(str::to_owned).collect();
    found.extend(given.found("metrics", &metrics));
    // What the platform shows of the app afterwards, keys for clients aside.
    for path in ["/keys", "/signing-keys", "/secrets", "/revisions"] {
        let shown = app.platform("GET", path).await;
        let hits = given.found(path, &[shown.text()]);
        found.extend(hits);
    }
    assert!(found.is_empty(), "{} hits: {found:#?}", found.len());
}
