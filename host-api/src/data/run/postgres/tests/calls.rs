use super::*;
use crate::data::query::{Count, Explain, Format};

#[tokio::test]
async fn results() {
    let db = db().await;
    let everything = || {
        let mut node = source(Source::Called(None), 0);
        node.outputs.push(output("", Expr::Everything { alias: 0 }));
        node
    };
    let none = || json(&[]);
    for (name, arguments, expect) in [
        ("add", json(&[("a", "1")]), "11"),
        ("add", json(&[("a", "\"1\""), ("b", "2")]), "3"),
        ("add", texts(&[("b", &["2"]), ("a", &["9", "1"])]), "3"),
        (
            "add",
            texts(&[("a", &["x"])]),
            "22P02 invalid input syntax for type integer: \"x\"",
        ),
        ("nothing", none(), ""),
        ("numbers", json(&[("up_to", "3")]), "[1,2,3]"),
        ("joined", json(&[("parts", "[\"a\",\"b\"]")]), "\"a+b\""),
        (
            "joined",
            texts(&[("parts", &["a,", "\"b"])]),
            "\"a,+\\\"b\"",
        ),
        ("joined", texts(&[("parts", &["{a}"])]), "\"{a}\""),
        (
            "echo",
            Arguments::Whole(br#"{"a": [1.0]}"#.to_vec()),
            r#"{"a": [1.0]}"#,
        ),
        ("length_of", Arguments::Whole(vec![0, 255, 39]), "3"),
        (
            "echo",
            Arguments::Whole(vec![255]),
            "22021 invalid byte sequence for encoding \"UTF8\": 0xff",
        ),
        (
            "typed",
            json(&[
                ("feel", "\"glad\""),
                ("whose", "{\"id\":1,\"name\":\"N\"}"),
                ("ids", "[1,2]"),
                ("big", "5"),
            ]),
            "\"glad N 2 5\"",
        ),
        (
            "typed",
            texts(&[
                ("feel", &["glad"]),
                ("whose", &["(1,N)"]),
                ("ids", &["{1,2}"]),
                ("big", &["5"]),
            ]),
            "\"glad N 2 5\"",
        ),
        ("anything", none(), r#"{"?column?":1,"?column?":2}"#),
        ("path", none(), "\"public, other\""),
    ] {
        assert_eq!(db.call(name, arguments, None).await, expect, "{name}");
    }
    for (name, arguments, expect) in [
        (
            "pairs",
            json(&[("up_to", "2")]),
            r#"[{"n":1,"square":1},{"n":2,"square":4}]"#,
        ),
        ("out_only", none(), r#"{"x":5}"#),
    ] {
        assert_eq!(db.call(name, arguments, Some(everything())).await, expect);
    }

    let item = db.table("item");
    let of_item = |columns: &[&str]| from(Source::Called(Some(item.clone())), &item, 0, columns);
    let one = async |wanted: &str, node| {
        db.call("one_item", json(&[("wanted", wanted)]), Some(node))
            .await
    };
    assert_eq!(
        one("2", of_item(&["id", "name"])).await,
        r#"{"id":2,"name":"two"}"#
    );
    let mut narrow = of_item(&["id"]);
    narrow.conditions.push(is(col(0, &item, "id"), "1"));
    assert_eq!(one("2", narrow).await, "null");

    // Filters, orders, embeds and computed fields of called rows; fields without a table.
    let client = db.table("client");
    let mut owner = node(&client, 1, &["name"]);
    owner.conditions.push(Condition::Same(
        col(1, &client, "id"),
        col(0, &item, "client_id"),
    ));
    let mut rich = of_item(&["id"]);
    rich.outputs.extend([
        output("owner", Expr::One(Box::new(owner))),
        output(
            "twice",
            field("price_twice", Some(db.function("price_twice"))),
        ),
    ]);
    rich.conditions.push(test(
        col(0, &item, "id"),
        Test::Compare(Operator::Gt, None, "1".to_owned()),
    ));
    rich.orders.push(Order {
        descending: true,
        ..by(col(0, &item, "id"))
    });
    rich.limit = Some(1);
    let expect = r#"[{"id":3,"owner":{"name":"Bob"},"twice":6.00}]"#;
    assert_eq!(
        db.call("some_items", none(), Some(rich.clone())).await,
        expect
    );
    let mut counted = db.calling("some_items", none(), Some(rich));
    let Work::Call(plan) = &mut counted else {
        unreachable!()
    };
    plan.preferences.count = Some(Count::Exact);
    let rows = db.once(counted).await.unwrap();
    assert_eq!((rows.count, rows.total), (1, Some(2)));
    assert_eq!(rows.body, expect.as_bytes());
    let mut named = source(Source::Called(None), 0);
    named.outputs.push(output("s", field("square", None)));
    named.conditions.push(is(field("n", None), "2"));
    let two = json(&[("up_to", "3")]);
    assert_eq!(
        db.call("pairs", two.clone(), Some(named)).await,
        r#"[{"s":4}]"#
    );

    let with = |change: &dyn Fn(&mut CallPlan)| {
        let mut work = db.calling("pairs", two.clone(), Some(everything()));
        if let Work::Call(plan) = &mut work {
            change(plan);
        }
        work
    };
    let csv = with(&|plan| plan.preferences.format = Format::Csv);
    assert_eq!(text(db.once(csv).await), "n,square\n1,1\n2,4\n3,9");
    let many = with(&|plan| plan.preferences.max_affected = Some(2));
    assert!(text(db.once(many).await).starts_with("PGRST124"));
    let single = with(&|plan| plan.preferences.single = true);
    assert!(text(db.once(single).await).starts_with("PGRST116"));
    let explain = with(&|plan| plan.preferences.explain = Some(Explain::default()));
    assert!(text(db.once(explain).await).contains("rows="));
    for (count, total) in [(Some(Count::Exact), Some(3)), (None, None)] {
        for (limit, offset, expect) in [
            (2, None, "[1,2]"),
            (2, Some(1), "[2,3]"),
            (9, Some(2), "[3]"),
            (0, None, "[]"),
            (9, Some(7), "[]"),
        ] {
            let mut few = db.calling("numbers", two.clone(), None);
            if let Work::Call(plan) = &mut few {
                (plan.limit, plan.offset) = (limit, offset);
                plan.preferences.count = count;
            }
            let rows = db.once(few).await.unwrap();
            assert_eq!(rows.total, total);
            assert_eq!(String::from_utf8(rows.body).unwrap(), expect);
        }
    }
}

#[tokio::test]
async fn what_a_function_knows_and_says() {
    let db = db().await;
    let mut tx = db.begin(Role::Anon).await;
    let rows = db
        .run(&mut tx, db.calling("teapot", json(&[]), None))
        .await
        .unwrap();
    assert_eq!(rows.body, r#""POST'\\é""#.as_bytes());
    let response = rows.response.unwrap();
    assert_eq!(response.status.as_deref(), Some("418"));
    assert_eq!(response.headers.as_deref(), Some(r#"[{"x": "y"}]"#));
    tx.rollback().await.unwrap();
    let rows = db.once(db.calling("add", json(&[("a", "1")]), None)).await;
    assert_eq!(rows.unwrap().response, None);

    let Err(DataError::Sql(fault)) = db.once(db.calling("refuses", json(&[]), None)).await else {
        panic!("it refuses");
    };
    assert_eq!(&*fault.code, "PT402");
    assert_eq!(fault.message, "pay");
    assert_eq!(fault.details.as_deref(), Some("more"));
    assert_eq!(fault.hint.as_deref(), Some("now"));

    let context = Context {
        role: Role::ServiceRole,
        ..Context::default()
    };
    let mut tx = db.app.begin(&context, Begin::read()).await.unwrap();
    let writes = db.run(&mut tx, db.calling("writes", json(&[]), None)).await;
    assert!(text(writes).starts_with("25006"));
}
