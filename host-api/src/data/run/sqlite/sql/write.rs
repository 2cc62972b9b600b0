//! The statements that change rows, and those around them: rows are found again by their rowid.

use crate::data::plan::{Condition, ConflictPlan, Expr, Node, Output};
use crate::data::schema::{Command, View};
use crate::data::{DataError, Kind, SqlFault, Table, Value};

use super::conditions::fails;
use super::policies::{Check, Rights};
use super::{APART, Statement, Types, name, quote_name};

/// The default of column ?2 of table ?1, as SQLite text.
pub const DEFAULT: &str = "select dflt_value from pragma_table_info(?1) where name = ?2";

/// What a write returns of each row.
#[derive(Clone, Copy)]
pub struct Returned<'a> {
    /// Its rowid, as the first column.
    pub rowid: bool,
    /// These outputs, all plain columns.
    pub outputs: Option<&'a [Output]>,
}

/// A new value of a column.
#[derive(Clone)]
pub enum Cell {
    Value(Value),
    /// SQLite text of the column's default.
    Default(String),
}

/// Which rows a write meets.
#[derive(Clone, Copy)]
pub enum Which<'a> {
    /// Those that the conditions and policies allow.
    Conditions(&'a [Condition], Reach),
    /// The rowids of a JSON array.
    Rowids(&'a str),
    /// The one with this key, columns and values; as far as the policies of a command allow.
    Key(&'a [usize], &'a [Value], Option<Command>),
}

/// Which policies narrow a write.
#[derive(Clone, Copy)]
pub struct Reach {
    pub command: Command,
    /// Also those for reading: the statement reads columns or answers rows.
    pub reads: bool,
}

/// The table that a write changes: for a view the one below it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub table: &'a Table,
    /// Through which it is written, if through one.
    pub view: Option<(&'a Table, &'a View)>,
    /// Whose policies bind the write itself.
    pub rights: Rights<'a>,
}

impl<'a> Target<'a> {
    /// What a write to `relation` changes.
    ///
    /// # Errors
    /// 0A000 for a view that SQLite cannot write.
    pub fn of(rights: Rights<'a>, relation: &'a Table) -> Result<Target<'a>, DataError> {
        let Kind::View(view) = &relation.kind else {
            return Ok(Target {
                table: relation,
                view: None,
                rights,
            });
        };
        let mut sources = relation.columns.iter().filter_map(|c| c.source.as_ref());
        let table = sources
            .next()
            .and_then(|source| rights.schema().relation(&source.schema, &source.table))
            .filter(|table| table.kind == Kind::Table);
        match table {
            Some(table) => Ok(Target {
                table,
                view: Some((relation, view)),
                rights: rights.through(view),
            }),
            None => Err(SqlFault::new(
                "0A000",
                format!("cannot write view \"{}\"", relation.name.as_str()),
            )
            .details("On SQLite only views of columns of one table can be written.")
            .into()),
        }
    }

    /// The view that is written through, and the table below.
    fn through(&self) -> Option<(&'a Table, &'a Table)> {
        self.view.map(|(view, _)| (view, self.table))
    }

    /// The column of the table for one of the relation that the plan speaks of.
    ///
    /// # Errors
    /// 55000 for a view's column that shows none.
    pub fn column(&self, column: usize) -> Result<usize, DataError> {
        let Some((view, _)) = self.view else {
            return Ok(column);
        };
        let column = &view.columns[column];
        let below = column.source.as_ref();
        below
            .and_then(|source| self.table.column(&source.column))
            .ok_or_else(|| {
                let (column, view) = (column.name.as_str(), view.name.as_str());
                SqlFault::new(
                    "0A000",
                    format!("cannot write column \"{column}\" of view \"{view}\""),
                )
                .details(
                    "View columns that are not columns of their base relation are not updatable.",
                )
                .into()
            })
    }
}

/// How SQLite calls a row's number where no column has taken the name.
///
/// # Errors
/// 0A000 when columns have taken all names.
pub fn rowid(table: &Table) -> Result<&'static str, DataError> {
    let taken = |word: &&str| {
        let mut columns = table.columns.iter();
        columns.any(|column| column.name.as_str().eq_ignore_ascii_case(word))
    };
    ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|word| !taken(word))
        .ok_or_else(|| {
            let message = format!(
                "table \"{}\" has columns called rowid, _rowid_ and oid",
                table.name.as_str()
            );
            DataError::sql("0A000", message)
        })
}

/// What becomes of a row that meets another: it is merged into it, or left out.
#[derive(Clone, Copy)]
pub struct OnConflict<'c> {
    pub plan: &'c ConflictPlan,
    /// Written beside the row's own values when it is merged.
    pub defaults: &'c [(usize, String)],
    /// Left out even if the plan would merge it.
    pub never_merge: bool,
}

impl<'a> Statement<'a> {
    /// One row whose values are bound in order.
    pub fn insert(
        &mut self,
        target: Target<'a>,
        columns: &[usize],
        conflict: Option<OnConflict<'_>>,
        returned: Returned<'a>,
    ) -> Result<(), DataError> {
        let table = target.table;
        self.through = target.through();
        self.text.push_str("insert into ");
        name(&table.name, &mut self.text);
        // SQLite knows no conflict clause for a row of defaults.
        let all_default = columns.is_empty();
        if all_default {
            self.text.push_str(" default values");
        } else {
            self.text.push_str(" (");
            self.names(table, columns);
            self.text.push_str(") values (");
            for number in 1..=columns.len() {
                let comma = if number > 1 { ", $" } else { "$" };
                self.push(format_args!("{comma}{number}"));
            }
            self.text.push(')');
        }
        if let Some(conflict) = conflict.filter(|_| !all_default) {
            self.text.push_str(" on conflict (");
            self.names(table, &conflict.plan.on);
            self.text.push_str(") do ");
            if conflict.plan.merge && !conflict.never_merge {
                let mut word = "update set ";
                for column in columns {
                    self.text.push_str(word);
                    name(&table.columns[*column].name, &mut self.text);
                    self.text.push_str(" = excluded.");
                    name(&table.columns[*column].name, &mut self.text);
                    word = ", ";
                }
                for (column, default) in conflict.defaults {
                    self.text.push_str(word);
                    name(&table.columns[*column].name, &mut self.text);
                    self.push(format_args!(" = ({default})"));
                    word = ", ";
                }
            } else {
                self.text.push_str("nothing");
            }
        }
        self.returned(table, returned)
    }

    /// Sets `cells`, columns of the table, in rows of it.
    pub fn update(
        &mut self,
        target: Target<'a>,
        cells: Vec<(usize, Cell)>,
        which: Which<'a>,
        returned: Returned<'a>,
    ) -> Result<(), DataError> {
        self.through = target.through();
        self.text.push_str("update ");
        name(&target.table.name, &mut self.text);
        self.text.push_str(" as _t0 set ");
        for (at, (column, cell)) in cells.into_iter().enumerate() {
            self.text.push_str(if at > 0 { ", " } else { "" });
            name(&target.table.columns[column].name, &mut self.text);
            self.text.push_str(" = ");
            match cell {
                Cell::Value(value) => self.bind(value),
                Cell::Default(text) => self.push(format_args!("({text})")),
            }
        }
        self.which(target, which)?;
        self.returned(target.table, returned)
    }

    pub fn delete(
        &mut self,
        target: Target<'a>,
        which: Which<'a>,
        returned: Returned<'a>,
    ) -> Result<(), DataError> {
        self.through = target.through();
        self.text.push_str("delete from ");
        name(&target.table.name, &mut self.text);
        self.text.push_str(" as _t0");
        self.which(target, which)?;
        self.returned(target.table, returned)
    }

    /// The rowids of the rows.
    pub fn rowids(&mut self, target: Target<'a>, which: Which<'a>) -> Result<(), DataError> {
        self.parts(target, which, &[])
    }

    /// The rowids of the rows, and these columns of them.
    pub fn parts(
        &mut self,
        target: Target<'a>,
        which: Which<'a>,
        columns: &[usize],
    ) -> Result<(), DataError> {
        self.push(format_args!("select _t0.{}", rowid(target.table)?));
        for column in columns {
            self.text.push_str(", _t0.");
            name(&target.table.columns[*column].name, &mut self.text);
        }
        self.text.push_str(" from ");
        name(&target.table.name, &mut self.text);
        self.text.push_str(" as _t0");
        self.which(target, which)
    }

    /// All columns of rows, in order of `order`.
    pub fn whole(
        &mut self,
        target: Target<'a>,
        which: Which<'a>,
        order: &[usize],
    ) -> Result<(), DataError> {
        self.text.push_str("select ");
        let all: Vec<usize> = (0..target.table.columns.len()).collect();
        self.names(target.table, &all);
        self.text.push_str(" from ");
        name(&target.table.name, &mut self.text);
        self.text.push_str(" as _t0");
        self.which(target, which)?;
        if !order.is_empty() {
            self.text.push_str(" order by ");
            self.names(target.table, order);
        }
        Ok(())
    }

    /// What `node` answers of written rows, in the order of their rowids in `rows`, a JSON array.
    pub fn written(
        &mut self,
        target: Target<'a>,
        node: &'a Node,
        rows: String,
    ) -> Result<Types<'a>, DataError> {
        self.through = target.through();
        self.text.push_str("select ");
        let types = self.outputs(&node.outputs)?;
        self.text.push_str(" from json_each(");
        self.bind(Value::Text(rows));
        self.text.push_str(") as _w cross join ");
        name(&target.table.name, &mut self.text);
        self.push(format_args!(
            " as _t0 on _t0.{} = _w.value",
            rowid(target.table)?
        ));
        self.all(&node.conditions, " where ")?;
        if let Some(groups) = &node.groups {
            self.groups(groups)?;
        }
        if node.groups.is_some() || !node.orders.is_empty() {
            self.orders(&node.orders)?;
        } else {
            self.text.push_str(" order by _w.key");
        }
        self.page(node.limit, node.offset);
        Ok(types)
    }

    /// Has a row when one of `rows`, a JSON array of rowids, does not meet `check`.
    pub fn breaks(
        &mut self,
        table: &'a Table,
        check: &Check,
        rows: String,
    ) -> Result<(), DataError> {
        self.text.push_str("select 1 from ");
        name(&table.name, &mut self.text);
        self.push(format_args!(
            " as _t0 where _t0.{} in (select value from json_each(",
            rowid(table)?
        ));
        self.bind(Value::Text(rows));
        self.text.push_str(")) and ");
        self.not_met(check);
        self.text.push_str(" limit 1");
        Ok(())
    }

    /// Has a row when a new row of these cells would not meet `check`; with `which`, when one of those
    /// rows would not once it has these cells.
    pub fn would_break(
        &mut self,
        target: Target<'a>,
        cells: Vec<(usize, Cell)>,
        which: Option<Which<'a>>,
        check: &Check,
    ) -> Result<(), DataError> {
        self.text.push_str("select 1 from ");
        self.becoming(target, cells, which)?;
        self.text.push_str(" as _t0 where ");
        self.not_met(check);
        Ok(())
    }

    /// The rowid of the row that a new row of these cells meets by `key`.
    pub fn met(
        &mut self,
        target: Target<'a>,
        cells: Vec<(usize, Cell)>,
        key: &[usize],
    ) -> Result<(), DataError> {
        self.push(format_args!("select _t0.{} from ", rowid(target.table)?));
        name(&target.table.name, &mut self.text);
        self.text.push_str(" as _t0, ");
        self.becoming(target, cells, None)?;
        self.text.push_str(" as _n");
        let mut word = " where ";
        for column in key {
            let column = &target.table.columns[*column].name;
            self.push(format_args!("{word}_t0.{column} = _n.{column}"));
            word = " and ";
        }
        Ok(())
    }

    /// A relation: the rows of `which` once they have these cells, or a new one. Generated columns are
    /// made of the others.
    pub(super) fn becoming(
        &mut self,
        target: Target<'a>,
        cells: Vec<(usize, Cell)>,
        which: Option<Which<'a>>,
    ) -> Result<(), DataError> {
        let table = target.table;
        let mut new: Vec<Option<Cell>> = table.columns.iter().map(|_| None).collect();
        for (column, cell) in cells {
            new[column] = Some(cell);
        }
        self.text.push_str("(select *");
        for column in &table.columns {
            if let Some(generated) = &column.generated {
                self.push(format_args!(", ({generated})"));
                self.collation(&column.ty);
                self.push(format_args!(" as {}", column.name));
            }
        }
        self.text.push_str(" from (select ");
        let given = table.columns.iter().zip(new);
        let given = given.filter(|(column, _)| column.generated.is_none());
        for (at, (column, cell)) in given.enumerate() {
            self.text.push_str(if at > 0 { ", " } else { "" });
            match cell {
                Some(Cell::Value(value)) => self.bind(value),
                Some(Cell::Default(text)) => self.push(format_args!("({text})")),
                None if which.is_some() => {
                    self.text.push_str("_t0.");
                    name(&column.name, &mut self.text);
                }
                None => self.text.push_str("null"),
            }
            self.collation(&column.ty);
            self.text.push_str(" as ");
            name(&column.name, &mut self.text);
        }
        if let Some(which) = which {
            self.text.push_str(" from ");
            name(&table.name, &mut self.text);
            self.text.push_str(" as _t0");
            self.which(target, which)?;
        }
        self.text.push_str("))");
        Ok(())
    }

    fn not_met(&mut self, check: &Check) {
        match &check.text {
            Some(text) => self.push(format_args!("not coalesce(({text}), false)")),
            None => self.text.push_str("true"),
        }
    }

    fn names(&mut self, table: &Table, columns: &[usize]) {
        for (at, column) in columns.iter().enumerate() {
            self.text.push_str(if at > 0 { ", " } else { "" });
            name(&table.columns[*column].name, &mut self.text);
        }
    }

    fn which(&mut self, target: Target<'a>, which: Which<'a>) -> Result<(), DataError> {
        match which {
            Which::Conditions(conditions, reach) => {
                let mut guard = String::new();
                if reach.reads {
                    self.visible_as(target, Command::Select, &mut guard)?;
                }
                if reach.command != Command::Select {
                    self.visible_as(target, reach.command, &mut guard)?;
                }
                if let Some((view, _)) = target.view {
                    guard.push_str(if guard.is_empty() { "" } else { " and " });
                    guard.push_str("exists (select 1");
                    self.shown(target.table, view, &mut guard)?;
                    guard.push(')');
                }
                self.through = target.through();
                let (last, first): (Vec<_>, Vec<_>) = conditions.iter().partition(|c| fails(c));
                let apart = !guard.is_empty() && !last.is_empty();
                if apart {
                    let rowid = rowid(target.table)?;
                    self.push(format_args!(
                        " where _t0.{rowid} in (select _t0.{rowid} from (select _t0.{rowid} as {rowid}, _t0.* from "
                    ));
                    name(&target.table.name, &mut self.text);
                    self.text.push_str(" as _t0");
                }
                let mut word = self.filter(&guard, first)?;
                if apart {
                    self.push(format_args!("{APART} as _t0"));
                    word = " where ";
                }
                self.all(last, word)?;
                self.text.push_str(if apart { ")" } else { "" });
                Ok(())
            }
            Which::Rowids(rows) => {
                let rowid = rowid(target.table)?;
                self.push(format_args!(
                    " where _t0.{rowid} in (select value from json_each("
                ));
                self.bind(Value::Text(rows.to_owned()));
                self.text.push_str("))");
                Ok(())
            }
            Which::Key(columns, values, command) => {
                let mut guard = String::new();
                if let Some(command) = command {
                    self.visible_as(target, command, &mut guard)?;
                }
                let mut word = self.filter(&guard, Vec::new())?;
                for (column, value) in columns.iter().zip(values) {
                    self.text.push_str(word);
                    self.text.push_str("_t0.");
                    word = " and ";
                    name(&target.table.columns[*column].name, &mut self.text);
                    self.text.push_str(" = ");
                    self.bind(value.clone());
                }
                Ok(())
            }
        }
    }

    /// What the policies that bind the write say; those of a view's owner when it is written through.
    fn visible_as(
        &mut self,
        target: Target<'a>,
        command: Command,
        guard: &mut String,
    ) -> Result<(), DataError> {
        let rights = std::mem::replace(&mut self.rights, target.rights);
        let outcome = self.visible(target.table, 0, command, guard);
        self.rights = rights;
        outcome
    }

    /// From `from`: what `view` shows, as `_v`, of the row `_t0` of its table. It is found by its key.
    pub(super) fn shown(
        &self,
        table: &Table,
        view: &Table,
        text: &mut String,
    ) -> Result<(), DataError> {
        let key = table.primary_key.as_ref().and_then(|key| {
            key.columns
                .iter()
                .map(|column| {
                    let below = table.columns[*column].name.as_str();
                    let shows = |column: &&crate::data::Column| {
                        let source = column.source.as_ref();
                        source.is_some_and(|source| source.column == below)
                    };
                    view.columns
                        .iter()
                        .find(shows)
                        .map(|column| (below, column))
                })
                .collect::<Option<Vec<_>>>()
        });
        let Some(key) = key else {
            return Err(SqlFault::new(
                "0A000",
                format!("cannot change rows of view \"{}\"", view.name.as_str()),
            )
            .details("On SQLite a view that does not show the primary key of its table cannot be changed.")
            .into());
        };
        text.push_str(" from ");
        self.rights.source(view, text)?;
        text.push_str(" as _v where ");
        for (at, (below, column)) in key.into_iter().enumerate() {
            text.push_str(if at > 0 { " and _v." } else { "_v." });
            name(&column.name, text);
            text.push_str(" = _t0.");
            quote_name(below, text);
        }
        Ok(())
    }

    /// `returning`. SQLite knows no alias of the table here.
    fn returned(&mut self, table: &'a Table, returned: Returned<'a>) -> Result<(), DataError> {
        let more = || DataError::Internal("an answer of more than columns".into());
        let mut word = " returning ";
        self.returning = Some(self.text.len());
        if returned.rowid {
            self.text.push_str(word);
            self.text.push_str(rowid(table)?);
            word = ", ";
        }
        for output in returned.outputs.unwrap_or_default() {
            self.text.push_str(word);
            word = ", ";
            match &output.expr {
                Expr::Column { table, column, .. } => {
                    let column = &table.columns[*column];
                    match (self.through, &column.source) {
                        (None, _) => name(&column.name, &mut self.text),
                        (_, Some(source)) => quote_name(&source.column, &mut self.text),
                        (_, None) => return Err(more()),
                    }
                }
                _ => return Err(more()),
            }
        }
        if returned.outputs.is_some_and(<[Output]>::is_empty) && !returned.rowid {
            self.text.push_str(" returning 1");
        }
        Ok(())
    }
}
