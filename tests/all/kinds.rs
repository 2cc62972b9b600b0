//! Entries of every kind, as they are deployed.

use bytes::Bytes;
use insta::assert_snapshot;
use pumice_tests::{App, TestServer, guest};

fn message(answer: &pumice_tests::Answer) -> String {
    let answer = answer.json();
    answer["message"].as_str().expect("it is text").to_owned()
}

/// A manifest with these tables.
fn manifest(app: &App, tables: &str) -> String {
    format!("[app]\nname = \"{}\"\n{tables}", app.name)
}

/// One entry of each kind, all of the component `all.wasm`.
const EVERY_KIND: &str = r#"
[[function]]
name = "all"
path = "all.wasm"
access = "public"
[[trigger]]
name = "check"
path = "./all.wasm"
table = "orders"
when = "before"
on = ["insert"]
[[trigger]]
name = "tell"
path = "all.wasm"
table = "orders"
when = "after"
on = ["insert", "update", "delete"]
[[procedure]]
name = "transfer"
path = "all.wasm"
[[script]]
name = "digest"
path = "all.wasm"
[[hook]]
name = "all"
path = "all.wasm"
on = "before-user-created"
[[hook]]
name = "claims"
path = "all.wasm"
on = "custom-claims"
[[hook]]
name = "post"
path = "all.wasm"
on = "send-message"
[[schedule]]
script = "digest"
cron = "0 * * * *"
[[bucket]]
name = "avatars"
"#;

#[tokio::test]
async fn one_component_serves_entries_of_every_kind() {
    let app = TestServer::shared().await.app("every-kind").await;
    let manifest = manifest(&app, EVERY_KIND);
    let all = ("components/all.wasm", guest!("many_kinds").bytes);
    let deployed = app.push(&manifest, std::slice::from_ref(&all)).await;
    assert_eq!(deployed.status, 201, "{deployed}");
    assert_eq!(app.get("/functions/v1/all").await.status, 204);

    // A component for each entry would be a file too many, and none too few.
    let more = ("components/check.wasm", all.1.clone());
    let answer = app.push(&manifest, &[all, more]).await;
    assert_eq!(answer.json()["code"], "platform.invalid_path", "{answer}");
    let answer = app.push(&manifest, &[]).await;
    let faults = answer.json()["faults"].as_array().map(Vec::len);
    assert_eq!(faults, Some(8), "{answer}");

    // One that is a function only: the first entry it cannot be is named.
    let other = ("components/all.wasm", guest!("hello").bytes);
    let answer = app.push(&manifest, &[other]).await;
    assert_eq!(answer.status, 422, "{answer}");
    let message = message(&answer);
    let wanted = "before-trigger `check`: the component does not export pumice:platform/before-trigger-handler@0.1.0; it exports ";
    assert!(message.starts_with(wanted), "{message}");
    assert!(
        message.contains("wasi:http/incoming-handler@0.2."),
        "{message}"
    );
    assert_eq!(app.get("/functions/v1/all").await.status, 204);
}

#[tokio::test]
async fn a_component_of_another_kind_is_refused() {
    let app = TestServer::shared().await.app("other-kind").await;
    let script = manifest(&app, "[[script]]\nname = \"s\"\npath = \"s.wasm\"\n");
    for (component, fits) in [
        (guest!("many_kinds").bytes, true),
        (guest!("proc_echo").bytes, false),
    ] {
        let answer = app.push(&script, &[("components/s.wasm", component)]).await;
        assert_eq!(answer.status, if fits { 201 } else { 422 }, "{answer}");
        if !fits {
            assert_snapshot!(message(&answer), @"script `s`: the component does not export pumice:platform/script-handler@0.1.0; it exports pumice:platform/procedure-handler@0.1.0");
        }
    }
}

#[tokio::test]
async fn migrations_and_seed_are_files_of_a_bundle() {
    let server = TestServer::shared().await;
    let sql = |bytes: usize| Bytes::from(vec![b' '; bytes]);
    let edge = 1 << 20;
    for (name, path) in [
        ("sql-edge", "migrations/0001_init.sql"),
        ("seed-edge", "seed.sql"),
    ] {
        // What has run may not go again: an app for each.
        let app = server.app(name).await;
        let manifest = manifest(&app, "");
        let fits = app.push(&manifest, &[(path, sql(edge))]).await;
        assert_eq!(fits.status, 201, "{fits}");
        let over = app.push(&manifest, &[(path, sql(edge + 1))]).await;
        assert_eq!(over.json()["code"], "platform.file_too_large", "{over}");
    }
    let app = server.app("migrations").await;
    let manifest = manifest(&app, "");
    for path in ["migrations/notes.md", "migrations/old/1.sql", "other.sql"] {
        let answer = app.push(&manifest, &[(path, sql(1))]).await;
        assert_eq!(answer.json()["code"], "platform.invalid_path", "{answer}");
    }
    let names: Vec<String> = (0..=1_000)
        .map(|number| format!("migrations/{number:04}_m.sql"))
        .collect();
    let digest = pumice_tests::digest(&sql(1));
    let bundle = |count: usize| {
        let files = names.iter().take(count);
        let file = serde_json::json!({ "digest": digest, "size": 1 });
        let files = files.map(|name| (name.clone(), file.clone()));
        let files: serde_json::Map<String, serde_json::Value> = files.collect();
        serde_json::json!({ "manifest": manifest, "files": files })
    };
    let most = app
        .platform("POST", "/revisions")
        .json(&bundle(1_000))
        .await;
    assert_eq!(most.status, 201, "{most}");
    let over = app
        .platform("POST", "/revisions")
        .json(&bundle(1_001))
        .await;
    assert_eq!(over.status, 413);
    assert_eq!(
        over.json()["code"],
        "platform.too_many_migrations",
        "{over}"
    );
}
