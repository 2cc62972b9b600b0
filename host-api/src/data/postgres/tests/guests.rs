//! SQL that guests write.

use serde_json::json;

use super::*;

#[tokio::test]
async fn guests_write_sql_of_their_own() {
    let cluster = cluster().await;
    let (_, app) = app(
        &cluster,
        &[
            "create type mood as enum ('sad', 'glad')",
            "create table t (id bigint generated always as identity primary key, n numeric(6,2), \
             at timestamptz, tags text[], doc jsonb, mood mood)",
        ],
    )
    .await;
    let mut tx = begin(&app).await;
    let row = r#"{"id":1,"n":12.50,"at":"2021-06-05T12:00:00+00:00","tags":["a,\"","b"],"doc":{"a": [1]},"mood":"glad"}"#;
    let rows = guest(
        &mut tx,
        "insert into t (n, at, tags, doc, mood) values ($1, $2, $3, $4, $5) returning *; -- done",
        &[
            json!(12.5),
            json!("2021-06-05T14:00:00+02:00"),
            json!(["a,\"", "b"]),
            json!({"a": [1]}),
            json!("glad"),
        ],
    )
    .await
    .unwrap();
    assert_eq!(rows, [row]);
    for (sql, parameters, expect) in [
        (
            "select id from t where id = $1",
            vec![json!(1)],
            vec![r#"{"id":1}"#],
        ),
        (
            "select id from t where id = $1 -- by id",
            vec![json!("1")],
            vec![r#"{"id":1}"#],
        ),
        ("select 1 as a; -- one\n ;", vec![], vec![r#"{"a":1}"#]),
        ("/* a */ select ';' as a --", vec![], vec![r#"{"a":";"}"#]),
        (
            "with x as (insert into t (n) values (1) returning n) select n from x",
            vec![],
            vec![r#"{"n":1.00}"#],
        ),
        (
            "with x as (update t set n = n + $1 where id = 2 returning n) select n from x",
            vec![json!(2)],
            vec![r#"{"n":3.00}"#],
        ),
        ("update t set n = 2 where id = 2", vec![], vec![]),
        (
            "update t set n = $1 where id = 2",
            vec![json!(null)],
            vec![],
        ),
        (
            "delete from t where id = 2 returning n",
            vec![],
            vec![r#"{"n":null}"#],
        ),
        (
            "merge into t using (values (1)) v(i) on t.id = v.i when matched then update set n = 4",
            vec![],
            vec![],
        ),
        (
            "values (1, 'x')",
            vec![],
            vec![r#"{"column1":1,"column2":"x"}"#],
        ),
        (
            "select $1 || 'x' as a, $2::bool as b",
            vec![json!(r"a'\"), json!(true)],
            vec![r#"{"a":"a'\\x","b":true}"#],
        ),
        (
            "select g from generate_series(1, 3) g order by g desc",
            vec![],
            vec![r#"{"g":3}"#, r#"{"g":2}"#, r#"{"g":1}"#],
        ),
        ("select 1 as a where false", vec![], vec![]),
    ] {
        assert_eq!(
            guest(&mut tx, sql, &parameters).await.unwrap(),
            expect,
            "{sql}"
        );
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn guests_may_not_reach_further() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &["create table t (id int primary key)"]).await;
    for (sql, parameters, expect) in [
        ("set role none", vec![], "42501"),
        ("-- x\ncommit", vec![], "42501"),
        ("begin", vec![], "42501"),
        ("drop table t", vec![], "42501"),
        ("copy t to stdout", vec![], "42501"),
        ("explain select 1", vec![], "42501"),
        ("do $$ begin end $$", vec![], "42501"),
        ("", vec![], "42501"),
        ("; select 1", vec![], "42501"),
        ("select 1; select 2", vec![], "42601"),
        ("select 1; commit; select $1", vec![json!(1)], "42601"),
        ("select 1) select (2", vec![], "42601"),
        ("select $1::int", vec![], "42601"),
        ("select 1", vec![json!(1)], "42601"),
        ("select $1::int", vec![json!("x")], "22P02"),
        ("select $1::text", vec![json!("\0")], "22021"),
        ("select * from auth.users", vec![], "42501"),
        (
            "insert into auth.users (email) values ('x')",
            vec![],
            "42501",
        ),
        ("select * from pumice.migration", vec![], "42501"),
        ("select 1 into temp x", vec![], "42501"),
        ("select 1 into x", vec![], "42501"),
        ("select pg_read_file('/etc/passwd')", vec![], "42501"),
        ("select set_config('role', 'admin', false)", vec![], "42501"),
        ("select pg_sleep(1), id from nowhere", vec![], "42P01"),
    ] {
        let mut tx = begin(&app).await;
        tx.savepoint().await.unwrap();
        assert_eq!(
            code(guest(&mut tx, sql, &parameters).await),
            expect,
            "{sql}"
        );
        tx.rollback_to().await.unwrap();
        assert_eq!(
            guest(&mut tx, "select $1 as a", &[json!("y")])
                .await
                .unwrap(),
            [r#"{"a":"y"}"#]
        );
        tx.commit().await.unwrap();
    }
    let mut tx = begin(&app).await;
    for (bytes_max, fits) in [(7, true), (6, false)] {
        let answer = tx.guest_query("select 1 as a", &[], bytes_max).await;
        assert_eq!(answer.is_ok(), fits, "{bytes_max}: {answer:?}");
    }
    assert_eq!(ask(&mut tx, "select 'goes on'").await.unwrap(), "goes on");
}

#[tokio::test]
async fn a_guest_changes_nobody_elses_session() {
    let cluster = Cluster::connect(&url(), &Connections::new(1))
        .await
        .unwrap();
    let (_, app) = app(&cluster, &["create table t (id int primary key)"]).await;
    let anon = context(Role::Anon, r#"{"sub":"me"}"#);
    let mut tx = app.begin(&anon, WRITE).await.unwrap();
    // As the app: the caller has no grant on the table.
    guest(&mut tx, "insert into t values (1)", &[])
        .await
        .unwrap();
    // What would change who it is or how long it may take is not a guest's.
    for setting in [
        "select set_config('request.jwt.claims', '{\"sub\":\"you\"}', true)",
        "select set_config('search_path', 'auth', false)",
        "select set_config('statement_timeout', '0', false)",
        "select set_config('role', 'authenticated', false)",
        "with x as (select set_config('pumice.depth', '7', true)) select 1 from x",
        "update pg_settings set setting = '0' where name = 'statement_timeout'",
    ] {
        tx.savepoint().await.unwrap();
        assert_eq!(
            code(guest(&mut tx, setting, &[]).await),
            "42501",
            "{setting}"
        );
        tx.rollback_to().await.unwrap();
    }
    let lock = "select pg_advisory_lock(1)::text";
    guest(&mut tx, lock, &[]).await.unwrap();
    // The same transaction, as the caller again.
    let who = "select current_user || ' ' || current_setting('request.jwt.claims')";
    assert_eq!(ask(&mut tx, who).await.unwrap(), r#"anon {"sub":"me"}"#);
    assert_eq!(
        code(ask(&mut tx, "select id::text from public.t").await),
        "42501"
    );
    drop(tx);
    let mut tx = app.begin(&anon, WRITE).await.unwrap();
    guest(&mut tx, "select pg_advisory_lock(2)", &[])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // There is one connection: the next transaction has it after it was cleaned.
    let mut tx = begin(&app).await;
    let left = "select current_setting('search_path') || ' ' || \
                (select count(*) from pg_locks where locktype = 'advisory' and database = \
                (select oid from pg_database where datname = current_database()))";
    assert_eq!(ask(&mut tx, left).await.unwrap(), "public 0");
}
