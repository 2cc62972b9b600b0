//! The little of RFC 3986 that requests need: cutting a URL apart, and reading a query.

/// The pairs of a query string, decoded as HTML forms write them: `+` is a space, `%41` is `A`. A broken
/// escape stays as it is, and bytes that are no UTF-8 become U+FFFD.
pub(super) fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
}

/// An absolute `http` or `https` URL in the pieces `wasi:http` takes.
#[cfg(feature = "client")]
pub(super) struct Target<'a> {
    pub https: bool,
    pub authority: &'a str,
    /// From the first `/` or `?`, always with a leading `/`.
    pub path_with_query: String,
}

#[cfg(feature = "client")]
impl<'a> Target<'a> {
    pub fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.is_empty() {
            return None;
        }
        let slash = if tail.starts_with('/') { "" } else { "/" };
        Some(Self {
            https,
            authority,
            path_with_query: format!("{slash}{tail}"),
        })
    }
}

fn decode(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => decoded.push(b' '),
            b'%' => match bytes.get(at + 1..at + 3).and_then(hex_byte) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 2;
                }
                None => decoded.push(b'%'),
            },
            byte => decoded.push(byte),
        }
        at += 1;
    }
    match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = char::from(digits[0]).to_digit(16)?;
    let low = char::from(digits[1]).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_forms_write_them() {
        let check = |query: &str, expect: &[(&str, &str)]| {
            let pairs: Vec<_> = query_pairs(query).collect();
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
            assert_eq!(pairs, expect, "{query}");
        };
        check("", &[]);
        check("a", &[("a", "")]);
        check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("a=b=c", &[("a", "b=c")]);
        check("q=one+two%20%C3%A9", &[("q", "one two é")]);
        check(
            "q=%&r=%4&s=%zz&t=%ff",
            &[("q", "%"), ("r", "%4"), ("s", "%zz"), ("t", "\u{fffd}")],
        );
    }

    #[cfg(feature = "client")]
    #[test]
    fn urls_are_cut_into_what_the_host_takes() {
        let check = |url: &str, expect: Option<(bool, &str, &str)>| {
            let target = Target::parse(url);
            let parts = target
                .as_ref()
                .map(|t| (t.https, t.authority, t.path_with_query.as_str()));
            assert_eq!(parts, expect, "{url}");
        };
        check("https://a.example", Some((true, "a.example", "/")));
        check(
            "HTTP://a.example:81?x=/y",
            Some((false, "a.example:81", "/?x=/y")),
        );
        check("http://[::1]:80/p?q#f", Some((false, "[::1]:80", "/p?q")));
        check("ftp://a", None);
        check("https:///x", None);
        check("/relative", None);
    }
}
