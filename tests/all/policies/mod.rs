//! Grants and row policies: on SQLite they are ours, on PostgreSQL the database's own, and nobody can tell.

mod lots;

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use pumice_tests::{Answer, App, Call, Engine, TestServer, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    tables_are_closed_until_something_is_granted,
    each_right_is_granted_alone,
    rights_of_columns,
    policies_are_for_their_roles_and_commands,
    a_policy_asks_who_calls,
    nothing_is_asked_of_a_hidden_row,
    a_view_shows_what_its_reader_may_see,
    a_write_through_a_view_tells_what_the_view_does,
    an_upsert_meets_rows_by_defaults_and_computed_columns,
    another_apps_rows_never_appear,
);

/// Signed-in callers. Sign-up comes with the auth service; until then a debug build believes tokens that are signed
/// with a shared secret when its test asks for it.
const ANA: &str = "00000000-0000-0000-0000-00000000000a";
const BEN: &str = "00000000-0000-0000-0000-00000000000b";

async fn server(engine: Engine) -> TestServer {
    TestServer::on(engine, "", &[("PUMICE_TEST_SHARED_SECRET", "on")]).await
}

/// Who sends a request.
#[derive(Clone, Debug)]
enum Caller {
    Service,
    Anon,
    User(Value),
}

fn user(sub: &str) -> Caller {
    Caller::User(json!({ "sub": sub }))
}

impl Caller {
    fn call(&self, app: &App, method: &str, path: &str) -> Call {
        const SECRET: &[u8] = b"super-secret-jwt-token-with-at-least-32-characters-long";
        let call = app.call(method, &format!("/rest/v1/{path}"));
        match self {
            Caller::Service => call.header("apikey", &app.service_role_key),
            Caller::Anon => call.header("apikey", &app.anon_key),
            Caller::User(claims) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let mut claims = claims.clone();
                claims["role"] = json!("authenticated");
                claims["exp"] = json!(now.expect("it is after 1970").as_secs() + 600);
                let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
                let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
                let token = jsonwebtoken::encode(&header, &claims, &key).expect("it can be signed");
                call.header("apikey", &app.anon_key).bearer(&token)
            }
        }
    }

    fn get(&self, app: &App, path: &str) -> Call {
        self.call(app, "GET", path)
    }
}

async fn app(engine: Engine, tables: &str, seed: &str) -> App {
    let app = server(engine).await.app("guarded").await;
    deploy(&app, tables, seed).await;
    app
}

async fn deploy(app: &App, tables: &str, seed: &str) {
    app.tables(tables)
        .seed(seed)
        .table("[api]\ntransaction_end = \"commit-allow-override\"\naggregates = true")
        .await;
}

async fn tables_are_closed_until_something_is_granted(engine: Engine) {
    let app = app(
        engine,
        "create table shut (id integer primary key);
         create table granted (id integer primary key);
         grant select, insert, update, delete on granted to anon, authenticated;
         -- pumice: open
         create table unguarded (id integer primary key);",
        "insert into shut (id) values (1); insert into granted (id) values (1); insert into unguarded (id) values (1);",
    )
    .await;
    for (caller, status) in [(Caller::Anon, 401), (user(ANA), 403)] {
        for (method, path) in [
            ("GET", "shut"),
            ("POST", "shut"),
            ("PATCH", "shut?id=eq.1"),
            ("DELETE", "shut?id=eq.1"),
        ] {
            let refused = caller
                .call(&app, method, path)
                .json(&json!({ "id": 2 }))
                .await;
            refused.refused(status, "42501");
            assert_eq!(
                refused.json()["message"],
                "permission denied for table shut"
            );
            let told = refused.header("www-authenticate");
            assert_eq!(told, if status == 401 { "Bearer" } else { "" });
        }
        caller.get(&app, "granted").await.is("200 []");
        let new = caller
            .call(&app, "POST", "granted")
            .json(&json!({ "id": 2 }))
            .await;
        new.refused(status, "42501");
        assert_eq!(
            new.json()["message"],
            "new row violates row-level security policy for table \"granted\""
        );
        let changed = caller
            .call(&app, "PATCH", "granted?id=eq.1")
            .json(&json!({ "id": 5 }))
            .await;
        assert_eq!(
            (changed.status, changed.header("content-range")),
            (204, "*/*")
        );
        let gone = caller.call(&app, "DELETE", "granted?id=eq.1").await;
        assert_eq!(gone.status, 204);
    }
    for caller in [Caller::Anon, user(ANA)] {
        caller.get(&app, "unguarded").await.is(r#"200 [{"id":1}]"#);
    }
    for table in ["shut", "granted", "unguarded"] {
        Caller::Service
            .get(&app, table)
            .await
            .is(r#"200 [{"id":1}]"#);
    }
}

async fn each_right_is_granted_alone(engine: Engine) {
    const RIGHTS: [&str; 4] = ["select", "insert", "update", "delete"];
    let mut tables = String::new();
    for right in RIGHTS {
        let _ = write!(
            tables,
            "create table may_{right} (id integer primary key, n integer);
             create policy everything on may_{right} using (true) with check (true);
             grant {right} on may_{right} to anon;"
        );
    }
    let seed: String = RIGHTS
        .iter()
        .map(|right| format!("insert into may_{right} (id, n) values (1, 1);"))
        .collect();
    let app = app(engine, &tables, &seed).await;
    for granted in RIGHTS {
        for (right, method, query, body) in [
            ("select", "GET", "", ""),
            ("insert", "POST", "", r#"{"id":2}"#),
            ("update", "PATCH", "", r#"{"n":2}"#),
            ("delete", "DELETE", "", ""),
        ] {
            let answer = Caller::Anon
                .call(&app, method, &format!("may_{granted}{query}"))
                .header("prefer", "tx=rollback")
                .body(body)
                .await;
            if right == granted {
                assert!(answer.status < 300, "{granted} {right}: {answer}");
            } else {
                assert_eq!(
                    (answer.status, &*answer.code()),
                    (401, "42501"),
                    "{granted} {right}"
                );
            }
        }
        // What is answered or looked for has to be readable as well.
        if granted != "select" {
            for (method, path) in [("PATCH", "?id=eq.1"), ("DELETE", "?id=eq.1"), ("POST", "")] {
                let call = Caller::Anon.call(&app, method, &format!("may_{granted}{path}"));
                let answer = call.representation().body(r#"{"id":3}"#).await;
                answer.refused(401, "42501");
            }
        }
    }
}

async fn rights_of_columns(engine: Engine) {
    let app = app(
        engine,
        "create table people (id integer primary key, name text, pay integer);
         create policy everything on people using (true) with check (true);
         grant select (id, name), insert (id, name), update (name) on people to anon;",
        "insert into people (id, name, pay) values (1, 'ann', 100);",
    )
    .await;
    let ask = async |method: &str, path: &str, body: &str| -> Answer {
        let call = Caller::Anon.call(&app, method, path);
        call.header("prefer", "tx=rollback, return=minimal")
            .body(body.to_owned())
            .await
    };
    for (method, path, body, allowed) in [
        ("GET", "people?select=id,name", "", true),
        ("GET", "people?select=id,pay", "", false),
        ("GET", "people", "", false),
        ("GET", "people?select=id&pay=gt.1", "", false),
        ("GET", "people?select=id&order=pay", "", false),
        ("GET", "people?select=id&or=(id.eq.1,pay.eq.1)", "", false),
        ("GET", "people?select=pay.sum()", "", false),
        ("GET", "people?select=id&name=eq.ann", "", true),
        ("POST", "people", r#"{"id":2,"name":"bob"}"#, true),
        ("POST", "people", r#"{"id":2,"pay":1}"#, false),
        ("PATCH", "people?id=eq.1", r#"{"name":"x"}"#, true),
        ("PATCH", "people?id=eq.1", r#"{"pay":1}"#, false),
        ("PATCH", "people?pay=eq.100", r#"{"name":"x"}"#, false),
        ("DELETE", "people?id=eq.1", "", false),
    ] {
        let answer = ask(method, path, body).await;
        if allowed {
            assert!(answer.status < 300, "{method} {path} {body}: {answer}");
        } else {
            assert_eq!(
                (answer.status, &*answer.code()),
                (401, "42501"),
                "{method} {path} {body}"
            );
        }
    }
    let made = Caller::Anon
        .call(&app, "POST", "people?select=id,name")
        .header("prefer", "tx=rollback, return=representation")
        .body(r#"{"id":2,"name":"bob"}"#)
        .await;
    made.is(r#"201 [{"id":2,"name":"bob"}]"#);
}

async fn policies_are_for_their_roles_and_commands(engine: Engine) {
    let app = app(
        engine,
        "create table posts (id integer primary key, shown boolean not null, n integer);
         grant select, insert, update, delete on posts to anon, authenticated;
         create policy anybody_sees_shown on posts for select using (shown);
         create policy users_see_all on posts for select to authenticated using (true);
         create policy users_write_small on posts for insert to authenticated with check (n < 10);
         create policy users_change_shown on posts for update to authenticated using (shown) with check (n < 10);
         create policy users_drop_hidden on posts for delete to authenticated using (not shown);
         create policy never_thirteen on posts as restrictive using (n is distinct from 13) with check (n <> 7);",
        "insert into posts (id, shown, n) values (1, true, 1), (2, false, 2), (3, true, 13);",
    )
    .await;
    let ids = async |caller: &Caller, query: &str| caller.get(&app, query).await.text();
    assert_eq!(
        ids(&Caller::Anon, "posts?select=id&order=id").await,
        r#"[{"id":1}]"#
    );
    assert_eq!(
        ids(&user(ANA), "posts?select=id&order=id").await,
        r#"[{"id":1},{"id":2}]"#
    );
    let write = async |caller: &Caller, method: &str, path: &str, body: &str| {
        let call = caller.call(&app, method, path);
        let answer = call
            .header("prefer", "tx=rollback, count=exact")
            .body(body.to_owned())
            .await;
        let refused = if answer.status < 300 {
            String::new()
        } else {
            answer.json()["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (
            answer.status,
            answer.header("content-range").to_owned(),
            refused,
        )
    };
    let row = |id: u32, n: u32| json!({ "id": id, "shown": true, "n": n }).to_string();
    let policy = "new row violates row-level security policy for table \"posts\"";
    let strict =
        "new row violates row-level security policy \"never_thirteen\" for table \"posts\"";
    for (caller, method, path, body, expect) in [
        (&user(ANA), "POST", "posts", row(5, 5), (201, "*/1", "")),
        (&user(ANA), "POST", "posts", row(5, 10), (403, "", policy)),
        (&user(ANA), "POST", "posts", row(5, 7), (403, "", strict)),
        (&Caller::Anon, "POST", "posts", row(5, 5), (401, "", policy)),
        (
            &user(ANA),
            "PATCH",
            "posts?id=gt.0",
            r#"{"n":4}"#.to_owned(),
            (204, "0-0/1", ""),
        ),
        (
            &user(ANA),
            "PATCH",
            "posts?id=eq.1",
            r#"{"n":40}"#.to_owned(),
            (403, "", policy),
        ),
        (
            &user(ANA),
            "PATCH",
            "posts?id=eq.1",
            r#"{"n":7}"#.to_owned(),
            (403, "", strict),
        ),
        (
            &Caller::Anon,
            "PATCH",
            "posts?id=gt.0",
            r#"{"n":4}"#.to_owned(),
            (204, "*/0", ""),
        ),
        (
            &user(ANA),
            "DELETE",
            "posts?id=gt.0",
            String::new(),
            (204, "*/1", ""),
        ),
        (
            &Caller::Anon,
            "DELETE",
            "posts?id=gt.0",
            String::new(),
            (204, "*/0", ""),
        ),
        (
            &Caller::Service,
            "DELETE",
            "posts?id=gt.0",
            String::new(),
            (204, "*/3", ""),
        ),
    ] {
        let found = write(caller, method, path, &body).await;
        assert_eq!(
            (found.0, &*found.2),
            (expect.0, expect.2),
            "{caller:?} {method} {path} {body}"
        );
        assert!(
            expect.0 > 299 || found.1 == expect.1,
            "{caller:?} {method} {path} {body}: {}",
            found.1
        );
    }
}

async fn a_policy_asks_who_calls(engine: Engine) {
    let app = app(
        engine,
        "create table boxes (id integer primary key, owner uuid default auth.uid(), team text, pay integer);
         grant select, insert on boxes to anon, authenticated;
         create policy own on boxes using (owner = auth.uid()) with check (owner = auth.uid());
         create policy of_team on boxes for select to authenticated using (team = auth.jwt()->>'team');
         create policy of_role on boxes for select using (team = auth.role());",
        &format!(
            "insert into boxes (id, owner, team) values (1, '{ANA}', 'red'), (2, '{BEN}', 'blue'), (3, null, 'anon'), (4, null, null);"
        ),
    )
    .await;
    let ids = async |caller: Caller| {
        let rows = caller.get(&app, "boxes?select=id&order=id").await.json();
        let ids = rows.as_array().expect("it is a list").iter();
        ids.map(|row| row["id"].as_u64().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Caller::Anon).await, [3]);
    assert_eq!(ids(user(ANA)).await, [1]);
    assert_eq!(
        ids(Caller::User(json!({ "sub": ANA, "team": "blue" }))).await,
        [1, 2]
    );
    assert_eq!(
        ids(Caller::User(json!({ "sub": BEN, "team": "x' or '1'='1" }))).await,
        [2]
    );
    assert_eq!(ids(Caller::User(json!({}))).await, [0; 0]);
    assert_eq!(ids(Caller::Service).await, [1, 2, 3, 4]);
    let put = async |caller: Caller, row: Value| {
        let call = caller.call(&app, "POST", "boxes?select=id,owner");
        call.header("prefer", "tx=rollback, return=representation")
            .json(&row)
            .await
    };
    let own = put(user(ANA), json!({ "id": 9, "owner": ANA })).await;
    own.is(&format!(r#"201 [{{"id":9,"owner":"{ANA}"}}]"#));
    put(user(ANA), json!({ "id": 9, "owner": BEN }))
        .await
        .refused(403, "42501");
    put(Caller::Anon, json!({ "id": 9, "owner": ANA }))
        .await
        .refused(401, "42501");
}

/// A pattern is refused by the first text that it matches up to its end: no hidden text may be among those it meets.
async fn nothing_is_asked_of_a_hidden_row(engine: Engine) {
    let app = app(
        engine,
        "create table member (team integer, who text, primary key (team, who));
         create policy everything on member using (true);
         create table memo (id integer primary key, team integer, txt text);
         create index memo_txt on memo (txt);
         create policy of_team on memo using (exists (select 1 from member m where m.team = memo.team and m.who = auth.role()));
         create table own (id integer primary key, team integer, owner text, txt text);
         create index own_txt on own (txt);
         create policy own on own using (owner = auth.role());
         create table line (id integer primary key, memo_id integer references memo (id));
         create policy everything on line using (true);
         create view of_memo as select id, team, txt from memo;
         grant select on member, line, of_memo to anon;
         grant select, update, delete on memo, own to anon;",
        "insert into member (team, who) values (1, 'anon');
         insert into memo (id, team, txt) values (1, 1, '7'), (2, 2, 'hidden-42');
         insert into own (id, team, owner, txt) values (1, 1, 'anon', '7'), (2, 2, 'boss', 'hidden-42');
         insert into line (id, memo_id) values (1, 1), (2, 2);",
    )
    .await;
    let like = r"like.hidden-4%5C";
    for table in ["memo", "own", "of_memo"] {
        for (query, expect) in [
            (format!("select=txt&txt={like}"), "[]"),
            (format!("select=txt&order=txt&txt={like}"), "[]"),
            (format!("select=txt&order=txt&team=eq.2&txt={like}"), "[]"),
            (
                format!("select=txt&order=txt&txt=not.{like}"),
                r#"[{"txt":"7"}]"#,
            ),
            (
                format!("select=txt&or=(txt.{like},txt.eq.7)"),
                r#"[{"txt":"7"}]"#,
            ),
            ("select=txt::int&order=txt".to_owned(), r#"[{"txt":7}]"#),
        ] {
            let answer = Caller::Anon.get(&app, &format!("{table}?{query}")).await;
            answer.is(&format!("200 {expect}"));
        }
    }
    for (query, expect) in [
        (format!("select=id,memo!inner(txt)&memo.txt={like}"), "[]"),
        (
            format!("select=id,memo(txt)&order=id&memo.txt={like}"),
            r#"[{"id":1,"memo":null},{"id":2,"memo":null}]"#,
        ),
    ] {
        let answer = Caller::Anon.get(&app, &format!("line?{query}")).await;
        answer.is(&format!("200 {expect}"));
    }
    for table in ["memo", "own"] {
        for method in ["PATCH", "DELETE"] {
            let path = format!("{table}?txt={like}");
            let call = Caller::Anon.call(&app, method, &path);
            let answer = call.body(r#"{"team":3}"#).await;
            assert_eq!(answer.status, 204, "{method} {path}: {answer}");
        }
    }
}

async fn a_view_shows_what_its_reader_may_see(engine: Engine) {
    let app = app(
        engine,
        "create table posts (id integer primary key, shown boolean not null);
         grant select on posts to anon;
         create policy shown on posts for select using (shown);
         create table shut (id integer primary key);
         create view of_posts as select id, shown from posts;
         create view of_shut as select id from shut;
         -- pumice: open
         create view as_owner as select id, shown from posts;
         grant select on of_posts, of_shut, as_owner to anon;
         create view ungranted as select id from posts;",
        "insert into posts (id, shown) values (1, true), (2, false); insert into shut (id) values (1);",
    )
    .await;
    let ask = async |path: &str| Caller::Anon.get(&app, path).await;
    ask("of_posts?select=id&order=id")
        .await
        .is(r#"200 [{"id":1}]"#);
    ask("as_owner?select=id&order=id")
        .await
        .is(r#"200 [{"id":1},{"id":2}]"#);
    ask("of_shut").await.refused(401, "42501");
    ask("ungranted").await.refused(401, "42501");
    Caller::Service
        .get(&app, "of_posts?select=id&order=id")
        .await
        .is(r#"200 [{"id":1},{"id":2}]"#);
}

async fn a_write_through_a_view_tells_what_the_view_does(engine: Engine) {
    let app = app(
        engine,
        "create table person (id integer primary key, note text, ssn text);
         -- pumice: open
         create view masked as select id, note, '***' as ssn, length(ssn) as size from person;
         grant select, update (note), delete on masked to anon;",
        "insert into person (id, note, ssn) values (1, 'n', '123-45-6789');",
    )
    .await;
    let told = r#"200 [{"id":1,"ssn":"***","size":11}]"#;
    for (query, expect) in [
        ("id=eq.1", told),
        ("ssn=eq.***", told),
        ("size=eq.11", told),
        ("ssn=eq.123-45-6789", "200 []"),
        ("ssn=like.123-45-678%5C", "200 []"),
    ] {
        for (method, body) in [("PATCH", r#"{"note":"x"}"#), ("DELETE", "")] {
            let path = format!("masked?select=id,ssn,size&{query}");
            let answer = Caller::Anon
                .call(&app, method, &path)
                .header("prefer", "tx=rollback, return=representation")
                .body(body)
                .await;
            answer.is(expect);
        }
    }
}

async fn an_upsert_meets_rows_by_defaults_and_computed_columns(engine: Engine) {
    let app = app(
        engine,
        "create table page (site text default 'main', path text, owner text, body text, primary key (site, path));
         create policy seen on page for select using (true);
         create policy made on page for insert with check (owner = 'anon');
         create policy changed on page for update using (owner = 'anon');
         create table person (id integer primary key, e text, g text generated always as (lower(e)) stored unique, owner text);
         create policy seen on person for select using (true);
         create policy made on person for insert with check (g like 'b%');
         create policy changed on person for update using (owner = 'anon');
         grant select, insert, update on page, person to anon;",
        "insert into page (path, owner, body) values ('/home', 'boss', 'b'), ('/own', 'anon', 'b');
         insert into person (id, e, owner) values (1, 'Boss', 'boss'), (2, 'Bot', 'anon');",
    )
    .await;
    let upsert = async |path: &str, row: Value| {
        Caller::Anon
            .call(&app, "POST", path)
            .header("prefer", "resolution=merge-duplicates")
            .json(&row)
            .await
    };
    for (path, row, message) in [
        (
            "page?on_conflict=site,path",
            json!({ "path": "/home", "owner": "anon", "body": "x" }),
            "new row violates row-level security policy (USING expression) for table \"page\"",
        ),
        (
            "person?on_conflict=g",
            json!({ "id": 9, "e": "BOSS", "owner": "anon" }),
            "new row violates row-level security policy (USING expression) for table \"person\"",
        ),
        (
            "person?on_conflict=g",
            json!({ "id": 9, "e": "X", "owner": "anon" }),
            "new row violates row-level security policy for table \"person\"",
        ),
    ] {
        let answer = upsert(path, row).await;
        answer.refused(401, "42501");
        assert_eq!(answer.json()["message"], message);
    }
    for (path, row) in [
        (
            "page?on_conflict=site,path",
            json!({ "path": "/own", "owner": "anon", "body": "x" }),
        ),
        (
            "person?on_conflict=g",
            json!({ "id": 2, "e": "BOT", "owner": "anon" }),
        ),
        (
            "person?on_conflict=g",
            json!({ "id": 3, "e": "Bee", "owner": "anon" }),
        ),
    ] {
        let answer = upsert(path, row).await;
        assert!(answer.status < 300, "{path}: {answer}");
    }
    let rows = Caller::Service.get(&app, "page?select=path,body&order=path");
    rows.await
        .is(r#"200 [{"path":"/home","body":"b"},{"path":"/own","body":"x"}]"#);
    let rows = Caller::Service.get(&app, "person?select=id,e&order=id");
    rows.await
        .is(r#"200 [{"id":1,"e":"Boss"},{"id":2,"e":"BOT"},{"id":3,"e":"Bee"}]"#);
}

async fn another_apps_rows_never_appear(engine: Engine) {
    let server = server(engine).await;
    let tables = "create table shared (id integer primary key, of_app text);
        create table notes (id integer primary key, shared_id integer references shared (id));
        grant select on shared, notes to anon, authenticated;
        create policy everything on shared using (true);
        create policy everything on notes using (true);";
    let mut apps = Vec::new();
    for name in ["one", "two"] {
        let app = server.app(name).await;
        let seed = format!(
            "insert into shared (id, of_app) values (1, '{name}'); insert into notes (id, shared_id) values (1, 1);"
        );
        deploy(&app, tables, &seed).await;
        apps.push(app);
    }
    for (app, other) in [(&apps[0], &apps[1]), (&apps[1], &apps[0])] {
        let own = format!(r#"200 [{{"id":1,"of_app":"{}"}}]"#, app.name);
        for caller in [Caller::Service, Caller::Anon, user(ANA)] {
            caller.get(app, "shared").await.is(&own);
            let embedded = caller.get(app, "notes?select=shared(of_app)").await;
            embedded.is(&format!(
                r#"200 [{{"shared":{{"of_app":"{}"}}}}]"#,
                app.name
            ));
        }
        for key in [&other.anon_key, &other.service_role_key] {
            let stranger = app.get("/rest/v1/shared").header("apikey", key).await;
            assert_eq!(stranger.status, 401, "{stranger}");
        }
    }
}
