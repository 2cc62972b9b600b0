//! Enums: made, changed and dropped.

use std::sync::Arc;

use sqlparser::ast::{
    AlterTypeAddValuePosition, AlterTypeOperation, ArrayElemTypeDef, DataType, Expr, Ident,
    ObjectName, ObjectNamePart, Value as Literal, visit_expressions, visit_expressions_mut,
};
use std::ops::ControlFlow;

use super::catalog::{Catalog, Fill, TableDef};
use super::domain::new_type;
use super::translate::{Work, parse_expr};
use super::{Refusal, names, sql};
use crate::data::{Enum, Type, Value};

impl Work {
    pub(super) fn create_enum(
        &mut self,
        name: &ObjectName,
        labels: &[Ident],
    ) -> Result<(), Refusal> {
        let name = names::relation(name)?;
        new_type(&self.catalog, &name)?;
        let mut found: Vec<String> = Vec::new();
        for label in labels {
            let label = enum_label(label)?;
            if found.contains(&label) {
                return Err(Refusal::wrong(format!("enum label \"{label}\" used twice")));
            }
            found.push(label);
        }
        let of = Enum {
            name: name.clone(),
            labels: found,
        };
        self.catalog.enums.insert(name, Arc::new(of));
        Ok(())
    }

    pub(super) fn alter_enum(
        &mut self,
        name: &ObjectName,
        operation: &AlterTypeOperation,
    ) -> Result<(), Refusal> {
        let name = names::relation(name)?;
        let Some(of) = self.catalog.enums.get(&name) else {
            if self.catalog.domains.contains_key(&name) {
                return Err(Refusal::only_postgres("a change of a domain"));
            }
            return Err(Refusal::wrong(format!("type \"{name}\" does not exist")));
        };
        let mut of = Enum::clone(of);
        let place = |there: &Ident| {
            of.labels
                .iter()
                .position(|label| *label == there.value)
                .ok_or_else(|| {
                    Refusal::wrong(format!("\"{}\" is not an existing enum label", there.value))
                })
        };
        match operation {
            AlterTypeOperation::AddValue(add) => {
                let label = enum_label(&add.value)?;
                if of.labels.contains(&label) {
                    if add.if_not_exists {
                        return Ok(());
                    }
                    return Err(Refusal::wrong(format!(
                        "enum label \"{label}\" already exists"
                    )));
                }
                let at = match &add.position {
                    None => of.labels.len(),
                    Some(AlterTypeAddValuePosition::Before(there)) => place(there)?,
                    Some(AlterTypeAddValuePosition::After(there)) => place(there)? + 1,
                };
                of.labels.insert(at, label);
                self.catalog.replace_enum(&name, &Arc::new(of));
                Ok(())
            }
            AlterTypeOperation::RenameValue(change) => {
                let at = place(&change.from)?;
                let to = enum_label(&change.to)?;
                if of.labels.contains(&to) {
                    return Err(Refusal::wrong(format!(
                        "enum label \"{to}\" already exists"
                    )));
                }
                let from = std::mem::replace(&mut of.labels[at], to.clone());
                self.with_views_away(|work| work.rename_label(&Arc::new(of), &from, &to))
            }
            AlterTypeOperation::Rename(change) => {
                let to = names::ident(&change.new_name)?;
                new_type(&self.catalog, &to)?;
                of.name.clone_from(&to);
                self.catalog.replace_enum(&name, &Arc::new(of));
                self.catalog.rename_type_in_texts(&name, &to)
            }
        }
    }

    /// PostgreSQL keeps a number for a label, SQLite the label: rows and defaults change with it.
    fn rename_label(&mut self, of: &Arc<Enum>, from: &str, to: &str) -> Result<(), Refusal> {
        let before = self.catalog.clone();
        for (what, text) in before.conditions_beside(&of.name) {
            if names_literal(text, from) {
                return Err(Refusal::only_postgres(format!(
                    "a rename of the label '{from}' while {what} names it"
                ))
                .fix("drop that first and make it again after it"));
            }
        }
        let has = |ty: &Type| matches!(ty, Type::Enum(there) if there.name == of.name);
        self.catalog.replace_enum(&of.name, of);
        for domain in self.catalog.domains.values_mut() {
            if has(&domain.ty)
                && let Some(text) = &mut Arc::make_mut(domain).default
            {
                rename_literal(text, from, to);
            }
        }
        let domains = self.catalog.domains.clone();
        let mut updates = Vec::new();
        for table in self.catalog.tables.values_mut() {
            for column in &mut table.columns {
                match &column.ty {
                    Type::Array(element) if has(element) => {
                        return Err(Refusal::only_postgres(format!(
                            "a rename of a label of type \"{}\" while column \"{}\" of table \"{}\" is an array of it",
                            of.name, column.name, table.name
                        ))
                        .fix("add the new label and change the rows"));
                    }
                    ty if has(ty) => {}
                    _ => continue,
                }
                if let Some(Fill::Default(text)) = &mut column.fill {
                    rename_literal(text, from, to);
                }
                if let Some(domain) = &mut column.domain
                    && let Some(there) = domains.get(&domain.name)
                {
                    *domain = there.clone();
                }
                // A computed one follows from others.
                if !matches!(column.fill, Some(Fill::Computed(_))) {
                    let name = sql::quoted(&column.name);
                    let label = |text: &str| sql::literal(&Value::Text(text.to_owned()));
                    updates.push(sql::update(
                        &table.name,
                        &format!("{name} = {}", label(to)),
                        Some(&format!("{name} = {}", label(from))),
                    ));
                }
            }
        }
        if !updates.is_empty() {
            self.run([sql::DEFER_FOREIGN_KEYS.to_owned()]);
            self.run(updates);
            self.run([sql::CHECK_FOREIGN_KEYS.to_owned()]);
        }
        let after = self.catalog.clone();
        for (name, table) in &after.tables {
            let old = before.table(name)?;
            if sql::create_table(&before, old)? != sql::create_table(&after, table)? {
                self.run(sql::rebuild(&before, &after, name, &Default::default())?);
            }
        }
        Ok(())
    }
}

impl Catalog {
    /// Puts `of` in the place of the enum `name`, wherever it is.
    fn replace_enum(&mut self, name: &str, of: &Arc<Enum>) {
        self.enums.remove(name);
        self.enums.insert(of.name.clone(), of.clone());
        for domain in self.domains.values_mut() {
            if is_enum(&domain.ty, name) {
                replace(&mut Arc::make_mut(domain).ty, name, of);
            }
        }
        let domains = self.domains.clone();
        for column in self
            .tables
            .values_mut()
            .flat_map(|table| &mut table.columns)
        {
            replace(&mut column.ty, name, of);
            if let Some(domain) = &mut column.domain
                && let Some(there) = domains.get(&domain.name)
            {
                *domain = there.clone();
            }
        }
        for column in self.views.values_mut().flat_map(|view| &mut view.columns) {
            replace(&mut column.ty, name, of);
        }
    }

    /// Expressions, other than defaults, that could compare with a label of the enum.
    fn conditions_beside(&self, name: &str) -> Vec<(String, &String)> {
        let mut found = Vec::new();
        for (view, one) in &self.views {
            found.push((format!("view \"{view}\""), &one.query));
        }
        for (domain, one) in &self.domains {
            let checks = one.checks.iter().filter(|_| is_enum(&one.ty, name));
            found.extend(checks.map(|check| (format!("domain \"{domain}\""), &check.condition)));
        }
        for table in self.tables.values() {
            for policy in &table.access.policies {
                let texts = policy.using.iter().chain(&policy.check);
                let what = format!("policy \"{}\" on table \"{}\"", policy.name, table.name);
                found.extend(texts.map(|text| (what.clone(), text)));
            }
            if table.columns.iter().any(|there| is_enum(&there.ty, name)) {
                let own = table.conditions();
                found.extend(
                    own.map(|(what, text)| (format!("{what} of table \"{}\"", table.name), text)),
                );
            }
        }
        found
    }

    /// Says `to` for the type `from` in every cast.
    fn rename_type_in_texts(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        for view in self.views.values_mut() {
            if view.query.to_lowercase().contains(&from.to_lowercase()) {
                let mut query = super::view::parse_query(&view.query)?;
                rename_casts(&mut query, from, to);
                view.query = query.to_string();
            }
        }
        for domain in self.domains.values_mut() {
            let domain = Arc::make_mut(domain);
            let conditions = domain.checks.iter_mut().map(|check| &mut check.condition);
            for text in conditions.chain(&mut domain.default) {
                rename_casts_in(text, from, to);
            }
        }
        let domains = self.domains.clone();
        for table in self.tables.values_mut() {
            for policy in &mut table.access.policies {
                policy
                    .texts()
                    .for_each(|text| rename_casts_in(text, from, to));
            }
            for column in &mut table.columns {
                if let Some(Fill::Default(text) | Fill::Computed(text)) = &mut column.fill {
                    rename_casts_in(text, from, to);
                }
                if let Some(domain) = &mut column.domain
                    && let Some(there) = domains.get(&domain.name)
                {
                    *domain = there.clone();
                }
            }
            for constraint in &mut table.constraints {
                if let super::catalog::ConstraintKind::Check(text) = &mut constraint.kind {
                    rename_casts_in(text, from, to);
                }
            }
            for index in table.indexes.values_mut() {
                let items = index.items.iter_mut().map(|item| &mut item.expr);
                for text in items.chain(&mut index.predicate) {
                    rename_casts_in(text, from, to);
                }
            }
        }
        Ok(())
    }
}

impl TableDef {
    /// Checks, computed columns and indexes: what each is, and its text.
    fn conditions(&self) -> impl Iterator<Item = (String, &String)> {
        let checks = self
            .constraints
            .iter()
            .filter_map(|there| match &there.kind {
                super::catalog::ConstraintKind::Check(text) => {
                    Some((format!("check \"{}\"", there.name), text))
                }
                _ => None,
            });
        let computed = self.columns.iter().filter_map(|there| match &there.fill {
            Some(Fill::Computed(text)) => Some((format!("column \"{}\"", there.name), text)),
            _ => None,
        });
        let indexes = self.indexes.iter().flat_map(|(name, index)| {
            let items = index.items.iter().map(|item| &item.expr);
            let texts = items.chain(&index.predicate);
            texts.map(move |text| (format!("index \"{name}\""), text))
        });
        checks.chain(computed).chain(indexes)
    }
}

/// Whether a quoted literal of `text`, an expression or a query, is `label`.
fn names_literal(text: &str, label: &str) -> bool {
    let is = |expr: &Expr| match expr {
        Expr::Value(value) => match quoted(&value.value) {
            Some(literal) if literal == label => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    };
    let found = match (parse_expr(text), super::view::parse_query(text)) {
        (_, Ok(query)) => visit_expressions(&query, is),
        (Ok(expr), _) => visit_expressions(&expr, is),
        // What cannot be read could name it.
        _ => return true,
    };
    found.is_break()
}

fn quoted(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::SingleQuotedString(text)
        | Literal::EscapedStringLiteral(text)
        | Literal::UnicodeStringLiteral(text) => Some(text),
        Literal::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn rename_literal(text: &mut String, from: &str, to: &str) {
    let Ok(mut expr) = parse_expr(text) else {
        return;
    };
    let _ = visit_expressions_mut(&mut expr, |part| {
        if let Expr::Value(value) = part
            && quoted(&value.value) == Some(from)
        {
            value.value = Literal::SingleQuotedString(to.to_owned());
        }
        ControlFlow::<()>::Continue(())
    });
    *text = expr.to_string();
}

fn rename_casts_in(text: &mut String, from: &str, to: &str) {
    if let Ok(mut expr) = parse_expr(text) {
        rename_casts(&mut expr, from, to);
        *text = expr.to_string();
    }
}

fn rename_casts(node: &mut impl sqlparser::ast::VisitMut, from: &str, to: &str) {
    let _ = visit_expressions_mut(node, |part| {
        match part {
            Expr::Cast { data_type, .. } => rename_type(data_type, from, to),
            Expr::TypedString(typed) => rename_type(&mut typed.data_type, from, to),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

fn rename_type(data_type: &mut DataType, from: &str, to: &str) {
    match data_type {
        DataType::Custom(name, _) => {
            if names::relation(name).is_ok_and(|name| name == from)
                && let Some(last) = name.0.last_mut()
            {
                *last = ObjectNamePart::Identifier(Ident::with_quote('"', to));
            }
        }
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Qualified(element, _),
        ) => rename_type(element, from, to),
        _ => {}
    }
}

fn enum_label(label: &Ident) -> Result<String, Refusal> {
    if label.value.is_empty() || label.value.len() > names::NAME_BYTES_MAX {
        return Err(
            Refusal::wrong(format!("invalid enum label \"{}\"", label.value))
                .fix(format!("labels have 1 to {} bytes", names::NAME_BYTES_MAX)),
        );
    }
    Ok(label.value.clone())
}

fn replace(ty: &mut Type, name: &str, of: &Arc<Enum>) {
    match ty {
        Type::Enum(there) if there.name == name => *there = of.clone(),
        Type::Array(element) => replace(element, name, of),
        _ => {}
    }
}

pub(super) fn is_enum(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Enum(of) => of.name == name,
        Type::Array(element) => is_enum(element, name),
        _ => false,
    }
}
