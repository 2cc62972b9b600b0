//! From a request and the schema to what is to be done: names resolved, rights checked. Pure.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::query::{Body, Filter, Insert, Query, Returning};
use super::{Actor, DataError, Schema, SqlFault, Table};

/// Columns to answer with, in order: the index, and the key in the answer when it is another.
pub type Selection = Vec<(usize, Option<String>)>;

/// The cells of a row to be written: column and JSON value.
pub type Cells = Vec<(usize, Box<RawValue>)>;

#[derive(Clone, Debug)]
pub struct SelectPlan {
    pub table: Arc<Table>,
    pub selection: Selection,
    pub conditions: Vec<Condition>,
    pub order: Vec<Order>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct InsertPlan {
    pub table: Arc<Table>,
    pub rows: Vec<Cells>,
    pub conflict: Option<ConflictPlan>,
    pub returning: Answering,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Answering {
    /// None answers the number only.
    pub rows: Option<Selection>,
    /// Whether anything but one row undoes the write.
    pub single: bool,
}

/// Indices of the unique key's columns.
#[derive(Clone, Debug)]
pub struct ConflictPlan {
    pub on: Vec<usize>,
    pub merge: bool,
}

#[derive(Clone, Debug)]
pub struct UpdatePlan {
    pub table: Arc<Table>,
    pub cells: Cells,
    pub conditions: Vec<Condition>,
    pub returning: Answering,
}

#[derive(Clone, Debug)]
pub struct DeletePlan {
    pub table: Arc<Table>,
    pub conditions: Vec<Condition>,
    pub returning: Answering,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub column: usize,
    pub not: bool,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    Compare(Comparison, String),
    In(Vec<String>),
    Is(Is),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// What an actor wants with a table.
#[derive(Clone, Copy)]
enum Action {
    Read,
    Write,
}

/// # Errors
/// The dialect's for names and grammar, 42501 without the right; likewise below.
pub fn select(schema: &Schema, actor: &Actor, query: &Query) -> Result<SelectPlan, DataError> {
    let table = table(schema, actor, &query.table, Action::Read)?;
    Ok(SelectPlan {
        selection: selection(&table, query.select.as_deref())?,
        conditions: conditions(&table, &query.filters)?,
        order: order(&table, query.order.as_deref())?,
        limit: query.limit,
        offset: query.offset,
        table,
    })
}

pub fn insert(schema: &Schema, actor: &Actor, insert: Insert) -> Result<InsertPlan, DataError> {
    let table = table(schema, actor, &insert.table, Action::Write)?;
    let rows = match &insert.columns {
        Some(columns) => listed_cells(&table, columns, insert.rows)?,
        None => uniform_cells(&table, insert.rows)?,
    };
    let conflict = match insert.conflict {
        None => None,
        Some(conflict) => {
            let on: Result<Vec<usize>, DataError> = conflict
                .on
                .iter()
                .map(|name| column_to_write(&table, name))
                .collect();
            let on = match (on?, &table.primary_key) {
                (on, Some(key)) if on.is_empty() => key.columns.clone(),
                (on, _) => on,
            };
            // Without a key no row can meet another.
            (!on.is_empty()).then_some(ConflictPlan {
                on,
                merge: conflict.merge,
            })
        }
    };
    let returning = returning(&table, insert.returning)?;
    Ok(InsertPlan {
        table,
        rows,
        conflict,
        returning,
    })
}

pub fn update(
    schema: &Schema,
    actor: &Actor,
    query: &Query,
    values: Vec<(String, Box<RawValue>)>,
    answer: Returning,
) -> Result<UpdatePlan, DataError> {
    let table = table(schema, actor, &query.table, Action::Write)?;
    Ok(UpdatePlan {
        cells: cells(&table, values)?,
        conditions: conditions(&table, &query.filters)?,
        returning: returning(&table, answer)?,
        table,
    })
}

pub fn delete(
    schema: &Schema,
    actor: &Actor,
    query: &Query,
    answer: Returning,
) -> Result<DeletePlan, DataError> {
    let table = table(schema, actor, &query.table, Action::Write)?;
    Ok(DeletePlan {
        conditions: conditions(&table, &query.filters)?,
        returning: returning(&table, answer)?,
        table,
    })
}

/// # Errors
/// PGRST205, 42501.
pub fn may_write(schema: &Schema, actor: &Actor, name: &str) -> Result<(), DataError> {
    table(schema, actor, name, Action::Write).map(drop)
}

/// The row that a trigger gave back, as cells: checked like one from a client.
pub fn replacement(table: &Table, row: &str) -> Result<Cells, DataError> {
    cells(table, super::query::row(row)?)
}

/// All columns.
pub fn whole_row(table: &Table) -> Selection {
    (0..table.columns.len())
        .map(|column| (column, None))
        .collect()
}

/// Until policies open tables to others, the service role and the app itself reach them.
fn table(
    schema: &Schema,
    actor: &Actor,
    name: &str,
    _action: Action,
) -> Result<Arc<Table>, DataError> {
    let Some(table) = schema.table(name) else {
        return Err(no_table(schema, actor, name));
    };
    if !actor.unbound() {
        let message = format!("permission denied for table {name}");
        return Err(DataError::sql("42501", message));
    }
    Ok(table.clone())
}

fn no_table(schema: &Schema, actor: &Actor, name: &str) -> DataError {
    let fault = SqlFault::new(
        "PGRST205",
        format!("Could not find the table 'public.{name}' in the schema cache"),
    );
    // What there is, is told to those who may see it.
    let known = actor.unbound().then(|| schema.tables.keys());
    let nearest = known
        .into_iter()
        .flatten()
        .map(|known| (similarity(known, name), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, known)) if likeness >= 0.6 => {
            fault.hint(format!("Perhaps you meant the table 'public.{known}'"))
        }
        _ => fault,
    }
    .into()
}

/// The share of letter pairs that two names have in common.
fn similarity(a: &str, b: &str) -> f64 {
    let pairs = |text: &str| -> Vec<(char, char)> {
        let padded: Vec<char> = std::iter::once(' ')
            .chain(text.chars().take(63))
            .chain([' '])
            .collect();
        padded.windows(2).map(|pair| (pair[0], pair[1])).collect()
    };
    let (a, mut b) = (pairs(a), pairs(b));
    let all = a.len() + b.len();
    let common = a
        .iter()
        .filter(|pair| match b.iter().position(|other| other == *pair) {
            Some(at) => {
                b.swap_remove(at);
                true
            }
            None => false,
        })
        .count();
    2.0 * common as f64 / all as f64
}

/// A column that is read: PostgreSQL's words.
fn column_to_read(table: &Table, name: &str) -> Result<usize, DataError> {
    table.column(name).ok_or_else(|| {
        let message = format!("column {}.{name} does not exist", table.name.as_str());
        DataError::sql("42703", message)
    })
}

/// A column that is written: the dialect's.
fn column_to_write(table: &Table, name: &str) -> Result<usize, DataError> {
    table.column(name).ok_or_else(|| {
        let message = format!(
            "Could not find the '{name}' column of '{}' in the schema cache",
            table.name.as_str()
        );
        DataError::sql("PGRST204", message)
    })
}

fn selection(table: &Table, select: Option<&str>) -> Result<Selection, DataError> {
    let Some(select) = select else {
        return Ok(whole_row(table));
    };
    no_zero(select)?;
    let mut selection = Selection::new();
    for item in items(select, "select parameter")? {
        if item == "*" {
            selection.extend(whole_row(table));
            continue;
        }
        let (alias, name) = match split_once_unquoted(&item, ':') {
            Some((alias, name)) => (Some(unquote(alias)), name),
            None => (None, &*item),
        };
        if name.contains(['(', ')']) || name.contains("->") || name.contains("::") {
            let fault = SqlFault::new("PGRST127", "Feature not implemented")
                .details(format!("`{item}`: select columns by name"));
            return Err(fault.into());
        }
        selection.push((column_to_read(table, &unquote(name))?, alias));
    }
    if selection.is_empty() {
        return Err(parse_fault("select parameter", select));
    }
    Ok(selection)
}

fn returning(table: &Table, answer: Returning) -> Result<Answering, DataError> {
    let (rows, single) = match answer {
        Returning::Count => (None, false),
        Returning::Rows(select) => (Some(selection(table, select.as_deref())?), false),
        Returning::One(select) => (Some(selection(table, select.as_deref())?), true),
    };
    Ok(Answering { rows, single })
}

fn cells(table: &Table, row: Vec<(String, Box<RawValue>)>) -> Result<Cells, DataError> {
    row.into_iter()
        .map(|(name, value)| Ok((column_to_write(table, &name)?, value)))
        .collect()
}

/// All rows with the keys of the first.
fn uniform_cells(table: &Table, rows: Body) -> Result<Vec<Cells>, DataError> {
    let rows: Vec<Cells> = rows
        .into_iter()
        .map(|row| cells(table, row))
        .collect::<Result<_, _>>()?;
    if let [first, rest @ ..] = rows.as_slice() {
        let same = |row: &Cells| {
            row.len() == first.len()
                && row
                    .iter()
                    .all(|(column, _)| first.iter().any(|(known, _)| known == column))
        };
        if !rest.iter().all(same) {
            return Err(DataError::sql("PGRST102", "All object keys must match"));
        }
    }
    Ok(rows)
}

/// Only the cells of `columns`; one that a row lacks is null.
fn listed_cells(table: &Table, columns: &[String], rows: Body) -> Result<Vec<Cells>, DataError> {
    let listed: Vec<usize> = columns
        .iter()
        .map(|name| column_to_write(table, name))
        .collect::<Result<_, _>>()?;
    for (at, column) in listed.iter().enumerate() {
        if listed[..at].contains(column) {
            let name = table.columns[*column].name.as_str();
            let message = format!("column \"{name}\" specified more than once");
            return Err(DataError::sql("42701", message));
        }
    }
    let null = || RawValue::NULL.to_owned();
    let row = |mut row: Vec<(String, Box<RawValue>)>| {
        let cell = |(&column, name): (&usize, &String)| {
            let at = row.iter().position(|(key, _)| key == name);
            (column, at.map_or_else(null, |at| row.swap_remove(at).1))
        };
        listed.iter().zip(columns).map(cell).collect()
    };
    Ok(rows.into_iter().map(row).collect())
}

fn conditions(table: &Table, filters: &[Filter]) -> Result<Vec<Condition>, DataError> {
    if filters.len() > super::FILTERS_MAX {
        let message = format!("a request has at most {} filters", super::FILTERS_MAX);
        return Err(DataError::TooLarge(message));
    }
    filters
        .iter()
        .map(|filter| condition(table, filter))
        .collect()
}

fn condition(table: &Table, filter: &Filter) -> Result<Condition, DataError> {
    let (not, operator) = match filter.operator.strip_prefix("not.") {
        Some(operator) => (true, operator),
        None => (false, &*filter.operator),
    };
    no_zero(&filter.value)?;
    let whole = || format!("{}.{}", filter.operator, filter.value);
    let compare = |comparison| Test::Compare(comparison, filter.value.clone());
    let test = match operator {
        "eq" => compare(Comparison::Eq),
        "neq" => compare(Comparison::Neq),
        "gt" => compare(Comparison::Gt),
        "gte" => compare(Comparison::Gte),
        "lt" => compare(Comparison::Lt),
        "lte" => compare(Comparison::Lte),
        "in" => {
            let list = filter.value.strip_prefix('(');
            let list = list.and_then(|list| list.strip_suffix(')'));
            let list = list.ok_or_else(|| parse_fault("filter", &whole()))?;
            match list {
                "" => Test::In(Vec::new()),
                list => Test::In(
                    items(list, "filter")?
                        .iter()
                        .map(|item| unquote(item))
                        .collect(),
                ),
            }
        }
        "is" => Test::Is(match &*filter.value.to_ascii_lowercase() {
            "null" => Is::Null,
            "not_null" => Is::NotNull,
            "true" => Is::True,
            "false" => Is::False,
            "unknown" => Is::Unknown,
            _ => return Err(parse_fault("filter", &whole())),
        }),
        _ => return Err(parse_fault("filter", &whole())),
    };
    Ok(Condition {
        column: column_to_read(table, &filter.column)?,
        not,
        test,
    })
}

fn order(table: &Table, order: Option<&str>) -> Result<Vec<Order>, DataError> {
    let Some(text) = order else {
        return Ok(Vec::new());
    };
    let mut orders = Vec::new();
    for item in items(text, "order")? {
        let mut rest = &*item;
        let mut nulls = None;
        for (suffix, first) in [(".nullsfirst", true), (".nullslast", false)] {
            if let Some(before) = rest.strip_suffix(suffix) {
                (rest, nulls) = (before, Some(first));
            }
        }
        let (name, descending) = match (rest.strip_suffix(".desc"), rest.strip_suffix(".asc")) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => (rest, false),
        };
        if name.is_empty() {
            return Err(parse_fault("order", text));
        }
        orders.push(Order {
            column: column_to_read(table, &unquote(name))?,
            descending,
            // As PostgreSQL has it: nulls are larger than anything.
            nulls_first: nulls.unwrap_or(descending),
        });
    }
    Ok(orders)
}

/// PostgreSQL has no zero bytes in text.
fn no_zero(text: &str) -> Result<(), DataError> {
    match text.contains('\0') {
        true => Err(DataError::sql(
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        )),
        false => Ok(()),
    }
}

/// The members of a comma-separated list; commas between double quotes or parentheses do not separate.
fn items(text: &str, what: &str) -> Result<Vec<String>, DataError> {
    let mut items = Vec::new();
    let mut item = String::new();
    let (mut quoted, mut escaped, mut depth) = (false, false, 0u32);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| parse_fault(what, text))?
            }
            ',' if !quoted && depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    if quoted || depth > 0 {
        return Err(parse_fault(what, text));
    }
    items.push(item);
    if items.len() > super::LIST_MAX {
        return Err(DataError::TooLarge(format!(
            "a list has {} members; {} are the most",
            items.len(),
            super::LIST_MAX
        )));
    }
    Ok(items)
}

fn split_once_unquoted(text: &str, at: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    let found = text.char_indices().find(|&(_, c)| {
        quoted ^= c == '"';
        c == at && !quoted
    });
    let (index, _) = found?;
    // A cast is no alias.
    if text[index + 1..].starts_with(at) {
        return None;
    }
    Some((&text[..index], &text[index + 1..]))
}

/// A name or value without its double quotes.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        plain.push(c);
    }
    plain
}

fn parse_fault(what: &str, text: &str) -> DataError {
    let shown: String = text.chars().take(100).collect();
    let message = format!("\"failed to parse {what} ({shown})\" (line 1, column 1)");
    DataError::sql("PGRST100", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::query::{self, Conflict};
    use crate::data::{Authority, Column, Key, Name, Type};
    use crate::{Caller, InvocationId, Role};

    fn schema() -> Schema {
        let column = |name: &str, ty| Column {
            name: Name::of_catalog(name),
            ty,
            not_null: name == "id",
            has_default: name == "id",
            generated_always: false,
            comment: None,
        };
        let table = Table {
            name: Name::of_catalog("orders"),
            columns: vec![
                column("id", Type::Bigint),
                column("total", Type::Integer),
                column("a \"b\"", Type::Text),
            ],
            primary_key: Some(Key {
                name: "orders_pkey".to_owned(),
                columns: vec![0],
            }),
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            comment: None,
        };
        let mut schema = Schema::default();
        schema.tables.insert("orders".to_owned(), table.into());
        schema
    }

    fn actor(role: Role, authority: Authority) -> Actor {
        Actor {
            authority,
            ..Actor::caller(
                Caller {
                    role,
                    user_id: None,
                    claims: "{}".into(),
                },
                InvocationId(uuid::Uuid::nil()),
            )
        }
    }

    fn service() -> Actor {
        actor(Role::ServiceRole, Authority::Caller)
    }

    fn query(table: &str) -> Query {
        Query {
            table: table.to_owned(),
            ..Query::default()
        }
    }

    fn code<T: std::fmt::Debug>(outcome: Result<T, DataError>) -> String {
        outcome.unwrap_err().code().unwrap_or_default().to_owned()
    }

    #[test]
    fn tables_are_closed_to_all_but_the_app() {
        let schema = schema();
        for role in [Role::Anon, Role::Authenticated, Role::from("editor")] {
            let closed = actor(role.clone(), Authority::Caller);
            assert_eq!(code(select(&schema, &closed, &query("orders"))), "42501");
            assert_eq!(
                code(delete(&schema, &closed, &query("orders"), Returning::Count)),
                "42501"
            );
            assert!(select(&schema, &actor(role, Authority::App), &query("orders")).is_ok());
        }
        assert!(select(&schema, &service(), &query("orders")).is_ok());
    }

    #[test]
    fn an_unknown_table_is_told_with_the_nearest_one() {
        let fault = |name: &str| match select(&schema(), &service(), &query(name)) {
            Err(DataError::Sql(fault)) => fault,
            other => panic!("{other:?}"),
        };
        let near = fault("order");
        assert_eq!(near.code, "PGRST205");
        assert_eq!(
            near.hint.as_deref(),
            Some("Perhaps you meant the table 'public.orders'")
        );
        assert_eq!(fault("zzz").hint, None);
    }

    #[test]
    fn selects_are_read() {
        let check = |text: &str, expect: &[(usize, Option<&str>)]| {
            let mut query = query("orders");
            query.select = Some(text.to_owned());
            let plan = select(&schema(), &service(), &query).unwrap();
            let found: Vec<_> = plan
                .selection
                .iter()
                .map(|(at, alias)| (*at, alias.as_deref()))
                .collect();
            assert_eq!(found, expect, "{text}");
        };
        check("*", &[(0, None), (1, None), (2, None)]);
        check("total,id", &[(1, None), (0, None)]);
        check("sum:total", &[(1, Some("sum"))]);
        check(r#""a \"b\"",id"#, &[(2, None), (0, None)]);
        for (text, expect) in [
            ("nothing", "42703"),
            ("", "42703"),
            ("other(*)", "PGRST127"),
            ("total::text", "PGRST127"),
            ("(", "PGRST100"),
            ("\"total", "PGRST100"),
        ] {
            let mut query = query("orders");
            query.select = Some(text.to_owned());
            assert_eq!(
                code(select(&schema(), &service(), &query)),
                expect,
                "{text}"
            );
        }
    }

    #[test]
    fn filters_and_orders_are_read() {
        let filtered = |operator: &str, value: &str| {
            let mut query = query("orders");
            query.filters.push(Filter {
                column: "total".to_owned(),
                operator: operator.to_owned(),
                value: value.to_owned(),
            });
            select(&schema(), &service(), &query).map(|mut plan| plan.conditions.remove(0))
        };
        let condition = filtered("not.in", r#"(1,"2,3",4)"#).unwrap();
        assert!(condition.not);
        let list = ["1", "2,3", "4"].map(str::to_owned);
        assert_eq!(condition.test, Test::In(list.to_vec()));
        assert_eq!(filtered("in", "()").unwrap().test, Test::In(Vec::new()));
        assert_eq!(filtered("is", "NULL").unwrap().test, Test::Is(Is::Null));
        for (operator, value) in [("in", "1,2"), ("is", "5"), ("like", "x"), ("", "x")] {
            assert_eq!(
                code(filtered(operator, value)),
                "PGRST100",
                "{operator}.{value}"
            );
        }
        let mut query = query("orders");
        query.order = Some("total.desc,id.asc.nullsfirst,id".to_owned());
        let plan = select(&schema(), &service(), &query).unwrap();
        let found: Vec<_> = plan
            .order
            .iter()
            .map(|o| (o.column, o.descending, o.nulls_first))
            .collect();
        assert_eq!(
            found,
            [(1, true, true), (0, false, true), (0, false, false)]
        );
    }

    #[test]
    fn rows_have_the_same_keys_or_a_list_of_columns() {
        let planned = |rows: &str, columns: Option<&[&str]>| {
            let insert = Insert {
                table: "orders".to_owned(),
                rows: query::body(rows.as_bytes())?,
                columns: columns.map(|columns| columns.iter().map(|c| (*c).to_owned()).collect()),
                conflict: Some(Conflict {
                    on: Vec::new(),
                    merge: true,
                }),
                returning: Returning::Count,
            };
            super::insert(&schema(), &service(), insert)
        };
        assert_eq!(code(planned(r#"[{"id":1},{"total":2}]"#, None)), "PGRST102");
        assert_eq!(code(planned(r#"{"nothing":1}"#, None)), "PGRST204");
        let plan = planned(r#"[{"total":1,"x":2},{"id":3}]"#, Some(&["id"])).unwrap();
        let cells: Vec<&str> = plan.rows.iter().map(|row| row[0].1.get()).collect();
        assert_eq!(cells, ["null", "3"]);
        assert_eq!(plan.conflict.unwrap().on, [0]);
        assert_eq!(
            code(planned(r#"{"total":1}"#, Some(&["total", "total"]))),
            "42701"
        );
        // Of a key that stands there twice the last one counts.
        let plan = planned(r#"{"total":1,"total":12345678901234567890}"#, None).unwrap();
        assert_eq!(plan.rows[0][0].1.get(), "12345678901234567890");
    }

    #[test]
    fn bodies_and_filters_are_bounded() {
        let rows =
            |count: usize| query::body(format!("[{}{{}}]", "{},".repeat(count - 1)).as_bytes());
        assert_eq!(
            rows(crate::data::BODY_ROWS_MAX).unwrap().len(),
            crate::data::BODY_ROWS_MAX
        );
        assert!(matches!(
            rows(crate::data::BODY_ROWS_MAX + 1),
            Err(DataError::TooLarge(_))
        ));
        let filtered = |count: usize| {
            let mut query = query("orders");
            let filter = Filter {
                column: "total".to_owned(),
                operator: "eq".to_owned(),
                value: "1".to_owned(),
            };
            query.filters = vec![filter; count];
            select(&schema(), &service(), &query)
        };
        assert!(filtered(crate::data::FILTERS_MAX).is_ok());
        assert!(matches!(
            filtered(crate::data::FILTERS_MAX + 1),
            Err(DataError::TooLarge(_))
        ));
    }

    #[test]
    fn who_may_not_see_a_table_is_told_of_none() {
        let anon = actor(Role::Anon, Authority::Caller);
        match select(&schema(), &anon, &query("order")) {
            Err(DataError::Sql(fault)) => assert_eq!(fault.hint, None),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(
            body in ".{0,200}",
            select_text in ".{0,60}",
            order_text in ".{0,60}",
            operator in "[a-z.]{0,8}",
            value in ".{0,60}",
        ) {
            let _ = query::body(body.as_bytes());
            let asked = Query {
                table: "orders".to_owned(),
                select: Some(select_text),
                order: Some(order_text),
                filters: vec![Filter { column: "total".to_owned(), operator, value }],
                ..Query::default()
            };
            let _ = select(&schema(), &service(), &asked);
        }
    }
}
