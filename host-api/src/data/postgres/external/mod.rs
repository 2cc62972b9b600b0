//! A database that somebody else keeps, as an app's own.
//!
//! Pumice logs in as one role and acts as `anon`, `authenticated` and `service_role`. It makes nothing
//! there and changes nothing of its tables: what needs either is in [`CANNOT`]. The login is refused if
//! it may more than that, because what it may do is what a fault of ours could do.

mod sql;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use super::pool::Connections;
use super::provision::{self, VERSION_MIN};
use super::{Postgres, Timezones};
use crate::AppId;
use crate::data::DataError;

/// What an app with an external database has not, whatever its login may.
pub const CANNOT: [&str; 5] = [
    "migrations and seed.sql: the database's administrator makes and changes its tables",
    "after-triggers: nothing in it writes down what changes",
    "scripts, schedules and jobs: there is no queue in it",
    "raw SQL of guests (`data.sql`): its rows need a function of ours in the database",
    "auth.users, auth.has_permission(), and `pumice db` but for `register`",
];

/// The roles that requests act as.
const ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];

/// What may stand behind the `?` of a URL. A driver logs what it does not know, and `password` is a
/// parameter too.
const PARAMETERS: [&str; 2] = ["sslmode=", "sslrootcert="];

/// How long a database may take to answer what is asked of it: the app waits meanwhile.
const CHECK_MAX: Duration = Duration::from_secs(30);

/// Why a database cannot be an app's. No text has the password in it.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error(
        "the database's URL cannot be read: write postgres://user:password@host/database, with %xx for what is no letter or digit, and nothing but sslmode and sslrootcert behind a `?`"
    )]
    Url,
    #[error("the database does not let us in: {0}")]
    Unreachable(String),
    #[error("the database lets us in and then says nothing, for {0:?}")]
    Silent(Duration),
    #[error("PostgreSQL {found} is too old: an app needs {min} or later", found = .0 / 10_000, min = VERSION_MIN / 10_000)]
    TooOld(i32),
    #[error("{0}: least privilege is the rule here; {PREPARE}")]
    Powers(String),
    #[error("the login may not act as {0}; {PREPARE}")]
    Roles(&'static str),
    #[error(
        "schema {0} is there and was not made for Pumice: policies would ask somebody else who calls"
    )]
    Schema(String),
    #[error(transparent)]
    Data(#[from] DataError),
}

const PREPARE: &str = "let its administrator run what `pumice db register --sql` prints";

/// A database and a login to it. No `Debug`: it holds the password.
pub struct External {
    options: PgConnectOptions,
}

/// What `sql::CHECK` answers.
#[derive(Deserialize)]
struct Found {
    version: i32,
    login: String,
    /// What is too much for the login and the three roles, each a sentence.
    powers: Vec<String>,
    /// Other roles that the login may act as.
    others: Vec<String>,
    /// Which of the three may act as another of them, each a sentence.
    mixed: Vec<String>,
    /// Something that one of the four owns, whom no policy binds there: a sentence.
    owns: Option<String>,
    /// Schemas with our names that are not ours.
    strange: Vec<String>,
    auth: bool,
    /// Whether `service_role` is above policies.
    bypasses: bool,
    /// Which of the three may not use `public`.
    shut_out: Vec<String>,
}

/// What an administrator runs once in a database, so that `login` can serve an app.
pub fn preparation(login: &str) -> String {
    sql::preparation(login)
}

impl External {
    /// Reads `postgres://user:password@host[:port]/database`. All four have to be there: the driver would
    /// take what is missing from the server's own surroundings.
    ///
    /// # Errors
    /// [`ExternalError::Url`].
    pub fn parse(url: &str) -> Result<External, ExternalError> {
        let parts = complete(url).ok_or(ExternalError::Url)?;
        let options = PgConnectOptions::from_str(parts).map_err(|_| ExternalError::Url)?;
        Ok(External {
            // As the login of a database of ours is set up.
            options: options
                .application_name("pumice")
                .options([
                    ("statement_timeout", "60s"),
                    ("idle_in_transaction_session_timeout", "60s"),
                    ("search_path", "public"),
                    ("jit", "off"),
                ])
                // Statements carry claims: none goes into a log.
                .disable_statement_logging(),
        })
    }

    /// Where it is, without the password.
    pub fn address(&self) -> String {
        format!(
            "postgres://{}@{}:{}/{}",
            self.options.get_username(),
            self.options.get_host(),
            self.options.get_port(),
            self.options.get_database().unwrap_or_default()
        )
    }

    /// Logs in and looks whether the login may what an app needs, and no more. Returns what the app
    /// cannot have there beside [`CANNOT`].
    ///
    /// # Errors
    /// Why not, with the fix.
    pub async fn check(&self) -> Result<Vec<String>, ExternalError> {
        self.check_within(CHECK_MAX).await
    }

    async fn check_within(&self, limit: Duration) -> Result<Vec<String>, ExternalError> {
        let checked = tokio::time::timeout(limit, self.look()).await;
        checked.unwrap_or(Err(ExternalError::Silent(limit)))
    }

    async fn look(&self) -> Result<Vec<String>, ExternalError> {
        let connected = provision::connect(&self.options).await;
        let mut connection = connected.map_err(|error| match error {
            DataError::Unavailable(cause) => ExternalError::Unreachable(cause.to_string()),
            error => ExternalError::Data(error),
        })?;
        let row = sqlx::query(sql::CHECK).fetch_one(&mut connection).await;
        let json = row.and_then(|row| row.try_get::<String, _>(0));
        let found: Found = serde_json::from_str(&json.map_err(DataError::from)?)
            .map_err(|error| DataError::Internal(format!("the check's JSON: {error}")))?;
        found.judge()?;
        for role in ROLES {
            let acted = provision::run(&mut connection, sql::act_as(role)).await;
            match acted {
                Ok(()) => {}
                // No such role, or not granted.
                Err(DataError::Sql(_)) => return Err(ExternalError::Roles(role)),
                Err(error) => return Err(error.into()),
            }
        }
        provision::close(connection).await;
        Ok(found.lacks())
    }

    /// The app's database. Connects when it is first used.
    pub fn open(self, app: AppId, connections: &Connections) -> Postgres {
        Postgres {
            app,
            pool: Arc::clone(&connections.0),
            options: Arc::new(self.options),
            share: connections.0.share(),
            watch: Arc::default(),
            timezones: Timezones::default(),
            external: true,
        }
    }
}

impl Found {
    fn judge(&self) -> Result<(), ExternalError> {
        if self.version < VERSION_MIN {
            return Err(ExternalError::TooOld(self.version));
        }
        let mut powers = self.powers.clone();
        powers.extend(self.mixed.iter().cloned());
        // Of a superuser all of them would be told.
        if powers.is_empty() {
            let of_login = |what: &str| format!("{} {what}", self.login);
            let others = self.others.iter();
            powers.extend(others.map(|other| of_login(&format!("is a member of {other}"))));
            powers.extend(self.owns.iter().cloned());
        }
        if !powers.is_empty() {
            return Err(ExternalError::Powers(powers.join(", ")));
        }
        match self.strange.first() {
            Some(schema) => Err(ExternalError::Schema(schema.clone())),
            None => Ok(()),
        }
    }

    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if !self.bypasses {
            lacks.push(
                "service_role above policies: without bypassrls the app itself sees what policies let it"
                    .to_owned(),
            );
        }
        if !self.auth {
            lacks.push(
                "auth.uid() and the like in policies: they read current_setting('request.jwt.claims', true)"
                    .to_owned(),
            );
        }
        for role in &self.shut_out {
            lacks.push(format!("tables for {role}: it may not use schema public"));
        }
        lacks
    }
}

/// The URL, if it names user, password, host and database, and nothing that we would not say.
fn complete(url: &str) -> Option<&str> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || c == '#' || c == '\\';
    if url.contains(strange) {
        return None;
    }
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))?;
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/')?;
    let (user, host) = authority.rsplit_once('@')?;
    let (user, password) = user.split_once(':')?;
    let known = |parameter: &str| PARAMETERS.iter().any(|known| parameter.starts_with(known));
    let parameters = parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty());
    let named = [user, password, host, database];
    let whole = named.iter().all(|part| !part.is_empty()) && !database.contains('/');
    (whole && parameters.clone().all(known)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_all_and_nothing_else() {
        for (url, address) in [
            ("postgres://u:p@h/d", Some("postgres://u@h:5432/d")),
            (
                "postgresql://u:p%40%3F@h:6000/d?sslmode=require",
                Some("postgres://u@h:6000/d"),
            ),
            ("postgres://u:p@q@h/d", Some("postgres://u@h:5432/d")),
            ("mysql://u:p@h/d", None),
            ("postgres://u@h/d", None),
            ("postgres://:p@h/d", None),
            ("postgres://u:@h/d", None),
            ("postgres://u:p@/d", None),
            ("postgres://u:p@h", None),
            ("postgres://u:p@h/", None),
            ("postgres://u:p@h/d/e", None),
            ("postgres://u:p@h/d#e", None),
            ("postgres://u:p@h/d e", None),
            ("postgres://u:p@h:port/d", None),
            ("postgres://u:p@h/d?password=q", None),
            ("postgres://u:p@h/d?%70assword=q", None),
            ("postgres://u:p@h/d?sslmode=require&user=v", None),
            ("postgres://u:p@h/d?sslmode=whatever", None),
            ("sesame", None),
            ("", None),
        ] {
            let found = External::parse(url).map(|external| external.address());
            assert_eq!(found.ok().as_deref(), address, "{url}");
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_not_waited_for() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            // It takes any password and is ready; then it reads and says nothing.
            let welcome = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
            stream.write_all(welcome).await.unwrap();
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        });
        let url = format!("postgres://u:p@{place}/d?sslmode=disable");
        let external = External::parse(&url).unwrap();
        let checked = external.check_within(Duration::from_millis(300));
        let checked = tokio::time::timeout(CHECK_MAX, checked).await;
        let refused = checked.expect("it is not waited for").unwrap_err();
        assert!(matches!(refused, ExternalError::Silent(_)), "{refused}");
    }

    fn found() -> Found {
        Found {
            version: VERSION_MIN,
            login: "l".to_owned(),
            powers: Vec::new(),
            others: Vec::new(),
            mixed: Vec::new(),
            owns: None,
            strange: Vec::new(),
            auth: true,
            bypasses: true,
            shut_out: Vec::new(),
        }
    }

    #[test]
    fn what_is_too_much_is_refused_by_name() {
        assert!(found().judge().is_ok());
        let some = |text: &str| vec![text.to_owned()];
        let refused = |change: fn(&mut Found)| {
            let mut found = found();
            change(&mut found);
            found.judge().unwrap_err().to_string()
        };
        for (text, part) in [
            (refused(|found| found.version = 140_009), "PostgreSQL 14 is"),
            (
                refused(|found| found.powers = vec!["l is a superuser".to_owned()]),
                "l is a superuser: ",
            ),
            (
                refused(|found| found.others = vec!["boss".to_owned()]),
                "l is a member of boss",
            ),
            (
                refused(|found| found.owns = Some("anon owns table note".to_owned())),
                "anon owns table note: ",
            ),
            (
                refused(|found| found.strange = vec!["auth".to_owned()]),
                "schema auth",
            ),
        ] {
            assert!(text.contains(part), "{text}");
        }
        let mut bound = found();
        (bound.bypasses, bound.auth, bound.shut_out) = (false, false, some("anon"));
        assert_eq!((found().lacks().len(), bound.lacks().len()), (0, 3));
    }
}
