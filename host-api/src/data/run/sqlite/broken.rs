//! Why a write was refused: the row that breaks a constraint, and the foreign key that is broken.
//!
//! SQLite says which constraint it was, but of foreign keys not even that. So the rows are looked for: only
//! when a statement has failed, no more of them than [`ROWS_MAX`], and of what is kept no more than
//! [`BYTES_MAX`].

use std::collections::HashSet;

use crate::data::sqlite::SqliteError;
use crate::data::sqlite::errors::{
    Failed, Refused, Sight, explain, is_unique, not_present, null_value, parent_name,
    still_referenced,
};
use crate::data::sqlite_ffi::Row;
use crate::data::{DataError, ForeignKey, SqlFault, Table, Value, ValueRef};

use super::Runner;
use super::sql::Statement;
use super::sql::broken as sql;
use super::sql::write::{Cell, DEFAULT, Returned, Target, Which, rowid};

/// Rows that are looked at to find the one; beyond, the error has no details.
const ROWS_MAX: usize = 10_000;

/// Bytes of keys that are kept to find the one; beyond, the error has no details.
const BYTES_MAX: usize = 1 << 20;

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

/// What may point to a row of `parent` that the statement takes away, by this key.
struct Lost<'s> {
    parent: &'s Table,
    of: &'s Declared<'s>,
    values: Vec<Value>,
}

/// A look at the rows that a statement takes away, or of which it changes `set`.
struct Search<'s> {
    keys: &'s [Declared<'s>],
    set: Option<&'s [usize]>,
    /// Tables' names and rowids. Rows may point to each other in a circle.
    seen: HashSet<(&'s str, i64)>,
    bytes: usize,
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
                // A fault of the search is no answer to the client, unless it has ended the transaction.
                let found = self.broken_key(target, attempt, statement, &sight);
                return match found {
                    Ok(Some(fault)) => fault.into(),
                    Err(stopped) if !self.connection.in_transaction() => stopped,
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
                    Err(stopped) if !self.connection.in_transaction() => stopped,
                    _ => error.into(),
                };
            }
            Some(Refused::Row) if sight != Sight::Nothing => {
                match self.failed_row(target, attempt, statement, error.extended_code) {
                    Err(stopped) if !self.connection.in_transaction() => return stopped,
                    row => row.unwrap_or_default(),
                }
            }
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
                let own = self.tried(|| self.failure(&alone))?;
                let own = own.is_some_and(|error| error.extended_code == code);
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
        let keys = self.declared()?;
        let which = match attempt {
            Attempt::Insert { columns, met } => {
                let Some(row) = self.failed_row(target, attempt, statement, 0)? else {
                    return Ok(None);
                };
                let set = met.is_some().then_some(*columns);
                return self.orphan(table, own(&keys, table, set, &row), sight);
            }
            Attempt::Update { which, .. } | Attempt::Delete { which } => *which,
        };
        let columns = attempt.columns();
        let set = matches!(attempt, Attempt::Update { .. }).then_some(&columns[..]);
        let Some(lost) = self.lost(&keys, target, which, set)? else {
            return Ok(None);
        };
        self.connection.execute(sql::DEFER, &[])?;
        let found = self.tried(|| {
            // `on delete restrict` cannot be deferred: then the rows are still there.
            let news = match self.news(&keys, target, set, statement) {
                Err(stopped) if !self.connection.in_transaction() => return Err(stopped),
                news => news,
            };
            let done = news.is_ok();
            for lost in &lost {
                let Lost { parent, of, values } = lost;
                let (child, key) = (of.table, of.key);
                let to: Vec<&str> = key.to_columns.iter().map(String::as_str).collect();
                if self.has(child.name.as_str(), &names(child, &key.columns), values)?
                    && !(done && self.has(&parent_name(key), &to, values)?)
                {
                    // A cascade is its table's owner's doing, but it is its caller who is told.
                    let shows = self.rights.sight(parent, &[]).reads(&of.to(parent));
                    let fault = still_referenced(parent, child, key, values, shows);
                    return Ok(Some(fault));
                }
            }
            self.orphan(table, news.unwrap_or_default(), sight)
        });
        let ended = self.connection.execute(sql::DEFER_END, &[]);
        let found = found?;
        ended?;
        Ok(found)
    }

    /// Does a write, and answers what its rows point to then: by keys that have one of `set`.
    fn news<'s>(
        &self,
        keys: &'s [Declared<'s>],
        target: Target<'_>,
        set: Option<&[usize]>,
        statement: &Statement<'_>,
    ) -> Result<Vec<(&'s ForeignKey, Vec<Value>)>, DataError> {
        let table = target.table;
        let mut columns = Vec::new();
        for of in keys
            .iter()
            .filter(|of| set.is_some() && of.is_of(table, set))
        {
            columns.extend(&of.key.columns);
            if of.points_to(table, None) {
                columns.extend(of.to(table));
            }
        }
        columns.sort_unstable();
        columns.dedup();
        let (mut news, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let text = statement.returning(table, &columns);
        self.connection.query(&text, &statement.args, |row| {
            rows += 1;
            if rows <= ROWS_MAX && bytes <= BYTES_MAX {
                let row = sparse(table, &columns, &row, 0);
                for (key, values) in own(keys, table, set, &row) {
                    bytes += size(&values);
                    news.push((key, values));
                }
            }
            Ok(())
        })?;
        Ok(news)
    }

    /// The first key by which a row of `table` points to nothing.
    fn orphan(
        &self,
        table: &Table,
        points: Vec<(&ForeignKey, Vec<Value>)>,
        sight: &Sight,
    ) -> Result<Option<SqlFault>, DataError> {
        for (key, values) in points {
            let to: Vec<&str> = key.to_columns.iter().map(String::as_str).collect();
            if !self.has(&parent_name(key), &to, &values)? {
                let shows = sight.reads(&key.columns);
                return Ok(Some(not_present(table, key, &values, shows)));
            }
        }
        Ok(None)
    }

    /// By which keys rows may be pointed to that are to go, or to have `set` changed, and those that go
    /// with them; in the order in which PostgreSQL looks. None when they are too many.
    fn lost<'s>(
        &self,
        keys: &'s [Declared<'s>],
        target: Target<'s>,
        which: Which<'s>,
        set: Option<&'s [usize]>,
    ) -> Result<Option<Vec<Lost<'s>>>, DataError>
    where
        'a: 's,
    {
        let mut search = Search {
            keys,
            set,
            seen: HashSet::new(),
            bytes: 0,
        };
        let table = target.table;
        if !search.has_to_look(table) {
            return Ok(Some(Vec::new()));
        }
        let mut old = Statement::new(self.rights);
        old.parts(target, which, &search.columns(table))?;
        let Some(mut next) = self.pointed(&mut search, table, &old.text, &old.args)? else {
            return Ok(None);
        };
        let mut lost = Vec::new();
        while let Some(one) = next.pop() {
            let child = one.of.table;
            let action = match set {
                Some(_) => &one.of.on_update,
                None => &one.of.on_delete,
            };
            match action.as_str() {
                "NO ACTION" | "RESTRICT" => lost.push(one),
                "CASCADE" if set.is_none() && search.has_to_look(child) => {
                    let mut columns = vec![rowid(child)?];
                    columns.extend(names(child, &search.columns(child)));
                    let by = names(child, &one.of.key.columns);
                    let text = sql::rows(child.name.as_str(), &columns, &by);
                    match self.pointed(&mut search, child, &text, &one.values)? {
                        Some(more) => next.extend(more),
                        None => return Ok(None),
                    }
                }
                _ => {}
            }
        }
        Ok(Some(lost))
    }

    /// By which keys the rows of a statement may be pointed to, the last of them first; its columns are
    /// the rowid and what the search asks of `table`. None when they are too many.
    fn pointed<'s>(
        &self,
        search: &mut Search<'s>,
        table: &'s Table,
        text: &str,
        args: &[Value],
    ) -> Result<Option<Vec<Lost<'s>>>, DataError> {
        let columns = search.columns(table);
        let mut lost = Vec::new();
        let mut full = false;
        let outcome = self.connection.query(text, args, |row| {
            let ValueRef::Integer(rowid) = row.get(0) else {
                return Ok(());
            };
            if !search.seen.insert((table.name.as_str(), rowid)) {
                return Ok(());
            }
            let values = sparse(table, &columns, &row, 1);
            for of in search.pointing(table) {
                if let Some(values) = picked(&values, &of.to(table)) {
                    search.bytes += size(&values);
                    lost.push(Lost {
                        parent: table,
                        of,
                        values,
                    });
                }
            }
            full = search.seen.len() > ROWS_MAX || search.bytes > BYTES_MAX;
            match full {
                // It ends the statement, and is not told.
                true => Err(DataError::Internal(String::new())),
                false => Ok(()),
            }
        });
        if full {
            return Ok(None);
        }
        outcome?;
        lost.reverse();
        Ok(Some(lost))
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

    /// The rows of a statement that has few.
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

    /// How a write fails, if it does, and leaves the transaction open.
    pub(super) fn failure(
        &self,
        statement: &Statement<'_>,
    ) -> Result<Option<SqliteError>, DataError> {
        match self.connection.execute(&statement.text, &statement.args) {
            Ok(_) => Ok(None),
            Err(error) if self.connection.in_transaction() => Ok(Some(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Does something of which nothing stays.
    pub(super) fn tried<T>(
        &self,
        work: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        self.connection.execute(sql::SAVEPOINT, &[])?;
        let outcome = work();
        let undone = self.connection.execute(sql::UNDO, &[]);
        let undone = undone.and_then(|_| self.connection.execute(sql::RELEASE, &[]));
        // Of a write that is stopped SQLite undoes the whole transaction, and the savepoint with it.
        let outcome = outcome?;
        undone?;
        Ok(outcome)
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
    /// Whether it is one of `table`; one that has a column of `set`, if that is given.
    fn is_of(&self, table: &Table, set: Option<&[usize]>) -> bool {
        self.table.name == table.name
            && set.is_none_or(|set| self.key.columns.iter().any(|at| set.contains(at)))
    }

    /// Whether it points to rows of `table`; to one of `set` there, if that is given.
    fn points_to(&self, table: &Table, set: Option<&[usize]>) -> bool {
        let key = self.key;
        key.to_schema == "public"
            && key.to_table == table.name.as_str()
            && set.is_none_or(|set| self.to(table).iter().any(|at| set.contains(at)))
    }

    /// The columns of its parent that it points to.
    fn to(&self, parent: &Table) -> Vec<usize> {
        let to = self.key.to_columns.iter();
        to.flat_map(|column| parent.column(column)).collect()
    }
}

impl<'s> Search<'s> {
    fn pointing(&self, table: &'s Table) -> impl Iterator<Item = &'s Declared<'s>> + use<'s> {
        let set = self.set;
        self.keys.iter().filter(move |of| of.points_to(table, set))
    }

    fn has_to_look(&self, table: &'s Table) -> bool {
        self.pointing(table).next().is_some()
    }

    /// The columns of `table` that are pointed to.
    fn columns(&self, table: &'s Table) -> Vec<usize> {
        let mut columns: Vec<usize> = self.pointing(table).flat_map(|of| of.to(table)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// What a row of `table` points to, but itself; only by keys that have one of `set`, if that is given.
fn own<'s>(
    keys: &[Declared<'s>],
    table: &Table,
    set: Option<&[usize]>,
    row: &[Value],
) -> Vec<(&'s ForeignKey, Vec<Value>)> {
    let mut points = Vec::new();
    for of in keys.iter().filter(|of| of.is_of(table, set)) {
        let Some(values) = picked(row, &of.key.columns) else {
            continue;
        };
        let itself =
            of.points_to(table, None) && picked(row, &of.to(table)).as_ref() == Some(&values);
        if !itself {
            points.push((of.key, values));
        }
    }
    points
}

/// A row of `table` of which only these columns were read, from column `from` of `row` on.
fn sparse(table: &Table, columns: &[usize], row: &Row<'_>, from: usize) -> Vec<Value> {
    let mut values = vec![Value::Null; table.columns.len()];
    for (at, column) in columns.iter().enumerate() {
        values[*column] = row.get(from + at).to_owned();
    }
    values
}

/// Bytes that a key takes, about.
fn size(values: &[Value]) -> usize {
    let bytes = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        _ => 0,
    };
    let each = values.iter().map(|value| size_of::<Value>() + bytes(value));
    size_of::<Lost<'_>>() + each.sum::<usize>()
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
