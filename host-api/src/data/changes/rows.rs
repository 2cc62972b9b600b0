//! A row as JSON inside SQLite, byte for byte as the API writes it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::data::functions::too_long;
use crate::data::sqlite::{Connection, SqliteError};
use crate::data::sqlite_ffi::VALUE_BYTES_MAX;
use crate::data::types::write_json_string;
use crate::data::{DataError, Type, Value, ValueRef};

/// Descriptions kept read: one for each table and half again, in an app of common size.
const KNOWN_MAX: usize = 256;
/// Bytes of a description that is kept: longer than that of the widest table.
const KNOWN_BYTES_MAX: usize = 256 << 10;

/// Names and types.
type Columns = Arc<Vec<(String, Type)>>;

/// Registers `pumice_cells(columns, value, …)`, which writes `"name":json,…`, and
/// `pumice_items(columns, value, …)`, which writes `json,…`. `columns` is `[["name", type], …]`.
pub(in crate::data) fn register(connection: &Connection) -> Result<(), SqliteError> {
    connection.function("pumice_cells", -1, true, written(true))?;
    connection.function("pumice_items", -1, true, written(false))
}

fn written(names: bool) -> impl Fn(&[ValueRef<'_>]) -> Result<Value, DataError> + Send + 'static {
    // One connection's own: nobody waits for its lock.
    let known = Known::default();
    move |arguments| {
        let Some((ValueRef::Text(spec), values)) = arguments.split_first() else {
            return Err(no_row());
        };
        let columns = known.columns(spec)?;
        if columns.len() != values.len() {
            return Err(no_row());
        }
        let mut json = Vec::new();
        for (at, ((name, ty), value)) in columns.iter().zip(values).enumerate() {
            if at > 0 {
                json.push(b',');
            }
            if names {
                write_json_string(name, &mut json);
                json.push(b':');
            }
            ty.write_json(*value, &mut json);
            if json.len() > VALUE_BYTES_MAX {
                return Err(too_long(VALUE_BYTES_MAX));
            }
        }
        String::from_utf8(json)
            .map(Value::Text)
            .map_err(|_| no_row())
    }
}

#[derive(Default)]
struct Known(Mutex<HashMap<String, Columns>>);

impl Known {
    fn columns(&self, spec: &str) -> Result<Columns, DataError> {
        let mut known = self.0.lock();
        if let Some(columns) = known.get(spec) {
            return Ok(columns.clone());
        }
        let columns = serde_json::from_str(spec).map_err(|_| no_row())?;
        let columns = Arc::new(columns);
        if spec.len() > KNOWN_BYTES_MAX {
            return Ok(columns);
        }
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        known.insert(spec.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }
}

fn no_row() -> DataError {
    DataError::sql("22023", "the arguments are no row")
}
