//! Makes the tables of schema `auth`, and adds to older ones what they have not.

use std::time::Duration;

use super::sql;
use crate::data::postgres::OwnerTx;
use crate::data::sqlite::{Connection, Sqlite};
use crate::data::{Context, DataError, ValueRef, ddl};
use crate::permissions;

/// How long it may take. It does next to nothing but the first time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the tables where they are not there yet, beside those of [`ddl::prepare`].
///
/// # Errors
/// SQLite's.
pub fn prepare_sqlite(connection: &Connection) -> Result<(), DataError> {
    let mut there = Vec::new();
    connection.query(sql::USERS_COLUMNS_NOW, &[], |row| {
        if let ValueRef::Text(name) = row.get(0) {
            there.push(name.to_owned());
        }
        Ok(())
    })?;
    for (name, definition) in sql::USERS_COLUMNS {
        if !there.iter().any(|column| column == name) {
            connection.execute(&sql::add_users_column(name, definition), &[])?;
        }
    }
    let done = connection.script(sql::PREPARE_SQLITE);
    done.map_err(|(_, error)| error.into())
}

/// As [`prepare_sqlite`], of a file that may not be there.
///
/// # Errors
/// SQLite's.
pub async fn prepare_file(db: &Sqlite) -> Result<(), DataError> {
    let job = |connection: &Connection| {
        ddl::prepare(connection).map_err(|fault| DataError::Internal(fault.to_string()))?;
        permissions::prepare_sqlite(connection)?;
        prepare_sqlite(connection)
    };
    db.write(Context::default(), TIMEOUT, job).await
}

/// As [`prepare_sqlite`].
///
/// # Errors
/// PostgreSQL's.
pub async fn prepare_postgres(tx: &mut OwnerTx) -> Result<(), DataError> {
    for statement in sql::PREPARE_POSTGRES {
        tx.execute("auth", 0, statement).await?;
    }
    Ok(())
}

/// What [`prepare_postgres`] runs, as one batch.
pub fn postgres_tables() -> String {
    sql::PREPARE_POSTGRES.join(";\n")
}
