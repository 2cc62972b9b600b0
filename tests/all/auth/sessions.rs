//! Sessions: refreshed, found to be used twice, ended.

use futures_util::future::join_all;
use pumice_tests::{App, Engine, SignedIn, TestServer, on_both_engines};
use serde_json::json;

on_both_engines!(
    a_refresh_token_is_used_up_and_its_reuse_ends_the_session,
    refreshes_at_once_are_all_right,
    sessions_end_as_they_are_told_to,
    access_tokens_of_ended_sessions_open_nothing,
    sessions_end_by_time,
    forged_refresh_tokens_open_nothing,
    a_banned_user_gets_no_token,
);

async fn server(engine: Engine, auth: &str) -> (TestServer, App) {
    let server = engine.server().await;
    let app = server.app("sessions").await;
    app.users(&format!(
        "autoconfirm = true\n{auth}\n[auth.rates]\nrefresh = 100000\nsign_in = 10000"
    ))
    .await;
    (server, app)
}

async fn a_refresh_token_is_used_up_and_its_reuse_ends_the_session(engine: Engine) {
    let (server, app) = server(engine, "").await;
    let first = app.sign_up("ada@example.com").await;
    let second = SignedIn::of(&app.refresh(&first.refresh).await);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.claims()["session_id"], first.claims()["session_id"]);
    // The answer may have been lost: the same once more.
    let again = SignedIn::of(&app.refresh(&first.refresh).await);
    assert_eq!(again.refresh, second.refresh);
    let third = SignedIn::of(&app.refresh(&second.refresh).await);
    // Two behind, and within the interval: another tab of the same client.
    let tab = SignedIn::of(&app.refresh(&first.refresh).await);
    assert_eq!(tab.refresh, third.refresh);
    server.advance(11);
    // Two behind, and late: somebody has a copy. All of the session's tokens end.
    let reused = app.refresh(&first.refresh).await;
    assert_eq!(reused.refusal(), "400 refresh_token_already_used");
    assert_eq!(
        app.refresh(&third.refresh).await.refusal(),
        "400 refresh_token_not_found"
    );
    assert_eq!(app.user(&third).await.refusal(), "403 session_not_found");
    app.sign_in("ada@example.com").await;
}

async fn refreshes_at_once_are_all_right(engine: Engine) {
    let (_server, app) = server(engine, "").await;
    let mut session = app.sign_up("ada@example.com").await;
    for _ in 0..5 {
        let all = join_all(
            (0..40).map(|_| async { SignedIn::of(&app.refresh(&session.refresh).await).refresh }),
        )
        .await;
        let next = all[0].clone();
        assert!(all.iter().all(|token| *token == next), "one token for all");
        assert_ne!(next, session.refresh);
        session.refresh = next;
    }
    assert_eq!(app.user(&session).await.status, 200);
}

async fn sessions_end_as_they_are_told_to(engine: Engine) {
    let (_server, app) = server(engine, "").await;
    let one = app.sign_up("ada@example.com").await;
    let (two, three) = (
        app.sign_in("ada@example.com").await,
        app.sign_in("ada@example.com").await,
    );
    let bob = app.sign_up("bob@example.com").await;
    let logout = async |session: &SignedIn, scope: &str| {
        app.auth("POST", &format!("/logout{scope}"))
            .bearer(&session.access)
            .await
    };
    assert_eq!(
        logout(&one, "?scope=everywhere").await.refusal(),
        "400 validation_failed"
    );
    logout(&one, "?scope=local").await.is("204 ");
    assert_eq!(app.user(&one).await.refusal(), "403 session_not_found");
    assert_eq!(logout(&one, "").await.refusal(), "403 session_not_found");
    assert_eq!(app.user(&two).await.status, 200);
    logout(&two, "?scope=others").await.is("204 ");
    assert_eq!(app.user(&three).await.refusal(), "403 session_not_found");
    assert_eq!(app.user(&two).await.status, 200);
    let four = app.sign_in("ada@example.com").await;
    logout(&four, "").await.is("204 ");
    assert_eq!(
        app.refresh(&two.refresh).await.refusal(),
        "400 refresh_token_not_found"
    );
    assert_eq!(app.user(&bob).await.status, 200, "others go on");
}

async fn access_tokens_of_ended_sessions_open_nothing(engine: Engine) {
    let server = engine.server().await;
    let app = server.app("ended").await;
    app.tables("create table t (id int primary key); grant select on t to authenticated; create policy p on t using (true);")
        .table("[auth]\nautoconfirm = true")
        .await;
    let ada = app.sign_up("ada@example.com").await;
    let other = app.sign_in("ada@example.com").await;
    let read =
        async |session: &SignedIn| app.rest("GET", "/t").bearer(&session.access).await.status;
    assert_eq!((read(&ada).await, read(&other).await), (200, 200));
    app.auth("POST", "/logout?scope=local")
        .bearer(&ada.access)
        .await
        .is("204 ");
    assert_eq!((read(&ada).await, read(&other).await), (401, 200));
    let ban = json!({ "ban_duration": "1h" });
    app.admin("PUT", &format!("/admin/users/{}", ada.id()))
        .json(&ban)
        .await;
    assert_eq!(read(&other).await, 401);
}

async fn sessions_end_by_time(engine: Engine) {
    let (server, app) = server(
        engine,
        "session_s = 1000\nsession_idle_s = 300\ntoken_s = 100",
    )
    .await;
    let ada = app.sign_up("ada@example.com").await;
    let idle = app.sign_in("ada@example.com").await;
    assert_eq!(app.user(&ada).await.status, 200);
    server.advance(120);
    assert_eq!(
        app.user(&ada).await.refusal(),
        "403 bad_jwt",
        "the token is over"
    );
    let mut session = SignedIn::of(&app.refresh(&ada.refresh).await);
    server.advance(190);
    session = SignedIn::of(&app.refresh(&session.refresh).await);
    let late = app.refresh(&idle.refresh).await;
    assert_eq!(late.refusal(), "400 session_expired");
    assert!(late.text().contains("Inactivity"), "{}", late.text());
    for _ in 0..4 {
        server.advance(220);
        let answer = app.refresh(&session.refresh).await;
        if answer.status == 200 {
            session = SignedIn::of(&answer);
        } else {
            assert_eq!(answer.refusal(), "400 session_expired");
        }
    }
    assert_eq!(
        app.refresh(&session.refresh).await.refusal(),
        "400 session_expired"
    );
}

async fn forged_refresh_tokens_open_nothing(engine: Engine) {
    let (_server, app) = server(engine, "").await;
    let ada = app.sign_up("ada@example.com").await;
    for place in 0..ada.refresh.len() {
        let mut bytes = ada.refresh.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let token = String::from_utf8(bytes).expect("it is ASCII");
        let answer = app.refresh(&token).await;
        assert_eq!(answer.status, 400, "{place}: {}", answer.text());
    }
    for token in ["", "x", "v1kq0x3m9a2c", &"a".repeat(10_000)] {
        assert_eq!(app.refresh(token).await.status, 400);
    }
    SignedIn::of(&app.refresh(&ada.refresh).await);
}

async fn a_banned_user_gets_no_token(engine: Engine) {
    let (server, app) = server(engine, "").await;
    let ada = app.sign_up("ada@example.com").await;
    let path = format!("/admin/users/{}", ada.id());
    app.admin("PUT", &path)
        .json(&json!({ "ban_duration": "1h" }))
        .await;
    let sign_in = app
        .try_sign_in("ada@example.com", pumice_tests::PASSWORD)
        .await;
    assert_eq!(sign_in.refusal(), "400 user_banned");
    // A wrong password is not told of the ban.
    let wrong = app.try_sign_in("ada@example.com", "wrong").await;
    assert_eq!(wrong.refusal(), "400 invalid_credentials");
    server.advance(3601);
    app.sign_in("ada@example.com").await;
    app.admin("PUT", &path)
        .json(&json!({ "ban_duration": "none" }))
        .await;
    app.sign_in("ada@example.com").await;
}
