//! Plans as short text, for these tests only.

use super::super::super::query::{Key, Step};
use super::super::*;

pub fn node(node: &Node) -> String {
    let source = match &node.source {
        Source::Relation(table) => table.name.as_str().to_owned(),
        Source::Through {
            table,
            junction,
            alias,
        } => format!(
            "{} via {} t{alias}",
            table.name.as_str(),
            junction.name.as_str()
        ),
        Source::Computed {
            function,
            row,
            table,
        } => format!(
            "{} by {}(t{row})",
            table.name.as_str(),
            function.name.as_str()
        ),
        Source::Written(table) => format!("written {}", table.name.as_str()),
        Source::Called(Some(table)) => format!("called {}", table.name.as_str()),
        Source::Called(None) => "called".to_owned(),
    };
    let output = |output: &Output| match expr(&output.expr) {
        plain if plain.ends_with(&format!(".{}", output.key)) && !plain.contains(' ') => plain,
        other => format!("{}:{other}", output.key),
    };
    let mut text = format!(
        "{source} t{} [{}]",
        node.alias,
        list(&node.outputs, output, ", ")
    );
    if !node.conditions.is_empty() {
        text += &format!(" where {}", list(&node.conditions, condition, " and "));
    }
    if let Some(groups) = &node.groups {
        text += &format!(" group ({})", list(groups, expr, ", "));
    }
    if !node.orders.is_empty() {
        let order = |order: &Order| {
            let direction = if order.descending { "desc" } else { "asc" };
            let nulls = if order.nulls_first { "first" } else { "last" };
            format!("{} {direction} {nulls}", expr(&order.expr))
        };
        text += &format!(" order ({})", list(&node.orders, order, ", "));
    }
    if let Some(limit) = node.limit {
        text += &format!(" limit {limit}");
    }
    if let Some(offset) = node.offset {
        text += &format!(" offset {offset}");
    }
    text
}

pub fn conditions(conditions: &[Condition]) -> String {
    list(conditions, condition, " and ")
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String, between: &str) -> String {
    let texts: Vec<String> = items.iter().map(text).collect();
    texts.join(between)
}

fn expr(of: &Expr) -> String {
    match of {
        Expr::Column {
            alias,
            table,
            column,
        } => format!("t{alias}.{}", table.columns[*column].name.as_str()),
        Expr::Named {
            alias,
            name,
            function: None,
        } => format!("t{alias}.{}", name.as_str()),
        Expr::Named { alias, name, .. } => format!("{}(t{alias})", name.as_str()),
        Expr::Everything { alias } => format!("t{alias}.*"),
        Expr::Path { of, steps } => format!("{}{}", expr(of), list(steps, step, "")),
        Expr::Cast { of, to } => match to {
            CastType::Known(ty) => format!("{}::{ty}", expr(of)),
            CastType::Named(name) => format!("{}::{name}", expr(of)),
        },
        Expr::Aggregate { function, of } => {
            let of = of.as_deref().map_or("*".to_owned(), expr);
            format!("{}({of})", format!("{function:?}").to_lowercase())
        }
        Expr::One(of) => format!("one{{{}}}", node(of)),
        Expr::Many(of) => format!("many{{{}}}", node(of)),
        Expr::Value(of) => format!("value{{{}}}", node(of)),
        Expr::Values(of) => format!("values{{{}}}", node(of)),
    }
}

fn step(step: &Step) -> String {
    let arrow = if step.text { "->>" } else { "->" };
    match &step.key {
        Key::Name(name) => format!("{arrow}{name}"),
        Key::Index(index) => format!("{arrow}{index}"),
    }
}

fn condition(of: &Condition) -> String {
    match of {
        Condition::Test {
            expr: of,
            not,
            test,
        } => {
            let not = if *not { "not " } else { "" };
            format!("{not}{} {test:?}", expr(of))
        }
        Condition::All(members) => format!("({})", list(members, condition, " and ")),
        Condition::Any(members) => format!("({})", list(members, condition, " or ")),
        Condition::Not(of) => format!("not {}", condition(of)),
        Condition::Same(a, b) => format!("{}={}", expr(a), expr(b)),
        Condition::Exists { node: of, not } => {
            let word = if *not { "none" } else { "some" };
            format!("{word}{{{}}}", node(of))
        }
    }
}

pub fn cells(table: &Table, cells: &Cells) -> String {
    let cell = |(column, value): &(usize, Option<Box<RawValue>>)| {
        let value = value.as_deref().map_or("default", RawValue::get);
        format!("{}={value}", table.columns[*column].name.as_str())
    };
    list(cells, cell, " ")
}
