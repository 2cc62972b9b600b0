//! The README's example of a table, as it stands there.

use pumice_tests::{Command, node_script, repository};
use serde_json::Value;

/// The first block of code in this language below a heading.
fn block<'t>(text: &'t str, heading: &str, language: &str) -> &'t str {
    let (_, section) = text.split_once(heading).expect("it has the heading");
    let (_, code) = section
        .split_once(&format!("```{language}\n"))
        .expect("it has the block");
    code.split_once("```").expect("the block ends").0
}

#[tokio::test]
async fn a_table_and_the_official_client_in_ten_lines() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let heading = "## Tables and migrations";
    let (sql, js) = (
        block(&readme, heading, "sql"),
        block(&readme, heading, "js"),
    );
    let lines = sql.lines().chain(js.lines());
    assert!(lines.filter(|line| !line.starts_with("--")).count() <= 10);

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("migrations")).unwrap();
    std::fs::write(folder.join("migrations/0001_init.sql"), sql).unwrap();
    std::fs::write(folder.join("pumice.toml"), "[app]\nname = \"todo\"\n").unwrap();
    let arguments = ["--json", "dev", "--listen", "127.0.0.1:0"];
    let process = Command::pumice(folder, &arguments).start();
    let event = |name: &'static str| {
        process
            .stdout
            .json(move |event: &Value| event["event"] == name)
    };
    let serving = event("serving").await;
    event("deployed").await;
    let (url, key) = (&serving["url"], &serving["anon_key"]);
    let js = js
        .replace("'http://127.0.0.1:8787'", &url.to_string())
        .replace("anonKey", &key.to_string());
    // The client stands beside the tests' own scripts.
    let modules = repository().join("tests/js/node_modules");
    std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
    let script = folder.join("todo.mjs");
    std::fs::write(&script, js).unwrap();
    // What Node.js has from version 22 on, and the client asks for.
    let env = [("NODE_OPTIONS", "--experimental-websocket")];
    let printed = node_script(script.to_str().expect("it is text"), &env).await;
    assert_eq!(printed.trim(), "[ { title: 'float' } ]");
}
