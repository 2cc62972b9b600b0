//! The statements of the engine itself.

use crate::data::sqlite_ffi::{Mode, Open};

pub const BEGIN_READ: &str = "begin deferred";
pub const BEGIN_WRITE: &str = "begin immediate";
pub const COMMIT: &str = "commit";
pub const ROLLBACK: &str = "rollback";
pub const SAVEPOINT: &str = "savepoint job";
pub const RELEASE: &str = "release job";
pub const ROLLBACK_TO: &str = "rollback to job";

/// Each row that breaks a foreign key: table, rowid, parent table, number of the key.
pub const BROKEN_FOREIGN_KEYS: &str = "pragma foreign_key_check";

/// The columns of key ?2 of table ?1: from, to.
pub const FOREIGN_KEY_COLUMNS: &str =
    "select \"from\", \"to\" from pragma_foreign_key_list(?1) where id = ?2 order by seq";

/// The unique indexes of table ?1 with their columns as SQLite names them in an error.
pub const UNIQUE_INDEXES: &str = "select l.name, group_concat(?1 || '.' || i.name, ', ' order by i.seqno) \
     from pragma_index_list(?1) l, pragma_index_info(l.name) i where l.\"unique\" = 1 group by l.name";

/// Where this file's data went, if it was moved away.
pub const MOVED_TO: &str = "select \"to\" from \"pumice.moved\"";
pub const MARKS: &str = "select 1 from sqlite_schema where name = 'pumice.moved'";
/// One row: the file says itself that nobody may write to it, whatever else is said elsewhere.
pub const MARK: [&str; 2] = [
    "create table if not exists \"pumice.moved\" \
     (one integer primary key check (one = 1), \"to\" text not null, at text not null)",
    "insert or replace into \"pumice.moved\" values (1, ?1, datetime('now'))",
];
pub const UNMARK: &str = "drop table if exists \"pumice.moved\"";

/// What each new connection runs.
pub fn open(open: Open) -> String {
    let Open {
        mode,
        durable,
        cache_kib,
        ..
    } = open;
    let synchronous = if durable { "full" } else { "off" };
    let role = match mode {
        // The WAL file is cut back to this size once it is copied.
        Mode::Writer => "pragma journal_mode = wal; pragma journal_size_limit = 16777216;",
        Mode::Reader => "pragma query_only = on;",
    };
    // Rows that `insert or replace` takes away are deletions too: without recursive triggers the
    // change log would not see them.
    format!(
        "{role} pragma synchronous = {synchronous}; pragma foreign_keys = on; \
         pragma recursive_triggers = on; \
         pragma temp_store = file; pragma cache_size = -{cache_kib};"
    )
}

/// `columns` of one row of `table`.
pub fn by_rowid(table: &str, columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    format!(
        "select {} from {} where rowid = ?1",
        columns.join(", "),
        quoted(table)
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
