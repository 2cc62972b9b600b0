//! Which type a term has where it stands, and the stored form it takes there.

use sqlparser::ast::Expr;

use super::expr::{Kind, Scope, Term};
use super::{Refusal, literal, sql};
use crate::data::{Type, Value};

impl Scope<'_> {
    /// A term's text and type, when nothing around it says more.
    pub(super) fn settle(&self, term: Term) -> Result<(String, Type), Refusal> {
        let ty = match &term.kind {
            Kind::Typed(ty) => ty.clone(),
            Kind::Quoted(_) | Kind::Null => Type::Text,
            Kind::Number(text) => match (text.parse::<i32>(), text.parse::<i64>()) {
                (Ok(_), _) => Type::Integer,
                (_, Ok(_)) => Type::Bigint,
                _ => Type::Numeric { precision: None },
            },
        };
        Ok((self.coerce(term, &ty, false)?, ty))
    }

    /// The term as a value of `ty`; by `cast` or by an assignment.
    pub(super) fn coerce(&self, term: Term, ty: &Type, cast: bool) -> Result<String, Refusal> {
        let from = match term.kind {
            Kind::Null => return Ok(term.sql),
            Kind::Quoted(text) => return Ok(sql::literal(&literal::stored(ty, &text)?)),
            Kind::Number(text) => {
                let number = is_number(ty) || *ty == Type::Text || is_text(ty);
                if !number {
                    return Err(mismatch("number", ty));
                }
                // An integer takes a decimal literal rounded.
                let text = match ty {
                    Type::Smallint | Type::Integer | Type::Bigint if text.contains('.') => {
                        match literal::stored(
                            &Type::Numeric {
                                precision: Some((1000, 0)),
                            },
                            &text,
                        )? {
                            Value::Text(text) => text,
                            _ => text,
                        }
                    }
                    _ => text,
                };
                return Ok(sql::literal(&literal::stored(ty, &text)?));
            }
            Kind::Typed(from) => from,
        };
        let sql = term.sql;
        if from == *ty {
            return Ok(sql);
        }
        Ok(match (&from, ty) {
            // A wider integer may not fit: refused unless it is asked for, as nothing checks it here.
            (Type::Smallint, Type::Integer | Type::Bigint) | (Type::Integer, Type::Bigint) => sql,
            (Type::Bigint | Type::Integer, Type::Smallint | Type::Integer) if !cast => sql,
            (Type::Varchar { .. } | Type::Text, Type::Text | Type::Varchar { length: None }) => sql,
            (Type::Varchar { length: Some(from) }, Type::Varchar { length: Some(to) })
                if from <= to =>
            {
                sql
            }
            (Type::Enum(_) | Type::Uuid, Type::Text | Type::Varchar { length: None }) => sql,
            (
                Type::Smallint | Type::Integer | Type::Bigint,
                Type::Numeric { precision: None } | Type::Text,
            ) => format!("cast({sql} as text)"),
            (Type::Smallint | Type::Integer | Type::Bigint, Type::Real | Type::DoublePrecision)
            | (Type::Numeric { .. }, Type::Real | Type::DoublePrecision) => {
                format!("cast({sql} as real)")
            }
            (Type::Numeric { .. }, Type::Numeric { precision: None }) => sql,
            (Type::Numeric { .. }, Type::Text) => sql,
            (Type::Real, Type::DoublePrecision) => sql,
            (Type::Boolean, Type::Text) => {
                format!("(case {sql} when 1 then 'true' when 0 then 'false' end)")
            }
            (Type::Timestamptz, Type::Timestamp) => format!("replace({sql}, '+00:00', '')"),
            (Type::Timestamptz | Type::Timestamp, Type::Date) => format!("substr({sql}, 1, 10)"),
            (Type::Timestamptz, Type::Time) => format!("substr(replace({sql}, '+00:00', ''), 12)"),
            (Type::Timestamp, Type::Time) => format!("substr({sql}, 12)"),
            (Type::Timestamp, Type::Timestamptz) => format!("({sql} || '+00:00')"),
            (Type::Date, Type::Timestamp) => format!("({sql} || 'T00:00:00')"),
            (Type::Date, Type::Timestamptz) => format!("({sql} || 'T00:00:00+00:00')"),
            _ => match self.cast_late(&sql, &from, ty) {
                Some(late) if cast => late,
                _ => return Err(mismatch(&from.to_string(), ty)),
            },
        })
    }

    pub(super) fn boolean(&self, term: Term) -> Result<String, Refusal> {
        match &term.kind {
            Kind::Typed(Type::Boolean) | Kind::Null => Ok(term.sql),
            Kind::Quoted(_) => self.coerce(term, &Type::Boolean, false),
            Kind::Typed(ty) => Err(Refusal::wrong(format!(
                "a condition must be type boolean, not type {ty}"
            ))),
            Kind::Number(_) => Err(Refusal::wrong(
                "a condition must be type boolean, not type integer",
            )),
        }
    }

    pub(super) fn text(&self, expr: &Expr) -> Result<String, Refusal> {
        let term = self.term(expr)?;
        match &term.kind {
            Kind::Typed(ty) if is_text(ty) => Ok(term.sql),
            Kind::Typed(ty) => Err(mismatch(&ty.to_string(), &Type::Text)),
            _ => self.coerce(term, &Type::Text, false),
        }
    }
}

/// The type without what binds a column only: a length, a precision and scale.
pub fn open(ty: Type) -> Type {
    match ty {
        Type::Varchar { .. } => Type::Text,
        Type::Numeric { .. } => Type::Numeric { precision: None },
        ty => ty,
    }
}

fn mismatch(from: &str, to: &Type) -> Refusal {
    Refusal::wrong(format!("a value of type {from} where type {to} is needed"))
        .fix("write a literal of that type, or mark it with `-- pumice: only postgres`")
}

pub fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Varchar { .. } | Type::Char { .. })
}

pub fn is_integer(ty: &Type) -> bool {
    matches!(ty, Type::Smallint | Type::Integer | Type::Bigint)
}

pub fn is_float(ty: &Type) -> bool {
    matches!(ty, Type::Real | Type::DoublePrecision)
}

pub fn is_number(ty: &Type) -> bool {
    is_integer(ty) || is_float(ty) || matches!(ty, Type::Numeric { .. })
}
