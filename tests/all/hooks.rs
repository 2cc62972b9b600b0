//! Hooks: the app's say in how its users sign up and in.

use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use pumice_tests::{
    Answer, App, Bundle, Engine, Guest, TestServer, guest, in_time, on_both_engines, repository,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::cli::javascript;

on_both_engines!(
    a_refused_user_is_told_why_and_is_not_there,
    a_new_user_has_the_metadata_of_the_hook,
    claims_of_the_hook_are_in_tokens_and_policies,
    the_hook_has_the_code_and_no_mail_is_sent,
    hooks_in_javascript,
);

const PASSWORD: &str = "correct horse battery";

/// Sign-ups that need no mail.
const AUTOCONFIRM: &str = "[auth]\nautoconfirm = true\nanonymous = true";

fn auth(app: &App, method: &str, path: &str) -> pumice_tests::Call {
    app.call(method, &format!("/auth/v1/{path}"))
        .header("apikey", &app.anon_key)
        .header("x-supabase-api-version", "2024-01-01")
}

async fn sign_up(app: &App, email: &str) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD, "data": { "name": "Ada" } });
    auth(app, "POST", "signup").json(&body).await
}

async fn sign_in(app: &App, email: &str) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD });
    auth(app, "POST", "token?grant_type=password")
        .json(&body)
        .await
}

/// The addresses of the app's users, in order.
async fn users(app: &App) -> Vec<String> {
    let listed = app
        .call("GET", "/auth/v1/admin/users")
        .header("apikey", &app.service_role_key)
        .bearer(&app.service_role_key)
        .await;
    assert_eq!(listed.status, 200, "{listed}");
    let listed = listed.json();
    let users = listed["users"].as_array().expect("it is a list").iter();
    let email = |user: &Value| user["email"].as_str().expect("it is text").to_owned();
    let mut emails: Vec<String> = users.map(email).collect();
    emails.sort();
    emails
}

/// A user made by whoever has the service key, which no hook is asked about.
async fn make_user(app: &App, email: &str) {
    let made = app
        .call("POST", "/auth/v1/admin/users")
        .header("apikey", &app.service_role_key)
        .bearer(&app.service_role_key)
        .json(&json!({ "email": email, "password": PASSWORD, "email_confirm": true }))
        .await;
    assert_eq!(made.status, 200, "{made}");
}

/// What the app's functions know of the bearer of `token`.
async fn whoami(app: &App, token: &Value) -> Value {
    let token = token.as_str().expect("it is a token");
    let answer = app.call("GET", "/functions/v1/whoami").bearer(token).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

fn with_hook(app: &App, guest: Guest, on: &str) -> Bundle {
    app.bundle().table(AUTOCONFIRM).hook(guest, on)
}

async fn a_refused_user_is_told_why_and_is_not_there(engine: Engine) {
    let app = engine.app("hook-refuses").await;
    app.tables(SENT)
        .table(AUTOCONFIRM)
        .hook(guest!("hook_new_user"), "before-user-created")
        .hook(guest!("hook_message"), "send-message")
        .await;
    let refused = sign_up(&app, "ada@blocked.example").await;
    refused.is(r#"400 {"code":"blocked_domain","message":"this domain may not sign up"}"#);
    assert_eq!(refused.header("x-sb-error-code"), "blocked_domain");
    assert_eq!(users(&app).await, Vec::<String>::new());
    // Nor by a link that would make one.
    let refused = auth(&app, "POST", "otp")
        .json(&json!({ "email": "ada@blocked.example", "create_user": true }))
        .await;
    refused.refused(400, "blocked_domain");
    assert_eq!(users(&app).await, Vec::<String>::new());
    assert_eq!(app.rows("sent").await, json!([]));

    assert_eq!(sign_up(&app, "ada@example.com").await.status, 200);
    // Whoever has the service key is the app itself.
    make_user(&app, "root@blocked.example").await;
    assert_eq!(
        users(&app).await,
        ["ada@example.com", "root@blocked.example"]
    );
    let records = app.records().await;
    let asked = records
        .iter()
        .filter(|record| record["type"] == "invocation" && record["kind"] == "before-user-created");
    assert_eq!(asked.count(), 3);
}

async fn a_new_user_has_the_metadata_of_the_hook(engine: Engine) {
    let app = engine.app("hook-metadata").await;
    with_hook(&app, guest!("hook_new_user"), "before-user-created").await;
    let user = sign_up(&app, "ada@example.com").await.json()["user"].take();
    assert_eq!(user["app_metadata"]["plan"], "free");
    assert_eq!(user["app_metadata"]["provider"], "email");
    assert_eq!(user["user_metadata"]["greeted"], "email");
    assert_eq!(user["user_metadata"]["name"], "Ada");
    // They are what is stored.
    let session = sign_in(&app, "ada@example.com").await.json();
    assert_eq!(session["user"]["app_metadata"], user["app_metadata"]);
    let guest = auth(&app, "POST", "signup")
        .json(&json!({ "data": {} }))
        .await;
    assert_eq!(guest.status, 200, "{guest}");
    let guest = guest.json();
    assert_eq!(guest["user"]["user_metadata"]["greeted"], "anonymous");
    assert_eq!(guest["user"]["is_anonymous"], true);
}

const VAULT: &str =
        "create table vault (id int primary key); insert into vault values (1);
         alter table vault enable row level security; grant select on vault to authenticated;
         create policy gold on vault for select to authenticated using (auth.jwt()->>'plan' = 'gold');";

async fn claims_of_the_hook_are_in_tokens_and_policies(engine: Engine) {
    let app = engine.app("hook-claims").await;
    app.tables(VAULT)
        .table(AUTOCONFIRM)
        .function(guest!("whoami"))
        .access("public")
        .await;
    let vault = async |session: &Value| {
        let token = session["access_token"].as_str().expect("it is a token");
        let rows = app.call("GET", "/rest/v1/vault").bearer(token);
        rows.header("apikey", &app.anon_key).await.text()
    };
    let plain = sign_up(&app, "ada@example.com").await.json();
    assert_eq!(vault(&plain).await, "[]");
    app.tables(VAULT)
        .table(AUTOCONFIRM)
        .function(guest!("whoami"))
        .access("public")
        .hook(guest!("hook_claims"), "custom-claims")
        .await;

    let session = sign_in(&app, "ada@example.com").await.json();
    let who = whoami(&app, &session["access_token"]).await;
    let claims = &who["claims"];
    assert_eq!(claims["plan"], "gold");
    let asked = json!({ "method": "password", "role": "authenticated", "is_user": true });
    assert_eq!(claims["asked"], asked);
    assert_eq!(claims.get("phone"), None);
    assert_eq!(vault(&session).await, r#"[{"id":1}]"#);
    // What says who they are and how they came is the host's.
    assert_eq!(who["user_id"], session["user"]["id"]);
    assert_eq!(claims["sub"], session["user"]["id"]);
    assert_eq!(claims["exp"], session["expires_at"]);
    assert_eq!(claims["aud"], "authenticated");
    assert_eq!(claims["aal"], "aal1");
    assert_eq!(claims["amr"][0]["method"], "password");
    assert_eq!(claims["is_anonymous"], false);
    for name in ["iss", "session_id"] {
        assert_ne!(claims[name], "forged");
        assert!(claims[name].is_string(), "{name}: {claims}");
    }
    assert!(claims["iat"].as_u64() > Some(1_000_000_000), "{claims}");

    let body = json!({ "refresh_token": session["refresh_token"] });
    let fresh = auth(&app, "POST", "token?grant_type=refresh_token")
        .json(&body)
        .await;
    assert_eq!(fresh.status, 200, "{fresh}");
    let who = whoami(&app, &fresh.json()["access_token"]).await;
    assert_eq!(who["claims"]["asked"]["method"], "token_refresh");
    assert_eq!(who["claims"]["session_id"], claims["session_id"]);
}

#[tokio::test]
async fn claims_that_cannot_be_are_no_token() {
    let app = TestServer::shared().await.app("hook-bad-claims").await;
    with_hook(&app, guest!("hook_hostile"), "custom-claims").await;
    for (name, status, code) in [
        ("array", 422, "hook_payload_invalid_content_type"),
        ("huge", 422, "hook_payload_invalid_content_type"),
        ("service", 422, "hook_payload_invalid_content_type"),
        ("idle", 422, "hook_timeout"),
        ("refused", 400, "no_token"),
    ] {
        let email = format!("{name}@example.com");
        make_user(&app, &email).await;
        let answer = sign_in(&app, &email).await;
        answer.refused(status, code);
        assert!(!answer.text().contains("access_token"), "{name}");
    }
    make_user(&app, "ada@example.com").await;
    assert_eq!(sign_in(&app, "ada@example.com").await.status, 200);
    // The app's authors find the reason, its users do not.
    let records = app.records().await;
    let line = |record: &&Value| record["type"] == "line";
    let lines: Vec<&str> = records
        .iter()
        .filter(line)
        .filter_map(|line| line["message"].as_str())
        .collect();
    for part in [
        "are no JSON object",
        "bytes; 8192 are the most",
        "the claim role",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_broken_hook_ends_no_session() {
    let app = TestServer::shared().await.app("hook-refresh").await;
    app.bundle().table(AUTOCONFIRM).await;
    let session = sign_up(&app, "idle@example.com").await.json();
    with_hook(&app, guest!("hook_hostile"), "custom-claims").await;
    let refresh = || {
        let body = json!({ "refresh_token": session["refresh_token"] });
        auth(&app, "POST", "token?grant_type=refresh_token").json(&body)
    };
    // A client that is told 4xx would forget who is signed in.
    assert_eq!(refresh().await.status, 503);
    app.bundle().table(AUTOCONFIRM).await;
    assert_eq!(refresh().await.status, 200);
}

#[tokio::test]
async fn a_hook_that_does_harm_makes_no_user() {
    let app = TestServer::shared().await.app("hook-harm").await;
    with_hook(&app, guest!("hook_hostile"), "before-user-created").await;
    for (name, status, code) in [
        ("spin", 422, "hook_timeout"),
        ("panic", 422, "hook_payload_invalid_content_type"),
        ("list", 422, "hook_payload_invalid_content_type"),
        ("write", 400, "wrote"),
    ] {
        let answer = sign_up(&app, &format!("{name}@example.com")).await;
        answer.refused(status, code);
        if name == "write" {
            let told = answer.json()["message"].take();
            let told: Vec<&str> = told.as_str().expect("it is text").split("; ").collect();
            assert!(told.len() >= 5 && !told.contains(&"ok"), "{told:?}");
        }
    }
    assert_eq!(users(&app).await, Vec::<String>::new());
    assert_eq!(sign_up(&app, "ada@example.com").await.status, 200);
    let records = app.records().await;
    let spun = records.iter().find(|record| record["limit"] != Value::Null);
    let spun = spun.expect("a limit was met");
    assert_eq!(spun["kind"], "before-user-created");
}

const SENT: &str = "create table sent (
    id integer generated by default as identity primary key,
    channel text, recipient text, kind text, token text, token_hash text, link text, user_id text
);";

async fn the_hook_has_the_code_and_no_mail_is_sent(engine: Engine) {
    // An app's own SMTP server has a public address, unless the operator allows others.
    let server = engine
        .server_with("allow_private = [\"127.0.0.0/8\"]")
        .await;
    let app = server.app("hook-message").await;
    let post = Post::start().await;
    app.secret("SMTP", &post.url).await;
    const MAIL: &str = "[auth.mail]\nfrom = \"Shop <shop@example.com>\"\nsmtp = \"SMTP\"";
    app.tables(SENT)
        .table(MAIL)
        .hook(guest!("hook_message"), "send-message")
        .await;

    let user = sign_up(&app, "ada@example.com").await;
    assert_eq!(user.status, 200, "{user}");
    let user = user.json();
    let sent = app.rows("sent?order=id").await;
    let message = &sent[0];
    assert_eq!(sent.as_array().map(Vec::len), Some(1), "{sent}");
    assert_eq!(message["channel"], "email");
    assert_eq!(message["recipient"], "ada@example.com");
    assert_eq!(message["kind"], "confirmation");
    assert_eq!(message["user_id"], user["id"]);
    let link = message["link"].as_str().expect("there is a link");
    let hash = message["token_hash"].as_str().expect("there is a hash");
    assert!(
        link.contains("/auth/v1/verify?") && link.contains(hash),
        "{link}"
    );
    // The code is the one that counts.
    let body = json!({ "type": "email", "email": "ada@example.com", "token": message["token"] });
    let verified = auth(&app, "POST", "verify").json(&body).await;
    assert_eq!(verified.status, 200, "{verified}");

    let recovering = json!({ "email": "ada@example.com" });
    let mut effects = app.effects().await;
    let recovered = auth(&app, "POST", "recover").json(&recovering).await;
    assert_eq!(recovered.status, 200, "{recovered}");
    // It is answered before it is sent.
    let kinds = json!([{ "kind": "confirmation" }, { "kind": "recovery" }]);
    let look = async || (app.rows("sent?select=kind&order=id").await == kinds).then_some(());
    effects.until("the message", look).await;

    sign_up(&app, "nobody@example.com")
        .await
        .refused(400, "undeliverable");

    // Without the hook the host sends, and that mail is the first there ever was.
    app.tables(SENT).table(MAIL).await;
    assert_eq!(sign_up(&app, "bob@example.com").await.status, 200);
    assert_eq!(post.first().await, "bob@example.com");
}

#[tokio::test]
async fn a_message_that_is_not_sent_in_time_is_a_fault() {
    let app = TestServer::shared().await.app("hook-slow-message").await;
    app.bundle()
        .hook(guest!("hook_hostile"), "send-message")
        .await;
    sign_up(&app, "ada@example.com")
        .await
        .refused(422, "hook_timeout");
}

async fn hooks_in_javascript(engine: Engine) {
    let app = engine.app("hook-javascript").await;
    let head = "[config]\nblocked = \"blocked.example\"\n[auth]\nautoconfirm = true";
    app.tables(SENT)
        .table(head)
        .function(guest!("whoami"))
        .access("public")
        .hook(javascript("hook_new_user.js").await, "before-user-created")
        .hook(javascript("hook_claims.js").await, "custom-claims")
        .hook(javascript("hook_message.js").await, "send-message")
        .await;
    sign_up(&app, "ada@blocked.example")
        .await
        .refused(400, "blocked_domain");
    let session = sign_up(&app, "ada@example.com").await;
    assert_eq!(session.status, 200, "{session}");
    let session = session.json();
    assert_eq!(session["user"]["app_metadata"]["plan"], "free");
    assert_eq!(session["user"]["user_metadata"]["name"], "Ada");
    let who = whoami(&app, &session["access_token"]).await;
    assert_eq!(who["claims"]["plan"], "free");
    let recovering = json!({ "email": "ada@example.com" });
    let mut effects = app.effects().await;
    let recovered = auth(&app, "POST", "recover").json(&recovering).await;
    assert_eq!(recovered.status, 200, "{recovered}");
    let sent = json!([{ "channel": "email", "recipient": "ada@example.com", "kind": "recovery" }]);
    let look =
        async || (app.rows("sent?select=channel,recipient,kind").await == sent).then_some(());
    effects.until("the message", look).await;
}

fn message(answer: &Answer) -> String {
    let answer = answer.json();
    answer["message"].as_str().expect("it is text").to_owned()
}

#[tokio::test]
async fn a_component_that_is_no_such_hook_is_refused() {
    let app = TestServer::shared().await.app("hook-export").await;
    app.file("index.html", "before").await;
    let answer = with_hook(&app, guest!("hook_claims"), "before-user-created")
        .push()
        .await;
    assert_eq!(answer.status, 422, "{answer}");
    assert_snapshot!(message(&answer), @"before-user-created `hook-claims`: the component does not export pumice:platform/before-user-created-handler@0.2.0; it exports pumice:platform/custom-claims-handler@0.2.0");
    let answer = with_hook(&app, guest!("proc_echo"), "send-message")
        .push()
        .await;
    assert_eq!(answer.status, 422, "{answer}");
    assert_snapshot!(message(&answer), @"send-message `proc-echo`: the component does not export pumice:platform/send-message-handler@0.2.0; it exports pumice:platform/procedure-handler@0.1.0");
    assert_snapshot!(app.get("/").await, @"200 before");
}

#[tokio::test]
async fn what_a_manifest_says_of_hooks_is_checked() {
    let app = TestServer::shared().await.app("hook-manifest").await;
    let claims = || guest!("hook_claims");
    let answer = app
        .bundle()
        .hook(claims().named("one"), "custom-claims")
        .hook(claims().named("two"), "custom-claims")
        .hook(guest!("hook_new_user"), "before-user-created")
        .with("egress = [\"https://example.com\"]")
        .hook(guest!("hook_message"), "before-token")
        .push()
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    let faults = answer.json()["faults"].take();
    let faults = faults.as_array().expect("it is a list").iter();
    let told: Vec<String> = faults
        .map(|fault| {
            let part = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
            format!("{}; {}", part("message"), part("fix"))
        })
        .collect();
    assert_snapshot!(told.join("\n"), @r#"
    a second hook is on "custom-claims"; let one hook do both: one is asked, and not two in turn
    before-user-created `hook-new-user` has egress; leave it out: it may be asked again or refuse; call others from a script or an after-trigger
    on is "before-token"; use one of "before-user-created", "custom-claims", "send-message"
    "#);
}

/// What was built against the first version of the contract serves beside what needs the second.
#[tokio::test]
async fn components_of_both_versions_are_in_one_app() {
    let app = TestServer::shared().await.app("hook-versions").await;
    let golden = std::fs::read(repository().join("tests/golden/platform-0.1.0.wasm"));
    let golden = Guest::new("golden", golden.expect("it is in the repository"));
    app.bundle()
        .table("[config]\ngreeting = \"good morning\"")
        .function(golden)
        .hook(guest!("hook_hostile").named("first"), "before-user-created")
        .hook(guest!("hook_claims"), "custom-claims")
        .hook(guest!("hook_message"), "send-message")
        .await;
    let answer = app.invoke("golden").await.json();
    assert_eq!(answer["greeting"], "good morning");
}

/// An SMTP server that takes every mail and remembers whom it was for.
struct Post {
    url: String,
    recipients: Arc<Mutex<Vec<String>>>,
    came: Arc<Notify>,
}

impl Post {
    async fn start() -> Post {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let post = Post {
            url: format!("smtp://{address}?tls=none"),
            recipients: Arc::default(),
            came: Arc::default(),
        };
        let (recipients, came) = (post.recipients.clone(), post.came.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                let mut letter = false;
                let mut answer = "220 post\r\n";
                // One client after the other: there are few.
                while writer.write_all(answer.as_bytes()).await.is_ok() {
                    let Ok(Some(mut line)) = lines.next_line().await else {
                        break;
                    };
                    while letter && line != "." {
                        match lines.next_line().await {
                            Ok(Some(next)) => line = next,
                            _ => return,
                        }
                    }
                    letter = line == "DATA";
                    if let Some(to) = line.strip_prefix("RCPT TO:<") {
                        let to = to.split('>').next().unwrap_or_default().to_owned();
                        recipients.lock().unwrap().push(to);
                        came.notify_one();
                    }
                    answer = match line.as_str() {
                        "DATA" => "354 go on\r\n",
                        "QUIT" => "221 bye\r\n",
                        _ => "250 ok\r\n",
                    };
                }
            }
        });
        post
    }

    /// Whom the first mail was for.
    async fn first(&self) -> String {
        in_time("a mail", self.came.notified()).await;
        let recipients = self.recipients.lock().unwrap();
        recipients.first().expect("one came").clone()
    }
}
