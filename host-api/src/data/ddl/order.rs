//! `order by`, `group by`, and which values can be told apart.

use sqlparser::ast::{
    Expr, GroupByExpr, OrderByExpr, OrderBySort, Select, SelectItem, Value as Literal,
};

use super::expr::Scope;
use super::rows::{Output, Rows};
use super::select::scope;
use super::{Refusal, names, sql};
use crate::data::Type;

impl Scope<'_> {
    /// What is grouped by: numbers and names of outputs stand for those.
    pub(super) fn grouped(&self, select: &Select, rows: &Rows<'_>) -> Result<Vec<Expr>, Refusal> {
        let exprs = match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            _ => return Err(Refusal::only_postgres("this `group by`")),
        };
        let output = |item: &SelectItem, wanted: &str| match item {
            SelectItem::ExprWithAlias { expr, alias }
                if names::ident(alias).is_ok_and(|alias| alias == wanted) =>
            {
                Some(expr.clone())
            }
            _ => None,
        };
        exprs
            .iter()
            .map(|expr| match expr {
                Expr::Value(value) => {
                    let at = ordinal(&value.value).and_then(|at| select.projection.get(at));
                    match at {
                        Some(
                            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. },
                        ) => Ok(expr.clone()),
                        _ => Err(Refusal::wrong(format!(
                            "GROUP BY position {value} is not in select list"
                        ))),
                    }
                }
                Expr::Identifier(word) => {
                    let name = names::ident(word)?;
                    let input = rows.froms.iter().any(|from| from.at(&name).is_some());
                    let alias = select
                        .projection
                        .iter()
                        .find_map(|item| output(item, &name));
                    Ok(match alias {
                        Some(expr) if !input => expr,
                        _ => expr.clone(),
                    })
                }
                Expr::Cube(_) | Expr::Rollup(_) | Expr::GroupingSets(_) | Expr::Tuple(_) => {
                    Err(Refusal::only_postgres(format!("`group by {expr}`")))
                }
                other => Ok(other.clone()),
            })
            .collect()
    }

    pub(super) fn ordered(
        &self,
        rows: &Rows<'_>,
        order: &[OrderByExpr],
        items: &[(String, Output, Option<&Expr>)],
        distinct: bool,
    ) -> Result<String, Refusal> {
        let mut parts = Vec::new();
        for by in order {
            let at = match &by.expr {
                Expr::Value(value) => Some(
                    ordinal(&value.value)
                        .filter(|at| *at < items.len())
                        .ok_or_else(|| {
                            Refusal::wrong(format!(
                                "ORDER BY position {value} is not in select list"
                            ))
                        })?,
                ),
                Expr::Identifier(word) => {
                    let name = names::ident(word)?;
                    items.iter().position(|(_, output, _)| output.name == name)
                }
                expr => items.iter().position(|(_, _, item)| *item == Some(expr)),
            };
            let (text, ty) = match at {
                Some(at) => (items[at].0.clone(), items[at].1.ty.clone()),
                None if distinct => {
                    return Err(Refusal::wrong(
                        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    ));
                }
                None => scope(self.catalog, rows).settled(&by.expr)?,
            };
            parts.push(sorted(&text, &ty, by)?);
        }
        Ok(joined(parts))
    }
}

/// Text to group or sort by: equal values must be equal there.
pub fn comparable((text, ty): (String, Type)) -> Result<String, Refusal> {
    match ty {
        Type::Json | Type::Other(_) => {
            Err(Refusal::only_postgres(format!("a comparison of type {ty}")))
        }
        ty => Ok(format!("{text}{}", collation(&ty))),
    }
}

/// What a value of this type needs behind it to be compared, where no column declares it.
pub fn collation(ty: &Type) -> String {
    ty.collation()
        .map_or_else(String::new, |name| format!(" collate \"{name}\""))
}

/// Whether stored values sort as they do on PostgreSQL, with their collation.
pub fn is_sorted(ty: &Type) -> bool {
    match ty {
        Type::Enum(_) => false,
        Type::Array(element) => is_sorted(element),
        _ => true,
    }
}

/// One item of an `order by`, nulls where PostgreSQL has them.
fn sorted(text: &str, ty: &Type, by: &OrderByExpr) -> Result<String, Refusal> {
    let descending = match &by.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(Refusal::only_postgres("`order by … using`")),
    };
    let text = match ty {
        Type::Enum(of) => {
            let ranks = of.labels.iter().enumerate().map(|(rank, label)| {
                let label = sql::literal(&crate::data::Value::Text(label.clone()));
                format!(" when {label} then {rank}")
            });
            format!("(case {text}{} end)", ranks.collect::<String>())
        }
        Type::Array(_) if !is_sorted(ty) => {
            return Err(Refusal::only_postgres(format!("the order of type {ty}")));
        }
        ty => comparable((text.to_owned(), ty.clone()))?,
    };
    let word = if descending { " desc" } else { "" };
    let nulls = match by.options.nulls_first.unwrap_or(descending) {
        true => " nulls first",
        false => " nulls last",
    };
    Ok(format!("{text}{word}{nulls}"))
}

fn joined(parts: Vec<String>) -> String {
    match parts.is_empty() {
        true => String::new(),
        false => format!(" order by {}", parts.join(", ")),
    }
}

/// The order of what a set operation answers: by name or number.
pub fn ordered_outputs(order: &[OrderByExpr], outputs: &[Output]) -> Result<String, Refusal> {
    let mut parts = Vec::new();
    for by in order {
        let at = match &by.expr {
            Expr::Value(value) => ordinal(&value.value).filter(|at| *at < outputs.len()),
            Expr::Identifier(word) => {
                let name = names::ident(word)?;
                outputs.iter().position(|output| output.name == name)
            }
            _ => None,
        };
        let Some(at) = at else {
            return Err(
                Refusal::wrong("invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                    .fix("order by a name or number of a column"),
            );
        };
        let ty = &outputs[at].ty;
        if matches!(ty, Type::Enum(_)) {
            return Err(Refusal::only_postgres(format!(
                "the order of type {ty} here"
            )));
        }
        parts.push(sorted(&sql::quoted(&outputs[at].name), ty, by)?);
    }
    Ok(joined(parts))
}

/// The index that a number in an `order by` or `group by` means.
fn ordinal(value: &Literal) -> Option<usize> {
    match value {
        Literal::Number(text, _) => text.parse::<usize>().ok()?.checked_sub(1),
        _ => None,
    }
}
