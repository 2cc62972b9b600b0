//! Many at once, and a server that ends in the middle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use pumice_tests::{App, Engine, PASSWORD, SignedIn, TestServer, on_both_engines};
use serde_json::json;

on_both_engines!(
    refreshes_during_a_logout_leave_nothing_open,
    many_users_refresh_at_once,
    who_was_told_to_be_signed_up_is_so_after_a_crash,
    what_has_ended_is_over_after_a_crash,
);

const AUTH: &str = "[auth]\nautoconfirm = true\n[auth.rates]
sign_up = 100000\nsign_in = 100000\nrefresh = 1000000";
const TABLES: &str = "create table note (id int primary key);
grant select on note to authenticated;
create policy all_of_it on note using (true);";

async fn app(engine: Engine) -> App {
    let server = engine.server().await;
    let app = server.app("storm").await;
    app.tables(TABLES).table(AUTH).await;
    app
}

/// What the rows of `note` are answered to a token.
async fn read(app: &App, access: &str) -> u16 {
    let call = app.get("/rest/v1/note").header("apikey", &app.anon_key);
    call.bearer(access).await.status
}

async fn refreshes_during_a_logout_leave_nothing_open(engine: Engine) {
    const AT_ONCE: usize = 50;
    let app = app(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let mut refused = 0;
    for round in 0..4 {
        let session = app.sign_in("ada@example.com").await;
        // The rounds differ in how many refreshes are on their way before it.
        let refreshes = join_all((0..AT_ONCE).map(|_| app.refresh(&session.refresh).into_future()));
        let scope = ["local", "global", "local", "global"][round];
        let logout = app
            .auth("POST", &format!("/logout?scope={scope}"))
            .bearer(&session.access)
            .into_future();
        let (answers, out) = match round < 2 {
            true => join(refreshes, logout).await,
            false => {
                let (out, answers) = join(logout, refreshes).await;
                (answers, out)
            }
        };
        assert_eq!(out.status, 204, "{out}");
        let mut tokens = vec![session.clone()];
        for answer in answers {
            match answer.status {
                200 => tokens.push(SignedIn::of(&answer)),
                400 => {
                    assert_eq!(answer.refusal(), "400 refresh_token_not_found");
                    refused += 1;
                }
                _ => panic!("{answer}"),
            }
        }
        for session in &tokens {
            assert_eq!(app.user(session).await.refusal(), "403 session_not_found");
            let again = app.refresh(&session.refresh).await;
            assert_eq!(again.refusal(), "400 refresh_token_not_found");
        }
        for session in &tokens {
            assert_eq!(read(&app, &session.access).await, 401);
        }
    }
    assert!(refused > 0, "no logout came in between");
    let _ = ada;
    let count = app.admin("GET", "/admin/users").await;
    assert_eq!(count.header("x-total-count"), "1");
}

async fn many_users_refresh_at_once(engine: Engine) {
    const USERS: usize = 30;
    const CHAIN: usize = 20;
    let app = app(engine).await;
    // Hashing is what takes time: all at once, some would be told to come again.
    let mut sessions = Vec::new();
    for n in 0..USERS {
        sessions.push(app.sign_up(&format!("user{n}@example.com")).await);
    }
    let users = join_all(sessions.into_iter().map(|mut session| {
        let app = app.clone();
        async move {
            let mut seen = BTreeSet::from([session.refresh.clone()]);
            for _ in 0..CHAIN {
                let next = SignedIn::of(&app.refresh(&session.refresh).await);
                assert_eq!(next.id(), session.id());
                assert_eq!(next.claims()["session_id"], session.claims()["session_id"]);
                assert!(seen.insert(next.refresh.clone()), "a token came twice");
                session = next;
            }
            assert_eq!(app.user(&session).await.json()["id"], session.id());
            session
        }
    }))
    .await;
    let ids: BTreeSet<&str> = users.iter().map(SignedIn::id).collect();
    assert_eq!(ids.len(), USERS);
    for session in &users {
        assert_eq!(read(&app, &session.access).await, 200);
    }
}

const CLIENTS: usize = 8;
const KILLED_AFTER: usize = 100;

/// Signs up one after the other until the server is gone; who was told that they are.
async fn sign_up_until_killed(app: &App) -> Vec<String> {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let killed = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|client| {
        let (app, acknowledged, killed) = (app.clone(), acknowledged.clone(), killed.clone());
        tokio::spawn(async move {
            let mut emails = Vec::new();
            for n in 0.. {
                let email = format!("user-{client}-{n}@example.com");
                let body = json!({ "email": email, "password": PASSWORD });
                let answer = app.auth("POST", "/signup").json(&body).attempt().await;
                match answer {
                    Ok(answer) if answer.status == 200 && !answer.broken => {
                        emails.push(email);
                        let count = acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
                        if count == KILLED_AFTER {
                            killed.store(true, Ordering::SeqCst);
                            app.server.kill();
                        }
                    }
                    // It is busy, and has written nothing.
                    Ok(answer) if answer.status == 503 => {}
                    // It is gone, or on its way.
                    outcome => {
                        assert!(killed.load(Ordering::SeqCst), "{outcome:?}");
                        break;
                    }
                }
            }
            emails
        })
    });
    let emails = join_all(clients).await.into_iter();
    emails
        .flat_map(|emails| emails.expect("no client panics"))
        .collect()
}

async fn again(app: App) -> (TestServer, App) {
    let (server, name) = (app.server.clone(), app.name.clone());
    drop(app);
    let server = server.kill_and_restart().await;
    let app = server.found(&name).await;
    (server, app)
}

async fn who_was_told_to_be_signed_up_is_so_after_a_crash(engine: Engine) {
    let app = app(engine).await;
    let emails = sign_up_until_killed(&app).await;
    assert!(emails.len() >= KILLED_AFTER, "{}", emails.len());
    let (_server, app) = again(app).await;
    let users = app.admin("GET", "/admin/users?page=1&per_page=1").await;
    let count: usize = users.header("x-total-count").parse().expect("a number");
    // One of each client may be there without having been told.
    assert!(
        (emails.len()..=emails.len() + CLIENTS).contains(&count),
        "{count}"
    );
    for emails in emails.chunks(CLIENTS) {
        let sessions = join_all(emails.iter().map(|email| app.sign_in(email))).await;
        for (session, email) in sessions.iter().zip(emails) {
            assert_eq!(session.user["email"], email.as_str());
            assert_eq!(session.user["identities"][0]["provider"], "email");
        }
    }
    // Whoever was not told can try again.
    let again = json!({ "email": "user-last@example.com", "password": PASSWORD });
    SignedIn::of(&app.auth("POST", "/signup").json(&again).await);
}

async fn what_has_ended_is_over_after_a_crash(engine: Engine) {
    let app = app(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let ended = app.sign_in("ada@example.com").await;
    let (used, next) = {
        let session = app.sign_in("ada@example.com").await;
        let next = SignedIn::of(&app.refresh(&session.refresh).await);
        let third = SignedIn::of(&app.refresh(&next.refresh).await);
        (session, third)
    };
    let bob = app.sign_up("bob@example.com").await;
    let out = app
        .auth("POST", "/logout?scope=local")
        .bearer(&ended.access)
        .await;
    assert_eq!(out.status, 204, "{out}");
    let gone = app
        .admin("DELETE", &format!("/admin/users/{}", bob.id()))
        .await;
    assert_eq!(gone.status, 200, "{gone}");
    let (server, app) = again(app).await;
    // A read that asks for nothing but a good token.
    assert_eq!(read(&app, &ended.access).await, 401);
    assert_eq!(read(&app, &bob.access).await, 401);
    assert_eq!(app.user(&ended).await.refusal(), "403 session_not_found");
    assert_eq!(
        app.refresh(&ended.refresh).await.refusal(),
        "400 refresh_token_not_found"
    );
    assert_eq!(app.user(&bob).await.refusal(), "403 user_not_found");
    for session in [&ada, &next] {
        assert_eq!(read(&app, &session.access).await, 200);
    }
    // How far a session's tokens had come is known as well.
    server.advance(11);
    let reused = app.refresh(&used.refresh).await;
    assert_eq!(reused.refusal(), "400 refresh_token_already_used");
    assert_eq!(
        app.refresh(&next.refresh).await.refusal(),
        "400 refresh_token_not_found"
    );
    SignedIn::of(&app.refresh(&ada.refresh).await);
}
