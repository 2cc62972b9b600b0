//! Inserts, updates and deletes.
//!
//! PostgreSQL looks at policies before it looks at constraints. Here a row is written first and then
//! read again by its rowid; all is undone when a policy does not allow it. So that nobody learns from a
//! broken constraint what a policy hides, policies are asked then too, of the row as it would have been.

mod judged;

use std::borrow::Cow;
use std::collections::HashSet;

use crate::data::plan::{
    Answering, Cells, Condition, ConflictPlan, DeletePlan, Expr, InsertPlan, Node, UpdatePlan,
};
use crate::data::query::Rows;
use crate::data::run::twice;
use crate::data::schema::{Columns, Command, Privileges};
use crate::data::sqlite::errors::is_unique;
use crate::data::sqlite_ffi::Row;
use crate::data::{DataError, Kind, Table, Type, Value, ValueRef};

use super::Runner;
use super::answer::Answer;
use super::broken::{Attempt, NOTHING};
use super::rules::{generated, null_number};
use super::sql::Statement;
use super::sql::write::{Cell, OnConflict, Reach, Returned, Target, Which};

/// An answer, and how many rows were written.
type Outcome = Result<(Rows, Option<u64>), DataError>;

/// What a write collects.
struct Written<'a> {
    target: Target<'a>,
    node: Option<&'a Node>,
    /// Types of the node's outputs, when all are plain columns: `returning` answers them.
    plain: Option<Vec<Cow<'a, Type>>>,
    answer: Answer<'a>,
    rowids: Option<Vec<i64>>,
    count: u64,
}

impl<'a> Written<'a> {
    fn new(target: Target<'a>, answering: &'a Answering, always_rowids: bool) -> Written<'a> {
        let node = answering.node.as_ref();
        let plain = node.and_then(plain_types);
        let rowids = always_rowids || (node.is_some() && plain.is_none());
        Written {
            target,
            answer: Answer::new(
                node.map(|node| node.outputs.as_slice()),
                answering.preferences.format,
            ),
            node,
            plain,
            rowids: rowids.then(Vec::new),
            count: 0,
        }
    }

    fn returned(&self) -> Returned<'a> {
        Returned {
            rowid: self.rowids.is_some(),
            outputs: self
                .plain
                .as_ref()
                .and(self.node)
                .map(|node| node.outputs.as_slice()),
        }
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), DataError> {
        let mut from = 0;
        if let Some(rowids) = &mut self.rowids {
            if let ValueRef::Integer(rowid) = row.get(0) {
                rowids.push(rowid);
            }
            from = 1;
        }
        match &self.plain {
            Some(types) => self.answer.row(row, types, from),
            None => Ok(()),
        }
    }

    /// The answer; rows that `returning` could not answer are read by their rowids.
    fn finish(mut self, runner: &Runner<'a>, answering: &'a Answering) -> Outcome {
        if let (Some(node), None) = (self.node, &self.plain) {
            let rows = json(self.rowids.as_deref().unwrap_or_default());
            self.read(runner, node, rows)?;
        }
        self.end(answering)
    }

    fn read(&mut self, runner: &Runner<'a>, node: &'a Node, rows: String) -> Result<(), DataError> {
        let mut statement = Statement::new(runner.rights);
        let types = statement.written(self.target, node, rows)?;
        self.answer.query(runner, &statement, &types, 0)
    }

    fn end(self, answering: &Answering) -> Outcome {
        let mut rows = self.answer.finish();
        if self.node.is_none() {
            rows.count = self.count;
        }
        rows.total = answering.preferences.count.map(|_| rows.count);
        Ok((rows, Some(self.count)))
    }
}

impl<'a> Runner<'a> {
    pub(super) fn insert(&self, plan: &'a InsertPlan) -> Outcome {
        let target = Target::of(self.rights, &plan.table)?;
        let table = target.table;
        let bound = target.rights.bound(table);
        let conflict = plan
            .conflict
            .as_ref()
            .map(|conflict| below(target, conflict));
        let conflict = conflict.transpose()?;
        let merge = conflict.as_ref().filter(|conflict| conflict.merge);
        let mut written = Written::new(target, &plan.answer, bound || merge.is_some());
        let reads = conflict.is_some() || plan.answer.node.is_some();
        let checks = match bound {
            true => self.checks(target, Command::Insert, reads)?,
            false => Vec::new(),
        };
        let (mut met, mut inserted) = (HashSet::new(), 0);
        let mut added = Vec::new();
        let mut merged = Vec::new();
        let wrote = |cell: &&(usize, Option<_>)| cell.1.is_some();
        let same = |a: &Cells, b: &Cells| {
            let columns = |cells: &Cells| -> Vec<(usize, bool)> {
                cells
                    .iter()
                    .map(|(at, cell)| (*at, cell.is_some()))
                    .collect()
            };
            columns(a) == columns(b)
        };
        for group in plan.rows.chunk_by(same) {
            let mut columns = Vec::with_capacity(group[0].len());
            for (column, _) in group[0].iter().filter(wrote) {
                columns.push(target.column(*column)?);
            }
            generated(table, columns.iter().copied(), true)?;
            self.may_write(target, &columns, |privileges| &privileges.insert)?;
            let mut defaults = Vec::new();
            if merge.is_some() {
                self.may_write(target, &columns, |privileges| &privileges.update)?;
                for (column, _) in group[0].iter().filter(|cell| cell.1.is_none()) {
                    let column = target.column(*column)?;
                    defaults.push((column, self.default(table, column)?));
                }
            }
            let mut statement = Statement::new(self.rights);
            let on = conflict.as_ref().map(|plan| OnConflict {
                plan,
                defaults: &defaults,
                never_merge: bound,
            });
            statement.insert(target, &columns, on, written.returned())?;
            if let Some(how) = plan.answer.preferences.explain {
                statement.args = columns.iter().map(|_| Value::Null).collect();
                return Ok((self.explain(&statement, how)?, None));
            }
            for cells in group {
                let mut args = Vec::with_capacity(columns.len());
                for ((_, json), column) in cells.iter().filter(wrote).zip(&columns) {
                    let column = &table.columns[*column];
                    let value = match json {
                        Some(json) => column.from_json(json)?,
                        None => Value::Null,
                    };
                    args.push(value);
                }
                if bound && conflict.is_some() {
                    self.proposed(target, &columns, &args, &checks)?;
                }
                if null_number(table, &columns, &args) {
                    if bound {
                        self.proposed(target, &columns, &args, &checks)?;
                    }
                    return Err(self.null_refused(target, &columns, &args)?);
                }
                let mut existing = None;
                if let Some(conflict) = merge {
                    existing = self.existing(target, conflict, &columns, &args)?;
                    if existing.is_some_and(|rowid| met.contains(&rowid)) {
                        return Err(twice());
                    }
                    if let (true, Some(rowid)) = (bound, existing) {
                        self.sendable(target, &columns, &args)?;
                        self.mergeable(target, rowid)?;
                    }
                }
                let before = written.count;
                statement.args.clone_from(&args);
                let outcome = match existing {
                    Some(rowid) if bound => {
                        let values = columns.iter().zip(&args);
                        let values = values.map(|(at, value)| (*at, Cell::Value(value.clone())));
                        let left = defaults.iter().cloned();
                        let left = left.map(|(at, default)| (at, Cell::Default(default)));
                        let cells: Vec<_> = values.chain(left).collect();
                        self.merge(target, rowid, &cells, &mut written)
                    }
                    _ => {
                        let attempt = Attempt::Insert {
                            columns: &columns,
                            met: existing.map(|rowid| (rowid, &defaults[..])),
                        };
                        self.change(&statement, &mut written, &attempt)
                    }
                };
                if let Err(error) = outcome {
                    if bound && is_constraint(&error) {
                        self.proposed(target, &columns, &args, &checks)?;
                    }
                    return Err(error);
                }
                let new = existing.is_none() && written.count > before;
                inserted += u64::from(new);
                if merge.is_some() {
                    if written.count == before {
                        return Err(unknown_row(table));
                    }
                    let rowids = written.rowids.iter().flatten();
                    met.extend(rowids.last().copied());
                }
                if bound
                    && written.count > before
                    && let Some(rowid) = written.rowids.as_ref().and_then(|ids| ids.last())
                {
                    (if new { &mut added } else { &mut merged }).push(*rowid);
                }
            }
        }
        if bound {
            self.meet(target, &checks, &added)?;
            if !merged.is_empty() {
                let checks = self.checks(target, Command::Update, true)?;
                self.meet(target, &checks, &merged)?;
            }
        }
        let (mut rows, count) = written.finish(self, &plan.answer)?;
        rows.inserted = conflict.is_some().then_some(inserted);
        Ok((rows, count))
    }

    /// Whether the row that an upsert sent keeps to the constraints of its own, which PostgreSQL asks before
    /// it looks which row it meets.
    fn sendable(
        &self,
        target: Target<'_>,
        columns: &[usize],
        args: &[Value],
    ) -> Result<(), DataError> {
        let mut alone = Statement::new(self.rights);
        alone.insert(target, columns, None, NOTHING)?;
        alone.args = args.to_vec();
        match self.tried(|| self.failure(&alone))? {
            Some(error) if !is_unique(error.extended_code) => {
                let attempt = Attempt::Insert { columns, met: None };
                Err(self.refused(error, target, &attempt, &alone))
            }
            _ => Ok(()),
        }
    }

    /// Changes the very row that an upsert met and may change.
    fn merge(
        &self,
        target: Target<'a>,
        rowid: i64,
        cells: &[(usize, Cell)],
        written: &mut Written<'a>,
    ) -> Result<(), DataError> {
        let rows = json(&[rowid]);
        let which = Which::Rowids(&rows);
        let mut statement = Statement::new(self.rights);
        statement.update(target, cells.to_vec(), which, written.returned())?;
        let outcome = self.change(&statement, written, &Attempt::Update { cells, which });
        if outcome.as_ref().is_err_and(is_constraint) {
            for check in &self.checks(target, Command::Update, true)? {
                self.would_meet(target, cells.to_vec(), Some(which), check)?;
            }
        }
        outcome
    }

    pub(super) fn update(&self, plan: &'a UpdatePlan) -> Outcome {
        let target = Target::of(self.rights, &plan.table)?;
        let bound = target.rights.bound(target.table);
        let mut written = Written::new(target, &plan.answer, bound);
        if plan.cells.is_empty() {
            return written.end(&plan.answer);
        }
        let reach = Reach {
            command: Command::Update,
            reads: reads(&plan.conditions, &plan.answer),
        };
        let which = Which::Conditions(&plan.conditions, reach);
        let cells = self.cells(target, &plan.cells)?;
        let statement = self.updating(target, &cells, which, written.returned())?;
        if let Some(how) = plan.answer.preferences.explain {
            return Ok((self.explain(&statement, how)?, None));
        }
        let checks = match bound {
            true => self.checks(target, Command::Update, reach.reads)?,
            false => Vec::new(),
        };
        let attempt = Attempt::Update {
            cells: &cells,
            which,
        };
        if let Err(error) = self.change(&statement, &mut written, &attempt) {
            if bound && is_constraint(&error) {
                for check in &checks {
                    self.would_meet(target, cells.clone(), Some(which), check)?;
                }
            }
            return Err(error);
        }
        self.meet(
            target,
            &checks,
            written.rowids.as_deref().unwrap_or_default(),
        )?;
        written.finish(self, &plan.answer)
    }

    pub(super) fn delete(&self, plan: &'a DeletePlan) -> Outcome {
        let target = Target::of(self.rights, &plan.table)?;
        self.may_delete(target)?;
        let mut written = Written::new(target, &plan.answer, false);
        let reach = Reach {
            command: Command::Delete,
            reads: reads(&plan.conditions, &plan.answer),
        };
        let which = Which::Conditions(&plan.conditions, reach);
        let mut statement = Statement::new(self.rights);
        match (written.node, &written.plain) {
            // What is gone cannot be read.
            (Some(node), None) if plan.answer.preferences.explain.is_none() => {
                statement.rowids(target, which)?;
                let mut rowids = Vec::new();
                self.each(&statement, |row| {
                    if let ValueRef::Integer(rowid) = row.get(0) {
                        rowids.push(rowid);
                    }
                    Ok(())
                })?;
                self.delete_read(target, node, &mut written, &rowids)?;
            }
            _ => {
                statement.delete(target, which, written.returned())?;
                if let Some(how) = plan.answer.preferences.explain {
                    return Ok((self.explain(&statement, how)?, None));
                }
                let attempt = Attempt::Delete { which };
                self.change(&statement, &mut written, &attempt)?;
            }
        }
        written.end(&plan.answer)
    }

    /// Answers rows and deletes them.
    fn delete_read(
        &self,
        target: Target<'a>,
        node: &'a Node,
        written: &mut Written<'a>,
        rowids: &[i64],
    ) -> Result<(), DataError> {
        let rows = json(rowids);
        written.read(self, node, rows.clone())?;
        let mut statement = Statement::new(self.rights);
        let which = Which::Rowids(&rows);
        statement.delete(target, which, NOTHING)?;
        let changes = self
            .connection
            .execute(&statement.text, &statement.args)
            .map_err(|error| self.refused(error, target, &Attempt::Delete { which }, &statement))?;
        written.count += changes.rows;
        Ok(())
    }
}

impl<'a> Runner<'a> {
    /// Runs a statement that writes.
    fn change(
        &self,
        statement: &Statement<'_>,
        written: &mut Written<'a>,
        attempt: &Attempt<'_>,
    ) -> Result<(), DataError> {
        let outcome = self
            .connection
            .query(&statement.text, &statement.args, |row| written.row(&row));
        let changes =
            outcome.map_err(|error| self.refused(error, written.target, attempt, statement))?;
        written.count += changes.rows;
        Ok(())
    }

    fn updating<'s>(
        &self,
        target: Target<'s>,
        cells: &[(usize, Cell)],
        which: Which<'s>,
        returned: Returned<'s>,
    ) -> Result<Statement<'s>, DataError>
    where
        'a: 's,
    {
        let columns: Vec<usize> = cells.iter().map(|(column, _)| *column).collect();
        self.may_write(target, &columns, |privileges| &privileges.update)?;
        for (column, cell) in cells {
            if let Cell::Value(_) = cell {
                generated(target.table, [*column].into_iter(), false)?;
            }
        }
        let mut statement = Statement::new(self.rights);
        statement.update(target, cells.to_vec(), which, returned)?;
        Ok(statement)
    }

    /// New values in storage form, by the table's own columns.
    fn cells(&self, target: Target<'_>, cells: &Cells) -> Result<Vec<(usize, Cell)>, DataError> {
        let mut stored = Vec::with_capacity(cells.len());
        for (column, json) in cells {
            let column = target.column(*column)?;
            let cell = match json {
                Some(json) => Cell::Value(target.table.columns[column].from_json(json)?),
                None => Cell::Default(self.default(target.table, column)?),
            };
            stored.push((column, cell));
        }
        Ok(stored)
    }

    /// Grants of a view's table: those of the view itself are checked while planning.
    fn may_write(
        &self,
        target: Target<'_>,
        columns: &[usize],
        of: impl Fn(&Privileges) -> &Columns,
    ) -> Result<(), DataError> {
        if target.view.is_none() {
            return Ok(());
        }
        target.rights.demand(target.table, |privileges| {
            columns
                .iter()
                .all(|column| of(privileges).contains(*column))
        })
    }

    fn may_delete(&self, target: Target<'_>) -> Result<(), DataError> {
        if target.view.is_none() {
            return Ok(());
        }
        target
            .rights
            .demand(target.table, |privileges| privileges.delete)
    }
}

/// Types of a node's outputs when `returning` can answer them: plain columns of every written row, those
/// of a view as they are in its table.
fn plain_types(node: &Node) -> Option<Vec<Cow<'_, Type>>> {
    let all = node.conditions.is_empty()
        && node.groups.is_none()
        && node.orders.is_empty()
        && node.limit.is_none()
        && node.offset.is_none();
    let mut types = Vec::with_capacity(node.outputs.len());
    for output in &node.outputs {
        match &output.expr {
            Expr::Column {
                alias,
                table,
                column,
            } if *alias == node.alias
                && (table.kind == Kind::Table || table.columns[*column].source.is_some()) =>
            {
                types.push(Cow::Borrowed(&table.columns[*column].ty));
            }
            _ => return None,
        }
    }
    all.then_some(types)
}

/// Whether a statement reads columns, so that policies for reading bind it.
fn reads(conditions: &[Condition], answering: &Answering) -> bool {
    !conditions.is_empty() || answering.node.is_some()
}

fn below(target: Target<'_>, conflict: &ConflictPlan) -> Result<ConflictPlan, DataError> {
    let on = conflict.on.iter().map(|column| target.column(*column));
    Ok(ConflictPlan {
        on: on.collect::<Result<_, _>>()?,
        merge: conflict.merge,
    })
}

/// When a default is another one each time it is asked for.
fn unknown_row(table: &Table) -> DataError {
    let table = table.name.as_str();
    DataError::sql(
        "0A000",
        format!(
            "cannot tell which row of \"{table}\" an upsert meets whose key is left to its default"
        ),
    )
}

/// Rowids as a JSON array.
pub(super) fn json(rowids: &[i64]) -> String {
    let mut text = String::with_capacity(2 + 8 * rowids.len());
    text.push('[');
    for (at, rowid) in rowids.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        text.push_str(&rowid.to_string());
    }
    text.push(']');
    text
}

fn is_constraint(error: &DataError) -> bool {
    error.code().is_some_and(|code| code.starts_with("23"))
}
