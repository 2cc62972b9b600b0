//! A request in the REST dialect's words, before anybody has looked at the schema.
//!
//! The doors (HTTP and `host.rs`) have these read from text here; `plan/` resolves them. No text of a
//! request goes further than this but as a value to be bound or a name to be looked up.

mod params;

mod accept;
pub mod body;
mod columns;
mod csv;
mod filter;
mod lex;
mod order;
mod prefer;
mod range;
mod select;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

pub use self::accept::{Accept, Media};
pub use self::columns::{columns, on_conflict};
pub(super) use self::filter::elements;
pub use self::filter::{filter, filters};
pub use self::order::orders;
pub use self::params::{Candidate, Params};
pub use self::prefer::{Handling, Missing, Prefer, Resolution, Return, TransactionWish, Write};
pub use self::range::Range;
pub use self::select::select;

/// Which rows, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The schema asked for (`Accept-Profile`, `Content-Profile`); the first exposed one when none.
    pub schema: Option<String>,
    /// A table, a view or a function.
    pub table: String,
    /// All columns when none is given (`None`); no columns when empty (`select=`).
    pub select: Option<Vec<Item>>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Orders of the rows themselves (path empty) and of embedded rows.
    pub orders: Vec<(Path, Vec<Order>)>,
    pub limits: Vec<(Path, u64)>,
    pub offsets: Vec<(Path, u64)>,
}

/// Names or aliases of embedded relations from the outside in; empty for the rows themselves.
pub type Path = Vec<String>;

/// A member of a select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `*`
    Star,
    /// `count()`: of rows.
    Count {
        alias: Option<String>,
        cast: Option<String>,
    },
    Field {
        field: Field,
        alias: Option<String>,
        cast: Option<String>,
        aggregate: Option<Aggregate>,
    },
    Relation(Relation),
}

/// An embedded relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Table, view, constraint, foreign key column or function.
    pub name: String,
    pub alias: Option<String>,
    /// `!hint`, when it is neither `inner` nor `left`.
    pub hint: Option<String>,
    /// `!inner`: rows without a match go.
    pub inner: bool,
    /// `...name(…)`: its fields become the parent's.
    pub spread: bool,
    pub select: Vec<Item>,
}

/// A column, or a place inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub path: Vec<Step>,
}

/// One `->` or `->>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub key: Key,
    /// `->>`: the value's text. Only ever the last step's.
    pub text: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Name(String),
    /// From the end when negative.
    Index(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// Of its result. (The field's own cast is done before.)
    pub cast: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    Sum,
    Avg,
    Max,
    Min,
    Count,
}

/// A condition on the rows (path empty) or on embedded rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub path: Path,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `field.[not.]operator.value`. The field may be the name of an embedded relation, which can only
    /// be tested for null.
    Test { field: Field, not: bool, test: Test },
    /// `and(…)`, `or(…)`.
    Tree {
        not: bool,
        any: bool,
        members: Vec<Condition>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// A literal in PostgreSQL's text form, read as the field's type. In patterns `*` has already become
    /// `%`. With a quantifier, an array literal `{…}`.
    Compare(Operator, Option<Quantifier>, String),
    In(Vec<String>),
    Is(Is),
    /// Full-text search: which of the four, text search configuration, query.
    Search(Search, Option<String>, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    Like,
    Ilike,
    /// `~`
    Match,
    /// `~*`
    Imatch,
    IsDistinct,
    /// `@>`
    Contains,
    /// `<@`
    Contained,
    /// `&&`
    Overlaps,
    /// `<<`, ranges only, as the four after it.
    StrictlyLeft,
    StrictlyRight,
    NotRightOf,
    NotLeftOf,
    Adjacent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    Any,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// `fts`: `to_tsquery`.
    Query,
    /// `plfts`: `plainto_tsquery`.
    Plain,
    /// `phfts`: `phraseto_tsquery`.
    Phrase,
    /// `wfts`: `websearch_to_tsquery`.
    Web,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub term: OrderTerm,
    pub descending: bool,
    /// As PostgreSQL has it when none is said: nulls are larger than anything.
    pub nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderTerm {
    Field(Field),
    /// `relation(field)`: a field of an embedded relation that has one row at most.
    Related(String, Field),
}

/// What a request wants beside its rows. The default wants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub count: Option<Count>,
    pub format: Format,
    /// Exactly one row; PGRST116 and nothing written otherwise.
    pub single: bool,
    /// A write of more rows is undone: PGRST124.
    pub max_affected: Option<u64>,
    /// Does everything, answers, and undoes it.
    pub rollback: bool,
    /// One that [`Schema::has_timezone`](super::Schema::has_timezone): timestamptz come in this zone.
    pub timezone: Option<String>,
    /// The database's plan of the request instead of its rows.
    pub explain: Option<Explain>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Exact,
    Planned,
    Estimated,
}

/// Rows as a JSON array, or as csv with a header line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Csv,
}

/// `application/vnd.pgrst.plan`: what `explain` is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    pub json: bool,
    pub analyze: bool,
    pub verbose: bool,
    pub settings: bool,
    pub buffers: bool,
    pub wal: bool,
}

/// Rows to write.
#[derive(Clone, Debug)]
pub struct Insert {
    /// Schema, table, and what of the written rows is answered; its filters, orders and limits are
    /// those of embedded rows only.
    pub query: Query,
    pub rows: Body,
    /// Only these keys of the rows are read, when given.
    pub columns: Option<Vec<String>>,
    /// A key that a row has not becomes the column's default; null when false.
    pub missing_default: bool,
    pub conflict: Option<Conflict>,
    pub returning: Returning,
}

/// What happens to a row that meets an existing one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Columns of a unique key; the primary key when empty.
    pub on: Vec<String>,
    /// Update the existing row; leave it when false.
    pub merge: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// The number of rows.
    Count,
    /// The rows, through the query's select.
    Rows,
    /// The primary keys of inserted rows as objects, for `Location`.
    Keys,
}

/// Rows to write, each a list of key and JSON value in the order sent.
pub type Body = Vec<Vec<(String, Box<RawValue>)>>;

/// What a call answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// A JSON array of row objects, or csv, or the bare JSON value a function returned.
    pub body: Vec<u8>,
    /// Rows in `body`, or rows written.
    pub count: u64,
    /// How many there are without limit and offset, when asked for.
    pub total: Option<u64>,
    /// Of an upsert: how many rows were new.
    pub inserted: Option<u64>,
    /// What it took, in steps of SQLite's machine; 0 on PostgreSQL, which does its own work.
    pub steps: u64,
    /// What a function of PostgreSQL left in `response.status` and `response.headers`.
    pub response: Option<Box<ResponseSettings>>,
    /// Of a call: what its function returns.
    pub called: Option<Called>,
}

/// What an SQL function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Void,
    One,
    /// Any number of rows.
    Set,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseSettings {
    pub status: Option<String>,
    pub headers: Option<String>,
}
