//! Which origins an entry's guests may call: the manifest's `egress` list.

use super::client::EgressClient;
use crate::http::message::Scheme;

/// The most origins one entry may list; each request looks at all of them.
const ORIGINS_MAX: usize = 64;

/// An entry's `egress` list and the client it uses. The default lists nothing.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    origins: Vec<Origin>,
    to_self: bool,
    client: EgressClient,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// Every name that ends in this, which begins with a dot.
    Below(String),
}

/// An item of an `egress` list that does not say where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("egress `{item}`: {reason}; {fix}")]
pub struct EgressFault {
    pub item: String,
    pub reason: &'static str,
    /// What to write instead.
    pub fix: String,
}

impl Egress {
    /// Reads a manifest's list: origins (`https://api.example.com`, `http://localhost:9000`), origins
    /// below a name (`https://*.example.com`), and `self`.
    ///
    /// # Errors
    /// One [`EgressFault`] for each item that is none of these.
    pub fn parse<S: AsRef<str>>(
        list: &[S],
        client: EgressClient,
    ) -> Result<Self, Vec<EgressFault>> {
        let mut egress = Egress {
            origins: Vec::new(),
            to_self: false,
            client,
        };
        let mut faults = Vec::new();
        for item in list.iter().map(AsRef::as_ref) {
            if item == "self" {
                egress.to_self = true;
                continue;
            }
            match Origin::parse(item) {
                Ok(origin) => egress.origins.push(origin),
                Err((reason, fix)) => faults.push(EgressFault {
                    item: item.to_owned(),
                    reason,
                    fix,
                }),
            }
        }
        if egress.origins.len() > ORIGINS_MAX {
            faults.push(EgressFault {
                item: format!("{} items", egress.origins.len()),
                reason: "an entry lists too many origins",
                fix: format!("list at most {ORIGINS_MAX}, or use `https://*.example.com`"),
            });
        }
        if faults.is_empty() {
            Ok(egress)
        } else {
            Err(faults)
        }
    }

    /// Whether the list has `self`: the app's own functions.
    pub fn reaches_self(&self) -> bool {
        self.to_self
    }

    pub(crate) fn client(&self) -> &EgressClient {
        &self.client
    }

    /// Whether a request to this origin is listed. `host` as in a URI, an IPv6 address in brackets.
    pub(crate) fn lists(&self, scheme: &Scheme, host: &str, port: Option<u16>) -> bool {
        let https = match scheme {
            Scheme::Http => false,
            Scheme::Https => true,
            Scheme::Other(_) => return false,
        };
        let host = plain(host);
        let port = port.unwrap_or(default_port(https));
        self.origins.iter().any(|origin| {
            origin.https == https
                && origin.port == port
                && match &origin.host {
                    Host::Exact(exact) => *exact == host,
                    Host::Below(suffix) => {
                        host.len() > suffix.len() && host.ends_with(suffix.as_str())
                    }
                }
        })
    }
}

impl Origin {
    fn parse(item: &str) -> Result<Self, (&'static str, String)> {
        let Some((scheme, rest)) = item.split_once("://") else {
            let fix = format!("write `https://{}`", item.trim_matches('/'));
            return Err(("there is no scheme", fix));
        };
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => {
                return Err((
                    "the scheme is neither https nor http",
                    format!("write `https://{rest}`"),
                ));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            let origin = authority.split(['/', '?', '#']).next().unwrap_or_default();
            return Err((
                "there is a path, and egress is granted per origin",
                format!("write `{scheme}://{origin}`"),
            ));
        }
        if let Some((_, origin)) = authority.rsplit_once('@') {
            return Err((
                "there is a user name",
                format!("write `{scheme}://{origin}`"),
            ));
        }
        let (wild, named) = match authority.strip_prefix("*.") {
            Some(below) => (true, below),
            None => (false, authority),
        };
        let example =
            || format!("write `{scheme}://api.example.com` or `{scheme}://*.example.com`");
        if named.contains('*') {
            return Err(("`*` can only stand for the first label", example()));
        }
        let parsed: http::uri::Authority = named
            .parse()
            .map_err(|_| ("this is no host, or no host and port", example()))?;
        let host = plain(parsed.host());
        if host.is_empty() {
            return Err(("there is no host", example()));
        }
        if wild && (!host.contains('.') || host.parse::<std::net::Ipv4Addr>().is_ok()) {
            return Err((
                "`*` would stand for a whole top-level domain or part of an address",
                example(),
            ));
        }
        let tail = &named[parsed.host().len()..];
        if !tail.is_empty() && parsed.port_u16().is_none_or(|port| port == 0) {
            return Err(("the port is no number from 1 to 65535", example()));
        }
        Ok(Origin {
            https,
            host: if wild {
                Host::Below(format!(".{host}"))
            } else {
                Host::Exact(host)
            },
            port: parsed.port_u16().unwrap_or(default_port(https)),
        })
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// One spelling per host: lower case, without the root's dot.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(list: &[&str], url: &str) -> bool {
        let egress = Egress::parse(list, EgressClient::default()).unwrap();
        let url: http::Uri = url.parse().unwrap();
        let scheme = match url.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            other => Scheme::Other(other.unwrap_or_default().to_owned()),
        };
        egress.lists(&scheme, url.host().unwrap(), url.port_u16())
    }

    #[test]
    fn origins_must_match_whole() {
        let list = [
            "https://api.example.com",
            "http://localhost:9000",
            "https://*.example.org",
            "http://[::1]:8080",
            "self",
        ];
        for url in [
            "https://api.example.com/x",
            "https://API.example.com:443/",
            "https://api.example.com./",
            "http://localhost:9000/",
            "https://a.example.org/",
            "https://a.b.example.org/",
            "http://[::1]:8080/",
        ] {
            assert!(listed(&list, url), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://api.example.com.evil.net/",
            "https://evil-api.example.com/",
            "http://localhost/",
            "https://example.org/",
            "https://evilexample.org/",
            "ftp://api.example.com/",
            "http://127.0.0.1:9000/",
        ] {
            assert!(!listed(&list, url), "{url}");
        }
        assert!(!listed(&[], "https://api.example.com/"));
    }

    #[test]
    fn every_fault_is_told_with_a_fix() {
        let list = [
            "api.example.com",
            "ftp://x.org",
            "https://x.org/path",
            "https://u@x.org",
            "https://a.*.org",
            "https://*.org",
            "https://",
            "https://x.org:0",
            "https://x.org:99999",
            "https://x y",
            "*",
            "https://ok.org",
        ];
        let faults = Egress::parse(&list, EgressClient::default()).unwrap_err();
        assert_eq!(faults.len(), list.len() - 1, "{faults:?}");
        assert_eq!(
            faults[0].to_string(),
            "egress `api.example.com`: there is no scheme; write `https://api.example.com`"
        );
        assert_eq!(faults[2].fix, "write `https://x.org`");
    }
}
