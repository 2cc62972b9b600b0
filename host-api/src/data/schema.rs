//! What an app's tables are: read from its migrations on SQLite, from the catalog on PostgreSQL, and
//! the same for both.
//!
//! Names that reach SQL text come from here and from nowhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Everything the API of an app can name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Tables of schema `public` by name. (`auth.users` and the like are not the API's.)
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Enums by name.
    pub enums: BTreeMap<String, Arc<Enum>>,
}

/// A table of schema `public`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: Name,
    /// In order of definition.
    pub columns: Vec<Column>,
    pub primary_key: Option<Key>,
    /// In order of name.
    pub unique: Vec<Key>,
    /// In order of name.
    pub foreign_keys: Vec<ForeignKey>,
    /// In order of name.
    pub checks: Vec<Check>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: Name,
    pub ty: Type,
    /// By `not null`, a primary key or an identity.
    pub not_null: bool,
    /// Whether a write may leave it out though it is `not null`: a default, an identity, a serial.
    pub has_default: bool,
    /// `generated always as (…)` or `generated always as identity`: never written by a client.
    pub generated_always: bool,
    pub comment: Option<String>,
}

/// A primary key or a unique constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// PostgreSQL's name for it, given or derived: `users_pkey`, `users_email_key`.
    pub name: String,
    /// Indices into [`Table::columns`].
    pub columns: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Given or derived: `orders_user_id_fkey`.
    pub name: String,
    /// Indices into [`Table::columns`].
    pub columns: Vec<usize>,
    /// Schema of the table it points to: `public` or `auth`.
    pub to_schema: String,
    pub to_table: String,
    pub to_columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Given or derived: `orders_total_check`.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enum {
    pub name: String,
    /// In order of declaration.
    pub labels: Vec<String>,
}

/// An identifier that stands in the catalog. Only this module's readers make one; `Display` quotes it
/// for SQL text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(String);

impl Name {
    /// For readers of a catalog: the DDL translator and PostgreSQL's introspection.
    pub(super) fn of_catalog(name: impl Into<String>) -> Name {
        Name(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A column's type, as PostgreSQL names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Boolean,
    Smallint,
    Integer,
    Bigint,
    Numeric {
        /// Digits in all and after the point, when declared.
        precision: Option<(u32, u32)>,
    },
    Real,
    DoublePrecision,
    Text,
    Varchar {
        /// Characters.
        length: Option<u32>,
    },
    /// `char(n)`, padded with blanks.
    Char {
        length: u32,
    },
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Bytea,
    Array(Box<Type>),
    Enum(Arc<Enum>),
    /// A type that only PostgreSQL has; its name as `format_type` writes it.
    Other(String),
}

impl Schema {
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }
}

impl Table {
    /// The index of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.as_str() == name)
    }
}

impl fmt::Display for Type {
    /// As PostgreSQL's `format_type` writes it, for casts and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Boolean => f.write_str("boolean"),
            Type::Smallint => f.write_str("smallint"),
            Type::Integer => f.write_str("integer"),
            Type::Bigint => f.write_str("bigint"),
            Type::Numeric { precision: None } => f.write_str("numeric"),
            Type::Numeric {
                precision: Some((precision, scale)),
            } => write!(f, "numeric({precision},{scale})"),
            Type::Real => f.write_str("real"),
            Type::DoublePrecision => f.write_str("double precision"),
            Type::Text => f.write_str("text"),
            Type::Varchar { length: None } => f.write_str("character varying"),
            Type::Varchar {
                length: Some(length),
            } => write!(f, "character varying({length})"),
            Type::Char { length } => write!(f, "character({length})"),
            Type::Date => f.write_str("date"),
            Type::Time => f.write_str("time without time zone"),
            Type::Timestamp => f.write_str("timestamp without time zone"),
            Type::Timestamptz => f.write_str("timestamp with time zone"),
            Type::Interval => f.write_str("interval"),
            Type::Uuid => f.write_str("uuid"),
            Type::Json => f.write_str("json"),
            Type::Jsonb => f.write_str("jsonb"),
            Type::Bytea => f.write_str("bytea"),
            Type::Array(element) => write!(f, "{element}[]"),
            Type::Enum(of) => write!(f, "{}", Name(of.name.clone())),
            Type::Other(name) => f.write_str(name),
        }
    }
}
