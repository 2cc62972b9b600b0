//! Who sees and writes what.

use super::*;
use crate::data::plan::{CastType, ConflictPlan, Order};
use crate::data::query::{AggregateFunction, Explain};
use crate::data::schema::{Kind, Source as Shown, View};

const TABLES: &str = "create table note (id integer primary key, owner text, team integer, title text unique);
create table member (team integer, name text, primary key (team, name));
insert into note values (1, 'anon', 1, 'a'), (2, 'authenticated', 1, 'b'), (3, 'authenticated', 2, 'c'), (4, null, 2, 'd');
insert into member values (1, 'anon'), (2, 'authenticated');";

const MINE: &str = "_t.\"owner\" = pumice_role()";
const TITLES: &str = "select group_concat(title, '' order by rowid) from note";

fn restrictive(mut policy: Policy) -> Policy {
    policy.permissive = false;
    policy
}

fn only(role: &str, mut policy: Policy) -> Policy {
    policy.roles = vec![role.to_owned()];
    policy
}

fn seen(db: &Db, role: &str) -> String {
    let body = db.read(role, db.node(0, "note", &["id"]));
    body.replace("{\"id\":", "").replace('}', "")
}

#[test]
fn the_matrix_of_reading() {
    let select = |using| policy("p", Command::Select, using, "");
    let first = || restrictive(policy("r", Command::Select, "_t.\"team\" = 1", ""));
    for (policies, anon, authenticated) in [
        (vec![], "[]", "[]"),
        (vec![select(MINE)], "[1]", "[2,3]"),
        (vec![policy("p", Command::All, MINE, "")], "[1]", "[2,3]"),
        (vec![policy("p", Command::Update, "true", "")], "[]", "[]"),
        (vec![policy("p", Command::Insert, "", "true")], "[]", "[]"),
        (vec![select("true")], "[1,2,3,4]", "[1,2,3,4]"),
        (vec![select("null")], "[]", "[]"),
        (
            vec![select(MINE), select("_t.\"owner\" is null")],
            "[1,4]",
            "[2,3,4]",
        ),
        (vec![first()], "[]", "[]"),
        (vec![select(MINE), first()], "[1]", "[2]"),
        (
            vec![select("true"), only("anon", first())],
            "[1,2]",
            "[1,2,3,4]",
        ),
        (vec![only("anon", select("true"))], "[1,2,3,4]", "[]"),
        (
            vec![
                only("authenticated", select("true")),
                only("anon", select(MINE)),
            ],
            "[1]",
            "[1,2,3,4]",
        ),
    ] {
        let mut db = db(TABLES);
        db.protect("note", &policies);
        assert_eq!(seen(&db, "anon"), anon, "{policies:?}");
        assert_eq!(seen(&db, "authenticated"), authenticated, "{policies:?}");
        assert_eq!(seen(&db, "service_role"), "[1,2,3,4]");
    }
}

#[test]
fn conditions_do_not_get_around_a_policy() {
    let mut db = db(TABLES);
    db.protect("note", &[policy("p", Command::Select, MINE, "")]);
    let mut node = db.node(0, "note", &["id"]);
    node.conditions = vec![Condition::Any(vec![
        db.is("note", "id", "3"),
        Condition::All(vec![]),
    ])];
    assert_eq!(db.read("anon", node), "[{\"id\":1}]");
}

/// A request whose test fails on one row tells what is in it.
#[test]
fn nothing_is_asked_of_a_row_that_is_hidden() {
    const MEMOS: &str = "create table memo (id integer primary key, team integer, owner text, txt text);
create index memo_txt on memo (txt);
create table member (team integer, who text, primary key (team, who));
create table line (id integer primary key, memo_id integer references memo (id));
insert into memo values (1, 1, 'anon', '7'), (2, 2, 'boss', 'hidden-42');
insert into member values (1, 'anon');
insert into line values (1, 1), (2, 2);
create view shown as select id, team, txt from memo;
create view numbers as select id, cast(txt as integer) as n from memo where cast(txt as integer) > 0;
create view few as select id, team, txt from memo where team = 1;
create view outer_few as select id from few where cast(txt as integer) > 0;";
    let team = "exists (select 1 from {member} as \"m\" where \"m\".\"team\" = _t.\"team\" and \"m\".\"who\" = pumice_role())";
    for using in [team, MINE] {
        let mut db = db(MEMOS);
        for relation in ["memo", "member", "shown", "numbers", "few", "outer_few"] {
            db.grant(relation, "anon", Columns::All);
        }
        db.protect("memo", &[policy("p", Command::All, using, "")]);
        let of = |alias, relation: &str, column: &str| db.col(alias, relation, column);
        let like = |expr| {
            let pattern = "hidden-4\\".to_owned();
            test(expr, Test::Compare(Operator::Like, None, pattern))
        };
        let number = |expr| Expr::Cast {
            of: Box::new(expr),
            to: CastType::Known(Type::Integer),
        };
        let is = |expr, of: &str| test(expr, Test::Compare(Operator::Eq, None, of.to_owned()));
        for relation in ["memo", "shown", "few"] {
            let txt = || of(0, relation, "txt");
            for (condition, expect) in [
                (like(txt()), "[]"),
                (is(number(txt()), "7"), r#"[{"txt":"7"}]"#),
                (Condition::Not(Box::new(like(txt()))), r#"[{"txt":"7"}]"#),
                (
                    Condition::Any(vec![like(txt()), is(txt(), "7")]),
                    r#"[{"txt":"7"}]"#,
                ),
            ] {
                let mut node = db.node(0, relation, &["txt"]);
                node.conditions = vec![condition.clone(), is(of(0, relation, "team"), "1")];
                assert_eq!(db.read("anon", node), expect, "{relation} {condition:?}");
                // Through an index that has all it needs.
                let mut node = db.node(0, relation, &["txt"]);
                node.conditions = vec![condition.clone()];
                node.orders = vec![Order {
                    expr: txt(),
                    descending: false,
                    nulls_first: false,
                }];
                assert_eq!(db.read("anon", node), expect, "{relation} {condition:?}");
            }
            // What is answered, ordered and added up is made of the rows that are left.
            let mut node = db.node(0, relation, &["txt"]);
            node.outputs[0].expr = number(txt());
            node.orders = vec![Order {
                expr: number(txt()),
                descending: false,
                nulls_first: false,
            }];
            assert_eq!(db.read("anon", node), r#"[{"txt":7}]"#);
            let mut node = db.node(0, relation, &["txt"]);
            node.groups = Some(Vec::new());
            node.outputs[0].expr = Expr::Aggregate {
                function: AggregateFunction::Sum,
                of: Some(Box::new(number(txt()))),
            };
            assert_eq!(db.read("anon", node), r#"[{"txt":7}]"#);
        }
        assert_eq!(
            db.read("anon", db.node(0, "numbers", &["n"])),
            r#"[{"n":7}]"#
        );
        let mut node = db.node(0, "numbers", &["id"]);
        node.conditions = vec![is(of(0, "numbers", "n"), "7")];
        assert_eq!(db.read("anon", node), r#"[{"id":1}]"#);
        assert_eq!(
            db.read("anon", db.node(0, "outer_few", &["id"])),
            r#"[{"id":1}]"#
        );
        // Below another table, in its answer and as its condition.
        let mut below = db.node(1, "memo", &["txt"]);
        below.conditions = vec![
            Condition::Same(of(1, "memo", "id"), of(0, "line", "memo_id")),
            like(of(1, "memo", "txt")),
        ];
        let mut node = db.node(0, "line", &["id"]);
        node.conditions = vec![Condition::Exists {
            node: Box::new(below.clone()),
            not: false,
        }];
        assert_eq!(db.read("anon", node), "[]");
        let mut node = db.node(0, "line", &["id"]);
        node.outputs[0].expr = Expr::Many(Box::new(below));
        assert_eq!(db.read("anon", node), r#"[{"id":[]},{"id":[]}]"#);
        for condition in [
            like(of(0, "memo", "txt")),
            is(number(of(0, "memo", "txt")), "8"),
        ] {
            let conditions = || vec![condition.clone()];
            let update = db.update("memo", r#"{"txt":"x"}"#, conditions(), number_only());
            assert_eq!(db.run("anon", &update).map(|rows| rows.count), Ok(0));
            let delete = db.delete("memo", conditions(), number_only());
            assert_eq!(db.run("anon", &delete).map(|rows| rows.count), Ok(0));
        }
    }
}

/// Rows that passed their policies are compared as in their table.
#[test]
fn what_is_tested_apart_keeps_its_order() {
    let mut db = db(
        "create table price (id integer primary key, owner text, n numeric, txt text);
insert into price values (1, 'anon', 10, 'x'), (2, 'anon', 9.5, 'x'), (3, 'boss', 1, 'x');",
    );
    let using = template("_t.\"owner\" = pumice_role()");
    let always = template("1");
    for (using, expect) in [
        (using, r#"[{"id":2},{"id":1}]"#),
        (always, r#"[{"id":3},{"id":2},{"id":1}]"#),
    ] {
        let mut mine = policy("p", Command::Select, "", "");
        mine.using = Some(using);
        db.protect("price", &[mine]);
        let n = || db.col(0, "price", "n");
        let number = |operator, of: &str| test(n(), Test::Compare(operator, None, of.to_owned()));
        let like = Test::Compare(Operator::Like, None, "x".to_owned());
        let mut node = db.node(0, "price", &["id"]);
        node.conditions = vec![Condition::All(vec![
            test(db.col(0, "price", "txt"), like),
            number(Operator::Lt, "10.00001"),
            number(Operator::Neq, "9.50001"),
        ])];
        node.orders = vec![Order {
            expr: n(),
            descending: false,
            nulls_first: false,
        }];
        assert_eq!(db.read("anon", node), expect);
    }
}

/// Comparisons find their rows by an index, whatever policies say beside them.
#[test]
fn a_policy_leaves_the_indexes_alone() {
    let mut db = db(
        "create table memo (id integer primary key, owner text, txt text, n integer);
create index memo_owner on memo (owner); create index memo_n on memo (n);",
    );
    db.protect("memo", &[policy("p", Command::Select, MINE, "")]);
    let plan = |conditions: Vec<Condition>| {
        let mut node = db.node(0, "memo", &["id", "txt"]);
        node.conditions = conditions;
        let Work::Read(mut plan) = read(node) else {
            unreachable!()
        };
        plan.preferences.explain = Some(Explain::default());
        db.text("anon", &Work::Read(plan))
    };
    let like = || {
        let pattern = "%x%".to_owned();
        let txt = db.col(0, "memo", "txt");
        test(txt, Test::Compare(Operator::Like, None, pattern))
    };
    let number = "SEARCH _t0 USING INDEX memo_n (n=?)";
    for (conditions, expect) in [
        (vec![like()], "SEARCH _t0 USING INDEX memo_owner (owner=?)"),
        (vec![db.is("memo", "n", "1")], number),
        (vec![like(), db.is("memo", "n", "1")], number),
    ] {
        let plan = plan(conditions);
        assert!(plan.contains(expect), "{plan}");
    }
}

#[test]
fn policies_read_other_tables_as_the_caller() {
    let teams = "exists (select 1 from {member} as \"m\" where \"m\".\"team\" = _t.\"team\" and \"m\".\"name\" = pumice_role())";
    let mut db = db(TABLES);
    db.protect("note", &[policy("p", Command::Select, teams, "")]);
    assert_eq!(
        seen(&db, "anon"),
        "42501 permission denied for table member"
    );
    db.grant("member", "anon", Columns::Some(vec![0]));
    assert_eq!(
        seen(&db, "anon"),
        "42501 permission denied for table member"
    );
    db.grant("member", "anon", Columns::Some(vec![0, 1]));
    db.grant("member", "authenticated", Columns::All);
    assert_eq!(seen(&db, "anon"), "[1,2]");
    assert_eq!(seen(&db, "authenticated"), "[3,4]");
    db.protect(
        "member",
        &[policy("q", Command::Select, "_t.\"team\" = 2", "")],
    );
    assert_eq!(seen(&db, "anon"), "[]");
    assert_eq!(seen(&db, "authenticated"), "[3,4]");
    db.protect("member", &[]);
    assert_eq!(seen(&db, "authenticated"), "[]");
    let back = "exists (select 1 from {note} as \"n\" where \"n\".\"team\" = _t.\"team\")";
    db.grant("note", "anon", Columns::All);
    db.protect("member", &[policy("q", Command::Select, back, "")]);
    assert_eq!(
        seen(&db, "anon"),
        "42P17 infinite recursion detected in policy for relation \"note\""
    );
    assert_eq!(seen(&db, "service_role"), "[1,2,3,4]");
}

/// Policies, what is done, the answer, and the titles left.
#[test]
fn the_matrix_of_writing() {
    let all = |using, check| policy("p", Command::All, using, check);
    let of = |command, using, check| policy("p", command, using, check);
    let select = || of(Command::Select, "true", "");
    let refused = "42501 new row violates row-level security policy for table \"note\"";
    let named = "42501 new row violates row-level security policy \"r\" for table \"note\"";
    let no_x = || restrictive(policy("r", Command::All, "_t.\"title\" <> 'x'", ""));
    let mine = r#"{"id":9,"owner":"anon","title":"n"}"#;
    let theirs = r#"{"id":9,"owner":"authenticated","title":"n"}"#;
    let x = r#"{"id":9,"owner":"anon","title":"x"}"#;
    let taken = r#"{"id":9,"owner":"authenticated","title":"a"}"#;
    let one = "[{\"id\":9}]";
    for (policies, row, answered, expect) in [
        (vec![], mine, false, refused),
        (vec![all(MINE, "")], mine, true, one),
        (vec![all(MINE, "")], theirs, false, refused),
        (vec![all("true", MINE)], theirs, false, refused),
        (vec![of(Command::Insert, "", MINE)], mine, false, "[]"),
        // The answer would show a row that may not be read.
        (vec![of(Command::Insert, "", MINE)], mine, true, refused),
        (
            vec![of(Command::Insert, "", MINE), select()],
            mine,
            true,
            one,
        ),
        (
            vec![of(Command::Insert, "", MINE), select()],
            theirs,
            true,
            refused,
        ),
        (
            vec![of(Command::Update, "true", "true")],
            mine,
            false,
            refused,
        ),
        (vec![all(MINE, ""), no_x()], x, false, named),
        (vec![all(MINE, ""), no_x()], mine, false, "[]"),
        // What a constraint would tell is not told.
        (vec![all(MINE, "")], taken, false, refused),
        (
            vec![all("true", "")],
            taken,
            false,
            "23505 duplicate key value violates unique constraint \"note_title_key\"",
        ),
    ] {
        let mut db = db(TABLES);
        db.protect("note", &policies);
        let answer = match answered {
            true => db.answer("note", &["id"]),
            false => number_only(),
        };
        let work = db.insert("note", &[row], answer);
        assert_eq!(db.text("anon", &work), expect, "{policies:?} {row}");
        let left = db.sql(TITLES);
        assert_eq!(left.len() > 4, expect.starts_with('['), "{left}");
    }
    for (policies, cells, by, expect, left) in [
        (vec![], r#"{"title":"n"}"#, None, "0", "abcd"),
        (vec![all(MINE, "")], r#"{"team":7}"#, None, "1", "abcd"),
        (
            vec![all(MINE, "")],
            r#"{"title":"n"}"#,
            Some("2"),
            "0",
            "abcd",
        ),
        (
            vec![all(MINE, "")],
            r#"{"title":"n"}"#,
            Some("1"),
            "1",
            "nbcd",
        ),
        (
            vec![all(MINE, "")],
            r#"{"owner":"x"}"#,
            None,
            refused,
            "abcd",
        ),
        (
            vec![all(MINE, "true")],
            r#"{"owner":"x","title":"n"}"#,
            None,
            "1",
            "nbcd",
        ),
        // Read back by its filter it would not be seen any more.
        (
            vec![all(MINE, "true")],
            r#"{"owner":"x"}"#,
            Some("1"),
            refused,
            "abcd",
        ),
        (
            vec![of(Command::Update, "true", "true")],
            r#"{"title":"n"}"#,
            Some("1"),
            "0",
            "abcd",
        ),
        (
            vec![of(Command::Update, "true", "true"), select()],
            r#"{"title":"n"}"#,
            Some("1"),
            "1",
            "nbcd",
        ),
        (vec![select()], r#"{"title":"n"}"#, Some("1"), "0", "abcd"),
        (
            vec![all(MINE, ""), no_x()],
            r#"{"title":"x"}"#,
            Some("1"),
            named,
            "abcd",
        ),
        (
            vec![all(MINE, "")],
            r#"{"owner":"x","title":"b"}"#,
            Some("1"),
            refused,
            "abcd",
        ),
        (
            vec![all(MINE, "")],
            r#"{"title":"b"}"#,
            Some("1"),
            "23505 duplicate key value violates unique constraint \"note_title_key\"",
            "abcd",
        ),
    ] {
        let mut db = db(TABLES);
        db.protect("note", &policies);
        let conditions = by.map(|id| db.is("note", "id", id)).into_iter().collect();
        let work = db.update("note", cells, conditions, number_only());
        let done = db.run("anon", &work);
        let done = done.map_or_else(|error| error, |rows| rows.count.to_string());
        assert_eq!(done, expect, "{policies:?} {cells}");
        assert_eq!(db.sql(TITLES), left);
    }
    for (policies, by, expect, left) in [
        (vec![], None, "0", "abcd"),
        (vec![all(MINE, "")], None, "1", "bcd"),
        (vec![all(MINE, "")], Some("2"), "0", "abcd"),
        (vec![of(Command::Delete, MINE, "")], None, "1", "bcd"),
        (vec![of(Command::Delete, MINE, "")], Some("1"), "0", "abcd"),
        (
            vec![of(Command::Delete, MINE, ""), select()],
            Some("1"),
            "1",
            "bcd",
        ),
        (
            vec![
                of(Command::Delete, "true", ""),
                of(Command::Select, MINE, ""),
            ],
            Some("3"),
            "0",
            "abcd",
        ),
        (vec![select()], None, "0", "abcd"),
    ] {
        let mut db = db(TABLES);
        db.protect("note", &policies);
        let conditions = by.map(|id| db.is("note", "id", id)).into_iter().collect();
        let work = db.delete("note", conditions, number_only());
        assert_eq!(db.run("anon", &work).unwrap().count.to_string(), expect);
        assert_eq!(db.sql(TITLES), left, "{policies:?}");
    }
}

#[test]
fn upserts_meet_the_policies_of_both() {
    let using =
        "42501 new row violates row-level security policy (USING expression) for table \"note\"";
    let refused = "42501 new row violates row-level security policy for table \"note\"";
    let all = |using, check| policy("p", Command::All, using, check);
    for (policies, row, expect) in [
        (
            vec![all(MINE, "")],
            r#"{"id":1,"owner":"anon","title":"n"}"#,
            "0 nbcd",
        ),
        (
            vec![all(MINE, "")],
            r#"{"id":9,"owner":"anon","title":"n"}"#,
            "1 abcdn",
        ),
        (
            vec![all(MINE, "")],
            r#"{"id":2,"owner":"anon","title":"n"}"#,
            using,
        ),
        (
            vec![all(MINE, "")],
            r#"{"id":1,"owner":"x","title":"n"}"#,
            refused,
        ),
        (
            vec![all(MINE, "")],
            r#"{"id":9,"owner":"x","title":"n"}"#,
            refused,
        ),
        (
            vec![
                policy("i", Command::Insert, "", "true"),
                policy("s", Command::Select, "true", ""),
            ],
            r#"{"id":1,"owner":"anon","title":"n"}"#,
            using,
        ),
        (
            vec![
                policy("i", Command::Insert, "", "true"),
                policy("s", Command::Select, "true", ""),
                policy("u", Command::Update, "true", "_t.\"title\" = 'm'"),
            ],
            r#"{"id":1,"owner":"anon","title":"n"}"#,
            refused,
        ),
    ] {
        let mut db = db(TABLES);
        db.protect("note", &policies);
        let Work::Insert(mut plan) = db.insert("note", &[row], number_only()) else {
            unreachable!()
        };
        plan.conflict = Some(ConflictPlan {
            on: vec![0],
            merge: true,
        });
        let done = match db.run("anon", &Work::Insert(plan)) {
            Ok(rows) => format!("{} {}", rows.inserted.unwrap(), db.sql(TITLES)),
            Err(error) => error,
        };
        assert_eq!(done, expect, "{policies:?} {row}");
    }
}

fn view(db: &mut Db, invoker: bool) {
    let note = db.table("note");
    let mut view = (*note).clone();
    view.name = crate::data::Name::of_catalog("firsts");
    view.columns.truncate(3);
    for column in &mut view.columns {
        column.source = Some(Shown {
            schema: "public".into(),
            table: "note".into(),
            column: column.name.as_str().to_owned(),
        });
    }
    view.columns[1].name = crate::data::Name::of_catalog("who");
    view.policies = None;
    view.kind = Kind::View(View {
        insertable: true,
        updatable: true,
        deletable: true,
        definition: Some(template(
            "select \"n\".\"id\", \"n\".\"owner\" as \"who\", \"n\".\"team\" from {note} as \"n\" where \"n\".\"team\" = 1",
        )),
        invoker,
        closed: None,
    });
    db.schema.add(view);
}

#[test]
fn views_are_read_and_written_through() {
    let mut db = db(TABLES);
    db.grant("note", "anon", Columns::All);
    db.protect("note", &[policy("p", Command::All, MINE, "")]);
    view(&mut db, true);
    let rows = |db: &Db, role: &str| db.read(role, db.node(0, "firsts", &["id", "who"]));
    assert_eq!(rows(&db, "anon"), "[{\"id\":1,\"who\":\"anon\"}]");
    assert_eq!(
        rows(&db, "authenticated"),
        "42501 permission denied for table note"
    );
    let answer = |db: &Db| db.answer("firsts", &["id", "who"]);
    let all = db.update("firsts", r#"{"team":2}"#, vec![], answer(&db));
    assert_eq!(db.text("anon", &all), "[{\"id\":1,\"who\":\"anon\"}]");
    // It is not shown any more.
    assert_eq!(db.text("anon", &all), "[]");
    let new = db.insert("firsts", &[r#"{"id":8,"who":"anon"}"#], answer(&db));
    assert_eq!(db.text("anon", &new), "[{\"id\":8,\"who\":\"anon\"}]");
    assert_eq!(
        db.text("authenticated", &new),
        "42501 permission denied for table note"
    );

    view(&mut db, false);
    assert_eq!(
        rows(&db, "authenticated"),
        "[{\"id\":2,\"who\":\"authenticated\"}]"
    );
    let mine = db.is("firsts", "who", "authenticated");
    let gone = db.delete("firsts", vec![mine], answer(&db));
    assert_eq!(
        db.text("anon", &gone),
        "[{\"id\":2,\"who\":\"authenticated\"}]"
    );
    assert_eq!(db.sql("select group_concat(id) from note"), "1,3,4,8");
}

/// What a view makes of a column is all that is told of it.
#[test]
fn a_masked_column_stays_masked() {
    let mut db = db(
        "create table person (id integer primary key, note text, ssn text, owner text);
insert into person values (1, 'n', '123-45-6789', 'anon'), (2, 'm', '9', 'boss');
-- pumice: open
create view masked as select id, note, '***' as ssn, length(ssn) as size from person where owner = 'anon';",
    );
    db.grant("masked", "anon", Columns::All);
    let all = || db.answer("masked", &["id", "ssn", "size"]);
    let note = |conditions| db.update("masked", r#"{"note":"x"}"#, conditions, all());
    let told = r#"[{"id":1,"ssn":"***","size":11}]"#;
    assert_eq!(db.text("anon", &note(vec![])), told);
    for (column, literal, expect) in [
        ("ssn", "123-45-6789", "[]"),
        ("ssn", "***", told),
        ("size", "11", told),
        ("size", "1", "[]"),
    ] {
        let work = note(vec![db.is("masked", column, literal)]);
        assert_eq!(db.text("anon", &work), expect, "{column} {literal}");
    }
    let new = r#"{"id":3,"note":"n"}"#;
    let work = db.insert("masked", &[new], db.answer("masked", &["id", "note"]));
    assert_eq!(db.text("anon", &work), r#"[{"id":3,"note":"n"}]"#);
    // It does not show this one, and so makes nothing of it.
    let work = db.insert("masked", &[r#"{"id":4}"#], all());
    let nothing = r#"[{"id":4,"ssn":null,"size":null}]"#;
    assert_eq!(db.text("anon", &work), nothing);
    let none = db.delete("masked", vec![db.is("masked", "ssn", "123-45-6789")], all());
    assert_eq!(db.text("anon", &none), "[]");
    let gone = db.delete("masked", vec![db.is("masked", "ssn", "***")], all());
    assert_eq!(db.text("anon", &gone), told);
    assert_eq!(db.sql("select group_concat(id) from person"), "2,3,4");
}

/// A view that asks as its caller does so inside of one that does not.
#[test]
fn a_view_inside_another_asks_as_it_says() {
    let mut db = db(
        "create table doc (id integer primary key, owner text, n integer);
insert into doc values (1, 'anon', 1), (2, 'boss', 2);
create view inner_doc as select id, owner, n from doc;
-- pumice: open
create view outer_doc as select id, n from inner_doc;
-- pumice: open
create view owner_doc as select id, n from doc;
create view asking as select id, n from owner_doc;",
    );
    let read = |db: &Db, view: &str| db.read("anon", db.node(0, view, &["id"]));
    assert_eq!(
        read(&db, "outer_doc"),
        "42501 permission denied for table doc"
    );
    let mine = "_t.\"owner\" = pumice_role()";
    db.protect("doc", &[policy("p", Command::All, mine, "")]);
    db.grant("doc", "anon", Columns::All);
    db.grant("owner_doc", "anon", Columns::All);
    assert_eq!(read(&db, "outer_doc"), r#"[{"id":1}]"#);
    assert_eq!(read(&db, "asking"), r#"[{"id":1},{"id":2}]"#);
    let change = |view: &str| {
        let work = db.update(view, r#"{"n":5}"#, vec![], db.answer(view, &["id"]));
        db.text("anon", &work)
    };
    assert_eq!(change("outer_doc"), r#"[{"id":1}]"#);
    let gone = db.delete("outer_doc", vec![], db.answer("outer_doc", &["id"]));
    assert_eq!(db.text("anon", &gone), r#"[{"id":1}]"#);
    assert_eq!(db.sql("select id from doc"), "2");
}
