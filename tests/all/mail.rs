//! Mail: what leaves, what an SMTP server is told, and what stays for the developer.

use insta::assert_snapshot;
use pumice_tests::smtp::{PASSWORD, Sink, Stage};
use pumice_tests::{Answer, App, Command, Engine, TestServer};
use serde_json::{Value, json};

/// A server whose operator has an SMTP server: the sink. Tries follow each other at once.
async fn server(sink: &Sink, settings: &str) -> TestServer {
    let settings = format!(
        "smtp_url = \"{}\"\nmail_from = \"Pumice <no-reply@pumice.example>\"\n{settings}",
        sink.url()
    );
    let env = [("PUMICE_TEST_MAIL_PAUSE_MS", "1"), ("RUST_LOG", "debug")];
    TestServer::on(Engine::Sqlite, &settings, &env).await
}

/// Tries the mail of an app and waits for what the SMTP server says.
async fn tried(app: &App, to: &str) -> Answer {
    app.platform("POST", "/mail/test")
        .json(&json!({ "to": to }))
        .await
}

/// Sends it as users' mails are sent.
async fn queued(app: &App, to: &str) {
    let answer = app
        .platform("POST", "/mail/test")
        .json(&json!({ "to": to, "queue": true }))
        .await;
    assert_eq!(answer.status, 202, "{answer}");
}

/// Waits for the end of a mail, as the app's log has it.
async fn ended(app: &App) -> Value {
    let mut log = app.follow("&component=mail").await;
    let mut record = log.find(|record| record["type"] == "mail").await;
    record.as_object_mut().unwrap().remove("time");
    record
}

#[tokio::test]
async fn a_mail_is_delivered_with_link_and_code() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("shop").await;
    app.bundle()
        .table("[auth.mail]\nfrom = \"The Shop <help@shop.example>\"")
        .await;
    let answer = tried(&app, "ada@example.com").await;
    let place = sink
        .url()
        .rsplit_once('@')
        .unwrap()
        .1
        .replace("?tls=none", "");
    let expect = json!({ "template": "confirmation", "server": place, "reply": "250 2.0.0 taken" });
    assert_eq!((answer.status, answer.json()), (200, expect));
    let letter = sink.next().await;
    assert_eq!(letter.to, ["ada@example.com"]);
    // The address is the operator's, whose server answers for it; answers go to the app.
    assert_eq!(letter.from, "no-reply@pumice.example");
    assert_snapshot!(letter.header("from"), @r#""The Shop" <no-reply@pumice.example>"#);
    assert_snapshot!(letter.header("reply-to"), @r#""The Shop" <help@shop.example>"#);
    assert_snapshot!(letter.header("auto-submitted"), @"auto-generated");
    assert_snapshot!(letter.subject, @"Confirm your email address");
    assert_eq!(letter.login, Some(("mailer".into(), PASSWORD.into())));
    let link = server.url("/a/shop/auth/v1/verify?token=SAMPLE&type=signup");
    assert_eq!(
        (letter.link(), letter.code()),
        (link.clone(), "123456".to_owned())
    );
    let html = letter.html.unwrap();
    assert!(html.contains(&link.replace('&', "&amp;")), "{html}");
    let metrics = server.call("GET", "/metrics").await.text();
    assert!(metrics.contains("\npumice_mails_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("patient").await;
    sink.say(Stage::Recipient, "451 4.3.0 later");
    sink.drop_at(Stage::End);
    queued(&app, "ada@example.com").await;
    assert_eq!(sink.next().await.to, ["ada@example.com"]);
    let record = ended(&app).await;
    assert_snapshot!(record, @r#"{"component":"mail","message":"the SMTP server took it","outcome":"sent","reply":"250 2.0.0","template":"confirmation","to":"a***@example.com","tries":3,"type":"mail"}"#);
    assert!(sink.is_empty().await);
}

#[tokio::test]
async fn three_tries_are_all() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("unlucky").await;
    sink.say(Stage::Greeting, "421 4.3.2 closed");
    sink.say(Stage::Data, "452 4.3.1 full");
    sink.say(Stage::End, "451 4.7.1 http://link?token=SAMPLE looks odd");
    queued(&app, "ada@example.com").await;
    let record = ended(&app).await;
    assert_snapshot!(record, @r#"{"component":"mail","message":"the SMTP server refused it","outcome":"failed","reply":"451 4.7.1","template":"confirmation","to":"a***@example.com","tries":3,"type":"mail"}"#);
    assert!(sink.is_empty().await);
}

#[tokio::test]
async fn a_refusal_is_final_and_quotes_nothing_in_the_log() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    for (stage, reply) in [
        (Stage::From, "553 5.1.8 not you"),
        (Stage::Recipient, "550 5.1.1 <ada@example.com> is unknown"),
        (Stage::Data, "554 5.5.0 no"),
        (Stage::End, "554 5.7.1 token=SAMPLE and 123456 look odd"),
        (Stage::Auth, "535 5.7.8 bad"),
    ] {
        let app = server.app(&format!("refused-{}", stage as u8)).await;
        sink.say(stage, reply);
        queued(&app, "ada@example.com").await;
        let record = ended(&app).await;
        assert_eq!(
            (&record["outcome"], &record["tries"], &record["to"]),
            (&json!("failed"), &json!(1), &json!("a***@example.com")),
            "{record}"
        );
        assert_eq!(record["reply"], reply[..9], "{record}");
        for secret in ["ada@", "SAMPLE", "123456"] {
            assert!(!record.to_string().contains(secret), "{record}");
        }
    }
    assert!(sink.is_empty().await);
    // Whoever tries the settings is told all of it.
    let app = server.app("curious").await;
    sink.say(Stage::Recipient, "550 5.1.1 <ada@example.com> is unknown");
    assert_snapshot!(tried(&app, "ada@example.com").await, @r#"422 {"code":"mail.refused","message":"the mail was refused: the SMTP server said: 550 5.1.1 <ada@example.com> is unknown","request_id":"[request id]"}"#);
    sink.say(Stage::Recipient, "451 4.3.0 later");
    assert_snapshot!(tried(&app, "ada@example.com").await, @r#"502 {"code":"mail.unavailable","message":"the mail cannot be sent now: the SMTP server said: 451 4.3.0 later","request_id":"[request id]"}"#);
}

#[tokio::test]
async fn an_apps_templates_are_used() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("writer").await;
    let html = "Subject: Grüße, {{ .Data.name }}\n\n<p>{{ .Data.name }} {{ email }}</p><a href=\"{{ .ConfirmationURL }}\">Los</a> {{ .Token }}";
    app.bundle().mail("confirmation.html", html).await;
    assert_eq!(tried(&app, "o'neil@example.com").await.status, 200);
    let letter = sink.next().await;
    assert_eq!(letter.subject, "Grüße, Ada");
    assert_eq!(letter.text, None);
    let html = letter.html.clone().unwrap();
    assert!(
        html.starts_with("<p>Ada o&#39;neil@example.com</p>"),
        "{html}"
    );
    assert!(
        letter
            .link()
            .ends_with("/auth/v1/verify?token=SAMPLE&type=signup")
    );
    assert_eq!(letter.code(), "123456");
    // The next revision without it has ours again.
    app.bundle().await;
    assert_eq!(tried(&app, "ada@example.com").await.status, 200);
    assert_eq!(sink.next().await.subject, "Confirm your email address");
}

#[tokio::test]
async fn faulty_templates_are_found_at_deployment() {
    let server = TestServer::shared().await;
    let app = server.app("typist").await;
    app.bundle().await;
    let pushed = app
        .bundle()
        .mail(
            "invite.txt",
            "Subject: come\n\n{{ .ConfirmationURL }}\n{{ tokn }}",
        )
        .mail("recovery.html", "<p>\n{% set x = token %}")
        .push()
        .await;
    assert_snapshot!(pushed, @r#"422 {"code":"platform.mail","message":"mail/invite.txt:4: there is no `tokn`; there are confirmation_url, token, token_hash, site_url, email, new_email, redirect_to, data\nmail/recovery.html:2: `{% set %}` is not possible here; there are if, elif, else, endif, for, endfor","request_id":"[request id]"}"#);
    let pushed = app.bundle().mail("welcome.html", "x").push().await;
    assert_eq!(
        (pushed.status, &pushed.json()["code"]),
        (400, &json!("platform.invalid_path"))
    );
    let large = "x".repeat(64 * 1024 + 1);
    let pushed = app.bundle().mail("invite.html", &large).push().await;
    assert_eq!(
        (pushed.status, &pushed.json()["code"]),
        (413, &json!("platform.file_too_large"))
    );
    let pushed = app.bundle().mail("invite.html", &large[1..]).push().await;
    assert_eq!(pushed.status, 201, "{pushed}");
    let pushed = app
        .bundle()
        .table("[auth.mail]\nfrom = \"nobody\"")
        .push()
        .await;
    assert_eq!(
        (pushed.status, &pushed.json()["faults"][0]["line"]),
        (400, &json!(4))
    );
}

#[tokio::test]
async fn nothing_is_injected() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("victim").await;
    for to in [
        "ada@example.com\r\nBcc: eve@evil.example",
        "ada@example.com\nRCPT TO:<eve@evil.example>",
        "ada@example.com> BODY=8BITMIME\r\nRCPT TO:<eve@evil.example",
        "ada@example.com, eve@evil.example",
        "Eve <eve@evil.example>",
        "",
    ] {
        let refused = tried(&app, to).await;
        refused.is(r#"422 {"code":"mail.refused","message":"the mail was refused: its address is none","request_id":"[request id]"}"#);
    }
    // A subject with a line break from a template.
    let subject = "Subject: {{ email }}{{ '\\n' }}Bcc: eve@evil.example\n\nx";
    app.bundle().mail("confirmation.txt", subject).await;
    let refused = tried(&app, "ada@example.com").await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (422, &json!("mail.refused"))
    );
    assert_eq!(sink.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn no_log_has_password_token_or_link() {
    let sink = Sink::start().await;
    let server = server(&sink, "").await;
    let app = server.app("quiet").await;
    assert_eq!(tried(&app, "ada@example.com").await.status, 200);
    sink.next().await;
    // A server that tells what it was told.
    let own = Sink::start().await;
    own.say(Stage::Auth, &format!("535 5.7.8 {PASSWORD} is wrong"));
    let open = TestServer::on(
        Engine::Sqlite,
        "allow_private = [\"127.0.0.0/8\"]",
        &[("RUST_LOG", "debug")],
    )
    .await;
    let other = open.app("loud").await;
    other.secret("SMTP_URL", &own.url()).await;
    let table = "[auth.mail]\nsmtp = \"SMTP_URL\"\nfrom = \"loud@shop.example\"";
    other.bundle().table(table).await;
    let refused = tried(&other, "ada@example.com").await;
    assert_snapshot!(refused, @r#"422 {"code":"mail.refused","message":"the mail was refused: the SMTP server said: 535 5.7.8 … is wrong","request_id":"[request id]"}"#);
    other
        .secret("SMTP_URL", &format!("smtp://u:{PASSWORD}@h/path"))
        .await;
    let refused = tried(&other, "ada@example.com").await;
    assert_snapshot!(refused, @r#"409 {"code":"mail.not_configured","message":"mail is not set up: the secret `SMTP_URL` is no address of an SMTP server; nothing stands after host and port","request_id":"[request id]"}"#);
    let mut lines = server.log();
    lines.extend(open.log());
    assert!(!lines.is_empty());
    for app in [&app, &other] {
        lines.extend(app.records().await.iter().map(Value::to_string));
    }
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("\0mailer\0{PASSWORD}"),
    );
    for line in &lines {
        for secret in [PASSWORD, &encoded, "SAMPLE", "ada@example.com"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn an_apps_own_server_wins_and_is_no_private_one() {
    let (operators, own) = (Sink::start().await, Sink::start().await);
    let table = "[auth.mail]\nsmtp = \"SMTP_URL\"\nfrom = \"Shop <no-reply@shop.example>\"";
    let shut = server(&operators, "").await;
    let app = shut.app("inside").await;
    app.bundle().table(table).await;
    // Named and not set: no other server sends for it.
    assert_snapshot!(tried(&app, "ada@example.com").await, @r#"409 {"code":"mail.not_configured","message":"mail is not set up: set the secret `SMTP_URL`: `pumice secrets set SMTP_URL`","request_id":"[request id]"}"#);
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        let port = own.url().rsplit_once(':').unwrap().1.to_owned();
        app.secret("SMTP_URL", &format!("smtp://{host}:{port}"))
            .await;
        tried(&app, "ada@example.com").await.is(r#"422 {"code":"mail.refused","message":"the mail was refused: the SMTP server's address is private; an app's own server is a public one","request_id":"[request id]"}"#);
    }
    assert!(own.lines().is_empty() && operators.lines().is_empty());

    let open = server(&operators, "allow_private = [\"127.0.0.0/8\"]").await;
    let app = open.app("outside").await;
    app.secret("SMTP_URL", &own.url()).await;
    app.bundle().table(table).await;
    assert_eq!(tried(&app, "ada@example.com").await.status, 200);
    let letter = own.next().await;
    assert_eq!(
        (letter.from.as_str(), letter.header("reply-to")),
        ("no-reply@shop.example", "")
    );
    assert!(operators.lines().is_empty());
    // Another app's mails go the operator's way.
    let neighbour = open.app("neighbour").await;
    assert_eq!(tried(&neighbour, "ada@example.com").await.status, 200);
    assert_eq!(operators.next().await.from, "no-reply@pumice.example");
}

#[tokio::test]
async fn without_tls_nothing_is_said() {
    let sink = Sink::start().await;
    let settings = format!(
        "smtp_url = \"{}\"\nmail_from = \"a@pumice.example\"",
        sink.url_with_tls()
    );
    let server = TestServer::with(&settings).await;
    let app = server.app("careful").await;
    assert_snapshot!(tried(&app, "ada@example.com").await, @r#"422 {"code":"mail.refused","message":"the mail was refused: the SMTP server does not offer STARTTLS, and without TLS nothing is said to it","request_id":"[request id]"}"#);
    let lines = sink.lines();
    let said = |line: &String| line.starts_with("EHLO") || line == "QUIT";
    assert!(!lines.is_empty() && lines.iter().all(said), "{lines:?}");
}

#[tokio::test]
async fn a_stopping_server_tries_what_waits_once_more() {
    let sink = Sink::start().await;
    let settings = format!(
        "smtp_url = \"{}\"\nmail_from = \"a@pumice.example\"",
        sink.url()
    );
    // The usual pause, which nobody waits for here.
    let server = TestServer::with(&settings).await;
    let app = server.app("leaving").await;
    sink.say(Stage::Recipient, "451 4.3.0 later");
    queued(&app, "ada@example.com").await;
    sink.reached(Stage::Recipient).await;
    server.stop().await;
    assert_eq!(sink.next().await.to, ["ada@example.com"]);
}

#[tokio::test]
async fn without_a_way_out_it_is_said_once() {
    let server = TestServer::start().await;
    let app = server.app("alone").await;
    let expect = r#"409 {"code":"mail.not_configured","message":"mail is not set up: give the server `smtp_url` and `mail_from`, or the app `smtp` and `from` in [auth.mail]","request_id":"[request id]"}"#;
    tried(&app, "ada@example.com").await.is(expect);
    // No mailbox either: the path is the app's.
    assert_eq!(app.get("/dev/mail").await.status, 404);
    app.file("dev/mail.json", "mine").await;
    app.get("/dev/mail.json").await.is("200 mine");
}

#[tokio::test]
async fn the_mailbox_shows_what_nobody_sends() {
    let server = TestServer::with("mailbox = true").await;
    let (app, other) = (server.app("local").await, server.app("other").await);
    for to in ["ada@example.com", "bob@example.com"] {
        let answer = tried(&app, to).await;
        let expect = json!({ "template": "confirmation", "server": null, "reply": null });
        assert_eq!((answer.status, answer.json()), (200, expect));
    }
    let mails = app.get("/dev/mail.json").await;
    assert_eq!(mails.header("content-type"), "application/json");
    let mails = mails.json();
    let to = |mails: &Value| -> Vec<String> {
        let mails = mails.as_array().unwrap().iter();
        mails
            .map(|mail| mail["to"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(to(&mails), ["bob@example.com", "ada@example.com"]);
    let mail = &mails[0];
    assert_eq!(
        (&mail["subject"], &mail["token"]),
        (&json!("Confirm your email address"), &json!("123456"))
    );
    let link = server.url("/a/local/auth/v1/verify?token=SAMPLE&type=signup");
    assert_eq!(mail["links"], json!([link]));
    assert!(mail["text"].as_str().unwrap().contains(&link));
    assert!(mail["html"].as_str().unwrap().contains("123456") && mail["created_at"].is_string());
    let filtered = app.get("/dev/mail.json?to=Ada%40example.com").await.json();
    assert_eq!(to(&filtered), ["ada@example.com"]);

    let page = app.get("/dev/mail").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    let id = mail["id"].as_str().unwrap();
    assert!(
        page.text().contains(&format!("href=\"mail/{id}\"")),
        "{}",
        page.text()
    );
    let shown = app.get(&format!("/dev/mail/{id}")).await.text();
    assert!(
        shown.contains(&format!("<iframe src=\"{id}.html\" sandbox=\"allow-popups")),
        "{shown}"
    );
    let inner = app.get(&format!("/dev/mail/{id}.html")).await;
    assert!(
        inner
            .header("content-security-policy")
            .starts_with("sandbox "),
        "{:?}",
        inner.headers
    );
    assert_eq!(app.get("/dev/mail/nothing").await.status, 404);
    assert_eq!(app.call("POST", "/dev/mail").await.status, 405);

    // Another app has its own, and only this machine sees any.
    assert_eq!(other.get("/dev/mail.json").await.json(), json!([]));
    assert_eq!(other.get(&format!("/dev/mail/{id}")).await.status, 404);
    let port = server.address().rsplit_once(':').unwrap().1;
    let at = |host: &str| {
        let call = server.call("GET", "/a/local/dev/mail.json");
        call.header("host", host)
    };
    assert_eq!(at(&format!("localhost:{port}")).await.status, 200);
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1"] {
        assert_eq!(at(host).await.status, 404, "{host}");
    }
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let proxied = app.get("/dev/mail.json").header(header, "127.0.0.1");
        assert_eq!(proxied.await.status, 404, "{header}");
        let cleared = app
            .call("DELETE", "/dev/mail.json")
            .header(header, "127.0.0.1");
        assert_eq!(cleared.await.status, 404, "{header}");
    }
    assert_eq!(
        app.call("DELETE", "/dev/mail.json?to=ada@example.com")
            .await
            .status,
        204
    );
    assert_eq!(
        to(&app.get("/dev/mail.json").await.json()),
        ["bob@example.com"]
    );
    assert_eq!(app.call("DELETE", "/dev/mail.json").await.status, 204);
    assert_eq!(app.get("/dev/mail.json").await.json(), json!([]));

    // With an SMTP server of its own an app has no mailbox: the path is the app's.
    app.secret("SMTP_URL", "smtps://u:p@mail.example.com").await;
    app.bundle()
        .table("[auth.mail]\nsmtp = \"SMTP_URL\"\nfrom = \"a@shop.example\"")
        .file("dev/mail.json", "mine")
        .await;
    app.get("/dev/mail.json").await.is("200 mine");
}

#[tokio::test]
async fn dev_tells_each_mail_and_the_command_tries_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("pumice.toml"),
        "[app]\nname = \"shop\"\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("mail")).unwrap();
    std::fs::write(
        folder.path().join("mail/confirmation.txt"),
        "Subject: Hi\n\n{{ .Token }}",
    )
    .unwrap();
    std::fs::write(folder.path().join("mail/notes.md"), "stays at home").unwrap();
    let arguments = ["--json", "dev", "--listen", "127.0.0.1:0"];
    let process = Command::pumice(folder.path(), &arguments).start();
    let deployed = |event: &Value| event["event"] == "deployed";
    process.stdout.json(deployed).await;
    let test = ["mail", "test", "ada@example.com", "--json"];
    let told = Command::pumice(folder.path(), &test).run().await;
    assert_eq!(told.success().json()["server"], Value::Null);
    let event = process.stdout.json(|event| event["event"] == "mail").await;
    assert_eq!(
        (&event["to"], &event["subject"], &event["code"]),
        (&json!("ada@example.com"), &json!("Hi"), &json!("123456"))
    );
    let link = event["link"].as_str().unwrap();
    assert!(
        link.ends_with("/auth/v1/verify?token=SAMPLE&type=signup"),
        "{link}"
    );
}
