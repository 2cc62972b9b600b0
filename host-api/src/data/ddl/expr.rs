//! PostgreSQL expressions of defaults, checks, indexes and data statements, to SQLite's.
//!
//! Types are followed, so that a comparison means what it means on PostgreSQL: a literal takes the
//! stored form of what it is compared with, and numerics compare as exact decimals. What would mean
//! something else is refused.
//!
//! What SQLite's own functions do not do as PostgreSQL's, `functions.rs` does.

use sqlparser::ast::{BinaryOperator, CastKind, Expr, UnaryOperator, Value as Literal};

use super::catalog::{Catalog, ColumnDef};
use super::{Refusal, literal, names, sql, types};
use crate::data::{Type, Value};

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
}

/// What an expression may name.
#[derive(Clone, Copy)]
pub struct Scope<'c> {
    pub catalog: &'c Catalog,
    /// The table's name and columns.
    pub table: &'c str,
    pub columns: &'c [ColumnDef],
    pub place: Place,
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
        let boolean = |sql: String| self.typed(sql, Type::Boolean);
        match expr {
            Expr::Nested(inner) => self.term(inner),
            Expr::Identifier(name) => self.column(&names::ident(name)?),
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
                _ => Err(Refusal::only_postgres(
                    "`any` of anything but an array of literals",
                )),
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
            _ => return Err(mismatch(&from.to_string(), ty)),
        })
    }

    fn boolean(&self, term: Term) -> Result<String, Refusal> {
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

    /// Both sides with the type they are compared in.
    fn pair(&self, left: &Expr, right: &Expr) -> Result<(String, String, Type), Refusal> {
        let (left, right) = (self.term(left)?, self.term(right)?);
        let free = |term: &Term| !matches!(term.kind, Kind::Typed(_));
        match (free(&left), free(&right)) {
            (false, true) => {
                let (left, ty) = self.settle(left)?;
                let (right, ty) = self.beside(right, left.clone(), ty)?;
                Ok((right.1, right.0, ty))
            }
            (true, false) => {
                let (right, ty) = self.settle(right)?;
                let (left, ty) = self.beside(left, right.clone(), ty)?;
                Ok((left.0, left.1, ty))
            }
            _ => {
                let (left, left_ty) = self.settle(left)?;
                let (right, right_ty) = self.settle(right)?;
                self.matched((left, left_ty), (right, right_ty))
            }
        }
    }

    /// The literal `free` beside `typed` of type `ty`: both texts, the literal's first.
    fn beside(
        &self,
        free: Term,
        typed: String,
        ty: Type,
    ) -> Result<((String, String), Type), Refusal> {
        // Lengths and scales do not bind what is only compared.
        let open = open(ty);
        let decimal = matches!(&free.kind, Kind::Number(text) if text.parse::<i64>().is_err());
        if decimal && is_integer(&open) {
            let (free, free_ty) = self.settle(free)?;
            let (free, typed, ty) = self.matched((free, free_ty), (typed, open))?;
            return Ok(((free, typed), ty));
        }
        // Beside a smallint, a number may be larger.
        let wide = match open {
            Type::Smallint | Type::Integer => Type::Bigint,
            ref ty => ty.clone(),
        };
        Ok(((self.coerce(free, &wide, false)?, typed), open))
    }

    fn matched(
        &self,
        (left, left_ty): (String, Type),
        (right, right_ty): (String, Type),
    ) -> Result<(String, String, Type), Refusal> {
        let numeric = |ty: &Type| matches!(ty, Type::Numeric { .. });
        if left_ty == right_ty
            || (is_text(&left_ty) && is_text(&right_ty))
            || (is_integer(&left_ty) && is_integer(&right_ty))
            || (numeric(&left_ty) && numeric(&right_ty))
        {
            let ty = if left_ty == Type::Bigint {
                left_ty
            } else {
                right_ty
            };
            return Ok((left, right, ty));
        }
        if is_float(&left_ty) && is_number(&right_ty) || is_float(&right_ty) && is_number(&left_ty)
        {
            let ty = Type::DoublePrecision;
            let real = |sql: String, from: &Type| match from {
                from if is_float(from) => sql,
                _ => format!("cast({sql} as real)"),
            };
            return Ok((real(left, &left_ty), real(right, &right_ty), ty));
        }
        if is_number(&left_ty) && is_number(&right_ty) {
            let exact = |sql: String, from: &Type| match from {
                from if is_integer(from) => format!("cast({sql} as text)"),
                _ => sql,
            };
            return Ok((
                exact(left, &left_ty),
                exact(right, &right_ty),
                Type::Numeric { precision: None },
            ));
        }
        Err(
            Refusal::wrong(format!("no operator for {left_ty} and {right_ty}"))
                .fix("cast one side, or mark it with `-- pumice: only postgres`"),
        )
    }

    pub(super) fn compare(
        &self,
        left: &Expr,
        operator: &str,
        right: &Expr,
    ) -> Result<Term, Refusal> {
        let (left, right, ty) = self.pair(left, right)?;
        let ordered = matches!(operator, "<" | "<=" | ">" | ">=");
        match ty {
            Type::Json | Type::Other(_) => {
                return Err(Refusal::wrong(format!("type {ty} cannot be compared")));
            }
            // Their stored text does not sort as they do.
            Type::Enum(_) | Type::Jsonb | Type::Array(_) | Type::Interval if ordered => {
                return Err(Refusal::only_postgres(format!("the order of type {ty}")));
            }
            Type::Interval => return Err(Refusal::only_postgres("a comparison of intervals")),
            _ => {}
        }
        let collate = match ty {
            Type::Numeric { .. } => " collate \"numeric\"",
            _ => "",
        };
        self.typed(
            format!("({left} {operator} {right}{collate})"),
            Type::Boolean,
        )
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Term, Refusal> {
        let mut any = Vec::with_capacity(list.len());
        let mut left = String::new();
        let mut collate = "";
        for item in list {
            let (subject, item, ty) = self.pair(expr, item)?;
            match ty {
                Type::Json | Type::Interval | Type::Other(_) => {
                    return Err(Refusal::wrong(format!("type {ty} cannot be compared")));
                }
                Type::Numeric { .. } => collate = " collate \"numeric\"",
                _ => {}
            }
            if !left.is_empty() && left != subject {
                return Err(Refusal::wrong("a list of values must have one type"));
            }
            left = subject;
            any.push(item);
        }
        if any.is_empty() {
            return Err(Refusal::wrong("an empty list"));
        }
        let not = if negated { "not " } else { "" };
        let items = any.join(", ");
        self.typed(
            format!("({left}{collate} {not}in ({items}))"),
            Type::Boolean,
        )
    }

    fn like(
        &self,
        function: &str,
        negated: bool,
        expr: &Expr,
        pattern: &Expr,
    ) -> Result<Term, Refusal> {
        let not = if negated { "not " } else { "" };
        let (text, pattern) = (self.text(expr)?, self.text(pattern)?);
        self.typed(
            format!("({not}{function}({text}, {pattern}))"),
            Type::Boolean,
        )
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

fn is_number(ty: &Type) -> bool {
    is_integer(ty) || is_float(ty) || matches!(ty, Type::Numeric { .. })
}
