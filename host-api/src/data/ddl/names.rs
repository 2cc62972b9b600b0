//! Identifiers, and the names that PostgreSQL gives to what the author left unnamed.
//!
//! Source: PostgreSQL 15, `makeObjectName`, `ChooseRelationName`, `ChooseIndexNameAddition`
//! (`src/backend/commands/indexcmds.c`), `ChooseConstraintName` (`src/backend/catalog/pg_constraint.c`),
//! `FigureColname` (`src/backend/parser/parse_target.c`).

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, SelectItem};

use super::Refusal;
use super::catalog::{Catalog, TableDef};

/// Bytes of an identifier: PostgreSQL's `NAMEDATALEN` less one.
pub const NAME_BYTES_MAX: usize = 63;

/// The name that `ident` stands for: folded to lower case unless quoted.
///
/// PostgreSQL cuts longer names silently; two of them could then meet, so they are refused.
pub fn ident(ident: &Ident) -> Result<String, Refusal> {
    let name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    };
    if name.is_empty() || name.contains('\0') {
        return Err(Refusal::wrong("an empty name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::wrong(format!(
            "the name \"{name}\" is longer than {NAME_BYTES_MAX} bytes"
        ))
        .fix("choose a shorter one"));
    }
    Ok(name)
}

/// The name as PostgreSQL prints it: in quotes where it needs them. (It also quotes its own words.)
pub fn shown(name: &str) -> String {
    let mut bytes = name.bytes();
    let plain = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// The parts of a dotted name.
pub fn parts(name: &ObjectName) -> Result<Vec<String>, Refusal> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(part) => ident(part),
            other => Err(Refusal::only_postgres(format!("the name `{other}`"))),
        })
        .collect()
}

/// A relation of schema `public`, with or without its schema.
pub fn relation(name: &ObjectName) -> Result<String, Refusal> {
    let parts = parts(name)?;
    match &parts[..] {
        [name] => Ok(name.clone()),
        [schema, name] if schema == "public" => Ok(name.clone()),
        _ => Err(
            Refusal::wrong(format!("`{}` is not in schema public", parts.join(".")))
                .fix("an app's tables live in public; mark it with `-- pumice: only postgres` if it is for PostgreSQL alone"),
        ),
    }
}

/// Checks the name of a new relation.
pub fn new_relation(name: &str) -> Result<(), Refusal> {
    // On SQLite, a dot marks tables of other schemas, and its own tables start with `sqlite_`.
    if name.contains('.') || name.to_ascii_lowercase().starts_with("sqlite_") {
        return Err(Refusal::wrong(format!("\"{name}\" cannot be a name here"))
            .fix("choose one without a dot that does not start with sqlite_"));
    }
    Ok(())
}

/// The names taken in schema `public`.
pub struct Taken {
    relations: BTreeSet<String>,
    constraints: BTreeSet<String>,
}

impl Taken {
    pub fn of(catalog: &Catalog) -> Taken {
        let mut taken = Taken {
            relations: BTreeSet::new(),
            constraints: BTreeSet::new(),
        };
        for table in catalog.tables.values() {
            taken.add(table);
        }
        taken.relations.extend(catalog.views.keys().cloned());
        let checks = catalog.domains.values().flat_map(|domain| &domain.checks);
        taken
            .constraints
            .extend(checks.map(|check| check.name.clone()));
        taken
    }

    pub fn add(&mut self, table: &TableDef) {
        self.relations.insert(table.name.clone());
        self.relations.extend(table.indexes.keys().cloned());
        for column in &table.columns {
            self.relations.extend(column.sequence().map(str::to_owned));
        }
        for constraint in &table.constraints {
            self.constraints.insert(constraint.name.clone());
            if constraint.is_index() {
                self.relations.insert(constraint.name.clone());
            }
        }
    }

    /// Takes a relation's name that the author gave.
    pub fn relation(&mut self, name: &str) -> Result<(), Refusal> {
        // SQLite compares names without case.
        if let Some(there) = self
            .relations
            .iter()
            .find(|there| there.eq_ignore_ascii_case(name))
        {
            let fix = if there == name {
                ""
            } else {
                "on SQLite names must differ in more than case"
            };
            return Err(Refusal::wrong(format!("relation \"{there}\" already exists")).fix(fix));
        }
        self.relations.insert(name.to_owned());
        Ok(())
    }

    pub fn constraint(&mut self, name: &str) {
        self.constraints.insert(name.to_owned());
    }

    /// Chooses the name of a sequence or an index.
    pub fn choose_relation(&mut self, table: &str, of: Option<&str>, label: &str) -> String {
        let name = choose(table, of, label, |name| {
            self.relations
                .iter()
                .any(|there| there.eq_ignore_ascii_case(name))
        });
        self.relations.insert(name.clone());
        name
    }

    /// Chooses the name of a key: it is an index and a constraint at once.
    pub fn choose_key(&mut self, table: &str, of: Option<&str>, label: &str) -> String {
        let name = choose(table, of, label, |name| {
            self.constraints.contains(name)
                || self
                    .relations
                    .iter()
                    .any(|there| there.eq_ignore_ascii_case(name))
        });
        self.relations.insert(name.clone());
        self.constraints.insert(name.clone());
        name
    }

    /// Chooses the name of a check or a foreign key.
    pub fn choose_constraint(&mut self, table: &str, of: Option<&str>, label: &str) -> String {
        let name = choose(table, of, label, |name| self.constraints.contains(name));
        self.constraints.insert(name.clone());
        name
    }
}

fn choose(table: &str, of: Option<&str>, label: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = object_name(table, of, label);
    let mut pass = 0u32;
    while taken(&name) {
        pass += 1;
        name = object_name(table, of, &format!("{label}{pass}"));
    }
    name
}

/// `table_of_label` in [`NAME_BYTES_MAX`] bytes: the longer of the first two is cut.
fn object_name(table: &str, of: Option<&str>, label: &str) -> String {
    let overhead = label.len() + 1 + usize::from(of.is_some());
    let available = NAME_BYTES_MAX - overhead;
    let (mut first, mut second) = (table.len(), of.map_or(0, str::len));
    while first + second > available {
        if first > second {
            first -= 1;
        } else {
            second -= 1;
        }
    }
    let mut name = cut(table, first).to_owned();
    if let Some(of) = of {
        name.push('_');
        name.push_str(cut(of, second));
    }
    name.push('_');
    name.push_str(label);
    name
}

/// At most `bytes` of `text`, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut bytes = bytes.min(text.len());
    while !text.is_char_boundary(bytes) {
        bytes -= 1;
    }
    &text[..bytes]
}

/// The columns' part of an index's or a key's name.
pub fn addition<'c>(columns: impl IntoIterator<Item = &'c str>) -> String {
    let mut name = String::new();
    for column in columns {
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(column);
        if name.len() > NAME_BYTES_MAX {
            break;
        }
    }
    name
}

/// Names of an index's columns, each once: `lower`, `expr`, `expr1`.
pub fn index_columns(expressions: &[&Expr]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for expression in expressions {
        let base = figure(expression).unwrap_or_else(|| "expr".to_owned());
        let mut name = base.clone();
        let mut pass = 0u32;
        while names.contains(&name) {
            pass += 1;
            let number = pass.to_string();
            name = format!("{}{number}", cut(&base, NAME_BYTES_MAX - number.len()));
        }
        names.push(name);
    }
    names
}

/// The name of an output that has none of its own.
pub fn figure(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => ident(name).ok(),
        Expr::CompoundIdentifier(parts) => ident(parts.last()?).ok(),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Cast {
            expr, data_type, ..
        } => figure(expr).or_else(|| {
            Some(match data_type.to_string().to_ascii_lowercase().as_str() {
                "int" | "integer" => "int4".to_owned(),
                "bigint" => "int8".to_owned(),
                "smallint" => "int2".to_owned(),
                "boolean" => "bool".to_owned(),
                "double precision" => "float8".to_owned(),
                "real" => "float4".to_owned(),
                other => other.split(['(', ' ']).next().unwrap_or(other).to_owned(),
            })
        }),
        Expr::Function(function) => parts(&function.name).ok()?.pop(),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Subquery(query) => match query.body.as_select()?.projection.first()? {
            SelectItem::UnnamedExpr(expr) => figure(expr),
            SelectItem::ExprWithAlias { alias, .. } => ident(alias).ok(),
            _ => None,
        },
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(figure)
            .or_else(|| Some("case".to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_as_postgres_cuts_them() {
        let (a, b) = ("a".repeat(60), "b".repeat(60));
        // Checked against PostgreSQL 15: see `names.txt`.
        assert_eq!(
            object_name(&a, Some(&b), "key"),
            format!("{}_{}_key", "a".repeat(29), "b".repeat(29))
        );
        assert_eq!(
            object_name(&a, None, "pkey"),
            format!("{}_pkey", "a".repeat(58))
        );
        assert_eq!(
            object_name("t", Some(&b), "check"),
            format!("t_{}_check", "b".repeat(55))
        );
        assert_eq!(object_name(&"é".repeat(31), None, "pkey").len(), 63);
        assert_eq!(
            object_name(&format!("{}é", "a".repeat(57)), None, "pkey").len(),
            62
        );
    }
}
