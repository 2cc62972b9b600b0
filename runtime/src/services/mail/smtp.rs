//! The way to an SMTP server: where it is, a few connections kept open, one try at a mail.
//!
//! Addresses are looked up here and connected to as looked up, so that what was vetted is what is
//! reached. An app's own server must be where its guests may go as well.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use pumice_host_api::http::HttpFault;
use pumice_host_api::{AppId, EgressClient, EgressPolicy};
use tokio::time::timeout;

use crate::limits;

/// Where an SMTP server is and what opens it. It holds a password, so that its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    tls: Tls,
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// From the first byte.
    Implicit,
    /// Begun by STARTTLS, or nothing is said.
    Required,
    /// Only within this machine, and networks that the server's settings allow.
    Without,
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("smtp://…")
    }
}

/// Why a text is no URL of an SMTP server: how to write one. Quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSmtpUrl(&'static str);

impl FromStr for SmtpUrl {
    type Err = NoSmtpUrl;

    /// `smtps://user:password@host:465`, `smtp://user:password@host:587` (STARTTLS is required), or
    /// `smtp://host:25?tls=none` for a server that is on this machine. What is special in user and
    /// password is percent-encoded.
    fn from_str(text: &str) -> Result<SmtpUrl, NoSmtpUrl> {
        const FORM: NoSmtpUrl = NoSmtpUrl(
            "write an address such as smtps://user:password@host:465 or smtp://user:password@host:587",
        );
        let url: url::Url = text.trim().parse().map_err(|_| FORM)?;
        let query: Vec<_> = url.query_pairs().collect();
        let tls = match (url.scheme(), query.as_slice()) {
            ("smtps", []) => Tls::Implicit,
            ("smtp", []) => Tls::Required,
            ("smtp", [(key, value)]) if key == "tls" && value == "none" => Tls::Without,
            ("smtp" | "smtps", _) => {
                return Err(NoSmtpUrl(
                    "after `?` only `tls=none` may stand, with smtp://",
                ));
            }
            _ => return Err(FORM),
        };
        // The parser keeps a host of a scheme that it does not know as it is written.
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let plain = |text: &str| -> Result<String, NoSmtpUrl> {
            const FAULT: NoSmtpUrl =
                NoSmtpUrl("percent-encode what is special in user and password, such as %40 for @");
            let bytes = percent_decoded(text).ok_or(FAULT)?;
            let text = String::from_utf8(bytes).map_err(|_| FAULT)?;
            match text.contains(char::is_control) {
                true => Err(FAULT),
                false => Ok(text),
            }
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((plain(user)?, plain(password)?)),
            _ => return Err(NoSmtpUrl("write both user and password, or neither")),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(NoSmtpUrl("nothing stands after host and port"));
        }
        let port = url.port().unwrap_or(match tls {
            Tls::Implicit => 465,
            Tls::Required => 587,
            Tls::Without => 25,
        });
        Ok(SmtpUrl {
            tls,
            host,
            port,
            login,
        })
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    Some(bytes)
}

impl SmtpUrl {
    /// Host and port: what may be shown of it.
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Takes the password out of what a server has said.
    fn cleaned(&self, text: String) -> String {
        match &self.login {
            Some((_, password)) if !password.is_empty() => text.replace(password.as_str(), "…"),
            _ => text,
        }
    }
}

/// Whose server it is.
#[derive(Clone)]
pub struct Route {
    pub url: SmtpUrl,
    /// The app that named it, and its way out; none for the operator's own.
    pub app: Option<(AppId, EgressClient)>,
}

impl Route {
    fn owner(&self) -> Option<AppId> {
        self.app.as_ref().map(|(app, _)| *app)
    }
}

/// What a server said to a mail that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Code and words.
    pub reply: String,
}

/// Why a try came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failed {
    /// Whether another try may do.
    pub again: bool,
    /// The server's code, with the enhanced one if it gave one: `550 5.1.1`. None if it gave none.
    pub code: Option<String>,
    /// For whoever set it up: the server's words may quote the mail.
    pub words: String,
}

impl Failed {
    fn for_good(words: impl Into<String>) -> Failed {
        Failed {
            again: false,
            code: None,
            words: words.into(),
        }
    }

    fn for_now(words: impl Into<String>) -> Failed {
        Failed {
            again: true,
            code: None,
            words: words.into(),
        }
    }

    /// The node stops and waits no longer.
    pub fn stopped() -> Failed {
        Failed::for_now("the server was stopped")
    }

    fn of(error: &lettre::transport::smtp::Error, url: &SmtpUrl) -> Failed {
        let source = std::error::Error::source(error).map(ToString::to_string);
        let source = url.cleaned(source.unwrap_or_default());
        let Some(status) = error.status() else {
            // What only this side objects to, it objects to next time.
            let again = !error.is_client();
            let words = match source.as_str() {
                // It would quote what the server said.
                _ if error.is_response() => {
                    "the SMTP server's answer broke off or is none".to_owned()
                }
                "" => "the connection to the SMTP server failed".to_owned(),
                source => format!("the SMTP server cannot be used: {source}"),
            };
            return Failed {
                again,
                code: None,
                words,
            };
        };
        Failed {
            again: error.is_transient(),
            code: Some(code(&status.to_string(), &source)),
            words: format!("the SMTP server said: {status} {source}"),
        }
    }
}

/// A reply's code, with the enhanced code (RFC 3463) that its text begins with.
pub fn code(status: &str, text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    let parts: Vec<&str> = first.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.len() == 3 && parts.iter().all(number) {
        true => format!("{status} {first}"),
        false => status.to_owned(),
    }
}

/// Sends mails, and keeps some connections for the next.
pub struct Post {
    policy: Arc<EgressPolicy>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    owner: Option<AppId>,
    url: SmtpUrl,
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Post {
    /// Servers without TLS may be on this machine and in the networks of `policy`.
    pub fn new(policy: Arc<EgressPolicy>) -> Post {
        Post {
            policy,
            idle: Mutex::default(),
        }
    }

    /// One try at a mail.
    ///
    /// # Errors
    /// [`Failed`], which says whether another try may do.
    pub async fn send(
        &self,
        route: &Route,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Taken, Failed> {
        match timeout(limits::MAIL_WAIT, self.exchange(route, envelope, mail)).await {
            Ok(ended) => ended,
            Err(_) => Err(Failed::for_now("the SMTP server took too long")),
        }
    }

    async fn exchange(
        &self,
        route: &Route,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Taken, Failed> {
        let mut connection = match self.kept(route).await {
            Some(connection) => connection,
            None => self.connect(route).await?,
        };
        let response = connection.send(envelope, mail).await;
        let response = response.map_err(|error| Failed::of(&error, &route.url))?;
        let text: Vec<&str> = response.message().collect();
        let reply = format!("{} {}", response.code(), text.join(" "));
        self.keep(route, connection);
        Ok(Taken {
            reply: route.url.cleaned(reply),
        })
    }

    /// A connection of an earlier mail that still answers.
    async fn kept(&self, route: &Route) -> Option<AsyncSmtpConnection> {
        loop {
            let mut connection = {
                let mut idle = self.idle.lock();
                idle.retain(|idle| idle.since.elapsed() < limits::MAIL_IDLE);
                let fits = |idle: &Idle| idle.owner == route.owner() && idle.url == route.url;
                let place = idle.iter().rposition(fits)?;
                idle.remove(place).connection
            };
            if connection.test_connected().await {
                return Some(connection);
            }
        }
    }

    fn keep(&self, route: &Route, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock();
        if idle.len() >= limits::MAIL_IDLE_MAX {
            idle.remove(0);
        }
        idle.push(Idle {
            owner: route.owner(),
            url: route.url.clone(),
            connection,
            since: Instant::now(),
        });
    }

    /// Closes connections that nobody needed for a while; says when to look again.
    pub fn tidy(&self) -> Option<Instant> {
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.since.elapsed() < limits::MAIL_IDLE);
        idle.first().map(|idle| idle.since + limits::MAIL_IDLE)
    }

    async fn connect(&self, route: &Route) -> Result<AsyncSmtpConnection, Failed> {
        let url = &route.url;
        let addresses = self.addresses(route).await?;
        let hello = ClientId::default();
        let tls = match url.tls {
            Tls::Without => None,
            Tls::Implicit | Tls::Required => {
                let parameters = TlsParameters::new(url.host.clone());
                Some(parameters.map_err(|error| Failed::of(&error, url))?)
            }
        };
        let mut last = Failed::for_now("the SMTP server cannot be reached");
        for address in addresses.into_iter().take(limits::MAIL_ADDRESSES_MAX) {
            let implicit = tls.clone().filter(|_| url.tls == Tls::Implicit);
            let connecting =
                AsyncSmtpConnection::connect_tokio1(address, None, &hello, implicit, None);
            let mut connection = match timeout(limits::OUTBOUND_WAIT, connecting).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) if error.status().is_some() => return Err(Failed::of(&error, url)),
                Ok(Err(error)) => {
                    last = Failed::of(&error, url);
                    continue;
                }
                Err(_) => {
                    last = Failed::for_now("connecting to the SMTP server took too long");
                    continue;
                }
            };
            if let (Tls::Required, Some(tls)) = (url.tls, tls) {
                if !connection.can_starttls() {
                    connection.abort().await;
                    return Err(Failed::for_good(
                        "the SMTP server does not offer STARTTLS, and without TLS nothing is said to it",
                    ));
                }
                let upgraded = connection.starttls(tls, &hello).await;
                upgraded.map_err(|error| Failed::of(&error, url))?;
            }
            if let Some((user, password)) = &url.login {
                let login = Credentials::new(user.clone(), password.clone());
                let mechanisms = [Mechanism::Plain, Mechanism::Login];
                let opened = connection.auth(&mechanisms, &login).await;
                opened.map_err(|error| Failed::of(&error, url))?;
            }
            return Ok(connection);
        }
        Err(last)
    }

    /// Where the server is, as far as one may go there.
    async fn addresses(&self, route: &Route) -> Result<Vec<SocketAddr>, Failed> {
        let (host, port) = (route.url.host.as_str(), route.url.port);
        let looked_up = async {
            match &route.app {
                Some((_, egress)) => egress.addresses(host, port).await.map_err(|fault| {
                    match fault {
                        HttpFault::AddressProhibited => Failed::for_good(
                            "the SMTP server's address is private; an app's own server is a public one",
                        ),
                        other => Failed::for_now(format!("the SMTP server is not found: {other}")),
                    }
                }),
                None => match tokio::net::lookup_host((host, port)).await {
                    Ok(addresses) => Ok(addresses.collect()),
                    Err(error) => {
                        Err(Failed::for_now(format!("the SMTP server is not found: {error}")))
                    }
                },
            }
        };
        let mut addresses: Vec<SocketAddr> = match timeout(limits::OUTBOUND_WAIT, looked_up).await {
            Ok(found) => found?,
            Err(_) => return Err(Failed::for_now("looking up the SMTP server took too long")),
        };
        if route.url.tls == Tls::Without {
            addresses.retain(|address| self.is_near(address.ip()));
            if addresses.is_empty() {
                return Err(Failed::for_good(
                    "`tls=none` is for a server on this machine or in a network of `allow_private`",
                ));
            }
        }
        Ok(addresses)
    }

    /// Whether nobody else listens on the way to it.
    fn is_near(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut allowed = self.policy.allow_private.iter();
        address.is_loopback() || allowed.any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SmtpUrl, NoSmtpUrl> {
        text.parse()
    }

    #[test]
    fn urls() {
        let check = |text: &str, tls, host: &str, port, login: Option<(&str, &str)>| {
            let url = read(text).unwrap();
            assert_eq!(
                (url.tls, url.host.as_str(), url.port),
                (tls, host, port),
                "{text}"
            );
            let found = url.login.as_ref();
            assert_eq!(
                found.map(|(a, b)| (a.as_str(), b.as_str())),
                login,
                "{text}"
            );
        };
        check(
            "smtp://mail.example.com",
            Tls::Required,
            "mail.example.com",
            587,
            None,
        );
        check(
            "smtps://a%40b.co:p%3Aw%2F%E2%82%AC@h:1",
            Tls::Implicit,
            "h",
            1,
            Some(("a@b.co", "p:w/€")),
        );
        check("smtps://h", Tls::Implicit, "h", 465, None);
        check(
            "smtp://127.0.0.1:2525?tls=none",
            Tls::Without,
            "127.0.0.1",
            2525,
            None,
        );
        check("smtp://[::1]:25/?tls=none", Tls::Without, "::1", 25, None);
        for text in [
            "",
            "mail.example.com:25",
            "http://h",
            "smtp://",
            "smtps://h?tls=none",
            "smtp://h?tls=off",
            "smtp://h?tls=none&x=1",
            "smtp://user@h",
            "smtp://:pw@h",
            "smtp://u:p%0d%0aQUIT@h",
            "smtp://u:%ff@h",
            "smtp://h/path",
            "smtp://h:99999",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let url = read("smtp://user:hunter2@h").unwrap();
        assert_eq!(format!("{url:?}"), "smtp://…");
        assert_eq!(url.place(), "h:587");
        assert_eq!(
            url.cleaned("535 hunter2 is wrong".to_owned()),
            "535 … is wrong"
        );
        let told = read("smtp://user:hunter2@h?x").unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn codes() {
        let check = |text: &str, expect: &str| assert_eq!(code("550", text), expect, "{text}");
        check("5.1.1 no such user", "550 5.1.1");
        check("no such user 5.1.1", "550");
        check("5.1", "550");
        check("5.1.x", "550");
        check("", "550");
    }

    #[tokio::test]
    async fn an_app_reaches_no_private_server_and_nobody_a_far_one_without_tls() {
        let post = Post::new(Arc::default());
        let app = Some((AppId(uuid::Uuid::nil()), EgressClient::default()));
        for (url, app, expect) in [
            ("smtp://127.0.0.1:9?tls=none", app.clone(), "is private"),
            ("smtps://10.0.0.1", app.clone(), "is private"),
            ("smtps://[::1]", app.clone(), "is private"),
            ("smtps://169.254.169.254:465", app.clone(), "is private"),
            ("smtp://8.8.8.8?tls=none", app, "`tls=none`"),
            ("smtp://8.8.8.8?tls=none", None, "`tls=none`"),
            ("smtp://10.0.0.1?tls=none", None, "`tls=none`"),
        ] {
            let route = Route {
                url: read(url).unwrap(),
                app,
            };
            let failed = post.addresses(&route).await.unwrap_err();
            assert!(
                !failed.again && failed.words.contains(expect),
                "{url}: {failed}"
            );
        }
    }
}
