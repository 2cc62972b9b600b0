//! `pumice db`: what a developer does to the database of the app of a folder.

use std::path::Path;

use pumice_tests::{Command, Output};
use serde_json::{Value, json};

const INIT: &str = "create table note (id int primary key, text text not null);\n\
                    create table mark (note int references note);\n";

/// An app's folder without components.
fn app_folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "pumice.toml", "[app]\nname = \"db\"\n");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn db(folder: &Path, arguments: &[&str]) -> Output {
    let arguments: Vec<&str> = ["db"].iter().chain(arguments).copied().collect();
    Command::pumice(folder, &arguments).run().await
}

async fn told(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["--json", "db"].iter().chain(arguments).copied().collect();
    Command::pumice(folder, &arguments)
        .run()
        .await
        .success()
        .json()
}

#[tokio::test]
async fn migrations_run_reset_and_differ() {
    let folder = app_folder(&[
        ("migrations/0001_init.sql", INIT),
        ("seed.sql", "insert into note values (1, 'seed');"),
    ]);
    let folder = folder.path();
    let pending = told(folder, &["diff"]).await;
    assert_eq!(pending["pending"], json!(["0001_init.sql"]));
    assert!(
        pending["tables"]
            .as_array()
            .unwrap()
            .contains(&json!("+ note.text text not null")),
        "{pending}"
    );
    let ran = db(folder, &["migrate"]).await.success();
    assert_eq!(ran.stdout, "ran migrations/0001_init.sql\nran seed.sql\n");
    assert_eq!(
        db(folder, &["migrate"]).await.success().stdout,
        "nothing to run\n"
    );
    let same = db(folder, &["diff"]).await.success();
    assert_eq!(same.stdout, "the tables are as the files say\n");

    write(
        folder,
        "migrations/0002_more.sql",
        "alter table note add column stars bigint default 0;\nalter table note drop column text;\n",
    );
    let differ = db(folder, &["diff"]).await.success();
    assert_eq!(
        differ.stdout,
        "pending migrations/0002_more.sql\n+ note.stars bigint default 0\n- note.text text not null\n"
    );
    assert_eq!(
        told(folder, &["migrate"]).await,
        json!({ "ran": ["0002_more.sql"] })
    );

    // What has run may not change; a reset runs it as it is now.
    write(
        folder,
        "migrations/0001_init.sql",
        "create table note (id int primary key, text text, extra uuid);",
    );
    let refused = db(folder, &["migrate"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .stderr
            .contains("0001_init.sql has run and was edited"),
        "{}",
        refused.stderr
    );
    let edited = db(folder, &["diff"]).await.success();
    assert!(edited.stdout.contains("edited since"), "{}", edited.stdout);
    assert!(edited.stdout.contains("- mark\n"), "{}", edited.stdout);
    assert!(
        edited.stdout.contains("+ note.extra uuid\n"),
        "{}",
        edited.stdout
    );

    // Nobody is asked who does not sit at a terminal.
    let unasked = db(folder, &["reset"]).await;
    assert_eq!(unasked.code, Some(1));
    assert!(unasked.stderr.contains("say --yes"), "{}", unasked.stderr);
    write(folder, "seed.sql", "insert into note (id) values (2);");
    let reset = told(folder, &["reset", "--yes"]).await;
    assert_eq!(
        reset,
        json!({ "ran": ["0001_init.sql", "0002_more.sql", "seed.sql"] })
    );
    assert_eq!(
        db(folder, &["diff"]).await.success().stdout,
        "the tables are as the files say\n"
    );
}

#[tokio::test]
async fn a_reset_that_could_not_work_drops_nothing() {
    let folder = app_folder(&[("migrations/0001_init.sql", INIT)]);
    let folder = folder.path();
    db(folder, &["migrate"]).await.success();
    write(
        folder,
        "migrations/0002_bad.sql",
        "create tabel x (id int);",
    );
    let refused = db(folder, &["reset", "--yes"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("migrations/0002_bad.sql:1"),
        "{}",
        refused.stderr
    );
    let still = told(folder, &["diff"]).await;
    assert_eq!(still["pending"], json!(["0002_bad.sql"]), "{still}");
}

#[tokio::test]
async fn lint_names_every_fault() {
    let folder = app_folder(&[
        ("migrations/0001_init.sql", INIT),
        (
            "migrations/0002_bad.sql",
            "create table a (x nothing);\nalter table b add c int;\n",
        ),
    ]);
    let folder = folder.path();
    let found = db(folder, &["lint"]).await;
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(
        lines[0].starts_with("migrations/0002_bad.sql:1: error: the type nothing"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("migrations/0002_bad.sql:2: error: relation \"b\" does not exist"),
        "{lines:?}"
    );
    let no_index =
        "migrations/0001_init.sql:2: info: foreign key mark_note_fkey of table mark has no index";
    assert!(
        lines.iter().any(|line| line.starts_with(no_index)),
        "{lines:?}"
    );
    // Nothing was made to find that out.
    assert!(!folder.join(".pumice/data").exists());

    write(
        folder,
        "migrations/0002_bad.sql",
        "create index on mark (note);\n",
    );
    db(folder, &["migrate"]).await.success();
    let found = db(folder, &["lint"]).await.success();
    assert!(
        found.stdout.ends_with("2 files, no faults\n"),
        "{}",
        found.stdout
    );
    std::fs::remove_file(folder.join("migrations/0002_bad.sql")).unwrap();
    write(
        folder,
        "migrations/0001_init.sql",
        "create table other (id int);",
    );
    let found = db(folder, &["lint"]).await;
    assert_eq!(found.code, Some(1));
    assert!(
        found
            .stdout
            .contains("migrations/0001_init.sql: error: has run and was edited"),
        "{}",
        found.stdout
    );
    assert!(
        found
            .stdout
            .contains("migrations/0002_bad.sql: error: has run and is gone"),
        "{}",
        found.stdout
    );
}

/// `pumice dev` holds the database: it is asked, never worked around.
#[tokio::test]
async fn a_running_server_is_respected() {
    let folder = app_folder(&[("migrations/0001_init.sql", INIT)]);
    let folder = folder.path();
    let arguments = ["--json", "dev", "--listen", "127.0.0.1:0"];
    let server = Command::pumice(folder, &arguments).start();
    server
        .stdout
        .json(|event| event["event"] == "deployed")
        .await;
    for command in [&["migrate"][..], &["reset", "--yes"]] {
        let refused = db(folder, command).await;
        assert_eq!(refused.code, Some(1), "{command:?}");
        assert!(
            refused.stderr.contains("a server uses"),
            "{}",
            refused.stderr
        );
    }
    let same = db(folder, &["diff"]).await.success();
    assert_eq!(same.stdout, "the tables are as the files say\n");
    db(folder, &["lint"]).await.success();
}
