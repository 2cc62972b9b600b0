//! Reads, and what counts their rows.

use std::fmt::Write as _;

use super::{Statement, Writer, put};
use crate::data::DataError;
use crate::data::plan::{Expr, Node, ReadPlan, Source};
use crate::data::query::{Count, Format};
use crate::data::schema::{Function, Returns};

/// The rows; and in the tail how many there are without their page, if that is asked for.
pub(in crate::data::run::postgres) fn read(plan: &ReadPlan) -> Result<Statement, DataError> {
    let mut sql = Writer::default();
    let preferences = &plan.preferences;
    let max = match preferences.count {
        Some(Count::Exact) => Some(None),
        // One more tells that there are more.
        Some(Count::Estimated) => Some(Some(plan.rows_max.saturating_add(1))),
        Some(Count::Planned) | None => None,
    };
    let max = max.filter(|_| preferences.explain.is_none());
    if max.is_some() {
        sql.text.push('(');
    }
    sql.as_texts(preferences.format);
    sql.text.push('(');
    sql.node(&plan.node, true);
    sql.text.push_str(") _r");
    if let Some(max) = max {
        sql.text
            .push_str(") union all (select json_build_object('total', (select count(*) from (");
        sql.unpaged(&plan.node);
        if let Some(max) = max {
            put!(sql, " limit {max}");
        }
        sql.text.push_str(") _n))::text)");
    }
    sql.finish(true, max.is_some())
}

/// A statement that has as many rows as the node without its page.
pub(in crate::data::run::postgres) fn counted(node: &Node) -> Result<Statement, DataError> {
    let mut sql = Writer::default();
    sql.unpaged(node);
    sql.finish(true, false)
}

impl Writer<'_> {
    fn unpaged(&mut self, node: &Node) {
        // Without groups all rows are one.
        let one = node.groups.as_deref().is_some_and(<[Expr]>::is_empty);
        self.text
            .push_str(if one { "select count(*)" } else { "select 1" });
        self.rest(node, &[]);
    }
}

/// The line with the keys of the answer.
pub(in crate::data::run::postgres) fn header(node: &Node, called: Option<&Function>) -> String {
    let mut keys: Vec<&str> = Vec::new();
    for output in &node.outputs {
        match (
            &output.expr,
            &node.source,
            called.map(|function| &function.returns),
        ) {
            (Expr::Everything { .. }, Source::Called(Some(table)), _) => {
                keys.extend(table.columns.iter().map(|column| column.name.as_str()));
            }
            (Expr::Everything { .. }, _, Some(Returns::Record(fields))) => {
                keys.extend(fields.iter().map(|(name, _)| name.as_str()));
            }
            _ => keys.push(&output.key),
        }
    }
    let cells: Vec<String> = keys.into_iter().map(cell).collect();
    cells.join(",")
}

fn cell(key: &str) -> String {
    if key.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", key.replace('"', "\"\""));
    }
    key.to_owned()
}

impl Format {
    /// What stands between two rows.
    pub(in crate::data::run::postgres) fn separator(self) -> u8 {
        match self {
            Format::Json => b',',
            Format::Csv => b'\n',
        }
    }
}
