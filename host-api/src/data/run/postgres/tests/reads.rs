use super::*;
use crate::data::Type;
use crate::data::plan::CastType;
use crate::data::query::{
    AggregateFunction, Count, Explain, Format, Is, Key, Quantifier, Search, Step,
};

fn path(of: Expr, keys: &[&str], as_text: bool) -> Expr {
    let last = keys.len() - 1;
    let step = |(at, key): (usize, &&str)| Step {
        key: match key.parse() {
            Ok(index) => Key::Index(index),
            Err(_) => Key::Name((*key).to_owned()),
        },
        text: as_text && at == last,
    };
    Expr::Path {
        of: Box::new(of),
        steps: keys.iter().enumerate().map(step).collect(),
    }
}

#[tokio::test]
async fn conditions() {
    use Operator::*;
    let db = db().await;
    let item = db.table("item");
    let c = |name: &str| col(0, &item, name);
    let compare = |name: &str, operator, literal: &str| {
        test(c(name), Test::Compare(operator, None, literal.to_owned()))
    };
    let quantified = |name: &str, operator, quantifier, literal: &str| {
        test(
            c(name),
            Test::Compare(operator, Some(quantifier), literal.to_owned()),
        )
    };
    let within = |name: &str, literals: &[&str]| {
        let literals = literals.iter().map(|literal| (*literal).to_owned());
        test(c(name), Test::In(literals.collect()))
    };
    let search = |name: &str, search, config: Option<&str>, query: &str| {
        let config = config.map(str::to_owned);
        test(c(name), Test::Search(search, config, query.to_owned()))
    };
    let not = |condition| Condition::Not(Box::new(condition));
    for (condition, expect) in [
        (compare("id", Eq, "2"), "2"),
        (compare("id", Neq, "2"), "1,3"),
        (
            compare("id", Gt, "x"),
            "22P02 invalid input syntax for type integer: \"x\"",
        ),
        (compare("name", Eq, "longer than five"), ""),
        (compare("code", Eq, "a"), "1"),
        (compare("code", Eq, "a  "), "1"),
        (compare("feeling", Gte, "ok"), "2,3"),
        (
            compare("feeling", Eq, "mad"),
            "22P02 invalid input value for enum mood: \"mad\"",
        ),
        (compare("size", Lt, "l"), "1,2"),
        (compare("price", Eq, "1.5"), "1"),
        (compare("price", Lte, "2.004"), "1,2"),
        (compare("rank", Eq, "-1"), ""),
        (compare("at", Lt, "2024-02-01"), "1"),
        (compare("name", Like, "t%"), "2"),
        (compare("name", Ilike, "t%"), "2,3"),
        (compare("name", Like, "T\\%%"), "3"),
        (compare("name", Match, "^.n"), "1"),
        (compare("name", Imatch, "^T"), "2,3"),
        (
            compare("id", Like, "1"),
            "42883 operator does not exist: integer ~~ unknown",
        ),
        (compare("ok", IsDistinct, "true"), "2,3"),
        (compare("tags", Contains, "{b}"), "1,2"),
        (compare("tags", Contained, "{a,b,d}"), "1"),
        (compare("tags", Overlaps, "{c,d}"), "2"),
        (compare("tags", Eq, "{a,b}"), "1"),
        (compare("labels", Contains, "{x}"), "1"),
        (compare("moods", Contains, "{glad}"), "2"),
        (compare("doc", Contains, r#"{"t":"x"}"#), "1"),
        (compare("span", Contains, "[2,3)"), "1"),
        (compare("span", Contained, "[0,9)"), "1,2"),
        (compare("span", Overlaps, "[4,6)"), "1,2"),
        (compare("span", StrictlyLeft, "[5,6)"), "1"),
        (compare("span", StrictlyRight, "[1,5)"), "2"),
        (compare("span", NotRightOf, "[1,5)"), "1"),
        (compare("span", NotLeftOf, "[5,6)"), "2"),
        (compare("span", Adjacent, "[9,10)"), "2"),
        (quantified("name", Like, Quantifier::Any, "{o%,T%}"), "1,3"),
        (quantified("id", Gt, Quantifier::All, "{1,2}"), "3"),
        (
            quantified("feeling", Eq, Quantifier::Any, "{sad,glad}"),
            "1,3",
        ),
        (within("id", &["1", "3"]), "1,3"),
        (within("id", &[]), ""),
        (not(within("weight", &[])), "1,2,3"),
        (within("name", &["one", "a,\"b\\", "T%ree"]), "1,3"),
        (within("size", &["s", "l"]), "1,3"),
        (within("tags", &["{a,b}", "{}"]), "1"),
        (within("span", &["[1,5)", "empty"]), "1"),
        (test(c("weight"), Test::Is(Is::Null)), "3"),
        (test(c("weight"), Test::Is(Is::NotNull)), "1,2"),
        (test(c("ok"), Test::Is(Is::True)), "1"),
        (test(c("ok"), Test::Is(Is::False)), "2"),
        (test(c("ok"), Test::Is(Is::Unknown)), "3"),
        (
            test(c("id"), Test::Is(Is::True)),
            "42804 argument of IS TRUE must be type boolean, not type integer",
        ),
        (search("words", Search::Query, Some("english"), "cats"), "1"),
        (
            search("prose", Search::Plain, Some("english"), "cat sitting"),
            "",
        ),
        (search("prose", Search::Plain, Some("english"), "cat"), "1"),
        (search("prose", Search::Plain, Some("simple"), "cat"), ""),
        (
            search("prose", Search::Phrase, Some("simple"), "a dog"),
            "2",
        ),
        (
            search("prose", Search::Web, Some("simple"), "dog or sat"),
            "1,2",
        ),
        (search("doc", Search::Query, Some("simple"), "x"), "1"),
        (
            search("prose", Search::Query, Some("klingon"), "x"),
            "42704 text search configuration \"klingon\" does not exist",
        ),
        (is(path(c("doc"), &["a", "b", "-1"], true), "2"), "1"),
        (is(path(c("doc"), &["a"], false), "5"), "2"),
        (is(path(c("tags"), &["0"], true), "b"), "2"),
        (not(compare("id", Eq, "2")), "1,3"),
        (
            Condition::Any(vec![compare("id", Eq, "1"), compare("id", Eq, "3")]),
            "1,3",
        ),
        (
            Condition::All(vec![compare("id", Gt, "1"), Condition::Any(Vec::new())]),
            "",
        ),
        (Condition::All(Vec::new()), "1,2,3"),
        (
            is(field("price_twice", Some(db.function("price_twice"))), "4"),
            "2",
        ),
    ] {
        let mut node = node(&item, 0, &["id"]);
        let shown = format!("{condition:?}");
        node.conditions.push(condition);
        node.orders.push(by(c("id")));
        let found = db.read(node).await;
        let found = match serde_json::from_str::<serde_json::Value>(&found) {
            Ok(rows) => {
                let ids = rows.as_array().unwrap().iter();
                ids.map(|row| row["id"].to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            }
            Err(_) => found,
        };
        let shown = &shown[shown.len().saturating_sub(120)..];
        assert_eq!(found, expect, "…{shown}");
    }
}

#[tokio::test]
async fn outputs() {
    let db = db().await;
    let (item, client) = (db.table("item"), db.table("client"));
    let c = |name: &str| col(0, &item, name);
    let cast = |of: Expr, to: CastType| Expr::Cast {
        of: Box::new(of),
        to,
    };
    let first = |expr: Expr| {
        let mut one = node(&item, 0, &[]);
        one.outputs.push(output("v", expr));
        one.conditions.push(is(c("id"), "1"));
        one
    };
    for (expr, expect) in [
        (c("price"), "1.50"),
        (c("at"), "\"2024-01-01T12:00:00+00:00\""),
        (path(c("doc"), &["a", "b"], false), "[1, 2]"),
        (path(c("doc"), &["a", "b", "1"], true), "\"2\""),
        (path(c("doc"), &["none"], false), "null"),
        (path(c("raw"), &["k"], false), "1"),
        (path(c("tags"), &["-1"], true), "\"b\""),
        (path(c("span"), &["x"], true), "null"),
        (cast(c("id"), CastType::Known(Type::Text)), "\"1\""),
        (
            cast(
                c("name"),
                CastType::Known(Type::Varchar { length: Some(2) }),
            ),
            "\"on\"",
        ),
        (
            cast(
                cast(c("feeling"), CastType::Known(Type::Text)),
                CastType::Known(Type::Enum(db.schema.enums["mood"].clone())),
            ),
            "\"sad\"",
        ),
        (
            cast(c("id"), CastType::Named(Name::of_catalog("int8"))),
            "1",
        ),
        (
            field("price_twice", Some(db.function("price_twice"))),
            "3.00",
        ),
        (
            Expr::Aggregate {
                function: AggregateFunction::Sum,
                of: Some(Box::new(c("id"))),
            },
            "1",
        ),
    ] {
        assert_eq!(db.read(first(expr)).await, format!("[{{\"v\":{expect}}}]"));
    }
    let unknown = cast(c("id"), CastType::Named(Name::of_catalog("x\"y")));
    assert_eq!(
        db.read(first(unknown)).await,
        "42704 type \"x\"y\" does not exist"
    );

    // Keys that would be taken for something else.
    let mut odd = node(&client, 0, &["id"]);
    odd.outputs = ["_r", "_e", "_t0", "a\"b", "é"]
        .map(|key| output(key, col(0, &client, "id")))
        .into();
    odd.limit = Some(1);
    assert_eq!(
        db.read(odd.clone()).await,
        r#"[{"_r":1,"_e":1,"_t0":1,"a\"b":1,"é":1}]"#
    );
    odd.outputs = vec![output("a\0b", col(0, &client, "id"))];
    assert!(db.read(odd).await.starts_with("22021 "));
    let mut empty = node(&client, 0, &[]);
    empty.limit = Some(2);
    empty.offset = Some(1);
    assert_eq!(db.read(empty).await, "[{},{}]");
    // Groups hold paths with the very same keys.
    let mut grouped = node(&item, 0, &[]);
    let kind = path(c("doc"), &["t"], true);
    grouped.outputs = vec![
        output("kind", kind.clone()),
        output(
            "n",
            Expr::Aggregate {
                function: AggregateFunction::Count,
                of: None,
            },
        ),
    ];
    grouped.groups = Some(vec![kind.clone()]);
    grouped.orders.push(by(kind));
    assert_eq!(
        db.read(grouped).await,
        r#"[{"kind":"x","n":1},{"kind":null,"n":2}]"#
    );
}

#[tokio::test]
async fn embeds() {
    let db = db().await;
    let (item, client, mark) = (db.table("item"), db.table("client"), db.table("mark"));
    let same = |one, other| Condition::Same(one, other);

    let mut owner = node(&client, 1, &["name"]);
    owner
        .conditions
        .push(same(col(1, &client, "id"), col(0, &item, "client_id")));
    let mut marks = from(
        Source::Through {
            table: client.clone(),
            junction: mark.clone(),
            alias: 3,
        },
        &client,
        2,
        &["id"],
    );
    marks.conditions = vec![
        same(col(3, &mark, "item_id"), col(0, &item, "id")),
        same(col(2, &client, "id"), col(3, &mark, "client_id")),
    ];
    marks.orders.push(Order {
        expr: col(2, &client, "id"),
        descending: true,
        nulls_first: true,
    });
    let mut siblings = from(
        Source::Computed {
            function: db.function("siblings"),
            row: 0,
            table: item.clone(),
        },
        &item,
        4,
        &["id"],
    );
    siblings.limit = Some(1);
    let mut root = node(&item, 0, &["id"]);
    let value = |of: &Node| Expr::Value(Box::new(of.clone()));
    root.outputs.extend([
        output("owner", Expr::One(Box::new(owner.clone()))),
        output("owner_name", value(&owner)),
        output("marks", Expr::Many(Box::new(marks.clone()))),
        output("ids", Expr::Values(Box::new(marks.clone()))),
        output("siblings", Expr::Many(Box::new(siblings))),
    ]);
    root.orders = vec![by(value(&owner)), by(col(0, &item, "id"))];
    assert_eq!(
        db.read(root.clone()).await,
        concat!(
            r#"[{"id":1,"owner":{"name":"Ann"},"owner_name":"Ann","marks":[{"id":3},{"id":2}],"ids":[3,2],"siblings":[{"id":2}]},"#,
            r#"{"id":2,"owner":{"name":"Ann"},"owner_name":"Ann","marks":[{"id":1}],"ids":[1],"siblings":[{"id":1}]},"#,
            r#"{"id":3,"owner":{"name":"Bob"},"owner_name":"Bob","marks":[],"ids":[],"siblings":[]}]"#
        )
    );

    // Inner, none, and one below another.
    let exists = |not| Condition::Exists {
        node: Box::new(Node {
            outputs: Vec::new(),
            ..marks.clone()
        }),
        not,
    };
    for (not, expect) in [(false, r#"[{"id":1},{"id":2}]"#), (true, r#"[{"id":3}]"#)] {
        let mut root = node(&item, 0, &["id"]);
        root.conditions.push(exists(not));
        root.orders.push(by(col(0, &item, "id")));
        assert_eq!(db.read(root).await, expect);
    }
    let mut items = node(&item, 1, &["id"]);
    items
        .conditions
        .push(same(col(1, &item, "client_id"), col(0, &client, "id")));
    items.orders.push(by(col(1, &item, "id")));
    let mut below = node(&mark, 2, &["client_id"]);
    below
        .conditions
        .push(same(col(2, &mark, "item_id"), col(1, &item, "id")));
    below.limit = Some(1);
    items
        .outputs
        .push(output("marks", Expr::Many(Box::new(below))));
    let mut root = node(&client, 0, &["id"]);
    root.outputs
        .push(output("items", Expr::Many(Box::new(items))));
    root.conditions.push(is(col(0, &client, "id"), "1"));
    assert_eq!(
        db.read(root).await,
        r#"[{"id":1,"items":[{"id":1,"marks":[{"client_id":2}]},{"id":2,"marks":[{"client_id":1}]}]}]"#
    );
    let view = db.table("api.deep");
    let mut root = node(&view, 0, &["again", "name"]);
    root.conditions.push(is(col(0, &view, "again"), "3"));
    assert_eq!(db.read(root).await, r#"[{"again":3,"name":"Bob"}]"#);
}

#[tokio::test]
async fn preferences() {
    let db = db().await;
    let (item, client) = (db.table("item"), db.table("client"));
    let page = || {
        let mut page = node(&client, 0, &["id", "name"]);
        page.orders.push(by(col(0, &client, "id")));
        page.limit = Some(1);
        page.offset = Some(1);
        page
    };
    let ask = async |node: Node, wanted: Preferences| db.once(read(node, wanted)).await;
    let count = |count| Preferences {
        count: Some(count),
        ..Preferences::default()
    };
    let rows = ask(page(), count(Count::Exact)).await.unwrap();
    assert_eq!((rows.count, rows.total), (1, Some(3)));
    assert_eq!(rows.body, br#"[{"id":2,"name":"Bob"}]"#);
    let rows = ask(page(), count(Count::Planned)).await.unwrap();
    assert!(rows.total.unwrap() > 0);
    let rows = ask(page(), count(Count::Estimated)).await.unwrap();
    assert_eq!(rows.total, Some(3));
    let few = Work::Read(ReadPlan {
        node: page(),
        preferences: count(Count::Estimated),
        rows_max: 1,
    });
    // Never analyzed, the table looks larger than it is.
    assert!(db.once(few).await.unwrap().total.unwrap() >= 2);

    let csv = Preferences {
        format: Format::Csv,
        ..count(Count::Exact)
    };
    let mut all = node(&item, 0, &["id", "name", "tags", "ok"]);
    all.outputs.push(output("a,b", col(0, &item, "doc")));
    all.orders.push(by(col(0, &item, "id")));
    let rows = ask(all.clone(), csv.clone()).await.unwrap();
    assert_eq!(
        String::from_utf8(rows.body).unwrap(),
        concat!(
            "id,name,tags,ok,\"a,b\"\n",
            "1,one,\"{a,b}\",t,\"{\"\"a\"\": {\"\"b\"\": [1, 2]}, \"\"t\"\": \"\"x\"\"}\"\n",
            "2,two,\"{b,c}\",f,\"{\"\"a\"\": 5}\"\n3,T%ree,,,"
        )
    );
    assert_eq!(rows.total, Some(3));
    all.limit = Some(0);
    assert_eq!(text(ask(all, csv).await), "id,name,tags,ok,\"a,b\"\n");

    let single = Preferences {
        single: true,
        ..Preferences::default()
    };
    assert_eq!(ask(page(), single.clone()).await.unwrap().count, 1);
    let Err(DataError::Sql(fault)) = ask(node(&client, 0, &["id"]), single).await else {
        panic!("three rows");
    };
    assert_eq!(fault.code, "PGRST116");
    assert_eq!(fault.details.as_deref(), Some("The result contains 3 rows"));

    let mut when = node(&item, 0, &["at"]);
    when.conditions.push(is(col(0, &item, "id"), "1"));
    let zone = |name: &str| Preferences {
        timezone: Some(name.to_owned()),
        ..Preferences::default()
    };
    assert!(db.schema.timezones.contains("America/New_York"));
    let mut tx = db.begin(Role::ServiceRole).await;
    for (wanted, expect) in [
        (zone("America/New_York"), "07:00:00-05:00"),
        (Preferences::default(), "12:00:00+00:00"),
    ] {
        let rows = text(db.run(&mut tx, read(when.clone(), wanted)).await);
        assert_eq!(rows, format!(r#"[{{"at":"2024-01-01T{expect}"}}]"#));
    }
    drop(tx);
    assert_eq!(
        text(ask(when.clone(), zone("Mars/Olympus")).await),
        "22023 invalid value for parameter \"TimeZone\": \"Mars/Olympus\""
    );

    let explain = |json, analyze| Preferences {
        explain: Some(Explain {
            json,
            analyze,
            buffers: analyze,
            wal: true,
            ..Explain::default()
        }),
        ..count(Count::Exact)
    };
    let plan = text(ask(when.clone(), explain(false, true)).await);
    assert!(
        plan.contains("item_pkey") && plan.contains("actual time"),
        "{plan}"
    );
    let plan = text(ask(when, explain(true, false)).await);
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert!(plan[0]["Plan"].is_object());
}
