//! What the migrations so far declare: enough to write every table again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Expr, Ident, visit_expressions, visit_expressions_mut};

use super::access::{self, Access, Grants};
use super::domain::DomainDef;
use super::names;
use super::rows::Output;
use super::translate::parse_expr;
use super::view::ViewDef;
use super::{Refusal, sql};
use crate::data::schema::{PUBLIC, Source};
use crate::data::{Check, Column, Enum, ForeignKey, Key, Kind, Name, Schema, Table, Type};

/// The tables and types of an app on SQLite, as PostgreSQL would describe them. Kept as JSON in the
/// app's file; [`Catalog::schema`] is what the API reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    pub(super) tables: BTreeMap<String, TableDef>,
    pub(super) enums: BTreeMap<String, Arc<Enum>>,
    #[serde(default)]
    pub(super) domains: BTreeMap<String, Arc<DomainDef>>,
    #[serde(default)]
    pub(super) views: BTreeMap<String, ViewDef>,
    /// What new relations of `public` are granted; and those of all schemas.
    #[serde(default)]
    pub(super) defaults: Grants,
    #[serde(default)]
    pub(super) defaults_everywhere: Grants,
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
    #[serde(default)]
    pub access: Access,
    #[serde(default)]
    pub grants: Grants,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ColumnDef {
    pub name: String,
    /// Its domain's base, if it has one.
    pub ty: Type,
    #[serde(default)]
    pub domain: Option<Arc<DomainDef>>,
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
        /// Its first value.
        #[serde(default = "one")]
        start: i64,
    },
}

fn one() -> i64 {
    1
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
    /// Of a kind that SQLite does without.
    #[serde(default)]
    pub absent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexItem {
    pub expr: String,
    pub descending: bool,
}

impl Catalog {
    /// What the API reads.
    pub fn schema(&self) -> Schema {
        let mut schema = Schema {
            enums: self.enums.clone(),
            ..Schema::default()
        };
        for table in self.tables.values() {
            let mut shown = table.described(self);
            shown.policies = table.access.described(self, table);
            schema.add(shown);
        }
        for view in self.views.values() {
            schema.add(view.described(self));
        }
        schema.complete()
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

    pub(super) fn view_mut(&mut self, name: &str) -> Result<&mut ViewDef, Refusal> {
        self.views
            .get_mut(name)
            .ok_or_else(|| Refusal::wrong(format!("relation \"{name}\" does not exist")))
    }

    /// Names of tables and views.
    pub(super) fn relations(&self) -> impl Iterator<Item = &String> {
        self.tables.keys().chain(self.views.keys())
    }

    /// What a query reads of a table or view, and the columns that are its key.
    pub(super) fn shown(&self, name: &str) -> Result<(Vec<Output>, Vec<String>), Refusal> {
        if let Some(view) = self.views.get(name) {
            return Ok((view.outputs(), view.key.clone()));
        }
        let table = self.table(name)?;
        let key = table.primary_key().unwrap_or_default().to_vec();
        Ok((table.outputs(), key))
    }

    pub(super) fn grants_mut(&mut self, name: &str) -> Result<&mut Grants, Refusal> {
        if self.views.contains_key(name) {
            return Ok(&mut self.view_mut(name)?.grants);
        }
        Ok(&mut self.table_mut(name)?.grants)
    }

    /// What a new relation is granted.
    pub(super) fn default_grants(&self) -> Grants {
        let mut grants = self.defaults.clone();
        for (role, rights) in &self.defaults_everywhere {
            grants.entry(role.clone()).or_default().add(rights);
        }
        grants
    }

    /// Takes over what `other` says of who may do what. Returns whether both have the same tables with
    /// the same columns; nothing has changed otherwise.
    pub(super) fn take_access(&mut self, other: &Catalog) -> bool {
        let columns = |table: &TableDef| -> Vec<(String, Type)> {
            let columns = table.columns.iter();
            columns.map(|c| (c.name.clone(), c.ty.clone())).collect()
        };
        let same = self.tables.len() == other.tables.len()
            && self
                .tables
                .iter()
                .zip(&other.tables)
                .all(|((name, own), (there, meant))| {
                    name == there && columns(own) == columns(meant)
                });
        if same {
            for (own, meant) in self.tables.values_mut().zip(other.tables.values()) {
                own.access.clone_from(&meant.access);
                own.grants.clone_from(&meant.grants);
            }
            self.defaults.clone_from(&other.defaults);
            self.defaults_everywhere
                .clone_from(&other.defaults_everywhere);
        }
        same
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
    pub fn outputs(&self) -> Vec<Output> {
        self.columns
            .iter()
            .map(|column| Output {
                name: column.name.clone(),
                ty: column.ty.clone(),
                domain: column.domain.as_ref().map(|domain| domain.format()),
                source: Some(Source {
                    schema: PUBLIC.to_owned(),
                    table: self.name.clone(),
                    column: column.name.clone(),
                }),
            })
            .collect()
    }

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

    /// The name of the primary key.
    pub fn primary_name(&self) -> Option<&str> {
        let mut keys = self.constraints.iter();
        let key = keys.find(|there| matches!(there.kind, ConstraintKind::Primary(_)));
        key.map(|key| key.name.as_str())
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

    fn described(&self, catalog: &Catalog) -> Table {
        let index = |names: &[String]| -> Vec<usize> {
            names
                .iter()
                .filter_map(|name| self.columns.iter().position(|column| column.name == *name))
                .collect()
        };
        let mut table = Table {
            schema: Name::of_catalog(PUBLIC),
            kind: Kind::Table,
            grants: access::described(&self.grants, self.columns.iter().map(|c| &*c.name)),
            policies: None,
            name: Name::of_catalog(&self.name),
            columns: self
                .columns
                .iter()
                .map(|column| Column {
                    generated: sql::generated(catalog, self, column).ok().flatten(),
                    ..column.described()
                })
                .collect(),
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

    /// What the column or its domain says.
    pub fn default(&self) -> Option<&String> {
        match (&self.fill, &self.domain) {
            (Some(Fill::Default(expr)), _) => Some(expr),
            (None, Some(domain)) => domain.default.as_ref(),
            _ => None,
        }
    }

    fn described(&self) -> Column {
        Column {
            name: Name::of_catalog(&self.name),
            ty: self.ty.clone(),
            format: match &self.domain {
                Some(domain) => domain.format(),
                None => format(&self.ty),
            },
            default: self.default().cloned(),
            source: None,
            not_null: self.not_null || self.domain.as_ref().is_some_and(|d| d.not_null),
            has_default: self.default().is_some() || self.sequence().is_some(),
            generated_always: matches!(
                self.fill,
                Some(Fill::Computed(_) | Fill::Sequence { always: true, .. })
            ),
            generated: None,
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

impl IndexItem {
    /// The column that it is, or nothing that could be a column's name.
    pub fn plain(&self) -> String {
        plain_name(&self.expr)
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

/// The type as `format_type` writes it where no schema is on the search path: as readers of PostgreSQL's
/// catalog ask it.
pub(super) fn format(ty: &Type) -> String {
    match ty {
        Type::Enum(of) => format!("{PUBLIC}.{}", names::shown(&of.name)),
        Type::Array(element) => format(element) + "[]",
        ty => ty.to_string(),
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
