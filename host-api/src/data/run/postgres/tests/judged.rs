//! Rows that are judged for somebody who may do little.

use super::*;
use crate::data::plan::UpdatePlan;
use crate::data::run::postgres::old_rows;
use crate::data::run::{Asked, OldRow};
use crate::data::schema::Command;

fn asked(table: &Arc<Table>, command: Command, rows_max: usize) -> Asked {
    Asked {
        table: table.clone(),
        conditions: Vec::new(),
        command,
        timezone: None,
        rows_max,
    }
}

fn shown(olds: &[OldRow]) -> Vec<&str> {
    olds.iter().map(|old| &*old.json).collect()
}

fn delete(table: &Arc<Table>, rows: &[OldRow]) -> Work {
    Work::DeleteRows {
        table: table.clone(),
        rows: rows.to_vec(),
        answer: answer(None),
    }
}

fn update(table: &Arc<Table>, rows: &[OldRow], set: &[(&str, &str)], met: bool) -> Work {
    let cells = cells(table, set);
    Work::UpdateRows {
        table: table.clone(),
        rows: rows
            .iter()
            .map(|old| (old.clone(), cells.clone()))
            .collect(),
        met,
        answer: answer(None),
    }
}

impl Db {
    /// Changes the first row, for good.
    async fn changes(&self, table: &Arc<Table>) {
        let mut tx = self.begin(Role::ServiceRole).await;
        let plan = UpdatePlan {
            table: table.clone(),
            cells: cells(table, &[("owner", "\"other\"")]),
            conditions: vec![is(col(0, table, "a"), "1")],
            answer: answer(None),
        };
        let rows = self.run(&mut tx, Work::Update(plan)).await.unwrap();
        assert_eq!(rows.count, 1);
        tx.commit().await.unwrap();
    }
}

const FIRST: &str = r#"{"a":1,"b":"x'\"","owner":"anon"}"#;
const THIRD: &str = r#"{"a":3,"b":"z","owner":"anon"}"#;

#[tokio::test]
async fn deletes_need_no_right_to_update() {
    let db = db().await;
    let kept = db.table("kept");
    let mut tx = db.begin(Role::Anon).await;
    // Neither what is hidden, nor what is seen and not to be deleted: the limit counts none of it.
    let olds = old_rows(&mut tx, &asked(&kept, Command::Delete, 2)).await;
    let olds = olds.unwrap();
    assert_eq!(shown(&olds), [FIRST, THIRD]);
    // What was found before is forgotten.
    let mut none = asked(&kept, Command::Delete, 2);
    none.conditions = vec![is(col(0, &kept, "a"), "2")];
    assert_eq!(old_rows(&mut tx, &none).await.unwrap().len(), 0);
    none.conditions = vec![is(col(0, &kept, "a"), "3")];
    assert_eq!(shown(&old_rows(&mut tx, &none).await.unwrap()), [THIRD]);
    let many = old_rows(&mut tx, &asked(&kept, Command::Delete, 1)).await;
    assert!(matches!(many, Err(DataError::TooLarge(_))));
    // Whoever is not bound by policies finds them all.
    let mut app = db.begin(Role::ServiceRole).await;
    let all = old_rows(&mut app, &asked(&kept, Command::Delete, 4)).await;
    assert_eq!(all.unwrap().len(), 4);
    app.rollback().await.unwrap();

    tx.savepoint().await.unwrap();
    let gone = db.run(&mut tx, delete(&kept, &olds)).await.unwrap();
    assert_eq!(gone.count, 2);
    let left = node(&kept, 0, &["a"]);
    let left = db.run(&mut tx, read(left, Preferences::default())).await;
    assert_eq!(text(left), r#"[{"a":2}]"#);
    tx.rollback_to().await.unwrap();

    // Its caller is who it was, and may not update.
    tx.savepoint().await.unwrap();
    let work = update(&kept, &olds, &[("owner", "\"x\"")], false);
    assert_eq!(
        text(db.run(&mut tx, work).await),
        "42501 permission denied for table kept"
    );
    tx.rollback_to().await.unwrap();
    // Without the right to delete nothing is found, and that is said.
    for table in ["client", "partly"] {
        tx.savepoint().await.unwrap();
        let asked = asked(&db.table(table), Command::Delete, 5);
        let refused = old_rows(&mut tx, &asked).await;
        assert_eq!(refused.unwrap_err().code(), Some("42501"), "{table}");
        tx.rollback_to().await.unwrap();
    }

    // Somebody else comes between.
    tx.rollback().await.unwrap();
    let mut tx = db.begin(Role::Anon).await;
    db.changes(&kept).await;
    assert!(text(db.run(&mut tx, delete(&kept, &olds)).await).starts_with("40001"));
}

/// While a row is found and before it is read, somebody may change it.
#[tokio::test]
async fn rows_are_read_as_they_were_found() {
    let db = db().await;
    let kept = db.table("kept");
    let mut other = db.begin(Role::ServiceRole).await;
    let hide = Work::Update(UpdatePlan {
        table: kept.clone(),
        cells: cells(&kept, &[("owner", "\"hidden\"")]),
        conditions: vec![is(col(0, &kept, "a"), "1")],
        answer: answer(None),
    });
    assert_eq!(db.run(&mut other, hide).await.unwrap().count, 1);
    let mut tx = db.begin(Role::Anon).await;
    let all = asked(&kept, Command::Delete, 9);
    let reads = old_rows(&mut tx, &all);
    let goes_on = async {
        // Until it waits for the row.
        let waits = "select (exists (select from pg_locks where not granted and pid in (
            select pid from pg_locks where database = (
                select oid from pg_database where datname = current_database()))))::text";
        while other.rows(waits.to_owned(), &[]).await.unwrap() != ["true"] {}
        other.commit().await.unwrap();
    };
    let both = async { tokio::join!(reads, goes_on) };
    let in_time = tokio::time::timeout(Duration::from_secs(20), both).await;
    let (olds, ()) = in_time.expect("it waits for the row");
    assert_eq!(olds.unwrap_err().code(), Some("40001"));
    drop(tx);
    let mut tx = db.begin(Role::Anon).await;
    let olds = old_rows(&mut tx, &all).await.unwrap();
    assert_eq!(shown(&olds), [THIRD]);
}

#[tokio::test]
async fn updates_need_rights_to_their_own_columns() {
    let db = db().await;
    let partly = db.table("partly");
    let mut tx = db.begin(Role::Anon).await;
    // The trigger sees the whole row, of the rows that may be updated.
    let olds = old_rows(&mut tx, &asked(&partly, Command::Update, 5)).await;
    let olds = olds.unwrap();
    let first = r#"{"id":1,"owner":"anon","shown":"a","secret":"s"}"#;
    assert_eq!(shown(&olds), [first]);
    tx.savepoint().await.unwrap();
    let work = update(&partly, &olds, &[("shown", "\"n\"")], false);
    assert_eq!(db.run(&mut tx, work).await.unwrap().count, 1);
    tx.rollback_to().await.unwrap();
    tx.savepoint().await.unwrap();
    let work = update(&partly, &olds, &[("secret", "\"n\"")], false);
    assert!(text(db.run(&mut tx, work).await).starts_with("42501"));
    tx.rollback_to().await.unwrap();

    // An upsert meets what it sees, and is told of what it may not update.
    let olds = old_rows(&mut tx, &asked(&partly, Command::Select, 5)).await;
    let olds = olds.unwrap();
    assert_eq!(olds.len(), 2);
    for (rows, met, expect) in [
        (&olds[..1], true, "[]"),
        (&olds[..], false, "[]"),
        (
            &olds[..],
            true,
            "42501 new row violates row-level security policy (USING expression) for table \"partly\"",
        ),
    ] {
        tx.savepoint().await.unwrap();
        let work = update(&partly, rows, &[("shown", "\"n\"")], met);
        assert_eq!(text(db.run(&mut tx, work).await), expect);
        tx.rollback_to().await.unwrap();
    }
}
