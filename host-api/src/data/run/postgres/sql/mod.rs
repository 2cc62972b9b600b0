//! The text of statements for PostgreSQL: names from the schema, values bound.
//!
//! All parameters are of type text. SQL casts them to the type of what they are compared with, without
//! length or precision, because an explicit cast to `varchar(3)` cuts silently.

mod call;
mod condition;
mod judged;
mod read;
mod types;
mod walk;
mod write;

use std::fmt::Write as _;

use crate::data::plan::{CastType, Expr, Node, Order, Source};
use crate::data::query::{AggregateFunction, Explain, Format, Key, Step};
use crate::data::schema::Function;
use crate::data::{DataError, Table};

pub(super) use self::call::call;
pub(super) use self::judged::{
    Read, Target, delete_rows, found, lock_rows, still, updatable, update_rows,
};
pub(super) use self::read::{counted, header, read};
pub(super) use self::write::{delete, insert, object, update};

/// Fires what waits for the commit.
pub(super) const CHECK_CONSTRAINTS: &str = "set constraints all immediate";

/// Arguments of a statement: the protocol counts them in 16 bits.
///
/// Source: PostgreSQL 15, "55.7. Message Formats", `Bind`.
const ARGUMENTS_MAX: usize = u16::MAX as usize;

/// A statement that returns texts.
#[derive(Debug)]
pub(super) struct Statement {
    pub text: String,
    pub args: Vec<Option<String>>,
    /// Whether it returns anything.
    pub returns: bool,
    /// Whether its last row is a JSON object of numbers and settings about the others.
    pub tail: bool,
}

impl Statement {
    /// Asks for the database's plan of it instead.
    pub fn explained(mut self, explain: Explain) -> Statement {
        let mut options = format!("format {}", if explain.json { "json" } else { "text" });
        for (wanted, word) in [
            (explain.analyze, "analyze"),
            (explain.verbose, "verbose"),
            (explain.settings, "settings"),
            (explain.buffers, "buffers"),
            // PostgreSQL has it for a statement that runs only.
            (explain.wal && explain.analyze, "wal"),
        ] {
            if wanted {
                options.push_str(", ");
                options.push_str(word);
            }
        }
        self.text = format!("explain ({options}) {}", self.text);
        self.returns = true;
        self.tail = false;
        self
    }
}

/// A statement as it grows.
#[derive(Default)]
struct Writer<'p> {
    text: String,
    args: Vec<Option<String>>,
    /// Whether there were more arguments than a statement has.
    overfull: bool,
    /// What a write returns of its rows beside columns: `_t0` is then not the table itself.
    written: Option<&'p walk::Needed>,
    /// The function that [`Source::Called`] means, and how it is called.
    called: Option<(&'p Function, &'p str)>,
}

macro_rules! put {
    ($writer:expr, $($part:tt)*) => {
        // Writing to a string cannot fail.
        let _ = write!($writer.text, $($part)*);
    };
}
use put;

impl<'p> Writer<'p> {
    /// # Errors
    /// 22021 when a key of the answer holds what no text of PostgreSQL's can; too large beyond
    /// [`ARGUMENTS_MAX`].
    fn finish(self, returns: bool, tail: bool) -> Result<Statement, DataError> {
        if self.overfull {
            return Err(DataError::TooLarge(format!(
                "the statement has more than {ARGUMENTS_MAX} values; send fewer filters, members of lists or columns of spread relations"
            )));
        }
        if self.text.contains('\0') {
            return Err(DataError::sql(
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            ));
        }
        Ok(Statement {
            text: self.text,
            args: self.args,
            returns,
            tail,
        })
    }

    /// Binds a text as a value of type `ty`.
    fn bind(&mut self, text: impl Into<String>, ty: &str) {
        if self.args.len() == ARGUMENTS_MAX {
            self.overfull = true;
            return;
        }
        self.args.push(Some(text.into()));
        put!(self, "${}::{ty}", self.args.len());
    }

    /// Binds a text, or names the place where it is bound already: PostgreSQL groups by an expression
    /// that stands in the answer with the very same parameters.
    fn bind_once(&mut self, text: &str) {
        let known = self
            .args
            .iter()
            .position(|arg| arg.as_deref() == Some(text));
        if known.is_none() && self.args.len() == ARGUMENTS_MAX {
            self.overfull = true;
            return;
        }
        let at = known.unwrap_or_else(|| {
            self.args.push(Some(text.to_owned()));
            self.args.len() - 1
        });
        put!(self, "${}::text", at + 1);
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &str,
        mut each: impl FnMut(&mut Self, T),
    ) {
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.text.push_str(separator);
            }
            each(self, item);
        }
    }

    /// `select … from … where … group by … order by … limit … offset …`
    fn node(&mut self, node: &Node, paged: bool) {
        self.text.push_str("select ");
        self.outputs(node);
        self.rest(node, &node.orders);
        if paged {
            self.page(node);
        }
    }

    fn page(&mut self, node: &Node) {
        self.cut(node.limit, node.offset);
    }

    fn cut(&mut self, limit: Option<u64>, offset: Option<u64>) {
        if let Some(limit) = limit {
            put!(self, " limit {limit}");
        }
        if let Some(offset) = offset {
            put!(self, " offset {offset}");
        }
    }

    fn outputs(&mut self, node: &Node) {
        self.list(&node.outputs, ", ", |sql, output| {
            sql.expr(&output.expr);
            if !matches!(output.expr, Expr::Everything { .. }) {
                put!(sql, " as {}", quoted(&output.key));
            }
        });
    }

    /// What follows the outputs, but for the page.
    fn rest(&mut self, node: &Node, orders: &[Order]) {
        self.text.push_str(" from ");
        self.source(&node.source, node.alias);
        self.conditions(&node.conditions);
        if let Some(groups) = node.groups.as_deref().filter(|groups| !groups.is_empty()) {
            self.text.push_str(" group by ");
            self.list(groups, ", ", Writer::expr);
        }
        if !orders.is_empty() {
            self.text.push_str(" order by ");
            self.list(orders, ", ", |sql, order| {
                sql.expr(&order.expr);
                let direction = if order.descending { "desc" } else { "asc" };
                let nulls = if order.nulls_first { "first" } else { "last" };
                put!(sql, " {direction} nulls {nulls}");
            });
        }
    }

    fn source(&mut self, source: &Source, alias: u32) {
        match source {
            Source::Relation(table) => {
                put!(self, "{} as _t{alias}", name(table));
            }
            Source::Through {
                table,
                junction,
                alias: middle,
            } => {
                put!(
                    self,
                    "{} as _t{alias}, {} as _t{middle}",
                    name(table),
                    name(junction)
                );
            }
            Source::Computed { function, row, .. } => {
                put!(self, "{}.{}(", function.schema, function.name);
                self.row(*row);
                put!(self, ") as _t{alias}");
            }
            Source::Written(_) => {
                put!(self, "_w as _t{alias}");
            }
            Source::Called(_) => {
                // Nothing else has such a source.
                let call = self.called.map_or("_w", |(_, call)| call);
                put!(self, "{call} as _t{alias}");
            }
        }
    }

    /// The whole row called `_t<alias>`.
    fn row(&mut self, alias: u32) {
        if alias == 0 && self.written.is_some() {
            put!(self, "_t0.{}", walk::ROW);
        } else {
            // With the star, so that no column of this name is meant.
            put!(self, "_t{alias}.*");
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column {
                alias,
                table,
                column,
            } => {
                put!(self, "_t{alias}.{}", table.columns[*column].name);
            }
            Expr::Named {
                alias,
                name,
                function: None,
            } => {
                put!(self, "_t{alias}.{name}");
            }
            Expr::Named {
                alias,
                function: Some(function),
                ..
            } => {
                let written = self.written.filter(|_| *alias == 0);
                match written.and_then(|needed| needed.field(function)) {
                    Some(at) => {
                        put!(self, "_t0.{}", walk::field(at));
                    }
                    None => {
                        put!(self, "{}.{}(", function.schema, function.name);
                        self.row(*alias);
                        self.text.push(')');
                    }
                }
            }
            Expr::Everything { alias } => {
                put!(self, "_t{alias}.*");
            }
            Expr::Path { of, steps } => self.path(of, steps),
            Expr::Cast { of, to } => {
                self.text.push_str("cast(");
                self.expr(of);
                match to {
                    CastType::Known(ty) => {
                        put!(self, " as {})", types::declared(ty));
                    }
                    CastType::Named(name) => {
                        put!(self, " as {name})");
                    }
                }
            }
            Expr::Aggregate { function, of } => {
                self.text.push_str(match function {
                    AggregateFunction::Sum => "sum(",
                    AggregateFunction::Avg => "avg(",
                    AggregateFunction::Max => "max(",
                    AggregateFunction::Min => "min(",
                    AggregateFunction::Count => "count(",
                });
                match of {
                    Some(of) => self.expr(of),
                    None => self.text.push('*'),
                }
                self.text.push(')');
            }
            Expr::One(node) => {
                self.text.push_str("(select row_to_json(_e.*) from (");
                self.one(node);
                self.text.push_str(") _e)");
            }
            // `json_agg` would put blanks between the rows: SQLite's answer has none.
            Expr::Many(node) => {
                self.text
                    .push_str("(select coalesce('[' || string_agg(row_to_json(_e.*)::text, ',') || ']', '[]')::json from (");
                self.node(node, true);
                self.text.push_str(") _e)");
            }
            Expr::Value(node) => {
                self.text.push('(');
                self.one(node);
                self.text.push(')');
            }
            Expr::Values(node) => {
                self.text
                    .push_str("(select coalesce('[' || string_agg(coalesce(to_json(_e._v)::text, 'null'), ',') || ']', '[]')::json from (select ");
                self.list(&node.outputs, ", ", |sql, output| sql.expr(&output.expr));
                self.text.push_str(" as _v");
                self.rest(node, &node.orders);
                self.page(node);
                self.text.push_str(") _e)");
            }
        }
    }

    /// The node's first row.
    fn one(&mut self, node: &Node) {
        self.node(node, false);
        put!(self, " limit {}", node.limit.unwrap_or(1).min(1));
        if let Some(offset) = node.offset {
            put!(self, " offset {offset}");
        }
    }

    fn path(&mut self, of: &Expr, steps: &[Step]) {
        // In parentheses, because arrows bind less than much that may stand around them.
        self.text.push('(');
        if types::is_json(&self.type_of(of)) {
            self.expr(of);
        } else {
            self.text.push_str("to_jsonb(");
            self.expr(of);
            self.text.push(')');
        }
        for step in steps {
            self.text.push_str(if step.text { "->>" } else { "->" });
            match &step.key {
                Key::Name(key) => self.bind_once(key),
                Key::Index(index) => {
                    // In parentheses: `->-1` would be an operator of its own.
                    put!(self, "({index})");
                }
            }
        }
        self.text.push(')');
    }

    /// `select` of a text for each row of `from`, which is a select in parentheses or a name.
    fn as_texts(&mut self, format: Format) {
        self.text.push_str(match format {
            Format::Json => "select row_to_json(_r.*)::text from ",
            // A record's text form without its parentheses.
            Format::Csv => "select substr((_r.*)::text, 2, length((_r.*)::text) - 2) from ",
        });
    }
}

/// `"schema"."table"`
fn name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// A key of the answer.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_as_many_arguments_as_the_protocol_counts() {
        let finished = |arguments: usize| {
            let mut writer = Writer::default();
            for _ in 0..arguments {
                writer.bind("1", "integer[]");
            }
            writer.bind_once("1");
            writer.finish(true, false)
        };
        assert_eq!(finished(ARGUMENTS_MAX).unwrap().args.len(), 65_535);
        let refused = finished(ARGUMENTS_MAX + 1);
        assert!(
            matches!(refused, Err(DataError::TooLarge(_))),
            "{refused:?}"
        );
    }
}
