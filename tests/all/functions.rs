//! HTTP functions as their clients and their authors see them.

use std::future::IntoFuture as _;

use bytes::Bytes;
use insta::assert_snapshot;
use pumice_tests::{TestServer, guest};
use serde_json::{Value, json};

/// A header as `seen` reports it; none if it is not there.
fn seen_header(seen: &Value, name: &str) -> Option<String> {
    let headers = seen["headers"].as_array().expect("it is a list");
    let found = headers.iter().find(|pair| pair[0] == name)?;
    Some(found[1].as_str().expect("it is text").into())
}

#[tokio::test]
async fn hello_answers_by_name_and_at_its_route() {
    let app = TestServer::shared().await.app("hello").await;
    app.function(guest!("hello")).route("/hello").await;
    assert_snapshot!(app.invoke("hello").await, @"200 hello");
    let routed = app.get("/hello").header("apikey", &app.anon_key).await;
    assert_snapshot!(routed, @"200 hello");
}

#[tokio::test]
async fn the_function_sees_the_path_without_the_dialects_prefix() {
    let server = TestServer::shared().await;
    let app = server.app("seen").await;
    app.function(guest!("seen"))
        .route("/api/*")
        .access("public")
        .await;
    let sent = app
        .call("PATCH", "/functions/v1/seen/sub/path%20x?a=1&b=%20two")
        .header("x-region", "eu-west-3")
        .header("x-client-info", "tests")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "not for the function")
        .bearer(&app.anon_key)
        .await;
    let seen = sent.json();
    assert_eq!(seen["method"], "PATCH");
    assert_eq!(seen["path"], "/seen/sub/path%20x");
    assert_eq!(seen["query"], "a=1&b=%20two");
    let header = |name: &str| seen_header(&seen, name);
    assert_eq!(header("x-region").as_deref(), Some("eu-west-3"));
    assert_eq!(header("x-client-info").as_deref(), Some("tests"));
    let bearer = format!("Bearer {}", app.anon_key);
    assert_eq!(header("authorization"), Some(bearer));
    assert_eq!(
        header("x-forwarded-host").as_deref(),
        Some(server.address())
    );
    assert_eq!(header("x-forwarded-proto").as_deref(), Some("http"));
    let port = server.address().rsplit_once(':').map(|(_, port)| port);
    assert_eq!(header("x-forwarded-port").as_deref(), port);
    let prefix = format!("/a/{}/functions/v1", app.name);
    assert_eq!(header("x-forwarded-prefix"), Some(prefix));
    assert_eq!(header("connection"), None, "hop-by-hop headers end here");
    assert_eq!(header("x-hop"), None, "and so do those it names");

    let routed = app.get("/api/v2/things?q").await.json();
    assert_eq!(routed["path"], "/api/v2/things");
    assert_eq!(routed["query"], "q");
}

#[tokio::test]
async fn every_method_of_the_dialect_arrives_and_no_other() {
    let app = TestServer::shared().await.app("methods").await;
    app.function(guest!("seen")).access("public").await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = app.call(method, "/functions/v1/seen").await;
        assert_eq!(answer.json()["method"], method);
    }
    let head = app.call("HEAD", "/functions/v1/seen").await;
    assert_snapshot!(head, @"200 ");
    for method in ["TRACE", "PROPFIND"] {
        let refused = app.call(method, "/functions/v1/seen").await;
        refused.is(r#"405 {"code":405,"message":"this method is not understood here"}"#);
    }
}

#[tokio::test]
async fn what_the_gateway_answers_itself() {
    let app = TestServer::shared().await.app("gateway").await;
    app.function(guest!("hello"))
        .function(guest!("hello").named("closed"))
        .access("service")
        .function(guest!("hello").named("members"))
        .access("authenticated")
        .route("/members")
        .await;

    let unknown = app.invoke("nope").await;
    assert_snapshot!(unknown, @r#"404 {"code":"NOT_FOUND","message":"Requested function was not found"}"#);
    assert_eq!(unknown.header("sb-error-code"), "NOT_FOUND");
    assert_eq!(unknown.header("content-type"), "application/json");

    let keyless = app.invoke("hello").without("authorization").await;
    assert_snapshot!(keyless, @r#"401 {"code":401,"message":"Missing authorization header"}"#);
    assert_eq!(keyless.header("sb-error-code"), "401");

    let wrong = app.invoke("hello").without("authorization").bearer("bad");
    assert_snapshot!(wrong.await, @r#"401 {"code":401,"message":"Invalid JWT"}"#);

    let denied = app.invoke("closed").await;
    assert_snapshot!(denied, @r#"403 {"code":403,"message":"this entry needs the service_role key"}"#);
    let allowed = app
        .invoke("closed")
        .without("authorization")
        .bearer(&app.service_role_key);
    assert_snapshot!(allowed.await, @"200 hello");

    let denied = app.invoke("members").await;
    assert_snapshot!(denied, @r#"403 {"code":403,"message":"this entry needs a signed-in user"}"#);
    let routed = app.get("/members").await;
    assert_snapshot!(routed, @r#"401 {"code":"auth.missing","message":"Missing authorization header","request_id":"[request id]"}"#);
    let nothing = app.get("/nothing/here").await;
    assert_snapshot!(nothing, @r#"404 {"code":"request.not_found","message":"there is nothing at this path","request_id":"[request id]"}"#);
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_reaches_the_function() {
    let app = TestServer::shared().await.app("preflight").await;
    app.function(guest!("seen")).await;
    let preflight = app.call("OPTIONS", "/functions/v1/seen").await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.json()["method"], "OPTIONS");
    let unknown = app.call("OPTIONS", "/functions/v1/nope").await;
    assert_eq!(unknown.status, 204);
    assert_eq!(unknown.header("access-control-allow-origin"), "*");
    let refused = app.call("POST", "/functions/v1/nope").await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_body_too_large_is_refused_whether_or_not_its_length_is_told() {
    const MAX: usize = 50 << 20;
    let app = TestServer::shared().await.app("large").await;
    app.function(guest!("echo"))
        .access("public")
        .function(guest!("hello"))
        .access("public")
        .await;
    // What is refused by its head is not read: nothing of the body is sent.
    let (told, _sender) = app
        .call("POST", "/functions/v1/echo")
        .header("content-length", &(MAX + 1).to_string())
        .body_channel();
    assert_snapshot!(told.await, @r#"413 {"code":413,"message":"the body has more than 52428800 bytes"}"#);
    let (most, _sender) = app
        .call("POST", "/functions/v1/hello")
        .header("content-length", &MAX.to_string())
        .body_channel();
    assert_snapshot!(most.await, @"200 hello");

    // Told in chunks, the head of the answer has gone out when it is known: the body breaks off.
    let (call, mut sender) = app.call("POST", "/functions/v1/echo").body_channel();
    let feed = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..=MAX / chunk.len() {
            if sender.send_data(chunk.clone()).await.is_err() {
                return;
            }
        }
    });
    let untold = call.await;
    feed.abort();
    assert!(
        untold.status == 413 || untold.broken,
        "{} bytes were let through",
        untold.body.len()
    );
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let app = TestServer::shared().await.app("stream").await;
    app.function(guest!("echo")).await;
    let (call, mut sender) = app
        .invoke("echo")
        .header("content-type", "text/plain")
        .body_channel();
    sender.send_data("one".into()).await.expect("it is read");
    let mut answer = call.stream().await;
    assert_eq!(answer.headers["content-type"], "text/plain");
    answer.read_until("one").await;
    // The second part is sent only after the first has come back.
    sender.send_data("two".into()).await.expect("it is read");
    answer.read_until("two").await;
    drop(sender);
    assert_eq!(answer.chunk().await.expect("it ends well"), None);
}

#[tokio::test]
async fn a_long_body_comes_back_whole() {
    let app = TestServer::shared().await.app("whole").await;
    app.function(guest!("echo")).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = app.invoke("echo").body(body.clone()).await;
    assert!(!answer.broken && answer.body == body);
}

#[tokio::test]
async fn what_a_function_sends_arrives_before_it_ends() {
    let app = TestServer::shared().await.app("sse").await;
    app.function(guest!("slow_stream")).await;
    let mut log = app.follow("").await;
    // The next part is an hour away, so what arrives does not wait for it.
    let mut answer = app
        .invoke("slow-stream?chunks=2&interval_ms=3600000")
        .stream()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.read_until("0\n").await, "0\n");
    log.find(|record| record["message"] == "sent 0").await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_function() {
    let app = TestServer::shared().await.app("leave").await;
    app.function(guest!("slow_stream")).await;
    let mut answer = app
        .invoke("slow-stream?chunks=2&interval_ms=3600000")
        .stream()
        .await;
    answer.read_until("0\n").await;
    let request_id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    drop(answer);
    let outcome = app.outcome(&request_id).await;
    assert_eq!(outcome["outcome"], "cancelled");
    assert_eq!(outcome["component"], "slow-stream");
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_begins_cancels_too() {
    let app = TestServer::start().await.app("leave").await;
    app.function(guest!("park")).await;
    let parked = tokio::spawn(app.invoke("park").into_future());
    crate::until_running(&app.server, 1).await;
    parked.abort();
    let mut log = app.follow("&component=park").await;
    let outcome = log.find(|record| record["type"] == "invocation").await;
    assert_eq!(outcome["outcome"], "cancelled");
    assert_eq!(crate::running(&app.server).await, 0);
}

#[tokio::test]
async fn answers_of_every_form_pass_as_they_are() {
    let app = TestServer::shared().await.app("answers").await;
    app.function(guest!("answers")).await;
    let get = |form: &str| app.invoke(&format!("answers?as={form}"));
    assert_snapshot!(get("text").await, @"200 text");
    let echoed = get("json").json(&json!({ "n": 1 })).await;
    assert_eq!(echoed.header("content-type"), "application/json");
    assert_snapshot!(echoed, @r#"200 {"got":{"n":1}}"#);
    assert_eq!(get("json").body("{").await.status, 400);
    assert_eq!(get("bytes").await.body, &[0, 159, 146, 150][..]);
    let empty = get("empty").await;
    assert_snapshot!(empty, @"204 ");
    assert_eq!(empty.header("content-type"), "");
    assert_snapshot!(get("status").await, @"418 short and stout");
    let cookies = get("cookies").await;
    let cookies: Vec<_> = cookies.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_snapshot!(get("refusal").await, @r#"409 {"code":"already_there","message":"there is one already"}"#);
    // Whether the head was on its way when the body broke is a matter of luck.
    if let Ok(broken) = get("broken_stream").attempt().await {
        assert!(broken.broken && "the first line\n".starts_with(&broken.text()));
    }
}

#[tokio::test]
async fn a_cause_goes_to_the_log_and_not_to_the_client() {
    let app = TestServer::shared().await.app("cause").await;
    app.function(guest!("answers")).await;
    for form in ["cause", "bad_header"] {
        let answer = app.invoke(&format!("answers?as={form}")).await;
        assert_eq!(answer.status, 500);
        assert!(!answer.text().contains("the cause") && !answer.text().contains("bad"));
    }
    let records = app.records().await;
    let told = |part: &str| {
        records
            .iter()
            .any(|record| record.to_string().contains(part))
    };
    assert!(told("the cause"), "{records:#?}");
}

#[tokio::test]
async fn an_exact_route_wins_over_a_prefix_and_both_over_files() {
    let app = TestServer::shared().await.app("routes").await;
    app.function(guest!("answers").named("exact"))
        .access("public")
        .route("/docs/hello")
        .function(guest!("seen").named("long"))
        .access("public")
        .route("/docs/deep/*")
        .function(guest!("hello").named("short"))
        .access("public")
        .route("/docs/*")
        .file("docs/hello", "the file behind the exact route")
        .file("docs/other.txt", "the file behind the prefix")
        .file("index.html", "home")
        .file("documents.txt", "beside")
        .await;
    assert_snapshot!(app.get("/docs/hello").await, @"200 text");
    assert_snapshot!(app.get("/docs/other.txt").await, @"200 hello");
    assert_eq!(app.get("/docs/deep/x").await.json()["path"], "/docs/deep/x");
    assert_snapshot!(app.get("/docs").await, @"200 hello");
    assert_snapshot!(app.get("/documents.txt").await, @"200 beside");
    assert_snapshot!(app.get("/").await, @"200 home");
}

#[tokio::test]
async fn each_request_has_an_id_that_the_log_knows() {
    let app = TestServer::shared().await.app("ids").await;
    app.function(guest!("hello")).await;
    let (first, second) = (app.invoke("hello").await, app.invoke("hello").await);
    assert_eq!(first.request_id().len(), 32);
    assert_ne!(first.request_id(), second.request_id());
    let outcome = app.outcome(second.request_id()).await;
    assert_eq!(outcome["kind"], "function");
    assert_eq!(outcome["component"], "hello");
    assert_eq!(outcome["revision"], 1);
    assert_eq!(outcome["outcome"], "ok");
    for figure in [
        "fuel",
        "cpu_us",
        "wall_us",
        "memory_peak_bytes",
        "host_calls",
    ] {
        assert!(outcome[figure].as_u64() > Some(0), "{figure}: {outcome}");
    }
}

#[tokio::test]
async fn the_same_call_costs_the_same_fuel() {
    let app = TestServer::shared().await.app("fuel").await;
    app.function(guest!("json_work"))
        .function(guest!("float_work"))
        .function(guest!("memory_work"))
        .await;
    for function in ["json-work", "float-work?rows=2", "memory-work?steps=10"] {
        let mut fuel = Vec::new();
        for _ in 0..3 {
            let answer = app.invoke(function).await;
            assert_eq!(answer.status, 200, "{answer}");
            fuel.push(app.outcome(answer.request_id()).await["fuel"].clone());
        }
        assert!(
            fuel.iter().all(|one| *one == fuel[0]),
            "{function}: {fuel:?}"
        );
    }
}

#[tokio::test]
async fn parts_of_the_dialect_that_are_not_here_are_no_files_of_the_app() {
    let app = TestServer::shared().await.app("dialect").await;
    app.file("auth/v1/token", "a file").await;
    let auth = app.get("/auth/v1/token").await;
    assert_eq!(
        (auth.status, auth.header("x-sb-error-code")),
        (404, "validation_failed")
    );
    for path in ["/storage/v1", "/realtime/v1/x"] {
        let answer = app.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (404, json!("request.not_found"))
        );
    }
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let server = TestServer::shared().await;
    let app = server.app("pipelined").await;
    app.function(guest!("hello"))
        .access("public")
        .function(guest!("slow_stream"))
        .access("public")
        .await;
    let request = |function: &str| {
        let name = &app.name;
        format!("GET /a/{name}/functions/v1/{function} HTTP/1.1\r\nhost: x\r\n\r\n")
    };
    // What follows is half a request, an empty line that some clients send, or a whole one behind a stream.
    for sent in [
        request("hello") + "GET /a/",
        request("hello") + "\r\n",
        request("slow-stream?interval_ms=3600000") + &request("hello"),
    ] {
        let line = pumice_tests::raw(server.address(), sent.as_bytes()).await;
        assert_eq!(line, "HTTP/1.1 200 OK", "{sent}");
    }
}
