//! An app's tables: the one door to them.
//!
//! A request becomes a plan (`plan.rs`, pure), before-triggers judge its rows (`hooks.rs`), one
//! transaction carries it out (`run/`, `sql.rs`), and the rows come back as JSON text. [`DataStore`]
//! tells that story; nothing else reaches a table.

mod store;

mod actor;
pub mod changes;
mod context;
pub mod ddl;
mod error;
mod functions;
pub mod hooks;
mod host;
mod judge;
pub mod migrate;
pub(crate) mod own;
pub mod plan;
pub mod postgres;
pub mod query;
mod relationships;
pub(crate) mod run;
pub mod schema;
mod settings;
pub mod sqlite;
mod sqlite_ffi;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;
pub mod transfer;
mod types;
mod value;

use std::time::Duration;

pub use self::actor::{Actor, Authority};
pub use self::context::{Context, RequestInfo};
pub use self::error::{DataError, GuestFault, SqlFault};
pub(crate) use self::host::GuestTransaction;
pub use self::relationships::{Link, Relationship, Relationships};
pub use self::schema::{
    Check, Column, Engine, Enum, ForeignKey, Key, Kind, Name, Schema, Table, Type,
};
pub use self::settings::{Settings, TransactionEnd};
pub use self::store::{DataStore, Db};
pub use self::transaction::Transaction;
pub(crate) use self::types::normalize_jsonb;
pub use self::value::{Value, ValueRef};

/// Rows that one read answers at most. The dialect's usual setting.
pub const ROWS_MAX: u64 = 1_000;
/// Rows that one invocation of a trigger is given at most.
pub const TRIGGER_BATCH_ROWS: usize = 500;
/// Rows that one statement may change when a before-trigger has to see each: 20 invocations.
pub const TRIGGER_ROWS_MAX: usize = 10_000;
/// Bytes of one answer: what a guest takes in one call.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
/// One statement. What the dialect's hosts give a signed-in user.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);
/// A transaction that a guest holds open: on SQLite everybody else's writes wait meanwhile.
pub const TRANSACTION_MAX: Duration = Duration::from_millis(500);
/// Rows of one insert.
pub const BODY_ROWS_MAX: usize = 50_000;
/// Conditions of one request.
pub const FILTERS_MAX: usize = 100;
/// Cells of one body of csv, where an empty one takes a byte to send.
pub const BODY_CELLS_MAX: usize = 1_000_000;
/// Columns of a table: PostgreSQL's own limit.
pub const COLUMNS_MAX: usize = 1_600;
/// Members of a list in a filter.
pub const LIST_MAX: usize = 10_000;
/// Relations inside one another in a select: each is a subquery in the one around it.
pub const EMBED_DEPTH_MAX: usize = 10;
/// `and` and `or` inside one another in a filter.
pub const TREE_DEPTH_MAX: usize = 20;

fn too_many_rows(max: usize) -> DataError {
    DataError::TooLarge(format!(
        "the statement meets more than {max} rows, the most that before-triggers are asked about at once; narrow its filters, or send fewer rows"
    ))
}

fn answer_too_large() -> DataError {
    DataError::TooLarge(format!(
        "the answer has more than {ANSWER_BYTES_MAX} bytes; ask for fewer rows or columns"
    ))
}
