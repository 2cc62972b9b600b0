//! `pumice:platform/data`: calls of the guest in, [`DataStore`] calls, rows out.

use serde_json::value::RawValue;
use wasmtime::component::Resource;

use super::query::{self, Body, Conflict, Insert, Preferences, Query, Returning, Rows};
use super::{Actor, Authority, DataError, DataStore, GuestFault, Transaction};
use crate::HostCtx;
use crate::bindings::pumice::platform::data::{self, Error};
use crate::meter::Weight;

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Handle = Resource<data::Transaction>;

/// A transaction that a guest has opened, with the authority it chose.
pub(crate) struct GuestTransaction {
    transaction: Transaction,
    actor: Actor,
}

impl Weight for data::Filter {
    fn weight(&self) -> usize {
        self.column.len() + self.operator.len() + self.value.len()
    }
}

impl Weight for data::Query {
    fn weight(&self) -> usize {
        self.table.len() + self.select.weight() + self.filters.weight() + self.order.weight()
    }
}

impl data::Host for HostCtx {
    async fn select(&mut self, authority: data::Authority, query: data::Query) -> Answer<String> {
        self.carry(&[&query])?;
        let outcome = match self.store() {
            Ok(store) => {
                let actor = self.actor(authority.into());
                select(&store, &actor, self.within(), query).await
            }
            Err(error) => return Ok(Err(error)),
        };
        self.rows(outcome)
    }

    async fn insert(
        &mut self,
        authority: data::Authority,
        table: String,
        rows: String,
    ) -> Answer<String> {
        self.carry(&[&table, &rows])?;
        let (store, actor, within) = match self.writer(authority) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = insert(&store, &actor, within.as_ref(), table, &rows, None).await;
        self.rows(outcome)
    }

    async fn upsert(
        &mut self,
        authority: data::Authority,
        table: String,
        rows: String,
        on_conflict: Vec<String>,
    ) -> Answer<String> {
        self.carry(&[&table, &rows, &on_conflict])?;
        let (store, actor, within) = match self.writer(authority) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let on = Some(on_conflict);
        let outcome = insert(&store, &actor, within.as_ref(), table, &rows, on).await;
        self.rows(outcome)
    }

    async fn update(
        &mut self,
        authority: data::Authority,
        query: data::Query,
        values: String,
    ) -> Answer<String> {
        self.carry(&[&query, &values])?;
        let (store, actor, within) = match self.writer(authority) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = update(&store, &actor, within.as_ref(), query, &values).await;
        self.rows(outcome)
    }

    async fn delete(&mut self, authority: data::Authority, query: data::Query) -> Answer<String> {
        self.carry(&[&query])?;
        let (store, actor, within) = match self.writer(authority) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = delete(&store, &actor, within.as_ref(), query).await;
        self.rows(outcome)
    }

    async fn sql(&mut self, statement: String, parameters: String) -> Answer<String> {
        self.carry(&[&statement, &parameters])?;
        let (store, actor, within) = match self.writer(data::Authority::App) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = sql(&store, &actor, within.as_ref(), statement, &parameters).await;
        self.rows(outcome)
    }
}

impl data::HostTransaction for HostCtx {
    async fn begin(&mut self, authority: data::Authority) -> Answer<Handle> {
        // In a procedure everything is in one transaction already.
        if self.within().is_some() && !self.entry.kind.only_reads() {
            return Ok(Err(Error::TransactionOpen));
        }
        let (store, actor, _) = match self.writer(authority) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let transaction = match store.begin(&actor, false).await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(told(error))),
        };
        self.set_open(Some(transaction.clone()));
        let handle = self.push(Box::new(GuestTransaction { transaction, actor }))?;
        Ok(Ok(handle))
    }

    async fn select(&mut self, handle: Handle, query: data::Query) -> Answer<String> {
        self.carry(&[&query])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let outcome = select(&store, &actor, Some(&transaction), query).await;
        self.rows(outcome)
    }

    async fn insert(&mut self, handle: Handle, table: String, rows: String) -> Answer<String> {
        self.carry(&[&table, &rows])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let outcome = insert(&store, &actor, Some(&transaction), table, &rows, None).await;
        self.rows(outcome)
    }

    async fn upsert(
        &mut self,
        handle: Handle,
        table: String,
        rows: String,
        on_conflict: Vec<String>,
    ) -> Answer<String> {
        self.carry(&[&table, &rows, &on_conflict])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let on = Some(on_conflict);
        let outcome = insert(&store, &actor, Some(&transaction), table, &rows, on).await;
        self.rows(outcome)
    }

    async fn update(
        &mut self,
        handle: Handle,
        query: data::Query,
        values: String,
    ) -> Answer<String> {
        self.carry(&[&query, &values])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let outcome = update(&store, &actor, Some(&transaction), query, &values).await;
        self.rows(outcome)
    }

    async fn delete(&mut self, handle: Handle, query: data::Query) -> Answer<String> {
        self.carry(&[&query])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let outcome = delete(&store, &actor, Some(&transaction), query).await;
        self.rows(outcome)
    }

    async fn sql(
        &mut self,
        handle: Handle,
        statement: String,
        parameters: String,
    ) -> Answer<String> {
        self.carry(&[&statement, &parameters])?;
        let (store, actor, transaction) = self.opened(&handle)?;
        let actor = Actor {
            authority: Authority::App,
            ..actor
        };
        let outcome = sql(&store, &actor, Some(&transaction), statement, &parameters).await;
        self.rows(outcome)
    }

    async fn commit(&mut self, handle: Handle) -> Answer<()> {
        let (store, _, transaction) = self.opened(&handle)?;
        self.table.delete::<Box<GuestTransaction>>(handle.rep())?;
        self.set_open(None);
        Ok(store.commit(&transaction).await.map_err(told))
    }

    async fn rollback(&mut self, handle: Handle) -> wasmtime::Result<()> {
        let (store, _, transaction) = self.opened(&handle)?;
        self.table.delete::<Box<GuestTransaction>>(handle.rep())?;
        self.set_open(None);
        store.rollback(&transaction).await;
        Ok(())
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete::<Box<GuestTransaction>>(handle.rep())?;
        self.set_open(None);
        Ok(())
    }
}

impl HostCtx {
    fn store(&self) -> Result<DataStore, Error> {
        self.entry.data.clone().ok_or(Error::NotConfigured)
    }

    /// What a write outside a transaction of the guest's own goes through.
    fn writer(
        &self,
        authority: data::Authority,
    ) -> Result<(DataStore, Actor, Option<Transaction>), Error> {
        if self.entry.kind.only_reads() {
            return Err(Error::NotInBeforeTrigger);
        }
        if self.open().is_some() {
            return Err(Error::TransactionOpen);
        }
        let actor = self.actor(authority.into());
        Ok((self.store()?, actor, self.within().cloned()))
    }

    fn opened(&self, handle: &Handle) -> wasmtime::Result<(DataStore, Actor, Transaction)> {
        let opened = self.table.get::<Box<GuestTransaction>>(handle.rep())?;
        let store = self
            .entry
            .data
            .clone()
            .ok_or_else(|| wasmtime::format_err!("a transaction without a database"))?;
        Ok((store, opened.actor.clone(), opened.transaction.clone()))
    }

    fn rows(&mut self, outcome: Result<Rows, DataError>) -> Answer<String> {
        match outcome {
            Ok(rows) => {
                self.meter.steps(rows.steps);
                self.charge(rows.body.len())?;
                let text = String::from_utf8(rows.body)
                    .map_err(|_| wasmtime::format_err!("a row is no text"))?;
                Ok(Ok(text))
            }
            Err(error) => Ok(Err(told(error))),
        }
    }
}

async fn select(
    store: &DataStore,
    actor: &Actor,
    within: Option<&Transaction>,
    query: data::Query,
) -> Result<Rows, DataError> {
    let query = Query::try_from(query)?;
    store
        .select(actor, within, &query, Preferences::default())
        .await
}

async fn insert(
    store: &DataStore,
    actor: &Actor,
    within: Option<&Transaction>,
    table: String,
    rows: &str,
    on_conflict: Option<Vec<String>>,
) -> Result<Rows, DataError> {
    let rows: Body = query::body::json(rows.as_bytes())?;
    let insert = Insert {
        query: Query {
            table,
            ..Query::default()
        },
        rows,
        columns: None,
        missing_default: false,
        conflict: on_conflict.map(|on| Conflict { on, merge: true }),
        returning: Returning::Rows,
    };
    store
        .insert(actor, within, insert, Preferences::default())
        .await
}

async fn update(
    store: &DataStore,
    actor: &Actor,
    within: Option<&Transaction>,
    query: data::Query,
    values: &str,
) -> Result<Rows, DataError> {
    whole(&query)?;
    let (query, values) = (Query::try_from(query)?, query::body::row(values)?);
    let (returning, preferences) = (Returning::Rows, Preferences::default());
    store
        .update(
            actor,
            within,
            &query,
            values,
            None,
            false,
            returning,
            preferences,
        )
        .await
}

async fn delete(
    store: &DataStore,
    actor: &Actor,
    within: Option<&Transaction>,
    query: data::Query,
) -> Result<Rows, DataError> {
    whole(&query)?;
    let query = Query::try_from(query)?;
    let (returning, preferences) = (Returning::Rows, Preferences::default());
    store
        .delete(actor, within, &query, returning, preferences)
        .await
}

async fn sql(
    store: &DataStore,
    actor: &Actor,
    within: Option<&Transaction>,
    statement: String,
    parameters: &str,
) -> Result<Rows, DataError> {
    let parameters: Vec<Box<RawValue>> = serde_json::from_str(parameters)
        .map_err(|_| DataError::sql("22023", "the parameters of a statement are a JSON array"))?;
    store.sql(actor, within, statement, parameters).await
}

/// A write reaches every row that the filters find; part of them cannot be asked for.
fn whole(query: &data::Query) -> Result<(), DataError> {
    if query.limit.is_some() || query.offset.is_some() || query.order.is_some() {
        let message = "an update or delete takes filters, and no limit, offset or order";
        return Err(DataError::sql("0A000", message));
    }
    Ok(())
}

impl TryFrom<data::Query> for Query {
    type Error = DataError;

    fn try_from(asked: data::Query) -> Result<Query, DataError> {
        let whole = Vec::new;
        Ok(Query {
            schema: None,
            table: asked.table,
            select: asked.select.as_deref().map(query::select).transpose()?,
            filters: query::filters(
                asked
                    .filters
                    .iter()
                    .map(|asked| (&*asked.column, &*asked.operator, &*asked.value)),
            )?,
            orders: match asked.order.as_deref() {
                Some(order) => vec![(whole(), query::orders(order)?)],
                None => Vec::new(),
            },
            limits: asked
                .limit
                .map(|n| (whole(), n.into()))
                .into_iter()
                .collect(),
            offsets: asked
                .offset
                .map(|n| (whole(), n.into()))
                .into_iter()
                .collect(),
        })
    }
}

impl From<data::Authority> for Authority {
    fn from(authority: data::Authority) -> Authority {
        match authority {
            data::Authority::Caller => Authority::Caller,
            data::Authority::App => Authority::App,
        }
    }
}

/// The error in the guest's words. What is ours to mend is in the log, not in the guest.
fn told(error: DataError) -> Error {
    let database = |code: String, message: String| data::DatabaseError {
        code,
        message,
        details: None,
        hint: None,
    };
    match error {
        DataError::Sql(fault) => Error::Database(data::DatabaseError {
            code: fault.code.into_owned(),
            message: fault.message,
            details: fault.details,
            hint: fault.hint,
        }),
        DataError::Rejected { code, message } => Error::Database(database(code, message)),
        DataError::Guest {
            fault: GuestFault::Overloaded,
            ..
        } => Error::Unavailable,
        DataError::Guest {
            ref name,
            ref fault,
        } => Error::Other(match fault {
            GuestFault::Limit(limit) => {
                format!("trigger `{name}` was stopped at its {limit} limit")
            }
            _ => format!("trigger `{name}` failed; the app's log says how"),
        }),
        DataError::TransactionOpen => Error::TransactionOpen,
        DataError::TransactionEnded => Error::TransactionEnded,
        DataError::TooLarge(text) => Error::TooLarge(text),
        DataError::Moving => Error::Unavailable,
        DataError::Moved(_) => {
            tracing::error!(%error, "an app's file cannot be written");
            Error::Unavailable
        }
        DataError::Unavailable(cause) => {
            tracing::error!(%cause, "an app's database is not available");
            Error::Unavailable
        }
        DataError::Internal(cause) => {
            tracing::error!(cause, "the data path failed");
            Error::Other("something failed inside the server; its log says what".to_owned())
        }
    }
}
