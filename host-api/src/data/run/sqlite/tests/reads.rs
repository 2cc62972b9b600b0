//! Embeds, aggregates, orders, counts and csv.

use super::*;
use crate::data::plan::CastType;
use crate::data::plan::{Expr, Order};
use crate::data::query::{AggregateFunction, Count, Explain, Format};

const TABLES: &str = "create type mood as enum ('sad', 'ok', 'happy');
create table author (id integer primary key, name text);
create table book (id integer primary key, author_id integer references author (id), title text, price numeric(8,2), feeling mood, at timestamptz);
create table tag (id integer primary key, name text);
create table book_tag (book_id integer references book (id), tag_id integer references tag (id), primary key (book_id, tag_id));
insert into author values (1, 'Ann'), (2, 'B\"o'), (3, null);
insert into book values (1, 1, 'one', 10.00, 'happy', '2024-01-01T00:00:00+00'), (2, 1, 'two', 9.50, 'sad', null), (3, 2, 'x,y', null, 'ok', null), (4, null, '', 100, null, null);
insert into tag values (1, 'red'), (2, 'blue');
insert into book_tag values (1, 1), (1, 2), (2, 2);";

fn same(db: &Db, left: (u32, &str, &str), right: (u32, &str, &str)) -> Condition {
    Condition::Same(
        db.col(left.0, left.1, left.2),
        db.col(right.0, right.1, right.2),
    )
}

fn out(key: &str, expr: Expr) -> Output {
    Output {
        key: key.to_owned(),
        expr,
    }
}

fn order(expr: Expr, descending: bool) -> Order {
    Order {
        expr,
        descending,
        nulls_first: descending,
    }
}

fn books(db: &Db, columns: &[&str]) -> Node {
    let mut node = db.node(1, "book", columns);
    node.conditions = vec![same(db, (1, "book", "author_id"), (0, "author", "id"))];
    node
}

#[test]
fn embedded_rows_come_with_their_parents() {
    let db = db(TABLES);
    let with = |expr: Expr| {
        let mut node = db.node(0, "author", &["id"]);
        node.outputs.push(out("e'\"", expr));
        node.limit = Some(2);
        db.read("service_role", node)
    };
    let many = books(&db, &["id", "price", "title"]);
    assert_eq!(
        with(Expr::Many(Box::new(many.clone()))),
        "[{\"id\":1,\"e'\\\"\":[{\"id\":1,\"price\":10.00,\"title\":\"one\"},{\"id\":2,\"price\":9.50,\"title\":\"two\"}]},{\"id\":2,\"e'\\\"\":[{\"id\":3,\"price\":null,\"title\":\"x,y\"}]}]"
    );
    let mut last = many.clone();
    last.orders = vec![order(db.col(1, "book", "price"), true)];
    last.limit = Some(1);
    last.offset = Some(1);
    assert_eq!(
        with(Expr::Many(Box::new(last.clone()))),
        "[{\"id\":1,\"e'\\\"\":[{\"id\":2,\"price\":9.50,\"title\":\"two\"}]},{\"id\":2,\"e'\\\"\":[]}]"
    );
    last.outputs.truncate(1);
    assert_eq!(
        with(Expr::One(Box::new(last.clone()))),
        "[{\"id\":1,\"e'\\\"\":{\"id\":2}},{\"id\":2,\"e'\\\"\":null}]"
    );
    assert_eq!(
        with(Expr::Value(Box::new(last.clone()))),
        "[{\"id\":1,\"e'\\\"\":2},{\"id\":2,\"e'\\\"\":null}]"
    );
    last.offset = None;
    last.limit = None;
    assert_eq!(
        with(Expr::Values(Box::new(last.clone()))),
        "[{\"id\":1,\"e'\\\"\":[1,2]},{\"id\":2,\"e'\\\"\":[3]}]"
    );
    last.outputs.clear();
    assert_eq!(
        with(Expr::Many(Box::new(last))),
        "[{\"id\":1,\"e'\\\"\":[{},{}]},{\"id\":2,\"e'\\\"\":[{}]}]"
    );
    // Two levels, the inner one through a junction.
    let tags = Node {
        source: Source::Through {
            table: db.table("tag"),
            junction: db.table("book_tag"),
            alias: 3,
        },
        conditions: vec![
            same(&db, (3, "book_tag", "book_id"), (1, "book", "id")),
            same(&db, (3, "book_tag", "tag_id"), (2, "tag", "id")),
        ],
        orders: vec![order(db.col(2, "tag", "name"), false)],
        ..db.node(2, "tag", &["name"])
    };
    let mut deep = books(&db, &[]);
    deep.outputs = vec![
        out("tags", Expr::Many(Box::new(tags.clone()))),
        out("first", Expr::One(Box::new(tags))),
    ];
    deep.limit = Some(1);
    assert_eq!(
        with(Expr::Many(Box::new(deep))),
        "[{\"id\":1,\"e'\\\"\":[{\"tags\":[{\"name\":\"blue\"},{\"name\":\"red\"}],\"first\":{\"name\":\"blue\"}}]},{\"id\":2,\"e'\\\"\":[{\"tags\":[],\"first\":null}]}]"
    );
}

#[test]
fn a_row_of_many_columns_fits() {
    let names: Vec<String> = (0..900).map(|n| format!("c{n} integer")).collect();
    let db = db(&format!(
        "create table wide (id integer primary key, {}); insert into wide (id) values (1);",
        names.join(", ")
    ));
    let columns: Vec<String> = (0..900).map(|n| format!("c{n}")).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let inner = Expr::One(Box::new(db.node(1, "wide", &columns)));
    let node = node(Source::Relation(db.table("wide")), 0, vec![out("w", inner)]);
    let body = db.read("service_role", node);
    assert!(
        body.starts_with("[{\"w\":{\"c0\":null,\"c1\":null,"),
        "{body}"
    );
    assert!(body.ends_with("\"c899\":null}}]"), "{body}");
}

#[test]
fn embeds_show_what_policies_allow() {
    let mut db = db(TABLES);
    db.protect(
        "book",
        &[policy("p", Command::Select, "_t.\"price\" > '9.6'", "")],
    );
    let mut parents = db.node(0, "author", &["id"]);
    let many = Expr::Many(Box::new(books(&db, &["id"])));
    parents.outputs.push(out("books", many));
    parents.limit = Some(1);
    assert_eq!(
        db.read("anon", parents),
        "[{\"id\":1,\"books\":[{\"id\":1}]}]"
    );
    for (not, expect) in [(false, "[{\"id\":1}]"), (true, "[{\"id\":2},{\"id\":3}]")] {
        let mut parents = db.node(0, "author", &["id"]);
        let node = Box::new(books(&db, &[]));
        parents.conditions = vec![Condition::Exists { node, not }];
        assert_eq!(db.read("anon", parents), expect);
    }
}

#[test]
fn aggregates_and_orders() {
    let db = db(TABLES);
    let aggregate = |function, column: Option<&str>| Expr::Aggregate {
        function,
        of: column.map(|column| Box::new(db.col(0, "book", column))),
    };
    let read = |expr: Expr| {
        let mut node = node(Source::Relation(db.table("book")), 0, vec![out("v", expr)]);
        node.groups = Some(vec![]);
        db.read("service_role", node)
    };
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    for (function, column, expect) in [
        (Count, None, "[{\"v\":4}]"),
        (Count, Some("price"), "[{\"v\":3}]"),
        (Sum, Some("price"), "[{\"v\":119.50}]"),
        (Sum, Some("id"), "[{\"v\":10}]"),
        (Avg, Some("id"), "[{\"v\":2.5000000000000000}]"),
        (Max, Some("price"), "[{\"v\":100.00}]"),
        (Min, Some("price"), "[{\"v\":9.50}]"),
        (Max, Some("feeling"), "[{\"v\":\"happy\"}]"),
        (Min, Some("feeling"), "[{\"v\":\"sad\"}]"),
        (Max, Some("title"), "[{\"v\":\"x,y\"}]"),
        (
            Sum,
            Some("title"),
            "42883 function sum(text) does not exist",
        ),
        (
            Avg,
            Some("feeling"),
            "42883 function avg(mood) does not exist",
        ),
    ] {
        assert_eq!(
            read(aggregate(function, column)),
            expect,
            "{function:?} {column:?}"
        );
    }
    let mut grouped = db.node(0, "book", &["author_id"]);
    grouped.outputs.push(out("n", aggregate(Count, None)));
    grouped.groups = Some(vec![db.col(0, "book", "author_id")]);
    grouped.orders = vec![order(db.col(0, "book", "author_id"), true)];
    assert_eq!(
        db.read("service_role", grouped.clone()),
        "[{\"author_id\":null,\"n\":1},{\"author_id\":2,\"n\":1},{\"author_id\":1,\"n\":2}]"
    );
    grouped.limit = Some(1);
    let Work::Read(mut plan) = super::read(grouped) else {
        unreachable!()
    };
    plan.preferences.count = Some(crate::data::query::Count::Exact);
    let rows = db.run("service_role", &Work::Read(plan)).unwrap();
    assert_eq!((rows.count, rows.total), (1, Some(3)));
    for (column, descending, expect) in [
        ("feeling", false, "2314"),
        ("feeling", true, "4132"),
        ("price", false, "2143"),
        ("price", true, "3412"),
        ("title", false, "4123"),
    ] {
        let mut node = db.node(0, "book", &["id"]);
        node.orders = vec![order(db.col(0, "book", column), descending)];
        let body = db.read("service_role", node);
        let ids: String = body.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(ids, expect, "{column} {descending}");
    }
}

#[test]
fn counts_pages_and_single_rows() {
    let db = db(TABLES);
    for (limit, offset, expect) in [
        (None, None, (4, 4)),
        (Some(2), None, (2, 4)),
        (Some(4), None, (4, 4)),
        (Some(2), Some(3), (1, 4)),
        (Some(2), Some(9), (0, 4)),
        (None, Some(1), (3, 4)),
        (Some(0), None, (0, 4)),
        (Some(u64::MAX), Some(u64::MAX), (0, 4)),
    ] {
        let mut node = db.node(0, "book", &["id"]);
        (node.limit, node.offset) = (limit, offset);
        let preferences = Preferences {
            count: Some(Count::Estimated),
            ..Preferences::default()
        };
        let work = Work::Read(ReadPlan {
            node,
            preferences,
            rows_max: 1000,
        });
        let rows = db.run("anon", &work).unwrap();
        assert_eq!(
            (rows.count, rows.total.unwrap()),
            expect,
            "{limit:?} {offset:?}"
        );
    }
    let Work::Read(mut plan) = read(db.node(0, "book", &["id"])) else {
        unreachable!()
    };
    plan.preferences.single = true;
    assert_eq!(
        db.text("anon", &Work::Read(plan.clone())),
        "PGRST116 Cannot coerce the result to a single JSON object"
    );
    plan.preferences.single = false;
    plan.preferences.explain = Some(Explain::default());
    plan.node.conditions = vec![db.is("book", "id", "1")];
    let lines = db.text("anon", &Work::Read(plan.clone()));
    assert!(lines.starts_with("SEARCH _t0 USING "), "{lines}");
    plan.preferences.explain = Some(Explain {
        json: true,
        ..Explain::default()
    });
    let json = db.text("anon", &Work::Read(plan));
    assert!(json.contains("\"detail\":\"SEARCH _t0 USING"), "{json}");
}

#[test]
fn csv_is_as_postgres_writes_records() {
    let db = db("create table c (id integer primary key, flag boolean, t text, ns integer[], at timestamptz);
        insert into c values (1, true, 'a,b', '{1,2}', '2024-01-01T00:00:00+00'), (2, false, 'q\"\\', null, null), (3, null, '', '{}', null), (4, null, 'plain', null, null), (5, null, '(x y)', null, null);");
    let mut node = db.node(0, "c", &["id", "flag", "t", "ns", "at"]);
    let inner = Expr::Many(Box::new(Node {
        conditions: vec![same(&db, (1, "c", "id"), (0, "c", "id"))],
        ..db.node(1, "c", &["id"])
    }));
    node.outputs.push(out("e", inner));
    let work = Work::Read(ReadPlan {
        node,
        preferences: Preferences {
            format: Format::Csv,
            ..Preferences::default()
        },
        rows_max: 1000,
    });
    assert_eq!(
        db.text("anon", &work),
        "id,flag,t,ns,at,e\n\
         1,t,\"a,b\",\"{1,2}\",\"2024-01-01 00:00:00+00\",\"[{\"\"id\"\":1}]\"\n\
         2,f,\"q\"\"\\\\\",,,\"[{\"\"id\"\":2}]\"\n\
         3,,\"\",{},,\"[{\"\"id\"\":3}]\"\n\
         4,,plain,,,\"[{\"\"id\"\":4}]\"\n\
         5,,\"(x y)\",,,\"[{\"\"id\"\":5}]\""
    );
}

#[test]
fn rows_without_an_order_come_as_they_were_added() {
    let db = db(
        "create table o (id text primary key, p text references o (id)); insert into o values ('c', null), ('a', 'c'), ('b', 'c'), ('A', 'c');",
    );
    assert_eq!(
        db.read("anon", db.node(0, "o", &["id"])),
        "[{\"id\":\"c\"},{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"A\"}]"
    );
    let mut children = db.node(1, "o", &["id"]);
    children.conditions = vec![same(&db, (1, "o", "p"), (0, "o", "id"))];
    let output = out("v", Expr::Values(Box::new(children)));
    let mut parents = node(Source::Relation(db.table("o")), 0, vec![output]);
    parents.limit = Some(1);
    assert_eq!(db.read("anon", parents), "[{\"v\":[\"a\",\"b\",\"A\"]}]");
}

/// What a PostgreSQL 15 answers with the same `timezone`.
#[test]
fn moments_come_and_go_in_the_zone_that_is_asked_for() {
    let db = db(
        "create table t (id integer primary key, at timestamptz, ats timestamptz[], local timestamp);
         insert into t values
            (1, '2021-06-05T10:00:00.5Z', '{2021-06-05T10:00:00Z,infinity,NULL}', '2021-06-05 10:00'),
            (2, '1890-01-01T00:00:00Z', null, null);",
    );
    let preferences = |zone: &str| Preferences {
        timezone: Some(zone.to_owned()),
        ..Preferences::default()
    };
    let read = |zone: &str, id: &str, to: Option<Type>| {
        let mut node = db.node(0, "t", &["at", "ats"]);
        if let Some(to) = to {
            node.outputs.truncate(1);
            let of = Box::new(db.col(0, "t", "at"));
            node.outputs[0].expr = Expr::Cast {
                of,
                to: CastType::Known(to),
            };
        }
        node.conditions = vec![db.is("t", "id", id)];
        let work = Work::Read(ReadPlan {
            node,
            preferences: preferences(zone),
            rows_max: 10,
        });
        db.text("anon", &work)
    };
    for (zone, id, to, expect) in [
        (
            "America/Los_Angeles",
            "1",
            None,
            r#"[{"at":"2021-06-05T03:00:00.5-07:00","ats":["2021-06-05T03:00:00-07:00","infinity",null]}]"#,
        ),
        (
            "UTC",
            "1",
            None,
            r#"[{"at":"2021-06-05T10:00:00.5+00:00","ats":["2021-06-05T10:00:00+00:00","infinity",null]}]"#,
        ),
        (
            "Europe/Paris",
            "2",
            None,
            r#"[{"at":"1890-01-01T00:09:21+00:09:21","ats":null}]"#,
        ),
        (
            "Asia/Kathmandu",
            "1",
            Some(Type::Text),
            r#"[{"at":"2021-06-05 15:45:00.5+05:45"}]"#,
        ),
        (
            "America/Los_Angeles",
            "1",
            Some(Type::Text),
            r#"[{"at":"2021-06-05 03:00:00.5-07"}]"#,
        ),
        (
            "Pacific/Auckland",
            "1",
            Some(Type::Timestamp),
            r#"[{"at":"2021-06-05T22:00:00.5"}]"#,
        ),
        (
            "Pacific/Kiritimati",
            "1",
            Some(Type::Date),
            r#"[{"at":"2021-06-06"}]"#,
        ),
    ] {
        assert_eq!(read(zone, id, to), expect, "{zone}");
    }
    // A literal without an offset is a time of that zone; where clocks go forward or back, as PostgreSQL says.
    for (literal, stored) in [
        ("2021-06-05 03:00", "2021-06-05T10:00:00+00:00"),
        ("2021-06-05 03:00+02", "2021-06-05T01:00:00+00:00"),
        ("2021-03-14 02:30", "2021-03-14T10:30:00+00:00"),
        ("2021-11-07 01:30", "2021-11-07T09:30:00+00:00"),
        ("2021-06-05", "2021-06-05T07:00:00+00:00"),
        ("epoch", "1970-01-01T00:00:00+00:00"),
    ] {
        let mut answer = number_only();
        answer.preferences = preferences("America/Los_Angeles");
        let cells = format!(r#"{{"at":"{literal}"}}"#);
        let work = db.update("t", &cells, vec![db.is("t", "id", "2")], answer);
        db.run("anon", &work).unwrap();
        assert_eq!(db.sql("select at from t where id = 2"), stored, "{literal}");
    }
    // Of the next request nothing is left of it.
    assert_eq!(
        db.read("anon", db.node(0, "t", &["at"])),
        r#"[{"at":"2021-06-05T10:00:00.5+00:00"},{"at":"1970-01-01T00:00:00+00:00"}]"#
    );
    for (zone, known) in [
        ("America/Los_Angeles", true),
        ("UTC", true),
        ("Mars/Olympus", false),
        ("utc", false),
        ("posix/UTC", false),
        ("+02", false),
    ] {
        assert_eq!(db.schema.has_timezone(zone), known, "{zone}");
    }
}
