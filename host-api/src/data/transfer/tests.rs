//! What the frozen source refuses, and what types the tables of ours have.

use std::time::Duration;

use super::*;
use crate::data::DataError;
use crate::data::sqlite::{Connection, Options};

const WAIT: Duration = Duration::from_secs(10);

fn file(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::new(folder.path().join("app.db"), Options::default())
}

async fn run(db: &Sqlite, sql: &'static str) -> Result<(), DataError> {
    let job = move |connection: &Connection| Ok(drop(connection.execute(sql, &[])?));
    db.write(Context::default(), WAIT, job).await
}

async fn count(db: &Sqlite) -> i64 {
    let job = |connection: &Connection| {
        let mut count = 0;
        connection.query("select a from t", &[], |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    };
    db.read(Context::default(), WAIT, job).await.unwrap()
}

#[tokio::test]
async fn a_frozen_file_is_read_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let db = file(&folder);
    run(&db, "create table t (a)").await.unwrap();
    // One that has the writer is waited for.
    let session = db.begin_for(Context::default(), WAIT).await.unwrap();
    let freezing = tokio::spawn({
        let db = db.clone();
        async move { db.freeze().await }
    });
    while !db.is_frozen() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(
        run(&db, "insert into t values (0)").await,
        Err(DataError::Moving)
    ));
    assert!(!freezing.is_finished());
    let step =
        |connection: &Connection| Ok(drop(connection.execute("insert into t values (1)", &[])?));
    session.run(step).await.unwrap();
    session.commit().await.unwrap();
    freezing.await.unwrap().unwrap();
    assert_eq!(count(&db).await, 1);
    for refused in [
        db.begin_for(Context::default(), WAIT).await.err(),
        run(&db.clone(), "insert into t values (2)").await.err(),
    ] {
        assert!(matches!(refused, Some(DataError::Moving)), "{refused:?}");
    }
    db.thaw();
    run(&db, "insert into t values (3)").await.unwrap();
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn a_file_whose_data_went_away_says_so_to_every_server() {
    let folder = tempfile::tempdir().unwrap();
    run(&file(&folder), "create table t (a)").await.unwrap();
    file(&folder)
        .mark_moved(Some("elsewhere".to_owned()))
        .await
        .unwrap();
    let db = file(&folder);
    for _ in 0..2 {
        let refused = run(&db, "insert into t values (1)").await;
        assert!(
            matches!(&refused, Err(DataError::Moved(to)) if to == "elsewhere"),
            "{refused:?}"
        );
    }
    assert!(db.begin_for(Context::default(), WAIT).await.is_err());
    assert_eq!(count(&db).await, 0);
    db.mark_moved(None).await.unwrap();
    run(&db, "insert into t values (1)").await.unwrap();
    assert_eq!(count(&db).await, 1);
    // What is not there is not made by looking.
    let none = tempfile::tempdir().unwrap();
    file(&none).mark_moved(None).await.unwrap();
    assert!(!none.path().join("app.db").exists());
}

#[test]
fn types_of_our_own_tables_are_known_by_name() {
    for (format, ty) in [
        ("boolean", Type::Boolean),
        ("numeric(10,2)", Type::Numeric { precision: None }),
        ("timestamp with time zone", Type::Timestamptz),
        ("text[]", Type::Array(Box::new(Type::Text))),
        ("character varying(255)", Type::Text),
        ("jsonb", Type::Jsonb),
        ("inet", Type::Text),
    ] {
        assert_eq!(target::named(format), ty, "{format}");
    }
}
