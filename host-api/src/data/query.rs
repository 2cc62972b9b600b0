//! A request in the REST dialect's words, before anybody has looked at the schema.
//!
//! The doors (HTTP and `host.rs`) fill these in; `plan.rs` resolves them.

use serde_json::value::RawValue;

/// Which rows, and what of them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub table: String,
    /// The dialect's select grammar; all columns when none is given.
    pub select: Option<String>,
    pub filters: Vec<Filter>,
    /// The dialect's order grammar: `created_at.desc.nullslast,id`.
    pub order: Option<String>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

/// One condition: `column`, `eq`, `5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub column: String,
    /// With `not.` before it to negate.
    pub operator: String,
    pub value: String,
}

/// Rows to write, each a list of key and JSON value in the order sent.
pub type Body = Vec<Vec<(String, Box<RawValue>)>>;

/// An insert, or an upsert.
#[derive(Clone, Debug)]
pub struct Insert {
    pub table: String,
    pub rows: Body,
    /// Only these keys of the rows are read, when given.
    pub columns: Option<Vec<String>>,
    pub conflict: Option<Conflict>,
    pub returning: Returning,
}

/// What happens to a row that meets an existing one.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// Columns of a unique key; the primary key when empty.
    pub on: Vec<String>,
    /// Update the existing row; leave it when false.
    pub merge: bool,
}

/// What a write answers.
#[derive(Clone, Debug)]
pub enum Returning {
    /// The number of rows.
    Count,
    /// The rows, through this select; all columns when none is given.
    Rows(Option<String>),
    /// One row; the write is undone when it is none or several.
    One(Option<String>),
}

/// What a call answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// A JSON array of row objects.
    pub json: Vec<u8>,
    pub count: u64,
    /// What it took, in steps of SQLite's machine; 0 on PostgreSQL, which does its own work.
    pub steps: u64,
}

/// Reads a body: one row object, or an array of them.
///
/// # Errors
/// PGRST102 when it is neither.
pub fn body(json: &[u8]) -> Result<Body, super::DataError> {
    let refused = || super::DataError::sql("PGRST102", "Empty or invalid json");
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    let rows: Vec<Object> = match first {
        Some(b'[') => serde_json::from_slice(json).map_err(|_| refused())?,
        Some(b'{') => vec![serde_json::from_slice(json).map_err(|_| refused())?],
        _ => return Err(refused()),
    };
    if rows.len() > super::BODY_ROWS_MAX {
        return Err(super::DataError::TooLarge(format!(
            "a body has {} rows; {} are the most",
            rows.len(),
            super::BODY_ROWS_MAX
        )));
    }
    Ok(rows.into_iter().map(|Object(cells)| cells).collect())
}

/// Reads one row object.
///
/// # Errors
/// PGRST102 when it is none.
pub fn row(json: &str) -> Result<Vec<(String, Box<RawValue>)>, super::DataError> {
    serde_json::from_str(json)
        .map(|Object(cells)| cells)
        .map_err(|_| super::DataError::sql("PGRST102", "Empty or invalid json"))
}

/// An object whose keys keep their order; of a key that stands there twice, the last one counts.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Object, D::Error> {
        struct Cells;
        impl<'de> serde::de::Visitor<'de> for Cells {
            type Value = Vec<(String, Box<RawValue>)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut cells: Self::Value = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    match cells.iter().position(|(known, _)| *known == key) {
                        Some(at) => cells[at].1 = value,
                        // No table has more columns than this.
                        None if cells.len() == super::COLUMNS_MAX => {
                            return Err(serde::de::Error::custom("too many keys"));
                        }
                        None => cells.push((key, value)),
                    }
                }
                Ok(cells)
            }
        }
        from.deserialize_map(Cells).map(Object)
    }
}

impl Rows {
    /// No rows.
    pub fn none() -> Rows {
        Rows {
            json: b"[]".to_vec(),
            count: 0,
            steps: 0,
        }
    }
}

pub use super::run::not_single;
