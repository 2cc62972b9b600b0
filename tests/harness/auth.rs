//! Users of an app.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{Answer, App, Call};

/// What a sign-in gives.
#[derive(Clone, Debug)]
pub struct Session {
    pub access: String,
    pub refresh: String,
    pub user: Value,
}

impl App {
    /// A request to `/auth/v1<path>` with the anon key, as a client of the dialect's latest version.
    pub fn auth(&self, method: &str, path: &str) -> Call {
        self.call(method, &format!("/auth/v1{path}"))
            .header("apikey", &self.anon_key)
            .header("x-supabase-api-version", "2024-01-01")
    }

    /// The same as the app's own server.
    pub fn admin(&self, method: &str, path: &str) -> Call {
        self.auth(method, path).bearer(&self.service_role_key)
    }

    /// Deploys nothing but these lines of `[auth]`.
    pub async fn users(&self, auth: &str) {
        self.bundle().table(&format!("[auth]\n{auth}")).await;
    }

    /// Signs up with a password, where addresses are confirmed without a mail.
    pub async fn sign_up(&self, email: &str) -> Session {
        let body = json!({ "email": email, "password": PASSWORD });
        Session::of(&self.auth("POST", "/signup").json(&body).await)
    }

    /// Signs in with the password of [`sign_up`](Self::sign_up).
    pub async fn sign_in(&self, email: &str) -> Session {
        Session::of(&self.try_sign_in(email, PASSWORD).await)
    }

    pub fn try_sign_in(&self, email: &str, password: &str) -> Call {
        let body = json!({ "email": email, "password": password });
        self.auth("POST", "/token?grant_type=password").json(&body)
    }

    pub fn refresh(&self, token: &str) -> Call {
        let body = json!({ "refresh_token": token });
        self.auth("POST", "/token?grant_type=refresh_token")
            .json(&body)
    }

    pub fn user(&self, session: &Session) -> Call {
        self.auth("GET", "/user").bearer(&session.access)
    }
}

/// Of users in tests.
pub const PASSWORD: &str = "plover-xyzzy-42";

impl Session {
    /// # Panics
    /// If the answer is no session.
    pub fn of(answer: &Answer) -> Session {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let session = answer.json();
        let text = |name: &str| {
            let text = session[name].as_str();
            text.unwrap_or_else(|| panic!("no {name} in {session}"))
                .to_owned()
        };
        assert_eq!(session["token_type"], "bearer");
        Session {
            access: text("access_token"),
            refresh: text("refresh_token"),
            user: session["user"].clone(),
        }
    }

    /// The claims of the access token, unchecked.
    pub fn claims(&self) -> Value {
        let claims = self.access.split('.').nth(1).expect("three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        serde_json::from_slice(&claims).expect("JSON")
    }

    pub fn id(&self) -> &str {
        self.user["id"].as_str().expect("users have ids")
    }
}

impl Answer {
    /// Status and code of a refusal of `/auth/v1`.
    pub fn refusal(&self) -> String {
        let body = self.json();
        let code = body["code"].as_str().unwrap_or_default();
        assert_eq!(self.header("x-sb-error-code"), code);
        format!("{} {code}", self.status)
    }
}
