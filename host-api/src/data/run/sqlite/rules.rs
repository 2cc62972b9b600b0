//! What PostgreSQL refuses and SQLite would do.

use std::collections::HashSet;

use crate::data::plan::ConflictPlan;
use crate::data::{DataError, SqlFault, Table, Value};

/// The values by which a row meets another; none when it meets nothing, as nulls do.
pub fn conflict_key<'v>(
    conflict: &ConflictPlan,
    columns: &[usize],
    values: &'v [Value],
) -> Option<Vec<&'v Value>> {
    let value = |wanted: &usize| {
        let at = columns.iter().position(|column| column == wanted)?;
        Some(&values[at]).filter(|value| **value != Value::Null)
    };
    conflict.on.iter().map(value).collect()
}

/// PostgreSQL updates a row once in a statement; row by row SQLite would do it again.
pub fn only_once(
    conflict: &ConflictPlan,
    columns: &[usize],
    values: &[Value],
    met: &mut HashSet<String>,
) -> Result<(), DataError> {
    match conflict_key(conflict, columns, values) {
        Some(key) if !met.insert(format!("{key:?}")) => {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            Err(SqlFault::new("21000", message)
                .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
                .into())
        }
        _ => Ok(()),
    }
}

/// Whether a new row has null where SQLite would put a number of its own: an identity that is the whole
/// primary key.
pub fn null_number(table: &Table, columns: &[usize], values: &[Value]) -> bool {
    let key = table.primary_key.as_ref().map(|key| &key.columns[..]);
    let (Some([key]), mut cells) = (key, columns.iter().zip(values)) else {
        return false;
    };
    let column = &table.columns[*key];
    let numbered = column.has_default && column.default.is_none();
    numbered && cells.any(|(column, value)| column == key && *value == Value::Null)
}

/// What only the database may write.
pub fn generated(
    table: &Table,
    columns: impl Iterator<Item = usize>,
    insert: bool,
) -> Result<(), DataError> {
    for column in columns {
        let column = &table.columns[column];
        if !column.generated_always {
            continue;
        }
        let name = column.name.as_str();
        let message = match insert {
            true => format!("cannot insert a non-DEFAULT value into column \"{name}\""),
            false => format!("column \"{name}\" can only be updated to DEFAULT"),
        };
        let fault = SqlFault::new("428C9", message);
        return Err(match column.has_default {
            true => {
                let fault = fault.details(format!(
                    "Column \"{name}\" is an identity column defined as GENERATED ALWAYS."
                ));
                match insert {
                    true => fault.hint("Use OVERRIDING SYSTEM VALUE to override."),
                    false => fault,
                }
            }
            false => fault.details(format!("Column \"{name}\" is a generated column.")),
        }
        .into());
    }
    Ok(())
}
