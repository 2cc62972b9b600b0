//! Accounts and sign-in at providers: whose it is, identities added and taken away, and who may not.

use pumice_tests::oidc::{Person, claims};
use pumice_tests::{Call, Engine, SignedIn, guest, on_both_engines};
use serde_json::{Value, json};

use super::{CHALLENGE, Refused as _, Shop, VERIFIER, fragment, now, query};
use crate::auth::factors;

on_both_engines!(
    whose_account_it_is,
    identities_are_added_and_taken_away,
    who_has_a_factor_needs_it_for_identities,
    an_address_is_not_taken_over_by_a_link,
    who_may_not_sign_in_does_not_by_a_provider,
    a_hook_says_what_a_new_user_is,
);

async fn whose_account_it_is(engine: Engine) {
    let shop = Shop::on(engine, "").await;
    // A confirmed user's verified address, in another case: the same user, with a second identity.
    let eve = shop.made("eve@example.com", true).await;
    shop.oidc.person(Person::new("e1", "EVE@Example.com", true));
    let tokens = shop.sign_in().await;
    let user = shop.user(&tokens["access_token"]).await;
    assert_eq!(user["id"], eve["id"]);
    assert_eq!(user["user_metadata"]["planted"], true);
    assert_eq!(shop.password("eve@example.com").await.status, 200);

    // An unconfirmed one is taken over: whoever prepared it has no way in.
    let victim = shop.made("victim@example.com", false).await;
    shop.oidc
        .person(Person::new("v1", "victim@example.com", true));
    let tokens = shop.sign_in().await;
    let user = shop.user(&tokens["access_token"]).await;
    assert_eq!(user["id"], victim["id"]);
    assert!(user["email_confirmed_at"].is_string());
    assert_eq!(user["user_metadata"].get("planted"), None);
    assert_eq!(user["app_metadata"]["providers"], json!(["custom:local"]));
    let prepared = shop.password("victim@example.com").await;
    prepared.refused_by_auth(400, "invalid_credentials");

    // An address that nobody vouches for opens nobody's account, and the answer is that of a new one.
    for confirmed in [true, false] {
        let email = format!("held-{confirmed}@example.com");
        let held = shop.made(&email, confirmed).await;
        shop.oidc
            .person(Person::new(&format!("h-{confirmed}"), &email, false));
        assert_eq!(shop.fails().await, "provider_email_needs_verification");
        let shown = shop.shown(&held["id"]).await;
        assert_eq!(shown["email_confirmed_at"].is_string(), confirmed);
        let identities = shown["identities"].as_array().map(Vec::len);
        assert_eq!(identities, held["identities"].as_array().map(Vec::len));
    }

    // A new user with such an address waits for the mail, however often he comes.
    shop.oidc
        .person(Person::new("n1", "new@example.com", false));
    assert_eq!(shop.fails().await, "provider_email_needs_verification");
    assert_eq!(shop.fails().await, "provider_email_needs_verification");
    // The provider vouches for it now.
    shop.oidc.person(Person::new("n1", "new@example.com", true));
    let tokens = shop.sign_in().await;
    let user = shop.user(&tokens["access_token"]).await;
    assert!(user["email_confirmed_at"].is_string());

    // What is no yes is no: text, a list, a number.
    let ann = shop.made("ann@example.com", true).await;
    for (n, said) in [json!("false"), json!([true]), json!(2), Value::Null]
        .into_iter()
        .enumerate()
    {
        shop.oidc.person(Person {
            sub: format!("odd-{n}"),
            email: Some("ann@example.com".into()),
            email_verified: said,
        });
        assert_eq!(shop.fails().await, "provider_email_needs_verification");
    }
    assert_eq!(
        shop.shown(&ann["id"]).await["identities"],
        ann["identities"]
    );
}

async fn identities_are_added_and_taken_away(engine: Engine) {
    let shop = Shop::on(engine, "manual_linking = true").await;
    shop.made("kim@example.com", true).await;
    let kim = shop.password("kim@example.com").await.json();
    let token = kim["access_token"].as_str().expect("it is there");
    let link = async |query: &str| shop.link(token, query).await;
    let identities = async || {
        let user = shop.user(token).await;
        user["identities"].as_array().cloned().unwrap_or_default()
    };
    // The address of the provider's is another one, and proves nothing of this user.
    shop.oidc
        .person(Person::new("k1", "other@example.com", true));
    let end = link("").await;
    assert!(fragment(&end).contains_key("access_token"), "{end}");
    assert_eq!(identities().await.len(), 2);
    assert_eq!(shop.user(token).await["email"], "kim@example.com");
    assert_eq!(
        fragment(&link("").await)["error_code"],
        "identity_already_exists"
    );
    // With PKCE it is added when the code is exchanged, by whoever has the verifier.
    shop.oidc
        .person(Person::new("k2", "third@example.com", false));
    let pkce = format!("&code_challenge={CHALLENGE}&code_challenge_method=s256");
    let end = link(&pkce).await;
    assert_eq!(identities().await.len(), 2);
    let code = query(&end)["code"].clone();
    assert_eq!(shop.exchange(&code, &VERIFIER[1..]).await.status, 400);
    assert_eq!(identities().await.len(), 2);
    let session = shop.exchange(&code, VERIFIER).await;
    assert_eq!(session.status, 200, "{session}");
    assert_eq!(identities().await.len(), 3);
    // Another user's identity stays where it is.
    shop.oidc
        .person(Person::new("lee", "lee@example.com", true));
    let lee = shop.sign_in().await;
    assert_eq!(
        fragment(&link("").await)["error_code"],
        "identity_already_exists"
    );
    // One may take away one's own, but for the last.
    let mine = identities().await;
    let of = |provider: &str| {
        let found = mine.iter().find(|one| one["provider"] == provider);
        found.map(|one| one["identity_id"].as_str().unwrap_or_default().to_owned())
    };
    let email = of("email").expect("it is there");
    shop.unlink(&lee["access_token"], &email)
        .await
        .refused_by_auth(422, "identity_not_found");
    assert_eq!(shop.unlink(token, &email).await.status, 200);
    shop.password("kim@example.com")
        .await
        .refused_by_auth(400, "invalid_credentials");
    let first = of("custom:local").expect("it is there");
    assert_eq!(shop.unlink(token, &first).await.status, 200);
    let rest = identities().await;
    assert_eq!(rest.len(), 1);
    let last = rest[0]["identity_id"].as_str().unwrap_or_default();
    shop.unlink(token, last)
        .await
        .refused_by_auth(422, "single_identity_not_deletable");
    let nobody = shop
        .key("DELETE", &format!("/user/identities/{last}"))
        .await;
    nobody.refused_by_auth(401, "no_authorization");
    shop.oidc.is_content();
}

async fn who_has_a_factor_needs_it_for_identities(engine: Engine) {
    let shop = Shop::on(engine, "manual_linking = true\nautoconfirm = true").await;
    let app = &shop.app;
    let pkce = format!("&code_challenge={CHALLENGE}&code_challenge_method=s256");
    let first = app.sign_up("kim@example.com").await;
    // Without a factor no session needs one. This one begins two links and ends neither.
    let other = app.sign_in("kim@example.com").await;
    shop.oidc
        .person(Person::new("k1", "kim@other.example", true));
    let code = query(&shop.link(&other.access, &pkce).await)["code"].clone();
    let begun = shop.ask_to_link(&other.access, "").await.json();
    let factor = factors::enroll(app, &first, "phone").await;
    let right = factors::code(&factor.secret, factors::now(0));
    let raised = SignedIn::of(&factors::verify(app, &first, &factor, &right).await);
    // The factor has ended that session, and what it began.
    shop.exchange(&code, VERIFIER)
        .await
        .refused_by_auth(403, "session_not_found");
    let issuer = shop.oidc.issuer();
    let url = begun["url"].as_str().expect("it is there");
    let path = url.strip_prefix(&issuer).unwrap_or_else(|| panic!("{url}"));
    let there = Call::new(&issuer.replace("http://", ""), "GET", path).await;
    let end = shop.come_back(there.header("location")).await;
    assert_eq!(fragment(&end)["error_code"], "session_not_found", "{end}");
    // A session of a password alone may change none, in no way.
    let low = app.sign_in("kim@example.com").await;
    for query in ["", &pkce] {
        shop.ask_to_link(&low.access, query)
            .await
            .refused_by_auth(401, "insufficient_aal");
    }
    let grant = json!({ "provider": "custom:local", "id_token": shop.oidc.id_token(None, now()),
        "link_identity": true });
    let by_id_token = async |token: &str| {
        let call = shop.key("POST", "/token?grant_type=id_token");
        call.bearer(token).json(&grant).await
    };
    by_id_token(&low.access)
        .await
        .refused_by_auth(401, "insufficient_aal");
    let email = shop.identity(&low.access, "email").await;
    shop.unlink(&low.access, &email)
        .await
        .refused_by_auth(401, "insufficient_aal");
    let identities = async || shop.user(&raised.access).await["identities"].take();
    assert_eq!(identities().await.as_array().map(Vec::len), Some(1));
    // With the factor, all of it goes. The first token, from before, is of the same session.
    let end = shop.link(&first.access, &pkce).await;
    let linked = shop.exchange(&query(&end)["code"], VERIFIER).await;
    assert_eq!(linked.status, 200, "{linked}");
    assert_eq!(identities().await.as_array().map(Vec::len), Some(2));
    shop.oidc
        .person(Person::new("k2", "kim@third.example", true));
    let end = shop.link(&raised.access, "").await;
    assert!(fragment(&end).contains_key("access_token"), "{end}");
    assert_eq!(shop.unlink(&raised.access, &email).await.status, 200);
    // A session that signed out has nothing added any more.
    let end = shop.link(&raised.access, &pkce).await;
    assert_eq!(
        query(&end)["error_code"],
        "identity_already_exists",
        "{end}"
    );
    shop.oidc
        .person(Person::new("k3", "kim@fourth.example", true));
    let code = query(&shop.link(&raised.access, &pkce).await)["code"].clone();
    let out = shop.key("POST", "/logout").bearer(&raised.access).await;
    assert_eq!(out.status, 204, "{out}");
    shop.exchange(&code, VERIFIER)
        .await
        .refused_by_auth(403, "session_not_found");
    shop.oidc.is_content();
}

async fn an_address_is_not_taken_over_by_a_link(engine: Engine) {
    let shop = Shop::on(
        engine,
        "manual_linking = true\nautoconfirm = true\nanonymous = true",
    )
    .await;
    let pkce = format!("&code_challenge={CHALLENGE}&code_challenge_method=s256");
    // In the implicit flow it may be anybody who followed the link.
    shop.oidc
        .person(Person::new("v1", "victim@example.com", true));
    let guest = shop.anonymous().await;
    let end = shop.link(&guest.access, "").await;
    let tokens = fragment(&end);
    let user = shop.user(&tokens["access_token"]).await;
    assert_eq!(user["id"], guest.user["id"]);
    assert_eq!(
        (&user["email"], &user["is_anonymous"]),
        (&json!(""), &json!(false))
    );
    assert_eq!(user.get("email_confirmed_at"), None);
    assert_eq!(user["user_metadata"].get("email"), None);
    // The address is still whoever's it is.
    let victim = shop.app.sign_up("victim@example.com").await;
    assert_ne!(victim.user["id"], guest.user["id"]);
    // With PKCE whoever asked has come back, and has proved the address.
    shop.oidc
        .person(Person::new("g2", "Guest@example.com", true));
    let guest = shop.anonymous().await;
    let end = shop.link(&guest.access, &pkce).await;
    let linked = SignedIn::of(&shop.exchange(&query(&end)["code"], VERIFIER).await);
    assert_eq!(linked.user["id"], guest.user["id"]);
    assert_eq!(linked.user["email"], "guest@example.com");
    assert!(linked.user["email_confirmed_at"].is_string());
    // Nor is one that the provider does not vouch for, or that is somebody's.
    for (sub, email, verified) in [
        ("g3", "unproved@example.com", false),
        ("g4", "victim@example.com", true),
    ] {
        shop.oidc.person(Person::new(sub, email, verified));
        let guest = shop.anonymous().await;
        let end = shop.link(&guest.access, &pkce).await;
        let linked = SignedIn::of(&shop.exchange(&query(&end)["code"], VERIFIER).await);
        assert_eq!(linked.user["email"], "", "{email}");
    }
    // An ID token comes with the session.
    shop.oidc
        .person(Person::new("g5", "five@example.com", true));
    let guest = shop.anonymous().await;
    let grant = json!({ "provider": "custom:local", "id_token": shop.oidc.id_token(None, now()),
        "link_identity": true });
    let linked = shop.key("POST", "/token?grant_type=id_token");
    let linked = SignedIn::of(&linked.bearer(&guest.access).json(&grant).await);
    assert_eq!(linked.user["email"], "five@example.com");
    // Who gives up the own address does not get the other one for it.
    let eve = shop.app.sign_up("eve@example.com").await;
    shop.oidc
        .person(Person::new("w1", "next@example.com", true));
    shop.link(&eve.access, "").await;
    let email = shop.identity(&eve.access, "email").await;
    assert_eq!(shop.unlink(&eve.access, &email).await.status, 200);
    let user = shop.user(&eve.access).await;
    assert_eq!(user["email"], "");
    assert_eq!(user.get("email_confirmed_at"), None);
    // But one that both have proved stays.
    let roy = shop.app.sign_up("roy@example.com").await;
    shop.oidc.person(Person::new("r1", "roy@example.com", true));
    shop.link(&roy.access, "").await;
    let email = shop.identity(&roy.access, "email").await;
    assert_eq!(shop.unlink(&roy.access, &email).await.status, 200);
    assert_eq!(shop.user(&roy.access).await["email"], "roy@example.com");
    shop.oidc.is_content();
}

async fn who_may_not_sign_in_does_not_by_a_provider(engine: Engine) {
    let shop = Shop::on(engine, "manual_linking = true").await;
    let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=s256");
    let code = async || query(&shop.all_the_way(&pkce).await)["code"].clone();
    let ban = async |id: &Value, duration: &str| {
        let banned = shop.admin("PUT", id);
        let banned = banned.json(&json!({ "ban_duration": duration })).await;
        assert_eq!(banned.status, 200, "{banned}");
    };
    let tokens = shop.sign_in().await;
    let ann = shop.user(&tokens["access_token"]).await;
    let given = code().await;
    ban(&ann["id"], "24h").await;
    // A ban takes along what was given before it.
    shop.exchange(&given, VERIFIER)
        .await
        .refused_by_auth(404, "flow_state_not_found");
    assert_eq!(shop.fails().await, "user_banned");
    let end = shop.all_the_way(&pkce).await;
    assert_eq!(query(&end)["error_code"], "user_banned", "{end}");
    let grant = json!({ "provider": "custom:local", "id_token": shop.oidc.id_token(None, now()) });
    shop.id_token(&grant)
        .await
        .refused_by_auth(400, "user_banned");
    // Another identity with the address is not added either.
    shop.oidc
        .person(Person::new("ann-2", "ann@example.com", true));
    assert_eq!(shop.fails().await, "user_banned");
    let shown = shop.shown(&ann["id"]).await;
    assert_eq!(shown["identities"].as_array().map(Vec::len), Some(1));
    // Nor is a prepared account taken over, which would end no ban but the rest.
    let held = shop.made("held@example.com", false).await;
    ban(&held["id"], "24h").await;
    shop.oidc
        .person(Person::new("held", "held@example.com", true));
    assert_eq!(shop.fails().await, "user_banned");
    let shown = shop.shown(&held["id"]).await;
    assert_eq!(shown["identities"], held["identities"]);
    assert_eq!(shown.get("email_confirmed_at"), None);
    ban(&held["id"], "none").await;
    shop.sign_in().await;
    // A code is worth nothing once its user is gone, softly or not.
    for soft in [true, false] {
        let sub = format!("gone-{soft}");
        let email = format!("{sub}@example.com");
        shop.oidc.person(Person::new(&sub, &email, true));
        let tokens = shop.sign_in().await;
        let user = shop.user(&tokens["access_token"]).await;
        let given = code().await;
        let gone = shop.admin("DELETE", &user["id"]);
        let gone = gone.json(&json!({ "should_soft_delete": soft })).await;
        assert_eq!(gone.status, 200, "{gone}");
        shop.exchange(&given, VERIFIER)
            .await
            .refused_by_auth(404, "flow_state_not_found");
        // Whoever comes by the provider again is somebody new.
        let tokens = shop.sign_in().await;
        assert_ne!(shop.user(&tokens["access_token"]).await["id"], user["id"]);
    }
    shop.oidc.is_content();
}

async fn a_hook_says_what_a_new_user_is(engine: Engine) {
    let shop = Shop::on(engine, "").await;
    shop.app
        .bundle()
        .table(&shop.auth)
        .hook(guest!("hook_new_user"), "before-user-created")
        .await;
    let says = |user: &Value| {
        assert_eq!(user["app_metadata"]["plan"], "free", "{user}");
        assert_eq!(user["app_metadata"]["provider"], "custom:local");
        assert_eq!(user["app_metadata"]["providers"], json!(["custom:local"]));
        assert_eq!(user["user_metadata"]["greeted"], "custom:local");
    };
    let tokens = shop.sign_in().await;
    assert_eq!(
        claims(&tokens["access_token"])["app_metadata"]["plan"],
        "free"
    );
    let ann = shop.user(&tokens["access_token"]).await;
    says(&ann);
    assert_eq!(ann["user_metadata"]["full_name"], "Name of ann");
    // What is stored stays when the user comes again, about whom no hook is asked.
    let again = shop.sign_in().await;
    says(&shop.user(&again["access_token"]).await);
    // So it is for a code and for an ID token.
    shop.oidc
        .person(Person::new("bob", "bob@example.com", true));
    let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=s256");
    let end = shop.all_the_way(&pkce).await;
    let bob = shop.exchange(&query(&end)["code"], VERIFIER).await;
    says(&bob.json()["user"]);
    shop.oidc
        .person(Person::new("cyd", "cyd@example.com", true));
    let grant = json!({ "provider": "custom:local", "id_token": shop.oidc.id_token(None, now()) });
    says(&shop.id_token(&grant).await.json()["user"]);
    // Nobody is there whom it refuses.
    shop.oidc
        .person(Person::new("dan", "dan@blocked.example", true));
    assert_eq!(shop.fails().await, "blocked_domain");
    assert_eq!(shop.fails().await, "blocked_domain");
    shop.oidc.is_content();
}

#[tokio::test]
async fn identities_stay_where_the_app_does_not_allow() {
    let shop = Shop::on(Engine::Sqlite, "").await;
    let tokens = shop.sign_in().await;
    let token = &tokens["access_token"];
    let path = "/user/identities/authorize?provider=custom:local";
    let refused = shop.key("GET", path).bearer(token).await;
    refused.refused_by_auth(404, "manual_linking_disabled");
    let id = shop.user(token).await["identities"][0]["identity_id"].clone();
    let path = format!("/user/identities/{}", id.as_str().unwrap_or_default());
    let refused = shop.key("DELETE", &path).bearer(token).await;
    refused.refused_by_auth(404, "manual_linking_disabled");
}
