//! What PostgreSQL refuses and SQLite would do.

use crate::data::{DataError, SqlFault, Table, Value};

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
