//! JSON texts: reading with PostgreSQL's refusals, strings in and out.

use std::borrow::Cow;

use crate::data::{DataError, SqlFault};

/// How deep arrays and objects nest. SQLite's JSON functions stop here; PostgreSQL stops where its
/// stack does, some thousands deep.
///
/// Source: SQLite, `JSON_MAX_DEPTH` in `json.c`.
const DEPTH_MAX: u32 = 1000;

/// A JSON text read: scalars lend from it.
pub(in crate::data) enum Node<'t> {
    /// `true`, `false` or `null`.
    Word(&'t str),
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Vec<Node<'t>>),
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
}

/// Reads a JSON text (RFC 8259) and decodes its strings.
pub(in crate::data) fn parse(text: &str) -> Result<Node<'_>, DataError> {
    Reader::<true>::whole(text)
}

/// Whether it is a JSON text; escapes are only looked at, as PostgreSQL does for type json.
pub(in crate::data) fn validate(text: &str) -> Result<(), DataError> {
    Reader::<false>::whole(text).map(|_| ())
}

/// Refuses escapes that stand for no text in what is known to be JSON.
pub(super) fn check_escapes(json: &str) -> Result<(), DataError> {
    // Only `\u` can be wrong; most bodies have none.
    if json.as_bytes().windows(2).any(|pair| pair == b"\\u") {
        parse(json)?;
    }
    Ok(())
}

/// Decodes a JSON string, given with its quotes.
pub(in crate::data) fn unescape(json: &str) -> Result<Cow<'_, str>, DataError> {
    Reader::<true> { text: json, at: 0 }.string()
}

fn fault(details: impl Into<String>) -> DataError {
    SqlFault::new("22P02", "invalid input syntax for type json")
        .details(details)
        .into()
}

/// `BUILD` says whether the result is wanted, or only whether it is JSON.
struct Reader<'t, const BUILD: bool> {
    text: &'t str,
    at: usize,
}

impl<'t, const BUILD: bool> Reader<'t, BUILD> {
    fn whole(text: &'t str) -> Result<Node<'t>, DataError> {
        let mut reader = Reader::<BUILD> { text, at: 0 };
        let node = reader.value(0, "JSON value")?;
        match reader.peek() {
            None => Ok(node),
            Some(_) => Err(reader.unexpected("end of input")),
        }
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self, depth: u32, expected: &str) -> Result<Node<'t>, DataError> {
        if depth > DEPTH_MAX {
            return Err(SqlFault::new("54001", "stack depth limit exceeded")
                .details(format!("JSON may nest {DEPTH_MAX} deep."))
                .into());
        }
        match self.peek() {
            Some(b'"') => self.string().map(Node::String),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => {
                let token = self.token();
                if !is_number(token.as_bytes()) {
                    return Err(fault(format!("Token \"{token}\" is invalid.")));
                }
                self.at += token.len();
                Ok(Node::Number(token))
            }
            _ => match self.token() {
                word @ ("true" | "false" | "null") => {
                    self.at += word.len();
                    Ok(Node::Word(word))
                }
                _ => Err(self.unexpected(expected)),
            },
        }
    }

    fn array(&mut self, depth: u32) -> Result<Node<'t>, DataError> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(elements));
        }
        let mut expected = "array element or \"]\"";
        loop {
            let element = self.value(depth + 1, expected)?;
            expected = "JSON value";
            if BUILD {
                elements.push(element);
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::Array(elements));
                }
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: u32) -> Result<Node<'t>, DataError> {
        self.at += 1;
        let mut members = Vec::new();
        let mut expected = "string or \"}\"";
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') if members.is_empty() && expected != "string" => {
                    self.at += 1;
                    return Ok(Node::Object(members));
                }
                _ => return Err(self.unexpected(expected)),
            }
            expected = "string";
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            let value = self.value(depth + 1, "JSON value")?;
            if BUILD {
                members.push((key, value));
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Object(members));
                }
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
    }

    /// A string, from its opening quote on.
    fn string(&mut self) -> Result<Cow<'t, str>, DataError> {
        let text = self.text;
        let bytes = text.as_bytes();
        self.at += 1;
        let mut decoded = String::new();
        let mut from = self.at;
        loop {
            match bytes.get(self.at) {
                None => return Err(fault("The input string ended unexpectedly.")),
                Some(b'"') => {
                    let tail = &text[from..self.at];
                    self.at += 1;
                    if decoded.is_empty() {
                        return Ok(Cow::Borrowed(tail));
                    }
                    decoded.push_str(tail);
                    return Ok(Cow::Owned(decoded));
                }
                Some(b'\\') => {
                    let head = &text[from..self.at];
                    let c = self.escape()?;
                    if BUILD {
                        decoded.push_str(head);
                        decoded.push(c);
                    }
                    from = self.at;
                }
                Some(byte @ 0..0x20) => {
                    return Err(fault(format!(
                        "Character with value 0x{byte:02x} must be escaped."
                    )));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// One character, from the backslash on.
    fn escape(&mut self) -> Result<char, DataError> {
        let rest = &self.text[self.at + 1..];
        let Some(kind) = rest.chars().next() else {
            return Err(fault("The input string ended unexpectedly."));
        };
        self.at += 1 + kind.len_utf8();
        Ok(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                if !BUILD {
                    return Ok(' ');
                }
                match first {
                    0 => {
                        return Err(
                            SqlFault::new("22P05", "unsupported Unicode escape sequence")
                                .details("\\u0000 cannot be converted to text.")
                                .into(),
                        );
                    }
                    0xd800..0xdc00 => {
                        const LOW: &str = "Unicode low surrogate must follow a high surrogate.";
                        if !self.text[self.at..].starts_with("\\u") {
                            return Err(fault(LOW));
                        }
                        self.at += 2;
                        let second = self.unit()?;
                        if second & 0xfc00 == 0xd800 {
                            return Err(fault(
                                "Unicode high surrogate must not follow a high surrogate.",
                            ));
                        }
                        if second & 0xfc00 != 0xdc00 {
                            return Err(fault(LOW));
                        }
                        let code = 0x10000 + ((first & 0x3ff) << 10 | second & 0x3ff);
                        char::from_u32(code).ok_or_else(|| fault(LOW))?
                    }
                    code => char::from_u32(code).ok_or_else(|| {
                        fault("Unicode low surrogate must follow a high surrogate.")
                    })?,
                }
            }
            other => return Err(fault(format!("Escape sequence \"\\{other}\" is invalid."))),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, DataError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let unit = digits.and_then(|digits| {
            digits.iter().try_fold(0, |unit, digit| {
                Some(unit << 4 | char::from(*digit).to_digit(16)?)
            })
        });
        self.at += 4;
        unit.ok_or_else(|| fault("\"\\u\" must be followed by four hexadecimal digits."))
    }

    /// Letters, digits and signs up to the next mark; one mark when there is none.
    fn token(&self) -> &'t str {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .take_while(|byte| {
                byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_-+.".contains(byte)
            })
            .count();
        match length {
            0 => &rest[..rest.len().min(1)],
            _ => &rest[..length],
        }
    }

    fn unexpected(&self, expected: &str) -> DataError {
        match self.token() {
            "" => fault("The input string ended unexpectedly."),
            token @ ("{" | "}" | "[" | "]" | "," | ":" | "true" | "false" | "null") => {
                fault(format!("Expected {expected}, but found \"{token}\"."))
            }
            "\"" => fault(format!(
                "Expected {expected}, but found \"{}\".",
                &self.text[self.at..self.at + self.string_length()]
            )),
            token if is_number(token.as_bytes()) => {
                fault(format!("Expected {expected}, but found \"{token}\"."))
            }
            token => fault(format!("Token \"{token}\" is invalid.")),
        }
    }

    /// Bytes of the string that starts here, its quotes counted.
    fn string_length(&self) -> usize {
        let mut reader = Reader::<false> {
            text: self.text,
            at: self.at,
        };
        match reader.string() {
            Ok(_) => reader.at - self.at,
            Err(_) => 1,
        }
    }
}

fn is_number(token: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = token.strip_prefix(b"-").unwrap_or(token);
    match rest {
        [b'0', tail @ ..] => rest = tail,
        _ => match digits(rest) {
            0 => return false,
            whole => rest = &rest[whole..],
        },
    }
    if let [b'.', tail @ ..] = rest {
        match digits(tail) {
            0 => return false,
            fraction => rest = &tail[fraction..],
        }
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        let tail = match tail {
            [b'+' | b'-', tail @ ..] => tail,
            _ => tail,
        };
        match digits(tail) {
            0 => return false,
            exponent => rest = &tail[exponent..],
        }
    }
    rest.is_empty()
}

/// Appends a JSON string as PostgreSQL's `row_to_json` writes it: escapes for the quote, the backslash
/// and control characters, nothing else.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}
