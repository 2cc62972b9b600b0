use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DataError, Rows, Transaction, literal};
use crate::bindings::imports::pumice::platform::data as host;
use crate::row;

/// The table or view called `name`, to be read or written as the caller.
pub fn table(name: &str) -> Query<Direct> {
    Query::new(Direct(host::Authority::Caller), name)
}

/// What is asked of one table: filters, order and columns first, then the call that does it.
///
/// A call that says nothing of columns gets all of them. Values of filters are written as they print; the
/// database reads them by the column's type.
#[must_use = "a query does nothing until `rows`, `insert`, `update` or another call is made on it"]
#[derive(Clone, Debug)]
pub struct Query<S = Direct> {
    scope: S,
    query: host::Query,
    fault: Option<String>,
}

impl Query<Direct> {
    /// As the app itself, which policies do not bind.
    pub fn as_app(mut self) -> Self {
        self.scope = Direct(host::Authority::App);
        self
    }
}

impl<S: Scope> Query<S> {
    pub(super) fn new(scope: S, table: &str) -> Self {
        Self {
            scope,
            query: host::Query {
                table: table.to_owned(),
                select: None,
                filters: Vec::new(),
                order: None,
                limit: None,
                offset: None,
            },
            fault: None,
        }
    }

    /// Which columns, in the dialect's grammar: `id,total`, `*,customer(name)`. Several calls add up.
    pub fn select(mut self, columns: &str) -> Self {
        literal::append(&mut self.query.select, columns);
        self
    }

    /// By what, in the dialect's grammar: `points.desc`, `name.asc.nullsfirst`. Several calls add up.
    pub fn order(mut self, order: &str) -> Self {
        literal::append(&mut self.query.order, order);
        self
    }

    /// At most so many rows.
    pub fn limit(mut self, rows: u32) -> Self {
        self.query.limit = Some(rows);
        self
    }

    /// Without the first so many rows.
    pub fn offset(mut self, rows: u32) -> Self {
        self.query.offset = Some(rows);
        self
    }

    /// Any condition in the dialect's words; the others are forms of this one. `operator` may begin with `not.`,
    /// and `value` stands as the dialect writes it.
    pub fn filter(mut self, column: &str, operator: &str, value: impl Display) -> Self {
        self.query.filters.push(host::Filter {
            column: column.to_owned(),
            operator: operator.to_owned(),
            value: value.to_string(),
        });
        self
    }

    pub fn eq(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "eq", value)
    }

    pub fn neq(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "neq", value)
    }

    pub fn gt(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "gt", value)
    }

    pub fn gte(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "gte", value)
    }

    pub fn lt(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "lt", value)
    }

    pub fn lte(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "lte", value)
    }

    /// By a pattern with `%` and `_`; `*` means `%` too.
    pub fn like(self, column: &str, pattern: &str) -> Self {
        self.filter(column, "like", pattern)
    }

    /// As [`Query::like`], whatever the case of letters.
    pub fn ilike(self, column: &str, pattern: &str) -> Self {
        self.filter(column, "ilike", pattern)
    }

    /// By a regular expression.
    pub fn matches(self, column: &str, pattern: &str) -> Self {
        self.filter(column, "match", pattern)
    }

    /// As [`Query::matches`], whatever the case of letters.
    pub fn imatches(self, column: &str, pattern: &str) -> Self {
        self.filter(column, "imatch", pattern)
    }

    pub fn is_null(self, column: &str) -> Self {
        self.filter(column, "is", "null")
    }

    pub fn not_null(self, column: &str) -> Self {
        self.filter(column, "not.is", "null")
    }

    /// A boolean that is so; one that is null is neither.
    pub fn is(self, column: &str, value: bool) -> Self {
        self.filter(column, "is", value)
    }

    /// Unlike [`Query::neq`], a null is distinct from every value.
    pub fn is_distinct(self, column: &str, value: impl Display) -> Self {
        self.filter(column, "isdistinct", value)
    }

    /// One of `values`; of none, no row.
    pub fn in_list<I: IntoIterator<Item: Display>>(self, column: &str, values: I) -> Self {
        self.filter(column, "in", literal::list(values))
    }

    pub fn not_in_list<I: IntoIterator<Item: Display>>(self, column: &str, values: I) -> Self {
        self.filter(column, "not.in", literal::list(values))
    }

    /// An array, a range or a JSON document that contains `value`: a list for an array, a string such as `[1,5)`
    /// for a range, an object for JSON. A JSON column that holds a list: `filter(column, "cs", "[1]")`.
    pub fn contains<T: Serialize + ?Sized>(self, column: &str, value: &T) -> Self {
        self.compare(column, "cs", value)
    }

    /// An array, a range or a JSON document that `value` contains; see [`Query::contains`].
    pub fn contained_by<T: Serialize + ?Sized>(self, column: &str, value: &T) -> Self {
        self.compare(column, "cd", value)
    }

    /// An array or a range that has something in common with `value`; see [`Query::contains`].
    pub fn overlaps<T: Serialize + ?Sized>(self, column: &str, value: &T) -> Self {
        self.compare(column, "ov", value)
    }

    /// A range wholly left of `range`, such as `[1,5)`.
    pub fn left_of(self, column: &str, range: &str) -> Self {
        self.filter(column, "sl", range)
    }

    /// A range wholly right of `range`.
    pub fn right_of(self, column: &str, range: &str) -> Self {
        self.filter(column, "sr", range)
    }

    /// A range that does not go on to the right of `range`.
    pub fn not_right_of(self, column: &str, range: &str) -> Self {
        self.filter(column, "nxr", range)
    }

    /// A range that does not go on to the left of `range`.
    pub fn not_left_of(self, column: &str, range: &str) -> Self {
        self.filter(column, "nxl", range)
    }

    /// A range that touches `range` without a gap.
    pub fn adjacent_to(self, column: &str, range: &str) -> Self {
        self.filter(column, "adj", range)
    }

    /// Full-text search for all words of `text`, as people write them.
    pub fn search(self, column: &str, text: &str) -> Self {
        self.filter(column, "plfts", text)
    }

    /// Full-text search as search engines do it: `"a phrase" or -word`.
    pub fn web_search(self, column: &str, text: &str) -> Self {
        self.filter(column, "wfts", text)
    }

    /// At least one of several conditions, in the dialect's grammar: `age.lt.18,and(age.gt.65,vip.is.true)`.
    pub fn or(self, conditions: &str) -> Self {
        self.filter("or", "", format!("({conditions})"))
    }

    /// Reads the rows.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn rows<T: DeserializeOwned>(self) -> Result<Vec<T>, DataError> {
        self.read()?.rows()
    }

    /// Reads the first row, if there is one.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn first<T: DeserializeOwned>(self) -> Result<Option<T>, DataError> {
        self.limit(1).read()?.first()
    }

    /// Reads the only row.
    ///
    /// # Errors
    /// [`DataError::NoRow`], [`DataError::ManyRows`] and all others of [`DataError`].
    pub fn single<T: DeserializeOwned>(mut self) -> Result<T, DataError> {
        // Two are enough to know that it is not the only one.
        let most = self.query.limit.map_or(2, |limit| limit.min(2));
        self = self.limit(most);
        self.read()?.single()
    }

    /// Reads the rows as they come, to be looked at later.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(self) -> Result<Rows, DataError> {
        self.check()?;
        Ok(Rows::new(self.scope.select(&self.query)?))
    }

    /// Writes a new row, or a list of them; returns them as stored.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn insert<T: Serialize + ?Sized>(self, rows: &T) -> Result<Rows, DataError> {
        let rows = self.new_rows(rows)?;
        Ok(Rows::new(self.scope.insert(&self.query.table, &rows)?))
    }

    /// Writes a row, or a list of them; one that meets an existing row by its primary key updates it. Returns
    /// them as stored.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn upsert<T: Serialize + ?Sized>(self, rows: &T) -> Result<Rows, DataError> {
        self.upsert_on(&[], rows)
    }

    /// As [`Query::upsert`], but rows meet by the unique `columns`.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn upsert_on<T: Serialize + ?Sized>(
        self,
        columns: &[&str],
        rows: &T,
    ) -> Result<Rows, DataError> {
        let rows = self.new_rows(rows)?;
        let columns: Vec<String> = columns.iter().map(|&column| column.into()).collect();
        let written = self.scope.upsert(&self.query.table, &rows, &columns)?;
        Ok(Rows::new(written))
    }

    /// Sets the columns of `values` in every row that the filters find; returns the rows as stored.
    ///
    /// # Errors
    /// [`DataError::NoFilter`] without one; any other [`DataError`].
    pub fn update<T: Serialize + ?Sized>(self, values: &T) -> Result<Rows, DataError> {
        self.check_filter()?;
        let values = json(values)?;
        if !values.starts_with('{') {
            let why = "the values of an update are a struct or a map";
            return Err(DataError::Invalid(why.into()));
        }
        Ok(Rows::new(self.scope.update(&self.query, &values)?))
    }

    /// Deletes every row that the filters find; returns the rows as they were.
    ///
    /// # Errors
    /// [`DataError::NoFilter`] without one; any other [`DataError`].
    pub fn delete(self) -> Result<Rows, DataError> {
        self.check_filter()?;
        Ok(Rows::new(self.scope.delete(&self.query)?))
    }

    fn compare<T: Serialize + ?Sized>(mut self, column: &str, operator: &str, value: &T) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => self.filter(column, operator, literal::collection(&value)),
            Err(why) => {
                self.fault = Some(format!("filter on {column}: {why}"));
                self
            }
        }
    }

    fn check(&self) -> Result<(), DataError> {
        match &self.fault {
            Some(why) => Err(DataError::Invalid(why.clone())),
            None => Ok(()),
        }
    }

    fn check_filter(&self) -> Result<(), DataError> {
        self.check()?;
        if self.query.filters.is_empty() {
            return Err(DataError::NoFilter);
        }
        Ok(())
    }

    /// `rows` as a JSON array.
    fn new_rows<T: Serialize + ?Sized>(&self, rows: &T) -> Result<String, DataError> {
        self.check()?;
        let host::Query {
            filters,
            order,
            limit,
            offset,
            ..
        } = &self.query;
        if !filters.is_empty() || order.is_some() || limit.is_some() || offset.is_some() {
            let why = "an insert or upsert takes no filter, order, limit or offset";
            return Err(DataError::Invalid(why.into()));
        }
        let text = json(rows)?;
        match text.as_bytes().first() {
            Some(b'[') => Ok(text),
            Some(b'{') => Ok(format!("[{text}]")),
            _ => Err(DataError::Invalid(
                "a row is a struct or a map, and several are a list of them".into(),
            )),
        }
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, DataError> {
    row::to_text(value).map_err(DataError::Invalid)
}

/// Where a query runs: by itself, or inside a [`Transaction`].
pub trait Scope: private::Calls {}

impl<S: private::Calls> Scope for S {}

/// By itself, with one authority.
#[derive(Clone, Copy, Debug)]
pub struct Direct(host::Authority);

mod private {
    use super::host::{Error, Query};

    pub trait Calls {
        fn select(&self, query: &Query) -> Result<String, Error>;
        fn insert(&self, table: &str, rows: &str) -> Result<String, Error>;
        fn upsert(&self, table: &str, rows: &str, columns: &[String]) -> Result<String, Error>;
        fn update(&self, query: &Query, values: &str) -> Result<String, Error>;
        fn delete(&self, query: &Query) -> Result<String, Error>;
    }
}

impl private::Calls for Direct {
    fn select(&self, query: &host::Query) -> Result<String, host::Error> {
        host::select(self.0, query)
    }

    fn insert(&self, table: &str, rows: &str) -> Result<String, host::Error> {
        host::insert(self.0, table, rows)
    }

    fn upsert(&self, table: &str, rows: &str, columns: &[String]) -> Result<String, host::Error> {
        host::upsert(self.0, table, rows, columns)
    }

    fn update(&self, query: &host::Query, values: &str) -> Result<String, host::Error> {
        host::update(self.0, query, values)
    }

    fn delete(&self, query: &host::Query) -> Result<String, host::Error> {
        host::delete(self.0, query)
    }
}

impl private::Calls for &Transaction {
    fn select(&self, query: &host::Query) -> Result<String, host::Error> {
        self.host.select(query)
    }

    fn insert(&self, table: &str, rows: &str) -> Result<String, host::Error> {
        self.host.insert(table, rows)
    }

    fn upsert(&self, table: &str, rows: &str, columns: &[String]) -> Result<String, host::Error> {
        self.host.upsert(table, rows, columns)
    }

    fn update(&self, query: &host::Query, values: &str) -> Result<String, host::Error> {
        self.host.update(query, values)
    }

    fn delete(&self, query: &host::Query) -> Result<String, host::Error> {
        self.host.delete(query)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Answers what it was asked, as the one row.
    #[derive(Clone, Copy)]
    struct Echo;

    fn shown(call: &str, query: &host::Query, rest: &str) -> Result<String, host::Error> {
        let filters: Vec<String> = query
            .filters
            .iter()
            .map(|filter| format!("{}={}.{}", filter.column, filter.operator, filter.value))
            .collect();
        let said = json!([
            call,
            query.table,
            query.select,
            filters,
            query.order,
            query.limit,
            query.offset,
            rest
        ]);
        Ok(json!([said]).to_string())
    }

    impl private::Calls for Echo {
        fn select(&self, query: &host::Query) -> Result<String, host::Error> {
            shown("select", query, "")
        }

        fn insert(&self, table: &str, rows: &str) -> Result<String, host::Error> {
            Ok(json!([["insert", table, rows]]).to_string())
        }

        fn upsert(&self, table: &str, rows: &str, on: &[String]) -> Result<String, host::Error> {
            Ok(json!([["upsert", table, rows, on]]).to_string())
        }

        fn update(&self, query: &host::Query, values: &str) -> Result<String, host::Error> {
            shown("update", query, values)
        }

        fn delete(&self, query: &host::Query) -> Result<String, host::Error> {
            shown("delete", query, "")
        }
    }

    fn query() -> Query<Echo> {
        Query::new(Echo, "t")
    }

    #[test]
    fn what_is_said_is_asked() {
        let check =
            |asked: Result<Value, DataError>, expected: Value| assert_eq!(asked, Ok(expected));
        check(
            query()
                .select("id")
                .select("points")
                .eq("id", 5)
                .is("open", true)
                .order("points.desc")
                .order("id")
                .limit(10)
                .offset(20)
                .read()
                .and_then(|rows| rows.single()),
            json!([
                "select",
                "t",
                "id,points",
                ["id=eq.5", "open=is.true"],
                "points.desc,id",
                10,
                20,
                ""
            ]),
        );
        check(
            query().single(),
            json!(["select", "t", null, [], null, 2, null, ""]),
        );
        check(
            query().limit(1).single(),
            json!(["select", "t", null, [], null, 1, null, ""]),
        );
        check(
            query().first().map(Option::unwrap_or_default),
            json!(["select", "t", null, [], null, 1, null, ""]),
        );
        check(
            query()
                .is_null("a")
                .update(&json!({ "b": 1 }))
                .and_then(|rows| rows.single()),
            json!([
                "update",
                "t",
                null,
                ["a=is.null"],
                null,
                null,
                null,
                "{\"b\":1}"
            ]),
        );
        check(
            query()
                .not_null("a")
                .select("a")
                .delete()
                .and_then(|rows| rows.single()),
            json!(["delete", "t", "a", ["a=not.is.null"], null, null, null, ""]),
        );
        check(
            query()
                .insert(&json!({ "a": 1 }))
                .and_then(|rows| rows.single()),
            json!(["insert", "t", "[{\"a\":1}]"]),
        );
        check(
            query()
                .insert(&[json!({ "a": 1 })])
                .and_then(|rows| rows.single()),
            json!(["insert", "t", "[{\"a\":1}]"]),
        );
        check(
            query()
                .upsert_on(&["a", "b"], &json!({ "a": 1 }))
                .and_then(|rows| rows.single()),
            json!(["upsert", "t", "[{\"a\":1}]", ["a", "b"]]),
        );
    }

    #[test]
    fn every_filter_has_its_form() {
        let check = |query: Query<Echo>, expected: &str| {
            let filter = &query.query.filters[0];
            let said = format!("{}={}.{}", filter.column, filter.operator, filter.value);
            assert_eq!(said, expected);
        };
        check(query().neq("a", "x,y"), "a=neq.x,y");
        check(query().gt("a", 1.5), "a=gt.1.5");
        check(query().gte("a", -1), "a=gte.-1");
        check(query().lt("a", 'z'), "a=lt.z");
        check(query().lte("a", u64::MAX), "a=lte.18446744073709551615");
        check(query().like("a", "%b_"), "a=like.%b_");
        check(query().ilike("a", "b*"), "a=ilike.b*");
        check(query().matches("a", "^b"), "a=match.^b");
        check(query().imatches("a", "^b"), "a=imatch.^b");
        check(query().is("a", false), "a=is.false");
        check(query().is_distinct("a", 1), "a=isdistinct.1");
        check(query().in_list("a", [1, 2]), r#"a=in.("1","2")"#);
        check(query().not_in_list("a", ["b"]), r#"a=not.in.("b")"#);
        check(query().contains("a", &[1]), "a=cs.{1}");
        check(query().contains("a", &json!({ "b": 1 })), r#"a=cs.{"b":1}"#);
        check(query().contained_by("a", &["b c"]), r#"a=cd.{"b c"}"#);
        check(query().overlaps("a", "[1,5)"), "a=ov.[1,5)");
        check(query().left_of("a", "[1,5)"), "a=sl.[1,5)");
        check(query().right_of("a", "[1,5)"), "a=sr.[1,5)");
        check(query().not_right_of("a", "[1,5)"), "a=nxr.[1,5)");
        check(query().not_left_of("a", "[1,5)"), "a=nxl.[1,5)");
        check(query().adjacent_to("a", "[1,5)"), "a=adj.[1,5)");
        check(query().search("a", "two words"), "a=plfts.two words");
        check(query().web_search("a", "b -c"), "a=wfts.b -c");
        check(query().or("a.eq.1,b.gt.2"), "or=.(a.eq.1,b.gt.2)");
    }

    #[test]
    fn what_makes_no_sense_is_not_asked() {
        assert_eq!(query().update(&json!({})).err(), Some(DataError::NoFilter));
        assert_eq!(query().limit(1).delete().err(), Some(DataError::NoFilter));
        let invalid = |asked: Result<Rows, DataError>| {
            assert!(matches!(asked, Err(DataError::Invalid(_))), "{asked:?}");
        };
        invalid(query().eq("a", 1).insert(&json!({})));
        invalid(query().limit(1).upsert(&json!({})));
        invalid(query().insert(&5));
        invalid(query().eq("a", 1).update(&[1]));
        let without_form = std::collections::HashMap::from([(Some(()), 1)]);
        invalid(query().contains("a", &without_form).read());
        invalid(query().eq("a", 1).update(&without_form));
    }
}
