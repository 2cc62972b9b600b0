//! The engine against real files.

mod connection;
mod errors;
mod guard;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::data::{Value, ValueRef};

const LONG: Duration = Duration::from_secs(20);

struct Db {
    db: Sqlite,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for Db {
    type Target = Sqlite;

    fn deref(&self) -> &Sqlite {
        &self.db
    }
}

/// A group lasts however slow the machine is.
fn options() -> Options {
    Options {
        group_work: LONG,
        ..Options::default()
    }
}

async fn db(schema: &'static str) -> Db {
    db_with(schema, options()).await
}

async fn db_with(schema: &'static str, options: Options) -> Db {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::new(folder.path().join("app.db"), options);
    db.write(Context::default(), LONG, move |c| {
        c.script(schema).map_err(|(_, error)| error.into())
    })
    .await
    .unwrap();
    Db {
        db,
        _folder: folder,
    }
}

/// All rows as text: values by `|`, rows by `;`.
fn rows(c: &Connection, sql: &str) -> Result<String, DataError> {
    let mut out = Vec::new();
    c.query(sql, &[], |row| {
        out.push(line(&row));
        Ok(())
    })?;
    Ok(out.join(";"))
}

fn line(row: &Row<'_>) -> String {
    let values: Vec<String> = (0..row.len())
        .map(|i| match row.get(i) {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(value) => value.to_string(),
            ValueRef::Real(value) => value.to_string(),
            ValueRef::Text(text) => text.to_owned(),
            ValueRef::Blob(blob) => format!("{blob:?}"),
        })
        .collect();
    values.join("|")
}

impl Db {
    async fn rows(&self, sql: &'static str) -> String {
        self.read(Context::default(), LONG, move |c| rows(c, sql))
            .await
            .unwrap()
    }

    async fn run(&self, sql: &'static str) -> Result<u64, DataError> {
        self.write(Context::default(), LONG, move |c| {
            Ok(c.execute(sql, &[])?.rows)
        })
        .await
    }

    /// Holds the writer until the returned sender is dropped, so that what is written meanwhile is
    /// one group.
    async fn hold(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        let db = self.db.clone();
        tokio::spawn(async move {
            let job = move |_: &Connection| {
                if let Some(started) = started.take() {
                    started.send(()).unwrap();
                }
                let _ = released.recv();
                Ok(())
            };
            db.write(Context::default(), LONG, job).await
        });
        running.await.unwrap();
        release
    }
}

fn code(outcome: Result<impl Sized, DataError>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(DataError::Sql(fault)) => format!("{} {}", fault.code, fault.message),
        Err(error) => format!("{error:?}"),
    }
}

fn open(folder: &tempfile::TempDir) -> Connection {
    let open = Open {
        mode: Mode::Writer,
        durable: false,
        cache_kib: 1024,
        busy_timeout: Duration::ZERO,
    };
    Connection::open(&folder.path().join("one.db"), open).unwrap()
}

const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

#[tokio::test]
async fn jobs_of_a_group_share_a_commit_and_fail_alone() {
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let options = Options {
        setup: Some(Arc::new(move |c: &Connection| {
            let counted = Arc::clone(&counted);
            c.on_commit(move || counted.fetch_add(1, Ordering::SeqCst) < usize::MAX);
            Ok(())
        })),
        ..options()
    };
    let db = db_with("create table t (id integer primary key, v text)", options).await;
    let before = commits.load(Ordering::SeqCst);
    let release = db.hold().await;
    let writes = futures_util::future::join_all((0..10).map(|i: i64| {
        db.write(Context::default(), LONG, move |c| {
            c.execute("insert into t values (?1, 'a')", &[Value::Integer(i)])?;
            match i {
                3 => Err(DataError::sql("P0001", "no")),
                5 => panic!("oh"),
                7 => Ok(c.execute("insert into t values (1, 'again')", &[])?.rows),
                _ => Ok(1),
            }
        })
    }));
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (writes, ()) = tokio::join!(writes, free);
    let got: Vec<String> = writes.into_iter().map(code).collect();
    assert_eq!(commits.load(Ordering::SeqCst) - before, 1);
    assert_eq!(got[3], "P0001 no");
    assert_eq!(got[5], "Internal(\"panic: oh\")");
    assert!(got[7].starts_with("23505 "), "{}", got[7]);
    assert_eq!(got.iter().filter(|g| *g == "ok").count(), 7);
    assert_eq!(
        db.rows("select group_concat(id) from t").await,
        "0,1,2,4,6,8,9"
    );
}

#[tokio::test]
async fn a_job_that_undoes_the_whole_transaction_fails_alone() {
    let db = db("create table t (id integer primary key on conflict rollback, runs int)").await;
    let release = db.hold().await;
    let runs: Arc<[AtomicUsize; 4]> = Arc::default();
    let writes = futures_util::future::join_all((0..4).map(|i| {
        let runs = Arc::clone(&runs);
        db.write(Context::default(), LONG, move |c| {
            runs[i].fetch_add(1, Ordering::SeqCst);
            let id = if i == 2 { 0 } else { i as i64 };
            c.execute("insert into t values (?1, 0)", &[Value::Integer(id)])?;
            Ok(())
        })
    }));
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (writes, ()) = tokio::join!(writes, free);
    let got: Vec<String> = writes.into_iter().map(code).collect();
    assert_eq!((got[0].as_str(), got[1].as_str()), ("ok", "ok"));
    assert!(got[2].starts_with("23505 "), "{}", got[2]);
    assert_eq!(got[3], "ok");
    let runs: Vec<usize> = runs.iter().map(|r| r.load(Ordering::SeqCst)).collect();
    assert_eq!(runs, [2, 2, 1, 1], "the two before the culprit ran again");
    assert_eq!(db.rows("select group_concat(id) from t").await, "0,1,3");
}

#[tokio::test]
async fn after_a_failed_commit_each_job_runs_alone() {
    // COMMIT of a transaction in which the hook is armed fails, whoever else is in it.
    let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let refuse = Arc::clone(&armed);
    let options = Options {
        setup: Some(Arc::new(move |c: &Connection| {
            let refuse = Arc::clone(&refuse);
            c.on_commit(move || !refuse.swap(false, Ordering::SeqCst));
            Ok(())
        })),
        ..options()
    };
    let db = db_with("create table t (id integer primary key, v text)", options).await;
    let release = db.hold().await;
    let runs: Arc<[AtomicUsize; 4]> = Arc::default();
    let writes = futures_util::future::join_all((0..4).map(|i| {
        let (runs, armed) = (Arc::clone(&runs), Arc::clone(&armed));
        db.write(Context::default(), LONG, move |c| {
            let run = runs[i].fetch_add(1, Ordering::SeqCst);
            // The third fails the commit of every transaction it is in.
            if i == 2 {
                armed.store(true, Ordering::SeqCst);
            }
            let id = if i == 3 { 0 } else { i as i64 };
            c.execute(
                "insert into t values (?1, ?2)",
                &[Value::Integer(id), Value::Integer(run as i64)],
            )?;
            Ok(())
        })
    }));
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (writes, ()) = tokio::join!(writes, free);
    let got: Vec<String> = writes.into_iter().map(code).collect();
    assert_eq!((got[0].as_str(), got[1].as_str()), ("ok", "ok"));
    assert!(got[2].starts_with("23000 "), "{}", got[2]);
    assert!(got[3].starts_with("23505 "), "{}", got[3]);
    let runs: Vec<usize> = runs.iter().map(|r| r.load(Ordering::SeqCst)).collect();
    assert_eq!(
        runs, [2; 4],
        "what failed had seen rows that were not there: it ran again too"
    );
    assert_eq!(db.rows("select * from t").await, "0|1;1|1");
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_that_is_lost() {
    let options = Options {
        setup: Some(Arc::new(|c: &Connection| {
            c.query("pragma max_page_count = 40", &[], |_| Ok(()))?;
            Ok(())
        })),
        ..options()
    };
    let db = db_with("create table t (id integer primary key, v blob)", options).await;
    let release = db.hold().await;
    let writes = futures_util::future::join_all((0..20).map(|i: i64| {
        db.write(Context::default(), LONG, move |c| {
            let size = if i == 7 { 1_000_000 } else { 10_000 };
            Ok(c.execute(
                "insert into t values (?1, zeroblob(?2))",
                &[Value::Integer(i), Value::Integer(size)],
            )?)
        })
    }));
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (writes, ()) = tokio::join!(writes, free);
    let full = "53100 could not extend file: No space left on device";
    let got: Vec<String> = writes.into_iter().map(code).collect();
    assert_eq!(got[7], full);
    let mut kept = Vec::new();
    for (i, got) in got.iter().enumerate() {
        match got.as_str() {
            "ok" => kept.push(i.to_string()),
            got => assert_eq!(got, full),
        }
    }
    let ids = "select coalesce(group_concat(id), '') from t";
    assert_eq!(db.rows(ids).await, kept.join(","));
    // The database lives on.
    db.run("delete from t").await.unwrap();
    db.run("insert into t values (100, x'00')").await.unwrap();
    assert_eq!(db.rows(ids).await, "100");
}

#[tokio::test]
async fn deferred_foreign_keys_are_checked_per_job() {
    let db = db("create table p (id integer primary key);
        create table c (id integer primary key, p integer references p deferrable initially deferred)")
    .await;
    let release = db.hold().await;
    let bad = db.run("insert into c values (1, 7)");
    let good = db.write(Context::default(), LONG, |c| {
        c.execute("insert into c values (2, 8)", &[])?;
        c.execute("insert into p values (8)", &[])?;
        Ok(())
    });
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (bad, good, ()) = tokio::join!(bad, good, free);
    assert_eq!(
        code(bad),
        "23503 insert or update on table \"c\" violates foreign key constraint"
    );
    good.unwrap();
    assert_eq!(db.rows("select * from c").await, "2|8");
}

#[tokio::test]
async fn a_session_has_the_writer_for_itself() {
    let db = db("create table t (id integer primary key)").await;
    let session = db
        .begin(Context::default(), Instant::now() + LONG)
        .await
        .unwrap();
    let insert = |id: i64| {
        move |c: &Connection| Ok(c.execute("insert into t values (?1)", &[Value::Integer(id)])?)
    };
    session.run(insert(1)).await.unwrap();
    assert!(code(session.run(insert(1)).await).starts_with("23505 "));
    session.run(insert(2)).await.unwrap();
    let context = Context {
        role: "anon".into(),
        claims: "{\"sub\": 1}".into(),
        depth: 3,
        request: None,
    };
    session.set_context(context).await.unwrap();
    let seen = session
        .run(|c| rows(c, "select pumice_role(), pumice_claims(), pumice_depth()"))
        .await
        .unwrap();
    assert_eq!(seen, "anon|{\"sub\": 1}|3");
    let mut beside = std::pin::pin!(db.run("insert into t values (9)"));
    assert!(futures_util::poll!(&mut beside).is_pending());
    assert_eq!(db.rows("select count(*) from t").await, "0");
    session.commit().await.unwrap();
    beside.await.unwrap();
    assert_eq!(db.rows("select group_concat(id) from t").await, "1,2,9");

    let session = db
        .begin(Context::default(), Instant::now() + LONG)
        .await
        .unwrap();
    session.run(insert(10)).await.unwrap();
    session.rollback().await;
    let session = db
        .begin(Context::default(), Instant::now() + LONG)
        .await
        .unwrap();
    session.run(insert(11)).await.unwrap();
    drop(session);
    db.run("insert into t values (12)").await.unwrap();
    assert_eq!(db.rows("select group_concat(id) from t").await, "1,2,9,12");
}

#[tokio::test]
async fn a_session_ends_at_its_deadline() {
    let db = db("create table t (id integer primary key)").await;
    let session = db
        .begin(
            Context::default(),
            Instant::now() + Duration::from_millis(100),
        )
        .await
        .unwrap();
    session
        .run(|c| Ok(c.execute("insert into t values (1)", &[])?))
        .await
        .unwrap();
    let endless = session.run(|c| rows(c, ENDLESS)).await;
    assert_eq!(
        code(endless),
        "57014 canceling statement due to statement timeout"
    );
    // The writer is free again only once the session is over.
    db.run("insert into t values (2)").await.unwrap();
    let late = session.run(|c| rows(c, "select 1")).await;
    assert!(matches!(late, Err(DataError::TransactionEnded)), "{late:?}");
    let late = session.commit().await;
    assert!(matches!(late, Err(DataError::TransactionEnded)), "{late:?}");
    assert_eq!(db.rows("select * from t").await, "2");
}

#[tokio::test]
async fn a_long_read_moves_off_the_thread() {
    let db = db("create table t (id integer)").await;
    db.rows("select 1").await;
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&threads);
    let count = db
        .read(Context::default(), LONG, move |c| {
            seen.lock().push(std::thread::current().id());
            rows(
                c,
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
                 select count(*), pumice_depth() from n",
            )
        })
        .await
        .unwrap();
    assert_eq!(count, "200000|0");
    let threads = std::mem::take(&mut *threads.lock());
    assert_eq!(threads.len(), 2);
    assert_eq!(threads[0], std::thread::current().id());
    assert_ne!(threads[1], threads[0]);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    db.read(Context::default(), LONG, move |c| {
        counted.fetch_add(1, Ordering::SeqCst);
        rows(c, "select 1")
    })
    .await
    .unwrap();
    assert_eq!(
        runs.load(Ordering::SeqCst),
        1,
        "a short one runs once, in place"
    );
}

#[tokio::test]
async fn a_read_that_spends_its_time_in_functions_moves_off_the_thread() {
    // Each call takes a while and is a few steps only.
    let setup: Setup = Arc::new(|connection| {
        connection.function("spin", 1, false, |_| {
            let until = Instant::now() + Duration::from_micros(100);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            Ok(Value::Integer(1))
        })
    });
    let options = Options {
        setup: Some(setup),
        ..options()
    };
    let db = db_with("create table t (id integer)", options).await;
    db.rows("select 1").await;
    for (sql, expect) in [
        (
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200)
             select sum(spin(i)) from n",
            "200",
        ),
        // One call alone may take long over a long text.
        (
            "select length(replace(hex(zeroblob(100000)), '00', '1'))",
            "100000",
        ),
    ] {
        let threads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&threads);
        let read = db.read(Context::default(), LONG, move |c| {
            seen.lock().push(std::thread::current().id());
            rows(c, sql)
        });
        assert_eq!(read.await.unwrap(), expect);
        assert_eq!(threads.lock().len(), 2, "{sql}");
    }
    let late = db.read(Context::default(), Duration::from_millis(20), |c| {
        rows(
            c,
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
             select sum(spin(i)) from n",
        )
    });
    assert_eq!(
        code(late.await),
        "57014 canceling statement due to statement timeout"
    );
}

#[tokio::test]
async fn statements_end_at_their_timeout() {
    let db = db("create table t (id integer primary key)").await;
    let timeout = "57014 canceling statement due to statement timeout";
    let short = Duration::from_millis(20);
    let read = db.read(Context::default(), short, |c| rows(c, ENDLESS));
    assert_eq!(code(read.await), timeout);
    let release = db.hold().await;
    let before = db.run("insert into t values (1)");
    let slow = db.write(Context::default(), short, |c| {
        c.execute("insert into t values (2)", &[])?;
        Ok(c.execute(
            "insert into t with recursive n(i) as (select 3 union all select i + 1 from n) select i from n",
            &[],
        )?)
    });
    let after = db.run("insert into t values (4)");
    let free = async {
        tokio::task::yield_now().await;
        drop(release);
    };
    let (before, slow, after, ()) = tokio::join!(before, slow, after, free);
    before.unwrap();
    assert_eq!(code(slow), timeout);
    after.unwrap();
    assert_eq!(db.rows("select group_concat(id) from t").await, "1,4");
}

#[tokio::test]
async fn a_full_queue_refuses_and_an_accepted_job_runs_without_its_caller() {
    let options = Options {
        queue_max: 2,
        ..options()
    };
    let db = db_with("create table t (id integer primary key)", options).await;
    let release = db.hold().await;
    {
        let mut gone = std::pin::pin!(db.run("insert into t values (1)"));
        assert!(futures_util::poll!(&mut gone).is_pending());
    }
    let mut second = std::pin::pin!(db.run("insert into t values (2)"));
    assert!(futures_util::poll!(&mut second).is_pending());
    let third = db.run("insert into t values (3)").await;
    assert_eq!(code(third), "53300 too many writes wait already");
    drop(release);
    second.await.unwrap();
    assert_eq!(db.rows("select group_concat(id) from t").await, "1,2");
}

#[tokio::test]
async fn a_closed_database_answers_so_and_leaves_one_file() {
    let db = db("create table t (id integer)").await;
    db.rows("select 1").await;
    db.close_idle(LONG);
    db.rows("select 1").await;
    db.close_idle(Duration::ZERO);
    db.run("insert into t values (1)").await.unwrap();
    assert_eq!(db.rows("select * from t").await, "1");
    db.close().await;
    let names: Vec<_> = std::fs::read_dir(db.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["app.db"]);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(db.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for late in [
        code(db.run("insert into t values (2)").await),
        code(
            db.read(Context::default(), LONG, |c| rows(c, "select 1"))
                .await,
        ),
        code(db.begin(Context::default(), Instant::now() + LONG).await),
    ] {
        assert!(late.starts_with("Unavailable"), "{late}");
    }
}

#[tokio::test]
async fn a_reader_cannot_write_and_a_missing_file_reads_empty() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::new(folder.path().join("new.db"), Options::default());
    assert!(!db.path().exists());
    let tables = |c: &Connection| rows(c, "select count(*) from sqlite_schema");
    let found = db.read(Context::default(), LONG, tables).await.unwrap();
    assert_eq!(found, "0");
    let write = db
        .read(Context::default(), LONG, |c| {
            Ok(c.execute("create table t (a)", &[])?)
        })
        .await;
    assert!(code(write).starts_with("25006 "));
}
