//! Sign-in at providers: from the app to the provider and back, and all that must not come of it.

mod accounts;

use std::collections::BTreeMap;

use pumice_tests::oidc::{CLIENT_ID, CLIENT_SECRET, Oidc, Person, Wrong, claims, form};
use pumice_tests::{Answer, App, Call, Engine, SignedIn, TestServer, on_both_engines};
use serde_json::{Value, json};

const SITE: &str = "https://site.example";
const BACK: &str = "https://app.example/back";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An app with a provider of its own, in `[auth]` what `more` says.
struct Shop {
    app: App,
    oidc: Oidc,
    /// `[auth]` of its manifest.
    auth: String,
}

impl Shop {
    async fn on(engine: Engine, more: &str) -> Shop {
        let server = engine
            .server_with("allow_private = [\"127.0.0.0/8\"]\nmailbox = true")
            .await;
        Shop::of(&server, "shop", more).await
    }

    async fn of(server: &TestServer, name: &str, more: &str) -> Shop {
        let oidc = Oidc::start(Person::new("ann", "Ann@Example.com", true)).await;
        let app = server.app(name).await;
        app.secret("PROVIDER_SECRET", CLIENT_SECRET).await;
        let issuer = oidc.issuer();
        let provider = |name: &str| {
            format!(
                "[auth.provider.{name:?}]\nclient_id = {CLIENT_ID:?}\nsecret = \"PROVIDER_SECRET\"\nissuer = {issuer:?}\n"
            )
        };
        let auth = format!(
            "[auth]\nsite_url = {SITE:?}\nredirect_urls = [{BACK:?}, \"myapp://cb\"]\n{more}\n{}{}[auth.rates]\nsign_in = 100000\nmail = 100000\nmail_app = 100000\n",
            provider("custom:local"),
            provider("github"),
        );
        app.bundle().table(&auth).await;
        Shop { app, oidc, auth }
    }

    fn key(&self, method: &str, path: &str) -> Call {
        let call = self.app.call(method, &format!("/auth/v1{path}"));
        call.header("apikey", &self.app.anon_key)
    }

    /// A browser asks to leave for the provider; the answer.
    async fn leave(&self, query: &str) -> Answer {
        let path = format!("/auth/v1/authorize?provider=custom:local&{query}");
        self.app.get(&path).await
    }

    /// Follows a redirect to the provider; where it leads back.
    async fn at_provider(&self, leaving: &Answer) -> String {
        assert_eq!(leaving.status, 302, "{leaving}");
        let place = leaving.header("location");
        let path = place.strip_prefix(&self.oidc.issuer());
        let path = path.unwrap_or_else(|| panic!("not to the provider: {place}"));
        let address = self.oidc.issuer().replace("http://", "");
        let answer = Call::new(&address, "GET", path).await;
        assert_eq!(answer.status, 302, "{answer}");
        let back = answer.header("location").to_owned();
        assert!(back.contains("/auth/v1/callback?"), "{back}");
        back
    }

    /// A browser comes back; where it goes on to.
    async fn come_back(&self, back: &str) -> String {
        let answer = self.back(back).await;
        assert_eq!(answer.status, 302, "{answer}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.header("location").to_owned()
    }

    fn back(&self, back: &str) -> Call {
        let (_, rest) = back.split_once("/auth/v1/").expect("it is the app's");
        self.app.get(&format!("/auth/v1/{rest}"))
    }

    /// All the way, as a browser would; where it ends.
    async fn all_the_way(&self, query: &str) -> String {
        let leaving = self.leave(query).await;
        let back = self.at_provider(&leaving).await;
        self.come_back(&back).await
    }

    /// The tokens of a sign-in without PKCE.
    async fn sign_in(&self) -> BTreeMap<String, String> {
        let end = self.all_the_way(&format!("redirect_to={BACK}")).await;
        let tokens = fragment(&end);
        assert!(tokens.contains_key("access_token"), "{end}");
        tokens
    }

    /// The fault that a sign-in without PKCE ends with.
    async fn fails(&self) -> String {
        let end = self.all_the_way("").await;
        let told = fragment(&end);
        let code = told.get("error_code");
        code.unwrap_or_else(|| panic!("no error: {end}")).clone()
    }

    async fn user(&self, token: &str) -> Value {
        let user = self.key("GET", "/user").bearer(token).await;
        assert_eq!(user.status, 200, "{user}");
        user.json()
    }

    /// A user as the app's own service makes one.
    async fn made(&self, email: &str, confirmed: bool) -> Value {
        let body = json!({ "email": email, "password": "correct horse battery", "email_confirm": confirmed,
            "user_metadata": { "planted": true } });
        let made = self
            .key("POST", "/admin/users")
            .bearer(&self.app.service_role_key);
        let made = made.json(&body).await;
        assert_eq!(made.status, 200, "{made}");
        made.json()
    }

    async fn shown(&self, id: &Value) -> Value {
        let shown = self.admin("GET", id).await;
        assert_eq!(shown.status, 200, "{shown}");
        shown.json()
    }

    async fn password(&self, email: &str) -> Answer {
        let body = json!({ "email": email, "password": "correct horse battery" });
        self.key("POST", "/token?grant_type=password")
            .json(&body)
            .await
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Answer {
        let body = json!({ "auth_code": code, "code_verifier": verifier });
        self.key("POST", "/token?grant_type=pkce").json(&body).await
    }

    /// Asks, signed in, that an identity be added.
    fn ask_to_link(&self, token: &str, query: &str) -> Call {
        let path = format!(
            "/user/identities/authorize?provider=custom:local&skip_http_redirect=true{query}"
        );
        self.key("GET", &path).bearer(token)
    }

    /// As a browser would, once that was allowed; where it ends.
    async fn link(&self, token: &str, query: &str) -> String {
        let asked = self.ask_to_link(token, query).await;
        assert_eq!(asked.status, 200, "{asked}");
        let url = asked.json()["url"]
            .as_str()
            .expect("it is there")
            .to_owned();
        let issuer = self.oidc.issuer();
        let path = url.strip_prefix(&issuer).unwrap_or_else(|| panic!("{url}"));
        let there = Call::new(&issuer.replace("http://", ""), "GET", path).await;
        self.come_back(there.header("location")).await
    }

    async fn unlink(&self, token: &str, identity: &str) -> Answer {
        let path = format!("/user/identities/{identity}");
        self.key("DELETE", &path).bearer(token).await
    }

    /// The user's identity of a provider.
    async fn identity(&self, token: &str, provider: &str) -> String {
        let user = self.user(token).await;
        let identities = user["identities"].as_array().expect("they are there");
        let found = identities.iter().find(|one| one["provider"] == provider);
        let found = found.unwrap_or_else(|| panic!("none of {provider}: {user}"));
        found["identity_id"].as_str().unwrap_or_default().to_owned()
    }

    /// What the app's own server asks of a user.
    fn admin(&self, method: &str, id: &Value) -> Call {
        let path = format!("/admin/users/{}", id.as_str().expect("it has an id"));
        self.key(method, &path).bearer(&self.app.service_role_key)
    }

    /// A user without a name or an address.
    async fn anonymous(&self) -> SignedIn {
        let body = json!({ "data": {} });
        SignedIn::of(&self.key("POST", "/signup").json(&body).await)
    }

    async fn id_token(&self, body: &Value) -> Answer {
        self.key("POST", "/token?grant_type=id_token")
            .json(body)
            .await
    }
}

#[track_caller]
fn fragment(url: &str) -> BTreeMap<String, String> {
    let (_, fragment) = url
        .split_once('#')
        .unwrap_or_else(|| panic!("no fragment: {url}"));
    form(fragment.as_bytes())
}

#[track_caller]
fn query(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url
        .split_once('?')
        .unwrap_or_else(|| panic!("no query: {url}"));
    form(query.as_bytes())
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

on_both_engines!(
    a_user_comes_from_a_provider_and_comes_again,
    a_code_is_exchanged_once,
    an_id_token_opens_a_session,
);

async fn a_user_comes_from_a_provider_and_comes_again(engine: Engine) {
    let shop = Shop::on(engine, "").await;
    let tokens = shop.sign_in().await;
    shop.oidc.is_content();
    assert_eq!(tokens["token_type"], "bearer");
    assert_eq!(tokens["provider_token"], "canary-access-2");
    assert_eq!(tokens["provider_refresh_token"], "canary-refresh");
    assert!(tokens.contains_key("refresh_token") && tokens.contains_key("sb"));
    let user = shop.user(&tokens["access_token"]).await;
    assert_eq!(user["email"], "ann@example.com");
    assert!(user["email_confirmed_at"].is_string());
    assert_eq!(
        user["app_metadata"],
        json!({ "provider": "custom:local", "providers": ["custom:local"] })
    );
    assert_eq!(user["identities"][0]["id"], "ann");
    assert_eq!(user["identities"][0]["provider"], "custom:local");
    assert_eq!(
        user["identities"][0]["identity_data"]["email_verified"],
        true
    );
    assert_eq!(user["user_metadata"]["full_name"], "Name of ann");
    let said = claims(&tokens["access_token"]);
    assert_eq!(said["amr"][0]["method"], "oauth");
    // The same person is the same user, whatever the address is now.
    shop.oidc
        .person(Person::new("ann", "new@example.com", true));
    let again = shop.sign_in().await;
    let again = shop.user(&again["access_token"]).await;
    assert_eq!(
        (&again["id"], &again["email"]),
        (&user["id"], &user["email"])
    );
    assert_eq!(again["identities"].as_array().map(Vec::len), Some(1));
    // Somebody without an address is a user as well.
    shop.oidc.person(Person::without_email("bob"));
    let bob = shop.sign_in().await;
    let bob = shop.user(&bob["access_token"]).await;
    assert_ne!(bob["id"], user["id"]);
    shop.oidc.is_content();
    // No secret is in the log.
    let log = shop.app.server.log().join("\n");
    let records = format!("{:?}", shop.app.records().await);
    assert!(
        !log.contains("canary") && !records.contains("canary"),
        "{log}"
    );
}

async fn a_code_is_exchanged_once(engine: Engine) {
    let shop = Shop::on(engine, "").await;
    let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=s256");
    let end = shop
        .all_the_way(&format!("redirect_to={BACK}%3Fsb_flow_id%3D7&{pkce}"))
        .await;
    let kept = format!("{BACK}?sb_flow_id=7&code=");
    let code = end.strip_prefix(&kept).unwrap_or_else(|| panic!("{end}"));
    let wrong = shop.exchange(code, &VERIFIER.replace('d', "e")).await;
    wrong.refused_by_auth(400, "bad_code_verifier");
    let empty = shop.exchange(code, "").await;
    empty.refused_by_auth(400, "validation_failed");
    let session = shop.exchange(code, VERIFIER).await;
    assert_eq!(session.status, 200, "{session}");
    let session = session.json();
    assert_eq!(session["provider_token"], "canary-access-2");
    assert_eq!(session["user"]["email"], "ann@example.com");
    let again = shop.exchange(code, VERIFIER).await;
    again.refused_by_auth(404, "flow_state_not_found");
    // What is half a challenge, or none, is refused before anybody leaves.
    for query in [
        format!("code_challenge={CHALLENGE}"),
        "code_challenge_method=s256".to_owned(),
        "code_challenge=short&code_challenge_method=s256".to_owned(),
        format!("code_challenge={CHALLENGE}&code_challenge_method=md5"),
    ] {
        let refused = shop.leave(&query).await;
        refused.refused_by_auth(400, "validation_failed");
    }
    // Two at once: one of them gets the session.
    let end = shop.all_the_way(&pkce).await;
    let code = query(&end)["code"].clone();
    let both = tokio::join!(
        shop.exchange(&code, VERIFIER),
        shop.exchange(&code, VERIFIER)
    );
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404], "{} {}", both.0, both.1);
    shop.oidc.is_content();
}

#[tokio::test]
async fn nobody_new_where_nobody_may_sign_up() {
    let shop = Shop::on(Engine::Sqlite, "signup = false").await;
    assert_eq!(shop.fails().await, "signup_disabled");
    let users = shop
        .key("GET", "/admin/users")
        .bearer(&shop.app.service_role_key)
        .await;
    assert_eq!(users.json()["users"], json!([]));
    // Who is a user already may come by the provider.
    let made = shop.made("ann@example.com", true).await;
    let tokens = shop.sign_in().await;
    assert_eq!(shop.user(&tokens["access_token"]).await["id"], made["id"]);
}

#[tokio::test]
async fn github_has_its_own_ways() {
    let shop = Shop::on(Engine::Sqlite, "").await;
    let go = async || {
        let leaving = shop.app.get("/auth/v1/authorize?provider=github").await;
        let back = shop.at_provider(&leaving).await;
        shop.come_back(&back).await
    };
    shop.oidc
        .person(Person::new("583231", "main@example.com", true));
    let tokens = fragment(&go().await);
    let user = shop.user(&tokens["access_token"]).await;
    assert_eq!(user["email"], "main@example.com");
    assert_eq!(user["identities"][0]["id"], "583231");
    assert_eq!(user["user_metadata"]["user_name"], "octo");
    shop.oidc
        .person(Person::new("583232", "unproved@example.com", false));
    let told = fragment(&go().await);
    assert_eq!(told["error_code"], "provider_email_needs_verification");
    // The same name at another provider is somebody else.
    shop.oidc.person(Person::without_email("583231"));
    let other = shop.sign_in().await;
    assert_ne!(shop.user(&other["access_token"]).await["id"], user["id"]);
    shop.oidc.is_content();
}

#[tokio::test]
async fn a_provider_that_is_not_sound_signs_nobody_in() {
    let shop = Shop::on(Engine::Sqlite, "").await;
    for wrong in [
        Wrong::Issuer,
        Wrong::Audience,
        Wrong::Nonce,
        Wrong::NoNonce,
        Wrong::Expired,
        Wrong::UnknownKey,
        Wrong::Signature,
        Wrong::AlgNone,
        Wrong::AlgHmac,
        Wrong::NoIdToken,
        Wrong::Broken,
        Wrong::Huge,
        Wrong::Redirects,
        Wrong::Somebody,
    ] {
        shop.oidc.wrong(wrong);
        let end = shop.all_the_way("").await;
        let told = fragment(&end);
        assert_eq!(told["error"], "server_error", "{wrong:?}: {end}");
        assert_eq!(told["error_code"], "unexpected_failure", "{wrong:?}");
        assert!(end.starts_with(SITE), "{end}");
    }
    // However often a key is not known, the provider is not asked again within a minute.
    assert!(
        shop.oidc.asked("/jwks") <= 2,
        "{}",
        shop.oidc.asked("/jwks")
    );
    assert_eq!(shop.oidc.asked("/.well-known/openid-configuration"), 1);
    let users = shop
        .key("GET", "/admin/users")
        .bearer(&shop.app.service_role_key)
        .await;
    assert_eq!(users.json()["users"], json!([]));
    // And it is well again at once.
    shop.oidc.wrong(Wrong::Nothing);
    shop.sign_in().await;
    shop.oidc.wrong(Wrong::Denied);
    let end = shop.all_the_way("").await;
    let told = fragment(&end);
    assert_eq!(told["error"], "access_denied");
    assert_eq!(told["error_description"], "The user said no");
    let pkce = format!("code_challenge={CHALLENGE}&code_challenge_method=s256");
    let end = shop.all_the_way(&pkce).await;
    assert_eq!(query(&end)["error"], "access_denied", "{end}");
    assert!(!end.contains('#'), "{end}");
}

#[tokio::test]
async fn a_provider_inside_is_not_reached() {
    // Without `allow_private` this machine is not a place for providers.
    let server = TestServer::shared().await;
    let shop = Shop::of(&server, "inside", "").await;
    let refused = shop.leave("").await;
    assert_eq!(refused.status, 500, "{refused}");
    assert_eq!(shop.oidc.asked("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn a_state_is_for_one_return_to_one_app() {
    let server = TestServer::with("allow_private = [\"127.0.0.0/8\"]\nmailbox = true").await;
    let shop = Shop::of(&server, "shop", "").await;
    let forum = Shop::of(&server, "forum", "").await;
    let leaving = shop.leave("").await;
    let back = shop.at_provider(&leaving).await;
    let lost = |end: &str, code: &str| {
        // Nobody knows what the client expects, so it is told in both.
        assert!(end.starts_with(SITE), "{end}");
        assert_eq!(fragment(end)["error_code"], code, "{end}");
        assert_eq!(
            query(end.split('#').next().unwrap_or_default())["error_code"],
            code,
            "{end}"
        );
    };
    lost(&forum.come_back(&back).await, "bad_oauth_state");
    for broken in [
        "/auth/v1/callback?code=x".to_owned(),
        "/auth/v1/callback?code=x&state=".to_owned(),
        "/auth/v1/callback?code=x&state=00000000-0000-0000-0000-000000000000".to_owned(),
        format!("{back}x"),
        back.replacen("state=", "state=A", 1),
        format!("{back}&state=x"),
    ] {
        lost(&shop.come_back(&broken).await, "bad_oauth_state");
    }
    // The right one still works, once.
    let end = shop.come_back(&back).await;
    assert!(fragment(&end).contains_key("access_token"), "{end}");
    lost(&shop.come_back(&back).await, "bad_oauth_state");
    // A code of one flow is nothing in another, which the provider sees by the verifier.
    let first = shop.at_provider(&shop.leave("").await).await;
    let second = shop.at_provider(&shop.leave("").await).await;
    let code = query(&first)["code"].clone();
    let other = query(&second)["code"].clone();
    let mixed = second.replace(&other, &code);
    shop.oidc.is_content();
    assert_eq!(
        fragment(&shop.come_back(&mixed).await)["error"],
        "server_error"
    );
    shop.oidc.complained("another verifier");
}

#[tokio::test]
async fn under_tls_a_state_is_its_browsers() {
    let shop = Shop::on(Engine::Sqlite, "").await;
    let tls = |call: Call| call.header("x-forwarded-proto", "https");
    let leave = || tls(shop.app.get("/auth/v1/authorize?provider=custom:local"));
    let cookie = |answer: &Answer| {
        let set = answer.header("set-cookie").to_owned();
        for part in ["__Host-", "; Path=/;", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(set.contains(part), "{set}");
        }
        set.split(';').next().unwrap_or_default().to_owned()
    };
    let (mine, other) = (leave().await, leave().await);
    let back = shop.at_provider(&mine).await;
    assert!(back.starts_with("https://"), "{back}");
    // Whoever is sent here with another's state and code has no cookie for it, or another.
    let without = tls(shop.back(&back)).await;
    assert_eq!(
        fragment(without.header("location"))["error_code"],
        "bad_oauth_state"
    );
    let with = tls(shop.back(&back))
        .header("cookie", &cookie(&other))
        .await;
    assert_eq!(
        fragment(with.header("location"))["error_code"],
        "bad_oauth_state"
    );
    let right = tls(shop.back(&back)).header("cookie", &cookie(&mine)).await;
    assert!(fragment(right.header("location")).contains_key("access_token"));
    assert!(right.header("set-cookie").contains("Max-Age=0"));

    // A client that asks for the URL gets one of the app's, which a browser can take once.
    let asked = tls(shop
        .app
        .get("/auth/v1/authorize?provider=custom:local&skip_http_redirect=true"))
    .await;
    assert_eq!(asked.status, 200, "{asked}");
    let url = asked.json()["url"]
        .as_str()
        .expect("it is there")
        .to_owned();
    assert!(url.contains("/auth/v1/authorize?ticket="), "{url}");
    let leaving = tls(shop.back(&url)).await;
    let again = tls(shop.back(&url)).await;
    assert_eq!(again.status, 400, "{again}");
    let back = shop.at_provider(&leaving).await;
    let right = tls(shop.back(&back))
        .header("cookie", &cookie(&leaving))
        .await;
    assert!(fragment(right.header("location")).contains_key("access_token"));

    // What a provider had a browser post comes again as a GET, which has the cookie.
    let mine = leave().await;
    let back = shop.at_provider(&mine).await;
    let posted = back.split_once('?').map(|(_, query)| query.to_owned());
    let posted = tls(shop.app.call("POST", "/auth/v1/callback"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(posted.unwrap_or_default())
        .await;
    assert_eq!(posted.status, 303, "{posted}");
    let again = posted.header("location").to_owned();
    let right = tls(shop.back(&again))
        .header("cookie", &cookie(&mine))
        .await;
    assert!(fragment(right.header("location")).contains_key("access_token"));
    shop.oidc.is_content();
}

#[tokio::test]
async fn a_sign_in_leads_where_the_app_allows() {
    let shop = Shop::on(Engine::Sqlite, "").await;
    let led = async |wanted: &str| {
        let encoded: String = wanted.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let end = shop.all_the_way(&format!("redirect_to={encoded}")).await;
        end.split('#').next().unwrap_or_default().to_owned()
    };
    for allowed in [
        BACK,
        "myapp://cb",
        "https://site.example/any?x=1",
        "https://app.example/back?sb_flow_id=1",
    ] {
        assert_eq!(led(allowed).await, allowed);
    }
    for attack in [
        "https://evil.example",
        "//evil.example",
        "https://site.example@evil.example",
        "https://site.example.evil.example",
        "https://evil.example\\@site.example",
        "https://site.example\\.evil.example",
        "https://app.example/back/../other",
        "https://app.example/back%2f..",
        "https://app.example/other",
        "http://app.example/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp://cb/other",
        "https://site.example\r\nset-cookie: a=b",
        "https://site.example/\u{0}",
        "https://\u{455}ite.example",
        "",
    ] {
        assert_eq!(led(attack).await, SITE, "{attack:?}");
    }
    for provider in [
        "",
        "google",
        "custom:other",
        "custom:",
        "CUSTOM:LOCAL",
        "local",
        "../github",
    ] {
        let path = format!("/auth/v1/authorize?provider={provider}");
        let refused = shop.app.get(&path).await;
        refused.refused_by_auth(400, "validation_failed");
    }
    shop.oidc.is_content();
}

async fn an_id_token_opens_a_session(engine: Engine) {
    let shop = Shop::on(engine, "").await;
    let grant = |id_token: String, nonce: Value| json!({ "provider": "custom:local", "id_token": id_token, "nonce": nonce });
    let hashed = pumice_tests::digest(b"raw");
    let with = |claim: Option<&str>, nonce: Value| grant(shop.oidc.id_token(claim, now()), nonce);
    let good = shop.id_token(&with(Some(&hashed), json!("raw"))).await;
    assert_eq!(good.status, 200, "{good}");
    assert_eq!(good.json()["user"]["email"], "ann@example.com");
    let plain = shop.id_token(&with(None, Value::Null)).await;
    assert_eq!(plain.json()["user"]["id"], good.json()["user"]["id"]);
    for (claim, nonce) in [
        (Some(&*hashed), Value::Null),
        (Some(&*hashed), json!("other")),
        (Some(&*hashed), json!(hashed)),
        (Some("raw"), json!("raw")),
        (None, json!("raw")),
    ] {
        let refused = shop.id_token(&with(claim, nonce.clone())).await;
        assert_eq!(refused.status, 400, "{claim:?} {nonce}: {refused}");
    }
    for wrong in [
        Wrong::Issuer,
        Wrong::Audience,
        Wrong::Expired,
        Wrong::UnknownKey,
        Wrong::Signature,
        Wrong::AlgNone,
        Wrong::AlgHmac,
    ] {
        shop.oidc.wrong(wrong);
        let refused = shop.id_token(&with(None, Value::Null)).await;
        assert_eq!(refused.status, 400, "{wrong:?}: {refused}");
    }
    shop.oidc.wrong(Wrong::Nothing);
    // Of a provider that the app does not have, and of one that has no such tokens.
    for provider in ["google", "github", "custom:other"] {
        let mut other = with(None, Value::Null);
        other["provider"] = json!(provider);
        shop.id_token(&other)
            .await
            .refused_by_auth(400, "provider_disabled");
    }
    // An unproved address, and one that is taken.
    shop.oidc
        .person(Person::new("zoe", "ann@example.com", false));
    let refused = shop.id_token(&with(None, Value::Null)).await;
    refused.refused_by_auth(403, "provider_email_needs_verification");
    shop.oidc.is_content();
}

trait Refused {
    fn refused_by_auth(&self, status: u16, code: &str);
}

impl Refused for Answer {
    #[track_caller]
    fn refused_by_auth(&self, status: u16, code: &str) {
        let shown = self.header("x-sb-error-code");
        assert_eq!((self.status, shown), (status, code), "{self}");
    }
}
