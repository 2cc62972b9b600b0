//! The examples are what people copy: they build and answer.

use std::path::Path;

use insta::assert_snapshot;
use pumice_tests::{Command, TestServer, repository};
use serde_json::{Value, json};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let from = entry.expect("it can be read").path();
        let name = from.file_name().expect("it has a name");
        if name == ".pumice" || name == "target" || name == "node_modules" {
            continue;
        }
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(&from, to.join(name)).expect("it can be copied");
        }
    }
}

#[tokio::test]
async fn the_hello_app_builds_and_answers() {
    let checkout = tempfile::tempdir().unwrap();
    let folder = checkout.path().join("examples/hello");
    copy(
        &repository().join("examples"),
        &checkout.path().join("examples"),
    );
    // Where the examples find the SDK in a checkout.
    let sdk = repository().join("guest-sdk");
    std::os::unix::fs::symlink(sdk, checkout.path().join("guest-sdk")).unwrap();
    let server = TestServer::start().await;
    let app = server.app("hello").await;
    let pumice = |arguments: &[&str]| {
        Command::pumice(&folder, arguments)
            .env("PUMICE_SERVER", &server.url(""))
            .env("PUMICE_KEY", server.key())
    };
    let built = async || -> Vec<(String, bool)> {
        let built = pumice(&["build", "--json"]).run().await.success().json();
        let of = |one: &Value| {
            Some((
                one["entries"][0].as_str()?.to_owned(),
                one["built"].as_bool()?,
            ))
        };
        built
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(of)
            .collect()
    };
    let names = ["hello", "greet", "foreign"];
    assert_eq!(built().await, names.map(|name| (name.to_owned(), true)));
    assert_eq!(built().await, names.map(|name| (name.to_owned(), false)));
    let script = folder.join("functions/greet.js");
    let text = std::fs::read_to_string(&script).unwrap() + "\n// changed\n";
    std::fs::write(script, text).unwrap();
    // Only what changed is built.
    assert_eq!(
        built().await,
        names.map(|name| (name.to_owned(), name == "greet"))
    );

    pumice(&["push"]).run().await.success();
    let hello = app.get("/hello/").await;
    assert_eq!(hello.status, 200, "{hello}");
    let greet = || app.invoke("greet").json(&json!({ "name": "Ada" }));
    assert_snapshot!(greet().await, @r#"200 {"message":"Hello Ada"}"#);
    assert_eq!(greet().without("authorization").await.status, 401);
    // The component that knows nothing of Pumice.
    let foreign = app
        .call("POST", "/functions/v1/foreign/x?y=1")
        .body("sent")
        .await;
    assert_snapshot!(foreign, @"
    200 POST /foreign/x?y=1
    sent
    ");
    let page = app.get("/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
}
