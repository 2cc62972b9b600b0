//! Who reaches which table: closed by default, alike on both engines.

use pumice_tests::{App, Engine, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    what_is_new_is_closed_alike,
    a_view_that_is_made_again_asks_as_its_caller,
    an_open_table_stays_open,
);

const TABLES: &str = "create table closed (id int primary key); insert into closed values (1);
create table granted (id int primary key); insert into granted values (1);
grant select, insert on granted to anon, authenticated;
create table seen (id int primary key, secret text); insert into seen values (1, 'a'), (2, 'b');
grant select (id), insert (id) on seen to anon; create policy p on seen for select to anon using (id = 1);
-- pumice: open
create table open (id int primary key); insert into open values (1);
create view closed_view as select id from closed; grant select on closed_view to anon;
create view granted_view as select id from granted; grant select on granted_view to anon;
create view seen_view as select id from seen; grant select on seen_view to anon;
-- pumice: open
create view open_view as select id from closed; grant select on open_view to anon;
-- pumice: open
create view around_closed as select id from closed_view; grant select on around_closed to anon;
-- pumice: open
create view around_seen as select id from seen_view; grant select on around_seen to anon;";

/// What a caller is told: the rows, or the code.
async fn told(app: &App, role: &str, query: &str) -> Value {
    let key = match role {
        "anon" => &app.anon_key,
        _ => &app.service_role_key,
    };
    let answer = app
        .call("GET", &format!("/rest/v1/{query}"))
        .header("apikey", key)
        .await;
    match answer.status {
        200 => answer.json(),
        _ => answer.code().into(),
    }
}

async fn what_is_new_is_closed_alike(engine: Engine) {
    let app = engine.app("closed").await;
    app.tables(TABLES).await;
    let one = || json!([{ "id": 1 }]);
    for (role, query, expect) in [
        ("anon", "closed", json!("42501")),
        ("anon", "granted", json!([])),
        ("anon", "seen?select=id", one()),
        ("anon", "seen", json!("42501")),
        ("anon", "seen?select=id&secret=eq.a", json!("42501")),
        ("anon", "open", one()),
        ("anon", "closed_view", json!("42501")),
        ("anon", "granted_view", json!([])),
        ("anon", "seen_view", one()),
        ("anon", "open_view", one()),
        ("anon", "around_closed", json!("42501")),
        ("anon", "around_seen", one()),
        ("service_role", "closed", one()),
        ("service_role", "granted_view", one()),
        (
            "service_role",
            "seen?select=id&order=id",
            json!([{ "id": 1 }, { "id": 2 }]),
        ),
    ] {
        assert_eq!(told(&app, role, query).await, expect, "{role} {query}");
    }
    // A grant without a policy writes nothing; neither does one for other columns.
    for (table, row, expect) in [
        ("closed", json!({ "id": 5 }), "42501"),
        ("granted", json!({ "id": 5 }), "42501"),
        ("seen", json!({ "id": 5, "secret": "x" }), "42501"),
    ] {
        let answer = app
            .call("POST", &format!("/rest/v1/{table}"))
            .header("apikey", &app.anon_key)
            .json(&row)
            .await;
        assert_eq!(answer.code(), expect, "{table}");
    }
    if engine == Engine::Postgres {
        let other =
            "create schema other; create table other.t (id int); insert into other.t values (1);
grant usage on schema other to anon; grant select on other.t to anon;
create view other.v as select * from other.t; grant select on other.v to anon;";
        app.bundle()
            .migration("0001_init.sql", TABLES)
            .migration("0002_other.sql", other)
            .await;
        for relation in ["other.t", "other.v"] {
            let count = format!("set role anon; select count(*) from {relation}");
            assert_eq!(
                app.psql(&count).await.lines().last(),
                Some("0"),
                "{relation}"
            );
        }
    }
}

async fn a_view_that_is_made_again_asks_as_its_caller(engine: Engine) {
    let app = engine.app("again").await;
    app.tables(TABLES).await;
    app.bundle()
        .migration("0001_init.sql", TABLES)
        .migration(
            "0002_again.sql",
            "create or replace view granted_view as select id from granted where id > 0;
create or replace view closed_view as select id from closed where id > 0;",
        )
        .await;
    assert_eq!(told(&app, "anon", "granted_view").await, json!([]));
    assert_eq!(told(&app, "anon", "closed_view").await, json!("42501"));
    assert_eq!(
        told(&app, "service_role", "closed_view").await,
        json!([{ "id": 1 }])
    );
}

/// A later file changes nothing of what it does not name.
async fn an_open_table_stays_open(engine: Engine) {
    let app = engine.app("open").await;
    app.tables(TABLES).await;
    let more = "alter table open add column n int default 7; create table later (id int);";
    let bundle = app.bundle().migration("0001_init.sql", TABLES);
    let bundle = bundle.migration("0002_more.sql", more);
    bundle.clone().await;
    assert_eq!(
        told(&app, "anon", "open").await,
        json!([{ "id": 1, "n": 7 }])
    );
    assert_eq!(told(&app, "anon", "later").await, json!("42501"));
    let shut = "alter table open enable row level security;";
    bundle.migration("0003_shut.sql", shut).await;
    assert_eq!(told(&app, "anon", "open").await, json!([]));
}
