//! Text search of the configurations `simple` and `english`, as PostgreSQL's `@@` answers.
//!
//! A text becomes a [`Document`] (`parse.rs`, `stem.rs`), a question a query (`query.rs`). Positions
//! end at 16383, a lexeme keeps 256 of them, a word of 2 KiB is left out, as on PostgreSQL. Text is
//! compared as `to_tsvector` makes it: a document has no weights but D.
//!
//! Differences: those of `parse.rs`; other configurations than the two are refused (0A000).

mod parse;
mod query;
mod stem;

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use self::parse::Kind;
use self::query::Query;
use super::{Recent, type_of};
use crate::data::ddl::lower;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::types::{Node, parse_json};
use crate::data::{DataError, Type, Value, ValueRef};

/// Source: PostgreSQL 15, `src/include/tsearch/ts_type.h`: `MAXENTRYPOS`, `MAXNUMPOS`, `MAXSTRLEN`,
/// `MAXSTRPOS`.
const POSITION_MAX: u16 = 16_383;
const POSITIONS_MAX: usize = 256;
const WORD_BYTES_MAX: usize = 2_047;
const DOCUMENT_BYTES_MAX: usize = (1 << 20) - 1;
/// Source: PostgreSQL 15, `dict_snowball.c`: longer words are no words.
const STEMMED_BYTES_MAX: usize = 1_000;

/// The words that `english` leaves out. Source: PostgreSQL 15, `english.stop`.
static STOP: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("english_stop.txt")
        .split_whitespace()
        .collect()
});

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    // Without a form, it is text.
    for count in [2, 3] {
        connection.function("pumice_tsvector", count, true, |args| {
            let [ValueRef::Text(text), config, form @ ..] = args else {
                return Ok(Value::Null);
            };
            let document = Document::of(text, is_json(form)?, Config::named(*config)?)?;
            Ok(Value::Text(document.text()))
        })?;
    }
    register_match(connection, 4)?;
    register_match(connection, 5)
}

fn register_match(connection: &Connection, count: i32) -> Result<(), SqliteError> {
    let recent = Recent::default();
    connection.function("pumice_fts", count, true, move |args| {
        let [
            text,
            config,
            ValueRef::Text(asked),
            ValueRef::Integer(kind),
            form @ ..,
        ] = args
        else {
            return Ok(Value::Null);
        };
        let config = Config::named(*config)?;
        let key = format!("{kind}{config:?} {asked}");
        let query = recent.get(&key, || Query::read(asked, config, *kind))?;
        let ValueRef::Text(text) = text else {
            return Ok(Value::Null);
        };
        let document = Document::of(text, is_json(form)?, config)?;
        Ok(Value::Integer(i64::from(query.matches(&document))))
    })
}

/// Whether the form that may follow is that of json or jsonb.
fn is_json(form: &[ValueRef<'_>]) -> Result<bool, DataError> {
    Ok(match form {
        [form] => matches!(type_of(*form)?, Type::Json | Type::Jsonb),
        _ => false,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Config {
    Simple,
    English,
}

impl Config {
    /// `english` when none is named: what our databases on PostgreSQL are set to.
    fn named(name: ValueRef<'_>) -> Result<Config, DataError> {
        let ValueRef::Text(name) = name else {
            return Ok(Config::English);
        };
        match name.strip_prefix("pg_catalog.").unwrap_or(name) {
            "simple" => Ok(Config::Simple),
            "english" => Ok(Config::English),
            "arabic" | "armenian" | "basque" | "catalan" | "danish" | "dutch" | "finnish"
            | "french" | "german" | "greek" | "hindi" | "hungarian" | "indonesian" | "irish"
            | "italian" | "lithuanian" | "nepali" | "norwegian" | "portuguese" | "romanian"
            | "russian" | "serbian" | "spanish" | "swedish" | "tamil" | "turkish" | "yiddish" => {
                Err(DataError::sql(
                    "0A000",
                    format!("text search configuration \"{name}\" is not supported on SQLite"),
                ))
            }
            _ => Err(DataError::sql(
                "42704",
                format!("text search configuration \"{name}\" does not exist"),
            )),
        }
    }

    /// The lexeme of a token; `None` for a stop word.
    fn lexeme(self, kind: Kind, token: &str) -> Option<String> {
        let word: String = token.chars().map(lower).collect();
        if self == Config::Simple || kind == Kind::Plain {
            return Some(word);
        }
        if STOP.contains(&*word) {
            return None;
        }
        match word.len() > STEMMED_BYTES_MAX {
            true => Some(word),
            false => Some(stem::stem(&word)),
        }
    }

    /// Lexemes with their positions, from the one behind `position`; stop words have one too.
    fn lexemes(self, text: &str, position: &mut u16) -> impl Iterator<Item = (String, u16)> {
        parse::tokens(text)
            .into_iter()
            .filter(|(_, token)| token.len() < WORD_BYTES_MAX)
            .filter_map(move |(kind, token)| {
                *position = (*position + 1).min(POSITION_MAX);
                Some((self.lexeme(kind, token)?, *position))
            })
    }
}

/// Lexemes and where they stand, in order.
struct Document(BTreeMap<String, Vec<u16>>);

impl Document {
    /// Of JSON the strings count, each by itself; keys do not.
    fn of(text: &str, is_json: bool, config: Config) -> Result<Document, DataError> {
        let mut lexemes: BTreeMap<String, Vec<u16>> = BTreeMap::new();
        let mut position = 0;
        let mut add = |text: &str| {
            let mut any = false;
            for (lexeme, position) in config.lexemes(text, &mut position) {
                any = true;
                let positions = lexemes.entry(lexeme).or_default();
                if positions.len() < POSITIONS_MAX && positions.last() != Some(&position) {
                    positions.push(position);
                }
            }
            // A phrase does not reach from one string into the next.
            if any {
                position = (position + 1).min(POSITION_MAX);
            }
        };
        match is_json {
            true => strings(&parse_json(text)?, &mut add),
            false => add(text),
        }
        let bytes = lexemes.iter().fold(0, |bytes, (lexeme, positions)| {
            // Positions stand at an even place, their number before them.
            (bytes + lexeme.len()).next_multiple_of(2) + 2 + 2 * positions.len()
        });
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(DataError::sql(
                "54000",
                format!(
                    "string is too long for tsvector ({bytes} bytes, max {DOCUMENT_BYTES_MAX} bytes)"
                ),
            ));
        }
        Ok(Document(lexemes))
    }

    /// As PostgreSQL prints it: `'cat':3 'fat':2`, shorter lexemes not before longer ones.
    fn text(&self) -> String {
        let mut out = String::new();
        for (lexeme, positions) in &self.0 {
            let blank = if out.is_empty() { "" } else { " " };
            let quoted = lexeme.replace('\\', "\\\\").replace('\'', "''");
            let _ = write!(out, "{blank}'{quoted}'");
            for (index, position) in positions.iter().enumerate() {
                let mark = if index == 0 { ':' } else { ',' };
                let _ = write!(out, "{mark}{position}");
            }
        }
        out
    }

    fn positions(&self, lexeme: &str, prefix: bool) -> Option<Vec<u16>> {
        if !prefix {
            return self.0.get(lexeme).cloned();
        }
        let mut found: Option<Vec<u16>> = None;
        for (known, positions) in self.0.range(lexeme.to_owned()..) {
            if !known.starts_with(lexeme) {
                break;
            }
            found.get_or_insert_default().extend(positions);
        }
        if let Some(positions) = &mut found {
            positions.sort_unstable();
            positions.dedup();
        }
        found
    }
}

/// The strings of a document, in order of writing.
fn strings(node: &Node<'_>, add: &mut impl FnMut(&str)) {
    match node {
        Node::String(text) => add(text),
        Node::Array(nodes) => nodes.iter().for_each(|node| strings(node, add)),
        Node::Object(members) => members.iter().for_each(|(_, node)| strings(node, add)),
        Node::Word(_) | Node::Number(_) => {}
    }
}
