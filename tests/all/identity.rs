//! What a guest learns from its host, and what it does not.

use insta::assert_snapshot;
use pumice_tests::{Guest, TestServer, guest, repository};
use serde_json::{Value, json};

#[tokio::test]
async fn a_guest_knows_who_calls() {
    let app = TestServer::shared().await.app("who").await;
    app.function(guest!("whoami"))
        .access("public")
        .table("[config]\ncurrency = \"EUR\"\nretries = 3\nbeta = true")
        .await;
    let ask = || app.call("GET", "/functions/v1/whoami");
    let anon = ask().bearer(&app.anon_key).await.json();
    assert_eq!(anon["role"], "anon");
    assert_eq!(anon["claims"]["ref"], app.id.as_str());
    assert_eq!(anon["user_id"], Value::Null);
    assert_eq!(
        anon["config"],
        json!({ "beta": "true", "currency": "EUR", "retries": "3" })
    );
    let service = ask().header("apikey", &app.service_role_key).await.json();
    assert_eq!(service["role"], "service_role");
    let nobody = ask().await.json();
    assert_eq!(
        (&nobody["role"], &nobody["claims"]),
        (&json!("anon"), &json!({}))
    );
    let forged = ask().bearer("forged").await.json();
    assert_eq!(forged["role"], "anon");
    // The bearer token is the caller, the key only says which app.
    let both = ask()
        .bearer(&app.anon_key)
        .header("apikey", &app.service_role_key)
        .await;
    assert_eq!(both.json()["role"], "anon");
}

#[tokio::test]
async fn permissions_are_denied_until_there_are_any() {
    let app = TestServer::shared().await.app("permissions").await;
    app.function(guest!("whoami")).await;
    let answer = app.invoke("whoami?permission=shop.refund").await.json();
    let held = answer["permission"].as_str().expect("it is text");
    assert_ne!(held, "true");
}

#[tokio::test]
async fn a_secret_is_for_the_entries_that_list_it() {
    let app = TestServer::shared().await.app("granted").await;
    app.secret("GRANTED", "open sesame").await;
    app.secret("OTHER", "not for whoami").await;
    app.function(guest!("whoami"))
        .with(r#"secrets = ["GRANTED", "UNSET"]"#)
        .function(guest!("whoami").named("poor"))
        .await;
    let secret = async |function: &str, name: &str| {
        let answer = app.invoke(&format!("{function}?secret={name}")).await;
        answer.json()["secret"]
            .as_str()
            .expect("it is text")
            .to_owned()
    };
    assert_eq!(secret("whoami", "GRANTED").await, "open sesame");
    for (function, name) in [
        ("whoami", "OTHER"),
        ("whoami", "UNSET"),
        ("whoami", "NOWHERE"),
        ("poor", "GRANTED"),
    ] {
        let refusal = secret(function, name).await;
        assert!(
            !refusal.contains("sesame") && !refusal.contains("not for whoami"),
            "{function} {name}: {refusal}"
        );
    }
    // A new value is there at the next call, and a deleted one is not.
    app.secret("GRANTED", "closed sesame").await;
    assert_eq!(secret("whoami", "GRANTED").await, "closed sesame");
    let deleted = app.platform("DELETE", "/secrets/GRANTED").await;
    assert_eq!(deleted.status, 204);
    assert!(!secret("whoami", "GRANTED").await.contains("sesame"));
}

#[tokio::test]
async fn names_and_sizes_of_secrets() {
    let app = TestServer::shared().await.app("secrets").await;
    let put = |name: &str, value: &str| {
        app.platform("PUT", &format!("/secrets/{name}"))
            .json(&json!({ "value": value }))
    };
    for name in ["lower", "1ST", "SUPABASE_URL", "A-B"] {
        let refused = put(name, "x").await;
        assert_eq!(
            refused.json()["code"],
            "platform.invalid_secret_name",
            "{name}"
        );
    }
    assert_eq!(put("MOST", &"x".repeat(64 * 1024)).await.status, 204);
    let over = put("OVER", &"x".repeat(64 * 1024 + 1)).await;
    assert_eq!(over.json()["code"], "platform.secret_limits");
    assert_eq!(
        put("EMPTY", "").await.json()["code"],
        "platform.secret_limits"
    );
    assert_snapshot!(app.platform("GET", "/secrets").await, @r#"200 ["MOST"]"#);
    let unknown = app.platform("DELETE", "/secrets/NONE").await;
    assert_eq!(unknown.json()["code"], "platform.no_secret");
}

#[tokio::test]
async fn no_log_and_no_file_shows_a_secret() {
    const CANARY: &str = "canary-5b1f0c7e";
    let server = TestServer::start().await;
    let app = server.app("canary").await;
    app.secret("CANARY", CANARY).await;
    app.function(guest!("whoami"))
        .with(r#"secrets = ["CANARY"]"#)
        .function(guest!("panic"))
        .await;
    let told = app.invoke("whoami?secret=CANARY").await;
    assert_eq!(told.json()["secret"], CANARY);
    app.invoke(&format!("panic?token={CANARY}")).await;
    let refused = app.get(&format!("/nowhere?apikey={CANARY}")).await;
    assert_eq!(refused.status, 404);
    app.platform("PUT", "/secrets/CANARY")
        .body(format!("{{\"value\":\"{CANARY}\",}}"))
        .await;
    let shown =
        app.platform("GET", "").await.text() + &app.platform("GET", "/secrets").await.text();
    assert!(!shown.contains(CANARY));
    let records = app.records().await;
    assert!(!records.is_empty() && !format!("{records:?}").contains(CANARY));
    let log = server.log().join("\n");
    assert!(log.contains("ready") && !log.contains(CANARY), "{log}");
    assert!(!log.contains(&app.service_role_key) && !log.contains(server.key()));

    let data = server.data().to_owned();
    let mut folders = vec![data];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(CANARY.len())
                .any(|part| part == CANARY.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
            files += 1;
        }
    }
    assert!(files > 5);
}

#[tokio::test]
async fn the_sandbox_shows_the_dialects_variables_and_nothing_of_the_process() {
    let server = TestServer::shared().await;
    let app = server.app("env").await;
    app.secret("TOKEN", "hidden").await;
    app.function(guest!("env"))
        .with(r#"secrets = ["TOKEN"]"#)
        .table("[config]\nCURRENCY = \"EUR\"")
        .await;
    let env = app.invoke("env").await.json();
    let variables = env["variables"].as_object().expect("it is an object");
    assert_eq!(variables["CURRENCY"], "EUR");
    assert_eq!(
        variables["SUPABASE_URL"],
        server.url(&format!("/a/{}", app.name))
    );
    assert_eq!(variables["SUPABASE_ANON_KEY"], app.anon_key.as_str());
    assert_eq!(
        variables["SUPABASE_SERVICE_ROLE_KEY"],
        app.service_role_key.as_str()
    );
    let foreign: Vec<_> = variables
        .keys()
        .filter(|name| *name != "CURRENCY" && !name.starts_with("SUPABASE_"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(
        env["arguments"].as_array().is_some_and(Vec::is_empty),
        "{env}"
    );
    let files = &env["files"];
    assert!(
        files.is_string() || files.as_array().is_some_and(Vec::is_empty),
        "{env}"
    );
}

#[tokio::test]
async fn what_has_no_service_yet_says_so() {
    let app = TestServer::shared().await.app("stubs").await;
    app.function(guest!("platform_stubs")).await;
    let answers = app.invoke("platform-stubs").await.json();
    let answers = answers.as_object().expect("it is an object");
    let names: Vec<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(names, ["mail", "push"]);
    for (name, answer) in answers {
        assert_eq!(answer, "not-configured", "{name}");
    }
}

/// The component that was built against `pumice:platform@0.1.0` when it was new, and is in the repository as
/// it was then. Whatever changes, it must load and answer: never build it anew.
#[tokio::test]
async fn the_golden_component_answers_as_on_its_first_day() {
    let path = repository().join("tests/golden/platform-0.1.0.wasm");
    let committed = Guest::new(
        "golden",
        std::fs::read(path).expect("it is in the repository"),
    );
    // The one built today, so that its source is not forgotten.
    for golden in [committed, guest!("golden")] {
        let app = TestServer::shared().await.app("golden").await;
        app.function(golden)
            .table("[config]\ngreeting = \"good morning\"")
            .await;
        for visits in [1, 2] {
            let answer = app.invoke("golden").await;
            assert_eq!(
                answer.json(),
                json!({ "app": app.name, "role": "anon", "greeting": "good morning", "visits": visits })
            );
        }
        let records = app.records().await;
        let line = records.iter().find(|record| record["type"] == "line");
        let line = line.expect("it logs");
        assert_eq!(line["message"], "golden was called");
        assert_eq!(line["level"], "info");
        assert_eq!(line["fields"], json!({ "role": "anon", "visits": "1" }));
    }
}

#[tokio::test]
async fn counters_end_with_their_lifetime() {
    let app = TestServer::shared().await.app("lifetime").await;
    app.function(guest!("counter")).await;
    assert_snapshot!(app.invoke("counter?key=long").await, @"200 1");
    assert_snapshot!(app.invoke("counter?key=short&ttl_ms=1").await, @"200 1");
    // Deploying, calling and compiling take longer than a millisecond.
    app.function(guest!("counter"))
        .function(guest!("hello"))
        .await;
    assert_snapshot!(app.invoke("counter?key=short&ttl_ms=1").await, @"200 1");
    assert_snapshot!(app.invoke("counter?key=long").await, @"200 2");
}
