//! Migrations: what a deployment does to an app's tables, all of it or nothing.

use pumice_tests::{App, Bundle, Engine, guest, on_both_engines};
use serde_json::json;

on_both_engines!(
    migrations_run_once_in_order_of_their_numbers,
    a_failed_migration_leaves_nothing_and_names_its_place,
    a_failed_migration_leaves_the_old_revision_serving,
    what_has_run_may_not_change,
    a_seed_runs_once,
    a_failed_seed_leaves_nothing,
    tables_point_to_users,
    a_table_is_closed_to_the_anon_key,
    tables_outlive_a_restart,
    an_older_revision_keeps_the_newer_tables,
);

const INIT: &str = "create table note (id integer primary key, text text not null);";

async fn app(engine: Engine) -> App {
    let app = engine.app("migrate").await;
    app.tables(INIT).await;
    app
}

/// What the platform says of a bundle that it refuses.
async fn refusal(bundle: Bundle) -> String {
    let answer = bundle.push().await;
    assert!((400..500).contains(&answer.status), "{answer}");
    answer.text()
}

async fn migrations_run_once_in_order_of_their_numbers(engine: Engine) {
    let app = engine.app("migrate").await;
    let bundle = app
        .bundle()
        .migration("10000_last.sql", "insert into note (id, text) values (3, 'last');")
        .migration("0002_more.sql", "alter table note add column stars integer not null default 1;\ninsert into note values (1, 'more', 5);")
        .migration("0001_init.sql", INIT)
        .migration("9999_late.sql", "insert into note values (2, 'late', 2);");
    bundle.clone().await;
    let expect = json!([
        { "id": 1, "text": "more", "stars": 5 },
        { "id": 2, "text": "late", "stars": 2 },
        { "id": 3, "text": "last", "stars": 1 },
    ]);
    assert_eq!(app.rows("note?order=id").await, expect);
    bundle.clone().await;
    bundle
        .migration("10001_one_more.sql", "update note set stars = stars + 1;")
        .await;
    let stars = app.rows("note?select=stars&order=id").await;
    assert_eq!(
        stars,
        json!([{ "stars": 6 }, { "stars": 3 }, { "stars": 2 }])
    );
}

async fn a_failed_migration_leaves_nothing_and_names_its_place(engine: Engine) {
    let app = app(engine).await;
    for (broken, line, part) in [
        (
            "create table a (id integer);\n\ninsert into note values (1, 'x');\ninsert into note values (1, 'y');\n",
            4,
            "insert into note",
        ),
        (
            "create table a (id integer);\nalter table nothing add column b integer;\n",
            2,
            "alter table nothing",
        ),
        (
            "create table a (id integer);\ncreate tabel b (id integer);\n",
            2,
            "create tabel",
        ),
        (
            "create table a (id integer);\n\n\ncreate table note (id integer);\n",
            4,
            "create table note",
        ),
    ] {
        let bundle = app.tables(INIT).migration("0002_broken.sql", broken);
        let told = refusal(bundle.clone()).await;
        let place = format!("migrations/0002_broken.sql:{line}:");
        assert!(
            told.contains(&place) && told.contains(part),
            "{place} {part}: {told}"
        );
        app.rest("GET", "a").await.refused(404, "PGRST205");
        assert_eq!(app.count("note").await, 0, "{broken}");
        // Mended, it runs.
        let mended = app
            .tables(INIT)
            .migration("0002_broken.sql", "create table b (id integer);");
        if line == 4 && part == "create table note" {
            mended.await;
            assert_eq!(app.count("b").await, 0);
        }
    }
}

async fn a_failed_migration_leaves_the_old_revision_serving(engine: Engine) {
    let app = engine.app("migrate").await;
    app.tables(INIT).function(guest!("hello")).await;
    let broken = app
        .tables(INIT)
        .migration("0002_broken.sql", "insert into note values (1, null);")
        .function(guest!("seen").named("hello"));
    refusal(broken).await;
    app.invoke("hello").await.is("200 hello");
    let made = app
        .insert("note", &json!({ "id": 1, "text": "still here" }))
        .await;
    assert_eq!(made.status, 201, "{made}");
}

async fn what_has_run_may_not_change(engine: Engine) {
    let app = app(engine).await;
    let edited = app.tables("create table note (id integer primary key, text text);");
    let told = refusal(edited).await;
    assert!(
        told.contains("migrations/0001_init.sql has run and was edited since"),
        "{told}"
    );
    let gone = app
        .bundle()
        .migration("0002_more.sql", "create table more (id integer);");
    let told = refusal(gone).await;
    assert!(
        told.contains("migrations/0001_init.sql has run and is gone"),
        "{told}"
    );
    let late = app
        .tables(INIT)
        .migration("0000_first.sql", "create table first (id integer);");
    let told = refusal(late).await;
    assert!(
        told.contains("migrations/0000_first.sql comes before"),
        "{told}"
    );
    let same = app
        .tables(INIT)
        .migration("00001_same.sql", "create table same (id integer);");
    let told = refusal(same).await;
    assert!(told.contains("have the same number"), "{told}");
    let name = app
        .tables(INIT)
        .migration("two.sql", "create table two (id integer);");
    let told = refusal(name).await;
    assert!(told.contains("migrations/two.sql"), "{told}");
    for table in ["more", "first", "same", "two"] {
        app.rest("GET", table).await.refused(404, "PGRST205");
    }
    // None of this is held against the next deployment.
    app.tables(INIT)
        .migration("0002_more.sql", "create table more (id integer);")
        .await;
    assert_eq!(app.count("more").await, 0);
}

async fn a_seed_runs_once(engine: Engine) {
    let app = engine.app("seed").await;
    let seed =
        "insert into note values (1, 'it''s; seeded');\ninsert into note values (2, 'twice');\n";
    let bundle = app.tables(INIT).seed(seed);
    bundle.clone().await;
    assert_eq!(
        app.rows("note?id=eq.1").await,
        json!([{ "id": 1, "text": "it's; seeded" }])
    );
    app.rest("DELETE", "note?id=eq.1").await;
    bundle.await;
    app.tables(INIT)
        .seed("insert into note values (7, 'another');")
        .await;
    assert_eq!(app.rows("note?select=id").await, json!([{ "id": 2 }]));
}

async fn a_failed_seed_leaves_nothing(engine: Engine) {
    let app = engine.app("seed").await;
    let bundle = app
        .tables(INIT)
        .seed("insert into note values (1, 'one');\ninsert into note values (1, 'two');\n");
    let told = refusal(bundle).await;
    assert!(told.contains("seed.sql:2:"), "{told}");
    app.tables(INIT)
        .seed("insert into note values (2, 'mended');")
        .await;
    assert_eq!(app.rows("note?select=id").await, json!([{ "id": 2 }]));
}

async fn tables_point_to_users(engine: Engine) {
    let app = engine.app("users").await;
    app.tables(
        "create table profile (
            user_id uuid primary key references auth.users (id) on delete cascade,
            nick text
        );
        create table badge (
            id integer primary key,
            user_id uuid references auth.users
        );",
    )
    .await;
    let nobody = "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11";
    let refused = app.insert("profile", &json!({ "user_id": nobody })).await;
    refused.refused(409, "23503");
    assert_eq!(
        refused.json()["details"],
        format!("Key (user_id)=({nobody}) is not present in table \"users\".")
    );
    app.insert("badge", &json!({ "id": 1, "user_id": nobody }))
        .await
        .refused(409, "23503");
    let made = app
        .insert("badge", &json!({ "id": 1, "user_id": null }))
        .await;
    assert_eq!(made.status, 201, "{made}");
}

async fn a_table_is_closed_to_the_anon_key(engine: Engine) {
    let app = app(engine).await;
    let anon = app
        .call("GET", "/rest/v1/note")
        .header("apikey", &app.anon_key)
        .await;
    assert_eq!(anon.code(), "42501");
    if engine == Engine::Postgres {
        let secured = app
            .psql("select relrowsecurity from pg_class where oid = 'public.note'::regclass")
            .await;
        assert_eq!(secured, "t");
        let role = "set role anon; select count(*) from public.note";
        let (succeeded, told) = app.try_psql(role).await;
        assert!(!succeeded && told.contains("permission denied"), "{told}");
    }
}

async fn tables_outlive_a_restart(engine: Engine) {
    let server = engine.server().await;
    let app = server.app("lasting").await;
    app.tables(INIT).await;
    app.insert("note", &json!({ "id": 1, "text": "kept" }))
        .await;
    drop(app);
    let server = server.restart().await;
    let app = server.found("lasting").await;
    assert_eq!(app.rows("note").await, json!([{ "id": 1, "text": "kept" }]));
    let told = refusal(app.tables("create table other (id integer);")).await;
    assert!(told.contains("edited"), "{told}");
}

async fn an_older_revision_keeps_the_newer_tables(engine: Engine) {
    let app = engine.app("back").await;
    app.tables(INIT).function(guest!("hello")).await;
    app.tables(INIT)
        .migration(
            "0002_more.sql",
            "alter table note add column stars integer;",
        )
        .await;
    let back = app
        .platform("POST", "/rollback")
        .json(&json!({ "to": 1 }))
        .await;
    assert!(back.status < 300, "{back}");
    app.invoke("hello").await.is("200 hello");
    let made = app
        .insert("note", &json!({ "id": 1, "text": "x", "stars": 3 }))
        .await;
    assert_eq!(
        made.json(),
        json!([{ "id": 1, "text": "x", "stars": 3 }]),
        "{made}"
    );
}
