//! Whoever asks about an address learns nothing, whether it has an account or not: the same answers, and
//! the same work before them.

use std::collections::BTreeSet;

use pumice_tests::smtp::Sink;
use pumice_tests::{Answer, App, Call, Engine, PASSWORD, TestServer, in_time, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(known_and_new_addresses_are_the_same_to_whoever_asks);

const EACH: usize = 20;

async fn app(engine: Engine, sink: &Sink) -> App {
    let settings = format!(
        "smtp_url = \"{}\"\nmail_from = \"Pumice <no-reply@pumice.example>\"",
        sink.url()
    );
    let server = TestServer::on(engine, &settings, &[]).await;
    let app = server.app("counts").await;
    app.users(
        "[auth.rates]\nsign_up = 100000\nsign_in = 100000\nsign_in_address = 100000
mail = 100000\nmail_app = 100000\nmail_address = 100000\nverify = 100000",
    )
    .await;
    for n in 0..EACH {
        let body = json!({ "email": known(n), "password": PASSWORD, "email_confirm": true });
        let made = app.admin("POST", "/admin/users").json(&body).await;
        assert_eq!(made.status, 200, "{made}");
    }
    app
}

fn known(n: usize) -> String {
    format!("user{n:02}@example.com")
}

/// As long as those of [`known`], so that answers are as well.
fn unknown(n: usize) -> String {
    format!("none{n:02}@example.com")
}

async fn counter(app: &App, name: &str) -> u64 {
    let metrics = app.server.call("GET", "/metrics").await.text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let number = line.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no counter {name}: {metrics}"))
}

/// What a client can see of an answer: status, names of headers, and a body in which ids, times and the
/// address are the same for all.
fn seen(answer: &Answer, address: &str) -> String {
    let names: BTreeSet<&str> = answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    let lengths =
        ["content-type", "cache-control", "content-length"].map(|name| answer.header(name));
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    blur(&mut body, address);
    format!("{} {names:?} {lengths:?} {body}", answer.status)
}

fn blur(value: &mut Value, address: &str) {
    match value {
        Value::Object(object) => object.values_mut().for_each(|inner| blur(inner, address)),
        Value::Array(list) => list.iter_mut().for_each(|inner| blur(inner, address)),
        Value::String(text) => {
            let digits = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
            if text.len() == 36 && text.split('-').count() == 5 {
                *text = "[id]".into();
            } else if text.ends_with('Z') && digits(0) && digits(3) {
                *text = "[time]".into();
            } else if text == address {
                *text = "[address]".into();
            }
        }
        _ => {}
    }
}

/// What the requests about addresses come to.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    answers: BTreeSet<String>,
    hashes: u64,
}

async fn ask(app: &App, address: fn(usize) -> String, call: fn(&App, &str) -> Call) -> Came {
    let before = counter(app, "pumice_password_hashes_total").await;
    let mut answers = BTreeSet::new();
    for n in 0..EACH {
        let address = address(n);
        answers.insert(seen(&call(app, &address).await, &address));
    }
    Came {
        answers,
        hashes: counter(app, "pumice_password_hashes_total").await - before,
    }
}

fn sign_in(app: &App, address: &str) -> Call {
    app.try_sign_in(address, "a wrong password of nobody")
}

fn sign_up(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "password": PASSWORD, "data": { "name": "Ada" } });
    app.auth("POST", "/signup").json(&body)
}

fn weak_sign_up(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "password": "short" });
    app.auth("POST", "/signup").json(&body)
}

fn recover(app: &App, address: &str) -> Call {
    let body = json!({ "email": address });
    app.auth("POST", "/recover").json(&body)
}

fn otp(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "create_user": true });
    app.auth("POST", "/otp").json(&body)
}

fn otp_of_known(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "create_user": false });
    app.auth("POST", "/otp").json(&body)
}

fn resend(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "type": "signup" });
    app.auth("POST", "/resend").json(&body)
}

fn verify(app: &App, address: &str) -> Call {
    let body = json!({ "email": address, "type": "email", "token": "000000" });
    app.auth("POST", "/verify").json(&body)
}

async fn known_and_new_addresses_are_the_same_to_whoever_asks(engine: Engine) {
    let sink = Sink::start().await;
    let app = app(engine, &sink).await;
    let each = EACH as u64;
    // Each with what it costs, and how many mails go to addresses with and without an account. What mails
    // do differ by is seen by whoever has the address alone.
    type Case = (&'static str, fn(&App, &str) -> Call, u64, [u64; 2]);
    let cases: [Case; 8] = [
        ("sign-in", sign_in, each, [0, 0]),
        ("recover", recover, 0, [each, 0]),
        ("resend", resend, 0, [0, 0]),
        ("otp of a user", otp_of_known, 0, [each, 0]),
        ("verify", verify, 0, [0, 0]),
        ("weak sign-up", weak_sign_up, 0, [0, 0]),
        ("sign-up", sign_up, each, [each, each]),
        // Whoever was not known has signed up by now, and has not confirmed.
        ("otp", otp, 0, [each, each]),
    ];
    let mut mails = 0;
    for (name, call, hashes, [to_known, to_unknown]) in cases {
        let known = ask(&app, known, call).await;
        let unknown = ask(&app, unknown, call).await;
        assert_eq!(known.answers.len(), 1, "{name}: {:#?}", known.answers);
        assert_eq!(known, unknown, "{name}");
        assert_eq!(known.hashes, hashes, "{name}");
        mails += to_known + to_unknown;
        for _ in 0..to_known + to_unknown {
            sink.next().await;
        }
        in_time("mails to be counted", async {
            while counter(&app, "pumice_mails_total").await < mails {}
        })
        .await;
    }
    // The last mail there is.
    let last = json!({ "to": "last@example.com" });
    let sent = app.platform("POST", "/mail/test").json(&last).await;
    assert_eq!(sent.status, 200, "{sent}");
    assert_eq!(sink.next().await.to, ["last@example.com"]);
    assert_eq!(counter(&app, "pumice_mails_total").await, mails + 1);
    assert!(sink.is_empty().await);
    let fresh = |n: usize| format!("next{n:02}@example.com");
    // With nobody of that name at all.
    let known = ask(&app, known, otp).await;
    let unknown = ask(&app, fresh, otp).await;
    assert_eq!(known, unknown);
}
