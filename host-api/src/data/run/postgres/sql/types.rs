//! Types as casts name them.

use super::Writer;
use crate::data::plan::{CastType, Expr};
use crate::data::query::AggregateFunction;
use crate::data::schema::Returns;
use crate::data::{Enum, Name, Type};

/// The type that a literal is read as which meets a value of type `ty`.
pub(super) fn unconstrained(ty: &Type) -> String {
    match ty {
        Type::Varchar { .. } => "text".to_owned(),
        Type::Array(element) => format!("{}[]", of_element(element)),
        other => of_element(other),
    }
}

/// Arrays meet arrays of the very same type only.
fn of_element(ty: &Type) -> String {
    match ty {
        Type::Varchar { .. } => "character varying".to_owned(),
        // `character` would be `character(1)`.
        Type::Char { .. } => "bpchar".to_owned(),
        Type::Numeric { .. } => "numeric".to_owned(),
        other => declared(other),
    }
}

/// The type with its length.
pub(super) fn declared(ty: &Type) -> String {
    match ty {
        Type::Enum(of) => of_enum(of),
        Type::Array(element) => format!("{}[]", declared(element)),
        other => other.to_string(),
    }
}

/// An enum of another schema has that schema in its name.
fn of_enum(of: &Enum) -> String {
    if of.name.contains('.') {
        return of.name.clone();
    }
    format!("\"public\".{}", Name::of_catalog(of.name.clone()))
}

pub(super) fn is_json(ty: &str) -> bool {
    matches!(ty, "json" | "jsonb")
}

/// Whether lists of such values can be bound as one array literal, with commas in it.
pub(super) fn has_plain_array(ty: &str) -> bool {
    !ty.ends_with(']') && !matches!(ty, "box" | "record" | "unknown")
}

/// The type of `expr`, where it is one that both engines have.
pub(super) fn known(expr: &Expr) -> Option<&Type> {
    let ty = match expr {
        Expr::Column { table, column, .. } => &table.columns[*column].ty,
        Expr::Cast {
            to: CastType::Known(ty),
            ..
        } => ty,
        Expr::Path { steps, .. } if steps.last().is_some_and(|step| step.text) => &Type::Text,
        Expr::Path { of, .. } => match known(of)? {
            Type::Json => &Type::Json,
            _ => &Type::Jsonb,
        },
        _ => return None,
    };
    match ty {
        Type::Other(_) => None,
        ty => Some(ty),
    }
}

impl Writer<'_> {
    /// The type as which PostgreSQL would read a literal beside `expr`.
    pub(super) fn type_of(&self, expr: &Expr) -> String {
        let known = |ty: &str| ty.to_owned();
        match expr {
            Expr::Column { table, column, .. } => unconstrained(&table.columns[*column].ty),
            Expr::Named {
                function: Some(function),
                ..
            } => match &function.returns {
                Returns::Scalar(ty) => ty.clone(),
                _ => known("text"),
            },
            Expr::Named { name, .. } => {
                let fields = match self.called.map(|(function, _)| &function.returns) {
                    Some(Returns::Record(fields)) => fields.as_slice(),
                    _ => &[],
                };
                let field = fields.iter().find(|(field, _)| field == name.as_str());
                field.map_or_else(|| known("text"), |(_, ty)| ty.clone())
            }
            Expr::Path { of, steps } => {
                if steps.last().is_some_and(|step| step.text) {
                    known("text")
                } else if self.type_of(of) == "json" {
                    known("json")
                } else {
                    known("jsonb")
                }
            }
            Expr::Cast { to, .. } => match to {
                CastType::Known(ty) => unconstrained(ty),
                CastType::Named(name) => name.to_string(),
            },
            Expr::Aggregate { function, of } => match (function, of) {
                (AggregateFunction::Count, _) | (_, None) => known("bigint"),
                (AggregateFunction::Sum | AggregateFunction::Avg, _) => known("numeric"),
                (_, Some(of)) => self.type_of(of),
            },
            Expr::Value(node) => match node.outputs.first() {
                Some(output) => self.type_of(&output.expr),
                None => known("text"),
            },
            Expr::One(_) | Expr::Many(_) | Expr::Values(_) => known("json"),
            Expr::Everything { .. } => known("text"),
        }
    }
}
