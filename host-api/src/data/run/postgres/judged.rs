//! Rows that before-triggers judge.
//!
//! Whoever asks may have no right to lock a row, or to read all of it: a delete takes neither. So the
//! app reads and locks, as the triggers are its own code, and only rows that the caller has found;
//! and what is written is written as the caller.

use super::sql::{self, Read, Statement, Target};
use crate::Role;
use crate::data::postgres::{PgTx, Surroundings};
use crate::data::run::{Asked, OldRow, changed_meanwhile, key_of, protected};
use crate::data::schema::Command;
use crate::data::{Context, DataError, Table};

/// The rows that meet the conditions, in order of the key: what before-triggers judge.
///
/// # Errors
/// [`DataError::TooLarge`] beyond `rows_max`; 0A000 without a primary key, 42501 when the caller may not
/// read it; 40001 when others change the rows meanwhile.
pub async fn old_rows(tx: &mut PgTx, asked: &Asked) -> Result<Vec<OldRow>, DataError> {
    let (table, rows_max) = (&*asked.table, asked.rows_max);
    let key = key_of(table)?;
    // In the time zone in which they are looked at again.
    let surroundings = Surroundings {
        timezone: asked.timezone.clone(),
        ..tx.surroundings().clone()
    };
    tx.surround(&surroundings).await?;
    let read = match tx.context().role {
        Role::ServiceRole => Read::Whole,
        _ => Read::Key,
    };
    let statement = sql::found(asked, key, rows_max as u64 + 1, read)?;
    let found = tx.rows(statement.text, &statement.args).await?;
    if found.len() > rows_max {
        return Err(crate::data::too_many_rows(rows_max));
    }
    let rows = match read {
        Read::Whole => found,
        Read::Key if found.is_empty() => found,
        Read::Key => whole(tx, asked, &found).await?,
    };
    let old = |json| OldRow {
        json,
        values: Vec::new(),
    };
    Ok(rows.into_iter().map(old).collect())
}

/// All columns of rows of which the caller has found the keys.
async fn whole(tx: &mut PgTx, asked: &Asked, found: &[String]) -> Result<Vec<String>, DataError> {
    let keys = documents(found.iter().map(|key| (key.as_str(), None)));
    let target = target(&asked.table, keys)?;
    let rows = as_app(tx, sql::lock_rows(&target)?).await?;
    if rows.len() != found.len() {
        return Err(changed_meanwhile());
    }
    // Rows to be updated were locked when they were found. Others may have changed before they were
    // locked, and be none of those that were asked for any more.
    if asked.command != Command::Update {
        let statement = sql::still(&target, &asked.conditions)?;
        let still = tx.rows(statement.text, &statement.args).await?;
        if still.len() != rows.len() {
            return Err(changed_meanwhile());
        }
    }
    Ok(rows)
}

/// Locks judged rows, and sees whether they are still as they were read.
///
/// # Errors
/// 40001.
pub(super) async fn unchanged(
    tx: &mut PgTx,
    table: &Table,
    olds: impl Iterator<Item = &OldRow> + Clone,
    surroundings: &Surroundings,
) -> Result<(), DataError> {
    tx.surround(surroundings).await?;
    let changes = documents(olds.clone().map(|old| (old.json.as_str(), None)));
    let mut found = as_app(tx, sql::lock_rows(&target(table, changes)?)?).await?;
    let mut known: Vec<&str> = olds.map(|old| &*old.json).collect();
    found.sort_unstable();
    known.sort_unstable();
    if !found.iter().map(|row| &**row).eq(known) {
        return Err(changed_meanwhile());
    }
    Ok(())
}

/// Whether the caller may update all these rows, which an upsert has met.
///
/// # Errors
/// 42501.
pub(super) async fn updatable(
    tx: &mut PgTx,
    table: &Table,
    olds: impl ExactSizeIterator<Item = &OldRow>,
) -> Result<(), DataError> {
    let count = olds.len();
    let changes = documents(olds.map(|old| (old.json.as_str(), None)));
    let statement = sql::updatable(&target(table, changes)?)?;
    let found = tx.rows(statement.text, &statement.args).await?;
    if found.len() < count {
        return Err(protected(table));
    }
    Ok(())
}

/// The rows of one statement, as the app.
async fn as_app(tx: &mut PgTx, statement: Statement) -> Result<Vec<String>, DataError> {
    let caller = tx.context().clone();
    tx.set_context(&Context {
        role: Role::ServiceRole,
        ..caller.clone()
    });
    let rows = tx.rows(statement.text, &statement.args).await;
    tx.set_context(&caller);
    rows
}

pub(super) fn target(table: &Table, changes: String) -> Result<Target<'_>, DataError> {
    Ok(Target {
        table,
        key: key_of(table)?,
        changes,
    })
}

/// `[{"o": old, "n": new}, …]`
pub(super) fn documents<'a>(pairs: impl Iterator<Item = (&'a str, Option<String>)>) -> String {
    let mut json = String::from("[");
    for (at, (old, new)) in pairs.enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str("{\"o\":");
        json.push_str(old);
        if let Some(new) = new {
            json.push_str(",\"n\":");
            json.push_str(&new);
        }
        json.push('}');
    }
    json.push(']');
    json
}
