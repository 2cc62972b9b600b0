//! Bits against rows against a model that knows neither, and the rows on both engines.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::compiled::{Base, Own, Set};
use super::explain::{cycle, explain};
use super::types::{checked_selector, selects};
use super::*;
use crate::Role;
use crate::data::Value;
use crate::data::ValueRef;
use crate::data::own::Sql;
use crate::data::postgres::Begin;
use crate::data::sqlite::{Options, Sqlite};
use crate::data::testing::{TestDb, both};

const ROLES: [&str; 5] = ["authenticated", "clerk", "lead", "boss", "temp"];
const ACTIONS: [&str; 4] = ["shop.refund", "shop.sell", "blog.post", "blog.read"];
const RESOURCES: [Option<&str>; 4] = [None, Some("order/1"), Some("order/22"), Some("page")];
const SELECTORS: [Option<&str>; 4] = [None, Some("order/1"), Some("order/*"), Some("page")];

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn pick<T: Copy>(random: &mut StdRng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

/// What an app wrote down, and one user with one key.
struct World {
    base: Base,
    own: Own,
    who: Who,
}

fn world(random: &mut StdRng) -> World {
    let (user, key) = (Uuid::from_u128(7), "k1");
    let mut base = Base {
        version: 1,
        actions: ACTIONS.map(str::to_owned).to_vec(),
        ..Base::default()
    };
    // From later to earlier ones: no cycles.
    for (at, role) in ROLES.iter().enumerate() {
        for parent in &ROLES[at + 1..] {
            if random.random_ratio(1, 4) {
                base.parents.push(((*role).into(), (*parent).into()));
            }
        }
    }
    let mut own = Own {
        version: 1,
        ..Own::default()
    };
    for role in &ROLES[1..] {
        if random.random_ratio(1, 3) {
            own.roles.push((*role).into());
        }
    }
    for number in 0..random.random_range(0..8_u128) {
        let mut grant = Grant {
            id: Uuid::from_u128(number),
            role: None,
            user_id: None,
            key_id: None,
            permission: pick(
                random,
                &["shop.refund", "shop.sell", "blog.post", "shop.*", "blog.*"],
            )
            .into(),
            effect: match random.random_ratio(1, 3) {
                true => Effect::Deny,
                false => Effect::Allow,
            },
            resource: pick(random, &SELECTORS).map(str::to_owned),
            expires_at: pick(random, &[None, None, Some(-1), Some(0), Some(1)])
                .map(|seconds| now() + TimeDelta::seconds(seconds)),
            created_at: None,
        };
        match random.random_range(0..5) {
            0 => grant.user_id = Some(user),
            1 => grant.key_id = Some(key.into()),
            _ => grant.role = Some(pick(random, &ROLES).into()),
        }
        match &grant.role {
            Some(_) => base.grants.push(grant),
            None => own.grants.push(grant),
        }
    }
    World {
        base,
        own,
        who: Who {
            role: Some("authenticated".into()),
            user_id: Some(user),
            key_id: Some(key.into()),
        },
    }
}

/// The rules once more, one grant after the other.
fn model(world: &World, permission: &str, resource: Option<&str>) -> bool {
    let mut held: BTreeSet<String> = world.own.roles.iter().cloned().collect();
    held.extend(world.who.role.clone());
    loop {
        let before = held.len();
        for (role, parent) in &world.base.parents {
            if held.contains(role) {
                held.insert(parent.clone());
            }
        }
        if held.len() == before {
            break;
        }
    }
    let (mut allows, mut denies) = (0, 0);
    for grant in world.base.grants.iter().chain(&world.own.grants) {
        let mine = match &grant.role {
            Some(role) => held.contains(role),
            None => true,
        };
        let namespace = permission.split('.').next().unwrap();
        let named = grant.permission == permission || grant.permission == format!("{namespace}.*");
        let over = grant.expires_at.is_some_and(|until| until <= now());
        let about = match (&grant.resource, resource) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(resource)) if one.ends_with('*') => {
                resource.starts_with(one.trim_end_matches('*'))
            }
            (Some(one), Some(resource)) => one == resource,
        };
        if mine && named && !over && about {
            match grant.effect {
                Effect::Allow => allows += 1,
                Effect::Deny => denies += 1,
            }
        }
    }
    denies == 0 && allows > 0
}

#[test]
fn bits_and_explanations_say_what_the_rules_say() {
    let mut random = StdRng::seed_from_u64(11);
    let mut seen = [0, 0];
    for case in 0..2_000 {
        let world = world(&mut random);
        let set = Set::compile(&world.base);
        set.learn(&world.who, &world.own);
        for permission in ACTIONS {
            let action = set.action(permission).unwrap();
            for resource in RESOURCES {
                let expect = model(&world, permission, resource);
                seen[usize::from(expect)] += 1;
                let held = set.may(&world.who, action, resource, now());
                assert_eq!(held, Some(expect), "{case} {permission} {resource:?}");
                let told = explain(
                    &world.base,
                    &world.own,
                    &world.who,
                    permission,
                    resource,
                    now(),
                );
                assert_eq!(told.allowed, expect, "{case} {permission} {told:?}");
                assert_eq!(told.grant.is_none(), told.reason == "no grant");
                let role = told.grant.and_then(|grant| grant.role);
                assert_eq!(told.through.last().cloned(), role, "{case}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 2_000), "{seen:?}");
}

#[test]
fn explanations_name_the_way() {
    let grant = |number, role: &str, effect| Grant {
        id: Uuid::from_u128(number),
        role: Some(role.into()),
        user_id: None,
        key_id: None,
        permission: "shop.*".into(),
        effect,
        resource: None,
        expires_at: None,
        created_at: None,
    };
    let mut base = Base {
        version: 1,
        actions: vec!["shop.refund".into()],
        parents: vec![
            ("boss".into(), "lead".into()),
            ("lead".into(), "clerk".into()),
        ],
        grants: vec![grant(1, "clerk", Effect::Allow)],
    };
    let who = Who {
        role: Some("boss".into()),
        ..Who::default()
    };
    let told = |base: &Base, who: &Who, permission: &str| {
        explain(base, &Own::default(), who, permission, None, now())
    };
    let allowed = told(&base, &who, "shop.refund");
    assert_eq!(allowed.through, ["boss", "lead", "clerk"]);
    assert_eq!(
        allowed.reason,
        "allowed by a grant to a role that is inherited: boss → lead → clerk"
    );
    base.grants.push(grant(2, "boss", Effect::Deny));
    let denied = told(&base, &who, "shop.refund");
    assert_eq!(denied.reason, "denied by a grant to role `boss`");
    assert_eq!(denied.grant.unwrap().id, Uuid::from_u128(2));
    let unknown = told(&base, &who, "shop.sell");
    assert_eq!(unknown.reason, "no service has registered this permission");
    let service = Who {
        role: Some("service_role".into()),
        ..Who::default()
    };
    assert!(told(&base, &service, "shop.refund").allowed);
    assert!(!told(&base, &service, "shop.sell").allowed);
    let nobody = told(&base, &Who::default(), "shop.refund");
    assert_eq!((nobody.allowed, &*nobody.reason), (false, "no grant"));
}

#[test]
fn a_cycle_is_found_with_its_way() {
    let base = Base {
        parents: [("b", "c"), ("c", "d"), ("x", "a")]
            .map(|(role, parent)| (role.to_owned(), parent.to_owned()))
            .to_vec(),
        ..Base::default()
    };
    let check = |role: &str, parents: &[&str], expect: Option<&[&str]>| {
        let parents: Vec<String> = parents.iter().map(|name| (*name).to_owned()).collect();
        let found = cycle(role, &parents, &base);
        let found: Option<Vec<&str>> = found.as_ref().map(|way| way.iter().map(|s| &**s).collect());
        assert_eq!(found.as_deref(), expect, "{role} {parents:?}");
    };
    check("d", &["b"], Some(&["d", "b", "c", "d"]));
    check("a", &["a"], Some(&["a", "a"]));
    check("a", &["b", "x"], Some(&["a", "x", "a"]));
    check("a", &["b"], None);
    // Its own old parents go.
    check("b", &["d"], None);
    // Rows written past us end all the same.
    let knot = Base {
        version: 1,
        actions: vec!["a.b".into()],
        parents: vec![("p".into(), "q".into()), ("q".into(), "p".into())],
        grants: Vec::new(),
    };
    assert!(!Set::compile(&knot).role_may("p", 0, None, now()));
}

#[test]
fn more_than_a_word_of_actions() {
    let base = Base {
        version: 1,
        actions: (0..200).map(|number| format!("n.a{number:03}")).collect(),
        parents: Vec::new(),
        grants: ["n.a063", "n.a064", "n.a199"]
            .iter()
            .map(|permission| Grant {
                id: Uuid::nil(),
                role: Some("r".into()),
                user_id: None,
                key_id: None,
                permission: (*permission).into(),
                effect: Effect::Allow,
                resource: None,
                expires_at: None,
                created_at: None,
            })
            .collect(),
    };
    let set = Set::compile(&base);
    let held: Vec<u32> = (0..200)
        .filter(|action| set.role_may("r", *action, None, now()))
        .collect();
    assert_eq!(held, [63, 64, 199]);
}

#[test]
fn names_and_selectors() {
    for (text, fits) in [
        ("shop", true),
        ("add_Users-2", true),
        ("", false),
        ("a.b", false),
        ("ä", false),
        ("a b", false),
    ] {
        assert_eq!(is_name(text), fits, "{text}");
    }
    assert!(is_name(&"x".repeat(NAME_BYTES_MAX)) && !is_name(&"x".repeat(NAME_BYTES_MAX + 1)));
    assert_eq!(parts("A.addUsers"), Some(("A", "addUsers")));
    assert_eq!(parts("A.b.c"), None);
    assert_eq!(parts("A"), None);
    let checked = |text: &str| checked_selector(Some(text.to_owned()));
    assert_eq!(checked("*").unwrap(), None);
    assert_eq!(checked("a/*").unwrap().as_deref(), Some("a/*"));
    for wrong in [
        "",
        "*a",
        "a*b*",
        "a\nb",
        &"x".repeat(RESOURCE_BYTES_MAX + 1),
    ] {
        assert!(checked(wrong).is_err(), "{wrong:?}");
    }
    assert!(checked(&"x".repeat(RESOURCE_BYTES_MAX)).is_ok());
    assert!(selects(Some("*"), Some("")) && !selects(Some("*"), None));
}

#[test]
fn a_caller_is_its_role_its_user_and_its_key() {
    let caller = |claims: &str| crate::Caller {
        role: Role::Authenticated,
        user_id: None,
        claims: claims.into(),
    };
    let key = |claims: &str| Who::of(&caller(claims)).key_id;
    assert_eq!(key(r#"{"key_id":"k1"}"#).as_deref(), Some("k1"));
    assert_eq!(key(r#"{"name":"\"key_id\""}"#), None);
    assert_eq!(key(r#"{"key_id":7}"#), None);
    // One within another claim is the user's own word.
    assert_eq!(key(r#"{"user_metadata":{"key_id":"k1"}}"#), None);
    assert_eq!(key("{}"), None);
}

/// What `auth.has_permission` says to `who` in SQL.
async fn in_sql(test: &TestDb, who: &Who, permission: &str, resource: Option<&str>) -> bool {
    let claims = serde_json::json!({ "sub": who.user_id, "key_id": who.key_id }).to_string();
    let context = Context {
        role: Role::from(who.role.as_deref().unwrap_or_default()),
        claims: claims.into(),
        ..Context::default()
    };
    let (permission, resource) = (permission.to_owned(), resource.map(str::to_owned));
    match test.store.db() {
        Db::Sqlite(sqlite) => {
            let job = move |connection: &Connection| {
                let wanted = has_permission("$1", Some("$2"));
                let args = [
                    Value::Text(permission.clone()),
                    crate::data::own::optional(resource.as_deref()),
                ];
                let mut held = false;
                connection.query(&format!("select {wanted}"), &args, |row| {
                    held = row.get(0) == ValueRef::Integer(1);
                    Ok(())
                })?;
                Ok(held)
            };
            sqlite.read(context, PREPARE_MAX, job).await.unwrap()
        }
        Db::Postgres(postgres) => {
            let mut tx = postgres.begin(&context, Begin::read()).await.unwrap();
            let asked = "select auth.has_permission($1, $2)::text".to_owned();
            let rows = tx.rows(asked, &[Some(permission), resource]).await;
            rows.unwrap() == ["true"]
        }
    }
}

fn allow(subject: Subject, permission: &str) -> NewGrant {
    NewGrant {
        subject,
        permission: permission.into(),
        effect: Effect::Allow,
        resource: None,
        expires_at: None,
    }
}

fn namespace(name: &str, owner: &str, actions: &[&str]) -> Namespace {
    Namespace {
        name: name.into(),
        owner: owner.into(),
        actions: actions.iter().map(|name| (*name).to_owned()).collect(),
    }
}

async fn role(permissions: &Permissions, name: &str, parents: &[&str]) {
    let parents = parents.iter().map(|name| (*name).to_owned()).collect();
    let name = name.to_owned();
    permissions
        .put_role(AppRole { name, parents })
        .await
        .unwrap();
}

#[tokio::test]
async fn memory_and_sql_say_the_same_on_both_engines() {
    let user = Uuid::from_u128(7);
    let who = Who {
        role: Some("authenticated".into()),
        user_id: Some(user),
        key_id: Some("k1".into()),
    };
    for test in both("", &[]).await {
        let permissions = Permissions::new(test.store.clone());
        permissions
            .register(vec![
                namespace("shop", "app", &["refund", "sell"]),
                namespace("blog", "key:k9", &["post"]),
            ])
            .await
            .unwrap();
        role(&permissions, "clerk", &[]).await;
        role(&permissions, "lead", &["clerk"]).await;
        let same = async |expect: &[(&str, Option<&str>)]| {
            for permission in ["shop.refund", "shop.sell", "blog.post"] {
                for resource in RESOURCES {
                    let wanted = expect.contains(&(permission, resource));
                    let held = permissions
                        .check(&who, permission, resource, Utc::now())
                        .await;
                    assert_eq!(held.unwrap(), wanted, "{permission} {resource:?}");
                    let told = in_sql(&test, &who, permission, resource).await;
                    assert_eq!(told, wanted, "in SQL: {permission} {resource:?}");
                }
            }
        };
        same(&[]).await;
        let now = Utc::now();
        let by_role = allow(Subject::Role("clerk".into()), "shop.*");
        permissions.grant(by_role, now).await.unwrap();
        same(&[]).await;
        permissions.add_member("lead", user).await.unwrap();
        let sell: Vec<_> = RESOURCES.map(|resource| ("shop.sell", resource)).into();
        let both = RESOURCES.map(|resource| ("shop.refund", resource));
        same(&[&sell[..], &both].concat()).await;
        let denied = NewGrant {
            effect: Effect::Deny,
            resource: Some("order/*".into()),
            ..allow(Subject::Key("k1".into()), "shop.refund")
        };
        let denied = permissions.grant(denied, now).await.unwrap();
        let some = [("shop.refund", None), ("shop.refund", Some("page"))];
        same(&[&sell[..], &some].concat()).await;
        permissions.revoke(denied.id).await.unwrap();
        same(&[&sell[..], &both].concat()).await;
        let until = NewGrant {
            expires_at: Some(now + TimeDelta::days(1)),
            resource: Some("page".into()),
            ..allow(Subject::User(user), "blog.post")
        };
        permissions.grant(until, now).await.unwrap();
        let page = ("blog.post", Some("page"));
        same(&[&sell[..], &both, &[page]].concat()).await;
        let later = now + TimeDelta::days(2);
        let held = permissions
            .check(&who, "blog.post", Some("page"), later)
            .await;
        assert!(!held.unwrap());
        permissions.delete_member("lead", user).await.unwrap();
        same(&[page]).await;
        let unknown = permissions.check(&who, "blog.none", None, now).await;
        assert!(matches!(unknown, Err(PermissionError::Unknown(_))));
        assert!(!in_sql(&test, &who, "blog.none", None).await);
        let service = Who {
            role: Some("service_role".into()),
            ..Who::default()
        };
        assert!(
            permissions
                .check(&service, "blog.post", None, now)
                .await
                .unwrap()
        );
        assert!(in_sql(&test, &service, "blog.post", None).await);
        assert!(!in_sql(&test, &service, "blog.none", None).await);
        // An action that goes takes its grants out of force, and brings them back.
        permissions.add_member("lead", user).await.unwrap();
        let less = vec![namespace("shop", "app", &["refund"])];
        permissions.register(less).await.unwrap();
        let gone = permissions.check(&who, "shop.sell", None, now).await;
        assert!(matches!(gone, Err(PermissionError::Unknown(_))));
        assert!(!in_sql(&test, &who, "shop.sell", None).await);
        let again = vec![namespace("shop", "app", &["refund", "sell"])];
        permissions.register(again).await.unwrap();
        same(&[&sell[..], &both, &[page]].concat()).await;
        permissions.delete_role("clerk").await.unwrap();
        same(&[page]).await;
        test.end().await;
    }
}

#[tokio::test]
async fn who_may_change_what() {
    for test in both("", &[]).await {
        let permissions = Permissions::new(test.store.clone());
        let first = vec![namespace("shop", "key:k1", &["refund"])];
        permissions.register(first).await.unwrap();
        for owner in ["app", "account", "key:k2"] {
            let mine = vec![
                namespace("other", owner, &["x"]),
                namespace("shop", owner, &["refund", "all"]),
            ];
            let refused = permissions.register(mine).await;
            assert!(matches!(refused, Err(PermissionError::NotOwner { .. })));
            let refused = permissions.delete_namespace("shop", owner).await;
            assert!(matches!(refused, Err(PermissionError::NotOwner { .. })));
        }
        // All or none of them.
        let known = permissions.namespaces().await.unwrap();
        assert_eq!(known, [namespace("shop", "key:k1", &["refund"])]);
        let now = Utc::now();
        let unknown = permissions.grant(allow(Subject::Key("k".into()), "shop.sell"), now);
        assert!(matches!(unknown.await, Err(PermissionError::Unknown(_))));
        let no_role = permissions.grant(allow(Subject::Role("none".into()), "shop.refund"), now);
        assert!(matches!(no_role.await, Err(PermissionError::NoRole(_))));
        let service = allow(Subject::Role("service_role".into()), "shop.refund");
        let service = permissions.grant(service, now).await;
        assert!(matches!(service, Err(PermissionError::Invalid(_))));
        let over = NewGrant {
            expires_at: Some(now),
            ..allow(Subject::Role("anon".into()), "shop.refund")
        };
        let over = permissions.grant(over, now).await;
        assert!(matches!(over, Err(PermissionError::Invalid(_))));
        role(&permissions, "a", &["authenticated"]).await;
        role(&permissions, "b", &["a"]).await;
        let knot = AppRole {
            name: "a".into(),
            parents: vec!["b".into()],
        };
        let cycle = permissions.put_role(knot).await.unwrap_err();
        assert!(cycle.to_string().contains("a → b → a"), "{cycle}");
        assert_eq!(
            permissions.role("a").await.unwrap().parents,
            ["authenticated"]
        );
        let filter = GrantFilter {
            permission: Some("shop.*".into()),
            ..GrantFilter::default()
        };
        for key in ["k1", "k2", "k3"] {
            let grant = allow(Subject::Key(key.into()), "shop.*");
            permissions.grant(grant, now).await.unwrap();
        }
        let (page, all) = permissions.grants(filter.clone(), 1, 1).await.unwrap();
        assert_eq!((page.len(), all), (1, 3));
        permissions
            .delete_namespace("shop", "key:k1")
            .await
            .unwrap();
        let (page, all) = permissions.grants(filter, 0, 10).await.unwrap();
        assert_eq!((page.len(), all), (0, 0));
        test.end().await;
    }
}

#[tokio::test]
async fn what_others_write_on_postgres_is_seen_by_its_version() {
    let Some(test) = both("", &[]).await.pop() else {
        panic!("there are two engines");
    };
    let permissions = Permissions::new(test.store.clone());
    let shop = vec![namespace("shop", "app", &["refund"])];
    permissions.register(shop).await.unwrap();
    struct Past(&'static str);
    impl Operation for Past {
        type Answer = Option<i64>;
        async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<i64>, DataError> {
            let sql = Sql {
                sqlite: "",
                postgres: self.0,
            };
            engine.execute(&sql, &[]).await?;
            rows::Version.run(engine).await
        }
    }
    let mut before = test.store.own_read(rows::Version).await.unwrap();
    for statement in [
        "insert into auth.permission_grants (role, permission, allow) values ('anon', 'shop.*', true)",
        "update auth.permission_grants set allow = false",
        "delete from auth.permission_grants",
        "insert into auth.permission_role_members (role, user_id) values ('r', gen_random_uuid())",
        "insert into auth.permission_role_parents (role, parent) values ('r', 's')",
        "insert into auth.permission_roles (name) values ('r')",
        "delete from auth.permission_actions",
        "delete from auth.permission_namespaces",
    ] {
        let after = test.store.own(Past(statement)).await.unwrap();
        assert!(after > before, "{statement}");
        before = after;
    }
    test.end().await;
}

/// A file's writer does what it has accepted, also for somebody who went away.
#[tokio::test]
async fn a_change_that_nobody_waits_for_is_seen_when_it_is_made() {
    for test in both("", &[]).await {
        let Db::Sqlite(sqlite) = test.store.db() else {
            test.end().await;
            continue;
        };
        let permissions = Permissions::new(test.store.clone());
        let shop = vec![namespace("shop", "app", &["refund"])];
        permissions.register(shop).await.unwrap();
        let now = Utc::now();
        let anon = Who {
            role: Some("anon".into()),
            ..Who::default()
        };
        let held = async || permissions.check(&anon, "shop.refund", None, now).await;
        let until = std::time::Instant::now() + PREPARE_MAX;
        let before = sqlite.begin(Context::default(), until).await.unwrap();
        let grant = allow(Subject::Role("anon".into()), "shop.refund");
        let left = permissions.grant(grant, now).now_or_never();
        assert!(left.is_none(), "it waits behind the session");
        // In memory again, as it is before the change.
        assert!(!held().await.unwrap());
        before.rollback().await;
        let behind = sqlite.write(Context::default(), PREPARE_MAX, |_| Ok(()));
        behind.await.unwrap();
        assert!(held().await.unwrap());
        test.end().await;
    }
}

#[tokio::test]
async fn an_old_table_keeps_its_grants() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        setup: Some(Arc::new(ddl::register)),
        ..Options::default()
    };
    let sqlite = Sqlite::new(folder.path().join("app.db"), options);
    let context = Context {
        role: Role::Authenticated,
        ..Context::default()
    };
    let job = |connection: &Connection| {
        let made = connection.script(
            "create table \"auth.permission_grants\" (\"role\" text, \"user_id\" text,
                \"permission\" text not null, \"allow\" int not null, \"expires_at\" text);
            insert into \"auth.permission_grants\" values
                ('authenticated', null, 'a.read', 1, null),
                ('authenticated', null, 'a.write', 1, null),
                ('authenticated', null, 'no name', 1, null)",
        );
        made.unwrap();
        for _ in 0..2 {
            prepare_sqlite(connection)?;
        }
        let asked = format!(
            "select group_concat(value || ' ' || {}, ', ') || ' ' || (select count(distinct id)
                from \"auth.permission_grants\")
            from json_each('[\"a.read\",\"a.write\",\"a.own\",\"no name\"]')",
            has_permission("value", None)
        );
        let mut found = String::new();
        connection.query(&asked, &[], |row| {
            if let ValueRef::Text(text) = row.get(0) {
                found = text.to_owned();
            }
            Ok(())
        })?;
        Ok(found)
    };
    let found = sqlite.write(context, PREPARE_MAX, job).await.unwrap();
    assert_eq!(found, "a.read 1, a.write 1, a.own 0, no name 0 3");
}

#[tokio::test]
async fn one_of_many_actions_is_found() {
    let test = both("", &[]).await.remove(0);
    let permissions = Permissions::new(test.store.clone());
    let actions: Vec<String> = (0..500).map(|number| format!("a{number}")).collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    let all = vec![namespace("n", "app", &actions)];
    permissions.register(all).await.unwrap();
    role(&permissions, "r0", &[]).await;
    for number in 1..10 {
        let parent = format!("r{}", number - 1);
        role(&permissions, &format!("r{number}"), &[&parent]).await;
    }
    let user = Uuid::from_u128(7);
    permissions.add_member("r9", user).await.unwrap();
    let mut grant = allow(Subject::Role("r0".into()), "n.*");
    grant.resource = Some("order/*".into());
    permissions.grant(grant, Utc::now()).await.unwrap();
    let who = Who {
        role: Some("authenticated".into()),
        user_id: Some(user),
        key_id: None,
    };
    for _ in 0..1_000 {
        let held = permissions
            .check(&who, "n.a250", Some("order/7"), Utc::now())
            .await;
        assert!(held.unwrap());
    }
    test.end().await;
}
