//! The database's own triggers, which write the log.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Subscription, sql};
use crate::data::postgres::OwnerTx;
use crate::data::sqlite::Connection;
use crate::data::{DataError, Schema, ValueRef};

/// Makes the tables of the log and the outbox where they are not there yet.
///
/// # Errors
/// SQLite's.
pub fn prepare_sqlite(connection: &Connection) -> Result<(), DataError> {
    let done = connection.script(sql::PREPARE_SQLITE);
    done.map_err(|(_, error)| error.into())
}

/// As [`prepare_sqlite`].
///
/// # Errors
/// PostgreSQL's.
pub async fn prepare_postgres(tx: &mut OwnerTx) -> Result<(), DataError> {
    for statement in sql::PREPARE_POSTGRES {
        tx.execute(OURS, 0, statement).await?;
    }
    Ok(())
}

/// Makes the triggers that `subscriptions` need, and takes away the others, in the transaction that is
/// open. Without subscriptions nothing is written down: so a migration begins, because SQLite changes no
/// column that a trigger names, and it ends with the subscriptions of its revision and the new schema.
///
/// A subscription to a table that is not there is left out.
///
/// # Errors
/// SQLite's.
pub fn observe_sqlite(
    connection: &Connection,
    subscriptions: &[Subscription],
    schema: &Schema,
) -> Result<(), DataError> {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for ((table, operation), triggers) in by_table(subscriptions) {
        if let Some(table) = schema.table(table) {
            let name = format!("pumice.{}.{operation}", table.name.as_str());
            let text = sql::create_sqlite(&name, table, operation, &triggers);
            wanted.insert(name, text);
        }
    }
    let mut old = Vec::new();
    connection.query(sql::TRIGGERS_SQLITE, &[], |row| {
        if let (ValueRef::Text(name), ValueRef::Text(text)) = (row.get(0), row.get(1)) {
            // What stays as it is costs no change of the schema, after which all statements are
            // prepared anew.
            if wanted.get(name).is_some_and(|wanted| wanted == text) {
                wanted.remove(name);
            } else {
                old.push(name.to_owned());
            }
        }
        Ok(())
    })?;
    for name in old {
        connection.execute(&sql::drop_sqlite(&name), &[])?;
    }
    for text in wanted.values() {
        connection.execute(text, &[])?;
    }
    Ok(())
}

/// As [`observe_sqlite`]; on PostgreSQL a migration needs no triggers taken away.
///
/// # Errors
/// PostgreSQL's.
pub async fn observe_postgres(
    tx: &mut OwnerTx,
    subscriptions: &[Subscription],
) -> Result<(), DataError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        table: &'a str,
        operation: &'a str,
        triggers: Vec<&'a str>,
    }
    let wanted = by_table(subscriptions);
    let wanted = wanted
        .into_iter()
        .map(|((table, operation), triggers)| Wanted {
            table,
            operation,
            triggers,
        });
    let wanted = serde_json::to_string(&wanted.collect::<Vec<_>>())
        .map_err(|error| DataError::Internal(error.to_string()))?;
    tx.execute(OURS, 0, &sql::observe_postgres(&wanted)).await
}

/// What stands for a file's name where the SQL is our own.
const OURS: &str = "pumice";

/// The after-triggers of each table and operation that somebody subscribes to.
fn by_table(subscriptions: &[Subscription]) -> BTreeMap<(&str, &'static str), Vec<&str>> {
    let mut all: BTreeMap<(&str, &'static str), Vec<&str>> = BTreeMap::new();
    for subscription in subscriptions {
        for &operation in &subscription.operations {
            let triggers = all
                .entry((&subscription.table, operation.as_str()))
                .or_default();
            if !triggers.contains(&&*subscription.trigger) {
                triggers.push(&subscription.trigger);
            }
        }
    }
    all
}
