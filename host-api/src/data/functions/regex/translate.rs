//! The text of a pattern, put into the words of the crate.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use crate::data::DataError;

/// Groups within groups: the reader calls itself.
pub(super) const DEPTH_MAX: u32 = 200;
/// Source: PostgreSQL 15, `DUPMAX` in `src/include/regex/regguts.h`.
const REPEAT_MAX: u32 = 255;
/// Places of a pattern when its repetitions are written out: `(a{100}){100}` has ten thousand.
const SIZE_MAX: usize = 20_000;

/// A pattern as the crate `regex` reads it.
pub(super) struct Translated {
    pub(super) text: String,
    /// Whether letters match in either case.
    pub(super) fold: bool,
    /// Its places, repetitions written out: what one character may cost.
    pub(super) size: usize,
}

/// Letters, and the digits of other scripts than Latin, as C's `iswalpha`; told from fractions and numbers
/// in circles.
const ALPHA: &str = r"\p{Alphabetic}[\p{N}--[0-9\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{2070}-\x{2189}\x{2460}-\x{249b}\x{24ea}-\x{24ff}\x{2776}-\x{2793}]]";
/// As `iswspace`: without the blanks that do not break.
const SPACE: &str = r"[\p{White_Space}--[\x{85}\x{a0}\x{2007}\x{202f}]]";
const VISIBLE: &str = r"[^\p{Cc}\p{White_Space}]\x{a0}\x{2007}\x{202f}";

/// Appends what stands in brackets for a class; `None` for a name that none has.
fn class(name: &str, fold: bool, out: &mut String) -> Option<()> {
    let done = match name {
        "alnum" => write!(out, "{ALPHA}0-9"),
        "alpha" => write!(out, "{ALPHA}"),
        "ascii" => write!(out, r"\x00-\x7f"),
        "blank" => write!(out, r"\t[{SPACE}--[\n-\r\x{{2028}}\x{{2029}}]]"),
        "cntrl" => write!(out, r"\p{{Cc}}\x{{2028}}\x{{2029}}"),
        "digit" => write!(out, "0-9"),
        "graph" => write!(out, "{VISIBLE}"),
        "lower" | "upper" if fold => write!(out, "{ALPHA}"),
        "lower" => write!(out, r"\p{{Lowercase}}"),
        "print" => write!(out, r"{VISIBLE}[{SPACE}--\p{{Cc}}]"),
        "punct" => write!(out, "[[{VISIBLE}]--[{ALPHA}0-9]]"),
        "space" => write!(out, "{SPACE}"),
        "upper" => write!(out, r"\p{{Uppercase}}"),
        "word" => write!(out, "{ALPHA}0-9_"),
        "xdigit" => write!(out, "0-9A-Fa-f"),
        _ => return None,
    };
    done.ok()
}

/// Appends a character that stands for itself, in brackets and out.
fn char(c: char, out: &mut String) {
    match c.is_alphanumeric() {
        true => out.push(c),
        false => out.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
    }
}

/// C's `isspace` for what the expanded syntax skips.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}')
}

/// 2201B.
pub(super) fn fault(words: &str) -> DataError {
    DataError::sql("2201B", format!("invalid regular expression: {words}"))
}

fn unsupported(what: &str) -> DataError {
    fault(&format!("{what} are not supported on SQLite"))
}

pub(super) fn too_complex() -> DataError {
    fault("regular expression is too complex")
}

/// # Errors
/// 2201B in PostgreSQL's words, and for what the crate has not.
pub(super) fn translate(pattern: &str, fold: bool) -> Result<Translated, DataError> {
    let mut reader = Reader {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() * 2),
        fold,
        advanced: true,
        expanded: false,
        lines: false,
        within_line: false,
        depth: 0,
    };
    let mut body = pattern;
    if let Some(rest) = body.strip_prefix("***=") {
        return Ok(reader.literal(rest));
    }
    if let Some(rest) = body.strip_prefix("***:") {
        body = rest;
    } else if body.starts_with("***") {
        return Err(fault("quantifier operand invalid"));
    }
    // Options at the start: `(?i)`.
    if let Some(rest) = body.strip_prefix("(?")
        && rest.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        let end = rest
            .find(')')
            .ok_or_else(|| fault("invalid embedded option"))?;
        let mut literal = false;
        for option in rest[..end].chars() {
            match option {
                'c' => reader.fold = false,
                'i' => reader.fold = true,
                'e' => reader.advanced = false,
                'q' => literal = true,
                'm' | 'n' => (reader.lines, reader.within_line) = (true, true),
                'p' => (reader.lines, reader.within_line) = (false, true),
                's' => (reader.lines, reader.within_line) = (false, false),
                'w' => (reader.lines, reader.within_line) = (true, false),
                't' => reader.expanded = false,
                'x' => reader.expanded = true,
                'b' => return Err(unsupported("basic regular expressions")),
                _ => return Err(fault("invalid embedded option")),
            }
        }
        body = &rest[end + 1..];
        if literal {
            return Ok(reader.literal(body));
        }
    }
    reader.rest = body.chars().peekable();
    let size = reader.either()?;
    match reader.rest.peek() {
        None => Ok(Translated {
            text: reader.out,
            fold: reader.fold,
            size,
        }),
        Some(_) => Err(fault("parentheses () not balanced")),
    }
}

struct Reader<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    fold: bool,
    /// Whether escapes have meanings of their own.
    advanced: bool,
    expanded: bool,
    /// Whether `^` and `$` also match at lines.
    lines: bool,
    /// Whether `.` and `[^…]` stop at lines.
    within_line: bool,
    depth: u32,
}

/// What an atom is, beside its text.
enum Atom {
    /// Of no width: it is not repeated.
    Assertion,
    /// With its size.
    Matter(usize),
}

impl Reader<'_> {
    fn literal(mut self, text: &str) -> Translated {
        text.chars().for_each(|c| char(c, &mut self.out));
        Translated {
            text: self.out,
            fold: self.fold,
            size: text.len(),
        }
    }

    fn looking_at(&self, text: &str) -> bool {
        let mut rest = self.rest.clone();
        text.chars().all(|c| rest.next() == Some(c))
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.rest.next();
        }
    }

    /// Skips comments, and blanks when they mean nothing.
    fn blanks(&mut self) -> Result<(), DataError> {
        loop {
            if self.expanded {
                while self.rest.next_if(|c| is_space(*c)).is_some() {}
                if self.rest.next_if_eq(&'#').is_some() {
                    while self.rest.next_if(|c| *c != '\n').is_some() {}
                    continue;
                }
            }
            if !self.advanced || !self.looking_at("(?#") {
                return Ok(());
            }
            while self.rest.next_if(|c| *c != ')').is_some() {}
            self.rest.next();
        }
    }

    fn either(&mut self) -> Result<usize, DataError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_complex());
        }
        let mut size = self.branch()?;
        while self.rest.next_if_eq(&'|').is_some() {
            self.out.push('|');
            size += 1 + self.branch()?;
        }
        self.depth -= 1;
        Ok(size)
    }

    fn branch(&mut self) -> Result<usize, DataError> {
        let mut size = 0;
        loop {
            self.blanks()?;
            match self.rest.peek() {
                None | Some('|' | ')') => return Ok(size),
                Some(_) => size += self.quantified()?,
            }
            if size > SIZE_MAX {
                return Err(too_complex());
            }
        }
    }

    fn quantified(&mut self) -> Result<usize, DataError> {
        let Atom::Matter(size) = self.atom()? else {
            return Ok(1);
        };
        self.blanks()?;
        let (least, most) = match self.rest.peek().copied() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') if self.is_bound() => {
                self.skip(1);
                let (least, most) = self.bounds()?;
                self.lazy();
                return Ok(self.repeat(size, least, most));
            }
            _ => return Ok(size),
        };
        self.skip(1);
        self.lazy();
        Ok(self.repeat(size, least, most))
    }

    /// Repeats what was written last; gives the size.
    fn repeat(&mut self, size: usize, least: u32, most: Option<u32>) -> usize {
        let done = match most {
            Some(most) => write!(self.out, "{{{least},{most}}}"),
            None => write!(self.out, "{{{least},}}"),
        };
        done.expect("a String takes any text");
        // Each factor is bounded, so this cannot overflow.
        (size + 1) * (most.unwrap_or(least + 1).max(1) as usize)
    }

    /// Which of several matches is preferred does not matter here.
    fn lazy(&mut self) {
        if self.advanced {
            self.rest.next_if_eq(&'?');
        }
    }

    fn is_bound(&self) -> bool {
        let mut rest = self.rest.clone();
        rest.next();
        !self.advanced || rest.next().is_some_and(|c| c.is_ascii_digit())
    }

    fn bounds(&mut self) -> Result<(u32, Option<u32>), DataError> {
        let least = self.count()?;
        let mut most = Some(least);
        if self.rest.next_if_eq(&',').is_some() {
            most = match self.rest.peek() {
                Some('}') => None,
                _ => Some(self.count()?),
            };
        }
        match self.rest.next() {
            Some('}') if most.is_none_or(|most| least <= most) => Ok((least, most)),
            None => Err(fault("braces {} not balanced")),
            _ => Err(fault("invalid repetition count(s)")),
        }
    }

    fn count(&mut self) -> Result<u32, DataError> {
        let mut number = None;
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            let digit = u32::from(digit) - u32::from('0');
            let next = number.unwrap_or(0) * 10 + digit;
            if next > REPEAT_MAX {
                return Err(fault("invalid repetition count(s)"));
            }
            number = Some(next);
        }
        number.ok_or_else(|| match self.rest.peek() {
            None => fault("braces {} not balanced"),
            Some(_) => fault("invalid repetition count(s)"),
        })
    }

    fn assert(&mut self, text: &str) -> Atom {
        self.out.push_str(text);
        Atom::Assertion
    }

    fn atom(&mut self) -> Result<Atom, DataError> {
        let is_bound = self.is_bound();
        let Some(c) = self.rest.next() else {
            return Ok(Atom::Assertion);
        };
        match c {
            '^' if self.lines => return Ok(self.assert("(?m:^)")),
            '^' => return Ok(self.assert(r"\A")),
            '$' if self.lines => return Ok(self.assert("(?m:$)")),
            '$' => return Ok(self.assert(r"\z")),
            '.' if self.within_line => self.out.push_str(r"[^\n]"),
            '.' => self.out.push_str("(?s:.)"),
            '(' => return self.group(),
            '[' => return self.bracket(),
            '*' | '+' | '?' => return Err(fault("quantifier operand invalid")),
            '{' if is_bound => return Err(fault("quantifier operand invalid")),
            '\\' => return self.escape(),
            c => char(c, &mut self.out),
        }
        Ok(Atom::Matter(1))
    }

    fn group(&mut self) -> Result<Atom, DataError> {
        if self.advanced && self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some(':') => {}
                Some('=' | '!') => return Err(unsupported("lookahead constraints")),
                Some('<') if matches!(self.rest.peek(), Some('=' | '!')) => {
                    return Err(unsupported("lookbehind constraints"));
                }
                _ => return Err(fault("quantifier operand invalid")),
            }
        }
        self.out.push_str("(?:");
        let size = self.either()?;
        self.out.push(')');
        match self.rest.next() {
            // An assertion in parentheses may be repeated.
            Some(')') => Ok(Atom::Matter(size)),
            _ => Err(fault("parentheses () not balanced")),
        }
    }

    fn escape(&mut self) -> Result<Atom, DataError> {
        let Some(mut c) = self.rest.next() else {
            return Err(fault("invalid escape \\ sequence"));
        };
        if self.advanced && c.is_alphanumeric() {
            match c {
                'A' => return Ok(self.assert(r"\A")),
                'Z' => return Ok(self.assert(r"\z")),
                'm' => return Ok(self.assert(r"\b{start}")),
                'M' => return Ok(self.assert(r"\b{end}")),
                'y' => return Ok(self.assert(r"\b")),
                'Y' => return Ok(self.assert(r"\B")),
                '1'..='9' => return Err(unsupported("back references")),
                _ => {}
            }
            if let Some((name, no)) = shorthand(c) {
                self.out.push_str(if no { "[^" } else { "[" });
                let _ = class(name, false, &mut self.out);
                // PostgreSQL's `\D` and `\W` stop at lines only where `.` does.
                self.out
                    .push_str(if no && self.within_line { r"\n]" } else { "]" });
                return Ok(Atom::Matter(1));
            }
            c = self.coded(c)?;
        }
        char(c, &mut self.out);
        Ok(Atom::Matter(1))
    }

    /// The character that `\` and `c` stand for.
    fn coded(&mut self, c: char) -> Result<char, DataError> {
        let wrong = || fault("invalid escape \\ sequence");
        let code = match c {
            'a' => 7,
            'b' => 8,
            'B' => u32::from('\\'),
            'c' => u32::from(self.rest.next().ok_or_else(wrong)?) & 0x1f,
            'e' => 0x1b,
            'f' => 0xc,
            'n' => 0xa,
            'r' => 0xd,
            't' => 9,
            'v' => 0xb,
            'u' => self.digits(16, 4, 4)?,
            'U' => self.digits(16, 8, 8)?,
            'x' => self.digits(16, 1, 255)?,
            '0' => self.digits(8, 0, 2)?,
            _ => return Err(wrong()),
        };
        char::from_u32(code).ok_or_else(wrong)
    }

    fn digits(&mut self, radix: u32, least: usize, most: usize) -> Result<u32, DataError> {
        let mut code = 0_u32;
        let mut count = 0;
        while count < most
            && let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(radix))
        {
            self.rest.next();
            code = code.saturating_mul(radix).saturating_add(digit);
            count += 1;
        }
        match count >= least {
            true => Ok(code),
            false => Err(fault("invalid escape \\ sequence")),
        }
    }

    fn bracket(&mut self) -> Result<Atom, DataError> {
        for (text, assertion) in [
            ("[:<:]]", r"\b{start}"),
            ("[:>:]]", r"\b{end}"),
        ] {
            if self.looking_at(text) {
                self.skip(text.len());
                return Ok(self.assert(assertion));
            }
        }
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
            if self.within_line {
                self.out.push_str(r"\n");
            }
        }
        let mut first = true;
        loop {
            let unbalanced = || fault("brackets [] not balanced");
            let c = *self.rest.peek().ok_or_else(unbalanced)?;
            if c == ']' && !first {
                self.rest.next();
                self.out.push(']');
                return Ok(Atom::Matter(1));
            }
            if c == '-' && !first && !self.looking_at("-]") {
                return Err(fault("invalid character range"));
            }
            first = false;
            let Some(from) = self.member()? else {
                continue;
            };
            let mut to = from;
            if self.rest.peek() == Some(&'-') && !self.looking_at("-]") {
                self.rest.next();
                if self.rest.peek().is_none() {
                    return Err(unbalanced());
                }
                to = match self.member()? {
                    Some(to) if from <= to => to,
                    _ => return Err(fault("invalid character range")),
                };
            }
            char(from, &mut self.out);
            self.out.push('-');
            char(to, &mut self.out);
        }
    }

    /// One character of a bracket; `None` for a class, which then is written.
    fn member(&mut self) -> Result<Option<char>, DataError> {
        let c = self
            .rest
            .next()
            .ok_or_else(|| fault("brackets [] not balanced"))?;
        if c == '[' && matches!(self.rest.peek(), Some(':' | '.' | '=')) {
            let kind = self.rest.next().unwrap_or(':');
            let mut name = String::new();
            loop {
                match self.rest.next() {
                    None => return Err(fault("brackets [] not balanced")),
                    Some(c) if c == kind && self.rest.next_if_eq(&']').is_some() => break,
                    Some(c) => name.push(c),
                }
            }
            if kind == ':' {
                let known = class(&name, self.fold, &mut self.out);
                known.ok_or_else(|| fault("invalid character class"))?;
                return Ok(None);
            }
            let mut chars = name.chars();
            return match (chars.next(), chars.next()) {
                (Some(c), None) if kind == '.' => Ok(Some(c)),
                (Some(c), None) => {
                    char(c, &mut self.out);
                    Ok(None)
                }
                _ => Err(fault("invalid collating element")),
            };
        }
        if c != '\\' || !self.advanced {
            return Ok(Some(c));
        }
        let c = self
            .rest
            .next()
            .ok_or_else(|| fault("invalid escape \\ sequence"))?;
        if let Some((name, no)) = shorthand(c) {
            self.out.push_str(if no { "[^" } else { "[" });
            let _ = class(name, false, &mut self.out);
            self.out.push(']');
            return Ok(None);
        }
        match c.is_alphanumeric() {
            true => self.coded(c).map(Some),
            false => Ok(Some(c)),
        }
    }
}

/// The class of an escape, and whether it is all but that.
fn shorthand(c: char) -> Option<(&'static str, bool)> {
    Some(match c {
        'd' => ("digit", false),
        'D' => ("digit", true),
        's' => ("space", false),
        'S' => ("space", true),
        'w' => ("word", false),
        'W' => ("word", true),
        _ => return None,
    })
}
