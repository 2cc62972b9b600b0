//! From a request and the schema to what is to be done: names resolved, relationships found, rights
//! checked. Pure. What is here is the same for both engines; `run/` turns it into SQL text.

mod call;
mod expr;
mod faults;
mod read;
mod rights;
mod scope;
#[cfg(test)]
mod tests;
mod tree;
mod weight;
mod write;

use std::sync::Arc;

use serde_json::value::RawValue;

use super::query::{AggregateFunction, Preferences, Step};
use super::schema::{Function, Name};
use super::{Table, Type};

pub use self::call::{Given, WholeType, call};
pub use self::read::{read, whole_row};
pub use self::scope::Scope;
pub use self::write::{delete, insert, may_judge, may_replace, may_write, replacement, update};
pub use super::query::Test;

/// Relations that a request embeds at most. Each is a subquery; nobody writes that many by hand.
pub const EMBEDS_MAX: usize = 100;
/// Subqueries of a statement at most: each column of a spread relation is one.
pub const NODES_MAX: usize = 2_000;
/// Conditions, members of their lists and orders of all subqueries of a statement at most, long ones
/// counting more: each column of a spread relation repeats those of the relation.
pub const MEMBERS_MAX: usize = 100_000;

/// A read.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    pub node: Node,
    pub preferences: Preferences,
    /// Rows at most, whatever the request says (`node.limit` heeds it already): `count=estimated`
    /// counts exactly up to it.
    pub rows_max: u64,
}

/// One `select`: a relation, what of it, and which rows. Subqueries are nodes too; each has an alias
/// that no node around it has: `_t0`, `_t1`, … The outermost is `_t0`. (The columns of a spread relation
/// are nodes beside each other, with the same alias.)
#[derive(Clone, Debug)]
pub struct Node {
    pub source: Source,
    pub alias: u32,
    pub outputs: Vec<Output>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// What rows are grouped by, when any output is an aggregate: all outputs that are none, in their
    /// order. When there are none all rows are one group, even when there is no row.
    pub groups: Option<Vec<Expr>>,
    pub orders: Vec<Order>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

/// What a node reads, as `_t<alias of the node>`.
#[derive(Clone, Debug)]
pub enum Source {
    Relation(Arc<Table>),
    /// A table that is reached through a junction: both are read, the junction as `_t<alias>`; what
    /// ties them together is among the node's conditions.
    Through {
        table: Arc<Table>,
        junction: Arc<Table>,
        alias: u32,
    },
    /// PostgreSQL: what a function returns for the row called `_t<row>`; `table` describes it.
    Computed {
        function: Arc<Function>,
        row: u32,
        table: Arc<Table>,
    },
    /// Rows of this table that a write has just written.
    Written(Arc<Table>),
    /// PostgreSQL: what the called function returns; its columns have names only ([`Expr::Named`])
    /// unless a table describes it.
    Called(Option<Arc<Table>>),
}

/// A key in the answer and its value.
#[derive(Clone, Debug)]
pub struct Output {
    pub key: String,
    pub expr: Expr,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Expr {
    /// Of the relation called `_t<alias>`.
    Column {
        alias: u32,
        table: Arc<Table>,
        column: usize,
    },
    /// PostgreSQL: a field of a called function's row; or a computed field `function(_t<alias>)`.
    Named {
        alias: u32,
        name: Name,
        function: Option<Arc<Function>>,
    },
    /// All fields of a called function's row, whatever they are. Only as an output (its key is empty).
    Everything { alias: u32 },
    /// A place in a JSON value (a value of another type is made JSON first): text when the last step
    /// says so, JSON otherwise.
    Path { of: Box<Expr>, steps: Vec<Step> },
    /// A type's name as the client wrote it: one of the engine's, checked while planning on SQLite.
    Cast { of: Box<Expr>, to: CastType },
    /// `count(*)` when there is no argument.
    Aggregate {
        function: AggregateFunction,
        of: Option<Box<Expr>>,
    },
    /// An object of the node's outputs, or null: an embed that has one row at most.
    One(Box<Node>),
    /// An array of objects of the node's outputs, in the node's order.
    Many(Box<Node>),
    /// The value of the node's only output, or null: a column of a spread relation with one row.
    Value(Box<Node>),
    /// An array of the values of the node's only output: a column of a spread relation with many.
    Values(Box<Node>),
}

/// What a value is cast to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CastType {
    Known(Type),
    /// PostgreSQL: any other type, by its quoted name.
    Named(Name),
}

#[derive(Clone, Debug)]
pub enum Condition {
    /// Literals are text still: the engine reads them as the expression's type.
    Test {
        expr: Expr,
        not: bool,
        test: Test,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// Two columns are equal: what ties a node to its parent.
    Same(Expr, Expr),
    /// Whether a node (without outputs) has a row.
    Exists {
        node: Box<Node>,
        not: bool,
    },
}

#[derive(Clone, Debug)]
pub struct Order {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// The cells of a row to be written: column and JSON value; none for the column's default.
pub type Cells = Vec<(usize, Option<Box<RawValue>>)>;

#[derive(Clone, Debug)]
pub struct InsertPlan {
    pub table: Arc<Table>,
    pub rows: Vec<Cells>,
    pub conflict: Option<ConflictPlan>,
    pub answer: Answering,
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
    /// On the table as `_t0`.
    pub conditions: Vec<Condition>,
    pub answer: Answering,
}

#[derive(Clone, Debug)]
pub struct DeletePlan {
    pub table: Arc<Table>,
    /// On the table as `_t0`.
    pub conditions: Vec<Condition>,
    pub answer: Answering,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub struct Answering {
    /// What is answered of each written row: source [`Source::Written`], alias `_t0`, no limit. (It has
    /// conditions when an inner embed leaves written rows out of the answer.) None answers the number
    /// only.
    pub node: Option<Node>,
    pub preferences: Preferences,
}

/// PostgreSQL: a call of an SQL function.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub function: Arc<Function>,
    pub arguments: Arguments,
    /// What is read of the rows it returns: source [`Source::Called`], alias `_t0`; none for a scalar,
    /// a set of scalars or void.
    pub node: Option<Node>,
    pub preferences: Preferences,
    /// The request may not write: `GET`, `HEAD`.
    pub read_only: bool,
    /// Of a set of scalars, which has no node: how many, and from which on.
    pub limit: u64,
    pub offset: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Arguments {
    /// By name, of a JSON body.
    Json(Vec<(String, Box<RawValue>)>),
    /// By name, in text form, of a query string; several values of a variadic one.
    Text(Vec<(String, Vec<String>)>),
    /// The whole body as the only, unnamed argument.
    Whole(Vec<u8>),
}

impl Answering {
    /// For one of several pieces of work whose answers are put together: what counts for all of them is
    /// seen to there, but for the zone in which each reads and shows moments.
    pub(super) fn part(&self) -> Answering {
        Answering {
            node: self.node.clone(),
            preferences: Preferences {
                timezone: self.preferences.timezone.clone(),
                ..Preferences::default()
            },
        }
    }
}

/// `cells` as a JSON object; those that take their column's default are left out.
pub fn object(table: &Table, cells: &Cells) -> String {
    let mut json = Vec::with_capacity(32 * cells.len());
    json.push(b'{');
    for (column, value) in cells {
        let Some(value) = value else { continue };
        if json.len() > 1 {
            json.push(b',');
        }
        super::types::write_json_string(table.columns[*column].name.as_str(), &mut json);
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}');
    // Its parts were text.
    String::from_utf8(json).unwrap_or_default()
}
