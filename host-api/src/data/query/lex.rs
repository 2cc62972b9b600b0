//! What the dialect's grammars share: a place in the text, names, JSON paths, and how a refusal is told.

use super::{Field, Key, Step};
use crate::data::{DataError, SqlFault};

/// Why a text was not understood.
pub(super) enum Stop {
    Unexpected(Unexpected),
    /// A limit, or an error with a code of its own.
    Refused(DataError),
}

/// What stood where something else had to.
pub(super) struct Unexpected {
    /// Bytes before it.
    pub(super) at: usize,
    /// The end of the text when none.
    found: Option<char>,
    /// Whether a whole item should have ended there: such a character is told in single quotes.
    ends: bool,
    expecting: Vec<&'static str>,
}

pub(super) type Parse<T> = Result<T, Stop>;

pub(super) const FIELD_NAME: &str = "field name (* or [a..z0..9_$])";
pub(super) const DELIMITER: &str = "delimiter (.)";
pub(super) const COMMA: &str = r#"",""#;
pub(super) const OPEN: &str = r#""(""#;
pub(super) const CLOSE: &str = r#"")""#;
pub(super) const END: &str = "end of input";
pub(super) const LETTER: &str = "letter";
pub(super) const DIGIT: &str = "digit";
const DASH: &str = r#""-""#;
const ARROW: &str = r#""->""#;
const ARROWS: &str = r#""->>""#;

/// Characters of a message's copy of the text: more help nobody.
const SHOWN_MAX: usize = 1_000;

/// A place in a text. A copy is a place to come back to.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    pub(super) at: usize,
    /// Where the last token ended, and what would have made it longer: part of what is expected there.
    tail: (usize, &'static [&'static str]),
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor {
            text,
            at: 0,
            tail: (0, &[]),
        }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub(super) fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// All that is left.
    pub(super) fn take_rest(&mut self) -> &'t str {
        let rest = self.rest();
        self.at = self.text.len();
        rest
    }

    /// What is left before the first of these characters.
    pub(super) fn take_until(&mut self, stops: &[char]) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(stops).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    pub(super) fn expect(&mut self, word: &str, expecting: &[&'static str]) -> Parse<()> {
        match self.eat(word) {
            true => Ok(()),
            false => Err(self.unexpected(expecting)),
        }
    }

    pub(super) fn expect_end(&self, expecting: &[&'static str]) -> Parse<()> {
        match self.at_end() {
            true => Ok(()),
            false => Err(self.unended(expecting)),
        }
    }

    /// The next character is none of what could stand here.
    pub(super) fn unexpected(&self, expecting: &[&'static str]) -> Stop {
        self.stop(self.peek(), false, expecting)
    }

    /// As [`Cursor::unexpected`], where an item had to end.
    pub(super) fn unended(&self, expecting: &[&'static str]) -> Stop {
        self.stop(self.peek(), true, expecting)
    }

    /// A word begins here, perhaps, and is not `word`: the first letter that differs is told.
    pub(super) fn unexpected_word(&self, word: &str, expecting: &[&'static str]) -> Stop {
        let mut wanted = word.chars();
        let found = self.rest().chars().find(|c| wanted.next() != Some(*c));
        self.stop(found, false, expecting)
    }

    fn stop(&self, found: Option<char>, ends: bool, expecting: &[&'static str]) -> Stop {
        let tail = match self.tail {
            (at, tail) if at == self.at => tail,
            _ => &[],
        };
        Stop::Unexpected(Unexpected {
            at: self.at,
            found,
            ends,
            expecting: tail.iter().chain(expecting).copied().collect(),
        })
    }

    /// What would have made the last token longer is not worth telling.
    pub(super) fn forget(&mut self) {
        self.ends_with(&[]);
    }

    fn ends_with(&mut self, tail: &'static [&'static str]) {
        self.tail = (self.at, tail);
    }

    /// `"…"`, where `\` takes the next character as it is.
    pub(super) fn quoted(&mut self) -> Parse<String> {
        self.expect("\"", &[r#""\"""#])?;
        let rest = self.rest();
        let mut text = String::new();
        let mut chars = rest.char_indices();
        let mut from = 0;
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    text.push_str(&rest[from..at]);
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => {
                    text.push_str(&rest[from..at]);
                    from = at + 1;
                    chars.next();
                }
                _ => {}
            }
        }
        self.at = self.text.len();
        Err(self.unexpected(&[r#""\"""#]))
    }

    /// A name, quoted or bare. A bare one is letters, digits, `_`, `$` and spaces inside, with `-`
    /// between such runs.
    pub(super) fn name(&mut self) -> Parse<String> {
        self.name_followed_by(&[LETTER, DIGIT, DASH], &[])
    }

    fn name_followed_by(
        &mut self,
        bare: &'static [&'static str],
        quoted: &'static [&'static str],
    ) -> Parse<String> {
        if self.rest().starts_with('"') {
            let name = self.quoted()?;
            self.ends_with(quoted);
            return Ok(name);
        }
        let start = self.at;
        let raw = self.dashed(is_name, &[LETTER, DIGIT])?;
        if raw.is_empty() {
            self.at = start;
            return Err(self.unexpected(&[FIELD_NAME]));
        }
        self.ends_with(bare);
        Ok(raw)
    }

    /// Runs of such characters with `-` between them; spaces around a run go. Empty when there is none.
    fn dashed(&mut self, is: fn(char) -> bool, expecting: &[&'static str]) -> Parse<String> {
        let start = self.at;
        loop {
            let rest = self.rest();
            let run = rest.find(|c| !is(c)).unwrap_or(rest.len());
            if run == 0 {
                match self.at == start {
                    true => return Ok(String::new()),
                    false => return Err(self.unexpected(expecting)),
                }
            }
            self.at += run;
            let rest = self.rest();
            if !rest.starts_with('-') || rest.starts_with("->") {
                break;
            }
            self.at += 1;
        }
        let raw = &self.text[start..self.at];
        if !raw.contains([' ', '\t']) {
            return Ok(raw.to_owned());
        }
        let runs: Vec<&str> = raw.split('-').map(str::trim).collect();
        Ok(runs.join("-"))
    }

    /// A type's name, as it stands after `::`.
    pub(super) fn cast(&mut self) -> Parse<String> {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        if word.trim().is_empty() {
            return Err(self.unexpected(&[LETTER, DIGIT]));
        }
        self.at += word.len();
        self.ends_with(&[LETTER, DIGIT]);
        Ok(word.trim().to_owned())
    }

    /// A name and the JSON path after it.
    pub(super) fn field(&mut self) -> Parse<Field> {
        self.blank();
        let name = self.field_name()?;
        let path = self.steps()?;
        self.blank();
        Ok(Field { name, path })
    }

    /// A name that arrows may follow.
    pub(super) fn field_name(&mut self) -> Parse<String> {
        self.name_followed_by(&[LETTER, DIGIT, DASH, ARROWS, ARROW], &[ARROWS, ARROW])
    }

    /// Any number of `->key` and `->>key`.
    pub(super) fn steps(&mut self) -> Parse<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        while self.eat("->") {
            let text = self.eat(">");
            let key = self.key()?;
            if steps.last().is_some_and(|last| last.text) {
                return Err(Stop::Refused(no_such_operator(text, &key)));
            }
            steps.push(Step { key, text });
        }
        Ok(steps)
    }

    fn key(&mut self) -> Parse<Key> {
        let start = self.at;
        let negative = self.eat("-");
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            self.at += digits;
            let after = self.rest().trim_start_matches([' ', '\t']);
            let ends = after.is_empty()
                || after.starts_with(['.', ',', ')'])
                || after.starts_with("->")
                || after.starts_with("::");
            if ends {
                let number = &self.text[start..self.at];
                self.ends_with(&[DIGIT, ARROWS, ARROW]);
                let message = format!("value \"{number}\" is out of range for type integer");
                return number
                    .parse()
                    .map(Key::Index)
                    .map_err(|_| Stop::Refused(DataError::sql("22003", message)));
            }
            if negative {
                let expecting = [DIGIT, ARROW, r#""::""#, r#"".""#, COMMA, END];
                return Err(self.unended(&expecting));
            }
            self.at = start;
        } else if negative {
            return Err(self.unexpected(&[DIGIT]));
        }
        const ANY: &str = "any non reserved character different from: .,>()";
        let name = match self.rest().starts_with('"') {
            true => self.quoted()?,
            false => self.dashed(is_key, &[ANY])?,
        };
        if self.at == start {
            return Err(self.unexpected(&[DASH, DIGIT, ANY]));
        }
        self.ends_with(&[DASH, ARROWS, ARROW]);
        Ok(Key::Name(name))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '_' | '$' | ' ')
        || (!c.is_ascii() && c.is_alphabetic())
}

fn is_key(c: char) -> bool {
    !matches!(c, '(' | '-' | ':' | '.' | ',' | '>' | ')')
}

/// What PostgreSQL says of an arrow on text.
fn no_such_operator(text: bool, key: &Key) -> DataError {
    let arrow = if text { "->>" } else { "->" };
    let kind = match key {
        Key::Name(_) => "unknown",
        Key::Index(_) => "integer",
    };
    SqlFault::new("42883", format!("operator does not exist: text {arrow} {kind}"))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
        .into_error()
}

impl Stop {
    /// The refusal of `text` as a `what`.
    pub(super) fn of(self, what: &str, text: &str) -> DataError {
        self.told(what, text, 0)
    }

    /// As [`Stop::of`]; `before` characters stand before the text in what its columns count.
    pub(super) fn told(self, what: &str, text: &str, before: usize) -> DataError {
        let unexpected = match self {
            Stop::Unexpected(unexpected) => unexpected,
            Stop::Refused(error) => return error,
        };
        let (line, column) = place(&text[..unexpected.at.min(text.len())], before);
        let mut shown: String = text.chars().take(SHOWN_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let message =
            format!("\"failed to parse {what} ({shown})\" (line {line}, column {column})");
        SqlFault::new("PGRST100", message)
            .details(unexpected.details())
            .into_error()
    }
}

impl Unexpected {
    fn details(&self) -> String {
        let mut text = match self.found {
            None => format!("unexpected {END}"),
            Some(c) => {
                let quote = if self.ends { '\'' } else { '"' };
                format!("unexpected {quote}{}{quote}", shown(c, quote))
            }
        };
        let mut expecting: Vec<&str> = Vec::new();
        for one in &self.expecting {
            if !expecting.contains(one) {
                expecting.push(one);
            }
        }
        if let Some((last, others)) = expecting.split_last() {
            text.push_str(" expecting ");
            text.push_str(&others.join(", "));
            if !others.is_empty() {
                text.push_str(" or ");
            }
            text.push_str(last);
        }
        text
    }
}

/// A character as the dialect's messages write it.
fn shown(c: char, quote: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\\' => "\\\\".to_owned(),
        _ if c == quote => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        _ => format!("\\{}", u32::from(c)),
    }
}

/// Line and column after this text, both from 1; a tab leads to the next column of eight.
fn place(before: &str, ahead: usize) -> (usize, usize) {
    before
        .chars()
        .fold((1, 1 + ahead), |(line, column), c| match c {
            '\n' => (line + 1, 1),
            '\t' => (line, column + 8 - (column - 1) % 8),
            _ => (line, column + 1),
        })
}

/// # Errors
/// 22021 for a NUL, which no text of PostgreSQL holds.
pub(super) fn no_nul(text: &str) -> Result<(), DataError> {
    match text.bytes().any(|byte| byte == 0) {
        false => Ok(()),
        true => Err(DataError::sql(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        )),
    }
}
