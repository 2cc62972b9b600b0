//! The adversaries: each is stopped by the limit it should meet, whatever it does its neighbour is served,
//! and a guest that stays just below a limit is not stopped.

use std::future::IntoFuture as _;

use insta::assert_snapshot;
use pumice_tests::{Answer, App, Guest, TestServer, guest};
use serde_json::Value;

/// Deploys `guest` with `limits`, calls it with `query` while a neighbour makes 100 requests, and checks
/// that it was stopped at `limit`: in the dialect's answer, on its own route, and in its record.
async fn stopped(guest: Guest, limits: &str, query: &str, limit: &str) -> Value {
    let server = TestServer::shared().await;
    let app = server.app("adversary").await;
    app.function(guest.clone())
        .access("public")
        .route("/own")
        .limits(limits)
        .await;
    let path = format!("/functions/v1/{}{query}", guest.name);
    let (answer, ()) = tokio::join!(app.get(&path), neighbour(&server));

    assert_eq!(answer.header("x-pumice-limit"), limit, "{answer}");
    assert_eq!(answer.header("sb-error-code"), "WORKER_LIMIT");
    assert_eq!(
        answer.to_string(),
        r#"546 {"code":"WORKER_LIMIT","message":"Worker failed to respond due to a resource limit (please check logs)"}"#
    );
    let record = record(&app, &answer, limit).await;

    let own = app.get(&format!("/own{query}")).await;
    assert_eq!((own.status, own.header("x-pumice-limit")), (504, limit));
    assert_eq!(own.json()["code"], "function.limit");
    record
}

/// 100 requests of an app that has done nothing wrong, all of which succeed.
async fn neighbour(server: &TestServer) {
    let app = server.app("neighbour").await;
    app.function(guest!("hello")).access("public").await;
    for _ in 0..100 {
        app.get("/functions/v1/hello").await.is("200 hello");
    }
}

async fn record(app: &App, answer: &Answer, limit: &str) -> Value {
    let record = app.outcome(answer.request_id()).await;
    assert_eq!(record["outcome"], "limit", "{record}");
    assert_eq!(record["limit"], limit, "{record}");
    record
}

/// Far more fuel than a guest can burn in the time that a test's clock gives it, for tests of the clock.
const CPU_ONLY: &str = "fuel_ms = 500, cpu_ms = 20";
/// The other way around.
const FUEL_ONLY: &str = "fuel_ms = 5, cpu_ms = 500";

#[tokio::test]
async fn spin_is_stopped_by_cpu() {
    let record = stopped(guest!("spin"), CPU_ONLY, "", "cpu").await;
    let cpu = record["cpu_us"].as_u64().expect("it is a number");
    // The clock is read at each pause, about every 0.2 ms; a debug build's host adds to that.
    assert!((20_000..60_000).contains(&cpu), "stopped after {cpu} µs");
}

#[tokio::test]
async fn spin_is_stopped_by_fuel() {
    let record = stopped(guest!("spin"), FUEL_ONLY, "", "fuel").await;
    assert_eq!(record["fuel"], 5 * 10_000_000);
}

#[tokio::test]
async fn spin_is_stopped_by_the_defaults() {
    let server = TestServer::shared().await;
    let app = server.app("defaults").await;
    app.function(guest!("spin")).await;
    let (answer, ()) = tokio::join!(app.invoke("spin"), neighbour(&server));
    assert_eq!(answer.status, 546);
    let limit = answer.header("x-pumice-limit");
    assert!(["fuel", "cpu"].contains(&limit), "stopped by {limit}");
    let record = record(&app, &answer, limit).await;
    assert!(record["cpu_us"].as_u64() < Some(600_000), "{record}");
}

#[tokio::test]
async fn spin_after_head_is_stopped_and_its_body_breaks_off() {
    let server = TestServer::shared().await;
    for (limits, limit) in [(CPU_ONLY, "cpu"), (FUEL_ONLY, "fuel")] {
        let app = server.app("after-head").await;
        app.function(guest!("spin_after_head")).limits(limits).await;
        let (answer, ()) = tokio::join!(app.invoke("spin-after-head"), neighbour(&server));
        assert_eq!((answer.status, answer.broken), (200, true));
        assert_eq!(answer.text(), "so far so good\n");
        record(&app, &answer, limit).await;
    }
}

#[tokio::test]
async fn recurse_is_stopped_by_the_stack() {
    stopped(guest!("recurse"), "", "", "stack").await;
}

#[tokio::test]
async fn grow_memory_is_stopped_by_memory() {
    let record = stopped(guest!("grow_memory"), "", "", "memory").await;
    let peak = record["memory_peak_bytes"].as_u64().expect("a number");
    assert!(peak <= 128 << 20, "{record}");
    let record = stopped(guest!("grow_memory"), "memory_mib = 8", "", "memory").await;
    let peak = record["memory_peak_bytes"].as_u64().expect("a number");
    assert!(((6 << 20)..=(8 << 20)).contains(&peak), "{record}");
}

#[tokio::test]
async fn grow_fail_is_stopped_by_fuel() {
    // A refused growth costs what a granted one would, and so ends before the clock says anything.
    let record = stopped(guest!("grow_fail"), "", "", "fuel").await;
    assert!(record["cpu_us"].as_u64() < Some(400_000), "{record}");
}

#[tokio::test]
async fn fill_is_stopped_by_fuel_and_by_cpu() {
    // One instruction costs 63 million: the first that cannot be paid is the last.
    stopped(guest!("fill"), "fuel_ms = 20, cpu_ms = 500", "", "fuel").await;
    let record = stopped(guest!("fill"), "cpu_ms = 20", "", "cpu").await;
    // One fill of 60 MiB cannot be interrupted.
    assert!(record["cpu_us"].as_u64() < Some(300_000), "{record}");
}

#[tokio::test]
async fn handles_is_stopped_by_handles() {
    stopped(guest!("handles"), "", "", "handles").await;
    let app = TestServer::shared().await.app("few-handles").await;
    app.function(guest!("handles"))
        .limits("handles = 100")
        .await;
    let few = app.invoke("handles?count=80").await;
    assert_snapshot!(few, @"200 kept 80");
    let many = app.invoke("handles?count=100").await;
    assert_eq!(many.header("x-pumice-limit"), "handles");
}

#[tokio::test]
async fn a_string_of_100_mib_is_stopped_by_host_call_bytes() {
    for to in ["log", "field", "cache", "header"] {
        stopped(
            guest!("big_string"),
            "",
            &format!("?to={to}"),
            "host_call_bytes",
        )
        .await;
    }
}

#[tokio::test]
async fn many_strings_is_stopped_by_host_call_bytes() {
    for to in ["log", "cache"] {
        let query = format!("?to={to}");
        let limits = "host_call_mib = 64";
        let record = stopped(guest!("many_strings"), limits, &query, "host_call_bytes").await;
        let bytes = record["host_call_bytes"].as_u64().expect("a number");
        // The call that goes over is counted and not made.
        assert!(((64 << 20)..=(66 << 20)).contains(&bytes), "{record}");
    }
}

#[tokio::test]
async fn heavy_host_calls_are_stopped_by_host_call_bytes() {
    for to in ["sql", "clone"] {
        let query = format!("?to={to}");
        stopped(guest!("heavy_calls"), "", &query, "host_call_bytes").await;
    }
}

/// A guest that only calls the host pauses as often as one that computes, so the clock sees it.
#[tokio::test]
async fn a_loop_of_host_calls_is_stopped_by_cpu() {
    stopped(guest!("cheap_calls"), CPU_ONLY, "?calls=100000000", "cpu").await;
}

#[tokio::test]
async fn a_million_cheap_calls_are_stopped_by_fuel() {
    stopped(
        guest!("cheap_calls"),
        "fuel_ms = 5, cpu_ms = 500",
        "?calls=1000000",
        "fuel",
    )
    .await;
    let app = TestServer::shared().await.app("few-calls").await;
    app.function(guest!("cheap_calls")).await;
    let answer = app.invoke("cheap-calls?calls=1000").await;
    assert_eq!(answer.status, 200);
    let record = app.outcome(answer.request_id()).await;
    assert!(record["host_calls"].as_u64() >= Some(1000), "{record}");
}

#[tokio::test]
async fn park_is_stopped_by_wall() {
    let record = stopped(guest!("park"), "wall_ms = 300", "", "wall").await;
    let wall = record["wall_us"].as_u64().expect("it is a number");
    assert!((300_000..3_000_000).contains(&wall), "{record}");
    assert!(record["cpu_us"].as_u64() < Some(100_000), "{record}");
}

#[tokio::test]
async fn log_flood_is_stopped_by_host_call_bytes_and_the_log_says_what_it_lacks() {
    for to in ["stdout", "stderr", "log"] {
        let server = TestServer::shared().await;
        let app = server.app("flood").await;
        app.function(guest!("log_flood"))
            .limits("host_call_mib = 16")
            .await;
        let path = format!("log-flood?to={to}");
        let (answer, ()) = tokio::join!(app.invoke(&path), neighbour(&server));
        assert_eq!(answer.header("x-pumice-limit"), "host_call_bytes", "{to}");
        record(&app, &answer, "host_call_bytes").await;
        let records = app.records().await;
        let lines = records.iter().filter(|record| record["type"] == "line");
        let bytes: usize = lines
            .filter_map(|line| Some(line["message"].as_str()?.len()))
            .sum();
        assert!(((1 << 19)..=(1 << 20) + 200).contains(&bytes), "{bytes}");
        let told = |record: &Value| {
            record["message"]
                .as_str()
                .is_some_and(|message| message.contains("lines dropped"))
        };
        assert!(records.iter().any(told), "{to}");
    }
}

#[tokio::test]
async fn a_gibibyte_of_log_is_stopped_by_the_defaults() {
    let server = TestServer::shared().await;
    let app = server.app("deluge").await;
    app.function(guest!("log_flood")).await;
    let (answer, ()) = tokio::join!(app.invoke("log-flood"), neighbour(&server));
    let limit = answer.header("x-pumice-limit");
    assert!(
        ["host_call_bytes", "fuel", "cpu"].contains(&limit),
        "{answer}"
    );
    record(&app, &answer, limit).await;
    let on_disk: u64 = std::fs::read_dir(app.folder().join("logs"))
        .expect("the app has logs")
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(on_disk < 4 << 20, "{on_disk} bytes were kept");
}

#[tokio::test]
async fn a_panic_is_told_to_the_log_and_not_to_the_client() {
    let server = TestServer::shared().await;
    let app = server.app("panics").await;
    app.function(guest!("panic")).route("/own").await;
    let (answer, ()) = tokio::join!(app.invoke("panic"), neighbour(&server));
    assert_snapshot!(answer, @r#"500 {"code":"WORKER_ERROR","message":"Function exited due to an error (please check logs)"}"#);
    assert_eq!(answer.header("sb-error-code"), "WORKER_ERROR");
    assert_eq!(answer.header("x-pumice-limit"), "");
    let own = app.get("/own").bearer(&app.anon_key).await;
    assert_snapshot!(own, @r#"500 {"code":"function.trap","message":"the function failed; see the app's log","request_id":"[request id]"}"#);

    let outcome = app.outcome(answer.request_id()).await;
    assert_eq!(outcome["outcome"], "trap");
    let frames = outcome["backtrace"].as_array().expect("there is one");
    let place = |name: &str| {
        frames
            .iter()
            .position(|frame| frame.as_str().is_some_and(|frame| frame.contains(name)))
    };
    let (deepest, outer) = (place("deepest"), place("outer"));
    assert!(deepest.is_some() && deepest < outer, "{frames:#?}");
    let records = app.records().await;
    let told = |record: &Value| {
        record["type"] == "line"
            && record["message"]
                .as_str()
                .is_some_and(|message| message.contains("as asked"))
    };
    assert!(records.iter().any(told), "{records:#?}");
}

#[tokio::test]
async fn a_response_ends_at_its_limit_and_not_before() {
    let server = TestServer::shared().await;
    let app = server.app("long").await;
    app.function(guest!("big_response"))
        .limits("response_mib = 1")
        .await;
    let exact = app.invoke("big-response?bytes=1048576").await;
    assert_eq!(
        (exact.status, exact.body.len(), exact.broken),
        (200, 1 << 20, false)
    );
    let over = app.invoke("big-response?bytes=1048577");
    let (over, ()) = tokio::join!(over, neighbour(&server));
    // Its head may have gone out before the limit was met.
    assert!(over.broken || over.status == 546, "{}", over.status);
    assert!(over.body.len() <= 1 << 20);
    record(&app, &over, "response_bytes").await;
}

#[tokio::test]
async fn memory_ends_at_its_limit_and_not_before() {
    let app = TestServer::shared().await.app("pages").await;
    app.function(guest!("pages"))
        .limits("memory_mib = 16")
        .await;
    assert_snapshot!(app.invoke("pages?total=256").await, @"200 256 pages");
    let over = app.invoke("pages?total=257").await;
    assert_eq!(
        (over.status, over.header("x-pumice-limit")),
        (546, "memory")
    );
    record(&app, &over, "memory").await;
}

#[tokio::test]
async fn host_call_bytes_end_at_their_limit_and_not_before() {
    let app = TestServer::shared().await.app("bytes").await;
    app.function(guest!("many_strings"))
        .limits("host_call_mib = 8")
        .await;
    let below = app.invoke("many-strings?calls=7").await;
    assert_snapshot!(below, @"200 7 calls");
    let over = app.invoke("many-strings?calls=8").await;
    assert_eq!(over.header("x-pumice-limit"), "host_call_bytes");
}

#[tokio::test]
async fn many_spinners_of_one_app_leave_room_for_others() {
    let server = TestServer::start().await;
    let app = server.app("crowd").await;
    app.function(guest!("spin"))
        .access("public")
        .limits("cpu_ms = 200")
        .await;
    let spinners: Vec<_> = (0..8)
        .map(|_| tokio::spawn(app.get("/functions/v1/spin").into_future()))
        .collect();
    crate::until_running(&server, 4).await;
    neighbour(&server).await;
    for spinner in spinners {
        assert_eq!(spinner.await.expect("it does not panic").status, 546);
    }
}
