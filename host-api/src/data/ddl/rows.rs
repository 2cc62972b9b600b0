//! What the names in a query or a policy stand for: relations in scope, and a record of what was named
//! where, from which dependencies and renames follow.

use std::cell::{Cell, RefCell};

use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::Span;

use super::{Refusal, names, sql};
use crate::data::Type;
use crate::data::schema::{Piece, Source, Template};

/// The row that a policy speaks of, in translated text.
const ROW: &str = "_t";

/// Around the name of a relation in translated text. No literal may have it: see [`Rows`].
pub const MARK: char = '\u{1}';

/// A relation's place in translated text.
pub fn placed(relation: &str) -> String {
    format!("{MARK}{relation}{MARK}")
}

/// Translated text with its places for relations.
pub fn template(text: &str) -> Template {
    let mut pieces = Vec::new();
    for (index, part) in text.split(MARK).enumerate() {
        if index % 2 == 1 {
            pieces.push(Piece::Relation(part.to_owned()));
        } else if !part.is_empty() {
            pieces.push(Piece::Text(part.to_owned()));
        }
    }
    Template(pieces)
}

/// Translated text for SQLite itself, which knows the relations by their names.
pub fn plain(text: &str) -> String {
    text.split(MARK)
        .enumerate()
        .map(|(index, part)| match index % 2 {
            1 => sql::quoted(part),
            _ => part.to_owned(),
        })
        .collect()
}

/// A column that a relation or a query shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    pub ty: Type,
    /// A domain's name, where the column has one.
    pub domain: Option<String>,
    /// The table's column that it is.
    pub source: Option<Source>,
}

/// Something in a `from`.
#[derive(Clone, Debug)]
pub struct From {
    /// The relation it is, if it is one.
    pub relation: Option<String>,
    /// What the author calls it.
    pub alias: String,
    /// What the translated text calls it.
    pub sql: String,
    pub columns: Vec<Output>,
    /// Its primary key, which stands for all its columns in a `group by`.
    pub key: Vec<String>,
}

/// Where in a select an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Aggregates cannot stand here; the name is for the fault.
    Plain(&'static str),
    /// Of each group: columns must be grouped by or aggregated.
    Output,
    /// Inside an aggregate, or what is grouped by.
    Inside,
}

/// The relations of one select, inside those of the selects around it.
pub struct Rows<'r> {
    pub froms: Vec<From>,
    /// Columns that `using` made one: the name, and which of `froms` has it.
    pub merged: Vec<(String, usize)>,
    pub outer: Option<&'r Rows<'r>>,
    /// Common table expressions: their names, and what they show.
    pub commons: Vec<From>,
    pub notes: &'r Notes,
    pub clause: Cell<Clause>,
    pub grouped: Vec<Expr>,
    pub aggregated: Cell<bool>,
    /// The first column that is used outside of aggregates and not grouped by.
    pub loose: RefCell<Option<String>>,
}

/// What was named, over a whole text.
#[derive(Debug, Default)]
pub struct Notes {
    pub uses: RefCell<Vec<Use>>,
    /// What a `*` at a place stands for.
    pub stars: RefCell<Vec<(Span, String)>>,
    pub count: Cell<usize>,
}

/// A relation or a column that a text names.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    pub relation: String,
    pub column: Option<String>,
    /// Of the word in the text.
    pub span: Span,
}

impl Notes {
    pub fn add(&self, relation: &str, column: Option<&str>, span: Span) {
        self.uses.borrow_mut().push(Use {
            relation: relation.to_owned(),
            column: column.map(str::to_owned),
            span,
        });
    }

    /// A number that no other thing in the text has.
    pub fn number(&self) -> usize {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }
}

impl<'r> Rows<'r> {
    pub fn new(notes: &'r Notes, outer: Option<&'r Rows<'r>>) -> Rows<'r> {
        Rows {
            froms: Vec::new(),
            merged: Vec::new(),
            outer,
            commons: Vec::new(),
            notes,
            clause: Cell::new(Clause::Plain("here")),
            grouped: Vec::new(),
            aggregated: Cell::new(false),
            loose: RefCell::new(None),
        }
    }

    /// The row that a policy of `relation` speaks of.
    pub fn policy(notes: &'r Notes, relation: &str, columns: Vec<Output>) -> Rows<'r> {
        let mut rows = Rows::new(notes, None);
        rows.clause.set(Clause::Plain("policy expressions"));
        rows.froms.push(From {
            relation: Some(relation.to_owned()),
            alias: relation.to_owned(),
            sql: ROW.to_owned(),
            columns,
            key: Vec::new(),
        });
        rows
    }

    fn levels(&self) -> impl Iterator<Item = &Rows<'r>> {
        std::iter::successors(Some(self), |level| level.outer)
    }

    /// Whether this is a policy's text, at any depth.
    pub fn in_policy(&self) -> bool {
        let outermost = self.levels().last();
        let row = outermost.and_then(|level| level.froms.first());
        row.is_some_and(|from| from.sql == ROW)
    }

    /// The common table expression called `name`.
    pub fn common(&self, name: &str) -> Option<&From> {
        self.levels()
            .find_map(|level| level.commons.iter().rev().find(|from| from.alias == name))
    }

    /// What the translated text calls `alias`: nothing around it has the same name, nor the statement
    /// that it is put into.
    pub fn name(&self, alias: &str) -> String {
        let taken = |name: &str| {
            name.starts_with("_t")
                || self
                    .levels()
                    .flat_map(|level| &level.froms)
                    .any(|from| from.sql == sql::quoted(name))
        };
        let mut name = alias.to_owned();
        while taken(&name) {
            name = format!("{}_{}", alias.trim_start_matches('_'), self.notes.number());
        }
        sql::quoted(&name)
    }

    /// The column that `parts` name, as translated text and with what is known of it.
    pub fn column(&self, parts: &[Ident]) -> Result<(String, Output), Refusal> {
        let given = parts
            .iter()
            .map(names::ident)
            .collect::<Result<Vec<_>, _>>()?;
        let (of, name) = match &given[..] {
            [name] => (None, name),
            [of, name] => (Some(of), name),
            [schema, of, name] if schema == "public" => (Some(of), name),
            [schema, of, name] if schema == "auth" && of == "users" => (Some(of), name),
            _ => return Err(Refusal::only_postgres(format!("`{}`", given.join(".")))),
        };
        for level in self.levels() {
            let found = match of {
                None => level.unqualified(name)?,
                Some(of) => match level.froms.iter().position(|from| from.alias == *of) {
                    None => continue,
                    Some(at) => Some((
                        at,
                        level.froms[at].at(name).ok_or_else(|| {
                            Refusal::wrong(format!("column {of}.{name} does not exist"))
                        })?,
                    )),
                },
            };
            if let Some((at, column)) = found {
                let from = &level.froms[at];
                if let Some(relation) = &from.relation {
                    if let Some(last) = parts.last() {
                        self.notes.add(relation, Some(name), last.span);
                    }
                    // Of a policy's own table, which has no other name.
                    if from.sql == ROW && parts.len() > 1 {
                        self.notes.add(relation, None, parts[parts.len() - 2].span);
                    }
                }
                level.grouped_by(from, name);
                return Ok((
                    format!("{}.{}", from.sql, sql::quoted(name)),
                    from.columns[column].clone(),
                ));
            }
        }
        Err(Refusal::wrong(match of {
            Some(of) => format!("missing FROM-clause entry for table \"{of}\""),
            None => format!("column \"{name}\" does not exist"),
        }))
    }

    fn unqualified(&self, name: &str) -> Result<Option<(usize, usize)>, Refusal> {
        if let Some((_, at)) = self.merged.iter().find(|(merged, _)| merged == name) {
            return Ok(self.froms[*at].at(name).map(|column| (*at, column)));
        }
        let mut found = self
            .froms
            .iter()
            .enumerate()
            .filter_map(|(at, from)| Some((at, from.at(name)?)));
        let first = found.next();
        match found.next() {
            Some(_) => Err(Refusal::wrong(format!(
                "column reference \"{name}\" is ambiguous"
            ))),
            None => Ok(first),
        }
    }

    /// Notes a column that each group may have several values of.
    fn grouped_by(&self, from: &From, name: &str) {
        if self.clause.get() != Clause::Output || self.loose.borrow().is_some() {
            return;
        }
        let grouped = |column: &str| {
            self.grouped.iter().any(|expr| match expr {
                Expr::Identifier(word) => names::ident(word).is_ok_and(|word| word == column),
                Expr::CompoundIdentifier(words) => {
                    matches!(&words[..], [.., of, word]
                        if names::ident(word).is_ok_and(|word| word == column)
                            && names::ident(of).is_ok_and(|of| of == from.alias))
                }
                _ => false,
            })
        };
        let by_key = !from.key.is_empty() && from.key.iter().all(|column| grouped(column));
        if !by_key && !grouped(name) {
            *self.loose.borrow_mut() = Some(format!("{}.{name}", from.alias));
        }
    }
}

impl From {
    pub fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// `text` with the words at `changes` replaced.
pub fn replaced(text: &str, mut changes: Vec<(Span, String)>) -> String {
    changes.sort_by_key(|(span, _)| (span.start.line, span.start.column));
    let mut lines = vec![0];
    lines.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    let offset = |line: u64, column: u64| -> Option<usize> {
        let line = usize::try_from(line.checked_sub(1)?).ok()?;
        let start = *lines.get(line)?;
        let skipped = usize::try_from(column.checked_sub(1)?).ok()?;
        let rest = &text[start..];
        Some(
            start
                + rest
                    .char_indices()
                    .nth(skipped)
                    .map_or(rest.len(), |(at, _)| at),
        )
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in changes {
        let ends = (
            offset(span.start.line, span.start.column),
            offset(span.end.line, span.end.column),
        );
        if let (Some(start), Some(end)) = ends
            && start >= at
        {
            out.push_str(&text[at..start]);
            out.push_str(&with);
            at = end;
        }
    }
    out.push_str(&text[at..]);
    out
}
