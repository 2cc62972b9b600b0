//! Where users sign in: pumice on either engine, and PocketBase with its own collection `users`.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::bench::tables::{App, PocketBase};
use crate::http::{Answer, Connection};

/// Users of a site, each with a password of its own.
pub const USERS: usize = 200;

/// Where users sign in.
pub struct Site<'a> {
    pub name: &'static str,
    pub door: Door<'a>,
    pub users: Vec<User>,
}

#[derive(Clone, Copy)]
pub enum Door<'a> {
    Pumice(&'a App),
    PocketBase(&'a PocketBase),
}

pub struct User {
    pub email: String,
    pub password: String,
}

/// What a sign-in gave, or a refresh.
pub struct Signed {
    pub token: String,
    /// PocketBase's is the token itself.
    refresh: String,
}

impl Site<'_> {
    pub fn new<'a>(name: &'static str, door: Door<'a>) -> Site<'a> {
        let users = (0..USERS).map(|number| User {
            email: known(number),
            password: format!("Vq7-harbour-{number}"),
        });
        Site {
            name,
            door,
            users: users.collect(),
        }
    }

    pub fn url(&self) -> &str {
        match self.door {
            Door::Pumice(app) => app.url(),
            Door::PocketBase(server) => server.url(),
        }
    }

    /// Posts to a path of `/auth/v1`, or of PocketBase's collection of users.
    pub fn post(
        &self,
        connection: &mut Connection,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let path = match self.door {
            Door::Pumice(app) => {
                headers.push(("apikey", &app.anon));
                app.path(&format!("/auth/v1{path}"))
            }
            Door::PocketBase(_) => format!("/api/collections/users{path}"),
        };
        connection.send("POST", &path, &headers, body.to_string().as_bytes())
    }

    pub fn add_users(&self) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.url())?;
        for User { email, password } in &self.users {
            let mut body = json!({ "email": email, "password": password });
            let (path, key) = match self.door {
                Door::Pumice(app) => {
                    body["email_confirm"] = true.into();
                    ("/admin/users", Some(app.service.as_str()))
                }
                Door::PocketBase(_) => {
                    body["passwordConfirm"] = password.as_str().into();
                    ("/records", None)
                }
            };
            self.post(&mut connection, path, key, &body)?.json()?;
        }
        Ok(())
    }

    pub fn sign_in(&self, connection: &mut Connection, user: &User) -> anyhow::Result<Signed> {
        let User { email, password } = user;
        let (path, body) = match self.door {
            Door::Pumice(_) => (
                "/token?grant_type=password",
                json!({ "email": email, "password": password }),
            ),
            Door::PocketBase(_) => (
                "/auth-with-password",
                json!({ "identity": email, "password": password }),
            ),
        };
        self.signed(&self.post(connection, path, None, &body)?)
    }

    pub fn refresh(&self, connection: &mut Connection, signed: &mut Signed) -> anyhow::Result<()> {
        let answer = match self.door {
            Door::Pumice(_) => {
                let body = json!({ "refresh_token": signed.refresh });
                self.post(connection, "/token?grant_type=refresh_token", None, &body)?
            }
            Door::PocketBase(_) => {
                let token = Some(signed.token.as_str());
                self.post(connection, "/auth-refresh", token, &json!({}))?
            }
        };
        *signed = self.signed(&answer)?;
        Ok(())
    }

    fn signed(&self, answer: &Answer) -> anyhow::Result<Signed> {
        let (token, refresh) = match self.door {
            Door::Pumice(_) => ("access_token", "refresh_token"),
            Door::PocketBase(_) => ("token", "token"),
        };
        let answer = answer.json().context(self.name)?;
        let text = |name: &'static str| answer[name].as_str().context(name).map(str::to_owned);
        Ok(Signed {
            token: text(token)?,
            refresh: text(refresh)?,
        })
    }
}

/// The address of a user.
pub fn known(number: usize) -> String {
    format!("user{number}@bench.example")
}

/// An address of nobody, as long as a user's.
pub fn unknown(number: usize) -> String {
    format!("void{number}@bench.example")
}
