//! Columns, constraints and indexes as they are declared, into the catalog.

use std::collections::BTreeMap;

use sqlparser::ast::{
    ColumnDef as ColumnAst, ColumnOption, ConstraintCharacteristics, ConstraintReferenceMatchKind,
    CreateIndex, CreateTable, CreateTableOptions, DeferrableInitial, Expr, ForeignKeyConstraint,
    GeneratedAs, Ident, IndexColumn, IndexType, NullsDistinctOption, OrderBySort,
    ReferentialAction, SequenceOptions, TableConstraint, Value as Literal,
};

use super::access::Access;
use super::catalog::{
    Catalog, ColumnDef, ConstraintDef, ConstraintKind, Fill, IndexDef, IndexItem, Reference,
    TableDef, columns_of,
};
use super::coerce::{is_integer, is_text};
use super::names::{self, Taken};
use super::{Refusal, sql, types};
use crate::data::Type;

/// Columns of a table: PostgreSQL's limit, which SQLite's (2000) is above.
const COLUMNS_MAX: usize = 1600;

/// The table that `create table` declares, or `None` if it stands already and may.
pub fn create(catalog: &Catalog, create: &CreateTable) -> Result<Option<TableDef>, Refusal> {
    let name = names::relation(&create.name)?;
    names::new_relation(&name)?;
    if create.if_not_exists && catalog.relations().any(|there| *there == name) {
        return Ok(None);
    }
    for (given, what) in [
        (create.or_replace, "`create or replace table`"),
        (create.temporary, "a temporary table"),
        (create.unlogged, "an unlogged table"),
        (create.query.is_some(), "`create table … as`"),
        (create.like.is_some(), "`like`"),
        (create.inherits.is_some(), "inheritance"),
        (create.partition_by.is_some(), "a partitioned table"),
        (create.partition_of.is_some(), "a partition"),
        (create.on_commit.is_some(), "`on commit`"),
        (create.without_rowid || create.strict, "SQLite's own syntax"),
        (
            create.table_options != CreateTableOptions::None,
            "a table option",
        ),
    ] {
        if given {
            return Err(Refusal::only_postgres(what));
        }
    }
    let mut taken = Taken::of(catalog);
    taken.relation(&name)?;
    let mut table = TableDef {
        name,
        columns: Vec::new(),
        constraints: Vec::new(),
        indexes: BTreeMap::new(),
        comment: None,
        access: Access::default(),
        grants: catalog.default_grants(),
    };
    extend(
        catalog,
        &mut table,
        &mut taken,
        &create.columns,
        &create.constraints,
    )?;
    Ok(Some(table))
}

/// What is still to be named, in PostgreSQL's order: checks, then keys, then foreign keys.
#[derive(Default)]
struct Pending<'a> {
    checks: Vec<(Option<&'a Ident>, &'a Expr)>,
    primary: Option<(Option<&'a Ident>, Vec<String>)>,
    unique: Vec<(Option<&'a Ident>, Vec<String>)>,
    foreign: Vec<(Option<&'a Ident>, Reference)>,
}

/// Adds columns and constraints to `table`.
pub fn extend(
    catalog: &Catalog,
    table: &mut TableDef,
    taken: &mut Taken,
    columns: &[ColumnAst],
    constraints: &[TableConstraint],
) -> Result<(), Refusal> {
    let mut pending = Pending::default();
    for column in columns {
        add_column(catalog, table, taken, column, &mut pending)?;
    }
    if table.columns.len() > COLUMNS_MAX {
        return Err(Refusal::wrong(format!(
            "tables can have at most {COLUMNS_MAX} columns"
        )));
    }
    for constraint in constraints {
        match constraint {
            TableConstraint::Check(check) => {
                if check.no_inherit || check.enforced == Some(false) {
                    return Err(Refusal::only_postgres("`no inherit` or `not enforced`"));
                }
                pending.checks.push((check.name.as_ref(), &check.expr));
            }
            TableConstraint::PrimaryKey(key) => {
                immediate(key.characteristics.as_ref(), "primary key")?;
                no_options(key.include.is_empty() && key.index_options.is_empty())?;
                set_primary(&mut pending, key.name.as_ref(), key_columns(&key.columns)?)?;
            }
            TableConstraint::Unique(key) => {
                immediate(key.characteristics.as_ref(), "unique constraint")?;
                no_options(key.include.is_empty() && key.index_options.is_empty())?;
                nulls_distinct(key.nulls_distinct)?;
                pending
                    .unique
                    .push((key.name.as_ref(), key_columns(&key.columns)?));
            }
            TableConstraint::ForeignKey(foreign) => {
                let columns = idents(&foreign.columns)?;
                pending
                    .foreign
                    .push((foreign.name.as_ref(), reference(foreign, columns)?));
            }
            TableConstraint::Exclude(_) => {
                return Err(Refusal::only_postgres("an exclusion constraint"));
            }
            other => return Err(Refusal::only_postgres(format!("`{other}`"))),
        }
    }
    name_all(catalog, table, taken, pending)
}

fn add_column<'a>(
    catalog: &Catalog,
    table: &mut TableDef,
    taken: &mut Taken,
    ast: &'a ColumnAst,
    pending: &mut Pending<'a>,
) -> Result<(), Refusal> {
    let name = names::ident(&ast.name)?;
    // SQLite compares names without case.
    if let Some(there) = table
        .columns
        .iter()
        .find(|there| there.name.eq_ignore_ascii_case(&name))
    {
        return Err(Refusal::wrong(format!(
            "column \"{}\" specified more than once",
            there.name
        )));
    }
    let declared = types::declared(&ast.data_type, catalog)?;
    let mut column = ColumnDef {
        name: name.clone(),
        ty: declared.ty,
        domain: declared.domain,
        not_null: declared.serial,
        fill: None,
        comment: None,
    };
    if declared.serial {
        column.fill = Some(Fill::Sequence {
            name: taken.choose_relation(&table.name, Some(&name), "seq"),
            always: false,
            start: 1,
        });
    }
    for option in &ast.options {
        let given = option.name.as_ref();
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => column.not_null = true,
            ColumnOption::Default(expr) => {
                one_fill(&column)?;
                if !is_null(expr) {
                    column.fill = Some(Fill::Default(expr.to_string()));
                }
            }
            ColumnOption::PrimaryKey(key) => {
                immediate(key.characteristics.as_ref(), "primary key")?;
                set_primary(pending, given, vec![name.clone()])?;
            }
            ColumnOption::Unique(key) => {
                immediate(key.characteristics.as_ref(), "unique constraint")?;
                nulls_distinct(key.nulls_distinct)?;
                pending.unique.push((given, vec![name.clone()]));
            }
            ColumnOption::Check(check) => pending.checks.push((given, &check.expr)),
            ColumnOption::ForeignKey(foreign) => {
                pending
                    .foreign
                    .push((given, reference(foreign, vec![name.clone()])?));
            }
            ColumnOption::Generated {
                generation_expr: Some(expr),
                ..
            } => {
                one_fill(&column)?;
                column.fill = Some(Fill::Computed(expr.to_string()));
            }
            ColumnOption::Generated {
                generated_as: generated_as @ (GeneratedAs::Always | GeneratedAs::ByDefault),
                sequence_options,
                generation_expr: None,
                ..
            } => {
                one_fill(&column)?;
                let start = start(sequence_options.as_deref().unwrap_or_default(), &column.ty)?;
                if !is_integer(&column.ty) {
                    return Err(Refusal::wrong(
                        "identity column type must be smallint, integer, or bigint",
                    ));
                }
                column.not_null = true;
                column.fill = Some(Fill::Sequence {
                    name: taken.choose_relation(&table.name, Some(&name), "seq"),
                    always: *generated_as == GeneratedAs::Always,
                    start,
                });
            }
            ColumnOption::Collation(collation) => {
                let collation = names::parts(collation)?.pop().unwrap_or_default();
                // Both name the order that every app's database has.
                if collation != "C" && collation != "default" {
                    return Err(Refusal::only_postgres(format!(
                        "the collation \"{collation}\""
                    )));
                }
            }
            other => return Err(Refusal::only_postgres(format!("`{other}`"))),
        }
    }
    table.columns.push(column);
    Ok(())
}

/// The first value of an identity. What SQLite's own numbers do not do is refused.
fn start(options: &[SequenceOptions], ty: &Type) -> Result<i64, Refusal> {
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(text, _) => text.parse::<i64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let most = match ty {
        Type::Smallint => i64::from(i16::MAX),
        Type::Integer => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let mut start = 1;
    for option in options {
        let same = match option {
            SequenceOptions::StartWith(expr, _) => {
                start = number(expr).unwrap_or_default();
                if start < 1 {
                    return Err(Refusal::wrong(format!(
                        "START value ({expr}) cannot be less than MINVALUE (1)"
                    )));
                }
                if start > most {
                    return Err(Refusal::wrong(format!(
                        "START value ({start}) cannot be greater than MAXVALUE ({most})"
                    )));
                }
                true
            }
            SequenceOptions::IncrementBy(expr, _) | SequenceOptions::MinValue(Some(expr)) => {
                number(expr) == Some(1)
            }
            SequenceOptions::MaxValue(Some(expr)) => number(expr) == Some(most),
            SequenceOptions::MinValue(None) | SequenceOptions::MaxValue(None) => true,
            // How many numbers are set aside; `no cycle` reads as true.
            SequenceOptions::Cache(_) | SequenceOptions::Cycle(true) => true,
            SequenceOptions::Cycle(false) => false,
        };
        if !same {
            return Err(Refusal::only_postgres(format!(
                "`{}` of an identity",
                option.to_string().trim()
            ))
            .fix("only `start with` can differ from the default"));
        }
    }
    Ok(start)
}

fn name_all(
    catalog: &Catalog,
    table: &mut TableDef,
    taken: &mut Taken,
    pending: Pending<'_>,
) -> Result<(), Refusal> {
    for (given, expr) in pending.checks {
        let columns = columns_of(expr);
        for column in &columns {
            table.column(column)?;
        }
        let of = match &columns[..] {
            [column] => Some(column.as_str()),
            _ => None,
        };
        let name = match given {
            Some(given) => names::ident(given)?,
            None => taken.choose_constraint(&table.name, of, "check"),
        };
        push(table, taken, name, ConstraintKind::Check(expr.to_string()))?;
    }
    if let Some((given, columns)) = pending.primary {
        if table.primary_key().is_some() {
            return Err(Refusal::wrong(format!(
                "multiple primary keys for table \"{}\" are not allowed",
                table.name
            )));
        }
        for column in &columns {
            table.column_mut(column)?.not_null = true;
        }
        // A unique constraint over the same columns is the primary key's twin and is left out; an
        // unnamed primary key takes its name.
        let twin = pending
            .unique
            .iter()
            .find(|(name, unique)| name.is_some() && *unique == columns)
            .and_then(|(name, _)| *name);
        let name = match given.or(twin) {
            Some(given) => key_name(taken, given)?,
            None => taken.choose_key(&table.name, None, "pkey"),
        };
        push(table, taken, name, ConstraintKind::Primary(columns))?;
    }
    let mut made: Vec<Vec<String>> = Vec::new();
    for (given, columns) in pending.unique {
        for column in &columns {
            table.column(column)?;
        }
        if made.contains(&columns) || table.primary_key() == Some(&columns[..]) {
            continue;
        }
        let name = match given {
            Some(given) => key_name(taken, given)?,
            None => {
                let of = names::addition(columns.iter().map(String::as_str));
                taken.choose_key(&table.name, Some(&of), "key")
            }
        };
        made.push(columns.clone());
        push(table, taken, name, ConstraintKind::Unique(columns))?;
    }
    for (given, mut to) in pending.foreign {
        resolve(catalog, table, &mut to)?;
        let name = match given {
            Some(given) => names::ident(given)?,
            None => {
                let of = names::addition(to.columns.iter().map(String::as_str));
                taken.choose_constraint(&table.name, Some(&of), "fkey")
            }
        };
        push(table, taken, name, ConstraintKind::Foreign(to))?;
    }
    Ok(())
}

fn push(
    table: &mut TableDef,
    taken: &mut Taken,
    name: String,
    kind: ConstraintKind,
) -> Result<(), Refusal> {
    if table.constraints.iter().any(|there| there.name == name) {
        return Err(Refusal::wrong(format!(
            "constraint \"{name}\" for relation \"{}\" already exists",
            table.name
        )));
    }
    taken.constraint(&name);
    table.constraints.push(ConstraintDef { name, kind });
    Ok(())
}

fn key_name(taken: &mut Taken, given: &Ident) -> Result<String, Refusal> {
    let name = names::ident(given)?;
    names::new_relation(&name)?;
    taken.relation(&name)?;
    Ok(name)
}

fn set_primary<'a>(
    pending: &mut Pending<'a>,
    given: Option<&'a Ident>,
    columns: Vec<String>,
) -> Result<(), Refusal> {
    if pending.primary.is_some() {
        return Err(Refusal::wrong(
            "multiple primary keys for one table are not allowed",
        ));
    }
    pending.primary = Some((given, columns));
    Ok(())
}

/// Checks the foreign keys of `table` and those that point to it: for a column that has changed.
pub fn check_references(catalog: &Catalog, name: &str) -> Result<(), Refusal> {
    for table in catalog.tables.values() {
        for reference in table.references() {
            if table.name == name || reference.is_to(name) {
                resolve(catalog, table, &mut reference.clone())?;
            }
        }
    }
    Ok(())
}

/// Checks that `to` points to a key of columns of the same types; fills in the columns.
fn resolve(catalog: &Catalog, table: &TableDef, to: &mut Reference) -> Result<(), Refusal> {
    let own = to
        .columns
        .iter()
        .map(|name| Ok(table.column(name)?.ty.clone()))
        .collect::<Result<Vec<_>, Refusal>>()?;
    let theirs = if to.to_schema == "auth" {
        if to.to_columns.is_empty() {
            to.to_columns = vec!["id".to_owned()];
        }
        if to.to_table != "users" || to.to_columns != ["id"] {
            return Err(Refusal::only_postgres(
                "a foreign key into schema auth other than auth.users(id)",
            ));
        }
        vec![Type::Uuid]
    } else {
        let target = if to.to_table == table.name {
            table
        } else {
            catalog.table(&to.to_table)?
        };
        if to.to_columns.is_empty() {
            to.to_columns = target
                .primary_key()
                .ok_or_else(|| {
                    Refusal::wrong(format!(
                        "there is no primary key for referenced table \"{}\"",
                        to.to_table
                    ))
                })?
                .to_vec();
        }
        let types = to
            .to_columns
            .iter()
            .map(|name| Ok(target.column(name)?.ty.clone()))
            .collect::<Result<Vec<_>, Refusal>>()?;
        if !target.is_key(&to.to_columns) {
            return Err(Refusal::wrong(format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                to.to_table
            )));
        }
        types
    };
    if own.len() != theirs.len() {
        return Err(Refusal::wrong(
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    for (own, theirs) in own.iter().zip(&theirs) {
        let same = own == theirs
            || is_integer(own) && is_integer(theirs)
            || is_text(own) && is_text(theirs)
            || matches!((own, theirs), (Type::Numeric { .. }, Type::Numeric { .. }));
        if !same {
            return Err(Refusal::wrong(format!(
                "a foreign key of type {own} cannot point to a column of type {theirs}"
            )));
        }
    }
    Ok(())
}

fn reference(ast: &ForeignKeyConstraint, columns: Vec<String>) -> Result<Reference, Refusal> {
    let parts = names::parts(&ast.foreign_table)?;
    let (to_schema, to_table) = match &parts[..] {
        [table] => ("public", table),
        [schema, table] if schema == "public" || schema == "auth" => (schema.as_str(), table),
        _ => {
            return Err(Refusal::only_postgres(format!(
                "a foreign key to `{}`",
                ast.foreign_table
            )));
        }
    };
    if !matches!(
        ast.match_kind,
        None | Some(ConstraintReferenceMatchKind::Simple)
    ) {
        return Err(Refusal::only_postgres("`match full`"));
    }
    let action = |action: &Option<ReferentialAction>| match action {
        None | Some(ReferentialAction::NoAction) => None,
        Some(action) => Some(action.to_string().to_ascii_lowercase()),
    };
    let when = ast.characteristics.unwrap_or_default();
    if when.enforced == Some(false) {
        return Err(Refusal::only_postgres("`not enforced`"));
    }
    let deferred = when.initially == Some(DeferrableInitial::Deferred);
    if deferred && when.deferrable == Some(false) {
        return Err(Refusal::wrong(
            "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
        ));
    }
    Ok(Reference {
        columns,
        to_schema: to_schema.to_owned(),
        to_table: to_table.clone(),
        to_columns: idents(&ast.referred_columns)?,
        on_delete: action(&ast.on_delete),
        on_update: action(&ast.on_update),
        deferrable: deferred || when.deferrable == Some(true),
        deferred,
    })
}

/// The index that `create index` declares and its table, or `None` if it stands already and may.
pub fn index(
    catalog: &Catalog,
    create: &CreateIndex,
) -> Result<Option<(String, String, IndexDef)>, Refusal> {
    let table = catalog.table(&names::relation(&create.table_name)?)?;
    let mut taken = Taken::of(catalog);
    if create.concurrently {
        return Err(
            Refusal::wrong("an index cannot be made concurrently in a migration")
                .fix("leave `concurrently` out: a file is one transaction"),
        );
    }
    match &create.using {
        // GIN, GiST and BRIN find what other indexes cannot; without them SQLite reads the rows. They
        // cannot be unique.
        None | Some(IndexType::BTree | IndexType::Hash) => {}
        Some(IndexType::GIN | IndexType::GiST | IndexType::BRIN) if !create.unique => {}
        Some(other) => return Err(Refusal::only_postgres(format!("an index using {other}"))),
    }
    if create.nulls_distinct == Some(false) {
        return Err(Refusal::only_postgres("`nulls not distinct`"));
    }
    if !create.with.is_empty() || !create.index_options.is_empty() {
        return Err(Refusal::only_postgres("an index option"));
    }
    let name = match &create.name {
        Some(name) => {
            let name = names::relation(name)?;
            names::new_relation(&name)?;
            if create.if_not_exists && catalog.index_table(&name).is_some() {
                return Ok(None);
            }
            taken.relation(&name)?;
            name
        }
        None if create.if_not_exists => {
            return Err(Refusal::wrong("`if not exists` needs the index's name"));
        }
        None => {
            let columns: Vec<_> = create
                .columns
                .iter()
                .map(|item| &item.column.expr)
                .collect();
            let columns = names::index_columns(&columns);
            let of = names::addition(columns.iter().map(String::as_str));
            taken.choose_relation(&table.name, Some(&of), "idx")
        }
    };
    for column in &create.include {
        // Columns an index only carries along change no answer.
        table.column(&names::ident(column)?)?;
    }
    let items = create
        .columns
        .iter()
        .map(|item| IndexItem {
            expr: item.column.expr.to_string(),
            descending: item.column.options.sort == Some(OrderBySort::Desc),
        })
        .collect();
    let index = IndexDef {
        unique: create.unique,
        items,
        predicate: create.predicate.as_ref().map(ToString::to_string),
        absent: matches!(
            create.using,
            Some(IndexType::GIN | IndexType::GiST | IndexType::BRIN)
        ),
    };
    if index.absent {
        for item in &create.columns {
            for column in columns_of(&item.column.expr) {
                table.column(&column)?;
            }
        }
    }
    // Says now what is wrong with an expression.
    sql::create_index(catalog, table, &name, &index)?;
    Ok(Some((table.name.clone(), name, index)))
}

pub fn idents(idents: &[Ident]) -> Result<Vec<String>, Refusal> {
    idents.iter().map(names::ident).collect()
}

fn key_columns(columns: &[IndexColumn]) -> Result<Vec<String>, Refusal> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(name) if column.operator_class.is_none() => names::ident(name),
            other => Err(Refusal::wrong(format!("`{other}` is not a column"))),
        })
        .collect()
}

fn one_fill(column: &ColumnDef) -> Result<(), Refusal> {
    if column.fill.is_some() {
        return Err(Refusal::wrong(format!(
            "multiple default values specified for column \"{}\"",
            column.name
        )));
    }
    Ok(())
}

fn immediate(when: Option<&ConstraintCharacteristics>, what: &str) -> Result<(), Refusal> {
    match when {
        Some(when)
            if when.deferrable == Some(true)
                || when.initially == Some(DeferrableInitial::Deferred) =>
        {
            Err(Refusal::only_postgres(format!("a deferrable {what}")))
        }
        _ => Ok(()),
    }
}

fn nulls_distinct(option: NullsDistinctOption) -> Result<(), Refusal> {
    match option {
        NullsDistinctOption::NotDistinct => Err(Refusal::only_postgres("`nulls not distinct`")),
        NullsDistinctOption::None | NullsDistinctOption::Distinct => Ok(()),
    }
}

fn no_options(none: bool) -> Result<(), Refusal> {
    if none {
        Ok(())
    } else {
        Err(Refusal::only_postgres("an option of a constraint's index"))
    }
}

pub fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => value.value == Literal::Null,
        Expr::Nested(inner) => is_null(inner),
        Expr::Cast { expr, .. } => is_null(expr),
        _ => false,
    }
}
