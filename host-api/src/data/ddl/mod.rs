//! PostgreSQL DDL, read, checked and translated to SQLite.
//!
//! An app's migrations are PostgreSQL. On PostgreSQL they run as they are; here is what SQLite runs
//! instead, and the [`Catalog`] of what they declare. What is outside the subset is a [`DdlFault`]
//! that names the file, the line and what to do.
//!
//! Not for queries: those are planned from the [`Schema`](super::Schema).

mod access;
mod aggregates;
mod alter;
mod calls;
mod catalog;
mod coerce;
mod compare;
mod domain;
mod enums;
mod expr;
mod from;
mod functions;
mod like;
mod lint;
mod literal;
mod migrate;
mod names;
mod operators;
mod order;
mod retype;
mod rows;
mod select;
mod split;
mod sql;
mod table;
mod translate;
mod types;
mod view;
mod writable;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

pub use self::catalog::Catalog;
pub(super) use self::functions::lower;
pub use self::functions::register;
pub use self::lint::{Lint, Remark, lint};
pub use self::migrate::{
    Applied, MigrateFault, MigrationFile, SEED, TRANSLATOR, applied, apply, catalog, check,
    intended, plan, prepare, read_again, seed,
};
pub use self::split::{Marks, SplitFault, Statement, split};
pub use self::translate::{created, translate};

/// What one file means on SQLite.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// In order; to be run in one transaction.
    pub steps: Vec<Step>,
    /// What the tables are after the last step.
    pub catalog: Catalog,
    /// New tables marked `-- pumice: open`: they get no row-level security.
    pub open: BTreeSet<String>,
}

/// One SQLite statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line of the PostgreSQL statement it comes from, from 1.
    pub line: usize,
    pub sql: String,
}

/// A statement that SQLite cannot run, or that is wrong on PostgreSQL too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DdlFault {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Its first 80 characters, white space folded.
    pub statement: String,
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for DdlFault {
    /// `migrations/0001_init.sql:12: reason; fix`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// Why one statement is refused, before its place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    reason: String,
    fix: String,
}

impl Refusal {
    /// What PostgreSQL has and SQLite has not.
    fn only_postgres(what: impl fmt::Display) -> Refusal {
        Refusal {
            reason: format!("{what} is not in the subset that SQLite runs"),
            fix: "mark it with `-- pumice: only postgres`".to_owned(),
        }
    }

    /// What is wrong on both engines.
    fn wrong(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            fix: String::new(),
        }
    }

    fn fix(mut self, fix: impl Into<String>) -> Refusal {
        self.fix = fix.into();
        self
    }
}
