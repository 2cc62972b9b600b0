//! What an app's own server sees and changes of its users.

use pumice_tests::{App, Engine, PASSWORD, SignedIn, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    only_the_service_key_is_an_admin,
    users_are_listed_in_pages,
    users_are_made_and_changed,
    users_go_softly_or_whole,
    what_happened_is_written_down,
    imported_hashes_open_and_are_made_better,
);

async fn app(engine: Engine) -> App {
    let app = engine.app("admin").await;
    app.users("autoconfirm = true\n[auth.rates]\nsign_up = 100000\nsign_in = 100000")
        .await;
    app
}

async fn only_the_service_key_is_an_admin(engine: Engine) {
    let app = app(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    let one = format!("/admin/users/{}", ada.id());
    for (method, path) in [
        ("GET", "/admin/users"),
        ("POST", "/admin/users"),
        ("GET", one.as_str()),
        ("PUT", &one),
        ("DELETE", &one),
        ("GET", "/admin/audit"),
        ("POST", "/admin/generate_link"),
        ("POST", "/invite"),
        ("GET", "/admin/nothing"),
    ] {
        let call = || app.auth(method, path).json(&json!({}));
        assert_eq!(
            call().await.refusal(),
            "403 not_admin",
            "{method} {path} with the anon key"
        );
        let user = call().bearer(&ada.access).await;
        assert_eq!(user.refusal(), "403 not_admin", "{method} {path} as a user");
        let none = call().without("apikey").await;
        assert_eq!(
            none.refusal(),
            "401 no_authorization",
            "{method} {path} as nobody"
        );
    }
    assert_eq!(app.user(&ada).await.status, 200);
}

async fn users_are_listed_in_pages(engine: Engine) {
    let app = app(engine).await;
    for n in 1..=7 {
        let body = json!({ "email": format!("user{n}@example.com") });
        let made = app.admin("POST", "/admin/users").json(&body).await;
        assert_eq!(made.status, 200, "{}", made.text());
    }
    let emails = |answer: &Value| -> Vec<String> {
        let users = answer["users"].as_array().expect("a list");
        users
            .iter()
            .map(|user| user["email"].as_str().expect("text").to_owned())
            .collect()
    };
    let all = app.admin("GET", "/admin/users?page=&per_page=").await;
    assert_eq!(emails(&all.json()).len(), 7);
    assert_eq!(all.json()["aud"], "authenticated");
    let page = app.admin("GET", "/admin/users?page=2&per_page=3").await;
    assert_eq!(
        emails(&page.json()),
        [
            "user4@example.com",
            "user3@example.com",
            "user2@example.com"
        ]
    );
    assert_eq!(page.header("x-total-count"), "7");
    assert_eq!(
        page.header("link"),
        r#"</admin/users?page=3&per_page=3>; rel="next", </admin/users?page=3&per_page=3>; rel="last""#,
    );
    let last = app.admin("GET", "/admin/users?page=3&per_page=3").await;
    assert_eq!(
        last.header("link"),
        r#"</admin/users?page=3&per_page=3>; rel="last""#
    );
    let found = app.admin("GET", "/admin/users?filter=USER5").await;
    assert_eq!(emails(&found.json()), ["user5@example.com"]);
    let negative = app.admin("GET", "/admin/users?page=-1").await;
    assert_eq!(negative.refusal(), "400 validation_failed");
    assert!(
        negative.text().contains("Bad Pagination Parameters"),
        "{}",
        negative.text()
    );
}

async fn users_are_made_and_changed(engine: Engine) {
    let app = app(engine).await;
    let id = "6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11";
    let body = json!({
        "id": id, "email": "ada@example.com", "password": PASSWORD,
        "user_metadata": { "name": "Ada" }, "app_metadata": { "plan": "indie" },
    });
    let made = app.admin("POST", "/admin/users").json(&body).await.json();
    assert_eq!(
        (&made["id"], &made["user_metadata"]),
        (&json!(id), &json!({ "name": "Ada" }))
    );
    assert_eq!(
        made["app_metadata"],
        json!({ "provider": "email", "providers": ["email"], "plan": "indie" }),
    );
    assert_eq!(made.get("email_confirmed_at"), None);
    let early = app.try_sign_in("ada@example.com", PASSWORD).await;
    assert_eq!(early.refusal(), "400 email_not_confirmed");
    let path = format!("/admin/users/{id}");
    let put = async |body: Value| app.admin("PUT", &path).json(&body).await;
    put(json!({ "email_confirm": true, "app_metadata": { "plan": null, "seats": 3 } })).await;
    let ada = app.sign_in("ada@example.com").await;
    assert_eq!(
        ada.claims()["app_metadata"],
        json!({ "provider": "email", "providers": ["email"], "seats": 3 })
    );
    let again = app
        .admin("POST", "/admin/users")
        .json(&json!({ "email": "ADA@example.com" }))
        .await;
    assert_eq!(again.refusal(), "422 email_exists");
    put(json!({ "email": "countess@example.com" })).await;
    assert_eq!(app.sign_in("countess@example.com").await.id(), id);
    let bad = [
        (json!({ "role": "service_role" }), "400 validation_failed"),
        (json!({ "password": "short" }), "422 weak_password"),
        (json!({ "password_hash": "plain" }), "400 validation_failed"),
        (
            json!({ "ban_duration": "a while" }),
            "400 validation_failed",
        ),
        (json!({ "email": "nobody" }), "400 validation_failed"),
    ];
    for (body, expect) in bad {
        assert_eq!(put(body.clone()).await.refusal(), expect, "{body}");
    }
    let unknown = app
        .admin("GET", "/admin/users/00000000-0000-4000-8000-000000000000")
        .await;
    assert_eq!(unknown.refusal(), "404 user_not_found");
    assert_eq!(
        app.admin("GET", "/admin/users/nobody").await.refusal(),
        "404 validation_failed"
    );
    let none = app
        .admin("POST", "/admin/users")
        .json(&json!({ "password": PASSWORD }))
        .await;
    assert_eq!(none.refusal(), "400 validation_failed");
}

async fn users_go_softly_or_whole(engine: Engine) {
    let app = engine.app("going").await;
    app.tables(
        "create table post (id int primary key, author uuid not null references auth.users (id));",
    )
    .table("[auth]\nautoconfirm = true")
    .await;
    let ada = app.sign_up("ada@example.com").await;
    let post = json!({ "id": 1, "author": ada.id() });
    app.insert("post", &post).await;
    let path = format!("/admin/users/{}", ada.id());
    let held = app.admin("DELETE", &path).await;
    assert_eq!(held.refusal(), "409 conflict");
    let soft = app
        .admin("DELETE", &path)
        .json(&json!({ "should_soft_delete": true }))
        .await;
    soft.is("200 {}");
    assert_eq!(app.user(&ada).await.refusal(), "403 user_not_found");
    let gone = app.admin("GET", &path).await.json();
    assert!(
        gone["deleted_at"].is_string() && !gone.to_string().contains("ada@"),
        "{gone}"
    );
    // The address is free again.
    let other = app.sign_up("ada@example.com").await;
    assert_ne!(other.id(), ada.id());
    app.admin("DELETE", &format!("/admin/users/{}", other.id()))
        .await
        .is("200 {}");
    assert_eq!(app.user(&other).await.refusal(), "403 user_not_found");
    assert_eq!(
        app.admin("GET", &format!("/admin/users/{}", other.id()))
            .await
            .status,
        404
    );
}

async fn what_happened_is_written_down(engine: Engine) {
    let app = app(engine).await;
    let ada = app.sign_up("ada@example.com").await;
    app.sign_in("ada@example.com").await;
    app.auth("POST", "/logout").bearer(&ada.access).await;
    app.sign_up("bob@example.com").await;
    let all = app.admin("GET", "/admin/audit").await;
    let actions: Vec<String> = all
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            entry["payload"]["action"]
                .as_str()
                .expect("text")
                .to_owned()
        })
        .collect();
    assert_eq!(
        actions,
        ["user_signedup", "logout", "login", "user_signedup"]
    );
    let bobs = app
        .admin("GET", "/admin/audit?query=bob@example.com")
        .await
        .json();
    assert_eq!(bobs.as_array().map(Vec::len), Some(1));
    assert_eq!(bobs[0]["payload"]["actor_username"], "bob@example.com");
    let text = all.text();
    assert!(
        !text.contains(PASSWORD) && !text.contains(&ada.access) && !text.contains(&ada.refresh)
    );
}

async fn imported_hashes_open_and_are_made_better(engine: Engine) {
    let app = app(engine).await;
    // Of "correct horse battery staple", made by crypt(3).
    let bcrypt = "$2b$04$.FTjGvGk8C4LGH5jRi1NDu0UCDhgtFUeiXkBxqlPnNDVL7Acpur22";
    let body =
        json!({ "email": "old@example.com", "password_hash": bcrypt, "email_confirm": true });
    let made = app.admin("POST", "/admin/users").json(&body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert!(!made.text().contains("$2"), "{}", made.text());
    let wrong = app.try_sign_in("old@example.com", "correct horse").await;
    assert_eq!(wrong.refusal(), "400 invalid_credentials");
    for _ in 0..2 {
        SignedIn::of(
            &app.try_sign_in("old@example.com", "correct horse battery staple")
                .await,
        );
    }
}
