//! Requests for a table or a view.

use http::{Method, Response};
use pumice_host_api::data::query::{
    self, Condition, Conflict, Insert, Missing, Operator, Query, Resolution, Rows, Test, body,
};
use pumice_host_api::data::{Actor, DataError, Schema, Table};
use serde_json::value::RawValue;

use super::openapi::writable;
use super::request::{Asked, Parsed, own, unsupported};
use super::{Visit, answer};
use crate::body::Body;
use crate::error::Error;

impl Visit<'_> {
    pub(super) async fn table(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        match *asked.method {
            Method::GET | Method::HEAD => self.select(name, asked, actor).await,
            Method::POST => self.insert(name, asked, actor).await,
            Method::PATCH => self.update(name, asked, actor).await,
            Method::PUT => self.replace(name, asked, actor).await,
            Method::DELETE => self.delete(name, asked, actor).await,
            Method::OPTIONS => self.options(name, asked).await,
            _ => Err(unsupported(asked.method).into()),
        }
    }

    async fn parse<'a>(&'a self, name: &str, asked: &Asked<'a>) -> Result<Parsed<'a>, DataError> {
        let within = self.within.is_some();
        let (store, settings) = (&self.store, &self.settings);
        asked.parse(name, store, settings, within, false).await
    }

    async fn select(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        let parsed = self.parse(name, &asked).await?;
        let preferences = parsed.preferences(false);
        let rows = self
            .store
            .select(&actor, self.within(), &parsed.query, preferences)
            .await?;
        answer::read(&parsed, rows)
    }

    async fn insert(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        let mut parsed = self.parse(name, &asked).await?;
        parsed.without_range();
        // Who may not write is told before the body is read.
        self.store.may_write(&actor, &parsed.query).await?;
        let keyed = match parsed.prefer.resolution {
            None => false,
            Some(_) => {
                let schema = self.store.schema().await?;
                let table = relation(&schema, &parsed.query);
                parsed.on_conflict.is_some()
                    || table.is_some_and(|table| table.primary_key.is_some())
            }
        };
        let content_type = asked.content_type();
        let rows = body::rows(content_type, &asked.body.bytes().await?)?;
        let conflict = parsed.prefer.resolution.map(|resolution| Conflict {
            on: parsed.on_conflict.take().unwrap_or_default(),
            merge: resolution == Resolution::MergeDuplicates,
        });
        let rows = self.inserted(&actor, &mut parsed, rows, conflict).await?;
        answer::created(&parsed, name, keyed, rows)
    }

    async fn inserted(
        &self,
        actor: &Actor,
        parsed: &mut Parsed<'_>,
        rows: query::Body,
        conflict: Option<Conflict>,
    ) -> Result<Rows, Error> {
        let insert = Insert {
            query: std::mem::take(&mut parsed.query),
            rows,
            columns: parsed.columns.take(),
            missing_default: parsed.prefer.missing == Some(Missing::Default),
            conflict,
            returning: parsed.returning(),
        };
        let preferences = parsed.preferences(true);
        let within = self.within();
        Ok(self
            .store
            .insert(actor, within, insert, preferences)
            .await?)
    }

    async fn update(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        let mut parsed = self.parse(name, &asked).await?;
        parsed.without_range();
        self.store.may_write(&actor, &parsed.query).await?;
        let content_type = asked.content_type();
        let rows = body::rows(content_type, &asked.body.bytes().await?)?;
        let values = rows.into_iter().next().unwrap_or_default();
        let rows = self
            .store
            .update(
                &actor,
                self.within(),
                &parsed.query,
                values,
                parsed.columns.as_deref(),
                parsed.prefer.missing == Some(Missing::Default),
                parsed.returning(),
                parsed.preferences(true),
            )
            .await?;
        answer::changed(&parsed, rows)
    }

    /// `PUT`: the row with this key, whether it is there or not.
    async fn replace(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        let mut parsed = self.parse(name, &asked).await?;
        if own(&parsed.query.limits).is_some() || own(&parsed.query.offsets).is_some() {
            let message = "limit/offset querystring parameters are not allowed for PUT";
            return Err(DataError::sql("PGRST114", message).into());
        }
        self.store.may_write(&actor, &parsed.query).await?;
        let schema = self.store.schema().await?;
        let table = relation(&schema, &parsed.query);
        let key = table.and_then(|table| Some((table, the_key(table, &parsed.query)?)));
        let Some((table, key)) = key else {
            let message =
                "Filters must include all and only primary key columns with 'eq' operators";
            return Err(DataError::sql("PGRST105", message).into());
        };
        let content_type = asked.content_type();
        let rows = body::rows(content_type, &asked.body.bytes().await?)?;
        match &rows[..] {
            [row] if repeats(table, &key, row)? => {}
            _ => {
                let message = "Payload values do not match URL in primary key column(s)";
                return Err(DataError::sql("PGRST115", message).into());
            }
        }
        parsed.query.filters.clear();
        let conflict = Conflict {
            on: Vec::new(),
            merge: true,
        };
        let rows = self
            .inserted(&actor, &mut parsed, rows, Some(conflict))
            .await?;
        answer::replaced(&parsed, rows)
    }

    async fn delete(
        &self,
        name: &str,
        asked: Asked<'_>,
        actor: Actor,
    ) -> Result<Response<Body>, Error> {
        let mut parsed = self.parse(name, &asked).await?;
        parsed.without_range();
        let (returning, preferences) = (parsed.returning(), parsed.preferences(true));
        let rows = self
            .store
            .delete(&actor, self.within(), &parsed.query, returning, preferences)
            .await?;
        answer::deleted(&parsed, rows)
    }

    /// What can be done with a relation at all.
    async fn options(&self, name: &str, asked: Asked<'_>) -> Result<Response<Body>, Error> {
        let profile = asked.profile(&self.settings)?;
        let schema = self.store.schema().await?;
        let Some(table) = schema.relation(profile.schema, name) else {
            let message = format!(
                "Could not find the table '{}.{name}' in the schema cache",
                profile.schema
            );
            return Err(DataError::sql("PGRST205", message).into());
        };
        let (insert, update, delete) = writable(table);
        let mut verbs = "OPTIONS,GET,HEAD".to_owned();
        let keyed = table.primary_key.is_some();
        for (verb, there) in [
            (",POST", insert),
            (",PUT", insert && update && keyed),
            (",PATCH", update),
            (",DELETE", delete),
        ] {
            if there {
                verbs.push_str(verb);
            }
        }
        Ok(answer::allow(&verbs))
    }
}

fn relation<'s>(schema: &'s Schema, query: &Query) -> Option<&'s Table> {
    let space = query.schema.as_deref().unwrap_or_default();
    schema.relation(space, &query.table).map(|table| &**table)
}

/// The filters of a query that names one row by its whole primary key and says nothing else: column and
/// literal of each.
fn the_key<'q>(table: &Table, query: &'q Query) -> Option<Vec<(usize, &'q str)>> {
    let key = table.primary_key.as_ref()?;
    let mut found = Vec::with_capacity(key.columns.len());
    for filter in &query.filters {
        let Condition::Test {
            field,
            not: false,
            test: Test::Compare(Operator::Eq, None, literal),
        } = &filter.condition
        else {
            return None;
        };
        let column = table.column(&field.name)?;
        let plain = filter.path.is_empty() && field.path.is_empty();
        if !plain || !key.columns.contains(&column) {
            return None;
        }
        found.push((column, literal.as_str()));
    }
    let all = |column: &usize| found.iter().any(|(known, _)| known == column);
    let whole = !key.columns.is_empty() && key.columns.iter().all(all);
    whole.then_some(found)
}

/// Whether a row has the values that its address has.
///
/// # Errors
/// 22P02 and the like for what is no value of its column.
fn repeats(
    table: &Table,
    key: &[(usize, &str)],
    row: &[(String, Box<RawValue>)],
) -> Result<bool, DataError> {
    for (column, literal) in key {
        let column = &table.columns[*column];
        let Some((_, value)) = row.iter().find(|(name, _)| name == column.name.as_str()) else {
            return Ok(false);
        };
        if column.ty.from_json(value)? != column.ty.from_text(literal)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use pumice_host_api::data::query::Params;

    use super::super::openapi::tests::schema;
    use super::*;

    fn query(pairs: &str) -> Query {
        let pairs = url::form_urlencoded::parse(pairs.as_bytes());
        Params::read(pairs).unwrap().query
    }

    #[test]
    fn a_key_is_all_of_it_and_nothing_else() {
        let schema = schema();
        let check = |table: &str, pairs: &str, expect: Option<&[&str]>| {
            let table = schema.table(table).unwrap();
            let query = query(pairs);
            let found = the_key(table, &query);
            let found = found.map(|found| found.iter().map(|(_, text)| *text).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expect, "{pairs}");
        };
        check("orders", "id=eq.1", Some(&["1"]));
        check("orders", "id=eq.1&select=id", Some(&["1"]));
        check("orders", "", None);
        check("orders", "id=gt.1", None);
        check("orders", "id=not.eq.1", None);
        check("orders", "id=eq.1&note=eq.x", None);
        check("orders", "note=eq.x", None);
        check("orders", "or=(id.eq.1,id.eq.2)", None);
        check("open_orders", "id=eq.1", None);
    }

    #[test]
    fn a_body_repeats_its_address() {
        let schema = schema();
        let table = schema.table("orders").unwrap();
        let check = |body: &str, expect: bool| {
            let rows = body::json(body.as_bytes()).unwrap();
            assert_eq!(
                repeats(table, &[(0, "1")], &rows[0]).unwrap(),
                expect,
                "{body}"
            );
        };
        check(r#"{"id":1}"#, true);
        check(r#"{"id":"1","note":null}"#, true);
        check(r#"{"id":2}"#, false);
        check(r#"{"note":"1"}"#, false);
        check(r#"{"id":null}"#, false);
    }
}
