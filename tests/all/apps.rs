//! Apps: each has its own of everything, and what belongs to one is not seen by another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;
use pumice_tests::{App, TestServer, digest, guest};
use serde_json::{Value, json};

async fn pair() -> (App, App) {
    let server = TestServer::shared().await;
    (server.app("shop").await, server.app("forum").await)
}

#[tokio::test]
async fn an_apps_keys_open_no_other_app() {
    let (shop, forum) = pair().await;
    for app in [&shop, &forum] {
        app.function(guest!("hello")).await;
    }
    for key in [&shop.anon_key, &shop.service_role_key] {
        let own = shop.call("POST", "/functions/v1/hello").bearer(key).await;
        own.is("200 hello");
        let others = forum.call("POST", "/functions/v1/hello").bearer(key).await;
        others.is(r#"401 {"code":401,"message":"Invalid JWT"}"#);
        let others = forum.call("POST", "/functions/v1/hello");
        let others = others.header("apikey", key).await;
        assert_eq!(others.status, 401);
    }
}

#[tokio::test]
async fn apps_have_caches_of_their_own() {
    let (shop, forum) = pair().await;
    for app in [&shop, &forum] {
        app.function(guest!("counter")).await;
    }
    assert_snapshot!(shop.invoke("counter").await, @"200 1");
    assert_snapshot!(shop.invoke("counter?by=10").await, @"200 11");
    assert_snapshot!(forum.invoke("counter").await, @"200 1");
    assert_eq!(shop.invoke("counter?delete=1").await.status, 204);
    assert_snapshot!(shop.invoke("counter").await, @"200 1");
    assert_snapshot!(forum.invoke("counter").await, @"200 2");
}

#[tokio::test]
async fn apps_have_config_secrets_and_names_of_their_own() {
    let (shop, forum) = pair().await;
    for (app, currency) in [(&shop, "EUR"), (&forum, "USD")] {
        app.secret("TOKEN", &format!("the token of {}", app.name))
            .await;
        app.function(guest!("whoami"))
            .with(r#"secrets = ["TOKEN"]"#)
            .table(&format!("[config]\ncurrency = \"{currency}\""))
            .await;
        let who = app.invoke("whoami?secret=TOKEN").await.json();
        assert_eq!(who["app"], app.name.as_str());
        assert_eq!(who["config"]["currency"], currency);
        assert_eq!(who["secret"], format!("the token of {}", app.name));
    }
}

#[tokio::test]
async fn apps_have_logs_and_files_of_their_own() {
    let (shop, forum) = pair().await;
    shop.function(guest!("panic"))
        .file("index.html", "the shop's")
        .await;
    forum.file("other.html", "the forum's").await;
    let trapped = shop.invoke("panic").await;
    assert_eq!(trapped.status, 500);
    shop.outcome(trapped.request_id()).await;
    assert_eq!(forum.records().await, Vec::<Value>::new());
    assert_snapshot!(shop.get("/index.html").await, @"200 the shop's");
    assert_eq!(forum.get("/index.html").await.status, 404);
    // The same content, uploaded to another app, is not there for this one.
    let theirs = digest(b"the shop's");
    let taken = forum
        .platform("POST", "/revisions")
        .json(&json!({
            "manifest": format!("[app]\nname = \"{}\"\n", forum.name),
            "files": { "public/stolen.html": { "digest": theirs, "size": 10 } },
        }))
        .await;
    assert_eq!(
        (taken.status, &taken.json()["missing"]),
        (409, &json!([theirs]))
    );
}

#[tokio::test]
async fn an_app_is_reached_by_path_and_by_host() {
    let server = TestServer::shared().await;
    let app = server.app("reached").await;
    app.function(guest!("seen")).access("public").await;
    let port = server.address().rsplit_once(':').expect("a port").1;
    let host = format!("{}.localhost:{port}", app.name);
    for host in [
        &host,
        &host.to_uppercase(),
        &format!("{}.localhost", app.name),
    ] {
        let answer = server
            .call("GET", "/functions/v1/seen/x")
            .header("host", host)
            .await;
        let seen = answer.json();
        assert_eq!(seen["path"], "/seen/x");
        let prefix = seen["headers"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|pair| pair[0] == "x-forwarded-prefix");
        assert_eq!(prefix.expect("it is there")[1], "/functions/v1");
    }
    assert_eq!(
        app.get("/functions/v1/seen/x").await.json()["path"],
        "/seen/x"
    );
    // At a host of its own an app shows nothing of another.
    let other = server.app("other").await;
    other.file("page.html", "other").await;
    let strange = server
        .call("GET", &format!("/a/{}/page.html", other.name))
        .header("host", &host)
        .await;
    assert_eq!(strange.status, 404);
    other.get("/page.html").await.is("200 other");
    for host in [
        "localhost",
        "nobody.localhost",
        "example.com",
        ".localhost",
        "x.y.localhost",
    ] {
        let lost = server
            .call("GET", "/functions/v1/seen")
            .header("host", host)
            .await;
        lost.is(r#"421 {"code":"request.no_host","message":"no app is served at this host; use /a/<app>/ or <app>.<domain>","request_id":"[request id]"}"#);
    }
    assert_eq!(server.call("GET", "/a/nobody/").await.status, 421);
}

#[tokio::test]
async fn what_is_no_http_is_no_harm() {
    let server = TestServer::shared().await;
    let app = server.app("raw").await;
    app.function(guest!("hello")).access("public").await;
    let path = format!("/a/{}/functions/v1/hello", app.name);
    let long = "x".repeat(70_000);
    let requests = [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n"),
            "400",
        ),
        (
            format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
            ),
            "400",
        ),
        (
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n"),
            "431",
        ),
        (
            format!("GET {path}?{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
            "431",
        ),
        // The absolute form, which proxies send.
        (
            format!(
                "GET http://{}.localhost/functions/v1/hello HTTP/1.1\r\nhost: other\r\n\r\n",
                app.name
            ),
            "200",
        ),
    ];
    for (request, status) in requests {
        let shown = &request[..request.len().min(60)];
        let head = pumice_tests::raw(server.address(), request.as_bytes()).await;
        let told = head.split(' ').nth(1);
        assert_eq!(told, Some(status), "{shown}: {head}");
    }
    assert_snapshot!(app.get("/functions/v1/hello").await, @"200 hello");
}

#[tokio::test]
async fn the_server_says_how_it_is() {
    let server = TestServer::shared().await;
    assert_snapshot!(server.call("GET", "/health").await, @"200 ok");
    assert_snapshot!(server.call("GET", "/ready").await, @"200 ready");
    let metrics = server.call("GET", "/metrics").await;
    assert!(
        metrics
            .text()
            .contains("# TYPE pumice_requests_total counter")
    );
}

#[tokio::test]
async fn the_public_key_verifies_the_apps_keys() {
    let (shop, forum) = pair().await;
    let jwks = shop.get("/auth/v1/.well-known/jwks.json").await;
    assert_eq!(jwks.header("content-type"), "application/json");
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&jwks.body).unwrap();
    let validation = {
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.validate_aud = false;
        validation
    };
    let verify = |token: &str| {
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(jwks.find(&kid)?).unwrap();
        jsonwebtoken::decode::<Value>(token, &key, &validation)
            .ok()
            .map(|token| token.claims)
    };
    assert_eq!(verify(&shop.anon_key).unwrap()["role"], "anon");
    assert_eq!(verify(&shop.anon_key).unwrap()["ref"], shop.id.as_str());
    assert_eq!(
        verify(&shop.service_role_key).unwrap()["role"],
        "service_role"
    );
    assert_eq!(verify(&forum.anon_key), None);
    let text = serde_json::to_string(&jwks).unwrap();
    assert!(!text.contains("\"d\""), "the private part is shown");
}

#[tokio::test]
async fn a_changed_token_opens_nothing() {
    let (shop, _) = pair().await;
    shop.function(guest!("hello")).access("service").await;
    let parts: Vec<&str> = shop.anon_key.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let claims = String::from_utf8(claims).unwrap();
    let raised = URL_SAFE_NO_PAD.encode(claims.replace("\"anon\"", "\"service_role\""));
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    for token in [
        format!("{}.{raised}.{}", parts[0], parts[2]),
        format!("{none}.{raised}."),
        format!("{}.{raised}.", parts[0]),
        format!("{}.{}", parts[0], parts[1]),
        String::new(),
        "a".repeat(20_000),
    ] {
        let refused = shop
            .call("POST", "/functions/v1/hello")
            .bearer(&token)
            .await;
        assert_eq!(refused.status, 401, "{token}: {refused}");
    }
    let good = shop
        .call("POST", "/functions/v1/hello")
        .bearer(&shop.service_role_key);
    assert_snapshot!(good.await, @"200 hello");
}

#[tokio::test]
async fn a_deleted_app_is_gone_with_everything_it_had() {
    let server = TestServer::shared().await;
    let app = server.app("gone").await;
    app.secret("TOKEN", "value").await;
    app.function(guest!("hello")).access("public").await;
    let answer = app.get("/functions/v1/hello").await;
    app.outcome(answer.request_id()).await;
    let folder = app.folder();
    assert!(folder.join("blobs").is_dir() && folder.join("logs").is_dir());

    let deleted = app.platform("DELETE", "").await;
    assert_snapshot!(deleted, @"204 ");
    assert!(!folder.exists());
    assert_eq!(app.get("/functions/v1/hello").await.status, 421);
    for path in ["", "/logs", "/revisions", "/secrets"] {
        assert_eq!(app.platform("GET", path).await.status, 404, "{path}");
    }
    assert_eq!(app.platform("DELETE", "").await.status, 404);

    // The name is free, and whoever takes it gets nothing of the old app.
    let again = server
        .platform("POST", "/apps")
        .json(&json!({ "name": app.name }))
        .await;
    assert_eq!(again.status, 201, "{again}");
    let again = server.found(&app.name).await;
    assert_ne!((&again.id, &again.anon_key), (&app.id, &app.anon_key));
    assert_snapshot!(again.platform("GET", "/secrets").await, @"200 []");
    again.function(guest!("hello")).await;
    let old_key = again.invoke("hello").without("authorization");
    assert_eq!(old_key.bearer(&app.service_role_key).await.status, 401);
}

#[tokio::test]
async fn names_of_apps() {
    let server = TestServer::start().await;
    let create = |name: &str| {
        server
            .platform("POST", "/apps")
            .json(&json!({ "name": name }))
    };
    let longest = format!("a{}", "b".repeat(39));
    for name in ["a", "shop-2", &longest] {
        assert_eq!(create(name).await.status, 201, "{name}");
    }
    assert_snapshot!(create("a").await, @r#"409 {"code":"platform.app_exists","message":"there is an app `a` already","request_id":"[request id]"}"#);
    let longer = format!("a{}", "b".repeat(40));
    for name in [
        "", "Shop", "2shop", "shop-", "a.b", "a/b", "..", "a b", "é", &longer,
    ] {
        let refused = create(name).await;
        assert_eq!(refused.json()["code"], "platform.invalid_name", "{name}");
        assert_eq!(refused.status, 400);
    }
    let odd = server
        .platform("POST", "/apps")
        .json(&json!({ "name": "x", "colour": 1 }))
        .await;
    assert_eq!(odd.json()["code"], "platform.bad_request");
}

#[tokio::test]
async fn every_platform_route_wants_the_platform_key() {
    let server = TestServer::shared().await;
    let app = server.app("locked").await;
    app.function(guest!("hello")).await;
    let blob = digest(b"x");
    let below = |path: &str| format!("/platform/v1/apps/{}{path}", app.name);
    let routes = [
        ("GET", "/platform/v1/apps".to_owned()),
        ("POST", "/platform/v1/apps".to_owned()),
        ("GET", below("")),
        ("DELETE", below("")),
        ("PUT", below(&format!("/blobs/{blob}"))),
        ("GET", below("/revisions")),
        ("POST", below("/revisions")),
        ("POST", below("/rollback")),
        ("GET", below("/move")),
        ("POST", below("/move")),
        ("PUT", below("/database")),
        ("POST", below("/mail/test")),
        ("GET", below("/secrets")),
        ("PUT", below("/secrets/TOKEN")),
        ("DELETE", below("/secrets/TOKEN")),
        ("GET", below("/keys")),
        ("POST", below("/keys")),
        ("DELETE", below("/keys/none")),
        ("GET", below("/signing-keys")),
        ("POST", below("/signing-keys")),
        ("POST", below("/signing-keys/rotate")),
        ("DELETE", below("/signing-keys/none")),
        ("GET", below("/logs")),
        ("GET", below("/logs?follow=true")),
        ("GET", below("/schema")),
        ("GET", below("/migrations")),
        ("GET", "/platform/v1/apps/nobody".to_owned()),
    ];
    let almost = &server.key()[..server.key().len() - 1];
    let keys = [
        None,
        Some(""),
        Some(almost),
        Some(app.service_role_key.as_str()),
        Some(app.anon_key.as_str()),
    ];
    for (method, path) in &routes {
        for key in keys {
            let mut call = server.call(method, path).body("{}");
            if let Some(key) = key {
                call = call.bearer(key).header("apikey", key);
            }
            let refused = call.await;
            assert_eq!(
                refused.status, 401,
                "{method} {path} with {key:?}: {refused}"
            );
            assert_eq!(refused.json()["code"], "platform.unauthorized");
            assert_eq!(refused.json()["request_id"], refused.request_id());
        }
        let allowed = server.call(method, path).bearer(server.key());
        if *method == "GET" && !path.contains("follow") {
            assert_ne!(allowed.await.status, 401, "{method} {path}");
        }
    }
    // The matrix above has every route: what else is asked for is not there.
    let source = std::fs::read_to_string(
        pumice_tests::repository().join("runtime/src/services/platform/routes.rs"),
    )
    .unwrap();
    assert_eq!(
        source.matches(".route(").count(),
        18,
        "a route was added: add it to the matrix"
    );
    assert_snapshot!(app.invoke("hello").await, @"200 hello");
}
