//! Writes: rows as cells of a table, what is answered of them, and whether they may be written at all.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::hooks::Operation;
use super::super::query::{Body, Insert, Preferences, Query, Returning};
use super::super::schema::Kind;
use super::super::{DataError, Engine, SqlFault, Table};
use super::expr::Level;
use super::read::{Planner, bare, output};
use super::rights::{self, Writing};
use super::tree::{Shape, Tree};
use super::{
    Answering, Cells, Condition, ConflictPlan, DeletePlan, InsertPlan, Node, Scope, Source,
    UpdatePlan, faults,
};

/// Plans an insert or an upsert.
///
/// # Errors
/// Those of [`read`](super::read) for the answer; PGRST204 for columns, PGRST102 for rows that differ in
/// their keys, 55000 for a view that cannot be written. Likewise below.
pub fn insert(
    scope: &Scope<'_>,
    insert: Insert,
    preferences: Preferences,
) -> Result<InsertPlan, DataError> {
    let table = scope.relation(&insert.query)?;
    let answer = answer(scope, &table, &insert.query, insert.returning, preferences)?;
    let (columns, rows) = match &insert.columns {
        Some(columns) => listed(&table, columns, insert.rows, insert.missing_default)?,
        None => uniform(&table, insert.rows)?,
    };
    let mut conflict = None;
    if let Some(asked) = insert.conflict {
        let mut on = Vec::new();
        for name in &asked.on {
            let found = table.column(name);
            on.push(found.ok_or_else(|| faults::no_conflict_column(&table, name))?);
        }
        if let (true, Some(key)) = (on.is_empty(), &table.primary_key) {
            on.clone_from(&key.columns);
        }
        // Without a key no row can meet another; without columns there is nothing to update.
        if !on.is_empty() {
            let merge = asked.merge && !columns.is_empty();
            conflict = Some(ConflictPlan { on, merge });
        }
    }
    writable(scope, &table, Writing::Insert, &columns)?;
    rights::write(scope, &table, Writing::Insert, &columns)?;
    if let Some(conflict) = &conflict {
        rights::select(scope, &table, &conflict.on)?;
        if conflict.merge {
            writable(scope, &table, Writing::Update, &columns)?;
            rights::write(scope, &table, Writing::Update, &columns)?;
        }
    }
    readable(scope, &answer)?;
    Ok(InsertPlan {
        table,
        rows,
        conflict,
        answer,
    })
}

/// Plans an update of the rows that a query's own filters meet. Without `columns` all keys of `values`
/// are written; with them only these, and one that `values` lacks becomes null, or its default.
pub fn update(
    scope: &Scope<'_>,
    query: &Query,
    values: Vec<(String, Box<RawValue>)>,
    columns: Option<&[String]>,
    missing_default: bool,
    returning: Returning,
    preferences: Preferences,
) -> Result<UpdatePlan, DataError> {
    let table = scope.relation(query)?;
    let answer = answer(scope, &table, query, returning, preferences)?;
    let (written, mut rows) = match columns {
        Some(columns) => listed(&table, columns, vec![values], missing_default)?,
        None => uniform(&table, vec![values])?,
    };
    let conditions = target(scope, &table, query)?;
    writable(scope, &table, Writing::Update, &written)?;
    rights::write(scope, &table, Writing::Update, &written)?;
    rights::conditions(scope, &conditions)?;
    readable(scope, &answer)?;
    Ok(UpdatePlan {
        table,
        cells: rows.pop().unwrap_or_default(),
        conditions,
        answer,
    })
}

/// Plans a delete of the rows that a query's own filters meet.
pub fn delete(
    scope: &Scope<'_>,
    query: &Query,
    returning: Returning,
    preferences: Preferences,
) -> Result<DeletePlan, DataError> {
    let table = scope.relation(query)?;
    let answer = answer(scope, &table, query, returning, preferences)?;
    let conditions = target(scope, &table, query)?;
    writable(scope, &table, Writing::Delete, &[])?;
    rights::write(scope, &table, Writing::Delete, &[])?;
    rights::conditions(scope, &conditions)?;
    readable(scope, &answer)?;
    Ok(DeletePlan {
        table,
        conditions,
        answer,
    })
}

/// Whether the actor may write to a table in any way: for doors that would read a body first.
///
/// # Errors
/// PGRST106, PGRST205, 42501.
pub fn may_write(scope: &Scope<'_>, query: &Query) -> Result<(), DataError> {
    let table = scope.relation(query)?;
    rights::any_write(scope, &table)
}

/// The row that a trigger gave back, as cells: checked like one from a client.
///
/// # Errors
/// PGRST102, PGRST204.
pub fn replacement(table: &Table, row: &str) -> Result<Cells, DataError> {
    let (_, mut rows) = uniform(table, vec![super::super::query::body::row(row)?])?;
    Ok(rows.pop().unwrap_or_default())
}

/// Whether the actor may read the key by which rows are found again that triggers have judged.
///
/// # Errors
/// 42501.
pub fn may_judge(scope: &Scope<'_>, table: &Arc<Table>) -> Result<(), DataError> {
    match &table.primary_key {
        Some(key) => rights::select(scope, table, &key.columns),
        None => Ok(()),
    }
}

/// Whether the actor may write the cells of a row that a trigger gave back.
///
/// # Errors
/// 42501.
pub fn may_replace(
    scope: &Scope<'_>,
    table: &Table,
    operation: Operation,
    cells: &Cells,
) -> Result<(), DataError> {
    let writing = match operation {
        Operation::Insert => Writing::Insert,
        Operation::Update => Writing::Update,
        Operation::Delete => Writing::Delete,
    };
    let columns: Vec<usize> = cells.iter().map(|(column, _)| *column).collect();
    rights::write(scope, table, writing, &columns)
}

/// What is answered. Its names are checked even when nothing is.
fn answer(
    scope: &Scope<'_>,
    table: &Arc<Table>,
    query: &Query,
    returning: Returning,
    preferences: Preferences,
) -> Result<Answering, DataError> {
    let source = Source::Written(table.clone());
    let shape = Shape::Table(table.clone());
    let mut tree = Tree::of(query)?;
    tree.resolve(scope, scope.space(query)?, &shape)?;
    // The query's own filters are about what is to be written.
    tree.filters.clear();
    let node: Option<Node> = match returning {
        Returning::Count => None,
        Returning::Rows => Some(Planner::new(scope, None).root(&tree, shape, source)?),
        Returning::Keys => {
            let key = table.primary_key.iter().flat_map(|key| &key.columns);
            let outputs = key.map(|&column| output(table, column)).collect();
            Some(bare(source, outputs))
        }
    };
    Ok(Answering { node, preferences })
}

fn readable(scope: &Scope<'_>, answer: &Answering) -> Result<(), DataError> {
    answer
        .node
        .as_ref()
        .map_or(Ok(()), |node| rights::read(scope, node))
}

/// Which rows of the table, called `_t0`, are meant.
fn target(
    scope: &Scope<'_>,
    table: &Arc<Table>,
    query: &Query,
) -> Result<Vec<Condition>, DataError> {
    let level = Level {
        name: table.name.as_str().to_owned(),
        shape: Shape::Table(table.clone()),
        alias: 0,
        depth: 0,
    };
    let mut planner = Planner::new(scope, None);
    let own = query.filters.iter().filter(|filter| filter.path.is_empty());
    own.map(|filter| planner.condition(&filter.condition, None, &level))
        .collect()
}

/// All rows with the keys of the first, in its order.
fn uniform(table: &Table, rows: Body) -> Result<(Vec<usize>, Vec<Cells>), DataError> {
    let mut columns = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, _) in rows.first().into_iter().flatten() {
        if places.insert(name.clone(), places.len()).is_none() {
            columns.push(name.clone());
        }
    }
    let differ = || DataError::sql("PGRST102", "All object keys must match");
    let mut ordered = Vec::with_capacity(rows.len());
    for row in rows {
        if row.len() != columns.len() {
            return Err(differ());
        }
        let mut values: Vec<Option<Box<RawValue>>> = columns.iter().map(|_| None).collect();
        for (at, (name, value)) in row.into_iter().enumerate() {
            let place = match columns.get(at) {
                Some(same) if *same == name => at,
                _ => *places.get(&name).ok_or_else(differ)?,
            };
            values[place] = Some(value);
        }
        if values.iter().any(Option::is_none) {
            return Err(differ());
        }
        ordered.push(values);
    }
    let columns = targets(table, &columns)?;
    let rows = ordered
        .into_iter()
        .map(|values| columns.iter().copied().zip(values).collect())
        .collect();
    Ok((columns, rows))
}

/// Only the cells of `columns`; one that a row lacks is null, or the column's default.
fn listed(
    table: &Table,
    columns: &[String],
    rows: Body,
    missing_default: bool,
) -> Result<(Vec<usize>, Vec<Cells>), DataError> {
    let mut names: Vec<String> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for name in columns {
        let next = names.len();
        if *places.entry(name).or_insert(next) == next {
            names.push(name.clone());
        }
    }
    let listed = targets(table, &names)?;
    let rows = rows.into_iter().map(|row| {
        let missing = || (!missing_default).then(|| RawValue::NULL.to_owned());
        let mut cells: Cells = listed.iter().map(|&column| (column, missing())).collect();
        for (name, value) in row {
            if let Some(&place) = places.get(name.as_str()) {
                cells[place].1 = Some(value);
            }
        }
        cells
    });
    let rows = rows.collect();
    Ok((listed, rows))
}

fn targets(table: &Table, names: &[String]) -> Result<Vec<usize>, DataError> {
    let columns: HashMap<&str, usize> = (table.columns.iter().enumerate())
        .map(|(index, column)| (column.name.as_str(), index))
        .collect();
    let target = |name: &String| columns.get(name.as_str()).copied();
    names
        .iter()
        .map(|name| target(name).ok_or_else(|| faults::no_target(table, name)))
        .collect()
}

/// Whether a view takes writes, on SQLite: PostgreSQL knows of its triggers and rules.
fn writable(
    scope: &Scope<'_>,
    table: &Table,
    writing: Writing,
    columns: &[usize],
) -> Result<(), DataError> {
    let Kind::View(view) = &table.kind else {
        return Ok(());
    };
    if scope.schema.engine == Engine::Postgres {
        return Ok(());
    }
    let name = table.name.as_str();
    let (open, refused, way, doing) = match writing {
        Writing::Insert => (view.insertable, "insert into", "INSERT", "inserting into"),
        Writing::Update => (view.updatable, "update", "UPDATE", "updating"),
        Writing::Delete => (view.deletable, "delete from", "DELETE", "deleting from"),
    };
    if !open {
        let name = view.closed.as_ref().map_or(name, |closed| &closed.view);
        let fault = SqlFault::new("55000", format!("cannot {refused} view \"{name}\"")).hint(format!(
            "To enable {doing} the view, provide an INSTEAD OF {way} trigger or an unconditional ON {way} DO INSTEAD rule."
        ));
        return Err(match &view.closed {
            Some(closed) => fault.details(&closed.why),
            None => fault,
        }
        .into());
    }
    let computed = columns
        .iter()
        .map(|&column| &table.columns[column])
        .find(|column| column.source.is_none());
    let Some(column) = computed else {
        return Ok(());
    };
    let into = match writing {
        Writing::Insert => "insert into",
        _ => "update",
    };
    let column = column.name.as_str();
    let message = format!("cannot {into} column \"{column}\" of view \"{name}\"");
    Err(SqlFault::new("0A000", message)
        .details("View columns that are not columns of their base relation are not updatable.")
        .into())
}
