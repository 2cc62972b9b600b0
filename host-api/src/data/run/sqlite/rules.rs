//! What PostgreSQL refuses and SQLite would do.

use crate::data::{DataError, SqlFault, Table, Value};

/// SQLite would give a null key a number.
pub fn not_null(table: &Table, columns: &[usize], values: &[Value]) -> Result<(), DataError> {
    for (column, value) in columns.iter().zip(values) {
        let column = &table.columns[*column];
        if column.not_null && *value == Value::Null {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name.as_str(),
                table.name.as_str()
            );
            return Err(DataError::sql("23502", message));
        }
    }
    Ok(())
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
