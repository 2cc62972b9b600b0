//! Select statements of views, and those that stand inside of expressions.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, Ident, LimitClause, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    Value as Literal, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::Span;

use super::catalog::Catalog;
use super::coerce::{is_integer, is_text, open};
use super::expr::{Kind, Place, Scope, Term};
use super::from::{aliased, first_span};
use super::order::{collation, comparable, ordered_outputs};
use super::rows::{Clause, From, Notes, Output, Rows};
use super::{Refusal, names, sql};
use crate::data::Type;

/// A translated query.
#[derive(Debug)]
pub struct Selected {
    pub sql: String,
    pub outputs: Vec<Output>,
    /// The relation whose rows it shows as they are, if it is one: PostgreSQL writes through such a view.
    /// Source: PostgreSQL 15, "Updatable Views".
    pub shows: Option<String>,
    /// Which outputs are the keys of the relations it reads, where it shows them whole.
    pub key: Vec<usize>,
}

/// Gives every output and relation of the queries in `node` the name that it has, so that a rename
/// changes one word.
pub fn named(node: &mut impl VisitMut) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item {
                    let name = names::figure(expr).unwrap_or_else(|| "?column?".to_owned());
                    *item = SelectItem::ExprWithAlias {
                        alias: Ident::with_quote('"', name),
                        expr: expr.clone(),
                    };
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias, .. } = factor
                && alias.is_none()
                && let Some(last) = name.0.last().and_then(|part| part.as_ident())
            {
                *alias = Some(TableAlias {
                    explicit: true,
                    name: last.clone(),
                    columns: Vec::new(),
                    at: None,
                });
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(node, &mut Namer);
}

/// Translates a query that stands in nothing.
pub fn whole(catalog: &Catalog, query: &Query, notes: &Notes) -> Result<Selected, Refusal> {
    let rows = Rows::new(notes, None);
    scope(catalog, &rows).query(query)
}

pub fn scope<'c>(catalog: &'c Catalog, rows: &'c Rows<'c>) -> Scope<'c> {
    Scope {
        catalog,
        table: "",
        columns: &[],
        place: Place::Query,
        rows: Some(rows),
    }
}

impl<'c> Scope<'c> {
    fn level(&self, query: &impl std::fmt::Display) -> Result<&'c Rows<'c>, Refusal> {
        self.rows.ok_or_else(|| {
            Refusal::wrong(format!("cannot use subquery here: `{query}`"))
                .fix("only policies and views can")
        })
    }

    /// A query inside of whatever this scope is.
    pub(super) fn query(&self, query: &Query) -> Result<Selected, Refusal> {
        let outer = self.level(query)?;
        for (given, what) in [
            (query.fetch.is_some(), "`fetch`; write `limit`; it"),
            (!query.locks.is_empty(), "a lock"),
            (
                query.for_clause.is_some()
                    || query.settings.is_some()
                    || query.format_clause.is_some()
                    || !query.pipe_operators.is_empty(),
                "this clause",
            ),
        ] {
            if given {
                return Err(Refusal::only_postgres(what));
            }
        }
        let mut shelf = Rows::new(outer.notes, Some(outer));
        let mut head = Vec::new();
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(Refusal::only_postgres("`with recursive`"));
            }
            for common in &with.cte_tables {
                let selected = scope(self.catalog, &shelf).query(&common.query)?;
                let (alias, columns) = aliased(&common.alias, selected.outputs)?;
                // A name that no relation has.
                let name = sql::quoted(&format!("with.{}", outer.notes.number()));
                let shown = sql::list(columns.iter().map(|column| &column.name));
                head.push(format!("{name} ({shown}) as ({})", selected.sql));
                shelf.commons.push(From {
                    relation: None,
                    alias,
                    sql: name,
                    columns,
                    key: Vec::new(),
                });
            }
        }
        let order = match &query.order_by {
            None => &[][..],
            Some(order) => match &order.kind {
                OrderByKind::Expressions(items) if order.interpolate.is_none() => items,
                _ => return Err(Refusal::only_postgres("`order by all`")),
            },
        };
        let mut selected = scope(self.catalog, &shelf).body(&query.body, order)?;
        let tail = limit(query.limit_clause.as_ref())?;
        if !tail.is_empty() || query.with.is_some() {
            selected.shows = None;
        }
        selected.sql.push_str(&tail);
        if !head.is_empty() {
            selected.sql = format!("with {} {}", head.join(", "), selected.sql);
        }
        Ok(selected)
    }

    fn body(&self, body: &SetExpr, order: &[OrderByExpr]) -> Result<Selected, Refusal> {
        match body {
            SetExpr::Select(select) => self.select(select, order),
            SetExpr::Query(query) => {
                let inner = self.query(query)?;
                let by = ordered_outputs(order, &inner.outputs)?;
                Ok(Selected {
                    sql: format!("select * from ({}){by}", inner.sql),
                    shows: None,
                    ..inner
                })
            }
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let word = match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => "union all",
                    (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => "union",
                    (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => {
                        "intersect"
                    }
                    (SetOperator::Except, SetQuantifier::None | SetQuantifier::Distinct) => {
                        "except"
                    }
                    _ => return Err(Refusal::only_postgres(format!("`{op} {set_quantifier}`"))),
                };
                let (left, right) = (self.body(left, &[])?, self.body(right, &[])?);
                if left.outputs.len() != right.outputs.len() {
                    return Err(Refusal::wrong(format!(
                        "each {op} query must have the same number of columns"
                    )));
                }
                let outputs = left
                    .outputs
                    .iter()
                    .zip(&right.outputs)
                    .map(|(left, right)| {
                        Ok(Output {
                            name: left.name.clone(),
                            ty: united(&left.ty, &right.ty)?,
                            domain: None,
                            source: None,
                        })
                    })
                    .collect::<Result<Vec<_>, Refusal>>()?;
                let by = ordered_outputs(order, &outputs)?;
                // SQLite reads set operations from left to right and knows no parentheses around them.
                let side = |sql: &str| format!("select * from ({sql})");
                Ok(Selected {
                    sql: format!("{} {word} {}{by}", side(&left.sql), side(&right.sql)),
                    outputs,
                    shows: None,
                    key: Vec::new(),
                })
            }
            SetExpr::Values(_) => Err(Refusal::only_postgres("`values` in a query")),
            other => Err(Refusal::only_postgres(format!("`{other}`"))),
        }
    }

    fn select(&self, select: &Select, order: &[OrderByExpr]) -> Result<Selected, Refusal> {
        unsupported(select)?;
        let outer = self.level(select)?;
        let mut rows = Rows::new(outer.notes, Some(outer));
        let mut from = Vec::new();
        for table in &select.from {
            let mut text = self.factor(&mut rows, &table.relation)?;
            for join in &table.joins {
                text.push_str(&self.join(&mut rows, join)?);
            }
            from.push(text);
        }
        let at = |rows: &Rows<'_>, clause| rows.clause.set(clause);
        let mut tail = String::new();
        at(&rows, Clause::Plain("WHERE"));
        if let Some(condition) = &select.selection {
            let condition = scope(self.catalog, &rows).condition(condition)?;
            tail.push_str(&format!(" where {condition}"));
        }
        at(&rows, Clause::Plain("GROUP BY"));
        rows.grouped = self.grouped(select, &rows)?;
        let mut groups = Vec::new();
        for expr in &rows.grouped {
            groups.push(comparable(scope(self.catalog, &rows).settled(expr)?)?);
        }
        at(&rows, Clause::Output);
        let inner = scope(self.catalog, &rows);
        let distinct = match &select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return Err(Refusal::only_postgres("`distinct on`")),
        };
        let mut items: Vec<(String, Output, Option<&Expr>)> = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = names::figure(expr).unwrap_or_else(|| "?column?".to_owned());
                    items.push(inner.item(expr, name)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(inner.item(expr, names::ident(alias)?)?);
                }
                SelectItem::Wildcard(options) => {
                    let star = self.star(&rows, None, options, options.wildcard_token.0.span)?;
                    items.extend(star.into_iter().map(|(sql, output)| (sql, output, None)));
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    let of = names::parts(name)?.pop().unwrap_or_default();
                    let span = Span {
                        start: first_span(name).start,
                        end: options.wildcard_token.0.span.end,
                    };
                    let star = self.star(&rows, Some(&of), options, span)?;
                    items.extend(star.into_iter().map(|(sql, output)| (sql, output, None)));
                }
                other => return Err(Refusal::only_postgres(format!("`{other}`"))),
            }
        }
        let mut having = String::new();
        if let Some(condition) = &select.having {
            rows.aggregated.set(true);
            having = format!(" having {}", inner.condition(condition)?);
        }
        let by = self.ordered(&rows, order, &items, distinct)?;
        if rows.aggregated.get() || !groups.is_empty() {
            if let Some(loose) = rows.loose.borrow().as_ref() {
                return Err(Refusal::wrong(format!(
                    "column \"{loose}\" must appear in the GROUP BY clause or be used in an aggregate function"
                )));
            }
        }
        if !groups.is_empty() {
            tail.push_str(&format!(" group by {}", groups.join(", ")));
        }
        let plain = groups.is_empty() && !rows.aggregated.get() && !distinct;
        let shows = match (&rows.froms[..], &select.from[..]) {
            ([one], [table]) if plain && table.joins.is_empty() => one.relation.clone(),
            _ => None,
        };
        let mut key = Vec::new();
        for from in rows
            .froms
            .iter()
            .filter(|from| plain && !from.key.is_empty())
        {
            let places: Option<Vec<usize>> = from
                .key
                .iter()
                .map(|column| {
                    let column = format!("{}.{}", from.sql, sql::quoted(column));
                    items.iter().position(|(sql, _, _)| *sql == column)
                })
                .collect();
            key.extend(places.unwrap_or_default());
        }
        let shown: Vec<String> = items
            .iter()
            .map(|(sql, output, _)| {
                let collate = match distinct {
                    true => collation(&output.ty),
                    false => String::new(),
                };
                format!("{sql}{collate} as {}", sql::quoted(&output.name))
            })
            .collect();
        if shown.is_empty() {
            return Err(Refusal::only_postgres("a query without columns"));
        }
        let from = match from.is_empty() {
            true => String::new(),
            false => format!(" from {}", from.join(", ")),
        };
        let word = if distinct { "distinct " } else { "" };
        Ok(Selected {
            sql: format!("select {word}{}{from}{tail}{having}{by}", shown.join(", ")),
            outputs: items.into_iter().map(|(_, output, _)| output).collect(),
            shows,
            key,
        })
    }

    fn item<'e>(
        &self,
        expr: &'e Expr,
        name: String,
    ) -> Result<(String, Output, Option<&'e Expr>), Refusal> {
        let plain = match (expr, self.rows) {
            (Expr::Identifier(word), Some(rows)) => Some(rows.column(std::slice::from_ref(word))),
            (Expr::CompoundIdentifier(words), Some(rows)) => Some(rows.column(words)),
            _ => None,
        };
        if let Some(Ok((sql, output))) = plain {
            return Ok((sql, Output { name, ..output }, Some(expr)));
        }
        let (sql, ty) = self.settled(expr)?;
        let output = Output {
            name,
            ty,
            domain: None,
            source: None,
        };
        Ok((sql, output, Some(expr)))
    }

    pub(super) fn settled(&self, expr: &Expr) -> Result<(String, Type), Refusal> {
        let term = self.term(expr)?;
        self.settle(term)
    }

    /// `(select …)` as a value.
    pub(super) fn scalar(&self, query: &Query) -> Result<Term, Refusal> {
        let selected = self.query(query)?;
        let [output] = &selected.outputs[..] else {
            return Err(Refusal::wrong("subquery must return only one column"));
        };
        self.typed(format!("({})", selected.sql), output.ty.clone())
    }

    pub(super) fn exists(&self, query: &Query, negated: bool) -> Result<Term, Refusal> {
        let not = if negated { "not " } else { "" };
        let selected = self.query(query)?;
        self.typed(format!("({not}exists ({}))", selected.sql), Type::Boolean)
    }

    pub(super) fn in_query(
        &self,
        expr: &Expr,
        query: &Query,
        negated: bool,
    ) -> Result<Term, Refusal> {
        let selected = self.query(query)?;
        let [output] = &selected.outputs[..] else {
            return Err(Refusal::wrong("subquery has too many columns"));
        };
        let term = self.term(expr)?;
        let there = open(output.ty.clone());
        let left = match &term.kind {
            Kind::Typed(_) => {
                let (left, ty) = self.settle(term)?;
                let column = ("x".to_owned(), there.clone());
                let (same, other, _) = self.matched((left.clone(), ty.clone()), column)?;
                if same != left || other != "x" {
                    return Err(Refusal::wrong(format!("no operator for {ty} and {there}"))
                        .fix("cast one side"));
                }
                left
            }
            _ => self.coerce(term, &there, false)?,
        };
        comparable((left.clone(), there.clone()))?;
        let collate = collation(&there);
        let not = if negated { "not " } else { "" };
        self.typed(
            format!("({left}{collate} {not}in ({}))", selected.sql),
            Type::Boolean,
        )
    }
}

fn unsupported(select: &Select) -> Result<(), Refusal> {
    for (given, what) in [
        (select.into.is_some(), "`select into`"),
        (!select.named_window.is_empty(), "a window"),
        (
            select.top.is_some()
                || select.prewhere.is_some()
                || select.qualify.is_some()
                || select.exclude.is_some()
                || !select.lateral_views.is_empty()
                || !select.connect_by.is_empty()
                || !select.cluster_by.is_empty()
                || !select.distribute_by.is_empty()
                || !select.sort_by.is_empty()
                || select.value_table_mode.is_some()
                || select.select_modifiers.is_some(),
            "this clause",
        ),
    ] {
        if given {
            return Err(Refusal::only_postgres(what));
        }
    }
    Ok(())
}

fn united(left: &Type, right: &Type) -> Result<Type, Refusal> {
    if left == right {
        return Ok(left.clone());
    }
    let wide = |ty: &Type| match ty {
        Type::Smallint => 0,
        Type::Integer => 1,
        _ => 2,
    };
    if is_integer(left) && is_integer(right) {
        return Ok(if wide(left) > wide(right) {
            left
        } else {
            right
        }
        .clone());
    }
    if is_text(left) && is_text(right) || open(left.clone()) == open(right.clone()) {
        return Ok(open(left.clone()));
    }
    Err(
        Refusal::wrong(format!("UNION types {left} and {right} cannot be matched"))
            .fix("cast one side"),
    )
}

fn limit(clause: Option<&LimitClause>) -> Result<String, Refusal> {
    let Some(clause) = clause else {
        return Ok(String::new());
    };
    let LimitClause::LimitOffset {
        limit,
        offset,
        limit_by,
    } = clause
    else {
        return Err(Refusal::wrong("`limit` takes one number"));
    };
    if !limit_by.is_empty() {
        return Err(Refusal::wrong("`limit` takes one number"));
    }
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(text, _) if text.parse::<i64>().is_ok() => Ok(Some(text.clone())),
            Literal::Null => Ok(None),
            _ => Err(Refusal::only_postgres("a `limit` that is no number")),
        },
        _ => Err(Refusal::only_postgres("a `limit` that is no number")),
    };
    let limit = limit.as_ref().map(number).transpose()?.flatten();
    let offset = offset.as_ref().map(|offset| number(&offset.value));
    let offset = offset.transpose()?.flatten();
    Ok(match (limit, offset) {
        (None, None) => String::new(),
        (Some(limit), None) => format!(" limit {limit}"),
        (limit, Some(offset)) => {
            format!(
                " limit {} offset {offset}",
                limit.as_deref().unwrap_or("-1")
            )
        }
    })
}
