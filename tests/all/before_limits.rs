//! What a before-trigger may cost, what it may rely on, and what it may not hold up.

use std::future::IntoFuture as _;

use futures_util::future::join_all;
use pumice_tests::{App, Engine, guest, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    a_row_that_changes_meanwhile_is_judged_again,
    serializable_triggers_keep_a_rule_about_other_rows,
    other_triggers_may_be_overtaken,
    a_serializable_trigger_undoes_what_it_refuses,
    a_trigger_that_spins_is_stopped_and_nothing_is_written,
    a_serializable_trigger_that_spins_lets_the_others_go_on,
    a_trigger_has_what_its_function_has_left,
    a_trigger_needs_no_place_beside_its_function,
    many_writers_with_triggers_all_get_through,
);

const TABLES: &str = "
create table orders (id integer primary key, total_cents bigint not null, due date, user_id integer);
create table note (id integer primary key, text text);
";

/// A request that goes out now.
fn sent(call: pumice_tests::Call) -> tokio::task::JoinHandle<pumice_tests::Answer> {
    tokio::spawn(call.into_future())
}

async fn a_row_that_changes_meanwhile_is_judged_again(engine: Engine) {
    const ROUNDS: usize = 30;
    let app = engine.app("truth").await;
    app.tables(TABLES)
        .before(guest!("before_reject_negative"), "orders", &["update"])
        .function(guest!("data_function"))
        .await;
    let rows: Vec<Value> = (0..ROUNDS)
        .map(|id| json!({ "id": id, "total_cents": 5 }))
        .collect();
    assert_eq!(app.insert("orders", &json!(rows)).await.status, 201);
    let (mut first, mut second) = (0, 0);
    for id in 0..ROUNDS {
        // One sets a date, which the trigger allows while the total is not negative; the other makes it
        // negative past the trigger, and tells whether the date was there already.
        let date = app
            .rest("PATCH", &format!("orders?id=eq.{id}"))
            .json(&json!({ "due": "2021-06-05" }));
        let statement = "update orders set total_cents = -1 where id = $1 returning due";
        let sql = json!({ "op": "sql", "statement": statement, "parameters": [id] });
        let (date, sql) = tokio::join!(date.into_future(), app.ask(&sql));
        let overtaken = sql["ok"][0]["due"].is_null();
        match date.status {
            204 => {
                assert!(
                    !overtaken,
                    "round {id}: the trigger allowed a row that it did not see: {sql}"
                );
                first += 1;
            }
            _ => {
                date.refused(400, "negative_total");
                assert!(overtaken, "round {id}: refused for what came later: {sql}");
                second += 1;
            }
        }
    }
    assert_eq!(app.count("orders?due=not.is.null").await, first);
    assert_eq!(first + second, ROUNDS);
}

/// Twenty inserts at once for a user who may have ten rows: how many succeeded, and what the others were told.
async fn crowd(app: &App) -> (usize, Vec<String>) {
    let calls = (0..20).map(|id| {
        let row = json!({ "id": id, "total_cents": 1, "user_id": 7 });
        sent(app.rest("POST", "orders").json(&row))
    });
    let mut refusals = Vec::new();
    let mut made = 0;
    for answer in join_all(calls).await {
        let answer = answer.unwrap();
        match answer.status {
            201 => made += 1,
            _ => refusals.push(answer.code()),
        }
    }
    assert_eq!(app.count("orders").await, made);
    (made, refusals)
}

async fn serializable_triggers_keep_a_rule_about_other_rows(engine: Engine) {
    let app = engine.app("ten").await;
    app.tables(TABLES)
        .before(guest!("before_reads"), "orders", &["insert"])
        .with("isolation = \"serializable\"")
        .await;
    let (made, refusals) = crowd(&app).await;
    match engine {
        // One after the other.
        Engine::Sqlite => assert_eq!((made, refusals), (10, vec!["too_many".to_owned(); 10])),
        // Those that others kept coming between are told so.
        Engine::Postgres => {
            assert!((1..=10).contains(&made), "{made}");
            let known = |code: &String| code == "too_many" || code == "40001";
            assert!(refusals.iter().all(known), "{refusals:?}");
        }
    }
    // One after the other, ten fit in any case.
    for id in 20..30 {
        let row = json!({ "id": id, "total_cents": 1, "user_id": 7 });
        let answer = app.rest("POST", "orders").json(&row).await;
        assert!(
            answer.status == 201 || answer.code() == "too_many",
            "{answer}"
        );
    }
    assert_eq!(app.count("orders").await, 10);
    let other = json!({ "id": 99, "total_cents": 1, "user_id": 8 });
    assert_eq!(app.rest("POST", "orders").json(&other).await.status, 201);
}

async fn other_triggers_may_be_overtaken(engine: Engine) {
    let app = engine.app("more").await;
    app.tables(TABLES)
        .before(guest!("before_reads"), "orders", &["insert"])
        .await;
    // What they read may be old when their row is written: more than ten is allowed, fewer is not.
    let (made, refusals) = crowd(&app).await;
    assert!(made >= 10, "{made}");
    assert!(
        refusals.iter().all(|code| code == "too_many"),
        "{refusals:?}"
    );
}

async fn a_serializable_trigger_undoes_what_it_refuses(engine: Engine) {
    let app = engine.app("undone").await;
    app.tables(TABLES)
        .before(
            guest!("before_reject_negative"),
            "orders",
            &["insert", "update", "delete"],
        )
        .with("isolation = \"serializable\"")
        .await;
    let rows = json!([{ "id": 1, "total_cents": 1 }, { "id": 2, "total_cents": -1 }]);
    app.insert("orders", &rows)
        .await
        .refused(400, "negative_total");
    let row = json!({ "id": 1, "total_cents": 1 });
    assert_eq!(app.insert("orders", &row).await.status, 201);
    app.insert("orders", &row).await.refused(409, "23505");
    let change = json!({ "total_cents": -1 });
    app.rest("PATCH", "orders?id=eq.1")
        .json(&change)
        .await
        .refused(400, "negative_total");
    let change = json!({ "total_cents": 2 });
    assert_eq!(
        app.rest("PATCH", "orders?id=eq.1")
            .json(&change)
            .await
            .status,
        204
    );
    assert_eq!(
        app.rows("orders?select=id,total_cents").await,
        json!([{ "id": 1, "total_cents": 2 }])
    );
    assert_eq!(app.rest("DELETE", "orders?id=eq.1").await.status, 204);
    assert_eq!(app.count("orders").await, 0);
}

/// Sends a write that a spinning trigger judges, beside writes to another table and by another app.
async fn beside_a_spinner(engine: Engine, isolation: &str) {
    let app = engine.app("spinner").await;
    app.tables(TABLES)
        .before(guest!("before_spin"), "orders", &["insert", "update"])
        .with(isolation)
        .await;
    let neighbour = engine.app("neighbour").await;
    neighbour.tables(TABLES).await;
    let spinning = sent(
        app.rest("POST", "orders")
            .json(&json!({ "id": 1, "total_cents": 1 })),
    );
    for id in 0..50 {
        let row = json!({ "id": id, "text": "beside" });
        assert_eq!(neighbour.rest("POST", "note").json(&row).await.status, 201);
    }
    for id in 0..10 {
        let row = json!({ "id": id, "text": "behind" });
        let own = app.rest("POST", "note").json(&row).await;
        assert_eq!(own.status, 201, "{own}");
    }
    let stopped = spinning.await.unwrap();
    assert_eq!(stopped.status, 504, "{stopped}");
    let limit = stopped.header("x-pumice-limit").to_owned();
    assert!(["cpu", "fuel", "wall"].contains(&&*limit), "{limit}");
    assert_eq!(stopped.code(), "data.limit");
    assert_eq!(
        stopped.json()["message"],
        format!("`before-spin` was stopped at its {limit} limit")
    );
    let outcome = app.outcome(stopped.request_id()).await;
    assert_eq!(
        (&outcome["component"], &outcome["outcome"]),
        (&json!("before-spin"), &json!("limit"))
    );
    assert_eq!(app.count("orders").await, 0);
    assert_eq!(
        (app.count("note").await, neighbour.count("note").await),
        (10, 50)
    );
}

async fn a_trigger_that_spins_is_stopped_and_nothing_is_written(engine: Engine) {
    beside_a_spinner(engine, "").await;
}

async fn a_serializable_trigger_that_spins_lets_the_others_go_on(engine: Engine) {
    beside_a_spinner(engine, "isolation = \"serializable\"").await;
}

async fn a_trigger_has_what_its_function_has_left(engine: Engine) {
    const FUEL_MS: u64 = 50;
    let app = engine.app("rest-of").await;
    app.tables(TABLES)
        .before(guest!("before_spin"), "orders", &["insert"])
        .function(guest!("data_function"))
        .limits(&format!("fuel_ms = {FUEL_MS}"))
        .await;
    let mut log = app.follow("&component=before-spin").await;
    let write = json!({ "op": "insert", "table": "orders", "rows": { "id": 1, "total_cents": 1 } });
    let call = app
        .invoke("data-function")
        .without("authorization")
        .bearer(&app.service_role_key);
    let answer = call.json(&write).await;
    assert!([200, 546].contains(&answer.status), "{answer}");
    let record = log.find(|record| record["type"] == "invocation").await;
    assert_eq!(record["outcome"], "limit", "{record}");
    let fuel = record["fuel"].as_u64().unwrap();
    assert!(fuel > 0 && fuel <= FUEL_MS * 10_000_000, "{fuel}");
    assert_eq!(app.count("orders").await, 0);
}

async fn a_trigger_needs_no_place_beside_its_function(engine: Engine) {
    let server = engine.server_with("app_instances = 1\n").await;
    let app = server.app("one").await;
    app.tables(TABLES)
        .before(
            guest!("before_reject_negative"),
            "orders",
            &["insert", "update"],
        )
        .function(guest!("data_function"))
        .await;
    let calls = (0..10).map(|id| {
        let write = json!([
            { "op": "insert", "table": "orders", "rows": { "id": id, "total_cents": 1 } },
            { "op": "transaction", "steps": [
                { "op": "update", "table": "orders", "filters": [["id", "eq", id.to_string()]], "values": { "total_cents": 2 } },
            ] },
        ]);
        let app = app.clone();
        async move { app.ask(&write).await }
    });
    for answer in join_all(calls).await {
        assert_eq!(answer[1]["ok"]["end"], "committed", "{answer}");
    }
    assert_eq!(app.count("orders?total_cents=eq.2").await, 10);
}

async fn many_writers_with_triggers_all_get_through(engine: Engine) {
    let app = engine.app("crowd").await;
    app.tables(TABLES)
        .before(
            guest!("before_reject_negative"),
            "orders",
            &["insert", "update"],
        )
        .await;
    let calls = (0..60).map(|id| {
        sent(
            app.rest("POST", "orders")
                .json(&json!({ "id": id, "total_cents": id % 2 })),
        )
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().status, 201);
    }
    assert_eq!(app.count("orders").await, 60);
}
