//! A database that somebody else keeps, registered as an app's.

use futures_util::future::join_all;
use pumice_tests::{
    Answer, App, Call, Command, Engine, Session, TestServer, address, address_as, admin_url, guest,
    in_time, psql,
};
use serde_json::json;

const TABLES: &str = "
create table note (id int primary key, open boolean not null default false, stamped_by text);
insert into note values (1, true), (2, false);
alter table note enable row level security;
grant select on note to anon;
grant select, insert, update, delete on note to service_role;
create policy p on note to anon using (open and auth.role() = 'anon');
create table shut (id int primary key);
insert into shut values (1);
create schema other;
create table other.hidden (id int);
grant usage on schema other to anon, service_role;
grant select on other.hidden to anon, service_role;
";

/// A database and the login to it, both called so, as an administrator makes them with the SQL that the
/// command prints.
struct Elsewhere(&'static str);

impl Elsewhere {
    async fn new(name: &'static str) -> Elsewhere {
        let elsewhere = Elsewhere(name);
        elsewhere.clear().await;
        admin("postgres", &format!("create database {name}")).await;
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["db", "register", "--sql", "--login", name];
        let prepare = Command::pumice(folder.path(), &arguments).run().await;
        elsewhere.admin(&prepare.success().stdout).await;
        elsewhere.set_password("sesame").await;
        elsewhere.admin(TABLES).await;
        elsewhere
    }

    async fn admin(&self, sql: &str) -> String {
        admin(self.0, sql).await
    }

    async fn set_password(&self, password: &str) {
        let sql = format!("alter role {} password '{password}'", self.0);
        self.admin(&sql).await;
    }

    fn url(&self) -> String {
        self.url_with("sesame")
    }

    fn url_with(&self, password: &str) -> String {
        address_as(self.0, password, self.0)
    }

    async fn clear(&self) {
        let drop = format!("drop database if exists {} with (force)", self.0);
        admin("postgres", &drop).await;
        admin("postgres", &format!("drop role if exists {}", self.0)).await;
    }
}

async fn admin(database: &str, sql: &str) -> String {
    let (succeeded, text) = psql(database, sql).await;
    assert!(succeeded, "{sql}: {text}");
    text
}

async fn register(app: &App, url: &str) -> Answer {
    app.platform("PUT", "/database")
        .json(&json!({ "url": url }))
        .await
}

async fn registered(app: &App, url: &str) -> Answer {
    let answer = register(app, url).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer
}

fn anon(app: &App, method: &str, path: &str) -> Call {
    app.call(method, &format!("/rest/v1/{path}"))
        .header("apikey", &app.anon_key)
}

#[tokio::test]
async fn its_administrator_says_who_may_what() {
    let elsewhere = Elsewhere::new("regdb_rights").await;
    let server = TestServer::start().await;
    let (app, other) = (server.app("rights").await, server.app("other").await);
    registered(&app, &elsewhere.url()).await;
    app.function(guest!("data_function"))
        .before(guest!("before_stamp"), "note", &["insert"])
        .await;

    anon(&app, "GET", "note?select=id")
        .await
        .is(r#"200 [{"id":1}]"#);
    anon(&app, "GET", "shut").await.refused(401, "42501");
    for method in ["POST", "PATCH", "DELETE"] {
        anon(&app, method, "note?id=eq.1")
            .json(&json!({ "id": 3 }))
            .await
            .refused(401, "42501");
    }
    let hidden = anon(&app, "GET", "hidden").await;
    hidden.refused(404, "PGRST205");
    let hidden = anon(&app, "GET", "hidden").header("accept-profile", "other");
    hidden.await.refused(406, "PGRST106");

    let stamped = app.insert("note", &json!({ "id": 3 })).await;
    stamped.is(r#"201 [{"id":3,"open":false,"stamped_by":"service_role"}]"#);
    assert_eq!(app.count("note").await, 3);
    assert_eq!(elsewhere.admin("select count(*) from note").await, "3");
    // Not even the app itself, where nothing was granted to it.
    app.rest("GET", "shut").await.refused(403, "42501");
    let update = json!({ "op": "update", "table": "note", "filters": [["id", "eq", "3"]], "values": { "open": true } });
    let undone = json!({ "op": "transaction", "steps": [update], "end": "rollback" });
    let told = app.ask(&undone).await;
    assert!(told.get("ok").is_some(), "{told}");
    assert_eq!(app.count("note?open=is.true").await, 1);

    // The tables are its own alone.
    let unknown = other.rest("GET", "note").await;
    unknown.refused(404, "PGRST205");
    // What its administrator changes is seen.
    elsewhere
        .admin("create table later (id int); grant select on later to service_role")
        .await;
    in_time("the new table", async {
        while app.rest("GET", "later").await.status != 200 {}
    })
    .await;

    drop((app, other));
    let server = server.restart().await;
    let app = server.found("rights").await;
    assert_eq!(app.count("note").await, 3);
    let deleted = server.platform("DELETE", "/apps/rights").await;
    assert_eq!(deleted.status, 204, "{deleted}");
    assert_eq!(elsewhere.admin("select count(*) from note").await, "3");
    drop((app, server));
    elsewhere.clear().await;
}

#[tokio::test]
async fn what_it_cannot_have_is_said_and_refused() {
    let elsewhere = Elsewhere::new("regdb_cannot").await;
    let app = TestServer::shared().await.app("cannot").await;
    let answer = registered(&app, &elsewhere.url()).await.json();
    let cannot = answer["cannot"].to_string();
    for part in ["migrations", "after-triggers", "jobs", "raw SQL"] {
        assert!(cannot.contains(part), "{part}: {cannot}");
    }
    let database = answer["database"].as_str().unwrap();
    assert!(database.starts_with("postgres://regdb_cannot@"), "{answer}");
    assert!(database.ends_with("/regdb_cannot"), "{answer}");

    app.function(guest!("data_function")).await;
    let statement = json!({ "op": "sql", "statement": "select 1" });
    let told = app.ask(&statement).await;
    assert!(told.to_string().contains("0A000"), "{told}");
    let first = app.function(guest!("data_function"));
    for (bundle, part) in [
        (
            app.tables("create table mine (id int primary key)"),
            "migrations",
        ),
        (
            first.clone().seed("insert into note values (9)"),
            "seed.sql",
        ),
        (
            first
                .clone()
                .after(guest!("after_copy"), "note", &["insert"]),
            "after-triggers",
        ),
        (first.clone().script(guest!("script_tick")), "scripts"),
    ] {
        let refused = bundle.push().await;
        refused.refused(422, "platform.not_external");
        assert!(refused.text().contains(part), "{part}: {refused}");
    }
    // Nothing of it happened, and the old revision serves.
    assert_eq!(
        elsewhere
            .admin("select to_regclass('mine') is null, count(*) from note")
            .await,
        "t|2"
    );
    let shown = app.platform("GET", "").await.json();
    assert_eq!(shown["revision"], 1);
    let schemas = "select string_agg(nspname, ',' order by nspname) from pg_namespace \
                   where nspname !~ '^pg_' and nspname <> 'information_schema'";
    assert_eq!(elsewhere.admin(schemas).await, "auth,other,public");
    let made = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                where n.nspname = 'auth'";
    assert_eq!(elsewhere.admin(made).await, "0");
    elsewhere.clear().await;
}

/// Each fault of the login by itself; without them it is taken.
#[tokio::test]
async fn a_login_that_may_more_is_refused() {
    let elsewhere = Elsewhere::new("regdb_more").await;
    let app = TestServer::shared().await.app("more").await;
    let refused = register(&app, &address(elsewhere.0)).await;
    refused.refused(422, "platform.external");
    assert!(refused.text().contains("is a superuser"), "{refused}");
    elsewhere
        .admin("create view shown as select id from shut")
        .await;
    for role in ["regdb_boss", "regdb_maker"] {
        admin("postgres", &format!("drop role if exists {role}")).await;
        admin("postgres", &format!("create role {role}")).await;
    }
    for (worse, part, better) in [
        (
            "alter role regdb_more bypassrls",
            "above policies",
            "alter role regdb_more nobypassrls",
        ),
        (
            "alter role regdb_more createrole",
            "a maker of roles",
            "alter role regdb_more nocreaterole",
        ),
        (
            "alter role regdb_more createdb",
            "a maker of databases",
            "alter role regdb_more nocreatedb",
        ),
        (
            "grant regdb_boss to regdb_maker; grant regdb_maker to regdb_more",
            "is a member of regdb_boss",
            "revoke regdb_maker from regdb_more",
        ),
        (
            "alter table shut owner to regdb_more",
            "owns table shut",
            "alter table shut owner to current_user",
        ),
        (
            "alter table shut owner to authenticated",
            "authenticated owns table shut",
            "alter table shut owner to current_user",
        ),
        (
            "alter view shown owner to anon",
            "anon owns view shown",
            "alter view shown owner to current_user",
        ),
        (
            "alter database regdb_more owner to regdb_more",
            "owns database regdb_more",
            "alter database regdb_more owner to current_user",
        ),
        (
            "revoke authenticated from regdb_more",
            "may not act as authenticated",
            "grant authenticated to regdb_more",
        ),
        (
            "create schema pumice",
            "schema pumice is there",
            "drop schema pumice",
        ),
        (
            "comment on schema auth is 'somebody else''s'",
            "schema auth is there",
            "comment on schema auth is 'Pumice'",
        ),
    ] {
        elsewhere.admin(worse).await;
        let refused = register(&app, &elsewhere.url()).await;
        refused.refused(422, "platform.external");
        assert!(refused.text().contains(part), "{worse}: {refused}");
        elsewhere.admin(better).await;
    }
    // As before: its own database, without tables.
    app.rest("GET", "note").await.refused(404, "PGRST205");
    registered(&app, &elsewhere.url()).await;
    assert_eq!(app.count("note").await, 2);
    elsewhere.clear().await;
    admin("postgres", "drop role regdb_boss, regdb_maker").await;
}

#[tokio::test]
async fn nobody_reads_its_password() {
    const CANARY: &str = "canary-8d1f03ab";
    const WRONG: &str = "canary-wrong-77";
    let elsewhere = Elsewhere::new("regdb_canary").await;
    elsewhere.set_password(CANARY).await;
    let server = TestServer::start().await;
    let app = server.app("canary").await;
    let mut told = String::new();
    let good = elsewhere.url_with(CANARY);
    for (url, part) in [
        (elsewhere.url_with(WRONG), "password authentication failed"),
        (address_as("nobody", WRONG, "nowhere"), "failed"),
        (format!("postgres://u:{WRONG}@127.0.0.1:1/d"), "refused"),
        (format!("{good}?password={WRONG}"), "cannot be read"),
        (format!("{good}?other={WRONG}"), "cannot be read"),
        (format!("postgres://u:{WRONG}"), "cannot be read"),
        (WRONG.to_owned(), "cannot be read"),
    ] {
        let refused = register(&app, &url).await;
        refused.refused(422, "platform.external");
        assert!(refused.text().contains(part), "{refused}");
        told += &refused.text();
    }
    for body in [
        json!(good),
        json!({ "url": [good] }),
        json!({ (good.as_str()): 1, "url": good }),
    ] {
        let refused = app.platform("PUT", "/database").json(&body).await;
        refused.refused(400, "platform.bad_request");
        told += &refused.text();
    }
    let unasked = server.call("PUT", "/platform/v1/apps/canary/database");
    let unasked = unasked
        .bearer(&app.service_role_key)
        .json(&json!({ "url": good }))
        .await;
    unasked.refused(401, "platform.unauthorized");

    told += &registered(&app, &good).await.text();
    assert_eq!(app.count("note").await, 2);
    // A password that counts no more.
    elsewhere.set_password("sesame").await;
    let end =
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'regdb_canary'";
    elsewhere.admin(end).await;
    server.expect_error("a request failed");
    let failed = in_time("the connection to be gone", async {
        loop {
            let answer = app.rest("GET", "note").await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(failed.status, 503, "{failed}");
    told += &failed.text();
    // The new one is registered as the first was.
    told += &registered(&app, &elsewhere.url()).await.text();
    assert_eq!(app.count("note").await, 2);

    told += &app.platform("GET", "").await.text();
    told += &server.log().join("\n");
    told += &format!("{:?}", app.records().await);
    for secret in [CANARY, WRONG, "sesame"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    let mut files = 0;
    for name in ["system.db", "system.db-wal", "platform.json"] {
        let Ok(bytes) = std::fs::read(server.data().join(name)) else {
            continue;
        };
        files += 1;
        for secret in [CANARY, "sesame"] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{name} holds the password");
        }
    }
    assert!(files >= 2);
    elsewhere.clear().await;
}

#[tokio::test]
async fn an_app_that_has_tables_keeps_them() {
    let elsewhere = Elsewhere::new("regdb_keeps").await;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let app = engine.app("keeps").await;
        app.tables("create table mine (id int primary key)").await;
        app.insert("mine", &json!({ "id": 1 })).await;
        let refused = register(&app, &elsewhere.url()).await;
        refused.refused(409, "platform.database_used");
        assert_eq!(app.rows("mine").await, json!([{ "id": 1 }]), "{engine:?}");

        // One that is served without tables goes on with its functions.
        let app = engine.app("served").await;
        app.function(guest!("data_function")).await;
        registered(&app, &elsewhere.url()).await;
        assert_eq!(app.count("note").await, 2, "{engine:?}");
        let select = json!({ "op": "select", "table": "note", "select": "id", "order": "id" });
        let told = app.ask(&select).await;
        assert_eq!(told["ok"], json!([{ "id": 1 }, { "id": 2 }]));
        // The database that was made for it is nobody's.
        let left = format!(
            "select count(*) from pg_database where datname = '{}'",
            app.database()
        );
        assert_eq!(admin("postgres", &left).await, "0");
    }
    elsewhere.clear().await;
}

/// Looking at the other database takes its time: what is written meanwhile stays.
#[tokio::test]
async fn what_is_written_while_it_is_looked_at_is_kept() {
    let elsewhere = Elsewhere::new("regdb_gap").await;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let app = engine.app("gap").await;
        app.function(guest!("data_function")).await;
        let write = async || match engine {
            // Raw SQL is a write: it makes the file.
            Engine::Sqlite => {
                let statement = json!({ "op": "sql", "statement": "select 1 as one" });
                let told = app.ask(&statement).await;
                assert_eq!(told["ok"], json!([{ "one": 1 }]), "{told}");
            }
            Engine::Postgres => {
                app.psql("insert into auth.users default values").await;
            }
        };
        let mut session = Session::open(elsewhere.0);
        session.run("begin").await;
        let lock = "lock table pg_catalog.pg_description in access exclusive mode";
        session.run(lock).await;
        let writing = async {
            let waiting = "select count(*) from pg_stat_activity \
                           where usename = 'regdb_gap' and wait_event_type = 'Lock'";
            in_time("the look", async {
                while admin("postgres", waiting).await != "1" {}
            })
            .await;
            write().await;
            session.run("rollback").await;
        };
        let url = elsewhere.url();
        let (refused, ()) = tokio::join!(register(&app, &url), writing);
        refused.refused(409, "platform.database_used");
        // And it takes writes as before.
        write().await;
    }
    elsewhere.clear().await;
}

/// The server lets in no more connections than an app has on a node; with one more, requests fail.
#[tokio::test]
async fn it_takes_the_apps_share_of_connections() {
    let elsewhere = Elsewhere::new("regdb_share").await;
    elsewhere
        .admin(
            "create function waits() returns int language sql as
             $$ select pg_advisory_xact_lock_shared(7); select 1 $$;
             alter role regdb_share connection limit 4",
        )
        .await;
    let server = TestServer::with("database_connections = 16").await;
    let app = server.app("share").await;
    registered(&app, &elsewhere.url()).await;
    assert_eq!(app.count("note").await, 2);
    let mut session = Session::open(elsewhere.0);
    session.run("select pg_advisory_lock(7)").await;
    let calls = join_all((0..12).map(|_| async { app.rpc("waits", &json!({})).await }));
    let release = async {
        let waiting = "select count(*) from pg_stat_activity \
                       where usename = 'regdb_share' and wait_event_type = 'Lock'";
        in_time("four to wait", async {
            while elsewhere.admin(waiting).await != "4" {}
        })
        .await;
        session.run("select pg_advisory_unlock(7)").await;
    };
    let (answers, ()) = tokio::join!(calls, release);
    for answer in answers {
        answer.is("200 1");
    }
    drop((app, server, session));
    elsewhere.clear().await;
}

#[tokio::test]
async fn a_move_and_a_registration_keep_out_of_each_others_way() {
    let elsewhere = Elsewhere::new("regdb_move").await;
    let server = TestServer::start().await;
    let to = admin_url();
    let mover = |app: &App| app.platform("POST", "/move").json(&json!({ "to": to }));
    let app = server.app("external").await;
    registered(&app, &elsewhere.url()).await;
    let refused = mover(&app).await;
    refused.refused(422, "platform.not_external");
    assert!(refused.text().contains("pumice db move"), "{refused}");
    app.platform("GET", "/move")
        .await
        .refused(404, "platform.no_move");
    assert_eq!(app.count("note").await, 2);

    let app = server.app("moving").await;
    // Who holds this lock keeps all others from making the app's database.
    let id = u128::from_str_radix(&app.id.replace('-', ""), 16).unwrap();
    let key = ((id >> 64) as u64 ^ id as u64).cast_signed();
    let (_, database) = to.rsplit_once('/').unwrap();
    let mut session = Session::open(database);
    session
        .run(&format!("select pg_advisory_lock({key})"))
        .await;
    let registering = async {
        in_time("the move to begin", async {
            while app.platform("GET", "/move").await.status != 200 {}
        })
        .await;
        let refused = register(&app, &elsewhere.url()).await;
        session
            .run(&format!("select pg_advisory_unlock({key})"))
            .await;
        refused
    };
    let (moved, refused) = tokio::join!(async { mover(&app).await }, registering);
    refused.refused(409, "platform.moving");
    assert_eq!(moved.status, 200, "{moved}");
    // It has ended, and there was nothing to move.
    registered(&app, &elsewhere.url()).await;
    assert_eq!(app.count("note").await, 2);
    drop((app, server, session));
    elsewhere.clear().await;
}

#[tokio::test]
async fn the_command_reads_the_url_from_its_input() {
    let elsewhere = Elsewhere::new("regdb_command").await;
    let server = TestServer::start().await;
    let app = server.app("command").await;
    let data = server.data().to_str().unwrap();
    let arguments = ["db", "regdb", "--app", "command", "--data", data];
    let command = || Command::pumice(server.data(), &arguments);
    let refused = command().stdin("postgres://sesame").run().await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot be read"), "{refused:?}");
    assert!(!refused.stderr.contains("sesame"), "{refused:?}");
    let input = format!("{}\n", elsewhere.url());
    let told = command().stdin(&input).run().await.success().stdout;
    assert!(
        told.starts_with("command has its tables in postgres://regdb_command@")
            && told.contains("- migrations"),
        "{told}"
    );
    assert!(!told.contains("sesame"), "{told}");
    assert_eq!(app.count("note").await, 2);
    drop((app, server));
    elsewhere.clear().await;
}
