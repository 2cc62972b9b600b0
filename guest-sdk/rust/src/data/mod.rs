//! The app's tables.
//!
//! ```ignore
//! use pumice::data;
//!
//! let best: Vec<Member> = data::table("members").gte("points", 100).order("points.desc").limit(10).rows()?;
//! data::table("members").eq("id", id).update(&json!({ "points": 0 }))?;
//! let sums = data::sql("select sum(points) as points from members where club = $1", data::params![club])?;
//! ```
//!
//! Calls run as the caller of the invocation, under the same grants, policies and triggers as a request from
//! outside; [`Query::as_app`], [`sql`] and [`transaction_as_app`] run as the app itself, which policies do not
//! bind. A before-trigger may read and not write.

mod error;
mod literal;
mod query;
mod rows;
mod sql;
mod transaction;

pub use error::{DataError, DatabaseError};
pub use query::{Query, Scope, table};
pub use rows::Rows;
pub use sql::{Params, sql};
pub use transaction::{Transaction, transaction, transaction_as_app};

#[doc(inline)]
pub use crate::__data_params as params;
