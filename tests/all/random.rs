//! Chance comes from the host at run time: nothing of it is baked into a component.

use pumice_tests::{App, TestServer, guest};

async fn differ(app: &App, function: &str) {
    let first = app.invoke(function).await.json();
    let second = app.invoke(function).await.json();
    let first = first.as_object().expect("it is an object");
    for (name, value) in first {
        assert_ne!(*value, second[name], "{name} was made before the call");
    }
}

#[tokio::test]
async fn two_instances_of_a_rust_guest_differ() {
    let app = TestServer::shared().await.app("random").await;
    app.function(guest!("random")).await;
    differ(&app, "random").await;
    let first = app.invoke("random").await.json();
    assert_eq!(first["bytes"].as_str().map(str::len), Some(32));
    assert_eq!(first["hash"].as_str().map(str::len), Some(16));
}

#[tokio::test]
async fn two_instances_of_a_typescript_guest_differ() {
    let component = crate::cli::javascript("random.ts").await;
    let app = TestServer::shared().await.app("js-random").await;
    app.function(component).await;
    differ(&app, "random").await;
}
