//! Where a sign-in or a mailed link may lead back to: never elsewhere than the app says.
//!
//! A URL is taken apart twice, by strict rules of our own and as browsers do (`url`), and counts only when
//! both find the same. What browsers forgive (`\`, tabs, a name before `@`, other spellings of an address)
//! is refused, not repaired.
//!
//! Source: RFC 9700 §4.1 (redirect URIs are compared exactly), CVE-2026-28512 (`https://good@evil/`).

#[cfg(test)]
mod tests;

use url::Url;

use super::presets::is_loopback;
use crate::functions::manifest::auth::AuthSettings;
use crate::limits;

/// A parameter that clients add to tell their tabs apart: no pattern has it.
const CLIENTS_OWN: &str = "sb_flow_id";

/// Schemes that run or read something instead of leading somewhere.
const NEVER: [&str; 17] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "filesystem",
    "about",
    "view-source",
    "ws",
    "wss",
    "ftp",
    "mailto",
    "tel",
    "sms",
    "jar",
    "resource",
    "chrome",
];

/// Where to lead: `wanted`, byte for byte, if the app allows it, otherwise the app's site. `app_url` is
/// the app's own address, without a slash at its end.
pub fn target(settings: &AuthSettings, app_url: &str, wanted: Option<&str>) -> String {
    let site = settings.site_url.as_deref().unwrap_or(app_url);
    match wanted {
        Some(wanted) if is_allowed(settings, app_url, wanted) => wanted.to_owned(),
        _ => site.to_owned(),
    }
}

/// `target` with parameters after its own.
pub fn with_query(target: &str, pairs: &[(&str, &str)]) -> String {
    let (before, fragment) = match target.split_once('#') {
        Some((before, fragment)) => (before, Some(fragment)),
        None => (target, None),
    };
    let joint = match before.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut url = format!("{before}{joint}{}", form(pairs));
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    url
}

/// `target` with parameters in its fragment, which browsers keep to themselves.
pub fn with_fragment(target: &str, pairs: &[(&str, &str)]) -> String {
    let before = target.split('#').next().unwrap_or_default();
    format!("{before}#{}", form(pairs))
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

fn is_allowed(settings: &AuthSettings, app_url: &str, wanted: &str) -> bool {
    if wanted.len() > limits::REDIRECT_BYTES_MAX || !is_plain(wanted) {
        return false;
    }
    let Some((scheme, _)) = wanted.split_once(':') else {
        return false;
    };
    if NEVER.iter().any(|never| scheme.eq_ignore_ascii_case(never)) {
        return false;
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        let bare = without_clients_own(wanted);
        return is_scheme(scheme)
            && settings
                .redirect_urls
                .iter()
                .any(|listed| *listed == wanted || *listed == bare);
    }
    let bare = without_clients_own(wanted);
    let Some(parts) = Parts::read(&bare, false) else {
        return false;
    };
    if !browsers_agree(wanted, &parts) || !is_walkable(parts.path) {
        return false;
    }
    same_site(settings, app_url, &parts)
        || settings
            .redirect_urls
            .iter()
            .any(|listed| Parts::read(listed, true).is_some_and(|pattern| pattern.matches(&parts)))
}

/// Visible ASCII, and nothing that browsers read in more than one way.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'`' | b'^')
    })
}

fn is_scheme(scheme: &str) -> bool {
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The URL without [`CLIENTS_OWN`].
fn without_clients_own(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let own = |pair: &&str| pair.split('=').next() != Some(CLIENTS_OWN);
    let kept: Vec<&str> = query.split('&').filter(own).collect();
    match kept.is_empty() {
        true => before.to_owned(),
        false => format!("{before}?{}", kept.join("&")),
    }
}

/// An http or https URL, or a pattern of some.
#[derive(Debug)]
struct Parts<'u> {
    https: bool,
    /// Lower case.
    host: String,
    /// The digits, or `*` in a pattern; the scheme's own if there are none.
    port: &'u str,
    path: &'u str,
    query: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn read(url: &'u str, pattern: bool) -> Option<Parts<'u>> {
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        // An IPv6 address has colons of its own.
        let colon = match authority.rfind(']') {
            Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
            None => authority.find(':'),
        };
        let (host, port) = match colon {
            Some(at) => (&authority[..at], &authority[at + 1..]),
            None => (authority, if https { "443" } else { "80" }),
        };
        let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
        let any_port = pattern && port == "*";
        if !is_port && !any_port {
            return None;
        }
        let host = host.to_ascii_lowercase();
        is_host(&host, pattern).then_some(Parts {
            https,
            host,
            port,
            path,
            query,
        })
    }

    /// Whether `self`, a pattern, has `url` among what it stands for.
    fn matches(&self, url: &Parts<'_>) -> bool {
        if self.https != url.https || !(self.port == "*" || self.port == url.port) {
            return false;
        }
        if self.host.contains('*') {
            // In another alphabet, what looks like the app's name may be anything.
            let odd = url.host.split('.').any(|label| label.starts_with("xn--"));
            if odd || url.host.starts_with('[') || !glob(&self.host, &url.host, b'.') {
                return false;
            }
        } else if self.host != url.host {
            return false;
        }
        if !glob(self.path, url.path, b'/') {
            return false;
        }
        match (self.query, url.query) {
            (None, None) => true,
            // The rest may be anything, so may the query.
            (None, Some(_)) => self.path.ends_with('*'),
            (Some(pattern), query) => glob(pattern, query.unwrap_or_default(), b'&'),
        }
    }
}

/// A name of letters, digits, `-` and dots, or an IPv6 address; with `*` in a pattern, but not in its last
/// two labels, which say whose it is.
fn is_host(host: &str, pattern: bool) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let labels: Vec<&str> = host.split('.').collect();
    let starred = |label: &&str| label.contains('*');
    labels.iter().all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || byte == b'-' || (pattern && byte == b'*')
            })
    }) && (!labels.iter().any(|label| label.contains('*'))
        || (labels.len() > 2 && !labels.iter().rev().take(2).any(starred)))
}

/// Whether a browser finds the same host, port and path, and nobody's name.
fn browsers_agree(wanted: &str, parts: &Parts<'_>) -> bool {
    let Ok(url) = Url::parse(wanted) else {
        return false;
    };
    let nobody = url.username().is_empty() && url.password().is_none();
    let port = url.port_or_known_default().map(|port| port.to_string());
    nobody
        && url.host_str() == Some(&*parts.host)
        && port.as_deref() == Some(parts.port)
        && url.path() == parts.path
        && (url.scheme() == "https") == parts.https
}

/// A path of which no server makes another: no empty, `.` or `..` segment, in no spelling, and no encoded
/// slash or control character.
fn is_walkable(path: &str) -> bool {
    if path.contains("//") {
        return false;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return false;
        };
        let byte = (high * 16 + low) as u8;
        // Decoded twice, `%2541` is something else.
        if byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b'%' | b'.' | b'?' | b'#') {
            return false;
        }
        decoded.push(byte);
    }
    !decoded
        .split(|byte| *byte == b'/')
        .any(|segment| segment == b"." || segment == b"..")
}

/// Whether it is a page of the app's site. Where apps share a host, of this app alone.
fn same_site(settings: &AuthSettings, app_url: &str, wanted: &Parts<'_>) -> bool {
    let same_place = |of: &Parts<'_>, loopback: bool| {
        of.https == wanted.https && of.host == wanted.host && (of.port == wanted.port || loopback)
    };
    let own = Parts::read(app_url, false);
    let within_app = own.as_ref().is_none_or(|own| {
        let shared = own.path.trim_end_matches('/');
        let within = wanted.path.strip_prefix(shared);
        !same_place(own, false)
            || within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let site = match &settings.site_url {
        Some(site) => Parts::read(site, false),
        None => own,
    };
    let Some(site) = site else {
        return false;
    };
    // On the developer's own machine pages are served from one port and the app from another.
    let loopback = settings.site_url.is_some()
        && settings
            .site_url
            .as_deref()
            .and_then(|site| Url::parse(site).ok())
            .is_some_and(|site| is_loopback(&site));
    within_app && same_place(&site, loopback)
}

/// Whether `pattern` stands for `text`: `*` for anything but `part`, `**` for anything.
///
/// One row for each byte of the pattern: time is the product of both lengths, whatever they are.
fn glob(pattern: &str, text: &str, part: u8) -> bool {
    let text = text.as_bytes();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    let mut rest = pattern.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let several = rest.starts_with(b"**");
        rest = if several { &rest[2..] } else { after };
        if first == b'*' {
            for at in 0..text.len() {
                row[at + 1] |= row[at] && (several || text[at] != part);
            }
        } else {
            for at in (0..text.len()).rev() {
                row[at + 1] = row[at] && text[at] == first;
            }
            row[0] = false;
        }
    }
    row[text.len()]
}

/// For fuzzers: any text, against patterns of all kinds. What is allowed must be where a browser would go.
pub fn fuzz(input: &[u8]) {
    let wanted = String::from_utf8_lossy(input);
    let settings = AuthSettings {
        site_url: Some("https://shop.example".to_owned()),
        redirect_urls: vec![
            "https://*.preview.example/**".to_owned(),
            "https://app.example/back".to_owned(),
            "http://localhost:*/cb".to_owned(),
            "myapp://cb".to_owned(),
        ],
        ..AuthSettings::default()
    };
    let led = target(&settings, "https://node.example/a/shop", Some(&wanted));
    if led == "https://shop.example" {
        return;
    }
    assert_eq!(led, wanted, "it is kept byte for byte");
    if without_clients_own(&led) == "myapp://cb" {
        return;
    }
    let url = Url::parse(&led).expect("a browser can read it");
    let host = url.host_str().unwrap_or_default();
    let ours = (url.scheme() == "https"
        && (host == "shop.example"
            || (host == "app.example" && url.path() == "/back")
            || (host.ends_with(".preview.example") && host.split('.').count() == 3)))
        || (url.scheme() == "http" && host == "localhost" && url.path() == "/cb");
    assert!(ours, "{led}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
}
