//! Bodies that no client sends: each is refused, and none breaks anything.

use futures_util::future::join_all;
use pumice_tests::{App, Engine, PASSWORD, SignedIn, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    what_is_no_body_is_refused_everywhere,
    text_that_a_database_cannot_keep_is_refused,
);

/// Bodies of each route.
const BODIES: usize = 300;
const AT_ONCE: usize = 16;
const ID: &str = "00000000-0000-4000-8000-000000000001";

async fn app(engine: Engine) -> App {
    let server = engine.server_with("mailbox = true").await;
    let app = server.app("malformed").await;
    app.users(
        "anonymous = true\nphone = true\ntest_codes = { \"49151\" = \"424242\" }
[auth.rates]\nsign_up = 1000000\nsign_in = 1000000\nsign_in_address = 1000000\nrefresh = 1000000
verify = 1000000\nmail = 1000000\nmail_app = 1000000\nmail_address = 1000000\nanonymous = 1000000
factor = 1000000\nfactor_user = 1000000",
    )
    .await;
    app
}

/// Numbers that are the same each time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Members that some route reads.
const NAMES: [&str; 26] = [
    "email",
    "phone",
    "password",
    "data",
    "user_metadata",
    "app_metadata",
    "refresh_token",
    "auth_code",
    "code_verifier",
    "code_challenge",
    "code_challenge_method",
    "id_token",
    "nonce",
    "provider",
    "type",
    "token",
    "token_hash",
    "create_user",
    "channel",
    "factor_type",
    "friendly_name",
    "challenge_id",
    "code",
    "ban_duration",
    "role",
    "id",
];

/// A value as JSON, of a sort that is seldom asked for.
fn value(chance: &mut Chance) -> String {
    let deep = 1 + chance.below(300);
    match chance.below(16) {
        0 => chance
            .of(&["null", "true", "false", "{}", "[]", "\"\""])
            .to_owned(),
        1 => chance
            .of(&[
                "0",
                "-1",
                "1e308",
                "-0.0",
                "1e400",
                "18446744073709551616",
                "0.1e-999",
            ])
            .to_owned(),
        2 => "9".repeat(deep),
        3 => format!("{}1{}", "[".repeat(deep), "]".repeat(deep)),
        4 => format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep)),
        5 => chance
            .of(&[
                "\"\\ud800\"",
                "\"\\udc00\\ud800\"",
                "\"\\ud83d\\ude00\"",
                "\"\\uffff\"",
            ])
            .to_owned(),
        6 => format!("\"{}\"", "x".repeat(1 << chance.below(17))),
        7 => chance
            .of(&[
                "\"a@b.co\"",
                "\"A@B.CO \"",
                "\"@\"",
                "\"a@b.co\\r\\nBcc: x@y.z\"",
                "\"ä@b.co\"",
            ])
            .to_owned(),
        8 => format!("\"{ID}\""),
        9 => "[\"a@b.co\"]".to_owned(),
        10 => "{\"$ne\":null}".to_owned(),
        11 => chance
            .of(&[
                "\"signup\"",
                "\"email\"",
                "\"sms\"",
                "\"totp\"",
                "\"s256\"",
                "\"24h\"",
                "\"-9223372036854775808h\"",
            ])
            .to_owned(),
        12 => chance
            .of(&[
                "\"' or 1=1 --\"",
                "\"$1\"",
                "\"\\\\\"",
                "\"%00\"",
                "\"\u{202e}\"",
            ])
            .to_owned(),
        13 => "\"+49151\"".to_owned(),
        14 => "[[],{},[{}],null,1.5,\"\"]".to_owned(),
        _ => format!("{{\"{}\":\"{}\"}}", chance.of(&NAMES), "y".repeat(deep)),
    }
}

fn object(chance: &mut Chance) -> String {
    let mut members: Vec<String> = (0..chance.below(6))
        .map(|_| format!("\"{}\":{}", chance.of(&NAMES), value(chance)))
        .collect();
    if let (0, Some(first)) = (chance.below(4), members.first().cloned()) {
        // The same name twice.
        members.push(first);
    }
    format!("{{{}}}", members.join(","))
}

/// A body, whether it is a form, and whether it is one that has to be refused whoever reads it.
fn body(chance: &mut Chance) -> (Vec<u8>, bool, bool) {
    let whole = object(chance).into_bytes();
    let cut = chance.below(whole.len().max(1));
    match chance.below(10) {
        0 => (whole[..cut].to_vec(), false, cut > 0),
        1 => (value(chance).into_bytes(), false, false),
        2 => (format!("[{}]", object(chance)).into_bytes(), false, true),
        3 => {
            let mut broken = whole;
            broken.insert(cut, chance.below(256) as u8);
            (broken, false, false)
        }
        4 => ([b"\xef\xbb\xbf", &whole[..]].concat(), false, true),
        5 => (
            (0..chance.below(64))
                .map(|_| chance.below(256) as u8)
                .collect(),
            false,
            false,
        ),
        6 => {
            let name = chance.of(&NAMES);
            let form = format!("{name}=%ff%zz&{name}&=&&{name}[]={}", value(chance));
            (form.into_bytes(), true, false)
        }
        7 => ([&whole[..], b"{}"].concat(), false, true),
        _ => (whole, false, false),
    }
}

/// Each route that reads a body, with who is let in.
fn routes() -> Vec<(&'static str, String, Who)> {
    let of = |who: Who, method: &'static str, paths: &[&str]| -> Vec<_> {
        paths
            .iter()
            .map(|path| (method, path.replace("{id}", ID), who))
            .collect()
    };
    [
        of(
            Who::Client,
            "POST",
            &[
                "/signup",
                "/token?grant_type=password",
                "/token?grant_type=refresh_token",
                "/token?grant_type=pkce",
                "/token?grant_type=id_token",
                "/token?grant_type=web3",
                "/token",
                "/otp",
                "/magiclink",
                "/recover",
                "/resend",
                "/verify",
                "/callback",
                "/sso",
            ],
        ),
        of(
            Who::User,
            "POST",
            &[
                "/factors",
                "/factors/{id}/challenge",
                "/factors/{id}/verify",
                "/factors/recovery_codes",
                "/logout?scope=none",
            ],
        ),
        of(Who::User, "PUT", &["/user"]),
        of(
            Who::Admin,
            "POST",
            &[
                "/invite",
                "/admin/generate_link",
                "/admin/users",
                "/admin/permissions/grants",
                "/admin/permissions/check",
                "/admin/permissions/explain",
            ],
        ),
        of(
            Who::Admin,
            "PUT",
            &[
                "/admin/users/{id}",
                "/admin/permissions/namespaces/shop",
                "/admin/permissions/roles/clerk",
            ],
        ),
    ]
    .concat()
}

#[derive(Clone, Copy)]
enum Who {
    Client,
    User,
    Admin,
}

async fn what_is_no_body_is_refused_everywhere(engine: Engine) {
    let app = app(engine).await;
    let user = json!({ "email": "ada@example.com", "password": PASSWORD, "email_confirm": true });
    let made = app.admin("POST", "/admin/users").json(&user).await;
    assert_eq!(made.status, 200, "{made}");
    let ada = app.sign_in("ada@example.com").await;
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for (method, path, who) in routes() {
        let bodies: Vec<_> = (0..BODIES).map(|_| body(&mut chance)).collect();
        for bodies in bodies.chunks(AT_ONCE) {
            let answers = bodies.iter().map(|(body, form, _)| {
                let call = app.auth(method, &path).body(body.clone());
                let call = match form {
                    true => call.header("content-type", "application/x-www-form-urlencoded"),
                    false => call.header("content-type", "application/json"),
                };
                match who {
                    Who::Client => call,
                    Who::User => call.bearer(&ada.access),
                    Who::Admin => call.bearer(&app.service_role_key),
                }
                .into_future()
            });
            for (answer, (body, _, wrong)) in join_all(answers).await.iter().zip(bodies) {
                let shown = String::from_utf8_lossy(&body[..body.len().min(500)]);
                assert!(answer.status < 500, "{method} {path} {shown:?}: {answer}");
                if *wrong && path != "/callback" {
                    assert!(answer.status >= 400, "{method} {path} {shown:?}: {answer}");
                }
                refused += usize::from(answer.status >= 400);
            }
        }
    }
    assert!(refused > routes().len() * BODIES / 2, "{refused}");
    // Everything goes on.
    assert_eq!(app.user(&ada).await.status, 200);
    SignedIn::of(&app.refresh(&ada.refresh).await);
    // Among what was sent there may have been a password.
    let path = format!("/admin/users/{}", ada.id());
    let set = app
        .admin("PUT", &path)
        .json(&json!({ "password": PASSWORD }))
        .await;
    assert_eq!(set.status, 200, "{set}");
    app.sign_in("ada@example.com").await;
}

/// PostgreSQL keeps no U+0000, and an app that moves there must not find out then.
async fn text_that_a_database_cannot_keep_is_refused(engine: Engine) {
    let app = app(engine).await;
    let user = json!({ "email": "ada@example.com", "password": PASSWORD, "email_confirm": true });
    let made = app.admin("POST", "/admin/users").json(&user).await;
    assert_eq!(made.status, 200, "{made}");
    let ada = app.sign_in("ada@example.com").await;
    let factor = json!({ "factor_type": "totp", "friendly_name": "my\0phone" });
    let one = format!("/admin/users/{}", ada.id());
    let (email, new) = ("eve@example.com", "new@example.com");
    let cases: Vec<(&str, &str, Value, Who)> = vec![
        (
            "POST",
            "/signup",
            json!({ "data": { "x": "\0" } }),
            Who::Client,
        ),
        (
            "POST",
            "/signup",
            json!({ "data": { "\0": "x" } }),
            Who::Client,
        ),
        (
            "POST",
            "/signup",
            json!({ "email": email, "password": PASSWORD, "data": { "x": ["a\0"] } }),
            Who::Client,
        ),
        (
            "POST",
            "/otp",
            json!({ "email": email, "data": { "x": "\0" } }),
            Who::Client,
        ),
        (
            "POST",
            "/token?grant_type=password",
            json!({ "email": "a\0@b.co", "password": PASSWORD }),
            Who::Client,
        ),
        (
            "POST",
            "/verify",
            json!({ "type": "email", "token_hash": "\0" }),
            Who::Client,
        ),
        ("PUT", "/user", json!({ "data": { "x": "\0" } }), Who::User),
        ("POST", "/factors", factor, Who::User),
        (
            "POST",
            "/admin/users",
            json!({ "email": new, "app_metadata": { "x": "\0" } }),
            Who::Admin,
        ),
        (
            "PUT",
            &one,
            json!({ "user_metadata": { "x": "\0" } }),
            Who::Admin,
        ),
        (
            "POST",
            "/admin/generate_link",
            json!({ "type": "magiclink", "email": new, "data": { "x": "\0" } }),
            Who::Admin,
        ),
        (
            "POST",
            "/invite",
            json!({ "email": new, "data": { "x": "\0" } }),
            Who::Admin,
        ),
        ("GET", "/admin/users?filter=%00", Value::Null, Who::Admin),
        ("GET", "/admin/audit?query=%00", Value::Null, Who::Admin),
        (
            "POST",
            "/admin/permissions/explain",
            json!({ "key": "\0", "permission": "shop.sell" }),
            Who::Admin,
        ),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, who) in cases {
        let call = app.auth(method, path);
        let call = match who {
            Who::Client => call,
            Who::User => call.bearer(&ada.access),
            Who::Admin => call.bearer(&app.service_role_key),
        };
        let answer = call.json(&body).await;
        // A search finds nothing as well.
        let fits = answer.status < 500 && (method == "GET" || answer.status >= 400);
        if !fits || answer.text().contains("invalid byte sequence") {
            wrong.push(format!("{method} {path} {body}: {answer}"));
        }
    }
    if !wrong.is_empty() {
        app.server.expect_error("");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let users = app.admin("GET", "/admin/users").await;
    assert_eq!(users.header("x-total-count"), "1", "{users}");
}
