//! Calls one function of each interface that has no service behind it yet, by bindings made from `wit/` and
//! not by the SDK, and answers the names of the errors: `{"mail": "not-configured", …}`.

use serde_json::{Value, json};
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    path: "../../wit",
    world: "function",
    generate_all,
});

use self::pumice::platform::{mail, push};

struct PlatformStubs;

export!(PlatformStubs);

impl exports::wasi::http::incoming_handler::Guest for PlatformStubs {
    fn handle(_: IncomingRequest, response_out: ResponseOutparam) {
        let body_text = answers().to_string();
        let headers = Fields::new();
        headers
            .append("content-type", b"application/json")
            .expect("the name and the value are valid");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(response_out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        if stream
            .blocking_write_and_flush(body_text.as_bytes())
            .is_ok()
        {
            drop(stream);
            // The client may be gone; then nobody is left to tell.
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn answers() -> Value {
    let notification = push::Notification {
        title: None,
        body: None,
        data: "{}".into(),
    };
    let message = mail::Message {
        to: vec!["ada@example.com".into()],
        subject: "none".into(),
        text: "none".into(),
        html: None,
    };
    json!({
        "push": name(
            push::send(&push::Target::Topic("news".into()), &notification),
            |error| matches!(error, push::Error::NotConfigured),
        ),
        "mail": name(mail::send(&message), |error| matches!(error, mail::Error::NotConfigured)),
    })
}

fn name<T, E: std::fmt::Debug>(
    result: Result<T, E>,
    is_not_configured: impl FnOnce(&E) -> bool,
) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) if is_not_configured(&error) => "not-configured".into(),
        Err(error) => format!("{error:?}"),
    }
}
