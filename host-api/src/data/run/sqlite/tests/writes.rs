//! Inserts, upserts, updates and deletes, and what they answer.

use super::*;
use crate::data::plan::ConflictPlan;
use crate::data::query::{Count, Format};

const TABLES: &str = "create table item (id integer primary key, code text unique, n integer not null default 7, price numeric(6,2) default 1.50, double integer generated always as (n * 2) stored);
create table part (id integer primary key, item_id integer references item (id) on delete cascade);
insert into item (id, code, n) values (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
insert into part values (1, 1), (2, 1);";

const ALL: &str =
    "select group_concat(id || coalesce(code, '-') || n, ' ' order by rowid) from item";

fn merge(work: Work, on: usize, merge: bool) -> Work {
    match work {
        Work::Insert(mut plan) => {
            plan.conflict = Some(ConflictPlan {
                on: vec![on],
                merge,
            });
            Work::Insert(plan)
        }
        other => other,
    }
}

fn wanting(mut work: Work, change: impl FnOnce(&mut Preferences)) -> Work {
    match &mut work {
        Work::Insert(plan) => change(&mut plan.answer.preferences),
        Work::Update(plan) => change(&mut plan.answer.preferences),
        Work::Delete(plan) => change(&mut plan.answer.preferences),
        _ => {}
    }
    work
}

/// An answer with the parts of each item, which `returning` cannot give.
fn with_parts(db: &Db) -> Answering {
    let mut answer = db.answer("item", &["id"]);
    let mut parts = db.node(1, "part", &["id"]);
    parts.conditions = vec![Condition::Same(
        db.col(1, "part", "item_id"),
        db.col(0, "item", "id"),
    )];
    if let Some(node) = &mut answer.node {
        node.outputs.push(Output {
            key: "parts".into(),
            expr: Expr::Many(Box::new(parts)),
        });
    }
    answer
}

#[test]
fn rows_are_added() {
    for (rows, expect) in [
        (
            vec![r#"{"id":9,"code":"x","n":4}"#],
            r#"[{"id":9,"code":"x","n":4,"price":1.50,"double":8}]"#,
        ),
        (
            vec![r#"{"id":9,"code":"it's","price":"2"}"#],
            r#"[{"id":9,"code":"it's","n":7,"price":2.00,"double":14}]"#,
        ),
        (
            vec![r#"{"id":9,"n":"DEFAULT","price":"DEFAULT"}"#],
            r#"[{"id":9,"code":null,"n":7,"price":1.50,"double":14}]"#,
        ),
        (
            vec![r#"{"id":8,"n":5}"#, r#"{"id":9,"n":"DEFAULT"}"#],
            r#"[{"id":8,"code":null,"n":5,"price":1.50,"double":10},{"id":9,"code":null,"n":7,"price":1.50,"double":14}]"#,
        ),
        (
            vec![r#"{"id":9,"n":null}"#],
            "23502 null value in column \"n\" of relation \"item\" violates not-null constraint",
        ),
        (
            vec![r#"{"id":null}"#],
            "23502 null value in column \"id\" of relation \"item\" violates not-null constraint",
        ),
        (
            vec![r#"{"id":9,"double":1}"#],
            "428C9 cannot insert a non-DEFAULT value into column \"double\"",
        ),
        (
            vec![r#"{"id":8}"#, r#"{"id":1}"#],
            "23505 duplicate key value violates unique constraint \"item_pkey\"",
        ),
        (
            vec![r#"{"id":9,"n":"'; drop table item; --"}"#],
            "22P02 invalid input syntax for type integer: \"'; drop table item; --\"",
        ),
    ] {
        let db = db(TABLES);
        let answer = db.answer("item", &["id", "code", "n", "price", "double"]);
        assert_eq!(db.text("anon", &db.insert("item", &rows, answer)), expect);
        let left = db.sql("select count(*) from item");
        assert_eq!(left == "3", !expect.starts_with('['), "{expect}");
    }
}

#[test]
fn upserts_tell_new_rows() {
    for (on, merges, rows, expect, left) in [
        (
            0,
            true,
            vec![r#"{"id":1,"n":9}"#, r#"{"id":4,"n":4}"#],
            "2/1",
            "1a9 2b2 3c3 4-4",
        ),
        (
            1,
            true,
            vec![r#"{"id":9,"code":"b","n":5}"#],
            "1/0",
            "1a1 9b5 3c3",
        ),
        (
            1,
            true,
            vec![r#"{"id":9,"code":null,"n":5}"#],
            "1/1",
            "1a1 2b2 3c3 9-5",
        ),
        (
            0,
            false,
            vec![r#"{"id":1,"n":9}"#, r#"{"id":4,"n":4}"#],
            "1/1",
            "1a1 2b2 3c3 4-4",
        ),
        (
            0,
            true,
            vec![r#"{"id":1,"n":"DEFAULT"}"#],
            "1/0",
            "1a7 2b2 3c3",
        ),
        (
            0,
            true,
            vec![r#"{"id":1,"n":5}"#, r#"{"id":1,"n":6}"#],
            "21000 ON CONFLICT DO UPDATE command cannot affect row a second time",
            "1a1 2b2 3c3",
        ),
        (
            2,
            true,
            vec![r#"{"id":1,"n":5}"#],
            "42P10 there is no unique or exclusion constraint matching the ON CONFLICT specification",
            "1a1 2b2 3c3",
        ),
    ] {
        let db = db(TABLES);
        let work = merge(db.insert("item", &rows, number_only()), on, merges);
        let done = match db.run("anon", &work) {
            Ok(rows) => format!("{}/{}", rows.count, rows.inserted.unwrap()),
            Err(error) => error,
        };
        assert_eq!(done, expect);
        assert_eq!(db.sql(ALL), left, "{rows:?}");
    }
}

#[test]
fn rows_are_changed_and_answered() {
    for (cells, by, expect) in [
        (r#"{"n":9}"#, "2", r#"[{"id":2,"n":9}]"#),
        // Answered though its filter does not find it any more.
        (r#"{"id":9}"#, "2", r#"[{"id":9,"n":2}]"#),
        (r#"{"n":"DEFAULT"}"#, "1", r#"[{"id":1,"n":7}]"#),
        (r#"{"n":9}"#, "77", "[]"),
        (
            r#"{"n":null}"#,
            "1",
            "23502 null value in column \"n\" of relation \"item\" violates not-null constraint",
        ),
        (
            r#"{"double":1}"#,
            "1",
            "428C9 column \"double\" can only be updated to DEFAULT",
        ),
        (
            r#"{"code":"b"}"#,
            "1",
            "23505 duplicate key value violates unique constraint \"item_code_key\"",
        ),
    ] {
        let db = db(TABLES);
        let condition = vec![db.is("item", "id", by)];
        let work = db.update("item", cells, condition, db.answer("item", &["id", "n"]));
        assert_eq!(db.text("anon", &work), expect, "{cells}");
    }
    let db = db(TABLES);
    let by = || vec![db.is("item", "id", "1")];
    let parts = r#"[{"id":1,"parts":[{"id":1},{"id":2}]}]"#;
    let update = db.update("item", r#"{"n":9}"#, by(), with_parts(&db));
    assert_eq!(db.text("anon", &update), parts);
    let insert = db.insert("item", &[r#"{"id":9}"#, r#"{"id":8}"#], with_parts(&db));
    assert_eq!(
        db.text("anon", &insert),
        r#"[{"id":9,"parts":[]},{"id":8,"parts":[]}]"#
    );
    // Read before it is gone.
    let delete = db.delete("item", by(), with_parts(&db));
    assert_eq!(db.text("anon", &delete), parts);
    assert_eq!(db.sql("select count(*) from part"), "0");
    assert_eq!(db.sql(ALL), "2b2 3c3 9-7 8-7");
}

#[test]
fn preferences_of_writes() {
    let db = db(TABLES);
    let update = || db.update("item", r#"{"n":9}"#, vec![], number_only());
    let delete = || db.delete("item", vec![], db.answer("item", &["id"]));
    let insert = || db.insert("item", &[r#"{"id":9}"#], db.answer("item", &["id"]));
    let most = |max| move |p: &mut Preferences| p.max_affected = Some(max);
    assert_eq!(
        db.text("anon", &wanting(update(), most(2))),
        "PGRST124 Query result exceeds max-affected preference constraint"
    );
    assert_eq!(
        db.text("anon", &wanting(delete(), |p| p.single = true)),
        "PGRST116 Cannot coerce the result to a single JSON object"
    );
    for work in [insert(), delete(), wanting(update(), most(3))] {
        let undone = wanting(work, |p| p.rollback = true);
        assert!(db.run("anon", &undone).unwrap().count > 0);
    }
    let undone = wanting(delete(), |p| {
        p.rollback = true;
        p.format = Format::Csv;
        p.count = Some(Count::Exact);
    });
    let rows = db.run("anon", &undone).unwrap();
    assert_eq!(rows.body, b"id\n1\n2\n3");
    assert_eq!((rows.count, rows.total), (3, Some(3)));
    let planned = wanting(update(), |p| p.explain = Some(Explain::default()));
    assert_eq!(db.text("anon", &planned), "SCAN _t0");
    assert_eq!(db.sql(ALL), "1a1 2b2 3c3");
    assert_eq!(
        db.run("anon", &wanting(update(), most(3))).unwrap().count,
        3
    );
    assert_eq!(db.sql(ALL), "1a9 2b9 3c9");
}

#[test]
fn judged_rows_are_written_as_they_were_seen() {
    let mut db = db(TABLES);
    let table = db.table("item");
    let old = |db: &Db, role: &str, id: &str| {
        let table = db.table("item");
        let conditions = [db.is("item", "id", id)];
        let (connection, schema) = (&db.connection, &db.schema);
        old_rows(
            connection,
            schema,
            &context(role),
            &asked(table, conditions.to_vec(), 5),
        )
        .unwrap()
    };
    let olds = old(&db, "anon", "1");
    assert_eq!(
        olds[0].json,
        r#"{"id":1,"code":"a","n":1,"price":1.50,"double":2}"#
    );
    let change = |db: &Db, olds: Vec<OldRow>| {
        let cells = db.cells("item", r#"{"n":50}"#);
        Work::UpdateRows {
            table: db.table("item"),
            rows: olds.into_iter().map(|old| (old, cells.clone())).collect(),
            met: false,
            answer: with_parts(db),
        }
    };
    let work = change(&db, olds);
    assert_eq!(
        db.text("anon", &work),
        r#"[{"id":1,"parts":[{"id":1},{"id":2}]}]"#
    );
    assert_eq!(
        db.text("anon", &work),
        "40001 could not serialize access due to concurrent update"
    );
    let olds = old(&db, "anon", "1");
    let gone = Work::DeleteRows {
        table: table.clone(),
        rows: olds,
        answer: db.answer("item", &["id"]),
    };
    assert_eq!(db.text("anon", &gone), r#"[{"id":1}]"#);
    let select = policy("s", Command::Select, "_t.\"id\" > 2", "");
    let update = policy("u", Command::Update, "_t.\"n\" > 3", "");
    db.protect("item", &[select, update]);
    assert_eq!(old(&db, "anon", "2").len(), 0);
    // Seen, but not to be changed.
    assert_eq!(old(&db, "anon", "3").len(), 0);
    // An upsert that has met it is told so.
    let mut work = change(&db, old(&db, "service_role", "3"));
    assert_eq!(db.text("anon", &work), "[]");
    if let Work::UpdateRows { met, .. } = &mut work {
        *met = true;
    }
    assert_eq!(
        db.text("anon", &work),
        "42501 new row violates row-level security policy (USING expression) for table \"item\""
    );
    let conditions = Vec::new();
    let table = db.table("item");
    let few = old_rows(
        &db.connection,
        &db.schema,
        &context("service_role"),
        &asked(table.clone(), conditions, 1),
    );
    assert!(matches!(few, Err(DataError::TooLarge(_))));
}

#[test]
fn names_of_rowids_may_be_taken() {
    let db = db(
        "create table r (rowid text primary key, \"OID\" integer); insert into r values ('x', 1);",
    );
    let mut answer = db.answer("r", &["rowid"]);
    if let Some(node) = &mut answer.node {
        node.conditions = vec![Condition::All(vec![])];
    }
    let work = db.insert("r", &[r#"{"rowid":"y"}"#], answer);
    assert_eq!(db.text("anon", &work), r#"[{"rowid":"y"}]"#);
}

fn asked(table: Arc<Table>, conditions: Vec<Condition>, rows_max: usize) -> Asked {
    Asked {
        table,
        conditions,
        command: Command::Update,
        timezone: None,
        rows_max,
    }
}

#[test]
fn a_value_that_should_be_an_array_is_named() {
    let db = db("create table t (id integer primary key, tags text[]);");
    for (tags, hint) in [
        ("5", "See the value of key \"tags\"."),
        (
            r#"[["a","b"],"c"]"#,
            "See the array element [1] of key \"tags\".",
        ),
        (
            r#"[[["a"],["b"]],[["c"],5]]"#,
            "See the array element [1][1] of key \"tags\".",
        ),
    ] {
        let row = format!(r#"{{"id":1,"tags":{tags}}}"#);
        let work = db.insert("t", &[&row], number_only());
        let outcome = run(&db.connection, &db.schema, &context("anon"), &work);
        let Err(DataError::Sql(fault)) = outcome else {
            panic!("{tags} is no array");
        };
        assert_eq!(fault.hint.as_deref(), Some(hint));
    }
}
