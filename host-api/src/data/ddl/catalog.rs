//! What the migrations so far declare: enough to write every table again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Expr, Ident, visit_expressions, visit_expressions_mut};

use super::Refusal;
use super::names;
use super::translate::parse_expr;
use crate::data::{Check, Column, Enum, ForeignKey, Key, Name, Schema, Table, Type};

/// The tables and types of an app on SQLite, as PostgreSQL would describe them. Kept as JSON in the
/// app's file; [`Catalog::schema`] is what the API reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    pub(super) tables: BTreeMap<String, TableDef>,
    pub(super) enums: BTreeMap<String, Arc<Enum>>,
}

/// Expressions are kept as PostgreSQL text, so that they can be translated again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TableDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    /// In PostgreSQL's order of creation.
    pub constraints: Vec<ConstraintDef>,
    pub indexes: BTreeMap<String, IndexDef>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ColumnDef {
    pub name: String,
    pub ty: Type,
    pub not_null: bool,
    pub fill: Option<Fill>,
    pub comment: Option<String>,
}

/// Where a column's value comes from when a write leaves it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fill {
    Default(String),
    Computed(String),
    /// A serial or an identity; the sequence only takes a name on SQLite.
    Sequence {
        name: String,
        always: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConstraintDef {
    pub name: String,
    pub kind: ConstraintKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConstraintKind {
    Primary(Vec<String>),
    Unique(Vec<String>),
    Check(String),
    Foreign(Reference),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    pub columns: Vec<String>,
    /// `public` or `auth`.
    pub to_schema: String,
    pub to_table: String,
    pub to_columns: Vec<String>,
    /// SQL words, `no action` left out.
    pub on_delete: Option<String>,
    pub on_update: Option<String>,
    pub deferrable: bool,
    pub deferred: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexDef {
    pub unique: bool,
    pub items: Vec<IndexItem>,
    pub predicate: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexItem {
    pub expr: String,
    pub descending: bool,
}

impl Catalog {
    /// What the API reads.
    pub fn schema(&self) -> Schema {
        Schema {
            tables: self
                .tables
                .iter()
                .map(|(name, table)| (name.clone(), Arc::new(table.described())))
                .collect(),
            enums: self.enums.clone(),
        }
    }

    /// Columns of each unique index over plain columns of all rows, with the index's name: SQLite's
    /// error names the columns, PostgreSQL's the index.
    pub fn unique_indexes(&self, table: &str) -> Vec<(String, Vec<String>)> {
        let Some(table) = self.tables.get(table) else {
            return Vec::new();
        };
        let plain = |item: &IndexItem| match parse_expr(&item.expr) {
            Ok(Expr::Identifier(name)) => names::ident(&name).ok(),
            _ => None,
        };
        table
            .indexes
            .iter()
            .filter(|(_, index)| index.unique && index.predicate.is_none())
            .filter_map(|(name, index)| {
                Some((
                    name.clone(),
                    index.items.iter().map(plain).collect::<Option<_>>()?,
                ))
            })
            .collect()
    }

    pub(super) fn table(&self, name: &str) -> Result<&TableDef, Refusal> {
        self.tables
            .get(name)
            .ok_or_else(|| Refusal::wrong(format!("relation \"{name}\" does not exist")))
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Result<&mut TableDef, Refusal> {
        self.tables
            .get_mut(name)
            .ok_or_else(|| Refusal::wrong(format!("relation \"{name}\" does not exist")))
    }

    /// Tables with a foreign key to `name`, itself left out.
    pub(super) fn referencing(&self, name: &str) -> BTreeSet<String> {
        self.tables
            .values()
            .filter(|table| table.name != name && table.references().any(|to| to.is_to(name)))
            .map(|table| table.name.clone())
            .collect()
    }

    /// The table that has the index `name`.
    pub(super) fn index_table(&self, name: &str) -> Option<&TableDef> {
        self.tables
            .values()
            .find(|table| table.indexes.contains_key(name))
    }
}

impl TableDef {
    pub fn column(&self, name: &str) -> Result<&ColumnDef, Refusal> {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| self.no_column(name))
    }

    pub fn column_mut(&mut self, name: &str) -> Result<&mut ColumnDef, Refusal> {
        let fault = self.no_column(name);
        self.columns
            .iter_mut()
            .find(|column| column.name == name)
            .ok_or(fault)
    }

    fn no_column(&self, name: &str) -> Refusal {
        Refusal::wrong(format!(
            "column \"{name}\" of relation \"{}\" does not exist",
            self.name
        ))
    }

    pub fn primary_key(&self) -> Option<&[String]> {
        self.constraints
            .iter()
            .find_map(|constraint| match &constraint.kind {
                ConstraintKind::Primary(columns) => Some(&columns[..]),
                _ => None,
            })
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.constraints
            .iter()
            .filter_map(|constraint| match &constraint.kind {
                ConstraintKind::Foreign(reference) => Some(reference),
                _ => None,
            })
    }

    /// The column that is SQLite's row id: the whole primary key, filled by a sequence.
    pub fn row_id(&self) -> Option<&str> {
        let [key] = self.primary_key()? else {
            return None;
        };
        let column = self.columns.iter().find(|column| column.name == *key)?;
        column.sequence().map(|_| key.as_str())
    }

    /// Whether `columns` in any order are the primary key, unique, or a unique index.
    pub fn is_key(&self, columns: &[String]) -> bool {
        let wanted: BTreeSet<_> = columns.iter().map(String::as_str).collect();
        let same = |there: &[String]| {
            there.len() == wanted.len() && there.iter().all(|name| wanted.contains(name.as_str()))
        };
        self.constraints
            .iter()
            .any(|constraint| match &constraint.kind {
                ConstraintKind::Primary(key) | ConstraintKind::Unique(key) => same(key),
                _ => false,
            })
            || self.indexes.values().any(|index| {
                index.unique
                    && index.predicate.is_none()
                    && same(
                        &index
                            .items
                            .iter()
                            .map(|item| plain_name(&item.expr))
                            .collect::<Vec<_>>(),
                    )
            })
    }

    fn described(&self) -> Table {
        let index = |names: &[String]| -> Vec<usize> {
            names
                .iter()
                .filter_map(|name| self.columns.iter().position(|column| column.name == *name))
                .collect()
        };
        let mut table = Table {
            name: Name::of_catalog(&self.name),
            columns: self.columns.iter().map(ColumnDef::described).collect(),
            primary_key: None,
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            comment: self.comment.clone(),
        };
        for constraint in &self.constraints {
            let name = constraint.name.clone();
            match &constraint.kind {
                ConstraintKind::Primary(columns) => {
                    table.primary_key = Some(Key {
                        name,
                        columns: index(columns),
                    });
                }
                ConstraintKind::Unique(columns) => {
                    table.unique.push(Key {
                        name,
                        columns: index(columns),
                    });
                }
                ConstraintKind::Check(_) => table.checks.push(Check { name }),
                ConstraintKind::Foreign(to) => table.foreign_keys.push(ForeignKey {
                    name,
                    columns: index(&to.columns),
                    to_schema: to.to_schema.clone(),
                    to_table: to.to_table.clone(),
                    to_columns: to.to_columns.clone(),
                }),
            }
        }
        table.unique.sort_by(|a, b| a.name.cmp(&b.name));
        table.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
        table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        table
    }
}

impl ColumnDef {
    pub fn sequence(&self) -> Option<&str> {
        match &self.fill {
            Some(Fill::Sequence { name, .. }) => Some(name),
            _ => None,
        }
    }

    fn described(&self) -> Column {
        Column {
            name: Name::of_catalog(&self.name),
            ty: self.ty.clone(),
            not_null: self.not_null,
            has_default: matches!(self.fill, Some(Fill::Default(_) | Fill::Sequence { .. })),
            generated_always: matches!(
                self.fill,
                Some(Fill::Computed(_) | Fill::Sequence { always: true, .. })
            ),
            comment: self.comment.clone(),
        }
    }
}

impl ConstraintDef {
    /// Whether it also takes a relation's name.
    pub fn is_index(&self) -> bool {
        matches!(
            self.kind,
            ConstraintKind::Primary(_) | ConstraintKind::Unique(_)
        )
    }

    pub fn uses(&self, column: &str) -> bool {
        match &self.kind {
            ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => {
                columns.iter().any(|name| name == column)
            }
            ConstraintKind::Check(expr) => mentions(expr, column),
            ConstraintKind::Foreign(to) => to.columns.iter().any(|name| name == column),
        }
    }

    pub fn rename_column(&mut self, from: &str, to: &str) {
        match &mut self.kind {
            ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => {
                rename(columns, from, to);
            }
            ConstraintKind::Check(expr) => rename_in(expr, from, to),
            ConstraintKind::Foreign(reference) => rename(&mut reference.columns, from, to),
        }
    }
}

impl Reference {
    /// Whether it points to the table `name` of schema `public`.
    pub fn is_to(&self, name: &str) -> bool {
        self.to_schema == "public" && self.to_table == name
    }
}

impl IndexDef {
    pub fn uses(&self, column: &str) -> bool {
        self.items.iter().any(|item| mentions(&item.expr, column))
            || self
                .predicate
                .as_deref()
                .is_some_and(|expr| mentions(expr, column))
    }

    pub fn rename_column(&mut self, from: &str, to: &str) {
        for item in &mut self.items {
            rename_in(&mut item.expr, from, to);
        }
        if let Some(predicate) = &mut self.predicate {
            rename_in(predicate, from, to);
        }
    }
}

/// The column that `expr` is, or nothing that could be a column's name.
fn plain_name(expr: &str) -> String {
    match parse_expr(expr) {
        Ok(Expr::Identifier(name)) => names::ident(&name).unwrap_or_default(),
        _ => String::new(),
    }
}

pub(super) fn rename(columns: &mut [String], from: &str, to: &str) {
    for column in columns.iter_mut().filter(|column| *column == from) {
        to.clone_into(column);
    }
}

/// Columns that `expr` reads, each once, in order of their first use.
pub(super) fn columns_of(expr: &Expr) -> Vec<String> {
    let mut found = Vec::new();
    let _ = visit_expressions(expr, |part| {
        let name = match part {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(Ok(name)) = name.map(names::ident)
            && !found.contains(&name)
        {
            found.push(name);
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

pub(super) fn mentions(expr: &str, column: &str) -> bool {
    parse_expr(expr).is_ok_and(|expr| columns_of(&expr).iter().any(|name| name == column))
}

pub(super) fn rename_in(text: &mut String, from: &str, to: &str) {
    let Ok(mut expr) = parse_expr(text) else {
        return;
    };
    let change = |name: &mut Ident| {
        if names::ident(name).is_ok_and(|name| name == from) {
            *name = Ident::with_quote('"', to);
        }
    };
    let _ = visit_expressions_mut(&mut expr, |part| {
        match part {
            Expr::Identifier(name) => change(name),
            Expr::CompoundIdentifier(parts) => {
                if let Some(name) = parts.last_mut() {
                    change(name);
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    *text = expr.to_string();
}
