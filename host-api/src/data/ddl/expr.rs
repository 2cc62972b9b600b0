//! PostgreSQL expressions of defaults, checks, indexes and data statements, to SQLite's.
//!
//! Types are followed, so that a comparison means what it means on PostgreSQL: a literal takes the
//! stored form of what it is compared with, and numerics compare as exact decimals. What would mean
//! something else is refused.
//!
//! What SQLite's own functions do not do as PostgreSQL's, `functions.rs` does.

use sqlparser::ast::{BinaryOperator, CastKind, Expr, Ident, UnaryOperator, Value as Literal};

use super::catalog::{Catalog, ColumnDef};
use super::coerce::{is_float, is_integer, open};
use super::rows::{Clause, Rows};
use super::{Refusal, literal, names, sql, types};
use crate::data::Type;

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Has no columns.
    Default,
    Check,
    /// An index or a computed column: only what never changes.
    Stored,
    /// An insert, update or delete.
    Statement,
    /// What a column becomes whose type changes: casts happen when it is asked, as in [`Place::Query`].
    Using,
    /// A view's query or a policy.
    Query,
}

/// What an expression may name.
#[derive(Clone, Copy)]
pub struct Scope<'c> {
    pub catalog: &'c Catalog,
    /// The table's name and columns.
    pub table: &'c str,
    pub columns: &'c [ColumnDef],
    pub place: Place,
    /// What names stand for in a query or a policy, in place of the table's columns.
    pub rows: Option<&'c Rows<'c>>,
}

/// A translated expression.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub sql: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Typed(Type),
    /// A quoted literal, whose type comes from what is around it.
    Quoted(String),
    /// A number as it is written.
    Number(String),
    Null,
}

impl Scope<'_> {
    /// A condition.
    pub fn condition(&self, expr: &Expr) -> Result<String, Refusal> {
        let term = self.term(expr)?;
        self.boolean(term)
    }

    /// An index's expression: any type.
    pub fn value(&self, expr: &Expr) -> Result<String, Refusal> {
        let term = self.term(expr)?;
        Ok(self.settle(term)?.0)
    }

    /// A value for a column of type `ty`.
    pub fn assigned(&self, expr: &Expr, ty: &Type) -> Result<String, Refusal> {
        if let (Expr::Array(array), Type::Array(element)) = (bare(expr), ty) {
            return self.array(&array.elem, element);
        }
        let term = self.term(expr)?;
        self.coerce(term, ty, false)
    }

    fn array(&self, items: &[Expr], element: &Type) -> Result<String, Refusal> {
        let items = items
            .iter()
            .map(|item| {
                let term = self.term(item)?;
                match term.kind {
                    Kind::Quoted(text) | Kind::Number(text) => Ok(Some(text)),
                    Kind::Null => Ok(None),
                    Kind::Typed(Type::Boolean) if term.sql == "1" || term.sql == "0" => {
                        Ok(Some(term.sql))
                    }
                    Kind::Typed(_) => {
                        Err(Refusal::only_postgres("an array of anything but literals"))
                    }
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(sql::literal(&literal::array(element, &items)?))
    }

    pub(super) fn typed(&self, sql: impl Into<String>, ty: Type) -> Result<Term, Refusal> {
        Ok(Term {
            sql: sql.into(),
            kind: Kind::Typed(ty),
        })
    }

    pub(super) fn term(&self, expr: &Expr) -> Result<Term, Refusal> {
        // What is grouped by has one value in each group, whatever it is made of.
        if let Some(rows) = self.rows
            && rows.clause.get() == Clause::Output
            && rows.grouped.contains(expr)
        {
            rows.clause.set(Clause::Inside);
            let term = self.part(expr);
            rows.clause.set(Clause::Output);
            return term;
        }
        self.part(expr)
    }

    fn part(&self, expr: &Expr) -> Result<Term, Refusal> {
        let boolean = |sql: String| self.typed(sql, Type::Boolean);
        match expr {
            Expr::Nested(inner) => self.term(inner),
            Expr::Identifier(name) if self.is_role(name) => self.typed("pumice_role()", Type::Text),
            Expr::Identifier(name) if self.rows.is_some() => self.named(std::slice::from_ref(name)),
            Expr::Identifier(name) => self.column(&names::ident(name)?),
            Expr::CompoundIdentifier(parts) if self.rows.is_some() => self.named(parts),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [table, column] if names::ident(table)? == self.table => {
                    self.column(&names::ident(column)?)
                }
                [table, column]
                    if self.place == Place::Statement && names::ident(table)? == "excluded" =>
                {
                    let term = self.column(&names::ident(column)?)?;
                    Ok(Term {
                        sql: format!("excluded.{}", term.sql),
                        ..term
                    })
                }
                _ => Err(Refusal::only_postgres(format!("`{expr}`"))),
            },
            Expr::Value(value) => self.literal(&value.value),
            Expr::Subquery(query) => self.scalar(query),
            Expr::Exists { subquery, negated } => self.exists(subquery, *negated),
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_query(expr, subquery, *negated),
            Expr::TypedString(typed) => {
                let ty = types::plain(&typed.data_type, self.catalog)?;
                let term = self.literal(&typed.value.value)?;
                let sql = self.coerce(term, &ty, true)?;
                self.typed(sql, ty)
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                let ty = types::plain(data_type, self.catalog)?;
                if let (Expr::Array(array), Type::Array(element)) = (bare(expr), &ty) {
                    return self.typed(self.array(&array.elem, element)?, ty);
                }
                let term = self.term(expr)?;
                let sql = self.coerce(term, &ty, true)?;
                self.typed(sql, ty)
            }
            Expr::IsNull(inner) => boolean(format!("({} is null)", self.value(inner)?)),
            Expr::IsNotNull(inner) => boolean(format!("({} is not null)", self.value(inner)?)),
            Expr::IsTrue(inner) => boolean(format!("({} is 1)", self.condition(inner)?)),
            Expr::IsNotTrue(inner) => boolean(format!("({} is not 1)", self.condition(inner)?)),
            Expr::IsFalse(inner) => boolean(format!("({} is 0)", self.condition(inner)?)),
            Expr::IsNotFalse(inner) => boolean(format!("({} is not 0)", self.condition(inner)?)),
            Expr::IsUnknown(inner) => boolean(format!("({} is null)", self.condition(inner)?)),
            Expr::IsNotUnknown(inner) => {
                boolean(format!("({} is not null)", self.condition(inner)?))
            }
            Expr::IsDistinctFrom(left, right) => self.compare(left, "is not", right),
            Expr::IsNotDistinctFrom(left, right) => self.compare(left, "is", right),
            Expr::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated),
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => match bare(right) {
                Expr::Array(array) => self.in_list(left, &array.elem, false),
                Expr::Subquery(query) => self.in_query(left, query, false),
                array => self.any_of(left, array),
            },
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let low = self.compare(expr, ">=", low)?;
                let high = self.compare(expr, "<=", high)?;
                let both = format!("({} and {})", low.sql, high.sql);
                boolean(if *negated {
                    format!("(not {both})")
                } else {
                    both
                })
            }
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like("pumice_like", *negated, expr, pattern),
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like("pumice_ilike", *negated, expr, pattern),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => boolean(format!("(not {})", self.condition(expr)?)),
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            } => self.term(expr),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => self.negated(expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                let mut sql = "(case".to_owned();
                let mut ty = None;
                let results = conditions
                    .iter()
                    .map(|when| &when.result)
                    .chain(else_result.as_deref());
                for result in results {
                    if let Kind::Typed(found) = self.term(result)?.kind {
                        ty = Some(open(found));
                        break;
                    }
                }
                let ty = match ty {
                    Some(ty) => ty,
                    None => self.settle(self.term(&conditions[0].result)?)?.1,
                };
                for when in conditions {
                    let condition = match operand {
                        Some(operand) => self.compare(operand, "=", &when.condition)?.sql,
                        None => self.condition(&when.condition)?,
                    };
                    let result = self.assigned(&when.result, &ty)?;
                    sql.push_str(&format!(" when {condition} then {result}"));
                }
                if let Some(result) = else_result {
                    sql.push_str(&format!(" else {}", self.assigned(result, &ty)?));
                }
                sql.push_str(" end)");
                self.typed(sql, ty)
            }
            Expr::Trim {
                trim_where: None,
                trim_what: None,
                trim_characters: None,
                expr,
            } => {
                let text = self.text(expr)?;
                self.typed(format!("trim({text})"), Type::Text)
            }
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => self.at_utc(time_zone, timestamp),
            Expr::Function(function) => self.function(function),
            Expr::Array(_) => Err(Refusal::only_postgres(format!("`{expr}` without a type"))
                .fix("write it as a quoted literal: '{a,b}'")),
            _ => Err(Refusal::only_postgres(format!("`{expr}`"))),
        }
    }

    fn named(&self, parts: &[Ident]) -> Result<Term, Refusal> {
        let rows = self
            .rows
            .ok_or_else(|| Refusal::wrong("a name that stands for nothing"))?;
        let (sql, output) = rows.column(parts)?;
        self.typed(sql, output.ty)
    }

    /// `current_role`, which the parser takes for a column.
    fn is_role(&self, name: &Ident) -> bool {
        self.rows.is_some()
            && name.quote_style.is_none()
            && name.value.eq_ignore_ascii_case("current_role")
    }

    fn column(&self, name: &str) -> Result<Term, Refusal> {
        if self.place == Place::Default {
            return Err(Refusal::wrong(
                "cannot use a column in a default expression",
            ));
        }
        let column = self
            .columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| Refusal::wrong(format!("column \"{name}\" does not exist")))?;
        self.typed(sql::quoted(name), column.ty.clone())
    }

    fn literal(&self, value: &Literal) -> Result<Term, Refusal> {
        self.clean(value)?;
        let kind = match value {
            Literal::Number(text, _) => Kind::Number(text.clone()),
            Literal::SingleQuotedString(text)
            | Literal::EscapedStringLiteral(text)
            | Literal::UnicodeStringLiteral(text) => Kind::Quoted(text.clone()),
            Literal::DollarQuotedString(text) => Kind::Quoted(text.value.clone()),
            Literal::Boolean(value) => {
                return self.typed(if *value { "1" } else { "0" }, Type::Boolean);
            }
            Literal::Null => Kind::Null,
            other => return Err(Refusal::only_postgres(format!("the literal {other}"))),
        };
        Ok(Term {
            sql: "null".to_owned(),
            kind,
        })
    }

    fn negated(&self, expr: &Expr) -> Result<Term, Refusal> {
        let term = self.term(expr)?;
        match term.kind {
            Kind::Number(text) => Ok(Term {
                kind: Kind::Number(match text.strip_prefix('-') {
                    Some(text) => text.to_owned(),
                    None => format!("-{text}"),
                }),
                ..term
            }),
            Kind::Typed(ty) if is_integer(&ty) || is_float(&ty) => {
                self.typed(format!("(- {})", term.sql), ty)
            }
            _ => Err(Refusal::only_postgres(format!("`-{expr}`"))),
        }
    }

    fn binary(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Term, Refusal> {
        let joined = |word: &str| -> Result<Term, Refusal> {
            let (left, right) = (self.condition(left)?, self.condition(right)?);
            self.typed(format!("({left} {word} {right})"), Type::Boolean)
        };
        match operator {
            BinaryOperator::And => joined("and"),
            BinaryOperator::Or => joined("or"),
            BinaryOperator::Eq => self.compare(left, "=", right),
            BinaryOperator::NotEq => self.compare(left, "<>", right),
            BinaryOperator::Lt => self.compare(left, "<", right),
            BinaryOperator::LtEq => self.compare(left, "<=", right),
            BinaryOperator::Gt => self.compare(left, ">", right),
            BinaryOperator::GtEq => self.compare(left, ">=", right),
            BinaryOperator::StringConcat => {
                let side = |expr| -> Result<String, Refusal> {
                    let term = self.term(expr)?;
                    self.coerce(term, &Type::Text, false)
                };
                let (left, right) = (side(left)?, side(right)?);
                self.typed(format!("({left} || {right})"), Type::Text)
            }
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let (left, right, ty) = self.pair(left, right)?;
                if !(is_integer(&ty) || is_float(&ty) && *operator != BinaryOperator::Modulo) {
                    return Err(Refusal::only_postgres(format!("arithmetic on type {ty}")));
                }
                self.typed(format!("({left} {operator} {right})"), ty)
            }
            BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
                if self.rows.is_some() =>
            {
                self.json_path(left, operator, right)
            }
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt | BinaryOperator::PGOverlap
                if self.rows.is_some() =>
            {
                self.contains(left, operator, right)
            }
            BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
                if self.rows.is_some() =>
            {
                self.pattern(left, operator, right)
            }
            other => Err(Refusal::only_postgres(format!("the operator {other}"))),
        }
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        Expr::Cast { expr: inner, .. } if matches!(bare(inner), Expr::Array(_)) => bare(inner),
        other => other,
    }
}
