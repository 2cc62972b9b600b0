use super::*;
use crate::data::plan::{ConflictPlan, DeletePlan, InsertPlan, UpdatePlan};
use crate::data::query::{Count, Explain};
use crate::data::run::postgres::old_rows;
use crate::data::run::{Asked, OldRow};

fn written(table: &Arc<Table>, columns: &[&str]) -> Node {
    from(Source::Written(table.clone()), table, 0, columns)
}

fn insert(table: &Arc<Table>, rows: &[&[(&str, &str)]], node: Option<Node>) -> InsertPlan {
    InsertPlan {
        table: table.clone(),
        rows: rows.iter().map(|row| cells(table, row)).collect(),
        conflict: None,
        answer: answer(node),
    }
}

fn upsert(table: &Arc<Table>, rows: &[&[(&str, &str)]], node: Option<Node>, merge: bool) -> Work {
    Work::Insert(InsertPlan {
        conflict: Some(ConflictPlan {
            on: table.primary_key.as_ref().unwrap().columns.clone(),
            merge,
        }),
        ..insert(table, rows, node)
    })
}

#[tokio::test]
async fn inserts() {
    let db = db().await;
    let (item, client) = (db.table("item"), db.table("client"));
    let mut shown = written(&item, &["id", "price", "rank", "feeling"]);
    let rows: &[&[(&str, &str)]] = &[
        &[("id", "7"), ("price", "\"1.005\""), ("feeling", "\"ok\"")],
        &[("id", "8"), ("price", "default"), ("feeling", "null")],
        &[("id", "9"), ("price", "null"), ("feeling", "null")],
    ];
    let expect = concat!(
        r#"[{"id":7,"price":1.01,"rank":1,"feeling":"ok"},"#,
        r#"{"id":8,"price":7.00,"rank":1,"feeling":null},"#,
        r#"{"id":9,"price":null,"rank":1,"feeling":null}]"#
    );
    let plan = insert(&item, rows, Some(shown.clone()));
    assert_eq!(text(db.once(Work::Insert(plan.clone())).await), expect);
    let counted = insert(&item, rows, None);
    assert_eq!(db.once(Work::Insert(counted)).await.unwrap().count, 3);

    // Computed fields and relationships, and embeds, of what was written.
    let mut owner = node(&client, 1, &["name"]);
    owner.conditions.push(Condition::Same(
        col(1, &client, "id"),
        col(0, &item, "client_id"),
    ));
    let siblings = from(
        Source::Computed {
            function: db.function("siblings"),
            row: 0,
            table: item.clone(),
        },
        &item,
        2,
        &["id"],
    );
    shown.outputs = vec![
        output(
            "twice",
            field("price_twice", Some(db.function("price_twice"))),
        ),
        output("owner", Expr::One(Box::new(owner.clone()))),
        output("siblings", Expr::Many(Box::new(siblings))),
    ];
    let row: &[(&str, &str)] = &[("id", "7"), ("client_id", "1"), ("price", "4")];
    let work = insert(&item, &[row], Some(shown.clone()));
    assert_eq!(
        text(db.once(Work::Insert(work)).await),
        r#"[{"twice":8.00,"owner":{"name":"Ann"},"siblings":[{"id":1},{"id":2}]}]"#
    );
    // An inner embed leaves a row out of the answer, and out of nothing else.
    shown.outputs.truncate(2);
    shown.conditions.push(Condition::Exists {
        node: Box::new(owner),
        not: false,
    });
    let mut work = insert(
        &item,
        &[row, &[("id", "8"), ("client_id", "null"), ("price", "1")]],
        Some(shown),
    );
    work.answer.preferences.count = Some(Count::Exact);
    let rows = db.once(Work::Insert(work)).await.unwrap();
    assert_eq!((rows.count, rows.total), (1, Some(2)));

    for (row, expect) in [
        (
            &[("id", "1")][..],
            "23505 duplicate key value violates unique constraint \"item_pkey\"",
        ),
        (
            &[("id", "7"), ("name", "\"too long\"")],
            "22001 value too long for type character varying(5)",
        ),
        (
            &[("id", "7"), ("rank", "0")],
            "23514 value for domain positive violates check constraint \"positive_check\"",
        ),
        (
            &[("id", "7"), ("rank", "null")],
            "23502 domain positive does not allow null values",
        ),
        (
            &[("id", "7"), ("client_id", "44")],
            "23503 insert or update on table \"item\" violates foreign key constraint \"item_client_id_fkey\"",
        ),
        (
            &[
                ("id", "7"),
                ("doc", "{\"a\":[1.50]}"),
                ("tags", "[\"x\",null]"),
            ],
            "[{}]",
        ),
    ] {
        let work = insert(&item, &[row], Some(written(&item, &[])));
        assert_eq!(text(db.once(Work::Insert(work)).await), expect);
    }
    let mut work = plan.clone();
    work.answer.preferences.single = true;
    assert!(text(db.once(Work::Insert(work)).await).starts_with("PGRST116"));
    let mut work = plan;
    work.answer.preferences.explain = Some(Explain::default());
    assert!(text(db.once(Work::Insert(work)).await).contains("Insert on item"));
}

#[tokio::test]
async fn upserts() {
    let db = db().await;
    let client = db.table("client");
    let rows: &[&[(&str, &str)]] = &[
        &[("id", "1"), ("name", "\"new\"")],
        &[("id", "7"), ("name", "\"x\"")],
    ];
    let shown = || Some(written(&client, &["id", "name"]));
    let merged = db.once(upsert(&client, rows, shown(), true)).await.unwrap();
    assert_eq!(
        merged.body,
        br#"[{"id":1,"name":"new"},{"id":7,"name":"x"}]"#
    );
    assert_eq!((merged.count, merged.inserted), (2, Some(1)));
    let counted = db.once(upsert(&client, rows, None, true)).await.unwrap();
    assert_eq!((counted.count, counted.inserted), (2, Some(1)));
    let left = db
        .once(upsert(&client, rows, shown(), false))
        .await
        .unwrap();
    assert_eq!(left.body, br#"[{"id":7,"name":"x"}]"#);

    // A key that comes from a default is new.
    let some = db.table("only_some");
    let new: &[&[(&str, &str)]] = &[&[("shown", "\"a\"")]];
    let rows = db.once(upsert(&some, new, None, true)).await.unwrap();
    assert_eq!(rows.inserted, Some(1));
    let defaults: &[&[(&str, &str)]] = &[&[("id", "default")], &[("id", "default")]];
    let rows = db
        .once(upsert(
            &some,
            defaults,
            Some(written(&some, &["made"])),
            true,
        ))
        .await;
    assert_eq!(text(rows), r#"[{"made":"d"},{"made":"d"}]"#);
    let twice: &[&[(&str, &str)]] = &[
        &[("id", "1"), ("name", "null")],
        &[("id", "1"), ("name", "null")],
    ];
    assert!(text(db.once(upsert(&client, twice, None, true)).await).starts_with("21000"));
}

#[tokio::test]
async fn updates_and_deletes() {
    let db = db().await;
    let item = db.table("item");
    let update = |set: &[(&str, &str)], node: Option<Node>| UpdatePlan {
        table: item.clone(),
        cells: cells(&item, set),
        conditions: vec![is(col(0, &item, "client_id"), "1")],
        answer: answer(node),
    };
    let shown = || {
        let mut shown = written(&item, &["id", "client_id", "price"]);
        shown.orders.push(Order {
            descending: true,
            ..by(col(0, &item, "id"))
        });
        Some(shown)
    };
    let set: &[(&str, &str)] = &[("client_id", "2"), ("price", "default")];
    // The rows are as they are now, whatever found them.
    assert_eq!(
        text(db.once(Work::Update(update(set, shown()))).await),
        r#"[{"id":2,"client_id":2,"price":7.00},{"id":1,"client_id":2,"price":7.00}]"#
    );
    assert_eq!(
        db.once(Work::Update(update(set, None)))
            .await
            .unwrap()
            .count,
        2
    );
    let defaults = update(&[("price", "default")], None);
    assert_eq!(db.once(Work::Update(defaults)).await.unwrap().count, 2);
    for (max, refused) in [(2, false), (1, true)] {
        for node in [None, shown()] {
            let mut work = update(set, node);
            work.answer.preferences.max_affected = Some(max);
            let answer = db.once(Work::Update(work)).await;
            let Err(DataError::Sql(fault)) = answer else {
                assert!(!refused);
                continue;
            };
            assert!(refused);
            assert_eq!(fault.code, "PGRST124");
            assert_eq!(fault.details.as_deref(), Some("The query affects 2 rows"));
        }
    }

    let mark = db.table("mark");
    let delete = |node: Option<Node>| DeletePlan {
        table: mark.clone(),
        conditions: vec![is(col(0, &mark, "item_id"), "1")],
        answer: answer(node),
    };
    let rows = db
        .once(Work::Delete(delete(Some(written(&mark, &["client_id"])))))
        .await;
    assert_eq!(text(rows), r#"[{"client_id":2},{"client_id":3}]"#);

    // What is undone is answered, and late constraints have spoken.
    let mut tx = db.begin(Role::ServiceRole).await;
    let mut work = delete(None);
    work.answer.preferences.rollback = true;
    assert_eq!(db.run(&mut tx, Work::Delete(work)).await.unwrap().count, 2);
    assert_eq!(
        db.run(&mut tx, Work::Delete(delete(None)))
            .await
            .unwrap()
            .count,
        2
    );
    let child = db.table("child");
    let mut orphan = insert(&child, &[&[("id", "1"), ("item_id", "77")]], None);
    orphan.answer.preferences.rollback = true;
    assert!(text(db.run(&mut tx, Work::Insert(orphan)).await).starts_with("23503"));
    let rows = db.run(
        &mut tx,
        read(node(&mark, 0, &["item_id"]), Preferences::default()),
    );
    assert_eq!(text(rows.await), r#"[{"item_id":2}]"#);
}

#[tokio::test]
async fn only_what_is_granted_is_read() {
    let db = db().await;
    let some = db.table("only_some");
    let mut tx = db.begin(Role::Anon).await;
    let row: &[(&str, &str)] = &[("shown", "\"a\"")];
    for (columns, expect) in [
        (&["id", "shown"][..], r#"[{"id":1,"shown":"a"}]"#),
        (&[], "[{}]"),
        (
            &["id", "hidden"],
            "42501 permission denied for table only_some",
        ),
    ] {
        tx.savepoint().await.unwrap();
        let work = insert(&some, &[row], Some(written(&some, columns)));
        assert_eq!(text(db.run(&mut tx, Work::Insert(work)).await), expect);
        tx.rollback_to().await.unwrap();
    }
    let update = Work::Update(UpdatePlan {
        table: some.clone(),
        cells: cells(&some, row),
        conditions: vec![is(col(0, &some, "id"), "1")],
        answer: answer(Some(written(&some, &["shown"]))),
    });
    assert_eq!(text(db.run(&mut tx, update).await), "[]");
    let delete = Work::Delete(DeletePlan {
        table: some.clone(),
        conditions: vec![is(col(0, &some, "hidden"), "1")],
        answer: answer(None),
    });
    assert!(text(db.run(&mut tx, delete).await).starts_with("42501"));
}

#[tokio::test]
async fn judged_rows_are_as_they_were() {
    let db = db().await;
    let item = db.table("item");
    let mut tx = db.begin(Role::ServiceRole).await;
    let asked = |rows_max, timezone: Option<&str>| Asked {
        table: item.clone(),
        conditions: vec![is(col(0, &item, "client_id"), "1")],
        command: crate::data::schema::Command::Update,
        timezone: timezone.map(str::to_owned),
        rows_max,
    };
    let olds = old_rows(&mut tx, &asked(2, None)).await.unwrap();
    assert_eq!(olds.len(), 2);
    let more = old_rows(&mut tx, &asked(1, None)).await;
    assert!(matches!(more, Err(DataError::TooLarge(_))));
    let tokyo = old_rows(&mut tx, &asked(2, Some("Asia/Tokyo"))).await;
    let tokyo = tokyo.unwrap();
    assert!(tokyo[0].json.contains("+09:00"), "{}", tokyo[0].json);
    let update = |olds: &[OldRow], timezone: Option<&str>| {
        let sets: [&[(&str, &str)]; 2] = [
            &[("name", "\"x\""), ("price", "default")],
            &[("name", "\"y\"")],
        ];
        let rows = olds.iter().cloned();
        let rows = rows.zip(sets.map(|set| cells(&item, set))).collect();
        let mut answer = answer(Some(written(&item, &["id", "name", "price", "at"])));
        answer.preferences.timezone = timezone.map(str::to_owned);
        Work::UpdateRows {
            table: item.clone(),
            rows,
            met: false,
            answer,
        }
    };
    tx.savepoint().await.unwrap();
    assert_eq!(
        text(db.run(&mut tx, update(&tokyo, Some("Asia/Tokyo"))).await),
        concat!(
            r#"[{"id":1,"name":"x","price":7.00,"at":"2024-01-01T21:00:00+09:00"},"#,
            r#"{"id":2,"name":"y","price":2.00,"at":"2024-06-01T21:00:00+09:00"}]"#
        )
    );
    assert!(text(db.run(&mut tx, update(&olds, None)).await).starts_with("40001"));
    tx.rollback_to().await.unwrap();
    let item_two = &olds[1..];
    tx.savepoint().await.unwrap();
    let mark = db.table("mark");
    let clear = Work::Delete(DeletePlan {
        table: mark.clone(),
        conditions: Vec::new(),
        answer: answer(None),
    });
    assert_eq!(db.run(&mut tx, clear).await.unwrap().count, 3);
    let delete = |rows: &[_]| Work::DeleteRows {
        table: item.clone(),
        rows: rows.to_vec(),
        answer: answer(None),
    };
    assert_eq!(db.run(&mut tx, delete(item_two)).await.unwrap().count, 1);
    assert!(text(db.run(&mut tx, delete(&olds)).await).starts_with("40001"));
}
