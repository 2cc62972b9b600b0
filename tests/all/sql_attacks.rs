//! SQL of a guest's own that reaches for what is not the app's tables.

use std::future::IntoFuture as _;

use pumice_tests::{App, Engine, guest, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    what_is_not_its_own_is_refused,
    two_statements_are_refused,
    a_statement_does_not_outlive_its_time,
    an_open_transaction_protects_nothing_more,
);

const TABLES: &str = "create table note (id integer primary key, text text);
create table profile (user_id uuid primary key references auth.users (id));";

/// On either engine.
const EVERYWHERE: &[&str] = &[
    "begin",
    "BEGIN",
    "commit",
    "end",
    "rollback",
    "/* */ commit",
    "-- x\ncommit",
    "savepoint a",
    "release a",
    "rollback to a",
    "select * from auth.users",
    "select * from \"auth\".\"users\"",
    "insert into auth.users (id) values ('6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11')",
    "delete from auth.users",
    "select 1 from note where exists (select 1 from auth.users)",
    "select * from pumice.migration",
    "select * from pumice.change",
    "delete from pumice.change",
    "delete from pumice.migration",
    "insert into pumice.job (id) values (1)",
    "create table mine (id integer)",
    "drop table note",
    "alter table note add column more text",
    "create index i on note (text)",
    "create view v as select * from note",
    "create trigger t after insert on note begin delete from note; end",
    "create temp table t (id integer)",
    "vacuum",
    "reindex",
    "analyze",
    "explain select 1 from note",
    "select load_extension('x')",
    "attach database '/tmp/x' as x",
    "pragma writable_schema = on",
];

const SQLITE: &[&str] = &[
    "select * from sqlite_master",
    "select * from sqlite_schema",
    "select * from \"sqlite_master\"",
    "select * from main.sqlite_master",
    "select * from [sqlite_master]",
    "select * from `auth.users`",
    "select * from \"auth.users\"",
    "select * from [auth.users]",
    "select * from 'auth.users'",
    "select * from main.\"auth.users\"",
    "select * from \"pumice.migration\"",
    "delete from \"pumice.change\"",
    "update \"pumice.catalog\" set text = ''",
    "ATTACH '/tmp/x' AS x",
    "attach ':memory:' as x",
    "detach main",
    "PRAGMA journal_mode = off",
    "pragma synchronous = off",
    "pragma table_info(note)",
    "select * from pragma_table_info('note')",
    "select * from pragma_database_list",
    "insert or rollback into note values (1, 'x')",
    "update or rollback note set id = 1",
    "select * from dbstat",
    "select load_extension('/tmp/x.so', 'entry')",
    "select fts3_tokenizer('x')",
    "create virtual table v using fts5(x)",
    "vacuum into '/tmp/x'",
    "replace into sqlite_master values (1, 2, 3, 4, 5)",
    "with x as (select * from \"auth.users\") select * from x",
    "insert into note select 9, text from \"pumice.catalog\"",
];

const POSTGRES: &[&str] = &[
    "set role postgres",
    "reset role",
    "set local role none",
    "set session authorization default",
    "reset all",
    "discard all",
    "select set_config('role', 'admin', true)",
    "select set_config('session_authorization', 'admin', true)",
    "select pumice.log_change()",
    "select query_to_xml('select * from pumice.change', true, true, '')",
    "select dblink('', 'select 1')",
    "select pg_sleep_for('1 minute') from pumice.change",
    "create temp table t as select 1",
    "select 1 into temp t",
    "select * into u from note",
    "select pg_cancel_backend(pg_backend_pid())",
    "select pg_reload_conf()",
    "select usename, passwd from pg_shadow",
    "select rolpassword from pg_authid",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "copy note to '/tmp/x'",
    "copy note from program 'id'",
    "copy note to stdout",
    "create extension dblink",
    "create role r superuser",
    "alter role service_role superuser",
    "grant all on note to public",
    "create function f() returns int language sql as 'select 1'",
    "do $$ begin perform 1; end $$",
    "create schema s",
    "alter system set fsync = off",
    "alter table note disable row level security",
    "alter database postgres set fsync = off",
    "listen x",
    "select pg_terminate_backend(pg_backend_pid())",
    "update pg_class set relname = 'x'",
    "delete from pg_catalog.pg_class",
    "truncate note",
    "lock table note",
    "prepare p as select 1",
    "start transaction",
    "prepare transaction 'x'",
    "end work",
    "abort",
];

async fn app(engine: Engine) -> App {
    let app = engine.app("attacks").await;
    app.tables(TABLES).function(guest!("data_function")).await;
    app.insert("note", &json!({ "id": 1, "text": "mine" }))
        .await;
    app
}

fn sql(statement: &str) -> Value {
    json!({ "op": "sql", "statement": statement })
}

/// Fails unless the app's tables are as they were and its data path works as before.
async fn unharmed(app: &App, after: &str) {
    assert_eq!(
        app.rows("note").await,
        json!([{ "id": 1, "text": "mine" }]),
        "{after}"
    );
    let write = json!([
        sql("insert into note values (2, 'x')"),
        sql("delete from note where id = 2"),
        { "op": "transaction", "steps": [sql("select id from note")] },
    ]);
    let told = app.ask(&write).await;
    assert_eq!(told[2]["ok"]["end"], "committed", "{after}: {told}");
    let anon = app
        .call("GET", "/rest/v1/note")
        .header("apikey", &app.anon_key)
        .await;
    assert_eq!(anon.code(), "42501", "{after}");
}

async fn what_is_not_its_own_is_refused(engine: Engine) {
    let app = app(engine).await;
    let own = match engine {
        Engine::Sqlite => SQLITE,
        Engine::Postgres => POSTGRES,
    };
    let mut allowed = Vec::new();
    for statement in EVERYWHERE.iter().chain(own) {
        let told = app.ask(&sql(statement)).await;
        if told["error"]["code"].as_str().is_none() {
            allowed.push(format!("{statement}: {told}"));
        }
        let failed = told["error"]["code"].as_str().unwrap_or_default();
        if ["Other", "Unavailable", "XX000"].contains(&failed) {
            allowed.push(format!("{statement} broke something: {told}"));
        }
    }
    assert!(allowed.is_empty(), "{allowed:#?}");
    unharmed(&app, "all").await;
    if engine == Engine::Postgres {
        let role = app
            .ask(&sql(
                "select current_user::text as u, session_user::text as s",
            ))
            .await;
        assert_eq!(role["ok"][0]["u"], "service_role", "{role}");
        let kept = app.psql("select count(*) from pg_roles where rolname = 'r' or (rolname = 'service_role' and rolsuper)").await;
        assert_eq!(kept, "0");
        // A change of role by a function call ends with its transaction at the latest, and helps nobody in it.
        let steps = json!([
            sql("select set_config('role', 'none', true)"),
            sql("select count(*) from auth.users"),
            sql("select count(*) from pumice.change"),
        ]);
        let told = app
            .ask(&json!({ "op": "transaction", "go_on": true, "steps": steps }))
            .await;
        assert_eq!(told["ok"]["steps"][1]["error"]["code"], "42501", "{told}");
        assert_eq!(told["ok"]["steps"][2]["error"]["code"], "42501", "{told}");
    }
}

async fn two_statements_are_refused(engine: Engine) {
    let app = app(engine).await;
    for statement in [
        "select 1; delete from note",
        "delete from note; select 1",
        "delete from note where id = 9; delete from note",
        "select 1;;delete from note",
        "select ';' from note; delete from note",
        "insert into note values (5, 'x'); commit",
        "select 1 --\n; delete from note",
    ] {
        let told = app.ask(&sql(statement)).await;
        assert_eq!(told["error"]["code"], "42601", "{statement}: {told}");
    }
    // What only looks like two is one.
    for statement in [
        "select id from note;",
        "select ';' as a from note",
        "select id /* ; delete from note */ from note",
        "select id from note; -- end",
    ] {
        let told = app.ask(&sql(statement)).await;
        assert_eq!(
            told["ok"].as_array().map(Vec::len),
            Some(1),
            "{statement}: {told}"
        );
    }
    for statement in ["", " ", "-- nothing", ";"] {
        let told = app.ask(&sql(statement)).await;
        assert!(
            told["ok"] == json!([]) || told["error"]["code"].is_string(),
            "{statement:?}: {told}"
        );
    }
    unharmed(&app, "two").await;
}

async fn a_statement_does_not_outlive_its_time(engine: Engine) {
    let app = app(engine).await;
    let endless = "with recursive n (i) as (select 1 union all select i % 1000 + 1 from n) select max(i) from n";
    let told = app.ask(&sql(endless)).await;
    assert_eq!(told["error"]["code"], "57014", "{told}");
    unharmed(&app, "endless").await;
}

async fn an_open_transaction_protects_nothing_more(engine: Engine) {
    let app = app(engine).await;
    for statement in [
        "commit",
        "rollback",
        "savepoint a",
        "select * from auth.users",
        "drop table note",
        "delete from pumice.change",
    ] {
        let steps = json!([
            sql("insert into note values (3, 'x')"),
            sql(statement),
            sql("delete from note where id = 3")
        ]);
        let told = app
            .ask(&json!({ "op": "transaction", "go_on": true, "steps": steps }))
            .await;
        let steps = &told["ok"]["steps"];
        assert!(steps[1]["error"]["code"].is_string(), "{statement}: {told}");
        assert_eq!(
            (&told["ok"]["end"], &steps[2]["ok"]),
            (&json!("committed"), &json!([])),
            "{statement}: {told}"
        );
    }
    unharmed(&app, "in a transaction").await;
}

/// Settings that a statement may change on PostgreSQL must end with it: connections are used again.
#[tokio::test]
async fn what_a_guest_sets_ends_with_its_statement() {
    let app = Engine::Postgres.app("settings").await;
    app.tables("create table note (id integer primary key, at timestamptz, ratio double precision, day interval);")
        .function(guest!("data_function"))
        .await;
    let row = json!({ "id": 1, "at": "2021-06-05T12:00:00+00:00", "ratio": 0.1, "day": "1 day 02:00:00" });
    app.insert("note", &row).await;
    let before = app.rest("GET", "note").await.to_string();
    for (name, value) in [
        ("TimeZone", "Asia/Tokyo"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "-10"),
        ("search_path", "pg_temp"),
        ("standard_conforming_strings", "off"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "read uncommitted"),
        ("statement_timeout", "1"),
        ("lock_timeout", "1"),
        ("role", "none"),
        ("client_encoding", "LATIN1"),
        ("request.jwt.claims", "{}"),
    ] {
        let statement = format!("select set_config('{name}', '{value}', false)");
        app.ask(&sql(&statement)).await;
        let update = format!("update pg_settings set setting = '{value}' where name = '{name}'");
        app.ask(&sql(&update)).await;
        // Whichever connection each gets.
        let reads = (0..6).map(|_| app.rest("GET", "note").into_future());
        for answer in futures_util::future::join_all(reads).await {
            assert_eq!(answer.to_string(), before, "{name}");
        }
        let change = app.rest("PATCH", "note?id=eq.1").json(&row).await;
        assert_eq!(change.status, 204, "{name}: {change}");
        let made = app
            .insert("note", &json!({ "id": 2, "at": "2021-06-05 12:00" }))
            .await;
        assert_eq!(made.json()[0]["at"], "2021-06-05T12:00:00+00:00", "{name}");
        assert_eq!(
            app.rest("DELETE", "note?id=eq.2").await.status,
            204,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_guest_does_not_lift_its_own_time() {
    let app = Engine::Postgres.app("lifted").await;
    app.tables(TABLES).function(guest!("data_function")).await;
    app.insert("note", &json!({ "id": 1, "text": "mine" }))
        .await;
    let endless = "with recursive n (i) as (select 1 union all select i % 1000 + 1 from n) select max(i) from n";
    let steps = json!([
        sql("update note set text = 'held' where id = 1"),
        sql("select set_config('statement_timeout', '0', true)"),
        sql(endless),
    ]);
    let call = json!({ "op": "transaction", "go_on": true, "steps": steps });
    let held = tokio::spawn({
        let app = app.clone();
        async move { app.ask(&call).await }
    });
    // Its row is free again long before the function's own 30 s are over.
    let began = std::time::Instant::now();
    let mut effects = app.effects().await;
    effects
        .until("the statement has begun", async || {
            let active = "select count(*) from pg_stat_activity where state = 'active' and datname = current_database() and query like '%recursive%' and pid <> pg_backend_pid()";
            (app.psql(active).await == "1" || held.is_finished()).then_some(())
        })
        .await;
    let change = app
        .rest("PATCH", "note?id=eq.1")
        .json(&json!({ "text": "mine" }))
        .await;
    assert_eq!(change.status, 204, "{change}");
    let waited = began.elapsed();
    assert!(waited.as_secs() < 10, "the row was held for {waited:?}");
    held.abort();
    effects
        .until("nothing runs any more", async || {
            let active = "select count(*) from pg_stat_activity where state = 'active' and datname = current_database() and query like '%recursive%' and pid <> pg_backend_pid()";
            (app.psql(active).await == "0").then_some(())
        })
        .await;
    unharmed(&app, "lifted").await;
}

/// How deep a change is in a chain of triggers is the host's to say.
#[tokio::test]
async fn a_guest_does_not_set_its_own_depth() {
    let app = Engine::Postgres.app("depth").await;
    app.tables("create table loop (id bigint generated by default as identity primary key, n bigint not null);")
        .after(guest!("after_loop"), "loop", &["insert"])
        .function(guest!("data_function"))
        .await;
    let mut effects = app.effects().await;
    let deeper = "with x as (select set_config('pumice.depth', '7', true) as d) insert into loop (n) select 1 from x where d = '7'";
    app.ask(&sql(deeper)).await;
    app.insert("loop", &json!({ "n": 101 })).await;
    effects
        .until("the other chain", async || {
            (app.count("loop?n=eq.109").await == 1).then_some(())
        })
        .await;
    // It is either refused, or at the depth it has.
    let chain = app.count("loop?n=lt.100").await;
    assert!(chain == 0 || chain == 9, "{chain} rows");
}
