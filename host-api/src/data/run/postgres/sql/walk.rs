//! What an answer needs of the rows that a write returns: nothing else is asked for, because whoever
//! writes may be allowed to read some columns only.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::data::plan::{Condition, Expr, Node, Source};
use crate::data::schema::Function;

/// The name of the whole row among what a write returns. No blank is in a column's name by chance.
pub(super) const ROW: &str = "\"pumice row\"";

/// The name of a computed field among what a write returns.
pub(super) fn field(at: usize) -> String {
    format!("\"pumice {at}\"")
}

/// Of the row `_t0`.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub columns: BTreeSet<usize>,
    /// Computed fields.
    pub fields: Vec<Arc<Function>>,
    /// Whether a computed relationship starts from it.
    pub row: bool,
}

impl Needed {
    pub fn of(node: &Node) -> Needed {
        let mut needed = Needed::default();
        needed.node(node);
        needed
    }

    /// Its place among the computed fields.
    pub fn field(&self, function: &Arc<Function>) -> Option<usize> {
        self.fields.iter().position(|known| known == function)
    }

    fn node(&mut self, node: &Node) {
        if let Source::Computed { row: 0, .. } = node.source {
            self.row = true;
        }
        for output in &node.outputs {
            self.expr(&output.expr);
        }
        self.conditions(&node.conditions);
        for group in node.groups.iter().flatten() {
            self.expr(group);
        }
        for order in &node.orders {
            self.expr(&order.expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column {
                alias: 0, column, ..
            } => {
                self.columns.insert(*column);
            }
            Expr::Named {
                alias: 0,
                function: Some(function),
                ..
            } => {
                if self.field(function).is_none() {
                    self.fields.push(function.clone());
                }
            }
            Expr::Column { .. } | Expr::Named { .. } | Expr::Everything { .. } => {}
            Expr::Path { of, .. } | Expr::Cast { of, .. } => self.expr(of),
            Expr::Aggregate { of, .. } => {
                if let Some(of) = of {
                    self.expr(of);
                }
            }
            Expr::One(node) | Expr::Many(node) | Expr::Value(node) | Expr::Values(node) => {
                self.node(node);
            }
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            match condition {
                Condition::Test { expr, .. } => self.expr(expr),
                Condition::All(members) | Condition::Any(members) => self.conditions(members),
                Condition::Not(of) => self.conditions(std::slice::from_ref(of)),
                Condition::Same(one, other) => {
                    self.expr(one);
                    self.expr(other);
                }
                Condition::Exists { node, .. } => self.node(node),
            }
        }
    }
}
