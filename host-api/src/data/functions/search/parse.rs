//! A text cut into tokens, as PostgreSQL's default parser does.
//!
//! Differences: host names, paths and tags in odd forms (`a.b-`, attributes without an end) may be
//! cut elsewhere, and so may names behind many long runs with dots that are none; all plain text,
//! numbers, hyphenated words, addresses and paths are cut alike.
//!
//! Source: PostgreSQL 15, "12.5. Parsers"; compared with a server of that version.

/// What a token is; blanks, tags, entities and protocols are not indexed and not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters only: what a stemmer reads. Hyphenated words and their parts too.
    Word,
    /// Everything else: taken as it is, in lower case.
    Plain,
}

/// Bytes of a host, an address, a path or a number with a point; a longer one is cut.
const NAME_BYTES_MAX: usize = 1_024;

/// Bytes that may be looked at in vain for such names, for each byte of the text: beyond, all that is
/// left are words and whole numbers.
const LOOKS_PER_BYTE: usize = 16;

/// Tokens in order, each with its kind.
pub(super) fn tokens(text: &str) -> Vec<(Kind, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    // Bytes that may be looked at for the ends of tags: most `<` have none, and each looks far.
    let mut looks = 8 * text.len() + 1_024;
    let mut after_protocol = false;
    let mut run = Run::default();
    let mut names = LOOKS_PER_BYTE * text.len() + 16 * NAME_BYTES_MAX;
    while at < text.len() {
        let rest = &text[at..];
        run.reach(text.as_bytes(), at);
        // Each of these has a dot or a slash.
        let looked = match at < run.marked {
            true => (run.end - at).min(NAME_BYTES_MAX),
            false => 0,
        };
        let may_be_name = looked > 0 && names > 0;
        let length = token(rest, may_be_name, after_protocol, &mut looks, &mut out);
        names = names.saturating_sub(looked.saturating_sub(length));
        after_protocol = rest[..length].ends_with("://");
        at += length;
    }
    out
}

/// The bytes that hosts, addresses, paths and numbers are made of, as far as they go on: each token of
/// them would look that far.
#[derive(Default)]
struct Run {
    end: usize,
    /// Behind its last dot or slash.
    marked: usize,
}

impl Run {
    /// Makes it the run that `at` stands in.
    fn reach(&mut self, text: &[u8], at: usize) {
        if at < self.end {
            return;
        }
        let run = &text[at..];
        let run = &run[..run.iter().take_while(|byte| is_name(**byte)).count()];
        let mark = run.iter().rposition(|byte| matches!(byte, b'.' | b'/'));
        *self = Run {
            end: at + run.len(),
            marked: at + mark.map_or(0, |mark| mark + 1),
        };
    }
}

fn is_name(byte: u8) -> bool {
    is_file(byte) || matches!(byte, b'@' | b':' | b'+' | b'~')
}

/// Reads one token; answers its bytes, at least one character.
///
/// `may_be_name`: whether a host, an address, a path or a number with a point can start here.
fn token<'t>(
    rest: &'t str,
    may_be_name: bool,
    after_protocol: bool,
    looks: &mut usize,
    out: &mut Vec<(Kind, &'t str)>,
) -> usize {
    let bytes = rest.as_bytes();
    let first = rest.chars().next().unwrap_or(' ');
    let plain = |length: usize, out: &mut Vec<(Kind, &'t str)>| {
        out.push((Kind::Plain, &rest[..length]));
        length
    };
    match first {
        '<' => return tag(bytes, looks).unwrap_or(1),
        '&' => return entity(bytes).unwrap_or(1),
        '-' | '+' => {
            return match number(bytes, may_be_name) {
                Some(length) if !rest[length..].starts_with(is_letter) => plain(length, out),
                _ => 1,
            };
        }
        '/' | '~' | '.' if may_be_name => {
            return path_start(bytes).map_or(1, |length| plain(length, out));
        }
        c if !is_letter(c) && !c.is_ascii_digit() => return c.len_utf8(),
        _ => {}
    }
    let letters = run(bytes, |byte| byte.is_ascii_alphabetic());
    if letters > 0 && rest[letters..].starts_with("://") {
        return letters + 3;
    }
    if may_be_name && let Some(length) = email(bytes) {
        return plain(length, out);
    }
    if may_be_name && let Some(host) = host(bytes) {
        let path = match bytes.get(host) {
            Some(b'/' | b'?') => run(&bytes[host..], is_url),
            _ => 0,
        };
        if path > 0 && (path > 1 || after_protocol || bytes[host] == b'/') {
            out.push((Kind::Plain, &rest[..host + path]));
            out.push((Kind::Plain, &rest[..host]));
            out.push((Kind::Plain, &rest[host..host + path]));
            return host + path;
        }
        return plain(host, out);
    }
    if let Some(length) = number(bytes, may_be_name)
        && !rest[length..].starts_with(is_letter)
        && bytes.get(length) != Some(&b'/')
        && hyphenated(rest).is_none()
    {
        return plain(length, out);
    }
    if may_be_name && let Some(length) = file(bytes) {
        return plain(length, out);
    }
    if let Some(length) = hyphenated(rest) {
        let whole = &rest[..length];
        let digits = whole.bytes().any(|byte| byte.is_ascii_digit());
        out.push((if digits { Kind::Plain } else { Kind::Word }, whole));
        for part in whole.split('-') {
            out.push((kind(part), part));
        }
        return length;
    }
    let length = word(rest);
    out.push((kind(&rest[..length]), &rest[..length]));
    length
}

fn kind(word: &str) -> Kind {
    match word.bytes().any(|byte| byte.is_ascii_digit()) {
        true => Kind::Plain,
        false => Kind::Word,
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || !c.is_ascii() && c.is_alphanumeric() || is_mark(c)
}

/// Marks that belong to the letter before them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{903}'
        | '\u{93a}'..='\u{94f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}')
}

fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is(**byte)).count()
}

fn word(rest: &str) -> usize {
    let end = rest.find(|c: char| !is_letter(c) && !c.is_ascii_digit());
    end.unwrap_or(rest.len())
}

/// Words with a `-` between each two.
fn hyphenated(rest: &str) -> Option<usize> {
    let has_letter = |part: &str| part.contains(is_letter);
    let mut end = word(rest);
    if !has_letter(&rest[..end]) {
        return None;
    }
    let first = end;
    while let Some(next) = rest[end..].strip_prefix('-') {
        let length = word(next);
        if !has_letter(&next[..length]) {
            break;
        }
        end += 1 + length;
    }
    (end > first).then_some(end)
}

/// A whole number, a decimal, one with an exponent, or a version (`1.2.3`, without a sign).
fn number(bytes: &[u8], points_too: bool) -> Option<usize> {
    let signed = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = |from: usize| {
        run(bytes.get(from..).unwrap_or_default(), |b| {
            b.is_ascii_digit()
        })
    };
    let whole = digits(signed);
    if whole == 0 {
        return None;
    }
    let mut end = signed + whole;
    let mut points = 0;
    // Only its first digits go on as long as they like.
    let bytes = &bytes[..bytes.len().min(end.max(NAME_BYTES_MAX))];
    let digits = |from: usize| {
        run(bytes.get(from..).unwrap_or_default(), |b| {
            b.is_ascii_digit()
        })
    };
    while points_too
        && bytes.get(end) == Some(&b'.')
        && digits(end + 1) > 0
        && (points == 0 || signed == 0)
    {
        end += 1 + digits(end + 1);
        points += 1;
    }
    if points <= 1 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}

fn is_url(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)
}

/// Labels with dots between, the last of two letters or more; perhaps a port.
fn host(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let length = run(bytes, |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
    });
    let name = &bytes[..length];
    let mut end = None;
    let mut at = 0;
    // The longest run of labels that ends in letters.
    for label in name.split(|byte| *byte == b'.') {
        let good = label.first().is_some_and(u8::is_ascii_alphanumeric);
        if !good {
            break;
        }
        let letters = run(label, |byte| byte.is_ascii_alphabetic());
        if at > 0 && letters >= 2 {
            if letters == label.len() {
                end = Some(at + letters);
            } else if !label[letters..]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            {
                break;
            }
        }
        at += label.len() + 1;
        if !label.last().is_some_and(u8::is_ascii_alphanumeric) {
            break;
        }
    }
    let mut end = end?;
    // What goes on behind it makes it a file or a word.
    if name.get(end).is_some_and(|byte| matches!(byte, b'_')) {
        return None;
    }
    if bytes.get(end) == Some(&b':') {
        let port = run(&bytes[end + 1..], |byte| byte.is_ascii_digit());
        if port > 0 {
            end += 1 + port;
        }
    }
    Some(end)
}

fn email(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let local = run(bytes, |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
    });
    if local == 0 || bytes.get(local) != Some(&b'@') || !bytes[local - 1].is_ascii_alphanumeric() {
        return None;
    }
    let tail = &bytes[local + 1..];
    let host = host(tail)?;
    let port = tail[..host].iter().position(|byte| *byte == b':');
    Some(local + 1 + port.unwrap_or(host))
}

fn is_file(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/')
}

/// A path that starts with a word: it has a slash or a dot within.
fn file(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let stem = run(bytes, |byte| byte.is_ascii_alphanumeric());
    match bytes.get(stem) {
        Some(b'/' | b'.') if stem > 0 => {}
        _ => return None,
    }
    let mut end = run(bytes, is_file);
    while end > 0 && !bytes[end - 1].is_ascii_alphanumeric() && bytes[end - 1] != b'_' {
        end -= 1;
    }
    // A number before the dot is no file's name.
    let is_number = bytes[..stem].iter().all(u8::is_ascii_digit);
    (end > stem && !(is_number && bytes[stem] == b'.')).then_some(end)
}

/// A path that starts with `/`, `~/`, `./` or `../`; the dots are no part of it.
fn path_start(bytes: &[u8]) -> Option<usize> {
    let from = match bytes {
        [b'~', b'/', ..] => 1,
        [b'/', ..] => 0,
        _ => return None,
    };
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let next = *bytes.get(from + 1)?;
    if !next.is_ascii_alphanumeric() && next != b'_' && next != b'.' {
        return None;
    }
    let mut end = from + run(&bytes[from..], is_file);
    while end > from && !bytes[end - 1].is_ascii_alphanumeric() && bytes[end - 1] != b'_' {
        end -= 1;
    }
    (end > from + 1).then_some(end)
}

fn entity(bytes: &[u8]) -> Option<usize> {
    let rest = &bytes[1..];
    let body = match rest {
        [b'#', b'x' | b'X', tail @ ..] => 2 + some(run(tail, |b| b.is_ascii_hexdigit()))?,
        [b'#', tail @ ..] => 1 + some(run(tail, |b| b.is_ascii_digit()))?,
        [first, ..] if first.is_ascii_alphabetic() || *first == b'_' || *first == b':' => {
            run(rest, |b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':')
            })
        }
        _ => return None,
    };
    (rest.get(body) == Some(&b';')).then_some(body + 2)
}

fn some(count: usize) -> Option<usize> {
    (count > 0).then_some(count)
}

fn tag(bytes: &[u8], looks: &mut usize) -> Option<usize> {
    if bytes.starts_with(b"<!--") {
        let within = &bytes[4..bytes.len().min(4 + *looks)];
        let end = within.windows(3).position(|three| three == b"-->");
        *looks -= end.unwrap_or(within.len());
        return Some(4 + end? + 3);
    }
    let start = match bytes {
        [b'<', b'/' | b'!' | b'?', first, ..] if first.is_ascii_alphabetic() => 2,
        [b'<', first, ..] if first.is_ascii_alphabetic() => 1,
        _ => return None,
    };
    let name = run(&bytes[start..], |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':')
    });
    let mut at = start + name;
    match bytes.get(at)? {
        b'>' | b'/' | b'?' | b' ' | b'\t'..=b'\r' => {}
        _ => return None,
    }
    let mut quote = None;
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        *looks = looks.checked_sub(1)?;
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'<') => return None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn long_names_take_linear_time() {
        // Each took many times longer when every token looked ahead for itself.
        for part in ["a_", "a_a.-_", "1.", "1.1a_", "/.", "a@b_"] {
            let text = part.repeat((1 << 20) / part.len()) + "a";
            let start = Instant::now();
            let tokens = tokens(&text);
            assert!(!tokens.is_empty());
            assert!(start.elapsed() < Duration::from_secs(6), "{part}");
        }
    }

    #[test]
    fn names_are_found_behind_long_runs() {
        let text = "a_".repeat(100_000) + " see www.example.com, me@example.com /usr/lib 1.5";
        let found: Vec<&str> = tokens(&text)
            .into_iter()
            .map(|(_, token)| token)
            .filter(|token| *token != "a")
            .collect();
        let expect = [
            "see",
            "www.example.com",
            "me@example.com",
            "/usr/lib",
            "1.5",
        ];
        assert_eq!(found, expect);
    }
}
