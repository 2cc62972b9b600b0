//! How large what a statement repeats is: a member of a list and a step of a path count as one.

use super::super::query::{Key, elements};
use super::{Condition, Expr, Node, Order, Test};

/// Bytes of a text that count as one member more.
const BYTES: usize = 64;
/// A subquery beside what is in it.
const SUBQUERY: usize = 8;

/// A node without its outputs.
pub(super) fn node(node: &Node) -> usize {
    SUBQUERY + node.conditions.iter().map(condition).sum::<usize>() + orders(&node.orders)
}

pub(super) fn orders(orders: &[Order]) -> usize {
    orders.iter().map(|order| expr(&order.expr)).sum()
}

pub(super) fn condition(of: &Condition) -> usize {
    match of {
        Condition::Test {
            expr: left, test, ..
        } => expr(left) + literals(test),
        Condition::All(members) | Condition::Any(members) => {
            1 + members.iter().map(condition).sum::<usize>()
        }
        Condition::Not(of) => condition(of),
        Condition::Same(a, b) => expr(a) + expr(b),
        Condition::Exists { node: inside, .. } => node(inside),
    }
}

fn literals(test: &Test) -> usize {
    match test {
        Test::Compare(_, Some(_), array) => text(array) + elements(array),
        Test::Compare(_, None, literal) => text(literal),
        Test::In(members) => members.iter().map(|member| text(member)).sum(),
        Test::Is(_) => 0,
        Test::Search(_, config, query) => text(query) + config.as_deref().map_or(0, text),
    }
}

pub(super) fn expr(of: &Expr) -> usize {
    match of {
        Expr::Column { .. } | Expr::Named { .. } | Expr::Everything { .. } => 1,
        Expr::Path { of, steps } => {
            let steps = steps.iter().map(|step| match &step.key {
                Key::Name(name) => text(name),
                Key::Index(_) => 1,
            });
            expr(of) + steps.sum::<usize>()
        }
        Expr::Cast { of, .. } => 1 + expr(of),
        Expr::Aggregate { of, .. } => 1 + of.as_deref().map_or(0, expr),
        Expr::One(inside) | Expr::Many(inside) | Expr::Value(inside) | Expr::Values(inside) => {
            let outputs = inside.outputs.iter().map(|output| expr(&output.expr));
            node(inside) + outputs.sum::<usize>()
        }
    }
}

fn text(text: &str) -> usize {
    1 + text.len() / BYTES
}
