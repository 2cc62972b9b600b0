//! Against a real server: `cargo xtask test` starts one.

mod apps;
mod guests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::pool::Pool;
use super::{Begin, Cluster, Connections, External, PgTx, Postgres};
use crate::data::{Context, DataError, Type};
use crate::{AppId, Role};

const PASSWORD: &str = r"a'b\c";
const WRITE: Begin = Begin {
    read_only: false,
    serializable: false,
    statement_timeout: Duration::from_secs(20),
};
const MEBIBYTE: usize = 1 << 20;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where these tests read their surroundings"
)]
pub(crate) fn url() -> String {
    std::env::var("PUMICE_TEST_DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "PUMICE_TEST_DATABASE_URL names no server: `cargo xtask test` starts one, \
             with `-- FILTER` for the tests so named"
        )
    })
}

async fn cluster() -> Cluster {
    Cluster::connect(&url(), &Connections::new(4))
        .await
        .unwrap()
}

/// A new app with the tables that `migration` makes.
async fn app(cluster: &Cluster, migration: &[&str]) -> (AppId, Postgres) {
    let app = AppId(Uuid::new_v4());
    cluster.create_app(app, PASSWORD).await.unwrap();
    migrate(cluster, app, migration).await;
    (app, cluster.open_app(app, PASSWORD))
}

async fn migrate(cluster: &Cluster, app: AppId, statements: &[&str]) {
    let owner = cluster.as_owner(app).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    for (line, statement) in statements.iter().enumerate() {
        tx.execute("1.sql", line + 1, statement).await.unwrap();
    }
    tx.harden(&[]).await.unwrap();
    tx.commit().await.unwrap().close().await.unwrap();
}

fn context(role: Role, claims: &str) -> Context {
    Context {
        role,
        claims: claims.into(),
        depth: 3,
        request: None,
    }
}

fn service() -> Context {
    context(Role::ServiceRole, "{}")
}

async fn begin(app: &Postgres) -> PgTx {
    app.begin(&service(), WRITE).await.unwrap()
}

/// The one text that a query without arguments returns.
async fn ask(tx: &mut PgTx, sql: &str) -> Result<String, DataError> {
    Ok(tx.rows(sql.to_owned(), &[]).await?.join(","))
}

async fn guest(
    tx: &mut PgTx,
    sql: &str,
    parameters: &[serde_json::Value],
) -> Result<Vec<String>, DataError> {
    let parameters: Vec<Box<RawValue>> = parameters
        .iter()
        .map(|value| RawValue::from_string(value.to_string()).unwrap())
        .collect();
    tx.guest_query(sql, &parameters, MEBIBYTE).await
}

fn code<T: std::fmt::Debug>(result: Result<T, DataError>) -> String {
    match result {
        Err(error) => error
            .code()
            .map_or_else(|| format!("{error:?}"), str::to_owned),
        Ok(value) => format!("{value:?}"),
    }
}

#[tokio::test]
async fn long_statements_are_not_kept_prepared() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let mut tx = begin(&app).await;
    for length in [1_000, 100_000] {
        let long = format!("select '{}'", "a".repeat(length));
        assert_eq!(ask(&mut tx, &long).await.unwrap().len(), length);
    }
    let kept = "select count(*)::text || ' ' || max(length(statement)) \
         from pg_prepared_statements where statement like 'select ''aaa%'";
    assert_eq!(ask(&mut tx, kept).await.unwrap(), "1 1009");
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn a_transaction_acts_as_its_caller() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let hostile = json!({
        "sub": "11111111-2222-3333-4444-555555555555",
        "email": r#"o'neil\'; drop table auth.users; -- " $$ é \u0027"#,
    });
    for role in [Role::Anon, Role::Authenticated, Role::ServiceRole] {
        let context = context(role.clone(), &hostile.to_string());
        let mut tx = app.begin(&context, WRITE).await.unwrap();
        let seen = ask(
            &mut tx,
            "select json_build_array(current_user, auth.role(), auth.uid(), auth.jwt() ->> 'email', \
             current_setting('pumice.depth'), current_setting('statement_timeout'))::text",
        )
        .await
        .unwrap();
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(
            seen,
            json!([
                role.as_str(),
                role.as_str(),
                hostile["sub"],
                hostile["email"],
                "3",
                "20s"
            ])
        );
        tx.commit().await.unwrap();
    }
    for claims in ["'", "\\", "\\'", "''\\\\''", "');select 1;--", "E'\\'"] {
        let context = context(Role::Anon, claims);
        let mut tx = app.begin(&context, WRITE).await.unwrap();
        let seen = ask(&mut tx, "select current_setting('request.jwt.claims')").await;
        assert_eq!(seen.unwrap(), claims);
    }
    let other = context(Role::Other("postgres".into()), "{}");
    assert_eq!(code(app.begin(&other, WRITE).await), "22023");
    assert_eq!(
        code(
            app.begin(&context(Role::Anon, "{\"a\":\"\0\"}"), WRITE)
                .await
        ),
        "22021"
    );
}

#[tokio::test]
async fn nothing_of_a_caller_is_left_to_the_next() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let first = context(Role::Authenticated, r#"{"sub":"x"}"#);
    app.begin(&first, WRITE)
        .await
        .unwrap()
        .commit()
        .await
        .unwrap();
    let mut tx = app
        .begin(
            &context(Role::Anon, "{}"),
            Begin {
                read_only: true,
                ..WRITE
            },
        )
        .await
        .unwrap();
    assert_eq!(
        ask(
            &mut tx,
            "select current_user || current_setting('request.jwt.claims')"
        )
        .await
        .unwrap(),
        "anon{}"
    );
}

#[tokio::test]
async fn kinds_of_transactions() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &["create table t (id int primary key)"]).await;
    let read = Begin {
        read_only: true,
        ..WRITE
    };
    let mut tx = app.begin(&service(), read).await.unwrap();
    assert_eq!(
        code(tx.execute("insert into t values (1)".into(), &[]).await),
        "25006"
    );
    drop(tx);
    let strict = Begin {
        serializable: true,
        ..WRITE
    };
    let mut tx = app.begin(&service(), strict).await.unwrap();
    assert_eq!(
        ask(&mut tx, "select current_setting('transaction_isolation')")
            .await
            .unwrap(),
        "serializable"
    );
    drop(tx);
    let short = Begin {
        statement_timeout: Duration::from_millis(30),
        ..WRITE
    };
    let mut tx = app.begin(&service(), short).await.unwrap();
    assert_eq!(
        code(ask(&mut tx, "select pg_sleep(20)::text").await),
        "57014"
    );
}

#[tokio::test]
async fn commit_keeps_and_all_else_undoes() {
    let cluster = cluster().await;
    let table = "create table t (id int primary key deferrable initially deferred, n varchar(3))";
    let (_, app) = app(&cluster, &[table]).await;
    let insert = "insert into t values ($1::int, $2::varchar)";
    let args = |id: &str, n: &str| vec![Some(id.to_owned()), Some(n.to_owned())];
    let count = async || {
        let mut tx = begin(&app).await;
        ask(&mut tx, "select count(*)::text from t").await.unwrap()
    };

    let mut tx = begin(&app).await;
    assert_eq!(
        tx.execute(insert.into(), &args("1", "abc")).await.unwrap(),
        1
    );
    tx.commit().await.unwrap();
    assert_eq!(count().await, "1");

    let mut tx = begin(&app).await;
    tx.execute(insert.into(), &args("2", "x")).await.unwrap();
    drop(tx);
    let mut tx = begin(&app).await;
    tx.execute(insert.into(), &args("2", "x")).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(count().await, "1");

    // A deferred constraint speaks at the commit, with its details.
    let mut tx = begin(&app).await;
    tx.execute(insert.into(), &args("1", "x")).await.unwrap();
    let Err(DataError::Sql(fault)) = tx.commit().await else {
        panic!("a key twice");
    };
    assert_eq!(fault.code, "23505");
    assert_eq!(
        fault.message,
        "duplicate key value violates unique constraint \"t_pkey\""
    );
    assert_eq!(
        fault.details.as_deref(),
        Some("Key (id)=(1) already exists.")
    );

    // A failed statement is never committed, and a savepoint brings back what stood before it.
    let mut tx = begin(&app).await;
    tx.execute(insert.into(), &args("2", "x")).await.unwrap();
    assert_eq!(
        code(tx.execute(insert.into(), &args("3", "long")).await),
        "22001"
    );
    assert_eq!(code(ask(&mut tx, "select '1'").await), "25P02");
    assert_eq!(code(tx.commit().await), "25P02");
    let mut tx = begin(&app).await;
    tx.execute(insert.into(), &args("2", "x")).await.unwrap();
    tx.savepoint().await.unwrap();
    tx.execute(insert.into(), &args("3", "x")).await.unwrap();
    tx.savepoint().await.unwrap();
    assert_eq!(
        code(tx.execute(insert.into(), &args("four", "x")).await),
        "22P02"
    );
    tx.rollback_to().await.unwrap();
    tx.release().await.unwrap();
    assert_eq!(code(tx.release().await), "3B001");
    tx.commit().await.unwrap();
    assert_eq!(count().await, "3");
}

#[tokio::test]
async fn null_goes_both_ways() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let mut tx = begin(&app).await;
    let rows = tx
        .rows(
            "select (v.x)::text from (values ($1::int), ($2::int)) v(x)".into(),
            &[None, Some("7".into())],
        )
        .await;
    assert_eq!(rows.unwrap(), ["null", "7"]);
}

#[tokio::test]
async fn a_call_broken_off_ends_on_the_server_too() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &["create table t (id int)"]).await;
    let long = Begin {
        statement_timeout: Duration::from_secs(1000),
        ..WRITE
    };
    let mut tx = app.begin(&service(), long).await.unwrap();
    tx.execute("insert into t values (1)".into(), &[])
        .await
        .unwrap();
    let sleeping = tx.rows("select pg_sleep(1000)::text".into(), &[]);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), sleeping)
            .await
            .is_err()
    );
    assert_eq!(code(ask(&mut tx, "select '1'").await), "TransactionEnded");
    drop(tx);
    // The table is free only when that transaction is over.
    let mut tx = begin(&app).await;
    let mut admin = cluster
        .as_owner(app.app)
        .await
        .unwrap()
        .begin()
        .await
        .unwrap();
    admin
        .execute("2.sql", 1, "lock table t in access exclusive mode")
        .await
        .unwrap();
    drop(admin);
    assert_eq!(
        ask(&mut tx, "select count(*)::text from t").await.unwrap(),
        "0"
    );
}

#[tokio::test]
async fn one_number_of_connections_for_all_apps() {
    let cluster = cluster().await;
    let (_, mut first) = app(&cluster, &[]).await;
    let (_, mut second) = app(&cluster, &[]).await;
    let pool = Pool::with_wait(2, Duration::from_millis(200));
    first.pool = pool.clone();
    second.pool = pool.clone();

    let (one, two) = (begin(&first).await, begin(&first).await);
    assert_eq!(code(second.begin(&service(), WRITE).await), "PGRST003");
    one.commit().await.unwrap();
    two.commit().await.unwrap();
    assert_eq!(pool.idle(), 2);
    // Both places are taken by the first app's idle connections: one makes room.
    let tx = begin(&second).await;
    assert_eq!(pool.idle(), 1);
    let mut again = begin(&first).await;
    assert_eq!(pool.idle(), 0);
    let process = "select pg_backend_pid()::text";
    let was = ask(&mut again, process).await.unwrap();
    again.commit().await.unwrap();
    let mut again = begin(&first).await;
    assert_eq!(ask(&mut again, process).await.unwrap(), was);
    again.commit().await.unwrap();

    pool.close_older(Duration::from_secs(60)).await;
    assert_eq!(pool.idle(), 1);
    pool.close_older(Duration::ZERO).await;
    assert_eq!(pool.idle(), 0);
    drop(tx);
}

#[tokio::test]
async fn a_failed_call_leaves_its_role_to_nobody() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let anon = context(Role::Anon, r#"{"sub":"me"}"#);
    let who = "select current_user || ' ' || current_setting('request.jwt.claims')";
    let mut tx = app.begin(&anon, WRITE).await.unwrap();
    for _ in 0..2 {
        tx.set_context(&service());
        tx.savepoint().await.unwrap();
        assert_eq!(code(ask(&mut tx, "select 1 / 0").await), "22012");
        tx.rollback_to().await.unwrap();
        assert_eq!(ask(&mut tx, who).await.unwrap(), "service_role {}");
        tx.set_context(&anon);
        assert_eq!(ask(&mut tx, who).await.unwrap(), r#"anon {"sub":"me"}"#);
    }
    // The host's own work leaves a guest neither its role nor its depth.
    tx.set_context(&Context::default());
    assert_ne!(ask(&mut tx, "select current_user").await.unwrap(), "anon");
    tx.set_context(&anon);
    let sql = "select current_user::text as who, current_setting('pumice.depth') as depth";
    assert_eq!(
        guest(&mut tx, sql, &[]).await.unwrap(),
        [r#"{"who":"service_role","depth":"3"}"#]
    );
}

#[tokio::test]
async fn no_app_takes_all_connections() {
    let cluster = Cluster::connect(&url(), &Connections::new(5))
        .await
        .unwrap();
    let (_, greedy) = app(&cluster, &[]).await;
    let (_, other) = app(&cluster, &[]).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(begin(&greedy).await);
    }
    let context = service();
    let fifth = greedy.begin(&context, WRITE);
    let mut fifth = std::pin::pin!(fifth);
    tokio::select! {
        biased;
        _ = &mut fifth => panic!("a fifth connection"),
        tx = begin(&other) => tx.commit().await.unwrap(),
    }
    held.pop();
    fifth.await.unwrap();
}

#[tokio::test]
async fn databases_of_others_count_among_the_connections() {
    let connections = Connections::new(1);
    let elsewhere = External::parse(&url()).unwrap();
    let elsewhere = elsewhere.open(AppId(Uuid::new_v4()), &connections);
    begin(&elsewhere).await.commit().await.unwrap();
    let mut kept = begin(&elsewhere).await;
    assert!(kept.lease().unwrap().reused);
    kept.commit().await.unwrap();
    // A server that the node knows later, as after a move.
    let cluster = Cluster::connect(&url(), &connections).await.unwrap();
    let (_, app) = app(&cluster, &[]).await;
    begin(&app).await.commit().await.unwrap();
    // One more would have been too many: the idle one was closed for it.
    assert!(!begin(&elsewhere).await.lease().unwrap().reused);
}

#[tokio::test]
async fn a_connection_the_server_ended_is_not_missed() {
    let cluster = cluster().await;
    let (_, app) = app(&cluster, &[]).await;
    let mut kept = begin(&app).await;
    let process = ask(&mut kept, "select pg_backend_pid()::text")
        .await
        .unwrap();
    kept.commit().await.unwrap();
    let mut other = app.clone();
    other.pool = Pool::new(1);
    let mut killer = begin(&other).await;
    // The session's own user may end its other sessions; `service_role` may not.
    killer.set_context(&Context::default());
    let ended = killer
        .rows(
            "select pg_terminate_backend($1::int, 10000)::text".into(),
            &[Some(process)],
        )
        .await;
    assert_eq!(ended.unwrap(), ["true"]);
    let mut tx = begin(&app).await;
    assert_eq!(ask(&mut tx, "select 'here'").await.unwrap(), "here");
}
