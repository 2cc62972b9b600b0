//! Rows that before-triggers have judged.

use super::super::broken::Attempt;
use super::super::sql::Statement;
use super::super::sql::write::{Target, Which};
use super::{Outcome, Runner, Written, is_constraint};
use crate::data::plan::{Answering, Cells};
use crate::data::run::{OldRow, changed_meanwhile, key_of};
use crate::data::schema::Command;
use crate::data::{DataError, Kind, Table, Value, ValueRef};

impl<'a> Runner<'a> {
    pub(in crate::data::run::sqlite) fn update_rows(
        &self,
        table: &'a Table,
        rows: &'a [(OldRow, Cells)],
        met: bool,
        answering: &'a Answering,
    ) -> Outcome {
        let target = self.judged(table)?;
        let key = key_of(table)?;
        let bound = target.rights.bound(table);
        let mut written = Written::new(target, answering, bound);
        let checks = match bound {
            true => self.checks(target, Command::Update, true)?,
            false => Vec::new(),
        };
        // First all are seen to be as they were: one change may be another's cascade.
        for (old, _) in rows {
            self.unchanged(target, key, old)?;
        }
        if met && bound {
            for (old, _) in rows {
                let key = Which::Key(key, &of_key(key, old), None);
                if let Some(rowid) = self.rowid(target, key)? {
                    self.mergeable(target, rowid)?;
                }
            }
        }
        for (old, cells) in rows {
            if cells.is_empty() {
                continue;
            }
            let values = of_key(key, old);
            let which = Which::Key(key, &values, Some(Command::Update));
            let cells = self.cells(target, cells)?;
            let statement = self.updating(target, &cells, which, written.returned())?;
            let attempt = Attempt::Update {
                cells: &cells,
                which,
            };
            if let Err(error) = self.change(&statement, &mut written, &attempt) {
                if is_constraint(&error) {
                    for check in &checks {
                        self.would_meet(target, cells.clone(), Some(which), check)?;
                    }
                }
                return Err(error);
            }
        }
        self.meet(
            target,
            &checks,
            written.rowids.as_deref().unwrap_or_default(),
        )?;
        written.finish(self, answering)
    }

    pub(in crate::data::run::sqlite) fn delete_rows(
        &self,
        table: &'a Table,
        olds: &'a [OldRow],
        answering: &'a Answering,
    ) -> Outcome {
        let target = self.judged(table)?;
        let key = key_of(table)?;
        let mut written = Written::new(target, answering, false);
        for old in olds {
            self.unchanged(target, key, old)?;
        }
        let mut rowids = Vec::new();
        for old in olds {
            let values = of_key(key, old);
            let which = Which::Key(key, &values, Some(Command::Delete));
            let mut statement = Statement::new(self.rights);
            if written.node.is_some() && written.plain.is_none() {
                statement.rowids(target, which)?;
                self.each(&statement, |row| {
                    if let ValueRef::Integer(rowid) = row.get(0) {
                        rowids.push(rowid);
                    }
                    Ok(())
                })?;
            } else {
                statement.delete(target, which, written.returned())?;
                self.change(&statement, &mut written, &Attempt::Delete { which })?;
            }
        }
        if let (Some(node), None) = (written.node, &written.plain) {
            self.delete_read(target, node, &mut written, &rowids)?;
        }
        written.end(answering)
    }

    /// The table whose rows before-triggers have judged.
    fn judged(&self, table: &'a Table) -> Result<Target<'a>, DataError> {
        match &table.kind {
            Kind::Table => Target::of(self.rights, table),
            Kind::View(_) => Err(DataError::sql(
                "0A000",
                "rows of views have no before-triggers",
            )),
        }
    }

    /// Whether the row is still as it was read.
    fn unchanged(&self, target: Target<'_>, key: &[usize], old: &OldRow) -> Result<(), DataError> {
        let values = of_key(key, old);
        let mut statement = Statement::new(self.rights);
        statement.whole(target, Which::Key(key, &values, None), &[])?;
        let mut same = false;
        self.each(&statement, |row| {
            let mut at = 0..target.table.columns.len();
            same = at.all(|at| equals(row.get(at), &old.values[at]));
            Ok(())
        })?;
        match same {
            true => Ok(()),
            false => Err(changed_meanwhile()),
        }
    }
}

fn of_key(key: &[usize], old: &OldRow) -> Vec<Value> {
    key.iter()
        .map(|column| old.values[*column].clone())
        .collect()
}

fn equals(found: ValueRef<'_>, old: &Value) -> bool {
    match (found, old) {
        (ValueRef::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (found, old) => found == old.as_ref(),
    }
}
