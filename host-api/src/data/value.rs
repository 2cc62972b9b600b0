//! What SQLite stores and statements bind.

/// A value in one of SQLite's storage classes. Which one a PostgreSQL type uses stands in `types/`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// A value as a row lends it, valid until the next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
}
