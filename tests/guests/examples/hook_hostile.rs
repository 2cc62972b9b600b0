//! Every hook, and each does harm where the address says so: `spin@` and `panic@` before the user is made,
//! `write@` tries to change something there and refuses with what it was told; `list@` gives metadata, and `array@`
//! claims, that are no object; `huge@` claims 9 KiB, `service@` the service's role, `idle@` spins over the claims and
//! `refused@` has them refused.
//! No message is ever sent: the hook spins. Whoever has no such address is left alone.

use std::fmt::Display;

use pumice::{
    ClaimsRequest, Decision, Message, NewUser, Rejection, cache, data, jobs, messaging, reject,
};
use serde_json::{Value, json};

#[pumice::before_user_created]
fn check(user: NewUser) -> Result<Decision, Rejection> {
    match name(user.email.as_deref()) {
        "spin" => spin(),
        "panic" => panic!("on purpose"),
        "write" => Err(reject("wrote", written())),
        "list" => Ok(Decision::Replace {
            user_metadata: json!([]),
            app_metadata: json!([]),
        }),
        _ => Ok(Decision::Allow),
    }
}

#[pumice::custom_claims]
fn claims(request: ClaimsRequest) -> Result<Value, Rejection> {
    let mut claims = request.claims;
    let email = claims["email"].as_str().map(str::to_owned);
    match name(email.as_deref()) {
        "array" => return Ok(json!([])),
        "huge" => claims["huge"] = "x".repeat(9 << 10).into(),
        "service" => claims["role"] = "service_role".into(),
        "idle" => spin(),
        "refused" => return Err(reject("no_token", "no token for you")),
        _ => {}
    }
    Ok(claims)
}

#[pumice::send_message]
fn send(_: Message) {
    spin()
}

fn name(email: Option<&str>) -> &str {
    email
        .unwrap_or_default()
        .split('@')
        .next()
        .unwrap_or_default()
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

/// What each way to change something answers.
fn written() -> String {
    let told = [
        said(data::table("sent").as_app().insert(&json!({ "to": "x" }))),
        said(data::sql("delete from sent", data::params![])),
        said(jobs::enqueue("none", &json!({}))),
        said(messaging::publish(
            messaging::Target::Everyone,
            "none",
            &json!({}),
        )),
        said(cache::set("none", b"x", None)),
    ];
    told.join("; ")
}

fn said<T, E: Display>(outcome: Result<T, E>) -> String {
    match outcome {
        Ok(_) => "ok".into(),
        Err(error) => error.to_string(),
    }
}
