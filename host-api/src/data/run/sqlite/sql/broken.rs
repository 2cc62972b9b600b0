//! What is asked when a write was refused: the rows that it would have left.

use crate::data::{DataError, Table};

use super::write::{Cell, Target, Which};
use super::{Statement, name, quote_name};

/// Around what is tried only to be seen.
pub const SAVEPOINT: &str = "savepoint pumice_broken";
pub const UNDO: &str = "rollback to pumice_broken";
pub const RELEASE: &str = "release pumice_broken";

/// A statement that breaks a foreign key is done all the same, so that what it leaves can be read.
pub const DEFER: &str = "pragma defer_foreign_keys = on";
pub const DEFER_END: &str = "pragma defer_foreign_keys = off";

/// Tables in order of their making.
pub const TABLES: &str = "select name from sqlite_master where type = 'table' order by rowid";

/// A row for each column of each foreign key of table ?1, in order of declaration: number, column, and
/// what happens when the row that is pointed to changes or goes.
pub const FOREIGN_KEYS: &str = "select id, \"from\", on_update, on_delete \
     from pragma_foreign_key_list(?1) order by id desc, seq";

/// Rows of `table` with these values in `by`: `columns`, or only whether there is one.
pub fn rows(table: &str, columns: &[&str], by: &[&str]) -> String {
    let mut text = "select ".to_owned();
    list(columns, &mut text);
    text.push_str(if columns.is_empty() {
        "1 from "
    } else {
        " from "
    });
    quote_name(table, &mut text);
    for (at, column) in by.iter().enumerate() {
        text.push_str(if at > 0 { " and " } else { " where " });
        quote_name(column, &mut text);
        text.push_str(&format!(" = ?{}", at + 1));
    }
    text.push_str(if columns.is_empty() { " limit 1" } else { "" });
    text
}

/// The number that SQLite would give the next row of a table, as an expression.
pub fn next_number(table: &Table) -> String {
    let mut text = "select max(coalesce((select seq from sqlite_sequence where name = ".to_owned();
    super::quote(table.name.as_str(), &mut text);
    text.push_str("), 0), coalesce((select max(rowid) from ");
    name(&table.name, &mut text);
    text.push_str("), 0)) + 1");
    text
}

fn list(columns: &[&str], text: &mut String) {
    for (at, column) in columns.iter().enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        quote_name(column, text);
    }
}

impl<'a> Statement<'a> {
    /// All columns of the rows that `cells` make: of `which` with them, or a new one.
    pub fn proposed(
        &mut self,
        target: Target<'a>,
        cells: Vec<(usize, Cell)>,
        which: Option<Which<'a>>,
    ) -> Result<(), DataError> {
        for (at, column) in target.table.columns.iter().enumerate() {
            self.text
                .push_str(if at > 0 { ", _t0." } else { "select _t0." });
            name(&column.name, &mut self.text);
        }
        self.text.push_str(" from ");
        self.becoming(target, cells, which)?;
        self.text.push_str(" as _t0");
        Ok(())
    }

    /// The same write, which returns these columns of its rows.
    pub fn returning(&self, table: &Table, columns: &[usize]) -> String {
        let end = self.returning.unwrap_or(self.text.len());
        let mut text = self.text[..end].to_owned();
        let columns: Vec<&str> = columns
            .iter()
            .map(|at| table.columns[*at].name.as_str())
            .collect();
        if !columns.is_empty() {
            text.push_str(" returning ");
            list(&columns, &mut text);
        }
        text
    }
}
