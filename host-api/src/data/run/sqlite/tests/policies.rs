//! Who sees and writes what.

use super::*;
use crate::data::plan::ConflictPlan;
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
