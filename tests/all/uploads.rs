//! What is uploaded: refused with a reason when it is not what it should be, and kept when it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use insta::assert_snapshot;
use pumice_tests::{App, Guest, TestServer, digest, guest, in_time};
use serde_json::{Value, json};
use wasm_encoder as wasm;

/// Pushes a component as the only function and returns the refusal, with the app still as it was.
async fn refused(component: impl Into<Bytes>) -> pumice_tests::Answer {
    let app = TestServer::shared().await.app("refused").await;
    app.function(guest!("hello")).access("public").await;
    let answer = app.function(Guest::new("bad", component)).push().await;
    assert_eq!(answer.json()["code"], "platform.component", "{answer}");
    assert_eq!(answer.status, 422);
    app.get("/functions/v1/hello").await.is("200 hello");
    assert_eq!(app.invoke("bad").await.status, 404);
    answer
}

fn message(answer: &pumice_tests::Answer) -> String {
    answer.json()["message"]
        .as_str()
        .expect("it is text")
        .to_owned()
}

/// A core module with this many functions.
fn module(functions: u32) -> wasm::Module {
    let mut types = wasm::TypeSection::new();
    types.ty().function([], []);
    let mut declared = wasm::FunctionSection::new();
    let mut code = wasm::CodeSection::new();
    for _ in 0..functions {
        declared.function(0);
        let mut body = wasm::Function::new([]);
        body.instruction(&wasm::Instruction::End);
        code.function(&body);
    }
    let mut module = wasm::Module::new();
    module.section(&types).section(&declared).section(&code);
    module
}

fn component(functions: u32) -> wasm::Component {
    let mut component = wasm::Component::new();
    component.section(&wasm::ModuleSection(&module(functions)));
    component
}

fn importing(name: &str) -> Vec<u8> {
    let mut types = wasm::ComponentTypeSection::new();
    types.instance(&wasm::InstanceType::new());
    let mut imports = wasm::ComponentImportSection::new();
    imports.import(name, wasm::ComponentTypeRef::Instance(0));
    let mut component = wasm::Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_its_reason() {
    let text = refused("hello, I am a component").await;
    assert!(message(&text).contains("no WebAssembly"), "{text}");
    let empty = refused("").await;
    assert!(message(&empty).contains("function `bad`"), "{empty}");
    let core = refused(module(1).finish()).await;
    assert!(
        message(&core).contains("core module, not a component"),
        "{core}"
    );
    let cut = guest!("hello").bytes;
    let cut = refused(cut.slice(..cut.len() / 2)).await;
    assert!(message(&cut).contains("no WebAssembly"), "{cut}");
}

#[tokio::test]
async fn a_component_of_another_world_is_refused() {
    let none = refused(component(1).finish()).await;
    assert_snapshot!(message(&none), @"function `bad`: the component does not export wasi:http/incoming-handler@0.2; it exports nothing");
}

#[tokio::test]
async fn an_import_that_is_not_offered_is_named() {
    for import in [
        "wasi:keyvalue/store@0.2.0",
        "wasi:http/types@0.3.0",
        "pumice:platform/log@9.0.0",
        "acme:thing/x@1.0.0",
    ] {
        let answer = refused(importing(import)).await;
        assert!(
            message(&answer).contains(&format!("imports `{import}`")),
            "{answer}"
        );
    }
    // A name of ours that no interface has.
    refused(importing("pumice:platform/nothing@0.1.0")).await;
}

#[tokio::test]
async fn an_interface_with_another_type_is_refused_at_once() {
    const HANDLER: &str = "wasi:http/incoming-handler@0.2.0";
    let exporting = |mut component: wasm::Component, instance: u32| {
        let mut instances = wasm::ComponentInstanceSection::new();
        instances.export_items::<&str, [(&str, wasm::ComponentExportKind, u32); 0]>([]);
        let mut exports = wasm::ComponentExportSection::new();
        exports.export(HANDLER, wasm::ComponentExportKind::Instance, instance, None);
        component.section(&instances).section(&exports);
        component.finish()
    };
    // The name is there, and nothing behind it.
    refused(exporting(wasm::Component::new(), 0)).await;

    // `pumice:platform/log` with a function that has another type than ours.
    let mut log = wasm::InstanceType::new();
    let mut write = log.ty().function();
    write
        .params([("level", wasm::PrimitiveValType::String)])
        .result(None);
    log.export("write", wasm::ComponentTypeRef::Func(0));
    let mut types = wasm::ComponentTypeSection::new();
    types.instance(&log);
    let mut imports = wasm::ComponentImportSection::new();
    imports.import(
        "pumice:platform/log@0.1.0",
        wasm::ComponentTypeRef::Instance(0),
    );
    let mut component = wasm::Component::new();
    component.section(&types).section(&imports);
    refused(exporting(component, 1)).await;
}

#[tokio::test]
async fn a_component_with_too_many_functions_is_refused() {
    for functions in [50_001, 100_000] {
        let answer = refused(component(functions).finish()).await;
        assert_eq!(
            message(&answer),
            "function `bad`: the component has more than 50000 functions; split it"
        );
    }
    // At the edge it is judged by what else it is.
    let most = refused(component(50_000).finish()).await;
    assert!(message(&most).contains("does not export"), "{most}");
    let mut parts = wasm::Component::new();
    let part = module(1);
    for _ in 0..51 {
        parts.section(&wasm::ModuleSection(&part));
    }
    let many = refused(parts.finish()).await;
    assert!(message(&many).contains("more than 50 modules"), "{many}");
}

#[tokio::test]
async fn machine_code_is_refused_whoever_compiled_it() {
    let server = TestServer::shared().await;
    let app = server.app("native").await;
    app.function(guest!("hello")).await;
    let ours = artifacts(&server);
    let (_, path) = ours.iter().next().expect("hello was compiled");
    let answer = refused(std::fs::read(path).unwrap()).await;
    assert!(message(&answer).contains("machine code"), "{answer}");
    let this = refused(std::fs::read("/bin/true").unwrap()).await;
    assert!(message(&this).contains("machine code"), "{this}");
}

/// The stored artifacts by the digest of their component.
fn artifacts(server: &TestServer) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(server.data().join("artifacts")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            found.insert(name, path);
        }
    }
    found
}

#[tokio::test]
async fn all_faults_of_a_manifest_are_told_with_line_and_fix() {
    let app = TestServer::shared().await.app("faulty").await;
    let manifest = "[app]\nname = \"Faulty\"\n[[function]]\nname = \"a\"\npath = \"a.wasm\"\nacess = \"public\"\n[[function]]\nname = \"a\"\npath = \"b.wasm\"\nlimits = { memory_mib = 4096 }\n";
    let answer = app.push(manifest, &[]).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("platform.manifest"))
    );
    let faults = answer.json()["faults"].as_array().expect("a list").clone();
    let faults: Vec<String> = faults
        .iter()
        .map(|fault| {
            let text = |key: &str| fault[key].as_str().expect("it is text");
            format!("{}: {}; {}", fault["line"], text("message"), text("fix"))
        })
        .collect();
    assert_snapshot!(faults.join("\n"), @"
    2: app name `Faulty`; use 1 to 40 of a-z, 0-9 and -, beginning with a letter
    6: [[function]] has an unknown key `acess`; did you mean `access`?
    7: a second function is called `a`; rename one of them
    10: limit `memory_mib` is 4096; use a whole number from 1 to 128
    ");
    let missing = app.push(&manifest_of(&app), &[]).await;
    assert_eq!(missing.status, 400);
    assert_snapshot!(missing.json()["faults"][0]["message"].as_str().unwrap(), @"function `hello` has no component in the bundle");
}

fn manifest_of(app: &App) -> String {
    format!(
        "[app]\nname = \"{}\"\n[[function]]\nname = \"hello\"\npath = \"hello.wasm\"\n",
        app.name
    )
}

#[tokio::test]
async fn files_are_what_and_where_they_say() {
    let app = TestServer::shared().await.app("files").await;
    let wrong = app
        .platform("PUT", &format!("/blobs/{}", digest(b"this")))
        .body("that")
        .await;
    assert_eq!(
        (wrong.status, &wrong.json()["code"]),
        (400, &json!("platform.wrong_digest"))
    );
    for name in [
        "xyz",
        &"0".repeat(63),
        &"g".repeat(64),
        "..%2f..%2fsystem.db",
    ] {
        let odd = app
            .platform("PUT", &format!("/blobs/{name}"))
            .body("x")
            .await;
        assert_eq!(
            (odd.status, &odd.json()["code"]),
            (400, &json!("platform.bad_request")),
            "{name}"
        );
    }

    let manifest = format!("[app]\nname = \"{}\"\n", app.name);
    let push = async |path: &str| app.push(&manifest, &[(path, "x".into())]).await;
    for path in [
        "public/../../system.db",
        "../x",
        "/etc/passwd",
        "public//x",
        "public/./x",
        "public/a\\b",
        "public/",
        "public",
        "components/hello.wasm",
        "elsewhere/x",
        "",
    ] {
        let answer = push(path).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("platform.invalid_path")),
            "{path}: {answer}"
        );
    }
    assert_eq!(push("public/x").await.status, 201);

    let bundle = |size: u64, digest: &str| json!({ "manifest": manifest, "files": { "public/x": { "digest": digest, "size": size } } });
    let deploy = |bundle: Value| app.platform("POST", "/revisions").json(&bundle);
    let lied = deploy(bundle(7, &digest(b"x"))).await;
    assert_eq!(
        (lied.status, &lied.json()["code"]),
        (400, &json!("platform.bad_request"))
    );
    let absent = digest(b"nobody uploaded this");
    let absent_answer = deploy(bundle(1, &absent)).await;
    assert_eq!(
        (absent_answer.status, &absent_answer.json()["missing"]),
        (409, &json!([absent]))
    );
    let huge = deploy(bundle((64 << 20) + 1, &digest(b"x"))).await;
    assert_eq!(
        (huge.status, &huge.json()["code"]),
        (413, &json!("platform.file_too_large"))
    );
    let broken = app.platform("POST", "/revisions").body("{").await;
    assert_eq!(
        (broken.status, &broken.json()["code"]),
        (400, &json!("platform.bad_request"))
    );
    let long = app
        .platform("POST", "/revisions")
        .body(vec![b' '; (4 << 20) + 1])
        .await;
    assert_eq!(long.status, 413);
}

#[tokio::test]
async fn a_component_over_its_size_is_refused() {
    let app = TestServer::shared().await.app("heavy").await;
    let heavy = vec![0; (32 << 20) + 1];
    let answer = app
        .push(
            &manifest_of(&app),
            &[("components/hello.wasm", heavy.into())],
        )
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("platform.file_too_large")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_changed_artifact_is_compiled_anew_and_reported() {
    let server = TestServer::start().await;
    let app = server.app("flipped").await;
    app.function(guest!("hello")).access("public").await;
    let name = app.name.clone();
    let (_, path) = artifacts(&server).pop_first().expect("it was compiled");
    let good = std::fs::read(&path).unwrap();
    let mut server = (app, server).1;
    for place in [0, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[place] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        server = server.kill_and_restart().await;
        server.expect_error("a stored artifact's MAC does not hold");
        let app = server.found(&name).await;
        app.get("/functions/v1/hello").await.is("200 hello");
        server
            .log_line("a stored artifact's MAC does not hold")
            .await;
        assert_ne!(std::fs::read(&path).unwrap(), flipped);
    }
    std::fs::write(&path, b"short").unwrap();
    server = server.kill_and_restart().await;
    server.expect_error("a stored artifact is cut short");
    let app = server.found(&name).await;
    assert_snapshot!(app.get("/functions/v1/hello").await, @"200 hello");
}

#[tokio::test]
async fn an_artifact_of_another_component_does_not_stand_in() {
    let server = TestServer::start().await;
    let app = server.app("swapped").await;
    app.function(guest!("hello"))
        .access("public")
        .function(guest!("answers"))
        .access("public")
        .await;
    let name = app.name.clone();
    let found = artifacts(&server);
    let hello = &found[&digest(&guest!("hello").bytes)];
    let answers = &found[&digest(&guest!("answers").bytes)];
    std::fs::copy(answers, hello).unwrap();
    drop(app);
    let server = server.kill_and_restart().await;
    server.expect_error("a stored artifact's MAC does not hold");
    let app = server.found(&name).await;
    assert_snapshot!(app.get("/functions/v1/hello").await, @"200 hello");
}

#[tokio::test]
async fn a_component_that_was_damaged_is_not_compiled() {
    let server = TestServer::start().await;
    let app = server.app("damaged").await;
    app.function(guest!("hello")).access("public").await;
    let (name, blobs) = (app.name.clone(), app.folder().join("blobs"));
    let (digest, artifact) = artifacts(&server).pop_first().expect("it was compiled");
    drop(app);
    std::fs::remove_file(artifact).unwrap();
    std::fs::write(blobs.join(&digest), &guest!("answers").bytes).unwrap();
    let server = server.kill_and_restart().await;
    server.expect_error("gone or changed");
    let app = server.found(&name).await;
    let answer = app.get("/functions/v1/hello").await;
    assert_snapshot!(answer, @r#"503 {"code":"BOOT_ERROR","message":"Worker failed to boot (please check logs)"}"#);
    server.log_line("gone or changed").await;
}

#[tokio::test]
async fn nothing_is_compiled_after_a_restart() {
    use std::os::unix::fs::MetadataExt as _;
    let server = TestServer::start().await;
    let app = server.app("warm").await;
    app.function(guest!("hello"))
        .access("public")
        .function(guest!("answers"))
        .access("public")
        .await;
    let name = app.name.clone();
    drop(app);
    let identity = |server: &TestServer| -> Vec<_> {
        let files = artifacts(server).into_iter();
        files
            .map(|(digest, path)| {
                let meta = std::fs::metadata(path).unwrap();
                (digest, meta.ino(), meta.mtime(), meta.mtime_nsec())
            })
            .collect()
    };
    let before = identity(&server);
    assert_eq!(before.len(), 2);
    let server = server.restart().await;
    let app = server.found(&name).await;
    assert_snapshot!(app.get("/functions/v1/hello").await, @"200 hello");
    assert_snapshot!(app.get("/functions/v1/answers").await, @"200 text");
    assert_eq!(identity(&server), before);
    let again = app
        .function(guest!("hello"))
        .function(guest!("answers"))
        .await;
    assert_eq!(again["compiled"], 0);
}

#[tokio::test]
async fn one_revision_after_the_other_and_back() {
    let server = TestServer::start().await;
    let app = server.app("revisions").await;
    for revision in 1..=3 {
        let deployed = app.file("index.html", format!("revision {revision}")).await;
        assert_eq!(deployed["revision"], revision);
    }
    assert_snapshot!(app.get("/").await, @"200 revision 3");
    let back = app.platform("POST", "/rollback").await;
    assert_eq!(back.json(), json!({ "app": "revisions", "revision": 2 }));
    assert_snapshot!(app.get("/").await, @"200 revision 2");
    let first = app
        .platform("POST", "/rollback")
        .json(&json!({ "to": 1 }))
        .await;
    assert_eq!(first.status, 200);
    assert_snapshot!(app.get("/").await, @"200 revision 1");
    for to in [json!({}), json!({ "to": 9 })] {
        let none = app.platform("POST", "/rollback").json(&to).await;
        assert_eq!(
            (none.status, &none.json()["code"]),
            (404, &json!("platform.no_revision"))
        );
    }
    // What was rolled back to is what is served after a crash.
    drop(app);
    let server = server.kill_and_restart().await;
    let app = server.found("revisions").await;
    assert_snapshot!(app.get("/").await, @"200 revision 1");
    let listed = app.platform("GET", "/revisions").await.json();
    let listed = listed.as_array().expect("a list");
    let active: Vec<_> = listed
        .iter()
        .map(|row| (row["number"].as_i64(), row["active"].as_bool()))
        .collect();
    assert_eq!(
        active,
        [
            (Some(3), Some(false)),
            (Some(2), Some(false)),
            (Some(1), Some(true))
        ]
    );
    // The next one is new, not a second number two.
    assert_eq!(app.file("index.html", "next").await["revision"], 4);
}

#[tokio::test]
async fn a_rollback_brings_functions_back_after_a_restart() {
    let server = TestServer::start().await;
    let app = server.app("back").await;
    app.function(guest!("hello")).access("public").await;
    app.function(guest!("answers")).access("public").await;
    drop(app);
    let server = server.restart().await;
    let app = server.found("back").await;
    assert_eq!(app.get("/functions/v1/hello").await.status, 404);
    assert_eq!(app.platform("POST", "/rollback").await.status, 200);
    assert_snapshot!(app.get("/functions/v1/hello").await, @"200 hello");
    assert_eq!(app.get("/functions/v1/answers").await.status, 404);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut server = TestServer::start().await;
    let app = server.app("kept").await;
    app.secret("TOKEN", "kept too").await;
    drop(app);
    for round in 1..=3 {
        let app = server.found("kept").await;
        let (anon, id) = (app.anon_key.clone(), app.id.clone());
        let deployed = app
            .function(guest!("whoami"))
            .with(r#"secrets = ["TOKEN"]"#)
            .file("index.html", format!("round {round}"))
            .await;
        assert_eq!(deployed["revision"], round);
        drop(app);
        server = server.kill_and_restart().await;
        let app = server.found("kept").await;
        assert_eq!((&app.anon_key, &app.id), (&anon, &id));
        assert_eq!(app.get("/").await.text(), format!("round {round}"));
        let who = app.invoke("whoami?secret=TOKEN").await.json();
        assert_eq!(who["secret"], "kept too");
    }
}

#[tokio::test]
async fn requests_under_way_end_on_the_revision_they_began_on() {
    let app = TestServer::shared().await.app("switch").await;
    app.function(guest!("echo").named("work")).await;
    let (call, mut sender) = app.invoke("work").body_channel();
    sender
        .send_data("before ".into())
        .await
        .expect("it is read");
    let mut under_way = call.stream().await;
    under_way.read_until("before ").await;
    app.function(guest!("hello").named("work")).await;
    assert_snapshot!(app.invoke("work").await, @"200 hello");
    sender
        .send_data("and after".into())
        .await
        .expect("it is read");
    drop(sender);
    let rest = under_way.whole().await;
    assert_eq!((rest.text().as_str(), rest.broken), ("and after", false));
}

#[tokio::test]
async fn a_kill_during_a_deployment_leaves_what_was_served() {
    let server = TestServer::start().await;
    let app = server.app("halfway").await;
    app.file("index.html", "before").await;
    let name = app.name.clone();
    let deploying = {
        let app = app.clone();
        tokio::spawn(async move { app.function(guest!("hello")).push().await })
    };
    in_time("the compiler to write", async {
        while !partial(&server) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.kill();
    assert!(deploying.await.is_err(), "nothing was acknowledged");
    drop(app);
    let server = server.kill_and_restart().await;
    let app = server.found(&name).await;
    assert_snapshot!(app.get("/").await, @"200 before");
    assert_eq!(
        app.platform("GET", "/revisions").await.json()[0]["number"],
        1
    );
    assert!(!partial(&server), "half an artifact is still there");
    assert_eq!(app.function(guest!("hello")).await["revision"], 2);
}

/// Whether there is a file in the artifact store that is not finished.
fn partial(server: &TestServer) -> bool {
    let unfinished = |path: &PathBuf| path.extension().is_none_or(|ending| ending != "cwasm");
    artifacts(server).values().any(unfinished)
}

#[tokio::test]
async fn deployments_at_once_are_one_after_the_other() {
    let app = TestServer::shared().await.app("at-once").await;
    let pushes = (0..4).map(|n| app.file("index.html", format!("number {n}")).push());
    let answers = futures_util::future::join_all(pushes).await;
    let mut last = (0, 0);
    let mut revisions = Vec::new();
    for (n, answer) in answers.iter().enumerate() {
        let revision = answer.json()["revision"].as_u64().expect("it is a number");
        last = last.max((revision, n));
        revisions.push(revision);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4]);
    assert_eq!(app.get("/").await.text(), format!("number {}", last.1));
}

#[tokio::test]
async fn what_would_not_be_served_is_not_deployed() {
    let server = TestServer::start().await;
    let app = server.app("origins").await;
    app.function(guest!("hello")).access("public").await;
    let origins: Vec<String> = (0..65)
        .map(|n| format!("\"https://h{n}.example.com\""))
        .collect();
    let list = format!("egress = [{}]", origins.join(", "));
    let refused = app.function(guest!("hello")).with(&list).push().await;
    assert_eq!(refused.status, 400, "{refused}");
    let refused = app
        .function(guest!("hello"))
        .with("egress = [\"self\"]")
        .push()
        .await;
    assert_eq!(refused.status, 400, "{refused}");
    app.get("/functions/v1/hello").await.is("200 hello");
    let name = app.name.clone();
    drop(app);
    let server = server.restart().await;
    let app = server.found(&name).await;
    app.get("/functions/v1/hello").await.is("200 hello");
}
