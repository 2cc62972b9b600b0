//! Signing keys follow each other, and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pumice_tests::{Answer, TestServer, guest, in_time};
use serde_json::Value;

use super::{SHARED, app, key, user};

pub(super) fn states(keys: &Value) -> Vec<&str> {
    let keys = keys.as_array().expect("it is a list");
    keys.iter()
        .filter_map(|key| key["state"].as_str())
        .collect()
}

#[tokio::test]
async fn a_rotation_drops_no_request() {
    let server = TestServer::shared().await;
    let app = app(&server, "rotating", SHARED).await;
    let page = key(&app, "publishable", "page", None).await;
    let first = app.platform("GET", "/signing-keys").await.json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let done = Arc::new(AtomicBool::new(false));
    let (answered, mut answers) = tokio::sync::mpsc::channel::<Answer>(1);
    let mut clients = Vec::new();
    for client in 0..4 {
        let (app, done, answered) = (app.clone(), done.clone(), answered.clone());
        let tokens = [
            app.anon_key.clone(),
            page.clone(),
            user(SHARED),
            app.service_role_key.clone(),
        ];
        clients.push(tokio::spawn(async move {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let path = ["/rest/v1/note", "/functions/v1/whoami"][sent % 2];
                let answer = app.get(path).bearer(&tokens[(client + sent) % 4]).await;
                sent += 1;
                // Each is looked at; this also lets the rotations wait for requests between them.
                if answered.send(answer).await.is_err() {
                    break;
                }
            }
        }));
    }
    drop(answered);
    let mut count = 0;
    for rotation in 0..20 {
        for step in ["/signing-keys", "/signing-keys/rotate"] {
            let changed = app.platform("POST", step);
            let mut changed = std::pin::pin!(async { changed.await });
            let changed = in_time("a rotation", async {
                loop {
                    tokio::select! {
                        changed = &mut changed => break changed,
                        Some(answer) = answers.recv() => {
                            assert_eq!(answer.status, 200, "{rotation}: {answer}");
                            count += 1;
                        }
                    }
                }
            });
            let changed = changed.await;
            assert!([200, 201].contains(&changed.status), "{changed}");
            // One that was sent after it.
            for _ in 0..8 {
                let answer = in_time("an answer", answers.recv())
                    .await
                    .expect("clients run");
                assert_eq!(answer.status, 200, "{rotation}: {answer}");
                count += 1;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    while let Some(answer) = answers.recv().await {
        assert_eq!(answer.status, 200, "{answer}");
    }
    for client in clients {
        client.await.expect("no client panics");
    }
    assert!(count >= 320, "{count}");
    let all = app.platform("GET", "/signing-keys").await.json();
    let mut expect = vec!["previously_used"; 20];
    expect.insert(0, "in_use");
    let mut found = states(&all);
    found.sort_unstable();
    assert_eq!(found, expect);
    let jwks = app.get("/auth/v1/.well-known/jwks.json").await.json();
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(21));
    assert!(jwks.to_string().contains(&first));
}

#[tokio::test]
async fn a_revoked_signing_key_ends_its_tokens_at_once() {
    let server = TestServer::shared().await;
    let app = server.app("revoking").await;
    app.function(guest!("env")).await;
    let list = async || app.platform("GET", "/signing-keys").await.json();
    let first = list().await[0]["id"].as_str().unwrap().to_owned();
    let revoke = |kid: &str| app.platform("DELETE", &format!("/signing-keys/{kid}"));
    let post = |path: &str| app.platform("POST", &format!("/signing-keys{path}"));
    revoke(&first).await.refused(409, "platform.key_in_use");
    post("/rotate").await.refused(409, "platform.no_standby");
    assert_eq!(post("").await.status, 201);
    post("").await.refused(409, "platform.standby_exists");
    let rotated = post("/rotate").await;
    assert_eq!(rotated.status, 200, "{rotated}");
    let second = rotated.json()["id"].clone();

    // Remembered as good, and still refused.
    assert_eq!(app.invoke("env").await.status, 200);
    assert_eq!(revoke(&first).await.status, 204);
    assert_eq!(app.invoke("env").await.status, 401);
    revoke(&first).await.refused(404, "platform.no_key");
    let all = list().await;
    let mut found = states(&all);
    found.sort_unstable();
    assert_eq!(found, ["in_use", "revoked"]);
    let jwks = app.get("/auth/v1/.well-known/jwks.json").await.json();
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(jwks["keys"][0]["kid"], second);

    // The key in use has signed new API keys, and guests know them.
    let now = server.found(&app.name).await;
    assert_ne!(now.anon_key, app.anon_key);
    let seen = now.invoke("env").await.json();
    assert_eq!(
        seen["variables"]["SUPABASE_ANON_KEY"],
        now.anon_key.as_str()
    );
    assert_eq!(
        seen["variables"]["SUPABASE_SERVICE_ROLE_KEY"],
        now.service_role_key.as_str()
    );
    assert_eq!(seen["variables"]["SUPABASE_JWKS"], jwks.to_string());

    // A key on standby may end before it has ever signed; and there is a most.
    let unused = post("").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(revoke(&unused).await.status, 204);
    for _ in 1..32 {
        assert_eq!(post("").await.status, 201);
        assert_eq!(post("/rotate").await.status, 200);
    }
    post("").await.refused(400, "platform.too_many_keys");
}
