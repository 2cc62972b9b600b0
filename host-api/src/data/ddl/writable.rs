//! Which views can be written, and why another cannot.
//!
//! Source: PostgreSQL 15, `view_query_is_auto_updatable` in `src/backend/rewrite/rewriteHandler.c`.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Query, Select, SetExpr, TableFactor, Visit, Visitor,
};

use super::aggregates::is_aggregate;
use super::catalog::Catalog;
use super::view::{ViewDef, parse_query};
use crate::data::schema::Closed;

const ONE_TABLE: &str =
    "Views that do not select from a single table or view are not automatically updatable.";
const NO_COLUMNS: &str = "Views that have no updatable columns are not automatically updatable.";

/// What keeps rows from being deleted through a view; below it there may be another.
pub(super) fn closed(view: &ViewDef, catalog: &Catalog) -> Option<Closed> {
    if let Some(name) = &view.shows {
        return match catalog.views.get(name) {
            Some(below) => closed(below, catalog),
            None => None,
        };
    }
    let why = parse_query(&view.query).ok().and_then(|query| why(&query));
    Some(because(view, why.unwrap_or(ONE_TABLE)))
}

/// What keeps them from being written, where they could be deleted.
pub(super) fn without_columns(view: &ViewDef) -> Closed {
    because(view, NO_COLUMNS)
}

fn because(view: &ViewDef, why: &str) -> Closed {
    Closed {
        view: view.name.clone(),
        why: why.to_owned(),
    }
}

fn why(query: &Query) -> Option<&'static str> {
    match &*query.body {
        SetExpr::Select(select) => of_select(query, select),
        SetExpr::Query(inner) => why(inner).or_else(|| around(query)),
        SetExpr::SetOperation { .. } => {
            Some("Views containing UNION, INTERSECT, or EXCEPT are not automatically updatable.")
        }
        _ => None,
    }
}

fn of_select(query: &Query, select: &Select) -> Option<&'static str> {
    if !matches!(select.distinct, None | Some(Distinct::All)) {
        return Some("Views containing DISTINCT are not automatically updatable.");
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(expressions, _) => !expressions.is_empty(),
    };
    if grouped {
        return Some("Views containing GROUP BY are not automatically updatable.");
    }
    if select.having.is_some() {
        return Some("Views containing HAVING are not automatically updatable.");
    }
    if let Some(why) = around(query) {
        return Some(why);
    }
    if aggregates(select) {
        return Some("Views that return aggregate functions are not automatically updatable.");
    }
    match &select.from[..] {
        [one]
            if one.joins.is_empty()
                && matches!(one.relation, TableFactor::Table { args: None, .. }) =>
        {
            None
        }
        _ => Some(ONE_TABLE),
    }
}

fn around(query: &Query) -> Option<&'static str> {
    if query.with.is_some() {
        return Some("Views containing WITH are not automatically updatable.");
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return Some("Views containing LIMIT or OFFSET are not automatically updatable.");
    }
    None
}

/// Whether an output has an aggregate that is not a subquery's.
fn aggregates(select: &Select) -> bool {
    #[derive(Default)]
    struct Finder {
        depth: usize,
    }
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && is_aggregate(function) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let mut finder = Finder::default();
    let mut items = select.projection.iter();
    items.any(|item| item.visit(&mut finder).is_break())
}
