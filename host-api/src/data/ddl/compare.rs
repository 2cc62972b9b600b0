//! Comparisons: both sides get the type that PostgreSQL compares them in.

use sqlparser::ast::Expr;

use super::Refusal;
use super::coerce::{is_float, is_integer, is_number, is_text, open};
use super::expr::{Kind, Scope, Term};
use super::order::{collation, is_sorted};
use crate::data::Type;

impl Scope<'_> {
    /// Both sides with the type they are compared in.
    pub(super) fn pair(
        &self,
        left: &Expr,
        right: &Expr,
    ) -> Result<(String, String, Type), Refusal> {
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

    pub(super) fn matched(
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
            _ if ordered && !is_sorted(&ty) => {
                return Err(Refusal::only_postgres(format!("the order of type {ty}")));
            }
            _ => {}
        }
        let collate = collation(&ty);
        self.typed(
            format!("({left} {operator} {right}{collate})"),
            Type::Boolean,
        )
    }

    pub(super) fn in_list(
        &self,
        expr: &Expr,
        list: &[Expr],
        negated: bool,
    ) -> Result<Term, Refusal> {
        let mut any = Vec::with_capacity(list.len());
        let mut left = String::new();
        let mut collate = String::new();
        for item in list {
            let (subject, item, ty) = self.pair(expr, item)?;
            match ty {
                Type::Json | Type::Other(_) => {
                    return Err(Refusal::wrong(format!("type {ty} cannot be compared")));
                }
                ty => collate = collation(&ty),
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

    pub(super) fn like(
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
}
