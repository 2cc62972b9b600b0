//! The command line, as a developer uses it.

use std::path::Path;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use pumice_tests::{Call, Command, Guest, Running, TestServer, guest, repository};
use serde_json::{Value, json};

/// An app's folder with one function called `hello`, of this guest, built already.
fn app_folder(name: &str, guest: &Guest) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pumice.toml"), manifest(name)).unwrap();
    std::fs::write(folder.path().join("hello.wasm"), &guest.bytes).unwrap();
    folder
}

fn manifest(name: &str) -> String {
    format!(
        "[app]\nname = \"{name}\"\n[[function]]\nname = \"hello\"\npath = \"hello.wasm\"\nroute = \"/hello\"\naccess = \"public\"\n"
    )
}

/// The guest `tests/js/guests/<file>`, built by `pumice build`.
pub async fn javascript(file: &str) -> Guest {
    let (stem, _) = file.split_once('.').expect("it has an ending");
    let name = &stem.replace('_', "-");
    let folder = tempfile::tempdir().unwrap();
    let manifest =
        format!("[app]\nname = \"js\"\n[[function]]\nname = \"{name}\"\npath = \"{file}\"\n");
    std::fs::write(folder.path().join("pumice.toml"), manifest).unwrap();
    let source = repository().join("tests/js/guests").join(file);
    std::fs::copy(source, folder.path().join(file)).unwrap();
    let built = Command::pumice(folder.path(), &["build", "--json"])
        .run()
        .await;
    let built = built.success().json();
    let component = built[0]["component"].as_str().expect("it is text");
    Guest::new(name, std::fs::read(component).unwrap())
}

/// `pumice dev` under way, and what it said it serves.
struct Dev {
    process: Running,
    facts: Value,
}

impl Dev {
    /// Starts it and waits until the app is deployed.
    async fn start(folder: &Path) -> Dev {
        let arguments = ["--json", "dev", "--listen", "127.0.0.1:0"];
        let process = Command::pumice(folder, &arguments).start();
        let facts = process
            .stdout
            .json(|event| event["event"] == "serving")
            .await;
        let dev = Dev { process, facts };
        let first = dev.event().await;
        assert_eq!(
            first["event"],
            "deployed",
            "{first}\n{}",
            dev.process.stderr.text()
        );
        assert_eq!(first["revision"], 1);
        dev
    }

    /// The next thing that happens.
    async fn event(&self) -> Value {
        self.process.stdout.json(|_| true).await
    }

    fn call(&self, path: &str) -> Call {
        let url = self.facts["url"].as_str().expect("it is text");
        let address = url.strip_prefix("http://").expect("it is without TLS");
        Call::new(address, "GET", path)
    }
}

#[tokio::test]
async fn a_rust_app_from_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let init = Command::pumice(empty.path(), &["init", "shop", "--template", "rust"]);
    assert!(
        init.run()
            .await
            .success()
            .stdout
            .starts_with("shop is ready")
    );
    let folder = empty.path().join("shop");
    let dev = Dev::start(&folder).await;

    assert_snapshot!(dev.call("/hello?name=Ada").await, @"200 Hello, Ada!");
    // It answers at any host, and the files are there.
    let page = dev.call("/").header("host", "shop.example").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let written: Value =
        serde_json::from_slice(&std::fs::read(folder.join(".pumice/dev.json")).unwrap()).unwrap();
    for key in ["url", "anon_key", "service_role_key"] {
        assert!(
            written[key].is_string() && written[key] == dev.facts[key],
            "{key}"
        );
    }

    let source = folder.join("functions/hello/src/lib.rs");
    let good = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, good.replace("Response::text", "Response::txt")).unwrap();
    let failed = dev.event().await;
    assert_eq!(
        (&failed["event"], &failed["serving"]),
        (&json!("failed"), &json!(1))
    );
    let error = failed["error"].as_str().expect("it is text");
    assert!(error.contains("txt") && error.contains("lib.rs"), "{error}");
    assert_snapshot!(dev.call("/hello").await, @"200 Hello, world!");

    std::fs::write(&source, good.replace("Hello", "Goodbye")).unwrap();
    let deployed = dev.event().await;
    assert_eq!(
        (&deployed["event"], &deployed["revision"]),
        (&json!("deployed"), &json!(2))
    );
    assert_snapshot!(dev.call("/hello").await, @"200 Goodbye, world!");

    // The other commands find the running server by the folder.
    let invoked = Command::pumice(&folder, &["invoke", "hello", "--method", "GET", "--json"]);
    let invoked = invoked.run().await.success().json();
    assert_eq!(
        (&invoked["status"], &invoked["body"]),
        (&json!(200), &json!("Goodbye, world!\n"))
    );
    let logs = Command::pumice(&folder, &["logs", "--json"]).run().await;
    assert!(logs.success().stdout.lines().count() >= 3);
    let again = Command::pumice(empty.path(), &["init", "shop"]).run().await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
}

#[tokio::test]
async fn a_javascript_app_from_nothing_and_a_change_within_two_seconds() {
    let empty = tempfile::tempdir().unwrap();
    let init = Command::pumice(
        empty.path(),
        &["init", "shop", "--template", "js", "--json"],
    );
    assert_eq!(init.run().await.success().json()["app"], "shop");
    let folder = empty.path().join("shop");
    let dev = Dev::start(&folder).await;
    assert_snapshot!(dev.call("/hello?name=Ada").await, @"200 Hello, Ada!");

    let source = folder.join("functions/hello.js");
    let good = std::fs::read_to_string(&source).unwrap();
    let began = Instant::now();
    std::fs::write(&source, good.replace("Hello", "Goodbye")).unwrap();
    let deployed = dev.event().await;
    let answer = dev.call("/hello").await;
    let took = began.elapsed();
    assert_eq!(deployed["event"], "deployed", "{deployed}");
    assert_snapshot!(answer, @"200 Goodbye, world!");
    eprintln!("a changed function served after {took:?}");
    assert!(took < CHANGE_SERVED, "it took {took:?}");

    std::fs::write(&source, "export default (").unwrap();
    let failed = dev.event().await;
    assert_eq!(
        (&failed["event"], &failed["serving"]),
        (&json!("failed"), &json!(2))
    );
    let error = failed["error"].as_str().expect("it is text");
    assert!(error.contains("hello.js:1"), "{error}");
    assert_snapshot!(dev.call("/hello").await, @"200 Goodbye, world!");

    // A fault of the manifest is told in the same way, and so is that it is gone.
    let manifest = std::fs::read_to_string(folder.join("pumice.toml")).unwrap();
    let faulty = manifest.replace("access", "acess");
    std::fs::write(folder.join("pumice.toml"), faulty).unwrap();
    let failed = dev.event().await;
    let error = failed["error"].as_str().expect("it is text");
    assert!(error.contains("did you mean `access`?"), "{error}");
    std::fs::write(folder.join("pumice.toml"), manifest).unwrap();
    std::fs::write(&source, good).unwrap();
    let mut event = failed;
    while event["event"] != "deployed" {
        event = dev.event().await;
    }
    assert_snapshot!(dev.call("/hello").await, @"200 Hello, world!");
}

/// How long a changed JavaScript function may take until it serves: 2 s on a machine that does nothing else.
/// Here other tests run beside it, and the compiler is that of a debug build.
const CHANGE_SERVED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 4 });

#[tokio::test]
async fn what_the_javascript_sdk_promises() {
    let app = TestServer::shared().await.app("js").await;
    app.secret("TOKEN", "hidden").await;
    app.function(javascript("web.js").await)
        .with(r#"secrets = ["TOKEN"]"#)
        .table("[config]\ngreeting = \"good morning\"")
        .await;
    let call = |path: &str| app.invoke(&format!("web/{path}"));
    let echoed = call("echo").body("sent").await;
    assert_snapshot!(echoed, @"201 sent");
    assert_eq!(echoed.header("x-seen"), "POST");
    assert_snapshot!(call("json").body(r#"{"n":21}"#).await, @r#"200 {"twice":42}"#);
    assert_snapshot!(call("url?q=1&q=%C3%A9").await, @r#"200 {"path":"/web/url","q":["1","é"]}"#);
    assert_snapshot!(call("bytes").await, @"200 é€");
    assert_snapshot!(call("stream").await, @"200 one two");
    assert_eq!(
        call("platform").await.json(),
        json!({ "app": app.name, "role": "anon", "greeting": "good morning", "secret": "hidden", "visits": 1 })
    );
    assert_snapshot!(call("log").await, @"204 ");
    assert_snapshot!(call("refuse").await, @r#"409 {"code":"taken","message":"it is taken"}"#);
    let thrown = call("throw").await;
    assert_eq!(thrown.status, 500);
    assert!(!thrown.text().contains("the cause"), "{thrown}");
    let spun = call("spin").await;
    assert_eq!(spun.status, 546);
    assert!(["cpu", "fuel"].contains(&spun.header("x-pumice-limit")));

    let records = app.records().await;
    let line = |part: &str| {
        let found = records.iter().find(|record| {
            record["type"] == "line"
                && record["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(part))
        });
        found.unwrap_or_else(|| panic!("{part}: {records:#?}"))
    };
    assert_eq!(line("from the console")["level"], "info");
    assert_eq!(line("from the log")["level"], "warn");
    assert_eq!(line("the cause")["level"], "error");
}

#[tokio::test]
async fn push_and_what_follows() {
    let server = TestServer::start().await;
    let data = server.data().to_str().expect("it is text").to_owned();
    let folder = app_folder("shop", &guest!("hello"));
    let pumice =
        |arguments: &[&str]| Command::pumice(folder.path(), arguments).env("PUMICE_DATA", &data);

    let nobody = pumice(&["push"]).run().await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no app `shop`"), "{}", nobody.stderr);
    let created = pumice(&["apps", "create", "shop", "--json"]).run().await;
    assert_eq!(created.success().json()["name"], "shop");
    let twice = pumice(&["apps", "create", "shop"]).run().await;
    assert_eq!(twice.code, Some(1));

    let pushed = pumice(&["push", "--json"]).run().await.success().json();
    assert_eq!(
        pushed,
        json!({ "app": "shop", "revision": 1, "compiled": 1, "migrated": [], "functions": ["hello"] })
    );
    let app = server.found("shop").await;
    assert_snapshot!(app.get("/hello").await, @"200 hello");

    std::fs::write(folder.path().join("hello.wasm"), &guest!("answers").bytes).unwrap();
    assert_eq!(
        pumice(&["push"]).run().await.success().stdout,
        "revision 2 of shop is live\n"
    );
    assert_snapshot!(app.get("/hello").await, @"200 text");
    // What does not hold is not served, and what was served still is.
    std::fs::write(folder.path().join("hello.wasm"), "no component").unwrap();
    let refused = pumice(&["push"]).run().await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("no WebAssembly"),
        "{}",
        refused.stderr
    );
    assert_snapshot!(app.get("/hello").await, @"200 text");
    assert_eq!(
        pumice(&["rollback", "--json"]).run().await.success().json()["revision"],
        1
    );
    assert_snapshot!(app.get("/hello").await, @"200 hello");
    assert_eq!(pumice(&["rollback", "--to", "2"]).run().await.code, Some(0));
    assert_eq!(pumice(&["rollback", "--to", "7"]).run().await.code, Some(1));

    let listed = pumice(&["apps", "list", "--json"])
        .run()
        .await
        .success()
        .json();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["revision"]),
        (&json!("shop"), &json!(2))
    );
    let shown = pumice(&["apps", "list"]).run().await.success().stdout;
    assert!(
        shown.contains("shop") && shown.contains(server.address()),
        "{shown}"
    );

    let kept = pumice(&["apps", "delete", "shop"]).run().await;
    assert_eq!(kept.code, Some(1));
    assert_eq!(
        pumice(&["apps", "delete", "shop", "--yes"])
            .run()
            .await
            .code,
        Some(0)
    );
    assert_eq!(app.get("/hello").await.status, 421);
}

#[tokio::test]
async fn logs_invoke_and_secrets() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    app.function(guest!("whoami"))
        .with(r#"secrets = ["TOKEN"]"#)
        .function(guest!("panic"))
        .function(guest!("echo"))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let pumice = |arguments: &[&str]| {
        let command =
            Command::pumice(folder.path(), arguments).env("PUMICE_SERVER", &server.url(""));
        command.env("PUMICE_KEY", server.key())
    };

    let set = pumice(&["secrets", "set", "TOKEN", "--app", "shop"])
        .stdin("hidden\n")
        .run()
        .await;
    assert_eq!(set.success().stdout, "set TOKEN\n");
    let listed = pumice(&["secrets", "list", "--app", "shop", "--json"])
        .run()
        .await;
    assert_eq!(listed.success().json(), json!(["TOKEN"]));
    let who = app.invoke("whoami?secret=TOKEN").await.json();
    assert_eq!(who["secret"], "hidden");

    // Followed from before: what is written from now on arrives by itself.
    let following = pumice(&[
        "logs",
        "-f",
        "--app",
        "shop",
        "--component",
        "panic",
        "--json",
    ])
    .start();
    let trapped = app.invoke("panic").await;
    let line = following
        .stdout
        .json(|line| line["type"] == "invocation")
        .await;
    assert_eq!(
        (&line["outcome"], &line["component"]),
        (&json!("trap"), &json!("panic"))
    );
    assert_eq!(line["request_id"], trapped.request_id());

    let logs = pumice(&["logs", "--app", "shop", "--component", "panic"])
        .run()
        .await;
    let logs = logs.success().stdout;
    assert!(
        logs.contains("trap") && logs.contains("at ") && logs.contains("deepest"),
        "{logs}"
    );
    assert!(!logs.contains("whoami"), "{logs}");
    let one = pumice(&[
        "logs",
        "--app",
        "shop",
        "--request",
        trapped.request_id(),
        "--json",
    ])
    .run()
    .await;
    let one = one.success().stdout;
    assert!(
        one.lines().count() >= 1 && one.lines().all(|line| line.contains(trapped.request_id())),
        "{one}"
    );

    let echoed = pumice(&["invoke", "echo", "--app", "shop", "--body", "-"])
        .stdin("typed")
        .run()
        .await;
    assert_eq!(echoed.success().stdout, "typed\n");
    let failed = pumice(&["invoke", "panic", "--app", "shop", "--json"])
        .run()
        .await;
    assert_eq!(
        (failed.code, &failed.json()["status"]),
        (Some(1), &json!(500))
    );

    let deleted = pumice(&["secrets", "delete", "TOKEN", "--app", "shop"])
        .run()
        .await;
    assert_eq!(deleted.code, Some(0));
    let wrong = Command::pumice(folder.path(), &["apps", "list"])
        .env("PUMICE_SERVER", &server.url(""))
        .env("PUMICE_KEY", "wrong");
    let wrong = wrong.run().await;
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("platform key is missing or wrong"),
        "{}",
        wrong.stderr
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_fix() {
    let folder = tempfile::tempdir().unwrap();
    let pumice = |arguments: &[&str]| Command::pumice(folder.path(), arguments);
    let nothing = pumice(&["build"]).run().await;
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("pumice init"), "{}", nothing.stderr);
    let name = pumice(&["init", "My-App"]).run().await;
    assert_eq!(name.code, Some(1));
    assert!(
        name.stderr.contains("use 1 to 40 of a-z"),
        "{}",
        name.stderr
    );

    let write = |text: &str| std::fs::write(folder.path().join("pumice.toml"), text).unwrap();
    write(
        "[app]\nname = \"Shop\"\n[[function]]\nname = \"hello\"\npth = \"hello.wasm\"\n[limits]\nwall = 1\n",
    );
    let faults = pumice(&["build"]).run().await;
    assert_eq!(faults.code, Some(1));
    assert_snapshot!(faults.stderr, @"
    error: pumice.toml:2: app name `Shop`; use 1 to 40 of a-z, 0-9 and -, beginning with a letter
    pumice.toml:3: function `hello` has no path; add path = \"functions/hello\"
    pumice.toml:5: [[function]] has an unknown key `pth`; did you mean `path`?
    pumice.toml:7: limits has an unknown key `wall`; the keys are fuel_ms, cpu_ms, wall_ms, memory_mib, handles, response_mib, host_call_mib, outbound_requests
    ");
    write(&manifest("shop"));
    let missing = pumice(&["build", "--json"]).run().await;
    assert_eq!(missing.code, Some(1));
    let error: Value = serde_json::from_str(missing.stderr.trim()).expect("it is JSON");
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|error| error.contains("there is nothing at hello.wasm"))
    );
    let alone = pumice(&["apps", "list"]).run().await;
    assert_eq!(alone.code, Some(1));
    assert!(alone.stderr.contains("pumice dev"), "{}", alone.stderr);
    assert_eq!(pumice(&["frobnicate"]).run().await.code, Some(2));
}

#[tokio::test]
async fn a_server_says_why_it_does_not_start() {
    let server = TestServer::start().await;
    let data = server.data().to_str().expect("it is text").to_owned();
    let serve = |data: &str, listen: &str| {
        let arguments = ["serve", "--data", data, "--listen", listen];
        Command::pumice(server.data(), &arguments).run()
    };
    let second = serve(&data, "127.0.0.1:0").await;
    assert_eq!(second.code, Some(1));
    assert!(
        second
            .stderr
            .contains("another server uses this data folder"),
        "{}",
        second.stderr
    );
    let other = tempfile::tempdir().unwrap();
    let path = other.path().to_str().expect("it is text");
    let taken = serve(path, server.address()).await;
    assert_eq!(taken.code, Some(1));
    assert!(
        taken.stderr.contains("choose another with --listen"),
        "{}",
        taken.stderr
    );
    std::fs::write(
        other.path().join("server.toml"),
        "listn = 1\ninstances = 0\n",
    )
    .unwrap();
    let faults = serve(path, "127.0.0.1:0").await;
    assert_eq!(faults.code, Some(1));
    assert!(
        faults.stderr.contains("`listn`") && faults.stderr.contains("`instances`"),
        "{}",
        faults.stderr
    );
    // The first one has noticed nothing.
    assert_snapshot!(server.call("GET", "/health").await, @"200 ok");
}

#[tokio::test]
async fn the_doctor_looks_and_tells() {
    let folder = tempfile::tempdir().unwrap();
    let found = Command::pumice(folder.path(), &["doctor", "--json"])
        .run()
        .await;
    let found = found.success().json();
    let names: Vec<_> = found
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["what"])
        .collect();
    assert_eq!(
        names,
        ["engine", "memory reset", "rust guests", "node", "npm"]
    );
    assert_eq!(found[0]["ok"], true);
}
