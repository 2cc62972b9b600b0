//! What policies ask of rows that are written: of those that are there, and of those that would be.

use crate::data::plan::ConflictPlan;
use crate::data::schema::Command;
use crate::data::{DataError, Table, Value, ValueRef};

use super::Runner;
use super::sql::Statement;
use super::sql::policies::Check;
use super::sql::write::{Cell, Target, Which};
use super::write::json;

impl<'a> Runner<'a> {
    /// What rows have to meet that `command` has written; with `reads` also those for being read.
    pub(super) fn checks(
        &self,
        target: Target<'_>,
        command: Command,
        reads: bool,
    ) -> Result<Vec<Check>, DataError> {
        let (table, rights) = (target.table, target.rights);
        let mut checks = rights.checks(table, "_t0", command, false)?;
        if reads {
            checks.extend(rights.checks(table, "_t0", Command::Select, true)?);
        }
        Ok(checks)
    }

    /// # Errors
    /// 42501 when one of the rows does not meet a check.
    pub(super) fn meet(
        &self,
        target: Target<'_>,
        checks: &[Check],
        rowids: &[i64],
    ) -> Result<(), DataError> {
        self.meet_or(target, checks, rowids, false)
    }

    fn meet_or(
        &self,
        target: Target<'_>,
        checks: &[Check],
        rowids: &[i64],
        using: bool,
    ) -> Result<(), DataError> {
        if rowids.is_empty() || checks.is_empty() {
            return Ok(());
        }
        let rows = json(rowids);
        for check in checks {
            let mut statement = Statement::new(self.rights);
            statement.breaks(target.table, check, rows.clone())?;
            self.refuse(&statement, check, target.table, using)?;
        }
        Ok(())
    }

    fn refuse(
        &self,
        statement: &Statement<'_>,
        check: &Check,
        table: &Table,
        using: bool,
    ) -> Result<(), DataError> {
        let mut broken = false;
        self.each(statement, |_| {
            broken = true;
            Ok(())
        })?;
        match broken {
            true => Err(check.error(table, using)),
            false => Ok(()),
        }
    }

    /// # Errors
    /// 42501 when a row of these values and else of defaults would not meet a check.
    pub(super) fn proposed(
        &self,
        target: Target<'_>,
        columns: &[usize],
        values: &[Value],
        checks: &[Check],
    ) -> Result<(), DataError> {
        for check in checks {
            let cells = self.new_cells(target, columns, values)?;
            self.would_meet(target, cells, None, check)?;
        }
        Ok(())
    }

    pub(super) fn would_meet(
        &self,
        target: Target<'_>,
        cells: Vec<(usize, Cell)>,
        which: Option<Which<'_>>,
        check: &Check,
    ) -> Result<(), DataError> {
        let mut statement = Statement::new(self.rights);
        statement.would_break(target, cells, which, check)?;
        self.refuse(&statement, check, target.table, false)
    }

    /// The rowid of the row that an upsert of these values meets.
    pub(super) fn existing(
        &self,
        target: Target<'_>,
        conflict: &ConflictPlan,
        columns: &[usize],
        values: &[Value],
    ) -> Result<Option<i64>, DataError> {
        let given = |wanted: &usize| {
            let at = columns.iter().position(|column| column == wanted)?;
            Some(values[at].clone())
        };
        let key: Option<Vec<Value>> = conflict.on.iter().map(given).collect();
        let mut statement = Statement::new(self.rights);
        match &key {
            Some(key) => statement.rowids(target, Which::Key(&conflict.on, key, None))?,
            None => {
                let cells = self.new_cells(target, columns, values)?;
                statement.met(target, cells, &conflict.on)?;
            }
        }
        self.found(&statement)
    }

    /// The rowid of the row that there is, if there is one.
    pub(super) fn rowid(
        &self,
        target: Target<'_>,
        which: Which<'_>,
    ) -> Result<Option<i64>, DataError> {
        let mut statement = Statement::new(self.rights);
        statement.rowids(target, which)?;
        self.found(&statement)
    }

    fn found(&self, statement: &Statement<'_>) -> Result<Option<i64>, DataError> {
        let mut found = None;
        self.each(statement, |row| {
            if let ValueRef::Integer(rowid) = row.get(0) {
                found = Some(rowid);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// # Errors
    /// 42501 when an upsert may not change the row it meets.
    pub(super) fn mergeable(&self, target: Target<'_>, rowid: i64) -> Result<(), DataError> {
        let (table, rights) = (target.table, target.rights);
        let mut checks = rights.checks(table, "_t0", Command::Update, true)?;
        checks.extend(rights.checks(table, "_t0", Command::Select, true)?);
        self.meet_or(target, &checks, &[rowid], true)
    }
}
