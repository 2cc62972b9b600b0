//! What SQL that a guest wrote may do on SQLite: read and change the rows of the app's own tables.
//!
//! Two checks, because each sees what the other cannot. The authorizer sees which table a statement
//! really touches, through views and triggers too; but it must let a foreign key to `auth.users` read its
//! key. So the text is read as well, and may not name a reserved table in any quoting. Neither decides
//! anything else: SQLite parses the statement.

use libsqlite3_sys as ffi;

use crate::data::SqlFault;

/// The parent key that a foreign-key check reads in the guest's name.
const USERS: (&str, &str) = ("auth.users", "id");

/// Triggers that the product generates; what they touch is not the guest's doing.
const OURS: &str = "pumice.";

/// Names that begin so are reserved in any text. (Any other name with a point is the authorizer's.)
const RESERVED: [&str; 3] = ["auth.", "pumice.", "storage."];

/// Statements that are none of a guest's business.
const STATEMENTS: [&str; 16] = [
    "alter",
    "analyze",
    "attach",
    "begin",
    "commit",
    "create",
    "detach",
    "drop",
    "end",
    "explain",
    "pragma",
    "reindex",
    "release",
    "rollback",
    "savepoint",
    "vacuum",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Prepare,
    /// Virtual tables prepare statements of their own while they are stepped.
    Step,
}

/// The authorizer's answer, with SQLite's action and its arguments.
///
/// Source: <https://www.sqlite.org/c3ref/c_alter_table.html>.
pub fn authorize(
    access: Access,
    action: i32,
    first: Option<&str>,
    second: Option<&str>,
    within: Option<&str>,
) -> Result<(), SqlFault> {
    let first = first.unwrap_or_default();
    match action {
        ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE => Ok(()),
        ffi::SQLITE_READ | ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
            let key = within.is_none()
                && action == ffi::SQLITE_READ
                && first.eq_ignore_ascii_case(USERS.0)
                && second.is_some_and(|column| column.eq_ignore_ascii_case(USERS.1));
            // The text cannot name these, so with nothing around it, it is a virtual table's own.
            let inner = access == Access::Step && within.is_none() && starts_with(first, OURS);
            let ours = within.is_some_and(|name| name.starts_with(OURS));
            if key || inner || ours || !is_reserved(first) {
                Ok(())
            } else {
                Err(denied(first))
            }
        }
        ffi::SQLITE_FUNCTION => match second.unwrap_or_default().to_ascii_lowercase().as_str() {
            name @ ("load_extension" | "fts3_tokenizer") => Err(not_allowed(name)),
            _ => Ok(()),
        },
        // FTS5 asks whether its table has changed.
        ffi::SQLITE_PRAGMA if access == Access::Step && first == "data_version" => Ok(()),
        action => Err(not_allowed(name_of(action))),
    }
}

/// Refuses the text that names a reserved table or begins as a statement which guests may not use.
pub fn check(sql: &str) -> Result<(), SqlFault> {
    let mut first = true;
    let mut before = Token::Other("");
    let mut point = None;
    for token in Tokens::of(sql) {
        match &token {
            Token::Word(word) if first => {
                if let Some(word) = STATEMENTS.iter().find(|s| s.eq_ignore_ascii_case(word)) {
                    return Err(not_allowed(&word.to_ascii_uppercase()));
                }
            }
            // `insert or rollback` would end the transaction it runs in.
            Token::Word(word)
                if word.eq_ignore_ascii_case("rollback")
                    && matches!(before, Token::Word(or) if or.eq_ignore_ascii_case("or")) =>
            {
                return Err(not_allowed("ROLLBACK"));
            }
            Token::Quoted(name)
                if RESERVED
                    .iter()
                    .any(|reserved| starts_with(name.trim_start(), reserved)) =>
            {
                return Err(denied(name.trim_start()));
            }
            _ => {}
        }
        // `auth.users` as PostgreSQL writes it, each half in any quoting.
        if let (Some("auth"), Some(name)) = (point.as_deref(), token.name())
            && name.eq_ignore_ascii_case("users")
        {
            return Err(denied("auth.users"));
        }
        point = match (&token, before.name()) {
            (Token::Other("."), Some(name)) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        first &= matches!(token, Token::Other(";"));
        before = token;
    }
    Ok(())
}

/// Whether nothing but space, comments and semicolons stands in `sql`.
pub fn is_blank(sql: &str) -> bool {
    Tokens::of(sql).all(|token| matches!(token, Token::Other(";")))
}

/// More than one statement where one is allowed, in PostgreSQL's words.
pub fn several() -> SqlFault {
    SqlFault::new(
        "42601",
        "cannot insert multiple commands into a prepared statement",
    )
}

fn is_reserved(table: &str) -> bool {
    table.contains('.')
        || starts_with(table, "sqlite_")
        // Tables of SQLite itself that show how the file is laid out, and pragmas as tables.
        || starts_with(table, "pragma_")
        || table.eq_ignore_ascii_case("dbstat")
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn denied(table: &str) -> SqlFault {
    let name = table.split_once('.').map_or(table, |(_, name)| name);
    SqlFault::new("42501", format!("permission denied for table {name}"))
}

fn not_allowed(what: &str) -> SqlFault {
    SqlFault::new("42501", format!("{what} is not allowed here"))
}

fn name_of(action: i32) -> &'static str {
    match action {
        ffi::SQLITE_PRAGMA => "PRAGMA",
        ffi::SQLITE_ATTACH => "ATTACH",
        ffi::SQLITE_DETACH => "DETACH",
        ffi::SQLITE_TRANSACTION => "a transaction statement",
        ffi::SQLITE_SAVEPOINT => "SAVEPOINT",
        ffi::SQLITE_ALTER_TABLE => "ALTER TABLE",
        ffi::SQLITE_ANALYZE => "ANALYZE",
        ffi::SQLITE_REINDEX => "REINDEX",
        _ => "a change of the schema",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'s> {
    /// A keyword or a bare name.
    Word(&'s str),
    /// What stands between quotes or brackets, unescaped. SQLite takes `'…'` as a name too.
    Quoted(String),
    Other(&'s str),
}

impl Token<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            Token::Quoted(name) => Some(name),
            Token::Other(_) => None,
        }
    }
}

/// SQLite's tokens, as far as names go. It must split where SQLite splits.
///
/// Source: SQLite 3.51.3, `sqlite3GetToken` in `src/tokenize.c`.
struct Tokens<'s> {
    rest: &'s str,
}

impl<'s> Tokens<'s> {
    fn of(sql: &'s str) -> Tokens<'s> {
        Tokens { rest: sql }
    }

    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// What stands before the closing quote, which doubled stands for itself; brackets know no escape.
    fn quoted(&mut self, close: char) -> Token<'s> {
        self.take(1);
        let mut text = String::new();
        loop {
            let Some(end) = self.rest.find(close) else {
                // SQLite refuses it.
                text.push_str(self.rest);
                self.rest = "";
                return Token::Quoted(text);
            };
            text.push_str(self.take(end));
            self.take(1);
            if close == ']' || !self.rest.starts_with(close) {
                return Token::Quoted(text);
            }
            text.push(close);
            self.take(1);
        }
    }
}

impl<'s> Iterator for Tokens<'s> {
    type Item = Token<'s>;

    fn next(&mut self) -> Option<Token<'s>> {
        loop {
            let first = *self.rest.as_bytes().first()?;
            match first {
                b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' => {
                    self.take(1);
                }
                // SQLite takes a byte order mark for space.
                0xef if self.rest.starts_with('\u{feff}') => {
                    self.take(3);
                }
                b'-' if self.rest.starts_with("--") => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.take(end);
                }
                b'/' if self.rest.starts_with("/*") && self.rest.len() > 2 => {
                    let end = self.rest[2..].find("*/").map_or(self.rest.len(), |i| i + 4);
                    self.take(end);
                }
                b'\'' => return Some(self.quoted('\'')),
                b'"' => return Some(self.quoted('"')),
                b'`' => return Some(self.quoted('`')),
                b'[' => return Some(self.quoted(']')),
                byte if is_word(byte) => {
                    let end = self
                        .rest
                        .bytes()
                        .position(|byte| !is_word(byte))
                        .unwrap_or(self.rest.len());
                    return Some(Token::Word(self.take(end)));
                }
                _ => return Some(Token::Other(self.take(1))),
            }
        }
    }
}

/// Numbers and parameters fall under it as well; neither can hide a quote.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
