//! What `[api]` of a manifest changes, the limits of a request at their edges, and `pumice dev --compat`.

use std::path::Path;

use pumice_tests::{Answer, App, Call, Command, Engine, Running, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    settings_are_safe_until_they_are_changed,
    a_statement_ends_when_its_time_is_up,
    a_request_may_be_so_large,
);

const TABLES: &str = "-- pumice: open
create table note (id integer primary key, parent integer references note (id), text text);
-- pumice: open
create view pairs as select a.id as a, b.id as b from note a, note b, note c, note d;";

async fn notes(engine: Engine, settings: &str, count: usize) -> App {
    let app = engine.app("api").await;
    app.tables(TABLES).table(settings).await;
    let rows: Vec<Value> = (1..=count).map(|id| json!({ "id": id })).collect();
    for rows in rows.chunks(1_000) {
        let answer = app.insert("note", &json!(rows)).await;
        assert_eq!(answer.status, 201, "{answer}");
    }
    app
}

fn without_key(app: &App, path: &str) -> Call {
    app.call("GET", path)
        .without("apikey")
        .without("authorization")
}

/// How many rows are answered, or the code.
async fn told(call: Call) -> Value {
    let answer: Answer = call.await;
    match answer.status {
        200 | 206 => json!(answer.json().as_array().expect("rows").len()),
        _ => answer.code().into(),
    }
}

async fn settings_are_safe_until_they_are_changed(engine: Engine) {
    let app = notes(engine, "", 1_002).await;
    let plan = |app: &App| {
        app.rest("GET", "note")
            .header("accept", "application/vnd.pgrst.plan+json")
    };
    let rolled_back = |app: &App| {
        app.rest("POST", "note")
            .header("prefer", "tx=rollback")
            .json(&json!({ "id": 5_000 }))
    };
    assert_eq!(told(app.rest("GET", "note")).await, 1_000);
    assert_eq!(told(app.rest("GET", "note?limit=1001")).await, 1_000);
    assert_eq!(
        told(app.rest("GET", "note?select=id.max()")).await,
        "PGRST123"
    );
    assert_eq!(told(plan(&app)).await, "PGRST107");
    assert_eq!(without_key(&app, "/rest/v1/note").await.status, 401);
    assert_eq!(rolled_back(&app).await.status, 201);
    assert_eq!(app.count("note?id=eq.5000").await, 1);

    let settings = "[api]\nrows_max = 3\naggregates = true\nplan = true\nanonymous = true\ntransaction_end = \"commit-allow-override\"";
    app.tables(TABLES).table(settings).await;
    assert_eq!(told(app.rest("GET", "note")).await, 3);
    assert_eq!(told(app.rest("GET", "note?limit=4")).await, 3);
    assert_eq!(told(app.rest("GET", "note?limit=2")).await, 2);
    let ranged = app.rest("GET", "note").header("range", "0-9");
    assert_eq!(told(ranged).await, 3);
    let most = app.rows("note?select=id.max()").await;
    assert_eq!(most, json!([{ "max": 5_000 }]));
    assert_eq!(plan(&app).await.status, 200);
    assert_eq!(told(without_key(&app, "/rest/v1/note")).await, 3);
    // Nobody at all is `anon`, not more; and a wrong key is not nobody.
    let none = without_key(&app, "/rest/v1/note").bearer("wrong").await;
    assert_eq!(none.status, 401, "{none}");
    let again = app
        .rest("POST", "note")
        .header("prefer", "tx=rollback, return=representation")
        .json(&json!({ "id": 6_000 }))
        .await;
    assert_eq!(again.status, 201, "{again}");
    assert_eq!(again.json()[0]["id"], 6_000);
    assert_eq!(app.count("note?id=eq.6000").await, 0);
}

async fn a_statement_ends_when_its_time_is_up(engine: Engine) {
    let app = notes(engine, "[api]\nstatement_timeout_ms = 100", 200).await;
    let all = app
        .rest("HEAD", "pairs")
        .header("prefer", "count=exact")
        .await;
    assert_eq!(all.status, 500, "{all}");
    let all = app
        .rest("GET", "pairs?limit=1")
        .header("prefer", "count=exact")
        .await;
    all.refused(500, "57014");
    assert_eq!(
        all.json()["message"],
        "canceling statement due to statement timeout"
    );
    // The app goes on.
    assert_eq!(app.count("note?limit=1").await, 1);
}

/// As many parts as `within` are answered; one more is refused with a word on the limit.
async fn edge(app: &App, what: &str, within: usize, code: &str, path: impl Fn(usize) -> String) {
    let most = app.rest("GET", &path(within)).await;
    assert_eq!(most.status, 200, "{within} {what}: {most}");
    let more = app.rest("GET", &path(within + 1)).await;
    assert_eq!(more.code(), code, "{} {what}: {more}", within + 1);
    let told = more.text();
    assert!(told.contains(&within.to_string()), "{what}: {told}");
}

async fn a_request_may_be_so_large(engine: Engine) {
    let app = notes(engine, "", 2).await;
    edge(&app, "embeds deep", 10, "PGRST100", |depth| {
        let select = (0..depth).fold("id".to_owned(), |inner, _| format!("id,p:parent({inner})"));
        format!("note?select={select}")
    })
    .await;
    edge(&app, "embeds", 100, "data.too_large", |count| {
        let embeds: Vec<String> = (0..count).map(|at| format!("p{at}:parent(id)")).collect();
        format!("note?select=id,{}", embeds.join(","))
    })
    .await;
    edge(&app, "filters", 100, "data.too_large", |count| {
        let filters = vec!["id=gt.0"; count];
        format!("note?{}", filters.join("&"))
    })
    .await;
    edge(
        &app,
        "members of a list",
        10_000,
        "data.too_large",
        |count| format!("note?id=in.({})", vec!["1"; count].join(",")),
    )
    .await;
    edge(&app, "trees deep", 20, "PGRST100", |depth| {
        let tree = (1..depth).fold("id.eq.1".to_owned(), |inner, _| format!("and({inner})"));
        format!("note?and=({tree})")
    })
    .await;
}

/// `pumice dev` with one table, and how a key that everybody knows reads it.
async fn dev(folder: &Path, arguments: &[&str]) -> (Running, String) {
    let arguments = [&["--json", "dev", "--listen", "127.0.0.1:0"], arguments].concat();
    let process = Command::pumice(folder, &arguments).start();
    let serving = process
        .stdout
        .json(|event| event["event"] == "serving")
        .await;
    let address = serving["url"]
        .as_str()
        .and_then(|url| url.strip_prefix("http://"));
    let address = address.expect("it is without TLS").to_owned();
    (process, address)
}

#[tokio::test]
async fn the_keys_of_the_suites_open_what_was_started_for_them_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("migrations")).unwrap();
    for (file, text) in [
        ("pumice.toml", "[app]\nname = \"suite\"\n"),
        (
            "migrations/0001_note.sql",
            "create table note (id int primary key);",
        ),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let everywhere = ["dev", "--compat", "supabase", "--listen", "0.0.0.0:0"];
    let refused = Command::pumice(folder, &everywhere).run().await;
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("listen at 127.0.0.1"),
        "{}",
        refused.stderr
    );

    let (process, address) = dev(folder, &["--compat", "supabase"]).await;
    let told = process
        .stdout
        .json(|event| event["event"] == "compat")
        .await;
    let key = told["service_role_key"].as_str().expect("it is told");
    process
        .stdout
        .json(|event| event["event"] == "deployed")
        .await;
    let read = |address: &str| {
        Call::new(address, "GET", "/rest/v1/note")
            .header("apikey", key)
            .bearer(key)
    };
    let rows = read(&address).header("host", "whatever.example").await;
    rows.is("200 []");
    drop(process);

    let (_process, address) = dev(folder, &[]).await;
    let refused = read(&address).await;
    assert_eq!(refused.status, 401, "{refused}");
}
