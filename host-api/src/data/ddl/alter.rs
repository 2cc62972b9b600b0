//! `alter table` and `drop table`: in place where SQLite can, else by a rebuild.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation as Change, ColumnDef as ColumnAst,
    DropBehavior, Ident, ObjectName, RenameTableNameKind,
};

use super::access::Rights;
use super::catalog::{Catalog, ConstraintKind, Fill, mentions, rename, rename_in};
use super::names::{self, Taken};
use super::table::{extend, is_null};
use super::translate::Work;
use super::view;
use super::{Refusal, retype, sql};

pub fn table(work: &mut Work, alter: &AlterTable) -> Result<(), Refusal> {
    let name = names::relation(&alter.name)?;
    if alter.if_exists && !work.catalog.relations().any(|there| *there == name) {
        return Ok(());
    }
    if work.catalog.views.contains_key(&name) {
        for change in &alter.operations {
            view::alter(work, &name, &of_view(change)?)?;
        }
        return Ok(());
    }
    work.catalog.table(&name)?;
    work.with_views_away(|work| changes(work, &name, &alter.operations))
}

/// `alter table` of a view, as PostgreSQL allows it.
fn of_view(change: &Change) -> Result<view::Change<'_>, Refusal> {
    Ok(match change {
        Change::RenameTable {
            table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
        } => view::Change::Rename(to),
        Change::RenameColumn {
            old_column_name,
            new_column_name,
        } => view::Change::RenameColumn(old_column_name, new_column_name),
        Change::SetOptionsParens { options } => view::Change::Set(options),
        Change::OwnerTo { .. } => view::Change::Nothing,
        other => return Err(Refusal::only_postgres(format!("`alter view … {other}`"))),
    })
}

fn changes(work: &mut Work, name: &str, operations: &[Change]) -> Result<(), Refusal> {
    // Changes that need it share one rebuild as long as they follow each other.
    let mut rebuild: Option<Catalog> = None;
    let mut conversions = BTreeMap::new();
    let mut retyped = BTreeSet::new();
    for change in operations {
        if let Change::AlterColumn { column_name, op } = change
            && matches!(op, AlterColumnOperation::SetDataType { .. })
            && !retyped.insert(names::ident(column_name)?)
        {
            return Err(
                Refusal::wrong(format!("cannot alter type of column {column_name} twice"))
                    .fix("give it its last type at once"),
            );
        }
        let before = work.catalog.clone();
        match apply(work, name, change)? {
            Done::Nothing => {}
            Done::Rebuild => rebuild = rebuild.or(Some(before)),
            Done::Convert(column, value) => {
                conversions.insert(column, value);
                rebuild = rebuild.or(Some(before));
            }
            Done::InPlace(sql) => {
                finish(
                    work,
                    name,
                    rebuild.take(),
                    &before,
                    &std::mem::take(&mut conversions),
                )?;
                work.run([sql]);
            }
        }
    }
    let after = work.catalog.clone();
    finish(work, name, rebuild, &after, &conversions)
}

/// Rebuilds `name` from how it stood in `old` to how it stands in `new`.
fn finish(
    work: &mut Work,
    name: &str,
    old: Option<Catalog>,
    new: &Catalog,
    conversions: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    if let Some(old) = old {
        let text = |catalog: &Catalog| sql::create_table(catalog, catalog.table(name)?);
        // A wider type and the like: SQLite's table stays as it is.
        if conversions.is_empty() && text(&old)? == text(new)? {
            return Ok(());
        }
        work.run(sql::rebuild(&old, new, name, conversions)?);
    }
    Ok(())
}

pub enum Done {
    Nothing,
    /// The catalog is changed, the table is not.
    Rebuild,
    /// As well; and the column's values become those of SQL text over the old row.
    Convert(String, String),
    InPlace(String),
}

fn apply(work: &mut Work, name: &str, change: &Change) -> Result<Done, Refusal> {
    match change {
        Change::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => add_column(work, name, column_def, *if_not_exists),
        Change::DropColumn {
            column_names,
            if_exists,
            drop_behavior,
            ..
        } => drop_column(work, name, column_names, *if_exists, *drop_behavior),
        Change::RenameColumn {
            old_column_name,
            new_column_name,
        } => {
            let (from, to) = (
                names::ident(old_column_name)?,
                names::ident(new_column_name)?,
            );
            rename_column(work, name, &from, &to)
        }
        Change::RenameTable {
            table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
        } => rename_table(work, name, &names::relation(to)?),
        Change::AddConstraint {
            constraint,
            not_valid: false,
        } => {
            let mut table = work.catalog.table(name)?.clone();
            let mut taken = Taken::of(&work.catalog);
            extend(
                &work.catalog,
                &mut table,
                &mut taken,
                &[],
                std::slice::from_ref(constraint),
            )?;
            work.catalog.tables.insert(name.to_owned(), table);
            Ok(Done::Rebuild)
        }
        Change::DropConstraint {
            if_exists,
            name: constraint,
            drop_behavior,
        } => drop_constraint(
            work,
            name,
            &names::ident(constraint)?,
            *if_exists,
            *drop_behavior,
        ),
        Change::RenameConstraint { old_name, new_name } => {
            let (from, to) = (names::ident(old_name)?, names::ident(new_name)?);
            let mut taken = Taken::of(&work.catalog);
            let table = work.catalog.table_mut(name)?;
            if table.constraints.iter().any(|there| there.name == to) {
                return Err(Refusal::wrong(format!(
                    "constraint \"{to}\" already exists"
                )));
            }
            let Some(there) = table
                .constraints
                .iter_mut()
                .find(|there| there.name == from)
            else {
                return Err(no_constraint(&from, name));
            };
            if there.is_index() {
                taken.relation(&to)?;
            }
            there.name = to;
            Ok(Done::Rebuild)
        }
        Change::AlterColumn { column_name, op } => {
            alter_column(work, name, &names::ident(column_name)?, op)
        }
        Change::EnableRowLevelSecurity | Change::DisableRowLevelSecurity => {
            let on = matches!(change, Change::EnableRowLevelSecurity);
            work.catalog.table_mut(name)?.access.row_security = on;
            Ok(Done::Nothing)
        }
        // Whether the owner is bound too: nobody asks as the owner.
        Change::ForceRowLevelSecurity
        | Change::NoForceRowLevelSecurity
        | Change::OwnerTo { .. }
        | Change::ValidateConstraint { .. } => Ok(Done::Nothing),
        other => Err(Refusal::only_postgres(format!("`alter table … {other}`"))),
    }
}

fn add_column(
    work: &mut Work,
    name: &str,
    ast: &ColumnAst,
    if_not_exists: bool,
) -> Result<Done, Refusal> {
    let column = names::ident(&ast.name)?;
    let mut table = work.catalog.table(name)?.clone();
    if if_not_exists && table.column(&column).is_ok() {
        return Ok(Done::Nothing);
    }
    let constraints = table.constraints.len();
    let mut taken = Taken::of(&work.catalog);
    extend(
        &work.catalog,
        &mut table,
        &mut taken,
        std::slice::from_ref(ast),
        &[],
    )?;
    let plain = table.constraints.len() == constraints;
    work.catalog.tables.insert(name.to_owned(), table);
    let table = work.catalog.table(name)?;
    let added = table.column(&column)?;
    let definition = sql::column(&work.catalog, table, added)?;
    let in_place = plain
        && added.domain.is_none()
        && sql::is_constant(&definition)
        && !matches!(added.fill, Some(Fill::Computed(_)))
        && (!added.not_null || added.fill.is_some());
    Ok(if in_place {
        Done::InPlace(sql::add_column(name, &definition))
    } else {
        Done::Rebuild
    })
}

fn drop_column(
    work: &mut Work,
    name: &str,
    columns: &[Ident],
    if_exists: bool,
    behavior: Option<DropBehavior>,
) -> Result<Done, Refusal> {
    let mut done = Done::Nothing;
    for column in columns {
        let column = names::ident(column)?;
        let table = work.catalog.table(name)?;
        if if_exists && table.column(&column).is_err() {
            continue;
        }
        table.column(&column)?;
        let used = table.columns.iter().find(
            |there| matches!(&there.fill, Some(Fill::Computed(expr)) if mentions(expr, &column)),
        );
        if let Some(used) = used {
            return Err(Refusal::wrong(format!(
                "cannot drop column \"{column}\": the generated column \"{}\" depends on it",
                used.name
            ))
            .fix("drop that one first"));
        }
        let dropped: Vec<_> = table
            .constraints
            .iter()
            .filter(|constraint| constraint.uses(&column))
            .map(|constraint| constraint.name.clone())
            .collect();
        let indexes: Vec<_> = table
            .indexes
            .iter()
            .filter(|(_, index)| index.uses(&column))
            .map(|(name, _)| name.clone())
            .collect();
        work.release_column(name, &column, behavior == Some(DropBehavior::Cascade))?;
        for constraint in &dropped {
            remove_constraint(work, name, constraint, behavior)?;
        }
        let table = work.catalog.table_mut(name)?;
        for rights in table.grants.values_mut() {
            rights.drop_column(&column);
        }
        table
            .grants
            .retain(|_, rights| *rights != Rights::default());
        table.indexes.retain(|name, _| !indexes.contains(name));
        table.columns.retain(|there| there.name != column);
        if table.columns.is_empty() {
            return Err(Refusal::only_postgres("a table without columns"));
        }
        let in_place = dropped.is_empty() && indexes.is_empty() && columns.len() == 1;
        done = if in_place {
            Done::InPlace(sql::drop_column(name, &column))
        } else {
            Done::Rebuild
        };
    }
    Ok(done)
}

fn rename_column(work: &mut Work, name: &str, from: &str, to: &str) -> Result<Done, Refusal> {
    let table = work.catalog.table_mut(name)?;
    table.column(from)?;
    let other = |there: &&super::catalog::ColumnDef| {
        there.name != from && there.name.eq_ignore_ascii_case(to)
    };
    if from == to || table.columns.iter().any(|there| other(&there)) {
        return Err(Refusal::wrong(format!(
            "column \"{to}\" of relation \"{name}\" already exists"
        )));
    }
    work.catalog.rename_column_in_texts(name, from, to)?;
    let table = work.catalog.table_mut(name)?;
    for rights in table.grants.values_mut() {
        rights.rename_column(from, to);
    }
    for column in &mut table.columns {
        if column.name == from {
            to.clone_into(&mut column.name);
        }
        if let Some(Fill::Computed(expr)) = &mut column.fill {
            rename_in(expr, from, to);
        }
    }
    for constraint in &mut table.constraints {
        constraint.rename_column(from, to);
    }
    for index in table.indexes.values_mut() {
        index.rename_column(from, to);
    }
    for table in work.catalog.tables.values_mut() {
        for constraint in &mut table.constraints {
            if let ConstraintKind::Foreign(reference) = &mut constraint.kind
                && reference.is_to(name)
            {
                rename(&mut reference.to_columns, from, to);
            }
        }
    }
    Ok(Done::InPlace(sql::rename_column(name, from, to)))
}

fn rename_table(work: &mut Work, from: &str, to: &str) -> Result<Done, Refusal> {
    names::new_relation(to)?;
    if !from.eq_ignore_ascii_case(to) {
        Taken::of(&work.catalog).relation(to)?;
    }
    work.catalog.rename_relation_in_texts(from, to)?;
    for view in work.catalog.views.values_mut() {
        if view.shows.as_deref() == Some(from) {
            view.shows = Some(to.to_owned());
        }
    }
    if let Some(mut table) = work.catalog.tables.remove(from) {
        to.clone_into(&mut table.name);
        work.catalog.tables.insert(to.to_owned(), table);
    }
    for table in work.catalog.tables.values_mut() {
        for constraint in &mut table.constraints {
            if let ConstraintKind::Foreign(reference) = &mut constraint.kind
                && reference.is_to(from)
            {
                to.clone_into(&mut reference.to_table);
            }
        }
    }
    for names in [&mut work.open, &mut work.new] {
        if names.remove(from) {
            names.insert(to.to_owned());
        }
    }
    Ok(Done::InPlace(sql::rename_table(from, to)))
}

fn drop_constraint(
    work: &mut Work,
    name: &str,
    constraint: &str,
    if_exists: bool,
    behavior: Option<DropBehavior>,
) -> Result<Done, Refusal> {
    let table = work.catalog.table(name)?;
    if !table
        .constraints
        .iter()
        .any(|there| there.name == constraint)
    {
        if if_exists {
            return Ok(Done::Nothing);
        }
        return Err(no_constraint(constraint, name));
    }
    remove_constraint(work, name, constraint, behavior)?;
    Ok(Done::Rebuild)
}

/// Takes a constraint away; foreign keys that need it go with it on `cascade` and forbid it otherwise.
fn remove_constraint(
    work: &mut Work,
    name: &str,
    constraint: &str,
    behavior: Option<DropBehavior>,
) -> Result<(), Refusal> {
    let table = work.catalog.table_mut(name)?;
    table.constraints.retain(|there| there.name != constraint);
    let table = table.clone();
    let lost = |kind: &ConstraintKind| match kind {
        ConstraintKind::Foreign(to) => to.is_to(name) && !table.is_key(&to.to_columns),
        _ => false,
    };
    for other in work.catalog.tables.values_mut() {
        if behavior != Some(DropBehavior::Cascade)
            && let Some(there) = other.constraints.iter().find(|there| lost(&there.kind))
        {
            return Err(Refusal::wrong(format!(
                "cannot drop constraint \"{constraint}\" of table \"{name}\": \"{}\" of table \"{}\" depends on it",
                there.name, other.name
            ))
            .fix("drop that one first, or use `cascade`"));
        }
        other.constraints.retain(|there| !lost(&there.kind));
    }
    Ok(())
}

fn alter_column(
    work: &mut Work,
    name: &str,
    column: &str,
    change: &AlterColumnOperation,
) -> Result<Done, Refusal> {
    let table = work.catalog.table(name)?;
    let is_key = table
        .primary_key()
        .is_some_and(|key| key.iter().any(|part| part == column));
    let there = table.column(column)?;
    let mut new = there.clone();
    match change {
        AlterColumnOperation::SetNotNull => new.not_null = true,
        AlterColumnOperation::DropNotNull if is_key || there.sequence().is_some() => {
            return Err(Refusal::wrong(format!(
                "column \"{column}\" is in a primary key or an identity column"
            )));
        }
        AlterColumnOperation::DropNotNull => new.not_null = false,
        AlterColumnOperation::SetDefault { .. } | AlterColumnOperation::DropDefault
            if matches!(there.fill, Some(Fill::Computed(_) | Fill::Sequence { .. })) =>
        {
            return Err(Refusal::only_postgres(format!(
                "a change of the default of \"{column}\", a serial, identity or generated column,"
            )));
        }
        AlterColumnOperation::SetDefault { value } if is_null(value) => {
            new.fill = None;
        }
        AlterColumnOperation::SetDefault { value } => {
            new.fill = Some(Fill::Default(value.to_string()));
        }
        AlterColumnOperation::DropDefault => new.fill = None,
        AlterColumnOperation::SetDataType {
            data_type, using, ..
        } => return retype::column(work, name, column, data_type, using.as_ref()),
        other => return Err(Refusal::only_postgres(format!("`alter column … {other}`"))),
    }
    *work.catalog.table_mut(name)?.column_mut(column)? = new;
    // Says now what is wrong with a default or with an expression over the new type.
    sql::create_table(&work.catalog, work.catalog.table(name)?)?;
    Ok(Done::Rebuild)
}

pub fn drop_tables(
    work: &mut Work,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<(), Refusal> {
    let mut dropped = BTreeSet::new();
    for name in names {
        let name = names::relation(name)?;
        if work.catalog.tables.contains_key(&name) {
            dropped.insert(name);
        } else if work.catalog.views.contains_key(&name) {
            return Err(Refusal::wrong(format!("\"{name}\" is not a table")).fix("use `drop view`"));
        } else if !if_exists {
            return Err(Refusal::wrong(format!("table \"{name}\" does not exist")));
        }
    }
    let all: Vec<String> = dropped.iter().cloned().collect();
    work.with_views_away(|work| {
        work.release(&all, "table", cascade)?;
        drop_released(work, dropped, cascade)
    })
}

fn drop_released(
    work: &mut Work,
    mut dropped: BTreeSet<String>,
    cascade: bool,
) -> Result<(), Refusal> {
    while let Some(name) = next(&work.catalog, &dropped) {
        let referencing = work.catalog.referencing(&name);
        for other in &referencing {
            if !cascade && !dropped.contains(other) {
                return Err(Refusal::wrong(format!(
                    "cannot drop table \"{name}\": a foreign key of table \"{other}\" depends on it"
                ))
                .fix("drop that one first, or use `cascade`"));
            }
            let before = work.catalog.clone();
            let table = work.catalog.table_mut(other)?;
            table.constraints.retain(|there| match &there.kind {
                ConstraintKind::Foreign(to) => !to.is_to(&name),
                _ => true,
            });
            let steps = sql::rebuild(&before, &work.catalog, other, &BTreeMap::new())?;
            work.run(steps);
        }
        work.catalog.tables.remove(&name);
        work.open.remove(&name);
        work.new.remove(&name);
        dropped.remove(&name);
        work.run([sql::drop_table(&name)]);
    }
    Ok(())
}

/// The table to drop next: one that no other table to be dropped points to, if there is any.
fn next(catalog: &Catalog, dropped: &BTreeSet<String>) -> Option<String> {
    dropped
        .iter()
        .find(|name| catalog.referencing(name).is_disjoint(dropped))
        .or_else(|| dropped.first())
        .cloned()
}

fn no_constraint(constraint: &str, table: &str) -> Refusal {
    Refusal::wrong(format!(
        "constraint \"{constraint}\" of relation \"{table}\" does not exist"
    ))
}
