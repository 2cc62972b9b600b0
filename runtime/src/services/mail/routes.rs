//! `/dev/mail`: the developer's mailbox, for as long as no SMTP server is set up.
//!
//! It shows codes that open accounts, so that it answers this machine alone: the peer is a loopback
//! address, no proxy has passed the request on, and the host it was asked for is this machine's too.
//! (A page of the internet can have its own name lead here; its requests carry that name.)

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, FORWARDED, HOST, REFERRER_POLICY,
    VIA, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::json;

use super::mailbox::Kept;
use super::{Mailer, Way};
use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::error::{self, RequestError};

/// The mailbox's page; `/dev/mail.json` and `/dev/mail/<id>` belong to it.
pub const DEV_MAIL: &str = "/dev/mail";

/// What the pages may do: show themselves, and a mail in a frame.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// What a mail may do: be looked at, and have its links opened elsewhere.
const MAIL_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:; frame-ancestors 'self'";

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    let pages = [
        ("style.html", include_str!("style.html")),
        ("list.html", include_str!("list.html")),
        ("mail.html", include_str!("mail.html")),
    ];
    for (name, text) in pages {
        if let Err(error) = env.add_template(name, text) {
            tracing::error!(%error, name, "a page of the mailbox is faulty");
        }
    }
    env
});

impl Mailer {
    /// Whether a request is the mailbox's to answer: otherwise the path is the app's.
    pub fn shows(&self, request: &AppRequest) -> bool {
        let rest = request.path().strip_prefix(DEV_MAIL);
        let ours = rest.is_some_and(|rest| matches!(rest, "" | ".json") || rest.starts_with('/'));
        ours && self.0.settings.mailbox && matches!(self.way(&request.app), Ok(Way::Kept { .. }))
    }

    /// Answers what [`shows`](Self::shows) has found to be the mailbox's.
    pub async fn answer(&self, incoming: AppRequest) -> Response<Body> {
        let (method, request) = (incoming.request.method(), &incoming.request);
        let not_found = || error::own(&RequestError::NotFound.into(), incoming.request_id);
        if !incoming.peer.address.to_canonical().is_loopback() || !is_local(request) {
            return not_found();
        }
        let query = request.uri().query().unwrap_or_default();
        let to = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "to");
        let to = to.as_ref().map(|(_, value)| value.as_ref());
        let mailbox = &incoming.app.mailbox;
        let rest = incoming.path().strip_prefix(DEV_MAIL).unwrap_or_default();
        match (method, rest) {
            (&Method::DELETE, "" | ".json") => {
                mailbox.clear(to);
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            (&Method::GET, ".json") => {
                let mails = mailbox.mails(to);
                let text = serde_json::to_string(&mails).unwrap_or_else(|_| "[]".to_owned());
                page(text, "application/json", PAGE_POLICY)
            }
            (&Method::GET, "") => {
                let mails = mailbox.mails(to);
                let query = to.map(|to| {
                    url::form_urlencoded::byte_serialize(to.as_bytes()).collect::<String>()
                });
                let shown =
                    json!({ "app": incoming.app.name, "to": to, "query": query, "mails": mails });
                html("list.html", &shown)
            }
            (&Method::GET, rest) => {
                let id = rest.trim_start_matches('/');
                let (id, inner) = match id.strip_suffix(".html") {
                    Some(id) => (id, true),
                    None => (id, false),
                };
                match mailbox.mail(id) {
                    Some(mail) if inner => body(&mail),
                    Some(mail) => html("mail.html", &json!({ "mail": *mail })),
                    None => not_found(),
                }
            }
            _ => {
                let mut response = error::own(&RequestError::Method.into(), incoming.request_id);
                let allowed = HeaderValue::from_static("GET, DELETE");
                response.headers_mut().insert(ALLOW, allowed);
                response
            }
        }
    }
}

/// Whether the request was made for this machine, and by nobody else's order.
fn is_local<T>(request: &Request<T>) -> bool {
    let headers: &HeaderMap = request.headers();
    let proxied = [
        FORWARDED,
        VIA,
        HeaderName::from_static("x-forwarded-for"),
        HeaderName::from_static("x-forwarded-host"),
        HeaderName::from_static("x-forwarded-proto"),
        HeaderName::from_static("x-real-ip"),
    ];
    if proxied.iter().any(|name| headers.contains_key(name)) {
        return false;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let asked = [request.uri().host(), host];
    let mut asked = asked.into_iter().flatten().peekable();
    asked.peek().is_some() && asked.all(is_local_host)
}

/// Whether a host, with or without a port, is a name or an address of this machine.
fn is_local_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    // RFC 6761: these names lead here and nowhere else.
    let name = host.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn html(name: &str, shown: &serde_json::Value) -> Response<Body> {
    let text = PAGES
        .get_template(name)
        .and_then(|template| template.render(Serde(shown)));
    match text {
        Ok(text) => page(text, "text/html; charset=utf-8", PAGE_POLICY),
        Err(error) => {
            tracing::error!(%error, "a page of the mailbox could not be made");
            let mut response = page(String::new(), "text/plain", PAGE_POLICY);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The mail's own HTML. Its links open in a window of their own.
fn body(mail: &Arc<Kept>) -> Response<Body> {
    let text = mail.html.as_deref().unwrap_or_default();
    let text = format!("<base target=\"_blank\">{text}");
    page(text, "text/html; charset=utf-8", MAIL_POLICY)
}

fn page(text: String, content_type: &'static str, policy: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_for_this_machine_are_local() {
        let check = |host: Option<&str>, extra: Option<(&str, &str)>, expect: bool| {
            let mut request = Request::builder().uri("/dev/mail");
            for (name, value) in host.map(|host| ("host", host)).into_iter().chain(extra) {
                request = request.header(name, value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(is_local(&request), expect, "{host:?} {extra:?}");
        };
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "shop.localhost:8787",
            "127.0.0.1:8787",
            "127.3.2.1",
            "[::1]:8787",
        ] {
            check(Some(host), None, true);
            check(Some(host), Some(("x-forwarded-for", "127.0.0.1")), false);
            check(Some(host), Some(("forwarded", "for=127.0.0.1")), false);
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "10.0.0.1",
            "0.0.0.0",
            "user@evil.example",
            "",
        ] {
            check(Some(host), None, false);
        }
        check(None, None, false);
        // The absolute form says it twice.
        let both = Request::builder()
            .uri("http://evil.example/dev/mail")
            .header("host", "localhost")
            .body(())
            .unwrap();
        assert!(!is_local(&both));
    }

    #[test]
    fn the_pages_can_be_made_and_escape() {
        let mail = json!({
            "id": "1", "template": "invite", "from": "a@b", "to": "<b>@c", "subject": "<script>",
            "text": "t <i>", "html": "<p>", "links": ["http://x/?a=1&b=2"], "token": "123456",
            "created_at": "2026-01-01T00:00:00.000Z",
        });
        for (name, shown) in [
            (
                "list.html",
                json!({ "app": "shop", "mails": [mail], "to": null }),
            ),
            (
                "list.html",
                json!({ "app": "shop", "mails": [], "to": "a@b" }),
            ),
            ("mail.html", json!({ "mail": mail })),
        ] {
            let template = PAGES.get_template(name).unwrap();
            let text = template.render(Serde(&shown)).unwrap();
            assert!(
                !text.contains("<script>") && !text.contains("<b>@c"),
                "{text}"
            );
        }
    }
}
