//! Operators of JSON, arrays and patterns, and casts that only a function of ours does.

use sqlparser::ast::{BinaryOperator, Expr, Value as Literal};

use super::coerce::{is_integer, is_text};
use super::expr::{Kind, Place, Scope, Term};
use super::rows::MARK;
use super::{Refusal, literal, sql};
use crate::data::functions::casts;
use crate::data::{Type, Value};

impl Scope<'_> {
    /// `->`, `->>`, `#>` and `#>>`: `pumice_path`.
    pub(super) fn json_path(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Term, Refusal> {
        let base = self.term(left)?;
        let Kind::Typed(ty @ (Type::Json | Type::Jsonb)) = base.kind.clone() else {
            return Err(Refusal::wrong(format!("`{left}` is no json")).fix("cast it to jsonb"));
        };
        let one = matches!(operator, BinaryOperator::Arrow | BinaryOperator::LongArrow);
        let as_text = matches!(
            operator,
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow
        );
        let path = match (self.term(right)?.kind, one) {
            (Kind::Quoted(key), true) => {
                // A JSON string: what serde writes of one.
                format!("[{}]", serde_json::Value::from(key))
            }
            (Kind::Number(at), true) if at.parse::<i32>().is_ok() => format!("[{at}]"),
            (Kind::Quoted(keys), false) => {
                match literal::stored(&Type::Array(Box::new(Type::Text)), &keys)? {
                    Value::Text(path) => path,
                    _ => return Err(Refusal::wrong("a path that is no array")),
                }
            }
            _ => return Err(Refusal::only_postgres("a key that is no literal")),
        };
        let path = sql::literal(&Value::Text(path));
        self.typed(
            format!("pumice_path({}, {path}, {})", base.sql, i32::from(as_text)),
            if as_text { Type::Text } else { ty },
        )
    }

    /// `@>`, `<@` and `&&`.
    pub(super) fn contains(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Term, Refusal> {
        let (mut left, mut right) = (self.side(left, right)?, self.side(right, left)?);
        if *operator == BinaryOperator::ArrowAt {
            std::mem::swap(&mut left, &mut right);
        }
        let (left, ty) = left;
        let (right, other) = right;
        if ty != other {
            return Err(
                Refusal::wrong(format!("no operator for {ty} and {other}")).fix("cast one side")
            );
        }
        let sql = match (&ty, operator) {
            (Type::Array(_), BinaryOperator::PGOverlap) => {
                format!("pumice_overlaps({left}, {right})")
            }
            (Type::Jsonb, BinaryOperator::AtArrow | BinaryOperator::ArrowAt) => {
                format!("pumice_contains({left}, {right}, 0)")
            }
            (Type::Array(_), BinaryOperator::AtArrow | BinaryOperator::ArrowAt) => {
                format!("pumice_contains({left}, {right}, 1)")
            }
            _ => {
                return Err(Refusal::only_postgres(format!(
                    "the operator {operator} for type {ty}"
                )));
            }
        };
        self.typed(sql, Type::Boolean)
    }

    /// One side of an operator whose other side gives a literal its type.
    fn side(&self, expr: &Expr, other: &Expr) -> Result<(String, Type), Refusal> {
        if let Expr::Array(_) = expr {
            let ty = self.settle(self.term(other)?)?.1;
            return Ok((self.assigned(expr, &ty)?, ty));
        }
        let term = self.term(expr)?;
        if matches!(term.kind, Kind::Typed(_)) {
            return self.settle(term);
        }
        let ty = self.settle(self.term(other)?)?.1;
        Ok((self.coerce(term, &ty, false)?, ty))
    }

    /// `value = any (array)`.
    pub(super) fn any_of(&self, value: &Expr, array: &Expr) -> Result<Term, Refusal> {
        let (array, ty) = self.settle(self.term(array)?)?;
        let Type::Array(element) = ty else {
            return Err(Refusal::wrong(
                "op ANY/ALL (array) requires array on right side",
            ));
        };
        if !(is_text(&element)
            || is_integer(&element)
            || matches!(*element, Type::Uuid | Type::Enum(_)))
        {
            return Err(Refusal::only_postgres(format!(
                "`any` of an array of {element}"
            )));
        }
        let term = self.term(value)?;
        let value = match &term.kind {
            Kind::Typed(ty)
                if *ty == *element
                    || is_text(ty) && is_text(&element)
                    || is_integer(ty) && is_integer(&element) =>
            {
                term.sql
            }
            Kind::Typed(ty) => {
                return Err(
                    Refusal::wrong(format!("no operator for {ty} and {element}"))
                        .fix("cast one side"),
                );
            }
            _ => self.coerce(term, &element, false)?,
        };
        self.typed(
            format!(
                "(case when {value} is not null then pumice_contains({array}, json_array({value}), 1) end)"
            ),
            Type::Boolean,
        )
    }

    /// `~`, `~*` and their opposites.
    pub(super) fn pattern(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Term, Refusal> {
        let (not, function) = match operator {
            BinaryOperator::PGRegexMatch => ("", "pumice_match"),
            BinaryOperator::PGRegexIMatch => ("", "pumice_imatch"),
            BinaryOperator::PGRegexNotMatch => ("not ", "pumice_match"),
            _ => ("not ", "pumice_imatch"),
        };
        let (text, pattern) = (self.text(left)?, self.text(right)?);
        self.typed(
            format!("({not}{function}({text}, {pattern}))"),
            Type::Boolean,
        )
    }

    /// A cast that `pumice_cast` does at run time: between text and other types, and back.
    pub(super) fn cast_late(&self, sql: &str, from: &Type, to: &Type) -> Option<String> {
        if self.place == Place::Using {
            return casts(from, to).then(|| sql::cast(sql, from, to));
        }
        self.rows?;
        let scalar = |ty: &Type| {
            !matches!(
                ty,
                Type::Enum(_) | Type::Other(_) | Type::Array(_) | Type::Interval
            )
        };
        let known = (is_text(from) && scalar(to))
            || (is_text(to) && scalar(from))
            || (is_integer(from) && is_integer(to))
            || matches!(
                (from, to),
                (Type::Json, Type::Jsonb) | (Type::Jsonb, Type::Json)
            )
            || matches!(from, Type::Jsonb) && matches!(to, Type::Boolean | Type::Numeric { .. })
            || matches!(
                (from, to),
                (Type::Boolean, Type::Integer) | (Type::Integer, Type::Boolean)
            )
            || matches!(
                from,
                Type::Numeric { .. } | Type::Real | Type::DoublePrecision
            ) && (is_integer(to) || matches!(to, Type::Numeric { .. }));
        known.then(|| sql::cast(sql, from, to))
    }

    /// Refuses a literal that would look like a place for a relation.
    pub(super) fn clean(&self, value: &Literal) -> Result<(), Refusal> {
        let marked = match value {
            Literal::SingleQuotedString(text)
            | Literal::EscapedStringLiteral(text)
            | Literal::UnicodeStringLiteral(text) => text.contains(MARK),
            Literal::DollarQuotedString(text) => text.value.contains(MARK),
            _ => false,
        };
        match marked && self.rows.is_some() {
            true => Err(Refusal::only_postgres("a literal with the character 1")),
            false => Ok(()),
        }
    }
}
