//! `alter column … type`: a column's values become those of another type.

use sqlparser::ast::{DataType, Expr};

use super::alter::Done;
use super::catalog::{Fill, mentions};
use super::coerce::{is_integer, is_number, is_text};
use super::expr::{Kind, Place, Scope};
use super::translate::Work;
use super::view::Dependent;
use super::{Refusal, sql, table, types};
use crate::data::Type;

pub(super) fn column(
    work: &mut Work,
    name: &str,
    column: &str,
    data_type: &DataType,
    using: Option<&Expr>,
) -> Result<Done, Refusal> {
    let declared = types::declared(data_type, &work.catalog)?;
    if declared.serial {
        return Err(
            Refusal::wrong(format!("type \"{data_type}\" does not exist"))
                .fix("a serial is a whole column's type in `create table`"),
        );
    }
    let there = work.catalog.table(name)?.column(column)?.clone();
    let (from, to) = (&there.ty, &declared.ty);
    if from == to && using.is_none() && there.domain == declared.domain {
        return Ok(Done::Nothing);
    }
    free(work, name, column)?;
    let computed = matches!(there.fill, Some(Fill::Computed(_)));
    if computed && using.is_some() {
        return Err(Refusal::wrong(
            "cannot specify USING when altering type of generated column",
        ));
    }
    if there.sequence().is_some() && !is_integer(to) {
        return Err(Refusal::wrong(
            "identity column type must be smallint, integer, or bigint",
        ));
    }
    if let Some(Fill::Default(_)) = there.fill
        && !is_assigned(from, to)
    {
        return Err(Refusal::wrong(format!(
            "default for column \"{column}\" cannot be cast automatically to type {to}"
        ))
        .fix("drop the default first and set it again after it"));
    }
    let scope = Scope {
        catalog: &work.catalog,
        table: name,
        columns: &work.catalog.table(name)?.columns,
        place: Place::Using,
        rows: None,
    };
    let value = match using {
        None => {
            let failed = || {
                Refusal::wrong(format!(
                    "column \"{column}\" cannot be cast automatically to type {to}"
                ))
                .fix(format!("you might need to specify `using {column}::{to}`"))
            };
            assigned(sql::quoted(column), from, to).ok_or_else(failed)?
        }
        Some(expr) => {
            let term = scope.term(expr)?;
            match &term.kind {
                Kind::Typed(ty) => {
                    let ty = ty.clone();
                    let failed = || {
                        Refusal::wrong(format!(
                            "result of USING clause for column \"{column}\" cannot be cast automatically to type {to}"
                        ))
                        .fix("you might need to add an explicit cast")
                    };
                    assigned(term.sql, &ty, to).ok_or_else(failed)?
                }
                _ => scope.coerce(term, to, false)?,
            }
        }
    };
    let new = work.catalog.table_mut(name)?.column_mut(column)?;
    new.ty = declared.ty;
    new.domain = declared.domain;
    table::check_references(&work.catalog, name)?;
    // Says now what is wrong with a default or with an expression over the new type.
    let table = work.catalog.table(name)?;
    sql::create_table(&work.catalog, table)?;
    for (name, index) in &table.indexes {
        sql::create_index(&work.catalog, table, name, index)?;
    }
    Ok(match computed || value == sql::quoted(column) {
        true => Done::Rebuild,
        false => Done::Convert(column.to_owned(), value),
    })
}

/// Makes sure that nothing needs the column to have the type it has.
fn free(work: &Work, name: &str, column: &str) -> Result<(), Refusal> {
    for who in work.catalog.dependents(name, Some(column))? {
        let used = match &who {
            Dependent::View(_) => "used by a view or rule",
            Dependent::Policy(..) => "used in a policy definition",
        };
        return Err(Refusal::wrong(format!(
            "cannot alter type of a column {used}: {who} depends on column \"{column}\""
        ))
        .fix("drop that one first and make it again"));
    }
    let uses =
        |fill: &Option<Fill>| matches!(fill, Some(Fill::Computed(expr)) if mentions(expr, column));
    let table = work.catalog.table(name)?;
    match table.columns.iter().find(|there| uses(&there.fill)) {
        Some(there) => Err(Refusal::wrong(format!(
            "cannot alter type of a column used by a generated column: \"{}\"",
            there.name
        ))
        .fix("drop that one first and add it again")),
        None => Ok(()),
    }
}

/// `value` as an assignment makes it a value of type `to`: too long a text is an error, not cut.
fn assigned(value: String, from: &Type, to: &Type) -> Option<String> {
    let unbound = |ty: &Type| matches!(ty, Type::Text | Type::Varchar { length: None });
    let widens = match (from, to) {
        (Type::Smallint, Type::Integer | Type::Bigint) | (Type::Integer, Type::Bigint) => true,
        (Type::Varchar { length: Some(from) }, Type::Varchar { length: Some(to) }) => from <= to,
        (Type::Numeric { .. }, Type::Numeric { precision: None }) => true,
        (Type::Real, Type::DoublePrecision) => true,
        (Type::Text | Type::Varchar { .. } | Type::Uuid | Type::Enum(_), to) => unbound(to),
        (from, to) => from == to,
    };
    if widens || from == to {
        return Some(value);
    }
    if !is_assigned(from, to) {
        return None;
    }
    Some(match to {
        Type::Varchar { length: Some(_) } | Type::Char { .. } => {
            let text = match from {
                // It keeps its blanks until it is known whether they fit.
                from if is_text(from) => value,
                from => sql::cast(&value, from, &Type::Text),
            };
            sql::fit(&text, to)
        }
        to => sql::cast(&value, from, to),
    })
}

/// Whether PostgreSQL casts by itself in an assignment. Source: PostgreSQL 15, `pg_cast`.
fn is_assigned(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Array(from), Type::Array(to)) => is_assigned(from, to),
        (from, to) if from == to || is_text(to) => true,
        (from, to) if is_number(from) && is_number(to) => true,
        (Type::Date, Type::Timestamp | Type::Timestamptz)
        | (Type::Timestamp, Type::Date | Type::Time | Type::Timestamptz)
        | (Type::Timestamptz, Type::Date | Type::Time | Type::Timestamp)
        | (Type::Time, Type::Interval)
        | (Type::Interval, Type::Time)
        | (Type::Json, Type::Jsonb)
        | (Type::Jsonb, Type::Json) => true,
        _ => false,
    }
}
