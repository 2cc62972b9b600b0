//! A file of PostgreSQL into its statements, without parsing them.
//!
//! Knows quotes, `E''` strings, dollar quotes, nested comments, and the bodies of SQL functions
//! (`begin atomic … end`), so that a `;` inside them ends nothing.
//! Source: PostgreSQL 15, "Lexical Structure"; for function bodies, `psqlscan.l`.

/// One statement of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'s> {
    /// Line of its first word, from 1.
    pub line: usize,
    /// From its first word to its last, without the `;`.
    pub source: &'s str,
    pub marks: Marks,
}

/// What `-- pumice: …` comments say about a statement. They stand above it, inside it, or behind it
/// on its last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `only postgres`: SQLite skips the statement.
    pub only_postgres: bool,
    /// `open`: its tables get no row-level security.
    pub open: bool,
}

/// Text that never ends, or a mark nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SplitFault {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// The statements of `source`, in order.
///
/// # Errors
/// [`SplitFault`] for an unterminated quote or comment, and for an unknown `-- pumice:` mark.
pub fn split(source: &str) -> Result<Vec<Statement<'_>>, SplitFault> {
    let mut splitter = Splitter {
        source,
        bytes: source.as_bytes(),
        at: 0,
        line: 1,
        statements: Vec::new(),
        open: None,
        waiting: Marks::default(),
        ended_on: 0,
    };
    splitter.run()?;
    Ok(splitter.statements)
}

struct Splitter<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    line: usize,
    statements: Vec<Statement<'s>>,
    open: Option<Open>,
    /// Marks met since the last statement's end.
    waiting: Marks,
    /// Line of the last statement's `;`, 0 before there is one.
    ended_on: usize,
}

/// The statement being read.
struct Open {
    start: usize,
    /// Behind its last word so far.
    end: usize,
    line: usize,
    parens: usize,
    /// Depth of `begin … end` in the body of a function.
    blocks: usize,
    /// How many of its first words were `create [or replace] function|procedure`.
    head: Head,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Start,
    Create,
    Or,
    Replace,
    Function,
    Other,
}

impl<'s> Splitter<'s> {
    fn run(&mut self) -> Result<(), SplitFault> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.next() == Some(b'-') => self.line_comment()?,
                b'/' if self.next() == Some(b'*') => self.block_comment()?,
                b';' => self.semicolon(),
                b'\'' => self.token(|s| s.quoted(b'\'', false))?,
                b'"' => self.token(|s| s.quoted(b'"', false))?,
                b'$' => self.token(Self::dollar)?,
                b'(' | b')' => self.token(|s| {
                    if let Some(open) = &mut s.open {
                        if byte == b'(' {
                            open.parens += 1;
                        } else {
                            open.parens = open.parens.saturating_sub(1);
                        }
                    }
                    s.at += 1;
                    Ok(())
                })?,
                _ if is_word_start(byte) => self.token(Self::word)?,
                b'0'..=b'9' => self.token(|s| {
                    s.skip_word();
                    Ok(())
                })?,
                _ => self.token(|s| {
                    s.at += 1;
                    Ok(())
                })?,
            }
        }
        // Marks at the end of the file that belong to nothing are a mistake worth no fault.
        self.close();
        Ok(())
    }

    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at + 1).copied()
    }

    fn fault(&self, line: usize, reason: impl Into<String>) -> SplitFault {
        SplitFault {
            line,
            reason: reason.into(),
        }
    }

    /// Reads one token into the statement, which it opens if none is open.
    fn token(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), SplitFault>,
    ) -> Result<(), SplitFault> {
        if self.open.is_none() {
            self.open = Some(Open {
                start: self.at,
                end: self.at,
                line: self.line,
                parens: 0,
                blocks: 0,
                head: Head::Start,
            });
        }
        read(self)?;
        let end = self.at;
        if let Some(open) = &mut self.open {
            open.end = end;
        }
        Ok(())
    }

    fn semicolon(&mut self) {
        let inside = self
            .open
            .as_ref()
            .is_some_and(|open| open.parens > 0 || open.blocks > 0);
        self.at += 1;
        if inside {
            return;
        }
        if self.open.is_some() {
            self.close();
            self.ended_on = self.line;
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.statements.push(Statement {
                line: open.line,
                source: &self.source[open.start..open.end],
                marks: std::mem::take(&mut self.waiting),
            });
        }
    }

    fn line_comment(&mut self) -> Result<(), SplitFault> {
        let start = self.at + 2;
        let length = self.bytes[start..]
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(self.bytes.len() - start);
        self.at = start + length;
        let comment = self.source[start..self.at].trim();
        let Some(mark) = comment.strip_prefix("pumice:") else {
            return Ok(());
        };
        let behind = self.open.is_none() && self.ended_on == self.line;
        let marks = match self.statements.last_mut() {
            Some(last) if behind => &mut last.marks,
            _ => &mut self.waiting,
        };
        match mark.split_whitespace().collect::<Vec<_>>()[..] {
            ["only", "postgres"] => marks.only_postgres = true,
            ["open"] => marks.open = true,
            _ => {
                return Err(self.fault(
                    self.line,
                    format!(
                        "unknown mark `{comment}`: there is `pumice: only postgres` and `pumice: open`"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), SplitFault> {
        let line = self.line;
        let mut depth = 0;
        loop {
            match (self.bytes.get(self.at), self.next()) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(byte), _) => {
                    self.line += usize::from(*byte == b'\n');
                    self.at += 1;
                }
                (None, _) => return Err(self.fault(line, "a comment that never ends")),
            }
        }
    }

    /// A quoted text; a doubled quote stays inside, and a backslash guards one byte when `escapes`.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Result<(), SplitFault> {
        let line = self.line;
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.line += usize::from(byte == b'\n');
            self.at += 1;
            if byte == b'\\' && escapes {
                if let Some(&guarded) = self.bytes.get(self.at) {
                    self.line += usize::from(guarded == b'\n');
                    self.at += 1;
                }
            } else if byte == quote {
                if self.bytes.get(self.at) == Some(&quote) {
                    self.at += 1;
                } else {
                    return Ok(());
                }
            }
        }
        Err(self.fault(line, "a quote that never ends"))
    }

    /// `$tag$ … $tag$`, or a lone `$` as in `$1`.
    fn dollar(&mut self) -> Result<(), SplitFault> {
        let rest = &self.bytes[self.at + 1..];
        let length = rest
            .iter()
            .position(|&byte| !(is_word_start(byte) || byte.is_ascii_digit()))
            .unwrap_or(rest.len());
        let is_tag = rest.get(length) == Some(&b'$')
            && !rest.first().is_some_and(|byte| byte.is_ascii_digit());
        if !is_tag {
            self.at += 1;
            return Ok(());
        }
        let line = self.line;
        let tag = &self.source[self.at..self.at + length + 2];
        let body = self.at + tag.len();
        let Some(found) = self.source[body..].find(tag) else {
            return Err(self.fault(line, format!("a quote {tag} that never ends")));
        };
        let end = body + found + tag.len();
        self.line += self.bytes[self.at..end]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        self.at = end;
        Ok(())
    }

    fn skip_word(&mut self) {
        while self
            .bytes
            .get(self.at)
            .is_some_and(|&byte| is_word_start(byte) || byte.is_ascii_digit() || byte == b'$')
        {
            self.at += 1;
        }
    }

    fn word(&mut self) -> Result<(), SplitFault> {
        let start = self.at;
        self.skip_word();
        let word = &self.source[start..self.at];
        if word.eq_ignore_ascii_case("e") && self.bytes.get(self.at) == Some(&b'\'') {
            return self.quoted(b'\'', true);
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let word = word.to_ascii_lowercase();
        open.head = match (open.head, word.as_str()) {
            (Head::Start, "create") => Head::Create,
            (Head::Create, "or") => Head::Or,
            (Head::Or, "replace") => Head::Replace,
            (Head::Create | Head::Replace, "function" | "procedure") | (Head::Function, _) => {
                Head::Function
            }
            _ => Head::Other,
        };
        if open.head == Head::Function && open.parens == 0 {
            match word.as_str() {
                "begin" => open.blocks += 1,
                "case" if open.blocks > 0 => open.blocks += 1,
                "end" => open.blocks = open.blocks.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A letter, `_`, or part of a letter beyond ASCII.
fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(source: &str, expect: &[(usize, &str, &str)]) {
        let found: Vec<_> = split(source)
            .unwrap()
            .into_iter()
            .map(|statement| {
                let marks = match (statement.marks.only_postgres, statement.marks.open) {
                    (false, false) => "",
                    (true, false) => "only",
                    (false, true) => "open",
                    (true, true) => "both",
                };
                (statement.line, statement.source, marks)
            })
            .collect();
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn statements_end_where_postgres_ends_them() {
        check("", &[]);
        check(" ; ;\n;", &[]);
        check(
            "select 1;\n\nselect 2",
            &[(1, "select 1", ""), (3, "select 2", "")],
        );
        check(
            "select ';''; ' ; b",
            &[(1, "select ';''; '", ""), (1, "b", "")],
        );
        check(r"select 'a\'; b", &[(1, r"select 'a\'", ""), (1, "b", "")]);
        check(
            r"select E'a\'; b'; c",
            &[(1, r"select E'a\'; b'", ""), (1, "c", "")],
        );
        check(
            "select \"a;\"\"b\"; c",
            &[(1, "select \"a;\"\"b\"", ""), (1, "c", "")],
        );
        check(
            "do $$ a; $x$ $$; c",
            &[(1, "do $$ a; $x$ $$", ""), (1, "c", "")],
        );
        check(
            "do $x$\n a; $$ \n$x$; c",
            &[(1, "do $x$\n a; $$ \n$x$", ""), (3, "c", "")],
        );
        check(
            "select a$b$; c$b$",
            &[(1, "select a$b$", ""), (1, "c$b$", "")],
        );
        check("select $1; b", &[(1, "select $1", ""), (1, "b", "")]);
        check("/* a; /* b; */ c; */ d; e", &[(1, "d", ""), (1, "e", "")]);
        check("a -- b; c\n; d", &[(1, "a", ""), (2, "d", "")]);
        check(
            "create rule r as (a; b); c",
            &[(1, "create rule r as (a; b)", ""), (1, "c", "")],
        );
        check(
            "create or replace function f() begin atomic select case when 1 then 2 end; end; c",
            &[
                (
                    1,
                    "create or replace function f() begin atomic select case when 1 then 2 end; end",
                    "",
                ),
                (1, "c", ""),
            ],
        );
        check(
            "begin; c; end",
            &[(1, "begin", ""), (1, "c", ""), (1, "end", "")],
        );
        check("é; ü", &[(1, "é", ""), (1, "ü", "")]);
    }

    #[test]
    fn marks_stick_to_their_statement() {
        check(
            "-- pumice: only postgres\n\na; b",
            &[(3, "a", "only"), (3, "b", "")],
        );
        check(
            "a; -- pumice: only postgres\nb",
            &[(1, "a", "only"), (2, "b", "")],
        );
        check(
            "a ( -- pumice: open\n b\n);\nc",
            &[(1, "a ( -- pumice: open\n b\n)", "open"), (4, "c", "")],
        );
        check(
            "--pumice:open\n-- pumice: only   postgres\na;b",
            &[(3, "a", "both"), (3, "b", "")],
        );
        check("a; b; -- pumice: open", &[(1, "a", ""), (1, "b", "open")]);
        check(
            "select '-- pumice: open'; b",
            &[(1, "select '-- pumice: open'", ""), (1, "b", "")],
        );
    }

    #[test]
    fn what_never_ends_is_a_fault_at_its_start() {
        for (source, line) in [
            ("a;\n'b\n", 2),
            ("\"b", 1),
            ("\n\n/* /* */", 3),
            ("\n$a$ $b$", 2),
            ("a;\n-- pumice: opne\nb", 2),
        ] {
            assert_eq!(split(source).unwrap_err().line, line, "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused(source in "(\\PC|[-;'\"$()/*\\\\\n aEe]){0,60}") {
            if let Ok(statements) = split(&source) {
                for statement in statements {
                    prop_assert!(!statement.source.trim().is_empty());
                    prop_assert!(source.contains(statement.source));
                }
            }
        }
    }
}
