//! Why a write was refused: the row that breaks a constraint, and the foreign key that is broken.
//!
//! SQLite says which constraint it was, but of foreign keys not even that. So the rows are looked for: only
//! when a statement has failed, and no more of them than [`ROWS_MAX`].

use crate::data::sqlite::SqliteError;
use crate::data::sqlite::errors::{
    Failed, Refused, Sight, explain, is_unique, not_present, null_value, parent_name,
    still_referenced,
};
use crate::data::{DataError, ForeignKey, SqlFault, Table, Value, ValueRef};

use super::Runner;
use super::sql::Statement;
use super::sql::broken as sql;
use super::sql::write::{Cell, DEFAULT, Returned, Target, Which};

/// Rows that are looked at to find the one; beyond, the error has no details.
const ROWS_MAX: usize = 10_000;

/// What a statement set out to do.
pub enum Attempt<'s> {
    /// A row of these columns; its values are the statement's arguments.
    Insert {
        columns: &'s [usize],
        /// The row that it meets, and what that is set to beside the values.
        met: Option<(i64, &'s [(usize, String)])>,
    },
    Update {
        cells: &'s [(usize, Cell)],
        which: Which<'s>,
    },
    Delete {
        which: Which<'s>,
    },
}

/// A key by which rows of `child` pointed to a row of `parent` that the statement takes away.
struct Lost<'s> {
    parent: &'s Table,
    child: &'s Table,
    key: &'s ForeignKey,
    values: Vec<Value>,
}

/// A foreign key of `table`, with what it does.
struct Declared<'s> {
    table: &'s Table,
    key: &'s ForeignKey,
    on_update: String,
    on_delete: String,
}

impl<'a> Runner<'a> {
    /// The error of a statement, with what PostgreSQL would say of its rows.
    pub(super) fn refused(
        &self,
        error: SqliteError,
        target: Target<'_>,
        attempt: &Attempt<'_>,
        statement: &Statement<'_>,
    ) -> DataError {
        let table = target.table;
        let sight = self.rights.sight(table, &attempt.columns());
        let kind = error.refused();
        let failed = match kind {
            Some(Refused::ForeignKey) => {
                // A fault of the search is no answer to the client.
                let found = self.broken_key(target, attempt, statement, &sight);
                return match found {
                    Ok(Some(fault)) => fault.into(),
                    _ => explain(error, self.connection, self.schema, Some(table), None),
                };
            }
            Some(Refused::RowNumber) => {
                let row = self.failed_row(target, attempt, statement, error.extended_code);
                return match row {
                    Ok(Some(row)) if has_null(table, &row) => {
                        let (row, sight) = (&row[..], &sight);
                        null_value(table, &Failed { row, sight }).into()
                    }
                    _ => error.into(),
                };
            }
            Some(Refused::Row) if sight != Sight::Nothing => self
                .failed_row(target, attempt, statement, error.extended_code)
                .unwrap_or_default(),
            _ => None,
        };
        let failed = failed.as_deref().map(|row| Failed { row, sight: &sight });
        explain(error, self.connection, self.schema, Some(table), failed)
    }

    /// 23502 for a new row.
    pub(super) fn null_refused(
        &self,
        target: Target<'_>,
        columns: &[usize],
        args: &[Value],
    ) -> Result<DataError, DataError> {
        let row = self.new_row(target, columns, args)?.unwrap_or_default();
        let sight = self.rights.sight(target.table, columns);
        let failed = Failed {
            row: &row,
            sight: &sight,
        };
        Ok(null_value(target.table, &failed).into())
    }

    /// The cells of a new row: values, and else defaults.
    pub(super) fn new_cells(
        &self,
        target: Target<'_>,
        columns: &[usize],
        values: &[Value],
    ) -> Result<Vec<(usize, Cell)>, DataError> {
        let table = target.table;
        let mut cells = Vec::with_capacity(table.columns.len());
        for (at, column) in table.columns.iter().enumerate() {
            if let Some(given) = columns.iter().position(|column| *column == at) {
                cells.push((at, Cell::Value(values[given].clone())));
            } else if column.has_default {
                let text = match &column.default {
                    Some(_) => self.default(table, at)?,
                    None => sql::next_number(table),
                };
                cells.push((at, Cell::Default(text)));
            }
        }
        Ok(cells)
    }

    /// SQLite text of a column's default; `null` when it has none.
    pub(super) fn default(&self, table: &Table, column: usize) -> Result<String, DataError> {
        let names = [&table.name, &table.columns[column].name];
        let args = names.map(|name| Value::Text(name.as_str().to_owned()));
        let mut text = None;
        self.connection.query(DEFAULT, &args, |row| {
            if let ValueRef::Text(default) = row.get(0) {
                text = Some(default.to_owned());
            }
            Ok(())
        })?;
        Ok(text.unwrap_or_else(|| "null".to_owned()))
    }

    fn new_row(
        &self,
        target: Target<'_>,
        columns: &[usize],
        args: &[Value],
    ) -> Result<Option<Vec<Value>>, DataError> {
        let cells = self.new_cells(target, columns, args)?;
        self.proposed_row(target, cells, None)
    }

    fn proposed_row(
        &self,
        target: Target<'_>,
        cells: Vec<(usize, Cell)>,
        rowid: Option<i64>,
    ) -> Result<Option<Vec<Value>>, DataError> {
        let rows = rowid.map(|rowid| format!("[{rowid}]"));
        let which = rows.as_deref().map(Which::Rowids);
        let mut statement = Statement::new(self.rights);
        statement.proposed(target, cells, which)?;
        Ok(self.values(&statement.text, &statement.args)?.pop())
    }

    /// The row that broke a constraint of its own table.
    fn failed_row(
        &self,
        target: Target<'_>,
        attempt: &Attempt<'_>,
        statement: &Statement<'_>,
        code: i32,
    ) -> Result<Option<Vec<Value>>, DataError> {
        match attempt {
            Attempt::Insert {
                columns,
                met: Some((rowid, defaults)),
            } => {
                // PostgreSQL looks at the row that was sent before it looks whether that meets another.
                let mut alone = Statement::new(self.rights);
                alone.insert(target, columns, None, NOTHING)?;
                alone.args.clone_from(&statement.args);
                let own = self.tried(|| {
                    let outcome = self.connection.execute(&alone.text, &alone.args);
                    Ok(outcome.is_err_and(|error| error.extended_code == code))
                })?;
                if own && !is_unique(code) {
                    return self.new_row(target, columns, &statement.args);
                }
                let given = columns.iter().copied().zip(&statement.args);
                let given = given.map(|(column, value)| (column, Cell::Value(value.clone())));
                let defaults = defaults.iter().cloned();
                let defaults = defaults.map(|(column, text)| (column, Cell::Default(text)));
                self.proposed_row(target, given.chain(defaults).collect(), Some(*rowid))
            }
            Attempt::Insert { columns, .. } => self.new_row(target, columns, &statement.args),
            Attempt::Update { cells, which } => self.failed_update(target, cells, *which, code),
            Attempt::Delete { .. } => Ok(None),
        }
    }

    /// Updates row by row until one fails.
    fn failed_update(
        &self,
        target: Target<'_>,
        cells: &[(usize, Cell)],
        which: Which<'_>,
        code: i32,
    ) -> Result<Option<Vec<Value>>, DataError> {
        let mut statement = Statement::new(self.rights);
        statement.rowids(target, which)?;
        let mut rowids = Vec::new();
        self.each(&statement, |row| {
            match row.get(0) {
                ValueRef::Integer(rowid) if rowids.len() < ROWS_MAX => rowids.push(rowid),
                _ => {}
            }
            Ok(())
        })?;
        let proposed = |rowid| self.proposed_row(target, cells.to_vec(), Some(rowid));
        if let [only] = rowids[..] {
            return proposed(only);
        }
        self.tried(|| {
            for rowid in rowids {
                let rows = format!("[{rowid}]");
                let mut one = Statement::new(self.rights);
                one.update(target, cells.to_vec(), Which::Rowids(&rows), NOTHING)?;
                match self.connection.execute(&one.text, &one.args) {
                    Ok(_) => {}
                    Err(error) if error.extended_code == code => return proposed(rowid),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(None)
        })
    }

    /// The first foreign key that the statement breaks, as PostgreSQL looks: row by row in the order in
    /// which keys were declared, at those that point to what was there, then at the row's own.
    fn broken_key(
        &self,
        target: Target<'_>,
        attempt: &Attempt<'_>,
        statement: &Statement<'_>,
        sight: &Sight,
    ) -> Result<Option<SqlFault>, DataError> {
        let table = target.table;
        let which = match attempt {
            Attempt::Insert { columns, met } => {
                let Some(row) = self.failed_row(target, attempt, statement, 0)? else {
                    return Ok(None);
                };
                let set = met.is_some().then_some(*columns);
                return self.orphan(table, &row, set, sight);
            }
            Attempt::Update { which, .. } | Attempt::Delete { which } => *which,
        };
        let columns = attempt.columns();
        let set = matches!(attempt, Attempt::Update { .. }).then_some(&columns[..]);
        let mut lost = Vec::new();
        let keys = self.declared()?;
        if keys.iter().any(|of| of.points_to(table, set)) {
            let mut old = Statement::new(self.rights);
            old.whole(target, which, &[])?;
            let mut rows = 0;
            for row in self.values(&old.text, &old.args)? {
                self.loses(&keys, table, &row, set, &mut lost, &mut rows)?;
            }
        }
        self.connection.execute(sql::DEFER, &[])?;
        let found = self.tried(|| {
            // `on delete restrict` cannot be deferred: then the rows are still there.
            let all = statement.returning_all(table);
            let news = self.values(&all, &statement.args);
            let done = news.is_ok();
            for lost in &lost {
                let Lost {
                    parent,
                    child,
                    key,
                    values,
                } = lost;
                let to: Vec<&str> = key.to_columns.iter().map(String::as_str).collect();
                if self.has(child.name.as_str(), &names(child, &key.columns), values)?
                    && !(done && self.has(&parent_name(key), &to, values)?)
                {
                    // A cascade is its table's owner's doing, who may see everything.
                    let own = parent.name == table.name;
                    let to: Vec<usize> = to.iter().flat_map(|c| parent.column(c)).collect();
                    let shows = !own || sight.reads(&to);
                    let fault = still_referenced(parent, child, key, values, shows);
                    return Ok(Some(fault));
                }
            }
            for row in news.unwrap_or_default() {
                if let Some(fault) = set.and_then(|set| {
                    let orphan = self.orphan(table, &row, Some(set), sight);
                    orphan.unwrap_or_default()
                }) {
                    return Ok(Some(fault));
                }
            }
            Ok(None)
        });
        self.connection.execute(sql::DEFER_END, &[])?;
        found
    }

    /// What a row points to that is not there; only by keys that have one of `set`, if that is given.
    fn orphan(
        &self,
        table: &Table,
        row: &[Value],
        set: Option<&[usize]>,
        sight: &Sight,
    ) -> Result<Option<SqlFault>, DataError> {
        for of in self.declared()? {
            let key = of.key;
            let touched = set.is_none_or(|set| key.columns.iter().any(|at| set.contains(at)));
            if of.table.name != table.name || !touched {
                continue;
            }
            let Some(values) = picked(row, &key.columns) else {
                continue;
            };
            let itself = key.to_schema == "public" && key.to_table == table.name.as_str() && {
                let to: Vec<usize> = key
                    .to_columns
                    .iter()
                    .flat_map(|c| table.column(c))
                    .collect();
                picked(row, &to).as_ref() == Some(&values)
            };
            let to: Vec<&str> = key.to_columns.iter().map(String::as_str).collect();
            if !itself && !self.has(&parent_name(key), &to, &values)? {
                let shows = sight.reads(&key.columns);
                return Ok(Some(not_present(table, key, &values, shows)));
            }
        }
        Ok(None)
    }

    /// Gathers by which keys a row of `table` was pointed to that is to go, or to have `set` changed; and
    /// the rows that go with it.
    fn loses<'s>(
        &self,
        keys: &[Declared<'s>],
        table: &'s Table,
        row: &[Value],
        set: Option<&[usize]>,
        lost: &mut Vec<Lost<'s>>,
        rows: &mut usize,
    ) -> Result<(), DataError> {
        *rows += 1;
        if *rows > ROWS_MAX {
            return Ok(());
        }
        for of in keys.iter().filter(|of| of.points_to(table, set)) {
            let key = of.key;
            let to: Vec<usize> = key
                .to_columns
                .iter()
                .flat_map(|c| table.column(c))
                .collect();
            let Some(values) = picked(row, &to) else {
                continue;
            };
            let action = match set {
                Some(_) => &of.on_update,
                None => &of.on_delete,
            };
            match action.as_str() {
                "NO ACTION" | "RESTRICT" => lost.push(Lost {
                    parent: table,
                    child: of.table,
                    key,
                    values,
                }),
                "CASCADE" if set.is_none() => {
                    let all: Vec<usize> = (0..of.table.columns.len()).collect();
                    let by = names(of.table, &key.columns);
                    let text = sql::rows(of.table.name.as_str(), &names(of.table, &all), &by);
                    for row in self.values(&text, &values)? {
                        self.loses(keys, of.table, &row, None, lost, rows)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All foreign keys, in order of declaration.
    fn declared(&self) -> Result<Vec<Declared<'a>>, DataError> {
        let mut declared = Vec::new();
        for name in self.values(sql::TABLES, &[])? {
            let table = match &name[..] {
                [Value::Text(name)] => self.schema.table(name),
                _ => None,
            };
            let Some(table) = table else { continue };
            let of = Value::Text(table.name.as_str().to_owned());
            for columns in self
                .values(sql::FOREIGN_KEYS, &[of])?
                .chunk_by(|a, b| a.first() == b.first())
            {
                let column = |row: &Vec<Value>| match row.get(1) {
                    Some(Value::Text(name)) => table.column(name),
                    _ => None,
                };
                let from: Vec<usize> = columns.iter().filter_map(column).collect();
                let action = |at: usize| match columns.first().and_then(|row| row.get(at)) {
                    Some(Value::Text(action)) => action.clone(),
                    _ => String::new(),
                };
                if let Some(key) = table.foreign_keys.iter().find(|key| key.columns == from) {
                    declared.push(Declared {
                        table,
                        key,
                        on_update: action(2),
                        on_delete: action(3),
                    });
                }
            }
        }
        Ok(declared)
    }

    fn has(&self, table: &str, by: &[&str], values: &[Value]) -> Result<bool, DataError> {
        let found = self.values(&sql::rows(table, &[], by), values)?;
        Ok(!found.is_empty())
    }

    /// The rows of a statement, the first of them.
    fn values(&self, text: &str, args: &[Value]) -> Result<Vec<Vec<Value>>, DataError> {
        let mut rows = Vec::new();
        self.connection.query(text, args, |row| {
            if rows.len() < ROWS_MAX {
                let values = (0..row.len()).map(|at| row.get(at).to_owned());
                rows.push(values.collect());
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Does something of which nothing stays.
    pub(super) fn tried<T>(
        &self,
        work: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        self.connection.execute(sql::SAVEPOINT, &[])?;
        let outcome = work();
        self.connection.execute(sql::UNDO, &[])?;
        self.connection.execute(sql::RELEASE, &[])?;
        outcome
    }
}

/// Of a write that is not answered.
pub const NOTHING: Returned<'static> = Returned {
    rowid: false,
    outputs: None,
};

impl Attempt<'_> {
    /// The columns that it sets.
    fn columns(&self) -> Vec<usize> {
        match self {
            Attempt::Insert { columns, .. } => columns.to_vec(),
            Attempt::Update { cells, .. } => cells.iter().map(|(column, _)| *column).collect(),
            Attempt::Delete { .. } => Vec::new(),
        }
    }
}

impl Declared<'_> {
    /// Whether it points to rows of `table`; to one of `set` there, if that is given.
    fn points_to(&self, table: &Table, set: Option<&[usize]>) -> bool {
        let key = self.key;
        key.to_schema == "public"
            && key.to_table == table.name.as_str()
            && set.is_none_or(|set| {
                let mut to = key.to_columns.iter().flat_map(|c| table.column(c));
                to.any(|at| set.contains(&at))
            })
    }
}

fn names<'t>(table: &'t Table, columns: &[usize]) -> Vec<&'t str> {
    columns
        .iter()
        .map(|at| table.columns[*at].name.as_str())
        .collect()
}

/// The row's values of a key; none when one is null, which points to nothing.
fn picked(row: &[Value], columns: &[usize]) -> Option<Vec<Value>> {
    columns
        .iter()
        .map(|at| row.get(*at).filter(|value| **value != Value::Null).cloned())
        .collect()
}

fn has_null(table: &Table, row: &[Value]) -> bool {
    let mut columns = table.columns.iter().zip(row);
    columns.any(|(column, value)| column.not_null && *value == Value::Null)
}
