//! Both engines through the real thing.

use std::time::Duration;

use super::*;
use crate::data::hooks::Operation::{self, Delete, Insert, Update};
use crate::data::testing::{self, TestDb, subscription};

const ALL: &[Operation] = &[Insert, Update, Delete];
const LEASE: Duration = Duration::from_secs(30);
const T0: i64 = 1_700_000_000_000;

const TABLES: &str = r#"
create table parent (id integer primary key, name text);
create table child (
    id integer primary key,
    parent_id integer references parent (id) on delete cascade,
    total numeric(8,2),
    "odd ""name" text,
    tags jsonb,
    at timestamptz
);
create table plain (note text);
create table quiet (id integer primary key);
"#;

async fn read(db: &TestDb) -> Vec<LoggedChange> {
    let changes = Changes::new(db.store.clone());
    while changes.sequence().await.unwrap() > 0 {}
    changes.read_since(0, 1000).await.unwrap()
}

/// `table operation key` of each.
fn told(changes: &[LoggedChange]) -> Vec<String> {
    let line = |change: &LoggedChange| {
        let key = change.key.as_deref().unwrap_or("-");
        format!("{} {} {key}", change.table, change.operation.as_str())
    };
    changes.iter().map(line).collect()
}

fn ids(claimed: &Claimed) -> Vec<(i64, &str)> {
    let deliveries = claimed.deliveries.iter();
    deliveries
        .map(|delivery| (delivery.change, &*delivery.trigger))
        .collect()
}

#[tokio::test]
async fn the_log_has_every_change_of_tables_that_somebody_watches() {
    let subscriptions = [
        subscription("on-parent", "parent", ALL),
        subscription("on-child", "child", ALL),
        subscription("also", "child", &[Delete]),
        subscription("on-plain", "plain", &[Insert]),
        subscription("nowhere", "missing", ALL),
    ];
    for db in testing::both(TABLES, &subscriptions).await {
        db.sql("insert into parent (id, name) values (1, 'a'), (2, 'b')")
            .await;
        db.sql(
            "insert into child (id, parent_id, total, \"odd \"\"name\", tags, at) \
             values (7, 1, '1.50', 'é\"\\', '{\"a\": 1}', '2021-06-05T12:00:00.5+00:00')",
        )
        .await;
        db.sql("update parent set name = null where id = 2").await;
        db.sql("insert into plain (note) values ('x')").await;
        db.sql("update plain set note = 'y'").await;
        db.sql("insert into quiet (id) values (1)").await;
        // The child goes by its foreign key.
        db.sql("delete from parent where id = 1").await;

        let changes = read(&db).await;
        let mut lines = told(&changes);
        // Whether the child or the parent goes first is the engine's affair.
        lines[5..].sort();
        assert_eq!(
            lines,
            [
                "parent insert [1]",
                "parent insert [2]",
                "child insert [7]",
                "parent update [2]",
                "plain insert -",
                "child delete [7]",
                "parent delete [1]",
            ]
        );
        let child = &changes[2];
        assert_eq!(
            child.new.as_deref().unwrap(),
            r#"{"id":7,"parent_id":1,"total":1.50,"odd \"name":"é\"\\","tags":{"a": 1},"at":"2021-06-05T12:00:00.5+00:00"}"#
        );
        assert_eq!(child.old, None);
        assert_eq!((&*child.role, child.depth), ("service_role", 0));
        assert_eq!(child.claims, r#"{"sub":"u"}"#);
        let update = &changes[3];
        assert_eq!(update.old.as_deref(), Some(r#"{"id":2,"name":"b"}"#));
        assert_eq!(update.new.as_deref(), Some(r#"{"id":2,"name":null}"#));
        let numbers: Vec<i64> = changes.iter().map(|change| change.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        let api = Changes::new(db.store.clone());
        assert_eq!(told(&api.read_since(5, 1).await.unwrap()).len(), 1);
        assert_eq!(api.last_number().await.unwrap(), 7);

        let outbox = (
            "select cast(count(*) as text) from \"pumice.outbox\"",
            "select count(*)::text from pumice.outbox",
        );
        assert_eq!(db.count(outbox.0, outbox.1).await, 8);
        db.end().await;
    }
}

#[tokio::test]
async fn what_rolls_back_is_in_no_log() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let transaction = db.begin().await;
        db.sql_within(Some(&transaction), "insert into parent (id) values (1)", 0)
            .await
            .unwrap();
        db.store.rollback(&transaction).await;
        assert_eq!(told(&read(&db).await), [""; 0]);
        db.end().await;
    }
}

#[tokio::test]
async fn a_replaced_row_is_a_deletion_and_an_insertion() {
    let db = testing::both(TABLES, &[subscription("t", "parent", ALL)]).await;
    let (sqlite, postgres) = {
        let mut all = db.into_iter();
        (all.next().unwrap(), all.next().unwrap())
    };
    sqlite
        .sql("insert into parent (id, name) values (1, 'a')")
        .await;
    sqlite
        .sql("insert or replace into parent (id, name) values (1, 'b')")
        .await;
    assert_eq!(
        told(&read(&sqlite).await),
        [
            "parent insert [1]",
            "parent delete [1]",
            "parent insert [1]"
        ]
    );
    sqlite.end().await;
    postgres.end().await;
}

#[tokio::test]
async fn a_deployment_changes_what_is_watched() {
    let first = [subscription("a", "parent", ALL)];
    for db in testing::both(TABLES, &first).await {
        db.sql("insert into parent (id) values (1)").await;
        // A column more, and one less: the triggers are in nobody's way.
        db.migrate(
            &[(
                "0002_more.sql",
                "alter table parent add column more boolean not null default true; \
                 alter table parent drop column name;",
            )],
            &[
                subscription("b", "parent", &[Insert]),
                subscription("c", "quiet", &[Insert]),
            ],
        )
        .await;
        db.sql("insert into parent (id) values (2)").await;
        db.sql("update parent set more = false").await;
        db.sql("insert into quiet (id) values (3)").await;
        let changes = read(&db).await;
        assert_eq!(
            told(&changes),
            ["parent insert [1]", "parent insert [2]", "quiet insert [3]"]
        );
        assert_eq!(changes[1].new.as_deref(), Some(r#"{"id":2,"more":true}"#));
        let claimed = Changes::new(db.store.clone())
            .claim(T0, LEASE, 10)
            .await
            .unwrap();
        assert_eq!(ids(&claimed), [(1, "a"), (2, "b"), (3, "c")]);
        db.migrate(
            &[(
                "0002_more.sql",
                "alter table parent add column more boolean not null default true; \
                 alter table parent drop column name;",
            )],
            &[],
        )
        .await;
        db.sql("insert into parent (id) values (4)").await;
        assert_eq!(read(&db).await.len(), 3);
        db.end().await;
    }
}

#[tokio::test]
async fn long_and_odd_names_of_tables() {
    let long = "t".repeat(60);
    let migration = format!(
        "create table \"{long}\" (id integer primary key); create table \"it's\" (id integer primary key);"
    );
    let subscriptions = [
        subscription("a", &long, ALL),
        subscription("b", "it's", ALL),
    ];
    for db in testing::both(&migration, &subscriptions).await {
        db.migrate(&[], &subscriptions).await;
        db.sql(&format!("insert into \"{long}\" (id) values (1)"))
            .await;
        db.sql(&format!("update \"{long}\" set id = 2")).await;
        db.sql("insert into \"it's\" (id) values (1)").await;
        assert_eq!(
            told(&read(&db).await),
            [
                format!("{long} insert [1]"),
                format!("{long} update [2]"),
                "it's insert [1]".to_owned()
            ]
        );
        db.end().await;
    }
}

#[tokio::test]
async fn a_reader_by_number_skips_nothing() {
    let db = testing::postgres(TABLES, &[subscription("t", "parent", ALL)]).await;
    let changes = Changes::new(db.store.clone());
    db.sql("insert into parent (id) values (1)").await;
    let (a, b) = (db.begin().await, db.begin().await);
    let write = async |within: &crate::data::Transaction, id: i64| {
        let sql = format!("insert into parent (id) values ({id})");
        db.sql_within(Some(within), &sql, 0).await.unwrap();
    };
    write(&a, 10).await;
    write(&b, 20).await;
    db.store.commit(&b).await.unwrap();
    assert_eq!(changes.sequence().await.unwrap(), 2);
    let seen = changes.read_since(0, 10).await.unwrap();
    assert_eq!(told(&seen), ["parent insert [1]", "parent insert [20]"]);
    db.sql("update parent set name = 'x' where id = 20").await;
    db.store.commit(&a).await.unwrap();
    assert_eq!(changes.sequence().await.unwrap(), 2);
    let rest = changes.read_since(seen[1].number, 10).await.unwrap();
    assert_eq!(told(&rest), ["parent insert [10]", "parent update [20]"]);
    assert_eq!(rest[1].number, 4);
    assert_eq!(changes.sequence().await.unwrap(), 0);
    db.end().await;
}

#[tokio::test]
async fn two_sequencers_give_each_number_once() {
    let db = testing::postgres(TABLES, &[subscription("t", "parent", ALL)]).await;
    let changes = Changes::new(db.store.clone());
    for id in 0..20 {
        db.sql(&format!("insert into parent (id) values ({id})"))
            .await;
        let (a, b) = tokio::join!(changes.sequence(), changes.sequence());
        assert_eq!(a.unwrap() + b.unwrap(), 1);
    }
    let numbers: Vec<i64> = read(&db).await.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    db.end().await;
}

#[tokio::test]
async fn only_heads_are_handed_out() {
    let subscriptions = [
        subscription("a", "parent", ALL),
        subscription("b", "parent", ALL),
    ];
    for db in testing::both(TABLES, &subscriptions).await {
        let changes = Changes::new(db.store.clone());
        db.sql("insert into parent (id) values (1), (2)").await;
        db.sql("update parent set name = 'x' where id = 1").await;
        assert_eq!(changes.next_due().await.unwrap(), Some(0));
        let first = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&first), [(1, "a"), (2, "a"), (1, "b"), (2, "b")]);
        assert!(!first.more);
        // The rest waits for its row, and what is leased is nobody else's.
        assert_eq!(ids(&changes.claim(T0, LEASE, 10).await.unwrap()), []);
        assert_eq!(changes.next_due().await.unwrap(), Some(T0 + 30_000));
        assert!(
            changes
                .settle(first.token, "a", &[1, 2], Told::Done)
                .await
                .unwrap()
        );
        let second = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&second), [(3, "a")]);
        assert!(
            changes
                .settle(second.token, "a", &[3], Told::Done)
                .await
                .unwrap()
        );
        assert!(
            changes
                .settle(first.token, "b", &[1, 2], Told::Done)
                .await
                .unwrap()
        );
        let third = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&third), [(3, "b")]);
        changes.release(third.token).await.unwrap();
        let fourth = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&fourth), [(3, "b")]);
        assert!(
            changes
                .settle(fourth.token, "b", &[3], Told::Done)
                .await
                .unwrap()
        );
        assert_eq!(changes.next_due().await.unwrap(), None);
        db.end().await;
    }
}

#[tokio::test]
async fn a_poison_row_blocks_only_itself() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let changes = Changes::new(db.store.clone());
        db.sql("insert into parent (id) values (1)").await;
        db.sql("update parent set name = 'x'").await;
        let failed = |at| Told::Retry {
            at,
            error: "no".to_owned(),
        };
        let claimed = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&claimed), [(1, "t")]);
        assert!(!claimed.deliveries[0].alone);
        let again = T0 + 1000;
        assert!(
            changes
                .settle(claimed.token, "t", &[1], failed(again))
                .await
                .unwrap()
        );
        assert_eq!(changes.next_due().await.unwrap(), Some(again));
        // Another row goes on meanwhile.
        db.sql("insert into parent (id) values (2)").await;
        let other = changes.claim(again - 1, LEASE, 10).await.unwrap();
        assert_eq!(ids(&other), [(3, "t")]);
        assert!(
            changes
                .settle(other.token, "t", &[3], Told::Done)
                .await
                .unwrap()
        );

        let claimed = changes.claim(again, LEASE, 10).await.unwrap();
        assert_eq!(ids(&claimed), [(1, "t")]);
        assert_eq!(
            (claimed.deliveries[0].attempts, claimed.deliveries[0].alone),
            (1, true)
        );
        let dead = Told::Dead {
            now: again,
            error: "no again".to_owned(),
        };
        assert!(
            changes
                .settle(claimed.token, "t", &[1], dead)
                .await
                .unwrap()
        );
        let letters = changes.dead(10).await.unwrap();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!(
            (letter.change, letter.attempts, letter.died_at),
            (1, 2, again)
        );
        assert_eq!(letter.error.as_deref(), Some("no again"));
        let payload: serde_json::Value = serde_json::from_str(&letter.payload).unwrap();
        assert_eq!(payload["new"], serde_json::json!({"id": 1, "name": null}));
        // The next change of that row proceeds.
        assert_eq!(
            ids(&changes.claim(again, LEASE, 10).await.unwrap()),
            [(2, "t")]
        );
        db.end().await;
    }
}

#[tokio::test]
async fn a_split_costs_no_attempt() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let changes = Changes::new(db.store.clone());
        db.sql("insert into parent (id) values (1), (2)").await;
        let claimed = changes.claim(T0, LEASE, 10).await.unwrap();
        let split = Told::Split {
            error: "one of you".to_owned(),
        };
        assert!(
            changes
                .settle(claimed.token, "t", &[1, 2], split)
                .await
                .unwrap()
        );
        let claimed = changes.claim(T0, LEASE, 10).await.unwrap();
        let states = claimed
            .deliveries
            .iter()
            .map(|d| (d.change, d.attempts, d.alone));
        assert_eq!(states.collect::<Vec<_>>(), [(1, 0, true), (2, 0, true)]);
        db.end().await;
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_is_anothers() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let changes = Changes::new(db.store.clone());
        db.sql("insert into parent (id) values (1)").await;
        let slow = changes.claim(T0, LEASE, 10).await.unwrap();
        assert!(changes.extend(slow.token, T0 + 60_000).await.unwrap());
        assert_eq!(
            ids(&changes.claim(T0 + 59_999, LEASE, 10).await.unwrap()),
            []
        );
        let quick = changes.claim(T0 + 60_000, LEASE, 10).await.unwrap();
        assert_eq!(ids(&quick), [(1, "t")]);
        assert!(!changes.extend(slow.token, T0 + 90_000).await.unwrap());
        assert!(
            !changes
                .settle(slow.token, "t", &[1], Told::Done)
                .await
                .unwrap()
        );
        changes.release(slow.token).await.unwrap();
        assert!(
            changes
                .settle(quick.token, "t", &[1], Told::Done)
                .await
                .unwrap()
        );
        db.end().await;
    }
}

#[tokio::test]
async fn too_deep_a_change_is_logged_and_told_to_nobody() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let changes = Changes::new(db.store.clone());
        for depth in [AFTER_DEPTH_MAX - 1, AFTER_DEPTH_MAX] {
            let sql = format!("insert into parent (id) values ({depth})");
            db.sql_within(None, &sql, depth).await.unwrap();
        }
        let claimed = changes.claim(T0, LEASE, 10).await.unwrap();
        assert_eq!(ids(&claimed), [(1, "t")]);
        assert_eq!(claimed.deliveries[0].depth, 7);
        let dead = changes.dead(10).await.unwrap();
        assert_eq!(
            (dead[0].change, dead[0].error.as_deref()),
            (2, Some("depth"))
        );
        assert_eq!(dead[0].attempts, 0);
        assert_eq!(read(&db).await.len(), 2);
        db.end().await;
    }
}

#[tokio::test]
async fn claimed_by_two_at_once_each_delivery_is_handed_out_once() {
    let db = testing::postgres(TABLES, &[subscription("t", "parent", ALL)]).await;
    let changes = Changes::new(db.store.clone());
    let values: Vec<String> = (0..100).map(|id| format!("({id})")).collect();
    db.sql(&format!(
        "insert into parent (id) values {}",
        values.join(",")
    ))
    .await;
    let claim = || changes.claim(T0, LEASE, 40);
    let (a, b, c, d) = tokio::join!(claim(), claim(), claim(), claim());
    let mut all: Vec<i64> = [a, b, c, d]
        .into_iter()
        .flat_map(|claimed| claimed.unwrap().deliveries)
        .map(|delivery| delivery.change)
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert!(count >= 40, "{count}");
    db.end().await;
}

#[tokio::test]
async fn old_changes_go_unless_somebody_waits_for_them() {
    for db in testing::both(TABLES, &[subscription("t", "parent", ALL)]).await {
        let changes = Changes::new(db.store.clone());
        db.sql("insert into parent (id) values (1), (2)").await;
        read(&db).await;
        let claimed = changes.claim(T0, LEASE, 1).await.unwrap();
        assert!(claimed.more);
        changes
            .settle(claimed.token, "t", &[1], Told::Done)
            .await
            .unwrap();
        let now = std::time::SystemTime::now();
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis() as i64;
        changes.tidy(now).await.unwrap();
        assert_eq!(read(&db).await.len(), 2);
        changes
            .tidy(now + CHANGE_AGE_MAX.as_millis() as i64 + 60_000)
            .await
            .unwrap();
        assert_eq!(told(&read(&db).await), ["parent insert [2]"]);
        db.end().await;
    }
}

#[test]
fn pauses_grow_with_the_fourth_power() {
    for (attempts, seconds) in [
        (0, 1),
        (1, 1),
        (2, 16),
        (3, 81),
        (12, 20_736),
        (13, 21_600),
        (u32::MAX, 21_600),
    ] {
        for _ in 0..20 {
            let pause = backoff(attempts).as_secs_f64() / f64::from(seconds);
            assert!((0.9..=1.1).contains(&pause), "{attempts}: {pause}");
        }
    }
}

#[test]
fn errors_are_cut_at_a_character() {
    assert_eq!(cut("a\0b".to_owned()), "ab");
    assert_eq!(cut("x".repeat(ERROR_BYTES_MAX)).len(), ERROR_BYTES_MAX);
    let long = format!("x{}", "é".repeat(ERROR_BYTES_MAX));
    assert_eq!(cut(long).len(), ERROR_BYTES_MAX - 1);
}
