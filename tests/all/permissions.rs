//! Who may what: rows, bits and SQL against rules that know none of them; owners, guards and doors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use pumice_tests::{Answer, App, Call, Engine, TestServer, guest, in_time, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    every_door_says_what_the_rules_say,
    a_namespace_is_its_owners,
    what_is_wrong_is_named_with_its_fix,
    an_apps_grants_are_its_own,
    entries_that_need_a_permission,
    a_manifest_registers_before_it_serves,
    a_job_needs_the_permission_when_it_runs,
    a_revoked_grant_is_gone_with_the_next_request,
);

const ANA: &str = "00000000-0000-0000-0000-00000000000a";
const BEN: &str = "00000000-0000-0000-0000-00000000000b";

async fn app(engine: Engine) -> App {
    let server = TestServer::on(engine, "", &[("PUMICE_TEST_SHARED_SECRET", "on")]).await;
    server.app("permit").await
}

fn token(claims: Value) -> String {
    const SECRET: &[u8] = b"super-secret-jwt-token-with-at-least-32-characters-long";
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut claims = claims;
    claims["exp"] = json!(now.expect("it is after 1970").as_secs() + 600);
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &key).expect("it can be signed")
}

fn user(sub: &str) -> String {
    token(json!({ "role": "authenticated", "sub": sub }))
}

/// A request to the app's own door with the service key.
fn admin(app: &App, method: &str, path: &str) -> Call {
    app.call(method, &format!("/auth/v1/admin/permissions/{path}"))
        .bearer(&app.service_role_key)
}

async fn put(app: &App, path: &str, body: Value) {
    let answer = admin(app, "PUT", path).json(&body).await;
    assert!(matches!(answer.status, 200 | 204), "{path}: {answer}");
}

async fn grant(app: &App, body: Value) -> String {
    let answer = admin(app, "POST", "grants").json(&body).await;
    assert_eq!(answer.status, 201, "{body}: {answer}");
    answer.json()["id"]
        .as_str()
        .expect("it has an id")
        .to_owned()
}

/// Numbers that are the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.next(list.len())]
    }
}

const ROLES: [&str; 4] = ["clerk", "lead", "boss", "temp"];
const PERMISSIONS: [&str; 4] = ["shop.refund", "shop.sell", "blog.post", "blog.none"];
const RESOURCES: [Option<&str>; 5] = [
    None,
    Some("order/1"),
    Some("order/22"),
    Some("page"),
    Some(""),
];

struct World {
    parents: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// Of Ana.
    roles: BTreeSet<&'static str>,
    grants: Vec<Value>,
}

fn world(chance: &mut Chance) -> World {
    let mut world = World {
        parents: BTreeMap::new(),
        roles: BTreeSet::new(),
        grants: Vec::new(),
    };
    for (at, role) in ROLES.into_iter().enumerate() {
        let parents = world.parents.entry(role).or_default();
        for parent in &ROLES[..at] {
            if chance.next(3) == 0 {
                parents.insert(parent);
            }
        }
        if chance.next(3) == 0 {
            world.roles.insert(role);
        }
    }
    for _ in 0..chance.next(9) {
        let permission = chance.of(&["shop.refund", "shop.sell", "blog.post", "shop.*", "blog.*"]);
        let effect = chance.of(&["allow", "allow", "deny"]);
        let mut grant = json!({ "permission": permission, "effect": effect });
        match chance.next(6) {
            0 => grant["user"] = json!(ANA),
            1 => grant["user"] = json!(BEN),
            2 => grant["key"] = json!("k1"),
            3 => grant["role"] = json!("authenticated"),
            _ => grant["role"] = json!(chance.of(&ROLES)),
        }
        match chance.next(6) {
            0 => grant["resource"] = json!("order/1"),
            1 => grant["resource"] = json!("order/*"),
            2 => grant["resource"] = json!("page"),
            _ => {}
        }
        if chance.next(4) == 0 {
            grant["expires_at"] = json!("9999-01-01T00:00:00Z");
        }
        world.grants.push(grant);
    }
    world
}

/// The rules: Ana with key `k1`.
fn expected(world: &World, permission: &str, resource: Option<&str>) -> bool {
    if permission == "blog.none" {
        return false;
    }
    let mut held: BTreeSet<&str> = world.roles.clone();
    held.insert("authenticated");
    for _ in ROLES {
        let more: Vec<&str> = held
            .iter()
            .filter_map(|role| world.parents.get(role))
            .flatten()
            .copied()
            .collect();
        held.extend(more);
    }
    let mut allowed = false;
    for grant in &world.grants {
        let mine = grant["user"] == ANA
            || grant["key"] == "k1"
            || grant["role"]
                .as_str()
                .is_some_and(|role| held.contains(role));
        let named = grant["permission"].as_str().unwrap();
        let named = named == permission
            || (named.ends_with(".*") && named.split('.').next() == permission.split('.').next());
        let about = match (grant["resource"].as_str(), resource) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some("order/*"), Some(resource)) => resource.starts_with("order/"),
            (Some(one), Some(resource)) => one == resource,
        };
        if mine && named && about {
            if grant["effect"] == "deny" {
                return false;
            }
            allowed = true;
        }
    }
    allowed
}

/// 500 questions: 25 apps' worth of rows, each asked four permissions for five resources.
async fn every_door_says_what_the_rules_say(engine: Engine) {
    let app = app(engine).await;
    let mut rows = Vec::new();
    for (at, permission) in PERMISSIONS.iter().enumerate() {
        for (on, resource) in RESOURCES.iter().enumerate() {
            let resource = resource.map_or("null".to_owned(), |text| format!("'{text}'"));
            rows.push(format!("({}, '{permission}', {resource})", at * 10 + on));
        }
    }
    app.tables(
        "create table asked (id integer primary key, permission text not null, resource text);
         grant select on asked to authenticated;
         create policy held on asked for select to authenticated
             using (auth.has_permission(permission, resource));
         create table plain (id integer primary key);
         grant select on plain to authenticated;
         create policy held on plain for select to authenticated
             using (auth.has_permission('shop.refund'));",
    )
    .seed(&format!(
        "insert into asked (id, permission, resource) values {}; insert into plain (id) values (1);",
        rows.join(", ")
    ))
    .function(guest!("whoami"))
    .await;
    let ana = token(json!({ "role": "authenticated", "sub": ANA, "key_id": "k1" }));
    let mut chance = Chance(7);
    let mut seen = BTreeMap::new();
    for number in 0..25 {
        let world = world(&mut chance);
        put(
            &app,
            "namespaces/shop",
            json!({ "actions": ["refund", "sell"] }),
        )
        .await;
        put(&app, "namespaces/blog", json!({ "actions": ["post"] })).await;
        for role in ROLES {
            let parents = &world.parents[role];
            put(
                &app,
                &format!("roles/{role}"),
                json!({ "parents": parents }),
            )
            .await;
        }
        for role in &world.roles {
            put(&app, &format!("roles/{role}/members/{ANA}"), Value::Null).await;
        }
        for one in &world.grants {
            grant(&app, one.clone()).await;
        }
        let read = app
            .call("GET", "/rest/v1/asked?select=id&order=id")
            .bearer(&ana)
            .await;
        let visible: BTreeSet<u64> = read
            .json()
            .as_array()
            .unwrap_or_else(|| panic!("{read}"))
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect();
        for (at, permission) in PERMISSIONS.iter().enumerate() {
            for (on, resource) in RESOURCES.iter().enumerate() {
                let expect = expected(&world, permission, *resource);
                *seen.entry(expect).or_insert(0) += 1;
                let told = format!("{number}: {permission} {resource:?} {:?}", world.grants);
                let id = (at * 10 + on) as u64;
                assert_eq!(visible.contains(&id), expect, "policy, {told}");
                let question = json!({
                    "user": ANA, "key": "k1", "permission": permission, "resource": resource,
                });
                let explained = admin(&app, "POST", "explain").json(&question).await;
                assert_eq!(explained.json()["allowed"], expect, "{told}: {explained}");
                let checked = admin(&app, "POST", "check").json(&question).await;
                if *permission == "blog.none" {
                    checked.refused(404, "permissions.unknown");
                } else {
                    assert_eq!(checked.json(), json!({ "allowed": expect }), "{told}");
                }
            }
            let asked = app
                .call(
                    "GET",
                    &format!("/functions/v1/whoami?permission={permission}"),
                )
                .bearer(&ana)
                .await;
            let expect = match *permission {
                "blog.none" => json!("no permission is called `blog.none`"),
                _ => json!(expected(&world, permission, None).to_string()),
            };
            assert_eq!(
                asked.json()["permission"],
                expect,
                "{number}: guest, {permission}"
            );
        }
        let plain = app.call("GET", "/rest/v1/plain").bearer(&ana).await;
        let expect = usize::from(expected(&world, "shop.refund", None));
        assert_eq!(
            plain.json().as_array().map(Vec::len),
            Some(expect),
            "{number}"
        );
        for name in ["shop", "blog"] {
            let gone = admin(&app, "DELETE", &format!("namespaces/{name}")).await;
            assert_eq!(gone.status, 204, "{gone}");
        }
        for role in ROLES {
            let gone = admin(&app, "DELETE", &format!("roles/{role}")).await;
            assert_eq!(gone.status, 204, "{gone}");
        }
    }
    assert!(seen[&true] > 50 && seen[&false] > 50, "{seen:?}");
}

async fn a_namespace_is_its_owners(engine: Engine) {
    let app = app(engine).await;
    let service = |key: &str| token(json!({ "role": "service_role", "key_id": key }));
    let by_key = |key: &str, method: &str| {
        app.call(method, "/auth/v1/admin/permissions/namespaces/shop")
            .bearer(&service(key))
            .json(&json!({ "actions": ["refund"] }))
    };
    let by_app = |method: &str| {
        admin(&app, method, "namespaces/shop").json(&json!({ "actions": ["refund"] }))
    };
    let by_account = |method: &str| {
        app.platform(method, "/permissions/namespaces/shop")
            .json(&json!({ "actions": ["refund"] }))
    };
    for owner in ["key:k1", "app", "account"] {
        let first: Answer = match owner {
            "app" => by_app("PUT").await,
            "account" => by_account("PUT").await,
            _ => by_key("k1", "PUT").await,
        };
        assert_eq!(first.json()["owner"], owner, "{first}");
        for method in ["PUT", "DELETE"] {
            for (other, call) in [
                ("app", by_app(method)),
                ("account", by_account(method)),
                ("key:k1", by_key("k1", method)),
                ("key:k2", by_key("k2", method)),
            ] {
                if other != owner {
                    call.await.refused(403, "permissions.not_owner");
                }
            }
        }
        let gone = match owner {
            "app" => by_app("DELETE").await,
            "account" => by_account("DELETE").await,
            _ => by_key("k1", "DELETE").await,
        };
        assert_eq!(gone.status, 204, "{gone}");
    }
    // Nobody but `service_role` comes in by the app's own door.
    for (bearer, status) in [
        (app.anon_key.clone(), 403),
        (user(ANA), 403),
        ("forged".to_owned(), 401),
    ] {
        let refused = app
            .call("GET", "/auth/v1/admin/permissions/namespaces")
            .bearer(&bearer)
            .await;
        assert_eq!(refused.status, status, "{refused}");
    }
    let nobody = app.get("/auth/v1/admin/permissions/namespaces").await;
    assert_eq!(nobody.status, 401, "{nobody}");
}

async fn what_is_wrong_is_named_with_its_fix(engine: Engine) {
    let app = app(engine).await;
    put(&app, "namespaces/shop", json!({ "actions": ["refund"] })).await;
    put(&app, "roles/a", json!({})).await;
    put(&app, "roles/b", json!({ "parents": ["a"] })).await;
    for (method, path, body, status, code, part) in [
        (
            "PUT",
            "namespaces/a.b",
            json!({ "actions": [] }),
            400,
            "permissions.invalid",
            "letters",
        ),
        (
            "PUT",
            "namespaces/c",
            json!({ "actions": ["x y"] }),
            400,
            "permissions.invalid",
            "action",
        ),
        (
            "PUT",
            "namespaces/c",
            json!({}),
            400,
            "permissions.invalid",
            "actions",
        ),
        (
            "GET",
            "namespaces/none",
            json!(null),
            404,
            "permissions.no_namespace",
            "none",
        ),
        (
            "PUT",
            "roles/a",
            json!({ "parents": ["b"] }),
            409,
            "permissions.cycle",
            "a → b → a",
        ),
        (
            "PUT",
            "roles/c",
            json!({ "parents": ["none"] }),
            404,
            "permissions.no_role",
            "none",
        ),
        (
            "PUT",
            "roles/service_role",
            json!({}),
            400,
            "permissions.invalid",
            "service_role",
        ),
        (
            "DELETE",
            "roles/none",
            json!(null),
            404,
            "permissions.no_role",
            "none",
        ),
        (
            "PUT",
            "roles/none/members/00000000-0000-0000-0000-00000000000a",
            json!(null),
            404,
            "permissions.no_role",
            "none",
        ),
        (
            "PUT",
            "roles/a/members/ana",
            json!(null),
            400,
            "permissions.invalid",
            "UUID",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "a", "permission": "shop.none" }),
            404,
            "permissions.unknown",
            "shop.none",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "a", "permission": "none.*" }),
            404,
            "permissions.unknown",
            "none.*",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "none", "permission": "shop.refund" }),
            404,
            "permissions.no_role",
            "none",
        ),
        (
            "POST",
            "grants",
            json!({ "permission": "shop.refund" }),
            400,
            "permissions.invalid",
            "role, user or key",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "a", "key": "k", "permission": "shop.refund" }),
            400,
            "permissions.invalid",
            "one subject",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "a", "permission": "shop.refund", "resource": "a*b" }),
            400,
            "permissions.invalid",
            "end",
        ),
        (
            "POST",
            "grants",
            json!({ "role": "a", "permission": "shop.refund", "expires_at": "2001-01-01T00:00:00Z" }),
            400,
            "permissions.invalid",
            "over",
        ),
        (
            "DELETE",
            "grants/00000000-0000-0000-0000-000000000001",
            json!(null),
            404,
            "permissions.no_grant",
            "grants",
        ),
        (
            "POST",
            "check",
            json!({ "permission": "shop.refund" }),
            400,
            "permissions.invalid",
            "who",
        ),
        (
            "POST",
            "check",
            json!({ "user": ANA, "permission": "shop.none" }),
            404,
            "permissions.unknown",
            "register",
        ),
        (
            "PATCH",
            "grants",
            json!(null),
            405,
            "request.method",
            "method",
        ),
        (
            "GET",
            "nothing",
            json!(null),
            404,
            "request.not_found",
            "nothing",
        ),
    ] {
        // Both doors have one handler.
        for call in [
            admin(&app, method, path),
            app.platform(method, &format!("/permissions/{path}")),
        ] {
            let refused = call.json(&body).await;
            refused.refused(status, code);
            let message = refused.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(part), "{method} {path}: {message}");
        }
    }
    for _ in 0..3 {
        grant(&app, json!({ "key": "k", "permission": "shop.*" })).await;
    }
    let page = admin(&app, "GET", "grants?key=k&limit=2&offset=2")
        .await
        .json();
    assert_eq!(page["count"], 3);
    assert_eq!(page["grants"].as_array().map(Vec::len), Some(1));
    let none = admin(&app, "GET", "grants?key=other").await.json();
    assert_eq!(none, json!({ "grants": [], "count": 0 }));
    admin(&app, "GET", "grants?kye=k")
        .await
        .refused(400, "permissions.invalid");
}

async fn an_apps_grants_are_its_own(engine: Engine) {
    let shop = app(engine).await;
    let forum = shop.server.app("forum").await;
    put(&shop, "namespaces/shop", json!({ "actions": ["refund"] })).await;
    grant(&shop, json!({ "user": ANA, "permission": "shop.*" })).await;
    let question = json!({ "user": ANA, "permission": "shop.refund" });
    let held = admin(&shop, "POST", "check").json(&question).await;
    held.is(r#"200 {"allowed":true}"#);
    let other = admin(&forum, "POST", "check").json(&question).await;
    other.refused(404, "permissions.unknown");
    let list = admin(&forum, "GET", "grants").await;
    assert_eq!(list.json()["count"], 0);
    // One app's service key opens no other.
    let crossed = forum
        .call("GET", "/auth/v1/admin/permissions/grants")
        .bearer(&shop.service_role_key)
        .await;
    assert_eq!(crossed.status, 401, "{crossed}");
}

const PERMISSION: &str = "[[permission]]\nnamespace = \"shop\"\nactions = [\"refund\"]";
const REQUIRE: &str = "require = \"shop.refund\"";
const TICK: &str = "create table tick (id bigint generated by default as identity primary key,
    job_id text, attempt integer, scheduled_for bigint, payload jsonb);";

async fn entries_that_need_a_permission(engine: Engine) {
    let app = app(engine).await;
    app.tables(TICK)
        .table(PERMISSION)
        .function(guest!("whoami"))
        .with(REQUIRE)
        .procedure(guest!("proc_echo"))
        .with(REQUIRE)
        .script(guest!("script_tick"))
        .with(REQUIRE)
        .await;
    let doors = [
        "/functions/v1/whoami",
        "/rest/v1/rpc/proc-echo",
        "/jobs/v1/script-tick",
    ];
    let call = async |bearer: &str, door: &str| {
        app.call("POST", door).bearer(bearer).json(&json!({})).await
    };
    let keyed = token(json!({ "role": "anon", "key_id": "k1" }));
    let check = async |expect: [(&str, bool); 5]| {
        for door in doors {
            for (bearer, may) in &expect {
                let answer = call(bearer, door).await;
                match may {
                    true => assert!(matches!(answer.status, 200 | 202), "{door}: {answer}"),
                    false => {
                        assert!(matches!(answer.status, 401 | 403), "{door}: {answer}");
                        assert!(answer.text().contains("`shop.refund`"), "{door}: {answer}");
                    }
                }
            }
        }
    };
    let (ana, ben) = (user(ANA), user(BEN));
    let (anon, service) = (app.anon_key.clone(), app.service_role_key.clone());
    let all = |ana_may: bool, keyed_may: bool| {
        [
            (&*ana, ana_may),
            (&*ben, false),
            (&*keyed, keyed_may),
            (&*anon, false),
            (&*service, true),
        ]
    };
    check(all(false, false)).await;
    let of_ana = grant(&app, json!({ "user": ANA, "permission": "shop.refund" })).await;
    check(all(true, false)).await;
    grant(&app, json!({ "key": "k1", "permission": "shop.*" })).await;
    check(all(true, true)).await;
    // A grant to everybody is none to those without a name.
    let of_anon = grant(&app, json!({ "role": "anon", "permission": "shop.refund" })).await;
    check(all(true, true)).await;
    let gone = admin(&app, "DELETE", &format!("grants/{of_ana}")).await;
    assert_eq!(gone.status, 204);
    let gone = admin(&app, "DELETE", &format!("grants/{of_anon}")).await;
    assert_eq!(gone.status, 204);
    check(all(false, true)).await;
    // No key at all; and a browser's question needs none.
    for door in doors {
        let nobody = app.call("POST", door).json(&json!({})).await;
        assert_eq!(nobody.status, 401, "{door}: {nobody}");
    }
    let preflight = app.call("OPTIONS", doors[0]).await;
    assert_eq!(preflight.status, 200, "{preflight}");
    let refused = call(&ben, doors[0]).await;
    refused.is(r#"403 {"code":403,"message":"this needs the permission `shop.refund`"}"#);
    let refused = call(&ben, doors[1]).await;
    refused.refused(403, "42501");
    let refused = call(&ben, doors[2]).await;
    refused.refused(403, "auth.denied");
}

async fn a_manifest_registers_before_it_serves(engine: Engine) {
    let app = app(engine).await;
    let needs = || app.function(guest!("whoami")).with(REQUIRE);
    needs().push().await.refused(404, "permissions.unknown");
    let answer = app.invoke("whoami").await;
    assert_eq!(answer.status, 404, "nothing is served: {answer}");
    needs().table(PERMISSION).await;
    let shown = admin(&app, "GET", "namespaces/shop").await;
    let expect = json!({ "name": "shop", "owner": "app", "actions": ["refund"] });
    assert_eq!(shown.json(), expect, "{shown}");
    // What another owner has is not taken, and nothing of the bundle happens.
    let mine = app
        .platform("PUT", "/permissions/namespaces/blog")
        .json(&json!({ "actions": ["post"] }))
        .await;
    assert_eq!(mine.status, 200, "{mine}");
    let taken = app
        .tables("create table t (id integer primary key);")
        .table("[[permission]]\nnamespace = \"blog\"\nactions = []")
        .push()
        .await;
    taken.refused(403, "permissions.not_owner");
    assert_eq!(app.platform("GET", "/migrations").await.json(), json!([]));
    // Grants outlive a revision without their action.
    let id = grant(&app, json!({ "user": ANA, "permission": "shop.refund" })).await;
    app.bundle()
        .table("[[permission]]\nnamespace = \"shop\"\nactions = [\"sell\"]")
        .await;
    let question = json!({ "user": ANA, "permission": "shop.refund" });
    let gone = admin(&app, "POST", "check").json(&question).await;
    gone.refused(404, "permissions.unknown");
    needs().table(PERMISSION).await;
    let back = admin(&app, "POST", "explain").json(&question).await.json();
    assert_eq!(back["grant"]["id"], json!(id));
    assert_eq!(back["reason"], "allowed by a grant to the user");
}

async fn a_job_needs_the_permission_when_it_runs(engine: Engine) {
    let app = app(engine).await;
    app.tables(TICK)
        .table(PERMISSION)
        .script(guest!("script_tick"))
        .with(REQUIRE)
        .with("attempts_max = 1")
        .await;
    let held = grant(&app, json!({ "user": ANA, "permission": "shop.refund" })).await;
    let mut effects = app.effects().await;
    let enqueue = async |query: &str| {
        let added = app
            .call("POST", &format!("/jobs/v1/script-tick{query}"))
            .bearer(&user(ANA))
            .json(&json!(1))
            .await;
        assert_eq!(added.status, 202, "{added}");
        added.json()["id"]
            .as_str()
            .expect("it has an id")
            .to_owned()
    };
    let id = enqueue("").await;
    let state = async |id: &str| {
        let job = app
            .call("GET", &format!("/jobs/v1/{id}"))
            .bearer(&app.service_role_key)
            .await;
        job.json()
    };
    effects
        .until("the first job", async || {
            (state(&id).await["state"] == "done").then_some(())
        })
        .await;
    // Due after the grant is gone.
    let soon = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        + 1_500;
    let id = enqueue(&format!("?run_at={soon}")).await;
    let gone = admin(&app, "DELETE", &format!("grants/{held}")).await;
    assert_eq!(gone.status, 204);
    let error = effects
        .until("the second job", async || {
            let job = state(&id).await;
            (job["state"] == "dead").then(|| job["error"].clone())
        })
        .await;
    assert_eq!(error, "this needs the permission `shop.refund`");
    assert_eq!(app.count("tick").await, 1);
}

async fn a_revoked_grant_is_gone_with_the_next_request(engine: Engine) {
    let app = app(engine).await;
    app.function(guest!("whoami")).await;
    put(&app, "namespaces/shop", json!({ "actions": ["refund"] })).await;
    let ana = user(ANA);
    let held = async || {
        let asked = app.call("GET", "/functions/v1/whoami?permission=shop.refund");
        asked.bearer(&ana).await.json()["permission"].clone()
    };
    for _ in 0..20 {
        assert_eq!(held().await, "false");
        let id = grant(&app, json!({ "user": ANA, "permission": "shop.refund" })).await;
        assert_eq!(held().await, "true");
        let gone = admin(&app, "DELETE", &format!("grants/{id}")).await;
        assert_eq!(gone.status, 204);
    }
    if engine == Engine::Postgres {
        // What nobody told this server of is seen soon.
        let until = async |expect: &str| {
            in_time("it is seen", async { while held().await != expect {} }).await;
        };
        app.psql(&format!(
            "insert into auth.permission_grants (user_id, permission, allow) values ('{ANA}', 'shop.*', true)"
        ))
        .await;
        until("true").await;
        app.psql("update auth.permission_grants set expires_at = now()")
            .await;
        until("false").await;
        app.psql("update auth.permission_grants set expires_at = 'infinity'")
            .await;
        until("true").await;
        app.psql("insert into auth.permission_grants (role, permission, allow) values ('authenticated', 'shop.refund', false)")
            .await;
        until("false").await;
    }
}
