//! What users do with the mails and messages that they get: over SMTP, and over the app's hook.

use pumice_tests::smtp::{Letter, Sink};
use pumice_tests::{Answer, App, Engine, PASSWORD, SignedIn, TestServer, guest, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    who_signs_up_confirms_by_link_or_code,
    a_forgotten_password_is_replaced,
    an_address_is_changed_by_both,
    who_is_invited_comes_in,
    an_old_sign_in_needs_a_nonce_for_a_new_password,
    a_mail_is_sent_again_and_replaces_the_first,
    an_address_gets_so_many_mails,
    a_phone_is_confirmed_by_a_message,
    codes_of_the_manifest_are_for_tests,
);

const EMAIL: &str = "ada@example.com";
const SITE: &str = "https://shop.example";
const NEW: &str = "another-plover-43";

struct Shop {
    app: App,
    sink: Sink,
}

async fn shop(engine: Engine, auth: &str) -> Shop {
    let sink = Sink::start().await;
    let settings = format!(
        "smtp_url = \"{}\"\nmail_from = \"Pumice <no-reply@pumice.example>\"",
        sink.url()
    );
    let server = TestServer::on(engine, &settings, &[]).await;
    let app = server.app("mailed").await;
    app.users(&format!("site_url = {SITE:?}\n{auth}")).await;
    Shop { app, sink }
}

impl Shop {
    async fn post(&self, path: &str, body: Value) -> Answer {
        self.app.auth("POST", path).json(&body).await
    }

    async fn signed_up(&self, email: &str) -> Letter {
        let body = json!({ "email": email, "password": PASSWORD });
        let pending = self.post("/signup", body).await;
        assert_eq!(pending.status, 200, "{pending}");
        assert_eq!(pending.json().get("access_token"), None, "{pending}");
        self.letter(email).await
    }

    /// A user who has confirmed their address.
    async fn confirmed(&self, email: &str) -> SignedIn {
        let letter = self.signed_up(email).await;
        self.follow(&letter).await
    }

    /// The next mail, which has to be to `email`.
    async fn letter(&self, email: &str) -> Letter {
        let letter = self.sink.next().await;
        assert_eq!(letter.to, [email], "{}", letter.raw);
        letter
    }

    /// Where the link of a mail leads.
    async fn led(&self, letter: &Letter) -> String {
        let link = letter.link();
        let (_, path) = link.split_once("/auth/v1").expect("it is one of ours");
        let answer = self.app.get(&format!("/auth/v1{path}")).await;
        assert_eq!(answer.status, 303, "{answer}");
        answer.header("location").to_owned()
    }

    /// The session that the link of a mail opens.
    async fn follow(&self, letter: &Letter) -> SignedIn {
        let place = self.led(letter).await;
        let part = |name: &str| {
            let (_, rest) = place
                .split_once(&format!("{name}="))
                .unwrap_or_else(|| panic!("no {name}: {place}"));
            rest.split('&').next().unwrap_or_default().to_owned()
        };
        let (access, refresh) = (part("access_token"), part("refresh_token"));
        let user = self.app.auth("GET", "/user").bearer(&access).await;
        assert_eq!(user.status, 200, "{user}");
        let user = user.json();
        SignedIn {
            access,
            refresh,
            user,
        }
    }

    async fn put(&self, session: &SignedIn, body: Value) -> Answer {
        let call = self.app.auth("PUT", "/user").bearer(&session.access);
        call.json(&body).await
    }
}

async fn who_signs_up_confirms_by_link_or_code(engine: Engine) {
    let shop = shop(engine, "").await;
    let letter = shop.signed_up(EMAIL).await;
    assert_eq!(letter.subject, "Confirm your email address");
    let early = shop.app.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(early.refusal(), "400 email_not_confirmed");
    let ada = shop.follow(&letter).await;
    assert!(ada.user["email_confirmed_at"].is_string(), "{}", ada.user);
    assert_eq!(ada.claims()["amr"][0]["method"], "email/signup");
    // The code of a mail whose link was followed is over.
    let body = json!({ "type": "signup", "email": EMAIL, "token": letter.code() });
    assert_eq!(
        shop.post("/verify", body).await.refusal(),
        "403 otp_expired"
    );
    let again = shop.led(&letter).await;
    assert!(again.contains("error_code=otp_expired"), "{again}");
    let letter = shop.signed_up("bob@example.com").await;
    for (email, token) in [
        (EMAIL, letter.code()),
        ("bob@example.com", "000000".to_owned()),
    ] {
        let body = json!({ "type": "signup", "email": email, "token": token });
        let refused = shop.post("/verify", body).await;
        assert_eq!(refused.refusal(), "403 otp_expired", "{email}");
    }
    let body = json!({ "type": "signup", "email": "bob@example.com", "token": letter.code() });
    let bob = SignedIn::of(&shop.post("/verify", body).await);
    assert_ne!(bob.id(), ada.id());
    shop.app.sign_in("bob@example.com").await;
    // Who is there already gets a link to sign in with, which confirms nothing new.
    let letter = shop.signed_up(EMAIL).await;
    assert_ne!(letter.subject, "Confirm your email address");
    assert_eq!(shop.follow(&letter).await.id(), ada.id());
    shop.app.sign_in(EMAIL).await;
}

async fn a_forgotten_password_is_replaced(engine: Engine) {
    let shop = shop(engine, "").await;
    let before = shop.confirmed(EMAIL).await;
    let asked = shop
        .post("/recover", json!({ "email": "ADA@example.com" }))
        .await;
    asked.is("200 {}");
    let letter = shop.letter(EMAIL).await;
    let session = shop.follow(&letter).await;
    assert_eq!(session.id(), before.id());
    assert_eq!(session.claims()["amr"][0]["method"], "recovery");
    let changed = shop.put(&session, json!({ "password": NEW })).await;
    assert_eq!(changed.status, 200, "{changed}");
    let old = shop.app.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(old.refusal(), "400 invalid_credentials");
    SignedIn::of(&shop.app.try_sign_in(EMAIL, NEW).await);
    // Whoever had got in before is out.
    let ended = shop.app.user(&before).await;
    assert_eq!(ended.refusal(), "403 session_not_found");
    // A mail that was on its way is worth nothing any more.
    shop.post("/recover", json!({ "email": EMAIL }))
        .await
        .is("200 {}");
    let letter = shop.letter(EMAIL).await;
    let again = shop.put(&session, json!({ "password": PASSWORD })).await;
    assert_eq!(again.status, 200, "{again}");
    let place = shop.led(&letter).await;
    assert!(place.contains("error_code=otp_expired"), "{place}");
    // Nobody of that name gets none.
    shop.post("/recover", json!({ "email": "nobody@example.com" }))
        .await
        .is("200 {}");
    shop.post("/recover", json!({ "email": EMAIL }))
        .await
        .is("200 {}");
    shop.letter(EMAIL).await;
    assert!(shop.sink.is_empty().await);
}

async fn an_address_is_changed_by_both(engine: Engine) {
    const OTHER: &str = "countess@example.com";
    let shop = shop(engine, "").await;
    let ada = shop.confirmed(EMAIL).await;
    let changed = shop.put(&ada, json!({ "email": OTHER })).await;
    assert_eq!(changed.status, 200, "{changed}");
    let user = changed.json();
    assert_eq!(
        (&user["email"], &user["new_email"]),
        (&json!(EMAIL), &json!(OTHER))
    );
    let mut letters = [shop.sink.next().await, shop.sink.next().await];
    letters.sort_by(|one, other| one.to.cmp(&other.to));
    let [old, new] = letters;
    assert_eq!((&*old.to[0], &*new.to[0]), (EMAIL, OTHER));
    // A code is for the address that it was sent to.
    let body = json!({ "type": "email_change", "email": EMAIL, "token": new.code() });
    if old.code() != new.code() {
        assert_eq!(
            shop.post("/verify", body).await.refusal(),
            "403 otp_expired"
        );
    }
    let half = shop.led(&new).await;
    assert!(
        half.contains("#message=Confirmation+link+accepted"),
        "{half}"
    );
    assert_eq!(shop.app.user(&ada).await.json()["email"], EMAIL);
    // The same one twice is not both.
    let twice = shop.led(&new).await;
    assert!(twice.contains("error_code=otp_expired"), "{twice}");
    assert_eq!(shop.app.user(&ada).await.json()["email"], EMAIL);
    let session = shop.follow(&old).await;
    assert_eq!(session.user["email"], OTHER);
    assert_eq!(session.user.get("new_email"), None, "{}", session.user);
    shop.app.sign_in(OTHER).await;
    let gone = shop.app.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(gone.refusal(), "400 invalid_credentials");
    // An address of somebody else is not there to be had.
    let bob = shop.confirmed("bob@example.com").await;
    let taken = shop.put(&bob, json!({ "email": OTHER })).await;
    assert_eq!(taken.refusal(), "422 email_exists");
    assert!(shop.sink.is_empty().await);
}

async fn who_is_invited_comes_in(engine: Engine) {
    let shop = shop(engine, "signup = false").await;
    let invite = async || {
        let body = json!({ "email": EMAIL, "data": { "team": 7 } });
        shop.app.admin("POST", "/invite").json(&body).await
    };
    let invited = invite().await;
    assert_eq!(invited.status, 200, "{invited}");
    assert!(invited.json()["invited_at"].is_string(), "{invited}");
    let first = shop.letter(EMAIL).await;
    // Until they come, they are asked again.
    assert_eq!(invite().await.status, 200);
    let second = shop.letter(EMAIL).await;
    let place = shop.led(&first).await;
    assert!(place.contains("error_code=otp_expired"), "{place}");
    let session = shop.follow(&second).await;
    assert_eq!(session.claims()["amr"][0]["method"], "invite");
    assert_eq!(session.user["user_metadata"], json!({ "team": 7 }));
    let set = shop.put(&session, json!({ "password": PASSWORD })).await;
    assert_eq!(set.status, 200, "{set}");
    shop.app.sign_in(EMAIL).await;
    assert_eq!(invite().await.refusal(), "422 email_exists");
    assert!(shop.sink.is_empty().await);
}

async fn an_old_sign_in_needs_a_nonce_for_a_new_password(engine: Engine) {
    let shop = shop(
        engine,
        "reauthenticate = true\n[auth.rates]\nsign_in = 10000\nmail = 1000",
    )
    .await;
    let ada = shop.confirmed(EMAIL).await;
    // One of today is enough.
    let changed = shop.put(&ada, json!({ "password": NEW })).await;
    assert_eq!(changed.status, 200, "{changed}");
    shop.app.server.advance(24 * 3600 + 1);
    let ada = SignedIn::of(&shop.app.refresh(&ada.refresh).await);
    let without = shop.put(&ada, json!({ "password": PASSWORD })).await;
    assert_eq!(without.refusal(), "400 reauthentication_needed");
    // What is no password needs none.
    let told = shop.put(&ada, json!({ "data": { "name": "Ada" } })).await;
    assert_eq!(told.status, 200, "{told}");
    let none = json!({ "password": PASSWORD, "nonce": "123456" });
    let refused = shop.put(&ada, none).await;
    assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    let ask = async |session: &SignedIn| {
        let asked = shop.app.auth("GET", "/reauthenticate");
        asked.bearer(&session.access).await.is("200 {}");
        shop.letter(EMAIL).await.code()
    };
    let nonce = ask(&ada).await;
    let wrong = if nonce == "000000" {
        "111111"
    } else {
        "000000"
    };
    let refused = shop
        .put(&ada, json!({ "password": PASSWORD, "nonce": wrong }))
        .await;
    assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    // It opens nothing else,
    let body = json!({ "type": "email", "email": EMAIL, "token": nonce });
    assert_eq!(
        shop.post("/verify", body).await.refusal(),
        "403 otp_expired"
    );
    // nor for anybody else.
    let bob = shop.confirmed("bob@example.com").await;
    shop.app.server.advance(24 * 3600 + 1);
    let bob = SignedIn::of(&shop.app.refresh(&bob.refresh).await);
    let ada = SignedIn::of(&shop.app.refresh(&ada.refresh).await);
    let nonce = ask(&ada).await;
    let refused = shop
        .put(&bob, json!({ "password": NEW, "nonce": nonce }))
        .await;
    assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    let changed = shop
        .put(&ada, json!({ "password": PASSWORD, "nonce": nonce }))
        .await;
    assert_eq!(changed.status, 200, "{changed}");
    // Once.
    let again = shop
        .put(&ada, json!({ "password": NEW, "nonce": nonce }))
        .await;
    assert_eq!(again.refusal(), "422 reauthentication_not_valid");
    // Nor for ever, nor after five wrong ones.
    let late = ask(&ada).await;
    shop.app.server.advance(3_601);
    let ada = SignedIn::of(&shop.app.refresh(&ada.refresh).await);
    let refused = shop
        .put(&ada, json!({ "password": NEW, "nonce": late }))
        .await;
    assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    let nonce = ask(&ada).await;
    let wrong = if nonce == "000000" {
        "111111"
    } else {
        "000000"
    };
    for _ in 0..5 {
        let refused = shop
            .put(&ada, json!({ "password": NEW, "nonce": wrong }))
            .await;
        assert_eq!(refused.refusal(), "422 reauthentication_not_valid");
    }
    let refused = shop
        .put(&ada, json!({ "password": NEW, "nonce": nonce }))
        .await;
    assert_eq!(
        refused.refusal(),
        "422 reauthentication_not_valid",
        "it was guessed at"
    );
    shop.app.sign_in(EMAIL).await;
}

async fn a_mail_is_sent_again_and_replaces_the_first(engine: Engine) {
    let shop = shop(engine, "double_confirm = false").await;
    let first = shop.signed_up(EMAIL).await;
    let again = json!({ "type": "signup", "email": EMAIL });
    shop.post("/resend", again.clone()).await.is("200 {}");
    let second = shop.letter(EMAIL).await;
    let place = shop.led(&first).await;
    assert!(place.contains("error_code=otp_expired"), "{place}");
    let ada = shop.follow(&second).await;
    // There is nothing to confirm now.
    shop.post("/resend", again).await.is("200 {}");
    let changed = shop
        .put(&ada, json!({ "email": "countess@example.com" }))
        .await;
    assert_eq!(changed.status, 200, "{changed}");
    shop.letter("countess@example.com").await;
    // It goes to the new address, whose owner is to agree.
    let again = json!({ "type": "email_change", "email": EMAIL });
    shop.post("/resend", again).await.is("200 {}");
    let letter = shop.letter("countess@example.com").await;
    assert_eq!(
        shop.follow(&letter).await.user["email"],
        "countess@example.com"
    );
    for body in [
        json!({ "type": "recovery", "email": EMAIL }),
        json!({ "type": "sms", "email": EMAIL }),
        json!({ "type": "signup" }),
    ] {
        let refused = shop.post("/resend", body.clone()).await;
        assert_eq!(refused.refusal(), "400 validation_failed", "{body}");
    }
    assert!(shop.sink.is_empty().await);
}

async fn an_address_gets_so_many_mails(engine: Engine) {
    let shop = shop(
        engine,
        "[auth.rates]\nmail_address = 3\nmail = 1000\nmail_app = 8",
    )
    .await;
    shop.confirmed(EMAIL).await;
    let recover = |email: &str| {
        let body = json!({ "email": email });
        shop.app.auth("POST", "/recover").json(&body)
    };
    for _ in 0..2 {
        recover(EMAIL).await.is("200 {}");
        shop.letter(EMAIL).await;
    }
    for path in ["/recover", "/otp", "/magiclink", "/signup"] {
        let body = json!({ "email": "ADA@example.com", "password": PASSWORD });
        let refused = shop.post(path, body).await;
        assert_eq!(
            refused.refusal(),
            "429 over_email_send_rate_limit",
            "{path}"
        );
        let seconds: u64 = refused.header("retry-after").parse().expect("a number");
        assert!((1..=3600).contains(&seconds), "{path}: {seconds}");
    }
    // Who has no account is counted the same way.
    for _ in 0..3 {
        recover("nobody@example.com").await.is("200 {}");
    }
    let refused = recover("nobody@example.com").await;
    assert_eq!(refused.refusal(), "429 over_email_send_rate_limit");
    // Password and session are not touched by what strangers ask for.
    let ada = shop.app.sign_in(EMAIL).await;
    assert_eq!(shop.app.user(&ada).await.status, 200);
    // Others get theirs, until the app has sent what it may.
    let mut passed = 0;
    for n in 0..5 {
        let body = json!({ "email": format!("user{n}@example.com"), "create_user": true });
        let answer = shop.post("/otp", body).await;
        match answer.status {
            200 => {
                shop.letter(&format!("user{n}@example.com")).await;
                passed += 1;
            }
            _ => assert_eq!(answer.refusal(), "429 over_email_send_rate_limit"),
        }
    }
    assert_eq!(
        passed, 5,
        "of eight, three were Ada's; what nobody got costs nobody anything"
    );
    assert!(shop.sink.is_empty().await);
}

const SENT: &str = "create table sent (
    id integer generated by default as identity primary key,
    channel text, recipient text, kind text, token text, token_hash text, link text, user_id text
);";
const PHONE: &str = "+4915112345678";

async fn a_phone_is_confirmed_by_a_message(engine: Engine) {
    let app = engine.app("phones").await;
    app.tables(SENT)
        .table("[auth]\nphone = true")
        .hook(guest!("hook_message"), "send-message")
        .await;
    let last = async || {
        let sent = app.rows("sent?order=id.desc&limit=1").await;
        assert_eq!(sent[0]["channel"], "sms", "{sent}");
        assert_eq!(sent[0]["recipient"], &PHONE[1..], "{sent}");
        assert_eq!(sent[0]["link"], Value::Null, "{sent}");
        sent[0]["token"].clone()
    };
    let post = async |path: &str, body: Value| app.auth("POST", path).json(&body).await;
    let signed = post("/signup", json!({ "phone": PHONE, "password": PASSWORD })).await;
    assert_eq!(signed.status, 200, "{signed}");
    assert_eq!(signed.json()["phone"], &PHONE[1..]);
    let by_password = json!({ "phone": PHONE, "password": PASSWORD });
    let password = "/token?grant_type=password";
    let early = post(password, by_password.clone()).await;
    assert_eq!(early.refusal(), "400 phone_not_confirmed");
    let token = last().await;
    let wrong = if token == "000000" {
        "111111"
    } else {
        "000000"
    };
    let verify = |token: &Value| json!({ "type": "sms", "phone": PHONE, "token": token });
    let refused = post("/verify", verify(&json!(wrong))).await;
    assert_eq!(refused.refusal(), "403 otp_expired");
    let session = SignedIn::of(&post("/verify", verify(&token)).await);
    assert!(
        session.user["phone_confirmed_at"].is_string(),
        "{}",
        session.user
    );
    assert_eq!(session.claims()["phone"], &PHONE[1..]);
    assert_eq!(
        post("/verify", verify(&token)).await.refusal(),
        "403 otp_expired"
    );
    SignedIn::of(&post(password, by_password).await);
    // Without a password, and to the same user.
    let asked = post("/otp", json!({ "phone": PHONE })).await;
    assert_eq!(asked.status, 200, "{asked}");
    assert!(asked.json()["message_id"].is_string(), "{asked}");
    let mut effects = app.effects().await;
    let token = effects
        .until("a second message", async || {
            let sent = app.rows("sent?order=id.desc").await;
            let count = sent.as_array().map_or(0, Vec::len);
            (count > 1).then(|| sent[0]["token"].clone())
        })
        .await;
    let again = SignedIn::of(&post("/verify", verify(&token)).await);
    assert_eq!(again.id(), session.id());
    let refused = post("/otp", json!({ "phone": "0123" })).await;
    assert_eq!(refused.refusal(), "400 validation_failed");
}

async fn codes_of_the_manifest_are_for_tests(engine: Engine) {
    let app = engine.app("test-codes").await;
    app.users(&format!(
        "phone = true\ntest_codes = {{ \"{}\" = \"424242\" }}",
        &PHONE[1..]
    ))
    .await;
    let post = async |path: &str, body: Value| app.auth("POST", path).json(&body).await;
    // Nobody is there to send it, and nobody has to be.
    let signed = post("/signup", json!({ "phone": PHONE, "password": PASSWORD })).await;
    assert_eq!(signed.status, 200, "{signed}");
    let verify =
        |phone: &str, token: &str| json!({ "type": "sms", "phone": phone, "token": token });
    let refused = post("/verify", verify(PHONE, "424243")).await;
    assert_eq!(refused.refusal(), "403 otp_expired");
    SignedIn::of(&post("/verify", verify(PHONE, "424242")).await);
    // It opens nothing that was not asked for, and no other number.
    let refused = post("/verify", verify(PHONE, "424242")).await;
    assert_eq!(refused.refusal(), "403 otp_expired");
    let other = "+4915112345679";
    let unsent = post("/signup", json!({ "phone": other, "password": PASSWORD })).await;
    assert_eq!(unsent.refusal(), "422 sms_send_failed");
    let refused = post("/verify", verify(other, "424242")).await;
    assert_eq!(refused.refusal(), "403 otp_expired");
}
