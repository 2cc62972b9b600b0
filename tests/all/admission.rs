//! Who may start: places, a bounded queue, and a bounded wait; and who may finish.

use std::future::IntoFuture as _;

use insta::assert_snapshot;
use pumice_tests::{App, TestServer, guest, in_time};
use tokio::task::JoinHandle;

/// A server with two places for each app, and an app whose guests wait as long as they are asked to.
async fn crowded(queue: u32, wait_ms: u32) -> App {
    let settings = format!("app_instances = 2\napp_queue = {queue}\nqueue_wait_ms = {wait_ms}\n");
    let server = TestServer::with(&settings).await;
    let app = server.app("crowded").await;
    app.function(guest!("park"))
        .access("public")
        .route("/park")
        .function(guest!("hello"))
        .access("public")
        .await;
    app
}

fn parked(app: &App) -> JoinHandle<pumice_tests::Answer> {
    tokio::spawn(app.get("/functions/v1/park").into_future())
}

#[tokio::test]
async fn beyond_its_places_and_its_queue_an_app_is_told_to_come_back() {
    let app = crowded(1, 300).await;
    let others = app.server.app("others").await;
    others.function(guest!("hello")).access("public").await;
    let first = [parked(&app), parked(&app)];
    crate::until_running(&app.server, 2).await;

    // It waits in the queue, and its time is over before a place is free.
    let waited = app.get("/functions/v1/hello").await;
    assert_snapshot!(waited, @r#"503 {"code":"OVERLOADED","message":"Too many requests are waiting; try again"}"#);
    assert_eq!(waited.header("retry-after"), "1");
    let routed = app.get("/park").await;
    assert_snapshot!(routed, @r#"503 {"code":"function.overloaded","message":"too many requests are waiting; try again","request_id":"[request id]"}"#);
    // Another app has places of its own.
    assert_snapshot!(others.get("/functions/v1/hello").await, @"200 hello");
    for guest in first {
        guest.abort();
    }
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once() {
    // Nobody's time in the queue ends within this test.
    let app = crowded(1, 60_000).await;
    let first = [parked(&app), parked(&app)];
    crate::until_running(&app.server, 2).await;
    // Of two more one waits and one is refused, whichever comes first.
    let mut waiting = app.get("/functions/v1/hello").into_future();
    let mut refused = app.get("/functions/v1/hello").into_future();
    let answer = in_time("a refusal", async {
        tokio::select! {
            answer = &mut waiting => answer,
            answer = &mut refused => answer,
        }
    })
    .await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    for guest in first {
        guest.abort();
    }
}

#[tokio::test]
async fn a_place_given_back_goes_to_who_waits() {
    let app = crowded(5, 60_000).await;
    let first = [parked(&app), parked(&app)];
    crate::until_running(&app.server, 2).await;
    let calls = (0..6).map(|_| tokio::spawn(app.get("/functions/v1/hello").into_future()));
    // Once one is refused, the five others are in the queue.
    let (refused, _, waiting) = futures_util::future::select_all(calls).await;
    assert_eq!(refused.expect("it does not panic").status, 503);
    let [one, other] = first;
    one.abort();
    for waiting in waiting {
        let answer = waiting.await.expect("it does not panic");
        answer.is("200 hello");
    }
    assert_eq!(crate::running(&app.server).await, 1);
    other.abort();
    in_time("the last guest to end", async {
        while crate::running(&app.server).await > 0 {}
    })
    .await;
}

#[tokio::test]
async fn what_waited_in_vain_is_in_the_log() {
    let app = crowded(1, 100).await;
    let first = [parked(&app), parked(&app)];
    crate::until_running(&app.server, 2).await;
    let refused = app.get("/functions/v1/hello").await;
    assert_eq!(refused.status, 503);
    let record = app.outcome(refused.request_id()).await;
    assert_eq!(record["outcome"], "overloaded");
    for guest in first {
        guest.abort();
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_finishes_what_it_has_begun() {
    let server = TestServer::start().await;
    let app = server.app("stopping").await;
    app.function(guest!("slow_stream")).await;
    let mut answer = app
        .invoke("slow-stream?chunks=5&interval_ms=100")
        .stream()
        .await;
    answer.read_until("0\n").await;
    let (rest, ()) = tokio::join!(answer.whole(), server.stop());
    assert_eq!((rest.text().as_str(), rest.broken), ("1\n2\n3\n4\n", false));
}

#[tokio::test]
async fn guests_of_an_app_hold_half_of_the_nodes_memory_together() {
    let server = TestServer::with("memory_mib = 32").await;
    let app = server.app("large").await;
    app.function(guest!("pages")).access("public").await;
    // 16 MiB are the app's, 256 pages.
    let within = app.get("/functions/v1/pages?total=256").await;
    assert_eq!(within.status, 200, "{within}");
    let beyond = app.get("/functions/v1/pages?total=257").await;
    assert_eq!(beyond.status, 503, "{beyond}");
    assert_eq!(beyond.header("retry-after"), "1");
    // What a guest held is free again when it has ended.
    let again = app.get("/functions/v1/pages?total=256").await;
    assert_eq!(again.status, 200, "{again}");
}
