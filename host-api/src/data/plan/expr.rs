//! Fields, casts and conditions as expressions.

use std::sync::Arc;

use super::super::query::{self, Field, Is, Operator};
use super::super::schema::{Enum, Function, Name, Returns};
use super::super::{DataError, Engine, SqlFault, Table, Type};
use super::read::{Planner, computes};
use super::tree::{Shape, Tree};
use super::{CastType, Condition, Expr, Order, Output, Test, faults};

/// The rows that names are looked up in.
pub(super) struct Level {
    pub shape: Shape,
    /// What messages call it.
    pub name: String,
    pub alias: u32,
    pub depth: u32,
}

impl Level {
    pub(super) fn column(&self, table: &Arc<Table>, column: usize) -> Expr {
        Expr::Column {
            alias: self.alias,
            table: table.clone(),
            column,
        }
    }

    fn named(&self, name: Name, function: Option<Arc<Function>>) -> Expr {
        Expr::Named {
            alias: self.alias,
            name,
            function,
        }
    }

    /// `*`
    pub(super) fn star(&self) -> Vec<Output> {
        match &self.shape {
            Shape::Table(table) => (0..table.columns.len())
                .map(|column| Output {
                    key: table.columns[column].name.as_str().to_owned(),
                    expr: self.column(table, column),
                })
                .collect(),
            Shape::Record(function) => match &function.returns {
                Returns::Record(fields) if !fields.is_empty() => fields
                    .iter()
                    .map(|(field, _)| Output {
                        key: field.clone(),
                        expr: self.named(Name::of_catalog(field), None),
                    })
                    .collect(),
                _ => vec![Output {
                    key: String::new(),
                    expr: Expr::Everything { alias: self.alias },
                }],
            },
        }
    }

    /// PostgreSQL's 42803 for an order that speaks of single rows of a group.
    pub(super) fn grouped(&self, groups: &[Expr], orders: &[Order]) -> Result<(), DataError> {
        let loose = orders.iter().find_map(|order| loose(&order.expr, groups));
        let Some((table, column)) = loose else {
            return Ok(());
        };
        // A key says which row it is.
        if let (Shape::Table(table), Some(key)) = (&self.shape, &table.primary_key) {
            let mut key = key.columns.iter();
            if key.all(|&column| {
                groups
                    .iter()
                    .any(|of| alike(of, &self.column(table, column)))
            }) {
                return Ok(());
            }
        }
        let column = table.columns[column].name.as_str();
        let message = format!(
            "column \"{}.{column}\" must appear in the GROUP BY clause or be used in an aggregate function",
            self.name
        );
        Err(DataError::sql("42803", message))
    }
}

/// A column in an expression that is none of the groups, nor inside one.
fn loose<'e>(expr: &'e Expr, groups: &[Expr]) -> Option<(&'e Arc<Table>, usize)> {
    if groups.iter().any(|group| alike(group, expr)) {
        return None;
    }
    match expr {
        Expr::Column { table, column, .. } => Some((table, *column)),
        Expr::Path { of, .. } | Expr::Cast { of, .. } => loose(of, groups),
        _ => None,
    }
}

/// Whether two expressions over columns of the same node are the same.
fn alike(a: &Expr, b: &Expr) -> bool {
    match (a, b) {
        (
            Expr::Column { alias, column, .. },
            Expr::Column {
                alias: other,
                column: same,
                ..
            },
        ) => alias == other && column == same,
        (
            Expr::Path { of, steps },
            Expr::Path {
                of: other,
                steps: same,
            },
        ) => steps == same && alike(of, other),
        (
            Expr::Cast { of, to },
            Expr::Cast {
                of: other,
                to: same,
            },
        ) => to == same && alike(of, other),
        _ => false,
    }
}

impl Planner<'_> {
    /// # Errors
    /// 42703.
    pub(super) fn field(&self, field: &Field, level: &Level) -> Result<Expr, DataError> {
        let found = match &level.shape {
            Shape::Table(table) => match table.column(&field.name) {
                Some(column) => Some(level.column(table, column)),
                None => self
                    .computed(table, &field.name)
                    .map(|function| level.named(function.name.clone(), Some(function.clone()))),
            },
            Shape::Record(function) => match &function.returns {
                Returns::Record(fields) => fields
                    .iter()
                    .find(|(name, _)| *name == field.name)
                    .map(|(name, _)| level.named(Name::of_catalog(name), None)),
                _ => None,
            },
        };
        let of = found.ok_or_else(|| no_column(level, &field.name))?;
        Ok(match field.path.is_empty() {
            true => of,
            false => Expr::Path {
                of: Box::new(of),
                steps: field.path.clone(),
            },
        })
    }

    /// The function that computes a field of a table's rows.
    fn computed(&self, table: &Table, name: &str) -> Option<&Arc<Function>> {
        let spaces = self.scope.schema.functions.values();
        let mut functions = spaces.filter_map(|space| space.get(name)).flatten();
        functions.find(|function| computes(self.scope, function, table))
    }

    /// # Errors
    /// 42704 on SQLite.
    pub(super) fn cast(&self, name: &str) -> Result<CastType, DataError> {
        if let Some(ty) = known(name) {
            return Ok(CastType::Known(ty));
        }
        let (plain, array) = match name.strip_suffix("[]") {
            Some(element) => (element, true),
            None => (name, false),
        };
        if let Some(found) = self.scope.schema.enums.get(plain) {
            let found: &Arc<Enum> = found;
            let ty = Type::Enum(found.clone());
            return Ok(CastType::Known(match array {
                true => Type::Array(Box::new(ty)),
                false => ty,
            }));
        }
        match self.scope.schema.engine {
            Engine::Postgres => Ok(CastType::Named(Name::of_catalog(name))),
            Engine::Sqlite => {
                let message = format!("type \"{name}\" does not exist");
                Err(SqlFault::new("42704", message).into())
            }
        }
    }

    /// # Errors
    /// 42703, PGRST120, PGRST127.
    pub(super) fn condition(
        &mut self,
        condition: &query::Condition,
        tree: Option<&Tree<'_>>,
        level: &Level,
    ) -> Result<Condition, DataError> {
        match condition {
            query::Condition::Test { field, not, test } => {
                let embed = tree.filter(|_| field.path.is_empty());
                let embed = embed.and_then(|tree| tree.child(&field.name));
                if let Some(child) = embed {
                    let null = match test {
                        Test::Is(Is::Null) => Some(true),
                        Test::Is(Is::NotNull) => Some(false),
                        _ => None,
                    };
                    if let Some(null) = null {
                        return self.exists(child, level, null != *not);
                    }
                    let column = match &level.shape {
                        Shape::Table(table) => table.column(&field.name).is_some(),
                        Shape::Record(_) => false,
                    };
                    if !column {
                        return Err(faults::embed_operator(&field.name));
                    }
                }
                let expr = self.field(field, level)?;
                self.portable(&expr, test)?;
                Ok(Condition::Test {
                    expr,
                    not: *not,
                    test: test.clone(),
                })
            }
            query::Condition::Tree { not, any, members } => {
                let members = members
                    .iter()
                    .map(|member| self.condition(member, tree, level))
                    .collect::<Result<Vec<_>, _>>()?;
                let all = match any {
                    true => Condition::Any(members),
                    false => Condition::All(members),
                };
                Ok(match not {
                    true => Condition::Not(Box::new(all)),
                    false => all,
                })
            }
        }
    }

    /// Refuses on SQLite what only PostgreSQL can test.
    fn portable(&self, expr: &Expr, test: &Test) -> Result<(), DataError> {
        if self.scope.schema.engine == Engine::Postgres {
            return Ok(());
        }
        let range = match test {
            Test::Compare(Operator::StrictlyLeft, ..) => "sl",
            Test::Compare(Operator::StrictlyRight, ..) => "sr",
            Test::Compare(Operator::NotRightOf, ..) => "nxr",
            Test::Compare(Operator::NotLeftOf, ..) => "nxl",
            Test::Compare(Operator::Adjacent, ..) => "adj",
            _ => "",
        };
        if !range.is_empty() {
            return Err(faults::only_postgres(&format!(
                "Ranges (operator `{range}`)"
            )));
        }
        if let Test::Search(_, Some(config), _) = test
            && !matches!(
                config.strip_prefix("pg_catalog.").unwrap_or(config),
                "simple" | "english"
            )
        {
            return Err(faults::only_postgres(&format!(
                "Text search configurations other than simple and english (`{config}`)"
            )));
        }
        if let Expr::Column { table, column, .. } = expr
            && let Type::Other(name) = &table.columns[*column].ty
        {
            return Err(faults::only_postgres(&format!("Filters on type `{name}`")));
        }
        Ok(())
    }
}

pub(super) fn no_column(level: &Level, name: &str) -> DataError {
    match &level.shape {
        Shape::Table(table) => {
            let columns = table.columns.iter();
            faults::no_column(
                &level.name,
                name,
                columns.map(|column| column.name.as_str()),
            )
        }
        Shape::Record(function) => {
            let fields = match &function.returns {
                Returns::Record(fields) => fields.as_slice(),
                _ => &[],
            };
            let fields = fields.iter().map(|(field, _)| field.as_str());
            faults::no_column(&level.name, name, fields)
        }
    }
}

/// The types that both engines have, by the names that PostgreSQL reads.
///
/// Source: PostgreSQL 15, table 8.1, and `format_type`.
fn known(name: &str) -> Option<Type> {
    let name = name.trim().to_ascii_lowercase();
    if let Some(element) = name.strip_suffix("[]") {
        // An array of arrays is the same type.
        return match known(element)? {
            Type::Array(element) => Some(Type::Array(element)),
            element => Some(Type::Array(Box::new(element))),
        };
    }
    Some(match name.as_str() {
        "boolean" | "bool" => Type::Boolean,
        "smallint" | "int2" => Type::Smallint,
        "integer" | "int" | "int4" => Type::Integer,
        "bigint" | "int8" => Type::Bigint,
        "numeric" | "decimal" | "dec" => Type::Numeric { precision: None },
        "real" | "float4" => Type::Real,
        "double precision" | "float" | "float8" => Type::DoublePrecision,
        "text" => Type::Text,
        "character varying" | "varchar" => Type::Varchar { length: None },
        "character" | "char" => Type::Char { length: 1 },
        "date" => Type::Date,
        "time" | "time without time zone" => Type::Time,
        "timestamp" | "timestamp without time zone" => Type::Timestamp,
        "timestamptz" | "timestamp with time zone" => Type::Timestamptz,
        "interval" => Type::Interval,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "bytea" => Type::Bytea,
        _ => return None,
    })
}
