//! Aggregate functions of a view's query.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::coerce::{is_float, is_text};
use super::expr::{Scope, Term};
use super::order::collation;
use super::rows::Clause;
use super::{Refusal, names};
use crate::data::Type;

/// Those that a view can have.
const KNOWN: [&str; 8] = [
    "count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every",
];

pub(super) fn is_aggregate(function: &Function) -> bool {
    let name = names::parts(&function.name).unwrap_or_default();
    match &name[..] {
        [name] => KNOWN.contains(&name.as_str()),
        [space, name] => space == "pg_catalog" && KNOWN.contains(&name.as_str()),
        _ => false,
    }
}

impl Scope<'_> {
    /// The aggregate that `function` is, or `None` if it is none.
    pub(super) fn aggregate(&self, function: &Function) -> Result<Option<Term>, Refusal> {
        let mut name = names::parts(&function.name)?;
        if name.len() == 2 && name[0] == "pg_catalog" {
            name.remove(0);
        }
        let [name] = &name[..] else {
            return Ok(None);
        };
        if !KNOWN.contains(&name.as_str()) {
            return Ok(None);
        }
        let Some(rows) = self.rows else {
            return Err(Refusal::wrong(format!(
                "aggregate functions are not allowed here: `{function}`"
            )));
        };
        match rows.clause.get() {
            Clause::Plain(place) => {
                return Err(Refusal::wrong(format!(
                    "aggregate functions are not allowed in {place}"
                )));
            }
            Clause::Inside => {
                return Err(Refusal::wrong("aggregate function calls cannot be nested"));
            }
            Clause::Output => {}
        }
        let FunctionArguments::List(list) = &function.args else {
            return Ok(None);
        };
        if function.over.is_some()
            || !function.within_group.is_empty()
            || function.null_treatment.is_some()
            || !list.clauses.is_empty()
        {
            return Err(Refusal::only_postgres(format!("`{function}`")));
        }
        let distinct = match list.duplicate_treatment {
            Some(DuplicateTreatment::Distinct) => "distinct ",
            _ => "",
        };
        rows.aggregated.set(true);
        rows.clause.set(Clause::Inside);
        let term = self.aggregated(name, distinct, &list.args);
        let filter = function
            .filter
            .as_ref()
            .map(|filter| self.condition(filter))
            .transpose();
        rows.clause.set(Clause::Output);
        let (mut sql, ty) = term?;
        if let Some(filter) = filter? {
            sql.push_str(&format!(" filter (where {filter})"));
        }
        self.typed(sql, ty).map(Some)
    }

    fn aggregated(
        &self,
        name: &str,
        distinct: &str,
        arguments: &[FunctionArg],
    ) -> Result<(String, Type), Refusal> {
        let refused = |ty: &Type| Refusal::only_postgres(format!("{name}({ty})"));
        let argument: &Expr = match arguments {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" => {
                return Ok(("count(*)".to_owned(), Type::Bigint));
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => expr,
            _ => {
                return Err(Refusal::only_postgres(format!(
                    "{name} of other than one value"
                )));
            }
        };
        let term = self.term(argument)?;
        let (value, ty) = self.settle(term)?;
        let collate = collation(&ty);
        Ok(match name {
            "count" => {
                if !distinct.is_empty() && ty == Type::Json {
                    return Err(refused(&ty));
                }
                (format!("count({distinct}{value}{collate})"), Type::Bigint)
            }
            "sum" => match ty {
                Type::Smallint | Type::Integer => (format!("sum({distinct}{value})"), Type::Bigint),
                Type::Real | Type::DoublePrecision if distinct.is_empty() => {
                    (format!("sum({value})"), ty)
                }
                Type::Bigint | Type::Numeric { .. } if distinct.is_empty() => (
                    format!("pumice_sum({value}, {})", ty.form()),
                    Type::Numeric { precision: None },
                ),
                ty => return Err(refused(&ty)),
            },
            "avg" => match ty {
                ty if is_float(&ty) && distinct.is_empty() => {
                    (format!("avg({value})"), Type::DoublePrecision)
                }
                Type::Smallint | Type::Integer | Type::Bigint | Type::Numeric { .. }
                    if distinct.is_empty() =>
                {
                    (
                        format!("pumice_avg({value}, {})", ty.form()),
                        Type::Numeric { precision: None },
                    )
                }
                ty => return Err(refused(&ty)),
            },
            "min" | "max" => match &ty {
                Type::Smallint
                | Type::Integer
                | Type::Bigint
                | Type::Numeric { .. }
                | Type::Real
                | Type::DoublePrecision
                | Type::Date
                | Type::Time
                | Type::Timestamp
                | Type::Timestamptz
                | Type::Interval => (
                    format!("{name}({value}{collate})"),
                    super::coerce::open(ty.clone()),
                ),
                text if is_text(text) => (format!("{name}({value})"), Type::Text),
                ty => return Err(refused(ty)),
            },
            // Booleans are 0 and 1.
            _ if ty == Type::Boolean => {
                let function = if name == "bool_or" { "max" } else { "min" };
                (format!("{function}({value})"), Type::Boolean)
            }
            _ => return Err(refused(&ty)),
        })
    }
}
